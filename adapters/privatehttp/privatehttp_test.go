package privatehttp_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"gatehouse/adapters/privatehttp"
)

// start serves the metrics until the test ends.
func start(t *testing.T, metrics http.Handler) (base string, s *privatehttp.Server) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = privatehttp.New(metrics, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // nothing is waited for
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return "http://" + ln.Addr().String(), s
}

func text(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
}

func get(t *testing.T, url string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Header.Get("X-Content-Type-Options") != "nosniff" || answer.Header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
		t.Errorf("%s lacks the headers that keep other pages out: %v", url, answer.Header)
	}
	return answer.StatusCode, string(body)
}

func TestWhatIsShown(t *testing.T) {
	base, _ := start(t, text("counted 1\n"))
	for _, row := range []struct {
		path   string
		status int
		says   string
	}{
		{"/metrics", 200, "counted 1"},
		{"/", 200, "/debug/pprof/"},
		{"/debug/pprof/", 200, "goroutine"},
		{"/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
		{"/debug/pprof/heap", 200, ""},
		{"/debug/pprof/cmdline", 404, ""}, // --database-url may hold a password
		{"/debug/pprof/profile?seconds=61", 400, "seconds"},
		{"/debug/pprof/profile?seconds=0", 400, "seconds"},
		{"/debug/pprof/profile?seconds=NaN", 400, "seconds"},
		{"/debug/pprof/heap?seconds=3600", 400, "seconds"},
		{"/me", 404, ""},
	} {
		if status, body := get(t, base+row.path); status != row.status || !strings.Contains(body, row.says) {
			t.Errorf("GET %s = %d %.200s, want %d with %q", row.path, status, body, row.status, row.says)
		}
	}
	for site, status := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 200, "none": 200} {
		if got, _ := get(t, base+"/metrics", "Sec-Fetch-Site", site); got != status {
			t.Errorf("GET /metrics of a page that is %s = %d, want %d", site, got, status)
		}
	}
}

// TestOneProfileAtATime: many at once would stop the process they are taken of.
func TestOneProfileAtATime(t *testing.T) {
	base, _ := start(t, text(""))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/debug/pprof/trace?seconds=30", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r) // its headers come with the first bytes of the trace
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if status, body := get(t, base+"/debug/pprof/heap"); status != 429 {
		t.Errorf("a second profile = %d %.200s, want 429", status, body)
	}
	if status, _ := get(t, base+"/metrics"); status != 200 {
		t.Errorf("GET /metrics meanwhile = %d", status)
	}
}

// TestFlood: of many who connect those that are too many are closed at once, and
// there is room again when others have left.
func TestFlood(t *testing.T) {
	base, _ := start(t, text("counted 1\n"))
	address := strings.TrimPrefix(base, "http://")
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	refused := false
	for range privatehttp.MaxConnections + 1 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			refused = true
			continue
		}
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			refused = true
		}
	}
	if !refused {
		t.Errorf("%d connections are served at one time, want %d", len(open), privatehttp.MaxConnections)
	}
	for _, c := range open {
		_ = c.Close()
	}
	open = nil
	for range 1000 { // the server sees them leave one by one
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		_ = c.Close()
		if err == nil && answer.StatusCode == 200 {
			return
		}
	}
	t.Error("there is no room after all have left")
}
