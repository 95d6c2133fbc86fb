package casbinauthz_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/adapters/casbinauthz"
	"gatehouse/adapters/memory"
	"gatehouse/configs"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
	"gatehouse/ports/portstest"
)

func open(t testing.TB, policies ports.PolicyRepository, v access.Vocabulary) *casbinauthz.Authorizer {
	t.Helper()
	a, err := casbinauthz.New(policies, nil, v, configs.Model(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestContract(t *testing.T) {
	portstest.Authorizer(t, func(t *testing.T, policies ports.PolicyRepository, v access.Vocabulary) ports.Authorizer {
		return open(t, policies, v)
	})
}

func TestRehearsal(t *testing.T) {
	portstest.Rehearsal(t, func(t *testing.T, policies ports.PolicyRepository, v access.Vocabulary) *casbinauthz.Authorizer {
		return open(t, policies, v)
	})
}

// table is a policy repository whose table a test replaces.
type table struct {
	mu  sync.Mutex
	now access.Table
}

func (f *table) Version(context.Context) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now.Version, nil
}

func (f *table) Load(context.Context) (access.Table, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return access.Table{Version: f.now.Version, Rows: slices.Clone(f.now.Rows), Inherits: slices.Clone(f.now.Inherits)}, nil
}

func (f *table) Seed(context.Context, access.Revision) (bool, error) {
	return false, nil
}

func (f *table) put(t access.Table) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = t
}

func vocabulary(t testing.TB) access.Vocabulary {
	t.Helper()
	v, err := access.NewVocabulary()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func signedIn(n byte, version int64, roles ...user.Role) access.Actor {
	return access.SignedIn(user.Restore(user.State{ID: user.ID{UUID: uuid.UUID{n}}, Roles: roles}), version)
}

func thing(owner byte, s product.Status) access.Resource {
	return access.Product(product.Restore(product.State{OwnerID: user.ID{UUID: uuid.UUID{owner}}, Status: s}))
}

func shared(owner, with byte, r product.GrantRole) access.Resource {
	return access.Product(product.Restore(product.State{
		OwnerID: user.ID{UUID: uuid.UUID{owner}}, Status: product.StatusDraft, Grants: []product.Grant{{UserID: user.ID{UUID: uuid.UUID{with}}, Role: r}},
	}))
}

// Casbin and the plain reading of the rules in package memory agree on random
// policies, roles, inheritance and products, in the decision, the filter and
// the roles.
func TestAgreesWithThePlainReading(t *testing.T) {
	roles := []string{"anonymous", "user", "moderator", "admin", "seller"}
	v := vocabulary(t)
	rapid.Check(t, func(rt *rapid.T) {
		word := func(name string, words ...string) string { return rapid.SampledFrom(words).Draw(rt, name) }
		now := access.Table{Version: 1}
		seen := map[string]bool{}
		for range rapid.IntRange(1, 12).Draw(rt, "rows") {
			r := access.Row{Role: word("role", roles...), Resource: word("resource", "product", "user"), Action: word("action", "read", "update"),
				Condition: word("condition", "any", "own", "published", "viewer", "editor"), Effect: word("effect", "allow", "allow", "deny")}
			if !seen[r.String()] {
				seen[r.String()] = true
				now.Rows = append(now.Rows, r)
			}
		}
		for i := range roles[1:] { // only downwards, so that there is no circle
			if rapid.Bool().Draw(rt, "inherits") {
				now.Inherits = append(now.Inherits, access.Inheritance{Role: roles[i+1], Parent: roles[rapid.IntRange(0, i).Draw(rt, "parent")]})
			}
		}
		var given []user.Role
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(roles), 1, 3, rapid.ID).Draw(rt, "given") {
			r, _ := user.ParseRole(name)
			given = append(given, r)
		}
		actor := signedIn(byte(rapid.IntRange(0, 1).Draw(rt, "actor")), 1, given...)
		policies := &table{now: now}
		ours, err := open(t, policies, v).Rights(t.Context(), actor)
		if err != nil {
			rt.Fatal(err)
		}
		plain, err := memory.NewAuthorizer(policies, v).Rights(t.Context(), actor)
		if err != nil {
			rt.Fatal(err)
		}
		for _, action := range []access.Action{access.Read, access.Update, access.Delete} {
			f, err := ours.Filter(action, access.KindProduct)
			if err != nil {
				rt.Fatal(err)
			}
			for _, res := range []access.Resource{
				thing(0, product.StatusDraft), thing(1, product.StatusDraft), thing(1, product.StatusPublished), thing(2, product.StatusPublished), thing(2, product.StatusArchived),
				shared(2, 1, product.Viewer), shared(2, 1, product.Editor), shared(1, 2, product.Editor),
			} {
				got, err := ours.Decide(action, res)
				if err != nil {
					rt.Fatal(err)
				}
				want, err := plain.Decide(action, res)
				if err != nil {
					rt.Fatal(err)
				}
				if got.Allowed != want.Allowed || got.By.Effect != want.By.Effect {
					rt.Fatalf("Casbin decides %v by %q, the plain reading %v by %q", got.Allowed, got.By, want.Allowed, want.By)
				}
				if f.Holds(res) != got.Allowed {
					rt.Fatalf("the filter says %v, the decision %v", f.Holds(res), got.Allowed)
				}
			}
		}
		if fmt.Sprint(ours.Roles()) != fmt.Sprint(plain.Roles()) {
			rt.Fatalf("Roles = %v, the plain reading %v", ours.Roles(), plain.Roles())
		}
	})
}

// Casbin's own role manager follows ten links and silently no more.
func TestInheritanceHasNoEnd(t *testing.T) {
	now := access.Table{Version: 1, Rows: []access.Row{{Role: "r0", Resource: "product", Action: "read", Condition: "any", Effect: "allow"}}}
	for i := range 40 {
		now.Inherits = append(now.Inherits, access.Inheritance{Role: fmt.Sprintf("r%d", i+1), Parent: fmt.Sprintf("r%d", i)})
	}
	last, _ := user.ParseRole("r40")
	rights, err := open(t, &table{now: now}, vocabulary(t)).Rights(t.Context(), signedIn(1, 1, last))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := rights.Decide(access.Read, thing(2, product.StatusDraft)); err != nil || !d.Allowed {
		t.Errorf("Decide over 40 links of inheritance = %v, %v, want allowed", d.Allowed, err)
	}
}

// A table that cannot be used is told of, and by a mended one forgotten: the node
// does its work all the same, so that what all nodes share does not take every one
// of them out of service.
func TestHealth(t *testing.T) {
	good := []access.Row{{Role: "user", Resource: "product", Action: "read", Condition: "any", Effect: "allow"}}
	policies := &table{now: access.Table{Version: 1}}
	a := open(t, policies, vocabulary(t))
	const lastGood = "policy version 3 cannot be used, version 2 decides"
	for _, c := range []struct {
		what    string
		version int64
		rows    []access.Row
		want    string
	}{
		{"no good policy ever", 1, nil, "an outage"}, {"a good one", 2, good, ""}, {"emptied", 3, nil, lastGood}, {"still empty", 3, nil, lastGood}, {"mended", 4, good, ""},
	} {
		policies.put(access.Table{Version: c.version, Rows: c.rows})
		err, got := a.Check(t.Context()), ""
		switch d, degraded := errors.AsType[*ports.Degraded](err); {
		case degraded:
			got = d.Says
		case errors.Is(err, fault.Unavailable):
			got = "an outage"
		case err != nil:
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("Check with %s = %q, want %q", c.what, got, c.want)
		}
	}
}

// Revoking, reloading and deciding side by side: nobody is allowed what has been
// taken away (threats.md, scenario 14). Over the databases the same is done beside
// them.
func TestNoStaleAllow(t *testing.T) {
	policies := memory.New().Policies()
	portstest.Revocation(t, 1000, portstest.PolicyStores{Policies: policies, History: policies}, func(p ports.PolicyRepository, v access.Vocabulary) ports.Authorizer {
		return open(t, p, v)
	})
}

func BenchmarkDecide(b *testing.B) {
	for _, size := range []int{20, 50, 1000} {
		b.Run(fmt.Sprintf("rows=%d", size), func(b *testing.B) {
			now := access.Table{Version: 1}
			for _, r := range []string{"read", "update", "delete"} {
				now.Rows = append(now.Rows, access.Row{Role: "user", Resource: "product", Action: r, Condition: "own", Effect: "allow"})
			}
			for i := range size - 3 {
				now.Rows = append(now.Rows, access.Row{Role: fmt.Sprintf("role%d", i), Resource: "product", Action: "update", Condition: "any", Effect: "allow"})
			}
			actor, res := signedIn(1, 1, user.RoleUser), thing(1, product.StatusDraft)
			a := open(b, &table{now: now}, vocabulary(b))
			b.ReportAllocs()
			for b.Loop() {
				rights, err := a.Rights(b.Context(), actor)
				if err != nil {
					b.Fatal(err)
				}
				if d, err := rights.Decide(access.Update, res); err != nil || !d.Allowed {
					b.Fatalf("Decide = %v, %v", d.Allowed, err)
				}
			}
		})
	}
}

// spoilt is a policy repository that a hand in the database has spoilt, and its
// history.
type spoilt struct {
	*memory.Policies
	bad  bool
	away error // why the history cannot be read
}

func (s *spoilt) Version(ctx context.Context) (int64, error) {
	v, err := s.Policies.Version(ctx)
	if s.bad {
		v++
	}
	return v, err
}

func (s *spoilt) Load(ctx context.Context) (access.Table, error) {
	t, err := s.Policies.Load(ctx)
	if s.bad {
		t.Version++
		t.Rows[0].Action = "eat"
	}
	return t, err
}

func (s *spoilt) Revisions(ctx context.Context, before int64, limit int) ([]access.Revision, error) {
	if s.away != nil {
		return nil, s.away
	}
	return s.Policies.Revisions(ctx, before, limit)
}

// A right that was revoked stays so where the table is spoilt before anybody asks
// again; and where nobody can tell whether one was, there is no answer.
func TestWhatWasRevokedBeforeTheTableWasSpoilt(t *testing.T) {
	row := func(n byte, role string) access.Row {
		return access.Row{ID: access.PolicyID{UUID: uuid.New(time.Unix(0, 0), [8]byte{n})}, Role: role, Resource: "product", Action: "update", Condition: "any", Effect: "allow"}
	}
	for revocations := range 25 {
		kept := &spoilt{Policies: memory.New().Policies()}
		if _, err := kept.Seed(t.Context(), access.Revision{Table: access.Table{Rows: []access.Row{row(1, "admin"), row(2, "user")}}}); err != nil {
			t.Fatal(err)
		}
		a, err := casbinauthz.New(kept, kept, vocabulary(t), configs.Model(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		may := func() (bool, error) {
			r, err := a.Rights(t.Context(), access.SignedIn(user.Restore(user.State{ID: user.ID{UUID: uuid.New(time.Unix(0, 0), [8]byte{9})}, Roles: []user.Role{user.RoleUser}, Status: user.Active}), 0))
			if err != nil {
				return false, err
			}
			d, err := r.Decide(access.Update, access.Any(access.KindProduct))
			return d.Allowed, err
		}
		if yes, err := may(); !yes || err != nil {
			t.Fatalf("at first it is %t, %v", yes, err)
		}
		for n := range revocations {
			if _, err := kept.Change(t.Context(), access.Edit{}, func(t *access.Table) error {
				t.Rows = []access.Row{row(1, "admin"), row(byte(n+3), fmt.Sprintf("role%d", n))}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		kept.bad, kept.away = true, fault.Outage(errors.New("away"))
		if yes, err := may(); revocations > 0 && !errors.Is(err, fault.Unavailable) {
			t.Errorf("after %d changes, and no history to look at, it is %t, %v", revocations, yes, err)
		}
		kept.away = nil
		if yes, err := may(); yes != (revocations == 0) || err != nil {
			t.Errorf("after %d changes it is %t, %v", revocations, yes, err)
		}
	}
}
