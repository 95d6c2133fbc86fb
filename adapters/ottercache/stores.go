package ottercache

import (
	"context"
	"time"

	"gatehouse/domain/access"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// The stores of a node with a cache. Each is the store that it is made of, and
// has the cache forget what is changed through it, when the store is done with
// the change: also where that fails, for a connection may break when the change
// is made and its answer is on the way.

// Sessions resumes from the cache where that is enough for who asks
// (ports.AllowStale).
func (c *Cache) Sessions(store ports.SessionRepository) ports.SessionRepository {
	return &sessions{SessionRepository: store, cache: c}
}

// Directory is a directory over what [Cache.Sessions] keeps.
func (c *Cache) Directory(store ports.SessionDirectory) ports.SessionDirectory {
	return &directory{SessionDirectory: store, cache: c}
}

// Users keeps the users whose sessions are cached.
func (c *Cache) Users(store ports.UserRepository) ports.UserRepository {
	return &users{UserRepository: store, cache: c}
}

// Policies keeps the policy whose version is cached with every session.
func (c *Cache) Policies(store PolicyStore) PolicyStore {
	return &policies{PolicyStore: store, cache: c}
}

// PolicyStore is both sides of the policy.
type PolicyStore interface {
	ports.PolicyRepository
	ports.PolicyHistory
}

type sessions struct {
	ports.SessionRepository
	cache *Cache
}

// Resume implements ports.SessionRepository.
func (s *sessions) Resume(ctx context.Context, k session.Key) (session.Resumed, error) {
	if !ports.StaleAllowed(ctx) {
		return s.SessionRepository.Resume(ctx, k)
	}
	if r, ok := s.cache.find(k); ok {
		return r, nil
	}
	read := s.cache.clock() // the statement has not been sent yet
	r, err := s.SessionRepository.Resume(ctx, k)
	if err == nil {
		s.cache.keep(k, r, read)
	}
	return r, err
}

// Replace implements ports.SessionRepository.
func (s *sessions) Replace(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
	defer s.cache.changed(func() {
		s.cache.forgetSession(k)
		s.cache.forgetSession(next.Key())
	})
	err := s.SessionRepository.Replace(ctx, k, next, why, now)
	if next.Key() != k { // else it is the same one, used once more
		s.cache.spread(ctx, err, next.UserID())
	}
	return err
}

// End implements ports.SessionRepository.
func (s *sessions) End(ctx context.Context, k session.Key, e session.Ending) (session.Session, error) {
	defer s.cache.changed(func() { s.cache.forgetSession(k) })
	ended, err := s.SessionRepository.End(ctx, k, e)
	s.cache.spread(ctx, err, ended.UserID())
	return ended, err
}

type directory struct {
	ports.SessionDirectory
	cache *Cache
}

// EndOne implements ports.SessionDirectory.
func (s *directory) EndOne(ctx context.Context, id user.ID, one session.ID, e session.Ending) (session.Session, error) {
	defer s.cache.changed(func() { s.cache.forgetUser(id) })
	ended, err := s.SessionDirectory.EndOne(ctx, id, one, e)
	s.cache.spread(ctx, err, id)
	return ended, err
}

// EndOthers implements ports.SessionDirectory.
func (s *directory) EndOthers(ctx context.Context, id user.ID, keep session.Key, e session.Ending) ([]session.Session, error) {
	defer s.cache.changed(func() { s.cache.forgetUser(id) })
	ended, err := s.SessionDirectory.EndOthers(ctx, id, keep, e)
	if len(ended) > 0 {
		s.cache.spread(ctx, err, id)
	}
	return ended, err
}

// Trim implements ports.SessionDirectory.
func (s *directory) Trim(ctx context.Context, id user.ID, keep int, e session.Ending) ([]session.Session, error) {
	defer s.cache.changed(func() { s.cache.forgetUser(id) })
	ended, err := s.SessionDirectory.Trim(ctx, id, keep, e)
	if len(ended) > 0 {
		s.cache.spread(ctx, err, id)
	}
	return ended, err
}

// Prune implements ports.SessionDirectory. Whose sessions they were is not told;
// nobody misses them but who is asked by another clock than they ran out by.
func (s *directory) Prune(ctx context.Context, now time.Time, limit int) (n int, err error) {
	defer func() {
		if n > 0 || err != nil {
			s.cache.changed(s.cache.forgetAll)
		}
	}()
	return s.SessionDirectory.Prune(ctx, now, limit)
}

type users struct {
	ports.UserRepository
	cache *Cache
}

// Update implements ports.UserRepository.
func (s *users) Update(ctx context.Context, id user.ID, change func(*user.User) error, with ...*ports.Along) (user.User, error) {
	defer s.cache.changed(func() { s.cache.forgetUser(id) })
	return s.UserRepository.Update(ctx, id, change, with...)
}

// Delete implements ports.UserRepository.
func (s *users) Delete(ctx context.Context, id user.ID, check func(user.User) error, with ...*ports.Along) error {
	defer s.cache.changed(func() { s.cache.forgetUser(id) })
	return s.UserRepository.Delete(ctx, id, check, with...)
}

type policies struct {
	PolicyStore
	cache *Cache
}

// Seed implements ports.PolicyRepository.
func (s *policies) Seed(ctx context.Context, r access.Revision) (bool, error) {
	defer s.cache.changed(s.cache.forgetAll)
	return s.PolicyStore.Seed(ctx, r)
}

// Change implements ports.PolicyHistory.
func (s *policies) Change(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (access.Table, error) {
	defer s.cache.changed(s.cache.forgetAll)
	return s.PolicyStore.Change(ctx, e, change, with...)
}

// changed counts a change through this node and forgets what it touches.
func (c *Cache) changed(forget func()) {
	c.own.Add(1)
	forget()
}

// spread tells other nodes of what was ended here, where the store does not. A
// change that is made is made, whether they can be told or not.
func (c *Cache) spread(ctx context.Context, failed error, id user.ID) {
	if c.tell == nil || failed != nil {
		return
	}
	if err := c.tell(ctx, id); err != nil {
		c.log.DebugContext(ctx, "other nodes could not be told that a session has ended; they see it within the bound", "error", err)
	}
}
