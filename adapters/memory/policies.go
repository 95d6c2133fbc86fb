package memory

import (
	"context"
	"slices"

	"gatehouse/domain/access"
	"gatehouse/ports"
)

// Policies keeps the policy table in memory.
type Policies struct{ db *DB }

var _ ports.PolicyRepository = (*Policies)(nil)

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
		t = s.db.policy
		t.Rows, t.Inherits = slices.Clone(t.Rows), slices.Clone(t.Inherits)
		return nil
	})
	return t, err
}

// Seed implements ports.PolicyRepository.
func (s *Policies) Seed(ctx context.Context, rows []access.Row, inherits []access.Inheritance) (seeded bool, err error) {
	err = s.db.write(ctx, func() error {
		if s.db.policy.Version == 0 {
			s.db.policy = access.Table{Version: 1, Rows: slices.Clone(rows), Inherits: slices.Clone(inherits)}
			seeded = true
		}
		return nil
	})
	return seeded, err
}
