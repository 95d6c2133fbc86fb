package gormrepo

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gorm.io/gorm"

	"gatehouse/domain/mail"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

var _ ports.Outbox = (*Outbox)(nil)

// Outbox holds the letters that are to be sent.
type Outbox struct{ db *DB }

// letterColumns are the columns of a letter in the order of letterRow.fields.
const letterColumns = "id, user_id, kind, email, email_canonical, language, detail, created_at, attempts"

// letterRow is a row of outbox.
type letterRow struct {
	id, userID, kind, email, canonical, language, detail string
	createdAt                                            time.Time
	attempts                                             int64
}

func (r *letterRow) fields() []any {
	return []any{&r.id, &r.userID, &r.kind, &r.email, &r.canonical, &r.language, &r.detail, &r.createdAt, &r.attempts}
}

// letterStatements put letters in, due at once.
func letterStatements(with []*ports.Along) []statement {
	var rows [][]any
	for _, a := range with {
		for _, l := range a.Letters {
			created := l.CreatedAt.UTC()
			rows = append(rows, []any{
				l.ID.String(), l.UserID.String(), l.Kind.String(), l.To.String(), l.To.Canonical(), string(l.Language),
				writeDetail(l.Detail), created, l.Attempt, created, "",
			})
		}
	}
	return insert("outbox ("+letterColumns+", due_at, last_error)", rows)
}

// letter reads the row; words that are unknown were not written by us.
func (r *letterRow) letter() (mail.Letter, error) {
	id, ok := uuid.Parse(r.id)
	to, known := user.ParseID(r.userID)
	kind, valid := mail.ParseKind(r.kind)
	detail, err := readDetail(r.detail)
	if !ok || !known || !valid || err != nil {
		return mail.Letter{}, fmt.Errorf("the row of letter %q cannot be read", r.id)
	}
	return mail.Letter{
		ID: id, UserID: to, Kind: kind, To: user.RestoreEmail(r.email, r.canonical), Language: mail.Language(r.language),
		Detail: detail, CreatedAt: r.createdAt.UTC(), Attempt: int(r.attempts),
	}, nil
}

func scanLetter(from scanner) (mail.Letter, error) {
	var row letterRow
	if err := from.Scan(row.fields()...); err != nil {
		return mail.Letter{}, err
	}
	return row.letter()
}

// writeDetail gives the text of a detail, a JSON object; readDetail reads it.
func writeDetail(d map[string]string) string {
	if len(d) == 0 {
		return "{}"
	}
	text, _ := json.Marshal(d) // of strings it cannot fail
	return string(text)
}

func readDetail(s string) (map[string]string, error) {
	var d map[string]string
	if err := json.Unmarshal([]byte(s), &d); err != nil || len(d) == 0 {
		return nil, err
	}
	return d, nil
}

// kinds are the letters that this release can write. One that a newer release
// has put in waits for a node of that release.
var kinds = func() (names []string) {
	for _, k := range mail.Kinds() {
		names = append(names, k.String())
	}
	return names
}()

// Claim takes letters out. Those that another node is taking out are passed
// over.
func (s *Outbox) Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) (claimed []mail.Letter, err error) {
	if limit <= 0 {
		return nil, nil
	}
	due := "SELECT " + letterColumns + " FROM outbox WHERE due_at <= ? AND kind IN ? ORDER BY due_at, id LIMIT " + strconv.Itoa(limit)
	if !s.db.lite {
		due += " FOR UPDATE SKIP LOCKED"
	}
	err = s.db.transact(ctx, func(tx *gorm.DB) (err error) {
		claimed, err = collect(tx.Raw(due, now.UTC(), kinds), scanLetter)
		if err != nil || len(claimed) == 0 {
			return err
		}
		ids := make([]string, len(claimed))
		for i := range claimed {
			claimed[i].Attempt++
			ids[i] = claimed[i].ID.String()
		}
		return tx.Exec("UPDATE outbox SET due_at = ?, attempts = attempts + 1 WHERE id IN ?", now.Add(lease).UTC(), ids).Error
	})
	if err != nil {
		return nil, s.db.failed("claim letters", err, nil)
	}
	return claimed, nil
}

// Done deletes the letter.
func (s *Outbox) Done(ctx context.Context, id uuid.UUID) error {
	_, err := s.db.exec(ctx, "delete letter", "DELETE FROM outbox WHERE id = ?", id.String())
	return err
}

// maxWhy is how many bytes are kept of why a letter could not be sent.
const maxWhy = 1000

// Postpone makes the letter due at a time. What a mail server says may be no
// text, which PostgreSQL would not take.
func (s *Outbox) Postpone(ctx context.Context, id uuid.UUID, until time.Time, why string) error {
	_, err := s.db.exec(ctx, "postpone letter", "UPDATE outbox SET due_at = ?, last_error = ? WHERE id = ?", until.UTC(), plain(why), id.String())
	return err
}

// Waiting returns how many letters there are, and since when.
func (s *Outbox) Waiting(ctx context.Context) (n int, since time.Time, err error) {
	err = s.db.one(ctx, []any{&n, &since}, "SELECT (SELECT count(*) FROM outbox), created_at FROM outbox ORDER BY created_at LIMIT 1")
	if errors.Is(err, sql.ErrNoRows) {
		return 0, time.Time{}, nil
	}
	if err != nil {
		return 0, time.Time{}, s.db.failed("count letters", err, nil)
	}
	return n, since.UTC(), nil
}

// LettersTo returns the letters to the user that wait.
func (s *Outbox) LettersTo(ctx context.Context, id user.ID) ([]mail.Letter, error) {
	all, err := many(ctx, s.db, scanLetter, "SELECT "+letterColumns+" FROM outbox WHERE user_id = ? ORDER BY created_at, id", id.String())
	return all, s.db.failed("list letters", err, nil)
}
