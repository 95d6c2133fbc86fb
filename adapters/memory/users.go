package memory

import (
	"context"
	"maps"
	"slices"
	"strings"

	"gatehouse/domain/access"
	"gatehouse/domain/idempotency"
	"gatehouse/domain/product"
	"gatehouse/domain/secret"
	"gatehouse/domain/session"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// Users keeps users in memory.
type Users struct{ db *DB }

var _ ports.UserRepository = (*Users)(nil)

// Add implements ports.UserRepository.
func (s *Users) Add(ctx context.Context, u user.User, with ...*ports.Along) error {
	return s.db.write(ctx, func() error {
		if _, taken := s.db.users[u.ID()]; taken {
			return errIDTaken
		}
		if _, taken := s.db.byEmail[u.Email().Canonical()]; taken {
			return user.ErrEmailTaken
		}
		keep, err := s.db.along(u.ID(), with, func(id user.ID) bool { return id == u.ID() || s.db.hasUser(id) })
		if err != nil {
			return err
		}
		defer keep()
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

// Owner gives the user and the version of the policy, for sessions that are kept
// elsewhere.
func (s *Users) Owner(ctx context.Context, id user.ID) (u user.User, version int64, err error) {
	err = s.db.read(ctx, func() error {
		kept, ok := s.db.users[id]
		if !ok {
			return user.ErrUnknown
		}
		u, version = kept.user, s.db.policy.Version
		return nil
	})
	return u, version, err
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
func (s *Users) Update(ctx context.Context, id user.ID, change func(*user.User) error, with ...*ports.Along) (user.User, error) {
	for {
		row, err := s.row(ctx, id)
		if err != nil {
			return user.User{}, err
		}
		next := row.user
		if err := change(&next); err != nil {
			return user.User{}, err
		}
		done, err := s.swap(ctx, row, next, with)
		if err != nil {
			return user.User{}, err
		}
		if done {
			return next, nil
		}
	}
}

// swap puts next in the place of old, unless old has been changed.
func (s *Users) swap(ctx context.Context, old userRow, next user.User, with []*ports.Along) (done bool, err error) {
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
		if old.user.ActsAsAdmin() && !next.ActsAsAdmin() && !s.othersAdminister(id) {
			return user.ErrLastAdmin
		}
		if err := s.db.askAdmins(with, s.db.policy.Version, id, next); err != nil {
			return err
		}
		keep, err := s.db.along(id, with, s.db.hasUser)
		if err != nil {
			return err
		}
		defer keep()
		delete(s.db.byEmail, before)
		s.db.byEmail[after] = id
		s.db.users[id] = userRow{user: next, revision: s.db.revision()}
		done = true
		return nil
	})
	return done, err
}

// Delete implements ports.UserRepository. check runs without the lock, as in
// [Users.Update].
func (s *Users) Delete(ctx context.Context, id user.ID, check func(user.User) error, with ...*ports.Along) error {
	for {
		row, err := s.row(ctx, id)
		if err != nil {
			return err
		}
		if err := check(row.user); err != nil {
			return err
		}
		if done, err := s.remove(ctx, row, with); done || err != nil {
			return err
		}
	}
}

// remove takes the user out with all that is theirs, unless it has been
// changed since it was read as old.
func (s *Users) remove(ctx context.Context, old userRow, with []*ports.Along) (done bool, err error) {
	id := old.user.ID()
	err = s.db.write(ctx, func() error {
		now, ok := s.db.users[id]
		if !ok {
			return user.ErrUnknown
		}
		if now.revision != old.revision {
			return nil
		}
		if old.user.ActsAsAdmin() && !s.othersAdminister(id) {
			return user.ErrLastAdmin
		}
		if err := s.db.askAdmins(with, s.db.policy.Version, id, user.User{}); err != nil {
			return err
		}
		keep, err := s.db.along(id, with, func(other user.ID) bool { return other != id && s.db.hasUser(other) })
		if err != nil {
			return err
		}
		defer keep()
		delete(s.db.users, id)
		delete(s.db.byEmail, old.user.Email().Canonical())
		s.db.forget(id)
		done = true
		return nil
	})
	return done, err
}

// forget deletes what belongs to the user, within a write.
func (db *DB) forget(id user.ID) {
	maps.DeleteFunc(db.sessions, func(_ session.Key, one session.Session) bool { return one.UserID() == id })
	maps.DeleteFunc(db.past, func(_ session.Key, one session.Past) bool { return one.UserID == id })
	maps.DeleteFunc(db.products, func(_ product.ID, p productRow) bool { return p.product.OwnerID() == id })
	maps.DeleteFunc(db.tickets, func(_ secret.Key, one ticket.Ticket) bool { return one.UserID == id })
	maps.DeleteFunc(db.answers, func(_ idempotency.ID, one idempotency.Kept) bool { return one.Caller == id })
	maps.DeleteFunc(db.letters, func(_ uuid.UUID, row letterRow) bool { return row.letter.UserID == id })
	maps.DeleteFunc(db.events, func(_ uuid.UUID, row eventRow) bool { return row.delivery.Event.Product().OwnerID() == id })
	for at, row := range db.products {
		if _, err := row.product.Unshare(id); err == nil {
			row.revision = db.revision()
			db.products[at] = row
		}
	}
	delete(db.factors, id)
}

// hasUser reports whether there is such a user, within a read or a write.
func (db *DB) hasUser(id user.ID) bool {
	_, ok := db.users[id]
	return ok
}

// othersAdminister reports whether anybody but the user acts as admin, within a
// write.
func (s *Users) othersAdminister(id user.ID) bool {
	for other, row := range s.db.users {
		if other != id && row.user.ActsAsAdmin() {
			return true
		}
	}
	return false
}

// askAdmins shows what will be left, within a write, to those who asked: when the
// policy is of the version, and the user with the id has become another.
func (db *DB) askAdmins(with []*ports.Along, version int64, id user.ID, becomes user.User) error {
	var sets [][]user.Role
	for other, row := range db.users {
		u := row.user
		if other == id {
			u = becomes
		}
		same := func(roles []user.Role) bool { return slices.Equal(roles, u.Roles()) }
		if u.ActsAsAdmin() && !slices.ContainsFunc(sets, same) {
			sets = append(sets, u.Roles())
		}
	}
	for _, a := range with {
		if a != nil && a.Admins != nil {
			if err := a.Admins(version, sets); err != nil {
				return err
			}
		}
	}
	return nil
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

// Search implements ports.UserRepository.
func (s *Users) Search(ctx context.Context, q ports.UserQuery) (list []user.User, err error) {
	sought, possible := user.Sought(q.Text)
	visible := q.Visible
	if visible == nil {
		visible = access.Nothing
	}
	err = s.db.read(ctx, func() error {
		for id, row := range s.db.users {
			u := row.user
			if possible && (q.Before.IsZero() || id.Compare(q.Before.UUID) < 0) && visible.Holds(access.Of(access.KindUser, id)) &&
				(q.Role == user.Role{} || u.HasRole(q.Role)) && (q.Status == user.Status{} || u.Status() == q.Status) &&
				strings.Contains(u.SearchText(), sought) {
				list = append(list, u)
			}
		}
		return nil
	})
	slices.SortFunc(list, func(a, b user.User) int { return b.ID().Compare(a.ID().UUID) })
	return list[:min(len(list), max(q.Limit, 0))], err
}
