package portstest

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

var ledgerChecks = []check[RecordStores]{
	{"an empty log has no heads", ledgerEmpty},
	{"every field is kept", ledgerKeepsEveryField},
	{"every day has a chain of its own", ledgerDays},
	{"rows are read page by page", ledgerPages},
	{"lists what a user did and met with", ledgerRowsOf},
	{"a search of the log goes from the newest", ledgerSearch},
	{"what is appended pushes nothing out of the pages", ledgerSearchBesideWriters},
	{"all is recorded or nothing", ledgerAllOrNothing},
	{"letters are recorded too", ledgerLetters},
	{"entries at once leave one unbroken chain", ledgerAtOnce},
	{"entries outlive their user", ledgerOutlives},
	{"nothing handed in or out is shared", ledgerSharesNothing},
	{"a cancelled context is an outage", ledgerCancelled},
}

func (s RecordStores) record(t tester, entries ...audit.Entry) {
	t.Helper()
	must(t, s.Ledger.Record(t.Context(), ports.Along{Audit: entries}), "Record")
}

// wantUnbroken holds the log to n rows in chains that hold, and gives them.
func (s RecordStores) wantUnbroken(t tester, n int) (all []audit.Row) {
	t.Helper()
	heads, err := s.Log.Heads(t.Context())
	must(t, err, "Heads")
	for _, head := range heads {
		var chain audit.Chain
		rows, err := s.Log.Rows(t.Context(), head.Day, 0, n+1)
		must(t, err, "Rows(%s)", head.Day)
		for _, r := range rows {
			must(t, chain.Next(head.Day, r), "the chain")
		}
		must(t, chain.End(head), "the end of the chain")
		all = append(all, rows...)
	}
	want(t, len(all), n, "how many rows there are in the log")
	return all
}

func ledgerEmpty(t tester, s RecordStores) {
	s.wantLog(t)
	rows, err := s.Log.Rows(t.Context(), "2026-11-24", 0, 10)
	if err != nil || len(rows) != 0 {
		t.Errorf("Rows of a day without any = %d, %v, want none", len(rows), err)
	}
}

// What comes back otherwise than it went in looks like forgery ever after.
func ledgerKeepsEveryField(t tester, s RecordStores) {
	full := audit.Entry{
		ID: id(1), At: noon.Add(789 * time.Nanosecond).In(time.FixedZone("Seoul", 9*60*60)), Event: audit.SessionEnded, Outcome: audit.Refused,
		Actor: userID(1), Subject: audit.Subject{Type: "session", ID: id(3).String()},
		Origin: audit.Origin{
			IP: netip.MustParseAddr("fe80::1%eth0"), UserAgent: session.NewDevice(strings.Repeat("브'\"\\%", 200), netip.Addr{}).UserAgent,
			RequestID: strings.Repeat("r", 128),
		},
		Detail: map[string]string{"reason": "ended_by_owner", "b": "", "": "empty", "ㄱ\"\\": "<b>&\u2028\x1f한글"},
	}
	mapped := newEntry(3, userID(1))
	mapped.Origin.IP, mapped.Detail = netip.MustParseAddr("::ffff:192.0.2.1"), map[string]string{}
	raw := newEntry(4, userID(1)) // what a client sends need not be text
	raw.Origin.UserAgent, raw.Origin.RequestID = "\xff\x00한\xed\x95", "\x00"
	raw.Detail = map[string]string{"device\x00": "\x00\xfe글"}
	entries := []audit.Entry{full, {ID: id(2), At: noon, Event: audit.SignInFailed, Outcome: audit.Failure}, mapped, raw}
	s.record(t, entries...)
	rows := s.wantUnbroken(t, len(entries))
	s.wantLog(t, entries...)
	for i, r := range rows {
		want(t, r.Seq, int64(i+1), "the place of row %d", i)
	}
}

// A day ends at midnight in UTC, wherever who writes stands and whatever comes
// first.
func ledgerDays(t tester, s RecordStores) {
	midnight := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	west, east := time.FixedZone("west", -11*60*60), time.FixedZone("east", 14*60*60)
	at := func(n int, at time.Time) audit.Entry {
		e := newEntry(n, userID(1))
		e.At = at
		return e
	}
	entries := []audit.Entry{
		at(0, midnight.In(west)), at(1, midnight.Add(-time.Nanosecond).In(east)), at(2, midnight.Add(24*time.Hour-time.Microsecond).In(east)),
		at(3, midnight.Add(-24*time.Hour).In(west)), at(4, midnight.Add(-24*time.Hour-time.Microsecond)), at(5, farAway), at(6, longAgo),
	}
	for _, e := range entries {
		s.record(t, e)
	}
	s.wantLog(t, entries...)
	heads, err := s.Log.Heads(t.Context())
	must(t, err, "Heads")
	var days []string
	for _, h := range heads {
		days = append(days, h.Day)
	}
	want(t, days, []string{"1969-12-31", "2026-11-23", "2026-11-24", "2026-11-25", "9999-12-31"}, "the days")
}

func ledgerPages(t tester, s RecordStores) {
	for n := range 12 {
		s.record(t, newEntry(n, userID(1)))
	}
	for _, c := range []struct {
		day          string
		after        int64
		limit        int
		first, count int
	}{
		{"2026-11-24", 0, 5, 1, 5}, {"2026-11-24", 5, 5, 6, 5}, {"2026-11-24", 10, 5, 11, 2}, {"2026-11-24", 12, 5, 0, 0},
		{"2026-11-24", 0, 0, 0, 0}, {"2026-11-24", -7, 1, 1, 1}, {"2026-11-23", 0, 5, 0, 0}, {"", 0, 5, 0, 0},
	} {
		rows, err := s.Log.Rows(t.Context(), c.day, c.after, c.limit)
		must(t, err, "Rows(%q, %d, %d)", c.day, c.after, c.limit)
		want(t, len(rows), c.count, "how many Rows(%q, %d, %d) gives", c.day, c.after, c.limit)
		for i, r := range rows {
			want(t, r.Seq, int64(c.first+i), "the place of row %d of Rows(%q, %d, %d)", i, c.day, c.after, c.limit)
		}
	}
}

func ledgerRowsOf(t tester, s RecordStores) {
	ann, bob := userID(1), userID(2)
	entry := func(n int, day int, actor user.ID, subject audit.Subject) audit.Entry {
		e := newEntry(n, ann)
		e.At, e.Actor, e.Subject = e.At.AddDate(0, 0, day), actor, subject
		return e
	}
	tomorrow, before := entry(3, 1, ann, audit.Subject{}), entry(5, -1, user.ID{}, audit.Of(ann))
	hers := []audit.Entry{tomorrow, entry(4, 0, bob, audit.Of(ann)), entry(2, 0, ann, audit.Of(bob)), entry(1, 0, ann, audit.Of(ann)), before}
	s.record(t, hers[0], hers[3], hers[4], entry(9, 0, bob, audit.Of(bob)), hers[2], entry(8, 0, user.ID{}, audit.Subject{}), hers[1])
	for limit := range len(hers) + 2 {
		rows, err := s.Log.RowsOf(t.Context(), ann, limit)
		must(t, err, "RowsOf(%d)", limit)
		var got, all []uuid.UUID
		for _, r := range rows {
			got = append(got, r.ID)
		}
		for _, e := range hers[:min(limit, len(hers))] {
			all = append(all, e.ID)
		}
		want(t, joined(got), joined(all), "RowsOf(%d)", limit)
	}
	for what, id := range map[string]user.ID{"who is not in it": userID(3), "nobody": {}} {
		if rows, err := s.Log.RowsOf(t.Context(), id, 10); err != nil || len(rows) != 0 {
			t.Errorf("RowsOf(%s) = %d rows, %v, want none", what, len(rows), err)
		}
	}
	rows, err := s.Log.RowsOf(t.Context(), ann, 1)
	must(t, err, "RowsOf")
	row, _ := audit.Head{Day: tomorrow.Day()}.Append(tomorrow)
	want(t, rows, []audit.Row{row}, "RowsOf(1)")
}

func ledgerAllOrNothing(t tester, s RecordStores) {
	u, nobody := addUser(t, s.Users, 1), newUser(t, 2)
	err := s.Ledger.Record(t.Context(), ports.Along{
		Letters: []mail.Letter{newLetter(t, 1, u), newLetter(t, 2, nobody)},
		Audit:   []audit.Entry{newEntry(1, u.ID())},
	})
	wantError(t, err, fault.NotFound, "Record with a letter to nobody")
	s.wantLog(t)
	s.wantLetters(t, u.ID())
}

func ledgerLetters(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	letters := []mail.Letter{newLetter(t, 1, u), newLetter(t, 2, u)}
	must(t, s.Ledger.Record(t.Context(), ports.Along{Letters: letters}), "Record(letters alone)")
	s.wantLetters(t, u.ID(), letters...)
	s.wantLog(t)
}

// Two rows that follow the same one are one row lost.
func ledgerAtOnce(t tester, s RecordStores) {
	const n = 30
	for i := range n {
		addUser(t, s.Users, i)
	}
	atOnce(n, func(i int) {
		e := newEntry(i, userID(i))
		e.At = e.At.AddDate(0, 0, i%2)
		with := ports.Along{Audit: []audit.Entry{e, e}}
		var err error
		switch i % 3 {
		case 0:
			err = s.Ledger.Record(t.Context(), with)
		default:
			c := carriers[i%3-1]
			err = c.run(t.Context(), s, userID(i), func() error { linger(); return nil }, &with)
		}
		if err != nil {
			t.Errorf("writing down %d at once = %v, want no error", n, err)
		}
	})
	rows := s.wantUnbroken(t, 2*n)
	for i := 1; i < len(rows); i += 2 {
		want(t, rows[i].ID, rows[i-1].ID, "what stands behind an entry of the same step")
	}
	for i := range n {
		if !slices.ContainsFunc(rows, func(r audit.Row) bool { return r.ID == id(i) }) {
			t.Errorf("entry %d is not in the log", i)
		}
	}
}

// Who did it is worth knowing above all when the account is gone.
func ledgerOutlives(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	e := newEntry(1, u.ID())
	s.record(t, e)
	with := ports.Along{Audit: []audit.Entry{newEntry(2, u.ID())}}
	must(t, s.Users.Delete(t.Context(), u.ID(), goInPeace, &with), "Delete")
	s.record(t, newEntry(3, u.ID()))
	s.wantLog(t, e, newEntry(2, u.ID()), newEntry(3, u.ID()))
	rows, err := s.Log.RowsOf(t.Context(), u.ID(), 10)
	must(t, err, "RowsOf")
	want(t, len(rows), 3, "how many rows are there of who is gone")
}

func ledgerSharesNothing(t tester, s RecordStores) {
	e := newEntry(1, userID(1))
	s.record(t, e)
	e.Detail["n"] = "altered"
	for _, list := range []func() ([]audit.Row, error){
		func() ([]audit.Row, error) { return s.Log.Rows(t.Context(), e.Day(), 0, 1) },
		func() ([]audit.Row, error) { return s.Log.RowsOf(t.Context(), userID(1), 1) },
	} {
		rows, err := list()
		if err != nil || len(rows) != 1 {
			t.Fatalf("the log gives %d rows, %v, want 1", len(rows), err)
		}
		rows[0].Detail["n"], rows[0].Seq = "altered", 7
		s.wantLog(t, newEntry(1, userID(1)))
	}
	heads, err := s.Log.Heads(t.Context())
	must(t, err, "Heads")
	heads[0].Seq = 7
	s.wantLog(t, newEntry(1, userID(1)))
}

func ledgerCancelled(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	e, ctx := newEntry(1, u.ID()), gone(t)
	s.record(t, e)
	wantUnavailable(t, map[string]error{
		"Record":           s.Ledger.Record(ctx, ports.Along{Audit: []audit.Entry{newEntry(2, u.ID())}}),
		"Record of a mail": s.Ledger.Record(ctx, ports.Along{Letters: []mail.Letter{newLetter(t, 1, u)}}),
		"Heads":            second(s.Log.Heads(ctx)),
		"Rows":             second(s.Log.Rows(ctx, e.Day(), 0, 10)),
		"Rows of no day":   second(s.Log.Rows(ctx, "2020-01-01", 0, 10)),
		"RowsOf":           second(s.Log.RowsOf(ctx, u.ID(), 10)),
		"Search":           second(s.Log.Search(ctx, ports.AuditQuery{Limit: 10})),
	})
	s.wantLog(t, e)
	s.wantLetters(t, u.ID())
}
