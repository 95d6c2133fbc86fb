package portstest

import (
	"errors"
	"sync/atomic"
	"time"

	"gatehouse/domain/audit"
	"gatehouse/domain/factor"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/session"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var ticketChecks = []check[RecordStores]{
	{"every field is kept", ticketsKeepEveryField},
	{"nobody has no ticket", ticketsOfNobody},
	{"what never was is not good", ticketsMissing},
	{"a ticket is good until its end", ticketsUntilTheEnd},
	{"a new one voids the one before", ticketsVoidTheOld},
	{"of tickets issued at once one is good", ticketsIssueAtOnce},
	{"a ticket is used up once", ticketsOnce},
	{"of many who redeem one at once one does", ticketsRedeemAtOnce},
	{"a ticket is redeemed until its end", ticketsRedeemUntilTheEnd},
	{"a ticket that is not good keeps nothing", ticketsFailedRedemption},
	{"a change voids the purposes that it names", ticketsVoid},
	{"tickets go with their user", ticketsGoWithTheirUser},
	{"who is going gets no ticket", ticketsOfWhoIsGoing},
	{"prunes what has expired by now", ticketsPrune},
	{"a cancelled context is an outage", ticketsCancelled},
}

// purposes are all that there are.
var purposes = []ticket.Purpose{ticket.PasswordReset, ticket.EmailVerification, ticket.EmailChange}

func ticketsKeepEveryField(t tester, s RecordStores) {
	u := fullUser(t, 1)
	must(t, s.Users.Add(t.Context(), u), "Add(user)")
	elsewhere := email(t, "New+Tag@Bücher.example")
	for n, p := range purposes {
		one := ticket.Ticket{
			Key: key(n), UserID: u.ID(), Purpose: p, Email: []user.Email{u.Email(), elsewhere, elsewhere}[n],
			IssuedAt: noon.Add(-time.Microsecond), ExpiresAt: []time.Time{farAway, noon.Add(time.Microsecond), noon.Add(ticket.Lifetime)}[n],
		}
		must(t, s.Tickets.Issue(t.Context(), one), "Issue")
		s.wantGood(t, one, p.String())
	}
}

func ticketsOfNobody(t tester, s RecordStores) {
	addUser(t, s.Users, 1)
	one := newTicket(1, newUser(t, 2), ticket.PasswordReset)
	wantError(t, s.Tickets.Issue(t.Context(), one), fault.NotFound, "Issue(to nobody)")
	s.wantVoid(t, one.Key, "a ticket of nobody")
}

func ticketsMissing(t tester, s RecordStores) {
	one := s.issue(t, 1, addUser(t, s.Users, 1), ticket.PasswordReset)
	s.wantVoid(t, key(2), "unknown key")
	s.wantVoid(t, session.Key{}, "zero key")
	s.wantGood(t, one, "the other ticket")
}

// A ticket is good for nothing at the very instant of its end.
func ticketsUntilTheEnd(t tester, s RecordStores) {
	one := s.issue(t, 1, addUser(t, s.Users, 1), ticket.EmailVerification)
	for before, good := range map[time.Duration]bool{
		time.Hour: true, time.Microsecond: true, 0: false, -time.Microsecond: false, -time.Hour: false,
	} {
		got, err := s.Tickets.Find(t.Context(), one.Key, one.ExpiresAt.Add(-before).In(time.FixedZone("Seoul", 9*60*60)))
		if good {
			must(t, err, "Find %v before the end", before)
			want(t, got, one, "Find")
		} else {
			wantError(t, err, ticket.ErrInvalid, "Find %v after the end", -before)
		}
	}
}

// Who asks for a link again does so since the first may be in wrong hands, or
// lost.
func ticketsVoidTheOld(t tester, s RecordStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	old, his, other := s.issue(t, 1, ann, ticket.PasswordReset), s.issue(t, 2, bob, ticket.PasswordReset), s.issue(t, 3, ann, ticket.EmailChange)
	for n := range 2 {
		next := s.issue(t, 10+n, ann, ticket.PasswordReset)
		s.wantVoid(t, old.Key, "the one before")
		s.wantGood(t, next, "the new one")
		old = next
	}
	s.wantGood(t, his, "that of another user")
	s.wantGood(t, other, "that for another purpose")
}

func ticketsIssueAtOnce(t tester, s RecordStores) {
	const n = 20
	u := addUser(t, s.Users, 1)
	atOnce(n, func(i int) {
		if err := s.Tickets.Issue(t.Context(), newTicket(i, u, ticket.PasswordReset)); err != nil {
			t.Errorf("Issue(%d at once) = %v, want no error", n, err)
		}
	})
	good := 0
	for i := range n {
		if second(s.Tickets.Find(t.Context(), key(i), noon)) == nil {
			good++
		}
	}
	want(t, good, 1, "how many of %d tickets issued at once are good", n)
}

// redeeming is a change of the user that uses the ticket up at the time.
func redeeming(k session.Key, at time.Time, u user.User, n int) *ports.Along {
	return &ports.Along{Redeem: k, RedeemAt: at, Audit: []audit.Entry{newEntry(n, u.ID())}}
}

func ticketsOnce(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	one, other := s.issue(t, 1, u, ticket.PasswordReset), s.issue(t, 2, u, ticket.EmailChange)
	first, again := redeeming(one.Key, noon, u, 1), redeeming(one.Key, noon, u, 2)
	must(t, second(s.Users.Update(t.Context(), u.ID(), newPassword, first)), "Update(redeems)")
	s.wantVoid(t, one.Key, "what was redeemed")
	for range 2 {
		wantError(t, second(s.Users.Update(t.Context(), u.ID(), newPassword, again)), ticket.ErrInvalid, "Update(redeems again)")
	}
	got, err := s.Users.Find(t.Context(), u.ID())
	must(t, err, "Find")
	want(t, got.SessionEpoch(), 1, "the epoch after one redemption")
	s.wantLog(t, first.Audit...)
	s.wantGood(t, other, "that for another purpose")
}

func newPassword(u *user.User) error {
	u.ChangePassword(user.NewPasswordHash("$new$"), noon)
	return nil
}

// A link that was intercepted and is answered by two at once is good for one.
func ticketsRedeemAtOnce(t tester, s RecordStores) {
	const n = 20
	u := addUser(t, s.Users, 1)
	for round := range 5 {
		one := s.issue(t, round, u, ticket.PasswordReset)
		var won atomic.Int64
		atOnce(n, func(i int) {
			with := redeeming(one.Key, noon, u, n*round+i)
			var err error
			if i%2 == 0 {
				_, err = s.Users.Update(t.Context(), u.ID(), newPassword, with)
			} else {
				_, err = s.Factors.Update(t.Context(), u.ID(), func(*factor.Factor) error { linger(); return nil }, with)
			}
			if err == nil {
				won.Add(1)
				return
			}
			wantError(t, err, ticket.ErrInvalid, "redeeming one ticket, %d at once", n)
		})
		want(t, won.Load(), 1, "how many of %d redeemed one ticket", n)
		s.wantVoid(t, one.Key, "what was redeemed")
	}
	s.wantUnbroken(t, 5)
}

func ticketsRedeemUntilTheEnd(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	for n, c := range []struct {
		before time.Duration
		good   bool
	}{{time.Hour, true}, {time.Microsecond, true}, {0, false}, {-time.Microsecond, false}, {-time.Hour, false}} {
		one := s.issue(t, n, u, ticket.PasswordReset)
		_, err := s.Users.Update(t.Context(), u.ID(), newPassword, redeeming(one.Key, one.ExpiresAt.Add(-c.before), u, n))
		if c.good {
			must(t, err, "redeeming %v before the end", c.before)
		} else {
			wantError(t, err, ticket.ErrInvalid, "redeeming %v after the end", -c.before)
		}
	}
	got, err := s.Users.Find(t.Context(), u.ID())
	must(t, err, "Find")
	want(t, got.SessionEpoch(), 2, "the epoch after two redemptions that were in time")
}

func ticketsFailedRedemption(t tester, s RecordStores) {
	bob := addUser(t, s.Users, 99)
	for n, c := range carriers {
		u := addUser(t, s.Users, n)
		void := s.issue(t, n, u, ticket.EmailChange)
		with := ports.Along{
			Redeem: key(90), RedeemAt: noon, Void: purposes,
			Letters: []mail.Letter{newLetter(t, n, bob)}, Audit: []audit.Entry{newEntry(n, u.ID())},
		}
		wantError(t, c.run(t.Context(), s, u.ID(), consent, &with), ticket.ErrInvalid, "%s with a ticket that never was", c.name)
		s.wantNothing(t, c, u, bob)
		s.wantGood(t, void, "what a failed redemption would have voided")
	}
}

func ticketsVoid(t tester, s RecordStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	his, kept := s.issue(t, 1, bob, ticket.PasswordReset), s.issue(t, 2, ann, ticket.EmailVerification)
	for n, c := range []carrier{carriers[0], carriers[2]} {
		reset, move := s.issue(t, 10+n, ann, ticket.PasswordReset), s.issue(t, 20+n, ann, ticket.EmailChange)
		with := ports.Along{Void: []ticket.Purpose{ticket.PasswordReset, ticket.EmailChange}}
		must(t, c.run(t.Context(), s, ann.ID(), consent, &with), "%s", c.name)
		s.wantVoid(t, reset.Key, "what was voided")
		s.wantVoid(t, move.Key, "what was voided")
		must(t, c.run(t.Context(), s, ann.ID(), consent, &with), "%s(nothing to void)", c.name)
		s.wantGood(t, kept, "what was not named")
		s.wantGood(t, his, "that of another user")
	}
}

func ticketsGoWithTheirUser(t tester, s RecordStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	hers, his := s.issue(t, 1, ann, ticket.PasswordReset), s.issue(t, 2, bob, ticket.PasswordReset)
	must(t, s.Users.Delete(t.Context(), ann.ID(), goInPeace), "Delete")
	s.wantVoid(t, hers.Key, "of who was deleted")
	s.wantGood(t, his, "of another than who was deleted")
}

func ticketsOfWhoIsGoing(t tester, s RecordStores) {
	for n := range 50 {
		u := addUser(t, s.Users, n)
		one := newTicket(n, u, ticket.PasswordReset)
		var issued error
		race(n, func() {
			err := s.Users.Delete(t.Context(), u.ID(), func(user.User) error { linger(); return nil })
			if err != nil {
				t.Errorf("Delete beside Issue = %v, want no error", err)
			}
		}, func() { linger(); issued = s.Tickets.Issue(t.Context(), one) })
		if issued != nil {
			wantError(t, issued, fault.NotFound, "Issue beside Delete of the user")
		}
		s.wantVoid(t, one.Key, "issued while the user was deleted")
	}
}

func ticketsPrune(t tester, s RecordStores) {
	var all []ticket.Ticket
	for n := range 5 {
		all = append(all, s.issue(t, n, addUser(t, s.Users, n), ticket.PasswordReset))
	}
	for _, c := range []struct {
		what  string
		now   time.Time
		limit int
		n     int
	}{
		{"before any end", all[0].ExpiresAt.Add(-time.Microsecond), 10, 0},
		{"none", all[3].ExpiresAt, 0, 0},
		{"at the first end", all[0].ExpiresAt, 10, 1},
		{"two", all[3].ExpiresAt, 2, 2},
		{"two, of one", all[3].ExpiresAt, 2, 1},
		{"what is none", all[3].ExpiresAt, 2, 0},
	} {
		if n, err := s.Tickets.Prune(t.Context(), c.now, c.limit); err != nil || n != c.n {
			t.Errorf("Prune(%s) = %d, %v, want %d", c.what, n, err, c.n)
		}
	}
	for _, one := range all[:4] {
		s.wantVoid(t, one.Key, "what was pruned")
	}
	s.wantGood(t, all[4], "what expires later")
}

func ticketsCancelled(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	one, ctx := s.issue(t, 1, u, ticket.PasswordReset), gone(t)
	wantUnavailable(t, map[string]error{
		"Issue":           s.Tickets.Issue(ctx, newTicket(2, u, ticket.PasswordReset)),
		"Issue to nobody": s.Tickets.Issue(ctx, newTicket(3, newUser(t, 9), ticket.PasswordReset)),
		"Find":            second(s.Tickets.Find(ctx, one.Key, noon)),
		"Find of none":    second(s.Tickets.Find(ctx, key(9), noon)),
		"Prune":           second(s.Tickets.Prune(ctx, farAway, 10)),
	})
	if err := second(s.Tickets.Find(ctx, key(9), noon)); errors.Is(err, fault.Gone) {
		t.Errorf("Find with a cancelled context = %v, which tells somebody that a good link is not", err)
	}
	s.wantGood(t, one, "after cancelled calls")
}
