package fiberstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
)

// errTaken answers a key that is in use, which for 256 random bits means that
// the same session was added twice.
var errTaken = fault.New(fault.Conflict, "id_taken", "There is one with this identifier already.")

// failed turns what a statement reports into a fault: no row is
// session.ErrUnknown, what cannot be asked fault.Unavailable; what is none of
// the known failures is a defect of ours and stays what it is.
func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	cause := fmt.Errorf("fiberstore: %s: %w", op, err)
	switch {
	case outage(err):
		return fault.Outage(cause)
	case errors.Is(err, pgx.ErrNoRows):
		return session.ErrUnknown
	case state(err) == "23503": // the one foreign key points at users
		return user.ErrUnknown.Because(cause)
	case state(err) == "23505":
		return errTaken.Because(cause)
	}
	return cause
}

// state is the SQLSTATE with which PostgreSQL answered, or "".
func state(err error) string {
	if p, ok := errors.AsType[*pgconn.PgError](err); ok {
		return p.Code
	}
	return ""
}

// outage reports whether err means that the database could not be asked, or
// could not be made to answer in time.
func outage(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	if connecting(err) {
		return true
	}
	if s := state(err); s != "" {
		return outageState(s)
	}
	if _, ok := errors.AsType[net.Error](err); ok || pgconn.SafeToRetry(err) || pgconn.Timeout(err) {
		return true
	}
	for _, known := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, puddle.ErrClosedPool} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// outageState knows the SQLSTATEs of a server that cannot or will not answer
// now: connection (08), rollback for the sake of others (40), resources (53),
// intervention, shutdown and timeouts (57), and a standby that takes no writes.
func outageState(s string) bool {
	switch s[:min(len(s), 2)] {
	case "08", "40", "53", "57":
		return true
	}
	return s == "25006" || s == "55P03" // read_only_sql_transaction, lock_not_available
}

// planAttempts is how often a read is tried whose prepared plan has gone stale
// under a migration (0A000, "cached plan must not change result type"). pgx
// drops such a plan with the failure; another connection may hold one more.
const planAttempts = 3

func withFreshPlan(read func() error) error {
	for attempt := 1; ; attempt++ {
		err := read()
		if attempt == planAttempts || state(err) != "0A000" {
			return err
		}
	}
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

// connecting reports whether no connection could be made, for whatever reason
// the server gave.
func connecting(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

// reading does a read, and once more where the server ended the connection under
// it, as it does with all when it stops: what was idle goes with it, so that the
// second time is on a new one. It is for what writes nothing.
func (s *Sessions) reading(ctx context.Context, read func() error) error {
	err := withFreshPlan(read)
	if !cut(err) || ctx.Err() != nil {
		return err
	}
	s.storage.Conn().Reset()
	return withFreshPlan(read)
}
