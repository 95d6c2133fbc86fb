package casbinauthz

import (
	"fmt"
	"slices"
	"strconv"

	"gatehouse/domain/access"
	"gatehouse/domain/user"
)

// rights are what one actor may do by one reading of the policy.
type rights struct {
	policy  *compiled
	actor   access.Actor
	subject *subject
}

var _ access.Rights = (*rights)(nil)

func newRights(c *compiled, a access.Actor) *rights {
	return &rights{policy: c, actor: a, subject: c.subject(a.Roles())}
}

// Decide implements access.Rights.
func (r *rights) Decide(action access.Action, res access.Resource) (access.Decision, error) {
	b, err := r.policy.bucket(r.subject, question{action, res.Kind()})
	if err != nil {
		return access.Decision{}, err
	}
	if len(b.rows) == 0 { // Casbin would ask its matcher about an empty row
		return access.Decision{}, nil
	}
	allowed, row, err := b.enforcer.EnforceEx(r.subject.name, res.Kind().String(), action.String(), &r.actor, &res)
	if err != nil {
		return access.Decision{}, fmt.Errorf("deciding %s of %s: %w", action, res.Kind(), err)
	}
	d := access.Decision{Allowed: allowed}
	if len(row) > 0 {
		d.By = b.row(row[0])
	} else {
		d.Nearest = b.allowing()
	}
	return d, nil
}

// Explain implements access.Rights.
func (r *rights) Explain(action access.Action, res access.Resource) (access.Explanation, error) {
	d, err := r.Decide(action, res)
	if err != nil {
		return access.Explanation{}, err
	}
	return r.policy.set.Explain(r.actor, action, res, d), nil
}

// Filter implements access.Rights: what some row allows and none denies.
func (r *rights) Filter(action access.Action, k access.Kind) (access.Filter, error) {
	b, err := r.policy.bucket(r.subject, question{action, k})
	if err != nil {
		return nil, err
	}
	var allowed, denied access.Either
	for _, p := range b.rows {
		if p.Effect == access.Deny {
			denied = append(denied, p.Condition.Filter(r.actor))
		} else {
			allowed = append(allowed, p.Condition.Filter(r.actor))
		}
	}
	if len(denied) == 0 {
		return allowed, nil
	}
	return access.All{allowed, access.Not{Filter: denied}}, nil
}

// Roles implements access.Rights.
func (r *rights) Roles() []user.Role { return slices.Clone(r.subject.roles) }

// row finds the row that Casbin named by its place.
func (b *bucket) row(place string) access.Policy {
	i, err := strconv.Atoi(place)
	if err != nil || i < 0 || i >= len(b.rows) {
		return access.Policy{}
	}
	return b.rows[i]
}

// allowing are the rows that would allow if their condition held.
func (b *bucket) allowing() []access.Policy {
	var rows []access.Policy
	for _, p := range b.rows {
		if p.Effect == access.Allow {
			rows = append(rows, p)
		}
	}
	return rows
}
