package httptests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/ports"
)

// testOutages: a store that is away is 503, never 401, never anonymous.
func testOutages(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	mina := app.SignIn("mina@example.com")
	id := mina.Offer("status", "published")
	token, link := mina.Cookie, app.linkFor("mina@example.com")
	call := func(method, path string, body any) *Answer {
		t.Helper()
		if mina.Cookie = token; path == "/login" {
			mina.Cookie = "" // or it would end with a sign-in that fails half-way
		}
		return mina.Do(method, path, body)
	}
	change := obj{"currentPassword": password, "newPassword": "another-fine-passphrase"}
	forget, set, signIn := forgot("mina@example.com"), reset(link, "another-fine-passphrase"), creds("mina@example.com", password)
	move, proof := obj{"email": "new@example.com", "currentPassword": password}, obj{"password": password}
	for port, calls := range map[string][][3]any{
		"sessions": {{"GET", "/me", nil}, {"GET", "/products", nil}, {"GET", "/products/" + id, nil}, {"POST", "/products", teapot()}, {"POST", "/logout", nil},
			{"POST", "/register", creds("x@example.com", password)}, {"POST", "/login", creds("mina@example.com", password)}, {"PUT", "/me/password", change},
			{"POST", "/login/totp", obj{"code": "1"}}, {"POST", "/password/forgot", forget}, {"POST", "/email/verify", obj{"token": link}}, {"POST", "/me/totp", nil}, {"POST", "/me/reauthenticate", proof}},
		"tickets": {{"POST", "/password/reset", set}, {"POST", "/email/verify", obj{"token": link}}},
		"ledger":  {{"POST", "/login", signIn}, {"POST", "/login", creds("nobody@example.com", password)}, {"POST", "/password/forgot", forget}, {"POST", "/password/forgot", forgot("nobody@example.com")}, {"POST", "/email/verification", nil}, {"PUT", "/me/email", move}, {"GET", "/me/export", nil}},
		"factors": {{"POST", "/login", signIn}, {"POST", "/me/totp", nil}, {"POST", "/me/totp/confirm", obj{"code": "1"}}, {"DELETE", "/me/totp", proof}, {"GET", "/me/export", nil}},
		"outbox":  {{"GET", "/me/export", nil}},
		"audit":   {{"GET", "/me/export", nil}},
		"users": {{"POST", "/register", creds("x@example.com", password)}, {"POST", "/login", creds("mina@example.com", password)}, {"PATCH", "/me", obj{"name": "x"}}, {"PUT", "/me/password", change}, {"DELETE", "/me", leaving(password)},
			{"POST", "/password/forgot", forget}, {"POST", "/password/reset", set}, {"PUT", "/me/email", move}},
		"hasher": {{"POST", "/register", creds("x@example.com", password)}, {"POST", "/login", creds("mina@example.com", password)}, {"PUT", "/me/password", change}, {"DELETE", "/me", leaving(password)},
			{"POST", "/password/reset", set}, {"PUT", "/me/email", move}, {"POST", "/me/reauthenticate", proof}, {"DELETE", "/me/totp", proof}},
		"directory":  {{"POST", "/login", signIn}, {"GET", "/me/sessions", nil}, {"GET", "/me/export", nil}, {"DELETE", "/me/sessions", nil}, {"DELETE", "/me/sessions/" + id, nil}},
		"products":   {{"GET", "/products", nil}, {"GET", "/me/export", nil}, {"POST", "/products", teapot()}, {"GET", "/products/" + id, nil}, {"PATCH", "/products/" + id, `{}`}, {"DELETE", "/products/" + id, nil}, {"GET", "/products/" + id + "/permissions", nil}},
		"authorizer": {{"GET", "/products", nil}, {"POST", "/products", teapot()}, {"GET", "/products/" + id, nil}, {"PATCH", "/products/" + id, `{}`}, {"DELETE", "/products/" + id, nil}, {"GET", "/products/" + id + "/permissions", nil}},
	} {
		for _, one := range calls {
			method, _ := one[0].(string)
			path, _ := one[1].(string)
			app.Faults.Break(port, outage)
			if a := call(method, path, one[2]).Want(503, "unavailable"); a.Header.Get("Retry-After") != "1" || a.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s %s without %s: Retry-After %q, Set-Cookie %q", method, path, port, a.Header.Get("Retry-After"), a.Header.Get("Set-Cookie"))
			}
			app.Faults.Break(port, busy)
			if a := call(method, path, one[2]).Want(503, "unavailable"); a.Header.Get("Retry-After") != "3" {
				t.Errorf("%s %s: Retry-After = %q, want 2.5 s rounded up", method, path, a.Header.Get("Retry-After"))
			}
			app.Faults.Break(port, defect)
			call(method, path, one[2]).Want(500, "internal")
			app.Faults.Break(port, nil)
		}
	}
	// Without a session there is no store to ask for one.
	app.Faults.Break("sessions", outage)
	app.Anonymous().Do("GET", "/products/"+id, nil).Want(200, "")
	app.Anonymous().Do("GET", "/me", nil).Want(401, "unauthenticated")
	app.Anonymous().Do("GET", "/me", nil, "Cookie", "sid=not-a-token").Want(401, "unauthenticated")
	app.Anonymous().Do("POST", "/logout", nil, "Cookie", "sid=not-a-token").Want(204, "")
	app.Anonymous().Do("GET", "/livez", nil).Want(200, "")
	app.Anonymous().Do("POST", "/login/totp", obj{"code": "1"}, "Cookie", "sid=not-a-token").Want(401, "unauthenticated")
	app.Faults.Break("sessions", nil)
	call("GET", "/me", nil).Want(200, "")
	call("GET", "/products/"+id, nil).Want(200, "")
	call("POST", "/password/reset", set).Want(204, "") // no outage has used the link up
}

func testService(t *testing.T, open Open) {
	app := start(t, open, Options{})
	c := app.Anonymous()
	if a := c.Do("GET", "/livez", nil).Want(200, ""); string(a.Body) != `{"status":"ok"}` {
		t.Errorf("livez = %s", a.Body)
	}
	c.Do("GET", "/readyz", nil).Want(200, "")
	doc := c.Do("GET", "/openapi.json", nil).Want(200, "")
	if doc.Text("info", "version") != "1.2.3" {
		t.Errorf("version = %q", doc.Text("info", "version"))
	}
	c.Do("GET", "/openapi.json", nil, "If-None-Match", doc.Header.Get("Etag")).Want(304, "")
	page := c.Do("GET", "/docs", nil).Want(200, "")
	c.Do("GET", "/docs", nil, "If-None-Match", page.Header.Get("Etag")).Want(304, "")
	for _, path := range []string{"/password/reset", "/email/verify"} {
		page := c.Do("GET", path, nil).Want(200, "")
		c.Do("GET", path, nil, "If-None-Match", page.Header.Get("Etag")).Want(304, "")
		csp := page.Header.Get("Content-Security-Policy")
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "'self' 'sha256-") || !strings.Contains(csp, "script-src 'sha256-") || !strings.Contains(csp, "style-src 'sha256-") {
			t.Errorf("%s lets run more than its own script: %s", path, csp)
		}
	}
	asset := c.Do("GET", "/docs/swagger-ui.css", nil, "Accept-Encoding", "gzip").Want(200, "")
	c.Do("GET", "/docs/swagger-ui.css", nil, "Accept-Encoding", "gzip", "If-None-Match", asset.Header.Get("Etag")).Want(304, "")
	c.Do("GET", "/docs/nothing.css", nil).Want(404, "not_found")
}

type health func(context.Context) error

func (h health) Check(ctx context.Context) error { return h(ctx) }

func testReadiness(t *testing.T, open Open) {
	fine := health(func(context.Context) error { return nil })
	broken := health(func(context.Context) error { return errors.New("dial 10.9.8.7 refused") })
	stuck := health(func(context.Context) error { select {} })
	crashed := health(func(context.Context) error { panic("secret") })
	app := start(t, open, Options{Health: map[string]ports.Health{"database": fine, "sessions": fine}})
	a := app.Anonymous().Do("GET", "/readyz", nil).Want(200, "")
	if string(a.Body) != `{"status":"ok","checks":{"database":"ok","sessions":"ok"}}` {
		t.Errorf("readyz = %s", a.Body)
	}
	// What is wrong with something that works keeps nobody away, says so, and
	// tells strangers no more than that.
	worn := health(func(context.Context) error {
		return fmt.Errorf("wrapped: %w", &ports.Degraded{Says: "version 8 cannot be used", Err: errors.New("dial 10.9.8.7 refused")})
	})
	degraded := start(t, open, Options{Health: map[string]ports.Health{"database": fine, "policy": worn}})
	a = degraded.Anonymous().Do("GET", "/readyz", nil).Want(200, "")
	if string(a.Body) != `{"status":"degraded","checks":{"database":"ok","policy":"version 8 cannot be used"}}` {
		t.Errorf("readyz = %s", a.Body)
	}
	worse := start(t, open, Options{Health: map[string]ports.Health{"database": broken, "policy": worn}})
	if a = worse.Anonymous().Do("GET", "/readyz", nil).Want(503, "unavailable"); a.Text("detail") != "Not ready: database." {
		t.Errorf("detail = %q", a.Text("detail"))
	}
	bad := start(t, open, Options{Health: map[string]ports.Health{"database": broken, "migrations": fine, "policy": stuck, "sessions": crashed}})
	began := time.Now()
	a = bad.Anonymous().Do("GET", "/readyz", nil).Want(503, "unavailable")
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("readyz took %v", took)
	}
	if got := a.Text("detail"); got != "Not ready: database, policy, sessions." {
		t.Errorf("detail = %q", got)
	}
	if !strings.Contains(bad.Log(), "dial 10.9.8.7 refused") {
		t.Error("the log does not tell why the service is not ready")
	}
	bad.Anonymous().Do("GET", "/livez", nil).Want(200, "")
	app.Server.Drain()
	app.Anonymous().Do("GET", "/readyz", nil).Want(503, "unavailable")
	app.Anonymous().Do("GET", "/products", nil).Want(200, "")
}

func testPanics(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina := app.SignIn("mina@example.com")
	token := mina.Cookie
	for port, call := range map[string][2]string{"sessions": {"GET", "/me"}, "products": {"GET", "/products"}, "authorizer": {"GET", "/products/" + missing}, "directory": {"DELETE", "/me/sessions"}} {
		app.Faults.Break(port, crash)
		if a := mina.Do(call[0], call[1], nil).Want(500, "internal"); a.Header.Get("Set-Cookie") != "" {
			t.Errorf("a panic in %s touches the cookie", port)
		}
		app.Faults.Break(port, nil)
		mina.Cookie = token
		mina.Do("GET", "/me", nil).Want(200, "")
	}
	if log := app.Log(); !strings.Contains(log, "secret text of a panic") || !strings.Contains(log, "goroutine") {
		t.Error("the log lacks the panic or its stack")
	}
}

func testDeadline(t *testing.T, open Open) {
	app := start(t, open, Options{RequestTimeout: 100 * time.Millisecond})
	mina := app.SignIn("mina@example.com")
	for port, call := range map[string][2]string{"sessions": {"GET", "/me"}, "products": {"GET", "/products"}, "directory": {"GET", "/me/sessions"}, "factors": {"POST", "/me/totp"}, "ledger": {"POST", "/email/verification"}} {
		app.Faults.Break(port, hang)
		began := time.Now()
		mina.Do(call[0], call[1], nil).Want(503, "unavailable")
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s %s took %v, want about 100 ms", call[0], call[1], took)
		}
		app.Faults.Break(port, nil)
	}
	mina.Do("GET", "/me", nil).Want(200, "")
}

// testLog: one line for each request, with what helps and without what harms.
// That no secret stands there is checked after every test.
func testLog(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina := app.SignIn("mina@example.com")
	app.keep("q-in-the-query", "marker-in-the-body", "marker-in-a-header")
	me := mina.id()
	mina.Do("GET", "/products/"+missing+"?q=q-in-the-query", nil, "X-Request-Id", "the-one", "Authorization", "marker-in-a-header").Want(404, "not_found")
	mina.Do("POST", "/products", `{"name":"marker-in-the-body"`, "X-Request-Id", "the-body").Want(400, "malformed_json")
	line := logLine(t, app, "the-one")
	for key, want := range map[string]any{
		"level": "INFO", "msg": "request", "method": "GET", "route": "/products/{id}", "status": 404.0, "code": "not_found", "userId": me, "ip": "127.0.0.1",
	} {
		if line[key] != want {
			t.Errorf("log %s = %v, want %v", key, line[key], want)
		}
	}
	if line["duration"] == nil || line["bytes"] == nil {
		t.Errorf("log line lacks duration or bytes: %v", line)
	}
	app.Faults.Break("products", outage)
	mina.Do("GET", "/products", nil, "X-Request-Id", "away").Want(503, "unavailable")
	app.Faults.Break("products", defect)
	mina.Do("GET", "/products", nil, "X-Request-Id", "defect").Want(500, "internal")
	app.Faults.Break("products", nil)
	mina.Do("GET", "/livez", nil, "X-Request-Id", "probe").Want(200, "")
	for id, want := range map[string]string{"away": "WARN", "defect": "ERROR", "probe": "DEBUG"} {
		if got := logLine(t, app, id); got["level"] != want || (want != "DEBUG") != (got["cause"] != nil) {
			t.Errorf("log of %s: level %v, cause %v; want level %s", id, got["level"], got["cause"], want)
		}
	}
}

func logLine(t *testing.T, app *App, requestID string) map[string]any {
	t.Helper()
	var found map[string]any
	for line := range strings.Lines(app.Log()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if m["requestId"] == requestID {
			if found != nil {
				t.Errorf("two lines about %s", requestID)
			}
			found = m
		}
	}
	if found == nil {
		t.Fatalf("no line about %s", requestID)
	}
	return found
}

func testRequestID(t *testing.T, open Open) {
	app := start(t, open, Options{})
	c := app.Anonymous()
	for _, id := range []string{"a", "0199a3f2-7c1e-7d3a-9b1f-2c4e6a8d0f13", "A.b_c-9", strings.Repeat("x", 64)} {
		for _, path := range []string{"/livez", "/me", "/nowhere"} {
			if got := c.Do("GET", path, nil, "X-Request-Id", id).Header.Get("X-Request-Id"); got != id {
				t.Errorf("GET %s: X-Request-Id = %q, want %q", path, got, id)
			}
		}
	}
	seen := map[string]bool{}
	for _, id := range []string{"-", "", "a b", "a\tb", "a;b", `"a"`, "é", strings.Repeat("x", 65), "{}", "a/b"} {
		got := c.Do("GET", "/livez", nil, "X-Request-Id", id).Header.Get("X-Request-Id")
		if got == id || seen[got] {
			t.Errorf("X-Request-Id %q gives %q", id, got)
		}
		seen[got] = true
	}
}

func testShutdown(t *testing.T, open Open) {
	app := start(t, open, Options{RequestTimeout: 5 * time.Second})
	mina := app.SignIn("mina@example.com")
	entered, release := make(chan struct{}), make(chan struct{})
	app.Faults.Break("products", func(context.Context) error {
		close(entered)
		<-release
		return nil
	})
	answered := make(chan int, 1)
	go func() {
		a, err := mina.With(t).try("GET", "/products", nil)
		if err != nil {
			t.Errorf("a request in flight was cut: %v", err)
			answered <- 0
			return
		}
		answered <- a.Status
	}()
	<-entered
	done := make(chan error, 1)
	go func() { done <- app.Server.Shutdown(context.Background()) }()
	select {
	case err := <-done:
		t.Errorf("Shutdown = %v with a request in flight", err)
	case <-time.After(300 * time.Millisecond):
	}
	close(release)
	if status := <-answered; status != 200 {
		t.Errorf("the request in flight got %d", status)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	if _, err := app.Anonymous().With(t).try("GET", "/livez", nil); err == nil {
		t.Error("a server that was shut down answers")
	}
}
