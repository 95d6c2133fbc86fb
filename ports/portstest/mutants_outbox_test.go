package portstest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// outbox is one with some of its methods replaced.
type outbox struct {
	ports.Outbox
	claim    func(context.Context, time.Time, time.Duration, int) ([]mail.Letter, error)
	done     func(context.Context, uuid.UUID) error
	postpone func(context.Context, uuid.UUID, time.Time, string) error
	waiting  func(context.Context) (int, time.Time, error)
	to       func(context.Context, user.ID) ([]mail.Letter, error)
}

func (s outbox) Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
	if s.claim == nil {
		return s.Outbox.Claim(ctx, now, lease, limit)
	}
	return s.claim(ctx, now, lease, limit)
}

func (s outbox) Done(ctx context.Context, id uuid.UUID) error {
	if s.done == nil {
		return s.Outbox.Done(ctx, id)
	}
	return s.done(ctx, id)
}

func (s outbox) Postpone(ctx context.Context, id uuid.UUID, until time.Time, why string) error {
	if s.postpone == nil {
		return s.Outbox.Postpone(ctx, id, until, why)
	}
	return s.postpone(ctx, id, until, why)
}

func (s outbox) Waiting(ctx context.Context) (int, time.Time, error) {
	if s.waiting == nil {
		return s.Outbox.Waiting(ctx)
	}
	return s.waiting(ctx)
}

func (s outbox) LettersTo(ctx context.Context, id user.ID) ([]mail.Letter, error) {
	if s.to == nil {
		return s.Outbox.LettersTo(ctx, id)
	}
	return s.to(ctx, id)
}

func outboxMutant(check, fault string, f func(s RecordStores) outbox) mutant[RecordStores] {
	return recordMutant(check, fault, func(s *RecordStores) {
		m := f(*s)
		m.Outbox = s.Outbox
		s.Outbox = m
	})
}

// claiming is a mutant that claims in another way.
func claiming(check, fault string, f func(r ports.Outbox, ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error)) mutant[RecordStores] {
	return outboxMutant(check, fault, func(s RecordStores) outbox {
		return outbox{claim: func(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
			return f(s.Outbox, ctx, now, lease, limit)
		}}
	})
}

// postponing is a mutant that postpones in another way.
func postponing(check, fault string, f func(r ports.Outbox, ctx context.Context, id uuid.UUID, until time.Time, why string) error) mutant[RecordStores] {
	return outboxMutant(check, fault, func(s RecordStores) outbox {
		return outbox{postpone: func(ctx context.Context, id uuid.UUID, until time.Time, why string) error {
			return f(s.Outbox, ctx, id, until, why)
		}}
	})
}

// listing is a mutant that alters the letters to a user.
func listing(check, fault string, alter func([]mail.Letter) []mail.Letter) mutant[RecordStores] {
	return outboxMutant(check, fault, func(s RecordStores) outbox {
		return outbox{to: func(ctx context.Context, id user.ID) ([]mail.Letter, error) {
			all, err := s.Outbox.LettersTo(ctx, id)
			return alter(all), err
		}}
	})
}

func eachLetter(alter func(*mail.Letter)) func([]mail.Letter) []mail.Letter {
	return func(all []mail.Letter) []mail.Letter {
		for i := range all {
			alter(&all[i])
		}
		return all
	}
}

// everyLetter gives the letters to all users.
func (s RecordStores) everyLetter(ctx context.Context) (all []mail.Letter) {
	users, _ := s.Users.List(ctx, user.ID{}, 1000)
	for _, u := range users {
		list, _ := s.Outbox.LettersTo(ctx, u.ID())
		all = append(all, list...)
	}
	return all
}

var outboxMutants = []mutant[RecordStores]{
	listing("every field is kept", "forgets the detail", eachLetter(func(l *mail.Letter) { l.Detail = nil })),
	listing("every field is kept", "writes in English alone", eachLetter(func(l *mail.Letter) { l.Language = mail.English })),
	listing("every field is kept", "sends to the address of the account", eachLetter(func(l *mail.Letter) {
		if strings.HasPrefix(l.To.String(), "New+") {
			l.To = user.RestoreEmail("x@example.com", "x@example.com")
		}
	})),
	listing("every field is kept", "keeps whole seconds", eachLetter(func(l *mail.Letter) { l.CreatedAt = l.CreatedAt.Truncate(time.Second) })),
	claiming("every field is kept", "claims without the detail", func(r ports.Outbox, ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
		all, err := r.Claim(ctx, now, lease, limit)
		return eachLetter(func(l *mail.Letter) { l.Detail = nil })(all), err
	}),
	claiming("the longest due come first", "gives the newest first", func(r ports.Outbox, ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
		all, err := r.Claim(ctx, now, lease, limit)
		slices.Reverse(all)
		return all, err
	}),
	claiming("the longest due come first", "goes by when they were written", func(r ports.Outbox, ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
		all, err := r.Claim(ctx, now, 0, 1000)
		slices.SortFunc(all, func(a, b mail.Letter) int { return a.CreatedAt.Compare(b.CreatedAt) })
		for _, l := range all[:min(limit, len(all))] {
			_ = r.Postpone(ctx, l.ID, now.Add(lease), "")
		}
		return all[:min(limit, len(all))], err
	}),
	claiming("the longest due come first", "takes zero for no limit", func(r ports.Outbox, ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
		if limit == 0 {
			limit = 1000
		}
		return r.Claim(ctx, now, lease, limit)
	}),
	claiming("the longest due come first", "gives what is due soon", func(r ports.Outbox, ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
		return r.Claim(ctx, now.Add(time.Second), lease, limit)
	}),
	claiming("the longest due come first", "waits a moment longer", func(r ports.Outbox, ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
		return r.Claim(ctx, now.Add(-time.Microsecond), lease, limit)
	}),
	claiming("what is claimed is due again after its lease", "leaves it due", func(r ports.Outbox, ctx context.Context, now time.Time, _ time.Duration, limit int) ([]mail.Letter, error) {
		return r.Claim(ctx, now, 0, limit)
	}),
	claiming("what is claimed is due again after its lease", "takes it out for good", func(r ports.Outbox, ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
		all, err := r.Claim(ctx, now, lease, limit)
		for _, l := range all {
			_ = r.Done(ctx, l.ID)
		}
		return all, err
	}),
	claiming("what is claimed is due again after its lease", "does not count the attempts", func(r ports.Outbox, ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
		all, err := r.Claim(ctx, now, lease, limit)
		return eachLetter(func(l *mail.Letter) { l.Attempt = 1 })(all), err
	}),
	outboxMutant("claimers at once get different letters", "gives two the same", func(s RecordStores) outbox {
		both := meet()
		var mu sync.Mutex
		var first []mail.Letter
		calls := 0
		return outbox{claim: func(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
			both()
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls == 2 {
				return first, nil
			}
			all, err := s.Outbox.Claim(ctx, now, lease, limit)
			if calls == 1 {
				first = all
			}
			return all, err
		}}
	}),
	outboxMutant("claimers at once get different letters", "fails when another claims", func(s RecordStores) outbox {
		both, once := meet(), sync.Once{}
		return outbox{claim: func(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
			both()
			lost := false
			once.Do(func() { lost = true })
			if lost {
				return nil, fault.Outage(nil)
			}
			return s.Outbox.Claim(ctx, now, lease, limit)
		}}
	}),
	outboxMutant("what is done is gone", "leaves it", func(RecordStores) outbox {
		return outbox{done: func(context.Context, uuid.UUID) error { return nil }}
	}),
	outboxMutant("what is done is gone", "complains the second time", func(s RecordStores) outbox {
		return outbox{done: func(ctx context.Context, id uuid.UUID) error {
			n, _, _ := s.Outbox.Waiting(ctx)
			err := s.Outbox.Done(ctx, id)
			if left, _, _ := s.Outbox.Waiting(ctx); left == n && err == nil {
				err = fault.NotFound
			}
			return err
		}}
	}),
	outboxMutant("what is done is gone", "deletes all to the user", func(s RecordStores) outbox {
		return outbox{done: func(ctx context.Context, _ uuid.UUID) error {
			for _, l := range s.everyLetter(ctx) {
				_ = s.Outbox.Done(ctx, l.ID)
			}
			return nil
		}}
	}),
	postponing("what is postponed comes later", "does nothing", func(ports.Outbox, context.Context, uuid.UUID, time.Time, string) error { return nil }),
	postponing("what is postponed comes later", "never makes it due earlier", func(r ports.Outbox, ctx context.Context, id uuid.UUID, until time.Time, why string) error {
		if !until.After(noon) {
			return nil
		}
		return r.Postpone(ctx, id, until, why)
	}),
	postponing("what is postponed comes later", "keeps whole seconds", func(r ports.Outbox, ctx context.Context, id uuid.UUID, until time.Time, why string) error {
		return r.Postpone(ctx, id, until.Truncate(time.Second), why)
	}),
	postponing("whatever a mail server says is kept", "wants UTF-8", func(r ports.Outbox, ctx context.Context, id uuid.UUID, until time.Time, why string) error {
		if !utf8.ValidString(why) {
			return fault.Invalid
		}
		return r.Postpone(ctx, id, until, why)
	}),
	postponing("whatever a mail server says is kept", "bears no NUL", func(r ports.Outbox, ctx context.Context, id uuid.UUID, until time.Time, why string) error {
		if strings.Contains(why, "\x00") {
			return fault.Invalid
		}
		return r.Postpone(ctx, id, until, why)
	}),
	postponing("whatever a mail server says is kept", "has room for a line", func(r ports.Outbox, ctx context.Context, id uuid.UUID, until time.Time, why string) error {
		if len(why) > 1000 {
			return fault.Invalid
		}
		return r.Postpone(ctx, id, until, why)
	}),
	outboxMutant("what is not there can be done and postponed", "complains", func(s RecordStores) outbox {
		return outbox{done: func(ctx context.Context, id uuid.UUID) error {
			if !slices.ContainsFunc(s.everyLetter(ctx), func(l mail.Letter) bool { return l.ID == id }) {
				return fault.NotFound
			}
			return s.Outbox.Done(ctx, id)
		}}
	}),
	outboxMutant("what is not there can be done and postponed", "postpones the first there is", func(s RecordStores) outbox {
		return outbox{postpone: func(ctx context.Context, id uuid.UUID, until time.Time, why string) error {
			for _, l := range s.everyLetter(ctx) {
				_ = s.Outbox.Done(ctx, l.ID)
			}
			return s.Outbox.Postpone(ctx, id, until, why)
		}}
	}),
	outboxMutant("tells how many wait and since when", "counts what was never claimed alone", func(s RecordStores) outbox {
		return outbox{waiting: func(ctx context.Context) (int, time.Time, error) {
			_, since, err := s.Outbox.Waiting(ctx)
			return len(filtered(s.everyLetter(ctx), func(l mail.Letter) bool { return l.Attempt == 0 })), since, err
		}}
	}),
	outboxMutant("tells how many wait and since when", "tells the newest", func(s RecordStores) outbox {
		return outbox{waiting: func(ctx context.Context) (n int, since time.Time, err error) {
			for _, l := range s.everyLetter(ctx) {
				if n++; l.CreatedAt.After(since) {
					since = l.CreatedAt
				}
			}
			return n, since, nil
		}}
	}),
	outboxMutant("tells how many wait and since when", "has been waiting since 1970", func(s RecordStores) outbox {
		return outbox{waiting: func(ctx context.Context) (int, time.Time, error) {
			n, since, err := s.Outbox.Waiting(ctx)
			if n == 0 {
				since = time.Unix(0, 0)
			}
			return n, since, err
		}}
	}),
	outboxMutant("lists the letters to a user", "lists everybody's", func(s RecordStores) outbox {
		return outbox{to: func(ctx context.Context, _ user.ID) ([]mail.Letter, error) { return s.everyLetter(ctx), nil }}
	}),
	listing("lists the letters to a user", "hides what was claimed", func(all []mail.Letter) []mail.Letter {
		return filtered(all, func(l mail.Letter) bool { return l.Attempt == 0 })
	}),
	listing("lists the letters to a user", "begins with the newest", func(all []mail.Letter) []mail.Letter {
		slices.Reverse(all)
		return all
	}),
	recordMutant("letters go with their user", "keeps the user", func(s *RecordStores) {
		r := s.Users
		s.Users = users{UserRepository: r, delete: func(ctx context.Context, id user.ID, check func(user.User) error) error {
			_, err := r.Update(ctx, id, func(u *user.User) error { u.Disable(noon); return check(*u) })
			return err
		}}
	}),
	recordMutant("no letter is left to who is going", "keeps letters to nobody", func(s *RecordStores) {
		var mu sync.Mutex
		real, box, orphans := s.Ledger, s.Outbox, 0
		s.Ledger = ledger(func(ctx context.Context, a ports.Along) error {
			err := real.Record(ctx, a)
			if errors.Is(err, fault.NotFound) {
				mu.Lock()
				defer mu.Unlock()
				orphans++
				err = nil
			}
			return err
		})
		s.Outbox = outbox{Outbox: box, waiting: func(ctx context.Context) (int, time.Time, error) {
			n, since, err := box.Waiting(ctx)
			return n + orphans, since, err
		}}
	}),
	recordMutant("nothing handed in or out is shared", "keeps the detail that it was given", func(s *RecordStores) {
		real, box, details := s.Ledger, s.Outbox, map[uuid.UUID]map[string]string{}
		s.Ledger = ledger(func(ctx context.Context, a ports.Along) error {
			for _, l := range a.Letters {
				details[l.ID] = l.Detail
			}
			return real.Record(ctx, a)
		})
		s.Outbox = outbox{Outbox: box, to: func(ctx context.Context, id user.ID) ([]mail.Letter, error) {
			all, err := box.LettersTo(ctx, id)
			return eachLetter(func(l *mail.Letter) { l.Detail = details[l.ID] })(all), err
		}}
	}),
	outboxMutant("nothing handed in or out is shared", "gives one list to all", func(s RecordStores) outbox {
		var cache kept[[]mail.Letter]
		return outbox{to: func(ctx context.Context, id user.ID) ([]mail.Letter, error) {
			return cache.first(func() ([]mail.Letter, error) { return s.Outbox.LettersTo(ctx, id) })
		}}
	}),
	outboxMutant("nothing handed in or out is shared", "claims with one detail for all", func(s RecordStores) outbox {
		details := map[uuid.UUID]map[string]string{}
		return outbox{claim: func(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
			all, err := s.Outbox.Claim(ctx, now, lease, limit)
			return eachLetter(func(l *mail.Letter) {
				if details[l.ID] == nil {
					details[l.ID] = l.Detail
				}
				l.Detail = details[l.ID]
			})(all), err
		}}
	}),
	claiming("a cancelled context is an outage", "has nothing to send", func(r ports.Outbox, ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
		all, _ := r.Claim(ctx, now, lease, limit)
		return all, nil
	}),
	claiming("a cancelled context is an outage", "claims all the same", func(r ports.Outbox, ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
		all, err := r.Claim(deaf(ctx), now, lease, limit)
		return all, late(ctx, err)
	}),
}
