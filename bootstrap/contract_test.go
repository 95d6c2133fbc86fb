package bootstrap_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"gatehouse/adapters/httpapi/httptests"
	"gatehouse/bootstrap"
	"gatehouse/tests/litetest"
	"gatehouse/tests/pgtest"
)

// TestHTTPOverSQLite and TestHTTPOverPostgres run the tables of the HTTP
// contract over the stores as they are wired here. Over memory they run beside
// the adapter.
func TestHTTPOverSQLite(t *testing.T) {
	httptests.Run(t, stores(func(t *testing.T) string {
		path := filepath.Join(t.TempDir(), "g.db")
		litetest.Migrated(t, path)
		return "sqlite:" + path
	}))
}

func TestHTTPOverPostgres(t *testing.T) {
	httptests.Run(t, stores(func(t *testing.T) string { return pgtest.Migrated(t) }))
}

// stores opens empty ones, in a database of each test's own.
func stores(url func(*testing.T) string) httptests.Open {
	return func(t *testing.T) httptests.Stores {
		t.Helper()
		st, closeAll, err := bootstrap.OpenStores(t.Context(), bootstrap.Program{
			// The tables set the time of a request; PostgreSQL's own, which follows
			// from this one, is not to be met where fifty requests wait for a row.
			Config: configuration(t, "GATEHOUSE_DATABASE_URL="+url(t), "GATEHOUSE_REQUEST_TIMEOUT=60s"), Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := closeAll(); err != nil {
				t.Errorf("closing: %v", err)
			}
		})
		return st
	}
}
