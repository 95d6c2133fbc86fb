package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// stopping is scenario 25.
func stopping(a *trial) error {
	if err := stopUnderLoad(a); err != nil {
		return err
	}
	if err := stopWithSignIns(a); err != nil {
		return err
	}
	return panics(a)
}

// stopUnderLoad tells nodes to stop in turn under 200 requests a second. Whoever
// asks goes by /readyz, as a load balancer does.
func stopUnderLoad(a *trial) error {
	nodes, err := a.pair("GATEHOUSE_DRAIN_DELAY=2s")
	if err != nil {
		return err
	}
	w, err := newWriters(a, nodes)
	if err != nil {
		return err
	}
	defer w.close()
	ctx, stop := context.WithCancel(a.ctx)
	defer stop()
	var leaving atomic.Bool // the first node
	go func() {
		c := &caller{n: nodes[0]}
		defer c.close()
		for ctx.Err() == nil && !leaving.Load() {
			r, err := c.send(request("GET", "/readyz", ""))
			leaving.Store(err != nil || r.status != 200)
			time.Sleep(50 * time.Millisecond)
		}
	}()
	began := time.Now()
	var load sync.WaitGroup
	load.Go(func() {
		fire(ctx, 200, writing, func(worker, i int) {
			node := worker % 2
			if leaving.Load() {
				node = 1
			}
			w.mixedAt(w.callers[2*worker+node], worker, i)
		})
	})
	time.Sleep(3 * time.Second)
	told := time.Now()
	ended := nodes[0].terminate()
	time.Sleep(time.Second)
	stop()
	load.Wait()
	l := w.during(began, time.Now())
	a.row(ended == nil, "SIGTERM: how it ends", "exit code 0", fmt.Sprintf("%v, %s after", orNone(ended), ms(time.Since(told)-time.Second)))
	a.row(len(w.odd()) == 0, "SIGTERM at 200/s", "nothing is cut, no 5xx", fmt.Sprintf("%s, p99 %s, %s", l.statuses(), ms(l.at(0.99)), oddly(w.odd())))
	w.nodes = nodes[1:]
	return a.nothingLost(w)
}

// stopWithSignIns stops a node, without any delay, that has people in the queue for
// the hashing of their passwords: each is answered, though it be that the queue
// was too long.
func stopWithSignIns(a *trial) error {
	n, err := a.node(append([]string{"GATEHOUSE_SESSION_MAX=0"}, noThrottles...)...)
	if err != nil {
		return err
	}
	const people = 20
	wires, err := n.open(people)
	defer closeAll(wires)
	if err != nil {
		return err
	}
	l := &load{}
	raw := request("POST", "/login", credentials("user0@example.com"))
	var all, sent sync.WaitGroup
	sent.Add(people)
	for _, w := range wires {
		all.Go(func() {
			_, err := w.Write(raw)
			sent.Done()
			var r reply
			if err == nil {
				_ = w.SetReadDeadline(time.Now().Add(answerTime))
				r, err = w.answer(false)
			}
			l.add(r, err)
		})
	}
	sent.Wait()
	time.Sleep(20 * time.Millisecond) // for the last to be read out of the kernel's queue
	ended := n.terminate()
	all.Wait()
	a.row(l.only(200, 503) && l.status[200] > 0 && ended == nil, fmt.Sprintf("SIGTERM with %d sign-ins in work, and no delay", people), "each answered, exit code 0", fmt.Sprintf("%s, %v", l.statuses(), orNone(ended)))
	return nil
}

// What the panics say, and nobody may be told.
const (
	ruleSays       = "the rule's own secret"
	subscriberSays = "the subscriber's own secret"
)

// panicking is what a team might add that is broken.
const panicking = `package bootstrap

import (
	"context"

	"gatehouse/application/events"
	"gatehouse/domain/access"
	"gatehouse/domain/product"
)

func extensions() Extensions {
	return Extensions{
		ProductRules: []product.Rule{func(t product.Transition) error {
			if t.After != nil && t.After.Name() == "panic" {
				panic("` + ruleSays + `")
			}
			return nil
		}},
		Conditions: []access.Condition{},
		Subscribers: events.Subscribers{{Name: "broken", Handle: func(context.Context, product.Event, *events.Desk) error {
			panic("` + subscriberSays + `")
		}}},
	}
}
`

// panics has a handler panic, and a goroutine that serves nobody.
func panics(a *trial) error {
	program, err := a.build(a.ctx, "panicking", map[string]string{"bootstrap/extensions.go": panicking})
	if err != nil {
		return err
	}
	a.program = program
	nodes, err := a.pair("GATEHOUSE_LOG_LEVEL=debug") // where each failure to tell a subscriber is told
	if err != nil {
		return err
	}
	n := nodes[0]
	cookie, err := n.signUp("panic@example.com")
	if err != nil {
		return err
	}
	bad, good, told := &load{}, &load{}, atomic.Int64{}
	each(8, func(worker int) {
		c := &caller{n: n}
		defer c.close()
		for range 25 {
			r, err := c.send(request("POST", "/products", offer("panic"), cookie))
			bad.add(r, err)
			if strings.Contains(string(r.body)+string(r.header), "secret") {
				told.Add(1)
			}
			r, err = c.send(request("POST", "/products", offer("good"), cookie))
			good.add(r, err)
		}
	})
	a.row(bad.only(500) && told.Load() == 0, "200 panics in a handler", "500 without its text", fmt.Sprintf("%s, %d with it", bad.statuses(), told.Load()))
	a.row(good.only(201), "others beside them", "201", good.statuses())
	said := func() int {
		return strings.Count(nodes[0].said(), subscriberSays) + strings.Count(nodes[1].said(), subscriberSays)
	}
	for range 600 {
		if said() > 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	running := 0
	for _, n := range nodes {
		if n.cmd.Process.Signal(syscall.Signal(0)) == nil {
			running++
		}
	}
	a.row(said() > 0 && running == 2, "panics in a goroutine of its own", "both processes live", fmt.Sprintf("%d panics logged, %d live", said(), running))
	a.row(strings.Contains(n.said(), ruleSays), "what the panic said", "in the log", fmt.Sprint(strings.Contains(n.said(), ruleSays)))
	return nil
}
