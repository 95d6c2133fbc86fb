package memory

import (
	"context"
	"slices"
	"time"

	"gatehouse/domain/idempotency"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Answers keeps the answers that are given again in memory.
type Answers struct{ db *DB }

var _ ports.IdempotencyRepository = (*Answers)(nil)

// Find implements ports.IdempotencyRepository.
func (s *Answers) Find(ctx context.Context, id idempotency.ID, now time.Time) (k idempotency.Kept, err error) {
	err = s.db.read(ctx, func() error {
		found, ok := s.db.answers[id]
		if !ok || !now.Before(found.Until) {
			return idempotency.ErrNone
		}
		k = ownAnswer(found)
		return nil
	})
	return k, err
}

// Prune implements ports.IdempotencyRepository.
func (s *Answers) Prune(ctx context.Context, now time.Time, limit int) (n int, err error) {
	err = s.db.write(ctx, func() error {
		n = deleteSome(s.db.answers, limit, func(k idempotency.Kept) bool { return !now.Before(k.Until) })
		return nil
	})
	return n, err
}

// canAnswer looks whether the answers can be kept, within a write.
func (db *DB) canAnswer(answers []idempotency.Kept, taken map[idempotency.ID]bool, there func(user.ID) bool) error {
	for _, k := range answers {
		if !there(k.Caller) {
			return user.ErrUnknown
		}
		if old, ok := db.answers[k.ID]; ok && k.At.Before(old.Until) || taken[k.ID] {
			return idempotency.ErrTaken
		}
		taken[k.ID] = true
	}
	return nil
}

// ownAnswer is an answer whose bytes are the caller's own.
func ownAnswer(k idempotency.Kept) idempotency.Kept {
	k.Answer = slices.Clone(k.Answer)
	k.At, k.Until = instant(k.At), instant(k.Until)
	return k
}
