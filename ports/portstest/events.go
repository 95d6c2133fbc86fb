package portstest

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

var eventChecks = []check[RecordStores]{
	{"every field is kept", eventsKeepEveryField},
	{"they are kept with every change", eventsWithEveryChange},
	{"a refused change tells of nothing", eventsOfARefusedChange},
	{"what cannot be kept keeps nothing of the change", eventsUnkeepable},
	{"the longest due come first", eventsOrder},
	{"of one product they come one by one", eventsOneByOne},
	{"what is claimed is due again after its lease", eventsLease},
	{"claimers at once get different ones", eventsClaimAtOnce},
	{"what is done is gone, and keeps what goes along", eventsDone},
	{"who has lost a claim keeps nothing", eventsLost},
	{"what is postponed comes later", eventsPostpone},
	{"what is buried comes no more", eventsBury},
	{"counts what there is", eventsBacklogs},
	{"they go with the owner", eventsGoWithTheOwner},
	{"prunes what was buried long ago", eventsPrune},
	{"nothing handed in or out is shared", eventsShareNothing},
	{"a cancelled context is an outage", eventsCancelled},
}

// newDelivery is the n-th event, n seconds after noon: that a product has become
// the version.
func newDelivery(n int, to string, version int64, p product.Product) product.Delivery {
	before := alterProduct(p, func(s *product.State) { s.Version = version - 1 })
	after := alterProduct(p, func(s *product.State) { s.Version = version })
	return product.Delivery{
		ID: id(1000 + n), Subscriber: to,
		Event: product.Event{ID: id(2000 + n), Kind: product.Changed, Before: &before, After: &after, By: userID(1), At: noon.Add(time.Duration(n) * time.Second)},
	}
}

func (s RecordStores) tell(t tester, events ...product.Delivery) {
	t.Helper()
	must(t, s.Ledger.Record(t.Context(), ports.Along{Events: events}), "Record(events)")
}

// wantEvents claims and holds the queue to the events, each at its attempt.
func (s RecordStores) wantEvents(t tester, to string, now time.Time, limit, attempt int, what string, events ...product.Delivery) {
	t.Helper()
	got, err := s.Events.Claim(t.Context(), to, now, lease, limit)
	must(t, err, "Claim(%s)", what)
	expected := []product.Delivery{}
	for _, d := range events {
		d.Attempt = attempt
		expected = append(expected, d)
	}
	if len(got) != len(expected) {
		t.Errorf("Claim(%s) = %d events, want %d", what, len(got), len(expected))
		return
	}
	for i := range got {
		wantDelivery(t, got[i], expected[i], what)
	}
}

func wantDelivery(t tester, got, expected product.Delivery, what string) {
	t.Helper()
	for i, p := range [][2]*product.Product{{got.Event.Before, expected.Event.Before}, {got.Event.After, expected.Event.After}} {
		side := [2]string{"before", "after"}[i]
		if (p[0] == nil) != (p[1] == nil) {
			t.Errorf("%s: the product %s = %v, want %v", what, side, p[0], p[1])
		} else if p[0] != nil {
			want(t, p[0].State(), p[1].State(), "%s: the product %s", what, side)
		}
	}
	got.Event.Before, got.Event.After, expected.Event.Before, expected.Event.After = nil, nil, nil, nil
	want(t, got, expected, "%s", what)
}

func eventsKeepEveryField(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	full, plain, ordinary := priciest(1, u.ID()), plainest(2, u.ID()), newProduct(3, u.ID())
	var all []product.Delivery
	for n, kind := range product.EventKinds() {
		d := newDelivery(n, strings.Repeat("s", 64), int64(n+2), newProduct(10+n, u.ID()))
		d.Event.Kind = kind
		all = append(all, d)
	}
	all[0].Event.Before, all[0].Event.After, all[0].Event.By = nil, &plain, user.ID{}
	all[1].Event.Before, all[1].Event.After = &plain, &full
	all[2].Event.Before, all[2].Event.After = &ordinary, nil
	all[2].Event.At = all[2].Event.At.Add(789 * time.Nanosecond).In(time.FixedZone("Seoul", 9*60*60))
	s.tell(t, all...)
	all[2].Event.At = newDelivery(2, "", 2, ordinary).Event.At
	s.wantEvents(t, all[0].Subscriber, farAway.AddDate(-1, 0, 0), 100, 1, "all", all...)
}

func eventsWithEveryChange(t tester, s RecordStores) {
	bob := addUser(t, s.Users, 99)
	for n, c := range carriers {
		u := addUser(t, s.Users, n)
		one, other := newDelivery(2*n, c.name, 2, newProduct(50+n, bob.ID())), newDelivery(2*n+1, c.name, 2, newProduct(60+n, bob.ID()))
		must(t, c.run(t.Context(), s, u.ID(), consent, &ports.Along{Events: []product.Delivery{one}}, &ports.Along{Events: []product.Delivery{other}}), "%s", c.name)
		s.wantEvents(t, c.name, noon.Add(time.Hour), 10, 1, c.name, one, other)
	}
}

// To be told of what has not happened is worse than not to be told.
func eventsOfARefusedChange(t tester, s RecordStores) {
	bob := addUser(t, s.Users, 99)
	for n, c := range carriers {
		u := addUser(t, s.Users, n)
		with := ports.Along{Events: []product.Delivery{newDelivery(n, "s", 2, newProduct(50+n, bob.ID()))}}
		wantVery(t, c.run(t.Context(), s, u.ID(), func() error { return errRefused }, &with), errRefused, c.name)
		s.wantEvents(t, "s", noon.Add(time.Hour), 10, 1, "of a refused change")
	}
}

func eventsUnkeepable(t tester, s RecordStores) {
	bob, nobody := addUser(t, s.Users, 99), newUser(t, 98)
	known := newDelivery(0, "s", 2, newProduct(50, bob.ID()))
	s.tell(t, known)
	samePlace := newDelivery(1, "s", 2, newProduct(50, bob.ID()))
	sameID := newDelivery(0, "s", 3, newProduct(50, bob.ID()))
	for what, c := range map[string]struct {
		d    product.Delivery
		want error
	}{
		"of nobody's product": {newDelivery(2, "s", 2, newProduct(51, nobody.ID())), fault.NotFound},
		"with a taken place":  {samePlace, fault.Conflict},
		"with a taken id":     {sameID, fault.Conflict},
	} {
		fresh := newDelivery(7, "s", 2, newProduct(57, bob.ID()))
		with := ports.Along{Letters: []mail.Letter{newLetter(t, 1, bob)}, Events: []product.Delivery{fresh, c.d}, Audit: []audit.Entry{newEntry(1, bob.ID())}}
		wantError(t, s.Products.Add(t.Context(), newProduct(1, bob.ID()), &with), c.want, "Add with an event %s", what)
		wantError(t, second(s.Products.Find(t.Context(), productID(1))), fault.NotFound, "Find of what was not added")
		s.wantLetters(t, bob.ID())
		s.wantLog(t)
	}
	// Others may have the same place.
	s.tell(t, newDelivery(3, "another", 2, newProduct(50, bob.ID())), newDelivery(4, "s", 2, newProduct(52, bob.ID())))
	s.wantEvents(t, "s", noon.Add(time.Hour), 10, 1, "what could be kept", known, newDelivery(4, "s", 2, newProduct(52, bob.ID())))
}

func eventsOrder(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	var d []product.Delivery
	for n := range 5 {
		d = append(d, newDelivery(n, "s", 2, newProduct(n, u.ID())))
	}
	s.tell(t, d[3], d[1], d[4])
	s.tell(t, d[0], d[2], newDelivery(9, "another", 2, newProduct(0, u.ID())))
	s.wantEvents(t, "s", noon.Add(-time.Microsecond), 10, 1, "before any is due")
	s.wantEvents(t, "s", noon, 0, 1, "none")
	s.wantEvents(t, "nobody", noon.Add(time.Hour), 10, 1, "of nobody")
	s.wantEvents(t, "s", noon, 10, 1, "what is due at this very instant", d[0])
	s.wantEvents(t, "s", d[3].Event.At, 2, 1, "two", d[1], d[2])
	s.wantEvents(t, "s", d[3].Event.At, 2, 1, "two, of one", d[3])
	s.wantEvents(t, "s", d[4].Event.At.Add(2*lease), 1, 1, "what was never claimed", d[4])
	s.wantEvents(t, "s", d[4].Event.At.Add(2*lease), 10, 2, "the rest", d[0], d[1], d[2], d[3])
}

// A subscriber that mirrors products must not see an old one after a new one,
// however long the first is tried, whatever ids they have, and whenever they
// happened by the clocks of nodes.
func eventsOneByOne(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	p, other := newProduct(1, u.ID()), newProduct(2, u.ID())
	third, second, first := newDelivery(1, "s", 4, p), newDelivery(2, "s", 3, p), newDelivery(3, "s", 2, p)
	published := newDelivery(4, "s", 3, p) // of the same version as second, and later by its kind
	published.Event.Kind = product.Published
	gone := newDelivery(0, "s", 5, p)
	gone.Event.Kind, gone.Event.Before, gone.Event.After = product.Deleted, third.Event.After, nil
	beside, elsewhere := newDelivery(5, "s", 9, other), newDelivery(6, "another", 3, p)
	s.tell(t, gone, third, second, first, published, beside, elsewhere)
	now := noon.Add(time.Hour)
	s.wantEvents(t, "s", now, 10, 1, "the first of each", first, beside)
	s.wantEvents(t, "another", now, 10, 1, "for another", elsewhere)
	s.wantEvents(t, "s", now, 10, 1, "while the first is in hand")
	first.Attempt, beside.Attempt = 1, 1
	must(t, s.Events.Postpone(t.Context(), first, now.Add(time.Hour), "later"), "Postpone")
	must(t, s.Events.Done(t.Context(), beside), "Done")
	s.wantEvents(t, "s", now, 10, 1, "while the first waits")
	now = now.Add(time.Hour)
	s.wantEvents(t, "s", now, 10, 2, "the first again", first)
	first.Attempt = 2
	must(t, s.Events.Done(t.Context(), first), "Done")
	for _, next := range []product.Delivery{second, published, third} {
		s.wantEvents(t, "s", now, 10, 1, "the next", next)
		next.Attempt = 1
		must(t, s.Events.Bury(t.Context(), next, now, "why"), "Bury") // out of the way as well
	}
	s.wantEvents(t, "s", now, 10, 1, "the last", gone)
}

func eventsLease(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	one := newDelivery(0, "s", 2, newProduct(1, u.ID()))
	s.tell(t, one)
	now := noon.Add(time.Hour)
	for attempt := 1; attempt < 4; attempt++ {
		s.wantEvents(t, "s", now, 10, attempt, "due", one)
		s.wantEvents(t, "s", now, 10, 0, "claimed already")
		now = now.Add(lease)
		s.wantEvents(t, "s", now.Add(-time.Microsecond), 10, 0, "a microsecond before the lease is over")
	}
}

func eventsClaimAtOnce(t tester, s RecordStores) {
	const products, each, nodes = 6, 5, 4
	u := addUser(t, s.Users, 1)
	for n := range products {
		for v := range each {
			s.tell(t, newDelivery(n*each+v, "s", int64(v+2), newProduct(n, u.ID())))
		}
	}
	var mu sync.Mutex
	claims, inHand, last := map[uuid.UUID]int{}, map[product.ID]int{}, map[product.ID]int64{}
	atOnce(nodes, func(int) {
		for range 20 * products * each {
			got, err := s.Events.Claim(t.Context(), "s", noon.Add(time.Hour), lease, 3)
			if err != nil {
				t.Errorf("Claim beside others = %v, want no error", err)
				return
			}
			mu.Lock()
			for _, d := range got {
				p := d.Event.Product()
				claims[d.ID]++
				if inHand[p.ID()]++; inHand[p.ID()] > 1 {
					t.Errorf("two events of one product are in hand at once")
				}
				if p.Version() <= last[p.ID()] {
					t.Errorf("version %d comes after version %d", p.Version(), last[p.ID()])
				}
				last[p.ID()] = p.Version()
			}
			all := len(claims) == products*each
			mu.Unlock()
			linger()
			for _, d := range got {
				mu.Lock()
				inHand[d.Event.Product().ID()]--
				mu.Unlock()
				if err := s.Events.Done(t.Context(), d); err != nil {
					t.Errorf("Done = %v, want no error", err)
				}
			}
			if all {
				return
			}
		}
	})
	want(t, len(claims), products*each, "how many events %d nodes claimed", nodes)
	for id, times := range claims {
		if times != 1 {
			t.Errorf("event %v was claimed %d times, want once", id, times)
		}
	}
}

// claimOne takes one out.
func (s RecordStores) claimOne(t tester, now time.Time) product.Delivery {
	t.Helper()
	got, err := s.Events.Claim(t.Context(), "s", now, lease, 1)
	if err != nil || len(got) != 1 {
		t.Fatalf("Claim = %d events, %v, want one", len(got), err)
	}
	return got[0]
}

func eventsDone(t tester, s RecordStores) {
	u, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	one, other := newDelivery(0, "s", 2, newProduct(1, u.ID())), newDelivery(1, "s", 2, newProduct(2, u.ID()))
	s.tell(t, one, other)
	d := s.claimOne(t, noon)
	with := []*ports.Along{
		{Letters: []mail.Letter{newLetter(t, 1, bob)}, Audit: []audit.Entry{newEntry(1, u.ID())}},
		{Letters: []mail.Letter{newLetter(t, 2, u)}},
	}
	must(t, s.Events.Done(t.Context(), d, with...), "Done")
	s.wantLetters(t, bob.ID(), newLetter(t, 1, bob))
	s.wantLetters(t, u.ID(), newLetter(t, 2, u))
	s.wantLog(t, newEntry(1, u.ID()))
	s.wantEvents(t, "s", noon.Add(2*lease), 10, 1, "the rest", other)

	// What cannot be kept leaves the event where it was.
	other.Attempt = 1
	bad := ports.Along{Letters: []mail.Letter{newLetter(t, 3, bob), newLetter(t, 4, newUser(t, 9))}}
	wantError(t, s.Events.Done(t.Context(), other, &bad), fault.NotFound, "Done with a letter to nobody")
	s.wantLetters(t, bob.ID(), newLetter(t, 1, bob))
	s.wantEvents(t, "s", noon.Add(4*lease), 10, 2, "what was not done", other)
}

// A node that stood still and comes back must not send what another has sent.
func eventsLost(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	one := newDelivery(0, "s", 2, newProduct(1, u.ID()))
	s.tell(t, one)
	slow := s.claimOne(t, noon)
	now := noon.Add(lease)
	quick := s.claimOne(t, now)
	with := ports.Along{Letters: []mail.Letter{newLetter(t, 1, u)}, Audit: []audit.Entry{newEntry(1, u.ID())}}
	lost := func(what string) {
		t.Helper()
		wantError(t, s.Events.Done(t.Context(), slow, &with), ports.ErrNotClaimed, "Done(%s)", what)
		must(t, s.Events.Postpone(t.Context(), slow, now.Add(-time.Hour), "why"), "Postpone(%s)", what)
		must(t, s.Events.Bury(t.Context(), slow, now, "why"), "Bury(%s)", what)
		s.wantLetters(t, u.ID())
		s.wantLog(t)
	}
	lost("claimed anew")
	s.wantEvents(t, "s", now, 10, 1, "while the other has it in hand")
	buried, err := s.Events.Buried(t.Context(), "s", 10)
	if err != nil || len(buried) != 0 {
		t.Errorf("Buried = %d, %v, want none", len(buried), err)
	}
	must(t, s.Events.Done(t.Context(), quick), "Done")
	lost("done by another")
	must(t, s.Events.Postpone(t.Context(), product.Delivery{}, now, "why"), "Postpone(what never was)")
	wantError(t, s.Events.Done(t.Context(), product.Delivery{}), ports.ErrNotClaimed, "Done(what never was)")
}

func eventsPostpone(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	one := newDelivery(0, "s", 2, newProduct(1, u.ID()))
	s.tell(t, one)
	for n, why := range []string{"", "no room: \xe4\xf6\xfc", "nul \x00 '\"\\", strings.Repeat("한글", 5000)} {
		d := s.claimOne(t, noon.Add(time.Duration(n)*time.Hour))
		until := noon.Add(time.Duration(n+1) * time.Hour)
		must(t, s.Events.Postpone(t.Context(), d, until, why), "Postpone(%.20q)", why)
		s.wantEvents(t, "s", until.Add(-time.Microsecond), 10, 0, "before it is due again")
	}
	s.wantEvents(t, "s", noon.Add(4*time.Hour), 10, 5, "when it is due again", one)
}

func eventsBury(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	var all []product.Delivery
	for n := range 3 {
		all = append(all, newDelivery(n, "s", 2, newProduct(n, u.ID())))
	}
	s.tell(t, all...)
	for _, d := range []int{0, 1} {
		one := s.claimOne(t, noon.Add(time.Duration(d)*time.Second))
		must(t, s.Events.Bury(t.Context(), one, noon, "why \xff\x00"), "Bury")
		must(t, s.Events.Postpone(t.Context(), one, noon, "why"), "Postpone(buried)")
		wantError(t, s.Events.Done(t.Context(), one), ports.ErrNotClaimed, "Done(buried)")
	}
	s.wantEvents(t, "s", farAway.AddDate(-1, 0, 0), 10, 1, "what is left", all[2])
	for limit, n := range []int{0, 1, 2, 2} {
		got, err := s.Events.Buried(t.Context(), "s", limit)
		must(t, err, "Buried")
		want(t, len(got), n, "how many Buried(limit %d) gives", limit)
		for i, d := range got {
			all[i].Attempt = 1
			wantDelivery(t, d, all[i], "Buried")
		}
	}
	none, err := s.Events.Buried(t.Context(), "another", 10)
	must(t, err, "Buried(of another)")
	want(t, len(none), 0, "Buried(of another)")
}

func eventsBacklogs(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	counts := func(what string, expected ...ports.Backlog) {
		t.Helper()
		got, err := s.Events.Backlogs(t.Context())
		must(t, err, "Backlogs(%s)", what)
		want(t, fmt.Sprint(got), fmt.Sprint(expected), "Backlogs(%s)", what)
	}
	counts("none")
	a, b, c := newDelivery(0, "s", 2, newProduct(1, u.ID())), newDelivery(1, "s", 2, newProduct(2, u.ID())), newDelivery(2, "another", 2, newProduct(1, u.ID()))
	s.tell(t, b, c, a)
	counts("some", ports.Backlog{Subscriber: "another", Waiting: 1, Since: c.Event.At}, ports.Backlog{Subscriber: "s", Waiting: 2, Since: a.Event.At})
	d := s.claimOne(t, noon)
	must(t, s.Events.Postpone(t.Context(), d, farAway, "why"), "Postpone")
	counts("one postponed", ports.Backlog{Subscriber: "another", Waiting: 1, Since: c.Event.At}, ports.Backlog{Subscriber: "s", Waiting: 2, Since: a.Event.At})
	must(t, s.Events.Bury(t.Context(), d, noon, "why"), "Bury")
	counts("one buried", ports.Backlog{Subscriber: "another", Waiting: 1, Since: c.Event.At}, ports.Backlog{Subscriber: "s", Waiting: 1, Since: b.Event.At, Buried: 1})
	d = s.claimOne(t, noon.Add(time.Hour))
	must(t, s.Events.Bury(t.Context(), d, noon, "why"), "Bury")
	counts("all buried", ports.Backlog{Subscriber: "another", Waiting: 1, Since: c.Event.At}, ports.Backlog{Subscriber: "s", Buried: 2})
}

func eventsGoWithTheOwner(t tester, s RecordStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	hers, his := newDelivery(0, "s", 2, newProduct(1, ann.ID())), newDelivery(1, "s", 2, newProduct(2, bob.ID()))
	s.tell(t, hers, his)
	must(t, s.Users.Delete(t.Context(), ann.ID(), goInPeace), "Delete")
	s.wantEvents(t, "s", noon.Add(time.Hour), 10, 1, "after an owner was deleted", his)
}

func eventsPrune(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	for n := range 5 {
		s.tell(t, newDelivery(n, "s", 2, newProduct(n, u.ID())))
		must(t, s.Events.Bury(t.Context(), s.claimOne(t, noon.Add(time.Hour)), noon.Add(time.Duration(n)*time.Second), "why"), "Bury")
	}
	waiting := newDelivery(9, "s", 2, newProduct(9, u.ID()))
	s.tell(t, waiting)
	for _, c := range []struct {
		what   string
		before time.Time
		limit  int
		n      int
	}{
		{"before any", noon, 10, 0},
		{"none", noon.Add(4 * time.Second), 0, 0},
		{"after the first", noon.Add(time.Microsecond), 10, 1},
		{"two", noon.Add(4 * time.Second), 2, 2},
		{"two, of one", noon.Add(4 * time.Second), 2, 1},
		{"the last", noon.Add(time.Hour), 10, 1},
	} {
		if n, err := s.Events.Prune(t.Context(), c.before, c.limit); err != nil || n != c.n {
			t.Errorf("Prune(%s) = %d, %v, want %d", c.what, n, err, c.n)
		}
	}
	s.wantEvents(t, "s", noon.Add(time.Hour), 10, 1, "what was not buried", waiting)
}

func eventsShareNothing(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	d := newDelivery(0, "s", 2, newProduct(1, u.ID()))
	s.tell(t, d)
	sell(t, d.Event.After)
	got := s.claimOne(t, noon)
	wantState := newDelivery(0, "s", 2, newProduct(1, u.ID())).Event.After.State()
	want(t, got.Event.After.State(), wantState, "after altering what was handed in")
	sell(t, got.Event.After)
	again := s.claimOne(t, noon.Add(lease))
	want(t, again.Event.After.State(), wantState, "after altering what was handed out")
}

func eventsCancelled(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	one, ctx := newDelivery(0, "s", 2, newProduct(1, u.ID())), gone(t)
	s.tell(t, one)
	d := s.claimOne(t, noon)
	wantUnavailable(t, map[string]error{
		"Claim":            second(s.Events.Claim(ctx, "s", noon.Add(lease), lease, 10)),
		"Claim with none":  second(s.Events.Claim(ctx, "s", noon, lease, 10)),
		"Done":             s.Events.Done(ctx, d),
		"Done with a mail": s.Events.Done(ctx, d, &ports.Along{Letters: []mail.Letter{newLetter(t, 1, u)}}),
		"Done of none":     s.Events.Done(ctx, product.Delivery{}),
		"Postpone":         s.Events.Postpone(ctx, d, farAway, "why"),
		"Bury":             s.Events.Bury(ctx, d, noon, "why"),
		"Backlogs":         second(s.Events.Backlogs(ctx)),
		"Buried":           second(s.Events.Buried(ctx, "s", 10)),
		"Prune":            second(s.Events.Prune(ctx, farAway, 10)),
		"Record":           s.Ledger.Record(ctx, ports.Along{Events: []product.Delivery{newDelivery(1, "s", 2, newProduct(2, u.ID()))}}),
	})
	s.wantLetters(t, u.ID())
	s.wantEvents(t, "s", noon.Add(lease), 10, 2, "after cancelled calls", one)
}
