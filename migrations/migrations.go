// Package migrations owns the shape of the database: the SQL under postgres/
// and sqlite/, one file for each step up and its way back, is the only DDL in
// the tree, and a [Migrator] applies it.
//
// A step that has been released is never edited: databases that have applied
// it would not notice. Steps are written so that the release before still runs
// over them (first expand, contract a release later), because nodes are
// upgraded one after the other.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// Waiting for the migrations of another node: how often to look and how many
// times, in seconds. Five minutes is goose's own patience; it would look every
// five seconds only, which a node that starts can do without.
const (
	lockPeriod   = 1
	lockAttempts = 300
)

// sqliteAttempts is how often steps are tried over SQLite, which has no lock
// for it: a process that comes second fails on what the first has just made.
const sqliteAttempts = 5

// Migrator brings one database to the shape that this program expects.
type Migrator struct {
	db       *sql.DB
	provider *goose.Provider
	exists   string // query: is there a table of applied steps?
	attempts int
}

// NewPostgres returns a migrator over PostgreSQL. Of nodes that migrate at
// once, one applies the steps under an advisory lock, and the others wait. The
// database is not spoken to yet.
func NewPostgres(db *sql.DB) (*Migrator, error) {
	locker, err := lock.NewPostgresSessionLocker(
		lock.WithLockTimeout(lockPeriod, lockAttempts),
		lock.WithUnlockTimeout(lockPeriod, lockAttempts),
	)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	m, err := open(goose.DialectPostgres, db, "postgres", goose.WithSessionLocker(locker))
	if err != nil {
		return nil, err
	}
	m.exists = "SELECT to_regclass('" + goose.DefaultTablename + "') IS NOT NULL"
	return m, nil
}

// NewSQLite returns a migrator over SQLite. The handle must keep goose's times
// as text, see gormrepo.SQLiteMigrationHandle.
func NewSQLite(db *sql.DB) (*Migrator, error) {
	m, err := open(goose.DialectSQLite3, db, "sqlite")
	if err != nil {
		return nil, err
	}
	m.exists = "SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = '" + goose.DefaultTablename + "'"
	m.attempts = sqliteAttempts
	return m, nil
}

func open(dialect goose.Dialect, db *sql.DB, folder string, options ...goose.ProviderOption) (*Migrator, error) {
	steps, err := fs.Sub(files, folder)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	options = append(options, goose.WithDisableGlobalRegistry(true))
	p, err := goose.NewProvider(dialect, db, steps, options...)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	return &Migrator{db: db, provider: p, attempts: 1}, nil
}

// Up applies the steps that are missing, each in a transaction of its own, and
// returns their names in order. If one fails, those before it stay applied.
func (m *Migrator) Up(ctx context.Context) ([]string, error) {
	var applied []string
	for attempt := 1; ; attempt++ {
		done, err := m.provider.Up(ctx)
		if partial, ok := errors.AsType[*goose.PartialError](err); ok {
			done = partial.Applied
		}
		for _, step := range done {
			applied = append(applied, path.Base(step.Source.Path))
		}
		if err == nil {
			return applied, nil
		}
		if attempt >= m.attempts || ctx.Err() != nil {
			return applied, fmt.Errorf("migrations: up: %w", err)
		}
	}
}

// Down takes the latest step back, with the data that only it holds. It does
// nothing if no step is applied.
func (m *Migrator) Down(ctx context.Context) error {
	_, err := m.provider.Down(ctx)
	if err != nil && !errors.Is(err, goose.ErrNoNextVersion) {
		return fmt.Errorf("migrations: down: %w", err)
	}
	return nil
}

// State is what became of one step.
type State struct {
	Name      string
	Applied   bool
	AppliedAt time.Time // zero if it is not applied
}

// Status returns the state of every step, in order.
func (m *Migrator) Status(ctx context.Context) ([]State, error) {
	all, err := m.provider.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrations: status: %w", err)
	}
	states := make([]State, len(all))
	for i, s := range all {
		states[i] = State{Name: path.Base(s.Source.Path), Applied: s.State == goose.StateApplied, AppliedAt: s.AppliedAt}
	}
	return states, nil
}

// Pending reports whether steps are missing. It only reads, and many may ask
// at once: goose's own question makes its table where there is none, and holds
// a mutex while it waits for the database, so that probes would queue behind
// one that hangs.
func (m *Migrator) Pending(ctx context.Context) (bool, error) {
	var exists bool
	if err := m.db.QueryRowContext(ctx, m.exists).Scan(&exists); err != nil {
		return false, fmt.Errorf("migrations: pending: %w", err)
	}
	if !exists {
		return true, nil
	}
	applied, err := m.applied(ctx)
	if err != nil {
		return false, fmt.Errorf("migrations: pending: %w", err)
	}
	for _, step := range m.provider.ListSources() {
		if !applied[step.Version] {
			return true, nil
		}
	}
	return false, nil
}

// applied returns the versions of the steps that are applied.
func (m *Migrator) applied(ctx context.Context) (map[int64]bool, error) {
	rows, err := m.db.QueryContext(ctx, "SELECT version_id FROM "+goose.DefaultTablename)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	applied := map[int64]bool{}
	for rows.Next() {
		var version int64
		if err := rows.Scan(&version); err != nil {
			return nil, err
		}
		applied[version] = true
	}
	return applied, rows.Err()
}
