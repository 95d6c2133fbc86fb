// Package gormrepo keeps users, products and policies in PostgreSQL or in
// SQLite, by way of GORM, and in SQLite the sessions too; on PostgreSQL those
// are adapters/fiberstore's.
//
// Read [DB] first, then [Products], which is the fullest repository. What the
// two databases do differently is in postgres.go and sqlite.go, in filter.go
// (searching) and in errors.go; all else is one text for both. The tables
// belong to package migrations.
//
// How things are done here: every statement names its columns, because SELECT *
// breaks on a node that still runs while the next release migrates. What is
// read is scanned by hand, which is about half the work of GORM's reflection;
// what is written goes through GORM's models, with maps, never with structs,
// whose zero fields it would pass over. No transaction is open while the
// application's code runs: an update reads, lets the value be changed, and
// writes if the row is still what was read, or starts again.
package gormrepo

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"
	"gorm.io/gorm"

	"gatehouse/ports"
)

var _ ports.Health = (*DB)(nil)

// DB is an open database. Open one with [OpenPostgres] or [OpenSQLite].
type DB struct {
	read   *gorm.DB // where reads go; on PostgreSQL the same as write
	write  *gorm.DB
	pool   *pgxpool.Pool // what both stand on; nil on SQLite
	lite   bool          // it is SQLite
	close  func() error
	closed atomic.Bool
}

// Users returns the repository of users.
func (d *DB) Users() *Users { return &Users{d} }

// Products returns the repository of products.
func (d *DB) Products() *Products { return &Products{d} }

// Policies returns the repository of policies.
func (d *DB) Policies() *Policies { return &Policies{d} }

// Check asks the database for an answer.
func (d *DB) Check(ctx context.Context) error {
	var one int
	return d.failed("check", d.one(ctx, []any{&one}, "SELECT 1"), nil)
}

// Close gives back what the opening took; a pool that was handed in stays open.
// What is called later reports fault.Unavailable.
func (d *DB) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	return d.close()
}

// config is how GORM is opened: errors in its own words, so that a taken key is
// told from a broken connection, no transaction around single statements, and
// no word to the database before somebody asks for something.
func config(log gormLogger) *gorm.Config {
	return &gorm.Config{
		TranslateError:         true,
		SkipDefaultTransaction: true,
		DisableAutomaticPing:   true,
		Logger:                 log,
	}
}

// planAttempts is how often a read is tried whose prepared plan has gone stale
// under a migration (0A000). pgx drops such a plan with the failure; another
// connection may hold one more.
const planAttempts = 3

// one reads one row into dest; it returns sql.ErrNoRows if there is none. On
// PostgreSQL it goes straight to the pool: database/sql and GORM between them
// cost twice what the statement does (make bench), and this is the way of every
// single read.
func (d *DB) one(ctx context.Context, dest []any, query string, args ...any) error {
	for attempt := 1; ; attempt++ {
		var err error
		switch {
		case d.pool == nil:
			err = d.read.WithContext(ctx).Raw(query, args...).Row().Scan(dest...)
		case d.closed.Load():
			return sql.ErrConnDone
		default:
			err = d.pool.QueryRow(ctx, numbered(query), args...).Scan(dest...)
		}
		if attempt == planAttempts || !stalePlan(err) {
			return err
		}
	}
}

// numbered writes the parameters of a query as PostgreSQL wants them, $1 for the
// first "?". No query of ours holds a question mark otherwise.
func numbered(query string) string {
	for n := 1; strings.Contains(query, "?"); n++ {
		query = strings.Replace(query, "?", "$"+strconv.Itoa(n), 1)
	}
	return query
}

// many reads rows, each with scan.
func many[T any](ctx context.Context, d *DB, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	for attempt := 1; ; attempt++ {
		all, err := collect(d.read.WithContext(ctx).Raw(query, args...), scan)
		if attempt == planAttempts || !stalePlan(err) {
			return all, err
		}
	}
}

func collect[T any](query *gorm.DB, scan func(*sql.Rows) (T, error)) (_ []T, err error) {
	rows, err := query.Rows()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}
