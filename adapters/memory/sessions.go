package memory

import (
	"context"
	"slices"
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
func (s *Sessions) Replace(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
	return s.db.write(ctx, func() error {
		old, ok := s.db.sessions[k]
		if !ok {
			return session.ErrUnknown
		}
		if _, over := old.Ended(now); over {
			return session.ErrUnknown
		}
		delete(s.db.sessions, k)
		s.db.sessions[next.Key()] = next
		return nil
	})
}

// End implements ports.SessionRepository.
func (s *Sessions) End(ctx context.Context, k session.Key) error {
	return s.db.write(ctx, func() error {
		delete(s.db.sessions, k)
		return nil
	})
}

// List implements ports.SessionDirectory.
func (s *Sessions) List(ctx context.Context, id user.ID) (list []session.Session, err error) {
	err = s.db.read(ctx, func() error {
		for _, one := range s.db.sessions {
			if one.UserID() == id {
				list = append(list, one)
			}
		}
		return nil
	})
	slices.SortFunc(list, func(a, b session.Session) int {
		if order := b.CreatedAt().Compare(a.CreatedAt()); order != 0 {
			return order
		}
		return b.ID().Compare(a.ID().UUID)
	})
	return list, err
}

// EndOne implements ports.SessionDirectory.
func (s *Sessions) EndOne(ctx context.Context, id user.ID, handle session.ID) error {
	n, err := s.endWhere(ctx, all, func(one session.Session) bool { return one.UserID() == id && one.ID() == handle })
	if err == nil && n == 0 {
		return session.ErrUnknown
	}
	return err
}

// EndOthers implements ports.SessionDirectory.
func (s *Sessions) EndOthers(ctx context.Context, id user.ID, keep session.Key) (int, error) {
	return s.endWhere(ctx, all, func(one session.Session) bool { return one.UserID() == id && one.Key() != keep })
}

// Prune implements ports.SessionDirectory.
func (s *Sessions) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	return s.endWhere(ctx, max(limit, 0), func(one session.Session) bool {
		_, over := one.Ended(now)
		return over
	})
}

// all is no limit.
const all = -1

// endWhere deletes up to limit sessions that are meant.
func (s *Sessions) endWhere(ctx context.Context, limit int, meant func(session.Session) bool) (n int, err error) {
	err = s.db.write(ctx, func() error {
		for k, one := range s.db.sessions {
			if n == limit {
				break
			}
			if meant(one) {
				delete(s.db.sessions, k)
				n++
			}
		}
		return nil
	})
	return n, err
}
