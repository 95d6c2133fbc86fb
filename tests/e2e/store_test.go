package e2e_test

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"gatehouse/adapters/gormrepo"
	"gatehouse/tests/pgtest"
)

// store is a database behind the back of those who serve from it: to look at,
// and to do what an attacker who holds it would do.
type store struct {
	world *world
	url   string // as the setting has it
	lite  bool
	db    *sql.DB
}

// stores are empty databases of each kind that keeps anything.
func stores() map[string]func(*world) *store {
	return map[string]func(*world) *store{"postgres": (*world).postgres, "sqlite": (*world).sqlite}
}

func eachStore(t *testing.T, test func(*testing.T, *world, *store)) {
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // much of it is waiting
			w := newWorld(t)
			test(t, w, open(w))
		})
	}
}

func (w *world) postgres() *store {
	w.Helper()
	s := &store{world: w, url: pgtest.Database(w.T)}
	var err error
	if s.db, err = sql.Open("pgx", s.url); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = s.db.Close() })
	return s
}

func (w *world) sqlite() *store {
	w.Helper()
	path := w.dir + "/kept.db"
	s := &store{world: w, url: "sqlite:" + path, lite: true}
	var err error
	if s.db, err = gormrepo.SQLiteMigrationHandle(path); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = s.db.Close() })
	return s
}

// setting points a node to the store.
func (s *store) setting() string { return "GATEHOUSE_DATABASE_URL=" + s.url }

// serve starts nodes over the store: two, or one where it is a file.
func (s *store) serve(environ ...string) []*process {
	s.world.Helper()
	environ = append([]string{s.setting()}, environ...)
	nodes := []*process{s.world.serve(environ...)}
	if !s.lite {
		nodes = append(nodes, s.world.serve(environ...))
	}
	return nodes
}

// number is what a statement that gives one number gives.
func (s *store) number(query string, args ...any) (n int) {
	s.world.Helper()
	if err := s.db.QueryRow(query, args...).Scan(&n); err != nil {
		s.world.Fatalf("%s: %v", query, err)
	}
	return n
}

// exec carries out statements.
func (s *store) exec(statements ...string) {
	s.world.Helper()
	for _, statement := range statements {
		if _, err := s.db.Exec(statement); err != nil {
			s.world.Fatalf("%s: %v", statement, err)
		}
	}
}

// mailIsDue has all letters be due at once, as if time had passed: after a
// pause, or after the lease of a node that died.
func (s *store) mailIsDue() {
	s.world.Helper()
	if s.lite {
		s.exec(`UPDATE outbox SET due_at = due_at - 3600000000`)
	} else {
		s.exec(`UPDATE outbox SET due_at = due_at - interval '1 hour'`)
	}
}

// noMailWaits returns when the outbox is empty.
func (s *store) noMailWaits() {
	s.world.Helper()
	s.world.until("the outbox is empty", func() bool { return s.number(`SELECT count(*) FROM outbox`) == 0 })
}

// until returns when ok does. It measures nothing.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.mu.Lock()
			defer w.mu.Unlock()
			var said strings.Builder
			for _, o := range w.said {
				said.WriteString(o.String() + "\n")
			}
			w.Fatalf("waited in vain until %s\n%s", what, said.String())
		}
	}
}
