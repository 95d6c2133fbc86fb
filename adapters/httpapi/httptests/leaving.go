package httptests

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func leaving(pass any) obj { return obj{"password": pass} }

// testLeaving: what goes with an account, and what does not.
func testLeaving(t *testing.T, open Open) {
	app := start(t, open, Options{})
	app.Anonymous().Do("DELETE", "/me", leaving(password)).Want(401, "unauthenticated")
	mina, eve := app.SignIn("mina@example.com"), app.SignIn("eve@example.com")
	phone, token := mina.Again(), mina.Cookie
	hers := []string{mina.Offer("status", "published"), mina.Offer()}
	his := eve.Offer("status", "published")

	mina.Do("DELETE", "/me", nil).Want(400, "malformed_json")
	mina.Do("DELETE", "/me", leaving("wrong-passphrase")).Want(403, "wrong_password")
	mina.Do("DELETE", "/me", leaving("")).Want(403, "wrong_password")
	mina.Do("DELETE", "/me", obj{}).WantFaults("/password", "required")
	mina.Do("DELETE", "/me", obj{"password": 1, "email": "eve@example.com"}).WantFaults("/password", "wrong_type", "/email", "unknown_member")
	mina.Do("DELETE", "/me", leaving(password), "Sec-Fetch-Site", "cross-site").Want(403, "cross_site_request")
	if mina.Cookie != token {
		t.Error("a refusal touched the cookie")
	}
	mina.Do("GET", "/products/"+hers[1], nil).Want(200, "")

	a := mina.Do("DELETE", "/me", leaving(password)).Want(204, "")
	if set := a.Header.Get("Set-Cookie"); !strings.HasSuffix(set, "; Max-Age=0") || mina.Cookie != "" {
		t.Errorf("Set-Cookie = %q, want the cookie cleared", set)
	}
	for _, dead := range []string{token, phone.Cookie} {
		mina.Do("GET", "/me", nil, "Cookie", "sid="+dead).Want(401, "unauthenticated")
		mina.Do("DELETE", "/me", leaving(password), "Cookie", "sid="+dead).Want(401, "unauthenticated")
	}
	app.Anonymous().Do("POST", "/login", creds("mina@example.com", password)).Want(401, "invalid_credentials")
	for _, id := range hers {
		eve.Do("GET", "/products/"+id, nil).Want(404, "not_found")
	}
	eve.Do("GET", "/me", nil).Want(200, "")
	if got := app.Anonymous().walk(t, "", nil); !slices.Equal(got, []string{his}) {
		t.Errorf("products after one of two owners left = %v, want %v", got, his)
	}
	// The address is free, for an account that has nothing of the old one.
	again := app.SignIn("mina@example.com")
	if got := again.Do("GET", "/products?owner=me", nil).Items("id"); len(got) > 0 {
		t.Errorf("the next account under the address owns %v, want nothing", got)
	}
}

// testLastAdmin: somebody must be left to administer.
func testLastAdmin(t *testing.T, open Open) {
	app := start(t, open, Options{})
	root, second := app.SignIn("root@example.com"), app.SignIn("second@example.com")
	app.SetRoles(root.Email, "admin")
	token := root.Cookie
	root.Do("DELETE", "/me", leaving("wrong-passphrase")).Want(403, "wrong_password")
	root.Do("DELETE", "/me", leaving(password)).Want(409, "last_admin")
	root.Do("GET", "/me", nil).Want(200, "")
	if root.Cookie != token {
		t.Error("a refusal touched the cookie")
	}
	app.SetRoles(second.Email, "admin", "user")
	var left [2]*Answer
	both := [2]*Client{root, second}
	inParallel(t, 2, func(i int) { left[i] = both[i].With(t).Do("DELETE", "/me", leaving(password)) })
	one := 0
	if left[0].Status == 204 {
		one = 1
	}
	left[1-one].Want(204, "")
	left[one].Want(409, "last_admin")
	both[one].Do("GET", "/me", nil).Want(200, "")
}

// testLeavingMeanwhile: what happens between the confirming of the password and
// the deletion counts.
func testLeavingMeanwhile(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina := app.SignIn("mina@example.com")
	meanwhile := func(do func()) {
		once := sync.Once{}
		app.Faults.Break("users", func(context.Context) error { once.Do(do); return nil })
	}
	const fresh = "another-fine-passphrase"
	app.keep(fresh)
	phone := mina.Again()
	meanwhile(func() {
		app.Faults.Break("users", nil)
		phone.Do("PUT", "/me/password", obj{"currentPassword": password, "newPassword": fresh}).Want(204, "")
	})
	mina.Do("DELETE", "/me", leaving(password)).Want(403, "wrong_password")
	meanwhile(func() { app.Disable(phone.Email) })
	phone.Do("DELETE", "/me", leaving(fresh)).Want(401, "unauthenticated")

	kim := app.SignIn("kim@example.com")
	other := kim.Again()
	meanwhile(func() {
		app.Faults.Break("users", nil)
		other.Do("DELETE", "/me", leaving(password)).Want(204, "")
	})
	kim.Do("DELETE", "/me", leaving(password)).Want(401, "unauthenticated")

	// An outage deletes nothing.
	ann := app.SignIn("ann@example.com")
	id := ann.Offer()
	for _, port := range []string{"users", "hasher", "sessions"} {
		app.Faults.Break(port, outage)
		if a := ann.Do("DELETE", "/me", leaving(password)).Want(503, "unavailable"); a.Header.Get("Set-Cookie") != "" {
			t.Errorf("without %s: Set-Cookie = %q, want none", port, a.Header.Get("Set-Cookie"))
		}
		app.Faults.Break(port, nil)
		ann.Do("GET", "/products/"+id, nil).Want(200, "")
	}
}

// testLeavingRace: a product that is offered while its owner leaves goes too, or
// never is.
func testLeavingRace(t *testing.T, open Open) {
	app := start(t, open, Options{})
	for n := range 25 {
		mina := app.SignIn(fmt.Sprintf("mina%d@example.com", n))
		me := mina.Do("GET", "/me", nil).Text("id")
		calls := []func(c *Client) (*Answer, error){
			func(c *Client) (*Answer, error) { return c.try("DELETE", "/me", leaving(password)) },
			func(c *Client) (*Answer, error) { return c.try("POST", "/products", teapot("status", "published")) },
			func(c *Client) (*Answer, error) {
				return c.try("POST", "/login", creds(c.Email, password), "Cookie", "-")
			},
		}
		var answers [3]*Answer
		var errs [3]error
		clients := [3]*Client{mina.With(t), mina.With(t), mina.With(t)}
		inParallel(t, 3, func(i int) { answers[i], errs[i] = calls[i](clients[i]) })
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		answers[0].Want(204, "")
		if s := answers[1].Status; s != 201 && s != 401 {
			t.Errorf("POST /products beside DELETE /me = %d %s, want 201 or 401", s, answers[1].Body)
		}
		if s := answers[2].Status; s != 200 && s != 401 {
			t.Errorf("POST /login beside DELETE /me = %d %s, want 200 or 401", s, answers[2].Body)
		}
		if answers[1].Status == 201 {
			app.Anonymous().Do("GET", "/products/"+answers[1].Text("id"), nil).Want(404, "not_found")
		}
		if left := app.Anonymous().Do("GET", "/products?owner="+me, nil).Items("id"); len(left) > 0 {
			t.Errorf("who left still owns %v", left)
		}
		clients[2].Do("GET", "/me", nil).Want(401, "unauthenticated")
	}
}

// testExport: all that is kept about somebody, nothing about anybody else, and
// no secret.
func testExport(t *testing.T, open Open) {
	app := start(t, open, Options{})
	app.Anonymous().Do("GET", "/me/export", nil).Want(401, "unauthenticated")
	mina, eve := app.SignIn("mina@example.com"), app.SignIn("eve@example.com")
	eve.Offer("status", "published")
	var hers []string
	for n := range 205 { // more than two pages of what is read at a time
		status := []string{"draft", "published", "archived"}[n%3]
		hers = append(hers, mina.Offer("name", fmt.Sprint("n", n), "status", status, "description", `<b>"\u2028`))
	}
	phone := mina.Again()
	app.Advance(time.Second)
	a := mina.Do("GET", "/me/export", nil).Want(200, "")
	if got, want := a.Header.Get("Content-Disposition"), `attachment; filename="gatehouse-export.json"`; got != want {
		t.Errorf("Content-Disposition = %q, want %q", got, want)
	}
	if got := slices.Sorted(maps.Keys(a.JSON())); fmt.Sprint(got) != "[audit exportedAt grantsGiven grantsReceived letters pastSessions products secondFactor sessions user]" {
		t.Errorf("members = %v", got)
	}
	if got := listed(a, "products", "id"); !slices.Equal(got, hers) {
		t.Errorf("export holds %d products, want all %d, the oldest first:\n%v\n%v", len(got), len(hers), got, hers)
	}
	exports(t, a, "user", mina.Do("GET", "/me", nil).JSON())
	exports(t, a, "sessions", mina.Do("GET", "/me/sessions", nil).JSON()["items"])
	first := mina.Do("GET", "/products/"+hers[0], nil).JSON()
	if list, _ := a.JSON()["products"].([]any); fmt.Sprint(list[0]) != fmt.Sprint(first) {
		t.Errorf("the first product = %v, want %v", list[0], first)
	}
	if at, err := time.Parse(time.RFC3339Nano, a.Text("exportedAt")); err != nil || at.After(app.Clock.Now()) || app.Clock.Now().Sub(at) > time.Minute {
		t.Errorf("exportedAt = %q, %v, want now", a.Text("exportedAt"), err)
	}
	app.mu.Lock()
	secrets := slices.Clone(app.secrets) // passwords, tokens and their hashes
	app.mu.Unlock()
	for _, s := range append(secrets, "$", "assword\":", "eve@example.com") {
		if strings.Contains(string(a.Body), s) {
			t.Errorf("the export holds %q", s)
		}
	}
	if a := mina.Do("HEAD", "/me/export", nil); a.Status != 200 || len(a.Body) > 0 {
		t.Errorf("HEAD /me/export = %d, %d bytes", a.Status, len(a.Body))
	}
	// What has run out is kept until it is pruned, so it is told.
	app.Advance(25 * time.Hour)
	mina.Do("POST", "/login", creds(mina.Email, password)).Want(200, "")
	if got := listed(mina.Do("GET", "/me/export", nil).Want(200, ""), "sessions", "current"); fmt.Sprint(got) != "[true false false]" {
		t.Errorf("sessions, current = %v, want the present one and the two that have run out", got)
	}
	phone.Do("GET", "/me/export", nil).Want(401, "unauthenticated")
	for _, port := range []string{"sessions", "directory", "products"} {
		app.Faults.Break(port, outage)
		mina.Do("GET", "/me/export", nil).Want(503, "unavailable")
		app.Faults.Break(port, nil)
	}
}

// exports wants a member of an export to be what another route answers.
func exports(t *testing.T, a *Answer, member string, want any) {
	t.Helper()
	if got := fmt.Sprint(a.JSON()[member]); got != fmt.Sprint(want) {
		t.Errorf("export of %s\n got  %s\n want %v", member, got, want)
	}
}

// listed are the members of that name in the objects of a list.
func listed(a *Answer, list, member string) []string {
	all, _ := a.JSON()[list].([]any)
	var got []string
	for _, one := range all {
		m, _ := one.(map[string]any)
		got = append(got, fmt.Sprint(m[member]))
	}
	return got
}
