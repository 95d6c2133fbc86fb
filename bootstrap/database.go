package bootstrap

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"gatehouse/adapters/fiberstore"
	"gatehouse/adapters/gormrepo"
	"gatehouse/adapters/memory"
	"gatehouse/configs"
	"gatehouse/migrations"
	"gatehouse/ports"
)

// database is whatever keeps the data, opened.
type database struct {
	config   configs.Database
	pool     *pgxpool.Pool        // of PostgreSQL
	orm      *gormrepo.DB         // of PostgreSQL and SQLite
	memory   *memory.DB           // of memory
	migrator *migrations.Migrator // nil over memory
	closers  []func() error       // in the order of opening
}

// stores are the ports over a database.
type stores struct {
	users     ports.UserRepository
	sessions  ports.SessionRepository
	directory ports.SessionDirectory
	products  ports.ProductRepository
	policies  policyStore
	roles     ports.RoleDirectory
	census    ports.Census
	factors   ports.FactorRepository
	tickets   ports.TicketRepository
	ledger    ledger
	answers   ports.IdempotencyRepository
	outbox    ports.Outbox
	events    ports.EventQueue
	limiter   ports.Limiter
	keys      ports.KeyKeeper
	health    map[string]ports.Health
	owners    fiberstore.Owners // of sessions that are kept elsewhere
}

// ledger is both sides of the audit log.
type ledger interface {
	ports.Ledger
	ports.AuditLog
}

// policyStore is both sides of the policy.
type policyStore interface {
	ports.PolicyRepository
	ports.PolicyHistory
}

// openDatabase opens what the configuration names. Nothing is read or written
// in it yet.
func openDatabase(ctx context.Context, p Program) (*database, error) {
	d := &database{config: p.Config.Database}
	var err error
	switch d.config.Kind {
	case configs.Postgres:
		err = d.openPostgres(ctx, p)
	case configs.SQLite:
		err = d.openSQLite(ctx, p)
	default:
		d.memory = memory.New()
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *database) onClose(f func() error) { d.closers = append(d.closers, f) }

// close closes everything in reverse.
func (d *database) close() error {
	var errs []error
	for _, f := range slices.Backward(d.closers) {
		errs = append(errs, f())
	}
	d.closers = nil
	return errors.Join(errs...)
}

// statementShare is the part of a request's time that a single statement may
// take: PostgreSQL should give up just before we do, since giving up first
// costs us the connection.
const statementShare = 0.9

func (d *database) openPostgres(ctx context.Context, p Program) error {
	if err := d.reach(ctx, p); err != nil {
		return err
	}
	var err error
	d.pool, err = gormrepo.NewPool(ctx, d.config.URL, gormrepo.PoolOptions{
		MaxConns:         poolSize(p.Config),
		StatementTimeout: time.Duration(statementShare * float64(p.Config.RequestTimeout)),
		Tracer:           p.statements(),
	})
	if err != nil {
		return d.unusable(err)
	}
	d.onClose(func() error { d.pool.Close(); return nil })
	handle := stdlib.OpenDBFromPool(d.pool)
	d.onClose(handle.Close)
	if d.migrator, err = migrations.NewPostgres(handle); err != nil {
		return err
	}
	if d.orm, err = gormrepo.OpenPostgres(d.pool, p.Log); err != nil {
		return d.unusable(err)
	}
	d.onClose(d.orm.Close)
	return nil
}

// poolSize leaves a connection to the session cache, which listens on it.
func poolSize(c configs.Config) int32 {
	if c.SessionCache.Bound > 0 && c.SessionCache.Listen == "" {
		return int32(c.Database.MaxConnections - 1)
	}
	return int32(c.Database.MaxConnections)
}

// reach waits until PostgreSQL answers: containers that start together do not
// start in order. What waiting cannot mend is told at once.
func (d *database) reach(asked context.Context, p Program) error {
	ctx, cancel := context.WithTimeout(asked, p.Patience)
	defer cancel()
	for attempt := 0; ; attempt++ {
		err := d.try(ctx)
		if err == nil {
			return nil
		}
		if asked.Err() != nil {
			return errors.New("told to stop before the database answered")
		}
		if hopeless(err) || !wait(ctx, 300*time.Millisecond) {
			return d.unusable(err)
		}
		if attempt == 0 {
			p.Log.Warn("PostgreSQL does not answer yet; trying on", "database", d.config, "for", p.Patience.String(), "error", oneLine(err))
		}
	}
}

func (d *database) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, d.config.URL)
	if err != nil {
		return err
	}
	return errors.Join(c.Ping(ctx), c.Close(ctx))
}

// hopeless reports whether PostgreSQL answered that it will not have us, or
// the URL cannot be understood. SQLSTATE: class 28 is a wrong name or password,
// 3D000 a database that does not exist.
func hopeless(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return strings.HasPrefix(pg.Code, "28") || pg.Code == "3D000"
	}
	_, unread := errors.AsType[*pgconn.ParseConfigError](err)
	return unread
}

// unusable tells an operator what to do about a database that cannot be used.
func (d *database) unusable(err error) error {
	advice := "is it running, and is the address right? GATEHOUSE_DATABASE_URL says where it is"
	switch pg, answered := errors.AsType[*pgconn.PgError](err); {
	case answered && pg.Code == "3D000":
		advice = "create the database first: createdb NAME"
	case answered && strings.HasPrefix(pg.Code, "28"):
		advice = "check the name and the password in GATEHOUSE_DATABASE_URL"
	case hopeless(err):
		advice = "GATEHOUSE_DATABASE_URL is written postgres://user:password@host:5432/name"
	case d.config.Kind == configs.SQLite:
		advice = "the file and its folder must be writable for this user; GATEHOUSE_DATABASE_URL=sqlite:PATH names another"
	}
	return fmt.Errorf("the database %s cannot be used: %w; %s", d.config, flat{err}, advice)
}

// flat is an error whose text is one line: pgx tells each address that it tried
// on a line of its own.
type flat struct{ error }

func (f flat) Error() string { return oneLine(f.error) }
func (f flat) Unwrap() error { return f.error }

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func (d *database) openSQLite(ctx context.Context, p Program) error {
	handle, err := gormrepo.SQLiteMigrationHandle(d.config.Path)
	if err != nil {
		return d.unusable(err)
	}
	d.onClose(handle.Close)
	if d.migrator, err = migrations.NewSQLite(handle); err != nil {
		return err
	}
	if d.orm, err = gormrepo.OpenSQLite(ctx, d.config.Path, p.Log); err != nil {
		return d.unusable(err)
	}
	d.onClose(d.orm.Close)
	if p.tracer != nil {
		d.orm.Watch(p.tracer.SQLite)
	}
	return nil
}

// prepare brings the schema up to date, or refuses one that is not.
func (d *database) prepare(ctx context.Context, p Program, s schema) error {
	if d.migrator == nil {
		return nil
	}
	if s == bringUp && p.Config.Migrate {
		return d.migrateUp(ctx, p.Log)
	}
	return d.upToDate(ctx)
}

// errPending is told where the schema is not ours to change.
var errPending = errors.New("the database is not up to date: run \"gatehouse migrate up\" first")

// upToDate returns nil if every migration has been applied.
func (d *database) upToDate(ctx context.Context) error {
	pending, err := d.migrator.Pending(ctx)
	if err == nil && pending {
		return errPending
	}
	return err
}

func (d *database) migrateUp(ctx context.Context, log *slog.Logger) error {
	var applied []string
	err := d.migrating(func(m *migrations.Migrator) (err error) {
		applied, err = m.Up(ctx)
		return err
	})
	for _, name := range applied {
		log.Info("migration applied", "name", name)
	}
	return err
}

// migrating hands out a migrator that may take its time: a step over a large
// table runs longer than any statement of a request may.
func (d *database) migrating(use func(*migrations.Migrator) error) error {
	if d.config.Kind != configs.Postgres {
		return use(d.migrator)
	}
	handle, err := sql.Open("pgx", d.config.URL)
	if err != nil {
		return d.unusable(err)
	}
	defer handle.Close()
	m, err := migrations.NewPostgres(handle)
	if err != nil {
		return err
	}
	return use(m)
}

// stores opens the ports over a database that is up to date, and over the Redis
// that keeps the sessions, if there is one.
func (d *database) stores(ctx context.Context, p Program) (stores, error) {
	s, err := d.own(ctx, p)
	if err != nil || len(p.Config.SessionStore.Addrs) == 0 {
		return s, err
	}
	kept, err := d.openRedis(ctx, p, s.owners)
	if err != nil {
		return stores{}, err
	}
	d.onClose(kept.Close)
	s.users, s.sessions, s.directory = kept.Users(s.users), kept, kept
	s.health = maps.Clone(s.health)
	s.health["sessions"] = kept
	return s, nil
}

// openRedis waits for Redis as reach does for PostgreSQL.
func (d *database) openRedis(asked context.Context, p Program, owners fiberstore.Owners) (*fiberstore.RedisSessions, error) {
	c := p.Config.SessionStore
	o := fiberstore.RedisOptions{
		Addrs: c.Addrs, Cluster: c.Cluster, Database: c.Database, Username: c.Username, Password: c.Password, Conns: c.MaxConnections,
		Timeout: time.Duration(statementShare * float64(p.Config.RequestTimeout)), Log: p.Log,
	}
	if c.TLS {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	ctx, cancel := context.WithTimeout(asked, p.Patience)
	defer cancel()
	for attempt := 0; ; attempt++ {
		kept, err := fiberstore.OpenRedis(ctx, o, owners)
		if err == nil {
			return kept, nil
		}
		if asked.Err() != nil {
			return nil, errors.New("told to stop before Redis answered")
		}
		if refused(err) || !wait(ctx, 300*time.Millisecond) {
			return nil, fmt.Errorf("the session store %s cannot be used: %w; is it running, and are address, name and password right? GATEHOUSE_SESSION_STORE says where it is", c, flat{err})
		}
		if attempt == 0 {
			p.Log.Warn("Redis does not answer yet; trying on", "session_store", c, "for", p.Patience.String(), "error", oneLine(err))
		}
	}
}

// refused reports whether Redis answered that it will not have us.
func refused(err error) bool {
	return slices.ContainsFunc([]string{"NOAUTH", "WRONGPASS", "NOPERM", "invalid password", "DB index is out of range"}, func(s string) bool {
		return strings.Contains(err.Error(), s)
	})
}

// own opens the ports over the database.
func (d *database) own(ctx context.Context, p Program) (stores, error) {
	if m := d.memory; m != nil {
		return stores{
			users: m.Users(), sessions: m.Sessions(), directory: m.Sessions(), products: m.Products(), policies: m.Policies(), roles: m.Users(), census: m.Products(),
			factors: m.Factors(), tickets: m.Tickets(), ledger: m.Ledger(), answers: m.Answers(), outbox: m.Outbox(), events: m.Events(), limiter: m.Limiter(), keys: m.Keys(),
			health: map[string]ports.Health{"database": m}, owners: m.Users(),
		}, nil
	}
	o := d.orm
	s := stores{
		users: o.Users(), products: o.Products(), policies: o.Policies(), roles: o.Users(), census: o.Products(),
		factors: o.Factors(), tickets: o.Tickets(), ledger: o.Ledger(), answers: o.Answers(), outbox: o.Outbox(), events: o.Events(), limiter: o.Limiter(), keys: o.Keys(),
		health: map[string]ports.Health{"database": o}, owners: o.Users(),
	}
	if len(p.Config.SessionStore.Addrs) > 0 {
		return s, nil
	}
	if d.config.Kind == configs.SQLite {
		s.sessions, s.directory = o.Sessions(), o.Sessions()
		return s, nil
	}
	kept, err := fiberstore.OpenPostgres(ctx, d.pool, gormrepo.ProductAhead{})
	if err != nil {
		return stores{}, d.unusable(err)
	}
	s.sessions, s.directory = kept, kept
	s.health["sessions"] = kept
	return s, nil
}
