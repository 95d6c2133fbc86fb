package product_test

import (
	"fmt"
	"testing"
	"time"

	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

// at is a product of some version, status, stock and owner.
func at(version int64, status product.Status, stock int64, owner byte) *product.Product {
	p := product.Restore(product.State{
		ID: product.ID{UUID: uuid.UUID{9}}, OwnerID: user.ID{UUID: uuid.UUID{owner}}, Name: "Lamp", Price: product.RestorePrice(1, "KRW"),
		Status: status, Stock: stock, Version: version, CreatedAt: time.Unix(0, 0), UpdatedAt: time.Unix(0, 0),
	})
	return &p
}

func TestEvents(t *testing.T) {
	draft, published, archived := product.StatusDraft, product.StatusPublished, product.StatusArchived
	for _, c := range []struct {
		what          string
		before, after *product.Product
		want          string
	}{
		{"a draft", nil, at(1, draft, 0, 1), "[product.created]"},
		{"a published product", nil, at(1, published, 5, 1), "[product.created product.published]"},
		{"an archived one", nil, at(1, archived, 5, 1), "[product.created product.archived]"},
		{"no change", at(3, draft, 5, 1), at(3, draft, 5, 1), "[]"},
		{"a change", at(3, draft, 5, 1), at(4, draft, 6, 1), "[product.changed]"},
		{"publishing", at(3, draft, 5, 1), at(4, published, 5, 1), "[product.changed product.published]"},
		{"a change of what is published", at(3, published, 5, 1), at(4, published, 4, 1), "[product.changed]"},
		{"archiving", at(3, published, 5, 1), at(4, archived, 5, 1), "[product.changed product.archived]"},
		{"publishing again", at(3, archived, 5, 1), at(4, published, 5, 1), "[product.changed product.published]"},
		{"taking back", at(3, published, 5, 1), at(4, draft, 5, 1), "[product.changed]"},
		{"selling the last", at(3, published, 1, 1), at(4, published, 0, 1), "[product.changed product.stock_reached_zero]"},
		{"none left still", at(3, published, 0, 1), at(4, published, 0, 1), "[product.changed]"},
		{"stock again", at(3, published, 0, 1), at(4, published, 7, 1), "[product.changed]"},
		{"another owner", at(3, published, 5, 1), at(4, published, 5, 2), "[product.owner_changed product.changed]"},
		{"all at once", at(3, draft, 5, 1), at(4, published, 0, 2), "[product.owner_changed product.changed product.published product.stock_reached_zero]"},
		{"a deletion", at(3, published, 5, 1), nil, "[product.deleted]"},
		{"nothing at all", nil, nil, "[]"},
	} {
		kinds := product.Events(product.Transition{Before: c.before, After: c.after})
		if got := fmt.Sprint(kinds); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
		for i, k := range kinds {
			version, rank := product.Event{Kind: k, Before: c.before, After: c.after}.Place()
			if i > 0 {
				if _, before := (product.Event{Kind: kinds[i-1], Before: c.before, After: c.after}).Place(); before >= rank {
					t.Errorf("%s: %s has no later place than %s", c.what, k, kinds[i-1])
				}
			}
			switch {
			case c.after != nil && version != c.after.Version(), c.after == nil && version <= c.before.Version():
				t.Errorf("%s: %s has its place at version %d", c.what, k, version)
			}
		}
	}
}

func TestEventKindsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range product.EventKinds() {
		read, ok := product.ParseEventKind(k.String())
		if !ok || read != k || seen[k.String()] {
			t.Errorf("ParseEventKind(%q) = %v, %t", k, read, ok)
		}
		seen[k.String()] = true
	}
	if _, ok := product.ParseEventKind(""); ok {
		t.Error("a kind without a name is known")
	}
}
