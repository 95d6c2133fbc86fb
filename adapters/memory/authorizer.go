package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Authorizer reads the rules of authorization in plain Go, one row after the
// other. It is what the Casbin adapter is compared with.
type Authorizer struct {
	policies   ports.PolicyRepository
	vocabulary access.Vocabulary
	reading    atomic.Pointer[reading]
	reloading  chan struct{} // holds one token: who takes it reloads
}

var (
	_ ports.Authorizer = (*Authorizer)(nil)
	_ ports.Rehearsal  = (*Authorizer)(nil)
	_ ports.Health     = (*Authorizer)(nil)
)

// reading is what is known of the policy: the last good table, and what was
// wrong with a newer one.
type reading struct {
	set *access.Set
	bad int64 // the newest version that could not be used, zero if none
	why error
}

// NewAuthorizer returns an authorizer that decides by the policies. It reads
// none of them until it is asked.
func NewAuthorizer(policies ports.PolicyRepository, v access.Vocabulary) *Authorizer {
	return &Authorizer{policies: policies, vocabulary: v, reloading: make(chan struct{}, 1)}
}

// Rights implements ports.Authorizer.
func (a *Authorizer) Rights(ctx context.Context, actor access.Actor) (access.Rights, error) {
	version := actor.PolicyVersion()
	if version == 0 {
		var err error
		if version, err = a.policies.Version(ctx); err != nil {
			return nil, err
		}
	}
	now, err := a.atLeast(ctx, version)
	if err != nil {
		return nil, err
	}
	return newRights(now.set, actor), nil
}

// Under implements ports.Rehearsal.
func (a *Authorizer) Under(t access.Table) (func(access.Actor) access.Rights, error) {
	set, err := a.vocabulary.Check(t)
	if err != nil {
		return nil, err
	}
	return func(actor access.Actor) access.Rights { return newRights(&set, actor) }, nil
}

// Check implements ports.Health: the newest table should be one that can be used.
func (a *Authorizer) Check(ctx context.Context) error {
	version, err := a.policies.Version(ctx)
	if err != nil {
		return err
	}
	now, err := a.atLeast(ctx, version)
	if err != nil {
		return err
	}
	if now.set.Version < version {
		return &ports.Degraded{Says: fmt.Sprintf("policy version %d cannot be used, version %d decides", now.bad, now.set.Version), Err: now.why}
	}
	return nil
}

// atLeast returns the table of that version or a newer one, or the last good
// one where that cannot be used. One caller at a time reloads.
func (a *Authorizer) atLeast(ctx context.Context, version int64) (*reading, error) {
	if now := a.reading.Load(); now.covers(version) {
		return now, nil
	}
	select {
	case a.reloading <- struct{}{}:
		defer func() { <-a.reloading }()
	case <-ctx.Done():
		return nil, fault.Outage(ctx.Err())
	}
	if now := a.reading.Load(); now.covers(version) { // somebody reloaded while we waited
		return now, nil
	}
	return a.reload(ctx, version)
}

// covers reports whether no reload could better the reading for the version.
func (r *reading) covers(version int64) bool {
	return r != nil && (r.set.Version >= version || r.bad >= version)
}

func (a *Authorizer) reload(ctx context.Context, version int64) (*reading, error) {
	table, err := a.policies.Load(ctx)
	if err != nil {
		return nil, err
	}
	if table.Version < version {
		return nil, fault.Outage(errors.New("the policy store lags behind"))
	}
	set, err := a.vocabulary.Check(table)
	next := &reading{set: &set}
	if err != nil {
		last := a.reading.Load()
		if last == nil {
			return nil, fault.Outage(err)
		}
		next = &reading{set: last.set, bad: table.Version, why: err}
	}
	a.reading.Store(next)
	return next, nil
}

// rights are what one actor may do by one table.
type rights struct {
	set   *access.Set
	actor access.Actor
	roles []user.Role
}

var _ access.Rights = (*rights)(nil)

func newRights(set *access.Set, actor access.Actor) *rights {
	r := &rights{set: set, actor: actor}
	for _, given := range actor.Roles() {
		r.roles = append(append(r.roles, given), set.Ancestors(given)...)
	}
	slices.SortFunc(r.roles, func(a, b user.Role) int { return strings.Compare(a.String(), b.String()) })
	r.roles = slices.Compact(r.roles)
	return r
}

// rows are those that speak of the action with the kind to one of the roles.
func (r *rights) rows(action access.Action, k access.Kind) (rows []access.Policy) {
	for _, p := range r.set.Policies {
		if p.Action == action && p.Resource == k && slices.Contains(r.roles, p.Role) {
			rows = append(rows, p)
		}
	}
	return rows
}

// Decide implements access.Rights.
func (r *rights) Decide(action access.Action, res access.Resource) (access.Decision, error) {
	var d access.Decision
	for _, p := range r.rows(action, res.Kind()) {
		holds := p.Condition.Holds(r.actor, res)
		switch {
		case holds && p.Effect == access.Deny:
			return access.Decision{By: p}, nil
		case holds && !d.Allowed:
			d.Allowed, d.By = true, p
		case !holds && p.Effect == access.Allow:
			d.Nearest = append(d.Nearest, p)
		}
	}
	if d.Allowed {
		d.Nearest = nil
	}
	return d, nil
}

// Explain implements access.Rights.
func (r *rights) Explain(action access.Action, res access.Resource) (access.Explanation, error) {
	d, err := r.Decide(action, res)
	if err != nil {
		return access.Explanation{}, err
	}
	return r.set.Explain(r.actor, action, res, d), nil
}

// Filter implements access.Rights.
func (r *rights) Filter(action access.Action, k access.Kind) (access.Filter, error) {
	var allowed, denied access.Either
	for _, p := range r.rows(action, k) {
		if p.Effect == access.Deny {
			denied = append(denied, p.Condition.Filter(r.actor))
		} else {
			allowed = append(allowed, p.Condition.Filter(r.actor))
		}
	}
	return access.All{allowed, access.Not{Filter: denied}}, nil
}

// Roles implements access.Rights.
func (r *rights) Roles() []user.Role { return slices.Clone(r.roles) }
