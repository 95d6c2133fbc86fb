package bootstrap_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp/totp"

	"gatehouse/bootstrap"
	"gatehouse/configs"
	"gatehouse/ports"
	"gatehouse/tests/pgtest"
	"gatehouse/tests/redistest"
)

func TestMain(m *testing.M) {
	os.Exit(redistest.Main(func() int { return pgtest.Main(m) }))
}

// statements is a tracer that keeps what PostgreSQL is asked for requests, not
// what the background asks. Statements that go out together are one.
type statements struct {
	mu  sync.Mutex
	all []string
}

var _ pgx.BatchTracer = (*statements)(nil)

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	s.keep(ctx, d.SQL)
	return ctx
}

func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	var texts []string
	for _, q := range d.Batch.QueuedQueries {
		texts = append(texts, q.SQL)
	}
	s.keep(ctx, strings.Join(texts, "; "))
	return ctx
}

func (*statements) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (*statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

func (s *statements) keep(ctx context.Context, text string) {
	if ports.OriginOf(ctx).RequestID == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, strings.Join(strings.Fields(text), " "))
}

// take returns what was asked since it was called before.
func (s *statements) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// configuration is the one of these environment variables, over the defaults,
// on a free port.
func configuration(t testing.TB, environ ...string) configs.Config {
	t.Helper()
	loaded, err := configs.Load(configs.Input{Environ: append([]string{
		"GATEHOUSE_LISTEN=127.0.0.1:0", "GATEHOUSE_CONFIG=" + os.DevNull, "GATEHOUSE_MAIL_URL=file:" + t.TempDir(),
	}, environ...)})
	if err != nil {
		t.Fatal(err)
	}
	return loaded.Config
}

// start runs a node until the test ends.
func start(t testing.TB, p bootstrap.Program) *bootstrap.Node {
	t.Helper()
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	n, err := p.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
		if err := n.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return n
}

// caller is one client of a node.
type caller struct {
	testing.TB
	base string
	http http.Client
}

func newCaller(t testing.TB, n *bootstrap.Node) *caller {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &caller{TB: t, base: "http://" + n.Addr().String(), http: http.Client{Jar: jar}}
}

// call sends a request and returns the status and the answer's members.
func (c *caller) call(method, path, body string, headers ...string) (int, map[string]any) {
	c.Helper()
	req, err := http.NewRequestWithContext(c.Context(), method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.http.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.Fatal(err)
	}
	var members map[string]any
	if bytes.HasPrefix(text, []byte("{")) {
		if err := json.Unmarshal(text, &members); err != nil {
			c.Fatal(err)
		}
	}
	return res.StatusCode, members
}

func (c *caller) want(status int, method, path, body string) map[string]any {
	c.Helper()
	got, members := c.call(method, path, body)
	if got != status {
		c.Fatalf("%s %s = %d %v, want %d", method, path, got, members, status)
	}
	return members
}

// TestStatements counts what each route asks of PostgreSQL. The figures are the
// budget: a route that needs more has to be a decision. Nothing is written but
// what the caller asked for.
func TestStatements(t *testing.T) {
	asked := &statements{}
	now := &clock{now: time.Now()}
	url := pgtest.Database(t)
	n := start(t, bootstrap.Program{
		Config: configuration(t, "GATEHOUSE_DATABASE_URL="+url), Now: now.Now, Tracer: asked,
	})
	ann, bob, carol, root, dan, nobody := newCaller(t, n), newCaller(t, n), newCaller(t, n), newCaller(t, n), newCaller(t, n), newCaller(t, n)
	const password = `"password":"correct horse battery"`
	ids := map[*caller]string{}
	for i, c := range []*caller{ann, bob, carol, root, dan} {
		account := fmt.Sprintf(`{"email":"u%d@example.com",%s}`, i, password)
		ids[c] = fmt.Sprint(c.want(201, "POST", "/register", account)["id"])
		c.want(200, "POST", "/login", account)
	}
	makeAdmin(t, url, ids[root])
	anns, bobs := ids[ann], ids[bob]
	lamp := fmt.Sprint(ann.want(201, "POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"},"status":"published"}`)["id"])
	other := fmt.Sprint(ann.want(201, "POST", "/products", `{"name":"Other","price":{"amount":1,"currency":"USD"}}`)["id"])
	session := ann.want(200, "GET", "/me/sessions", "")["items"].([]any)[0].(map[string]any)["id"]
	const support = `{"role":"support","resource":"user","action":"read","condition":"any","effect":"allow"}`
	row := ""
	for _, one := range root.want(200, "GET", "/admin/policies", "")["items"].([]any) {
		if m, _ := one.(map[string]any); m["action"] == "share" {
			row = fmt.Sprint(m["id"])
		}
	}
	path := "/products/" + lamp
	unknown := "01890000-0000-7000-8000-000000000000"
	token := strings.Repeat("A", 43)
	factor := &factor{now: now}

	tests := []struct {
		name         string
		who          *caller
		method, path string
		body         string
		status       int
		reads        int
		writes       int
	}{
		{"the process", nobody, "GET", "/livez", "", 200, 0, 0},
		{"the document", nobody, "GET", "/openapi.json", "", 200, 0, 0},
		{"the page", nobody, "GET", "/docs", "", 200, 0, 0},
		{"no route", nobody, "GET", "/nothing", "", 404, 0, 0},

		{"me", ann, "GET", "/me", "", 200, 1, 0},
		{"me without a cookie", nobody, "GET", "/me", "", 401, 0, 0},
		{"my name", ann, "PATCH", "/me", `{"name":"Ann"}`, 200, 2, 1},
		{"my sessions", ann, "GET", "/me/sessions", "", 200, 2, 0},
		{"a session that is not mine", bob, "DELETE", "/me/sessions/" + fmt.Sprint(session), "", 404, 1, 1},
		{"all about me", ann, "GET", "/me/export", "", 200, 8, 2},
		{"my other sessions", ann, "DELETE", "/me/sessions", "", 204, 1, 1},

		{"a product, signed in", ann, "GET", path, "", 200, 1, 0},
		{"a product, anonymous", nobody, "GET", path, "", 200, 1, 0},
		{"a product that is not there", ann, "GET", "/products/" + unknown, "", 404, 1, 0},
		{"a product id that is none", ann, "GET", "/products/x", "", 404, 1, 0},
		{"what may be done with it", ann, "GET", path + "/permissions", "", 200, 1, 0},
		{"a list, signed in", ann, "GET", "/products?q=lamp&sort=name", "", 200, 2, 0},
		{"a list, anonymous", nobody, "GET", "/products", "", 200, 2, 0},
		{"mine", ann, "GET", "/products?owner=me", "", 200, 2, 0},
		{"a page and how many there are", ann, "GET", "/products?limit=1&count=true", "", 200, 3, 0},
		{"all and how many there are", ann, "GET", "/products?count=true", "", 200, 2, 0},
		{"a new product", ann, "POST", "/products", `{"name":"New","price":{"amount":1,"currency":"USD"}}`, 201, 1, 1},
		{"a bad product", ann, "POST", "/products", `{"name":""}`, 422, 1, 0},
		{"a change", ann, "PATCH", path, `{"stock":7}`, 200, 1, 1},
		{"a change of nothing", ann, "PATCH", path, `{}`, 200, 1, 0},
		{"a change of what is another's", bob, "PATCH", path, `{"stock":8}`, 403, 1, 2},
		{"a deletion of what is another's", bob, "DELETE", path, "", 403, 1, 2},
		{"why, to who may not ask", bob, "POST", "/admin/policies/explain", `{"roles":["user"],"action":"read"}`, 403, 1, 2},
		{"whom it is shared with", ann, "GET", path + "/grants", "", 200, 1, 0},
		{"whom another's is shared with", bob, "GET", path + "/grants", "", 403, 1, 2},
		{"sharing", ann, "PUT", path + "/grants/" + bobs, `{"role":"editor"}`, 200, 1, 9},
		{"sharing again", ann, "PUT", path + "/grants/" + bobs, `{"role":"editor"}`, 200, 1, 0},
		{"a change of what is shared", bob, "PATCH", path, `{"stock":9}`, 200, 1, 1},
		{"what is shared", bob, "GET", path, "", 200, 1, 0},
		{"a list with what is shared", bob, "GET", "/products", "", 200, 2, 0},
		{"sharing no more", ann, "DELETE", path + "/grants/" + bobs, "", 204, 1, 8},
		{"a transfer", root, "PUT", path + "/owner", `{"ownerId":"` + bobs + `"}`, 200, 1, 8},
		{"a transfer back", root, "PUT", path + "/owner", `{"ownerId":"` + anns + `"}`, 200, 1, 8},
		{"a deletion", ann, "DELETE", "/products/" + other, "", 204, 1, 1},

		{"users", root, "GET", "/admin/users?limit=2&status=active&role=user", "", 200, 2, 0},
		{"users, by a text", root, "GET", "/admin/users?q=u1", "", 200, 2, 0},
		{"users, for who may not", bob, "GET", "/admin/users", "", 403, 1, 2},
		{"a user", root, "GET", "/admin/users/" + ids[bob], "", 200, 2, 0},
		{"a user's sessions", root, "GET", "/admin/users/" + ids[bob] + "/sessions", "", 200, 3, 0},
		{"a user's roles", root, "PATCH", "/admin/users/" + ids[dan], `{"roles":["moderator"]}`, 200, 2, 6},
		{"a user's roles as they are", root, "PATCH", "/admin/users/" + ids[dan], `{"roles":["moderator"]}`, 200, 2, 0},
		{"the last admin's roles", root, "PATCH", "/admin/users/" + ids[root], `{"roles":["user"]}`, 409, 4, 2},
		{"an end of a user's session", root, "DELETE", "/admin/users/" + ids[dan] + "/sessions/" + unknown, "", 404, 1, 1},
		{"an end of all of a user's sessions", root, "DELETE", "/admin/users/" + ids[dan] + "/sessions", "", 204, 2, 3},
		{"a user's status", root, "PATCH", "/admin/users/" + ids[dan], `{"status":"disabled"}`, 200, 2, 8},
		{"what is written down", root, "GET", "/admin/audit?limit=2", "", 200, 2, 0},
		{"what somebody did", root, "GET", "/admin/audit?event=session.signed_in&actor=" + ids[bob], "", 200, 2, 0},

		{"a registration", nobody, "POST", "/register", `{"email":"new@example.com",` + password + `}`, 201, 1, 6},
		{"a registration of what is taken", nobody, "POST", "/register", `{"email":"new@example.com",` + password + `}`, 409, 1, 0},
		{"a bad registration", nobody, "POST", "/register", `{"email":"new"}`, 422, 0, 0},
		{"a wrong password", nobody, "POST", "/login", `{"email":"u0@example.com","password":"another one"}`, 401, 1, 4},
		{"an unknown address", nobody, "POST", "/login", `{"email":"nobody@example.com","password":"another one"}`, 401, 1, 4},
		{"a sign-in", nobody, "POST", "/login", `{"email":"new@example.com",` + password + `}`, 200, 3, 7},
		{"a sign-in over a session", nobody, "POST", "/login", `{"email":"new@example.com",` + password + `}`, 200, 3, 7},
		{"a new password", nobody, "PUT", "/me/password", `{"currentPassword":"correct horse battery","newPassword":"battery horse correct"}`, 204, 2, 13},
		{"a sign-out", nobody, "POST", "/logout", "", 204, 0, 3},
		{"a leaving that is not confirmed", bob, "DELETE", "/me", `{"password":"another one"}`, 403, 1, 3},
		{"a leaving", bob, "DELETE", "/me", `{` + password + `}`, 204, 2, 8},
		{"a second sign-out", nobody, "POST", "/logout", "", 204, 0, 0},

		{"a new password for an address", nobody, "POST", "/password/forgot", `{"email":"u2@example.com"}`, 202, 1, 3},
		{"a new password for an unknown address", nobody, "POST", "/password/forgot", `{"email":"nobody@example.com"}`, 202, 1, 3},
		{"a link that is none", nobody, "POST", "/password/reset", `{"token":"` + token + `","newPassword":"battery horse correct"}`, 410, 1, 0},
		{"a link to an address that is none", nobody, "POST", "/email/verify", `{"token":"` + token + `"}`, 410, 1, 0},
		{"a link to my address", carol, "POST", "/email/verification", "", 202, 1, 3},
		{"a new address", carol, "PUT", "/me/email", `{"email":"new-u2@example.com","currentPassword":"correct horse battery"}`, 202, 2, 7},
		{"showing who I am", carol, "POST", "/me/reauthenticate", `{` + password + `}`, 204, 1, 5},
		{"a second factor", carol, "POST", "/me/totp", "", 200, 3, 7},
		{"its confirmation", carol, "POST", "/me/totp/confirm", `{"code":"{code}"}`, 200, 2, 9},
		{"a sign-in that awaits it", carol, "POST", "/login", `{"email":"u2@example.com",` + password + `}`, 200, 3, 6},
		{"a wrong code", carol, "POST", "/login/totp", `{"code":"{wrong}"}`, 401, 3, 3},
		{"the second step", carol, "POST", "/login/totp", `{"code":"{next}"}`, 200, 3, 7},
		{"no second factor", carol, "DELETE", "/me/totp", `{` + password + `}`, 204, 2, 11},

		// Whoever asks first after a change loads the policy, with five more.
		{"the policy", root, "GET", "/admin/policies", "", 200, 4, 2},
		{"the policy, for who may not", carol, "GET", "/admin/policies", "", 403, 1, 2},
		{"what a row would do", root, "POST", "/admin/policies/preview", `{"add":` + support + `}`, 200, 5, 2},
		{"what a row about products would do", root, "POST", "/admin/policies/preview", `{"add":{"role":"user","resource":"product","action":"read","condition":"any","effect":"allow"}}`, 200, 8, 2},
		{"a row of the policy", root, "POST", "/admin/policies", support, 201, 8, 11},
		{"a row that is there", root, "POST", "/admin/policies", support, 409, 8, 4},
		{"a row less", root, "DELETE", "/admin/policies/" + row, "", 204, 8, 11},
		{"the policy as it was", root, "GET", "/admin/policies/history/1", "", 200, 5, 2},
		{"going back", root, "POST", "/admin/policies/rollback", `{"version":1}`, 200, 9, 12},
		{"the history of the policy", root, "GET", "/admin/policies/history", "", 200, 5, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.who.call("GET", "/livez", "") // so that no connection is being opened
			asked.take()
			status, members := tt.who.call(tt.method, tt.path, factor.fill(tt.body))
			if status != tt.status {
				t.Fatalf("%s %s = %d %v, want %d", tt.method, tt.path, status, members, tt.status)
			}
			reads, writes := count(asked.take())
			if len(reads) != tt.reads || len(writes) != tt.writes {
				t.Errorf("%s %s asks\n  %d reads, want %d: %q\n  %d writes, want %d: %q", tt.method, tt.path,
					len(reads), tt.reads, reads, len(writes), tt.writes, writes)
			}
			if secret, ok := members["secret"].(string); ok {
				factor.secret = secret
			}
		})
	}

	t.Run("a new product under a key", func(t *testing.T) {
		body, other := `{"name":"New","price":{"amount":1,"currency":"USD"}}`, `{"name":"Other","price":{"amount":1,"currency":"USD"}}`
		for _, c := range []struct {
			what, body            string
			status, reads, writes int
		}{
			{"the first time", body, 201, 2, 5}, // the writes are one transaction, with a bound on its wait
			{"again", body, 201, 2, 0},
			{"with another body", other, 422, 2, 0},
		} {
			asked.take()
			if status, members := carol.call("POST", "/products", c.body, "Idempotency-Key", "one"); status != c.status {
				t.Fatalf("%s: %d %v, want %d", c.what, status, members, c.status)
			}
			if reads, writes := count(asked.take()); len(reads) != c.reads || len(writes) != c.writes {
				t.Errorf("%s: %d reads %q, want %d, %d writes %q, want %d", c.what, len(reads), reads, c.reads, len(writes), writes, c.writes)
			}
		}
	})

	t.Run("use is written down once per renewal step", func(t *testing.T) {
		for _, step := range []struct {
			pass   time.Duration
			writes int
		}{{4 * time.Minute, 0}, {2 * time.Minute, 1}, {0, 0}, {4 * time.Minute, 0}} {
			now.pass(step.pass)
			asked.take()
			ann.want(200, "GET", "/me", "")
			if reads, writes := count(asked.take()); len(reads) != 1 || len(writes) != step.writes {
				t.Errorf("after %s more: %q and %q, want 1 read and %d writes", step.pass, reads, writes, step.writes)
			}
		}
	})
}

// makeAdmin gives a user the role admin behind the back of the node.
func makeAdmin(t *testing.T, url, id string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if _, err := c.Exec(t.Context(), `UPDATE users SET roles = '["admin", "user"]' WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
}

// factor is a device that computes codes.
type factor struct {
	now    *clock
	secret string
}

// fill puts codes into a body: that of now, that of the next step, and a wrong
// one.
func (f *factor) fill(body string) string {
	now, _ := totp.GenerateCode(f.secret, f.now.Now())
	next, _ := totp.GenerateCode(f.secret, f.now.Now().Add(30*time.Second))
	wrong := "000000"
	for wrong == now || wrong == next { // once in a million
		wrong = "000001"
	}
	return strings.NewReplacer("{code}", now, "{next}", next, "{wrong}", wrong).Replace(body)
}

// reading are the beginnings of queries; other statements that begin with WITH
// may write in it.
var reading = regexp.MustCompile(`(?i)^(SELECT|WITH near AS MATERIALIZED \(SELECT) `)

// locking are the ends of queries that write, since they lock.
var locking = regexp.MustCompile(` FOR (UPDATE|NO KEY UPDATE|SHARE|KEY SHARE)\b`)

// count parts statements into those that read and all others, which those that
// lock, begin, commit and roll back are among: they are round trips as well.
func count(all []string) (reads, writes []string) {
	for _, s := range all {
		if reading.MatchString(s) && !locking.MatchString(s) {
			reads = append(reads, s)
		} else {
			writes = append(writes, s)
		}
	}
	return slices.Clip(reads), slices.Clip(writes)
}
