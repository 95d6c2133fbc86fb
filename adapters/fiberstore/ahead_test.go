package fiberstore_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/ports"
)

// What a request will want is read with the session, as Find would have returned
// it, and handed out once.
func TestReadAhead(t *testing.T) {
	s := over(t, lender.Pool(t))
	u := s.addUser(t)
	one := s.addSession(t, u.ID(), session.DefaultLifetime)
	reader := s.addUser(t)
	draft := product.Draft{Name: "thing", Amount: 5, Currency: "KRW"}
	p, err := product.New(product.ID{UUID: newID()}, u.ID(), draft, start)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Share(reader.ID(), "viewer", start); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Products().Add(t.Context(), p); err != nil {
		t.Fatal(err)
	}

	t.Run("a product", func(t *testing.T) {
		ctx := ports.WithAhead(t.Context(), p.ID())
		r, err := s.sessions.Resume(ctx, one.Key())
		if err != nil || r.User.ID() != u.ID() || r.Session.ID() != one.ID() {
			t.Fatalf("Resume = %v, %v", r, err)
		}
		got, _, ok, err := ports.TakeAhead(ctx, p.ID())
		if want, _ := s.db.Products().Find(t.Context(), p.ID()); !ok || err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("TakeAhead = %v, %v, %v, want what Find returns: %v", got, ok, err, want)
		}
		if _, _, ok, _ := ports.TakeAhead(ctx, p.ID()); ok {
			t.Error("it is handed out twice")
		}
	})
	t.Run("none", func(t *testing.T) {
		id := product.ID{UUID: newID()}
		ctx := ports.WithAhead(t.Context(), id)
		if r, err := s.sessions.Resume(ctx, one.Key()); err != nil || r.User.ID() != u.ID() {
			t.Fatalf("Resume = %v, %v", r, err)
		}
		if _, _, ok, err := ports.TakeAhead(ctx, id); !ok || !errors.Is(err, fault.NotFound) {
			t.Errorf("TakeAhead = %v, %v, want NotFound", ok, err)
		}
	})
	t.Run("another", func(t *testing.T) {
		ctx := ports.WithAhead(t.Context(), p.ID())
		if _, err := s.sessions.Resume(ctx, one.Key()); err != nil {
			t.Fatal(err)
		}
		if _, _, ok, _ := ports.TakeAhead(ctx, product.ID{UUID: newID()}); ok {
			t.Error("TakeAhead(another product) has one")
		}
	})
	// A change goes by it, if the product is still as it was read.
	t.Run("a change", func(t *testing.T) {
		stock := int64(1)
		for range 2 {
			ctx := ports.WithAhead(t.Context(), p.ID())
			if _, err := s.sessions.Resume(ctx, one.Key()); err != nil {
				t.Fatal(err)
			}
			var seen []int64
			add := func(p *product.Product) error {
				seen = append(seen, p.Stock())
				more := p.Stock() + 1
				return p.Apply(product.Change{Stock: &more}, start)
			}
			if _, err := s.db.Products().Update(t.Context(), p.ID(), add); err != nil { // meanwhile
				t.Fatal(err)
			}
			got, err := s.db.Products().Update(ctx, p.ID(), add)
			if stock++; err != nil || got.Stock() != stock {
				t.Fatalf("Update = stock %d, %v, want %d", got.Stock(), err, stock)
			}
			if want := []int64{stock - 2, stock - 2, stock - 1}; !slices.Equal(seen, want) {
				t.Errorf("the change saw stocks of %d, want %d", seen, want)
			}
			stock++
		}
	})
	t.Run("no session", func(t *testing.T) {
		ctx := ports.WithAhead(t.Context(), p.ID())
		if _, err := s.sessions.Resume(ctx, newKey()); !errors.Is(err, session.ErrUnknown) {
			t.Fatalf("Resume = %v, want ErrUnknown", err)
		}
		if _, _, ok, _ := ports.TakeAhead(ctx, p.ID()); ok {
			t.Error("something was kept, though there was no session")
		}
		// Whoever has no session is judged by the policy alone, and its version is
		// read with the product.
		if _, err := s.db.Policies().Version(ctx); err != nil {
			t.Fatal(err)
		}
		if got, _, ok, err := ports.TakeAhead(ctx, p.ID()); !ok || err != nil || got.ID() != p.ID() || len(got.Grants()) != 1 {
			t.Errorf("TakeAhead = %v, %v, %v", got, ok, err)
		}
	})
}
