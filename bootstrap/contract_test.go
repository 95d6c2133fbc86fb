package bootstrap_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/adapters/gormrepo"
	"gatehouse/adapters/httpapi/httptests"
	"gatehouse/bootstrap"
	"gatehouse/tests/detector"
	"gatehouse/tests/litetest"
	"gatehouse/tests/pgtest"
	"gatehouse/tests/redistest"
)

// TestHTTPOverSQLite and TestHTTPOverPostgres run the tables of the HTTP
// contract over the stores as they are wired here. Over memory they run beside
// the adapter.
func TestHTTPOverSQLite(t *testing.T) {
	runTables(t, func(t *testing.T) httptests.Stores {
		path := filepath.Join(t.TempDir(), "g.db")
		litetest.Migrated(t, path)
		return opened(t)(bootstrap.OpenStores(t.Context(), tables(t, "sqlite:"+path)))
	})
}

func TestHTTPOverPostgres(t *testing.T) {
	lender := pgtest.Lender{Open: func(ctx context.Context, url string) (*pgxpool.Pool, error) {
		return gormrepo.NewPool(ctx, url, gormrepo.PoolOptions{MaxConns: 10, StatementTimeout: time.Minute})
	}}
	runTables(t, func(t *testing.T) httptests.Stores {
		pool := lender.Pool(t)
		return opened(t)(bootstrap.OpenStoresOver(t.Context(), tables(t, pool.Config().ConnString()), pool))
	})
}

// TestHTTPOverRedis has everything in PostgreSQL but the sessions.
func TestHTTPOverRedis(t *testing.T) {
	detector.Skip(t)
	lender := pgtest.Lender{Open: func(ctx context.Context, url string) (*pgxpool.Pool, error) {
		return gormrepo.NewPool(ctx, url, gormrepo.PoolOptions{MaxConns: 10, StatementTimeout: time.Minute})
	}}
	httptests.RunSessions(t, func(t *testing.T) httptests.Stores {
		pool := lender.Pool(t)
		p := tables(t, pool.Config().ConnString(), "GATEHOUSE_SESSION_STORE="+redistest.Database(t))
		return opened(t)(bootstrap.OpenStoresOver(t.Context(), p, pool))
	})
}

// runTables runs all of the tables, and under the race detector those where many meet.
func runTables(t *testing.T, open httptests.Open) {
	if detector.On {
		httptests.RunRaces(t, open)
		return
	}
	httptests.Run(t, open)
}

// tables is a program for the tables.
func tables(t *testing.T, url string, environ ...string) bootstrap.Program {
	t.Helper()
	return bootstrap.Program{
		// The tables set the time of a request; PostgreSQL's own, which follows
		// from this one, is not to be met where fifty requests wait for a row.
		Config: configuration(t, append(environ, "GATEHOUSE_DATABASE_URL="+url, "GATEHOUSE_REQUEST_TIMEOUT=60s")...), Log: slog.New(slog.DiscardHandler),
	}
}

func opened(t *testing.T) func(httptests.Stores, func() error, error) httptests.Stores {
	return func(st httptests.Stores, closeAll func() error, err error) httptests.Stores {
		t.Helper()
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
