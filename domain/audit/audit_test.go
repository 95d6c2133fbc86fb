package audit_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"gatehouse/domain/audit"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

var (
	noon = time.Date(2026, 11, 24, 12, 0, 0, 123456000, time.UTC)
	ann  = user.ID{UUID: uuid.UUID{1}}
)

const day = "2026-11-24"

// entry is the n-th entry.
func entry(n int) audit.Entry {
	return audit.Entry{
		ID: uuid.UUID{byte(n), 15: 1}, At: noon.Add(time.Duration(n) * time.Second), Event: audit.SessionEnded, Outcome: audit.Success,
		Actor: ann, Subject: audit.Of(ann),
		Origin: audit.Origin{IP: netip.MustParseAddr("192.0.2.1"), UserAgent: "agent", RequestID: "request"},
		Detail: map[string]string{"reason": "signed_out", "n": fmt.Sprint(n)},
	}
}

// log makes the rows of a day out of entries 0 to n-1, and their head.
func log(n int) (rows []audit.Row, head audit.Head) {
	for i := range n {
		var r audit.Row
		r, head = head.Append(entry(i))
		rows = append(rows, r)
	}
	return rows, head
}

// verify follows the rows and compares the last with the head.
func verify(rows []audit.Row, head audit.Head) error {
	var c audit.Chain
	for _, r := range rows {
		if err := c.Next(day, r); err != nil {
			return err
		}
	}
	return c.End(head)
}

// wantBroken holds a verification to naming the place.
func wantBroken(t *testing.T, err error, want audit.Broken, what string, args ...any) {
	t.Helper()
	got, ok := errors.AsType[*audit.Broken](err)
	if !ok || *got != want {
		t.Errorf("%s = %v, want %v", fmt.Sprintf(what, args...), err, &want)
	}
}

func TestASoundChainHolds(t *testing.T) {
	for n := range 5 {
		rows, head := log(n)
		if n == 0 {
			head.Day = day
		}
		if err := verify(rows, head); err != nil {
			t.Errorf("a sound log of %d rows = %v", n, err)
		}
	}
	rows, head := log(3)
	if rows[0].Seq != 1 || rows[2].Seq != 3 || head != (audit.Head{Day: day, Seq: 3, Hash: rows[2].Hash}) {
		t.Errorf("places %d to %d, head %+v, want 1 to 3 and the last row as the head", rows[0].Seq, rows[2].Seq, head)
	}
}

// tampering is every way to alter one field of a row.
var tampering = map[string]func(r *audit.Row){
	"ID":          func(r *audit.Row) { r.ID[15]++ },
	"At":          func(r *audit.Row) { r.At = r.At.Add(time.Microsecond) },
	"Event":       func(r *audit.Row) { r.Event = audit.SignedIn },
	"Outcome":     func(r *audit.Row) { r.Outcome = audit.Failure },
	"Actor":       func(r *audit.Row) { r.Actor = user.ID{} },
	"Subject":     func(r *audit.Row) { r.Subject = audit.Subject{} },
	"its type":    func(r *audit.Row) { r.Subject.Type = "session" },
	"Origin":      func(r *audit.Row) { r.Origin = audit.Origin{} },
	"the address": func(r *audit.Row) { r.Origin.IP = netip.MustParseAddr("192.0.2.2") },
	"the agent":   func(r *audit.Row) { r.Origin.UserAgent += " " },
	"the request": func(r *audit.Row) { r.Origin.RequestID = "" },
	"Detail":      func(r *audit.Row) { r.Detail = nil },
	"a member":    func(r *audit.Row) { r.Detail = with(r.Detail, "reason", "idle") },
	"one more":    func(r *audit.Row) { r.Detail = with(r.Detail, "more", "") },
	"the hash":    func(r *audit.Row) { r.Hash[31]++ },
	"between two fields": func(r *audit.Row) {
		one := min(1, len(r.Origin.RequestID)) // none may be left by another way
		r.Origin.UserAgent, r.Origin.RequestID = r.Origin.UserAgent+r.Origin.RequestID[:one], r.Origin.RequestID[one:]
	},
}

func TestAChangedRowIsFoundAtEveryPlace(t *testing.T) {
	const n = 5
	for what, tamper := range tampering {
		for at := range n {
			rows, head := log(n)
			tamper(&rows[at])
			wantBroken(t, verify(rows, head), audit.Broken{Day: day, Seq: int64(at + 1), ID: rows[at].ID, What: "changed"}, "row %d with %s changed", at+1, what)
		}
	}
	// Who forges the hash of a row as well breaks the next, and at the end the head.
	for at := range n {
		rows, head := log(n)
		before := audit.Head{Day: day}
		if at > 0 {
			before = audit.Head{Day: day, Seq: rows[at-1].Seq, Hash: rows[at-1].Hash}
		}
		forged := rows[at].Entry
		forged.Outcome = audit.Failure
		rows[at], _ = before.Append(forged)
		want := audit.Broken{Day: day, Seq: int64(at + 2), ID: uuid.UUID{byte(at + 1), 15: 1}, What: "changed"}
		if at == n-1 {
			want = audit.Broken{Day: day, Seq: n, What: "changed"}
		}
		wantBroken(t, verify(rows, head), want, "row %d forged with its hash", at+1)
	}
}

// Somebody who adds a field to an entry must hash it too: this fails until they
// have thought of it.
func TestEveryFieldIsHashed(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[audit.Entry](), reflect.TypeFor[audit.Origin](), reflect.TypeFor[audit.Subject]()} {
		known := map[string]int{"Entry": 8, "Origin": 3, "Subject": 2}
		if got := typ.NumField(); got != known[typ.Name()] {
			t.Errorf("audit.%s has %d fields, of which %d are hashed: add the new one to sum and to tampering", typ.Name(), got, known[typ.Name()])
		}
	}
}

func TestARemovedRowIsFoundAtEveryPlace(t *testing.T) {
	const n = 5
	for at := range n {
		for many := 1; at+many <= n; many++ {
			rows, head := log(n)
			rows = slices.Delete(rows, at, at+many)
			wantBroken(t, verify(rows, head), audit.Broken{Day: day, Seq: int64(at + 1), What: "missing"}, "%d rows from %d on removed", many, at+1)
		}
		// Closing the gap takes a place from its row.
		if at == n-1 {
			continue
		}
		rows, head := log(n)
		rows = slices.Delete(rows, at, at+1)
		for i := at; i < len(rows); i++ {
			rows[i].Seq--
		}
		wantBroken(t, verify(rows, head), audit.Broken{Day: day, Seq: int64(at + 1), ID: rows[at].ID, What: "changed"}, "row %d removed and the gap closed", at+1)
	}
	_, head := log(n)
	wantBroken(t, verify(nil, head), audit.Broken{Day: day, Seq: 1, What: "missing"}, "all rows removed")
}

func TestAMovedRowIsFoundAtEveryPlace(t *testing.T) {
	const n = 5
	for from := range n {
		for to := range n {
			if from == to {
				continue
			}
			rows, head := log(n)
			// As a database shows two rows whose places were swapped.
			rows[from], rows[to] = rows[to], rows[from]
			rows[from].Seq, rows[to].Seq = rows[to].Seq, rows[from].Seq
			first := min(from, to)
			wantBroken(t, verify(rows, head), audit.Broken{Day: day, Seq: int64(first + 1), ID: rows[first].ID, What: "changed"}, "rows %d and %d swapped", from+1, to+1)
		}
		rows, head := log(n)
		rows[from].At = rows[from].At.AddDate(0, 0, 1)
		wantBroken(t, verify(rows, head), audit.Broken{Day: day, Seq: int64(from + 1), ID: rows[from].ID, What: "moved"}, "row %d from another day", from+1)
	}
}

func TestAnAddedRowIsFoundAtEveryPlace(t *testing.T) {
	const n = 5
	stranger := entry(99)
	for at := range n + 1 {
		rows, head := log(n)
		before := audit.Head{Day: day}
		if at > 0 {
			before = audit.Head{Day: day, Seq: rows[at-1].Seq, Hash: rows[at-1].Hash}
		}
		added, _ := before.Append(stranger)
		rows = slices.Insert(rows, at, added)
		want := audit.Broken{Day: day, Seq: int64(at + 1), ID: uuid.UUID{byte(at), 15: 1}, What: "added"}
		if at == n {
			want.ID = uuid.UUID{}
		}
		// It follows, but what came there before it comes again.
		wantBroken(t, verify(rows, head), want, "a row added at %d", at+1)
		// With the places behind it shifted, the next does not follow.
		for i := at + 1; i < len(rows); i++ {
			rows[i].Seq++
		}
		want = audit.Broken{Day: day, Seq: int64(at + 2), ID: uuid.UUID{byte(at), 15: 1}, What: "changed"}
		if at == n {
			want = audit.Broken{Day: day, Seq: n + 1, What: "added"}
		}
		wantBroken(t, verify(rows, head), want, "a row added at %d and the rest shifted", at+1)
	}
	rows, _ := log(n)
	wantBroken(t, verify(rows, audit.Head{Day: day}), audit.Broken{Day: day, Seq: 1, What: "added"}, "rows of a day whose head was taken away")
	rows[0].Seq = 0
	wantBroken(t, verify(rows, audit.Head{Day: day, Seq: n}), audit.Broken{Day: day, Seq: 0, ID: rows[0].ID, What: "added"}, "a row at place zero")
}

// with is a copy of the details with a member more, or another value.
func with(detail map[string]string, name, value string) map[string]string {
	next := map[string]string{name: value}
	for k, v := range detail {
		if k != name {
			next[k] = v
		}
	}
	return next
}

// Whatever one does to a row, a verification does not hold.
func TestNoTamperingGoesUnseen(t *testing.T) {
	ways := slices.Sorted(maps.Keys(tampering))
	rapid.Check(t, func(t *rapid.T) {
		rows, head := log(rapid.IntRange(1, 6).Draw(t, "rows"))
		for range rapid.IntRange(1, 3).Draw(t, "acts") {
			at := rapid.IntRange(0, max(len(rows)-1, 0)).Draw(t, "at")
			switch act := rapid.SampledFrom([]string{"change", "remove", "repeat"}).Draw(t, "act"); {
			case len(rows) == 0:
			case act == "change":
				tampering[rapid.SampledFrom(ways).Draw(t, "way")](&rows[at])
			case act == "remove":
				rows = slices.Delete(rows, at, at+1)
			case act == "repeat":
				rows = slices.Insert(rows, at, rows[at])
			}
		}
		whole, _ := log(len(rows))
		if int64(len(rows)) == head.Seq && reflect.DeepEqual(rows, whole) {
			t.Skip("one act undid another")
		}
		if err := verify(rows, head); err == nil {
			t.Fatalf("a log that was tampered with holds")
		}
	})
}

func TestBrokenTellsThePlace(t *testing.T) {
	id := uuid.UUID{7}
	for want, b := range map[string]audit.Broken{
		"audit log of 2026-11-24: row 3 is missing":                           {Day: day, Seq: 3, What: "missing"},
		"audit log of 2026-11-24: row 4 (id " + id.String() + ") was changed": {Day: day, Seq: 4, ID: id, What: "changed"},
		"audit log of 2026-11-24: row 1 (id " + id.String() + ") was moved":   {Day: day, Seq: 1, ID: id, What: "moved"},
	} {
		if got := b.Error(); got != want {
			t.Errorf("Error = %q, want %q", got, want)
		}
	}
}

// A day is one in UTC.
func TestDay(t *testing.T) {
	east := time.FixedZone("east", 14*60*60)
	for at, want := range map[time.Time]string{
		time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC):            "2026-11-24",
		time.Date(2026, 11, 24, 23, 59, 59, 999999999, time.UTC): "2026-11-24",
		time.Date(2026, 11, 25, 13, 59, 59, 0, east):             "2026-11-24",
		time.Date(2026, 11, 25, 14, 0, 0, 0, east):               "2026-11-25",
	} {
		if got := (audit.Entry{At: at}).Day(); got != want {
			t.Errorf("Day of %v = %s, want %s", at, got, want)
		}
	}
}

// Append brings an entry into the form in which it comes back from a store:
// else what was never touched looks forged.
func TestAppendKeepsWhatStoresCanKeep(t *testing.T) {
	raw := entry(1)
	raw.At = raw.At.Add(789).In(time.FixedZone("Seoul", 9*60*60))
	raw.Origin = audit.Origin{IP: netip.MustParseAddr("::ffff:192.0.2.1"), UserAgent: "a\x00b\xffc한", RequestID: "\x00"}
	raw.Detail = map[string]string{"k\x00": "v\xfe\xff글"}
	row, head := audit.Head{}.Append(raw)
	want := entry(1)
	want.Origin = audit.Origin{IP: netip.MustParseAddr("192.0.2.1"), UserAgent: "ab\ufffdc한"}
	want.Detail = map[string]string{"k": "v\ufffd글"}
	if !reflect.DeepEqual(row.Entry, want) {
		t.Errorf("Append(%+v) = %+v, want %+v", raw, row.Entry, want)
	}
	again, _ := audit.Head{}.Append(row.Entry)
	if !reflect.DeepEqual(again, row) || head.Hash != row.Hash {
		t.Error("what was appended once is appended otherwise again")
	}
	for _, empty := range []map[string]string{nil, {}} {
		raw.Detail = empty
		if row, _ := (audit.Head{}).Append(raw); row.Detail != nil || row.DetailText() != "{}" {
			t.Errorf("Append(no detail) = %v, %s, want nil and {}", row.Detail, row.DetailText())
		}
	}
	scoped := netip.MustParseAddr("fe80::1%eth0")
	raw.Origin.IP = scoped
	if row, _ := (audit.Head{}).Append(raw); row.Origin.IP != scoped.WithZone("") {
		t.Errorf("Append(%v) = %v, want it without the zone", scoped, row.Origin.IP)
	}
}

// The place is hashed as well, though Chain counts it too: who keeps the hash of
// a row elsewhere has a proof of where it stood.
func TestThePlaceIsHashed(t *testing.T) {
	first, _ := audit.Head{Day: day, Seq: 1}.Append(entry(1))
	second, _ := audit.Head{Day: day, Seq: 2}.Append(entry(1))
	if first.Hash == second.Hash {
		t.Error("a row has the same hash at another place")
	}
}

func TestAppendSharesNothing(t *testing.T) {
	e := entry(1)
	row, head := audit.Head{}.Append(e)
	e.Detail["reason"] = "idle"
	if err := verify([]audit.Row{row}, head); err != nil {
		t.Errorf("altering an entry that was appended = %v", err)
	}
}

func TestDetailText(t *testing.T) {
	for want, detail := range map[string]map[string]string{
		"{}":                               nil,
		`{"a":"1","b":"\"","가":"나"}`:       {"가": "나", "b": `"`, "a": "1"},
		`{"":"","k":"\u003c\u2028\u0000"}`: {"": "", "k": "<\u2028\x00"},
	} {
		got := audit.Entry{Detail: detail}.DetailText()
		if got != want {
			t.Errorf("DetailText(%v) = %s, want %s", detail, got, want)
		}
		back, err := audit.ParseDetail(got)
		if err != nil || !maps.Equal(back, detail) {
			t.Errorf("ParseDetail(%s) = %v, %v, want %v", got, back, err, detail)
		}
	}
	for _, s := range []string{"", "{", "[]", "1", `"a"`, `{"a":1}`, `{"a":{}}`, "{}{}", "{} x", `{"a":"b",}`} {
		if got, err := audit.ParseDetail(s); err == nil {
			t.Errorf("ParseDetail(%q) = %v, want an error", s, got)
		}
	}
}

// What a store kept reads as the same again, however often it is written.
func FuzzParseDetail(f *testing.F) {
	f.Add(entry(1).DetailText())
	f.Add(`{"a":"\ud800","b":null}`)
	f.Add("{\"\xff\":\"\\u0000\"}")
	f.Add("null")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := audit.ParseDetail(s)
		if err != nil {
			if d != nil || !strings.Contains(err.Error(), "audit row") {
				t.Fatalf("ParseDetail(%q) = %v, %v", s, d, err)
			}
			return
		}
		text := audit.Entry{Detail: d}.DetailText()
		again, err := audit.ParseDetail(text)
		if err != nil || !maps.Equal(again, d) || !utf8.ValidString(text) {
			t.Fatalf("ParseDetail(%q) = %v, written as %q, read as %v, %v", s, d, text, again, err)
		}
	})
}
