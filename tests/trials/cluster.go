package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"gatehouse/tests/overlay"
	"gatehouse/tests/proxytest"
)

// cluster is three nodes behind a proxy, over one database.
type cluster struct {
	a        *trial
	at       [proxytest.Nodes]string
	nodes    [proxytest.Nodes]*node
	proxy    *proxytest.Proxy
	entrance *node // what clients speak to: the proxy
}

func (a *trial) cluster(program string) (*cluster, error) {
	c := &cluster{a: a}
	for i := range c.nodes {
		var err error
		if c.at[i], err = proxytest.FreeAddress(); err != nil {
			return nil, err
		}
		if err := c.start(i, program); err != nil {
			return nil, err
		}
	}
	var err error
	if c.proxy, err = proxytest.Launch(a.ctx, a.root, c.at); err != nil {
		return nil, err
	}
	c.entrance = &node{address: c.proxy.Address}
	return c, nil
}

func (c *cluster) close() {
	if c.proxy != nil {
		c.proxy.Close()
	}
}

// start starts a node at its address, with some version of the program.
func (c *cluster) start(i int, program string) (err error) {
	before := c.a.program
	c.a.program = program
	c.nodes[i], err = c.a.node(append([]string{
		"GATEHOUSE_LISTEN=" + c.at[i], "GATEHOUSE_TRUSTED_PROXIES=127.0.0.1", "GATEHOUSE_DRAIN_DELAY=3s", "GATEHOUSE_SESSION_MAX=0",
	}, noThrottles...)...)
	c.a.program = before
	return err
}

// noticed is more than the proxy takes to see that a node is back (configs/haproxy.cfg).
const noticed = 1500 * time.Millisecond

// roll replaces the nodes by another version, one after the other.
func (c *cluster) roll(program string) error {
	for i := range c.nodes {
		if err := c.nodes[i].terminate(); err != nil {
			return err
		}
		if err := c.start(i, program); err != nil {
			return err
		}
		time.Sleep(noticed)
	}
	return nil
}

// terminate sends SIGTERM and waits for an orderly end.
func (n *node) terminate() error {
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-n.ended:
	case <-time.After(30 * time.Second):
		return errors.New("a node that was told to stop does not end")
	}
	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		said, _ := os.ReadFile(n.log)
		return fmt.Errorf("a node that was told to stop ended with %d: %s", code, said[max(0, len(said)-2000):])
	}
	return nil
}

// versions are three releases in a row. The second has a column more, which the
// first neither reads nor writes (expand); the third no longer has the default by
// which the first could live beside it (contract).
func (f *field) versions(ctx context.Context) (first, second, third string, err error) {
	const products = "adapters/gormrepo/products.go"
	using, err := overlay.Changed(f.root, products,
		"	PriceCurrency   string\n", "	PriceCurrency   string\n	Shelf           string\n",
		"updated_at, sharing, \"", "updated_at, sharing, shelf, \"",
		"&r.Sharing, &r.grants", "&r.Sharing, &r.Shelf, &r.grants",
		"ID: s.ID.String(), OwnerID: s.OwnerID.String(), Name", "Shelf: \"new\", ID: s.ID.String(), OwnerID: s.OwnerID.String(), Name",
		"\"version\": row.Version,", "\"version\": row.Version, \"shelf\": row.Shelf,")
	if err != nil {
		return "", "", "", err
	}
	expand := "-- +goose Up\nALTER TABLE products ADD COLUMN shelf text NOT NULL DEFAULT 'old';\n\n-- +goose Down\nALTER TABLE products DROP COLUMN shelf;\n"
	contract := "-- +goose Up\nALTER TABLE products ALTER COLUMN shelf DROP DEFAULT;\n\n-- +goose Down\nALTER TABLE products ALTER COLUMN shelf SET DEFAULT 'old';\n"
	named := func(version string) []string {
		return []string{"-ldflags", "-X gatehouse/bootstrap.version=" + version}
	}
	files := map[string]string{products: using, "migrations/postgres/9001_expand.sql": expand}
	second, err2 := f.build(ctx, "second", files, named("second")...)
	files["migrations/postgres/9002_contract.sql"] = contract
	third, err3 := f.build(ctx, "third", files, named("third")...)
	return f.plain, second, third, errors.Join(err2, err3)
}

// under carries something out while people use the entrance, and returns what they
// were answered meanwhile.
func (c *cluster) under(w *writers, rate int, act func() error) (began time.Time, err error) {
	ctx, stop := context.WithCancel(c.a.ctx)
	defer stop()
	var load sync.WaitGroup
	load.Go(func() { fire(ctx, rate, writing, w.mixed) })
	time.Sleep(time.Second)
	began = time.Now()
	err = act()
	time.Sleep(time.Second)
	stop()
	load.Wait()
	return began, err
}

// mixed is a round of people who read as much as they write.
func (w *writers) mixed(worker, i int) { w.mixedAt(w.at(worker, i), worker, i) }

func (w *writers) mixedAt(c *caller, worker, i int) {
	who := w.cookies[worker%len(w.cookies)]
	switch i % 4 {
	case 0:
		w.call(c, "GET /me", request("GET", "/me", "", who))
	case 1:
		w.call(c, "GET /products/{id}", request("GET", w.paths[worker], "", who))
	default:
		w.roundAt(c, worker, i/4*2+i%2)
	}
}

// rolling is scenario 23.
func rolling(a *trial) error {
	first, second, third, err := a.versions(a.ctx)
	if err != nil {
		return err
	}
	c, err := a.cluster(first)
	if err != nil {
		return err
	}
	defer c.close()
	w, err := newWriters(a, []*node{c.entrance})
	if err != nil {
		return err
	}
	defer w.close()
	for _, step := range []struct{ what, program string }{
		{"up, to one that has a column more", second},
		{"back, over the newer tables", first},
		{"up again", second},
		{"on, to one with which the first could not live", third},
	} {
		began, err := c.under(w, 100, func() error { return c.roll(step.program) })
		if err != nil {
			return err
		}
		l := w.during(began, time.Now())
		a.row(len(w.odd()) == 0, "three nodes rolled "+step.what, "no 5xx, none cut",
			fmt.Sprintf("%s, p99 %s, %s", l.statuses(), ms(l.at(0.99)), oddly(w.odd())))
	}
	shelves, err := a.number(`SELECT count(*) FROM products WHERE shelf = 'new'`)
	if err != nil {
		return err
	}
	a.row(shelves > 0, "rows written by the new version", "some", fmt.Sprint(shelves))
	if err := a.nothingLost(w); err != nil {
		return err
	}
	return a.doubleStarts(50)
}

// doubleStarts has two nodes start at once on an empty database, so many times.
func (a *trial) doubleStarts(times int) error {
	failed := 0
	var first error
	var slowest time.Duration
	before := a.database
	defer func() { a.database = before }()
	for i := range times {
		name := fmt.Sprintf("%s_%d", a.name, i)
		if _, err := a.admin.Exec(a.ctx, "CREATE DATABASE "+name); err != nil {
			return err
		}
		a.database = strings.Replace(before, a.name, name, 1)
		began := time.Now()
		var mu sync.Mutex
		var nodes []*node
		each(2, func(int) {
			n, err := a.unlisted(noThrottles...)
			mu.Lock()
			defer mu.Unlock()
			if nodes = append(nodes, n); err != nil {
				failed++
				first = errors.Join(first, err)
			}
		})
		slowest = max(slowest, time.Since(began))
		for _, n := range nodes {
			if n != nil {
				n.kill()
			}
		}
		if _, err := a.admin.Exec(a.ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			return err
		}
	}
	a.row(failed == 0, fmt.Sprintf("%d times two nodes start on an empty database", times), "no failed start", fmt.Sprintf("%d failed, the slowest pair served after %s, %v", failed, ms(slowest), orNone(first)))
	return nil
}

// severalNodes is what several nodes are for: who is signed in by one is known by
// all, and one that is killed costs what it was working on.
func severalNodes(a *trial) error {
	c, err := a.cluster(a.plain)
	if err != nil {
		return err
	}
	defer c.close()
	w, err := newWriters(a, []*node{c.entrance})
	if err != nil {
		return err
	}
	defer w.close()
	known := 0
	for _, cookie := range w.cookies {
		for _, n := range c.nodes {
			one := &caller{n: n}
			if r, err := one.send(request("GET", "/me", "", cookie)); err == nil && r.status == 200 {
				known++
			}
			one.close()
		}
	}
	a.row(known == len(w.cookies)*len(c.nodes), "sessions that were begun through the proxy, on each node", "known", fmt.Sprintf("%d of %d", known, len(w.cookies)*len(c.nodes)))
	for i := range c.nodes {
		var killed time.Time
		began, err := c.under(w, 150, func() error {
			c.nodes[i].kill()
			killed = time.Now()
			time.Sleep(3 * time.Second)
			if err := c.start(i, a.plain); err != nil {
				return err
			}
			time.Sleep(noticed)
			return nil
		})
		if err != nil {
			return err
		}
		l := w.during(began, time.Now())
		inFlight, others := 0, []shot{}
		for _, s := range w.refusals(began) {
			if s.began.Before(killed) {
				inFlight++ // the proxy has cut a connection, or says 502
			} else {
				others = append(others, s)
			}
		}
		after := ""
		if len(others) > 0 {
			after = fmt.Sprintf(", begun %s after the kill", ms(others[0].began.Sub(killed)))
		}
		a.row(len(others) == 0 && inFlight <= writing, fmt.Sprintf("node %d is killed (kill -9), and comes back", i+1), "no 5xx but in flight on it",
			fmt.Sprintf("%s; %d in flight, else %s%s", l.statuses(), inFlight, oddly(others), after))
	}
	return a.nothingLost(w)
}

// refusals gives the shots begun since a moment, and those in flight then, that
// were not answered with success.
func (r *record) refusals(since time.Time) (list []shot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.all {
		if !s.good() && s.ended.After(since) {
			list = append(list, s)
		}
	}
	return list
}
