package access

import (
	"slices"
	"strings"

	"gatehouse/domain/user"
)

// Explanation is why a question is answered as it is.
type Explanation struct {
	Decision Decision
	Version  int64 // of the policy that decided
	// Path is how the actor comes to the role of the row that decided: from a
	// role given to them down to that of the row, each inheriting the next. It is
	// empty where no row decided.
	Path []user.Role
	// Elsewhere are, of a denial by no row, the rows that speak for it, but to
	// roles that the actor does not have. Whether a row denies it to those is
	// another question.
	Elsewhere []Policy
}

// Reason says in a short sentence why it was decided so.
func (x Explanation) Reason() string {
	reason := x.Decision.Reason()
	if len(x.Path) > 1 {
		reason += " (" + words(x.Path, " → ") + ")"
	}
	var might []user.Role
	for _, p := range x.Elsewhere {
		if !slices.Contains(might, p.Role) {
			might = append(might, p.Role)
		}
	}
	if len(might) > 0 {
		reason += "; a row speaks for it to " + words(might, ", ")
	}
	return reason
}

func words(roles []user.Role, between string) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = r.String()
	}
	return strings.Join(names, between)
}

// Explain tells why d is what was decided by the set about the actor's doing the
// action with r. It decides nothing again.
func (s Set) Explain(a Actor, action Action, r Resource, d Decision) Explanation {
	x := Explanation{Decision: d, Version: s.Version}
	if d.By.Effect != (Effect{}) {
		x.Path = s.path(a.roles, d.By.Role)
		return x
	}
	if d.Allowed {
		return x
	}
	for _, p := range s.Policies {
		if p.Effect == Allow && p.Action == action && p.Resource == r.kind && s.path(a.roles, p.Role) == nil && p.Condition.Holds(a, r) {
			x.Elsewhere = append(x.Elsewhere, p)
		}
	}
	return x
}

// path is the shortest way from one of the given roles down to another, nil
// where there is none.
func (s Set) path(given []user.Role, to user.Role) []user.Role {
	from := map[user.Role]user.Role{} // of each role that was reached, the one that inherits it; of a given one, itself
	var next []user.Role
	for _, r := range given {
		from[r] = r
		next = append(next, r)
	}
	for len(next) > 0 && next[0] != to {
		for _, parent := range s.Parents[next[0]] {
			if _, known := from[parent]; !known {
				from[parent] = next[0]
				next = append(next, parent)
			}
		}
		next = next[1:]
	}
	if len(next) == 0 {
		return nil
	}
	path := []user.Role{to}
	for at := to; from[at] != at; at = from[at] {
		path = append(path, from[at])
	}
	slices.Reverse(path)
	return path
}
