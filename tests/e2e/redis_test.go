package e2e_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/tests/redistest"
)

// TestSessionsInRedis: two nodes share sessions that are in Redis, and all else
// in PostgreSQL. What is ended on one is over on the other; a node, and Redis,
// may be killed; and while Redis is away nobody is told to be signed out.
func TestSessionsInRedis(t *testing.T) {
	w := newWorld(t)
	password := w.secret("redis-Swordfish-77", "the password of Redis")
	redis, err := redistest.Launch("--requirepass", password)
	if err != nil {
		redistest.New(t) // skips or fails with the reason
		t.Fatal(err)
	}
	t.Cleanup(redis.Close)
	s := w.postgres()
	environ := []string{s.setting(), "GATEHOUSE_SESSION_STORE=redis://:" + password + "@" + redis.Addr() + "/3", "GATEHOUSE_REQUEST_TIMEOUT=4s"}
	one, two := w.serve(environ...), w.serve(environ...)

	// Begun on one, good on the other, ended on either.
	laptop, phone, bob := w.client(), w.client(), w.client()
	secret := laptop.signUp(one, "ann@example.com")
	credentials := fmt.Sprintf(`{"email":"ann@example.com","password":%q}`, secret)
	phone.want(two, 200, "POST", "/login", credentials)
	laptop.want(two, 200, "GET", "/me", "")
	phone.want(one, 200, "GET", "/me", "")
	if n := s.number("SELECT count(*) FROM user_sessions"); n != 0 {
		t.Errorf("%d sessions are in PostgreSQL, want none", n)
	}
	sessions := items(laptop.want(one, 200, "GET", "/me/sessions", ""))
	if len(sessions) != 2 {
		t.Fatalf("%d sessions are listed, want 2", len(sessions))
	}
	newest, _ := sessions[0].(map[string]any)
	revoked := "sid=" + phone.session(two) // which the browser forgets with the first 401
	laptop.want(one, 204, "DELETE", fmt.Sprint("/me/sessions/", newest["id"]), "")
	for _, p := range []*process{one, two} {
		if a := w.client().want(p, 401, "GET", "/me", "", "Cookie", revoked); a.body["reason"] != "ended_by_owner" {
			t.Errorf("the reason is %v, want ended_by_owner", a.body["reason"])
		}
	}
	bob.signUp(two, "bob@example.com")
	if code, said := w.run([]string{"user", "disable", "bob@example.com"}, environ...); code != 0 {
		t.Fatalf("user disable: %d %s", code, said)
	}
	for _, p := range []*process{one, two} {
		bob.want(p, 401, "GET", "/me", "")
		laptop.want(p, 200, "GET", "/me", "")
	}

	// A node is killed, and Redis is, and it comes back with what it kept.
	one.kill()
	laptop.want(two, 200, "GET", "/me", "")
	one = w.serve(environ...)
	laptop.want(one, 200, "GET", "/me", "")
	redis.Kill()
	if err := redis.Start(); err != nil {
		t.Fatal(err)
	}
	ready(t, one, two)
	laptop.want(one, 200, "GET", "/me", "")
	w.client().want(two, 401, "GET", "/me", "", "Cookie", revoked)

	// Redis is away: nobody is signed out, or in, or told a lie.
	for what, cut := range map[string]func(){"stopped": redis.Stop, "frozen": redis.Freeze} {
		cut()
		var all sync.WaitGroup
		ask := func(who *client, p *process, status int, method, path, body, holds string) {
			all.Go(func() {
				a, err := who.try(p, method, path, body)
				if err != nil || a.status != status || !strings.Contains(a.text, holds) {
					t.Errorf("%s %s while Redis is %s = %d %s, %v, want %d with %q", method, path, what, a.status, a.text, err, status, holds)
				}
			})
		}
		for _, p := range []*process{one, two} {
			for _, c := range []struct{ method, path, body string }{
				{"GET", "/me", ""}, {"GET", "/me/sessions", ""}, {"POST", "/products", `{"name":"x","price":{"amount":1,"currency":"KRW"}}`},
				{"GET", "/products", ""}, {"PUT", "/me/password", `{"currentPassword":"a","newPassword":"battery horse correct"}`},
			} {
				ask(laptop, p, 503, c.method, c.path, c.body, "")
			}
			ask(w.client(), p, 200, "GET", "/products", "", "")
			ask(w.client(), p, 503, "POST", "/login", credentials, "")
			ask(w.client(), p, 200, "GET", "/livez", "", "")
			ask(w.client(), p, 503, "GET", "/readyz", "", "sessions")
		}
		all.Wait()
		if redis.Thaw(); what == "stopped" {
			if err := redis.Start(); err != nil {
				t.Fatal(err)
			}
		}
		ready(t, one, two)
		laptop.want(one, 200, "GET", "/me", "")
		w.client().want(two, 401, "GET", "/me", "", "Cookie", revoked)
	}

	// Who leaves takes the sessions along.
	laptop.want(two, 204, "DELETE", "/me", fmt.Sprintf(`{"password":%q}`, secret))
	laptop.want(one, 401, "GET", "/me", "")
	for _, p := range []*process{one, two} {
		if code := p.terminate(); code != 0 {
			t.Errorf("the node ended with %d", code)
		}
	}
}

// ready waits until the nodes say that they are.
func ready(t *testing.T, nodes ...*process) {
	t.Helper()
	for _, p := range nodes {
		for deadline := time.Now().Add(patience); p.world.client().do(p, "GET", "/readyz", "").status != 200; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("it does not recover:\n%s", p.said)
			}
		}
	}
}
