package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/tests/pgtest"
)

// TestFlow goes through the tutorial over each store, and over those that keep
// anything with the process restarted in the middle, gently and not.
func TestFlow(t *testing.T) {
	stores := []struct {
		name string
		keep bool
		url  func(*testing.T) string
	}{
		{"memory", false, func(*testing.T) string { return "memory:" }},
		{"sqlite", true, func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "new folder", "g.db") }},
		{"postgres", true, func(t *testing.T) string { return pgtest.Database(t) }},
	}
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			environ := "GATEHOUSE_DATABASE_URL=" + s.url(t)
			w := newWorld(t)
			p := w.serve(environ)
			c := w.client()
			password := c.signUp(p, "ann@example.com")
			product := tutorial(c, p)
			if s.keep {
				if code := p.terminate(); code != 0 {
					t.Errorf("exit code %d after SIGTERM, want 0\n%s", code, p.said)
				}
				p = w.serve(environ)
				stillThere(c, p, product)
				p.kill()
				p = w.serve(environ)
				stillThere(c, p, product)
			}
			leave(c, p, password)
			if code := p.terminate(); code != 0 {
				t.Errorf("exit code %d after SIGTERM, want 0\n%s", code, p.said)
			}
		})
	}
}

// tutorial makes, publishes and lists a product, and returns its path.
func tutorial(c *client, p *process) string {
	t := c.world
	t.Helper()
	if me := c.want(p, 200, "GET", "/me", ""); me.body["email"] != "ann@example.com" || me.body["name"] != "민서" {
		t.Errorf("GET /me = %s", me.text)
	}
	made := c.want(p, 201, "POST", "/products", `{"name":"달항아리","price":{"amount":1290000,"currency":"KRW"},"stock":3}`)
	path := made.header.Get("Location")
	if !strings.HasPrefix(path, "/products/") || made.header.Get("ETag") == "" {
		t.Fatalf("POST /products answers Location %q, ETag %q", path, made.header.Get("ETag"))
	}
	stranger := t.client()
	stranger.want(p, 404, "GET", path, "")
	c.want(p, 412, "PATCH", path, `{"status":"published"}`, "If-Match", `"stale"`)
	c.want(p, 200, "PATCH", path, `{"status":"published"}`, "If-Match", made.header.Get("ETag"))
	stranger.want(p, 200, "GET", path, "")
	stranger.want(p, 401, "PATCH", path, `{"stock":0}`)
	for _, query := range []string{"", "?owner=me", "?q=" + "%EB%8B%AC", "?sort=-price&limit=1"} {
		if list := c.want(p, 200, "GET", "/products"+query, ""); len(items(list)) != 1 {
			t.Errorf("GET /products%s = %s, want one product", query, list.text)
		}
	}
	return path
}

func items(a answer) []any {
	list, _ := a.body["items"].([]any)
	return list
}

// stillThere finds the session and the product as they were.
func stillThere(c *client, p *process, product string) {
	c.world.Helper()
	c.want(p, 200, "GET", "/me", "")
	if got := c.want(p, 200, "GET", product, ""); got.body["status"] != "published" || got.body["version"] != 2.0 {
		c.world.Errorf("GET %s = %s", product, got.text)
	}
}

// leave changes the password, signs out, and cannot come back with the old one.
func leave(c *client, p *process, old string) {
	c.world.Helper()
	fresh := c.world.password()
	c.want(p, 403, "PUT", "/me/password", fmt.Sprintf(`{"currentPassword":"not this one","newPassword":%q}`, fresh))
	c.want(p, 204, "PUT", "/me/password", fmt.Sprintf(`{"currentPassword":%q,"newPassword":%q}`, old, fresh))
	c.want(p, 200, "GET", "/me", "")
	c.want(p, 204, "POST", "/logout", "")
	c.want(p, 401, "GET", "/me", "")
	c.want(p, 401, "POST", "/login", fmt.Sprintf(`{"email":"ann@example.com","password":%q}`, old))
	c.want(p, 200, "POST", "/login", fmt.Sprintf(`{"email":"ANN@example.com","password":%q,"rememberMe":true}`, fresh))
}

// TestTwoNodes: what is done on one node counts on the other at once.
func TestTwoNodes(t *testing.T) {
	environ := "GATEHOUSE_DATABASE_URL=" + pgtest.Database(t)
	w := newWorld(t)
	a, b := w.serve(environ), w.serve(environ)
	c := w.client()
	c.signUp(a, "ann@example.com")
	c.want(b, 200, "GET", "/me", "")
	product := c.want(b, 201, "POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"},"status":"published"}`).header.Get("Location")
	c.want(a, 200, "GET", product, "")

	if code, said := w.run([]string{"user", "set-roles", "ann@example.com", "moderator"}, environ); code != 0 {
		t.Fatalf("set-roles ended with %d: %s", code, said)
	}
	if me := c.want(b, 200, "GET", "/me", ""); fmt.Sprint(me.body["roles"]) != "[moderator]" {
		t.Errorf("the new role is not seen on the other node: %s", me.text)
	}
	kept := *c.http // the cookie as it is before signing out
	c.want(a, 204, "POST", "/logout", "", "Sec-Fetch-Site", "same-origin")
	(&client{w, &kept}).want(b, 401, "GET", "/me", "")

	c.signUp(b, "bob@example.com")
	if code, said := w.run([]string{"user", "disable", "bob@example.com"}, environ); code != 0 {
		t.Fatalf("disable ended with %d: %s", code, said)
	}
	c.want(a, 401, "GET", "/me", "")
}

// TestManyStartAtOnce: four nodes on one empty database, and every one serves.
func TestManyStartAtOnce(t *testing.T) {
	environ := "GATEHOUSE_DATABASE_URL=" + pgtest.Database(t)
	w := newWorld(t)
	ready := make(chan *process)
	const nodes = 4
	for range nodes {
		go func() { ready <- w.tryServe(environ) }()
	}
	for range nodes {
		if p := <-ready; p == nil {
			t.Error("a node did not start")
		} else {
			w.client().want(p, 200, "GET", "/readyz", "")
		}
	}
}
