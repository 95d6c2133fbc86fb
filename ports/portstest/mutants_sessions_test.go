package portstest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// sessions and directory are stores with some of their methods replaced.
type sessions struct {
	ports.SessionRepository
	add     func(context.Context, session.Session) error
	resume  func(context.Context, session.Key) (session.Resumed, error)
	replace func(context.Context, session.Key, session.Session, session.Reason, time.Time) error
	end     func(context.Context, session.Key, session.Ending) (session.Session, error)
	past    func(context.Context, session.Key) (session.Past, error)
}

func (s sessions) Add(ctx context.Context, one session.Session) error {
	if s.add == nil {
		return s.SessionRepository.Add(ctx, one)
	}
	return s.add(ctx, one)
}

func (s sessions) Resume(ctx context.Context, k session.Key) (session.Resumed, error) {
	if s.resume == nil {
		return s.SessionRepository.Resume(ctx, k)
	}
	return s.resume(ctx, k)
}

func (s sessions) Replace(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
	if s.replace == nil {
		return s.SessionRepository.Replace(ctx, k, next, why, now)
	}
	return s.replace(ctx, k, next, why, now)
}

func (s sessions) End(ctx context.Context, k session.Key, e session.Ending) (session.Session, error) {
	if s.end == nil {
		return s.SessionRepository.End(ctx, k, e)
	}
	return s.end(ctx, k, e)
}

func (s sessions) Past(ctx context.Context, k session.Key) (session.Past, error) {
	if s.past == nil {
		return s.SessionRepository.Past(ctx, k)
	}
	return s.past(ctx, k)
}

type directory struct {
	ports.SessionDirectory
	list      func(context.Context, user.ID) ([]session.Session, error)
	one       func(context.Context, user.ID, session.ID, session.Ending) (session.Session, error)
	others    func(context.Context, user.ID, session.Key, session.Ending) ([]session.Session, error)
	trim      func(context.Context, user.ID, int, session.Ending) ([]session.Session, error)
	known     func(context.Context, user.ID) (bool, error)
	pastOf    func(context.Context, user.ID) ([]session.Past, error)
	prune     func(context.Context, time.Time, int) (int, error)
	prunePast func(context.Context, time.Time, int) (int, error)
}

func (s directory) List(ctx context.Context, id user.ID) ([]session.Session, error) {
	if s.list == nil {
		return s.SessionDirectory.List(ctx, id)
	}
	return s.list(ctx, id)
}

func (s directory) EndOne(ctx context.Context, id user.ID, handle session.ID, e session.Ending) (session.Session, error) {
	if s.one == nil {
		return s.SessionDirectory.EndOne(ctx, id, handle, e)
	}
	return s.one(ctx, id, handle, e)
}

func (s directory) EndOthers(ctx context.Context, id user.ID, keep session.Key, e session.Ending) ([]session.Session, error) {
	if s.others == nil {
		return s.SessionDirectory.EndOthers(ctx, id, keep, e)
	}
	return s.others(ctx, id, keep, e)
}

func (s directory) Trim(ctx context.Context, id user.ID, keep int, e session.Ending) ([]session.Session, error) {
	if s.trim == nil {
		return s.SessionDirectory.Trim(ctx, id, keep, e)
	}
	return s.trim(ctx, id, keep, e)
}

func (s directory) Known(ctx context.Context, id user.ID) (bool, error) {
	if s.known == nil {
		return s.SessionDirectory.Known(ctx, id)
	}
	return s.known(ctx, id)
}

func (s directory) PastOf(ctx context.Context, id user.ID) ([]session.Past, error) {
	if s.pastOf == nil {
		return s.SessionDirectory.PastOf(ctx, id)
	}
	return s.pastOf(ctx, id)
}

func (s directory) PrunePast(ctx context.Context, before time.Time, limit int) (int, error) {
	if s.prunePast == nil {
		return s.SessionDirectory.PrunePast(ctx, before, limit)
	}
	return s.prunePast(ctx, before, limit)
}

func (s directory) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	if s.prune == nil {
		return s.SessionDirectory.Prune(ctx, now, limit)
	}
	return s.prune(ctx, now, limit)
}

func sessionMutant(check, fault string, f func(r SessionStores) sessions) mutant[SessionStores] {
	return mutant[SessionStores]{check, fault, func(r SessionStores) SessionStores {
		m := f(r)
		m.SessionRepository, r.Sessions = r.Sessions, nil
		r.Sessions = m
		return r
	}}
}

func directoryMutant(check, fault string, f func(r SessionStores) directory) mutant[SessionStores] {
	return mutant[SessionStores]{check, fault, func(r SessionStores) SessionStores {
		m := f(r)
		m.SessionDirectory = r.Directory
		r.Directory = m
		return r
	}}
}

// altered gives one with its state altered.
func altered(one session.Session, alter func(*session.State)) session.Session {
	s := one.State()
	alter(&s)
	return session.Restore(s)
}

var sessionMutants = []mutant[SessionStores]{
	sessionMutant("every field is kept", "cuts the User-Agent", func(r SessionStores) sessions {
		return sessions{resume: func(ctx context.Context, k session.Key) (session.Resumed, error) {
			got, err := r.Sessions.Resume(ctx, k)
			got.Session = altered(got.Session, func(s *session.State) { s.Device.UserAgent = s.Device.UserAgent[:min(255, len(s.Device.UserAgent))] })
			return got, err
		}}
	}),
	sessionMutant("every field is kept", "forgets who is remembered", func(r SessionStores) sessions {
		return sessions{add: func(ctx context.Context, one session.Session) error {
			return r.Sessions.Add(ctx, altered(one, func(s *session.State) { s.Remembered = false }))
		}}
	}),
	sessionMutant("nobody has no session", "says that it took it", func(r SessionStores) sessions {
		return sessions{add: func(ctx context.Context, one session.Session) error {
			if err := r.Sessions.Add(ctx, one); !errors.Is(err, fault.NotFound) {
				return err
			}
			return nil
		}}
	}),
	sessionMutant("a missing session is not found", "gives the zero session", func(r SessionStores) sessions {
		return sessions{resume: func(ctx context.Context, k session.Key) (session.Resumed, error) {
			got, err := r.Sessions.Resume(ctx, k)
			if errors.Is(err, fault.NotFound) {
				err = nil
			}
			return got, err
		}}
	}),
	sessionMutant("a missing session is not found", "says nothing when there is none to end", func(r SessionStores) sessions {
		return sessions{end: func(ctx context.Context, k session.Key, e session.Ending) (session.Session, error) {
			got, err := r.Sessions.End(ctx, k, e)
			if errors.Is(err, fault.NotFound) {
				err = nil
			}
			return got, err
		}}
	}),
	sessionMutant("resuming reads what holds now", "keeps the user from before", func(r SessionStores) sessions {
		var cache kept[user.User]
		return sessions{resume: func(ctx context.Context, k session.Key) (session.Resumed, error) {
			got, err := r.Sessions.Resume(ctx, k)
			got.User, _ = cache.first(func() (user.User, error) { return got.User, err })
			return got, err
		}}
	}),
	sessionMutant("resuming reads what holds now", "keeps the policy version from before", func(r SessionStores) sessions {
		return sessions{resume: func(ctx context.Context, k session.Key) (session.Resumed, error) {
			got, err := r.Sessions.Resume(ctx, k)
			got.PolicyVersion = 0
			return got, err
		}}
	}),
	sessionMutant("disabling and a new epoch are seen at once", "takes the epoch of the session", func(r SessionStores) sessions {
		return sessions{resume: func(ctx context.Context, k session.Key) (session.Resumed, error) {
			got, err := r.Sessions.Resume(ctx, k)
			got.User = with(got.User, func(s *user.State) { s.SessionEpoch = got.Session.Epoch() })
			return got, err
		}}
	}),
	sessionMutant("a renewal is kept", "writes nothing", func(SessionStores) sessions {
		return sessions{replace: func(context.Context, session.Key, session.Session, session.Reason, time.Time) error { return nil }}
	}),
	sessionMutant("a renewal is kept", "leaves the idle end", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
			old, err := r.Sessions.Resume(ctx, k)
			if err != nil {
				return err
			}
			return r.Sessions.Replace(ctx, k, altered(next, func(s *session.State) { s.IdleEnd = old.Session.IdleEnd() }), why, now)
		}}
	}),
	sessionMutant("a renewal keeps every field", "skips what is empty", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
			return r.Sessions.Replace(ctx, k, altered(next, func(s *session.State) {
				if s.Device.UserAgent == "" {
					s.Device.UserAgent = "check"
				}
			}), why, now)
		}}
	}),
	sessionMutant("a rotation kills the old token", "leaves the old one", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, _ session.Key, next session.Session, _ session.Reason, _ time.Time) error {
			return r.Sessions.Add(ctx, next)
		}}
	}),
	sessionMutant("a rotation kills the old token", "changes the handle", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
			return r.Sessions.Replace(ctx, k, altered(next, func(s *session.State) { s.ID = session.ID{UUID: id(77)} }), why, now)
		}}
	}),
	sessionMutant("ending ends one, once and for all", "does not say what it ended", func(r SessionStores) sessions {
		return sessions{end: func(ctx context.Context, k session.Key, e session.Ending) (session.Session, error) {
			return session.Session{}, second(r.Sessions.End(ctx, k, e))
		}}
	}),
	sessionMutant("ending ends one, once and for all", "ends all of the user", func(r SessionStores) sessions {
		return sessions{end: func(ctx context.Context, k session.Key, e session.Ending) (session.Session, error) {
			got, err := r.Sessions.End(ctx, k, e)
			_, _ = r.Directory.EndOthers(ctx, got.UserID(), session.Key{}, e)
			return got, err
		}}
	}),
	sessionMutant("of two who end one, one does", "looks first and ends then", func(r SessionStores) sessions {
		both := meet()
		return sessions{end: func(ctx context.Context, k session.Key, e session.Ending) (session.Session, error) {
			got, err := r.Sessions.Resume(ctx, k)
			both()
			if err != nil {
				return session.Session{}, err
			}
			_, _ = r.Sessions.End(ctx, k, e)
			return got.Session, nil
		}}
	}),
	sessionMutant("what was ended leaves a reason behind", "leaves none", func(SessionStores) sessions {
		return sessions{past: func(context.Context, session.Key) (session.Past, error) { return session.Past{}, session.ErrUnknown }}
	}),
	sessionMutant("what was ended leaves a reason behind", "forgets the device", pastAltered(func(p *session.Past) { p.Device = session.Device{} })),
	sessionMutant("what was ended leaves a reason behind", "keeps whole seconds", pastAltered(func(p *session.Past) { p.EndedAt = p.EndedAt.Truncate(time.Second) })),
	sessionMutant("what was ended leaves a reason behind", "knows one reason alone", pastAltered(func(p *session.Past) { p.Why = session.SignedOut })),
	sessionMutant("what was ended leaves a reason behind", "lets the last word count", func(r SessionStores) sessions {
		last := map[session.Key]session.Ending{}
		return sessions{
			end: func(ctx context.Context, k session.Key, e session.Ending) (session.Session, error) {
				last[k] = e
				return r.Sessions.End(ctx, k, e)
			},
			past: func(ctx context.Context, k session.Key) (session.Past, error) {
				p, err := r.Sessions.Past(ctx, k)
				p.Why = last[k].Why
				return p, err
			},
		}
	}),
	sessionMutant("what was ended leaves a reason behind", "calls what lives past", func(r SessionStores) sessions {
		return sessions{past: func(ctx context.Context, k session.Key) (session.Past, error) {
			if got, err := r.Sessions.Resume(ctx, k); err == nil {
				return signedOut.Of(got.Session), nil
			}
			return r.Sessions.Past(ctx, k)
		}}
	}),
	sessionMutant("a rotation leaves a reason behind if it has one", "leaves none", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, _ session.Reason, now time.Time) error {
			return r.Sessions.Replace(ctx, k, next, session.Reason{}, now)
		}}
	}),
	sessionMutant("a rotation leaves a reason behind if it has one", "always leaves one", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, _ session.Reason, now time.Time) error {
			return r.Sessions.Replace(ctx, k, next, session.PasswordChanged, now)
		}}
	}),
	sessionMutant("a rotation leaves a reason behind if it has one", "leaves it under the new token", func(r SessionStores) sessions {
		renamed := map[session.Key]session.Key{}
		return sessions{
			replace: func(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
				if !why.IsZero() {
					renamed[next.Key()] = k
				}
				return r.Sessions.Replace(ctx, k, next, why, now)
			},
			past: func(ctx context.Context, k session.Key) (session.Past, error) {
				return r.Sessions.Past(ctx, renamed[k])
			},
		}
	}),
	sessionMutant("what is left of sessions goes with their user", "keeps it", func(r SessionStores) sessions {
		kept := map[session.Key]session.Past{}
		return sessions{
			end: func(ctx context.Context, k session.Key, e session.Ending) (session.Session, error) {
				one, err := r.Sessions.End(ctx, k, e)
				kept[k] = e.Of(one)
				return one, err
			},
			past: func(_ context.Context, k session.Key) (session.Past, error) { return kept[k], nil },
		}
	}),
	sessionMutant("what was ended does not come back", "writes whatever is there", upserts),
	sessionMutant("what was ended does not come back", "writes and reports it as missing", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
			err := r.Sessions.Replace(ctx, k, next, why, now)
			if errors.Is(err, fault.NotFound) {
				_ = r.Sessions.Add(ctx, next)
			}
			return err
		}}
	}),
	sessionMutant("replacing is possible until the end", "counts the end itself in", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
			return r.Sessions.Replace(ctx, k, next, why, now.Add(-time.Microsecond))
		}}
	}),
	sessionMutant("replacing is possible until the end", "counts in whole seconds", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
			return r.Sessions.Replace(ctx, k, next, why, now.Truncate(time.Second).Add(time.Second))
		}}
	}),
	sessionMutant("replacing is possible until the end", "goes by the end of what comes", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
			return r.Sessions.Replace(ctx, k, next, why, now.Add(-lifetime.Idle))
		}}
	}),
	sessionMutant("a renewal loses against an ending", "writes whatever is there", upserts),
	{"a rotation loses against an ending by handle", "ends by the token of the beginning", func(r SessionStores) SessionStores {
		index, real, repository := map[session.ID]session.Key{}, r.Directory, r.Sessions
		r.Sessions = sessions{SessionRepository: repository, add: func(ctx context.Context, one session.Session) error {
			index[one.ID()] = one.Key()
			return repository.Add(ctx, one)
		}}
		r.Directory = directory{SessionDirectory: real, one: func(ctx context.Context, _ user.ID, handle session.ID, e session.Ending) (session.Session, error) {
			return repository.End(ctx, index[handle], e)
		}}
		return r
	}},
	sessionMutant("of rotations at once one wins", "looks first and writes then", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, _ session.Key, next session.Session, _ session.Reason, _ time.Time) error {
			return r.Sessions.Add(ctx, next)
		}}
	}),
	sessionMutant("a cancelled context is an outage", "reports it as missing", func(r SessionStores) sessions {
		return sessions{resume: func(ctx context.Context, k session.Key) (session.Resumed, error) {
			got, err := r.Sessions.Resume(ctx, k)
			if err != nil {
				err = session.ErrUnknown
			}
			return got, err
		}}
	}),
	sessionMutant("a cancelled context is an outage", "ends all the same", func(r SessionStores) sessions {
		return sessions{end: func(ctx context.Context, k session.Key, e session.Ending) (session.Session, error) {
			one, err := r.Sessions.End(deaf(ctx), k, e)
			return one, late(ctx, err)
		}}
	}),
}

// pastAltered makes sessions that alter what is left of them.
func pastAltered(alter func(*session.Past)) func(SessionStores) sessions {
	return func(r SessionStores) sessions {
		return sessions{past: func(ctx context.Context, k session.Key) (session.Past, error) {
			p, err := r.Sessions.Past(ctx, k)
			alter(&p)
			return p, err
		}}
	}
}

// upserts is what Fiber's session middleware does.
func upserts(r SessionStores) sessions {
	return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
		if err := r.Sessions.Replace(ctx, k, next, why, now); errors.Is(err, fault.NotFound) {
			return r.Sessions.Add(ctx, next)
		}
		return nil
	}}
}

// everybody gives the sessions of all users.
func (s SessionStores) everybody(ctx context.Context) (all []session.Session) {
	users, _ := s.Users.List(ctx, user.ID{}, 1000)
	for _, u := range users {
		list, _ := s.Directory.List(ctx, u.ID())
		all = append(all, list...)
	}
	return all
}

var directoryMutants = []mutant[SessionStores]{
	directoryMutant("lists the user's own, the newest first", "lists by handle", func(r SessionStores) directory {
		return directory{list: func(ctx context.Context, id user.ID) ([]session.Session, error) {
			all, err := r.Directory.List(ctx, id)
			slices.SortFunc(all, func(a, b session.Session) int { return b.ID().Compare(a.ID().UUID) })
			return all, err
		}}
	}),
	directoryMutant("lists the user's own, the newest first", "lists everybody's", func(r SessionStores) directory {
		return directory{list: func(ctx context.Context, _ user.ID) ([]session.Session, error) { return r.everybody(ctx), nil }}
	}),
	directoryMutant("lists what is kept now", "forgets the device", func(r SessionStores) directory {
		return directory{list: func(ctx context.Context, id user.ID) ([]session.Session, error) {
			all, err := r.Directory.List(ctx, id)
			for i, one := range all {
				all[i] = altered(one, func(s *session.State) { s.Device = session.Device{} })
			}
			return all, err
		}}
	}),
	directoryMutant("lists what is kept now", "leaves out what was not used since", func(r SessionStores) directory {
		return directory{list: func(ctx context.Context, id user.ID) ([]session.Session, error) {
			all, err := r.Directory.List(ctx, id)
			return slices.DeleteFunc(all, func(one session.Session) bool { return one.SeenAt().Equal(one.CreatedAt()) }), err
		}}
	}),
	directoryMutant("ends one of the user's own", "says nothing when there is none", func(r SessionStores) directory {
		return directory{one: func(ctx context.Context, id user.ID, handle session.ID, e session.Ending) (session.Session, error) {
			one, _ := r.Directory.EndOne(ctx, id, handle, e)
			return one, nil
		}}
	}),
	directoryMutant("ends one of the user's own", "ends all", func(r SessionStores) directory {
		return directory{one: func(ctx context.Context, id user.ID, handle session.ID, e session.Ending) (session.Session, error) {
			all, _ := r.Directory.EndOthers(ctx, id, session.Key{}, e)
			for _, one := range all {
				if one.ID() == handle {
					return one, nil
				}
			}
			return session.Session{}, session.ErrUnknown
		}}
	}),
	directoryMutant("ends nobody else's", "asks nobody whose it is", func(r SessionStores) directory {
		return directory{one: func(ctx context.Context, _ user.ID, handle session.ID, e session.Ending) (session.Session, error) {
			for _, one := range r.everybody(ctx) {
				if one.ID() == handle {
					return r.Sessions.End(ctx, one.Key(), e)
				}
			}
			return session.Session{}, session.ErrUnknown
		}}
	}),
	directoryMutant("ends all others and tells them", "ends all", func(r SessionStores) directory {
		return directory{others: func(ctx context.Context, id user.ID, _ session.Key, e session.Ending) ([]session.Session, error) {
			return r.Directory.EndOthers(ctx, id, session.Key{}, e)
		}}
	}),
	directoryMutant("ends all others and tells them", "tells the one kept too", func(r SessionStores) directory {
		return directory{others: func(ctx context.Context, id user.ID, keep session.Key, e session.Ending) ([]session.Session, error) {
			kept, _ := r.Sessions.Resume(ctx, keep)
			ended, err := r.Directory.EndOthers(ctx, id, keep, e)
			return append(ended, kept.Session), err
		}}
	}),
	directoryMutant("ends all others and tells them", "tells them as it finds them", func(r SessionStores) directory {
		return directory{others: func(ctx context.Context, id user.ID, keep session.Key, e session.Ending) ([]session.Session, error) {
			ended, err := r.Directory.EndOthers(ctx, id, keep, e)
			slices.SortFunc(ended, func(a, b session.Session) int { return a.ID().Compare(b.ID().UUID) })
			return ended, err
		}}
	}),
	directoryMutant("the zero key keeps none", "takes it for no order at all", func(r SessionStores) directory {
		return directory{others: func(ctx context.Context, id user.ID, keep session.Key, e session.Ending) ([]session.Session, error) {
			if keep == (session.Key{}) {
				return nil, nil
			}
			return r.Directory.EndOthers(ctx, id, keep, e)
		}}
	}),
	directoryMutant("prunes what has run out by now", "leaves what ends now", func(r SessionStores) directory {
		return directory{prune: func(ctx context.Context, now time.Time, limit int) (int, error) {
			return r.Directory.Prune(ctx, now.Add(-time.Microsecond), limit)
		}}
	}),
	directoryMutant("prunes what has run out by now", "prunes what is about to", func(r SessionStores) directory {
		return directory{prune: func(ctx context.Context, now time.Time, limit int) (int, error) {
			return r.Directory.Prune(ctx, now.Add(time.Microsecond), limit)
		}}
	}),
	directoryMutant("prunes no more than the limit", "prunes all", func(r SessionStores) directory {
		return directory{prune: func(ctx context.Context, now time.Time, _ int) (int, error) {
			return r.Directory.Prune(ctx, now, 1000)
		}}
	}),
	directoryMutant("prunes no more than the limit", "takes zero for no limit", func(r SessionStores) directory {
		return directory{prune: func(ctx context.Context, now time.Time, limit int) (int, error) {
			if limit == 0 {
				limit = 1000
			}
			return r.Directory.Prune(ctx, now, limit)
		}}
	}),
	directoryMutant("nodes prune side by side", "counts what it looked at", func(r SessionStores) directory {
		return directory{prune: func(ctx context.Context, now time.Time, limit int) (int, error) {
			n, err := r.Directory.Prune(ctx, now, limit)
			if n > 0 {
				n = limit + 1
			}
			return n, err
		}}
	}),
	directoryMutant("nodes prune side by side", "fails when another prunes", func(r SessionStores) directory {
		var mu sync.Mutex
		prunes := 0
		return directory{prune: func(ctx context.Context, now time.Time, limit int) (int, error) {
			mu.Lock()
			prunes++
			deadlocked := prunes == 2
			mu.Unlock()
			if deadlocked {
				return 0, errors.New("deadlock detected")
			}
			return r.Directory.Prune(ctx, now, limit)
		}}
	}),
	directoryMutant("nothing handed out is shared", "gives one list to all", func(r SessionStores) directory {
		var cache kept[[]session.Session]
		return directory{list: func(ctx context.Context, id user.ID) ([]session.Session, error) {
			return cache.first(func() ([]session.Session, error) { return r.Directory.List(ctx, id) })
		}}
	}),
	directoryMutant("a cancelled context is an outage", "lists nothing", func(r SessionStores) directory {
		return directory{list: func(ctx context.Context, id user.ID) ([]session.Session, error) {
			all, _ := r.Directory.List(ctx, id)
			return all, nil
		}}
	}),
	directoryMutant("a cancelled context is an outage", "ends all the same", func(r SessionStores) directory {
		return directory{others: func(ctx context.Context, id user.ID, keep session.Key, e session.Ending) ([]session.Session, error) {
			n, err := r.Directory.EndOthers(deaf(ctx), id, keep, e)
			return n, late(ctx, err)
		}}
	}),
	directoryMutant("ends one of the user's own", "does not say what it ended", func(r SessionStores) directory {
		return directory{one: func(ctx context.Context, id user.ID, handle session.ID, e session.Ending) (session.Session, error) {
			return session.Session{}, second(r.Directory.EndOne(ctx, id, handle, e))
		}}
	}),
	directoryMutant("trims to those begun last", "counts the pending", func(r SessionStores) directory {
		return trimming(r, func(all []session.Session, keep int) []session.Session { return all[min(keep, len(all)):] })
	}),
	directoryMutant("trims to those begun last", "goes by the handle", func(r SessionStores) directory {
		return trimming(r, func(all []session.Session, keep int) []session.Session {
			all = slices.DeleteFunc(all, session.Session.Pending)
			slices.SortFunc(all, func(a, b session.Session) int { return a.ID().Compare(b.ID().UUID) })
			return all[min(keep, len(all)):]
		})
	}),
	directoryMutant("trims to those begun last", "takes zero for no bound", func(r SessionStores) directory {
		return directory{trim: func(ctx context.Context, id user.ID, keep int, e session.Ending) ([]session.Session, error) {
			if keep == 0 {
				keep = 1000
			}
			return r.Directory.Trim(ctx, id, keep, e)
		}}
	}),
	directoryMutant("of sessions added at once the cap is left", "tells what others ended", func(r SessionStores) directory {
		var mu sync.Mutex
		var all []session.Session
		return directory{trim: func(ctx context.Context, id user.ID, keep int, e session.Ending) ([]session.Session, error) {
			ended, err := r.Directory.Trim(ctx, id, keep, e)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, ended...)
			return slices.Clone(all), err
		}}
	}),
	directoryMutant("of sessions added at once the cap is left", "leaves room for one more", func(r SessionStores) directory {
		return directory{trim: func(ctx context.Context, id user.ID, keep int, e session.Ending) ([]session.Session, error) {
			return r.Directory.Trim(ctx, id, keep+1, e)
		}}
	}),
	directoryMutant("whatever ends leaves a reason behind", "leaves that of its own choice", func(r SessionStores) directory {
		return directory{trim: func(ctx context.Context, id user.ID, keep int, _ session.Ending) ([]session.Session, error) {
			return r.Directory.Trim(ctx, id, keep, signedOut)
		}}
	}),
	directoryMutant("whatever ends leaves a reason behind", "lists by when they began", func(r SessionStores) directory {
		return directory{pastOf: func(ctx context.Context, id user.ID) ([]session.Past, error) {
			all, err := r.Directory.PastOf(ctx, id)
			slices.SortFunc(all, func(a, b session.Past) int { return b.CreatedAt.Compare(a.CreatedAt) })
			return all, err
		}}
	}),
	directoryMutant("whatever ends leaves a reason behind", "leaves none when all end", func(r SessionStores) directory {
		return directory{others: func(ctx context.Context, id user.ID, keep session.Key, e session.Ending) ([]session.Session, error) {
			all, err := r.Directory.EndOthers(ctx, id, keep, e)
			_, _ = r.Directory.PrunePast(ctx, e.At.Add(time.Microsecond), 1)
			return all, err
		}}
	}),
	directoryMutant("knows who has signed in before", "knows who is signed in alone", func(r SessionStores) directory {
		return directory{known: func(ctx context.Context, id user.ID) (bool, error) {
			all, err := r.Directory.List(ctx, id)
			return len(all) > 0, err
		}}
	}),
	directoryMutant("knows who has signed in before", "knows who was signed in alone", func(r SessionStores) directory {
		return directory{known: func(ctx context.Context, id user.ID) (bool, error) {
			all, err := r.Directory.PastOf(ctx, id)
			return len(all) > 0, err
		}}
	}),
	directoryMutant("knows who has signed in before", "knows everybody", func(SessionStores) directory {
		return directory{known: func(context.Context, user.ID) (bool, error) { return true, nil }}
	}),
	sessionMutant("what is pruned leaves the clock behind that ended it", "calls all of them idle", pastAltered(func(p *session.Past) { p.Why = session.Idle })),
	sessionMutant("what is pruned leaves the clock behind that ended it", "calls all of them expired", pastAltered(func(p *session.Past) { p.Why = session.Expired })),
	sessionMutant("what is pruned leaves the clock behind that ended it", "ends them when it prunes", pastAltered(func(p *session.Past) { p.EndedAt = farAway })),
	directoryMutant("prunes what is left of old ones", "prunes what ended at the very time", func(r SessionStores) directory {
		return directory{prunePast: func(ctx context.Context, before time.Time, limit int) (int, error) {
			return r.Directory.PrunePast(ctx, before.Add(time.Microsecond), limit)
		}}
	}),
	directoryMutant("prunes what is left of old ones", "prunes all at once", func(r SessionStores) directory {
		return directory{prunePast: func(ctx context.Context, before time.Time, _ int) (int, error) {
			return r.Directory.PrunePast(ctx, before, 1000)
		}}
	}),
	directoryMutant("prunes what is left of old ones", "prunes sessions", func(r SessionStores) directory {
		return directory{prunePast: func(ctx context.Context, before time.Time, limit int) (int, error) {
			_, _ = r.Directory.Prune(ctx, farAway, 10)
			return r.Directory.PrunePast(ctx, before, limit)
		}}
	}),
}

// trimming ends what choose chooses of the user's sessions, the newest first.
func trimming(r SessionStores, choose func(all []session.Session, keep int) []session.Session) directory {
	return directory{trim: func(ctx context.Context, id user.ID, keep int, e session.Ending) ([]session.Session, error) {
		all, err := r.Directory.List(ctx, id)
		chosen := choose(all, keep)
		for _, one := range chosen {
			_, _ = r.Sessions.End(ctx, one.Key(), e)
		}
		return chosen, err
	}}
}
