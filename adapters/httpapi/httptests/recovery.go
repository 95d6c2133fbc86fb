package httptests

import (
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/application/guard"
)

// loopback trusts the tests themselves as a proxy, so that a request can come
// from anywhere by its X-Forwarded-For.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// unlimited turns every limit off.
func unlimited(r *guard.Rules) { *r = guard.Rules{} }

func forgot(email any) obj { return obj{"email": email} }

func reset(token, next any) obj { return obj{"token": token, "newPassword": next} }

// sameAnswer fails the test if two answers to requests with one X-Request-Id can
// be told apart.
func sameAnswer(t *testing.T, one, other *Answer) {
	t.Helper()
	for _, a := range []*Answer{one, other} {
		a.Header.Del("Date")
	}
	if one.Status != other.Status || string(one.Body) != string(other.Body) || fmt.Sprint(one.Header) != fmt.Sprint(other.Header) {
		t.Errorf("two answers can be told apart:\n%s = %d %s %v\n%s = %d %s %v", one.what, one.Status, one.Body, one.Header, other.what, other.Status, other.Body, other.Header)
	}
}

// testRecovery: a link sets a new password once, within an hour, and ends every
// session.
func testRecovery(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	const fresh, third = "another-fine-passphrase", "a-third-fine-passphrase"
	app.keep(fresh, third)
	mina := app.SignIn("Mina@Example.com")
	phone := mina.Again()
	app.Deliver()
	nobody := app.Anonymous()

	for _, row := range []struct {
		path string
		body obj
		want []string
	}{
		{"/password/forgot", obj{}, []string{"/email", "required"}},
		{"/password/forgot", obj{"email": "no address", "x": 1}, []string{"/email", "invalid_email", "/x", "unknown_member"}},
		{"/password/forgot", obj{"email": true}, []string{"/email", "wrong_type"}},
		{"/password/forgot", obj{"email": "ſam@b.example"}, []string{"/email", "invalid_email"}},
		{"/password/reset", obj{}, []string{"/token", "required", "/newPassword", "required"}},
		{"/password/reset", obj{"token": 1, "newPassword": nil, "email": "x"}, []string{"/token", "wrong_type", "/newPassword", "wrong_type", "/email", "unknown_member"}},
	} {
		nobody.Do("POST", row.path, row.body).WantFaults(row.want...)
	}

	known := nobody.Do("POST", "/password/forgot", forgot(" MINA@EXAMPLE.COM "), "X-Request-Id", "same").Want(202, "")
	unknown := nobody.Do("POST", "/password/forgot", forgot("nobody@example.com"), "X-Request-Id", "same").Want(202, "")
	sameAnswer(t, known, unknown)
	if len(known.Body) > 0 {
		t.Errorf("202 has the body %q", known.Body)
	}
	token := app.Token("Mina@Example.com", "/password/reset") // as the account has it, not as it was asked for

	nobody.Do("POST", "/password/reset", reset(token, "short")).WantFaults("/newPassword", "password_too_short")
	nobody.Do("POST", "/password/reset", reset(token, "mina@EXAMPLE.com")).WantFaults("/newPassword", "password_common")
	before := app.Faults.Calls("tickets")
	for _, bad := range []string{"", "x", token[:42], token + "A", "#" + token[1:], token[:42] + "\n", " " + token} {
		nobody.Do("POST", "/password/reset", reset(bad, fresh)).Want(410, "token_invalid")
	}
	if after := app.Faults.Calls("tickets"); after != before {
		t.Errorf("tokens of a wrong shape cost %d queries", after-before)
	}
	nobody.Do("POST", "/password/reset", reset(strings.Repeat("A", 43), fresh)).Want(410, "token_invalid")
	nobody.Do("POST", "/email/verify", obj{"token": token}).Want(410, "token_invalid") // it is for something else
	mina.Do("GET", "/me", nil).Want(200, "")

	a := nobody.Do("POST", "/password/reset", reset(token, fresh)).Want(204, "")
	if set := a.Header.Get("Set-Cookie"); set != "" {
		t.Errorf("a reset signs in: Set-Cookie = %q", set)
	}
	app.wantTold(t, "Mina@Example.com: "+aboutPassword)
	nobody.Do("POST", "/password/reset", reset(token, third)).Want(410, "token_invalid")
	for _, c := range []*Client{mina, phone} {
		wantReason(t, c.Do("GET", "/me", nil), "password_changed")
	}
	nobody.Do("POST", "/login", creds(mina.Email, password)).Want(401, "invalid_credentials")
	if a := nobody.Do("POST", "/login", creds(mina.Email, fresh)).Want(200, ""); a.Text("user", "emailVerified") != "true" {
		t.Error("who has answered a mail has not shown to receive mail there")
	}
	app.Deliver()

	ask := func() string {
		t.Helper()
		app.Anonymous().Do("POST", "/password/forgot", forgot(mina.Email)).Want(202, "")
		return app.Token("Mina@Example.com", "/password/reset")
	}
	expired := ask()
	app.Advance(time.Hour)
	nobody.Do("POST", "/password/reset", reset(expired, third)).Want(410, "token_invalid")
	old := ask()
	late := ask()
	app.Advance(time.Hour - time.Second)
	app.Anonymous().Do("POST", "/password/reset", reset(old, third)).Want(410, "token_invalid") // a newer one was sent
	app.Anonymous().Do("POST", "/password/reset", reset(late, fresh)).Want(204, "")

	void := ask()
	app.Deliver()
	mina.Do("POST", "/login", creds(mina.Email, fresh)).Want(200, "")
	mina.Do("PUT", "/me/password", obj{"currentPassword": fresh, "newPassword": password}).Want(204, "")
	app.Anonymous().Do("POST", "/password/reset", reset(void, third)).Want(410, "token_invalid") // its owner knows it again

	disabled := app.linkFor(mina.Email)
	app.Disable(mina.Email)
	app.Anonymous().Do("POST", "/password/reset", reset(disabled, third)).Want(410, "token_invalid")
	app.Anonymous().Do("POST", "/password/forgot", forgot(mina.Email)).Want(202, "")
	app.wantTold(t)

	kim := app.SignIn("kim@example.com")
	gone := app.linkFor(kim.Email)
	kim.Do("DELETE", "/me", leaving(password)).Want(204, "")
	app.Anonymous().Do("POST", "/password/reset", reset(gone, third)).Want(410, "token_invalid")
}

// linkFor has whatever waits sent, and then the token of a link that resets the
// password of the account.
func (a *App) linkFor(email string) string {
	a.t.Helper()
	a.Deliver()
	a.Anonymous().Do("POST", "/password/forgot", forgot(email)).Want(202, "")
	for _, m := range a.Deliver() {
		if found := linkToken.FindStringSubmatch(m.Text); found != nil && strings.EqualFold(m.To, email) {
			return found[1]
		}
	}
	a.t.Fatalf("no link was sent to %s", email)
	return ""
}

// testResetRaces: of twenty who use one link at once one gets through, and it is
// their password that holds.
func testResetRaces(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited, RequestTimeout: time.Minute})
	app.Register("mina@example.com")
	for round := range 3 {
		token := app.linkFor("mina@example.com")
		var passed atomic.Int64
		var winner atomic.Value
		inParallel(t, 20, func(i int) {
			fresh := fmt.Sprintf("a-fine-passphrase-%d-%d", round, i)
			a, err := app.Anonymous().With(t).try("POST", "/password/reset", reset(token, fresh))
			switch {
			case err != nil:
				t.Error(err)
			case a.Status == 204:
				passed.Add(1)
				winner.Store(fresh)
			case a.Status != 410 || a.Code() != "token_invalid":
				t.Errorf("reset = %d %s", a.Status, a.Body)
			}
		})
		if passed.Load() != 1 {
			t.Fatalf("%d of 20 resets with one link got through, want one", passed.Load())
		}
		fresh, _ := winner.Load().(string)
		app.Anonymous().Do("POST", "/login", creds("mina@example.com", fresh)).Want(200, "")
	}
}

// testResetKeepsTheFactor: a link stands in for the password, never for the phone
// (ASVS 5.0 6.4.3).
func testResetKeepsTheFactor(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	const fresh = "another-fine-passphrase"
	app.keep(fresh)
	mina := app.SignIn("mina@example.com")
	phone, _ := mina.Enrol()
	waiting := mina.Pending()
	app.Anonymous().Do("POST", "/password/reset", reset(app.linkFor(mina.Email), fresh)).Want(204, "")
	wantReason(t, waiting.second(phone.code(0)), "password_changed")
	again := app.Anonymous()
	if a := again.Do("POST", "/login", creds(mina.Email, fresh)).Want(200, ""); string(a.Body) != `{"next":"totp"}` {
		t.Errorf("login after a reset = %s, want the second step", a.Body)
	}
	again.Do("GET", "/me", nil).Want(401, "unauthenticated")
	again.second(phone.code(0)).Want(200, "")
	again.Do("GET", "/me", nil).Want(200, "")
}

// testVerification: a link shows that mail is received at the address.
func testVerification(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	app.Anonymous().Do("POST", "/email/verification", nil).Want(401, "unauthenticated")
	mina := app.SignIn("mina@example.com")
	for _, row := range []struct {
		body obj
		want []string
	}{
		{obj{}, []string{"/token", "required"}}, {obj{"token": 5, "email": "x"}, []string{"/token", "wrong_type", "/email", "unknown_member"}},
	} {
		app.Anonymous().Do("POST", "/email/verify", row.body).WantFaults(row.want...)
	}
	ask := func() string {
		t.Helper()
		if a := mina.Do("POST", "/email/verification", nil).Want(202, ""); len(a.Body) > 0 {
			t.Errorf("202 has the body %q", a.Body)
		}
		return app.Token(mina.Email, "/email/verify")
	}
	verify := func(token string) *Answer {
		t.Helper()
		return app.Anonymous().Do("POST", "/email/verify", obj{"token": token})
	}
	old := ask()
	expired := ask()
	verify(old).Want(410, "token_invalid")
	app.Advance(time.Hour)
	verify(expired).Want(410, "token_invalid")
	app.Anonymous().Do("POST", "/password/reset", reset(ask(), "another-fine-passphrase")).Want(410, "token_invalid") // for something else
	token := ask()
	if got := mina.Do("GET", "/me", nil).Text("emailVerified"); got != "false" {
		t.Errorf("emailVerified = %s before the link was followed", got)
	}
	var passed atomic.Int64
	inParallel(t, 20, func(int) {
		if a, err := app.Anonymous().With(t).try("POST", "/email/verify", obj{"token": token}); err == nil && a.Status == 204 {
			passed.Add(1)
		} else if err != nil || a.Status != 410 {
			t.Errorf("verify = %v, %v", a, err)
		}
	})
	if passed.Load() != 1 {
		t.Errorf("%d of 20 got through with one link, want one", passed.Load())
	}
	verify(token).Want(410, "token_invalid")
	if got := mina.Do("GET", "/me", nil).Text("emailVerified"); got != "true" {
		t.Errorf("emailVerified = %s after the link was followed", got)
	}
	mina.Do("POST", "/email/verification", nil).Want(202, "") // of what is verified nobody is told again
	app.wantTold(t)
}

// testEmailChange: an address changes when its owner-to-be answers, and the old
// one is told.
func testEmailChange(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	to := func(email, pass any) obj { return obj{"email": email, "currentPassword": pass} }
	verify := func(token string) *Answer {
		t.Helper()
		return app.Anonymous().Do("POST", "/email/verify", obj{"token": token})
	}
	app.Anonymous().Do("PUT", "/me/email", to("new@example.com", password)).Want(401, "unauthenticated")
	mina := app.SignIn("mina@example.com")
	app.Register("taken@example.com")
	for _, row := range []struct {
		body obj
		want []string
	}{
		{obj{}, []string{"/email", "required", "/currentPassword", "required"}},
		{obj{"email": "no address", "currentPassword": 1, "emailVerified": true}, []string{"/email", "invalid_email", "/currentPassword", "wrong_type", "/emailVerified", "unknown_member"}},
		{to("mina@example.com", password), []string{"/email", "unchanged"}},
		{to("vic@b.example\r\nBcc: eve@b.example", password), []string{"/email", "invalid_email"}},
	} {
		mina.Do("PUT", "/me/email", row.body).WantFaults(row.want...)
	}
	mina.Do("PUT", "/me/email", to("new@example.com", "wrong-passphrase")).Want(403, "wrong_password")
	mina.Do("PUT", "/me/email", to("TAKEN@example.com", "wrong-passphrase")).Want(403, "wrong_password") // and no word of whose it is
	mina.Do("PUT", "/me/email", to("TAKEN@example.com", password)).Want(409, "email_taken")
	app.wantTold(t)

	link := app.linkFor(mina.Email)
	session := mina.Cookie
	a := mina.Do("PUT", "/me/email", to(" New@Example.com ", password)).Want(202, "")
	if len(a.Body) > 0 || mina.Cookie != session {
		t.Errorf("202 = %q, cookie %q", a.Body, a.Header.Get("Set-Cookie"))
	}
	sent := app.wantTold(t, "New@Example.com: "+aboutNewEmail, "mina@example.com: "+aboutAsked)
	var token string
	for _, m := range sent {
		if found := linkToken.FindStringSubmatch(m.Text); found != nil && m.To == "New@Example.com" {
			token = found[1]
		} else if found != nil || !strings.Contains(m.Text, "New@Example.com") {
			t.Errorf("what the old address is told:\n%s", m.Text)
		}
	}
	if got := mina.Do("GET", "/me", nil).Text("email"); got != "mina@example.com" {
		t.Errorf("the address is %q before the mail was answered", got)
	}
	verify(token).Want(204, "")
	verify(token).Want(410, "token_invalid")
	me := mina.Do("GET", "/me", nil).Want(200, "")
	if me.Text("email") != "New@Example.com" || me.Text("emailVerified") != "true" {
		t.Errorf("after the change: %s", me.Body)
	}
	app.wantTold(t, "mina@example.com: "+aboutChanged)
	app.Anonymous().Do("POST", "/password/reset", reset(link, "another-fine-passphrase")).Want(410, "token_invalid") // it went to the old address
	app.Anonymous().Do("POST", "/login", creds("mina@example.com", password)).Want(401, "invalid_credentials")
	app.Anonymous().Do("POST", "/login", creds("new@example.com", password)).Want(200, "")
	app.Register("mina@example.com") // it is free again
	app.Deliver()

	ask := func(email string) string {
		t.Helper()
		mina.Do("PUT", "/me/email", to(email, password)).Want(202, "")
		return app.Token(email, "/email/verify")
	}
	first := ask("first@example.com")
	second := ask("second@example.com")
	verify(first).Want(410, "token_invalid") // another change was asked for since
	verify(second).Want(204, "")
	app.Deliver()
	// What waits to be sent to an address is not sent once the account has another,
	// and what was sent there is good for nothing, even if it has it once more.
	link = app.linkFor("second@example.com")
	third := ask("third@example.com")
	app.Anonymous().Do("POST", "/password/forgot", forgot("second@example.com")).Want(202, "")
	verify(third).Want(204, "")
	app.wantTold(t, "second@example.com: "+aboutChanged)
	verify(ask("second@example.com")).Want(204, "")
	app.Anonymous().Do("POST", "/password/reset", reset(link, "another-fine-passphrase")).Want(410, "token_invalid")
	app.Deliver()
	lost := ask("wanted@example.com")
	app.Register("wanted@example.com")
	verify(lost).Want(410, "token_invalid") // taken meanwhile
	expired := ask("later@example.com")
	app.Advance(time.Hour)
	verify(expired).Want(410, "token_invalid")
	mina.Do("PUT", "/me/email", to("SECOND@example.com", password)).Want(202, "") // the same, written otherwise
	token = app.Token("SECOND@example.com", "/email/verify")
	verify(token).Want(204, "")
	if got := mina.Do("GET", "/me", nil).Text("email"); got != "SECOND@example.com" {
		t.Errorf("email = %q", got)
	}
}

// testVerifiedRegistration: where a mail decides, registering tells nobody who
// has an account, and nobody signs in with an address that is not theirs.
func testVerifiedRegistration(t *testing.T, open Open) {
	app := start(t, open, Options{Verified: true, Limits: unlimited})
	const other = "another-fine-passphrase"
	app.keep(other)
	c := app.Anonymous()
	register := func(email, pass, name string) *Answer {
		t.Helper()
		return c.Do("POST", "/register", obj{"email": email, "password": pass, "name": name}, "X-Request-Id", "same").Want(202, "")
	}
	login := func(email, pass string) *Answer {
		t.Helper()
		return app.Anonymous().Do("POST", "/login", creds(email, pass), "X-Request-Id", "same")
	}
	c.Do("POST", "/register", creds("no address", "short")).WantFaults("/email", "invalid_email", "/password", "password_too_short")

	fresh := register("mina@example.com", other, "Not Mina")
	if len(fresh.Body) > 0 {
		t.Errorf("202 has the body %q", fresh.Body)
	}
	sameAnswer(t, login("mina@example.com", other).Want(401, "invalid_credentials"), login("nobody@example.com", other))
	old := app.Token("mina@example.com", "/email/verify")
	// Whoever registered first need not have been her: what counts is what was given last.
	again := register("MINA@example.com", password, "Mina")
	token := app.Token("mina@example.com", "/email/verify")
	c.Do("POST", "/email/verify", obj{"token": old}).Want(410, "token_invalid")
	login("mina@example.com", password).Want(401, "invalid_credentials")
	c.Do("POST", "/email/verify", obj{"token": token}).Want(204, "")
	login("mina@example.com", other).Want(401, "invalid_credentials")
	if a := login("mina@example.com", password).Want(200, ""); a.Text("user", "name") != "Mina" || a.Text("user", "emailVerified") != "true" {
		t.Errorf("signed in: %s", a.Body)
	}
	taken := register("Mina@example.com", other, "Eve")
	app.wantTold(t, "mina@example.com: "+aboutTaken)
	login("mina@example.com", other).Want(401, "invalid_credentials")
	if a := login("mina@example.com", password).Want(200, ""); a.Text("user", "name") != "Mina" {
		t.Errorf("registering again changed %s", a.Body)
	}
	sameAnswer(t, fresh, again)
	sameAnswer(t, fresh, taken)
	app.Deliver()

	// A reset shows as well who reads mail there.
	register("kim@example.com", other, "")
	app.Deliver()
	reached := app.linkFor("kim@example.com")
	c.Do("POST", "/password/reset", reset(reached, password)).Want(204, "")
	kim := &Client{Email: "kim@example.com", app: app, t: t}
	kim.Do("POST", "/login", creds(kim.Email, password)).Want(200, "")
	app.Deliver()
	// Neither does changing the address tell; who has it is told.
	kim.Do("PUT", "/me/email", obj{"email": "mina@example.com", "currentPassword": password}).Want(202, "")
	app.wantTold(t, "mina@example.com: "+aboutTaken, "kim@example.com: "+aboutAsked)
	kim.Do("PUT", "/me/email", obj{"email": "free@example.com", "currentPassword": password}).Want(202, "")
	app.wantTold(t, "free@example.com: "+aboutNewEmail, "kim@example.com: "+aboutAsked)

	inParallel(t, 20, func(int) {
		if a, err := app.Anonymous().With(t).try("POST", "/register", creds("many@example.com", password)); err != nil || a.Status != 202 {
			t.Errorf("register = %v, %v", a, err)
		}
	})
	sent := app.Deliver() // each with a link of its own, of which the last is good
	for i, m := range sent {
		want, code := 410, "token_invalid"
		if i == len(sent)-1 {
			want, code = 204, ""
		}
		c.Do("POST", "/email/verify", obj{"token": linkToken.FindStringSubmatch(m.Text)[1]}).Want(want, code)
	}
	login("many@example.com", password).Want(200, "")
}
