package httptests

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gatehouse/domain/session"
	"gatehouse/domain/user"
)

// wantReason wants a 401 that says why the session is over, "" for nothing.
func wantReason(t *testing.T, a *Answer, reason string) {
	t.Helper()
	a.Want(401, "unauthenticated")
	if got := a.Text("reason"); got != reason {
		t.Errorf("%s: reason = %q, want %q", a.what, got, reason)
	}
}

// testReasons: who comes back with a session that is over is told why, where a
// session is needed.
func testReasons(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	mina := app.SignIn("mina@example.com")
	remember := creds(mina.Email, password)
	remember["rememberMe"] = true
	long := func() *Client {
		t.Helper()
		c := app.Anonymous()
		c.Do("POST", "/login", remember).Want(200, "")
		return c
	}
	gone := map[string]*Client{} // by reason
	end := func(reason string, how func(c *Client)) {
		t.Helper()
		c := mina.Again()
		token := c.Cookie
		how(c)
		dead := &Client{Cookie: token, app: app, t: t}
		gone[reason] = dead.With(t)
		for _, m := range [][2]string{{"GET", "/me"}, {"PATCH", "/me"}, {"GET", "/me/sessions"}, {"DELETE", "/me"}, {"POST", "/me/totp"}} {
			wantReason(t, dead.With(t).Do(m[0], m[1], nil), reason)
		}
		if dead.Do("GET", "/me", nil); dead.Cookie != "" {
			t.Errorf("%s: the cookie stays", reason)
		}
	}
	end("signed_out", func(c *Client) { c.Do("POST", "/logout", nil).Want(204, "") })
	end("signed_out", func(c *Client) { c.Do("POST", "/login", creds(mina.Email, password)).Want(200, "") })
	end("ended_by_owner", func(c *Client) {
		mina.Do("DELETE", "/me/sessions/"+mina.Do("GET", "/me/sessions", nil).Items("id")[0], nil).Want(204, "")
	})
	end("ended_by_owner", func(c *Client) {
		id := c.Do("GET", "/me/sessions", nil).Items("id")[0]
		c.Do("DELETE", "/me/sessions/"+id, nil).Want(204, "") // itself
	})
	end("ended_by_owner", func(c *Client) { mina.Do("DELETE", "/me/sessions", nil).Want(204, "") })
	end("password_changed", func(c *Client) {
		mina.Do("PUT", "/me/password", obj{"currentPassword": password, "newPassword": password}).Want(204, "")
	})
	end("password_changed", func(c *Client) { // its own token before
		c.Do("PUT", "/me/password", obj{"currentPassword": password, "newPassword": password}).Want(204, "")
		c.Do("GET", "/me", nil).Want(200, "")
	})
	end("password_changed", func(c *Client) {
		app.Anonymous().Do("POST", "/password/reset", reset(app.linkFor(mina.Email), password)).Want(204, "")
	})
	end("ended_by_admin", func(c *Client) {
		id, _ := user.ParseID(c.id())
		if err := app.operator.Sessions.EndAll(t.Context(), user.ID{}, id, session.EndedByAdmin, session.Key{}); err != nil {
			t.Fatal(err)
		}
	})
	end("session_limit", func(c *Client) {
		for range maxSessions {
			mina.Again()
		}
	})
	end("", func(c *Client) { c.Do("POST", "/me/reauthenticate", obj{"password": password}).Want(204, "") }) // goes on under another token
	delete(gone, "")
	expired := mina.Again()
	idle, used := long(), long()
	app.Advance(23 * time.Hour)
	used.Do("GET", "/me", nil).Want(200, "")
	app.Advance(time.Hour)
	gone["idle"], gone["expired"] = idle.With(t), expired.With(t)
	wantReason(t, idle.With(t).Do("GET", "/me", nil), "idle")
	wantReason(t, expired.With(t).Do("GET", "/me", nil), "expired")
	used.Do("GET", "/me", nil).Want(200, "")
	must(app.operator.Sessions.Prune(t.Context()))
	for reason, dead := range gone {
		wantReason(t, dead.With(t).Do("GET", "/me", nil), reason)
		wantQuiet(t, app, dead)
	}
	used.Do("GET", "/me", nil).Want(200, "")

	kim := app.SignIn("kim@example.com")
	app.Disable(kim.Email)
	wantReason(t, kim.With(t).Do("GET", "/me", nil), "account_disabled")
	lee := app.SignIn("lee@example.com")
	app.DisableAsOperator(lee.Email)
	gone["account_disabled"] = lee.With(t)
	wantReason(t, lee.With(t).Do("GET", "/me", nil), "account_disabled")
	ann := app.SignIn("ann@example.com")
	phone := ann.Again()
	ann.Do("DELETE", "/me", leaving(password)).Want(204, "")
	wantReason(t, phone.Do("GET", "/me", nil), "") // nothing is left of who left
	wantReason(t, app.Anonymous().Do("GET", "/me", nil), "")
	wantReason(t, app.Anonymous().Do("GET", "/me", nil, "Cookie", "sid="+mina.Cookie[1:]+"A"), "")

	// A store that cannot tell is no reason to be told nothing.
	past := gone["signed_out"].With(t)
	app.Faults.Break("past", outage)
	if a := past.Do("GET", "/me", nil).Want(503, "unavailable"); a.Header.Get("Set-Cookie") != "" {
		t.Errorf("Set-Cookie = %q", a.Header.Get("Set-Cookie"))
	}
	app.Faults.Break("past", nil)
	wantReason(t, past.Do("GET", "/me", nil), "signed_out")

	app.Advance(30 * 24 * time.Hour)
	must(app.operator.Sessions.Prune(t.Context()))
	for _, dead := range gone {
		wantReason(t, dead.Do("GET", "/me", nil), "")
	}
}

// wantQuiet wants that routes for everybody neither tell the reason nor look for
// it.
func wantQuiet(t *testing.T, app *App, dead *Client) {
	t.Helper()
	before := app.Faults.Calls("past")
	dead.With(t).Do("GET", "/products", nil).Want(200, "")
	wantReason(t, dead.With(t).Do("GET", "/products?owner=me", nil), "")
	wantReason(t, dead.With(t).Do("POST", "/products", teapot()), "")
	dead.With(t).Do("POST", "/logout", nil).Want(204, "")
	if n := app.Faults.Calls("past") - before; n != 0 {
		t.Errorf("routes for everybody looked %d times for why a session ended", n)
	}
}

// testCap: a user has so many sessions at the most, however many begin at once;
// the oldest make room.
func testCap(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited, RequestTimeout: time.Minute})
	mina, eve := app.SignIn("mina@example.com"), app.SignIn("eve@example.com")
	clients := make([]*Client, 40)
	inParallel(t, len(clients), func(i int) {
		c := app.Anonymous().With(t)
		if a, err := c.try("POST", "/login", creds(mina.Email, password)); err != nil || a.Status != 200 {
			t.Errorf("login = %v, %v", a, err)
		}
		clients[i] = c
	})
	alive := 0
	var left *Client
	for _, c := range append(clients, mina) {
		if a := c.Do("GET", "/me", nil); a.Status == 200 {
			alive, left = alive+1, c
		} else {
			wantReason(t, a, "session_limit")
		}
	}
	if alive != maxSessions {
		t.Errorf("%d sessions are alive after 40 sign-ins at once, want %d", alive, maxSessions)
	}
	if mina.Cookie != "" {
		t.Error("the oldest session was not among those that made room")
	}
	eve.Do("GET", "/me", nil).Want(200, "")
	if left == nil {
		return
	}
	if n := len(left.Do("GET", "/me/sessions", nil).Items("id")); n != maxSessions {
		t.Errorf("%d sessions listed, want %d", n, maxSessions)
	}
	// One by one the oldest goes.
	eves := []*Client{eve}
	for range maxSessions - 1 {
		eves = append(eves, eve.Again())
	}
	for i := range 5 {
		eve.Again()
		wantReason(t, eves[i].Do("GET", "/me", nil), "session_limit")
		eves[i+1].Do("GET", "/me", nil).Want(200, "")
	}
	// Who knows the password alone pushes nobody out.
	kim := app.SignIn("kim@example.com")
	phone, _ := kim.Enrol()
	for range maxSessions + 5 {
		kim.Pending()
	}
	kim.Do("GET", "/me", nil).Want(200, "")
	kim.Pending().second(phone.code(0)).Want(200, "")
	kim.Do("GET", "/me", nil).Want(200, "")
}

// testDevices: a list of sessions says what they are on, in words of ours.
func testDevices(t *testing.T, open Open) {
	app := start(t, open, Options{TrustedProxies: loopback, Limits: unlimited})
	mina := app.SignIn("mina@example.com")
	for _, row := range []struct{ agent, device string }{
		{firefox, "Firefox on Linux"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", "Safari on iPhone"},
		{"<script>alert(1)</script>", ""}, {"", ""}, {"\xff\xfe\xc2\x85", ""},
	} {
		c := app.Anonymous()
		a := c.Do("POST", "/login", creds(mina.Email, password), "User-Agent", row.agent, "X-Forwarded-For", "198.51.100.7").Want(200, "")
		list, _ := c.Do("GET", "/me/sessions", nil).Want(200, "").JSON()["items"].([]any)
		one, _ := list[0].(map[string]any)
		if a.Text("session", "device") != row.device || one["device"] != row.device || one["ip"] != "198.51.100.7" || one["current"] != true {
			t.Errorf("%q: login says %s, the list %v, want %q", row.agent, a.Body, one, row.device)
		}
	}
	// Last seen is true to the renewal step.
	seen := func() string {
		list, _ := mina.Do("GET", "/me/sessions", nil).JSON()["items"].([]any)
		i := slices.IndexFunc(list, func(v any) bool { m, _ := v.(map[string]any); return m["current"] == true })
		one, _ := list[i].(map[string]any)
		return fmt.Sprint(one["lastSeenAt"])
	}
	first := seen()
	app.Advance(4 * time.Minute)
	if got := seen(); got != first {
		t.Errorf("lastSeenAt moved from %s to %s within a step", first, got)
	}
	app.Advance(2 * time.Minute)
	now := app.Clock.Now().Format("2006-01-02T15:04:05")
	if got := seen(); got < now {
		t.Errorf("lastSeenAt = %s, want %s", got, now)
	}
}

// testCapBesideSignOut: whatever sign-ins and sign-outs overlap, no more than so
// many sessions are alive, and none that was signed out.
func testCapBesideSignOut(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited, RequestTimeout: time.Minute})
	mina := app.SignIn("mina@example.com")
	clients := []*Client{mina}
	for range maxSessions - 1 {
		clients = append(clients, mina.Again())
	}
	before := slices.Clone(clients)
	var mu sync.Mutex
	inParallel(t, 20, func(i int) {
		if i%2 == 0 {
			_, _ = before[i].With(t).try("POST", "/logout", nil)
			return
		}
		c := app.Anonymous().With(t)
		if a, err := c.try("POST", "/login", creds(mina.Email, password)); err != nil || a.Status != 200 {
			t.Errorf("login = %v, %v", a, err)
		}
		mu.Lock()
		defer mu.Unlock()
		clients = append(clients, c)
	})
	alive := 0
	for i, c := range clients {
		if a := c.Do("GET", "/me", nil); a.Status == 200 {
			alive++
			if i < 20 && i%2 == 0 {
				t.Errorf("session %d is alive after it was signed out", i)
			}
		}
	}
	if alive > maxSessions {
		t.Errorf("%d sessions are alive, want at most %d", alive, maxSessions)
	}
}
