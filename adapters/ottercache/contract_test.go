package ottercache

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/adapters/fiberstore"
	"gatehouse/adapters/gormrepo"
	"gatehouse/adapters/memory"
	"gatehouse/domain/session"
	"gatehouse/ports"
	"gatehouse/ports/portstest"
	"gatehouse/tests/litetest"
	"gatehouse/tests/pgtest"
)

// The tests are inside the package: those of promises_test.go break it on purpose.

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// stores are those that there are sessions in.
var stores = map[string]func(t *testing.T) (portstest.SessionStores, PolicyStore){
	"memory": func(*testing.T) (portstest.SessionStores, PolicyStore) {
		db := memory.New()
		return portstest.SessionStores{Users: db.Users(), Sessions: db.Sessions(), Directory: db.Sessions()}, db.Policies()
	},
	"sqlite": func(t *testing.T) (portstest.SessionStores, PolicyStore) {
		path := filepath.Join(t.TempDir(), "test.db")
		litetest.Migrated(t, path)
		db, err := gormrepo.OpenSQLite(t.Context(), path, nil)
		must(t, err)
		t.Cleanup(func() { must(t, db.Close()) })
		return portstest.SessionStores{Users: db.Users(), Sessions: db.Sessions(), Directory: db.Sessions()}, db.Policies()
	},
	"postgres": func(t *testing.T) (portstest.SessionStores, PolicyStore) {
		s, p, _ := openPostgres(t)
		return s, p
	},
}

func openPostgres(t *testing.T) (portstest.SessionStores, PolicyStore, string) {
	t.Helper()
	url := pgtest.Migrated(t)
	pool, err := gormrepo.NewPool(t.Context(), url, gormrepo.PoolOptions{MaxConns: 8, StatementTimeout: time.Minute})
	must(t, err)
	t.Cleanup(pool.Close)
	db, err := gormrepo.OpenPostgres(pool, nil)
	must(t, err)
	kept, err := fiberstore.OpenPostgres(t.Context(), pool, nil)
	must(t, err)
	return portstest.SessionStores{Users: db.Users(), Sessions: kept, Directory: kept}, db.Policies(), url
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// content is a store whose callers are all content with what was so a moment ago.
type content struct{ ports.SessionRepository }

func (s content) Resume(ctx context.Context, k session.Key) (session.Resumed, error) {
	return s.SessionRepository.Resume(ports.AllowStale(ctx), k)
}

// within is a time at which the sessions of the suites are good.
var within = time.Date(2026, 11, 24, 12, 10, 0, 0, time.UTC)

// TestContract holds each store with a cache over it, from which everything is
// answered that can be, to what the store itself promises: what goes through one
// node is never seen as it was before.
func TestContract(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			var hits uint64
			cached := func(t *testing.T) portstest.SessionStores {
				s, p := open(t)
				c, err := New(Config{Bound: time.Hour, Now: func() time.Time { return within }})
				must(t, err)
				t.Cleanup(func() { hits += c.Stats().Hits; must(t, c.Close()) })
				at := c.clock()
				c.alive.Store(&at)
				return portstest.SessionStores{
					Users: c.Users(s.Users), Sessions: content{c.Sessions(s.Sessions)}, Directory: c.Directory(s.Directory), Policies: c.Policies(p),
				}
			}
			t.Run("sessions", func(t *testing.T) { portstest.Sessions(t, cached) })
			if name != "postgres" { // what of it goes through the cache is the same, and a database for each check takes long
				t.Run("directory", func(t *testing.T) { portstest.SessionDirectory(t, cached) })
			}
			if hits == 0 {
				t.Error("nothing was answered from the cache: this shows nothing")
			}
		})
	}
}
