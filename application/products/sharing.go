package products

import (
	"context"
	"errors"

	"gatehouse/application/journal"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Grants returns whom the product is shared with, to who may share it.
func (s *Service) Grants(ctx context.Context, a access.Actor, id product.ID) ([]product.Grant, error) {
	rights, err := s.Gate.Rights(ctx, a)
	if err != nil {
		return nil, err
	}
	p, err := s.Products.Find(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := permit(rights, a, access.Share, access.Product(p)); err != nil {
		return nil, s.Gate.Record(ctx, a, err)
	}
	return p.Grants(), nil
}

// Invitation is whom a product is to be shared with.
type Invitation struct {
	To     user.ID
	Role   string // the name of a product.GrantRole
	Unread error  // as in [Service.Create]
}

// Share lets somebody in on the product, or changes in which role they are. That
// a user is disabled is not told: the grant is good for nothing meanwhile.
func (s *Service) Share(ctx context.Context, a access.Actor, id product.ID, i Invitation) (product.Grant, error) {
	var given product.Grant
	_, err := s.alter(ctx, a, access.Share, id, func(p *product.Product) (note, error) {
		g, err := p.Share(i.To, i.Role, s.Now())
		if err := fault.Merge(i.Unread, err); err != nil {
			return note{}, err
		}
		given = g
		return note{audit.GrantGiven, []string{"user", i.To.String(), "role", g.Role.String()}}, nil
	})
	return given, nobodyAt("/userId", err)
}

// Unshare takes a grant away. It returns product.ErrNoGrant if there is none.
func (s *Service) Unshare(ctx context.Context, a access.Actor, id product.ID, with user.ID) error {
	_, err := s.alter(ctx, a, access.Share, id, func(p *product.Product) (note, error) {
		g, err := p.Unshare(with)
		return note{audit.GrantTaken, []string{"user", with.String(), "role", g.Role.String()}}, err
	})
	return err
}

// Handover is to whom a product is to belong.
type Handover struct {
	To     user.ID
	Match  Match
	Unread error // as in [Service.Create]
}

// Transfer makes somebody else the owner, who has to be there and active. It
// returns [ErrVersionConflict] if the version is not expected.
func (s *Service) Transfer(ctx context.Context, a access.Actor, id product.ID, h Handover) (product.Product, error) {
	p, err := s.alter(ctx, a, access.Transfer, id, func(p *product.Product) (note, error) {
		if h.Match != nil && !h.Match(p.Version()) {
			return note{}, ErrVersionConflict
		}
		if h.Unread != nil {
			return note{}, h.Unread
		}
		from := p.OwnerID()
		p.Transfer(h.To, s.Now())
		return note{audit.Transferred, []string{"from", from.String(), "to", h.To.String()}}, nil
	})
	return p, nobodyAt("/ownerId", err)
}

// note is what the audit log is told of a change, if it changes anything.
type note struct {
	event  audit.Event
	detail []string
}

// alter changes whose the product is, or who else may use it, in one step: read,
// authorize, change, rules, write, and the audit log.
func (s *Service) alter(ctx context.Context, a access.Actor, action access.Action, id product.ID, change func(*product.Product) (note, error)) (product.Product, error) {
	rights, err := s.Gate.Rights(ctx, a)
	if err != nil {
		return product.Product{}, err
	}
	book, with := journal.Book{Random: s.Random, Now: s.Now}, &ports.Along{}
	p, err := s.Products.Update(ctx, id, func(p *product.Product) error {
		with.Audit = nil // of an attempt before this one
		if err := permit(rights, a, action, access.Product(*p)); err != nil {
			return err
		}
		before := *p
		n, err := change(p)
		if err != nil || p.Version() == before.Version() && p.SameGrants(before) {
			return err
		}
		if err := s.check(rights, a, &before, p); err != nil {
			return err
		}
		subject := audit.Subject{Type: access.KindProduct.String(), ID: id.String()}
		with.Audit = []audit.Entry{book.Entry(ctx, n.event, audit.Success, a.ID(), subject, n.detail...)}
		return nil
	}, with)
	return p, s.Gate.Record(ctx, a, err)
}

// nobodyAt tells where the input names somebody who is not there.
func nobodyAt(pointer string, err error) error {
	if errors.Is(err, product.ErrNobody) {
		return product.Refuse(pointer, "unknown_user", "There is no such user.")
	}
	return err
}
