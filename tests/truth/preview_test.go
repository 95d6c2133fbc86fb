package truth_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"gatehouse/adapters/memory"
	"gatehouse/application/administration"
	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
	"gatehouse/tests/truth"
)

func policyStores() truth.PolicyStores {
	db := memory.New()
	return truth.PolicyStores{
		Stores:   truth.Stores{Users: db.Users(), Products: db.Products()},
		Policies: db.Policies(), History: db.Policies(), Roles: db.Users(), Census: db.Products(),
	}
}

// TestPreviews plays random cases over memory; adapters/gormrepo plays them over
// the databases.
func TestPreviews(t *testing.T) {
	effects, refused := 0, 0
	for range 20 {
		e, r, err := truth.Previews(t.Context(), rand.Uint64(), policyStores(), nil)
		if err != nil {
			t.Fatal(err)
		}
		effects, refused = effects+e, refused+r
	}
	t.Logf("160 changes: %d effects, %d refused", effects, refused)
	if effects < 60 || refused < 5 {
		t.Errorf("%d effects and %d refusals are too few to show anything", effects, refused)
	}
}

// shortSighted is a census whose questions are altered.
type shortSighted struct {
	ports.Census
	alter func(ports.CensusQuery) ports.CensusQuery
	then  func(ports.Reach) ports.Reach
}

func (c shortSighted) Reach(ctx context.Context, q ports.CensusQuery) (ports.Reach, error) {
	if c.alter != nil {
		q = c.alter(q)
	}
	r, err := c.Census.Reach(ctx, q)
	if c.then != nil {
		r = c.then(r)
	}
	return r, err
}

func asks(alter func(access.Filter) access.Filter) func(*administration.Previewer) {
	return func(p *administration.Previewer) {
		p.Census = shortSighted{Census: p.Census, alter: func(q ports.CensusQuery) ports.CensusQuery {
			q.Filter = everyPart(q.Filter, alter)
			return q
		}}
	}
}

// rehearses is a rehearsal of other tables than it was given. The editor within
// the previewer is a copy of the one that makes the change.
type rehearses struct {
	ports.Rehearsal
	alter func(access.Table) access.Table
}

func (r rehearses) Under(t access.Table) (func(access.Actor) access.Rights, error) {
	return r.Rehearsal.Under(r.alter(t.Clone()))
}

func tries(alter func(access.Table) access.Table) func(*administration.Previewer) {
	return func(p *administration.Previewer) { p.Editor.Rehearsal = rehearses{p.Editor.Rehearsal, alter} }
}

// miscounts is a directory of roles that is wrong about who there is.
type miscounts struct {
	ports.RoleDirectory
	alter func([]ports.RoleSet) []ports.RoleSet
}

func (m miscounts) RoleSets(ctx context.Context) ([]ports.RoleSet, error) {
	sets, err := m.RoleDirectory.RoleSets(ctx)
	return m.alter(sets), err
}

func counts(alter func([]ports.RoleSet) []ports.RoleSet) func(*administration.Previewer) {
	return func(p *administration.Previewer) { p.Editor.Roles = miscounts{p.Editor.Roles, alter} }
}

// blind is a store of products that counts none.
type blind struct{ ports.ProductRepository }

func (blind) Count(context.Context, ports.ProductQuery) (int, error) { return 0, nil }

// hasty is a history that makes what is only to be tried out.
type hasty struct {
	ports.PolicyRepository
	history ports.PolicyHistory
}

func (h hasty) Load(ctx context.Context) (access.Table, error) {
	_, _ = h.history.Change(ctx, access.Edit{}, func(t *access.Table) error { t.Rows = t.Rows[1:]; return nil })
	return h.PolicyRepository.Load(ctx)
}

// TestPreviewsThatLieAreFound shows that the property can fail.
func TestPreviewsThatLieAreFound(t *testing.T) {
	for name, spoil := range map[string]func(*administration.Previewer){
		"knows no owners":            asks(comparing(access.FieldOwner, access.Nothing)),
		"takes anybody for an owner": asks(comparing(access.FieldOwner, access.Everything)),
		"knows no grants":            asks(granting(func(access.Granted) access.Filter { return access.Nothing })),
		"takes a viewer for an editor": asks(granting(func(g access.Granted) access.Filter {
			return access.GrantedTo(g.To, product.Viewer, product.Editor)
		})),
		"knows no status": asks(comparing(access.FieldStatus, access.Everything)),
		"drops denials": asks(func(f access.Filter) access.Filter {
			if _, ok := f.(access.Not); ok {
				return access.Everything
			}
			return f
		}),
		"asks about a stranger alone": func(p *administration.Previewer) {
			p.Census = shortSighted{Census: p.Census, alter: func(q ports.CensusQuery) ports.CensusQuery {
				q.Filter = access.Naming(q.Filter, q.Self, user.ID{})
				return q
			}}
		},
		"counts pairs for users": func(p *administration.Previewer) {
			p.Census = shortSighted{Census: p.Census, then: func(r ports.Reach) ports.Reach { r.Users = r.Pairs; return r }}
		},
		"knows no inheritance": tries(func(t access.Table) access.Table { t.Inherits = nil; return t }),
		"takes no denial for one": tries(func(t access.Table) access.Table {
			t.Rows = slices.DeleteFunc(t.Rows, func(r access.Row) bool { return r.Effect == "deny" })
			return t
		}),
		"forgets the last row": tries(func(t access.Table) access.Table { t.Rows = t.Rows[:len(t.Rows)-1]; return t }),
		"forgets who has few roles": counts(func(sets []ports.RoleSet) []ports.RoleSet {
			return slices.DeleteFunc(sets, func(s ports.RoleSet) bool { return len(s.Roles) == 1 && s.Roles[0] != user.RoleAdmin })
		}),
		"counts everybody once": counts(func(sets []ports.RoleSet) []ports.RoleSet {
			for i := range sets {
				sets[i].Users = 1
			}
			return sets
		}),
		"knows no administrators": counts(func(sets []ports.RoleSet) []ports.RoleSet {
			return slices.DeleteFunc(sets, func(s ports.RoleSet) bool { return slices.Contains(s.Roles, user.RoleAdmin) })
		}),
		"forgets visitors": func(p *administration.Previewer) { p.Products = blind{p.Products} },
		"makes the change": func(p *administration.Previewer) { p.Editor.Policies = hasty{p.Editor.Policies, p.Editor.History} },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(60) {
				if _, _, err := truth.Previews(t.Context(), seed, policyStores(), spoil); err != nil {
					t.Logf("found by %.300v", err)
					return
				}
			}
			t.Error("60 cases did not find it")
		})
	}
}
