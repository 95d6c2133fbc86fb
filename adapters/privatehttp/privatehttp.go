// Package privatehttp is the face of the service for those who run it: the
// metrics, and the profiles of Go's runtime, over a listener of its own. It asks
// nobody who they are, so that listener is for addresses which only they reach;
// nothing of it is ever on the public one.
//
// It may be flooded or read slowly without harm to the service: connections,
// scrapes and profiles at one time are few, and each has its time.
package privatehttp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds. A scrape takes milliseconds, and a profile as long as it is asked
// for.
const (
	maxConnections = 32
	headerTime     = 3 * time.Second
	readTime       = 5 * time.Second
	answerTime     = 10 * time.Second // for all but profiles
	idleTime       = time.Minute      // Prometheus comes back every 15 s to 60 s
	headerBytes    = 8 << 10
	maxSeconds     = 60 // of a profile
	profileTime    = maxSeconds*time.Second + answerTime
)

// Server answers on the private listener. It is made by [New].
type Server struct {
	http      *http.Server
	metrics   http.Handler
	profiling chan struct{} // one token a profile in work
}

// New returns a server that shows the metrics under /metrics and the profiles
// under /debug/pprof/. log is told of what goes wrong.
func New(metrics http.Handler, log *slog.Logger) *Server {
	s := &Server{metrics: metrics, profiling: make(chan struct{}, 1)}
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      profileTime, // less for what is no profile: see prompt
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return s
}

// Serve answers what comes in on ln until [Server.Shutdown], and returns nil then.
func (s *Server) Serve(ln net.Listener) error {
	err := s.http.Serve(&bounded{Listener: ln, max: maxConnections})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown takes no new connections and waits for what is in flight until ctx
// ends; what is left then is cut. Nobody's data is in it.
func (s *Server) Shutdown(ctx context.Context) error {
	if s.http.Shutdown(ctx) == nil {
		return nil
	}
	return s.http.Close()
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", prompt(s.metrics))
	mux.Handle("GET /debug/pprof/profile", s.profile(pprof.Profile))
	mux.Handle("GET /debug/pprof/trace", s.profile(pprof.Trace))
	// Index serves the profiles that have a name. It lists the command line too, which
	// is not mounted: there may be a password in it.
	mux.Handle("GET /debug/pprof/", s.profile(pprof.Index))
	mux.Handle("GET /debug/pprof/symbol", prompt(http.HandlerFunc(pprof.Symbol)))
	mux.Handle("GET /{$}", prompt(http.HandlerFunc(index)))
	return refuseCrossSite(mux)
}

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "/metrics\n/debug/pprof/\n") // who has gone reads nothing
}

// prompt gives an answer the time that it takes, and no more to one who reads it
// slowly.
func prompt(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime)) // else it has profileTime
		h.ServeHTTP(w, r)
	})
}

// profile lets one profile be taken at a time, and none for longer than a minute:
// taking one slows the process down.
func (s *Server) profile(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text := r.FormValue("seconds"); text != "" {
			if n, err := strconv.ParseFloat(text, 64); err != nil || !(n > 0 && n <= maxSeconds) {
				http.Error(w, "seconds is a number above 0, up to "+strconv.Itoa(maxSeconds), http.StatusBadRequest)
				return
			}
		}
		select {
		case s.profiling <- struct{}{}:
			defer func() { <-s.profiling }()
		default:
			w.Header().Set("Retry-After", "10")
			http.Error(w, "another profile is being taken", http.StatusTooManyRequests)
			return
		}
		h(w, r)
	})
}

// refuseCrossSite keeps pages of other sites from having the browser of somebody
// who can reach the listener ask for them: a profile costs, and numbers tell.
// What is answered is for no page at all.
func refuseCrossSite(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		switch r.Header.Get("Sec-Fetch-Site") {
		case "", "none", "same-origin":
			h.ServeHTTP(w, r)
		default:
			http.Error(w, "pages of another site may not ask this", http.StatusForbidden)
		}
	})
}

// bounded closes connections that are one too many at once: who opens many is
// not to be waited for.
type bounded struct {
	net.Listener
	max  int64
	open atomic.Int64
}

// Accept gives the next connection for which there is room.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if b.open.Add(1) <= b.max {
			return &counted{Conn: c, left: sync.OnceFunc(func() { b.open.Add(-1) })}, nil
		}
		_ = c.Close() // it is nobody's
		b.open.Add(-1)
	}
}

type counted struct {
	net.Conn
	left func()
}

// Close closes the connection and makes room for another.
func (c *counted) Close() error {
	defer c.left()
	return c.Conn.Close()
}
