package gormrepo_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/ncruces/go-sqlite3"

	"gatehouse/adapters/gormrepo"
)

// Whatever shape an outage comes in, and however deep it is wrapped, it is one;
// and a defect of ours is none.
func TestOutagesAreTold(t *testing.T) {
	state := func(code string) error { return &pgconn.PgError{Code: code} }
	for _, err := range []error{
		sqlite3.BUSY, sqlite3.BUSY_SNAPSHOT, sqlite3.LOCKED, sqlite3.FULL, sqlite3.IOERR_READ, sqlite3.INTERRUPT, sqlite3.READONLY_DIRECTORY,
		state("08006"), state("40001"), state("40P01"), state("53300"), state("57014"), state("57P03"), state("25006"),
		io.ErrUnexpectedEOF, &pgconn.ConnectError{},
	} {
		if !gormrepo.Outage(fmt.Errorf("deep: %w", err)) {
			t.Errorf("%T %v is no outage", err, err)
		}
	}
	for _, err := range []error{
		sqlite3.ERROR, sqlite3.CONSTRAINT_UNIQUE, sqlite3.MISUSE, state("23505"), state("42601"), state("22021"), state(""), errors.New("other"),
	} {
		if gormrepo.Outage(err) {
			t.Errorf("%T %v is taken for an outage", err, err)
		}
	}
}
