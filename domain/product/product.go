// Package product holds what is true of the things that users offer: name,
// price, stock, and how far they are published.
//
// Read [Product] first, then [Draft] and [Change], by which one comes to be and
// is altered, [Grant], by which it is shared, and [Rule], by which a team adds what must be true of its own.
// Who may do any of it is not decided here but in package access.
package product

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/domain/fault"
	"gatehouse/domain/text"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

// Bounds of a product: lengths in code points, stock in pieces.
const (
	MaxNameLength        = 200
	MaxDescriptionLength = 5000
	MaxStock             = 1_000_000_000
)

// ID identifies a product.
type ID struct{ uuid.UUID }

// ParseID reads the canonical text form.
func ParseID(s string) (ID, bool) {
	u, ok := uuid.Parse(s)
	return ID{u}, ok
}

// Product is something that its owner offers, with the [Grant]s by which others
// were let in on it. It is a value; its version grows by one with every change,
// so that two writers notice each other, but not with a change of the grants.
type Product struct {
	id          ID
	ownerID     user.ID
	name        string
	description string
	price       Price
	stock       int64
	status      Status
	version     int64
	createdAt   time.Time
	updatedAt   time.Time
	grants      []Grant // who else was let in; never changed in place
}

// Draft is what somebody asks a new product to be. Nothing in it has been
// checked yet.
type Draft struct {
	Name        string
	Description string
	Amount      int64 // price in the currency's minor unit
	Currency    string
	Stock       int64
	Status      string // "" for draft
}

// New makes a product of version 1, or tells all that is wrong with the draft.
func New(id ID, owner user.ID, d Draft, now time.Time) (Product, error) {
	if d.Status == "" {
		d.Status = StatusDraft.name
	}
	at := instant(now)
	p := Product{id: id, ownerID: owner, version: 1, createdAt: at, updatedAt: at}
	if err := p.set(d); err != nil {
		return Product{}, err
	}
	return p, nil
}

// set checks all fields of a draft and takes them over if every one is good.
func (p *Product) set(d Draft) error {
	var v fault.Validation
	name := strings.TrimSpace(d.Name)
	v.Include("/name", checkText(name, 1, MaxNameLength))
	v.Include("/description", checkText(d.Description, 0, MaxDescriptionLength))
	price, err := NewPrice(d.Amount, d.Currency)
	v.Include("/price", err)
	if d.Stock < 0 || d.Stock > MaxStock {
		v.Add("/stock", "out_of_range", fmt.Sprintf("A stock is a whole number from 0 to %d.", int64(MaxStock)))
	}
	status, ok := ParseStatus(d.Status)
	if !ok {
		v.Add("/status", "invalid_value", "A status is one of draft, published, archived.")
	}
	if err := v.Err(); err != nil {
		return err
	}
	p.name, p.description, p.price, p.stock, p.status = name, d.Description, price, d.Stock, status
	return nil
}

func checkText(s string, least, most int) error {
	var v fault.Validation
	switch n := utf8.RuneCountInString(s); {
	case strings.ContainsRune(s, 0) || !utf8.ValidString(s):
		v.Add("", "invalid_characters", "Text is UTF-8 without NUL.")
	case n < least:
		v.Add("", "too_short", fmt.Sprintf("At least %d character is needed.", least))
	case n > most:
		v.Add("", "too_long", fmt.Sprintf("At most %d characters are kept.", most))
	}
	return v.Err()
}

// Change is what somebody asks to be altered; nil leaves a field as it is.
type Change struct {
	Name        *string
	Description *string
	Amount      *int64
	Currency    *string
	Stock       *int64
	Status      *string
}

// Apply alters p and raises its version, or tells all that is wrong and leaves
// p as it was. A change of nothing raises nothing.
func (p *Product) Apply(c Change, now time.Time) error {
	if c == (Change{}) {
		return nil
	}
	d := Draft{
		Name: p.name, Description: p.description, Amount: p.price.amount,
		Currency: p.price.currency.code, Stock: p.stock, Status: p.status.name,
	}
	replace(&d.Name, c.Name)
	replace(&d.Description, c.Description)
	replace(&d.Amount, c.Amount)
	replace(&d.Currency, c.Currency)
	replace(&d.Stock, c.Stock)
	replace(&d.Status, c.Status)
	if err := p.set(d); err != nil {
		return err
	}
	p.version++
	p.updatedAt = instant(now)
	return nil
}

func replace[T any](field *T, with *T) {
	if with != nil {
		*field = *with
	}
}

// State is everything that a store keeps of a product. For adapters alone.
type State struct {
	ID          ID
	OwnerID     user.ID
	Name        string
	Description string
	Price       Price
	Stock       int64
	Status      Status
	Version     int64
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Grants      []Grant // in any order
}

// Restore makes a product out of what a store kept, unchecked. For adapters alone.
func Restore(s State) Product {
	return Product{
		id: s.ID, ownerID: s.OwnerID, name: s.Name, description: s.Description, price: s.Price, stock: s.Stock,
		status: s.Status, version: s.Version, createdAt: instant(s.CreatedAt), updatedAt: instant(s.UpdatedAt),
		grants: restoreGrants(s.Grants),
	}
}

// State gives everything that a store keeps of p. For adapters alone.
func (p Product) State() State {
	return State{
		ID: p.id, OwnerID: p.ownerID, Name: p.name, Description: p.description, Price: p.price, Stock: p.stock,
		Status: p.status, Version: p.version, CreatedAt: p.createdAt, UpdatedAt: p.updatedAt, Grants: p.Grants(),
	}
}

func (p Product) ID() ID               { return p.id }
func (p Product) OwnerID() user.ID     { return p.ownerID }
func (p Product) Name() string         { return p.name }
func (p Product) Description() string  { return p.description }
func (p Product) Price() Price         { return p.price }
func (p Product) Stock() int64         { return p.stock }
func (p Product) Status() Status       { return p.status }
func (p Product) Version() int64       { return p.version }
func (p Product) CreatedAt() time.Time { return p.createdAt }
func (p Product) UpdatedAt() time.Time { return p.updatedAt }

// Status is how far a product is published.
type Status struct{ name string }

// The states of a product.
var (
	StatusDraft     = Status{"draft"}
	StatusPublished = Status{"published"}
	StatusArchived  = Status{"archived"}
)

// ParseStatus reads the name of a status.
func ParseStatus(s string) (Status, bool) {
	for _, known := range [...]Status{StatusDraft, StatusPublished, StatusArchived} {
		if s == known.name {
			return known, true
		}
	}
	return Status{}, false
}

func (s Status) String() string { return s.name }

// Fold gives the form in which texts of products are searched.
func Fold(s string) string { return text.Fold(s) }

// instant is the precision that every store keeps: UTC, microseconds.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// ErrUnknown is what a store answers when there is no such product, and what a
// caller is told who may not know of it.
var ErrUnknown = fault.New(fault.NotFound, "not_found", "There is no such product.")
