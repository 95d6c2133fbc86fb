package product

import (
	"slices"

	"gatehouse/domain/fault"
	"gatehouse/domain/user"
)

// Transition is a product about to become another: what it was, what it is to
// be, and who wants it so. A new product was nothing, a deleted one is nothing
// after.
type Transition struct {
	Before *Product // nil for a new product
	After  *Product // nil for one that is deleted
	By     user.ID
	Roles  []user.Role // the roles of By, inherited ones included
}

// ByRole reports whether who wants it has the role.
func (t Transition) ByRole(r user.Role) bool { return slices.Contains(t.Roles, r) }

// Rule is something that a team wants true of its products, beside what is
// true of all. It is pure: it looks at the transition and returns nil or a
// fault, made with [Refuse]. Rules are registered in bootstrap/extensions.go
// and asked after authorization and before anything is written.
type Rule func(Transition) error

// Refuse is what a rule returns for a change that it does not allow: an answer
// of 422 with the given pointer, code and detail.
func Refuse(pointer, code, detail string) error {
	var v fault.Validation
	v.Add(pointer, code, detail)
	return v.Err()
}

// Check asks every rule and tells all that is refused in one fault.
func Check(rules []Rule, t Transition) error {
	var all error
	for _, rule := range rules {
		all = fault.Merge(all, rule(t))
	}
	return all
}
