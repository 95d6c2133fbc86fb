package e2e_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// session is the value of the session cookie that a client holds.
func (c *client) session(p *process) string {
	c.world.Helper()
	u, err := url.Parse(p.url)
	if err != nil {
		c.world.Fatal(err)
	}
	for _, k := range c.http.Jar.Cookies(u) {
		if k.Name == "sid" {
			return k.Value
		}
	}
	return ""
}

// bearing is a client with nothing but that session cookie.
func (w *world) bearing(p *process, token string) *client {
	w.Helper()
	u, err := url.Parse(p.url)
	if err != nil {
		w.Fatal(err)
	}
	c := w.client()
	c.http.Jar.SetCookies(u, []*http.Cookie{{Name: "sid", Value: token, Path: "/"}})
	return c
}

// TestPresetTokenIsNeverAdopted is scenario 9, the first half: whatever cookie
// somebody was given before signing in, the session has a token of its own, and
// that of an attacker's own session ends.
func TestPresetTokenIsNeverAdopted(t *testing.T) {
	w := newWorld(t)
	p := w.serve("GATEHOUSE_DATABASE_URL=" + w.postgres().url)
	password := w.client().signUp(p, "ann@example.com")
	attacker := w.client()
	attacker.signUp(p, "mallory@example.com")
	for name, preset := range map[string]string{
		"a token that was never given out": base64.RawURLEncoding.EncodeToString(make([]byte, 32)),
		"the attacker's own":               attacker.session(p),
		"nonsense":                         "nonsense",
	} {
		victim := w.bearing(p, preset)
		victim.want(p, 200, "POST", "/login", login("ann@example.com", password))
		if victim.session(p) == preset {
			t.Errorf("%s was adopted", name)
		}
		if me := victim.want(p, 200, "GET", "/me", ""); me.body["email"] != "ann@example.com" {
			t.Errorf("over %s the session is that of %s", name, me.text)
		}
		w.bearing(p, preset).want(p, 401, "GET", "/me", "")
	}
}

// TestTwentyOverOne is scenario 9, the second half: 20 sign in at once over one
// old session, on two nodes. The old one is dead; all new ones live, each under
// a token of its own: as many as one user may have.
func TestTwentyOverOne(t *testing.T) {
	w := newWorld(t)
	s := w.postgres()
	// By the limits as they come, ten of one account may be under way at once.
	environ := append([]string{s.setting(), calm}, roomy...)
	a, b := w.serve(environ...), w.serve(environ...)
	first := w.client()
	password := first.signUp(a, "ann@example.com")
	old := first.session(a)
	clients := make([]*client, 20)
	w.parallel(len(clients), func(i int) {
		p := []*process{a, b}[i%2]
		clients[i] = w.bearing(p, old)
		clients[i].want(p, 200, "POST", "/login", login("ann@example.com", password))
	})
	gone := w.bearing(b, old).want(b, 401, "GET", "/me", "")
	if gone.body["reason"] != "signed_out" {
		t.Errorf("the old session answers %s, want the reason signed_out", gone.text)
	}
	var tokens []string
	for i, c := range clients {
		// Each on the other node than it signed in to; ports share no cookies
		// here, a host has one jar.
		c.want([]*process{b, a}[i%2], 200, "GET", "/me", "")
		tokens = append(tokens, c.session(a))
	}
	slices.Sort(tokens)
	if n := len(slices.Compact(tokens)); n != len(clients) {
		t.Errorf("%d different tokens, want %d", n, len(clients))
	}
	if n := s.number(`SELECT count(*) FROM user_sessions`); n != 20 {
		t.Errorf("%d sessions are kept, want 20", n)
	}
	// One more, and the oldest makes room and is told why.
	w.client().want(a, 200, "POST", "/login", login("ann@example.com", password))
	reasons := map[string]int{}
	for _, c := range clients {
		if me := c.do(b, "GET", "/me", ""); me.status == 401 {
			reasons[fmt.Sprint(me.body["reason"])]++
		}
	}
	if len(reasons) != 1 || reasons["session_limit"] != 1 {
		t.Errorf("after a 21st sign-in, sessions ended as %v, want one as session_limit", reasons)
	}
}

// TestEndedElsewhere is scenario 5: whatever ends sessions or takes rights away
// on one node counts on the other at its next request, and says why.
func TestEndedElsewhere(t *testing.T) {
	w := newWorld(t)
	s := w.postgres()
	a, b := w.serve(s.setting(), calm), w.serve(s.setting(), calm)
	var n int
	signIn := func() (c *client, email, password string) {
		n++
		email = fmt.Sprintf("user%d@example.com", n)
		c = w.client()
		password = c.signUp(a, email)
		c.want(b, 200, "GET", "/me", "")
		return c, email, password
	}
	again := func(email, password string) *client {
		c := w.client()
		c.want(a, 200, "POST", "/login", login(email, password))
		return c
	}
	gone := func(c *client, token, reason string) {
		t.Helper()
		for _, p := range []*process{b, a} {
			got := w.bearing(p, token).want(p, 401, "GET", "/me", "")
			if reason == "" && got.body["reason"] == nil {
				continue
			}
			if got.body["reason"] != reason || got.body["code"] != "unauthenticated" {
				t.Errorf("ended elsewhere: %s, want the reason %s", got.text, reason)
			}
		}
	}

	c, email, password := signIn()
	token := c.session(a)
	c.want(a, 204, "POST", "/logout", "")
	gone(c, token, "signed_out")

	c = again(email, password)
	other := again(email, password)
	token = other.session(a)
	for _, item := range items(c.want(a, 200, "GET", "/me/sessions", "")) {
		if one := item.(map[string]any); one["current"] == false {
			c.want(a, 204, "DELETE", "/me/sessions/"+fmt.Sprint(one["id"]), "")
		}
	}
	gone(other, token, "ended_by_owner")
	c.want(b, 200, "GET", "/me", "")

	other = again(email, password)
	token = other.session(a)
	c.want(a, 204, "DELETE", "/me/sessions", "")
	gone(other, token, "ended_by_owner")

	other = again(email, password)
	token = other.session(a)
	before := c.session(a)
	fresh := w.password()
	c.want(a, 204, "PUT", "/me/password", fmt.Sprintf(`{"currentPassword":%q,"newPassword":%q}`, password, fresh))
	gone(other, token, "password_changed")
	gone(c, before, "password_changed")
	c.want(b, 200, "GET", "/me", "")

	if code, said := w.run([]string{"user", "set-roles", email, "moderator"}, s.setting()); code != 0 {
		t.Fatalf("set-roles ended with %d: %s", code, said)
	}
	stranger, _, _ := signIn()
	hidden := stranger.want(a, 201, "POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"}}`).header.Get("Location")
	c.want(b, 200, "GET", hidden, "") // a moderator sees drafts
	if code, said := w.run([]string{"user", "set-roles", email, "user"}, s.setting()); code != 0 {
		t.Fatalf("set-roles ended with %d: %s", code, said)
	}
	c.want(b, 404, "GET", hidden, "")

	token = c.session(a)
	if code, said := w.run([]string{"user", "disable", email}, s.setting()); code != 0 {
		t.Fatalf("disable ended with %d: %s", code, said)
	}
	gone(c, token, "account_disabled")
	w.client().want(b, 401, "POST", "/login", login(email, fresh))

	c, _, password = signIn()
	token = c.session(a)
	c.want(a, 204, "DELETE", "/me", fmt.Sprintf(`{"password":%q}`, password))
	gone(c, token, "")
}

// TestForgedForwarding is scenario 22: nothing follows what a client says of
// where it comes from or which host it speaks to.
func TestForgedForwarding(t *testing.T) {
	w := newWorld(t)
	s, sink := w.postgres(), newSink(t)
	p := w.serve(s.setting(), sink.setting(), calm)
	forged := []string{
		"X-Forwarded-For", "203.0.113.66", "X-Real-IP", "203.0.113.66", "Forwarded", `for=203.0.113.66;host=evil.example;proto=https`,
		"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https", "X-Forwarded-Ssl", "on", "X-Forwarded-Port", "443", "X-Forwarded-Prefix", "/evil",
		"X-Client-IP", "203.0.113.66", "True-Client-IP", "203.0.113.66", "CF-Connecting-IP", "203.0.113.66", "X-Url-Scheme", "https", "Front-End-Https", "on",
		"X-Original-URL", "/livez", "X-Rewrite-URL", "/livez", "X-HTTP-Method-Override", "DELETE", "X-Method-Override", "DELETE", "X-HTTP-Method", "DELETE",
	}
	c := w.client()
	password := w.password()
	c.want(p, 201, "POST", "/register", login("ann@example.com", password), forged...)
	in := c.want(p, 200, "POST", "/login", login("ann@example.com", password), forged...)
	for _, cookie := range in.header.Values("Set-Cookie") {
		if strings.Contains(cookie, "Secure") || strings.Contains(strings.ToLower(cookie), "domain=") || strings.Contains(cookie, "evil") {
			t.Errorf("the cookie follows: %s", cookie)
		}
	}
	if in.header.Get("Strict-Transport-Security") != "" {
		t.Error("HSTS follows X-Forwarded-Proto")
	}
	for _, item := range items(c.want(p, 200, "GET", "/me/sessions", "", forged...)) {
		if ip := item.(map[string]any)["ip"]; ip != "127.0.0.1" {
			t.Errorf("the session is said to come from %v", ip)
		}
	}
	made := c.want(p, 201, "POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"},"status":"published"}`, forged...)
	for name, values := range made.header {
		if strings.Contains(strings.Join(values, " "), "evil") {
			t.Errorf("%s follows: %q", name, values)
		}
	}
	c.want(p, 200, "GET", made.header.Get("Location"), "", forged...) // nobody's method was overridden
	c.want(p, 200, "GET", made.header.Get("Location"), "")

	// Of the link in a mail its reader takes the host on trust, and gives it the
	// token (CWE-640, host header poisoning).
	poisoned := append([]string{"Host", "evil.example"}, forged...)
	w.client().want(p, 202, "POST", "/password/forgot", forgot("ann@example.com"), poisoned...)
	s.noMailWaits()
	mails := sink.all()
	if len(mails) != 1 || strings.Contains(mails[0].text+mails[0].html, "evil") || strings.Contains(mails[0].text, "203.0.113.66") {
		t.Fatalf("the mail follows:\n%+v", mails)
	}
	port := p.url[strings.LastIndexByte(p.url, ':'):]
	if want := "http://localhost" + port + "/password/reset#token="; !strings.Contains(mails[0].text, want) {
		t.Errorf("the link does not begin with %s:\n%s", want, mails[0].text)
	}
	if n := s.number(`SELECT count(*) FROM audit_log WHERE ip <> '127.0.0.1'`); n != 0 {
		t.Errorf("%d rows of the audit log believe the header", n)
	}
	if strings.Contains(p.said.String(), "203.0.113.66") {
		t.Error("the log believes the header")
	}
	// Nor does it buy guesses.
	var got tally
	for i := range 15 {
		got.guess(w.client(), p, "ann@example.com", "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i), "X-Real-IP", fmt.Sprintf("203.0.113.%d", i))
	}
	got.want(t, "guesses with forged addresses", 10, 5)
}

// TestForwardingByAProxy: behind a proxy that is trusted, what it appended counts,
// and what its client wrote in front of that does not.
func TestForwardingByAProxy(t *testing.T) {
	w := newWorld(t)
	s := w.postgres()
	p := w.serve(s.setting(), calm, trustLoopback)
	password := w.client().signUp(p, "ann@example.com")
	var got tally
	for i := range 15 {
		got.guess(w.client(), p, "ann@example.com", "X-Forwarded-For", fmt.Sprintf("203.0.113.%d, 198.51.100.7", i), "X-Forwarded-Host", "evil.example")
	}
	got.want(t, "one client behind a proxy that lies about where it comes from", 10, 5)
	// Somebody else behind the same proxy is not locked out.
	c := w.client()
	c.want(p, 200, "POST", "/login", login("ann@example.com", password), "X-Forwarded-For", "203.0.113.9, 198.51.100.8")
	for _, item := range items(c.want(p, 200, "GET", "/me/sessions", "")) {
		if one := item.(map[string]any); one["current"] == true && one["ip"] != "198.51.100.8" {
			t.Errorf("the session is said to come from %v, want 198.51.100.8", one["ip"])
		}
	}
}
