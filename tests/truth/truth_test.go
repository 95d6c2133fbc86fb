package truth_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"gatehouse/adapters/memory"
	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/ports"
	"gatehouse/tests/truth"
)

func stores() truth.Stores {
	db := memory.New()
	return truth.Stores{Users: db.Users(), Products: db.Products()}
}

// TestLists plays random cases over memory; adapters/gormrepo plays them over the
// databases.
func TestLists(t *testing.T) {
	for range 150 {
		if err := truth.Lists(t.Context(), rand.Uint64(), stores(), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// mutated is an authorizer whose filters, and they alone, are altered.
type mutated struct {
	ports.Authorizer
	alter func(access.Filter) access.Filter
}

func (m mutated) Rights(ctx context.Context, a access.Actor) (access.Rights, error) {
	r, err := m.Authorizer.Rights(ctx, a)
	return mutatedRights{r, m.alter}, err
}

type mutatedRights struct {
	access.Rights
	alter func(access.Filter) access.Filter
}

func (m mutatedRights) Filter(action access.Action, k access.Kind) (access.Filter, error) {
	f, err := m.Rights.Filter(action, k)
	if err != nil {
		return nil, err
	}
	return everyPart(f, m.alter), nil
}

// everyPart alters the parts of a filter, then what is made of them.
func everyPart(f access.Filter, alter func(access.Filter) access.Filter) access.Filter {
	parts := func(list []access.Filter) (altered []access.Filter) {
		for _, part := range list {
			altered = append(altered, everyPart(part, alter))
		}
		return altered
	}
	switch whole := f.(type) {
	case access.All:
		f = access.All(parts(whole))
	case access.Either:
		f = access.Either(parts(whole))
	case access.Not:
		f = access.Not{Filter: everyPart(whole.Filter, alter)}
	}
	return alter(f)
}

func comparing(field access.Field, to access.Filter) func(access.Filter) access.Filter {
	return func(f access.Filter) access.Filter {
		if c, ok := f.(access.Compare); ok && c.Field == field {
			return to
		}
		return f
	}
}

func granting(alter func(access.Granted) access.Filter) func(access.Filter) access.Filter {
	return func(f access.Filter) access.Filter {
		if g, ok := f.(access.Granted); ok {
			return alter(g)
		}
		return f
	}
}

// mutants are mistakes in a filter that were made somewhere before.
var mutants = map[string]func(access.Filter) access.Filter{
	"drops the owner":         comparing(access.FieldOwner, access.Nothing),
	"takes anybody's for own": comparing(access.FieldOwner, access.Everything),
	"drops what is published": comparing(access.FieldStatus, access.Nothing),
	"publishes what is not":   comparing(access.FieldStatus, access.Everything),
	"publishes what is archived": func(f access.Filter) access.Filter {
		if c, ok := f.(access.Compare); ok && c.Field == access.FieldStatus {
			return access.Not{Filter: access.InStatus(product.StatusDraft)}
		}
		return f
	},
	"drops denials": func(f access.Filter) access.Filter {
		if _, ok := f.(access.Not); ok {
			return access.Everything
		}
		return f
	},
	"takes a denial for an allowance": func(f access.Filter) access.Filter {
		if not, ok := f.(access.Not); ok {
			return not.Filter
		}
		return f
	},
	"wants all that allows": func(f access.Filter) access.Filter {
		if any, ok := f.(access.Either); ok && len(any) > 0 {
			return access.All(any)
		}
		return f
	},
	"looks at the first row alone": func(f access.Filter) access.Filter {
		if any, ok := f.(access.Either); ok {
			return any[:min(len(any), 1)]
		}
		return f
	},
	"knows no grants":              granting(func(access.Granted) access.Filter { return access.Nothing }),
	"shares with everybody":        granting(func(access.Granted) access.Filter { return access.Everything }),
	"takes a viewer for an editor": granting(func(g access.Granted) access.Filter { return access.GrantedTo(g.To, product.Viewer, product.Editor) }),
	"lets no editor view":          granting(func(g access.Granted) access.Filter { return access.GrantedTo(g.To, g.Roles[:1]...) }),
	"drops the grants of the editor": granting(func(g access.Granted) access.Filter {
		return access.GrantedTo(g.To, slices.DeleteFunc(slices.Clone(g.Roles), func(r product.GrantRole) bool { return r == product.Editor })...)
	}),
}

// TestMutantsAreFound shows that the property can fail: each mistake is found
// within few cases.
func TestMutantsAreFound(t *testing.T) {
	for name, alter := range mutants {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(60) {
				err := truth.Lists(t.Context(), seed, stores(), func(a ports.Authorizer) ports.Authorizer { return mutated{a, alter} })
				if err != nil {
					t.Logf("found by %.300v", err)
					return
				}
			}
			t.Error("60 cases did not find it")
		})
	}
}

// crooked is a repository whose lists are altered.
type crooked struct {
	ports.ProductRepository
	list func(ctx context.Context, r ports.ProductRepository, q ports.ProductQuery) ([]product.Product, error)
}

func (c crooked) List(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
	return c.list(ctx, c.ProductRepository, q)
}

// TestWalksThatLieAreFound does the same for mistakes in how pages follow each
// other.
func TestWalksThatLieAreFound(t *testing.T) {
	for name, list := range map[string]func(ctx context.Context, r ports.ProductRepository, q ports.ProductQuery) ([]product.Product, error){
		"filters after paging": func(ctx context.Context, r ports.ProductRepository, q ports.ProductQuery) ([]product.Product, error) {
			f := q.Visible
			q.Visible = access.Everything
			all, err := r.List(ctx, q)
			return slices.DeleteFunc(all, func(p product.Product) bool { return !f.Holds(access.Product(p)) }), err
		},
		"loses ties at the end of a page": func(ctx context.Context, r ports.ProductRepository, q ports.ProductQuery) ([]product.Product, error) {
			if q.After != (product.Position{}) && !q.Sort.Descending() {
				q.After.ID = product.ID{UUID: [16]byte(slices.Repeat([]byte{0xff}, 16))}
			}
			return r.List(ctx, q)
		},
		"does not know grants any more": func(ctx context.Context, r ports.ProductRepository, q ports.ProductQuery) ([]product.Product, error) {
			limit := q.Limit
			q.Limit = 1000
			all, err := r.List(ctx, ports.ProductQuery{Visible: access.Everything, Owner: q.Owner, Status: q.Status, Text: q.Text, Sort: q.Sort, After: q.After, Limit: q.Limit})
			all = slices.DeleteFunc(all, func(p product.Product) bool { return !q.Visible.Holds(access.Product(p.Bare())) })
			return all[:min(len(all), limit)], err
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(30) {
				s := stores()
				s.Products = crooked{s.Products, list}
				if err := truth.Lists(t.Context(), seed, s, nil); err != nil {
					t.Logf("found by %.300v", err)
					return
				}
			}
			t.Error("30 cases did not find it")
		})
	}
}
