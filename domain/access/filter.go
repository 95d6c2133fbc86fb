package access

import (
	"cmp"
	"slices"

	"gatehouse/domain/product"
	"gatehouse/domain/user"
)

// Filter says which resources are meant, in a form that can be evaluated on one
// ([Filter.Holds]) and translated by a store for many. It is one of [All],
// [Either], [Not], [Compare] and [Granted], and no other.
type Filter interface {
	// Holds evaluates the filter on one resource.
	Holds(r Resource) bool
	sealed()
}

// All holds where every part holds; the empty All holds everywhere.
type All []Filter

// Either holds where some part holds; the empty Either holds nowhere.
type Either []Filter

// Not holds where its part does not.
type Not struct{ Filter Filter }

// Compare holds where an attribute stands in a relation to a value. It is made
// by the methods of the fields, so that the types of both sides agree. A
// resource that lacks the attribute stands in no relation.
type Compare struct {
	Field    Field
	Relation Relation
	ID       user.ID // value of FieldOwner
	Text     string  // value of text fields
	Number   int64   // value of numeric fields
}

// Granted holds for products that were shared with the user in one of the roles.
// It is made by [GrantedTo].
type Granted struct {
	To    user.ID
	Roles []product.GrantRole
}

// Everything holds for every resource, Nothing for none.
var (
	Everything Filter = All{}
	Nothing    Filter = Either{}
)

// Relation is how an attribute compares to a value.
type Relation uint8

// The relations.
const (
	Equal Relation = iota + 1
	AtMost
	AtLeast
)

// Field is an attribute of resources that conditions may look at.
type Field uint8

// The attributes. Each has one type of value, see the constructors below.
const (
	FieldOwner Field = iota + 1
	FieldStatus
	FieldAmount
	FieldCurrency
	FieldStock
)

// OwnedBy holds for what the user owns. Nobody owns what has no owner, so the
// zero ID, an anonymous actor's, gives [Nothing].
func OwnedBy(id user.ID) Filter {
	if id == (user.ID{}) {
		return Nothing
	}
	return Compare{Field: FieldOwner, Relation: Equal, ID: id}
}

// InStatus holds for products in the status.
func InStatus(s product.Status) Filter {
	return Compare{Field: FieldStatus, Relation: Equal, Text: s.String()}
}

// PricedIn holds for products priced in the currency.
func PricedIn(c product.Currency) Filter {
	return Compare{Field: FieldCurrency, Relation: Equal, Text: c.String()}
}

// AmountIs holds for products whose price in minor units is so.
func AmountIs(r Relation, n int64) Filter {
	return Compare{Field: FieldAmount, Relation: r, Number: n}
}

// StockIs holds for products with so many pieces in stock.
func StockIs(r Relation, n int64) Filter {
	return Compare{Field: FieldStock, Relation: r, Number: n}
}

// GrantedTo holds for products that were shared with the user in one of the
// roles. Nothing is ever shared with nobody, so the zero ID gives [Nothing].
func GrantedTo(id user.ID, roles ...product.GrantRole) Filter {
	if id.IsZero() {
		return Nothing
	}
	return Granted{To: id, Roles: roles}
}

// Naming gives f with one user's id wherever it names another's. A filter that a
// condition gives for some user is so made that of somebody else.
func Naming(f Filter, id, instead user.ID) Filter {
	parts := func(all []Filter) []Filter {
		list := make([]Filter, len(all))
		for i, part := range all {
			list[i] = Naming(part, id, instead)
		}
		return list
	}
	switch f := f.(type) {
	case All:
		return All(parts(f))
	case Either:
		return Either(parts(f))
	case Not:
		return Not{Filter: Naming(f.Filter, id, instead)}
	case Compare:
		if f.Field == FieldOwner && f.ID == id {
			f.ID = instead
		}
		return f
	case Granted:
		if f.To == id {
			f.To = instead
		}
		return f
	}
	return f
}

func (f All) Holds(r Resource) bool {
	for _, part := range f {
		if !part.Holds(r) {
			return false
		}
	}
	return true
}

func (f Either) Holds(r Resource) bool {
	for _, part := range f {
		if part.Holds(r) {
			return true
		}
	}
	return false
}

func (f Not) Holds(r Resource) bool { return !f.Filter.Holds(r) }

func (f Compare) Holds(r Resource) bool {
	if f.Field == FieldOwner {
		return f.Relation == Equal && r.owner != (user.ID{}) && r.owner == f.ID
	}
	if r.product == nil {
		return false
	}
	switch f.Field {
	case FieldStatus:
		return f.Relation.holds(cmp.Compare(r.product.Status().String(), f.Text))
	case FieldCurrency:
		return f.Relation.holds(cmp.Compare(r.product.Price().Currency().String(), f.Text))
	case FieldAmount:
		return f.Relation.holds(cmp.Compare(r.product.Price().Amount(), f.Number))
	case FieldStock:
		return f.Relation.holds(cmp.Compare(r.product.Stock(), f.Number))
	}
	return false
}

func (f Granted) Holds(r Resource) bool {
	if r.product == nil {
		return false
	}
	g, ok := r.product.GrantOf(f.To)
	return ok && slices.Contains(f.Roles, g.Role)
}

func (r Relation) holds(order int) bool {
	switch r {
	case Equal:
		return order == 0
	case AtMost:
		return order <= 0
	case AtLeast:
		return order >= 0
	}
	return false
}

func (All) sealed()     {}
func (Either) sealed()  {}
func (Not) sealed()     {}
func (Compare) sealed() {}
func (Granted) sealed() {}
