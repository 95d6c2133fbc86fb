package memory

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Sessions keeps sessions in memory.
type Sessions struct{ db *DB }

var (
	_ ports.SessionRepository = (*Sessions)(nil)
	_ ports.SessionDirectory  = (*Sessions)(nil)
)

// Add implements ports.SessionRepository.
func (s *Sessions) Add(ctx context.Context, one session.Session) error {
	return s.db.write(ctx, func() error {
		if _, ok := s.db.users[one.UserID()]; !ok {
			return user.ErrUnknown
		}
		s.db.sessions[one.Key()] = one
		return nil
	})
}

// Resume implements ports.SessionRepository.
func (s *Sessions) Resume(ctx context.Context, k session.Key) (r session.Resumed, err error) {
	err = s.db.read(ctx, func() error {
		one, ok := s.db.sessions[k]
		if !ok {
			return session.ErrUnknown
		}
		r = session.Resumed{Session: one, User: s.db.users[one.UserID()].user, PolicyVersion: s.db.policy.Version}
		return nil
	})
	return r, err
}

// Replace implements ports.SessionRepository.
func (s *Sessions) Replace(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
	return s.db.write(ctx, func() error {
		old, ok := s.db.sessions[k]
		if !ok {
			return session.ErrUnknown
		}
		if _, over := old.Ended(now); over {
			return session.ErrUnknown
		}
		delete(s.db.sessions, k)
		if !why.IsZero() {
			s.db.leave(old, session.Ending{Why: why, At: now})
		}
		s.db.sessions[next.Key()] = next
		return nil
	})
}

// End implements ports.SessionRepository.
func (s *Sessions) End(ctx context.Context, k session.Key, e session.Ending) (ended session.Session, err error) {
	err = s.db.write(ctx, func() error {
		one, ok := s.db.sessions[k]
		if !ok {
			return session.ErrUnknown
		}
		s.db.end(one, e)
		ended = one
		return nil
	})
	return ended, err
}

// Past implements ports.SessionRepository.
func (s *Sessions) Past(ctx context.Context, k session.Key) (p session.Past, err error) {
	err = s.db.read(ctx, func() error {
		var ok bool
		if p, ok = s.db.past[k]; !ok {
			return session.ErrUnknown
		}
		return nil
	})
	return p, err
}

// List implements ports.SessionDirectory.
func (s *Sessions) List(ctx context.Context, id user.ID) (list []session.Session, err error) {
	err = s.db.read(ctx, func() error {
		list = s.db.sessionsOf(id)
		return nil
	})
	return list, err
}

// sessionsOf gives the user's sessions, the most recently begun first, within
// a read or a write.
func (db *DB) sessionsOf(id user.ID) (list []session.Session) {
	for _, one := range db.sessions {
		if one.UserID() == id {
			list = append(list, one)
		}
	}
	slices.SortFunc(list, func(a, b session.Session) int {
		return cmp.Or(b.CreatedAt().Compare(a.CreatedAt()), b.ID().Compare(a.ID().UUID))
	})
	return list
}

// EndOne implements ports.SessionDirectory.
func (s *Sessions) EndOne(ctx context.Context, id user.ID, handle session.ID, e session.Ending) (ended session.Session, err error) {
	err = s.db.write(ctx, func() error {
		for _, one := range s.db.sessions {
			if one.UserID() == id && one.ID() == handle {
				s.db.end(one, e)
				ended = one
				return nil
			}
		}
		return session.ErrUnknown
	})
	return ended, err
}

// EndOthers implements ports.SessionDirectory.
func (s *Sessions) EndOthers(ctx context.Context, id user.ID, keep session.Key, e session.Ending) (ended []session.Session, err error) {
	err = s.db.write(ctx, func() error {
		ended = slices.DeleteFunc(s.db.sessionsOf(id), func(one session.Session) bool { return one.Key() == keep })
		s.db.endAll(ended, e)
		return nil
	})
	return ended, err
}

// Trim implements ports.SessionDirectory.
func (s *Sessions) Trim(ctx context.Context, id user.ID, keep int, e session.Ending) (ended []session.Session, err error) {
	err = s.db.write(ctx, func() error {
		all := slices.DeleteFunc(s.db.sessionsOf(id), session.Session.Pending)
		ended = all[min(len(all), max(keep, 0)):]
		s.db.endAll(ended, e)
		return nil
	})
	return ended, err
}

// Known implements ports.SessionDirectory.
func (s *Sessions) Known(ctx context.Context, id user.ID) (known bool, err error) {
	err = s.db.read(ctx, func() error {
		for _, one := range s.db.past {
			known = known || one.UserID == id
		}
		known = known || len(s.db.sessionsOf(id)) > 0
		return nil
	})
	return known, err
}

// PastOf implements ports.SessionDirectory.
func (s *Sessions) PastOf(ctx context.Context, id user.ID) (list []session.Past, err error) {
	err = s.db.read(ctx, func() error {
		for _, one := range s.db.past {
			if one.UserID == id {
				list = append(list, one)
			}
		}
		return nil
	})
	slices.SortFunc(list, func(a, b session.Past) int {
		return cmp.Or(b.EndedAt.Compare(a.EndedAt), b.ID.Compare(a.ID.UUID), strings.Compare(a.Key.Hex(), b.Key.Hex()))
	})
	return list, err
}

// Prune implements ports.SessionDirectory.
func (s *Sessions) Prune(ctx context.Context, now time.Time, limit int) (n int, err error) {
	err = s.db.write(ctx, func() error {
		for _, one := range s.db.sessions {
			if n >= limit {
				break
			}
			if _, over := one.Ended(now); over {
				s.db.end(one, byClock(one))
				n++
			}
		}
		return nil
	})
	return n, err
}

// byClock is how a session ended that nobody ended: by the clock that came
// first.
func byClock(one session.Session) session.Ending {
	why, _ := one.Ended(one.IdleEnd())
	return session.Ending{Why: why, At: one.IdleEnd()}
}

// PrunePast implements ports.SessionDirectory.
func (s *Sessions) PrunePast(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = s.db.write(ctx, func() error {
		n = deleteSome(s.db.past, limit, func(p session.Past) bool { return p.EndedAt.Before(before) })
		return nil
	})
	return n, err
}

func (db *DB) endAll(list []session.Session, e session.Ending) {
	for _, one := range list {
		db.end(one, e)
	}
}

// end deletes the session and leaves behind why, within a write.
func (db *DB) end(one session.Session, e session.Ending) {
	delete(db.sessions, one.Key())
	db.leave(one, e)
}

// leave keeps what is left of the session under its key.
func (db *DB) leave(one session.Session, e session.Ending) {
	if _, known := db.past[one.Key()]; !known {
		db.past[one.Key()] = e.Of(one)
	}
}

// deleteSome deletes up to limit of the values that are meant, and gives how
// many.
func deleteSome[K comparable, V any](m map[K]V, limit int, meant func(V) bool) (n int) {
	for k, v := range m {
		if n >= limit {
			break
		}
		if meant(v) {
			delete(m, k)
			n++
		}
	}
	return n
}
