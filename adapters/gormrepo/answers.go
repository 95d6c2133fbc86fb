package gormrepo

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"gatehouse/domain/idempotency"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var _ ports.IdempotencyRepository = (*Answers)(nil)

// Answers keeps the answers that are given again.
type Answers struct{ db *DB }

// Find returns the answer that is kept under the id.
func (s *Answers) Find(ctx context.Context, id idempotency.ID, now time.Time) (idempotency.Kept, error) {
	var owner string
	var request []byte
	k := idempotency.Kept{ID: id}
	err := s.db.one(ctx, []any{&owner, &request, &k.Answer, &k.At, &k.Until},
		"SELECT user_id, request, answer, created_at, expires_at FROM idempotency_keys WHERE id = ? AND expires_at > ?", id.Hex(), now.UTC())
	if err != nil {
		return idempotency.Kept{}, s.db.failed("find answer", err, idempotency.ErrNone)
	}
	caller, ok := user.ParseID(owner)
	if !ok || len(request) != len(k.Request) {
		return idempotency.Kept{}, s.db.failed("find answer", fmt.Errorf("the answer to user %q cannot be read", owner), nil)
	}
	k.Caller, k.Request = caller, idempotency.Digest(request)
	k.At, k.Until = k.At.UTC(), k.Until.UTC()
	return k, nil
}

// Prune deletes answers that are kept no longer.
func (s *Answers) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	return s.db.prune(ctx, "idempotency_keys", "id", "expires_at <= ?", "expires_at", now.UTC(), limit)
}

// keepAnswer puts an answer in, or in the place of one that is kept no longer. On
// PostgreSQL it waits for another transaction that is about to keep one under the
// same id: that is how two nodes know of each other's work. When such a
// transaction fails, or its node dies, this one goes on.
const keepAnswer = "INSERT INTO idempotency_keys (id, user_id, request, answer, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)" +
	" ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, request = excluded.request, answer = excluded.answer," +
	" created_at = excluded.created_at, expires_at = excluded.expires_at WHERE idempotency_keys.expires_at <= excluded.created_at"

// keepAnswers keeps the answers that go along with a change.
func (d *DB) keepAnswers(tx *gorm.DB, with []*ports.Along) error {
	for _, a := range with {
		for _, k := range a.Answers {
			if err := d.keepAnswer(tx, k); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *DB) keepAnswer(tx *gorm.DB, k idempotency.Kept) error {
	if err := d.boundWait(tx); err != nil {
		return err
	}
	answer := append([]byte{}, k.Answer...) // nil would be NULL
	result := tx.Exec(keepAnswer, k.ID.Hex(), k.Caller.String(), k.Request[:], answer, k.At.UTC(), k.Until.UTC())
	switch {
	case state(result.Error) == "55P03": // lock_not_available
		return idempotency.ErrInProgress.Because(result.Error)
	case result.Error == nil && result.RowsAffected == 0:
		return idempotency.ErrTaken
	}
	return result.Error
}

// boundWait has a transaction on PostgreSQL give up waiting for others while
// there is still time to say so: three quarters of what is left until the deadline are for waiting.
func (d *DB) boundWait(tx *gorm.DB) error {
	deadline, bound := tx.Statement.Context.Deadline()
	if d.lite || !bound {
		return nil
	}
	wait := max(time.Until(deadline)*3/4, time.Millisecond) // 0 would be for ever
	return tx.Exec(fmt.Sprintf("SET LOCAL lock_timeout = %d", max(wait.Milliseconds(), 1))).Error
}
