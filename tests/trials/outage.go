package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/tests/pgtest"
)

// ownServer puts the trial on a PostgreSQL of its own, to be killed and frozen.
func (a *trial) ownServer() error {
	server, err := pgtest.Launch(a.ctx)
	if err != nil {
		return err
	}
	a.own = server
	c, err := pgx.Connect(a.ctx, server.URL("postgres"))
	if err != nil {
		return err
	}
	defer c.Close(a.ctx)
	if _, err := c.Exec(a.ctx, "CREATE DATABASE gatehouse"); err != nil {
		return err
	}
	a.database = server.URL("gatehouse")
	return nil
}

// pair starts two nodes over the trial's database, with every limit off.
func (a *trial) pair(settings ...string) ([]*node, error) {
	settings = append(append([]string{"GATEHOUSE_SESSION_MAX=0"}, noThrottles...), settings...)
	first, err := a.node(settings...)
	if err != nil {
		return nil, err
	}
	second, err := a.node(settings...)
	return []*node{first, second}, err
}

// goods for sale: a product that one worker changes.
func offer(name string) string {
	return fmt.Sprintf(`{"name":%q,"price":{"amount":1,"currency":"KRW"},"status":"published"}`, name)
}

// people are users who are signed in.
type people struct {
	emails  []string
	cookies []string // one session each
}

func signUpMany(n *node, count int) (p people, err error) {
	for i := range count {
		email := fmt.Sprintf("user%d@example.com", i)
		cookie, err := n.signUp(email)
		if err != nil {
			return p, err
		}
		p.emails, p.cookies = append(p.emails, email), append(p.cookies, cookie)
	}
	return p, nil
}

// writers change products, put up new ones, sign in and out, and remember what
// was acknowledged.
type writers struct {
	*record
	nodes []*node
	people
	callers []*caller // of the workers, one for each node: worker*len(nodes)+node
	paths   []string  // of the product that each changes

	changes atomic.Int64

	mu       sync.Mutex
	stock    []int             // what was acknowledged last, of each worker's product
	made     map[string]string // path -> name
	sessions map[string]bool   // cookies -> whether they are signed in
	counts   map[string]int    // acknowledged writes
}

const writing = 64 // workers

func newWriters(a *trial, nodes []*node) (*writers, error) {
	w := &writers{record: &record{}, nodes: nodes, stock: make([]int, writing), made: map[string]string{}, sessions: map[string]bool{}, counts: map[string]int{}}
	var err error
	if w.people, err = signUpMany(nodes[0], 8); err != nil {
		return nil, err
	}
	for _, cookie := range w.cookies {
		w.sessions[cookie] = true
	}
	for worker := range writing {
		for _, n := range nodes {
			w.callers = append(w.callers, &caller{n: n})
		}
		r, ok := w.call(w.at(worker, 0), "POST /products", request("POST", "/products", offer("changed"), w.cookies[worker%len(w.cookies)]))
		if !ok {
			return nil, fmt.Errorf("POST /products = %d %s", r.status, r.body)
		}
		w.paths = append(w.paths, r.get("Location"))
	}
	return w, nil
}

func (w *writers) at(worker, i int) *caller {
	return w.callers[worker*len(w.nodes)+i%len(w.nodes)]
}

func (w *writers) close() {
	for _, c := range w.callers {
		c.close()
	}
}

// round is one write. One in twenty is a sign-in or a signing out, the others are
// products, changed and new.
func (w *writers) round(worker, i int) { w.roundAt(w.at(worker, i), worker, i) }

func (w *writers) roundAt(c *caller, worker, i int) {
	who := worker % len(w.cookies)
	switch {
	case i%40 == 7:
		if r, ok := w.call(c, "POST /login", request("POST", "/login", credentials(w.emails[who]))); ok {
			w.acknowledge("signed in", func() { w.sessions[r.cookie("sid")] = true })
		}
	case i%40 == 27:
		cookie := w.someSession()
		if cookie == "" {
			return
		}
		if _, ok := w.call(c, "POST /logout", request("POST", "/logout", "", cookie)); ok {
			w.acknowledge("signed out", func() { w.sessions[cookie] = false })
		}
	case i%4 == 0:
		name := fmt.Sprintf("new %d", i)
		if r, ok := w.call(c, "POST /products", request("POST", "/products", offer(name), w.cookies[who])); ok {
			w.acknowledge("new", func() { w.made[r.get("Location")] = name })
		}
	default:
		// The number only grows, so what is kept at the end is at least what was
		// acknowledged.
		stock := int(w.changes.Add(1))
		body := fmt.Sprintf(`{"stock":%d}`, stock)
		if _, ok := w.call(c, "PATCH /products/{id}", request("PATCH", w.paths[worker], body, w.cookies[who])); ok {
			w.acknowledge("changed", func() { w.stock[worker] = stock })
		}
	}
}

func (w *writers) acknowledge(what string, note func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
	note()
}

// someSession takes one out of those that were begun under way; what becomes of
// it is not known until its end is acknowledged.
func (w *writers) someSession() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for cookie, in := range w.sessions {
		if in && !slices.Contains(w.cookies, cookie) {
			delete(w.sessions, cookie)
			return cookie
		}
	}
	return ""
}

// lost reads everything back, on every node in turn, and tells what was
// acknowledged and is not there.
func (w *writers) lost() (writes, sessions []string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make([]*caller, len(w.nodes))
	for i, n := range w.nodes {
		c[i] = &caller{n: n}
		defer c[i].close()
	}
	var errs []error
	turn := 0
	read := func(path, cookie string) reply {
		turn++
		var headers []string
		if cookie != "" {
			headers = append(headers, cookie)
		}
		r, err := c[turn%len(c)].send(request("GET", path, "", headers...))
		errs = append(errs, err)
		return r
	}
	var p struct {
		Name  string
		Stock int
	}
	for path, name := range w.made {
		if r := read(path, ""); r.status != 200 || json.Unmarshal(r.body, &p) != nil || p.Name != name {
			writes = append(writes, fmt.Sprintf("GET %s = %d %s, want %s", path, r.status, r.body, name))
		}
	}
	for worker, path := range w.paths {
		if r := read(path, ""); r.status != 200 || json.Unmarshal(r.body, &p) != nil || p.Stock < w.stock[worker] {
			writes = append(writes, fmt.Sprintf("GET %s = %d %s, want at least %d", path, r.status, r.body, w.stock[worker]))
		}
	}
	for cookie, in := range w.sessions {
		for range w.nodes {
			if r := read("/me", cookie); r.status != map[bool]int{true: 200, false: 401}[in] {
				sessions = append(sessions, fmt.Sprintf("GET /me = %d, signed in: %t", r.status, in))
			}
		}
	}
	return writes, sessions, errors.Join(errs...)
}

func (a *trial) nothingLost(w *writers) error {
	writes, sessions, err := w.lost()
	if err != nil {
		return err
	}
	some := func(list []string) string {
		if len(list) == 0 {
			return "none lost"
		}
		return fmt.Sprintf("%d lost, such as: %s", len(list), list[0])
	}
	a.row(len(writes) == 0, "writes that were acknowledged", "none lost", fmt.Sprintf("%s, of %d changes and %d new products", some(writes), w.counts["changed"], w.counts["new"]))
	a.row(len(sessions) == 0, "sessions that were begun and ended", "none lost, none alive again", fmt.Sprintf("%s, of %d there before, %d begun, %d ended", some(sessions), len(w.cookies), w.counts["signed in"], w.counts["signed out"]))
	return nil
}

// databaseKilled is scenario 1.
func databaseKilled(a *trial) error {
	if err := a.ownServer(); err != nil {
		return err
	}
	nodes, err := a.pair()
	if err != nil {
		return err
	}
	w, err := newWriters(a, nodes)
	if err != nil {
		return err
	}
	defer w.close()
	const rate = 200
	ctx, stop := context.WithCancel(a.ctx)
	defer stop()
	began := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fire(ctx, rate, writing, w.round)
	}()
	time.Sleep(4 * time.Second)
	killed := time.Now()
	a.own.Kill()
	time.Sleep(time.Second)
	if err := a.own.Start(); err != nil {
		return err
	}
	accepts := time.Now()
	time.Sleep(6 * time.Second)
	stop()
	<-done
	before, meanwhile := w.during(began, killed), w.during(killed, accepts)
	refused := w.refused(killed, accepts)
	a.row(before.elapsed > 0 && float64(len(before.took)) >= 0.9*rate*before.elapsed.Seconds(), "writes before", fmt.Sprintf("%d/s", rate), fmt.Sprintf("%.0f/s (%s), p99 %s", before.rate(), before.statuses(), ms(before.at(0.99))))
	a.row(len(w.odd(503)) == 0 && meanwhile.status[503] > 0, "answers that were no success", "only 503", fmt.Sprintf("%s meanwhile, %s", meanwhile.statuses(), oddly(w.odd(503))))
	a.row(refused.at(0.99) <= time.Second, "these: p99", "≤ 1 s", fmt.Sprintf("%s, median %s, %s", ms(refused.at(0.99)), ms(refused.at(0.5)), w.slowest(killed, accepts)))
	a.servedAgain(w.record, accepts, 2*time.Second)
	if err := a.nothingLost(w); err != nil {
		return err
	}
	return errors.Join(nodes[0].alive(), nodes[1].alive())
}

// servedAgain prints when the last request was begun that was refused.
func (a *trial) servedAgain(r *record, since time.Time, within time.Duration) {
	bad, ok := r.lastBad(since)
	took, which := time.Duration(0), "no request was refused any more"
	if ok {
		took, which = bad.began.Sub(since), fmt.Sprintf("the last that was refused: %s, %d %v", bad.what, bad.status, bad.err)
	}
	a.row(took <= within, "served again", "≤ "+within.String()+" after it answers", fmt.Sprintf("%s; %s", ms(took), which))
}

// databaseFrozen is scenario 2.
func databaseFrozen(a *trial) error {
	if err := a.ownServer(); err != nil {
		return err
	}
	nodes, err := a.pair()
	if err != nil {
		return err
	}
	p, err := signUpMany(nodes[0], 4)
	if err != nil {
		return err
	}
	all, probes := &record{}, &record{}
	ctx, stop := context.WithCancel(a.ctx)
	defer stop()
	var clients sync.WaitGroup
	ask := func(r *record, n *node, what string, raw []byte, pause time.Duration) {
		clients.Go(func() {
			c := &caller{n: n}
			defer c.close()
			for ctx.Err() == nil {
				r.call(c, what, raw)
				time.Sleep(pause)
			}
		})
	}
	for i, n := range nodes {
		for j := range 8 {
			cookie := p.cookies[(i+j)%len(p.cookies)]
			ask(all, n, "GET /me", request("GET", "/me", "", cookie), 5*time.Millisecond)
			ask(all, n, "GET /products", request("GET", "/products", "", cookie), 5*time.Millisecond)
			ask(all, n, "POST /products", request("POST", "/products", offer("x"), cookie), 20*time.Millisecond)
		}
		ask(all, n, "POST /login", request("POST", "/login", credentials(p.emails[i])), 100*time.Millisecond)
		ask(probes, n, "GET /livez", request("GET", "/livez", ""), 50*time.Millisecond)
		ask(probes, n, "GET /readyz", request("GET", "/readyz", ""), 50*time.Millisecond)
	}
	time.Sleep(2 * time.Second)
	a.own.Freeze()
	frozen := time.Now()
	time.Sleep(10 * time.Second)
	thawed := time.Now()
	a.own.Thaw()
	time.Sleep(4 * time.Second)
	stop()
	clients.Wait()

	within := 2500 * time.Millisecond
	meanwhile := all.during(frozen, thawed)
	refused := all.between(frozen, thawed)
	a.row(refused.only(503) && len(all.odd(503)) == 0, "answers while it was frozen", "503", fmt.Sprintf("%s, %s", refused.statuses(), oddly(all.odd(503))))
	a.row(meanwhile.at(1) <= within, "the slowest of them", "≤ 2.5 s", fmt.Sprintf("median %s, %s", ms(meanwhile.at(0.5)), all.slowest(frozen, thawed)))
	signedOut := all.during(time.Time{}, time.Time{}).status[401]
	a.row(signedOut == 0, "answers that sign somebody out", "no 401", fmt.Sprint(signedOut))
	livez, readyz := probes.of("GET /livez"), probes.of("GET /readyz")
	life, readiness := livez.between(frozen, thawed), readyz.between(frozen.Add(time.Second), thawed)
	a.row(life.only(200), "GET /livez", "200", fmt.Sprintf("%s, the slowest %s", life.statuses(), ms(life.at(1))))
	a.row(readiness.only(503) && readiness.at(1) <= within, "GET /readyz", "503", fmt.Sprintf("%s, the slowest %s", readiness.statuses(), ms(readiness.at(1))))
	a.servedAgain(all, thawed, time.Second)
	bad, _ := readyz.lastBad(thawed)
	a.row(bad.began.IsZero() || bad.began.Sub(thawed) <= time.Second, "GET /readyz afterwards", "200 after ≤ 1 s", ms(max(0, bad.began.Sub(thawed))))
	for i, cookie := range p.cookies {
		c := &caller{n: nodes[i%2]}
		if r, err := c.send(request("GET", "/me", "", cookie)); err != nil || r.status != 200 {
			return fmt.Errorf("GET /me afterwards = %d, %w", r.status, orNone(err))
		}
		c.close()
	}
	return errors.Join(nodes[0].alive(), nodes[1].alive())
}
