package portstest

import (
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
)

var productChecks = []check[ProductStores]{
	{"every field is kept", productsKeepEveryField},
	{"an update keeps every field", productsUpdateEveryField},
	{"a missing product is not found", productsMissing},
	{"a taken id is a conflict", productsTakenID},
	{"nobody owns nothing", productsOfNobody},
	{"a failed update keeps nothing", productsFailedUpdate},
	{"an update of nothing writes nothing", productsUpdateOfNothing},
	{"updates at once are all kept", productsUpdateAtOnce},
	{"deleting deletes", productsDelete},
	{"a refused deletion deletes nothing", productsRefusedDelete},
	{"what was deleted does not come back", productsDeleteRace},
	{"what is deleted is what was checked", productsCheckRace},
	{"products go with their owner", productsGoWithTheirOwner},
	{"who is going leaves no product", productsOfWhoIsGoing},
	{"nothing handed out is shared", productsShareNothing},
	{"a cancelled context is an outage", productsCancelled},
	{"who hangs up meanwhile changes nothing", productsHangUp},
	{"no filter shows nothing", listNoFilter},
	{"the list is what the filter holds for", listFilters},
	{"the list is narrowed by owner and status", listNarrowed},
	{"text is taken literally", listLiteral},
	{"any piece of a text is found, and nothing that is none", listPieces},
	{"text is found in any case and composition", listFolded},
	{"text is found in a changed product", listChangedText},
	{"text does not span name and description", listSpan},
	{"text that cannot be is found nowhere", listImpossibleText},
	{"every order is that of the domain", listOrders},
	{"the newest come first unless asked otherwise", listDefaultOrder},
	{"pages hold everything once", listPages},
	{"pages bear what is added and deleted", listWalk},
	{"no more than the limit", listLimit},
	{"no filter counts nothing", countNoFilter},
	{"a count is that of what the filter holds for", countFilters},
	{"a count is narrowed as the list is", countNarrowed},
	{"a count is that of all pages", countPages},
}

// newProduct makes the n-th product, each second one.
func newProduct(n int, owner user.ID, alter ...func(*product.State)) product.Product {
	at := noon.Add(time.Duration(n) * time.Second)
	s := product.State{
		ID: productID(n), OwnerID: owner, Name: "thing", Price: product.RestorePrice(1000, "KRW"),
		Status: product.StatusDraft, Version: 1, CreatedAt: at, UpdatedAt: at,
	}
	for _, f := range alter {
		f(&s)
	}
	return product.Restore(s)
}

func (s ProductStores) add(t tester, n int, owner user.ID, alter ...func(*product.State)) product.Product {
	t.Helper()
	p := newProduct(n, owner, alter...)
	must(t, s.Products.Add(t.Context(), p), "Add(product %d)", n)
	return p
}

// wantStored holds the store to keeping p as it is.
func (s ProductStores) wantStored(t tester, p product.Product) {
	t.Helper()
	got, err := s.Products.Find(t.Context(), p.ID())
	wantProduct(t, got, err, p, "Find")
}

func wantProduct(t tester, got product.Product, err error, p product.Product, what string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s = %v, want the product", what, err)
		return
	}
	want(t, got.State(), p.State(), "%s", what)
}

// update puts next in the place of the product with its id.
func (s ProductStores) update(t tester, next product.Product) (product.Product, error) {
	return s.Products.Update(t.Context(), next.ID(), func(p *product.Product) error { *p = next; return nil })
}

// priciest is the n-th product with the greatest of everything, written in
// letters of four bytes and in Hangul that is not composed.
func priciest(n int, owner user.ID) product.Product {
	return product.Restore(product.State{
		ID: productID(n), OwnerID: owner, Name: strings.Repeat("\u1112\u1161", 100), Description: strings.Repeat("😀", 4990) + " '\"\\%_\n\t",
		Price: product.RestorePrice(product.MaxAmount, "USD"), Stock: product.MaxStock, Status: product.StatusArchived,
		Version: math.MaxInt64 - 1, CreatedAt: longAgo, UpdatedAt: farAway,
	})
}

// plainest is the n-th product with the least of everything.
func plainest(n int, owner user.ID) product.Product {
	return newProduct(n, owner, func(s *product.State) { s.Name, s.Price = "x", product.RestorePrice(0, "AED") })
}

func productsKeepEveryField(t tester, s ProductStores) {
	u := addUser(t, s.Users, 1)
	for _, p := range []product.Product{newProduct(1, u.ID()), priciest(2, u.ID()), plainest(3, u.ID())} {
		must(t, s.Products.Add(t.Context(), p), "Add(%+v)", p.State())
		s.wantStored(t, p)
	}
}

// An ORM that writes only what is not zero cannot set a stock to nothing.
func productsUpdateEveryField(t tester, s ProductStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	p := s.add(t, 1, ann.ID())
	full := alterProduct(priciest(1, bob.ID()), func(s *product.State) { s.CreatedAt = p.CreatedAt() })
	for _, next := range []product.Product{full, plainest(1, ann.ID()), full} {
		got, err := s.update(t, next)
		wantProduct(t, got, err, next, "Update")
		s.wantStored(t, next)
	}
}

func alterProduct(p product.Product, alter func(*product.State)) product.Product {
	state := p.State()
	alter(&state)
	return product.Restore(state)
}

func productsMissing(t tester, s ProductStores) {
	u := addUser(t, s.Users, 1)
	p := s.add(t, 1, u.ID())
	called := false
	for what, err := range map[string]error{
		"Find":       second(s.Products.Find(t.Context(), productID(2))),
		"Find(zero)": second(s.Products.Find(t.Context(), product.ID{})),
		"Update": second(s.Products.Update(t.Context(), productID(2), func(*product.Product) error {
			called = true
			return nil
		})),
		"Delete": s.Products.Delete(t.Context(), productID(2), func(product.Product) error { called = true; return nil }),
	} {
		wantError(t, err, fault.NotFound, "%s of what is not there", what)
	}
	if called {
		t.Errorf("a function was called about what is not there, want no call")
	}
	s.wantStored(t, p)
}

func productsTakenID(t tester, s ProductStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	p := s.add(t, 1, ann.ID())
	wantError(t, s.Products.Add(t.Context(), newProduct(1, bob.ID())), fault.Conflict, "Add(taken id)")
	wantError(t, s.Products.Add(t.Context(), p), fault.Conflict, "Add(the same again)")
	s.wantStored(t, p)
}

// What belongs to nobody can be changed by nobody, and what belongs to a
// deleted account can be adopted by whoever gets its id.
func productsOfNobody(t tester, s ProductStores) {
	u := addUser(t, s.Users, 1)
	for n, owner := range []user.ID{userID(2), {}} {
		p := newProduct(n, owner)
		wantError(t, s.Products.Add(t.Context(), p), fault.NotFound, "Add(product of nobody)")
		wantError(t, second(s.Products.Find(t.Context(), p.ID())), fault.NotFound, "Find(product of nobody)")
	}
	p := s.add(t, 3, u.ID())
	_, err := s.update(t, alterProduct(p, func(s *product.State) { s.OwnerID, s.Version = userID(2), 2 }))
	wantError(t, err, fault.NotFound, "Update(to belong to nobody)")
	s.wantStored(t, p)
}

func productsFailedUpdate(t tester, s ProductStores) {
	p := s.add(t, 1, addUser(t, s.Users, 1).ID())
	for _, refusal := range []error{errRefused, product.ErrUnknown, product.Refuse("/name", "no", "")} {
		_, err := s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error {
			sell(t, p)
			return refusal
		})
		wantVery(t, err, refusal, "Update(change fails)")
		s.wantStored(t, p)
	}
}

// sell raises the stock and the version by one.
func sell(t tester, p *product.Product) {
	stock := p.Stock() + 1
	if err := p.Apply(product.Change{Stock: &stock}, noon.Add(time.Hour)); err != nil {
		t.Errorf("Apply = %v: the check is wrong", err)
	}
}

// A request without a change must not move updatedAt or take a lock.
func productsUpdateOfNothing(t tester, s ProductStores) {
	p := s.add(t, 1, addUser(t, s.Users, 1).ID())
	got, err := s.update(t, alterProduct(p, func(s *product.State) { s.Name, s.Stock = "another", 7 }))
	wantProduct(t, got, err, p, "Update(version as it was)")
	s.wantStored(t, p)
}

func productsUpdateAtOnce(t tester, s ProductStores) {
	const n = 20
	p := s.add(t, 1, addUser(t, s.Users, 1).ID())
	atOnce(n, func(int) {
		_, err := s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error { linger(); sell(t, p); return nil })
		if err != nil {
			t.Errorf("Update(%d at once) = %v, want no error", n, err)
		}
	})
	got, err := s.Products.Find(t.Context(), p.ID())
	must(t, err, "Find")
	want(t, []int64{got.Stock(), got.Version()}, []int64{n, n + 1}, "stock and version after %d updates at once", n)
}

func agree(product.Product) error { return nil }

func productsDelete(t tester, s ProductStores) {
	u := addUser(t, s.Users, 1)
	p, other := s.add(t, 1, u.ID()), s.add(t, 2, u.ID())
	var checked product.Product
	err := s.Products.Delete(t.Context(), p.ID(), func(p product.Product) error { checked = p; return nil })
	must(t, err, "Delete")
	want(t, checked.State(), p.State(), "what check was called with")
	wantError(t, second(s.Products.Find(t.Context(), p.ID())), fault.NotFound, "Find(deleted)")
	wantError(t, s.Products.Delete(t.Context(), p.ID(), agree), fault.NotFound, "Delete(deleted)")
	_, err = s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error { sell(t, p); return nil })
	wantError(t, err, fault.NotFound, "Update(deleted)")
	s.wantList(t, everything(product.OldestFirst), other)
}

func productsRefusedDelete(t tester, s ProductStores) {
	p := s.add(t, 1, addUser(t, s.Users, 1).ID())
	for _, refusal := range []error{errRefused, product.ErrUnknown} {
		err := s.Products.Delete(t.Context(), p.ID(), func(product.Product) error { return refusal })
		wantVery(t, err, refusal, "Delete(check refuses)")
		s.wantStored(t, p)
	}
}

// GORM's Save inserts again what another request deleted meanwhile (threats.md,
// "GORM").
func productsDeleteRace(t tester, s ProductStores) {
	u := addUser(t, s.Users, 1)
	for n := range 100 {
		p := s.add(t, n, u.ID())
		race(n, func() {
			if err := s.Products.Delete(t.Context(), p.ID(), func(product.Product) error { linger(); return nil }); err != nil {
				t.Errorf("Delete beside Update = %v, want no error", err)
			}
		}, func() {
			_, err := s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error { linger(); sell(t, p); return nil })
			if err != nil {
				wantError(t, err, fault.NotFound, "Update beside Delete")
			}
		})
	}
	s.wantList(t, everything(product.OldestFirst))
}

// Checked as a draft, published by its editor, deleted by who may only delete
// drafts: checking and deleting are one step or neither.
func productsCheckRace(t tester, s ProductStores) {
	u := addUser(t, s.Users, 1)
	published := product.StatusPublished.String()
	for n := range 100 {
		p := s.add(t, n, u.ID())
		var updated, deleted error
		race(n, func() {
			deleted = s.Products.Delete(t.Context(), p.ID(), func(p product.Product) error {
				linger()
				if p.Status() != product.StatusDraft {
					return errRefused
				}
				return nil
			})
		}, func() {
			_, updated = s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error {
				linger()
				return p.Apply(product.Change{Status: &published}, noon)
			})
		})
		kept := second(s.Products.Find(t.Context(), p.ID()))
		first := updated == nil && deleted == errRefused && kept == nil
		last := errors.Is(updated, fault.NotFound) && deleted == nil && errors.Is(kept, fault.NotFound)
		if !first && !last {
			t.Errorf("publishing = %v, deleting drafts only = %v, then Find = %v: want one of them to come first", updated, deleted, kept)
		}
	}
}

func productsShareNothing(t tester, s ProductStores) {
	p := s.add(t, 1, addUser(t, s.Users, 1).ID())
	var leaked *product.Product
	p, err := s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error {
		sell(t, p)
		leaked = p
		return nil
	})
	must(t, err, "Update")
	sell(t, leaked)
	s.wantStored(t, p)
	list, err := s.Products.List(t.Context(), everything(product.OldestFirst))
	if err != nil || len(list) != 1 {
		t.Fatalf("List = %d products, %v, want 1", len(list), err)
	}
	list[0] = product.Product{}
	s.wantList(t, everything(product.OldestFirst), p)
}

func productsCancelled(t tester, s ProductStores) {
	u := addUser(t, s.Users, 1)
	p, ctx := s.add(t, 1, u.ID()), gone(t)
	change := func(p *product.Product) error { sell(t, p); return nil }
	wantUnavailable(t, map[string]error{
		"Add":              s.Products.Add(ctx, newProduct(2, u.ID())),
		"Add for nobody":   s.Products.Add(ctx, newProduct(3, userID(3))),
		"Find":             second(s.Products.Find(ctx, p.ID())),
		"Find of none":     second(s.Products.Find(ctx, productID(9))),
		"List":             second(s.Products.List(ctx, everything(product.NewestFirst))),
		"Count":            second(s.Products.Count(ctx, everything(product.NewestFirst))),
		"Update":           second(s.Products.Update(ctx, p.ID(), change)),
		"Update of none":   second(s.Products.Update(ctx, productID(9), change)),
		"Delete":           s.Products.Delete(ctx, p.ID(), agree),
		"Delete of none":   s.Products.Delete(ctx, productID(9), agree),
		"Delete, no check": s.Products.Delete(ctx, p.ID(), func(product.Product) error { return errRefused }),
	})
	s.wantList(t, everything(product.NewestFirst), p)
}

func productsHangUp(t tester, s ProductStores) {
	p := s.add(t, 1, addUser(t, s.Users, 1).ID())
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Products.Update(ctx, p.ID(), func(p *product.Product) error { cancel(); sell(t, p); return nil })
	wantError(t, err, fault.Unavailable, "Update(cancelled meanwhile)")
	s.wantStored(t, p)
	ctx, cancel = context.WithCancel(t.Context())
	err = s.Products.Delete(ctx, p.ID(), func(product.Product) error { cancel(); return nil })
	wantError(t, err, fault.Unavailable, "Delete(cancelled meanwhile)")
	s.wantStored(t, p)
}
