package migrations_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/ncruces/go-sqlite3/driver"

	"gatehouse/migrations"
	"gatehouse/tests/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// steps are the names of all steps, the same over both databases.
var steps = []string{
	"0001_users.sql", "0002_products.sql", "0003_policies.sql", "0004_user_sessions.sql", "0005_past_sessions.sql",
	"0006_audit_log.sql", "0007_mail.sql", "0008_second_factors.sql", "0009_throttles.sql", "0010_server_keys.sql", "0011_policy_versions.sql",
	"0012_product_grants.sql", "0013_idempotency_keys.sql", "0014_product_events.sql", "0015_search_index.sql",
	"0016_administration.sql", "0017_session_cache.sql", "0018_shared_products.sql",
}

// tables are the tables that are the same over both databases; only the
// sessions are kept in different shapes.
var tables = []string{
	"users", "products", "policies", "role_inherits", "policy_state", "policy_versions",
	"audit_log", "audit_heads", "tickets", "outbox", "second_factors", "throttles", "server_keys", "product_grants", "idempotency_keys", "product_events",
}

// each runs a test over both databases, both of them empty.
func each(t *testing.T, test func(t *testing.T, db *sql.DB, m *migrations.Migrator)) {
	t.Run("postgres", func(t *testing.T) {
		db := open(t, "pgx", pgtest.Database(t))
		m, err := migrations.NewPostgres(db)
		if err != nil {
			t.Fatal(err)
		}
		test(t, db, m)
	})
	t.Run("sqlite", func(t *testing.T) {
		db := open(t, "sqlite3", "file:"+filepath.Join(t.TempDir(), "test.db"))
		m, err := migrations.NewSQLite(db)
		if err != nil {
			t.Fatal(err)
		}
		test(t, db, m)
	})
}

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestUpDownUp(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, m *migrations.Migrator) {
		wantPending(t, m, true)
		wantUp(t, m, steps)
		wantPending(t, m, false)
		wantUp(t, m, nil)

		for i := len(steps); i > 0; i-- {
			if err := m.Down(t.Context()); err != nil {
				t.Fatalf("Down from step %d = %v", i, err)
			}
			wantPending(t, m, true)
			wantStates(t, m, i-1)
		}
		if err := m.Down(t.Context()); err != nil {
			t.Fatalf("Down from nothing = %v, want nil", err)
		}
		for _, table := range append([]string{"user_sessions", "past_sessions"}, tables...) {
			if _, err := db.ExecContext(t.Context(), "SELECT * FROM "+table); err == nil {
				t.Errorf("the table %s is still there after all steps down", table)
			}
		}

		wantUp(t, m, steps)
		wantStates(t, m, len(steps))
		var version int64
		if err := db.QueryRowContext(t.Context(), "SELECT version FROM policy_state").Scan(&version); err != nil || version != 0 {
			t.Errorf("the version of the policy is %d, %v, want 0", version, err)
		}
	})
}

// A role that may install nothing applies every step.
func TestWithoutExtensions(t *testing.T) {
	given := pgtest.Database(t)
	owner := open(t, "pgx", given)
	role := "gatehouse_" + strings.ToLower(rand.Text())
	for _, statement := range []string{
		"CREATE ROLE " + role + " LOGIN PASSWORD 'plain'", "GRANT ALL ON SCHEMA public TO " + role,
	} {
		if _, err := owner.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { // what it owns first
		for _, statement := range []string{"DROP OWNED BY " + role, "DROP ROLE " + role} {
			if _, err := owner.ExecContext(context.Background(), statement); err != nil {
				t.Error(err)
			}
		}
	})
	u, err := url.Parse(given)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "plain")
	db := open(t, "pgx", u.String())
	m, err := migrations.NewPostgres(db)
	if err != nil {
		t.Fatal(err)
	}
	wantUp(t, m, steps)
	wantSearchIndex(t, db)
}

// The index for searches is made while products are written, so not in one
// transaction with all else that its step does: a step that was cut short has
// left an index that is not valid.
func TestSearchIndexOfAStepThatWasCutShort(t *testing.T) {
	db := open(t, "pgx", pgtest.Database(t))
	m, err := migrations.NewPostgres(db)
	if err != nil {
		t.Fatal(err)
	}
	wantUp(t, m, steps)
	for range len(steps) - 14 {
		if err := m.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, statement := range []string{
		"CREATE FUNCTION search_grams(sought text) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS 'SELECT ARRAY[1]::bigint[]'",
		"CREATE INDEX products_search_idx ON products USING gin ((search_grams(name_fold)))",
		"UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'products_search_idx'::regclass",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	wantUp(t, m, steps[14:])
	wantSearchIndex(t, db)
	if got, err := column(t, db, "SELECT unnest(search_grams('a주'))::text"); err != nil || !slices.Equal(got, []string{"97", "51452", "203475196"}) {
		t.Errorf("search_grams = %v, %v", got, err)
	}
}

// A cluster that was made under the locale C has no encoding by default: its
// characters are bytes.
func TestWithoutEncoding(t *testing.T) {
	given := pgtest.Database(t)
	admin := open(t, "pgx", given)
	name := "gatehouse_" + strings.ToLower(rand.Text())
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name+" ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(given)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	db := open(t, "pgx", u.String())
	m, err := migrations.NewPostgres(db)
	if err != nil {
		t.Fatal(err)
	}
	wantUp(t, m, steps)
	wantSearchIndex(t, db)
	if got, err := column(t, db, "SELECT unnest(search_grams('주'))::text"); err != nil || len(got) != 6 {
		t.Errorf("search_grams(three bytes) = %v, %v", got, err)
	}
}

func wantSearchIndex(t *testing.T, db *sql.DB) {
	t.Helper()
	got, err := column(t, db, "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indexrelid = to_regclass('products_search_idx') AND indisvalid")
	if err != nil || len(got) != 1 || !strings.Contains(got[0], "search_grams(description_fold)") {
		t.Errorf("the index for searches is %q, %v", got, err)
	}
	if got, err := column(t, db, "SHOW statement_timeout"); err != nil || !slices.Equal(got, []string{"0"}) {
		t.Errorf("the statement timeout is %q, %v, want that of before", got, err)
	}
}

// A database that a newer release has migrated already is good enough.
func TestNewerDatabase(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, m *migrations.Migrator) {
		wantUp(t, m, steps)
		if _, err := db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)"); err != nil {
			t.Fatal(err)
		}
		wantPending(t, m, false)
		wantUp(t, m, nil)
	})
}

// Nodes that start at once on an empty database: every step is applied once.
func TestNodesStartAtOnce(t *testing.T) {
	const nodes = 8
	url := pgtest.Database(t)
	file := "file:" + filepath.Join(t.TempDir(), "test.db")
	for name, node := range map[string]func(*testing.T) (*migrations.Migrator, error){
		"postgres": func(t *testing.T) (*migrations.Migrator, error) { return migrations.NewPostgres(open(t, "pgx", url)) },
		"sqlite": func(t *testing.T) (*migrations.Migrator, error) {
			return migrations.NewSQLite(open(t, "sqlite3", file))
		},
	} {
		t.Run(name, func(t *testing.T) {
			var wait sync.WaitGroup
			var mu sync.Mutex
			var applied []string
			for range nodes {
				m, err := node(t)
				if err != nil {
					t.Fatal(err)
				}
				wait.Go(func() {
					names, err := m.Up(t.Context())
					if err != nil {
						t.Errorf("Up = %v", err)
					}
					mu.Lock()
					defer mu.Unlock()
					applied = append(applied, names...)
				})
			}
			wait.Wait()
			slices.Sort(applied)
			if !slices.Equal(applied, steps) {
				t.Errorf("applied %v, want each of %v once", applied, steps)
			}
		})
	}
}

// A database that cannot be asked is an error, and neither pending nor done.
func TestUnreachable(t *testing.T) {
	db := open(t, "pgx", "postgres://nobody@127.0.0.1:1/none?sslmode=disable&connect_timeout=1")
	m, err := migrations.NewPostgres(db)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Pending(ctx); err == nil {
		t.Error("Pending = nil, want an error")
	}
	if _, err := m.Up(ctx); err == nil {
		t.Error("Up = nil, want an error")
	}
}

// The two databases have the same tables, and a column is where it is in the
// other one.
func TestSameTables(t *testing.T) {
	columns := map[string][]string{}
	each(t, func(t *testing.T, db *sql.DB, m *migrations.Migrator) {
		wantUp(t, m, steps)
		for _, table := range tables {
			rows, err := db.QueryContext(t.Context(), fmt.Sprintf("SELECT * FROM %s WHERE 1 = 0", table))
			if err != nil {
				t.Fatal(err)
			}
			names, err := rows.Columns()
			rows.Close()
			if err != nil {
				t.Fatal(err)
			}
			if other, ok := columns[table]; ok && !slices.Equal(names, other) {
				t.Errorf("%s has the columns %v, in the other database %v", table, names, other)
			}
			columns[table] = names
		}
	})
}

// Whatever names a user goes with the user, but for the audit log.
func TestUsersTakeWhatIsTheirs(t *testing.T) {
	const foreign = `SELECT r.relname || '.' || a.attname FROM pg_constraint c
		JOIN pg_class r ON r.oid = c.conrelid JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = c.conkey[1]
		WHERE c.contype = 'f' AND c.confrelid = 'users'::regclass AND c.confdeltype = 'c' ORDER BY 1`
	const foreignLite = `SELECT m.name || '.' || f."from" FROM sqlite_master m, pragma_foreign_key_list(m.name) f
		WHERE f."table" = 'users' AND f.on_delete = 'CASCADE' ORDER BY 1`
	want := []string{
		"idempotency_keys.user_id", "outbox.user_id", "past_sessions.user_id", "product_events.owner_id", "product_grants.user_id", "products.owner_id",
		"second_factors.user_id", "tickets.user_id", "user_sessions.user_id",
	}
	each(t, func(t *testing.T, db *sql.DB, m *migrations.Migrator) {
		wantUp(t, m, steps)
		got, err := column(t, db, foreign)
		if err != nil {
			got, err = column(t, db, foreignLite)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("with a user go %v, %v, want %v", got, err, want)
		}
		// A column that is forgotten above would be one of these.
		named, err := column(t, db, "SELECT table_name || '.' || column_name FROM information_schema.columns"+
			" WHERE table_schema = 'public' AND (column_name LIKE '%user_id' OR column_name LIKE '%owner_id') ORDER BY 1")
		if err == nil && !slices.Equal(named, want) {
			t.Errorf("the columns %v name a user, want %v", named, want)
		}
	})
}

func column(t *testing.T, db *sql.DB, query string) (all []string, err error) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// Sessions that were begun in SQLite before it was kept how their holder was
// proved knew the password, at their beginning.
func TestSessionsOfBefore(t *testing.T) {
	db := open(t, "sqlite3", "file:"+filepath.Join(t.TempDir(), "test.db"))
	m, err := migrations.NewSQLite(db)
	if err != nil {
		t.Fatal(err)
	}
	wantUp(t, m, steps)
	for range len(steps) - 4 {
		if err := m.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_, err = db.ExecContext(t.Context(), `INSERT INTO users VALUES ('u', '', '', '', '[]', 'active', 0, '', 0, 1, 1, 1);
		INSERT INTO user_sessions (key, id, user_id, epoch, remembered, user_agent, ip, created_at, seen_at, idle_end, end_at)
		VALUES ('k', 's', 'u', 0, 0, '', '', 1700000000000000, 2, 3, 4)`)
	if err != nil {
		t.Fatal(err)
	}
	wantUp(t, m, steps[4:])
	var methods, proved int64
	err = db.QueryRowContext(t.Context(), "SELECT methods, CAST(proved_at AS INTEGER) FROM user_sessions").Scan(&methods, &proved)
	if err != nil || methods != 1 || proved != 1700000000000000 {
		t.Errorf("methods and proved_at = %d, %d, %v, want 1 and the time of the beginning", methods, proved, err)
	}
}

func wantUp(t *testing.T, m *migrations.Migrator, want []string) {
	t.Helper()
	if got, err := m.Up(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Fatalf("Up = %v, %v, want %v", got, err, want)
	}
}

func wantPending(t *testing.T, m *migrations.Migrator, want bool) {
	t.Helper()
	if got, err := m.Pending(t.Context()); err != nil || got != want {
		t.Fatalf("Pending = %v, %v, want %v", got, err, want)
	}
}

// wantStates asks that the first n steps be applied and the others not.
func wantStates(t *testing.T, m *migrations.Migrator, n int) {
	t.Helper()
	states, err := m.Status(t.Context())
	if err != nil || len(states) != len(steps) {
		t.Fatalf("Status = %v, %v, want %d steps", states, err, len(steps))
	}
	for i, s := range states {
		if s.Name != steps[i] || s.Applied != (i < n) || s.AppliedAt.IsZero() == s.Applied {
			t.Errorf("Status of step %d = %+v, want %s applied: %v", i, s, steps[i], i < n)
		}
	}
}
