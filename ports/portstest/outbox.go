package portstest

import (
	"strings"
	"sync"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

var outboxChecks = []check[RecordStores]{
	{"every field is kept", outboxKeepsEveryField},
	{"the longest due come first", outboxOrder},
	{"what is claimed is due again after its lease", outboxLease},
	{"claimers at once get different letters", outboxClaimAtOnce},
	{"what is done is gone", outboxDone},
	{"what is postponed comes later", outboxPostpone},
	{"whatever a mail server says is kept", outboxWhy},
	{"what is not there can be done and postponed", outboxMissing},
	{"tells how many wait and since when", outboxWaiting},
	{"lists the letters to a user", outboxLettersTo},
	{"letters go with their user", outboxGoesWithTheUser},
	{"no letter is left to who is going", outboxOfWhoIsGoing},
	{"nothing handed in or out is shared", outboxSharesNothing},
	{"a cancelled context is an outage", outboxCancelled},
}

// lease is how long a claim holds in the checks.
const lease = 30 * time.Second

func (s RecordStores) post(t tester, letters ...mail.Letter) {
	t.Helper()
	must(t, s.Ledger.Record(t.Context(), ports.Along{Letters: letters}), "Record(letters)")
}

// wantClaim claims and holds the outbox to the letters, each at its attempt.
func (s RecordStores) wantClaim(t tester, now time.Time, limit, attempt int, what string, letters ...mail.Letter) {
	t.Helper()
	got, err := s.Outbox.Claim(t.Context(), now, lease, limit)
	must(t, err, "Claim(%s)", what)
	expected := []mail.Letter{}
	for _, l := range letters {
		l.Attempt = attempt
		expected = append(expected, l)
	}
	want(t, append([]mail.Letter{}, got...), expected, "Claim(%s)", what)
}

func outboxKeepsEveryField(t tester, s RecordStores) {
	u := fullUser(t, 1)
	must(t, s.Users.Add(t.Context(), u), "Add(user)")
	var letters []mail.Letter
	for n, k := range mail.Kinds() {
		l := newLetter(t, n, u)
		l.Kind = k
		letters = append(letters, l)
	}
	letters[0].Detail, letters[0].Language = nil, mail.English
	letters[1].Detail, letters[1].To = map[string]string{"": "", "기기\"\\'": "<b>&\u2028\x1f" + strings.Repeat("한글", 500)}, email(t, "New+Tag@Bücher.example")
	letters[2].CreatedAt = letters[2].CreatedAt.Add(789 * time.Nanosecond).In(time.FixedZone("Seoul", 9*60*60))
	s.post(t, letters...)
	letters[2].CreatedAt = newLetter(t, 2, u).CreatedAt
	s.wantLetters(t, u.ID(), letters...)
	s.wantClaim(t, farAway.AddDate(-1, 0, 0), 100, 1, "all", letters...)
}

func outboxOrder(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	var l []mail.Letter
	for n := range 5 {
		l = append(l, newLetter(t, n, u))
	}
	s.post(t, l[3], l[1], l[4])
	s.post(t, l[0], l[2])
	s.wantClaim(t, noon.Add(-time.Microsecond), 10, 1, "before any is due")
	s.wantClaim(t, noon, 0, 1, "none")
	s.wantClaim(t, noon, 10, 1, "what is due at this very instant", l[0])
	s.wantClaim(t, l[3].CreatedAt, 2, 1, "two", l[1], l[2])
	s.wantClaim(t, l[3].CreatedAt, 2, 1, "two, of one", l[3])
	// By now, those that were claimed first are due the longest.
	s.wantClaim(t, l[4].CreatedAt.Add(2*lease), 1, 1, "what was never claimed", l[4])
	s.wantClaim(t, l[4].CreatedAt.Add(2*lease), 10, 2, "the rest", l[0], l[1], l[2], l[3])
}

// Who dies with a letter in hand must not take it along.
func outboxLease(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	one := newLetter(t, 0, u)
	s.post(t, one)
	now := noon.Add(time.Hour)
	for attempt := 1; attempt < 4; attempt++ {
		s.wantClaim(t, now, 10, attempt, "due", one)
		s.wantClaim(t, now, 10, 0, "claimed already")
		now = now.Add(lease)
		s.wantClaim(t, now.Add(-time.Microsecond), 10, 0, "a microsecond before the lease is over")
	}
}

func outboxClaimAtOnce(t tester, s RecordStores) {
	const n, nodes = 30, 4
	u := addUser(t, s.Users, 1)
	for i := range n {
		s.post(t, newLetter(t, i, u))
	}
	var mu sync.Mutex
	claims := map[uuid.UUID]int{}
	atOnce(nodes, func(int) {
		for range n {
			got, err := s.Outbox.Claim(t.Context(), noon.Add(time.Hour), lease, 3)
			if err != nil {
				t.Errorf("Claim beside others = %v, want no error", err)
			}
			if len(got) == 0 {
				return
			}
			mu.Lock()
			for _, l := range got {
				claims[l.ID]++
			}
			mu.Unlock()
			linger()
		}
	})
	want(t, len(claims), n, "how many letters %d nodes claimed", nodes)
	for id, times := range claims {
		if times != 1 {
			t.Errorf("letter %v was claimed %d times, want once", id, times)
		}
	}
}

func outboxDone(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	one, other := newLetter(t, 0, u), newLetter(t, 1, u)
	s.post(t, one, other)
	s.wantClaim(t, noon.Add(time.Hour), 1, 1, "one", one)
	for range 2 {
		must(t, s.Outbox.Done(t.Context(), one.ID), "Done")
		s.wantLetters(t, u.ID(), other)
	}
	s.wantClaim(t, noon.Add(2*time.Hour), 10, 1, "the rest", other)
}

func outboxPostpone(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	one, other := newLetter(t, 0, u), newLetter(t, 1, u)
	s.post(t, one, other)
	s.wantClaim(t, noon, 10, 1, "one", one)
	until := noon.Add(time.Minute)
	must(t, s.Outbox.Postpone(t.Context(), one.ID, until, "451 try again later"), "Postpone")
	s.wantClaim(t, until.Add(-time.Microsecond), 10, 1, "before it is due again", other)
	s.wantClaim(t, until, 10, 2, "when it is due again", one)
	must(t, s.Outbox.Postpone(t.Context(), one.ID, noon, "451 try again later"), "Postpone(to earlier)")
	s.wantClaim(t, noon, 10, 3, "when it is due again, before the lease is over", one)
}

// A mail server answers in whatever bytes it likes. Who cannot keep them tries
// the letter again without a pause.
func outboxWhy(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	one := newLetter(t, 0, u)
	s.post(t, one)
	for n, why := range []string{"", "550 Postfach voll: \xe4\xf6\xfc", "nul \x00 '\"\\", strings.Repeat("한글", 5000)} {
		until := noon.Add(time.Duration(n+1) * time.Hour)
		must(t, s.Outbox.Postpone(t.Context(), one.ID, until, why), "Postpone(%.20q)", why)
		s.wantClaim(t, until, 10, n+1, "after a reason", one)
	}
}

func outboxMissing(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	one := newLetter(t, 0, u)
	s.post(t, one)
	for _, none := range []uuid.UUID{id(9), {}} {
		must(t, s.Outbox.Done(t.Context(), none), "Done(what is not there)")
		must(t, s.Outbox.Postpone(t.Context(), none, noon, "why"), "Postpone(what is not there)")
	}
	s.wantWaiting(t, 1, noon, "beside what is not there")
}

func (s RecordStores) wantWaiting(t tester, n int, since time.Time, what string) {
	t.Helper()
	if got, at, err := s.Outbox.Waiting(t.Context()); err != nil || got != n || at != since {
		t.Errorf("Waiting(%s) = %d, %v, %v, want %d, %v", what, got, at, err, n, since)
	}
}

func outboxWaiting(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	first, last := newLetter(t, 1, u), newLetter(t, 2, u)
	s.wantWaiting(t, 0, time.Time{}, "none")
	s.post(t, last)
	s.wantWaiting(t, 1, last.CreatedAt, "one")
	s.post(t, first)
	s.wantWaiting(t, 2, first.CreatedAt, "two")
	s.wantClaim(t, first.CreatedAt, 1, 1, "the first", first)
	must(t, s.Outbox.Postpone(t.Context(), first.ID, farAway, "why"), "Postpone")
	s.wantWaiting(t, 2, first.CreatedAt, "two, of them one postponed")
	must(t, s.Outbox.Done(t.Context(), first.ID), "Done")
	s.wantWaiting(t, 1, last.CreatedAt, "what is left")
}

func outboxLettersTo(t tester, s RecordStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	first, last, his := newLetter(t, 1, ann), newLetter(t, 3, ann), newLetter(t, 2, bob)
	s.post(t, last, his, first)
	s.wantLetters(t, ann.ID(), first, last)
	s.wantLetters(t, bob.ID(), his)
	s.wantLetters(t, userID(3))
	s.wantClaim(t, first.CreatedAt, 10, 1, "the first", first)
	must(t, s.Outbox.Postpone(t.Context(), first.ID, farAway, "why"), "Postpone")
	first.Attempt = 1
	s.wantLetters(t, ann.ID(), first, last)
}

func outboxGoesWithTheUser(t tester, s RecordStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	his := newLetter(t, 2, bob)
	s.post(t, newLetter(t, 1, ann), his)
	must(t, s.Users.Delete(t.Context(), ann.ID(), goInPeace), "Delete")
	s.wantLetters(t, ann.ID())
	s.wantWaiting(t, 1, his.CreatedAt, "after the user was deleted")
	s.wantClaim(t, noon.Add(time.Hour), 10, 1, "after the user was deleted", his)
}

func outboxOfWhoIsGoing(t tester, s RecordStores) {
	for n := range 50 {
		u := addUser(t, s.Users, n)
		var posted error
		race(n, func() {
			err := s.Users.Delete(t.Context(), u.ID(), func(user.User) error { linger(); return nil })
			if err != nil {
				t.Errorf("Delete beside a letter = %v, want no error", err)
			}
		}, func() {
			linger()
			posted = s.Ledger.Record(t.Context(), ports.Along{Letters: []mail.Letter{newLetter(t, n, u)}})
		})
		if posted != nil {
			wantError(t, posted, fault.NotFound, "Record(letter) beside Delete of the user")
		}
	}
	s.wantWaiting(t, 0, time.Time{}, "after all users were deleted")
}

func outboxSharesNothing(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	l := newLetter(t, 0, u)
	s.post(t, l)
	l.Detail["device"] = "altered"
	list, err := s.Outbox.LettersTo(t.Context(), u.ID())
	if err != nil || len(list) != 1 {
		t.Fatalf("LettersTo = %d letters, %v, want 1", len(list), err)
	}
	list[0].Detail["device"] = "altered"
	s.wantLetters(t, u.ID(), newLetter(t, 0, u))
	claimed, err := s.Outbox.Claim(t.Context(), noon, lease, 1)
	if err != nil || len(claimed) != 1 {
		t.Fatalf("Claim = %d letters, %v, want 1", len(claimed), err)
	}
	claimed[0].Detail["device"] = "altered"
	s.wantClaim(t, noon.Add(lease), 1, 2, "after altering what Claim gave", newLetter(t, 0, u))
}

func outboxCancelled(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	one, ctx := newLetter(t, 0, u), gone(t)
	s.post(t, one)
	_, _, waiting := s.Outbox.Waiting(ctx)
	wantUnavailable(t, map[string]error{
		"Claim":               second(s.Outbox.Claim(ctx, noon, lease, 10)),
		"Claim with none":     second(s.Outbox.Claim(ctx, noon.Add(-time.Hour), lease, 10)),
		"Done":                s.Outbox.Done(ctx, one.ID),
		"Done of none":        s.Outbox.Done(ctx, id(9)),
		"Postpone":            s.Outbox.Postpone(ctx, one.ID, farAway, "why"),
		"Waiting":             waiting,
		"LettersTo":           second(s.Outbox.LettersTo(ctx, u.ID())),
		"LettersTo of nobody": second(s.Outbox.LettersTo(ctx, userID(9))),
	})
	s.wantClaim(t, noon, 10, 1, "after cancelled calls", one)
}
