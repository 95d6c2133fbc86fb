package memory

import (
	"context"
	"slices"

	"gatehouse/domain/access"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var _ ports.Census = (*Products)(nil)

// Reach implements ports.Census, pair by pair.
func (s *Products) Reach(ctx context.Context, q ports.CensusQuery) (r ports.Reach, err error) {
	last := user.ID{}
	err = s.eachPair(ctx, q, func(p ports.Pair) bool {
		if p.User != last {
			r.Users, last = r.Users+1, p.User
		}
		r.Pairs++
		return true
	})
	return r, err
}

// Pairs implements ports.Census.
func (s *Products) Pairs(ctx context.Context, q ports.CensusQuery, limit int) (pairs []ports.Pair, err error) {
	if limit <= 0 {
		return nil, nil
	}
	err = s.eachPair(ctx, q, func(p ports.Pair) bool {
		pairs = append(pairs, p)
		return len(pairs) < limit
	})
	return pairs, err
}

// eachPair calls visit for the pairs that the query means, user by user, until it
// returns false.
func (s *Products) eachPair(ctx context.Context, q ports.CensusQuery, visit func(ports.Pair) bool) error {
	if q.Filter == nil {
		q.Filter = access.Nothing
	}
	return s.db.read(ctx, func() error {
		for id, row := range s.db.users {
			if row.user.Status() != user.Active || !slices.Equal(row.user.Roles(), q.Roles) {
				continue
			}
			f := q.Filter
			if !q.Self.IsZero() {
				f = access.Naming(f, q.Self, id)
			}
			for _, p := range s.db.products {
				if f.Holds(access.Product(p.product)) && !visit(ports.Pair{User: id, Email: row.user.Email().String(), Product: p.product.ID(), Name: p.product.Name()}) {
					return nil
				}
			}
		}
		return nil
	})
}
