package httptests

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/domain/audit"
	"gatehouse/domain/user"
)

// testAudit: whatever matters to security is written down, by whom, of what, from
// where and how it came out. That no secret and no address stands there, and that
// the chains hold, is checked after every test.
func testAudit(t *testing.T, open Open) {
	app := start(t, open, Options{TrustedProxies: loopback})
	const ip, agent, fresh = "198.51.100.7", firefox, "another-fine-passphrase"
	app.keep(fresh)
	n, people := 0, names{}
	// act does something and wants these rows, each "event outcome actor subject
	// detail", of a request that can be told.
	act := func(do func(c *Client, headers ...string), c *Client, want ...string) {
		t.Helper()
		n++
		id := fmt.Sprintf("request-%d", n)
		before := len(app.AuditRows())
		do(c, "User-Agent", agent, "X-Forwarded-For", ip, "X-Request-Id", id)
		people.learn(t, app)
		var got []string
		for _, r := range app.AuditRows()[before:] {
			got = append(got, people.describe(r))
			if r.Origin != (audit.Origin{IP: netip.MustParseAddr(ip), UserAgent: agent, RequestID: id}) {
				t.Errorf("%s: from %+v", r.Event, r.Origin)
			}
			if now := app.Clock.Now(); r.At.After(now) || now.Sub(r.At) > time.Minute || r.At.Location() != time.UTC {
				t.Errorf("%s: at %v, now %v", r.Event, r.At, now)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("request %d is written down as\n got  %q\n want %q", n, got, want)
		}
	}
	call := func(method, path string, body any, status int) func(c *Client, headers ...string) {
		return func(c *Client, headers ...string) {
			t.Helper()
			if a := c.Do(method, path, body, headers...); a.Status != status {
				t.Errorf("%s %s = %d %s, want %d", method, path, a.Status, a.Body, status)
			}
		}
	}
	const mina, eve = "mina@example.com", "eve@example.com"
	nobody := app.Anonymous()
	act(call("POST", "/register", creds(mina, password), 201), nobody, "account.registered success mina user:mina {}")
	act(call("POST", "/register", creds(mina, password), 409), nobody)
	app.Register(eve)

	hers := app.Anonymous()
	hers.Email = mina
	act(call("POST", "/login", creds(mina, wrong), 401), hers, `session.sign_in_failed failure - user:mina {"reason":"password"}`)
	act(call("POST", "/login", creds("nobody@example.com", wrong), 401), nobody, `session.sign_in_failed failure - - {"reason":"unknown"}`)
	act(call("POST", "/login", creds(mina, password), 200), hers, `session.signed_in success mina session {"methods":"password"}`)
	act(call("POST", "/login", creds(mina, password), 200), hers,
		`session.ended success mina session {"reason":"signed_out","user":"mina"}`, `session.signed_in success mina session {"methods":"password"}`)
	act(call("GET", "/me", nil, 200), hers)
	act(call("PATCH", "/me", obj{"name": "Mina"}, 200), hers)
	act(call("PUT", "/me/password", obj{"currentPassword": wrong, "newPassword": fresh}, 403), hers, "password.confirmation_failed failure mina user:mina {}")
	other := hers.Again()
	act(call("PUT", "/me/password", obj{"currentPassword": password, "newPassword": password}, 204), hers,
		"password.changed success mina user:mina {}", `session.ended success mina session {"reason":"password_changed","user":"mina"}`)
	act(call("GET", "/me", nil, 401), other)
	act(call("POST", "/me/reauthenticate", obj{"password": wrong}, 403), hers, "session.reauthentication_failed failure mina user:mina {}")
	act(call("POST", "/me/reauthenticate", obj{"password": password}, 204), hers, "session.reauthenticated success mina user:mina {}")
	hers.Again()
	act(call("DELETE", "/me/sessions", nil, 204), hers, `session.ended success mina session {"reason":"ended_by_owner","user":"mina"}`)
	other = hers.Again()
	act(call("DELETE", "/me/sessions/"+other.Do("GET", "/me/sessions", nil).Items("id")[0], nil, 204), hers, `session.ended success mina session {"reason":"ended_by_owner","user":"mina"}`)
	act(call("DELETE", "/me/sessions", nil, 204), hers)

	act(call("POST", "/email/verification", nil, 202), hers, "email.verification_requested success mina user:mina {}")
	token := lastToken(app.Deliver())
	act(call("POST", "/email/verify", obj{"token": token}, 204), nobody, "email.verified success mina user:mina {}")
	act(call("POST", "/email/verify", obj{"token": token}, 410), nobody)
	act(call("PUT", "/me/email", obj{"email": "new@example.com", "currentPassword": password}, 202), hers, "email.change_requested success mina user:mina {}")
	act(call("POST", "/email/verify", obj{"token": lastToken(app.Deliver())}, 204), nobody, "email.changed success mina user:mina {}")
	hers.Email = "new@example.com"

	app.nextStep()
	var phone authenticator
	act(func(c *Client, headers ...string) {
		phone = authenticator{app, c.Do("POST", "/me/totp", nil, headers...).Want(200, "").Text("secret")}
		app.keep(phone.secret)
	}, hers, "second_factor.started success mina user:mina {}")
	act(call("POST", "/me/totp/confirm", obj{"code": phone.other()}, 422), hers)
	var codes []any
	act(func(c *Client, headers ...string) {
		codes, _ = c.Do("POST", "/me/totp/confirm", obj{"code": phone.code(0)}, headers...).Want(200, "").JSON()["recoveryCodes"].([]any)
	}, hers, "second_factor.confirmed success mina user:mina {}")
	waiting := &Client{Email: hers.Email, app: app, t: t}
	act(call("POST", "/login", creds(hers.Email, password), 200), waiting, "session.second_factor_awaited success mina user:mina {}")
	act(call("POST", "/login/totp", obj{"code": phone.other()}, 401), waiting, "second_factor.failed failure mina user:mina {}")
	app.nextStep()
	act(call("POST", "/login/totp", obj{"code": phone.code(0)}, 200), waiting, `session.signed_in success mina session {"methods":"password totp"}`)
	act(call("POST", "/logout", nil, 204), waiting, `session.ended success mina session {"reason":"signed_out","user":"mina"}`)
	act(call("POST", "/logout", nil, 204), waiting)
	waiting.Do("POST", "/login", creds(hers.Email, password)).Want(200, "")
	app.keep(fmt.Sprint(codes[0]))
	act(call("POST", "/login/totp", obj{"recoveryCode": codes[0]}, 200), waiting,
		"second_factor.recovery_code_used success mina user:mina {}", `session.signed_in success mina session {"methods":"password recovery_code"}`)
	act(call("DELETE", "/me/totp", obj{"password": password}, 204), hers, "second_factor.removed success mina user:mina {}")

	act(call("POST", "/password/forgot", forgot("nobody@example.com"), 202), nobody, "password.reset_requested failure - - {}")
	act(call("POST", "/password/forgot", forgot(hers.Email), 202), nobody, "password.reset_requested success - user:mina {}")
	act(call("POST", "/password/reset", reset(lastToken(app.Deliver()), fresh), 204), nobody, "password.reset success mina user:mina {}",
		`session.ended success mina session {"reason":"password_changed","user":"mina"}`, `session.ended success mina session {"reason":"password_changed","user":"mina"}`)
	hers.Do("POST", "/login", creds(hers.Email, fresh)).Want(200, "")

	strangers := &Client{Email: eve, app: app, t: t}
	strangers.Do("POST", "/login", creds(eve, password)).Want(200, "")
	id := hers.Offer("status", "published")
	denied := func(action, further string) string {
		return fmt.Sprintf(`access.denied refused eve product:offered {"action":%q,"decision":"itself","reason":"no row allows it; nearest: user, product, %s, own, allow (not own)%s"}`, action, action, further)
	}
	act(call("PATCH", "/products/"+id, `{"stock":1}`, 403), strangers, denied("update", "; user, product, update, editor, allow (not editor)"))
	act(call("DELETE", "/products/"+id, nil, 403), strangers, denied("delete", ""))
	act(call("DELETE", "/products/"+id, nil, 401), nobody)
	act(call("GET", "/me/export", nil, 200), hers, "account.exported success mina user:mina {}")
	for range 9 {
		nobody.Do("POST", "/login", creds(eve, wrong), from(ip)...).Want(401, "invalid_credentials")
	}
	act(call("POST", "/login", creds(eve, wrong), 401), nobody,
		`session.sign_in_failed failure - user:eve {"reason":"password"}`, "session.sign_in_throttled refused - user:eve {}")
	act(call("POST", "/login", creds(eve, password), 429), nobody)
	for range 9 {
		strangers.Do("POST", "/me/reauthenticate", obj{"password": wrong}).Want(403, "wrong_password")
	}
	act(call("DELETE", "/me", obj{"password": wrong}, 403), strangers,
		"password.confirmation_failed failure eve user:eve {}", "password.confirmation_throttled refused eve user:eve {}")
	act(call("DELETE", "/me", obj{"password": password}, 429), strangers)
	app.Advance(time.Minute)
	strangers.Do("POST", "/me/reauthenticate", obj{"password": password}).Want(204, "")
	eves, _ := strangers.Enrol()
	between := strangers.Pending()
	for range 9 {
		between.second(eves.other()).Want(401, "invalid_code")
	}
	act(call("POST", "/login/totp", obj{"code": eves.other()}, 401), between, "second_factor.failed failure eve user:eve {}", "second_factor.throttled refused eve user:eve {}")
	act(call("POST", "/login/totp", obj{"code": eves.code(0)}, 429), between)
	app.Disable(eve)
	app.Advance(time.Minute)
	act(call("POST", "/login", creds(eve, password), 401), nobody,
		`session.sign_in_failed failure - user:eve {"reason":"disabled"}`, "session.sign_in_throttled refused - user:eve {}")
	act(call("DELETE", "/me", obj{"password": fresh}, 204), hers, "account.deleted success mina user:mina {}")

	testAuditOfRegistrations(t, open)
	rows := app.AuditRows()
	if found, err := app.operator.VerifyAudit(t.Context()); err != nil || found != len(rows) {
		t.Errorf("VerifyAudit = %d, %v, want %d rows", found, err, len(rows))
	}
}

// testAuditOfRegistrations: that somebody registers an address which is taken
// already is written down where nobody is told.
func testAuditOfRegistrations(t *testing.T, open Open) {
	t.Helper()
	app := start(t, open, Options{Verified: true})
	for range 2 {
		app.Anonymous().Do("POST", "/register", creds("mina@example.com", password)).Want(202, "")
	}
	app.Anonymous().Do("POST", "/login", creds("mina@example.com", password)).Want(401, "invalid_credentials")
	app.Anonymous().Do("POST", "/email/verify", obj{"token": lastToken(app.Deliver())}).Want(204, "")
	app.Anonymous().Do("POST", "/register", creds("mina@example.com", password)).Want(202, "")
	people, got := names{}, []string{}
	people.learn(t, app)
	for _, r := range app.AuditRows() {
		got = append(got, people.describe(r))
	}
	if want := []string{
		"account.registered success mina user:mina {}", "account.registration_repeated success - user:mina {}",
		`session.sign_in_failed failure - user:mina {"reason":"unverified"}`, "email.verified success mina user:mina {}",
		"account.registration_repeated success - user:mina {}",
	}; !slices.Equal(got, want) {
		t.Errorf("registrations are written down as\n got  %q\n want %q", got, want)
	}
}

// names calls the people of one test by the local part of the address that they
// had first.
type names map[string]string // by id

func (n names) learn(t *testing.T, app *App) {
	t.Helper()
	all, err := app.stores.Users.List(t.Context(), user.ID{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range all {
		if id := u.ID().String(); n[id] == "" {
			n[id], _, _ = strings.Cut(u.Email().String(), "@")
		}
	}
}

// describe puts a row in words.
func (n names) describe(r audit.Row) string {
	actor := "-"
	if !r.Actor.IsZero() {
		actor = n[r.Actor.String()]
	}
	subject := r.Subject.Type
	switch subject {
	case "user":
		subject += ":" + n[r.Subject.ID]
	case "product":
		subject += ":offered"
	case "":
		subject = "-"
	}
	detail := r.DetailText()
	if r.Event == audit.Denied {
		detail = strings.ReplaceAll(detail, r.ID.String(), "itself")
	}
	for id, name := range n {
		detail = strings.ReplaceAll(detail, id, name)
	}
	return fmt.Sprintf("%s %s %s %s %s", r.Event, r.Outcome, actor, subject, detail)
}
