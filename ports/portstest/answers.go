package portstest

import (
	"bytes"
	"sync/atomic"
	"time"

	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/idempotency"
	"gatehouse/domain/mail"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var answerChecks = []check[RecordStores]{
	{"every field is kept", answersKeepEveryField},
	{"what was never kept is none", answersMissing},
	{"an answer is good until its end", answersUntilTheEnd},
	{"it is kept with every change", answersWithEveryChange},
	{"a refused change keeps none", answersOfARefusedChange},
	{"a taken id keeps nothing of the change", answersTaken},
	{"what is good no longer makes room", answersMakeRoom},
	{"of many who do one thing at once one does", answersAtOnce},
	{"an answer to nobody keeps nothing of the change", answersToNobody},
	{"a record brings none", answersOfARecord},
	{"answers go with their caller", answersGoWithTheirCaller},
	{"prunes what is good no longer", answersPrune},
	{"nothing handed in or out is shared", answersShareNothing},
	{"a cancelled context is an outage", answersCancelled},
}

// newAnswer is the n-th answer, given n seconds after noon.
func newAnswer(n int, caller user.ID) idempotency.Kept {
	at := noon.Add(time.Duration(n) * time.Second)
	return idempotency.Keep(idempotency.ID{1, byte(n)}, caller, idempotency.DigestOf([]byte{byte(n)}), []byte{'a', byte(n)}, at)
}

// keep makes the n-th product of the caller, with answers.
func (s RecordStores) keep(t tester, n int, caller user.ID, answers ...idempotency.Kept) {
	t.Helper()
	must(t, s.Products.Add(t.Context(), newProduct(n, caller), &ports.Along{Answers: answers}), "Add(product %d, answers)", n)
}

// wantAnswer holds the store to the answer being good at its beginning.
func (s RecordStores) wantAnswer(t tester, k idempotency.Kept, what string) {
	t.Helper()
	got, err := s.Answers.Find(t.Context(), k.ID, k.At)
	must(t, err, "Find(%s)", what)
	want(t, got, k, "Find(%s)", what)
}

// wantNoAnswer holds the store to none being kept under the id at the time.
func (s RecordStores) wantNoAnswer(t tester, id idempotency.ID, at time.Time, what string) {
	t.Helper()
	wantError(t, second(s.Answers.Find(t.Context(), id, at)), idempotency.ErrNone, "Find(%s)", what)
}

func answersKeepEveryField(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	full := idempotency.Kept{
		ID: idempotency.ID(bytes.Repeat([]byte{0xff}, 32)), Caller: u.ID(), Request: idempotency.Digest(bytes.Repeat([]byte{0xfe}, 32)),
		Answer: bytes.Repeat([]byte("201\n\x00\xff'\"\\😀"), 20_000), At: longAgo, Until: farAway,
	}
	empty := newAnswer(2, u.ID())
	empty.Answer = []byte{}
	s.keep(t, 1, u.ID(), full, empty)
	s.wantAnswer(t, full, "the longest")
	s.wantAnswer(t, empty, "the shortest")
}

func answersMissing(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	one := newAnswer(1, u.ID())
	s.keep(t, 1, u.ID(), one)
	s.wantNoAnswer(t, idempotency.ID{9}, noon, "an unknown id")
	s.wantNoAnswer(t, idempotency.ID{}, noon, "the zero id")
	s.wantAnswer(t, one, "the other one")
}

func answersUntilTheEnd(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	one := newAnswer(1, u.ID())
	s.keep(t, 1, u.ID(), one)
	for before, good := range map[time.Duration]bool{
		time.Hour: true, time.Microsecond: true, 0: false, -time.Microsecond: false, -time.Hour: false,
	} {
		at := one.Until.Add(-before).In(time.FixedZone("Seoul", 9*60*60))
		if !good {
			s.wantNoAnswer(t, one.ID, at, "after the end")
			continue
		}
		got, err := s.Answers.Find(t.Context(), one.ID, at)
		must(t, err, "Find %v before the end", before)
		want(t, got, one, "Find")
	}
}

func answersWithEveryChange(t tester, s RecordStores) {
	bob := addUser(t, s.Users, 99)
	for n, c := range carriers {
		u := addUser(t, s.Users, n)
		one, other := newAnswer(2*n, bob.ID()), newAnswer(2*n+1, bob.ID())
		must(t, c.run(t.Context(), s, u.ID(), consent, &ports.Along{Answers: []idempotency.Kept{one}}, &ports.Along{Answers: []idempotency.Kept{other}}), "%s", c.name)
		s.wantAnswer(t, one, c.name)
		s.wantAnswer(t, other, c.name)
	}
}

// An answer to what was not done would have it never be done.
func answersOfARefusedChange(t tester, s RecordStores) {
	bob := addUser(t, s.Users, 99)
	for n, c := range carriers {
		u, one := addUser(t, s.Users, n), newAnswer(n, bob.ID())
		err := c.run(t.Context(), s, u.ID(), func() error { return errRefused }, &ports.Along{Answers: []idempotency.Kept{one}})
		wantVery(t, err, errRefused, c.name)
		s.wantNoAnswer(t, one.ID, noon, "of a refused change")
	}
}

// everythingBut is one of what can go along with a change, with the answers.
func everythingBut(t tester, n int, u, to user.User, answers ...idempotency.Kept) *ports.Along {
	t.Helper()
	return &ports.Along{Answers: answers, Letters: []mail.Letter{newLetter(t, n, to)}, Audit: []audit.Entry{newEntry(n, u.ID())}}
}

func answersTaken(t tester, s RecordStores) {
	bob := addUser(t, s.Users, 99)
	first := newAnswer(90, bob.ID())
	s.keep(t, 90, bob.ID(), first)
	for n, c := range carriers {
		u := addUser(t, s.Users, n)
		again, fresh := newAnswer(n, bob.ID()), newAnswer(50+n, bob.ID())
		again.ID, again.At = first.ID, first.Until.Add(-time.Microsecond)
		err := c.run(t.Context(), s, u.ID(), consent, everythingBut(t, n, u, bob, fresh, again))
		wantError(t, err, idempotency.ErrTaken, "%s under a taken id", c.name)
		s.wantNothing(t, c, u, bob)
		s.wantNoAnswer(t, fresh.ID, noon, "beside one that was taken")
	}
	s.wantAnswer(t, first, "the first")
	u := addUser(t, s.Users, 50)
	twice := newAnswer(60, bob.ID())
	err := s.Products.Add(t.Context(), newProduct(50, u.ID()), everythingBut(t, 50, u, bob, twice, twice))
	wantError(t, err, idempotency.ErrTaken, "Add(one answer twice)")
	wantError(t, second(s.Products.Find(t.Context(), productID(50))), fault.NotFound, "Find of what was not added")
}

func answersMakeRoom(t tester, s RecordStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	old := newAnswer(1, ann.ID())
	s.keep(t, 1, ann.ID(), old)
	next := idempotency.Keep(old.ID, bob.ID(), idempotency.DigestOf([]byte("next")), []byte("next"), old.Until)
	s.keep(t, 2, bob.ID(), next)
	s.wantAnswer(t, next, "in the place of one that is good no longer")
	must(t, s.Users.Delete(t.Context(), ann.ID(), goInPeace), "Delete")
	s.wantAnswer(t, next, "after the caller of the one before has gone")
}

// Twenty times one click: one product.
func answersAtOnce(t tester, s RecordStores) {
	const n = 20
	u := addUser(t, s.Users, 1)
	for round := range 5 {
		var won atomic.Int64
		atOnce(n, func(i int) {
			k := newAnswer(round, u.ID())
			k.Answer = []byte{byte(i)}
			switch err := s.Products.Add(t.Context(), newProduct(n*round+i, u.ID()), &ports.Along{Answers: []idempotency.Kept{k}}); {
			case err == nil:
				won.Add(1)
			default:
				wantError(t, err, idempotency.ErrTaken, "Add(one answer, %d at once)", n)
				must(t, second(s.Answers.Find(t.Context(), k.ID, k.At)), "Find of what was taken")
			}
		})
		want(t, won.Load(), 1, "how many of %d did one thing", n)
	}
	list, err := s.Products.List(t.Context(), everything(product.OldestFirst))
	must(t, err, "List")
	want(t, len(list), 5, "products after five things were done %d times at once", n)
}

func answersToNobody(t tester, s RecordStores) {
	u, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	for n, nobody := range []user.ID{userID(9), {}} {
		k := newAnswer(n, nobody)
		err := s.Products.Add(t.Context(), newProduct(n, u.ID()), everythingBut(t, n, u, bob, k))
		wantError(t, err, fault.NotFound, "Add(an answer to nobody)")
		wantError(t, second(s.Products.Find(t.Context(), productID(n))), fault.NotFound, "Find of what was not added")
		s.wantNoAnswer(t, k.ID, noon, "to nobody")
	}
	s.wantLetters(t, bob.ID())
	s.wantLog(t)
}

func answersOfARecord(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	k := newAnswer(1, u.ID())
	for range 2 {
		must(t, s.Ledger.Record(t.Context(), ports.Along{Answers: []idempotency.Kept{k}}), "Record(an answer)")
	}
	s.wantNoAnswer(t, k.ID, noon, "of a record")
}

func answersGoWithTheirCaller(t tester, s RecordStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	hers, his := newAnswer(1, ann.ID()), newAnswer(2, bob.ID())
	s.keep(t, 1, bob.ID(), hers, his) // whose product it is does not matter
	must(t, s.Users.Delete(t.Context(), ann.ID(), goInPeace), "Delete")
	s.wantNoAnswer(t, hers.ID, noon, "of who was deleted")
	s.wantAnswer(t, his, "of another than who was deleted")
}

func answersPrune(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	var all []idempotency.Kept
	for n := range 5 {
		all = append(all, newAnswer(n, u.ID()))
	}
	s.keep(t, 1, u.ID(), all...)
	for _, c := range []struct {
		what  string
		now   time.Time
		limit int
		n     int
	}{
		{"before any end", all[0].Until.Add(-time.Microsecond), 10, 0},
		{"none", all[3].Until, 0, 0},
		{"at the first end", all[0].Until, 10, 1},
		{"two", all[3].Until, 2, 2},
		{"two, of one", all[3].Until, 2, 1},
		{"what is none", all[3].Until, 2, 0},
	} {
		if n, err := s.Answers.Prune(t.Context(), c.now, c.limit); err != nil || n != c.n {
			t.Errorf("Prune(%s) = %d, %v, want %d", c.what, n, err, c.n)
		}
	}
	for _, k := range all[:4] {
		s.wantNoAnswer(t, k.ID, k.At, "what was pruned")
	}
	s.wantAnswer(t, all[4], "what is good for longer")
}

func answersShareNothing(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	k := newAnswer(1, u.ID())
	s.keep(t, 1, u.ID(), k)
	k.Answer[0] = 'x'
	s.wantAnswer(t, newAnswer(1, u.ID()), "after altering what was handed in")
	got, err := s.Answers.Find(t.Context(), k.ID, k.At)
	must(t, err, "Find")
	got.Answer[0] = 'x'
	s.wantAnswer(t, newAnswer(1, u.ID()), "after altering what was handed out")
}

func answersCancelled(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	one, ctx := newAnswer(1, u.ID()), gone(t)
	s.keep(t, 1, u.ID(), one)
	wantUnavailable(t, map[string]error{
		"Find":         second(s.Answers.Find(ctx, one.ID, noon)),
		"Find of none": second(s.Answers.Find(ctx, idempotency.ID{9}, noon)),
		"Prune":        second(s.Answers.Prune(ctx, farAway, 10)),
		"Add":          s.Products.Add(ctx, newProduct(2, u.ID()), &ports.Along{Answers: []idempotency.Kept{newAnswer(2, u.ID())}}),
		"Add of taken": s.Products.Add(ctx, newProduct(2, u.ID()), &ports.Along{Answers: []idempotency.Kept{one}}),
	})
	s.wantAnswer(t, one, "after cancelled calls")
}
