// Package promstats counts what the service does, for Prometheus
// (github.com/prometheus/client_golang).
//
// [Stats] is all that is counted. What happens is counted by what stands around a
// port and passes on what it is asked ([Stats.Hasher] and its like); what is going
// on, such as how many connections are in use, is read when Prometheus asks
// ([Stats.Pool] and its like). So nothing inside the house knows that anybody
// counts. A nil *Stats counts nothing and stands around nothing.
//
// No label holds what a client has sent: a route is the pattern of a row, a path
// that is no row is "other". Every metric is described in docs/monitoring.md,
// which a test holds to what is exported.
package promstats

import (
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// How many may read at one time, and for how long: a scrape gathers in
// milliseconds, unless the database is asked and does not answer.
const (
	scrapesAtOnce = 4
	scrapeTime    = 8 * time.Second
)

// Stats is all that is counted.
type Stats struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
	counted
}

// New returns stats in which nothing has happened. version is that of the build.
func New(version string) *Stats {
	s := &Stats{registry: prometheus.NewRegistry()}
	s.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "gatehouse_build_info", Help: "1, with the version of this build and the Go that built it.",
	}, []string{"version", "go"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	s.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_http_requests_total", Help: "Requests that were answered, by the row of the surface and the status.",
	}, []string{"method", "route", "status"})
	s.took = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "gatehouse_http_request_duration_seconds", Help: "Time from the last byte of a request to its answer.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
	}, []string{"method", "route"})
	s.registry.MustRegister(build, s.requests, s.took)
	s.counted = newCounted(s.registry)
	return s
}

// Handler shows what is counted. What cannot be known now, because the database
// does not answer, is left out: it is not zero.
func (s *Stats) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapesAtOnce,
		Timeout:             scrapeTime,
	})
}

// other stands for what is no row.
const other = "other"

// Route gives what counts the requests of a row of the surface; method and route
// are empty for those that are no row's. Nothing is looked up when a request is
// counted, and nothing allocated.
func (s *Stats) Route(method, route string) func(status int, took time.Duration) {
	if method == "" {
		method = other
	}
	if route == "" {
		route = other
	}
	r := &row{
		requests: s.requests.MustCurryWith(prometheus.Labels{"method": method, "route": route}),
		took:     s.took.WithLabelValues(method, route),
	}
	return r.count
}

// row counts the requests of one row.
type row struct {
	requests *prometheus.CounterVec
	took     prometheus.Observer
	counters [len(statuses) + 1]atomic.Pointer[prometheus.Counter]
}

func (r *row) count(status int, took time.Duration) {
	r.took.Observe(took.Seconds())
	i := 0
	if status >= 0 && status < len(places) {
		i = int(places[status])
	}
	c := r.counters[i].Load()
	if c == nil {
		c = r.counter(i)
	}
	(*c).Inc()
}

// counter makes the counter of a status that this row has not answered before.
func (r *row) counter(i int) *prometheus.Counter {
	label := other
	if i > 0 {
		label = strconv.Itoa(statuses[i-1])
	}
	c := r.requests.WithLabelValues(label)
	r.counters[i].Store(&c)
	return &c
}

// statuses are those that the service answers with; others are counted together.
var statuses = [...]int{
	200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 408, 409, 410, 412, 413, 415, 417, 422, 428, 429, 431, 500, 503,
}

// places is where the counter of a status stands in a row; zero for others.
var places = func() (p [600]uint8) {
	for i, status := range statuses {
		p[status] = uint8(i + 1)
	}
	return p
}()
