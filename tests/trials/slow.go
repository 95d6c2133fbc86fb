package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// slowSenders is scenario 17.
func slowSenders(a *trial) error {
	n, err := a.node(noThrottles...)
	if err != nil {
		return err
	}
	defer a.rest(n)
	cookie, err := n.signUp("ann@example.com")
	if err != nil {
		return err
	}
	if err := headerBombs(a, n); err != nil {
		return err
	}
	me := request("GET", "/me", "", cookie)
	n.forA(a.ctx, time.Second, 8, always(me)) // warms up
	for _, kind := range []struct{ what, begin, drip string }{
		{"that send a header a byte at a time", "GET /me HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", "x"},
		{"that send a body a byte at a time", "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{", " "},
		{"that send nothing", "", ""},
	} {
		if err := slowloris(a, n, me, kind.what, kind.begin, kind.drip); err != nil {
			return err
		}
	}
	return n.alive()
}

// headerBombs sends headers that are too many, too long, too odd.
func headerBombs(a *trial, n *node) error {
	get := "GET /livez HTTP/1.1\r\nHost: localhost\r\n"
	base := n.settled()
	for _, c := range []struct {
		what string
		raw  string
		want []int
	}{
		{"one header of 1 MB", get + "X: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", []int{431}},
		{"10,000 headers", get + strings.Repeat("X-Many: x\r\n", 10_000) + "\r\n", []int{431}},
		{"a path of 1 MB", "GET /" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{431}},
		{"a method of 1 MB", strings.Repeat("X", 1<<20) + " / HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{431, 400}},
		{"1 MB of nothing at all", strings.Repeat("\r\n", 1<<19), nil}, // no request, so no answer
		{"10,000 cookies", get + "Cookie: " + strings.Repeat("a=b; ", 10_000) + "\r\n\r\n", []int{431}},
		{"1,000 names that collide", get + strings.Repeat("Content-Length: 1\r\n", 500) + "\r\n", []int{400}},
	} {
		l := &load{}
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for range 2 {
					answers, closed, err := n.raw([]byte(c.raw), 8*time.Second)
					if err == nil && (len(answers) != min(1, len(c.want)) || !closed) {
						err = fmt.Errorf("%d answers, closed: %v", len(answers), closed)
					}
					r := reply{}
					if err == nil && len(answers) > 0 {
						r = answers[0]
					}
					l.add(r, err)
				}
			})
		}
		all.Wait()
		if c.want == nil {
			a.row(l.only(0), c.what, "cut", l.statuses())
			continue
		}
		a.row(l.only(c.want...), c.what, strings.Trim(fmt.Sprint(c.want), "[]"), l.statuses())
	}
	_, peak := n.memory()
	a.row(peak <= base+16, "all of them, sixteen at once: memory", "≤ base + 16 MiB", fmt.Sprintf("%.0f MiB (base %.0f MiB)", peak, base))
	return nil
}

// slowloris holds 5,000 connections open by sending next to nothing, and
// measures what honest people notice of it and how long it is let.
func slowloris(a *trial, n *node, me []byte, what, begin, drip string) error {
	count := descriptors(5000)
	alone := n.forA(a.ctx, 3*time.Second, 8, always(me))
	base := n.settled()
	wires, err := n.open(count)
	defer closeAll(wires)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.ctx, 15*time.Second)
	defer cancel()
	var mu sync.Mutex
	var longest time.Duration
	left := 0
	var all sync.WaitGroup
	for _, w := range wires {
		all.Go(func() {
			began := time.Now()
			go func() { // a slow sender does not read
				for _, err := w.Write([]byte(begin)); err == nil && drip != ""; _, err = w.Write([]byte(drip)) {
					select {
					case <-ctx.Done():
						return
					case <-time.After(time.Second):
					}
				}
			}()
			cut := w.cut(ctx)
			mu.Lock()
			defer mu.Unlock()
			if longest = max(longest, time.Since(began)); !cut {
				left++
			}
		})
	}
	beside := n.forA(a.ctx, 3*time.Second, 8, always(me))
	_, peak := n.memory()
	all.Wait()
	times := float64(beside.at(0.99)) / float64(alone.at(0.99))
	name := fmt.Sprintf("%d connections %s", count, what)
	a.row(left == 0 && longest <= 6*time.Second, name+": cut", "all after ≤ 6 s", fmt.Sprintf("the last after %s, %d never", longest.Round(10*time.Millisecond), left))
	a.row(alone.only(200) && beside.only(200) && times <= 2, name+": p99 of honest requests", "≤ 2 × alone", fmt.Sprintf("%.2f × (%s against %s)", times, ms(beside.at(0.99)), ms(alone.at(0.99))))
	a.row(true, name+": memory", "reported", fmt.Sprintf("%.0f MiB (base %.0f MiB), %.1f KiB each", peak, base, (peak-base)*1024/float64(count)))
	return nil
}

// cut reads until the server has cut the connection, and reports false if ctx
// ends first.
func (w *wire) cut(ctx context.Context) bool {
	deadline, _ := ctx.Deadline()
	_ = w.SetReadDeadline(deadline)
	var b [512]byte
	for {
		if _, err := w.Read(b[:]); err != nil {
			return ctx.Err() == nil && time.Now().Before(deadline)
		}
	}
}
