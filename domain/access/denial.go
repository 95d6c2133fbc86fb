package access

import (
	"fmt"
	"strings"

	"gatehouse/domain/uuid"
)

// Denial is a refusal by the policy, and what it was about. It is the cause of
// the [ErrForbidden] or [ErrUnauthenticated] that the actor is told, where
// errors.As finds it; the actor is told no more than its ID.
type Denial struct {
	ID       uuid.UUID // what it was written down as; zero where it was not
	Action   Action
	Resource Resource
	Decision Decision
}

// Error says why, for logs.
func (d *Denial) Error() string {
	return fmt.Sprintf("%s of %s: %s", d.Action, d.Resource.Kind(), d.Decision.Reason())
}

// maxReasons is how many rows a reason names: it is one line of a log.
const maxReasons = 3

// Reason says in a short sentence why it was decided so, in the words of the
// policy and no other: it may stand in logs and in the audit log.
func (d Decision) Reason() string {
	switch {
	case d.By.Effect != (Effect{}): // a row stands there
		return "by the row: " + d.By.String()
	case d.Allowed:
		return "it is allowed"
	case len(d.Nearest) == 0:
		return "no row allows it to these roles"
	}
	var near []string
	for _, p := range d.Nearest[:min(len(d.Nearest), maxReasons)] {
		near = append(near, fmt.Sprintf("%s (not %s)", p, p.Condition))
	}
	if more := len(d.Nearest) - maxReasons; more > 0 {
		near = append(near, fmt.Sprintf("%d more", more))
	}
	return "no row allows it; nearest: " + strings.Join(near, "; ")
}
