package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"gatehouse/domain/mail"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// Outbox keeps letters in memory.
type Outbox struct{ db *DB }

var _ ports.Outbox = (*Outbox)(nil)

type letterRow struct {
	letter mail.Letter
	due    time.Time
	why    string // it could not be sent
}

// canPost looks whether the letters can be kept, within a write.
func (db *DB) canPost(letters []mail.Letter, there func(user.ID) bool) error {
	seen := map[uuid.UUID]bool{}
	for _, l := range letters {
		if !there(l.UserID) {
			return user.ErrUnknown
		}
		if _, taken := db.letters[l.ID]; taken || seen[l.ID] {
			return errIDTaken
		}
		seen[l.ID] = true
	}
	return nil
}

// post puts the letter in, within a write.
func (db *DB) post(l mail.Letter) {
	l = ownLetter(l)
	l.CreatedAt = instant(l.CreatedAt)
	db.letters[l.ID] = letterRow{letter: l, due: l.CreatedAt}
}

// ownLetter is a letter whose detail is the caller's own.
func ownLetter(l mail.Letter) mail.Letter {
	l.Detail = maps.Clone(l.Detail)
	return l
}

// Claim implements ports.Outbox.
func (s *Outbox) Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) (letters []mail.Letter, err error) {
	err = s.db.write(ctx, func() error {
		for _, row := range s.db.due(now, limit) {
			row.letter.Attempt++
			row.due = instant(now.Add(lease))
			s.db.letters[row.letter.ID] = row
			letters = append(letters, ownLetter(row.letter))
		}
		return nil
	})
	return letters, err
}

// due gives up to limit letters that are due at now, the longest due first,
// within a write.
func (db *DB) due(now time.Time, limit int) (rows []letterRow) {
	for _, row := range db.letters {
		if !row.due.After(now) {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b letterRow) int {
		return cmp.Or(a.due.Compare(b.due), a.letter.ID.Compare(b.letter.ID))
	})
	return rows[:min(len(rows), max(limit, 0))]
}

// Done implements ports.Outbox.
func (s *Outbox) Done(ctx context.Context, id uuid.UUID) error {
	return s.db.write(ctx, func() error {
		delete(s.db.letters, id)
		return nil
	})
}

// Postpone implements ports.Outbox.
func (s *Outbox) Postpone(ctx context.Context, id uuid.UUID, until time.Time, why string) error {
	return s.db.write(ctx, func() error {
		if row, ok := s.db.letters[id]; ok {
			row.due, row.why = instant(until), why
			s.db.letters[id] = row
		}
		return nil
	})
}

// Waiting implements ports.Outbox.
func (s *Outbox) Waiting(ctx context.Context) (n int, since time.Time, err error) {
	err = s.db.read(ctx, func() error {
		n = len(s.db.letters)
		for _, row := range s.db.letters {
			if at := row.letter.CreatedAt; since.IsZero() || at.Before(since) {
				since = at
			}
		}
		return nil
	})
	return n, since, err
}

// LettersTo implements ports.Outbox.
func (s *Outbox) LettersTo(ctx context.Context, id user.ID) (letters []mail.Letter, err error) {
	err = s.db.read(ctx, func() error {
		for _, row := range s.db.letters {
			if row.letter.UserID == id {
				letters = append(letters, ownLetter(row.letter))
			}
		}
		return nil
	})
	slices.SortFunc(letters, func(a, b mail.Letter) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), a.ID.Compare(b.ID))
	})
	return letters, err
}
