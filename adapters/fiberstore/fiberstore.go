// Package fiberstore keeps sessions in PostgreSQL through
// github.com/gofiber/storage/postgres, on the pool that everything else uses.
//
// A session is written once with the storage's own Set. Set is an upsert, so
// whatever comes later does not use it: a request that renews a session would
// bring back one that was ended meanwhile (measured: 354 of 400). Later writes
// are conditional statements through the storage's Conn, which change no row
// when the session is gone; those that end one move it to past_sessions.
//
// The table is the one of package migrations: the storage's three columns and
// two that PostgreSQL generates out of the value, so that a user's sessions are
// found, and go with the user. What the value holds is in codec.go.
package fiberstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	storage "github.com/gofiber/storage/postgres/v3"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/adapters/batch"
	"gatehouse/ports"
)

const table = "user_sessions"

// collectEvery is how often the storage deletes what has expired by its own
// clock, with one statement of any length, which leaves nothing behind of what
// it deletes: never. Pruning is done by [Sessions.Prune].
const collectEvery time.Duration = math.MaxInt64

var (
	_ ports.SessionRepository = (*Sessions)(nil)
	_ ports.SessionDirectory  = (*Sessions)(nil)
	_ ports.Health            = (*Sessions)(nil)
)

// Sessions keeps the sessions. Open it with [OpenPostgres].
type Sessions struct {
	storage       *storage.Storage
	ahead         ProductAhead // nil where nobody reads ahead
	resumingAhead resuming

	alone       *batch.Loader[wanted, found] // resumes sessions
	withProduct *batch.Loader[wanted, found] // the same, and reads ahead
}

// ProductAhead reads a product in the statement by which a session is resumed
// (ports.Ahead). Whoever keeps the products knows how.
type ProductAhead interface {
	// Query gives the one row of the product that has the id, an expression, or
	// none. Its first column is never NULL.
	Query(id string) string
	// Scan reads a row: into dest the columns before the one called at, and those
	// of the query, all NULL if it gave none, as what was found.
	Scan(rows pgx.Rows, at int, dest []any) (ports.Found, error)
}

// OpenPostgres returns the sessions in the table user_sessions of the pool's
// schema. The table must have been migrated: where there is none the storage
// would make one, without the user's id and so without what depends on it. It
// fails if the database does not answer, with fault.Unavailable.
//
// There is nothing to close. The storage's own Close closes the pool, which is
// not its own here, and blocks for ever when called twice; all that it would
// stop besides is a goroutine that sleeps, which holds no connection and whose
// statement fails quietly on a pool that is closed.
//
// ahead may be nil: then products are not read with the session.
func OpenPostgres(ctx context.Context, pool *pgxpool.Pool, ahead ProductAhead) (*Sessions, error) {
	if err := pool.Ping(ctx); err != nil {
		return nil, failed("open", err)
	}
	name, err := qualified(ctx, pool)
	if err != nil {
		return nil, failed("open", err)
	}
	s, err := open(ctx, storage.Config{DB: pool, Table: name, GCInterval: collectEvery})
	if err != nil {
		return nil, failed("open", err)
	}
	sessions := &Sessions{storage: s, ahead: ahead}
	if ahead != nil {
		sessions.resumingAhead = resumingAhead(ahead)
	}
	sessions.alone = batch.New(batch.Ways, batch.Width, sessions.resumeAll)
	sessions.withProduct = batch.New(batch.Ways, batch.Width, sessions.resumeAllAhead)
	return sessions, nil
}

// qualified gives the name of the table with its schema, since the storage
// would look in "public" alone, and makes sure of its shape.
func qualified(ctx context.Context, pool *pgxpool.Pool) (string, error) {
	var schema string
	var ours bool
	err := pool.QueryRow(ctx, `SELECT coalesce(current_schema(), ''), EXISTS (
			SELECT FROM information_schema.columns
			WHERE table_schema = current_schema() AND table_name = $1 AND column_name = 'user_id'
		)`, table).Scan(&schema, &ours)
	switch {
	case err != nil:
		return "", err
	case !ours:
		return "", fmt.Errorf("there is no table %s with a user_id in schema %q: migrate first", table, schema)
	case strings.Contains(schema, "."): // the storage splits at every dot
		return "", fmt.Errorf("the schema %q has a dot in its name, which gofiber/storage cannot have", schema)
	}
	return schema + "." + table, nil
}

// open turns the panics with which the storage answers all that goes wrong into
// errors.
func open(ctx context.Context, c storage.Config) (s *storage.Storage, err error) {
	defer func() {
		if p := recover(); p != nil {
			cause, ok := p.(error)
			if !ok {
				cause = errors.New(fmt.Sprint(p))
			}
			err = fmt.Errorf("gofiber/storage: %w", cause)
		}
	}()
	return storage.NewWithContext(ctx, c), nil
}

// Check asks the table of sessions for an answer.
func (s *Sessions) Check(ctx context.Context) error {
	_, err := s.storage.Conn().Exec(ctx, "SELECT k FROM user_sessions LIMIT 1")
	return failed("check", err)
}
