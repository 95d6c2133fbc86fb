package bootstrap

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"

	"gatehouse/adapters/httpapi"
	"gatehouse/adapters/privatehttp"
	"gatehouse/adapters/promstats"
	"gatehouse/configs"
	"gatehouse/ports"
)

// private is the listener for those who run the node. A nil one is none.
type private struct {
	listener net.Listener
	server   *privatehttp.Server
}

// listenPrivately opens the private listener, where one is configured, and has
// read what is shown there.
func (n *Node) listenPrivately() error {
	p := n.program
	if p.Config.MetricsListen == "" {
		return nil
	}
	n.show(p.stats)
	ln, err := net.Listen("tcp", p.Config.MetricsListen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s for metrics: %w; another program may be using the port: choose one with GATEHOUSE_METRICS_LISTEN or --metrics-listen", p.Config.MetricsListen, err)
	}
	n.private = &private{ln, privatehttp.New(p.stats.Handler(p.Log), p.Log)}
	return nil
}

// count gives what counts requests, nil for nobody.
func (n *Node) count() func(method, path string) func(int, time.Duration) {
	if n.program.stats == nil {
		return nil
	}
	return n.program.stats.Route
}

// follows gives what follows requests, nil for nobody.
func (n *Node) follows() httpapi.Tracer {
	if n.program.tracer == nil {
		return nil // and not an interface that holds nil
	}
	return n.program.tracer
}

// statements are told to whoever follows requests, and to tests.
func (p Program) statements() pgx.QueryTracer {
	switch {
	case p.tracer == nil:
		return p.Tracer
	case p.Tracer == nil:
		return p.tracer.Postgres()
	}
	return multitracer.New(p.tracer.Postgres(), p.Tracer)
}

// traceGrace is how long a stopping node tries to send the last spans.
const traceGrace = 2 * time.Second

// untrace sends the last spans. That they cannot be sent is told in the log, and
// fails nothing.
func (p Program) untrace() {
	ctx, cancel := context.WithTimeout(context.Background(), traceGrace)
	defer cancel()
	if err := p.tracer.Close(ctx); err != nil {
		p.Log.Debug("the last spans were not sent", "error", err)
	}
}

// show has read what is going on in the node.
func (n *Node) show(s *promstats.Stats) {
	s.Server(func() promstats.Server { return promstats.Server(n.server.Load()) })
	h, now := n.house, n.program.Now
	for name, read := range h.database.pools() {
		s.Pool(name, read)
	}
	s.Hashing(func() promstats.Hashing { return promstats.Hashing(h.hasher.Load()) })
	s.Policy(func() promstats.Policy {
		deciding, bad := h.authorizer.Versions()
		return promstats.Policy{Version: deciding, Bad: bad}
	})
	if cache := h.cache; cache != nil {
		s.Cache(func() promstats.Cache { return promstats.Cache(cache.Stats()) })
	}
	s.Outbox(h.stores.outbox, now)
	s.Backlogs(h.stores.events, now)
	s.Health(h.health())
}

// counted are the stores with what counts around them.
func (s stores) counted(by *promstats.Stats) stores {
	s.sessions, s.directory = by.Sessions(s.sessions), by.Directory(s.directory)
	s.ledger = countedLedger{by.Ledger(s.ledger), s.ledger}
	s.limiter, s.events = by.Limiter(s.limiter, true), by.Events(s.events)
	return s
}

// countedLedger is a ledger of which what is written down is counted.
type countedLedger struct {
	ports.Ledger
	ports.AuditLog
}

// pools are those that the database is spoken to through, by name.
func (d *database) pools() map[string]func() promstats.Pool {
	all := map[string]func() promstats.Pool{}
	if d.config.Kind == configs.Postgres {
		all["postgres"] = func() promstats.Pool {
			v := d.pool.Stat()
			return promstats.Pool{
				Acquired: int(v.AcquiredConns()), Idle: int(v.IdleConns()), Max: int(v.MaxConns()), Opened: v.NewConnsCount(),
				Waits: v.EmptyAcquireCount(), Waited: v.EmptyAcquireWaitTime(),
			}
		}
		return all
	}
	if d.orm == nil {
		return all
	}
	for name, handle := range d.orm.Handles() {
		all[name] = func() promstats.Pool { return poolOf(handle.Stats()) }
	}
	return all
}

func poolOf(v sql.DBStats) promstats.Pool {
	return promstats.Pool{
		Acquired: v.InUse, Idle: v.Idle, Max: v.MaxOpenConnections,
		Opened: int64(v.OpenConnections) + v.MaxIdleClosed + v.MaxIdleTimeClosed + v.MaxLifetimeClosed,
		Waits:  v.WaitCount, Waited: v.WaitDuration,
	}
}

// privateGrace is how long a scrape in work may take to end when the node stops.
const privateGrace = time.Second

// serve answers on the private listener until what it returns is called.
func (p *private) serve(log *slog.Logger) (stop func()) {
	if p == nil {
		return func() {}
	}
	log.Info("serving metrics and profiles", "listen", p.listener.Addr().String())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := p.server.Serve(p.listener); err != nil { // the node goes on without
			log.Error("metrics are not served any more", "error", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), privateGrace)
		defer cancel()
		if err := p.server.Shutdown(ctx); err != nil {
			log.Warn("closing the private listener", "error", err)
		}
		<-ended
	}
}

// close closes the listener where it was never served.
func (p *private) close() error {
	if p == nil {
		return nil
	}
	if err := p.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// MetricsAddr is what the private listener listens on; nil where there is none.
func (n *Node) MetricsAddr() net.Addr {
	if n.private == nil {
		return nil
	}
	return n.private.listener.Addr()
}
