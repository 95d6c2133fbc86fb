package httptests

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// totp is the code that an authenticator app shows (RFC 6238), computed here once
// more so that a mistake of the service's library would show.
func totp(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		t.Fatalf("secret: %v", err)
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, uint64(at.Unix()/30))
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0x0f
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[offset:])&0x7fffffff%1_000_000)
}

// authenticator shows codes as an app on a phone does.
type authenticator struct {
	app    *App
	secret string
}

// code is the one of now, or of so many steps later.
func (p authenticator) code(steps int) string {
	p.app.t.Helper()
	at := p.app.Clock.Now().Add(time.Duration(steps) * 30 * time.Second)
	return totp(p.app.t, p.secret, at)
}

// other is a code that is none of those of now.
func (p authenticator) other() string {
	for n := 0; ; n++ {
		if code := fmt.Sprintf("%06d", n); !slices.Contains([]string{p.code(-1), p.code(0), p.code(1)}, code) {
			return code
		}
	}
}

// nextStep moves the clock to the beginning of the next time step.
func (a *App) nextStep() {
	now := a.Clock.Now()
	a.Advance(now.Truncate(30 * time.Second).Add(30*time.Second + time.Millisecond).Sub(now))
}

// Enrol puts a second factor in force, and leaves the clock at a step whose code
// has not been used.
func (c *Client) Enrol() (phone authenticator, recovery []string) {
	c.t.Helper()
	c.app.nextStep()
	a := c.Do("POST", "/me/totp", nil).Want(200, "")
	phone = authenticator{c.app, a.Text("secret")}
	list, _ := c.Do("POST", "/me/totp/confirm", obj{"code": phone.code(0)}).Want(200, "").JSON()["recoveryCodes"].([]any)
	for _, one := range list {
		recovery = append(recovery, fmt.Sprint(one))
	}
	c.app.keep(phone.secret)
	c.app.keep(recovery...)
	c.app.nextStep()
	return phone, recovery
}

// Pending gives another device of the user on which the first step was taken.
func (c *Client) Pending() *Client {
	c.t.Helper()
	other := &Client{Email: c.Email, app: c.app, t: c.t}
	if a := other.Do("POST", "/login", creds(c.Email, password)).Want(200, ""); string(a.Body) != `{"next":"totp"}` {
		c.t.Fatalf("POST /login with a second factor on = %s", a.Body)
	}
	return other
}

func (c *Client) second(code string) *Answer {
	c.t.Helper()
	return c.Do("POST", "/login/totp", obj{"code": code})
}

func (c *Client) recover(code string) *Answer {
	c.t.Helper()
	return c.Do("POST", "/login/totp", obj{"recoveryCode": code})
}

// testEnrolment: how a second factor comes and goes.
func testEnrolment(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	for _, m := range [][2]string{{"POST", "/me/totp"}, {"POST", "/me/totp/confirm"}, {"DELETE", "/me/totp"}} {
		app.Anonymous().Do(m[0], m[1], `{`).Want(401, "unauthenticated")
	}
	mina := app.SignIn("mina@example.com")
	app.nextStep()
	mina.Do("POST", "/me/totp/confirm", obj{"code": "123456"}).Want(409, "totp_not_started")
	mina.Do("DELETE", "/me/totp", obj{"password": password}).Want(409, "totp_not_started")
	first := authenticator{app, mina.Do("POST", "/me/totp", nil).Want(200, "").Text("secret")}
	a := mina.Do("POST", "/me/totp", nil).Want(200, "")
	phone := authenticator{app, a.Text("secret")}
	app.keep(first.secret, phone.secret)
	uri, err := url.Parse(a.Text("uri"))
	if err != nil || uri.Scheme != "otpauth" || uri.Host != "totp" || uri.Query().Get("secret") != phone.secret || !strings.HasSuffix(uri.Path, ":mina@example.com") {
		t.Errorf("uri = %q, secret %q", a.Text("uri"), phone.secret)
	}
	if first.secret == phone.secret || len(phone.secret) != 32 {
		t.Errorf("two secrets %q, %q, want two of 160 bits", first.secret, phone.secret)
	}
	mina.Do("POST", "/me/totp/confirm", obj{}).WantFaults("/code", "required")
	mina.Do("POST", "/me/totp/confirm", obj{"code": 123456, "uri": "x"}).WantFaults("/code", "wrong_type", "/uri", "unknown_member")
	for _, bad := range []string{phone.other(), "", "12345", "1234567", "abcdef", first.code(0), phone.code(2), phone.code(-2), "１２３４５６"} {
		mina.Do("POST", "/me/totp/confirm", obj{"code": bad}).Want(422, "invalid_code")
	}
	app.Anonymous().Do("POST", "/login", creds(mina.Email, password)).Want(200, "") // not in force yet
	app.Deliver()
	list, _ := mina.Do("POST", "/me/totp/confirm", obj{"code": phone.code(-1)}).Want(200, "").JSON()["recoveryCodes"].([]any)
	if len(list) != 10 {
		t.Errorf("recovery codes %v, want ten", list)
	}
	app.wantTold(t, "mina@example.com: "+aboutFactorOn)
	mina.Do("POST", "/me/totp", nil).Want(409, "totp_already_on")
	mina.Do("POST", "/me/totp/confirm", obj{"code": phone.code(0)}).Want(409, "totp_already_on")
	mina.Do("GET", "/me", nil).Want(200, "") // what is signed in stays so

	waiting := mina.Pending()
	mina.Do("DELETE", "/me/totp", obj{}).WantFaults("/password", "required")
	mina.Do("DELETE", "/me/totp", obj{"password": "wrong-passphrase"}).Want(403, "wrong_password")
	app.wantTold(t)
	mina.Do("DELETE", "/me/totp", obj{"password": password}).Want(204, "")
	app.wantTold(t, "mina@example.com: "+aboutFactorOff)
	waiting.second(phone.code(0)).Want(401, "invalid_code") // there is nothing left that it could be a code of
	if a := app.Anonymous().Do("POST", "/login", creds(mina.Email, password)).Want(200, ""); a.Text("user", "email") != mina.Email {
		t.Errorf("login after the second factor was removed = %s", a.Body)
	}
	// One that was started alone can be removed too, and nobody is told of it.
	app.Deliver()
	mina.Do("POST", "/me/totp", nil).Want(200, "")
	mina.Do("DELETE", "/me/totp", obj{"password": password}).Want(204, "")
	mina.Do("POST", "/me/totp/confirm", obj{"code": "123456"}).Want(409, "totp_not_started")
	app.wantTold(t)
}

// testSecondStep: the password alone opens nothing, a code is good once.
func testSecondStep(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	mina := app.SignIn("mina@example.com")
	phone, _ := mina.Enrol()

	waiting := mina.Pending()
	for _, row := range []struct {
		body obj
		want []string
	}{
		{obj{}, []string{"/code", "required"}},
		{obj{"code": 123456}, []string{"/code", "wrong_type"}},
		{obj{"recoveryCode": nil, "x": 1}, []string{"/recoveryCode", "wrong_type", "/x", "unknown_member"}},
		{obj{"code": "1", "recoveryCode": "2"}, []string{"/recoveryCode", "invalid_value"}},
	} {
		waiting.Do("POST", "/login/totp", row.body).WantFaults(row.want...)
	}
	pending := waiting.Cookie
	for _, bad := range []string{phone.other(), "", "12345", "1234567", "abcdef", phone.code(2), phone.code(-2), phone.code(-1)} {
		a := waiting.second(bad).Want(401, "invalid_code") // the last was used to confirm
		if a.Header.Get("Set-Cookie") != "" || a.Text("reason") != "" {
			t.Errorf("a wrong code: Set-Cookie %q, %s", a.Header.Get("Set-Cookie"), a.Body)
		}
	}
	code := phone.code(0)
	a := waiting.second(code).Want(200, "")
	if waiting.Cookie == pending || waiting.Device == "" || a.Text("user", "email") != mina.Email || a.Text("session", "current") != "true" {
		t.Errorf("the second step = %s, cookie %q", a.Body, waiting.Cookie)
	}
	waiting.Do("GET", "/me", nil).Want(200, "")
	for _, path := range []string{"/login/totp", "/me"} {
		a := app.Anonymous().Do(map[string]string{"/login/totp": "POST", "/me": "GET"}[path], path, obj{"code": code}, "Cookie", "sid="+pending).Want(401, "unauthenticated")
		if !strings.HasSuffix(a.Header.Get("Set-Cookie"), "Max-Age=0") {
			t.Errorf("%s with the pending cookie after the second step: Set-Cookie = %q", path, a.Header.Get("Set-Cookie"))
		}
	}
	again := mina.Pending()
	again.second(code).Want(401, "invalid_code")
	again.second(phone.code(1)).Want(200, "") // of a phone that is fast
	again = mina.Pending()
	again.second(phone.code(0)).Want(401, "invalid_code") // older than one that was used
	app.nextStep()
	app.nextStep()
	again.second(phone.code(-1)).Want(401, "invalid_code") // that was the fast one's
	again.second(phone.code(0)).Want(200, "")

	remembered := &Client{Email: mina.Email, app: app, t: t}
	body := creds(mina.Email, password)
	body["rememberMe"] = true
	app.nextStep()
	a = remembered.Do("POST", "/login", body).Want(200, "")
	if set := a.Header.Values("Set-Cookie"); len(set) != 1 || strings.Contains(set[0], "Max-Age") {
		t.Errorf("the cookie between the steps = %q", set)
	}
	app.Advance(5 * time.Minute)
	a = remembered.second(phone.code(0)).Want(200, "")
	if set := a.Header.Get("Set-Cookie"); !strings.HasSuffix(set, "Max-Age=2592000") || a.Text("session", "rememberMe") != "true" {
		t.Errorf("remembered Set-Cookie = %q", set)
	}
	// A new mail for a new device comes with the second step, not with the first.
	app.Deliver()
	app.nextStep()
	late := mina.Pending()
	app.wantTold(t)
	late.second(phone.code(0)).Want(200, "")
	app.wantTold(t, "mina@example.com: "+aboutDevice)
	app.nextStep()
	late.Do("POST", "/login", creds(mina.Email, password)).Want(200, "") // known by its cookie
	late.second(phone.code(0)).Want(200, "")
	app.wantTold(t)
}

// testPendingOpensNothing: between the steps a cookie is good for the second
// step and for signing out, and stays otherwise.
func testPendingOpensNothing(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	mina := app.SignIn("mina@example.com")
	id := mina.Offer()
	phone, _ := mina.Enrol()
	waiting := mina.Pending()
	token := waiting.Cookie
	for _, r := range app.Server.Routes() {
		if r.Path == "/logout" || r.Path == "/login/totp" || r.Path == "/login" || strings.HasPrefix(r.Path, "/docs/") {
			continue
		}
		path := strings.NewReplacer("{id}", id).Replace(r.Path)
		nobody := app.Anonymous().Do(r.Method, path, nil, "X-Request-Id", "same")
		a := waiting.Do(r.Method, path, nil, "X-Request-Id", "same")
		if strings.HasPrefix(path, "/me") || path == "/email/verification" {
			a.Want(401, "unauthenticated")
		}
		sameAnswer(t, nobody, a)
	}
	waiting.Do("GET", "/products?owner=me", nil).Want(401, "unauthenticated")
	waiting.Do("POST", "/products", teapot()).Want(401, "unauthenticated")
	waiting.Do("POST", "/login", creds(mina.Email, "wrong-passphrase")).Want(401, "invalid_credentials")
	if waiting.Cookie != token {
		t.Error("a pending cookie was taken away")
	}
	for _, l := range []*Answer{mina.Do("GET", "/me/sessions", nil), mina.Do("GET", "/me/export", nil)} {
		if strings.Contains(string(l.Body), token) {
			t.Errorf("%s tells the token", l.what)
		}
	}
	if n := len(mina.Do("GET", "/me/sessions", nil).Items("id")); n != 1 {
		t.Errorf("%d sessions listed, want the one that may act", n)
	}
	// Nobody without the first step, and nobody who is through, takes the second.
	app.Anonymous().second(phone.code(0)).Want(401, "unauthenticated")
	app.Anonymous().Do("POST", "/login/totp", `{`).Want(401, "unauthenticated")
	full := mina.Cookie
	if a := mina.second(phone.code(0)).Want(401, "unauthenticated"); a.Header.Get("Set-Cookie") != "" || mina.Cookie != full {
		t.Errorf("the second step of somebody who is signed in: Set-Cookie = %q", a.Header.Get("Set-Cookie"))
	}
	mina.Do("GET", "/me", nil).Want(200, "")

	waiting.Do("POST", "/logout", nil).Want(204, "")
	out := &Client{Cookie: token, app: app, t: t}
	wantReason(t, out.second(phone.code(0)), "signed_out")
	over := mina.Pending()
	old := over.Cookie
	over.Do("POST", "/login", creds(mina.Email, password)).Want(200, "") // begins anew
	wantReason(t, app.Anonymous().Do("POST", "/login/totp", obj{"code": phone.code(0)}, "Cookie", "sid="+old), "signed_out")
	over.second(phone.code(0)).Want(200, "")

	slow := mina.Pending()
	app.Advance(10 * time.Minute)
	wantReason(t, slow.second(phone.code(0)), "expired")
	if slow.Cookie != "" {
		t.Error("a pending cookie that has run out stays")
	}
	mina.Do("POST", "/me/reauthenticate", obj{"password": password}).Want(204, "")
	changed := mina.Pending()
	mina.Do("PUT", "/me/password", obj{"currentPassword": password, "newPassword": password}).Want(204, "")
	wantReason(t, changed.second(phone.code(0)), "password_changed")
	disabled := mina.Pending()
	app.Disable(mina.Email)
	wantReason(t, disabled.second(phone.code(0)), "account_disabled")
}

// testRecoveryCodes: each stands in for the phone once.
func testRecoveryCodes(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	mina, eve := app.SignIn("mina@example.com"), app.SignIn("eve@example.com")
	_, codes := mina.Enrol()
	_, hers := eve.Enrol()
	app.Deliver()
	waiting := mina.Pending()
	for _, bad := range []string{"", "x", hers[0], codes[0][1:], codes[0] + "A", codes[0] + codes[1], strings.Repeat("A", 24), strings.Repeat("-", 10_000)} {
		waiting.recover(bad).Want(401, "invalid_code")
	}
	app.wantTold(t)
	for i, code := range codes {
		waiting := mina.Pending()
		written := code
		switch i {
		case 1:
			written = strings.ToLower(code)
		case 2:
			written = strings.ReplaceAll(code, "-", "")
		case 3:
			written = " " + strings.ReplaceAll(code, "-", " ")
		}
		waiting.recover(written).Want(200, "")
		app.wantTold(t, "mina@example.com: "+aboutRecovery, "mina@example.com: "+aboutDevice)
		waiting.Do("GET", "/me", nil).Want(200, "")
		again := mina.Pending()
		again.recover(code).Want(401, "invalid_code")
	}
	for _, code := range codes {
		waiting.recover(code).Want(401, "invalid_code")
	}
}

// testSecondStepRaces: of twenty who use one code, or one pending cookie, at once
// one gets through.
func testSecondStepRaces(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited, RequestTimeout: time.Minute})
	mina := app.SignIn("mina@example.com")
	phone, codes := mina.Enrol()
	race := func(name string, each func(i int) (*Client, obj)) {
		t.Helper()
		var passed atomic.Int64
		clients, bodies := make([]*Client, 20), make([]obj, 20)
		for i := range clients {
			clients[i], bodies[i] = each(i)
		}
		inParallel(t, len(clients), func(i int) {
			a, err := clients[i].With(t).try("POST", "/login/totp", bodies[i])
			if err == nil && a.Status == 200 {
				passed.Add(1)
			} else if err != nil || a.Status != 401 {
				t.Errorf("%s: %v, %v", name, a, err)
			}
		})
		if passed.Load() != 1 {
			t.Errorf("%s: %d of 20 got through, want one", name, passed.Load())
		}
	}
	code := phone.code(0)
	race("one code", func(int) (*Client, obj) { return mina.Pending(), obj{"code": code} })
	race("one recovery code", func(int) (*Client, obj) { return mina.Pending(), obj{"recoveryCode": codes[0]} })
	one := mina.Pending()
	app.nextStep()
	code = phone.code(0)
	race("one cookie and code", func(int) (*Client, obj) { return one, obj{"code": code} })
	one = mina.Pending()
	race("one cookie", func(i int) (*Client, obj) { return one, obj{"recoveryCode": codes[1+i%9]} })
}

// testStepUp: what can take an account over wants a fresh proof.
func testStepUp(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	proof := func(pass any) obj { return obj{"password": pass} }
	app.Anonymous().Do("POST", "/me/reauthenticate", proof(password)).Want(401, "unauthenticated")
	mina := app.SignIn("mina@example.com")
	mina.Do("POST", "/me/reauthenticate", obj{}).WantFaults("/password", "required")
	mina.Do("POST", "/me/reauthenticate", obj{"password": 1, "code": "x"}).WantFaults("/password", "wrong_type", "/code", "unknown_member")
	sensitive := func(status int, code string) {
		t.Helper()
		if status == 403 {
			mina.Do("POST", "/me/totp/confirm", obj{"code": "x"}).Want(status, code)
		}
		mina.Do("POST", "/me/totp", nil).Want(status, code)
	}
	sensitive(200, "") // signing in is a proof
	app.Advance(10*time.Minute - time.Second)
	sensitive(200, "")
	app.Advance(2 * time.Second)
	sensitive(403, "reauth_required")
	old := mina.Cookie
	mina.Do("POST", "/me/reauthenticate", proof("wrong-passphrase")).Want(403, "wrong_password")
	if mina.Cookie != old {
		t.Error("a wrong password changed the cookie")
	}
	sensitive(403, "reauth_required")
	a := mina.Do("POST", "/me/reauthenticate", proof(password)).Want(204, "")
	if mina.Cookie == old || strings.Contains(a.Header.Get("Set-Cookie"), "Max-Age") {
		t.Errorf("Set-Cookie = %q, want a new one for the browser session", a.Header.Get("Set-Cookie"))
	}
	sensitive(200, "")
	app.Anonymous().Do("GET", "/me", nil, "Cookie", "sid="+old).Want(401, "unauthenticated")
	if n := len(mina.Do("GET", "/me/sessions", nil).Items("id")); n != 1 {
		t.Errorf("%d sessions, want one", n)
	}
	app.Advance(11 * time.Minute)
	sensitive(403, "reauth_required")
	// What holds the password needs no other proof, and gives one where the token changes.
	mina.Do("PUT", "/me/email", obj{"email": "new@example.com", "currentPassword": password}).Want(202, "")
	mina.Do("PUT", "/me/password", obj{"currentPassword": password, "newPassword": password}).Want(204, "")
	sensitive(200, "")

	remember := creds(mina.Email, password)
	remember["rememberMe"] = true
	mina.Do("POST", "/login", remember).Want(200, "")
	app.Advance(10 * time.Hour)
	a = mina.Do("POST", "/me/reauthenticate", proof(password)).Want(204, "")
	if set := a.Header.Get("Set-Cookie"); !strings.HasSuffix(set, fmt.Sprintf("Max-Age=%d", 30*24*3600-10*3600)) {
		t.Errorf("Set-Cookie = %q, want what is left of 30 days", set)
	}
	// Of two who prove at once with one token, one keeps the session.
	var passed atomic.Int64
	one := mina.With(t)
	inParallel(t, 10, func(int) {
		if a, err := one.With(t).try("POST", "/me/reauthenticate", proof(password)); err == nil && a.Status == 204 {
			passed.Add(1)
		} else if err != nil || a.Status != 401 {
			t.Errorf("reauthenticate = %v, %v", a, err)
		}
	})
	if passed.Load() != 1 {
		t.Errorf("%d of 10 got a new token for one, want one", passed.Load())
	}
}
