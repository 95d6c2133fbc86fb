// Package gormrepo keeps all that is kept in PostgreSQL or in SQLite, by way of
// GORM; only the sessions are adapters/fiberstore's on PostgreSQL.
//
// Read [DB] first, then [Products], which is the fullest repository, and
// along.go, which keeps what goes along with a change. What the two databases do
// differently is in postgres.go and sqlite.go, in filter.go (searching), in
// errors.go, and where a statement takes locks, which SQLite has none of: its one
// writer is alone. All else is one text for both. The tables belong to package
// migrations.
//
// How things are done here: every statement names its columns, because SELECT *
// breaks on a node that still runs while the next release migrates. What is
// read is scanned by hand, which is about half the work of GORM's reflection;
// what is written goes through GORM's models, with maps, never with structs,
// whose zero fields it would pass over, but for changes of products, which are
// most of it: those are statements by hand. No transaction is open while the
// application's code runs: an update reads, lets the value be changed, and
// writes if the row is still what was read, or starts again.
package gormrepo

import (
	"context"
	"database/sql"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"gorm.io/gorm"

	"gatehouse/adapters/batch"
	"gatehouse/domain/product"
	"gatehouse/ports"
)

var _ ports.Health = (*DB)(nil)

// DB is an open database. Open one with [OpenPostgres] or [OpenSQLite].
type DB struct {
	read     *gorm.DB // where reads go; on PostgreSQL the same as write
	write    *gorm.DB
	pool     *pgxpool.Pool                        // what both stand on; nil on SQLite
	lite     bool                                 // it is SQLite
	searches chan struct{}                        // places, see searches.go; nil on SQLite
	versions *batch.Loader[product.ID, versioned] // see ahead.go; nil on SQLite
	near     int                                  // how many rows a search looks at before it goes by the index
	close    func() error
	closed   atomic.Bool
}

// Users returns the repository of users.
func (d *DB) Users() *Users { return &Users{d} }

// Products returns the repository of products.
func (d *DB) Products() *Products { return &Products{d} }

// Policies returns the repository of policies.
func (d *DB) Policies() *Policies { return &Policies{d} }

// Factors returns the repository of second factors.
func (d *DB) Factors() *Factors { return &Factors{d} }

// Ledger returns the audit log, to append to and to read.
func (d *DB) Ledger() *Ledger { return &Ledger{d} }

// Tickets returns the repository of tickets.
func (d *DB) Tickets() *Tickets { return &Tickets{d} }

// Answers returns the answers that are given again.
func (d *DB) Answers() *Answers { return &Answers{d} }

// Outbox returns the letters that are to be sent.
func (d *DB) Outbox() *Outbox { return &Outbox{d} }

// Events returns the events that subscribers are to be told of.
func (d *DB) Events() *Events { return &Events{d} }

// Limiter returns the counters of tries.
func (d *DB) Limiter() *Limiter { return &Limiter{d} }

// Keys returns the keeper of the shared key.
func (d *DB) Keys() *Keys { return &Keys{d} }

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
	return d.reading(ctx, query, func() error {
		switch {
		case d.pool == nil:
			return d.read.WithContext(ctx).Raw(query, args...).Row().Scan(dest...)
		case d.closed.Load():
			return sql.ErrConnDone
		}
		return d.pool.QueryRow(ctx, numbered(query), args...).Scan(dest...)
	})
}

// reading runs a statement, and once more if that is a read whose connection the
// server ended under it, as it does with all when it stops: what was idle goes with
// it, so that the second time is on a new one. Of a write nobody would know whether
// it was done.
func (d *DB) reading(ctx context.Context, query string, read func() error) error {
	err := withFreshPlan(read)
	if d.pool == nil || !strings.HasPrefix(query, "SELECT ") || !cut(err) || ctx.Err() != nil {
		return err
	}
	d.pool.Reset()
	return withFreshPlan(read)
}

// withFreshPlan does a read, and again where it fails for its stale plan.
func withFreshPlan(read func() error) error {
	for attempt := 1; ; attempt++ {
		if err := read(); attempt == planAttempts || !stalePlan(err) {
			return err
		}
	}
}

// numbered writes the parameters of a query as PostgreSQL wants them, $1 for the
// first "?". No query of ours holds a question mark otherwise.
func numbered(query string) string {
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		query = after
	}
}

// transact runs steps in one transaction. On PostgreSQL each statement sees what
// was committed before it, whatever the default of the database: one that comes
// after a lock must see what those did who held it before.
func (d *DB) transact(ctx context.Context, steps func(tx *gorm.DB) error) error {
	options := &sql.TxOptions{}
	if !d.lite {
		options.Isolation = sql.LevelReadCommitted
	}
	return d.write.WithContext(ctx).Transaction(steps, options)
}

// exec runs a statement and returns how many rows it has changed.
func (d *DB) exec(ctx context.Context, op, query string, args ...any) (int, error) {
	result := d.write.WithContext(ctx).Exec(query, args...)
	return int(result.RowsAffected), d.failed(op, result.Error, nil)
}

// straight runs a statement that writes, by itself and like [DB.one] straight
// from the pool, which is not nil, and returns how many rows it has changed. Once
// more if the connection was dead before anything was sent.
func (d *DB) straight(ctx context.Context, s statement) (int64, error) {
	if d.closed.Load() {
		return 0, sql.ErrConnDone
	}
	text := numbered(s.text)
	tag, err := d.pool.Exec(ctx, text, s.args...)
	if err != nil && pgconn.SafeToRetry(err) && !connecting(err) && ctx.Err() == nil {
		d.pool.Reset()
		tag, err = d.pool.Exec(ctx, text, s.args...)
	}
	return tag.RowsAffected(), err
}

// prune deletes up to limit rows of a table for which a condition on a time
// holds, in an order, and returns how many. Of nodes that prune side by side
// each takes others, and nobody waits: what somebody holds is passed over. The
// limit is part of the text: PostgreSQL plans for a parameter as if it were a
// tenth of the table. For an array it plans for ten.
func (d *DB) prune(ctx context.Context, table, key, where, order string, at any, limit int) (int, error) {
	if limit <= 0 {
		return 0, nil
	}
	rows := "SELECT " + key + " FROM " + table + " WHERE " + where + " ORDER BY " + order + " LIMIT " + strconv.Itoa(limit)
	in := "IN (" + rows + ")"
	if !d.lite {
		in = "= ANY (ARRAY(" + rows + " FOR UPDATE SKIP LOCKED))"
	}
	return d.exec(ctx, "prune "+table, "DELETE FROM "+table+" WHERE "+key+" "+in, at)
}

// scanner is the row that is being read.
type scanner interface{ Scan(dest ...any) error }

// many reads rows, each with scan, and like [DB.one] straight from the pool on
// PostgreSQL, unless GORM has to write out a list.
func many[T any](ctx context.Context, d *DB, scan func(scanner) (T, error), query string, args ...any) (all []T, err error) {
	err = d.reading(ctx, query, func() error {
		switch {
		case d.pool == nil || slices.ContainsFunc(args, isList):
			all, err = collect(d.read.WithContext(ctx).Raw(query, args...), scan)
			return err
		case d.closed.Load():
			return sql.ErrConnDone
		}
		rows, err := d.pool.Query(ctx, numbered(query), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		all, err = scanAll(rows, scan)
		return err
	})
	return all, err
}

func isList(arg any) bool {
	v := reflect.ValueOf(arg)
	return v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8
}

func collect[T any](query *gorm.DB, scan func(scanner) (T, error)) (_ []T, err error) {
	rows, err := query.Rows()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	return scanAll(rows, scan)
}

func scanAll[T any](rows interface {
	scanner
	Next() bool
	Err() error
}, scan func(scanner) (T, error)) (all []T, err error) {
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}
