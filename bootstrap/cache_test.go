package bootstrap_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/bootstrap"
	"gatehouse/tests/pgtest"
	"gatehouse/tests/redistest"
)

// TestSessionCache: with a cache those rows alone are answered without a look at
// the session that only show what their caller may see, and a node whose
// connection for hearing of changes is ended says so and reads every session.
func TestSessionCache(t *testing.T) {
	asked := &statements{}
	url := pgtest.Database(t)
	n := start(t, bootstrap.Program{Config: configuration(t, "GATEHOUSE_DATABASE_URL="+url, "GATEHOUSE_SESSION_CACHE=10s", "GATEHOUSE_REQUEST_TIMEOUT=60s"), Tracer: asked})
	ann := newCaller(t, n)
	const account = `{"email":"ann@example.com","password":"correct horse battery"}`
	ann.want(201, "POST", "/register", account)
	ann.want(200, "POST", "/login", account)
	lamp := "/products/" + ann.want(201, "POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"}}`)["id"].(string)
	state := func() any { return ann.want(200, "GET", "/readyz", "")["checks"].(map[string]any)["session_cache"] }
	on := func() bool { return state() == "ok" }
	until(t, "the cache is on", on)

	// reads reports whether a request looks at the session.
	reads := func(method, path, body string) bool {
		t.Helper()
		asked.take()
		if status, members := ann.call(method, path, body); status >= 300 {
			t.Fatalf("%s %s = %d %v", method, path, status, members)
		}
		return strings.Contains(strings.Join(asked.take(), ";"), "FROM user_sessions s JOIN users")
	}
	ann.want(200, "GET", "/me", "")
	for _, tt := range []struct {
		method, path, body string
		want               bool
	}{
		{"GET", "/me", "", false},
		{"HEAD", "/me", "", false},
		{"GET", lamp, "", false},
		{"GET", "/products", "", false},
		{"GET", lamp + "/permissions", "", false},
		{"GET", lamp + "/grants", "", false},
		{"GET", "/me/sessions", "", true},
		{"GET", "/me/export", "", true},
		{"PATCH", lamp, `{"stock":7}`, true},
		{"POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"}}`, true},
		{"GET", "/me", "", false},
		{"PATCH", "/me", `{"name":"Ann"}`, true},
		{"GET", "/me", "", true}, // once more, since it was changed
		{"GET", "/me", "", false},
	} {
		if tt.want {
			if !reads(tt.method, tt.path, tt.body) {
				t.Errorf("%s %s does not look at the session", tt.method, tt.path)
			}
			continue
		}
		// Of a change that was made here the node is told a moment later once more.
		until(t, tt.method+" "+tt.path+" looks at no session", func() bool { return !reads(tt.method, tt.path, tt.body) })
	}

	admin, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	// Who listens shares a lock: while somebody has it alone, the node cannot come back.
	const lock = "pg_try_advisory_lock(7449363237455356776)"
	until(t, "the lock is had", func() (had bool) {
		err := admin.QueryRow(t.Context(), "SELECT count(pg_terminate_backend(pid)) >= 0 AND "+lock+
			" FROM pg_stat_activity WHERE application_name = 'gatehouse listening' AND datname = current_database()").Scan(&had)
		if err != nil {
			t.Fatal(err)
		}
		return had
	})
	until(t, "the end of the connection is seen", func() bool { return !on() })
	if !reads("GET", "/me", "") {
		t.Error("with nothing heard GET /me is answered without a look at the session")
	}
	if said := state(); !strings.Contains(said.(string), "every session is read from the database") {
		t.Errorf("GET /readyz says %q of a cache that is off", said)
	}
	if _, err := admin.Exec(t.Context(), "SELECT pg_advisory_unlock_all()"); err != nil {
		t.Fatal(err)
	}
	until(t, "the cache is on again", on)
}

// TestSessionCacheOverRedis: what is ended in Redis through one node, another one
// obeys within the bound.
func TestSessionCacheOverRedis(t *testing.T) {
	environ := []string{"GATEHOUSE_DATABASE_URL=" + pgtest.Database(t), "GATEHOUSE_SESSION_STORE=" + redistest.Database(t), "GATEHOUSE_SESSION_CACHE=5s", "GATEHOUSE_REQUEST_TIMEOUT=60s"}
	here := start(t, bootstrap.Program{Config: configuration(t, environ...)})
	there := start(t, bootstrap.Program{Config: configuration(t, environ...)})
	ann := newCaller(t, here)
	elsewhere := &caller{TB: t, base: "http://" + there.Addr().String(), http: http.Client{Jar: ann.http.Jar}}
	until(t, "the cache is on", func() bool {
		return elsewhere.want(200, "GET", "/readyz", "")["checks"].(map[string]any)["session_cache"] == "ok"
	})
	const account = `{"email":"ann@example.com","password":"correct horse battery"}`
	ann.want(201, "POST", "/register", account)
	for _, end := range []struct{ method, path string }{{"POST", "/logout"}, {"DELETE", "/me/sessions"}} {
		ann.want(200, "POST", "/login", account)
		kept := *elsewhere
		kept.http.Jar = nil
		token := cookie(t, ann, "sid")
		me := func() int { status, _ := kept.call("GET", "/me", "", "Cookie", "sid="+token); return status }
		for range 2 {
			if status := me(); status != 200 {
				t.Fatalf("GET /me = %d, want 200", status)
			}
		}
		if end.path == "/me/sessions" { // ends the others: the one that is asked with
			other := newCaller(t, here)
			other.want(200, "POST", "/login", account)
			other.want(204, end.method, end.path, "")
		} else {
			ann.want(204, end.method, end.path, "")
		}
		ended := time.Now()
		for {
			began := time.Now()
			status := me()
			if status == 401 {
				break
			}
			if began.Sub(ended) >= 5*time.Second {
				t.Fatalf("%s after %s %s, GET /me = %d on the other node", began.Sub(ended), end.method, end.path, status)
			}
		}
		t.Logf("%s %s is obeyed within %s", end.method, end.path, time.Since(ended).Round(time.Millisecond))
	}
}

// cookie is the value that a caller's cookie has.
func cookie(t *testing.T, c *caller, name string) string {
	t.Helper()
	u, err := url.Parse(c.base)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range c.http.Jar.Cookies(u) {
		if one.Name == name {
			return one.Value
		}
	}
	t.Fatalf("there is no cookie %s", name)
	return ""
}

// until returns when ok does. It measures nothing.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
