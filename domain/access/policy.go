package access

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

// Condition is a named attribute check: under which circumstances a policy row
// counts. It is defined by the filter that it means for an actor; that one
// definition checks single resources and narrows lists.
type Condition struct {
	name string
	mean func(Actor) Filter
}

// NewCondition makes a condition. A team registers its own in
// bootstrap/extensions.go; docs/extending.md shows how.
//
// What it means for an actor may follow from their roles, and from their id
// through [OwnedBy] and [GrantedTo] alone: so users with the same roles can be
// counted together (ports.Census) when the effect of a change is foreseen.
func NewCondition(name string, mean func(Actor) Filter) Condition {
	return Condition{name: name, mean: mean}
}

// The conditions that policies may name.
var (
	// Unconditional holds always.
	Unconditional = NewCondition("any", func(Actor) Filter { return Everything })
	// Own holds for what the actor owns.
	Own = NewCondition("own", func(a Actor) Filter { return OwnedBy(a.ID()) })
	// Published holds for products that are on offer.
	Published = NewCondition("published", func(Actor) Filter { return InStatus(product.StatusPublished) })
	// SharedToView holds for products that were shared with the actor, in
	// whatever role: who may edit may look.
	SharedToView = NewCondition("viewer", func(a Actor) Filter { return GrantedTo(a.ID(), product.Viewer, product.Editor) })
	// SharedToEdit holds for products that were shared with the actor to edit.
	SharedToEdit = NewCondition("editor", func(a Actor) Filter { return GrantedTo(a.ID(), product.Editor) })
)

func (c Condition) String() string { return c.name }

// Filter gives the resources for which the condition holds when a asks.
func (c Condition) Filter(a Actor) Filter { return c.mean(a) }

// Holds reports whether the condition holds when a asks about r.
func (c Condition) Holds(a Actor, r Resource) bool { return c.mean(a).Holds(r) }

// Effect is what a policy row does where it counts. A deny beats any allow.
type Effect struct{ name string }

// The effects.
var (
	Allow = Effect{"allow"}
	Deny  = Effect{"deny"}
)

var effects = []Effect{Allow, Deny}

func (e Effect) String() string { return e.name }

// PolicyID identifies a policy row.
type PolicyID struct{ uuid.UUID }

// Policy is one row of the policy, with every word known.
type Policy struct {
	ID        PolicyID
	Role      user.Role
	Resource  Kind
	Action    Action
	Condition Condition
	Effect    Effect
}

// String is the row as people write it.
func (p Policy) String() string {
	return strings.Join([]string{p.Role.String(), p.Resource.String(), p.Action.String(), p.Condition.String(), p.Effect.String()}, ", ")
}

// Row is a policy row as it was written down, its words not yet known to mean
// anything.
type Row struct {
	ID                                        PolicyID
	Role, Resource, Action, Condition, Effect string
}

// String is the row as people write it.
func (r Row) String() string {
	return strings.Join([]string{r.Role, r.Resource, r.Action, r.Condition, r.Effect}, ", ")
}

// Inheritance says that a role has all rights of its parent.
type Inheritance struct{ Role, Parent string }

// Table is the policy as a store keeps it, at one version. The version grows
// with every change of the table, and is zero where there never was a policy.
type Table struct {
	Version  int64
	Rows     []Row
	Inherits []Inheritance
}

// Set is a table whose every word is known.
type Set struct {
	Version  int64
	Policies []Policy
	Parents  map[user.Role][]user.Role
}

// Vocabulary is the words that a policy may use.
type Vocabulary struct{ conditions []Condition }

// NewVocabulary gives the built-in words and the conditions that a team adds.
// It refuses a condition whose name is taken or is no word.
func NewVocabulary(more ...Condition) (Vocabulary, error) {
	v := Vocabulary{conditions: []Condition{Unconditional, Own, Published, SharedToView, SharedToEdit}}
	for _, c := range more {
		if _, ok := user.ParseRole(c.name); !ok || c.mean == nil {
			return Vocabulary{}, fmt.Errorf("condition %q: a name is a lower-case letter, then up to 31 of a-z, 0-9, _ and -, and it needs a meaning", c.name)
		}
		if _, taken := v.condition(c.name); taken {
			return Vocabulary{}, fmt.Errorf("condition %q is defined twice", c.name)
		}
		v.conditions = append(v.conditions, c)
	}
	return v, nil
}

func (v Vocabulary) condition(name string) (Condition, bool) {
	i := slices.IndexFunc(v.conditions, func(c Condition) bool { return c.name == name })
	if i < 0 {
		return Condition{}, false
	}
	return v.conditions[i], true
}

// roleForm is how role names are written (user.ParseRole).
const roleForm = "a lower-case letter, then up to 31 of a-z, 0-9, _ and -"

// unknown is a word that means nothing.
type unknown struct{ column, word, known string }

// read reads one row, and tells every word of it that means nothing.
func (v Vocabulary) read(r Row) (Policy, []unknown) {
	p := Policy{ID: r.ID}
	var none []unknown
	know := func(ok bool, column, word, known string) {
		if !ok {
			none = append(none, unknown{column, word, known})
		}
	}
	var ok bool
	p.Role, ok = user.ParseRole(r.Role)
	know(ok, "role", r.Role, roleForm)
	p.Resource, ok = named(kinds, r.Resource)
	know(ok, "resource", r.Resource, oneOf(kinds))
	p.Action, ok = named(actions, r.Action)
	know(ok, "action", r.Action, oneOf(actions))
	p.Condition, ok = v.condition(r.Condition)
	know(ok, "condition", r.Condition, oneOf(v.conditions))
	p.Effect, ok = named(effects, r.Effect)
	know(ok, "effect", r.Effect, oneOf(effects))
	return p, none
}

// Parse reads one row. Its error names every unknown word.
func (v Vocabulary) Parse(r Row) (Policy, error) {
	p, none := v.read(r)
	if len(none) == 0 {
		return p, nil
	}
	words := make([]string, len(none))
	for i, u := range none {
		words[i] = fmt.Sprintf("%s %q", u.column, u.word)
	}
	return Policy{}, fmt.Errorf("policy row %q: unknown %s", r, strings.Join(words, ", "))
}

// Validate records every word of the row that means nothing, under the pointer
// of its column behind at: "/role", "/resource" and so on.
func (v Vocabulary) Validate(r Row, at string, faults *fault.Validation) {
	_, none := v.read(r)
	for _, u := range none {
		faults.Add(at+"/"+u.column, "invalid_value", fmt.Sprintf("%s is no %s: that is %s.", quoted(u.word), u.column, u.known))
	}
}

// ValidateInheritance is Validate for an inheritance.
func (v Vocabulary) ValidateInheritance(in Inheritance, at string, faults *fault.Validation) {
	for _, one := range []struct{ column, name string }{{"role", in.Role}, {"parent", in.Parent}} {
		if _, ok := user.ParseRole(one.name); !ok {
			faults.Add(at+"/"+one.column, "invalid_value", quoted(one.name)+" is no role: that is "+roleForm+".")
		}
	}
}

// quoted is a word as people are shown it, of which they know how it goes on.
func quoted(word string) string {
	const most = 40
	if utf8.RuneCountInString(word) > most {
		word = string([]rune(word)[:most]) + "…"
	}
	return strconv.Quote(word)
}

// oneOf lists words.
func oneOf[T fmt.Stringer](words []T) string {
	names := make([]string, len(words))
	for i, w := range words {
		names[i] = w.String()
	}
	return "one of " + strings.Join(names, ", ")
}

// Check reads a whole table. A table without rows is refused: it means that
// somebody emptied it, never that nothing is to be decided. So are unknown
// words, rows that stand twice, and roles that inherit themselves.
func (v Vocabulary) Check(t Table) (Set, error) {
	set := Set{Version: t.Version, Parents: map[user.Role][]user.Role{}}
	if len(t.Rows) == 0 {
		return Set{}, fmt.Errorf("the policy table is empty")
	}
	seen := map[string]bool{}
	for _, r := range t.Rows {
		p, err := v.Parse(r)
		if err != nil {
			return Set{}, err
		}
		if seen[r.String()] {
			return Set{}, fmt.Errorf("policy row %q stands twice", r)
		}
		seen[r.String()] = true
		set.Policies = append(set.Policies, p)
	}
	for _, in := range t.Inherits {
		role, ok := user.ParseRole(in.Role)
		parent, ok2 := user.ParseRole(in.Parent)
		if !ok || !ok2 {
			return Set{}, fmt.Errorf("role %q inherits %q: not both are role names", in.Role, in.Parent)
		}
		set.Parents[role] = append(set.Parents[role], parent)
	}
	for role := range set.Parents {
		if slices.Contains(set.Ancestors(role), role) {
			return Set{}, fmt.Errorf("role %q inherits itself", role)
		}
	}
	return set, nil
}

// Ancestors are all roles that r inherits, directly or through others.
func (s Set) Ancestors(r user.Role) []user.Role {
	var found []user.Role
	next := slices.Clone(s.Parents[r])
	for len(next) > 0 {
		p := next[0]
		next = next[1:]
		if !slices.Contains(found, p) {
			found = append(found, p)
			next = append(next, s.Parents[p]...)
		}
	}
	return found
}

func named[T fmt.Stringer](known []T, name string) (T, bool) {
	for _, k := range known {
		if k.String() == name {
			return k, true
		}
	}
	var none T
	return none, false
}
