package gormrepo

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"gatehouse/adapters/batch"
)

// PoolOptions are the settings of a pool of connections; the zero value takes
// the defaults.
type PoolOptions struct {
	// MaxConns bounds the connections; by default it is pgxpool's, four or the
	// number of CPUs.
	MaxConns int32
	// StatementTimeout is when PostgreSQL itself ends a statement. It should be
	// a little less than the deadline of a request: a cancelled context costs
	// the connection, a timeout does not. By default it is
	// [DefaultStatementTimeout]; a negative one sets none.
	StatementTimeout time.Duration
	// Tracer is told of every statement.
	Tracer pgx.QueryTracer
}

// DefaultStatementTimeout is a little less than the two seconds of a request.
const DefaultStatementTimeout = 1800 * time.Millisecond

// connectTimeout bounds the making of a connection, name resolution and TLS
// included, so that a host which swallows packets is told from a busy one
// within the time of a request.
const connectTimeout = 1500 * time.Millisecond

// NewPool returns a pool for a PostgreSQL URL (or keyword/value string), which
// connects when a connection is first needed: it fails on a malformed URL, and
// never because the database is down. What the URL itself sets, it keeps.
func NewPool(ctx context.Context, url string, o PoolOptions) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil { // pgx leaves the password out of its text
		return nil, fmt.Errorf("gormrepo: the database URL: %w", err)
	}
	if o.MaxConns > 0 {
		c.MaxConns = o.MaxConns
	}
	if o.StatementTimeout == 0 {
		o.StatementTimeout = DefaultStatementTimeout
	}
	preset(c.ConnConfig, "application_name", "gatehouse")
	// Where the database has another default, statements that meet over a row
	// fail (40001) that would count both otherwise.
	preset(c.ConnConfig, "default_transaction_isolation", "read committed")
	if o.StatementTimeout > 0 {
		preset(c.ConnConfig, "statement_timeout", strconv.FormatInt(o.StatementTimeout.Milliseconds(), 10))
	}
	c.ConnConfig.ConnectTimeout = connectTimeout
	c.ConnConfig.Tracer = o.Tracer
	c.ShouldPing = doubtful
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("gormrepo: the pool: %w", err)
	}
	return pool, nil
}

// doubtful reports whether a connection has to be tried before it is used. pgx
// tries those that were idle for a second. After a restart of the server, or a
// failover, the others are dead too, and each would fail a request: those are
// looked at, which sends nothing, unless they were used a moment ago. A look
// costs a hundredth of what GET /me does.
func doubtful(_ context.Context, p pgxpool.ShouldPingParams) bool {
	return p.IdleDuration > time.Second || p.IdleDuration > moment && stirred(p.Conn.PgConn().Conn())
}

const moment = 10 * time.Millisecond

func preset(c *pgx.ConnConfig, parameter, value string) {
	if c.RuntimeParams[parameter] == "" {
		c.RuntimeParams[parameter] = value
	}
}

// OpenPostgres returns the repositories over a pool, without speaking to the
// database yet. The pool is shared: closing the DB leaves it open. log, which
// may be nil, is told of slow statements.
func OpenPostgres(pool *pgxpool.Pool, log *slog.Logger) (*DB, error) {
	handle := stdlib.OpenDBFromPool(pool)
	g, err := gorm.Open(postgres.New(postgres.Config{Conn: handle}), config(newLogger(log)))
	if err != nil {
		return nil, fmt.Errorf("gormrepo: %w", err)
	}
	places := make(chan struct{}, max(1, pool.Config().MaxConns/4))
	d := &DB{read: g, write: g, pool: pool, searches: places, near: near, close: handle.Close}
	d.versions = batch.New(batch.Ways, batch.Width, d.versionsWith)
	return d, nil
}
