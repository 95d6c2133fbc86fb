package bootstrap

import (
	"gatehouse/application/events"
	"gatehouse/domain/access"
	"gatehouse/domain/product"
)

// extensions is what this team adds to Gatehouse: the one function to edit. A
// rule or a condition is written and tested in a file of its own and named
// here, as in
//
//	ProductRules: []product.Rule{product.FixedCurrency},
//	Conditions:   []access.Condition{access.InStock},
//	Subscribers:  events.Subscribers{alerts.SoldOut},
//
// docs/extending.md walks through all of them.
func extensions() Extensions {
	return Extensions{
		ProductRules: []product.Rule{},
		Conditions:   []access.Condition{},
		Subscribers:  events.Subscribers{},
	}
}
