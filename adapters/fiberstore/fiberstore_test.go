package fiberstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	storage "github.com/gofiber/storage/postgres/v3"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/adapters/fiberstore"
	"gatehouse/adapters/gormrepo"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/tests/pgtest"
	"gatehouse/tests/redistest"
)

func TestMain(m *testing.M) {
	os.Exit(redistest.Main(func() int { return pgtest.Main(m) }))
}

// start is when the tests take place, by the clock of the application.
var start = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// signedOut is how sessions end here.
var signedOut = session.Ending{Why: session.SignedOut, At: start}

var serial atomic.Uint64

// newID makes an id that is greater than those before it.
func newID() uuid.UUID {
	n := serial.Add(1)
	return uuid.New(start.Add(time.Duration(n)*time.Millisecond), [8]byte{7: byte(n)})
}

// newKey makes a key that no other session has.
func newKey() session.Key {
	n := serial.Add(1)
	return session.NewToken([32]byte{byte(n), byte(n >> 8), byte(n >> 16), 0xff}).Key()
}

// store is a database with its repositories.
type store struct {
	pool     *pgxpool.Pool
	db       *gormrepo.DB // what is not sessions
	sessions *fiberstore.Sessions
}

func open(t testing.TB, url string, o gormrepo.PoolOptions) store {
	t.Helper()
	pool, err := gormrepo.NewPool(context.Background(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return over(t, pool)
}

func over(t testing.TB, pool *pgxpool.Pool) store {
	t.Helper()
	db, err := gormrepo.OpenPostgres(pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := fiberstore.OpenPostgres(t.Context(), pool, gormrepo.ProductAhead{})
	if err != nil {
		t.Fatal(err)
	}
	return store{pool, db, sessions}
}

func (s store) addUser(t testing.TB) user.User {
	t.Helper()
	u := newUser(t)
	if err := s.db.Users().Add(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	return u
}

func newUser(t testing.TB) user.User {
	t.Helper()
	email, err := user.NewEmail(fmt.Sprintf("user%d@example.com", serial.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return user.New(user.ID{UUID: newID()}, email, user.Name{}, user.NewPasswordHash("$hash"), start)
}

func (s store) addSession(t testing.TB, id user.ID, l session.Lifetime) session.Session {
	t.Helper()
	one := session.Begin(session.Start{
		ID: session.ID{UUID: newID()}, Key: newKey(), UserID: id, Methods: session.ByPassword, Device: session.Device{UserAgent: "test"},
	}, l, start)
	if err := s.sessions.Add(t.Context(), one); err != nil {
		t.Fatalf("Add(session) = %v", err)
	}
	return one
}

// rows counts the rows of user_sessions for which a condition holds.
func (s store) rows(t *testing.T, where string, args ...any) int {
	t.Helper()
	var n int
	if err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM user_sessions WHERE "+where, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// What PostgreSQL reads out of a value is what was put into it.
func TestGeneratedColumns(t *testing.T) {
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{})
	u := s.addUser(t)
	one := s.addSession(t, u.ID(), session.DefaultLifetime)
	if n := s.rows(t, "k = $1 AND user_id = $2 AND idle_end = $3", one.Key().Hex(), u.ID().String(), one.IdleEnd().UnixMicro()); n != 1 {
		t.Errorf("%d rows have the session's user and end, want 1", n)
	}
	for _, value := range [][]byte{nil, {1}, make([]byte, 40)} {
		if _, err := s.pool.Exec(t.Context(), "INSERT INTO user_sessions (k, v, e) VALUES ('x', $1, 0)", value); err == nil {
			t.Errorf("a value of %d bytes was accepted", len(value))
		}
	}
}

// The storage itself reads and deletes what we write, and a user's sessions go
// with the user.
func TestStorageAndCascade(t *testing.T) {
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{})
	u := s.addUser(t)
	one := s.addSession(t, u.ID(), session.DefaultLifetime)
	plain := storage.New(storage.Config{DB: s.pool, Table: "public.user_sessions", GCInterval: time.Hour})
	if v, err := plain.GetWithContext(t.Context(), one.Key().Hex()); err != nil || len(v) == 0 {
		t.Errorf("the storage's Get = %d bytes, %v, want the value", len(v), err)
	}
	if _, err := s.pool.Exec(t.Context(), "DELETE FROM users WHERE id = $1", u.ID().String()); err != nil {
		t.Fatal(err)
	}
	if n := s.rows(t, "true"); n != 0 {
		t.Errorf("%d sessions of a deleted user are left, want 0", n)
	}
	if err := s.sessions.Add(t.Context(), one); !errors.Is(err, fault.NotFound) {
		t.Errorf("Add(session of a deleted user) = %v, want NotFound", err)
	}
}

// The storage never collects a session that has not ended: what it keeps is
// whole seconds, and the fraction is rounded up.
func TestExpiryIsNeverEarly(t *testing.T) {
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{})
	u := s.addUser(t)
	for _, idle := range []time.Duration{time.Second, 1500 * time.Millisecond, 2*time.Second - time.Microsecond, time.Hour} {
		l := session.Lifetime{Idle: idle, Absolute: 24 * time.Hour, Step: time.Millisecond}
		begun := time.Now()
		one := s.addSession(t, u.ID(), l)
		wantExpiry(t, s, one.Key(), begun.Add(idle))

		// A renewal keeps it for as long again.
		now := start.Add(idle / 2)
		renewed, due := one.Renewed(l, now)
		if !due {
			t.Fatalf("a session of %v is not renewed after half of it", idle)
		}
		begun = time.Now()
		if err := s.sessions.Replace(t.Context(), one.Key(), renewed, session.Reason{}, now); err != nil {
			t.Fatal(err)
		}
		wantExpiry(t, s, one.Key(), begun.Add(idle))
	}
}

// wantExpiry asks that e is not before least, and not three seconds later.
func wantExpiry(t *testing.T, s store, k session.Key, least time.Time) {
	t.Helper()
	var e int64
	if err := s.pool.QueryRow(t.Context(), "SELECT e FROM user_sessions WHERE k = $1", k.Hex()).Scan(&e); err != nil {
		t.Fatal(err)
	}
	if expires := time.Unix(e, 0); expires.Before(least) || expires.After(least.Add(3*time.Second)) {
		t.Errorf("the storage keeps the session until %v, want not before %v and not much later", expires, least)
	}
}

// A session is over at the very microsecond of its end, as the domain has it.
func TestReplaceIsExact(t *testing.T) {
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{})
	one := s.addSession(t, s.addUser(t).ID(), session.DefaultLifetime)
	rotated := one.Rotated(newKey(), 1)
	if err := s.sessions.Replace(t.Context(), one.Key(), rotated, session.Reason{}, one.IdleEnd()); !errors.Is(err, fault.NotFound) {
		t.Errorf("Replace at the end = %v, want NotFound", err)
	}
	if err := s.sessions.Replace(t.Context(), one.Key(), rotated, session.Reason{}, one.IdleEnd().Add(-time.Microsecond)); err != nil {
		t.Errorf("Replace a microsecond before the end = %v, want nil", err)
	}
}

func TestStatementCounts(t *testing.T) {
	tracer := &counter{}
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{Tracer: tracer})
	u := s.addUser(t)
	one := s.addSession(t, u.ID(), session.DefaultLifetime)
	for _, c := range []struct {
		what string
		act  func() error
	}{
		{"Resume", func() error { _, err := s.sessions.Resume(t.Context(), one.Key()); return err }},
		{"Replace", func() error { return s.sessions.Replace(t.Context(), one.Key(), one, session.Reason{}, start) }},
		{"List", func() error { _, err := s.sessions.List(t.Context(), u.ID()); return err }},
		{"Prune", func() error { _, err := s.sessions.Prune(t.Context(), start, 10); return err }},
		{"Replace with a reason", func() error { return s.sessions.Replace(t.Context(), one.Key(), one, session.PasswordChanged, start) }},
		{"EndOthers", func() error { _, err := s.sessions.EndOthers(t.Context(), u.ID(), one.Key(), signedOut); return err }},
		{"Trim", func() error { _, err := s.sessions.Trim(t.Context(), u.ID(), 20, signedOut); return err }},
		{"EndOne", func() error { _, err := s.sessions.EndOne(t.Context(), u.ID(), one.ID(), signedOut); return err }},
		{"Add", func() error { return s.sessions.Add(t.Context(), one) }},
		{"End", func() error { _, err := s.sessions.End(t.Context(), one.Key(), signedOut); return err }},
		{"Past", func() error { _, err := s.sessions.Past(t.Context(), one.Key()); return err }},
		{"PastOf", func() error { _, err := s.sessions.PastOf(t.Context(), u.ID()); return err }},
		{"Known", func() error { _, err := s.sessions.Known(t.Context(), u.ID()); return err }},
		{"PrunePast", func() error { _, err := s.sessions.PrunePast(t.Context(), start, 10); return err }},
	} {
		tracer.n.Store(0)
		if err := c.act(); err != nil || tracer.n.Load() != 1 {
			t.Errorf("%s sends %d statements, %v, want 1", c.what, tracer.n.Load(), err)
		}
	}
}

// counter counts the statements that are sent.
type counter struct{ n atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Slow requests renew and rotate while their sessions are ended: none lives on.
func TestEndedSessionsStayEnded(t *testing.T) {
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{MaxConns: 8, StatementTimeout: time.Minute})
	u := s.addUser(t)
	var wait sync.WaitGroup
	for range 100 {
		one := s.addSession(t, u.ID(), session.DefaultLifetime)
		for range 2 {
			wait.Go(func() { ignoreMissing(t, s.sessions.Replace(t.Context(), one.Key(), one, session.Reason{}, start)) })
		}
		wait.Go(func() { ignoreMissing(t, second(s.sessions.End(t.Context(), one.Key(), signedOut))) })
		wait.Go(func() { ignoreMissing(t, s.sessions.Replace(t.Context(), one.Key(), one, session.Reason{}, start)) })
	}
	wait.Wait()
	if n := s.rows(t, "true"); n != 0 {
		t.Errorf("%d of 100 sessions live on after they were ended, want 0", n)
	}
}

// second is the error of a call whose value does not matter.
func second[A any](_ A, err error) error { return err }

func ignoreMissing(t *testing.T, err error) {
	if err != nil && !errors.Is(err, fault.NotFound) {
		t.Errorf("%v, want nil or NotFound", err)
	}
}

// Nodes that prune side by side share the work and leave what is good.
func TestPruneSideBySide(t *testing.T) {
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{MaxConns: 8, StatementTimeout: time.Minute})
	u := s.addUser(t)
	short := session.Lifetime{Idle: time.Minute, Absolute: time.Hour, Step: time.Second}
	for range 60 {
		s.addSession(t, u.ID(), short)
	}
	good := s.addSession(t, u.ID(), session.DefaultLifetime)
	var wait sync.WaitGroup
	var pruned atomic.Int64
	for range 4 {
		wait.Go(func() {
			for range 20 {
				n, err := s.sessions.Prune(t.Context(), start.Add(time.Minute), 7)
				if err != nil || n > 7 {
					t.Errorf("Prune = %d, %v, want at most 7", n, err)
				}
				pruned.Add(int64(n))
			}
		})
	}
	wait.Wait()
	if n := s.rows(t, "true"); n != 1 || pruned.Load() != 60 {
		t.Errorf("%d pruned and %d left, want 60 and 1", pruned.Load(), n)
	}
	if _, err := s.sessions.Resume(t.Context(), good.Key()); err != nil {
		t.Errorf("Resume(session that has not run out) = %v", err)
	}
}

// A row that a request holds is passed over and not waited for.
func TestPruneSkipsLocked(t *testing.T) {
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{MaxConns: 4})
	u := s.addUser(t)
	held := s.addSession(t, u.ID(), session.DefaultLifetime)
	s.addSession(t, u.ID(), session.DefaultLifetime)
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), "SELECT k FROM user_sessions WHERE k = $1 FOR UPDATE", held.Key().Hex()); err != nil {
		t.Fatal(err)
	}
	if n, err := s.sessions.Prune(t.Context(), held.IdleEnd(), 10); err != nil || n != 1 {
		t.Errorf("Prune beside a held row = %d, %v, want 1", n, err)
	}
}

// Without our table the storage would make one of its own, from which a user's
// sessions could not be ended.
func TestRefusesToMakeItsTable(t *testing.T) {
	for what, prepare := range map[string]string{
		"no table":            "SELECT 1",
		"the storage's table": "CREATE TABLE user_sessions (k text PRIMARY KEY NOT NULL DEFAULT '', v bytea NOT NULL, e bigint NOT NULL DEFAULT 0)",
		"a wrong column":      "CREATE TABLE user_sessions (k text PRIMARY KEY, v text, e bigint, user_id uuid)",
	} {
		t.Run(what, func(t *testing.T) {
			pool, err := gormrepo.NewPool(t.Context(), pgtest.Database(t), gormrepo.PoolOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			if _, err := pool.Exec(t.Context(), prepare); err != nil {
				t.Fatal(err)
			}
			if _, err := fiberstore.OpenPostgres(t.Context(), pool, gormrepo.ProductAhead{}); err == nil || errors.Is(err, fault.Unavailable) {
				t.Errorf("OpenPostgres = %v, want an error that is no outage", err)
			}
			if err := pool.Ping(t.Context()); err != nil {
				t.Errorf("the pool after the refusal: %v", err)
			}
		})
	}
}

// The tables may live in a schema of their own, with a name that needs quotes.
func TestSchema(t *testing.T) {
	url := pgtest.Migrated(t)
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if _, err := c.Exec(t.Context(), `ALTER SCHEMA public RENAME TO "Our own"`); err != nil {
		t.Fatal(err)
	}
	s := open(t, url+`&search_path=%22Our%20own%22`, gormrepo.PoolOptions{})
	one := s.addSession(t, s.addUser(t).ID(), session.DefaultLifetime)
	if _, err := s.sessions.Resume(t.Context(), one.Key()); err != nil {
		t.Errorf("Resume = %v", err)
	}
	if err := s.sessions.Check(t.Context()); err != nil {
		t.Errorf("Check = %v", err)
	}
	if _, err := c.Exec(t.Context(), `ALTER SCHEMA "Our own" RENAME TO "a.b"`); err != nil {
		t.Fatal(err)
	}
	pool, err := gormrepo.NewPool(t.Context(), url+`&search_path=%22a.b%22`, gormrepo.PoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := fiberstore.OpenPostgres(t.Context(), pool, gormrepo.ProductAhead{}); err == nil || !strings.Contains(err.Error(), "dot") {
		t.Errorf("OpenPostgres(schema with a dot) = %v, want a refusal", err)
	}
}

// A database that is away is an outage for everything, within the context.
func TestOutage(t *testing.T) {
	server := pgtest.New(t)
	s := open(t, server.Migrated(t), gormrepo.PoolOptions{MaxConns: 4})
	u := s.addUser(t)
	one := s.addSession(t, u.ID(), session.DefaultLifetime)

	server.Kill()
	wantUnavailable(t, s, u.ID(), one)
	if _, err := fiberstore.OpenPostgres(t.Context(), s.pool, nil); !errors.Is(err, fault.Unavailable) {
		t.Errorf("OpenPostgres = %v, want Unavailable", err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	var err error
	for range 100 { // a connection that broke is found out by who uses it
		if _, err = s.sessions.Resume(t.Context(), one.Key()); err == nil {
			break
		}
		if !errors.Is(err, fault.Unavailable) {
			t.Fatalf("Resume after the restart = %v, want Unavailable or the session", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Errorf("Resume a second after the restart = %v, want the session", err)
	}

	server.Freeze()
	wantUnavailable(t, s, u.ID(), one)
	server.Thaw()
}

func TestClosedPool(t *testing.T) {
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{})
	u := s.addUser(t)
	one := s.addSession(t, u.ID(), session.DefaultLifetime)
	s.pool.Close()
	wantUnavailable(t, s, u.ID(), one)
}

// wantUnavailable calls everything side by side, with half a second for each
// call, and asks that it cannot be told.
func wantUnavailable(t *testing.T, s store, id user.ID, one session.Session) {
	t.Helper()
	var wait sync.WaitGroup
	for what, call := range map[string]func(context.Context) error{
		"Add":    func(ctx context.Context) error { return s.sessions.Add(ctx, one) },
		"Resume": func(ctx context.Context) error { _, err := s.sessions.Resume(ctx, one.Key()); return err },
		"Replace": func(ctx context.Context) error {
			return s.sessions.Replace(ctx, one.Key(), one, session.Reason{}, start)
		},
		"End":       func(ctx context.Context) error { return second(s.sessions.End(ctx, one.Key(), signedOut)) },
		"Past":      func(ctx context.Context) error { return second(s.sessions.Past(ctx, one.Key())) },
		"PastOf":    func(ctx context.Context) error { return second(s.sessions.PastOf(ctx, id)) },
		"Known":     func(ctx context.Context) error { return second(s.sessions.Known(ctx, id)) },
		"Trim":      func(ctx context.Context) error { return second(s.sessions.Trim(ctx, id, 1, signedOut)) },
		"PrunePast": func(ctx context.Context) error { return second(s.sessions.PrunePast(ctx, start, 1)) },
		"List":      func(ctx context.Context) error { _, err := s.sessions.List(ctx, id); return err },
		"EndOne":    func(ctx context.Context) error { return second(s.sessions.EndOne(ctx, id, one.ID(), signedOut)) },
		"EndOthers": func(ctx context.Context) error { return second(s.sessions.EndOthers(ctx, id, one.Key(), signedOut)) },
		"Prune":     func(ctx context.Context) error { _, err := s.sessions.Prune(ctx, start, 1); return err },
		"Check":     func(ctx context.Context) error { return s.sessions.Check(ctx) },
	} {
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			begun := time.Now()
			if err := call(ctx); !errors.Is(err, fault.Unavailable) || errors.Is(err, fault.NotFound) {
				t.Errorf("%s = %v, want Unavailable", what, err)
			}
			if took := time.Since(begun); took > time.Second {
				t.Errorf("%s took %v, want half a second at the most", what, took)
			}
		})
	}
	wait.Wait()
}

// The policy's version is not taken for zero because its row is gone.
func TestPolicyStateGone(t *testing.T) {
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{})
	one := s.addSession(t, s.addUser(t).ID(), session.DefaultLifetime)
	if _, err := s.pool.Exec(t.Context(), "DELETE FROM policy_state"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.sessions.Resume(t.Context(), one.Key()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Resume = %v, want Unavailable", err)
	}
}

// A row that was not written by us is a defect, and no missing session.
func TestForeignValue(t *testing.T) {
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{})
	one := s.addSession(t, s.addUser(t).ID(), session.DefaultLifetime)
	if _, err := s.pool.Exec(t.Context(), "UPDATE user_sessions SET v = v || '\\x00'"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.sessions.Resume(t.Context(), one.Key()); err == nil || errors.Is(err, fault.NotFound) {
		t.Errorf("Resume = %v, want a defect", err)
	}
}

func BenchmarkSessions(b *testing.B) {
	s := open(b, pgtest.Migrated(b), gormrepo.PoolOptions{})
	u := s.addUser(b)
	one := s.addSession(b, u.ID(), session.DefaultLifetime)
	for name, act := range map[string]func() error{
		"resume":  func() error { _, err := s.sessions.Resume(b.Context(), one.Key()); return err },
		"replace": func() error { return s.sessions.Replace(b.Context(), one.Key(), one, session.Reason{}, start) },
		"add":     func() error { s.addSession(b, u.ID(), session.DefaultLifetime); return nil },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := act(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
