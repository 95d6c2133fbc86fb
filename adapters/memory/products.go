package memory

import (
	"context"
	"math"
	"slices"
	"strings"

	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Products keeps products in memory.
type Products struct{ db *DB }

var _ ports.ProductRepository = (*Products)(nil)

// put stores the product, within a write.
func (s *Products) put(p product.Product) {
	search := [2]string{product.Fold(p.Name()), product.Fold(p.Description())}
	s.db.products[p.ID()] = productRow{product: p, search: search, revision: s.db.revision()}
}

// Add implements ports.ProductRepository.
func (s *Products) Add(ctx context.Context, p product.Product, with ...*ports.Along) error {
	return s.db.write(ctx, func() error {
		if _, taken := s.db.products[p.ID()]; taken {
			return errIDTaken
		}
		if !s.db.hasUser(p.OwnerID()) {
			return user.ErrUnknown
		}
		keep, err := s.db.along(p.OwnerID(), with, s.db.hasUser)
		if err != nil {
			return err
		}
		if err := s.concerned(p.Bare(), p); err != nil {
			return err
		}
		defer keep()
		s.put(p)
		return nil
	})
}

// Find implements ports.ProductRepository.
func (s *Products) Find(ctx context.Context, id product.ID) (product.Product, error) {
	row, err := s.row(ctx, id)
	return row.product, err
}

func (s *Products) row(ctx context.Context, id product.ID) (row productRow, err error) {
	err = s.db.read(ctx, func() error {
		var ok bool
		if row, ok = s.db.products[id]; !ok {
			return product.ErrUnknown
		}
		return nil
	})
	return row, err
}

// List implements ports.ProductRepository.
func (s *Products) List(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
	if q.Visible == nil {
		q.Visible = access.Nothing
	}
	if q.Sort == (product.Sort{}) {
		q.Sort = product.NewestFirst
	}
	q.Text = product.Fold(q.Text)
	var list []product.Product
	err := s.db.read(ctx, func() error {
		for _, row := range s.db.products {
			if meant(q, row) {
				list = append(list, row.product)
			}
		}
		return nil
	})
	slices.SortFunc(list, func(a, b product.Product) int {
		return q.Sort.Compare(product.PositionOf(a), product.PositionOf(b))
	})
	return list[:min(len(list), max(q.Limit, 0))], err
}

// Count implements ports.ProductRepository.
func (s *Products) Count(ctx context.Context, q ports.ProductQuery) (int, error) {
	q.After, q.Limit = product.Position{}, math.MaxInt
	list, err := s.List(ctx, q)
	return len(list), err
}

// meant reports whether the query, its text folded, asks for the row.
func meant(q ports.ProductQuery, row productRow) bool {
	p := row.product
	switch {
	case q.Owner != (user.ID{}) && p.OwnerID() != q.Owner:
		return false
	case q.Status != (product.Status{}) && p.Status() != q.Status:
		return false
	case !strings.Contains(row.search[0], q.Text) && !strings.Contains(row.search[1], q.Text):
		return false
	case q.After != (product.Position{}) && q.Sort.Compare(product.PositionOf(p), q.After) <= 0:
		return false
	}
	return q.Visible.Holds(access.Product(p))
}

// Update implements ports.ProductRepository. change runs without the lock, as
// in [Users.Update].
func (s *Products) Update(ctx context.Context, id product.ID, change func(*product.Product) error, with ...*ports.Along) (product.Product, error) {
	for {
		row, err := s.row(ctx, id)
		if err != nil {
			return product.Product{}, err
		}
		next := row.product
		if err := change(&next); err != nil {
			return product.Product{}, err
		}
		next = row.product.Became(next)
		written := next.Version() != row.product.Version() || !next.SameGrants(row.product)
		if !written && !slices.ContainsFunc(with, something) {
			return next, nil
		}
		done, err := s.unchanged(ctx, row, with, func() error {
			if err := s.concerned(row.product, next); err != nil {
				return err
			}
			if written {
				s.put(next)
			}
			return nil
		})
		if err != nil {
			return product.Product{}, err
		}
		if done {
			return next, nil
		}
	}
}

// concerned returns product.ErrNobody if somebody is not there whom a change of
// a product newly concerns, or if the new owner is not active, within a write.
func (s *Products) concerned(before, after product.Product) error {
	if owner, ok := s.db.users[after.OwnerID()]; after.OwnerID() != before.OwnerID() && (!ok || owner.user.Status() != user.Active) {
		return product.ErrNobody
	}
	for _, g := range after.Grants() {
		if !s.db.hasUser(g.UserID) {
			return product.ErrNobody
		}
	}
	return nil
}

// Delete implements ports.ProductRepository.
func (s *Products) Delete(ctx context.Context, id product.ID, check func(product.Product) error, with ...*ports.Along) error {
	for {
		row, err := s.row(ctx, id)
		if err != nil {
			return err
		}
		if err := check(row.product); err != nil {
			return err
		}
		done, err := s.unchanged(ctx, row, with, func() error {
			delete(s.db.products, id)
			return nil
		})
		if done || err != nil {
			return err
		}
	}
}

// unchanged runs act if the row is still as it was read, keeps what goes along,
// and reports whether it was.
func (s *Products) unchanged(ctx context.Context, old productRow, with []*ports.Along, act func() error) (done bool, err error) {
	err = s.db.write(ctx, func() error {
		now, ok := s.db.products[old.product.ID()]
		if !ok {
			return product.ErrUnknown
		}
		if now.revision != old.revision {
			return nil
		}
		keep, err := s.db.along(old.product.OwnerID(), with, s.db.hasUser)
		if err != nil {
			return err
		}
		if err := act(); err != nil {
			return err
		}
		keep()
		done = true
		return nil
	})
	return done, err
}
