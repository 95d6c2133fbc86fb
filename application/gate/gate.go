// Package gate is where services ask the policy, and where its refusals are
// written down.
//
// Who has the thing at hand, or acts on a kind of things, calls [Gate.Permit].
// Who learns what it is about only inside a store's step asks for
// [Gate.Rights] first, calls [Judge] inside the step, which needs no store, and
// hands the step's error to [Gate.Record] after it.
package gate

import (
	"context"
	"errors"

	"gatehouse/application/journal"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/ports"
)

// Gate asks the authorizer and keeps the ledger of refusals. Every field is
// needed.
type Gate struct {
	Authorizer ports.Authorizer
	Ledger     ports.Ledger
	Random     ports.Random
	Now        ports.Clock
}

// Rights returns what the actor may do, as ports.Authorizer does.
func (g *Gate) Rights(ctx context.Context, a access.Actor) (access.Rights, error) {
	return g.Authorizer.Rights(ctx, a)
}

// Permit returns nil if the actor may do the action with r, and else what
// [Judge] does, written down as by [Gate.Record].
func (g *Gate) Permit(ctx context.Context, a access.Actor, action access.Action, r access.Resource) error {
	rights, err := g.Rights(ctx, a)
	if err != nil {
		return err
	}
	return g.Record(ctx, a, Judge(rights, a, action, r))
}

// Judge returns nil if the actor may do the action with r by their rights, and
// else access.ErrForbidden, or access.ErrUnauthenticated if nobody has signed
// in, because of an *access.Denial.
func Judge(rights access.Rights, a access.Actor, action access.Action, r access.Resource) error {
	d, err := rights.Decide(action, r)
	if err != nil || d.Allowed {
		return err
	}
	told := access.ErrForbidden
	if a.IsAnonymous() {
		told = access.ErrUnauthenticated
	}
	return told.Because(&access.Denial{Action: action, Resource: r, Decision: d})
}

// Record writes down that the policy forbade the actor an act, if err says so,
// under an id that err's *access.Denial bears from then on, and returns err. Any
// other error it returns as it is: being asked to sign in is no refusal. Its own
// error says that the refusal could not be written down.
func (g *Gate) Record(ctx context.Context, a access.Actor, err error) error {
	d, denied := errors.AsType[*access.Denial](err)
	if !denied || !errors.Is(err, access.ErrForbidden) {
		return err
	}
	book, subject := journal.Book{Random: g.Random, Now: g.Now}, audit.Subject{Type: d.Resource.Kind().String(), ID: d.Resource.ID()}
	entry := book.Entry(ctx, audit.Denied, audit.Refused, a.ID(), subject, "action", d.Action.String(), "reason", d.Decision.Reason())
	entry.Detail["decision"] = entry.ID.String() // by which it is found among the details, and as a row
	if failed := g.Ledger.Record(ctx, ports.Along{Audit: []audit.Entry{entry}}); failed != nil {
		return failed
	}
	d.ID = entry.ID
	return err
}
