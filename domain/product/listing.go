package product

import (
	"cmp"
	"strings"
	"time"
)

// Sort is an order of products. Products that are equal in it are ordered by
// id, in the same direction, so that every order is total.
type Sort struct {
	key        string
	descending bool
}

// The orders. Names are compared by code point, the same in every store.
var (
	NewestFirst   = Sort{"createdAt", true}
	OldestFirst   = Sort{"createdAt", false}
	NameUp        = Sort{"name", false}
	NameDown      = Sort{"name", true}
	CheapestFirst = Sort{"price", false}
	DearestFirst  = Sort{"price", true}
)

// Sorts are all orders.
func Sorts() []Sort {
	return []Sort{NewestFirst, OldestFirst, NameUp, NameDown, CheapestFirst, DearestFirst}
}

// ParseSort reads the name of an order: createdAt, name or price, with a minus
// in front to turn it round.
func ParseSort(s string) (Sort, bool) {
	for _, known := range Sorts() {
		if s == known.String() {
			return known, true
		}
	}
	return Sort{}, false
}

func (s Sort) String() string {
	if s.descending {
		return "-" + s.key
	}
	return s.key
}

// Key is what products are ordered by: createdAt, name or price (its amount,
// whatever the currency).
func (s Sort) Key() string { return s.key }

// Descending reports whether the greatest comes first.
func (s Sort) Descending() bool { return s.descending }

// Position is a place in an order: that of one product, which need not exist
// any more. Only the field of the order's key counts beside the id.
type Position struct {
	ID        ID
	CreatedAt time.Time
	Name      string
	Amount    int64
}

// PositionOf is where p stands.
func PositionOf(p Product) Position {
	return Position{ID: p.id, CreatedAt: p.createdAt, Name: p.name, Amount: p.price.amount}
}

// Compare is negative where a comes before b in the order.
func (s Sort) Compare(a, b Position) int {
	var order int
	switch s.key {
	case "createdAt":
		order = a.CreatedAt.Compare(b.CreatedAt)
	case "name":
		order = strings.Compare(a.Name, b.Name)
	case "price":
		order = cmp.Compare(a.Amount, b.Amount)
	}
	if order == 0 {
		order = a.ID.Compare(b.ID.UUID)
	}
	if s.descending {
		return -order
	}
	return order
}
