package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cacheBound is what the session caches of these tests are set to.
const cacheBound = time.Second

// cached is two nodes with session caches, of which one is changed and the other
// asked.
type cached struct {
	*authority
	here, there *process
	renamed     int

	changes, unsure, stale int
	slowest                time.Duration
}

func (w *world) cached() *cached {
	w.Helper()
	a := w.authority(w.postgres(), fmt.Sprint("GATEHOUSE_SESSION_CACHE=", cacheBound))
	c := &cached{authority: a, here: a.nodes[0], there: a.nodes[1]}
	c.hears(c.there)
	return c
}

// hears returns when the node uses its cache.
func (c *cached) hears(p *process) {
	c.Helper()
	c.until("the cache is on", func() bool { return c.cacheSays(p) == "ok" })
}

func (c *cached) cacheSays(p *process) string {
	c.Helper()
	checks, _ := c.client().do(p, "GET", "/readyz", "").body["checks"].(map[string]any)
	return fmt.Sprint(checks["session_cache"])
}

// change changes something on one node, when what was before is in the cache of
// the other one, disturbs what may be disturbed, and asks there until it is
// obeyed. What is asked a bound after the change was answered, or later, is never
// answered by what was before.
func (c *cached) change(k kind, before, disturb func()) {
	c.Helper()
	before()
	for range 3 {
		if got := k.ask(); k.obeyed(got) {
			c.Fatalf("before %s the answer is %d %s already", k.what, got.status, got.text)
		}
	}
	k.do()
	changed := time.Now()
	c.changes++
	disturb()
	for {
		began := time.Now()
		got := k.ask()
		late := began.Sub(changed)
		switch {
		case got.status == http.StatusServiceUnavailable:
			c.unsure++
		case k.obeyed(got):
			c.slowest = max(c.slowest, late)
			return
		case late >= cacheBound:
			c.Fatalf("%s after %s it is still answered by what was before: %d %s\n%s", late, k.what, got.status, got.text, c.there.said)
		default:
			c.stale++
			time.Sleep(time.Millisecond) // asking takes what others need
		}
		if late > patience {
			c.Fatalf("it does not come back\n%s", c.there.said)
		}
	}
}

// kind is a change that the other node has to obey: what it does, what is asked
// then, and whether the answer obeys.
type kind struct {
	what   string
	do     func()
	ask    func() answer
	obeyed func(answer) bool
}

// nine are the kinds of changes, in an order in which each can be made.
func (c *cached) nine() []kind {
	c.Helper()
	of := func(who **client, path string) func() answer {
		return func() answer { return c.as(*who).do(c.there, "GET", path, "") }
	}
	status := func(want int) func(answer) bool { return func(a answer) bool { return a.status == want } }
	admin := func(status int, method, path, body string) func() {
		return func() { c.root.want(c.here, status, method, path, body) }
	}
	c.ann = c.in(c.here)
	user, ann, row := "/admin/users/"+c.annID, &c.ann, ""
	one, two, three := c.in(c.here), c.in(c.here), c.in(c.here)
	out := c.as(one)
	c.renamed++
	name := fmt.Sprint("Ann ", c.renamed)
	return []kind{
		{"a right is given", func() {
			row = c.root.want(c.here, 201, "POST", "/admin/policies", everybodySees).header.Get("Location")
		}, of(ann, c.draft), status(200)},
		{"a right is taken", func() { c.root.want(c.here, 204, "DELETE", row, "") }, of(ann, c.draft), status(404)},
		{"a role is given", admin(200, "PATCH", user, `{"roles":["moderator"]}`), of(ann, c.draft), status(200)},
		{"a role is taken", admin(200, "PATCH", user, `{"roles":["user"]}`), of(ann, c.draft), status(404)},
		{"a name is changed", func() { c.ann.want(c.here, 200, "PATCH", "/me", fmt.Sprintf(`{"name":%q}`, name)) },
			of(ann, "/me"), func(a answer) bool { return a.body["name"] == name }},
		{"somebody signs out", func() { one.want(c.here, 204, "POST", "/logout", "") }, of(&out, "/me"), status(401)},
		{"a session is ended", func() { c.ann.want(c.here, 204, "DELETE", "/me/sessions/"+c.sessionOf(two, c.here), "") },
			of(&two, "/me"), status(401)},
		{"all sessions are ended", admin(204, "DELETE", user+"/sessions", ""), of(&three, "/me"), status(401)},
		{"an account is disabled", func() {
			c.root.want(c.here, 200, "PATCH", user, `{"status":"disabled"}`)
		}, of(ann, "/me"), status(401)},
	}
}

// each makes the changes; what comes before is done just before each, and what
// disturbs just after.
func (c *cached) each(kinds []kind, before, disturb func()) {
	c.Helper()
	for _, k := range kinds {
		if k.what == "an account is disabled" { // for its session was ended just before
			c.ann = c.in(c.here)
		}
		c.change(k, before, disturb)
	}
	c.root.want(c.here, 200, "PATCH", "/admin/users/"+c.annID, `{"status":"active"}`)
}

// some are of each way that there is: the policy, a user, their sessions.
func (c *cached) some() []kind {
	c.Helper()
	all := c.nine()
	return []kind{all[0], all[1], all[2], all[3], all[7]}
}

func nothing() {}

func (c *cached) tell(what string) {
	c.Logf("%s: %d changes, each obeyed within %s at the latest; what was before was answered %d times, 503 %d times",
		what, c.changes, c.slowest.Round(time.Millisecond), c.stale, c.unsure)
	c.changes, c.unsure, c.stale, c.slowest = 0, 0, 0, 0
}

// backend is the process in PostgreSQL on whose other end the node listens.
func (c *cached) backend() (pid int) {
	c.Helper()
	return c.store.number(`SELECT max(pid) FROM pg_stat_activity WHERE application_name = 'there listening' AND state = 'idle' AND backend_start = (SELECT max(backend_start) FROM pg_stat_activity WHERE application_name = 'there listening')`)
}

// TestSessionCache: whatever is cut, stopped or silent, the other node obeys a
// change within the bound.
func TestSessionCache(t *testing.T) {
	w := newWorld(t)
	c := w.cached()
	w.part("undisturbed", func() {
		for range 4 {
			c.each(c.nine(), nothing, nothing)
		}
		c.tell("undisturbed")
	})
	w.part("the connections of the other node are cut", func() {
		cut := func(of string) func() {
			return func() {
				c.store.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '` + of + `'`)
			}
		}
		c.each(c.nine(), nothing, cut("there%"))
		c.hears(c.there)
		c.each(c.some(), func() { c.hears(c.there) }, cut("there listening"))
		c.tell("cut")
		c.hears(c.there)
	})
	w.part("nobody is told", func() {
		triggers := map[string]string{"users": "session_cache_changed", "user_sessions": "session_cache_ended", "policy_state": "session_cache_policy"}
		for table, trigger := range triggers {
			c.store.exec("ALTER TABLE " + table + " DISABLE TRIGGER " + trigger)
		}
		c.each(c.some(), nothing, nothing)
		if c.stale == 0 {
			t.Error("what was before was never answered: nothing was answered from the cache, and this shows nothing")
		}
		c.tell("untold")
		for table, trigger := range triggers {
			c.store.exec("ALTER TABLE " + table + " ENABLE TRIGGER " + trigger)
		}
	})
	w.part("nothing more arrives", func() {
		var stopped []int
		resume := func() {
			for _, pid := range stopped {
				_ = syscall.Kill(pid, syscall.SIGCONT) // it fails where it has ended
			}
		}
		defer resume()
		silences := func() int { return strings.Count(c.there.said.String(), "the session cache is off") }
		before := silences()
		c.each(c.some()[2:], func() {
			c.hears(c.there)
			pid := c.backend()
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Skipf("PostgreSQL is not on this machine, or not ours to stop: %v", err)
			}
			stopped = append(stopped, pid)
		}, nothing)
		c.tell("silent")
		c.until("it is seen that nothing arrives", func() bool { return silences() > before })
		resume()
	})
	w.part("the process is stopped meanwhile", func() {
		c.ann = c.in(c.here)
		c.root.want(c.here, 200, "PATCH", "/admin/users/"+c.annID, `{"roles":["moderator"]}`)
		c.until("a role counts", func() bool { return c.as(c.ann).do(c.there, "GET", c.draft, "").status == 200 })
		signal := func(s syscall.Signal) {
			if err := c.there.cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
		signal(syscall.SIGSTOP)
		c.root.want(c.here, 200, "PATCH", "/admin/users/"+c.annID, `{"roles":["user"]}`)
		time.Sleep(cacheBound) // which is what the promise is about
		signal(syscall.SIGCONT)
		c.as(c.ann).want(c.there, 404, "GET", c.draft, "")
	})
}
