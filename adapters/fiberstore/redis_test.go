package fiberstore_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"gatehouse/adapters/fiberstore"
	"gatehouse/adapters/gormrepo"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports/portstest"
	"gatehouse/tests/litetest"
	"gatehouse/tests/redistest"
)

// redisOptions reads the URLs that redistest gives.
func redisOptions(t testing.TB, url string) fiberstore.RedisOptions {
	t.Helper()
	hosts, database, _ := strings.Cut(strings.TrimPrefix(url, "redis://"), "/")
	o := fiberstore.RedisOptions{Addrs: strings.Split(hosts, ","), Timeout: 10 * time.Second}
	if database != "" {
		n, err := strconv.Atoi(database)
		if err != nil {
			t.Fatal(err)
		}
		o.Database = n
	}
	return o
}

func openRedis(t testing.TB, o fiberstore.RedisOptions, owners fiberstore.Owners) *fiberstore.RedisSessions {
	t.Helper()
	s, err := fiberstore.OpenRedis(t.Context(), o, owners)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return s
}

// redisStores are sessions in Redis, beside everything else in a database.
func redisStores(t *testing.T, o fiberstore.RedisOptions, db *gormrepo.DB) portstest.SessionStores {
	t.Helper()
	s := openRedis(t, o, db.Users())
	return portstest.SessionStores{Users: s.Users(db.Users()), Sessions: s, Directory: s, Policies: db.Policies()}
}

func sqlite(t testing.TB) *gormrepo.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	litetest.Migrated(t, path)
	db, err := gormrepo.OpenSQLite(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func overRedis(t *testing.T) portstest.SessionStores {
	return redisStores(t, redisOptions(t, redistest.Database(t)), sqlite(t))
}

func TestRedisSessionsContract(t *testing.T)         { portstest.Sessions(t, overRedis) }
func TestRedisSessionDirectoryContract(t *testing.T) { portstest.SessionDirectory(t, overRedis) }

func TestCluster(t *testing.T) {
	c := redistest.NewCluster(t)
	// All keys of one script are in one slot, or it refuses.
	open := func(t *testing.T) portstest.SessionStores {
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		return redisStores(t, redisOptions(t, c.URL()), sqlite(t))
	}
	t.Run("sessions", func(t *testing.T) { portstest.Sessions(t, open) })
	t.Run("directory", func(t *testing.T) { portstest.SessionDirectory(t, open) })
	t.Run("no command is repeated that may have been carried out", func(t *testing.T) { clusterDoesNotRepeat(t, c) })
	t.Run("a part of it is away", func(t *testing.T) { clusterOutage(t, c) })
}

// redisStore is a server of the test's own with one session.
type redisStore struct {
	server   *redistest.Server
	db       *gormrepo.DB
	sessions *fiberstore.RedisSessions
	conn     *redis.Client
	owner    user.User
	one      session.Session
}

func newRedisStore(t testing.TB, o fiberstore.RedisOptions, server *redistest.Server) redisStore {
	t.Helper()
	s := redisStore{server: server, db: sqlite(t), conn: redis.NewClient(&redis.Options{Addr: server.Addr()})}
	t.Cleanup(func() { _ = s.conn.Close() })
	o.Addrs = []string{server.Addr()}
	s.sessions = openRedis(t, o, s.db.Users())
	s.owner, s.one = s.begin(t)
	return s
}

// begin registers somebody and begins a session.
func (s redisStore) begin(t testing.TB) (user.User, session.Session) {
	t.Helper()
	u := newUser(t)
	if err := s.db.Users().Add(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	return u, s.another(t, u)
}

func (s redisStore) another(t testing.TB, u user.User) session.Session {
	t.Helper()
	one := session.Begin(session.Start{
		ID: session.ID{UUID: newID()}, Key: newKey(), UserID: u.ID(), Epoch: u.SessionEpoch(), Methods: session.ByPassword,
	}, session.DefaultLifetime, start)
	if err := s.sessions.Add(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	return one
}

// keys are all keys of the server.
func (s redisStore) keys(t testing.TB) []string {
	t.Helper()
	all, err := s.conn.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// calls are all calls that somebody may make of the sessions.
func (s redisStore) calls() map[string]func(context.Context) error {
	k, id, one := s.one.Key(), s.owner.ID(), s.one
	return map[string]func(context.Context) error{
		"Add":     func(ctx context.Context) error { return s.sessions.Add(ctx, one) },
		"Resume":  func(ctx context.Context) error { return second(s.sessions.Resume(ctx, k)) },
		"Replace": func(ctx context.Context) error { return s.sessions.Replace(ctx, k, one, session.Reason{}, start) },
		"Rotate": func(ctx context.Context) error {
			return s.sessions.Replace(ctx, k, one.Rotated(newKey(), 1), session.PasswordChanged, start)
		},
		"End":       func(ctx context.Context) error { return second(s.sessions.End(ctx, k, signedOut)) },
		"Past":      func(ctx context.Context) error { return second(s.sessions.Past(ctx, k)) },
		"PastOf":    func(ctx context.Context) error { return second(s.sessions.PastOf(ctx, id)) },
		"Known":     func(ctx context.Context) error { return second(s.sessions.Known(ctx, id)) },
		"List":      func(ctx context.Context) error { return second(s.sessions.List(ctx, id)) },
		"EndOne":    func(ctx context.Context) error { return second(s.sessions.EndOne(ctx, id, one.ID(), signedOut)) },
		"EndOthers": func(ctx context.Context) error { return second(s.sessions.EndOthers(ctx, id, k, signedOut)) },
		"Trim":      func(ctx context.Context) error { return second(s.sessions.Trim(ctx, id, 1, signedOut)) },
		"Prune":     func(ctx context.Context) error { return second(s.sessions.Prune(ctx, start, 1)) },
		"PrunePast": func(ctx context.Context) error { return second(s.sessions.PrunePast(ctx, start, 1)) },
		"Forget":    func(ctx context.Context) error { return s.sessions.Forget(ctx, id) },
		"Check":     func(ctx context.Context) error { return s.sessions.Check(ctx) },
	}
}

// wantOutage makes all calls side by side and asks that none is told anything.
func (s redisStore) wantOutage(t *testing.T, while string) {
	t.Helper()
	var wait sync.WaitGroup
	for what, call := range s.calls() {
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			answer := make(chan error, 1)
			go func() { answer <- call(ctx) }()
			select {
			case err := <-answer:
				if !errors.Is(err, fault.Unavailable) || errors.Is(err, fault.NotFound) {
					t.Errorf("%s while %s = %v, want Unavailable", what, while, err)
				}
			case <-time.After(10 * time.Second):
				t.Errorf("%s while %s goes on long after its time", what, while)
			}
		})
	}
	wait.Wait()
}

// Whoever cannot ask Redis is told so, and never that there is no session.
func TestRedisOutage(t *testing.T) {
	s := newRedisStore(t, fiberstore.RedisOptions{Timeout: time.Minute}, redistest.New(t)) // so the context says how long

	s.server.Kill()
	s.wantOutage(t, "Redis is dead")
	if _, err := fiberstore.OpenRedis(t.Context(), fiberstore.RedisOptions{Addrs: []string{s.server.Addr()}, Password: "hush"}, s.db.Users()); !errors.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "hush") {
		t.Errorf("OpenRedis of a dead server = %v, want Unavailable", err)
	}
	if err := s.server.Start(); err != nil {
		t.Fatal(err)
	}
	s.wantAlive(t, "Redis was killed and started again")

	s.server.Freeze()
	s.wantOutage(t, "Redis does not answer")
	s.server.Thaw() // and what waited is carried out
	s.owner, s.one = s.begin(t)
	s.wantAlive(t, "Redis answers again")

	for what, settings := range map[string][]string{
		"Redis takes no writes":       {"min-replicas-to-write", "1"},
		"the memory of Redis is full": {"maxmemory", "1"},
	} {
		if err := s.conn.ConfigSet(t.Context(), settings[0], settings[1]).Err(); err != nil {
			t.Fatal(err)
		}
		for _, call := range []string{"Add", "Rotate", "Check"} {
			if err := s.calls()[call](t.Context()); !errors.Is(err, fault.Unavailable) {
				t.Errorf("%s while %s = %v, want Unavailable", call, what, err)
			}
		}
		if err := s.conn.ConfigSet(t.Context(), settings[0], "0").Err(); err != nil {
			t.Fatal(err)
		}
	}
	s.wantAlive(t, "Redis takes writes again")

	if err := s.sessions.Close(); err != nil {
		t.Fatal(err)
	}
	s.wantOutage(t, "the connections are closed")
}

func (s redisStore) wantAlive(t *testing.T, what string) {
	t.Helper()
	got, err := s.sessions.Resume(t.Context(), s.one.Key())
	if err != nil || got.Session.State() != s.one.State() || got.User.ID() != s.owner.ID() {
		t.Errorf("Resume when %s = %v, want the session", what, err)
	}
}

// A Redis that has lost its data has lost the sessions: that is an answer.
func TestRedisEmptied(t *testing.T) {
	s := newRedisStore(t, fiberstore.RedisOptions{}, redistest.New(t))
	if err := s.conn.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.sessions.Resume(t.Context(), s.one.Key()); !errors.Is(err, fault.NotFound) {
		t.Errorf("Resume after FLUSHALL = %v, want NotFound", err)
	}
}

// What we did not write is a defect, and no missing session.
func TestRedisForeignValues(t *testing.T) {
	s := newRedisStore(t, fiberstore.RedisOptions{}, redistest.New(t))
	u, ended := s.begin(t)
	if _, err := s.sessions.End(t.Context(), ended.Key(), signedOut); err != nil {
		t.Fatal(err)
	}
	for _, key := range s.keys(t) {
		kind, err := s.conn.Type(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		if kind != "hash" {
			continue
		}
		fields, err := s.conn.HGetAll(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		for field, value := range fields {
			if err := s.conn.HSet(t.Context(), key, field, value+"\x00").Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for what, err := range map[string]error{
		"Resume": second(s.sessions.Resume(t.Context(), s.one.Key())),
		"List":   second(s.sessions.List(t.Context(), s.owner.ID())),
		"Past":   second(s.sessions.Past(t.Context(), ended.Key())),
		"PastOf": second(s.sessions.PastOf(t.Context(), u.ID())),
	} {
		if !errors.Is(err, fault.Unavailable) {
			t.Errorf("%s of a value that was not written by us = %v, want Unavailable", what, err)
		}
	}
}

// Nothing stays for ever: whatever is not pruned goes by itself.
func TestRedisKeysExpire(t *testing.T) {
	s := newRedisStore(t, fiberstore.RedisOptions{}, redistest.New(t))
	_, ended := s.begin(t)
	if _, err := s.sessions.End(t.Context(), ended.Key(), signedOut); err != nil {
		t.Fatal(err)
	}
	s.another(t, s.owner)
	next := s.one.Rotated(newKey(), 0)
	if err := s.sessions.Replace(t.Context(), s.one.Key(), next, session.PasswordChanged, start); err != nil {
		t.Fatal(err)
	}
	for _, key := range s.keys(t) {
		if strings.Contains(key, "{due:") || strings.Contains(key, "{old:") {
			continue // of these there are not more than there are users
		}
		left, err := s.conn.TTL(t.Context(), key).Result()
		if err != nil || left <= 0 || left > session.DefaultLifetime.Absolute+session.PastKept+48*time.Hour {
			t.Errorf("the key %s is kept for %v, %v", key, left, err)
		}
	}
	// A session that ends later keeps the hash for longer, and one that ends
	// sooner does not cut it short.
	id := next.UserID().UUID
	key := "gatehouse:{" + base64.RawURLEncoding.EncodeToString(id[:]) + "}:s"
	before, err := s.conn.PTTL(t.Context(), key).Result()
	if err != nil || before <= 0 {
		t.Fatalf("PTTL = %v, %v", before, err)
	}
	state := next.State()
	state.IdleEnd = start.Add(time.Minute)
	if err := s.sessions.Replace(t.Context(), next.Key(), session.Restore(state), session.Reason{}, start); err != nil {
		t.Fatal(err)
	}
	if after, err := s.conn.PTTL(t.Context(), key).Result(); err != nil || after < before-time.Minute {
		t.Errorf("after a session that ends sooner the hash is kept for %v, %v, want about %v", after, err, before)
	}
}

// Who was deleted leaves nothing behind.
func TestRedisForgets(t *testing.T) {
	s := newRedisStore(t, fiberstore.RedisOptions{}, redistest.New(t))
	second := s.another(t, s.owner)
	if _, err := s.sessions.End(t.Context(), second.Key(), signedOut); err != nil {
		t.Fatal(err)
	}
	users := s.sessions.Users(s.db.Users())
	if err := users.Delete(t.Context(), s.owner.ID(), func(user.User) error { return errors.New("no") }); err == nil {
		t.Fatal("Delete against an objection = nil")
	}
	s.wantAlive(t, "its user was not deleted")
	if err := users.Delete(t.Context(), s.owner.ID(), func(user.User) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, key := range s.keys(t) {
		if strings.HasSuffix(key, ":s") || strings.HasSuffix(key, ":p") {
			t.Errorf("%s is left of a user who was deleted", key)
		}
	}
	u, one := s.begin(t)
	s.server.Kill() // the deletion does not hang on Redis, and what is left is good for nothing
	if err := users.Delete(t.Context(), u.ID(), func(user.User) error { return nil }); err != nil {
		t.Errorf("Delete without Redis = %v, want nil", err)
	}
	if err := s.server.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.sessions.Resume(t.Context(), one.Key()); !errors.Is(err, fault.NotFound) {
		t.Errorf("Resume of who was deleted while Redis was away = %v, want NotFound", err)
	}
}

// An operator is told under which settings sessions would be lost.
func TestRedisWarns(t *testing.T) {
	server := redistest.New(t)
	conn := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer conn.Close()
	for _, c := range []struct {
		settings map[string]string
		warnings []string
	}{
		{map[string]string{"maxmemory": "0", "maxmemory-policy": "allkeys-lru", "appendonly": "yes"}, nil},
		{map[string]string{"maxmemory": "100mb", "maxmemory-policy": "noeviction"}, nil},
		{map[string]string{"maxmemory": "100mb", "maxmemory-policy": "volatile-lru"}, []string{"noeviction"}},
		{map[string]string{"maxmemory": "0", "appendonly": "no"}, []string{"appendonly"}},
	} {
		for name, value := range c.settings {
			if err := conn.ConfigSet(t.Context(), name, value).Err(); err != nil {
				t.Fatal(err)
			}
		}
		var told strings.Builder
		o := fiberstore.RedisOptions{Addrs: []string{server.Addr()}, Log: slog.New(slog.NewTextHandler(&told, nil))}
		openRedis(t, o, sqlite(t).Users())
		if n := strings.Count(told.String(), "level=WARN"); n != len(c.warnings) {
			t.Errorf("%v gives %d warnings, want %d: %s", c.settings, n, len(c.warnings), told.String())
		}
		for _, w := range c.warnings {
			if !strings.Contains(told.String(), w) {
				t.Errorf("%v is not warned of with %s: %s", c.settings, w, told.String())
			}
		}
	}
}

// A wrong password is told without the password.
func TestRedisPassword(t *testing.T) {
	server, err := redistest.Launch("--requirepass", "swordfish")
	if err != nil {
		t.Skip(err) // redistest.New tells of it elsewhere
	}
	t.Cleanup(server.Close)
	o := fiberstore.RedisOptions{Addrs: []string{server.Addr()}, Password: "swordfish"}
	openRedis(t, o, sqlite(t).Users())
	for _, wrong := range []string{"", "swordfish2"} {
		o.Password = wrong
		if _, err := fiberstore.OpenRedis(t.Context(), o, nil); !errors.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("OpenRedis(a wrong password) = %v, want Unavailable without the password", err)
		}
	}
}

// The rights that docs/scaling.md names are enough.
func TestRedisRights(t *testing.T) {
	server := redistest.New(t)
	conn := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer conn.Close()
	args := []any{"ACL", "SETUSER", "gate", "on", ">swordfish", "resetkeys", "~gatehouse:*", "-@all", "+@read", "+@write", "+@scripting", "+@connection", "+info"}
	if err := conn.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
	s := newRedisStore(t, fiberstore.RedisOptions{Username: "gate", Password: "swordfish"}, server)
	for what, call := range s.calls() {
		if err := call(t.Context()); errors.Is(err, fault.Unavailable) {
			t.Errorf("%s with the least rights = %v", what, err)
		}
	}
}

// cutter is a server whose connections break after a command was carried out and
// before its answer.
type cutter struct {
	net.Conn
	cut *atomic.Bool
}

func (c cutter) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.cut.Swap(false) && err == nil {
		_ = c.Close()
		return 0, io.EOF
	}
	return n, err
}

// The second attempt would find no session, and say so.
func clusterDoesNotRepeat(t *testing.T, c *redistest.Cluster) {
	var cut atomic.Bool
	o := redisOptions(t, c.URL())
	o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return cutter{conn, &cut}, err
	}
	db := sqlite(t)
	s := redisStore{db: db, sessions: openRedis(t, o, db.Users())}
	s.owner, s.one = s.begin(t)
	for range 2 { // the script is sent in full once
		if _, err := s.sessions.EndOne(t.Context(), s.owner.ID(), session.ID{}, signedOut); !errors.Is(err, fault.NotFound) {
			t.Fatalf("EndOne(nothing) = %v, want NotFound", err)
		}
	}
	cut.Store(true)
	_, err := s.sessions.EndOne(t.Context(), s.owner.ID(), s.one.ID(), signedOut)
	if !errors.Is(err, fault.Unavailable) {
		t.Errorf("EndOne whose answer is lost = %v, want Unavailable", err)
	}
	if _, err := s.sessions.Resume(t.Context(), s.one.Key()); !errors.Is(err, fault.NotFound) {
		t.Errorf("Resume after an ending whose answer was lost = %v, want NotFound", err)
	}
}

// A part of a cluster that is away is an outage for those whose sessions it has.
func clusterOutage(t *testing.T, c *redistest.Cluster) {
	o := redisOptions(t, c.URL())
	o.Timeout = time.Second
	db := sqlite(t)
	s := redisStore{db: db, sessions: openRedis(t, o, db.Users())}
	var all []session.Session
	for range 8 {
		_, one := s.begin(t)
		all = append(all, one)
	}
	c.Nodes[1].Kill()
	lost := 0
	for _, one := range all {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := s.sessions.Resume(ctx, one.Key())
		cancel()
		if err != nil && (!errors.Is(err, fault.Unavailable) || errors.Is(err, fault.NotFound)) {
			t.Errorf("Resume while a part is away = %v, want the session or Unavailable", err)
		}
		if err != nil {
			lost++
		}
	}
	if lost == 0 {
		t.Error("none of 8 sessions is in a third of the cluster")
	}
	if err := c.Nodes[1].Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if _, err := s.sessions.Resume(t.Context(), one.Key()); err != nil {
			t.Errorf("Resume when the cluster is whole again = %v", err)
		}
	}
}

// What is read of a past session is what was written, and nothing else is read.
func FuzzDecodePast(f *testing.F) {
	one := session.Begin(session.Start{ID: session.ID{UUID: newID()}, Key: newKey(), Device: session.Device{UserAgent: "test"}}, session.DefaultLifetime, start)
	for _, e := range []session.Ending{signedOut, {Why: session.LimitReached, At: time.UnixMicro(-1)}} {
		value := fiberstore.EndingBytes(e) + string(fiberstore.Encode(one))
		if p, err := fiberstore.DecodePast(one.Key(), value); err != nil || p != e.Of(one) {
			f.Fatalf("DecodePast = %v, %v, want %v", p, err, e.Of(one))
		}
		f.Add(value)
	}
	f.Add("")
	f.Add("12345678\xff")
	f.Fuzz(func(t *testing.T, value string) {
		p, err := fiberstore.DecodePast(one.Key(), value)
		if err == nil && !strings.HasPrefix(value, fiberstore.EndingBytes(session.Ending{Why: p.Why, At: p.EndedAt})) {
			t.Errorf("DecodePast(%q) = %v, which is written otherwise", value, p)
		}
	})
}
