package memory

import (
	"context"
	"slices"

	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Users keeps users in memory.
type Users struct{ db *DB }

var _ ports.UserRepository = (*Users)(nil)

// Add implements ports.UserRepository.
func (s *Users) Add(ctx context.Context, u user.User) error {
	return s.db.write(ctx, func() error {
		if _, taken := s.db.users[u.ID()]; taken {
			return errIDTaken
		}
		if _, taken := s.db.byEmail[u.Email().Canonical()]; taken {
			return user.ErrEmailTaken
		}
		s.db.users[u.ID()] = userRow{user: u, revision: s.db.revision()}
		s.db.byEmail[u.Email().Canonical()] = u.ID()
		return nil
	})
}

// Find implements ports.UserRepository.
func (s *Users) Find(ctx context.Context, id user.ID) (user.User, error) {
	row, err := s.row(ctx, id)
	return row.user, err
}

func (s *Users) row(ctx context.Context, id user.ID) (row userRow, err error) {
	err = s.db.read(ctx, func() error {
		var ok bool
		if row, ok = s.db.users[id]; !ok {
			return user.ErrUnknown
		}
		return nil
	})
	return row, err
}

// FindByEmail implements ports.UserRepository.
func (s *Users) FindByEmail(ctx context.Context, e user.Email) (u user.User, err error) {
	err = s.db.read(ctx, func() error {
		id, ok := s.db.byEmail[e.Canonical()]
		if !ok {
			return user.ErrUnknown
		}
		u = s.db.users[id].user
		return nil
	})
	return u, err
}

// Update implements ports.UserRepository. change runs without the lock, since
// nobody knows what it does; what it made is put in place if nobody else was
// quicker.
func (s *Users) Update(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
	for {
		row, err := s.row(ctx, id)
		if err != nil {
			return user.User{}, err
		}
		next := row.user
		if err := change(&next); err != nil {
			return user.User{}, err
		}
		done, err := s.swap(ctx, row, next)
		if err != nil {
			return user.User{}, err
		}
		if done {
			return next, nil
		}
	}
}

// swap puts next in the place of old, unless old has been changed.
func (s *Users) swap(ctx context.Context, old userRow, next user.User) (done bool, err error) {
	id, before, after := old.user.ID(), old.user.Email().Canonical(), next.Email().Canonical()
	err = s.db.write(ctx, func() error {
		now, ok := s.db.users[id]
		if !ok {
			return user.ErrUnknown
		}
		if now.revision != old.revision {
			return nil
		}
		if holder, taken := s.db.byEmail[after]; taken && holder != id {
			return user.ErrEmailTaken
		}
		delete(s.db.byEmail, before)
		s.db.byEmail[after] = id
		s.db.users[id] = userRow{user: next, revision: s.db.revision()}
		done = true
		return nil
	})
	return done, err
}

// List implements ports.UserRepository.
func (s *Users) List(ctx context.Context, after user.ID, limit int) (list []user.User, err error) {
	err = s.db.read(ctx, func() error {
		for id, row := range s.db.users {
			if id.Compare(after.UUID) > 0 {
				list = append(list, row.user)
			}
		}
		return nil
	})
	slices.SortFunc(list, func(a, b user.User) int { return a.ID().Compare(b.ID().UUID) })
	return list[:min(len(list), max(limit, 0))], err
}
