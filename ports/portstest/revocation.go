package portstest

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/domain/access"
	"gatehouse/ports"
)

// Revocation holds an authorizer, over a store whose policy is changed, to never
// allowing what has been taken away (threats.md, scenario 14). In each round a
// right is given, and taken away while several decide and one reloads. Now all of
// them are at it when the change comes, now it comes while the one before is still
// being read; and they go on until they have decided after it. Other changes there
// must not be.
func Revocation(t *testing.T, rounds int, s PolicyStores, open func(ports.PolicyRepository, access.Vocabulary) ports.Authorizer) {
	t.Helper()
	seed(t, s.Policies, []access.Row{rule(1, readAll)}, nil, true)
	r := revocation{policies: s.Policies, authorizer: open(s.Policies, vocabulary(t)), change: func(ctx context.Context, given bool) error {
		_, err := s.History.Change(ctx, edit(1), func(t *access.Table) error {
			t.Rows = []access.Row{rule(1, readAll)}
			if given {
				t.Rows = append(t.Rows, rule(2, updateAll))
			}
			return nil
		})
		return err
	}}
	for n := range rounds {
		if r.round(t, n%2 == 0); t.Failed() {
			return
		}
	}
}

// revocation is the right to update, which is given and taken away.
type revocation struct {
	policies   ports.PolicyRepository
	authorizer ports.Authorizer
	// change returns when the change is kept: who reads the version after that,
	// reads one that is newer.
	change func(ctx context.Context, given bool) error
}

// deciders is how many decide at once. The first of them carries no version, like
// somebody who has not signed in.
const deciders = 3

// round gives the right and takes it away; if patient, when everybody has been
// allowed by it.
func (r revocation) round(t tester, patient bool) {
	t.Helper()
	must(t, r.change(t.Context(), true), "giving the right")
	given, err := r.policies.Version(t.Context())
	must(t, err, "Version")
	var underWay sync.WaitGroup // until each of the others has begun
	var taken atomic.Bool       // what comes after that must not be allowed
	underWay.Add(deciders)
	atOnce(deciders+2, func(i int) {
		switch i {
		case deciders:
			defer taken.Store(true)
			if patient {
				underWay.Wait()
			}
			if err := r.change(t.Context(), false); err != nil {
				t.Errorf("taking the right away = %v", err)
			}
		case deciders + 1:
			for !taken.Load() {
				r.reload(t)
				runtime.Gosched() // or the others wait until its time is over
			}
		default:
			begin := sync.OnceFunc(underWay.Done)
			defer begin()
			for first := true; ; first = false {
				gone := taken.Load()
				if !r.decides(t, i > 0, given, gone, first && patient) || gone {
					return
				}
				begin()
				runtime.Gosched()
			}
		}
	})
}

// decides asks once, and reports whether the answer was right. While the right is
// being taken away it may be either, by whichever version was read; sure says that
// this has not begun, and gone that it is over.
func (r revocation) decides(t tester, signedIn bool, given int64, gone, sure bool) bool {
	var version int64
	if signedIn { // the version comes along with the session
		var err error
		if version, err = r.policies.Version(t.Context()); err != nil {
			t.Errorf("Version = %v", err)
			return false
		}
	}
	rights, err := r.authorizer.Rights(t.Context(), acting(1, version, "user"))
	if err != nil {
		t.Errorf("Rights(version %d) = %v, want rights", version, err)
		return false
	}
	switch allowed := decide(t, rights, access.Update, foreign).Allowed; {
	case allowed && gone:
		t.Errorf("by version %d, read after the right of version %d was taken away, it is allowed", version, given)
	case allowed && version > given:
		t.Errorf("by version %d, which takes away what version %d gave, it is allowed", version, given)
	case !allowed && sure:
		t.Errorf("by version %d, read after version %d gave the right, it is denied", version, given)
	default:
		return true
	}
	return false
}

// reload has the authorizer read the policy, in whichever way it may be told to.
func (r revocation) reload(t tester) {
	var err error
	switch a := r.authorizer.(type) {
	case interface{ Load(context.Context) error }:
		err = a.Load(t.Context())
	case ports.Health:
		err = a.Check(t.Context())
	default:
		_, err = a.Rights(t.Context(), access.Anonymous())
	}
	if err != nil {
		t.Errorf("reloading = %v", err)
	}
}

// The suite's own table shows the race where nothing else takes time.
func authorizerRevokeRace(t tester, open authorizerOpener) {
	policies := written(readAll)
	r := revocation{policies: policies, authorizer: open(policies, vocabulary(t)), change: func(_ context.Context, given bool) error {
		if given {
			policies.put(readAll, updateAll)
		} else {
			policies.put(readAll)
		}
		return nil
	}}
	for n := range 200 {
		if r.round(t, n%2 == 0); t.Failed() {
			return
		}
	}
}
