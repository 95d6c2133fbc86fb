package portstest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gatehouse/adapters/memory"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

func TestCensusChecksCanFail(t *testing.T) {
	prove(t, censusChecks, func() CensusStores {
		db := memory.New()
		return CensusStores{Users: db.Users(), Products: db.Products(), Census: db.Products()}
	}, censusMutants)
}

// census is one with some of its methods replaced.
type census struct {
	ports.Census
	reach func(context.Context, ports.CensusQuery) (ports.Reach, error)
	pairs func(context.Context, ports.CensusQuery, int) ([]ports.Pair, error)
}

func (c census) Reach(ctx context.Context, q ports.CensusQuery) (ports.Reach, error) {
	if c.reach == nil {
		return c.Census.Reach(ctx, q)
	}
	return c.reach(ctx, q)
}

func (c census) Pairs(ctx context.Context, q ports.CensusQuery, limit int) ([]ports.Pair, error) {
	if c.pairs == nil {
		return c.Census.Pairs(ctx, q, limit)
	}
	return c.pairs(ctx, q, limit)
}

func censusMutant(check, fault string, f func(s CensusStores) census) mutant[CensusStores] {
	return mutant[CensusStores]{check, fault, func(s CensusStores) CensusStores {
		m := f(s)
		m.Census = s.Census
		s.Census = m
		return s
	}}
}

// asking makes a census that asks for something else than it was asked for.
func asking(check, fault string, alter func(CensusStores, ports.CensusQuery) ports.CensusQuery) mutant[CensusStores] {
	return censusMutant(check, fault, func(s CensusStores) census {
		return census{reach: func(ctx context.Context, q ports.CensusQuery) (ports.Reach, error) {
			return s.Census.Reach(ctx, alter(s, q))
		}}
	})
}

// answering makes one that answers with something else.
func answering(check, fault string, alter func(context.Context, CensusStores, ports.CensusQuery, ports.Reach) ports.Reach) mutant[CensusStores] {
	return censusMutant(check, fault, func(s CensusStores) census {
		return census{reach: func(ctx context.Context, q ports.CensusQuery) (ports.Reach, error) {
			r, err := s.Census.Reach(ctx, q)
			return alter(ctx, s, q, r), err
		}}
	})
}

var censusMutants = []mutant[CensusStores]{
	asking("every pair counts, and no other", "takes nobody for an owner", func(_ CensusStores, q ports.CensusQuery) ports.CensusQuery {
		q.Filter = access.Naming(q.Filter, q.Self, user.ID{})
		return q
	}),
	asking("every pair counts, and no other", "lets viewers edit", func(_ CensusStores, q ports.CensusQuery) ports.CensusQuery {
		if g, ok := q.Filter.(access.Granted); ok {
			q.Filter = access.GrantedTo(g.To, product.Viewer, product.Editor)
		}
		return q
	}),
	censusMutant("every pair counts, and no other", "gives no pair of who owns nothing", func(s CensusStores) census {
		return census{pairs: func(ctx context.Context, q ports.CensusQuery, limit int) ([]ports.Pair, error) {
			pairs, err := s.Census.Pairs(ctx, q, limit)
			return slices.DeleteFunc(pairs, func(p ports.Pair) bool { return p.User == userID(5) }), err
		}}
	}),
	censusMutant("every pair counts, and no other", "forgets names", func(s CensusStores) census {
		return census{pairs: func(ctx context.Context, q ports.CensusQuery, limit int) ([]ports.Pair, error) {
			pairs, err := s.Census.Pairs(ctx, q, limit)
			for i := range pairs {
				pairs[i].Name = ""
			}
			return pairs, err
		}}
	}),
	answering("who is in many pairs is one user", "counts pairs for users", func(_ context.Context, _ CensusStores, _ ports.CensusQuery, r ports.Reach) ports.Reach {
		r.Users = r.Pairs
		return r
	}),
	answering("who is in many pairs is one user", "counts everybody where a stranger reaches something", func(ctx context.Context, s CensusStores, q ports.CensusQuery, r ports.Reach) ports.Reach {
		if not, ok := q.Filter.(access.Not); ok && not.Filter != nil {
			r.Users = int64(len(everybody(ctx, RoleStores{Users: s.Users})))
		}
		return r
	}),
	answering("nobody is in no pair", "counts users where there is no product", func(ctx context.Context, s CensusStores, _ ports.CensusQuery, r ports.Reach) ports.Reach {
		r.Users = int64(len(everybody(ctx, RoleStores{Users: s.Users})))
		return r
	}),
	asking("other roles are not meant", "takes those who have less", func(_ CensusStores, q ports.CensusQuery) ports.CensusQuery {
		if len(q.Roles) > 1 {
			q.Roles = q.Roles[1:]
		}
		return q
	}),
	asking("other roles are not meant", "takes no roles for any", func(_ CensusStores, q ports.CensusQuery) ports.CensusQuery {
		if len(q.Roles) == 0 {
			q.Roles = []user.Role{user.RoleUser}
		}
		return q
	}),
	answering("who is disabled is not meant", "counts the disabled", func(ctx context.Context, s CensusStores, q ports.CensusQuery, r ports.Reach) ports.Reach {
		for _, u := range everybody(ctx, RoleStores{Users: s.Users}) {
			if all, ok := q.Filter.(access.All); ok && len(all) == 0 && u.Status() == user.Disabled {
				r.Users, r.Pairs = r.Users+1, r.Pairs+2
			}
		}
		return r
	}),
	asking("a filter that names others means them", "takes every name for self", func(_ CensusStores, q ports.CensusQuery) ports.CensusQuery {
		q.Filter = access.Naming(q.Filter, userID(1), q.Self)
		return q
	}),
	asking("a filter that names others means them", "knows self without being told", func(_ CensusStores, q ports.CensusQuery) ports.CensusQuery {
		q.Self = self
		return q
	}),
	asking("without a filter there is nothing", "takes no filter for everything", func(_ CensusStores, q ports.CensusQuery) ports.CensusQuery {
		if q.Filter == nil {
			q.Filter = access.Everything
		}
		return q
	}),
	censusMutant("pairs are bounded", "knows no limit", func(s CensusStores) census {
		return census{pairs: func(ctx context.Context, q ports.CensusQuery, _ int) ([]ports.Pair, error) {
			return s.Census.Pairs(ctx, q, 10_000)
		}}
	}),
	censusMutant("pairs are bounded", "gives one twice", func(s CensusStores) census {
		return census{pairs: func(ctx context.Context, q ports.CensusQuery, limit int) ([]ports.Pair, error) {
			pairs, err := s.Census.Pairs(ctx, q, limit)
			if len(pairs) > 1 {
				pairs[1] = pairs[0]
			}
			return pairs, err
		}}
	}),
	censusMutant("what was changed counts at once", "counts once for all", func(s CensusStores) census {
		var cache kept[ports.Reach]
		return census{reach: func(ctx context.Context, q ports.CensusQuery) (ports.Reach, error) {
			return cache.first(func() (ports.Reach, error) { return s.Census.Reach(ctx, q) })
		}}
	}),
	censusMutant("a cancelled context is an outage", "finds nobody", func(s CensusStores) census {
		return census{reach: func(ctx context.Context, q ports.CensusQuery) (ports.Reach, error) {
			r, err := s.Census.Reach(ctx, q)
			if errors.Is(err, fault.Unavailable) {
				err = nil
			}
			return r, err
		}}
	}),
}
