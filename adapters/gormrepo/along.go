package gormrepo

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"gorm.io/gorm"

	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// A step is one write to a row that is a user or is a user's, with what goes
// along. Everybody takes locks in one order, so that no two wait for each other:
// that on the admins, the user, what is the user's, the tickets, the answers, the letters, the events, and
// last the head of the day in the audit log, at which all who append queue up.
type step struct {
	op    string
	owner user.ID
	// takesAdmin says that an admin is taken away: it waits for others who do so.
	takesAdmin bool
	// before comes before all else in the transaction; nil for nothing.
	before func(tx *gorm.DB) error
	// hold reports whether the row is as it was read, and keeps it so until the
	// transaction ends; nil where there is none yet. write writes the row, and
	// reports whether it was.
	hold, write func(tx *gorm.DB) (bool, error)
	// only is all that write does if nothing goes along, where that is one
	// statement; it may be nil.
	only *statement
}

// errMissed rolls back what was done to a row that was changed meanwhile.
var errMissed = errors.New("the row was changed meanwhile")

// refusal rolls back what those who were asked refuse, whose error is theirs.
type refusal struct{ why error }

func (r refusal) Error() string { return r.why.Error() }

// do does a step with what goes along, all of it or nothing, and reports whether
// the row was as it was read. A single statement needs no transaction.
func (d *DB) do(ctx context.Context, s step, with []*ports.Along) (bool, error) {
	with = slices.DeleteFunc(slices.Clone(with), nothing)
	if s.before == nil && len(with) == 0 {
		if s.only != nil && d.pool != nil {
			n, err := d.straight(ctx, *s.only)
			return n == 1, d.failed(s.op, err, nil)
		}
		met, err := s.write(d.write.WithContext(ctx))
		return met, d.failed(s.op, err, nil)
	}
	err := d.transact(ctx, func(tx *gorm.DB) error { return d.together(tx, s, with) })
	if errors.Is(err, errMissed) {
		return false, nil
	}
	if r, ok := errors.AsType[refusal](err); ok {
		return false, r.why
	}
	return err == nil, d.failed(s.op, err, nil)
}

func (d *DB) together(tx *gorm.DB, s step, with []*ports.Along) error {
	if s.takesAdmin || slices.ContainsFunc(with, asks) {
		if err := d.lockAdmins(tx); err != nil {
			return err
		}
	}
	if s.before != nil {
		if err := s.before(tx); err != nil {
			return err
		}
	}
	// Before the write, which may delete the user with the tickets.
	if err := s.redeem(tx, with); err != nil {
		return err
	}
	if err := must(s.write(tx)); err != nil {
		return err
	}
	if err := d.askAdmins(tx, with); err != nil {
		return err
	}
	if err := s.void(tx, with); err != nil {
		return err
	}
	if err := d.keepAnswers(tx, with); err != nil {
		return err
	}
	return d.post(tx, with)
}

// must turns a row that was not met into errMissed.
func must(met bool, err error) error {
	if err == nil && !met {
		return errMissed
	}
	return err
}

// something reports whether there is anything to keep.
func something(a *ports.Along) bool {
	return a != nil && (asks(a) || !a.Redeem.IsZero() || len(a.Void)+len(a.Answers)+len(a.Letters)+len(a.Events)+len(a.Audit) > 0)
}

func nothing(a *ports.Along) bool { return !something(a) }

// asks reports whether the admins who are left are to be looked at.
func asks(a *ports.Along) bool { return a != nil && a.Admins != nil }

// lockUser keeps the user from being deleted or changed until the transaction
// ends, so that the order of locks is kept by who writes what is the user's. It
// returns user.ErrUnknown if there is none.
func (d *DB) lockUser(tx *gorm.DB, id user.ID) error {
	found, err := d.found(tx, "SELECT 1 FROM users WHERE id = ?", "FOR NO KEY UPDATE", id.String())
	if err == nil && !found {
		return user.ErrUnknown
	}
	return err
}

// found reports whether a query gives a row, which is locked as that says: on
// PostgreSQL, for in SQLite there is nobody else.
func (d *DB) found(tx *gorm.DB, query, lock string, args ...any) (bool, error) {
	if lock != "" && !d.lite {
		query += " " + lock
	}
	var one int
	err := tx.Raw(query, args...).Row().Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// redeem uses tickets up. Of many who redeem one at once, one deletes its row.
func (s step) redeem(tx *gorm.DB, with []*ports.Along) error {
	held := s.hold == nil
	for _, a := range with {
		if a.Redeem.IsZero() {
			continue
		}
		if !held {
			if err := must(s.hold(tx)); err != nil {
				return err
			}
			held = true
		}
		used := tx.Exec("DELETE FROM tickets WHERE key = ? AND expires_at > ?", a.Redeem.Hex(), a.RedeemAt.UTC())
		if used.Error != nil {
			return used.Error
		}
		if used.RowsAffected == 0 {
			return ticket.ErrInvalid
		}
	}
	return nil
}

// void deletes tickets of the owner.
func (s step) void(tx *gorm.DB, with []*ports.Along) error {
	var purposes []string
	for _, a := range with {
		for _, p := range a.Void {
			purposes = append(purposes, p.String())
		}
	}
	if len(purposes) == 0 {
		return nil
	}
	return tx.Exec("DELETE FROM tickets WHERE user_id = ? AND purpose IN ?", s.owner.String(), purposes).Error
}

// post puts letters into the outbox and events into the queue, and appends to the
// audit log.
func (d *DB) post(tx *gorm.DB, with []*ports.Along) error {
	if err := runAll(tx, append(letterStatements(with), eventStatements(with)...)); err != nil {
		return err
	}
	days := entriesOf(with)
	for _, day := range days.names() {
		head, err := d.hold(tx, day)
		if err != nil {
			return err
		}
		if err := runAll(tx, appendStatements(head, days[day])); err != nil {
			return err
		}
	}
	return nil
}

// A statement is a text with its values.
type statement struct {
	text string
	args []any
}

func runAll(tx *gorm.DB, all []statement) error {
	for _, s := range all {
		if err := tx.Exec(s.text, s.args...).Error; err != nil {
			return err
		}
	}
	return nil
}

// rowsAtOnce is how many rows a statement inserts at the most: both databases
// bound the values of one, SQLite at 32,766.
const rowsAtOnce = 500

// insert makes statements that insert rows of values.
func insert(into string, rows [][]any) []statement {
	var all []statement
	for some := range slices.Chunk(rows, rowsAtOnce) {
		s := statement{text: "INSERT INTO " + into + " VALUES "}
		for i, row := range some {
			if i > 0 {
				s.text += ", "
			}
			s.text += "(?" + strings.Repeat(", ?", len(row)-1) + ")"
			s.args = append(s.args, row...)
		}
		all = append(all, s)
	}
	return all
}
