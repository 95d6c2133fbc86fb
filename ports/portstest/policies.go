package portstest

import (
	"slices"
	"strings"
	"sync/atomic"

	"gatehouse/domain/access"
	"gatehouse/ports"
)

var policyChecks = []check[ports.PolicyRepository]{
	{"an empty store has version zero", policiesEmpty},
	{"seeding fills the table", policiesSeed},
	{"seeding again changes nothing", policiesSeedAgain},
	{"a table emptied on purpose is not filled", policiesSeedNothing},
	{"words mean nothing to the store", policiesAnyWords},
	{"of seedings at once one wins", policiesSeedAtOnce},
	{"a table is read as of one moment", policiesOneMoment},
	{"nothing handed over is shared", policiesShareNothing},
	{"a cancelled context is an outage", policiesCancelled},
}

// rule writes a row down: rule(1, "user product read any allow").
func rule(n int, words string) access.Row {
	w := strings.Fields(words)
	return access.Row{ID: access.PolicyID{UUID: id(n)}, Role: w[0], Resource: w[1], Action: w[2], Condition: w[3], Effect: w[4]}
}

func seedRows() []access.Row {
	return []access.Row{rule(1, "user product update own allow"), rule(2, "anonymous product read published allow")}
}

func seedInherits() []access.Inheritance {
	return []access.Inheritance{{Role: "user", Parent: "anonymous"}, {Role: "admin", Parent: "user"}, {Role: "admin", Parent: "auditor"}}
}

func seedRevision(rows []access.Row, inherits []access.Inheritance) access.Revision {
	return access.Revision{Edit: access.Edit{At: noon, Note: "the beginning"}, Table: access.Table{Rows: rows, Inherits: inherits}}
}

// wantTable holds the store to a table, whose rows have no order.
func wantTable(t tester, policies ports.PolicyRepository, version int64, rows []access.Row, inherits []access.Inheritance) {
	t.Helper()
	got, err := policies.Version(t.Context())
	if err != nil || got != version {
		t.Errorf("Version = %d, %v, want %d", got, err, version)
	}
	table, err := policies.Load(t.Context())
	must(t, err, "Load")
	want(t, table.Version, version, "Load().Version")
	want(t, sortedRows(table.Rows), sortedRows(rows), "Load().Rows")
	want(t, sortedInherits(table.Inherits), sortedInherits(inherits), "Load().Inherits")
}

// sortedRows writes rows down, which have no order in a store.
func sortedRows(rows []access.Row) []string {
	texts := make([]string, 0, len(rows))
	for _, r := range rows {
		texts = append(texts, r.ID.String()+": "+r.String())
	}
	slices.Sort(texts)
	return texts
}

func sortedInherits(all []access.Inheritance) []access.Inheritance {
	all = append([]access.Inheritance{}, all...)
	slices.SortFunc(all, func(a, b access.Inheritance) int {
		return strings.Compare(a.Role+" "+a.Parent, b.Role+" "+b.Parent)
	})
	return all
}

func seed(t tester, policies ports.PolicyRepository, rows []access.Row, inherits []access.Inheritance, want bool) {
	t.Helper()
	if got, err := policies.Seed(t.Context(), seedRevision(rows, inherits)); err != nil || got != want {
		t.Errorf("Seed = %v, %v, want %v", got, err, want)
	}
}

func policiesEmpty(t tester, policies ports.PolicyRepository) {
	wantTable(t, policies, 0, nil, nil)
}

func policiesSeed(t tester, policies ports.PolicyRepository) {
	seed(t, policies, seedRows(), seedInherits(), true)
	wantTable(t, policies, 1, seedRows(), seedInherits())
}

func policiesSeedAgain(t tester, policies ports.PolicyRepository) {
	seed(t, policies, seedRows(), seedInherits(), true)
	more := []access.Row{rule(3, "user product delete any allow")}
	seed(t, policies, more, []access.Inheritance{{Role: "user", Parent: "admin"}}, false)
	wantTable(t, policies, 1, seedRows(), seedInherits())
}

// A node that starts over a table that somebody emptied must not bring rights
// back that were taken away.
func policiesSeedNothing(t tester, policies ports.PolicyRepository) {
	seed(t, policies, nil, nil, true)
	wantTable(t, policies, 1, nil, nil)
	seed(t, policies, seedRows(), seedInherits(), false)
	wantTable(t, policies, 1, nil, nil)
}

// A node of an older release reads conditions that only a newer one knows.
func policiesAnyWords(t tester, policies ports.PolicyRepository) {
	rows := []access.Row{
		{ID: access.PolicyID{UUID: id(1)}},
		rule(2, "Rolle' resource--% _action\\ \"Bedingung\" 허용"),
		rule(3, strings.Repeat(strings.Repeat("x", 300)+" ", 5)),
	}
	inherits := []access.Inheritance{{Role: "", Parent: "'"}, {Role: "A B", Parent: "%"}}
	seed(t, policies, rows, inherits, true)
	wantTable(t, policies, 1, rows, inherits)
}

func policiesSeedAtOnce(t tester, policies ports.PolicyRepository) {
	const n = 8
	var won atomic.Int64
	atOnce(n, func(i int) {
		rows := []access.Row{rule(i, "user product read any allow")}
		ok, err := policies.Seed(t.Context(), seedRevision(rows, nil))
		if err != nil {
			t.Errorf("Seed(%d at once) = %v, want no error", n, err)
		}
		if ok {
			won.Add(1)
		}
	})
	table, err := policies.Load(t.Context())
	if won.Load() != 1 || err != nil || table.Version != 1 || len(table.Rows) != 1 {
		t.Errorf("of %d seedings at once %d won, version %d with %d rows, %v, want one of each", n, won.Load(), table.Version, len(table.Rows), err)
	}
}

// A version that is newer than the rows beside it makes a node decide by the
// old rows for good: it believes that it has the new ones.
func policiesOneMoment(t tester, policies ports.PolicyRepository) {
	const n = 16
	atOnce(n, func(i int) {
		if i == n/2 {
			seed(t, policies, seedRows(), seedInherits(), true)
			return
		}
		table, err := policies.Load(t.Context())
		if err != nil {
			t.Errorf("Load beside Seed = %v, want no error", err)
			return
		}
		if rows := len(table.Rows); table.Version == 0 && rows != 0 || table.Version == 1 && rows != len(seedRows()) {
			t.Errorf("Load beside Seed = version %d with %d rows, want 0 with none or 1 with %d", table.Version, rows, len(seedRows()))
		}
	})
	wantTable(t, policies, 1, seedRows(), seedInherits())
}

func policiesShareNothing(t tester, policies ports.PolicyRepository) {
	rows, inherits := seedRows(), seedInherits()
	seed(t, policies, rows, inherits, true)
	rows[0].Effect, inherits[0].Parent = "deny", "admin"
	wantTable(t, policies, 1, seedRows(), seedInherits())
	table, err := policies.Load(t.Context())
	if err != nil || len(table.Rows) == 0 || len(table.Inherits) == 0 {
		t.Fatalf("Load = %+v, %v, want the table", table, err)
	}
	table.Rows[0].Effect, table.Inherits[0].Parent = "deny", "admin"
	wantTable(t, policies, 1, seedRows(), seedInherits())
}

// The worst: an outage that reads as an empty table of version zero.
func policiesCancelled(t tester, policies ports.PolicyRepository) {
	ctx := gone(t)
	wantUnavailable(t, map[string]error{
		"Version": second(policies.Version(ctx)),
		"Load":    second(policies.Load(ctx)),
		"Seed":    second(policies.Seed(ctx, seedRevision(seedRows(), seedInherits()))),
	})
	wantTable(t, policies, 0, nil, nil)
	seed(t, policies, seedRows(), seedInherits(), true)
}
