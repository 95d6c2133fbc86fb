// Package casbinauthz decides with Casbin who may do what.
//
// [Authorizer] keeps one compiled reading of the policy table, replaces it by a
// newer one as soon as a request carries a newer version, and never by one that
// it cannot understand. A reading ([compiled]) hands Casbin the few rows that
// can matter to a question, and Casbin applies roles, conditions and effects to
// them by the model in configs/model.conf.
//
// Nothing is changed through Casbin: the table is kept by
// ports.PolicyRepository, and a changed table is a new reading, built aside and
// swapped in. Casbin's own ways of sharing an enforcer between goroutines that
// decide and reload were found to race and to bring revoked rights back.
package casbinauthz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/casbin/casbin/v2/model"

	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/ports"
)

// Authorizer decides by the policy of a repository.
type Authorizer struct {
	policies   ports.PolicyRepository
	history    ports.PolicyHistory // nil if nobody remembers
	vocabulary access.Vocabulary
	model      model.Model
	log        *slog.Logger

	current   atomic.Pointer[compiled]
	bad       atomic.Pointer[badTable]
	reloading chan struct{} // holds one token: who takes it reloads
}

var (
	_ ports.Authorizer = (*Authorizer)(nil)
	_ ports.Rehearsal  = (*Authorizer)(nil)
	_ ports.Health     = (*Authorizer)(nil)
)

// badTable is a version of the table that could not be understood, and why.
type badTable struct {
	version int64
	why     error
}

// New returns an authorizer that decides by the given Casbin model. It reads no
// policy yet: see [Authorizer.Load]. The history is what it looks for the last
// good table in where the newest is bad; if it is nil, it knows only of those
// that it has read itself.
func New(policies ports.PolicyRepository, history ports.PolicyHistory, v access.Vocabulary, modelText string, log *slog.Logger) (*Authorizer, error) {
	m, err := model.NewModelFromString(modelText)
	if err != nil {
		return nil, fmt.Errorf("reading the Casbin model: %w", err)
	}
	return &Authorizer{policies: policies, history: history, vocabulary: v, model: m, log: log, reloading: make(chan struct{}, 1)}, nil
}

// Load reads the policy as it is now. At start its error means that the service
// must not run: the table is empty, or holds a word that nobody knows.
func (a *Authorizer) Load(ctx context.Context) error {
	table, err := a.policies.Load(ctx)
	if err != nil {
		return err
	}
	c, err := compile(a.model, a.vocabulary, table)
	if err != nil {
		return err
	}
	a.adopt(c)
	return nil
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
	c, err := a.atLeast(ctx, version)
	if err != nil {
		return nil, err
	}
	return newRights(c, actor), nil
}

// Under implements ports.Rehearsal: the table is compiled and decided by as one
// that is in force, and then forgotten.
func (a *Authorizer) Under(t access.Table) (func(access.Actor) access.Rights, error) {
	c, err := compile(a.model, a.vocabulary, t)
	if err != nil {
		return nil, err
	}
	return func(actor access.Actor) access.Rights { return newRights(c, actor) }, nil
}

// Check implements ports.Health. The authorizer is well if it decides by the
// newest table; where it decides by an older one because the newest is bad, it is
// degraded.
func (a *Authorizer) Check(ctx context.Context) error {
	version, err := a.policies.Version(ctx)
	if err != nil {
		return err
	}
	if _, err := a.atLeast(ctx, version); err != nil {
		return err
	}
	if bad := a.bad.Load(); bad != nil && bad.version >= version {
		return &ports.Degraded{Says: fmt.Sprintf("policy version %d cannot be used, version %d decides", bad.version, a.current.Load().version), Err: bad.why}
	}
	return nil
}

// Versions tells which version of the table decides now, and which newer one
// cannot be used; zero for none.
func (a *Authorizer) Versions() (deciding, bad int64) {
	if c := a.current.Load(); c != nil {
		deciding = c.version
	}
	if b := a.bad.Load(); b != nil && b.version > deciding {
		bad = b.version
	}
	return deciding, bad
}

// atLeast returns a reading of that version or a newer one. Where that version
// is bad it returns the last good one: nobody is allowed by it what was not
// allowed before.
func (a *Authorizer) atLeast(ctx context.Context, version int64) (*compiled, error) {
	if c := a.settled(version); c != nil {
		return c, nil
	}
	select {
	case a.reloading <- struct{}{}:
		defer func() { <-a.reloading }()
	case <-ctx.Done():
		return nil, fault.Outage(fmt.Errorf("waiting for the policy to be reloaded: %w", ctx.Err()))
	}
	if c := a.settled(version); c != nil { // somebody else reloaded while we waited
		return c, nil
	}
	return a.reload(ctx, version)
}

// settled returns the reading to decide by if no reload could better it.
func (a *Authorizer) settled(version int64) *compiled {
	c := a.current.Load()
	if c == nil || c.version >= version {
		return c
	}
	if bad := a.bad.Load(); bad != nil && bad.version >= version {
		return c
	}
	return nil
}

func (a *Authorizer) reload(ctx context.Context, version int64) (*compiled, error) {
	table, err := a.policies.Load(ctx)
	if err != nil {
		return nil, err
	}
	if table.Version < version { // a replica that lags; what it says is not the newest
		return nil, fault.Outage(fmt.Errorf("the policy store is at version %d, %d is wanted", table.Version, version))
	}
	c, err := compile(a.model, a.vocabulary, table)
	if err == nil {
		a.adopt(c)
		return c, nil
	}
	if a.current.Load() == nil {
		return nil, fault.Outage(errors.Join(errors.New("there is no policy to decide by"), err))
	}
	last, unknown := a.lastGood(ctx, table.Version)
	if unknown != nil {
		return nil, unknown
	}
	a.bad.Store(&badTable{version: table.Version, why: err})
	a.log.ErrorContext(ctx, "the policy table cannot be used; the last good one goes on deciding",
		"bad_version", table.Version, "deciding_version", last.version, "error", err)
	return last, nil
}

// lastGood returns the newest reading before a version that is bad. It need not be
// the one that this node has read last: between that and the bad one a right may
// have been revoked of which nobody has asked here.
func (a *Authorizer) lastGood(ctx context.Context, version int64) (*compiled, error) {
	const atOnce = 10
	last := a.current.Load()
	for before := version; a.history != nil && before > last.version+1; {
		revisions, err := a.history.Revisions(ctx, before, atOnce)
		if err != nil {
			return nil, err
		}
		for _, r := range revisions {
			if before = r.Table.Version; before <= last.version {
				return last, nil
			}
			if c, err := compile(a.model, a.vocabulary, r.Table); err == nil {
				a.adopt(c)
				return a.current.Load(), nil
			}
		}
		if len(revisions) < atOnce {
			break
		}
	}
	return last, nil
}

// adopt puts c in the place of an older reading.
func (a *Authorizer) adopt(c *compiled) {
	for {
		old := a.current.Load()
		if old != nil && old.version > c.version || a.current.CompareAndSwap(old, c) {
			return
		}
	}
}
