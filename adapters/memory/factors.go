package memory

import (
	"context"

	"gatehouse/domain/factor"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Factors keeps second factors in memory.
type Factors struct{ db *DB }

var _ ports.FactorRepository = (*Factors)(nil)

// Find implements ports.FactorRepository.
func (s *Factors) Find(ctx context.Context, id user.ID) (f factor.Factor, err error) {
	err = s.db.read(ctx, func() error {
		f = s.db.factors[id].factor
		return nil
	})
	return f, err
}

// Update implements ports.FactorRepository. change runs without the lock, as
// in [Users.Update].
func (s *Factors) Update(ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
	for {
		row, err := s.row(ctx, id)
		if err != nil {
			return factor.Factor{}, err
		}
		next := row.factor
		if err := change(&next); err != nil {
			return factor.Factor{}, err
		}
		done, err := s.swap(ctx, id, row, next, with)
		if err != nil {
			return factor.Factor{}, err
		}
		if done {
			return next, nil
		}
	}
}

// row gives what is kept of the user's factor: the zero row if there is none.
func (s *Factors) row(ctx context.Context, id user.ID) (row factorRow, err error) {
	err = s.db.read(ctx, func() error {
		if !s.db.hasUser(id) {
			return user.ErrUnknown
		}
		row = s.db.factors[id]
		return nil
	})
	return row, err
}

// swap puts next in the place of old, unless old has been changed.
func (s *Factors) swap(ctx context.Context, id user.ID, old factorRow, next factor.Factor, with []*ports.Along) (done bool, err error) {
	err = s.db.write(ctx, func() error {
		if !s.db.hasUser(id) {
			return user.ErrUnknown
		}
		if s.db.factors[id].revision != old.revision {
			return nil
		}
		keep, err := s.db.along(id, with, s.db.hasUser)
		if err != nil {
			return err
		}
		defer keep()
		if done = true; next.IsZero() {
			delete(s.db.factors, id)
			return nil
		}
		s.db.factors[id] = factorRow{factor: next, revision: s.db.revision()}
		return nil
	})
	return done, err
}
