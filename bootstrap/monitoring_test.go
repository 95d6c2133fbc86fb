package bootstrap_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/bootstrap"
	"gatehouse/tests/pgtest"
)

// scrape is what the private listener of a node shows under /metrics.
func scrape(t testing.TB, n *bootstrap.Node) string {
	t.Helper()
	answer, err := http.Get("http://" + n.MetricsAddr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("GET /metrics = %s %s %v", answer.Status, body, err)
	}
	return string(body)
}

// shows fails for each line that is not in a scrape.
func shows(t testing.TB, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if strings.Contains("\n"+text, "\n"+line+"\n") {
			continue
		}
		name, _, _ := strings.Cut(strings.Fields(line)[0], "{")
		t.Errorf("/metrics has no line %q, but:", line)
		for one := range strings.Lines(text) {
			if strings.HasPrefix(one, name) {
				t.Log(strings.TrimSpace(one))
			}
		}
	}
}

// monitored is a quiet program with a private listener.
func monitored(t *testing.T, environ ...string) bootstrap.Program {
	t.Helper()
	return quiet(t, append([]string{"GATEHOUSE_METRICS_LISTEN=127.0.0.1:0"}, environ...)...)
}

// TestMetrics asks a node for this and that, and looks whether it has counted it.
func TestMetrics(t *testing.T) {
	n := start(t, monitored(t, "GATEHOUSE_DATABASE_URL=sqlite:"+filepath.Join(t.TempDir(), "g.db")))
	c := newCaller(t, n)
	c.want(401, "GET", "/me", "")
	c.want(201, "POST", "/register", `{"email":"ann@example.com","password":"a quiet lighthouse"}`)
	c.want(401, "POST", "/login", `{"email":"ann@example.com","password":"a loud lighthouse"}`)
	c.want(401, "POST", "/login", `{"email":"bob@example.com","password":"a loud lighthouse"}`)
	c.want(200, "POST", "/login", `{"email":"ann@example.com","password":"a quiet lighthouse"}`)
	c.want(200, "GET", "/me", "")
	c.want(403, "GET", "/admin/users", "")
	c.want(201, "POST", "/products", `{"name":"x","price":{"amount":1,"currency":"KRW"},"stock":13}`)
	c.want(200, "GET", "/products", "")
	c.want(204, "POST", "/logout", "")
	c.want(404, "GET", "/wp-login.php", "")
	c.want(404, "GET", "/.env", "")
	text := scrape(t, n)
	shows(t, text,
		`gatehouse_http_requests_total{method="GET",route="/me",status="200"} 1`,
		`gatehouse_http_requests_total{method="GET",route="/me",status="401"} 1`,
		`gatehouse_http_requests_total{method="POST",route="/login",status="200"} 1`,
		`gatehouse_http_requests_total{method="other",route="other",status="404"} 2`,
		`gatehouse_http_request_duration_seconds_count{method="GET",route="/me"} 2`,
		`gatehouse_db_connections_max{pool="sqlite_write"} 1`,
		`gatehouse_draining 0`,
		`gatehouse_sign_ins_total{outcome="signed_in"} 1`,
		`gatehouse_sign_ins_total{outcome="password"} 1`,
		`gatehouse_sign_ins_total{outcome="unknown"} 1`,
		`gatehouse_sessions_begun_total{kind="full"} 1`,
		`gatehouse_sessions_ended_total{reason="signed_out"} 1`,
		`gatehouse_decisions_total{action="create",outcome="allowed",resource="product"} 1`,
		`gatehouse_decisions_total{action="read",outcome="denied",resource="user"} 1`,
		`gatehouse_decisions_total{action="read",outcome="narrowed",resource="product"} 1`,
		`gatehouse_password_hash_duration_seconds_count{work="hash"} 1`,
		`gatehouse_password_hash_duration_seconds_count{work="verify"} 3`,
		`gatehouse_password_hashes_waiting 0`,
		`gatehouse_throttle_tries_total{counted="together",outcome="granted",throttle="sign-in"} 3`,
		`gatehouse_outbox_letters 0`,
		`gatehouse_policy_version 1`,
		`gatehouse_component_state{component="database",state="ok"} 1`,
		`gatehouse_component_state{component="policy",state="ok"} 1`,
		`gatehouse_component_state{component="migrations",state="ok"} 1`,
	)
	for _, secret := range []string{"ann@example.com", "wp-login", ".env"} {
		if strings.Contains(text, secret) {
			t.Errorf("/metrics shows %q, which a client has sent", secret)
		}
	}
	// The public listener has none of it, whoever asks.
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap"} {
		c.want(404, "GET", path, "")
	}
}

// TestNoPrivateListener: where none is configured there is none, and one whose
// port is taken ends the start with a line that says what to do.
func TestNoPrivateListener(t *testing.T) {
	if n := start(t, quiet(t, "GATEHOUSE_DATABASE_URL=memory:")); n.MetricsAddr() != nil {
		t.Errorf("metrics are served on %v, unasked", n.MetricsAddr())
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	p := quiet(t, "GATEHOUSE_DATABASE_URL=memory:", "GATEHOUSE_METRICS_LISTEN="+taken.Addr().String())
	_, err = p.Open(t.Context())
	if err == nil || !strings.Contains(err.Error(), "GATEHOUSE_METRICS_LISTEN") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Open with a taken port for metrics = %v, want one line with what to do", err)
	}
}

// TestPrivateListenerGoesLast: while a node drains, its last numbers can be read;
// when it has ended, nothing listens any more, and what was opened and never
// served is closed as well.
func TestPrivateListenerGoesLast(t *testing.T) {
	p := monitored(t, "GATEHOUSE_DATABASE_URL=memory:")
	var n *bootstrap.Node
	read := false
	p.Log = slog.New(notice{slog.DiscardHandler, "stopping", func() { scrape(t, n); read = true }})
	n, err := p.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	shows(t, scrape(t, n), "gatehouse_draining 0")
	stop()
	if err := <-ended; err != nil || !read {
		t.Errorf("Run = %v, and the numbers were read while it stopped: %v", err, read)
	}
	if err := n.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	for _, address := range []string{n.Addr().String(), n.MetricsAddr().String()} {
		if ln, err := net.Listen("tcp", address); err != nil {
			t.Errorf("something listens on %s still: %v", address, err)
		} else {
			_ = ln.Close()
		}
	}
	n, err = p.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Errorf("Close without Run = %v", err)
	}
	if ln, err := net.Listen("tcp", n.MetricsAddr().String()); err != nil {
		t.Errorf("the private listener is open still: %v", err)
	} else {
		_ = ln.Close()
	}
}

// notice is a handler that calls a function while a line is written.
type notice struct {
	slog.Handler
	says string
	then func()
}

func (notice) Enabled(context.Context, slog.Level) bool { return true }

func (h notice) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.says {
		h.then()
	}
	return nil
}

// TestMetricsOverPostgres: the pool and the session cache are those that are read.
func TestMetricsOverPostgres(t *testing.T) {
	n := start(t, monitored(t, "GATEHOUSE_DATABASE_URL="+pgtest.Database(t), "GATEHOUSE_DATABASE_MAX_CONNECTIONS=7", "GATEHOUSE_SESSION_CACHE=1s"))
	newCaller(t, n).want(200, "GET", "/products", "")
	text := scrape(t, n)
	shows(t, text,
		`gatehouse_db_connections_max{pool="postgres"} 6`, // and one that the cache listens on
		`gatehouse_session_cache_entries 0`,
		`gatehouse_session_cache_hits_total 0`,
		`gatehouse_component_state{component="database",state="ok"} 1`,
	)
	// Whether one of them is idle just now depends on what the background does.
	if opened := `gatehouse_db_connections_opened_total{pool="postgres"} `; !strings.Contains(text, opened) || strings.Contains(text, opened+"0\n") {
		t.Error("/metrics says that no connection was opened")
	}
}
