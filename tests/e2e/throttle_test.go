package e2e_test

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
)

func login(email, password string) string {
	return fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)
}

// tally counts answers to guesses: refused as wrong, and not looked at.
type tally struct{ wrong, throttled atomic.Int64 }

// guess tries a wrong password and counts the answer; any but the two is a
// fault.
func (l *tally) guess(c *client, p *process, email string, headers ...string) {
	c.world.Helper()
	a := c.do(p, "POST", "/login", login(email, "not the password"), headers...)
	switch {
	case a.status == 401 && a.body["code"] == "invalid_credentials":
		l.wrong.Add(1)
	case a.status == 429 && a.body["code"] == "too_many_attempts":
		l.throttled.Add(1)
		if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 {
			c.world.Errorf("429 with Retry-After %q, want whole seconds", a.header.Get("Retry-After"))
		}
	default:
		c.world.Errorf("a wrong password = %d %s\n%s", a.status, a.text, p.said)
	}
}

func (l *tally) want(t *testing.T, what string, wrong, throttled int64) {
	t.Helper()
	if l.wrong.Load() != wrong || l.throttled.Load() != throttled {
		t.Errorf("%s: %d were looked at and %d not, want %d and %d", what, l.wrong.Load(), l.throttled.Load(), wrong, throttled)
	}
}

// roomy are limits that no test reaches.
var roomy = []string{
	"GATEHOUSE_THROTTLE_SIGN_IN=1000/15m", "GATEHOUSE_THROTTLE_ACCOUNT=1000/15m", "GATEHOUSE_THROTTLE_NETWORK=1000/15m",
}

// TestFiftyGuesses: of 50 wrong guesses at once over two nodes every one is
// counted, in each of the three counts that it goes into.
func TestFiftyGuesses(t *testing.T) {
	w := newWorld(t)
	s := w.postgres()
	environ := append([]string{s.setting(), calm, trustLoopback}, roomy...)
	a, b := w.serve(environ...), w.serve(environ...)
	w.client().want(a, 201, "POST", "/register", login("ann@example.com", w.password()), "X-Forwarded-For", "198.51.100.7")
	var got tally
	w.parallel(50, func(i int) {
		got.guess(w.client(), []*process{a, b}[i%2], "ann@example.com", "X-Forwarded-For", "198.51.100.7")
	})
	got.want(t, "with the limits raised", 50, 0)
	for _, kind := range []string{"sign-in", "account", "network"} {
		if n := s.number(`SELECT sum(tries) FROM throttles WHERE key LIKE $1`, kind+":%"); n != 50 {
			t.Errorf("%d tries are counted for %s, want 50", n, kind)
		}
		if n := s.number(`SELECT count(*) FROM throttles WHERE key LIKE $1`, kind+":%"); n != 1 {
			t.Errorf("%d counters for %s, want 1", n, kind)
		}
	}
}

// TestTenGuesses: at the limits as they come, ten are looked at and no more, on
// however many nodes and at once, and also after a restart. An account that is
// not there is locked like any.
func TestTenGuesses(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world, s *store) {
		a := w.serve(s.setting(), calm)
		nodes := []*process{a, a}
		if !s.lite {
			nodes[1] = w.serve(s.setting(), calm)
		}
		password := w.client().signUp(a, "ann@example.com")
		for _, email := range []string{"ann@example.com", "nobody@example.com"} {
			var got tally
			w.parallel(50, func(i int) { got.guess(w.client(), nodes[i%2], email) })
			got.want(t, email, 10, 40)
		}
		if n := s.number(`SELECT tries FROM throttles WHERE key LIKE 'account:%' ORDER BY tries LIMIT 1`); n != 10 {
			t.Errorf("%d tries are counted for the account, want 10: a try that is refused counts nowhere", n)
		}
		for _, p := range nodes {
			p.kill()
		}
		a = w.serve(s.setting(), calm)
		var after tally
		for range 3 {
			after.guess(w.client(), a, "ANN@example.com ")
		}
		after.want(t, "after kill -9 and a restart", 0, 3)
		w.client().want(a, 429, "POST", "/login", login("ann@example.com", password))
		if code := w.auditVerify(s); code != 0 {
			t.Error("the audit log does not hold")
		}
		if n := s.number(`SELECT count(*) FROM audit_log WHERE event = 'session.sign_in_failed'`); n != 20 {
			t.Errorf("%d failures in the audit log, want 20", n)
		}
		if n := s.number(`SELECT count(*) FROM audit_log WHERE event = 'session.sign_in_throttled'`); n != 2 {
			t.Errorf("%d lock-outs in the audit log, want 2", n)
		}
	})
}

const trustLoopback = "GATEHOUSE_TRUSTED_PROXIES=127.0.0.0/8"

// TestManyAddressesGuessOne is scenario 7: whoever has a thousand addresses has a
// hundred guesses at one account and no more; the owner signs in on a device
// that is known, a stranger who happens to be right does not.
func TestManyAddressesGuessOne(t *testing.T) {
	w := newWorld(t)
	s := w.postgres()
	a, b := w.serve(s.setting(), calm, trustLoopback), w.serve(s.setting(), calm, trustLoopback)
	owner := w.client()
	password := owner.signUp(a, "ann@example.com")
	owner.want(a, 204, "POST", "/logout", "")

	var got tally
	var next atomic.Int64
	const addresses, hands = 1000, 16
	w.parallel(hands, func(h int) {
		c := w.client()
		for n := next.Add(1); n <= addresses; n = next.Add(1) {
			from := fmt.Sprintf("203.%d.113.%d", n/200, 1+n%200)
			got.guess(c, []*process{a, b}[n%2], "ann@example.com", "X-Forwarded-For", from)
		}
	})
	got.want(t, "a thousand addresses", 100, 900)

	for _, p := range []*process{a, b} {
		w.client().want(p, 429, "POST", "/login", login("ann@example.com", password), "X-Forwarded-For", "192.0.2.99")
		owner.want(p, 200, "POST", "/login", login("ann@example.com", password), "X-Forwarded-For", "192.0.2.1")
		owner.want(p, 200, "GET", "/me", "")
	}
	// The cookie of somebody else's device opens nothing here.
	mallory := w.client()
	mallory.signUp(b, "mallory@example.com")
	mallory.want(b, 429, "POST", "/login", login("ann@example.com", password), "X-Forwarded-For", "192.0.2.99")
	// Nor is a known device a way to guess on for ever.
	var known tally
	for range 15 {
		known.guess(owner, a, "ann@example.com")
	}
	known.want(t, "guesses on a known device", 10, 5)
}
