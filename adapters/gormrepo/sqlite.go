package gormrepo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/ncruces/go-sqlite3/driver"
	"github.com/ncruces/go-sqlite3/gormlite"
	"gorm.io/gorm"
)

// readers is how many connections read side by side. The one that writes is
// another: in WAL mode readers do not wait for it, nor it for them.
const readers = 4

// OpenSQLite opens the database file, and makes it and its folder if they are
// missing, for nobody's eyes but ours. Foreign keys are enforced; a commit
// outlives the process, and the machine up to the last checkpoint (WAL,
// synchronous NORMAL). log, which may be nil, is told of slow statements.
func OpenSQLite(ctx context.Context, path string, log *slog.Logger) (*DB, error) {
	file, err := prepare(path)
	if err != nil {
		return nil, fmt.Errorf("gormrepo: %w", err)
	}
	write, err := handle(file, 1, "_timefmt", "unixepoch_micro")
	if err != nil {
		return nil, fmt.Errorf("gormrepo: %w", err)
	}
	read, err := handle(file, readers, "_timefmt", "unixepoch_micro", "_pragma", "query_only(on)")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gormrepo: %w", err), write.Close())
	}
	// The writer last, which then folds the WAL into the file.
	d := &DB{lite: true, close: func() error { return errors.Join(read.Close(), write.Close()) }}
	d.write, err = openLite(write, log)
	if err == nil {
		d.read, err = openLite(read, log)
	}
	if err == nil {
		err = write.PingContext(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gormrepo: %w", err), d.Close())
	}
	return d, nil
}

// SQLiteMigrationHandle opens the same file for package migrations: goose keeps
// its times as text, where the repositories keep microseconds. The caller
// closes it.
func SQLiteMigrationHandle(path string) (*sql.DB, error) {
	file, err := prepare(path)
	if err != nil {
		return nil, fmt.Errorf("gormrepo: %w", err)
	}
	db, err := handle(file, 1)
	if err != nil {
		return nil, fmt.Errorf("gormrepo: %w", err)
	}
	return db, nil
}

// prepare makes the folder and the file, and returns the file's absolute path.
// The index of the WAL is made along, because the driver would make it for all
// to read; the WAL itself gets its mode by "modeof", see handle.
func prepare(path string) (string, error) {
	if path == "" || strings.ContainsRune(path, 0) {
		return "", errors.New("the path of the SQLite file is empty or holds a NUL")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	for _, name := range []string{path, path + "-shm"} {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return "", err
		}
		if err := f.Close(); err != nil {
			return "", err
		}
	}
	return path, nil
}

// handle opens up to conns connections to the file, with pairs of further
// parameters. The busy timeout comes first, for the pragmas after it may have
// to wait already. The files beside the database get its mode, which the SQLite
// of C does unasked and the driver does not.
func handle(file string, conns int, more ...string) (*sql.DB, error) {
	parameters := url.Values{
		"modeof":  {file},
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(5000)", "foreign_keys(on)", "journal_mode(wal)", "synchronous(normal)"},
	}
	for i := 0; i < len(more); i += 2 {
		parameters.Add(more[i], more[i+1])
	}
	db, err := driver.Open(dsn(file, parameters))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// dsn writes a path as a URI, in which '?', '#', '%' and spaces stand for
// themselves.
func dsn(file string, parameters url.Values) string {
	file = filepath.ToSlash(file)
	if !strings.HasPrefix(file, "/") { // a drive letter
		file = "/" + file
	}
	// To SQLite a plus is a plus.
	query := strings.ReplaceAll(parameters.Encode(), "+", "%20")
	return (&url.URL{Scheme: "file", Path: file, RawQuery: query}).String()
}

func openLite(handle *sql.DB, log *slog.Logger) (*gorm.DB, error) {
	return gorm.Open(causeKeeper{gormlite.OpenDB(handle)}, config(newLogger(log)))
}

// causeKeeper is a dialect whose translated errors still wrap the cause, which
// says what gormlite's leave out: whether a primary key or another one is taken.
type causeKeeper struct{ gorm.Dialector }

// Translate implements gorm.ErrorTranslator.
func (k causeKeeper) Translate(err error) error {
	t, ok := k.Dialector.(gorm.ErrorTranslator)
	if !ok {
		return err
	}
	if translated := t.Translate(err); !errors.Is(translated, err) {
		return fmt.Errorf("%w: %w", translated, err)
	}
	return err
}

// Handles are the pools of connections that the repositories have over SQLite, by
// the name that they are counted under; none over PostgreSQL, whose pool is the
// caller's.
func (d *DB) Handles() map[string]*sql.DB {
	if !d.lite {
		return nil
	}
	all := map[string]*sql.DB{}
	for name, g := range map[string]*gorm.DB{"sqlite_read": d.read, "sqlite_write": d.write} {
		if handle, err := g.DB(); err == nil {
			all[name] = handle
		}
	}
	return all
}
