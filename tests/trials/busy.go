package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// connections is how many a node of the trials may open.
const connections = 10

// slowSearches is scenario 3: first searches that wait, as for a disk or a lock,
// and cost nothing, then searches that read the whole table, since the index for
// them is gone.
func slowSearches(a *trial) error {
	nodes, err := a.pair(fmt.Sprintf("GATEHOUSE_DATABASE_MAX_CONNECTIONS=%d", connections))
	if err != nil {
		return err
	}
	p, err := signUpMany(nodes[0], 2)
	if err != nil {
		return err
	}
	if err := a.stock(newGoods(20_000)); err != nil {
		return err
	}
	lock, err := pgx.Connect(a.ctx, a.database)
	if err != nil {
		return err
	}
	defer lock.Close(a.ctx)
	if err := a.besideSearches("that wait", nodes, p, func() error {
		_, err := lock.Exec(a.ctx, "BEGIN; LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
		return err
	}, func() error {
		_, err := lock.Exec(a.ctx, "ROLLBACK")
		return err
	}); err != nil {
		return err
	}
	if err := a.besideSearches("that read all", nodes, p, func() error {
		_, err := lock.Exec(a.ctx, "DROP INDEX products_search_idx")
		return err
	}, func() error { return nil }); err != nil {
		return err
	}
	return errors.Join(nodes[0].alive(), nodes[1].alive())
}

// besideSearches has fifty clients search, on both nodes, and measures what becomes
// of those who show a session.
func (a *trial) besideSearches(kind string, nodes []*node, p people, begin, end func() error) error {
	searches, checks := &record{}, &record{}
	ctx, stop := context.WithCancel(a.ctx)
	defer stop()
	if err := begin(); err != nil {
		return err
	}
	began := time.Now()
	drive := func(r *record, clients int, pause time.Duration, what string, raw func(i int) []byte) (done chan struct{}) {
		done = make(chan struct{})
		var callers []*caller
		for i := range clients {
			callers = append(callers, &caller{n: nodes[i%len(nodes)]})
		}
		go func() {
			defer close(done)
			var i atomic.Int64
			each(clients, func(worker int) {
				defer callers[worker].close()
				for ctx.Err() == nil {
					r.call(callers[worker], what, raw(int(i.Add(1))))
					time.Sleep(pause)
				}
			})
		}()
		return done
	}
	texts := []string{"qqqq", "zephyrine", commonest + commonest, "없는말"}
	searching := drive(searches, 50, time.Millisecond, "GET /products?q", func(i int) []byte {
		return request("GET", "/products?count=true&q="+strings.ReplaceAll(texts[i%len(texts)], " ", "+"), "", p.cookies[0])
	})
	checking := drive(checks, 8, 10*time.Millisecond, "GET /me", func(i int) []byte {
		return request("GET", "/me", "", p.cookies[i%len(p.cookies)])
	})
	most, ending, err := a.mostConnections(ctx, nodes, 8*time.Second)
	stop()
	<-searching
	<-checking
	if err := errors.Join(err, end()); err != nil {
		return err
	}
	from := began.Add(500 * time.Millisecond)
	me, found := checks.during(from, time.Now()), searches.during(from, time.Now())
	surplus := searches.surplus(from)
	a.row(me.only(200) && me.at(0.99) <= 50*time.Millisecond, "GET /me beside fifty searches "+kind, "200, p99 ≤ 50 ms",
		fmt.Sprintf("p99 %s, median %s (%s)", ms(me.at(0.99)), ms(me.at(0.5)), me.statuses()))
	a.row(found.only(200, 503) && found.status[503] > 0 && surplus.at(1) <= 500*time.Millisecond, "these searches: the surplus", "503 with Retry-After, ≤ 500 ms",
		fmt.Sprintf("the slowest %s, median %s; of all %s", ms(surplus.at(1)), ms(surplus.at(0.5)), found.statuses()))
	a.row(most > 0 && most <= connections*len(nodes), "connections meanwhile", fmt.Sprintf("≤ %d × %d", len(nodes), connections), fmt.Sprintf("%d, and at most %d processes that were ending", most, ending))
	return nil
}

// surplus gives the shots that found no place, which are told to come again in two
// seconds (adapters/gormrepo/searches.go); who had one and was given up is not.
func (r *record) surplus(from time.Time) *load {
	l := &load{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.all {
		if s.began.After(from) && s.status == 503 && s.retry == "2" {
			l.add(reply{status: s.status, took: s.took()}, s.err)
		}
	}
	return l
}

// mostConnections watches for a time how many connections to PostgreSQL the nodes
// have, and how many processes serve none any more: PostgreSQL takes a moment to
// notice that a statement was given up, more of it if it has no time.
func (a *trial) mostConnections(ctx context.Context, nodes []*node, d time.Duration) (most, ending int, err error) {
	for deadline := time.Now().Add(d); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		rows, err := a.db.Query(a.ctx, `SELECT client_port FROM pg_stat_activity WHERE application_name = 'gatehouse' AND datname = current_database() AND client_port IS NOT NULL`)
		if err != nil {
			return most, ending, err
		}
		served, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil {
			return most, ending, err
		}
		held := map[int]bool{}
		for _, n := range nodes {
			for _, port := range n.ports() {
				held[port] = true
			}
		}
		all := len(served)
		served = slices.DeleteFunc(served, func(port int) bool { return !held[port] })
		most, ending = max(most, len(served)), max(ending, all-len(served))
	}
	return most, ending, nil
}

// ports are those of this machine on which the process has connections (proc(5)).
func (n *node) ports() (ports []int) {
	own := map[string]bool{}
	folder := fmt.Sprintf("/proc/%d/fd", n.cmd.Process.Pid)
	open, _ := os.ReadDir(folder) // one that has ended has none
	for _, f := range open {
		if link, err := os.Readlink(folder + "/" + f.Name()); err == nil && strings.HasPrefix(link, "socket:[") {
			own[strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")] = true
		}
	}
	table, _ := os.ReadFile("/proc/net/tcp")
	for line := range strings.Lines(string(table)) {
		field := strings.Fields(line)
		if len(field) < 10 || !own[field[9]] {
			continue
		}
		_, port, _ := strings.Cut(field[1], ":")
		if p, err := strconv.ParseInt(port, 16, 32); err == nil {
			ports = append(ports, int(p))
		}
	}
	return ports
}
