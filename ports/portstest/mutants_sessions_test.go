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
	replace func(context.Context, session.Key, session.Session, time.Time) error
	end     func(context.Context, session.Key) error
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

func (s sessions) Replace(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
	if s.replace == nil {
		return s.SessionRepository.Replace(ctx, k, next, now)
	}
	return s.replace(ctx, k, next, now)
}

func (s sessions) End(ctx context.Context, k session.Key) error {
	if s.end == nil {
		return s.SessionRepository.End(ctx, k)
	}
	return s.end(ctx, k)
}

type directory struct {
	ports.SessionDirectory
	list   func(context.Context, user.ID) ([]session.Session, error)
	one    func(context.Context, user.ID, session.ID) error
	others func(context.Context, user.ID, session.Key) (int, error)
	prune  func(context.Context, time.Time, int) (int, error)
}

func (s directory) List(ctx context.Context, id user.ID) ([]session.Session, error) {
	if s.list == nil {
		return s.SessionDirectory.List(ctx, id)
	}
	return s.list(ctx, id)
}

func (s directory) EndOne(ctx context.Context, id user.ID, handle session.ID) error {
	if s.one == nil {
		return s.SessionDirectory.EndOne(ctx, id, handle)
	}
	return s.one(ctx, id, handle)
}

func (s directory) EndOthers(ctx context.Context, id user.ID, keep session.Key) (int, error) {
	if s.others == nil {
		return s.SessionDirectory.EndOthers(ctx, id, keep)
	}
	return s.others(ctx, id, keep)
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
	sessionMutant("a missing session is not found", "ends what is there alone", func(r SessionStores) sessions {
		return sessions{end: func(ctx context.Context, k session.Key) error {
			if _, err := r.Sessions.Resume(ctx, k); err != nil {
				return err
			}
			return r.Sessions.End(ctx, k)
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
		return sessions{replace: func(context.Context, session.Key, session.Session, time.Time) error { return nil }}
	}),
	sessionMutant("a renewal is kept", "leaves the idle end", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
			old, err := r.Sessions.Resume(ctx, k)
			if err != nil {
				return err
			}
			return r.Sessions.Replace(ctx, k, altered(next, func(s *session.State) { s.IdleEnd = old.Session.IdleEnd() }), now)
		}}
	}),
	sessionMutant("a renewal keeps every field", "skips what is empty", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
			return r.Sessions.Replace(ctx, k, altered(next, func(s *session.State) {
				if s.Device.UserAgent == "" {
					s.Device.UserAgent = "check"
				}
			}), now)
		}}
	}),
	sessionMutant("a rotation kills the old token", "leaves the old one", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, _ session.Key, next session.Session, _ time.Time) error {
			return r.Sessions.Add(ctx, next)
		}}
	}),
	sessionMutant("a rotation kills the old token", "changes the handle", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
			return r.Sessions.Replace(ctx, k, altered(next, func(s *session.State) { s.ID = session.ID{UUID: id(77)} }), now)
		}}
	}),
	sessionMutant("ending ends one, once and for all", "fails the second time", func(r SessionStores) sessions {
		return sessions{end: func(ctx context.Context, k session.Key) error {
			_, err := r.Sessions.Resume(ctx, k)
			return errors.Join(err, r.Sessions.End(ctx, k))
		}}
	}),
	sessionMutant("ending ends one, once and for all", "ends all of the user", func(r SessionStores) sessions {
		return sessions{end: func(ctx context.Context, k session.Key) error {
			if got, err := r.Sessions.Resume(ctx, k); err == nil {
				_, err = r.Directory.EndOthers(ctx, got.User.ID(), session.Key{})
				return err
			}
			return nil
		}}
	}),
	sessionMutant("what was ended does not come back", "writes whatever is there", upserts),
	sessionMutant("what was ended does not come back", "writes and reports it as missing", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
			err := r.Sessions.Replace(ctx, k, next, now)
			if errors.Is(err, fault.NotFound) {
				_ = r.Sessions.Add(ctx, next)
			}
			return err
		}}
	}),
	sessionMutant("replacing is possible until the end", "counts the end itself in", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
			return r.Sessions.Replace(ctx, k, next, now.Add(-time.Microsecond))
		}}
	}),
	sessionMutant("replacing is possible until the end", "counts in whole seconds", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
			return r.Sessions.Replace(ctx, k, next, now.Truncate(time.Second).Add(time.Second))
		}}
	}),
	sessionMutant("replacing is possible until the end", "goes by the end of what comes", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
			return r.Sessions.Replace(ctx, k, next, now.Add(-lifetime.Idle))
		}}
	}),
	sessionMutant("a renewal loses against an ending", "writes whatever is there", upserts),
	{"a rotation loses against an ending by handle", "ends by the token of the beginning", func(r SessionStores) SessionStores {
		index, real, repository := map[session.ID]session.Key{}, r.Directory, r.Sessions
		r.Sessions = sessions{SessionRepository: repository, add: func(ctx context.Context, one session.Session) error {
			index[one.ID()] = one.Key()
			return repository.Add(ctx, one)
		}}
		r.Directory = directory{SessionDirectory: real, one: func(ctx context.Context, _ user.ID, handle session.ID) error {
			return repository.End(ctx, index[handle])
		}}
		return r
	}},
	sessionMutant("of rotations at once one wins", "looks first and writes then", func(r SessionStores) sessions {
		return sessions{replace: func(ctx context.Context, _ session.Key, next session.Session, _ time.Time) error {
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
		return sessions{end: func(ctx context.Context, k session.Key) error { return late(ctx, r.Sessions.End(deaf(ctx), k)) }}
	}),
}

// upserts is what Fiber's session middleware does.
func upserts(r SessionStores) sessions {
	return sessions{replace: func(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
		if err := r.Sessions.Replace(ctx, k, next, now); errors.Is(err, fault.NotFound) {
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
		return directory{one: func(ctx context.Context, id user.ID, handle session.ID) error {
			_ = r.Directory.EndOne(ctx, id, handle)
			return nil
		}}
	}),
	directoryMutant("ends one of the user's own", "ends all", func(r SessionStores) directory {
		return directory{one: func(ctx context.Context, id user.ID, _ session.ID) error {
			if n, _ := r.Directory.EndOthers(ctx, id, session.Key{}); n == 0 {
				return session.ErrUnknown
			}
			return nil
		}}
	}),
	directoryMutant("ends nobody else's", "asks nobody whose it is", func(r SessionStores) directory {
		return directory{one: func(ctx context.Context, _ user.ID, handle session.ID) error {
			for _, one := range r.everybody(ctx) {
				if one.ID() == handle {
					return r.Sessions.End(ctx, one.Key())
				}
			}
			return session.ErrUnknown
		}}
	}),
	directoryMutant("ends all others and counts them", "ends all", func(r SessionStores) directory {
		return directory{others: func(ctx context.Context, id user.ID, _ session.Key) (int, error) {
			return r.Directory.EndOthers(ctx, id, session.Key{})
		}}
	}),
	directoryMutant("ends all others and counts them", "counts the one kept", func(r SessionStores) directory {
		return directory{others: func(ctx context.Context, id user.ID, keep session.Key) (int, error) {
			n, err := r.Directory.EndOthers(ctx, id, keep)
			return n + 1, err
		}}
	}),
	directoryMutant("the zero key keeps none", "takes it for no order at all", func(r SessionStores) directory {
		return directory{others: func(ctx context.Context, id user.ID, keep session.Key) (int, error) {
			if keep == (session.Key{}) {
				return 0, nil
			}
			return r.Directory.EndOthers(ctx, id, keep)
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
		return directory{others: func(ctx context.Context, id user.ID, keep session.Key) (int, error) {
			n, err := r.Directory.EndOthers(deaf(ctx), id, keep)
			return n, late(ctx, err)
		}}
	}),
}
