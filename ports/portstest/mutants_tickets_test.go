package portstest

import (
	"context"
	"errors"
	"sync"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// ticketStore is a repository with some of its methods replaced.
type ticketStore struct {
	ports.TicketRepository
	issue func(context.Context, ticket.Ticket) error
	find  func(context.Context, session.Key, time.Time) (ticket.Ticket, error)
	prune func(context.Context, time.Time, int) (int, error)
}

func (s ticketStore) Issue(ctx context.Context, one ticket.Ticket) error {
	if s.issue == nil {
		return s.TicketRepository.Issue(ctx, one)
	}
	return s.issue(ctx, one)
}

func (s ticketStore) Find(ctx context.Context, k session.Key, now time.Time) (ticket.Ticket, error) {
	if s.find == nil {
		return s.TicketRepository.Find(ctx, k, now)
	}
	return s.find(ctx, k, now)
}

func (s ticketStore) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	if s.prune == nil {
		return s.TicketRepository.Prune(ctx, now, limit)
	}
	return s.prune(ctx, now, limit)
}

func ticketMutant(check, fault string, f func(s RecordStores) ticketStore) mutant[RecordStores] {
	return recordMutant(check, fault, func(s *RecordStores) {
		m := f(*s)
		m.TicketRepository = s.Tickets
		s.Tickets = m
	})
}

// findingTickets is a mutant that alters what it finds.
func findingTickets(check, fault string, alter func(*ticket.Ticket, error) error) mutant[RecordStores] {
	return ticketMutant(check, fault, func(s RecordStores) ticketStore {
		return ticketStore{find: func(ctx context.Context, k session.Key, now time.Time) (ticket.Ticket, error) {
			one, err := s.Tickets.Find(ctx, k, now)
			return one, alter(&one, err)
		}}
	})
}

// lookingAt is a mutant whose clock is another one.
func lookingAt(check, fault string, alter func(now time.Time) time.Time) mutant[RecordStores] {
	return ticketMutant(check, fault, func(s RecordStores) ticketStore {
		return ticketStore{find: func(ctx context.Context, k session.Key, now time.Time) (ticket.Ticket, error) {
			return s.Tickets.Find(ctx, k, alter(now))
		}}
	})
}

// forEver keeps every ticket that was ever issued.
func forEver(s RecordStores) ticketStore {
	var all sync.Map
	return ticketStore{
		issue: func(ctx context.Context, one ticket.Ticket) error {
			all.Store(one.Key, one)
			return s.Tickets.Issue(ctx, one)
		},
		find: func(_ context.Context, k session.Key, now time.Time) (ticket.Ticket, error) {
			if one, ok := all.Load(k); ok && one.(ticket.Ticket).Good(now) {
				return one.(ticket.Ticket), nil
			}
			return ticket.Ticket{}, ticket.ErrInvalid
		},
	}
}

// voiding voids the tickets of the users before it issues one.
func voiding(whose func(all []user.User, of user.ID) []user.User, purposes ...ticket.Purpose) func(s RecordStores) ticketStore {
	return func(s RecordStores) ticketStore {
		return ticketStore{issue: func(ctx context.Context, one ticket.Ticket) error {
			all, _ := s.Users.List(ctx, user.ID{}, 1000)
			for _, u := range whose(all, one.UserID) {
				_, _ = s.Users.Update(ctx, u.ID(), func(*user.User) error { return nil }, &ports.Along{Void: purposes})
			}
			return s.Tickets.Issue(ctx, one)
		}}
	}
}

var ticketMutants = []mutant[RecordStores]{
	findingTickets("every field is kept", "gives the canonical address", func(one *ticket.Ticket, err error) error {
		one.Email = user.RestoreEmail(one.Email.Canonical(), one.Email.Canonical())
		return err
	}),
	findingTickets("every field is kept", "keeps whole seconds", func(one *ticket.Ticket, err error) error {
		one.IssuedAt = one.IssuedAt.Truncate(time.Second)
		return err
	}),
	findingTickets("every field is kept", "knows one purpose alone", func(one *ticket.Ticket, err error) error {
		one.Purpose = ticket.PasswordReset
		return err
	}),
	ticketMutant("nobody has no ticket", "says that it took it", func(s RecordStores) ticketStore {
		return ticketStore{issue: func(ctx context.Context, one ticket.Ticket) error {
			if err := s.Tickets.Issue(ctx, one); !errors.Is(err, fault.NotFound) {
				return err
			}
			return nil
		}}
	}),
	findingTickets("what never was is not good", "gives the zero ticket", func(*ticket.Ticket, error) error { return nil }),
	findingTickets("what never was is not good", "calls it not found", func(_ *ticket.Ticket, err error) error {
		if err != nil {
			err = session.ErrUnknown
		}
		return err
	}),
	lookingAt("a ticket is good until its end", "counts the end in", func(now time.Time) time.Time { return now.Add(-time.Microsecond) }),
	lookingAt("a ticket is good until its end", "counts whole seconds", func(now time.Time) time.Time { return now.Truncate(time.Second).Add(time.Second) }),
	lookingAt("a ticket is good until its end", "reads no clock", func(time.Time) time.Time { return noon }),
	ticketMutant("a new one voids the one before", "keeps both", forEver),
	ticketMutant("a new one voids the one before", "voids those for other purposes",
		voiding(func(all []user.User, of user.ID) []user.User {
			return filtered(all, func(u user.User) bool { return u.ID() == of })
		}, purposes...)),
	ticketMutant("a new one voids the one before", "voids those of others",
		voiding(func(all []user.User, _ user.ID) []user.User { return all }, ticket.PasswordReset)),
	ticketMutant("of tickets issued at once one is good", "keeps all", forEver),
	ticketMutant("of tickets issued at once one is good", "reports contention", func(s RecordStores) ticketStore {
		both, once := meet(), sync.Once{}
		return ticketStore{issue: func(ctx context.Context, one ticket.Ticket) error {
			both()
			lost := false
			once.Do(func() { lost = true })
			if lost {
				return fault.Conflict
			}
			return s.Tickets.Issue(ctx, one)
		}}
	}),
	everyChange("a ticket is used up once", "does not use it up", func(s RecordStores) around {
		return func(ctx context.Context, do act, with []*ports.Along) error {
			a := joinedAlong(with)
			if !a.Redeem.IsZero() {
				if _, err := s.Tickets.Find(ctx, a.Redeem, a.RedeemAt); err != nil {
					return err
				}
			}
			a.Redeem = session.Key{}
			return do(ctx, &a)
		}
	}),
	handing("a ticket is used up once", "does not look at it", func(a *ports.Along) { a.Redeem = session.Key{} }),
	handing("a ticket is used up once", "uses up all of the user", func(a *ports.Along) { a.Void = purposes }),
	everyChange("of many who redeem one at once one does", "looks first and uses it up then", func(s RecordStores) around {
		both := meet()
		return func(ctx context.Context, do act, with []*ports.Along) error {
			a := joinedAlong(with)
			if a.Redeem.IsZero() {
				return do(ctx, with...)
			}
			_, err := s.Tickets.Find(ctx, a.Redeem, a.RedeemAt)
			both()
			if err != nil {
				return err
			}
			useUp := ports.Along{Redeem: a.Redeem, RedeemAt: a.RedeemAt}
			_, _ = s.Users.Update(ctx, userID(1), func(*user.User) error { return nil }, &useUp)
			a.Redeem = session.Key{}
			return do(ctx, &a)
		}
	}),
	everyChange("of many who redeem one at once one does", "reports contention as an outage", func(RecordStores) around {
		return func(ctx context.Context, do act, with []*ports.Along) error {
			err := do(ctx, with...)
			if errors.Is(err, ticket.ErrInvalid) {
				err = fault.Outage(err)
			}
			return err
		}
	}),
	handing("a ticket is redeemed until its end", "counts the end in", func(a *ports.Along) { a.RedeemAt = a.RedeemAt.Add(-time.Microsecond) }),
	handing("a ticket is redeemed until its end", "counts whole seconds", func(a *ports.Along) {
		a.RedeemAt = a.RedeemAt.Truncate(time.Second).Add(time.Second)
	}),
	handing("a ticket is redeemed until its end", "reads no clock", func(a *ports.Along) { a.RedeemAt = noon }),
	everyChange("a ticket that is not good keeps nothing", "writes it down all the same", noteWhatFails),
	everyChange("a ticket that is not good keeps nothing", "makes the change first", func(s RecordStores) around {
		return func(ctx context.Context, do act, with []*ports.Along) error {
			a := joinedAlong(with)
			_, err := s.Tickets.Find(ctx, a.Redeem, a.RedeemAt)
			if a.Redeem.IsZero() {
				err = nil
			}
			if made := do(ctx); made != nil {
				return made
			}
			return err
		}
	}),
	everyChange("a ticket that is not good keeps nothing", "voids first", useUpFirst),
	handing("a change voids the purposes that it names", "voids none", func(a *ports.Along) { a.Void = nil }),
	handing("a change voids the purposes that it names", "voids one alone", func(a *ports.Along) { a.Void = a.Void[:min(len(a.Void), 1)] }),
	handing("a change voids the purposes that it names", "voids all", func(a *ports.Along) {
		if a.Void != nil {
			a.Void = purposes
		}
	}),
	everyChange("a change voids the purposes that it names", "voids those of everybody", func(s RecordStores) around {
		return func(ctx context.Context, do act, with []*ports.Along) error {
			all, _ := s.Users.List(ctx, user.ID{}, 1000)
			for _, u := range all {
				_, _ = s.Users.Update(ctx, u.ID(), func(*user.User) error { return nil }, &ports.Along{Void: joinedAlong(with).Void})
			}
			return do(ctx, with...)
		}
	}),
	ticketMutant("tickets go with their user", "keeps them", forEver),
	ticketMutant("who is going gets no ticket", "keeps one of nobody", func(s RecordStores) ticketStore {
		var orphans sync.Map
		return ticketStore{
			issue: func(ctx context.Context, one ticket.Ticket) error {
				err := s.Tickets.Issue(ctx, one)
				if errors.Is(err, fault.NotFound) {
					orphans.Store(one.Key, one)
					err = nil
				}
				return err
			},
			find: func(ctx context.Context, k session.Key, now time.Time) (ticket.Ticket, error) {
				if one, ok := orphans.Load(k); ok {
					return one.(ticket.Ticket), nil
				}
				return s.Tickets.Find(ctx, k, now)
			},
		}
	}),
	ticketMutant("prunes what has expired by now", "leaves what ends now", func(s RecordStores) ticketStore {
		return ticketStore{prune: func(ctx context.Context, now time.Time, limit int) (int, error) {
			return s.Tickets.Prune(ctx, now.Add(-time.Microsecond), limit)
		}}
	}),
	ticketMutant("prunes what has expired by now", "prunes what is about to", func(s RecordStores) ticketStore {
		return ticketStore{prune: func(ctx context.Context, now time.Time, limit int) (int, error) {
			return s.Tickets.Prune(ctx, now.Add(time.Microsecond), limit)
		}}
	}),
	ticketMutant("prunes what has expired by now", "knows no limit", func(s RecordStores) ticketStore {
		return ticketStore{prune: func(ctx context.Context, now time.Time, _ int) (int, error) { return s.Tickets.Prune(ctx, now, 1000) }}
	}),
	findingTickets("a cancelled context is an outage", "calls the ticket bad", func(_ *ticket.Ticket, err error) error {
		if err != nil {
			err = ticket.ErrInvalid
		}
		return err
	}),
	ticketMutant("a cancelled context is an outage", "issues all the same", func(s RecordStores) ticketStore {
		return ticketStore{issue: func(ctx context.Context, one ticket.Ticket) error { return late(ctx, s.Tickets.Issue(deaf(ctx), one)) }}
	}),
}

// filtered is what of all is meant.
func filtered[T any](all []T, meant func(T) bool) (some []T) {
	for _, one := range all {
		if meant(one) {
			some = append(some, one)
		}
	}
	return some
}
