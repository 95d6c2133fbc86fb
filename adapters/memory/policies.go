package memory

import (
	"context"
	"slices"

	"gatehouse/domain/access"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Policies keeps the policy table in memory, and what it was at each version.
type Policies struct{ db *DB }

var (
	_ ports.PolicyRepository = (*Policies)(nil)
	_ ports.PolicyHistory    = (*Policies)(nil)
)

// Version implements ports.PolicyRepository.
func (s *Policies) Version(ctx context.Context) (v int64, err error) {
	err = s.db.read(ctx, func() error {
		v = s.db.policy.Version
		return nil
	})
	return v, err
}

// Load implements ports.PolicyRepository.
func (s *Policies) Load(ctx context.Context) (t access.Table, err error) {
	err = s.db.read(ctx, func() error {
		t = s.db.policy.Clone()
		return nil
	})
	return t, err
}

// Seed implements ports.PolicyRepository.
func (s *Policies) Seed(ctx context.Context, r access.Revision) (seeded bool, err error) {
	err = s.db.write(ctx, func() error {
		if s.db.policy.Version == 0 {
			r.Table.Version = 1
			s.db.policy = r.Table.Clone()
			s.db.remember(r)
			seeded = true
		}
		return nil
	})
	return seeded, err
}

// remember keeps a revision, within a write.
func (db *DB) remember(r access.Revision) {
	r.At, r.Table = instant(r.At), r.Table.Clone()
	db.versions = append(db.versions, r)
}

// Change implements ports.PolicyHistory. change runs without the lock, as in
// [Users.Update].
func (s *Policies) Change(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (access.Table, error) {
	for {
		before, err := s.Load(ctx)
		if err != nil {
			return access.Table{}, err
		}
		after := before.Clone()
		if err := change(&after); err != nil {
			return access.Table{}, err
		}
		if after.Version = before.Version; after.Since(before).IsZero() && after.Distinct() {
			return before, nil
		}
		after.Version++
		done, err := s.put(ctx, access.Revision{Edit: e, Table: after}, with)
		if done || err != nil {
			return after.Clone(), err
		}
	}
}

// put makes the revision the present one, unless another was quicker.
func (s *Policies) put(ctx context.Context, r access.Revision, with []*ports.Along) (done bool, err error) {
	err = s.db.write(ctx, func() error {
		if s.db.policy.Version != r.Table.Version-1 {
			return nil
		}
		if !r.Table.Distinct() {
			return errIDTaken
		}
		if err := s.db.askAdmins(with, r.Table.Version, user.ID{}, user.User{}); err != nil {
			return err
		}
		keep, err := s.db.along(user.ID{}, with, s.db.hasUser)
		if err != nil {
			return err
		}
		defer keep()
		s.db.policy = r.Table.Clone()
		s.db.remember(r)
		done = true
		return nil
	})
	return done, err
}

// Revisions implements ports.PolicyHistory.
func (s *Policies) Revisions(ctx context.Context, before int64, limit int) (list []access.Revision, err error) {
	err = s.db.read(ctx, func() error {
		for _, r := range slices.Backward(s.db.versions) {
			if len(list) < limit && (before == 0 || r.Table.Version < before) {
				r.Table = r.Table.Clone()
				list = append(list, r)
			}
		}
		return nil
	})
	return list, err
}

// Revision implements ports.PolicyHistory.
func (s *Policies) Revision(ctx context.Context, version int64) (r access.Revision, err error) {
	err = s.db.read(ctx, func() error {
		i := slices.IndexFunc(s.db.versions, func(r access.Revision) bool { return r.Table.Version == version })
		if i < 0 {
			return access.ErrVersionUnknown
		}
		r = s.db.versions[i]
		r.Table = r.Table.Clone()
		return nil
	})
	return r, err
}
