package portstest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

type productChange = func(*product.Product) error

// updates makes a repository that does an update otherwise.
func updates(f func(ctx context.Context, r ports.ProductRepository, id product.ID, change productChange) (product.Product, error)) func(ports.ProductRepository) products {
	return func(r ports.ProductRepository) products {
		return products{update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			return f(ctx, r, id, change)
		}}
	}
}

// changes makes a repository that alters what a change has made.
func changes(alter func(before product.Product, p *product.Product)) func(ports.ProductRepository) products {
	return updates(func(ctx context.Context, r ports.ProductRepository, id product.ID, change productChange) (product.Product, error) {
		return r.Update(ctx, id, func(p *product.Product) error {
			before := *p
			err := change(p)
			alter(before, p)
			return err
		})
	})
}

// withGrants makes a repository that gives other grants than it keeps.
func withGrants(alter func([]product.Grant) []product.Grant) func(ports.ProductRepository) products {
	return found(func(s *product.State) { s.Grants = alter(s.Grants) })
}

// leaves is a mutant that knows what was shared when somebody or something goes,
// and brings it back.
func leaves(check, fault string, f func(s ProductStores, grants *sync.Map) (products, users)) mutant[ProductStores] {
	return mutant[ProductStores]{check, fault, func(s ProductStores) ProductStores {
		var grants sync.Map
		p, u := f(s, &grants)
		if p.ProductRepository == nil {
			p.ProductRepository = s.Products
		}
		u.UserRepository = s.Users
		p.find = func(ctx context.Context, id product.ID) (product.Product, error) {
			found, err := s.Products.Find(ctx, id)
			if kept, ok := grants.Load(id); ok && err == nil {
				found = alterProduct(found, func(s *product.State) { s.Grants = kept.([]product.Grant) })
			}
			return found, err
		}
		return ProductStores{Users: u, Products: p}
	}}
}

var sharingMutants = []mutant[ProductStores]{
	productMutant("grants are kept as they are given and taken", "gives the first alone", withGrants(func(g []product.Grant) []product.Grant { return g[:min(len(g), 1)] })),
	productMutant("grants are kept as they are given and taken", "takes an editor for a viewer", withGrants(func(g []product.Grant) []product.Grant {
		for i := range g {
			g[i].Role = product.Viewer
		}
		return g
	})),
	productMutant("grants are kept as they are given and taken", "keeps seconds", withGrants(func(g []product.Grant) []product.Grant {
		for i := range g {
			g[i].CreatedAt = g[i].CreatedAt.Truncate(time.Second)
		}
		return g
	})),
	productMutant("grants are kept as they are given and taken", "lists products without them", func(r ports.ProductRepository) products {
		return products{list: func(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
			list, err := r.List(ctx, q)
			for i := range list {
				list[i] = list[i].Bare()
			}
			return list, err
		}}
	}),
	productMutant("grants are kept as they are given and taken", "adds to them alone", changes(func(before product.Product, p *product.Product) {
		for _, g := range before.Grants() {
			if _, stays := p.GrantOf(g.UserID); !stays {
				*p = alterProduct(*p, func(s *product.State) { s.Grants = append(s.Grants, g) })
			}
		}
	})),
	productMutant("a change of the grants changes nothing else", "raises the version", changes(func(before product.Product, p *product.Product) {
		if !p.SameGrants(before) {
			*p = alterProduct(*p, func(s *product.State) { s.Version++ })
		}
	})),
	productMutant("a change of the grants changes nothing else", "writes what else is changed", changes(func(before product.Product, p *product.Product) {
		if p.Name() != before.Name() {
			*p = alterProduct(*p, func(s *product.State) { s.Version++ })
		}
	})),
	productMutant("a change of a product leaves its grants", "writes them away", changes(func(before product.Product, p *product.Product) {
		if p.Version() != before.Version() && p.SameGrants(before) {
			*p = p.Bare()
		}
	})),
	productMutant("a change of a product leaves its grants", "changes one of the two", changes(func(before product.Product, p *product.Product) {
		if p.Version() != before.Version() {
			*p = alterProduct(*p, func(s *product.State) { s.Grants = before.Grants() })
		}
	})),
	productMutant("a new product has the grants that it is added with", "adds it without", func(r ports.ProductRepository) products {
		return products{add: func(ctx context.Context, p product.Product) error { return r.Add(ctx, p.Bare()) }}
	}),
	productMutant("nothing is shared with nobody", "keeps all but that", func(r ports.ProductRepository) products {
		return products{update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			p, err := r.Update(ctx, id, change)
			if errors.Is(err, product.ErrNobody) {
				_, _ = r.Update(ctx, id, func(p *product.Product) error { err := change(p); *p = p.Bare(); return err })
			}
			return p, err
		}}
	}),
	productMutant("nothing is shared with nobody", "says nothing of it", updates(func(ctx context.Context, r ports.ProductRepository, id product.ID, change productChange) (product.Product, error) {
		p, err := r.Update(ctx, id, change)
		if errors.Is(err, product.ErrNobody) {
			return r.Find(ctx, id)
		}
		return p, err
	})),
	productMutant("a failed change of grants keeps nothing", "keeps the grants", updates(func(ctx context.Context, r ports.ProductRepository, id product.ID, change productChange) (product.Product, error) {
		var failed error
		p, err := r.Update(ctx, id, func(p *product.Product) error {
			next := *p
			failed = change(&next)
			*p = p.Became(alterProduct(next, func(s *product.State) { s.Version = p.Version() }))
			return nil
		})
		if err == nil {
			err = failed
		}
		return p, err
	})),
	productMutant("grants at once are all kept", "reads and writes in two steps", func(r ports.ProductRepository) products {
		both := meet()
		return products{update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			p, err := r.Find(ctx, id)
			if err == nil {
				err = change(&p)
			}
			both()
			if err != nil {
				return p, err
			}
			return r.Update(ctx, id, func(old *product.Product) error { *old = p; return nil })
		}}
	}),
	productMutant("what was done by a grant was done while it was there", "does not look at the grants again when it writes", func(r ports.ProductRepository) products {
		var taken flags
		return products{
			update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
				p, err := r.Find(ctx, id)
				if err != nil {
					return p, err
				}
				before := p
				if err := change(&p); err != nil {
					return p, err
				}
				if p.SameGrants(before) { // the editor: is slow
					<-taken.of(id)
					return r.Update(ctx, id, func(now *product.Product) error {
						*now = alterProduct(p, func(s *product.State) { s.Grants = now.Grants() })
						return nil
					})
				}
				defer close(taken.of(id))
				return r.Update(ctx, id, change)
			},
			delete: func(ctx context.Context, id product.ID, check func(product.Product) error) error {
				p, err := r.Find(ctx, id)
				if err == nil {
					err = check(p)
				}
				if err != nil {
					return err
				}
				return r.Delete(ctx, id, agree)
			},
		}
	}),
	leaves("grants go with their product", "gives them to the next one with its id", func(s ProductStores, grants *sync.Map) (products, users) {
		return products{delete: func(ctx context.Context, id product.ID, check func(product.Product) error) error {
			p, _ := s.Products.Find(ctx, id)
			grants.Store(id, p.Grants())
			return s.Products.Delete(ctx, id, check)
		}}, users{}
	}),
	leaves("grants go with their user", "keeps them for the next one with their id", func(s ProductStores, grants *sync.Map) (products, users) {
		return products{}, users{delete: func(ctx context.Context, id user.ID, check func(user.User) error) error {
			all, _ := s.Products.List(ctx, everything(product.OldestFirst))
			for _, p := range all {
				grants.Store(p.ID(), p.Grants())
			}
			return s.Users.Delete(ctx, id, check)
		}}
	}),
	leaves("grants go with their user", "takes those of others too", func(s ProductStores, grants *sync.Map) (products, users) {
		return products{}, users{delete: func(ctx context.Context, id user.ID, check func(user.User) error) error {
			all, _ := s.Products.List(ctx, everything(product.OldestFirst))
			for _, p := range all {
				grants.Store(p.ID(), []product.Grant(nil))
			}
			return s.Users.Delete(ctx, id, check)
		}}
	}),
	leaves("who is going is let in on nothing", "keeps what nobody holds", func(s ProductStores, grants *sync.Map) (products, users) {
		return products{update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			var next product.Product
			p, err := s.Products.Update(ctx, id, func(p *product.Product) error {
				err := change(p)
				next = *p
				return err
			})
			grants.Store(id, next.Grants())
			return p, err
		}}, users{}
	}),
	productMutant("a new owner is there and active", "takes any user", func(r ports.ProductRepository) products {
		return products{update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			p, err := r.Update(ctx, id, change)
			if errors.Is(err, product.ErrNobody) {
				err = nil
			}
			return p, err
		}}
	}),
	productMutant("a new owner is there and active", "wants every owner to be active", func(r ports.ProductRepository) products {
		return products{update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			p, err := r.Update(ctx, id, change)
			if err == nil && p.Version() > 2 {
				err = product.ErrNobody
			}
			return p, err
		}}
	}),
	productMutant("who gets a product keeps no grant of it", "changes the two apart from each other", func(r ports.ProductRepository) products {
		both := meet()
		return products{update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			p, err := r.Find(ctx, id)
			if err == nil {
				err = change(&p)
			}
			both()
			if err != nil {
				return p, err
			}
			return r.Update(ctx, id, func(now *product.Product) error {
				if p.Version() != now.Version() {
					*now = alterProduct(p, func(s *product.State) { s.Grants = slices.Concat(now.Grants(), s.Grants) })
					return nil
				}
				*now = alterProduct(*now, func(s *product.State) { s.Grants = p.Grants() })
				return nil
			})
		}}
	}),
}

// narrowed makes a repository that alters every part of the filters that it is
// asked with.
func narrowed(alter func(access.Filter) access.Filter) func(ports.ProductRepository) products {
	return asked(func(q *ports.ProductQuery) { q.Visible = everyPart(q.Visible, alter) })
}

// everyPart alters the parts of a filter, then what is made of them.
func everyPart(f access.Filter, alter func(access.Filter) access.Filter) access.Filter {
	switch whole := f.(type) {
	case access.All:
		var parts access.All
		for _, part := range whole {
			parts = append(parts, everyPart(part, alter))
		}
		f = parts
	case access.Either:
		var parts access.Either
		for _, part := range whole {
			parts = append(parts, everyPart(part, alter))
		}
		f = parts
	case access.Not:
		f = access.Not{Filter: everyPart(whole.Filter, alter)}
	}
	return alter(f)
}

// grantMutant makes a mutant that reads the filters of grants otherwise.
func grantMutant(fault string, alter func(access.Granted) access.Filter) mutant[ProductStores] {
	return productMutant("the list is what the filter holds for", fault, narrowed(func(f access.Filter) access.Filter {
		if g, ok := f.(access.Granted); ok {
			return alter(g)
		}
		return f
	}))
}

var grantFilterMutants = []mutant[ProductStores]{
	grantMutant("knows no grants", func(access.Granted) access.Filter { return access.Nothing }),
	grantMutant("takes a viewer for an editor", func(g access.Granted) access.Filter {
		return access.GrantedTo(g.To, append(slices.Clone(g.Roles), product.Viewer)...)
	}),
	grantMutant("looks at the first role alone", func(g access.Granted) access.Filter {
		return access.GrantedTo(g.To, g.Roles[:min(len(g.Roles), 1)]...)
	}),
	grantMutant("does not look at whose it is", func(g access.Granted) access.Filter {
		return access.Either{g, access.GrantedTo(userID(3), g.Roles...)}
	}),
	grantMutant("takes no role for any", func(g access.Granted) access.Filter {
		if len(g.Roles) == 0 {
			return access.GrantedTo(g.To, product.Viewer, product.Editor)
		}
		return g
	}),
	grantMutant("takes a grant for ownership", func(g access.Granted) access.Filter { return access.Either{g, access.OwnedBy(g.To)} }),
}

var grantAuthorizerMutants = []mutant[authorizerOpener]{
	decides("a grant counts for whom it was given to, in its role", "knows no grants", func(d *access.Decision, _ access.Actor) {
		if d.By.Condition.String() == "viewer" {
			d.Allowed = d.By.Effect == access.Deny
		}
	}),
	reads("a grant counts for whom it was given to, in its role", "takes a viewer for an editor", func(t *access.Table) {
		for i, r := range t.Rows {
			if r.Condition == "editor" {
				t.Rows[i].Condition = "viewer"
			}
		}
	}),
	decides("a grant counts for whom it was given to, in its role", "shares with nobody", func(d *access.Decision, a access.Actor) {
		if a.IsAnonymous() && len(d.Nearest) > 0 {
			d.Allowed = true
		}
	}),
}
