package pgtest_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/tests/pgtest"
)

// childVariable makes this test binary play the process that is killed.
const childVariable = "PGTEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		launchAndHang()
	}
	os.Exit(pgtest.Main(m))
}

func launchAndHang() {
	s, err := pgtest.Launch(context.Background())
	if err != nil {
		os.Stdout.WriteString("error " + err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString(s.URL("postgres") + "\n")
	select {}
}

func query[T any](t *testing.T, url, statement string) (T, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var v T
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return v, err
	}
	defer c.Close(context.Background())
	return v, c.QueryRow(ctx, statement).Scan(&v)
}

func TestDatabases(t *testing.T) {
	a, b := pgtest.Database(t), pgtest.Database(t)
	if a == b {
		t.Fatalf("Database = %s twice", a)
	}
	const tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
	if n, err := query[int](t, a, tables); err != nil || n != 0 {
		t.Errorf("a database has %d tables, %v, want 0", n, err)
	}
	if n, err := query[int](t, pgtest.Migrated(t), tables); err != nil || n < 6 {
		t.Errorf("a migrated database has %d tables, %v, want ours", n, err)
	}
}

func TestDatabaseIsDropped(t *testing.T) {
	var url string
	t.Run("inner", func(t *testing.T) {
		url = pgtest.Database(t)
		c, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		// A connection that somebody forgot does not keep it.
		t.Cleanup(func() { c.Close(context.Background()) })
	})
	if _, err := query[int](t, url, "SELECT 1"); err == nil {
		t.Error("the database is there after its test")
	}
}

func TestServer(t *testing.T) {
	s := pgtest.New(t)
	url := s.Database(t)
	if n, err := query[int](t, s.SocketURL("postgres"), "SELECT 1"); err != nil || n != 1 {
		t.Errorf("over the Unix socket: %d, %v", n, err)
	}
	for what, end := range map[string]func(){"Stop": s.Stop, "Kill": s.Kill} {
		end()
		if _, err := query[int](t, url, "SELECT 1"); err == nil || s.PID() != 0 {
			t.Errorf("the server answers after %s", what)
		}
		if err := s.Start(); err != nil {
			t.Fatalf("Start after %s = %v", what, err)
		}
		if _, err := query[int](t, url, "SELECT 1"); err != nil {
			t.Errorf("after %s and Start: %v", what, err)
		}
	}
	if err := s.Start(); err == nil {
		t.Error("Start of a running server = nil, want an error")
	}
	if err := s.Restart(); err != nil {
		t.Errorf("Restart = %v", err)
	}
	if halted := s.Freeze(); len(halted) < 2 {
		t.Errorf("Freeze halted the processes %v, want the postmaster and its own", halted)
	}
	if _, err := query[int](t, url, "SELECT 1"); err == nil {
		t.Error("a frozen server answers")
	}
	s.Thaw()
	if _, err := query[int](t, url, "SELECT 1"); err != nil {
		t.Errorf("after Thaw: %v", err)
	}
	s.Close()
	s.Close()
}

// A process that is killed takes its server along, and who comes next deletes
// the folder.
func TestNothingIsLeftBehind(t *testing.T) {
	temp := t.TempDir()
	if err := os.Chmod(temp, 0o755); err != nil { // the server is another user
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(temp), 0o755); err != nil {
		t.Fatal(err)
	}
	pgtest.New(t) // skips where there is no PostgreSQL
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"=1", "TMPDIR="+temp)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4096)
	n, err := out.Read(line)
	url := strings.TrimSpace(string(line[:n]))
	if err != nil || !strings.HasPrefix(url, "postgres://") {
		t.Fatalf("the child says %q, %v", url, err)
	}
	if err := child.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	for range 200 {
		if _, err = query[int](t, url, "SELECT 1"); err != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err == nil {
		t.Error("the server of a killed process still answers")
	}

	t.Setenv("TMPDIR", temp)
	s := pgtest.New(t)
	left, err := os.ReadDir(temp)
	if err != nil || len(left) != 1 {
		t.Errorf("%d folders while one server runs, %v, want 1", len(left), err)
	}
	s.Close()
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("%d folders after Close, %v, want 0", len(left), err)
	}
}

// A server that somebody else started serves as well.
func TestGivenServer(t *testing.T) {
	s := pgtest.New(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestDatabase", "-test.v")
	cmd.Env = append(os.Environ(), pgtest.URLVariable+"="+s.URL("postgres"))
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestDatabases") {
		t.Fatalf("the tests over a given server: %v\n%s", err, out)
	}
	if n, err := query[int](t, s.URL("postgres"), "SELECT count(*) FROM pg_database WHERE datname LIKE 'gatehouse%'"); err != nil || n != 0 {
		t.Errorf("%d databases are left on the given server, %v, want 0", n, err)
	}
}

// Where there is no PostgreSQL a test is skipped, and fails under CI.
func TestMissing(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root would have it installed")
	}
	if debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin"); len(debian) > 0 {
		t.Skip("it is where it is always looked for")
	}
	for ci, want := range map[string]string{"": "--- SKIP: TestDatabases", "true": "--- FAIL: TestDatabases"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestDatabases$", "-test.v")
		cmd.Env = []string{"PATH=/nonexistent", "CI=" + ci, "TMPDIR=" + os.TempDir()}
		if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), want) {
			t.Errorf("with CI=%q: %s, want %s", ci, out, want)
		}
	}
}

func TestCommand(t *testing.T) {
	pgtest.New(t) // skips where there is no PostgreSQL
	bin := filepath.Join(t.TempDir(), "pgtest")
	if out, err := exec.Command("go", "build", "-o", bin, "./cmd").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(bin, "--", "sh", "-c", `echo "$TEST_DATABASE_URL"; exit 7`)
	cmd.Env = append(os.Environ(), pgtest.URLVariable+"=")
	out, err := cmd.Output()
	if cmd.ProcessState.ExitCode() != 7 || !strings.HasPrefix(string(out), "postgres://") {
		t.Fatalf("the command ended with %v and said %q, want 7 and the URL", err, out)
	}
	if _, err := query[int](t, strings.TrimSpace(string(out)), "SELECT 1"); err == nil {
		t.Error("the server of the command still answers")
	}
}

// What a test did to the rows of a lent database is undone, and one whose tables
// it altered is not lent again.
func TestLender(t *testing.T) {
	var opened int
	lender := pgtest.Lender{Open: func(ctx context.Context, url string) (*pgxpool.Pool, error) {
		opened++
		return pgxpool.New(ctx, url)
	}}
	lent := func(use func(t *testing.T, pool *pgxpool.Pool)) {
		t.Helper()
		t.Run("", func(t *testing.T) { use(t, lender.Pool(t)) })
	}
	run := func(statements ...string) func(*testing.T, *pgxpool.Pool) {
		return func(t *testing.T, pool *pgxpool.Pool) {
			for _, s := range statements {
				if _, err := pool.Exec(t.Context(), s); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
			}
		}
	}
	want := func(n int) func(*testing.T, *pgxpool.Pool) {
		return func(t *testing.T, pool *pgxpool.Pool) {
			t.Helper()
			var versions, state, users int
			err := pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM goose_db_version), (SELECT version FROM policy_state),
				(SELECT count(*) FROM users)`).Scan(&versions, &state, &users)
			if err != nil || versions < 10 || state != 0 || users != 0 {
				t.Errorf("%d migrations, policy version %d, %d users, %v; want those of a new database", versions, state, users, err)
			}
			if opened != n {
				t.Errorf("%d databases were made, want %d", opened, n)
			}
		}
	}
	lent(run("INSERT INTO users (id, email, email_canonical, name, status, roles, email_verified, session_epoch, revision, password_hash, created_at, updated_at) "+
		"VALUES (gen_random_uuid(), 'a@b.c', 'a@b.c', '', 'active', '[]', false, 0, 1, '', now(), now())",
		"UPDATE policy_state SET version = 7", "DELETE FROM goose_db_version"))
	lent(want(1))
	lent(run("DELETE FROM policy_state"))
	lent(want(1))
	n := 1
	for _, alter := range []string{
		"DROP TABLE policy_state", "ALTER TABLE users DROP COLUMN name CASCADE", "ALTER TABLE users ADD extra int", "CREATE TABLE more ()",
		"ALTER TABLE users DISABLE TRIGGER ALL", "ALTER TABLE policy_state RENAME TO gone", "ALTER TABLE policy_state RENAME version TO gone",
	} {
		lent(run(alter))
		n++
		lent(want(n))
	}
	lent(func(_ *testing.T, pool *pgxpool.Pool) { pool.Close() })
	lent(want(n + 1))
}
