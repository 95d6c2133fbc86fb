package portstest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var historyChecks = []check[PolicyStores]{
	{"a change makes the next version", historyChange},
	{"a change is given the table as it stands", historyGiven},
	{"a refused change keeps nothing", historyRefused},
	{"a change of nothing keeps nothing", historyNothing},
	{"what stands twice is a conflict", historyTwice},
	{"every version is remembered", historyRemembers},
	{"the history is read in pages, the newest first", historyPages},
	{"a version that never was is missing", historyMissing},
	{"any words are remembered", historyAnyWords},
	{"what goes along is kept with a change", historyAlong},
	{"what cannot be kept keeps nothing of a change", historyUnkeepable},
	{"the admins have the last word on a change", historyAdmins},
	{"of changes at once none is lost", historyAtOnce},
	{"of two who remove the last row one finds it gone", historyLastRow},
	{"nothing handed over is shared", historySharesNothing},
	{"a cancelled context is an outage", historyCancelled},
}

// edit is the n-th one, n seconds after noon.
func edit(n int) access.Edit {
	e := access.Edit{At: newEntry(n, userID(n)).At, Note: fmt.Sprintf("edit %d: 왜", n)}
	if n%2 == 1 {
		e.Author = userID(n)
	}
	return e
}

func (s PolicyStores) seed(t tester) access.Revision {
	t.Helper()
	r := seedRevision(seedRows(), seedInherits())
	seed(t, s.Policies, r.Table.Rows, r.Table.Inherits, true)
	r.Table.Version = 1
	return r
}

// adding is a change that adds the n-th row.
func adding(n int) func(*access.Table) error {
	return func(t *access.Table) error {
		t.Rows = append(t.Rows, rule(n, fmt.Sprintf("role%d product read any allow", n)))
		return nil
	}
}

// wantRevision holds a revision to another one, whose rows have no order.
func wantRevision(t tester, got, r access.Revision, what string) {
	t.Helper()
	want(t, got.Edit, r.Edit, "the edit of %s", what)
	want(t, got.Table.Version, r.Table.Version, "the version of %s", what)
	want(t, sortedRows(got.Table.Rows), sortedRows(r.Table.Rows), "the rows of %s", what)
	want(t, sortedInherits(got.Table.Inherits), sortedInherits(r.Table.Inherits), "the inheritance of %s", what)
}

// wantHistory holds the store to remembering these revisions, the newest first,
// and no others.
func (s PolicyStores) wantHistory(t tester, all ...access.Revision) {
	t.Helper()
	got, err := s.History.Revisions(t.Context(), 0, 100)
	must(t, err, "Revisions")
	if len(got) != len(all) {
		t.Errorf("Revisions = %d of them, want %d", len(got), len(all))
		return
	}
	for i, r := range all {
		wantRevision(t, got[i], r, fmt.Sprintf("Revisions[%d]", i))
		one, err := s.History.Revision(t.Context(), r.Table.Version)
		must(t, err, "Revision(%d)", r.Table.Version)
		wantRevision(t, one, r, fmt.Sprintf("Revision(%d)", r.Table.Version))
	}
	wantTable(t, s.Policies, all[0].Table.Version, all[0].Table.Rows, all[0].Table.Inherits)
}

// wantAudit holds the log to so many rows.
func (s PolicyStores) wantAudit(t tester, n int) {
	t.Helper()
	rows, err := s.Log.Rows(t.Context(), noon.Format("2006-01-02"), 0, 100)
	must(t, err, "Rows")
	want(t, len(rows), n, "rows in the audit log")
}

func historyChange(t tester, s PolicyStores) {
	first := s.seed(t)
	rows := []access.Row{first.Table.Rows[1], rule(3, "user product delete own deny")}
	inherits := []access.Inheritance{first.Table.Inherits[0], {Role: "guest", Parent: "anonymous"}}
	table, err := s.History.Change(t.Context(), edit(1), func(t *access.Table) error {
		t.Rows, t.Inherits = slices.Clone(rows), slices.Clone(inherits)
		t.Version = 77 // which is not its to set
		return nil
	})
	must(t, err, "Change")
	second := access.Revision{Edit: edit(1), Table: access.Table{Version: 2, Rows: rows, Inherits: inherits}}
	wantRevision(t, access.Revision{Edit: edit(1), Table: table}, second, "what Change returned")
	s.wantHistory(t, second, first)

	// The same words under another id, and the words of one row in another.
	again := access.Table{Rows: []access.Row{rule(4, "anonymous product read published allow")}}
	_, err = s.History.Change(t.Context(), edit(2), func(t *access.Table) error { *t = again; return nil })
	must(t, err, "Change")
	again.Version = 3
	s.wantHistory(t, access.Revision{Edit: edit(2), Table: again}, second, first)
}

func historyGiven(t tester, s PolicyStores) {
	s.seed(t)
	_, err := s.History.Change(t.Context(), edit(1), adding(3))
	must(t, err, "Change")
	_, err = s.History.Change(t.Context(), edit(2), func(got *access.Table) error {
		want(t, got.Version, 2, "the version that change is given")
		want(t, sortedRows(got.Rows), sortedRows(append(seedRows(), rule(3, "role3 product read any allow"))), "the rows that change is given")
		want(t, sortedInherits(got.Inherits), sortedInherits(seedInherits()), "the inheritance that change is given")
		return nil
	})
	must(t, err, "Change of nothing")
}

func historyRefused(t tester, s PolicyStores) {
	first := s.seed(t)
	_, err := s.History.Change(t.Context(), edit(1), func(t *access.Table) error {
		t.Rows, t.Inherits = nil, nil
		return errRefused
	}, &ports.Along{Audit: []audit.Entry{newEntry(1, userID(1))}})
	wantVery(t, err, errRefused, "Change")
	s.wantHistory(t, first)
	s.wantAudit(t, 0)
}

func historyNothing(t tester, s PolicyStores) {
	first := s.seed(t)
	table, err := s.History.Change(t.Context(), edit(1), func(t *access.Table) error {
		slices.Reverse(t.Rows)
		slices.Reverse(t.Inherits)
		t.Version = 9
		return nil
	}, &ports.Along{Audit: []audit.Entry{newEntry(1, userID(1))}})
	must(t, err, "Change of nothing")
	want(t, table.Version, 1, "the version after a change of nothing")
	s.wantHistory(t, first)
	s.wantAudit(t, 0)
}

func historyTwice(t tester, s PolicyStores) {
	first := s.seed(t)
	for what, change := range map[string]func(*access.Table){
		"an id":          func(t *access.Table) { t.Rows = append(t.Rows, rule(1, "user product read any allow")) },
		"words":          func(t *access.Table) { t.Rows = append(t.Rows, rule(3, "user product update own allow")) },
		"new words":      func(t *access.Table) { t.Rows = append(t.Rows, rule(3, "a b c d e"), rule(4, "a b c d e")) },
		"a row":          func(t *access.Table) { t.Rows = append(t.Rows, t.Rows...) },
		"an inheritance": func(t *access.Table) { t.Inherits = append(t.Inherits, t.Inherits[0]) },
		"a new inheritance": func(t *access.Table) {
			t.Inherits = append(t.Inherits, access.Inheritance{Role: "x"}, access.Inheritance{Role: "x"})
		},
		"a row beside a good one": func(t *access.Table) { t.Rows = append(t.Rows, rule(5, "f g h i j"), t.Rows[0]) },
	} {
		_, err := s.History.Change(t.Context(), edit(1), func(t *access.Table) error { change(t); return nil },
			&ports.Along{Audit: []audit.Entry{newEntry(1, userID(1))}})
		wantError(t, err, fault.Conflict, "Change, after which %s stands twice", what)
	}
	s.wantHistory(t, first)
	s.wantAudit(t, 0)
}

// Version 1 is that of the seed; a row that was removed, and one that was added
// again, are where they were at each version.
func historyRemembers(t tester, s PolicyStores) {
	all := []access.Revision{s.seed(t)}
	for n := range 6 {
		e := edit(n)
		table, err := s.History.Change(t.Context(), e, func(t *access.Table) error {
			if n%3 == 2 {
				t.Rows = t.Rows[:1]
				t.Inherits = nil
				return nil
			}
			t.Inherits = append(t.Inherits, access.Inheritance{Role: fmt.Sprint("heir", n), Parent: "user"})
			return adding(10 + n)(t)
		})
		must(t, err, "Change %d", n)
		all = append(all, access.Revision{Edit: e, Table: table})
	}
	slices.Reverse(all)
	s.wantHistory(t, all...)
	if all[0].Table.Version != 7 {
		t.Errorf("after a seed and six changes the version is %d, want 7", all[0].Table.Version)
	}
}

func historyPages(t tester, s PolicyStores) {
	s.seed(t)
	for n := range 5 {
		must(t, second(s.History.Change(t.Context(), edit(n), adding(10+n))), "Change %d", n)
	}
	for _, c := range []struct {
		before int64
		limit  int
		want   []int64
	}{
		{0, 3, []int64{6, 5, 4}}, {4, 3, []int64{3, 2, 1}}, {2, 3, []int64{1}}, {1, 3, nil}, {100, 1, []int64{6}},
		{0, 0, nil}, {0, -1, nil}, {-1, 10, nil}, {0, 100, []int64{6, 5, 4, 3, 2, 1}},
	} {
		page, err := s.History.Revisions(t.Context(), c.before, c.limit)
		must(t, err, "Revisions")
		var got []int64
		for _, r := range page {
			got = append(got, r.Table.Version)
		}
		want(t, got, c.want, "Revisions(before %d, %d)", c.before, c.limit)
	}
}

func historyMissing(t tester, s PolicyStores) {
	wantError(t, second(s.History.Revision(t.Context(), 1)), fault.NotFound, "Revision(1) of a store that was never filled")
	if list, err := s.History.Revisions(t.Context(), 0, 10); err != nil || len(list) != 0 {
		t.Errorf("Revisions of a store that was never filled = %v, %v, want none", list, err)
	}
	s.seed(t)
	for _, version := range []int64{-1, 0, 2, 1 << 62} {
		wantError(t, second(s.History.Revision(t.Context(), version)), fault.NotFound, "Revision(%d)", version)
	}
}

// A condition that only another release knows is a part of what was, too.
func historyAnyWords(t tester, s PolicyStores) {
	first := s.seed(t)
	table := access.Table{Version: 2, Rows: []access.Row{
		{ID: access.PolicyID{UUID: id(5)}},
		rule(6, "Rolle' resource--% _action\\ \"Bedingung\"<&> 허용\u2028"),
		rule(7, strings.Repeat(strings.Repeat("x", 300)+" ", 5)),
	}, Inherits: []access.Inheritance{{Role: "", Parent: "'"}, {Role: "A B", Parent: "%?"}}}
	e := edit(1)
	e.Note = strings.Repeat("note '\"\\%? 메모\n", 100)
	must(t, second(s.History.Change(t.Context(), e, func(t *access.Table) error { *t = table.Clone(); return nil })), "Change")
	s.wantHistory(t, access.Revision{Edit: e, Table: table}, first)
}

func historyAlong(t tester, s PolicyStores) {
	s.seed(t)
	with := &ports.Along{}
	_, err := s.History.Change(t.Context(), edit(1), func(t *access.Table) error {
		with.Audit = []audit.Entry{newEntry(int(t.Version), userID(1))}
		return adding(3)(t)
	}, nil, with)
	must(t, err, "Change")
	s.wantAudit(t, 1)
	must(t, second(s.History.Change(t.Context(), edit(2), adding(4), with, &ports.Along{Audit: []audit.Entry{newEntry(9, userID(1))}})), "Change")
	s.wantAudit(t, 3)
}

func historyAdmins(t tester, s PolicyStores) {
	first := s.seed(t)
	versions, answer := []int64(nil), errRefused
	with := &ports.Along{Audit: []audit.Entry{newEntry(1, userID(1))}, Admins: func(version int64, sets [][]user.Role) error {
		versions = append(versions, version)
		want(t, len(sets), 0, "sets of roles of no admins")
		return answer
	}}
	wantVery(t, second(s.History.Change(t.Context(), edit(1), adding(3), with)), errRefused, "Change that the admins refuse")
	s.wantHistory(t, first)
	s.wantAudit(t, 0)
	answer = nil
	must(t, second(s.History.Change(t.Context(), edit(1), adding(3), with)), "Change")
	want(t, versions, []int64{2, 2}, "the versions that the admins were shown")
	s.wantAudit(t, 1)
}

func historyUnkeepable(t tester, s PolicyStores) {
	first := s.seed(t)
	stranger := newUser(t, 99)
	_, err := s.History.Change(t.Context(), edit(1), adding(3), &ports.Along{
		Audit: []audit.Entry{newEntry(1, userID(1))}, Letters: []mail.Letter{newLetter(t, 1, stranger)},
	})
	wantError(t, err, fault.NotFound, "Change with a letter to nobody")
	s.wantHistory(t, first)
	s.wantAudit(t, 0)
}

// Each of n changes at once makes a version of its own, and each version has
// what those before it have added.
func historyAtOnce(t tester, s PolicyStores) {
	const n = 8
	s.seed(t)
	atOnce(n, func(i int) {
		_, err := s.History.Change(t.Context(), edit(i), func(table *access.Table) error {
			linger()
			return adding(10 + i)(table)
		}, &ports.Along{Audit: []audit.Entry{newEntry(i, userID(1))}})
		if err != nil {
			t.Errorf("Change beside %d others = %v, want no error", n-1, err)
		}
	})
	all, err := s.History.Revisions(t.Context(), 0, 100)
	must(t, err, "Revisions")
	if len(all) != n+1 {
		t.Fatalf("%d changes at once and a seed make %d versions, want %d", n, len(all), n+1)
	}
	for i, r := range all {
		want(t, r.Table.Version, int64(n+1-i), "the version of Revisions[%d]", i)
		want(t, len(r.Table.Rows), len(seedRows())+n-i, "the rows of version %d", r.Table.Version)
		if i > 0 {
			d := all[i-1].Table.Since(r.Table)
			want(t, len(d.Added), 1, "rows that version %d adds", all[i-1].Table.Version)
			want(t, len(d.Removed), 0, "rows that version %d removes", all[i-1].Table.Version)
		}
	}
	wantTable(t, s.Policies, n+1, all[0].Table.Rows, all[0].Table.Inherits)
	s.wantAudit(t, n)
}

// Two who each leave the other's row as the last one: the one who comes later
// sees what the first has done. A check that was made before is worth nothing.
func historyLastRow(t tester, s PolicyStores) {
	for round := range 10 {
		must(t, second(s.History.Change(t.Context(), edit(0), func(t *access.Table) error {
			t.Rows = []access.Row{rule(2*round, "a product read any allow"), rule(2*round+1, "b product read any allow")}
			return nil
		})), "Change")
		remove := func(n int) func() {
			return func() {
				_ = second(s.History.Change(t.Context(), edit(n), func(t *access.Table) error {
					linger()
					if len(t.Rows) == 1 {
						return errRefused
					}
					t.Rows = slices.DeleteFunc(t.Rows, func(r access.Row) bool { return r.ID.UUID == id(n) })
					return nil
				}))
			}
		}
		race(round, remove(2*round), remove(2*round+1))
		table, err := s.Policies.Load(t.Context())
		must(t, err, "Load")
		if len(table.Rows) != 1 {
			t.Errorf("after two who remove all but one row there are %d, want 1", len(table.Rows))
			return
		}
	}
}

func historySharesNothing(t tester, s PolicyStores) {
	first := s.seed(t)
	rows, inherits := []access.Row{rule(3, "user product read any allow")}, []access.Inheritance{{Role: "a", Parent: "b"}}
	table, err := s.History.Change(t.Context(), edit(1), func(t *access.Table) error {
		t.Rows, t.Inherits = rows, inherits
		return nil
	})
	must(t, err, "Change")
	made := access.Revision{Edit: edit(1), Table: access.Table{Version: 2, Rows: slices.Clone(rows), Inherits: slices.Clone(inherits)}}
	spoil := func(t access.Table) {
		for i := range t.Rows {
			t.Rows[i].Effect = "deny"
		}
		for i := range t.Inherits {
			t.Inherits[i].Parent = "admin"
		}
	}
	spoil(access.Table{Rows: rows, Inherits: inherits})
	s.wantHistory(t, made, first)
	spoil(table)
	s.wantHistory(t, made, first)
	list, err := s.History.Revisions(t.Context(), 0, 10)
	must(t, err, "Revisions")
	for _, r := range list {
		spoil(r.Table)
	}
	one, err := s.History.Revision(t.Context(), 2)
	must(t, err, "Revision")
	spoil(one.Table)
	_ = second(s.History.Change(t.Context(), edit(2), func(t *access.Table) error { spoil(*t); return errRefused }))
	s.wantHistory(t, made, first)
}

func historyCancelled(t tester, s PolicyStores) {
	ctx := gone(t)
	first := s.seed(t)
	wantUnavailable(t, map[string]error{
		"Change":    second(s.History.Change(ctx, edit(1), adding(3))),
		"Revisions": second(s.History.Revisions(ctx, 0, 10)),
		"Revision":  second(s.History.Revision(ctx, 1)),
	})
	// One that hangs up while the change is under way.
	under, cancel := context.WithCancel(t.Context())
	wantUnavailable(t, map[string]error{"Change": second(s.History.Change(under, edit(1), func(t *access.Table) error {
		cancel()
		return adding(3)(t)
	}))})
	s.wantHistory(t, first)
}
