// Package bootstrap is the one place that knows everybody: it reads the
// configuration, opens the database, brings it up to date, builds adapters and
// services, serves, and closes all of it in reverse. It decides nothing that
// the service is for.
//
// Read [Program.Open] for how the parts are put together and [Node.Run] for
// how they live and end, then [Main] for the command line, whose commands stand
// each in a file of its own. extensions.go is the file that a team edits.
package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/adapters/httpapi"
	"gatehouse/adapters/oteltrace"
	"gatehouse/adapters/promstats"
	"gatehouse/adapters/system"
	"gatehouse/application/events"
	"gatehouse/application/mailing"
	"gatehouse/configs"
	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/ports"
)

// drainDeadline is how long requests in flight may take to end when the
// service stops.
const drainDeadline = 15 * time.Second

// Program is Gatehouse before it runs.
type Program struct {
	Config     configs.Config
	Extensions Extensions
	Log        *slog.Logger
	Version    string

	// The rest is for tests and may be left out.
	Now      ports.Clock     // system.Now
	Tracer   pgx.QueryTracer // sees every statement that PostgreSQL sees
	Patience time.Duration   // for PostgreSQL to come up at start; 10 s

	stats  *promstats.Stats  // what happens is counted in it; nil where nobody is to see it
	tracer *oteltrace.Tracer // follows requests; nil where nobody asks for it
}

// Extensions is what a team adds to Gatehouse without touching the rest of it.
// It is filled in in extensions.go, which holds nothing else.
type Extensions struct {
	// ProductRules are what must be true of products beside what is true of
	// all. Each sees a product about to be made, changed or deleted, and lets it
	// pass (nil) or refuses (product.Refuse). They are asked after
	// authorization and before anything is written.
	ProductRules []product.Rule

	// Conditions are further words for the fourth column of the policy. A
	// condition is a filter over products; it decides about one product and
	// narrows lists by the same definition.
	Conditions []access.Condition

	// Subscribers are told what has happened to products, after it has: each at
	// least once, and of one product in order. They are served beside the
	// requests and hold up none.
	Subscribers events.Subscribers
}

func (p Program) withDefaults() Program {
	if p.Now == nil {
		p.Now = system.Now
	}
	if p.Patience == 0 {
		p.Patience = 10 * time.Second
	}
	return p
}

// Node is one running Gatehouse. Of those who share a PostgreSQL there may be
// any number.
type Node struct {
	program  Program
	house    *house
	listener net.Listener
	server   *httpapi.Server
	public   *url.URL
	mailing  *mailing.Service

	private *private // nil where none is configured

	mailFolder  string // where mails go; "" for to a mail server
	undelivered bool   // the last mails could not be sent; of the worker that sends them
}

// Open opens everything and listens; [Node.Run] serves. Whatever it opened
// before it failed is closed again.
func (p Program) Open(ctx context.Context) (*Node, error) {
	p = p.withDefaults()
	if p.Config.MetricsListen != "" {
		p.stats = promstats.New(p.Version)
	}
	var err error
	if p.tracer, err = oteltrace.Open(ctx, p.Version, p.Log); err != nil {
		return nil, err
	}
	h, err := openHouse(ctx, p, bringUp)
	if err != nil {
		p.untrace()
		return nil, err
	}
	n := &Node{program: p, house: h}
	if err := n.listen(ctx); err != nil {
		p.untrace()
		return nil, errors.Join(err, h.close())
	}
	return n, nil
}

// listen opens the port and puts the HTTP adapter behind it.
func (n *Node) listen(ctx context.Context) error {
	c, h := n.program.Config, n.house
	if err := h.authorizer.Load(ctx); err != nil {
		return fmt.Errorf("the policy in the database cannot be used, and nothing is decided without one: %w; \"gatehouse policy check\" tells more", err)
	}
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w; another program may be using the port: choose one with GATEHOUSE_LISTEN or --listen", c.Listen, err)
	}
	n.public = c.Public(ln.Addr())
	n.server, err = httpapi.New(httpapi.Config{
		Accounts: h.accounts, Sessions: h.sessions, Products: h.products, Explainer: h.explainer, Administration: h.administration, Policies: h.policyDesk, Previewer: h.previewer, Devices: h.devices,
		Health:         h.health(),
		PublicURL:      n.public,
		TrustedOrigins: c.TrustedOrigins, TrustedProxies: c.TrustedProxies,
		BodyLimit: c.BodyLimit, RequestTimeout: c.RequestTimeout,
		Random: h.random, Now: n.program.Now, Log: n.program.Log, Version: n.program.Version, Count: n.count(), Tracer: n.follows(),
	})
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	if err := n.post(); err != nil {
		return errors.Join(err, ln.Close())
	}
	if err := n.listenPrivately(); err != nil {
		return errors.Join(err, ln.Close())
	}
	n.listener = ln
	return nil
}

// Addr is what the node listens on.
func (n *Node) Addr() net.Addr { return n.listener.Addr() }

// URL is where people reach the node, as far as it knows.
func (n *Node) URL() string { return n.public.String() }

// Run serves until ctx is done, and then lets what is in flight come to its
// end: /readyz answers 503, for the configured delay everything is still
// served, then the listener closes. It returns nil if nothing had to be cut.
func (n *Node) Run(ctx context.Context) error {
	defer n.private.serve(n.program.Log)() // until all else has come to its end, which is seen there
	tasks := []task{{n.prune, pruneEvery}, {n.deliver, deliverEvery}}
	for _, s := range n.program.Extensions.Subscribers { // each for itself: one that hangs holds up no other
		tasks = append(tasks, task{n.telling(s.Name), deliverEvery})
	}
	if n.house.cache != nil {
		tasks = append(tasks, task{n.follow, followAgain})
	}
	work := startWork(n.program.Log, tasks...)
	defer work.stop()
	served := make(chan error, 1)
	go func() { served <- n.server.Serve(n.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving ended: %w", err)
	case <-ctx.Done():
	}
	return n.drain(served)
}

func (n *Node) drain(served <-chan error) error {
	n.program.Log.Info("stopping", "drain_delay", n.program.Config.DrainDelay.String())
	n.server.Drain()
	time.Sleep(n.program.Config.DrainDelay)
	ctx, cancel := context.WithTimeout(context.Background(), drainDeadline)
	defer cancel()
	if err := n.server.Shutdown(ctx); err != nil {
		return fmt.Errorf("requests were still in work %s after the listener closed: %w", drainDeadline, err)
	}
	return <-served
}

// Close closes what Open opened, in reverse. It comes after Run.
func (n *Node) Close() error {
	err := n.listener.Close()
	if errors.Is(err, net.ErrClosed) { // serving has closed it
		err = nil
	}
	err = errors.Join(err, n.private.close(), n.house.close())
	n.program.untrace()
	return err
}
