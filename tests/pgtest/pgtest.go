// Package pgtest gives tests a real PostgreSQL: [Database] an empty database,
// [Migrated] one with our tables, and a [Lender] one that other tests had
// before, all on a server that a test binary shares, and [New] a server of a test's own, to be stopped, killed and frozen.
//
// A package that uses the first three ends the shared server in its TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// The server is the one that TEST_DATABASE_URL names, where databases are made
// and dropped, or else a throw-away cluster out of the binaries of this
// machine, see [Launch]. Where there are none, tests are skipped with the
// reason, and fail where CI=true. Nothing is left behind: a cluster ends with
// the process that started it, even if that is killed, and what such a process
// could not delete is deleted by the next one.
package pgtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx" of the migrations

	"gatehouse/migrations"
)

// URLVariable names the environment variable with the URL of a server to use.
const URLVariable = "TEST_DATABASE_URL"

// patience is how long a statement of this package may take.
const patience = 30 * time.Second

// shared is the server of this test binary, started by who needs it first.
var shared struct {
	mu       sync.Mutex
	err      error
	server   *Server // nil where TEST_DATABASE_URL names one
	admin    string  // URL of a database from which others are made
	template string  // name of the database with our tables, once it is made
	releases []func() error
}

// onRelease has f called when the tests have run, before the server stops.
func onRelease(f func() error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.releases = append(shared.releases, f)
}

// Main runs the tests and stops the shared server, whatever becomes of them.
func Main(m *testing.M) int {
	defer release()
	return m.Run()
}

// Database returns the URL of a new, empty database, which is dropped when the
// test ends.
func Database(t testing.TB) string {
	t.Helper()
	return create(t, admin(t), "")
}

// Migrated returns the URL of a new database with our tables, which is dropped
// when the test ends. It is copied from a template, so it costs no more than
// [Database].
func Migrated(t testing.TB) string {
	t.Helper()
	from := admin(t)
	name, err := template(from)
	if err != nil {
		t.Fatalf("pgtest: making the template: %v", err)
	}
	return create(t, from, name)
}

// New returns a server of the test's own, which ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s, err := Launch(t.Context())
	if err != nil {
		missing(t, err)
	}
	t.Cleanup(s.Close)
	return s
}

// missing ends a test that cannot have PostgreSQL: skipped where somebody
// develops, failed where everything must be tested.
func missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("pgtest: %v", err)
	}
	t.Skipf("pgtest: %v", err)
}

// admin returns the URL of the database from which others are made.
func admin(t testing.TB) string {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.admin == "" && shared.err == nil {
		if given := os.Getenv(URLVariable); given != "" {
			shared.admin = given
		} else if shared.server, shared.err = Launch(context.Background()); shared.err == nil {
			shared.admin = shared.server.URL("postgres")
		}
	}
	if shared.err != nil {
		missing(t, shared.err)
	}
	return shared.admin
}

// template makes the database with our tables, once for each test binary.
func template(admin string) (string, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.template != "" {
		return shared.template, nil
	}
	name := unique("template")
	if err := copied(admin, name, "template1"); err != nil {
		return "", err
	}
	if err := migrate(within(admin, name)); err != nil {
		return "", errors.Join(err, dropped(admin, name))
	}
	shared.template = name
	return name, nil
}

func migrate(url string) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer db.Close()
	m, err := migrations.NewPostgres(db)
	if err != nil {
		return err
	}
	_, err = m.Up(context.Background())
	return err
}

// release ends the shared server, or takes back what was made in a given one.
func release() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	for _, f := range shared.releases {
		if err := f(); err != nil {
			fmt.Fprintf(os.Stderr, "pgtest: %v\n", err)
		}
	}
	if shared.server != nil {
		shared.server.Close()
	} else if shared.template != "" {
		if err := dropped(shared.admin, shared.template); err != nil {
			fmt.Fprintf(os.Stderr, "pgtest: %v\n", err)
		}
	}
}

// create makes a database, out of the template if one is named.
func create(t testing.TB, admin, template string) string {
	t.Helper()
	name := unique("test")
	if err := copied(admin, name, cmp.Or(template, "template1")); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := dropped(admin, name); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return within(admin, name)
}

// copied makes a database out of a template. Its files are copied as they are:
// PostgreSQL 15 and later have every page go through the log unless they are
// told, which costs twice as much.
func copied(admin, name, template string) error {
	return administer(admin, func(ctx context.Context, c *pgx.Conn) error {
		statement := "CREATE DATABASE " + name + " TEMPLATE " + template
		if major, _, _ := strings.Cut(c.PgConn().ParameterStatus("server_version"), "."); len(major) == 2 && major >= "15" {
			statement += " STRATEGY FILE_COPY"
		}
		_, err := c.Exec(ctx, statement)
		return err
	})
}

func dropped(admin, name string) error {
	return administer(admin, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		return err
	})
}

// administration is the connection by which databases are made and dropped.
var administration struct {
	mu   sync.Mutex
	url  string
	conn *pgx.Conn
}

// administer uses the connection, which is begun anew where it broke.
func administer(url string, use func(context.Context, *pgx.Conn) error) error {
	a := &administration
	a.mu.Lock()
	defer a.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if a.conn != nil && (a.url != url || a.conn.IsClosed()) {
		_ = a.conn.Close(ctx) // it is of no use any more
		a.conn = nil
	}
	if a.conn == nil {
		c, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		a.url, a.conn = url, c
	}
	return use(ctx, a.conn)
}

// unique makes a name that no other binary on the same server makes.
func unique(kind string) string {
	return "gatehouse_" + kind + "_" + strings.ToLower(rand.Text())
}

// within is the URL of another database of the same server.
func within(admin, database string) string {
	u, err := url.Parse(admin)
	if err != nil {
		return admin // and the connection will tell
	}
	u.Path = "/" + database
	return u.String()
}

func execute(url, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, statement)
	return err
}
