package portstest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"gatehouse/domain/audit"
	"gatehouse/domain/factor"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var alongChecks = []check[RecordStores]{
	{"it is kept with every change", alongKept},
	{"it is kept with a new user", alongANewUser},
	{"it is kept with a new product", alongANewProduct},
	{"it is kept where nothing changes", alongNothing},
	{"it is read after the change", alongFilledIn},
	{"several are kept in their order", alongSeveral},
	{"a refused change keeps nothing of it", alongRefused},
	{"a change that cannot be made keeps nothing of it", alongImpossible},
	{"what cannot be kept keeps nothing of the change", alongUnkeepable},
	{"who hangs up keeps nothing of it", alongHangUp},
	{"who takes an admin away is shown who is left", alongAdmins},
	{"of two who take an admin away at once the second sees the first", alongAdminsAtOnce},
}

// newEntry is the n-th entry, n seconds after noon, by and of the owner.
func newEntry(n int, owner user.ID) audit.Entry {
	return audit.Entry{
		ID: id(n), At: noon.Add(time.Duration(n) * time.Second), Event: audit.PasswordChanged, Outcome: audit.Success,
		Actor: owner, Subject: audit.Of(owner),
		Origin: audit.Origin{IP: netip.MustParseAddr("192.0.2.1"), UserAgent: "check", RequestID: fmt.Sprint("request-", n)},
		Detail: map[string]string{"n": fmt.Sprint(n)},
	}
}

// newLetter is the n-th letter, written n seconds after noon.
func newLetter(t tester, n int, to user.User) mail.Letter {
	t.Helper()
	return mail.Letter{
		ID: id(n), UserID: to.ID(), Kind: mail.NewDevice, To: to.Email(), Language: mail.Korean,
		Detail: map[string]string{"device": fmt.Sprint("device ", n)}, CreatedAt: noon.Add(time.Duration(n) * time.Second),
	}
}

// newTicket is the n-th ticket, issued n seconds after noon.
func newTicket(n int, owner user.User, p ticket.Purpose) ticket.Ticket {
	return ticket.Issue(key(n), owner.ID(), p, owner.Email(), noon.Add(time.Duration(n)*time.Second))
}

func (s RecordStores) issue(t tester, n int, owner user.User, p ticket.Purpose) ticket.Ticket {
	t.Helper()
	one := newTicket(n, owner, p)
	must(t, s.Tickets.Issue(t.Context(), one), "Issue(ticket %d)", n)
	return one
}

// wantGood holds the store to the ticket being good.
func (s RecordStores) wantGood(t tester, one ticket.Ticket, what string) {
	t.Helper()
	got, err := s.Tickets.Find(t.Context(), one.Key, one.IssuedAt)
	if err != nil {
		t.Errorf("Find(%s) = %v, want the ticket", what, err)
		return
	}
	want(t, got, one, "Find(%s)", what)
}

// wantVoid holds the store to the ticket being good for nothing.
func (s RecordStores) wantVoid(t tester, k session.Key, what string) {
	t.Helper()
	wantError(t, second(s.Tickets.Find(t.Context(), k, noon)), ticket.ErrInvalid, "Find(%s)", what)
}

// wantLetters holds the outbox to the letters to a user, the oldest first.
func (s RecordStores) wantLetters(t tester, to user.ID, letters ...mail.Letter) {
	t.Helper()
	got, err := s.Outbox.LettersTo(t.Context(), to)
	must(t, err, "LettersTo")
	want(t, append([]mail.Letter{}, got...), append([]mail.Letter{}, letters...), "LettersTo")
}

// wantLog holds the log to the entries, all of them, in this order on each day.
func (s RecordStores) wantLog(t tester, entries ...audit.Entry) {
	t.Helper()
	heads, rows := map[string]audit.Head{}, map[string][]audit.Row{}
	for _, e := range entries {
		row, head := heads[e.Day()].Append(e)
		heads[e.Day()], rows[e.Day()] = head, append(rows[e.Day()], row)
	}
	kept, err := s.Log.Heads(t.Context())
	must(t, err, "Heads")
	want(t, len(kept), len(heads), "how many days there are in the log")
	for _, head := range kept {
		want(t, head, heads[head.Day], "the head of %s", head.Day)
		got, err := s.Log.Rows(t.Context(), head.Day, 0, len(entries)+1)
		must(t, err, "Rows(%s)", head.Day)
		want(t, got, rows[head.Day], "Rows(%s)", head.Day)
	}
}

// carrier is a change of a user who is there, with which something can go along.
type carrier struct {
	name string
	run  func(ctx context.Context, s RecordStores, id user.ID, refuse func() error, with ...*ports.Along) error
	made func(t tester, s RecordStores, id user.ID) bool
}

// consent is a change or a check without objection.
func consent() error { return nil }

var carriers = []carrier{
	{
		"Users.Update",
		func(ctx context.Context, s RecordStores, id user.ID, refuse func() error, with ...*ports.Along) error {
			return second(s.Users.Update(ctx, id, func(u *user.User) error { u.Disable(noon); return refuse() }, with...))
		},
		func(t tester, s RecordStores, id user.ID) bool {
			u, err := s.Users.Find(t.Context(), id)
			must(t, err, "Find")
			return u.Status() == user.Disabled
		},
	},
	{
		"Users.Delete",
		func(ctx context.Context, s RecordStores, id user.ID, refuse func() error, with ...*ports.Along) error {
			return s.Users.Delete(ctx, id, func(user.User) error { return refuse() }, with...)
		},
		func(t tester, s RecordStores, id user.ID) bool { return second(s.Users.Find(t.Context(), id)) != nil },
	},
	{
		"Factors.Update",
		func(ctx context.Context, s RecordStores, id user.ID, refuse func() error, with ...*ports.Along) error {
			return second(s.Factors.Update(ctx, id, func(f *factor.Factor) error {
				*f = factor.Start(id, []byte("sealed"), noon)
				return refuse()
			}, with...))
		},
		func(t tester, s RecordStores, id user.ID) bool {
			f, err := s.Factors.Find(t.Context(), id)
			must(t, err, "Find")
			return !f.IsZero()
		},
	},
	{
		"Products.Update",
		func(ctx context.Context, s RecordStores, id user.ID, refuse func() error, with ...*ports.Along) error {
			stock := int64(7)
			return second(s.Products.Update(ctx, s.productOf(ctx, id), func(p *product.Product) error {
				if err := p.Apply(product.Change{Stock: &stock}, noon); err != nil {
					return err
				}
				return refuse()
			}, with...))
		},
		func(t tester, s RecordStores, id user.ID) bool {
			p, err := s.Products.Find(t.Context(), product.ID(id))
			must(t, err, "Find")
			return p.Stock() == 7
		},
	},
	{
		"Products.Delete",
		func(ctx context.Context, s RecordStores, id user.ID, refuse func() error, with ...*ports.Along) error {
			return s.Products.Delete(ctx, s.productOf(ctx, id), func(product.Product) error { return refuse() }, with...)
		},
		func(t tester, s RecordStores, id user.ID) bool {
			return second(s.Products.Find(t.Context(), product.ID(id))) != nil
		},
	},
}

// productOf is the product with the id of its owner, made if there is a user of
// that id.
func (s RecordStores) productOf(ctx context.Context, id user.ID) product.ID {
	p := product.Restore(product.State{
		ID: product.ID(id), OwnerID: id, Name: "thing", Price: product.RestorePrice(1000, "KRW"),
		Status: product.StatusDraft, Version: 1, CreatedAt: noon, UpdatedAt: noon,
	})
	_ = s.Products.Add(ctx, p) // of nobody there is none
	return p.ID()
}

// An act that is in the log but was not done, or was done but is not in the log
// or never told its owner, is what an attacker wishes for.
func alongKept(t tester, s RecordStores) {
	bob := addUser(t, s.Users, 99)
	var told []mail.Letter
	var logged []audit.Entry
	for n, c := range carriers {
		u := addUser(t, s.Users, n)
		with := ports.Along{
			Letters: []mail.Letter{newLetter(t, 20+2*n, bob), newLetter(t, 21+2*n, bob)},
			Audit:   []audit.Entry{newEntry(40-2*n, u.ID()), newEntry(41-2*n, u.ID())},
		}
		must(t, c.run(t.Context(), s, u.ID(), consent, &with), "%s", c.name)
		if !c.made(t, s, u.ID()) {
			t.Errorf("%s changed nothing", c.name)
		}
		told, logged = append(told, with.Letters...), append(logged, with.Audit...)
		s.wantLetters(t, bob.ID(), told...)
		s.wantLog(t, logged...)
	}
}

func alongANewUser(t tester, s RecordStores) {
	u := newUser(t, 1)
	with := ports.Along{Letters: []mail.Letter{newLetter(t, 1, u)}, Audit: []audit.Entry{newEntry(1, u.ID())}}
	must(t, s.Users.Add(t.Context(), u, &with), "Add")
	wantStored(t, s.Users, u)
	s.wantLetters(t, u.ID(), with.Letters...)
	s.wantLog(t, with.Audit...)
	nobody := newUser(t, 3)
	for what, c := range map[string]struct {
		u    user.User
		to   user.User
		want error
	}{
		"a taken address":    {sameAddress(newUser(t, 2), u), u, user.ErrEmailTaken},
		"a taken id":         {u, u, fault.Conflict},
		"a letter to nobody": {newUser(t, 2), nobody, fault.NotFound},
	} {
		none := ports.Along{Letters: []mail.Letter{newLetter(t, 2, u), newLetter(t, 3, c.to)}, Audit: []audit.Entry{newEntry(2, u.ID())}}
		wantError(t, s.Users.Add(t.Context(), c.u, &none), c.want, "Add(%s)", what)
		s.wantLetters(t, u.ID(), with.Letters...)
		s.wantLog(t, with.Audit...)
	}
	wantError(t, second(s.Users.Find(t.Context(), userID(2))), fault.NotFound, "Find of who was not added")
}

func alongANewProduct(t tester, s RecordStores) {
	u, nobody := addUser(t, s.Users, 1), newUser(t, 3)
	with := ports.Along{Letters: []mail.Letter{newLetter(t, 1, u)}, Audit: []audit.Entry{newEntry(1, u.ID())}}
	must(t, s.Products.Add(t.Context(), newProduct(1, u.ID()), &with), "Add")
	must(t, second(s.Products.Find(t.Context(), productID(1))), "Find")
	s.wantLetters(t, u.ID(), with.Letters...)
	s.wantLog(t, with.Audit...)
	for what, c := range map[string]struct {
		n     int
		owner user.User
		to    user.User
		want  error
	}{
		"a taken id":         {1, u, u, fault.Conflict},
		"nobody's":           {2, nobody, u, fault.NotFound},
		"a letter to nobody": {2, u, nobody, fault.NotFound},
	} {
		none := ports.Along{Letters: []mail.Letter{newLetter(t, 2, u), newLetter(t, 3, c.to)}, Audit: []audit.Entry{newEntry(2, u.ID())}}
		wantError(t, s.Products.Add(t.Context(), newProduct(c.n, c.owner.ID()), &none), c.want, "Add(%s)", what)
		s.wantLetters(t, u.ID(), with.Letters...)
		s.wantLog(t, with.Audit...)
	}
	wantError(t, second(s.Products.Find(t.Context(), productID(2))), fault.NotFound, "Find of what was not added")
}

// sameAddress is u with the address of the other.
func sameAddress(u, other user.User) user.User {
	return with(u, func(s *user.State) { s.Email = other.Email() })
}

// A wrong password, a reset that was asked for: nothing of the user changes,
// and it is written down all the same.
func alongNothing(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	first := ports.Along{Letters: []mail.Letter{newLetter(t, 1, u)}, Audit: []audit.Entry{newEntry(1, u.ID())}}
	got, err := s.Users.Update(t.Context(), u.ID(), func(*user.User) error { return nil }, &first)
	wantUser(t, got, err, u, "Update(nothing)")
	last := ports.Along{Letters: []mail.Letter{newLetter(t, 2, u)}, Audit: []audit.Entry{newEntry(2, u.ID())}}
	f, err := s.Factors.Update(t.Context(), u.ID(), func(*factor.Factor) error { return nil }, &last)
	if err != nil || !f.IsZero() {
		t.Errorf("Factors.Update(nothing) = %v, %v, want no factor", f, err)
	}
	thing := s.productOf(t.Context(), u.ID())
	kept := ports.Along{Letters: []mail.Letter{newLetter(t, 3, u)}, Audit: []audit.Entry{newEntry(3, u.ID())}}
	must(t, second(s.Products.Update(t.Context(), thing, alterNothing, &kept)), "Products.Update(nothing)")
	s.wantLetters(t, u.ID(), slices.Concat(first.Letters, last.Letters, kept.Letters)...)
	s.wantLog(t, slices.Concat(first.Audit, last.Audit, kept.Audit)...)
}

func alterNothing(*product.Product) error { return nil }

// What there is to tell is known when the change has seen what is stored.
func alongFilledIn(t tester, s RecordStores) {
	bob := addUser(t, s.Users, 99)
	var told []mail.Letter
	var logged []audit.Entry
	for n, c := range carriers {
		u := addUser(t, s.Users, n)
		var with ports.Along
		err := c.run(t.Context(), s, u.ID(), func() error {
			with = ports.Along{Letters: []mail.Letter{newLetter(t, 10+n, bob)}, Audit: []audit.Entry{newEntry(10+n, u.ID())}}
			return nil
		}, &with)
		must(t, err, "%s", c.name)
		told, logged = append(told, with.Letters...), append(logged, with.Audit...)
		s.wantLetters(t, bob.ID(), told...)
		s.wantLog(t, logged...)
	}
}

func alongSeveral(t tester, s RecordStores) {
	bob := addUser(t, s.Users, 99)
	var told []mail.Letter
	var logged []audit.Entry
	for n, c := range carriers {
		u := addUser(t, s.Users, n)
		var with []*ports.Along
		for i := range 3 {
			e := newEntry(30-3*n+i, u.ID())
			with, logged = append(with, &ports.Along{Audit: []audit.Entry{e}}), append(logged, e)
		}
		with[1].Letters = []mail.Letter{newLetter(t, n, bob)}
		told = append(told, with[1].Letters...)
		must(t, c.run(t.Context(), s, u.ID(), consent, with...), "%s", c.name)
	}
	s.wantLog(t, logged...)
	s.wantLetters(t, bob.ID(), told...)
}

// everything is one of all that can go along with a change of u.
func (s RecordStores) everything(t tester, n int, u, to user.User) (with ports.Along, redeem, void ticket.Ticket) {
	t.Helper()
	redeem, void = s.issue(t, 10*n, u, ticket.PasswordReset), s.issue(t, 10*n+1, u, ticket.EmailChange)
	return ports.Along{
		Redeem: redeem.Key, RedeemAt: noon, Void: []ticket.Purpose{ticket.EmailChange},
		Letters: []mail.Letter{newLetter(t, n, to)}, Audit: []audit.Entry{newEntry(n, u.ID())},
	}, redeem, void
}

func alongRefused(t tester, s RecordStores) {
	bob := addUser(t, s.Users, 99)
	for n, c := range carriers {
		u := addUser(t, s.Users, n)
		with, redeem, void := s.everything(t, n, u, bob)
		err := c.run(t.Context(), s, u.ID(), func() error { return errRefused }, &with)
		wantVery(t, err, errRefused, c.name)
		s.wantNothing(t, c, u, bob)
		s.wantGood(t, redeem, "what a refused change would have redeemed")
		s.wantGood(t, void, "what a refused change would have voided")
	}
}

// wantNothing holds the stores to nothing of a change of u being kept, nor of
// what went along.
func (s RecordStores) wantNothing(t tester, c carrier, u, to user.User) {
	t.Helper()
	if c.made(t, s, u.ID()) {
		t.Errorf("%s was made, want nothing of it", c.name)
	}
	s.wantLetters(t, to.ID())
	s.wantLog(t)
}

func alongImpossible(t tester, s RecordStores) {
	bob, last := addUser(t, s.Users, 1), addAdmin(t, s.Users, 2)
	for n, c := range carriers {
		with := ports.Along{Letters: []mail.Letter{newLetter(t, n, bob)}, Audit: []audit.Entry{newEntry(n, bob.ID())}}
		wantError(t, c.run(t.Context(), s, userID(9), consent, &with), fault.NotFound, "%s of nobody", c.name)
		if n < 2 {
			wantError(t, c.run(t.Context(), s, last.ID(), consent, &with), user.ErrLastAdmin, "%s of the last admin", c.name)
		}
	}
	with := ports.Along{Letters: []mail.Letter{newLetter(t, 5, bob)}, Audit: []audit.Entry{newEntry(5, bob.ID())}}
	_, err := s.Users.Update(t.Context(), bob.ID(), func(u *user.User) error { *u = sameAddress(*u, last); return nil }, &with)
	wantError(t, err, user.ErrEmailTaken, "Update(to a taken address)")
	s.wantLetters(t, bob.ID())
	s.wantLog(t)
}

func alongUnkeepable(t tester, s RecordStores) {
	bob, nobody := addUser(t, s.Users, 99), newUser(t, 98)
	for n, c := range carriers {
		u := addUser(t, s.Users, n)
		with, redeem, void := s.everything(t, n, u, bob)
		if c.name == "Users.Delete" {
			with.Redeem = session.Key{} // it goes with the user: there is nothing to redeem
		}
		bad := ports.Along{Letters: []mail.Letter{newLetter(t, 50, bob), newLetter(t, 51, nobody)}, Audit: []audit.Entry{newEntry(50, u.ID())}}
		wantError(t, c.run(t.Context(), s, u.ID(), consent, &with, &bad), fault.NotFound, "%s with a letter to nobody", c.name)
		s.wantNothing(t, c, u, bob)
		s.wantGood(t, redeem, "what would have been redeemed")
		s.wantGood(t, void, "what would have been voided")
	}
	// Who is deleted in the same step is nobody.
	u := addUser(t, s.Users, 50)
	with := ports.Along{Letters: []mail.Letter{newLetter(t, 50, u)}, Audit: []audit.Entry{newEntry(50, u.ID())}}
	wantError(t, s.Users.Delete(t.Context(), u.ID(), goInPeace, &with), fault.NotFound, "Delete with a letter to the user")
	wantStored(t, s.Users, u)
	s.wantLog(t)
}

func alongHangUp(t tester, s RecordStores) {
	bob := addUser(t, s.Users, 99)
	for n, c := range carriers {
		u := addUser(t, s.Users, n)
		with, redeem, void := s.everything(t, n, u, bob)
		ctx, cancel := context.WithCancel(t.Context())
		err := c.run(ctx, s, u.ID(), func() error { cancel(); return nil }, &with)
		cancel()
		wantError(t, err, fault.Unavailable, "%s(cancelled meanwhile)", c.name)
		s.wantNothing(t, c, u, bob)
		s.wantGood(t, redeem, "what would have been redeemed")
		s.wantGood(t, void, "what would have been voided")
	}
}
