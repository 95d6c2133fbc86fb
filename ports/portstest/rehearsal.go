package portstest

import (
	"errors"
	"slices"

	"pgregory.net/rapid"

	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// decider is both sides of whoever decides.
type decider interface {
	ports.Authorizer
	ports.Rehearsal
}

// rehearsalOpener makes a decider over a table of the suite.
type rehearsalOpener func(ports.PolicyRepository, access.Vocabulary) decider

var rehearsalChecks = []check[rehearsalOpener]{
	{"it decides as if the table were the policy", rehearsalDecides},
	{"what is in force does not matter, nor does it change", rehearsalAside},
	{"no store is asked", rehearsalAsksNobody},
	{"a bad table is an error", rehearsalBadTable},
	{"the table is not shared", rehearsalSharesNothing},
}

func under(t rapid.TB, r ports.Rehearsal, table access.Table) func(access.Actor) access.Rights {
	t.Helper()
	f, err := r.Under(table)
	if err != nil || f == nil {
		t.Fatalf("Under = %v, want rights", err)
	}
	return f
}

// The same table, once in force and once tried out.
func rehearsalDecides(t tester, open rehearsalOpener) {
	names := []string{"anonymous", "user", "moderator", "admin"}
	rapid.Check(t, func(rt *rapid.T) {
		policies := written(drawTable(rt, names)...)
		tried := under(rt, open(written(readAll), vocabulary(rt)), policies.now)
		actor := acting(byte(rapid.IntRange(0, 1).Draw(rt, "actor")), 1, rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 3, rapid.ID).Draw(rt, "given")...)
		inForce, got := rights(rt, t.Context(), open(policies, vocabulary(rt)), actor), tried(actor)
		if a, b := joined(inForce.Roles()), joined(got.Roles()); a != b {
			rt.Fatalf("Roles tried out = %s, in force %s", b, a)
		}
		for _, action := range []access.Action{access.Read, access.Update} {
			f, err := got.Filter(action, access.KindProduct)
			if err != nil {
				rt.Fatalf("Filter = %v", err)
			}
			for _, res := range []access.Resource{
				thing(0, product.StatusDraft), thing(1, product.StatusDraft), thing(1, product.StatusPublished), thing(2, product.StatusPublished), access.Any(access.KindUser),
			} {
				a, b := decide(rt, inForce, action, res), decide(rt, got, action, res)
				if a.Allowed != b.Allowed || a.By.String() != b.By.String() {
					rt.Fatalf("Decide(%s) tried out = %v by %q, in force %v by %q", action, b.Allowed, b.By, a.Allowed, a.By)
				}
				if res.Kind() == access.KindProduct && f.Holds(res) != b.Allowed {
					rt.Fatalf("Filter(%s) tried out holds: %v, Decide %v", action, f.Holds(res), b.Allowed)
				}
			}
		}
	})
}

func rehearsalAside(t tester, open rehearsalOpener) {
	policies := written(readAll)
	d := open(policies, vocabulary(t))
	wantAllowed(t, d, acting(1, 1, "user"), access.Read, foreign, true, "before a rehearsal")
	for _, version := range []int64{0, 1, 99} {
		table := written(updateAll).now
		table.Version = version
		tried := under(t, d, table)
		for _, of := range []int64{0, 1, 99} {
			r := tried(acting(1, of, "user"))
			if decide(t, r, access.Read, foreign).Allowed || !decide(t, r, access.Update, foreign).Allowed {
				t.Errorf("a table of version %d tried out for an actor of version %d decides otherwise than it says", version, of)
			}
		}
		wantAllowed(t, d, acting(1, policies.version(), "user"), access.Update, foreign, false, "after a rehearsal")
		wantAllowed(t, d, acting(1, policies.version(), "user"), access.Read, foreign, true, "after a rehearsal")
	}
	policies.put(updateAll)
	wantAllowed(t, d, acting(1, policies.version(), "user"), access.Read, foreign, false, "a newer version after a rehearsal")
}

func rehearsalAsksNobody(t tester, open rehearsalOpener) {
	policies := written(readAll)
	d := open(policies, vocabulary(t))
	policies.fail(errors.New("down"), errors.New("down"))
	r := under(t, d, written(updateAll).now)(acting(1, 0, "user"))
	if !decide(t, r, access.Update, foreign).Allowed {
		t.Error("a table tried out while the store is down does not decide")
	}
	want(t, policies.loaded(), 0, "how often the policy was loaded")
}

func rehearsalBadTable(t tester, open rehearsalOpener) {
	d := open(written(readAll), vocabulary(t))
	for what, lines := range badTables {
		if f, err := d.Under(written(lines...).now); err == nil || f != nil {
			t.Errorf("Under(%s) = %v, want an error and no rights", what, err)
		}
	}
	if _, err := d.Under(access.Table{}); err == nil {
		t.Error("Under(nothing) = nil, want an error")
	}
}

func rehearsalSharesNothing(t tester, open rehearsalOpener) {
	table := written(readAll, "admin < user").now
	tried := under(t, open(written(updateAll), vocabulary(t)), table)
	table.Rows[0].Effect, table.Inherits[0].Parent = "deny", "nobody"
	for _, name := range []string{"user", "admin"} {
		if !decide(t, tried(acting(1, 0, name)), access.Read, foreign).Allowed {
			t.Errorf("%s is denied after the table that was handed over has been altered", name)
		}
	}
	roles := tried(acting(1, 0, "admin")).Roles()
	for i := range roles {
		roles[i] = role("other")
	}
	if got := tried(acting(1, 0, "admin")).Roles(); !slices.Contains(got, user.RoleUser) {
		t.Errorf("Roles after altering what Roles gave = %v, want user among them", got)
	}
}
