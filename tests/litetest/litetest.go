// Package litetest gives tests SQLite files that have our tables, as pgtest gives
// databases of PostgreSQL. Read [Migrated] first.
package litetest

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"gatehouse/adapters/gormrepo"
	"gatehouse/migrations"
)

// Migrated puts a new file with our tables at path. It is copied from a template,
// since making the tables takes longer than most tests.
func Migrated(t testing.TB, path string) {
	t.Helper()
	file, err := template()
	if err != nil {
		t.Fatalf("litetest: making the template: %v", err)
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatalf("litetest: %v", err)
	}
}

// Migrate makes our tables in the file at path, as a node does that starts: the
// file and its folder are made where there are none.
func Migrate(t testing.TB, path string) {
	t.Helper()
	if err := migrate(path); err != nil {
		t.Fatalf("litetest: %v", err)
	}
}

// template is the file with our tables, made once for each test binary.
var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "litetest-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "template.db")
	if err := migrate(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func migrate(path string) error {
	handle, err := gormrepo.SQLiteMigrationHandle(path)
	if err != nil {
		return err
	}
	m, err := migrations.NewSQLite(handle)
	if err == nil {
		_, err = m.Up(context.Background())
	}
	if closed := handle.Close(); err == nil { // which writes what is in the log into the file
		err = closed
	}
	return err
}
