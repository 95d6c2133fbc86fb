package bootstrap_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"gatehouse/tests/pgtest"
)

// collector is what spans are sent to: OTLP over HTTP.
type collector struct {
	*httptest.Server
	mu       sync.Mutex
	spans    []*tracepb.Span
	raw      []byte
	resource string
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("the collector is asked %s %s %s %v", r.Method, r.URL, r.Header.Get("Content-Type"), err)
		}
		var sent tracepb.TracesData // on the wire the same as an ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &sent); err != nil {
			t.Errorf("the collector was sent what is no OTLP: %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw = append(c.raw, body...)
		for _, r := range sent.ResourceSpans {
			c.resource = r.Resource.String()
			for _, s := range r.ScopeSpans {
				c.spans = append(c.spans, s.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_SERVICE_NAME": "shop-gate", "OTEL_BSP_SCHEDULE_DELAY": "20",
		"OTEL_TRACES_EXPORTER": "", "OTEL_SDK_DISABLED": "", "OTEL_TRACES_SAMPLER": "", "OTEL_EXPORTER_OTLP_PROTOCOL": "",
	} {
		t.Setenv(name, value)
	}
	return c
}

// of gives the spans of a trace, by their names, and the names in the order in
// which they began.
func (c *collector) of(trace string) (spans map[string]*tracepb.Span, names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	spans = map[string]*tracepb.Span{}
	all := slices.Clone(c.spans)
	slices.SortFunc(all, func(a, b *tracepb.Span) int { return int(a.StartTimeUnixNano) - int(b.StartTimeUnixNano) })
	for _, s := range all {
		if hex.EncodeToString(s.TraceId) == trace {
			spans[s.Name] = s
			names = append(names, s.Name)
		}
	}
	return spans, names
}

func attribute(s *tracepb.Span, key string) string {
	for _, a := range s.GetAttributes() {
		if a.Key == key {
			return strings.TrimSpace(a.Value.String())
		}
	}
	return ""
}

// TestTraces follows requests through a node over each database, into a
// collector.
func TestTraces(t *testing.T) {
	for name, url := range map[string]string{"SQLite": "sqlite:" + filepath.Join(t.TempDir(), "g.db"), "PostgreSQL": "postgres"} {
		t.Run(name, func(t *testing.T) {
			if url == "postgres" {
				url = pgtest.Database(t)
			}
			testTraces(t, url)
		})
	}
}

const parentTrace, parentSpan = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

func testTraces(t *testing.T, url string) {
	c := newCollector(t)
	var log bytes.Buffer
	p := quiet(t, "GATEHOUSE_DATABASE_URL="+url, "GATEHOUSE_TRUSTED_PROXIES=127.0.0.1")
	p.Log = slog.New(slog.NewTextHandler(&log, nil))
	n, err := p.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	client := newCaller(t, n)
	client.want(201, "POST", "/register", `{"email":"ann@example.com","password":"a quiet lighthouse"}`)
	client.want(200, "POST", "/login", `{"email":"ann@example.com","password":"a quiet lighthouse"}`)
	made := client.want(201, "POST", "/products", `{"name":"x","price":{"amount":1,"currency":"KRW"},"stock":13}`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, client.base+"/products/"+made["id"].(string), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Traceparent", "00-"+parentTrace+"-"+parentSpan+"-01")
	answer, err := client.http.Do(r)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("GET /products/{id} = %v %v", answer, err)
	}
	_ = answer.Body.Close()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	if err := n.Close(); err != nil { // which sends what has not been sent
		t.Errorf("Close = %v", err)
	}

	spans, names := c.of(parentTrace)
	request := spans["GET /products/{id}"]
	if request == nil || hex.EncodeToString(request.ParentSpanId) != parentSpan || request.Kind != tracepb.Span_SPAN_KIND_SERVER ||
		attribute(request, "http.route") != `string_value:"/products/{id}"` || !strings.Contains(attribute(request, "http.response.status_code"), "200") {
		t.Fatalf("the request's span is %v of %v", request, names)
	}
	for child, parent := range map[string]string{"session resume": "GET /products/{id}", "service getProduct": "GET /products/{id}", "decision": "service getProduct", "SELECT": ""} {
		s := spans[child]
		if s == nil {
			t.Errorf("no span %q among %v", child, names)
		} else if parent != "" && !bytes.Equal(s.ParentSpanId, spans[parent].SpanId) {
			t.Errorf("the span %q is not below %q", child, parent)
		}
	}
	if text := attribute(spans["SELECT"], "db.query.text"); !strings.Contains(text, "SELECT") || !strings.Contains(text, "WHERE") {
		t.Errorf("a statement's span has the text %q", text)
	}
	if got := attribute(spans["decision"], "gatehouse.allowed"); !strings.Contains(got, "true") {
		t.Errorf("the decision's span says %q", got)
	}
	if !strings.Contains(log.String(), "traceId="+parentTrace) {
		t.Errorf("no line of the log has the id of the trace:\n%s", log.String())
	}
	var all []string
	for _, s := range c.spans {
		all = append(all, s.Name)
		if len(s.ParentSpanId) == 0 && s.Kind != tracepb.Span_SPAN_KIND_SERVER {
			t.Errorf("%q is a trace of its own, which is no request", s.Name)
		}
	}
	for _, name := range []string{"POST /register", "POST /login", "password hash", "password verify", "service login"} {
		if !slices.Contains(all, name) {
			t.Errorf("no span %q among %v", name, all)
		}
	}
	if !strings.Contains(c.resource, "shop-gate") {
		t.Errorf("the resource is %s, without the name of OTEL_SERVICE_NAME", c.resource)
	}
	secrets := []string{"ann@example.com", "lighthouse", made["id"].(string), "127.0.0.1"}
	for _, cookie := range client.http.Jar.Cookies(r.URL) {
		secrets = append(secrets, cookie.Value)
	}
	for _, secret := range secrets {
		if bytes.Contains(c.raw, []byte(secret)) {
			t.Errorf("%q is in the spans", secret)
		}
	}
}

// TestStrangersNameNoTrace: whoever is no trusted proxy is not taken at their word
// about the trace, nor about what is sampled.
func TestStrangersNameNoTrace(t *testing.T) {
	c := newCollector(t)
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
	p := quiet(t, "GATEHOUSE_DATABASE_URL=memory:")
	n, err := p.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL()+"/products", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Traceparent", "00-"+parentTrace+"-"+parentSpan+"-01")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	if err := n.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if len(c.spans) > 0 {
		t.Errorf("a stranger has had it sampled: %v", c.spans)
	}
}

// TestCollectorAway: one that does not answer costs one line of the log, and no
// request anything.
func TestCollectorAway(t *testing.T) {
	c := newCollector(t)
	c.Close()
	var log lines
	p := quiet(t, "GATEHOUSE_DATABASE_URL=memory:")
	p.Log = slog.New(slog.NewTextHandler(&log, nil))
	n := start(t, p)
	client := newCaller(t, n)
	for !strings.Contains(log.String(), "traces cannot be sent") {
		client.want(200, "GET", "/products", "")
	}
	for range 200 {
		client.want(200, "GET", "/products", "")
	}
	if told := strings.Count(log.String(), "traces cannot be sent"); told != 1 {
		t.Errorf("it is told %d times that the collector is away", told)
	}
}

// lines is a buffer that many write to.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestWhatTracingCannotDo ends the start, with a line that says what can be done.
func TestWhatTracingCannotDo(t *testing.T) {
	newCollector(t)
	for name, value := range map[string]string{"OTEL_TRACES_EXPORTER": "jaeger", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			n, err := quiet(t, "GATEHOUSE_DATABASE_URL=memory:").Open(t.Context())
			if err == nil {
				_ = n.Close()
			}
			if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Open = %v, want one line about %s", err, name)
			}
		})
	}
}
