package products_test

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"

	"gatehouse/application/products"
	"gatehouse/domain/fault"
	"gatehouse/domain/idempotency"
	"gatehouse/domain/product"
	"gatehouse/tests/house"
)

func once(t *testing.T, key, body string) products.Once {
	t.Helper()
	k, ok := idempotency.ParseKey(key)
	if !ok {
		t.Fatalf("ParseKey(%q) refuses", key)
	}
	return products.Once{Key: k, Request: idempotency.DigestOf([]byte(body)), Answer: func(p product.Product) []byte { return []byte(p.ID().String()) }}
}

var lamp = product.Draft{Name: "Lamp", Amount: 1, Currency: "KRW"}

// Whichever call fails, before or after it was made: who repeats the request has
// one product in the end, and is told which.
func TestCreateOnceThroughOutages(t *testing.T) {
	for _, late := range []bool{false, true} {
		for nth := 1; ; nth++ {
			h := house.New(t, house.Options{})
			ann := h.Actor("ann@example.com")
			h.Faults.Fail(nth, late)
			p, replay, failed := h.Products.CreateOnce(t.Context(), ann, lamp, nil, once(t, "k", "b"))
			calls := len(h.Faults.Calls())
			h.Faults.Fail(0, false)
			if calls < nth {
				break
			}
			if !errors.Is(failed, fault.Unavailable) {
				t.Errorf("call %d fails, late %t: %v, %s, %v, want Unavailable", nth, late, p.State(), replay, failed)
			}
			p, replay, err := h.Products.CreateOnce(t.Context(), ann, lamp, nil, once(t, "k", "b"))
			if err != nil {
				t.Fatal(err)
			}
			q := products.Query{}
			page, err := h.Products.List(t.Context(), ann, q)
			if err != nil || len(page.Items) != 1 {
				t.Fatalf("call %d failed, late %t: %d products, %v", nth, late, len(page.Items), err)
			}
			if id := page.Items[0].ID(); p.ID() != id && !bytes.Equal(replay, []byte(id.String())) {
				t.Errorf("the second is told %v, %s; there is %v", p.ID(), replay, id)
			}
		}
	}
}

// Somebody is quicker between the look and the write.
func TestCreateOnceMeanwhile(t *testing.T) {
	for _, c := range []struct {
		body string
		want error
	}{{"same", nil}, {"other", idempotency.ErrMismatch}} {
		h := house.New(t, house.Options{})
		ann := h.Actor("ann@example.com")
		var quicker product.Product
		h.Faults.Before("Products.Add", func() {
			var err error
			if quicker, _, err = h.Products.CreateOnce(t.Context(), ann, lamp, nil, once(t, "k", "same")); err != nil {
				t.Error(err)
			}
		})
		_, replay, err := h.Products.CreateOnce(t.Context(), ann, lamp, nil, once(t, "k", c.body))
		if !errors.Is(err, c.want) || c.want == nil && string(replay) != quicker.ID().String() {
			t.Errorf("who is late with the %s body: %s, %v, want %v", c.body, replay, err, c.want)
		}
	}
}

// A product and its answer are there together or not at all: a rule that refuses
// keeps nothing, and rules are not asked about what is only answered again.
func TestCreateOnceAndRules(t *testing.T) {
	h := house.New(t, house.Options{})
	ann := h.Actor("ann@example.com")
	var asked atomic.Int64
	refuse := true
	h.Products.Rules = []product.Rule{func(product.Transition) error {
		asked.Add(1)
		if refuse {
			return product.Refuse("/price", "no", "")
		}
		return nil
	}}
	if _, _, err := h.Products.CreateOnce(t.Context(), ann, lamp, nil, once(t, "k", "b")); !errors.Is(err, fault.Invalid) {
		t.Errorf("a refused product: %v", err)
	}
	refuse = false
	p, replay, err := h.Products.CreateOnce(t.Context(), ann, lamp, nil, once(t, "k", "b"))
	if err != nil || replay != nil {
		t.Fatalf("after a refusal: %s, %v", replay, err)
	}
	_, replay, err = h.Products.CreateOnce(t.Context(), ann, lamp, errors.New("unread"), once(t, "k", "b"))
	if err != nil || string(replay) != p.ID().String() || asked.Load() != 2 {
		t.Errorf("again: %s, %v, rules asked %d times", replay, err, asked.Load())
	}
}

func TestPruneAnswers(t *testing.T) {
	h := house.New(t, house.Options{})
	ann := h.Actor("ann@example.com")
	if _, _, err := h.Products.CreateOnce(t.Context(), ann, lamp, nil, once(t, "k", "b")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{0, 1, 0} {
		if n, err := h.Products.Prune(t.Context()); n != want || err != nil {
			t.Errorf("Prune = %d, %v, want %d", n, err, want)
		}
		h.Move(idempotency.Lifetime)
	}
}
