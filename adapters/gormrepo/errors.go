package gormrepo

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
	"github.com/ncruces/go-sqlite3"
	"gorm.io/gorm"

	"gatehouse/domain/fault"
	"gatehouse/domain/user"
)

// errTaken answers an id, or another key, that is in use.
var errTaken = fault.New(fault.Conflict, "id_taken", "There is one with this identifier already.")

// failed turns what a statement reports into a fault; missing is what to say if
// it found no row. What cannot be asked is fault.Unavailable; what is a fault
// already, or none of the known failures and so a defect of ours, stays what it
// is.
func (d *DB) failed(op string, err error, missing error) error {
	if err == nil {
		return nil
	}
	if _, told := errors.AsType[*fault.Error](err); told {
		return err
	}
	cause := fmt.Errorf("gormrepo: %s: %w", op, err)
	switch {
	case d.closed.Load() || outage(err):
		return fault.Outage(cause)
	case missing != nil && errors.Is(err, sql.ErrNoRows):
		return missing
	case duplicate(err):
		return errTaken.Because(cause)
	case orphan(err): // all foreign keys of ours point at users, but those to a product that is held meanwhile
		return user.ErrUnknown.Because(cause)
	}
	return cause
}

// duplicate reports whether a key is in use, in the words of GORM or of the
// database itself.
func duplicate(err error) bool {
	return errors.Is(err, gorm.ErrDuplicatedKey) || state(err) == "23505" ||
		errors.Is(err, sqlite3.CONSTRAINT_UNIQUE) || errors.Is(err, sqlite3.CONSTRAINT_PRIMARYKEY)
}

// orphan reports whether a row was to point at one that is not there.
func orphan(err error) bool {
	return errors.Is(err, gorm.ErrForeignKeyViolated) || state(err) == "23503" || errors.Is(err, sqlite3.CONSTRAINT_FOREIGNKEY)
}

// state is the SQLSTATE with which PostgreSQL answered, or "".
func state(err error) string {
	if p, ok := errors.AsType[*pgconn.PgError](err); ok {
		return p.Code
	}
	return ""
}

// duplicateEmail reports whether a write to users found its address taken. Of
// SQLite it is to be asked about no other write: that does not name the
// constraint but in prose, and tells no more than a primary key from another.
func duplicateEmail(err error) bool {
	if p, ok := errors.AsType[*pgconn.PgError](err); ok {
		return p.Code == "23505" && p.ConstraintName == "users_email_canonical_key"
	}
	return errors.Is(err, sqlite3.CONSTRAINT_UNIQUE)
}

// outage reports whether err means that the database could not be asked, or
// could not be made to answer in time.
func outage(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	if p, ok := errors.AsType[*pgconn.PgError](err); ok {
		return outageState(p.Code) || connecting(err)
	}
	// A code may come alone or within an *sqlite3.Error, which gives it out.
	if code, ok := errors.AsType[sqlite3.ErrorCode](err); ok {
		return outageCode(code)
	}
	return disconnected(err)
}

// outageState knows the SQLSTATEs of a server that cannot or will not answer
// now: connection (08), rollback for the sake of others (40), resources (53),
// intervention, shutdown and timeouts (57), and a standby that takes no writes.
func outageState(state string) bool {
	if len(state) != 5 {
		return false
	}
	switch state[:2] {
	case "08", "40", "53", "57":
		return true
	}
	return state == "25006" || state == "55P03" // read_only_sql_transaction, lock_not_available
}

// outageCode knows the results of SQLite that are the fault of the machine or
// of another process.
func outageCode(code sqlite3.ErrorCode) bool {
	switch code {
	case sqlite3.BUSY, sqlite3.LOCKED, sqlite3.FULL, sqlite3.IOERR, sqlite3.INTERRUPT,
		sqlite3.NOMEM, sqlite3.CANTOPEN, sqlite3.READONLY, sqlite3.PROTOCOL, sqlite3.CORRUPT, sqlite3.NOTADB:
		return true
	}
	return false
}

// connecting reports whether no connection could be made, for whatever reason
// the server gave.
func connecting(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

// disconnected reports whether there was no connection, or none any more.
func disconnected(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok || connecting(err) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) {
		return true
	}
	for _, known := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, driver.ErrBadConn, sql.ErrConnDone, puddle.ErrClosedPool,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// stalePlan reports whether a prepared statement no longer fits its table,
// which a migration has altered (0A000, "cached plan must not change result
// type").
func stalePlan(err error) bool {
	return state(err) == "0A000"
}

// cut reports whether the server ended the connection under a statement, and not
// that it could not be reached or took too long: by an administrator or after a
// crash (57P01, 57P02), or with no word.
func cut(err error) bool {
	if s := state(err); s != "" {
		return s == "57P01" || s == "57P02"
	}
	if err == nil || connecting(err) || pgconn.Timeout(err) {
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
