package product

import (
	"slices"
	"time"

	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

// EventKind is what can happen to a product that others may want to be told of.
type EventKind struct {
	name string
	rank int // the place among those of one change
}

// The kinds, in the order in which those of one change are told.
var (
	Created          = EventKind{"product.created", 0}
	OwnerChanged     = EventKind{"product.owner_changed", 1}
	Changed          = EventKind{"product.changed", 2} // to another version, whatever in it has changed
	Published        = EventKind{"product.published", 3}
	Archived         = EventKind{"product.archived", 4}
	StockReachedZero = EventKind{"product.stock_reached_zero", 5}
	Deleted          = EventKind{"product.deleted", 6}
)

var eventKinds = []EventKind{Created, OwnerChanged, Changed, Published, Archived, StockReachedZero, Deleted}

// EventKinds are all kinds.
func EventKinds() []EventKind { return slices.Clone(eventKinds) }

// ParseEventKind reads the name of a kind.
func ParseEventKind(s string) (EventKind, bool) {
	for _, k := range eventKinds {
		if k.name == s {
			return k, true
		}
	}
	return EventKind{}, false
}

func (k EventKind) String() string { return k.name }

// Events tells what happens with a transition. It is pure: what happened is what
// the product was and what it is now, and nothing else.
func Events(t Transition) []EventKind {
	return slices.DeleteFunc(EventKinds(), func(k EventKind) bool { return !k.happens(t.Before, t.After) })
}

func (k EventKind) happens(before, after *Product) bool {
	made, gone := before == nil && after != nil, before != nil && after == nil
	changed := before != nil && after != nil && before.version != after.version
	becomes := func(s Status) bool {
		return made && after.status == s || changed && after.status == s && before.status != s
	}
	switch k {
	case Created:
		return made
	case OwnerChanged:
		return changed && before.ownerID != after.ownerID
	case Changed:
		return changed
	case Published:
		return becomes(StatusPublished)
	case Archived:
		return becomes(StatusArchived)
	case StockReachedZero:
		return changed && before.stock > 0 && after.stock == 0
	case Deleted:
		return gone
	}
	return false
}

// Event is something that has happened to a product. Nothing in it is shared
// with anybody.
type Event struct {
	// ID is the same however often the event is told, and to whomever: what has
	// been dealt with can be known again by it.
	ID     uuid.UUID
	Kind   EventKind
	Before *Product // nil for a new product
	After  *Product // nil for one that was deleted
	By     user.ID  // zero where nobody was signed in
	At     time.Time
}

// Product is the product after the event, or as it last was.
func (e Event) Product() Product {
	switch {
	case e.After != nil:
		return *e.After
	case e.Before != nil:
		return *e.Before
	}
	return Product{}
}

// Place orders the events of one product: by version, and those of one version
// by their kind. What is deleted ends with a version that it never had.
func (e Event) Place() (version int64, rank int) {
	version = e.Product().version
	if e.After == nil {
		version++
	}
	return version, e.Kind.rank
}

// Delivery is an event on its way to one subscriber.
type Delivery struct {
	ID         uuid.UUID // of this delivery alone
	Subscriber string
	Event      Event
	Attempt    int // how often it was taken out to be told, this time included
}
