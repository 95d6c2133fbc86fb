package promstats_test

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse/adapters/promstats"
)

// shown is what a scrape shows.
func shown(t *testing.T, s *promstats.Stats) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("/metrics = %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// want fails for each line that is not shown.
func want(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("no line %q in what is shown of it:\n%s", line, about(text, line))
		}
	}
}

// about gives the lines of the metric that a line is of.
func about(text, line string) string {
	name, _, _ := strings.Cut(line, " ")
	name, _, _ = strings.Cut(name, "{")
	var found []string
	for one := range strings.Lines(text) {
		if strings.HasPrefix(one, name) {
			found = append(found, one)
		}
	}
	return strings.Join(found, "")
}

// TestRequests: a request is counted under its row and status; whatever else
// there may be is one label, so that nobody can make more of them.
func TestRequests(t *testing.T) {
	s := promstats.New("1.2.3")
	me, stray := s.Route("GET", "/me"), s.Route("", "")
	me(200, 3*time.Millisecond)
	me(200, 40*time.Millisecond)
	me(401, time.Millisecond)
	for _, odd := range []int{-1, 0, 299, 599, 600, 100000} {
		me(odd, 0)
	}
	stray(404, time.Millisecond)
	want(t, shown(t, s),
		`gatehouse_http_requests_total{method="GET",route="/me",status="200"} 2`,
		`gatehouse_http_requests_total{method="GET",route="/me",status="401"} 1`,
		`gatehouse_http_requests_total{method="GET",route="/me",status="other"} 6`,
		`gatehouse_http_requests_total{method="other",route="other",status="404"} 1`,
		`gatehouse_http_request_duration_seconds_bucket{method="GET",route="/me",le="0.005"} 8`,
		`gatehouse_http_request_duration_seconds_count{method="GET",route="/me"} 9`,
	)
	if text := shown(t, s); !strings.Contains(text, `gatehouse_build_info{go="go`) || !strings.Contains(text, `version="1.2.3"} 1`) ||
		!strings.Contains(text, "go_goroutines ") || !strings.Contains(text, "process_start_time_seconds ") {
		t.Errorf("the build, the runtime and the process are not shown:\n%s", text)
	}
}

// TestCountingAllocatesNothing: it is paid by every request.
func TestCountingAllocatesNothing(t *testing.T) {
	count := promstats.New("").Route("GET", "/me")
	count(200, time.Millisecond)
	if n := testing.AllocsPerRun(1000, func() { count(200, time.Millisecond) }); n != 0 {
		t.Errorf("counting a request allocates %v times", n)
	}
}

func BenchmarkCount(b *testing.B) {
	count := promstats.New("").Route("GET", "/me")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			count(200, 300*time.Microsecond)
		}
	})
}

func TestReadings(t *testing.T) {
	s := promstats.New("")
	s.Server(func() promstats.Server {
		return promstats.Server{Connections: 3, MaxConnections: 5632, InWork: 2, MaxInWork: 512, Hashing: 1, MaxHashing: 128, Refused: 7, Draining: true}
	})
	s.Pool("postgres", func() promstats.Pool {
		return promstats.Pool{Acquired: 4, Idle: 6, Max: 10, Waits: 12, Waited: 1500 * time.Millisecond, Opened: 11}
	})
	want(t, shown(t, s),
		"gatehouse_http_connections 3", "gatehouse_http_connections_max 5632", "gatehouse_http_connections_refused_total 7",
		"gatehouse_http_requests_in_work 2", "gatehouse_http_requests_in_work_max 512",
		"gatehouse_http_hashing_requests_in_work 1", "gatehouse_http_hashing_requests_in_work_max 128", "gatehouse_draining 1",
		`gatehouse_db_connections_acquired{pool="postgres"} 4`, `gatehouse_db_connections_idle{pool="postgres"} 6`,
		`gatehouse_db_connections_max{pool="postgres"} 10`, `gatehouse_db_connections_opened_total{pool="postgres"} 11`,
		`gatehouse_db_waits_total{pool="postgres"} 12`, `gatehouse_db_wait_seconds_total{pool="postgres"} 1.5`,
	)
}
