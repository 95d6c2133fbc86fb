package access

import (
	"cmp"
	"slices"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/user"
)

// What a change of the policy is refused with.
var (
	ErrPolicyExists   = fault.New(fault.Conflict, "policy_exists", "There is such a row already.")
	ErrPolicyUnknown  = fault.New(fault.NotFound, "not_found", "There is no such row.")
	ErrVersionUnknown = fault.New(fault.NotFound, "not_found", "There is no such version of the policy.")
)

// Edit is who changed the policy, when, and why.
type Edit struct {
	Author user.ID // zero for an operator at the command line, and for the program itself
	At     time.Time
	Note   string // what the author had to say; may be empty
}

// Revision is the policy as it stood at one version, and the edit that made it
// so.
type Revision struct {
	Edit
	Table Table
}

// Diff is in what one table differs from another.
type Diff struct {
	Added, Removed     []Row
	Inherited, Severed []Inheritance // inheritances that were added, and removed
}

// Since gives what must be done to old to make t of it. Versions do not matter,
// nor does the order of rows.
func (t Table) Since(old Table) Diff {
	return Diff{
		Added: without(t.Rows, old.Rows), Removed: without(old.Rows, t.Rows),
		Inherited: without(t.Inherits, old.Inherits), Severed: without(old.Inherits, t.Inherits),
	}
}

// IsZero reports whether there is no difference.
func (d Diff) IsZero() bool {
	return len(d.Added)+len(d.Removed)+len(d.Inherited)+len(d.Severed) == 0
}

// without gives what is in all and not in known.
func without[T comparable](all, known []T) []T {
	there := make(map[T]bool, len(known))
	for _, k := range known {
		there[k] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(one T) bool { return there[one] })
}

// Distinct reports whether no id, no words and no inheritance stand twice in t.
func (t Table) Distinct() bool {
	ids, words, inherits := map[PolicyID]bool{}, map[Row]bool{}, map[Inheritance]bool{}
	for _, r := range t.Rows {
		ids[r.ID], words[r.Words()] = true, true
	}
	for _, in := range t.Inherits {
		inherits[in] = true
	}
	return len(ids) == len(t.Rows) && len(words) == len(t.Rows) && len(inherits) == len(t.Inherits)
}

// Clone gives a table that shares nothing with t.
func (t Table) Clone() Table {
	t.Rows, t.Inherits = slices.Clone(t.Rows), slices.Clone(t.Inherits)
	return t
}

// Ordered gives t in the order in which it is shown: rows by their ids, which is
// that of their making, and inheritance by its names. Stores keep none.
func (t Table) Ordered() Table {
	t = t.Clone()
	slices.SortFunc(t.Rows, func(a, b Row) int { return a.ID.Compare(b.ID.UUID) })
	slices.SortFunc(t.Inherits, func(a, b Inheritance) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Parent, b.Parent))
	})
	return t
}

// Words is r without its id: what it says.
func (r Row) Words() Row {
	r.ID = PolicyID{}
	return r
}
