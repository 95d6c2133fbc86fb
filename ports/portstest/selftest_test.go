// The self-test is inside the package, unlike all other tests: it runs the
// checks one by one, on stores that are broken on purpose.
package portstest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"gatehouse/adapters/memory"
	"gatehouse/domain/fault"
	"gatehouse/ports"
)

// TestMain tells rapid not to keep what makes a check fail that should fail.
func TestMain(m *testing.M) {
	flag.Parse()
	for name, value := range map[string]string{"rapid.nofailfile": "true", "rapid.shrinktime": "0s"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// recorder is a tester that keeps failures to itself.
type recorder struct {
	tester
	mu       sync.Mutex
	failures []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Error(args ...any)        { r.Errorf("%s", fmt.Sprint(args...)) }
func (r *recorder) Fatal(args ...any)        { r.Fatalf("%s", fmt.Sprint(args...)) }
func (r *recorder) Fail()                    { r.Errorf("failed") }
func (r *recorder) FailNow()                 { r.Fatalf("failed") }
func (r *recorder) Log(...any)               {}
func (r *recorder) Logf(string, ...any)      {}
func (r *recorder) Skip(args ...any)         { r.Fatal(args...) }
func (r *recorder) Skipf(s string, _ ...any) { r.Fatalf("skipped: %s", s) }
func (r *recorder) SkipNow()                 { r.Fatalf("skipped") }

// failures runs a check on a store and gives what it has to say.
func failures[S any](t tester, c check[S], store S) []string {
	r := &recorder{tester: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(r, store)
	}()
	<-done
	return r.failures
}

// mutant is a store that breaks what a check holds.
type mutant[S any] struct {
	check string // the name of the check that must notice
	fault string // what the store does: "it …"
	apply func(S) S
}

// prove holds every check of a suite to passing on a sound store, and to
// failing on each of its mutants, of which it has at least one.
func prove[S any](t *testing.T, checks []check[S], open func() S, mutants []mutant[S]) {
	t.Helper()
	for i, c := range checks {
		if slices.ContainsFunc(checks[:i], func(o check[S]) bool { return o.name == c.name }) {
			t.Errorf("two checks are named %q", c.name)
		}
		t.Run(c.name, func(t *testing.T) { proveOne(t, c, open, mutants) })
	}
	for _, m := range mutants {
		if !slices.ContainsFunc(checks, func(c check[S]) bool { return c.name == m.check }) {
			t.Errorf("the mutant that %s is for the check %q, which is not there", m.fault, m.check)
		}
	}
}

func proveOne[S any](t tester, c check[S], open func() S, mutants []mutant[S]) {
	if said := failures(t, c, open()); len(said) > 0 {
		t.Errorf("fails on a sound store: %q", said)
	}
	proven := false
	for _, m := range mutants {
		if m.check != c.name {
			continue
		}
		proven = true
		if said := failures(t, c, m.apply(open())); len(said) == 0 {
			t.Errorf("passes on a store that %s", m.fault)
		} else if testing.Verbose() {
			t.Logf("a store that %s: %.300s", m.fault, said[0])
		}
	}
	if !proven {
		t.Errorf("no mutant shows that this check can fail")
	}
}

func TestUserChecksCanFail(t *testing.T) {
	prove(t, userChecks, func() ports.UserRepository { return memory.New().Users() }, slices.Concat(userMutants, leavingUserMutants, searchUserMutants))
}

func soundSessions() SessionStores {
	db := memory.New()
	return SessionStores{Users: db.Users(), Sessions: db.Sessions(), Directory: db.Sessions(), Policies: db.Policies()}
}

func TestSessionChecksCanFail(t *testing.T) {
	prove(t, sessionChecks, soundSessions, slices.Concat(sessionMutants, leavingSessionMutants))
}

func TestDirectoryChecksCanFail(t *testing.T) {
	prove(t, directoryChecks, soundSessions, directoryMutants)
}

func TestProductChecksCanFail(t *testing.T) {
	prove(t, slices.Concat(productChecks, sharingChecks), func() ProductStores {
		db := memory.New()
		return ProductStores{Users: db.Users(), Products: db.Products()}
	}, slices.Concat(productMutants, listMutants, leavingProductMutants, sharingMutants, grantFilterMutants))
}

func TestPolicyChecksCanFail(t *testing.T) {
	prove(t, policyChecks, func() ports.PolicyRepository { return memory.New().Policies() }, policyMutants)
}

func TestAuthorizerChecksCanFail(t *testing.T) {
	prove(t, authorizerChecks, soundAuthorizer, slices.Concat(authorizerMutants, grantAuthorizerMutants))
}

func TestHasherChecksCanFail(t *testing.T) {
	prove(t, hasherChecks, func() ports.PasswordHasher { return memory.Hasher{} }, hasherMutants)
}

// The proof itself must notice a check that cannot fail, and one without proof.
func TestTheProofCanFail(t *testing.T) {
	idle := check[int]{"idle", func(tester, int) {}}
	even := check[int]{"even", func(t tester, n int) {
		if n%2 == 1 {
			t.Fatalf("%d is odd", n)
		}
	}}
	odd := func(name string) []mutant[int] {
		return []mutant[int]{{name, "is odd", func(n int) int { return n + 1 }}}
	}
	for _, c := range []struct {
		what  string
		check check[int]
		open  int
		with  []mutant[int]
		want  bool
	}{
		{"a good check", even, 0, odd("even"), true},
		{"a check that cannot fail", idle, 0, odd("idle"), false},
		{"a check without a mutant", even, 0, odd("other"), false},
		{"a check that fails on what is sound", even, 1, odd("even"), false},
	} {
		r := &recorder{tester: t}
		proveOne(r, c.check, func() int { return c.open }, c.with)
		if got := !r.Failed(); got != c.want {
			t.Errorf("the proof of %s holds: %v, want %v", c.what, got, c.want)
		}
	}
}

// meet gives a function that holds its first two callers until both are there:
// so that what can go wrong side by side does.
func meet() func() {
	var mu sync.Mutex
	callers, both := 0, make(chan struct{})
	return func() {
		mu.Lock()
		callers++
		n := callers
		if n == 2 {
			close(both)
		}
		mu.Unlock()
		if n <= 2 {
			<-both
		}
	}
}

// deaf is a context that no one can cancel.
func deaf(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// late reports the cancellation after the deed is done.
func late(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fault.Outage(ctx.Err())
	}
	return err
}

// kept remembers the first value of something: a cache that nobody renews.
type kept[T any] struct {
	value T
	known bool
}

func (k *kept[T]) first(f func() (T, error)) (T, error) {
	if k.known {
		return k.value, nil
	}
	v, err := f()
	k.value, k.known = v, err == nil
	return v, err
}
