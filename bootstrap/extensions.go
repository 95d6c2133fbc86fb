package bootstrap

import (
	"gatehouse/domain/access"
	"gatehouse/domain/product"
)

// extensions is what this team adds to Gatehouse: the one function to edit. A
// rule or a condition is written and tested in a file of its own and named
// here, as in
//
//	ProductRules: []product.Rule{product.FixedCurrency},
//	Conditions:   []access.Condition{access.InStock},
//
// docs/extending.md walks through both.
func extensions() Extensions {
	return Extensions{
		ProductRules: []product.Rule{},
		Conditions:   []access.Condition{},
	}
}
