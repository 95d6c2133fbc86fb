package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse/tests/pgtest"
)

// outage is one route, asked while the database is away.
type outage struct {
	method, path, body string
	status             int // 0 stands for 503
}

// outages is every route. Those with a status do not need the database, for
// what is asked of them here.
func outages(product, session string) []outage {
	token := strings.Repeat("A", 43)
	const nobody = "01890000-0000-7000-8000-000000000000"
	const credentials = `{"email":"bob@example.com","password":"correct horse battery"}`
	return []outage{
		{"POST", "/register", credentials, 0},
		{"POST", "/login", credentials, 0},
		{"POST", "/login/totp", `{"code":"123456"}`, 0},
		{"POST", "/password/forgot", `{"email":"bob@example.com"}`, 0},
		{"POST", "/password/reset", `{"token":"` + token + `","newPassword":"battery horse correct"}`, 0},
		{"GET", "/password/reset", "", 200},
		{"POST", "/email/verification", "", 0},
		{"POST", "/email/verify", `{"token":"` + token + `"}`, 0},
		{"GET", "/email/verify", "", 200},
		{"POST", "/logout", "", 0},
		{"GET", "/me", "", 0},
		{"PATCH", "/me", `{"name":"A"}`, 0},
		{"DELETE", "/me", `{"password":"not this one"}`, 0},
		{"GET", "/me/export", "", 0},
		{"GET", "/me/sessions", "", 0},
		{"DELETE", "/me/sessions", "", 0},
		{"DELETE", "/me/sessions/" + session, "", 0},
		{"PUT", "/me/password", `{"currentPassword":"correct horse battery","newPassword":"battery horse correct"}`, 0},
		{"PUT", "/me/email", `{"email":"new@example.com","currentPassword":"correct horse battery"}`, 0},
		{"POST", "/me/reauthenticate", `{"password":"correct horse battery"}`, 0},
		{"POST", "/me/totp", "", 0},
		{"POST", "/me/totp/confirm", `{"code":"123456"}`, 0},
		{"DELETE", "/me/totp", `{"password":"correct horse battery"}`, 0},
		{"POST", "/products", `{"name":"x","price":{"amount":1,"currency":"KRW"}}`, 0},
		{"GET", "/products", "", 0},
		{"GET", product, "", 0},
		{"PATCH", product, `{"stock":1}`, 0},
		{"DELETE", product, "", 0},
		{"GET", product + "/permissions", "", 0},
		{"PUT", product + "/owner", `{"ownerId":"` + nobody + `"}`, 0},
		{"GET", product + "/grants", "", 0},
		{"PUT", product + "/grants/" + nobody, `{"role":"viewer"}`, 0},
		{"DELETE", product + "/grants/" + nobody, "", 0},
		{"GET", "/admin/users", "", 0},
		{"GET", "/admin/users/" + nobody, "", 0},
		{"PATCH", "/admin/users/" + nobody, `{"status":"disabled"}`, 0},
		{"GET", "/admin/users/" + nobody + "/sessions", "", 0},
		{"DELETE", "/admin/users/" + nobody + "/sessions", "", 0},
		{"DELETE", "/admin/users/" + nobody + "/sessions/" + nobody, "", 0},
		{"GET", "/admin/audit", "", 0},
		{"GET", "/admin/policies", "", 0},
		{"POST", "/admin/policies", `{"role":"x","resource":"product","action":"read","condition":"any","effect":"allow"}`, 0},
		{"POST", "/admin/policies/explain", `{"roles":["user"],"action":"read"}`, 0},
		{"POST", "/admin/policies/preview", `{"rollback":{"version":1}}`, 0},
		{"GET", "/admin/policies/history", "", 0},
		{"GET", "/admin/policies/history/1", "", 0},
		{"POST", "/admin/policies/rollback", `{"version":1}`, 0},
		{"GET", "/admin/policies/" + nobody, "", 0},
		{"DELETE", "/admin/policies/" + nobody, "", 0},
		{"GET", "/livez", "", 200},
		{"GET", "/readyz", "", 0},
		{"GET", "/openapi.json", "", 200},
		{"GET", "/docs", "", 200},
	}
}

// TestOutage: with PostgreSQL stopped nothing is said to be missing, wrong or
// forbidden, and nobody is signed out; it mends by itself.
func TestOutage(t *testing.T) {
	server := pgtest.New(t)
	w := newWorld(t)
	p := w.serve("GATEHOUSE_DATABASE_URL=" + server.Database(t))
	c := w.client()
	c.signUp(p, "ann@example.com")
	product := c.want(p, 201, "POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"},"status":"published"}`).header.Get("Location")
	session, _ := items(c.want(p, 200, "GET", "/me/sessions", ""))[0].(map[string]any)
	routes := outages(product, fmt.Sprint(session["id"]))
	everyRoute(t, routes, c.want(p, 200, "GET", "/openapi.json", "").text)

	down := func(how string, routes []outage) {
		t.Helper()
		var all sync.WaitGroup
		var slowest atomic.Int64
		for _, r := range routes {
			for _, who := range []*client{c, w.client()} {
				all.Go(func() {
					began := time.Now()
					got, err := who.try(p, r.method, r.path, r.body)
					if err != nil {
						t.Errorf("%s: %s %s: %v", how, r.method, r.path, err)
						return
					}
					judge(t, how, r, got, who == c)
					for took := int64(time.Since(began)); ; {
						if old := slowest.Load(); old >= took || slowest.CompareAndSwap(old, took) {
							break
						}
					}
				})
			}
		}
		all.Wait()
		t.Logf("%s: the slowest answer took %s (the budget is 2.5s)", how, time.Duration(slowest.Load()).Round(time.Millisecond))
	}
	up := func() {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			if c.do(p, "GET", "/readyz", "").status == 200 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("it does not recover:\n%s", p.said)
			}
		}
		c.want(p, 200, "GET", "/me", "")
		c.want(p, 200, "GET", product, "")
	}

	server.Stop()
	down("stopped", routes)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	up()
	server.Kill()
	down("killed", routes)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	up()
	// A frozen server has the statements already and carries them out when it
	// goes on: what begins with its write is not asked here.
	begin := slices.DeleteFunc(slices.Clone(routes), func(r outage) bool { return r.path == "/logout" || r.path == "/register" })
	server.Freeze()
	down("frozen", begin)
	server.Thaw()
	up()
}

// judge holds one answer to what an outage is answered with.
func judge(t *testing.T, how string, r outage, got answer, signedIn bool) {
	t.Helper()
	want := r.status
	if want == 0 {
		want = 503
	}
	// Who shows no cookie is told to sign in, or that there was no session,
	// without any question to the database.
	needsNone := slices.Contains([]string{"/logout", "/login/totp", "/email/verification"}, r.path) || strings.HasPrefix(r.path, "/me") || strings.HasPrefix(r.path, "/admin/")
	if !signedIn && needsNone {
		if got.status == 401 || got.status == 204 {
			return
		}
	}
	if got.status != want {
		t.Errorf("%s: %s %s (signed in: %t) = %d %s, want %d", how, r.method, r.path, signedIn, got.status, got.text, want)
		return
	}
	if want != 503 {
		return
	}
	if got.header.Get("Retry-After") == "" || got.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: %s %s has Retry-After %q and Content-Type %q", how, r.method, r.path, got.header.Get("Retry-After"), got.header.Get("Content-Type"))
	}
	if got.body["code"] != "unavailable" || len(got.header.Values("Set-Cookie")) > 0 {
		t.Errorf("%s: %s %s answers %s with Set-Cookie %q", how, r.method, r.path, got.text, got.header.Values("Set-Cookie"))
	}
}

// everyRoute holds the table to the surface that the service describes.
func everyRoute(t *testing.T, routes []outage, document string) {
	t.Helper()
	var surface struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal([]byte(document), &surface); err != nil {
		t.Fatal(err)
	}
	for path, methods := range surface.Paths {
		for method := range methods {
			if method == "parameters" || strings.HasPrefix(path, "/docs/") {
				continue
			}
			if !slices.ContainsFunc(routes, func(r outage) bool { return strings.EqualFold(r.method, method) && matches(path, r.path) }) {
				t.Errorf("%s %s is not in the table of outages", method, path)
			}
		}
	}
}

// matches reports whether a path is one of a template such as /products/{id}.
func matches(template, path string) bool {
	a, b := strings.Split(template, "/"), strings.Split(path, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !strings.HasPrefix(a[i], "{") {
			return false
		}
	}
	return true
}

// TestStopUnderLoad: a load balancer that watches /readyz loses nothing.
func TestStopUnderLoad(t *testing.T) {
	w := newWorld(t)
	p := w.serve("GATEHOUSE_DATABASE_URL=sqlite:load.db", "GATEHOUSE_DRAIN_DELAY=2s")
	c := w.client()
	c.signUp(p, "ann@example.com")

	var stopping atomic.Bool
	var answered atomic.Int64
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for n := 0; !stopping.Load(); n++ {
				method, path, body := "GET", "/me", ""
				if i%4 == 0 {
					method, path, body = "POST", "/products", `{"name":"x","price":{"amount":1,"currency":"KRW"}}`
				}
				a, err := c.try(p, method, path, body)
				if err != nil || a.status >= 300 {
					t.Errorf("%s %s while stopping = %d %s, %v", method, path, a.status, a.text, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	for answered.Load() < 200 {
		time.Sleep(time.Millisecond)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); c.do(p, "GET", "/readyz", "").status != 503; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatal("/readyz does not turn to 503")
		}
	}
	c.want(p, 200, "GET", "/livez", "")
	stopping.Store(true)
	clients.Wait()
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d, want 0\n%s", code, p.said)
	}
	t.Logf("%d requests answered", answered.Load())
}

// TestInFlightIsFinished: what was asked before SIGTERM is answered, although
// the listener closes at once.
func TestInFlightIsFinished(t *testing.T) {
	w := newWorld(t)
	p := w.serve("GATEHOUSE_DATABASE_URL=memory:", "GATEHOUSE_HASH_SLOTS=1", calm)
	const requests = 8
	// Hashing takes its time, one after the other, so they are all in work.
	var written, done sync.WaitGroup
	written.Add(requests)
	for i := range requests {
		done.Go(func() {
			body := fmt.Sprintf(`{"email":"u%d@example.com","password":%q}`, i, w.password())
			req, err := http.NewRequest("POST", p.url+"/register", strings.NewReader(body))
			if err != nil {
				t.Error(err)
			}
			req.Header.Set("Content-Type", "application/json")
			trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { written.Done() }}
			res, err := http.DefaultTransport.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
			if err != nil {
				t.Errorf("a request in flight: %v", err)
				return
			}
			defer res.Body.Close()
			if res.StatusCode != 201 {
				t.Errorf("a request in flight = %s, want 201", res.Status)
			}
		})
	}
	written.Wait()
	time.Sleep(20 * time.Millisecond) // for the last to be accepted out of the kernel's queue
	code := p.terminate()
	done.Wait()
	if code != 0 {
		t.Errorf("exit code %d, want 0\n%s", code, p.said)
	}
}

// TestSecondSignal: who asks twice does not wait.
func TestSecondSignal(t *testing.T) {
	w := newWorld(t)
	p := w.serve("GATEHOUSE_DATABASE_URL=memory:", "GATEHOUSE_DRAIN_DELAY=60s")
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); !strings.Contains(p.said.String(), `"stopping"`); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("it does not stop:\n%s", p.said)
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p.wait()
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it went on for %s", took)
	}
}

// TestBadConfiguration: everything that is wrong is told at once, in words, and
// the exit code says that it was the configuration.
func TestBadConfiguration(t *testing.T) {
	w := newWorld(t)
	code, said := w.run([]string{"serve", "--log-level", "loud"},
		"GATEHOUSE_LISTEN=nowhere", "GATEHOUSE_PUBLIC_URL=http://example.com", "GATEHOUSE_DATABASE_URL="+w.secret("mysql://u:"+w.password(), "a database URL"), "GATEHOUSE_LISTENN=x")
	if code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	for _, want := range []string{"the configuration has 4 faults:", "--log-level: ", "GATEHOUSE_LISTEN: ", "GATEHOUSE_PUBLIC_URL: ", "GATEHOUSE_DATABASE_URL: the value ", "GATEHOUSE_LISTENN means nothing to Gatehouse; did you mean GATEHOUSE_LISTEN?"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in:\n%s", want, said)
		}
	}
	if strings.Contains(said, "goroutine") {
		t.Errorf("a stack trace is shown:\n%s", said)
	}
}

// TestStartErrors: what keeps the program from starting is told in one line.
func TestStartErrors(t *testing.T) {
	w := newWorld(t)
	busy := w.serve("GATEHOUSE_DATABASE_URL=memory:")
	missing := strings.Replace(pgtest.Database(t), "/gatehouse_test_", "/there_is_no_", 1)
	tests := []struct {
		name    string
		environ []string
		want    string
	}{
		{"the port is taken", []string{"GATEHOUSE_DATABASE_URL=memory:", "GATEHOUSE_LISTEN=" + strings.TrimPrefix(busy.url, "http://")}, "another program may be using the port"},
		{"a file that cannot be", []string{"GATEHOUSE_DATABASE_URL=sqlite:/proc/no/g.db"}, "must be writable for this user"},
		{"a database that is missing", []string{"GATEHOUSE_DATABASE_URL=" + missing}, "create the database first"},
		{"migrations are pending", []string{"GATEHOUSE_DATABASE_URL=sqlite:pending.db", "GATEHOUSE_MIGRATE=off"}, `run "gatehouse migrate up" first`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, said := w.run([]string{"serve"}, tt.environ...)
			if code != 1 || !strings.Contains(said, tt.want) {
				t.Errorf("exit code %d: %s, want 1 and %q", code, said, tt.want)
			}
			lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(said), "\n"), func(l string) bool { return strings.Contains(l, `"level":"INFO"`) })
			if len(lines) != 1 {
				t.Errorf("it takes %d lines to say it:\n%s", len(lines), said)
			}
		})
	}
}
