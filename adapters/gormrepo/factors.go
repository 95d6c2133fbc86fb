package gormrepo

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"gorm.io/gorm"

	"gatehouse/domain/factor"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var _ ports.FactorRepository = (*Factors)(nil)

// Factors keeps the second factors.
type Factors struct{ db *DB }

// factorRow is a row of second_factors; the zero one stands for none.
type factorRow struct {
	secret      []byte
	startedAt   time.Time
	confirmedAt sql.NullTime
	lastStep    int64
	recovery    string // a JSON array of hashes in hexadecimal
	revision    int64
}

// selectFactor reads the columns in the order of factorRow.fields.
const selectFactor = "SELECT secret, started_at, confirmed_at, last_step, recovery, revision FROM second_factors WHERE user_id = ?"

func (r *factorRow) fields() []any {
	return []any{&r.secret, &r.startedAt, &r.confirmedAt, &r.lastStep, &r.recovery, &r.revision}
}

// newFactorRow writes a factor down.
func newFactorRow(f factor.Factor, revision int64) factorRow {
	s := f.State()
	hashes := make([]string, len(s.Recovery))
	for i, h := range s.Recovery {
		hashes[i] = hex.EncodeToString(h[:])
	}
	recovery, _ := json.Marshal(hashes) // of strings it cannot fail
	return factorRow{
		secret: s.Secret, startedAt: s.StartedAt, confirmedAt: sql.NullTime{Time: s.ConfirmedAt, Valid: !s.ConfirmedAt.IsZero()},
		lastStep: s.LastStep, recovery: string(recovery), revision: revision,
	}
}

// factor reads the row.
func (r *factorRow) factor(id user.ID) (factor.Factor, error) {
	var hashes []string
	if err := json.Unmarshal([]byte(r.recovery), &hashes); err != nil {
		return factor.Factor{}, fmt.Errorf("the recovery codes of user %q cannot be read: %w", id, err)
	}
	var recovery []factor.CodeHash
	for _, text := range hashes {
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != len(factor.CodeHash{}) {
			return factor.Factor{}, fmt.Errorf("a recovery code of user %q is no hash", id)
		}
		recovery = append(recovery, factor.CodeHash(b))
	}
	return factor.Restore(factor.State{
		UserID: id, Secret: r.secret, StartedAt: r.startedAt, ConfirmedAt: r.confirmedAt.Time, LastStep: r.lastStep, Recovery: recovery,
	}), nil
}

// Find returns the user's factor.
func (s *Factors) Find(ctx context.Context, id user.ID) (factor.Factor, error) {
	_, f, err := s.find(ctx, id)
	return f, s.db.failed("find second factor", err, nil)
}

func (s *Factors) find(ctx context.Context, id user.ID) (factorRow, factor.Factor, error) {
	var row factorRow
	err := s.db.one(ctx, row.fields(), selectFactor, id.String())
	if errors.Is(err, sql.ErrNoRows) {
		return factorRow{}, factor.Factor{}, nil
	}
	if err != nil {
		return factorRow{}, factor.Factor{}, err
	}
	f, err := row.factor(id)
	return row, f, err
}

// Update changes the user's factor in one step.
func (s *Factors) Update(ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (updated factor.Factor, err error) {
	err = contend(ctx, func() (done bool, err error) {
		updated, done, err = s.update(ctx, id, change, with)
		return done, err
	})
	if err != nil {
		return factor.Factor{}, err
	}
	return updated, nil
}

// update tries once; it is not done if the factor was changed meanwhile.
func (s *Factors) update(ctx context.Context, id user.ID, change func(*factor.Factor) error, with []*ports.Along) (factor.Factor, bool, error) {
	row, before, err := s.find(ctx, id)
	if err == nil && before.IsZero() { // one that is there has its user
		var one int
		err = s.db.one(ctx, []any{&one}, "SELECT 1 FROM users WHERE id = ?", id.String())
	}
	if err != nil {
		return factor.Factor{}, false, s.db.failed("find second factor", err, user.ErrUnknown)
	}
	after := before
	if err := change(&after); err != nil {
		return factor.Factor{}, false, err
	}
	act := step{op: "update second factor", owner: id, hold: s.holding(id, row), write: s.writing(id, row, before, after)}
	if slices.ContainsFunc(with, something) {
		act.before = func(tx *gorm.DB) error { return s.db.lockUser(tx, id) }
	}
	done, err := s.db.do(ctx, act, with)
	return after, done, err
}

// holding gives what keeps a factor as it was read.
func (s *Factors) holding(id user.ID, row factorRow) func(*gorm.DB) (bool, error) {
	const query = "SELECT 1 FROM second_factors WHERE user_id = ?"
	return func(tx *gorm.DB) (bool, error) {
		if row.revision == 0 {
			found, err := s.db.found(tx, query, "", id.String())
			return !found, err
		}
		return s.db.found(tx, query+" AND revision = ?", "FOR UPDATE", id.String(), row.revision)
	}
}

// writing gives what puts a factor in the place of the one that was read.
func (s *Factors) writing(id user.ID, row factorRow, before, after factor.Factor) func(*gorm.DB) (bool, error) {
	switch {
	case before.IsZero() && after.IsZero():
		return s.holding(id, row)
	case before.IsZero():
		// One that is set up anew is never taken for the one before it: its
		// revisions begin elsewhere.
		r := newFactorRow(after, 1+rand.Int64N(1<<62))
		return executing("INSERT INTO second_factors (user_id, secret, started_at, confirmed_at, last_step, recovery, revision)"+
			" VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (user_id) DO NOTHING",
			id.String(), r.secret, r.startedAt, r.confirmedAt, r.lastStep, r.recovery, r.revision)
	case after.IsZero():
		return executing("DELETE FROM second_factors WHERE user_id = ? AND revision = ?", id.String(), row.revision)
	case reflect.DeepEqual(before.State(), after.State()):
		return s.holding(id, row)
	}
	r := newFactorRow(after, row.revision+1)
	return executing("UPDATE second_factors SET secret = ?, started_at = ?, confirmed_at = ?, last_step = ?, recovery = ?, revision = ?"+
		" WHERE user_id = ? AND revision = ?",
		r.secret, r.startedAt, r.confirmedAt, r.lastStep, r.recovery, r.revision, id.String(), row.revision)
}

// executing gives a write by one statement.
func executing(query string, args ...any) func(*gorm.DB) (bool, error) {
	return func(tx *gorm.DB) (bool, error) {
		result := tx.Exec(query, args...)
		return result.RowsAffected == 1, result.Error
	}
}
