package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/tests/proxytest"
)

// TestThreeNodesBehindAProxy puts HAProxy, with the file that operators use, in
// front of three nodes. Who signs in through it is known to each. A node that is
// killed (kill -9) costs changes that it was working on, and no reading; nodes
// that are replaced, one after the other, cost nothing. What was acknowledged is
// there. The same with other versions, at length, is in make test-faults.
func TestThreeNodesBehindAProxy(t *testing.T) {
	w := newWorld(t)
	s := w.postgres()
	var at [proxytest.Nodes]string
	var nodes [proxytest.Nodes]*process
	serve := func(i int) {
		t.Helper()
		nodes[i] = w.serve(s.setting(), calm, trustLoopback, "GATEHOUSE_LISTEN="+at[i], "GATEHOUSE_DRAIN_DELAY=3s")
	}
	for i := range nodes {
		var err error
		if at[i], err = proxytest.FreeAddress(); err != nil {
			t.Fatal(err)
		}
		serve(i)
	}
	proxy := proxytest.New(t, "../..", at)
	entrance := &process{world: w, said: &output{}, url: "http://" + proxy.Address}

	ann := w.client()
	ann.signUp(entrance, "ann@example.com")
	for _, p := range nodes { // cookies know no ports
		ann.want(p, 200, "GET", "/me", "")
	}
	w.addressIsHandedOn(entrance)

	const clients = 8
	var paths [clients]string
	for i := range paths {
		paths[i] = ann.want(entrance, 201, "POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"},"status":"published"}`).header.Get("Location")
	}
	var acknowledged, tried [clients]int
	// while has people read and change through the proxy until act has ended, and
	// hands over whatever was not answered with 200.
	while := func(act func(), refused func(method, what string, began time.Time)) {
		t.Helper()
		var done atomic.Bool
		var answered atomic.Int64
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				for round := 0; !done.Load(); round++ {
					method, path, body := "GET", "/me", ""
					if round%2 == 0 {
						tried[i]++
						method, path, body = "PATCH", paths[i], fmt.Sprintf(`{"stock":%d}`, tried[i])
					}
					began := time.Now()
					got, err := ann.try(entrance, method, path, body)
					if err != nil || got.status != 200 {
						refused(method, fmt.Sprintf("%s %s = %d %s, %v", method, path, got.status, got.text, err), began)
					} else if method == "PATCH" {
						acknowledged[i] = tried[i]
					}
					answered.Add(1)
				}
			})
		}
		more := func(n int64) {
			t.Helper()
			n += answered.Load()
			w.until("more is answered", func() bool { return answered.Load() >= n })
		}
		more(100)
		act()
		more(100)
		done.Store(true)
		all.Wait()
	}

	var killed atomic.Int64
	while(func() {
		nodes[0].kill()
		killed.Store(time.Now().UnixNano())
	}, func(method, what string, began time.Time) {
		at := killed.Load()
		if method == "GET" || at != 0 && began.UnixNano() > at {
			t.Errorf("a node is killed: %s", what)
		}
	})
	serve(0)

	while(func() {
		for i := range nodes {
			if code := nodes[i].terminate(); code != 0 {
				t.Errorf("node %d ended with %d\n%s", i, code, nodes[i].said)
			}
			serve(i)
			w.until("the proxy uses the node again", func() bool { return nodes[i].asked("/me") })
		}
	}, func(_, what string, _ time.Time) { t.Errorf("nodes are replaced: %s\n%s", what, proxy.Said()) })

	for i, path := range paths {
		got := ann.want(nodes[i%len(nodes)], 200, "GET", path, "")
		if stock, _ := got.body["stock"].(float64); int(stock) < acknowledged[i] || int(stock) > tried[i] {
			t.Errorf("the stock of product %d is %v, want %d, or one that was tried later, up to %d", i, got.body["stock"], acknowledged[i], tried[i])
		}
	}
}

// asked reports whether somebody has asked the node for a path.
func (p *process) asked(route string) bool {
	return strings.Contains(p.said.String(), fmt.Sprintf(`"route":%q`, route))
}

// addressIsHandedOn has somebody come from another address of this machine: that
// one is in the list of sessions, and neither the proxy's own nor one that the
// client made up.
func (w *world) addressIsHandedOn(entrance *process) {
	w.Helper()
	const from = "127.0.0.2"
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := dialer.Dial("tcp", entrance.url[len("http://"):])
	if err != nil { // not every system has it
		w.Logf("the address of clients is not tried: %v", err)
		return
	}
	_ = c.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.Fatal(err)
	}
	bob := &client{world: w, http: &http.Client{Jar: jar, Timeout: patience, Transport: &http.Transport{DialContext: dialer.DialContext}}}
	bob.signUp(entrance, "bob@example.com")
	for _, item := range items(bob.want(entrance, 200, "GET", "/me/sessions", "", "X-Forwarded-For", "203.0.113.66")) {
		if ip := item.(map[string]any)["ip"]; ip != from {
			w.Errorf("the session of who came from %s is said to come from %v", from, ip)
		}
	}
}
