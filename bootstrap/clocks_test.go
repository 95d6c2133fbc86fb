package bootstrap_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/bootstrap"
	"gatehouse/tests/pgtest"
)

// pair is two nodes over one PostgreSQL whose clocks differ by four minutes.
type pair struct {
	testing.TB
	environ     []string
	ahead, late *bootstrap.Node
	now         atomic.Int64 // microseconds since 1970, the true time
}

// newPair stands shortly before midnight (UTC), so that the nodes differ in the
// day too.
func newPair(t *testing.T, settings ...string) *pair {
	t.Helper()
	p := &pair{TB: t, environ: append(settings, "GATEHOUSE_DATABASE_URL="+pgtest.Database(t), "GATEHOUSE_REQUEST_TIMEOUT=30s")}
	p.now.Store(time.Date(2026, 11, 24, 23, 59, 30, 0, time.UTC).UnixMicro())
	const skew = 120 * time.Second
	p.ahead, p.late = p.node(t, skew), p.node(t, -skew)
	return p
}

func (p *pair) node(t *testing.T, skew time.Duration) *bootstrap.Node {
	t.Helper()
	program := quiet(t, p.environ...)
	program.Now = func() time.Time { return time.UnixMicro(p.now.Load()).UTC().Add(skew) }
	return start(t, program)
}

func (p *pair) pass(d time.Duration) { p.now.Add(d.Microseconds()) }

// at is the same browser at the other node: cookies do not know ports.
func (c *caller) at(n *bootstrap.Node) *caller {
	other := *c
	other.base = "http://" + n.Addr().String()
	return &other
}

// copied is another browser with the same cookies: an answer may take them away.
func (c *caller) copied(n *bootstrap.Node) *caller {
	c.Helper()
	other := newCaller(c.TB, n)
	u, err := url.Parse(other.base)
	if err != nil {
		c.Fatal(err)
	}
	other.http.Jar.SetCookies(u, c.http.Jar.Cookies(u))
	return other
}

// each runs a test in both directions: what one node does counts on the other.
func (p *pair) each(test func(who string, here, there *bootstrap.Node)) {
	midnight := p.now.Load()
	test("ahead", p.ahead, p.late)
	p.now.Store(midnight) // clocks may be set back, too
	test("late", p.late, p.ahead)
}

// TestClocksDiffer is scenario 5 with clocks that differ: what ends a session on
// one node ends it on the other at the next request, and nothing else does.
func TestClocksDiffer(t *testing.T) {
	p := newPair(t)
	p.each(func(who string, here, there *bootstrap.Node) {
		email := who + "@example.com"
		const password, next = "correct horse battery", "battery horse correct"
		credentials := func(password string) string { return fmt.Sprintf(`{"email":%q,"password":%q}`, email, password) }
		signIn := func(n *bootstrap.Node, password string) *caller {
			c := newCaller(t, n)
			c.want(200, "POST", "/login", credentials(password))
			return c
		}
		bothKnow := func(c *caller) {
			t.Helper()
			c.at(there).want(200, "GET", "/me", "")
			c.at(here).want(200, "GET", "/me", "")
		}
		bothRefuse := func(c *caller, reason string) {
			t.Helper()
			for _, n := range []*bootstrap.Node{there, here} {
				if got := c.copied(n).want(401, "GET", "/me", ""); got["reason"] != reason {
					t.Errorf("the node that is %s ended a session; %v, want the reason %s", who, got, reason)
				}
			}
		}
		newCaller(t, here).want(201, "POST", "/register", credentials(password))
		one := signIn(here, password)
		bothKnow(one)
		p.pass(10 * time.Minute) // the use of it is written down, by whichever clock
		bothKnow(one)
		bothKnow(signIn(there, password))

		ended := signIn(here, password)
		one.at(here).want(204, "DELETE", "/me/sessions", "")
		bothRefuse(ended, "ended_by_owner")
		bothKnow(one)

		ended = signIn(there, password)
		one.at(here).want(204, "PUT", "/me/password", fmt.Sprintf(`{"currentPassword":%q,"newPassword":%q}`, password, next))
		bothRefuse(ended, "password_changed")
		bothKnow(one)

		p.operate("set-roles", email, "moderator")
		if me := one.at(there).want(200, "GET", "/me", ""); fmt.Sprint(me["roles"]) != "[moderator]" {
			t.Errorf("the roles that the node which is %s gave are not seen: %v", who, me)
		}
		p.operate("disable", email)
		bothRefuse(one, "account_disabled")
		newCaller(t, there).want(401, "POST", "/login", credentials(next))
		p.operate("enable", email)
		bothRefuse(one, "account_disabled") // enabling brings none back
		bothKnow(signIn(there, next))
	})
	p.chainHolds()
}

// TestClocksDifferAndLimitsHold: the count does not depend on clocks. The pause
// after it does: a node whose clock is ahead by more than the pause grants one
// more, with which the next and longer pause begins by its own clock.
func TestClocksDifferAndLimitsHold(t *testing.T) {
	p := newPair(t, "GATEHOUSE_THROTTLE_SIGN_IN=4/15m")
	p.each(func(who string, here, there *bootstrap.Node) {
		guess := fmt.Sprintf(`{"email":%q,"password":"not the password"}`, who+"@example.com")
		granted := 0
		for i := range 12 {
			switch status, body := newCaller(t, []*bootstrap.Node{here, there}[i%2]).call("POST", "/login", guess); status {
			case 401:
				granted++
			case 429:
			default:
				t.Errorf("a wrong password = %d %v", status, body)
			}
		}
		if granted < 4 || granted > 5 {
			t.Errorf("%d guesses were looked at, want 4, or one more", granted)
		}
	})
	p.chainHolds()
}

// operate has an operator do something to a user, whose clock is the true one.
func (p *pair) operate(args ...string) {
	p.Helper()
	got := (line{p.TB, p.environ}).run("", append([]string{"user"}, args...)...)
	if got.code != 0 {
		p.Fatalf("gatehouse user %s = %d: %s", strings.Join(args, " "), got.code, got.err)
	}
}

// chainHolds wants an unbroken audit log, over the days that the two nodes were
// in.
func (p *pair) chainHolds() {
	p.Helper()
	got := (line{p.TB, p.environ}).run("", "audit", "verify")
	if got.code != 0 {
		p.Errorf("gatehouse audit verify = %d: %s%s", got.code, got.out, got.err)
	}
}
