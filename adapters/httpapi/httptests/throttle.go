package httptests

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/application/guard"
	"gatehouse/domain/throttle"
)

const wrong = "wrong-passphrase"

// from has a request come from the address, by way of a trusted proxy.
func from(ip string) []string { return []string{"X-Forwarded-For", ip} }

// guess tries a password from a device that nobody knows.
func (a *App) guess(email, pass, ip string) *Answer {
	a.t.Helper()
	return a.Anonymous().Do("POST", "/login", creds(email, pass), append(from(ip), "X-Request-Id", "same")...)
}

// wantPause wants a 429 that tells to wait so many seconds.
func (a *Answer) wantPause(seconds int) *Answer {
	a.t.Helper()
	a.Want(429, "too_many_attempts")
	if got := a.Header.Get("Retry-After"); got != fmt.Sprint(seconds) {
		a.t.Errorf("%s: Retry-After = %s, want %d", a.what, got, seconds)
	}
	return a
}

// testThrottledAccount: ten failures in a row for one account from one network
// begin a pause, which grows, and in which no password is looked at.
func testThrottledAccount(t *testing.T, open Open) {
	app := start(t, open, Options{TrustedProxies: loopback})
	mina := app.Register("mina@example.com")
	app.Register("gone@example.com")
	app.Disable("gone@example.com")
	const net, other = "198.51.100.1", "203.0.113.1"
	var refused []*Answer
	for _, email := range []string{mina.Email, "nobody@example.com", "gone@example.com", "no address"} {
		for i := range 10 {
			if i == 9 { // the same account, however it is written
				email = "  " + email
			}
			app.guess(email, wrong, net).Want(401, "invalid_credentials")
		}
		looked := app.Faults.Calls("hasher")
		refused = append(refused, app.guess(email, wrong, net).wantPause(30))
		app.guess(email, password, net).wantPause(30)
		if app.Faults.Calls("hasher") != looked {
			t.Error("a password was looked at during a pause")
		}
	}
	for _, a := range refused[1:] {
		sameAnswer(t, refused[0], a) // who has no account is paused like everybody
	}
	app.guess(mina.Email, wrong, "198.51.100.2").Want(401, "invalid_credentials")
	app.guess(mina.Email, password, other).Want(200, "")
	app.guess(mina.Email, wrong, net).wantPause(30) // that has lifted nothing here

	for _, pause := range []int{30, 60, 120, 240, 480, 900, 900} {
		app.guess(mina.Email, wrong, net).wantPause(pause)
		app.Advance(time.Duration(pause)*time.Second - time.Second)
		app.guess(mina.Email, wrong, net).wantPause(1)
		app.Advance(time.Second)
		app.guess(mina.Email, wrong, net).Want(401, "invalid_credentials") // one more
	}
	app.Advance(900 * time.Second)
	app.guess(mina.Email, password, net).Want(200, "") // success forgets the failures
	for range 10 {
		app.guess(mina.Email, wrong, net).Want(401, "invalid_credentials")
	}
	app.guess(mina.Email, wrong, net).wantPause(30)

	app.Advance(time.Hour)
	for range 9 {
		app.guess(mina.Email, wrong, net).Want(401, "invalid_credentials")
	}
	app.Advance(15 * time.Minute)
	for range 10 { // those are too long ago to be in a row with these
		app.guess(mina.Email, wrong, net).Want(401, "invalid_credentials")
	}
	app.guess(mina.Email, wrong, net).wantPause(30)
	// Of IPv6 a subscriber has a network.
	for i := range 10 {
		app.guess(mina.Email, wrong, fmt.Sprintf("2001:db8:1:1::%d", i+1)).Want(401, "invalid_credentials")
	}
	app.guess(mina.Email, password, "2001:db8:1:1:ffff::1").wantPause(30)
	app.guess(mina.Email, password, "2001:db8:1:2::1").Want(200, "")
	// An address that the client made up itself counts for nothing.
	plain := start(t, open, Options{})
	plain.Register("mina@example.com")
	for i := range 10 {
		plain.guess("mina@example.com", wrong, fmt.Sprintf("198.51.100.%d", i+1)).Want(401, "invalid_credentials")
	}
	plain.guess("mina@example.com", password, "203.0.113.9").wantPause(30)
}

// testLockedAccount: a hundred failures for one account from anywhere lock out
// strangers, and not its owner.
func testLockedAccount(t *testing.T, open Open) {
	app := start(t, open, Options{TrustedProxies: loopback})
	mina, eve := app.SignIn("mina@example.com"), app.SignIn("eve@example.com")
	for i := range 100 {
		app.guess(mina.Email, wrong, fmt.Sprintf("198.51.%d.%d", i%7, i+1)).Want(401, "invalid_credentials")
	}
	looked := app.Faults.Calls("hasher")
	for _, pass := range []string{wrong, password} {
		app.guess(mina.Email, pass, "203.0.113.1").wantPause(60)
	}
	for _, device := range []string{eve.Device, "x", mina.Device[:len(mina.Device)-2] + "AA", mina.Device + "; device=" + mina.Device} {
		thief := app.Anonymous()
		thief.Device = device
		thief.Do("POST", "/login", creds(mina.Email, password), from("203.0.113.1")...).wantPause(60)
	}
	if app.Faults.Calls("hasher") != looked {
		t.Error("a password was looked at while the account was locked")
	}
	mina.Do("GET", "/me", nil).Want(200, "")
	mina.Do("POST", "/login", creds(mina.Email, password), from("203.0.113.2")...).Want(200, "") // her device is known
	app.guess(mina.Email, password, "203.0.113.1").wantPause(60)                                 // and nobody else's by that
	// A device that was stolen is no way to guess for ever.
	for range 10 {
		mina.Do("POST", "/login", creds(mina.Email, wrong), from("203.0.113.2")...).Want(401, "invalid_credentials")
	}
	mina.Do("POST", "/login", creds(mina.Email, password), from("203.0.113.3")...).wantPause(30)
	// Whoever reads the account's mail is no stranger.
	link := app.linkFor(mina.Email)
	app.Anonymous().Do("POST", "/password/reset", reset(link, password), from("203.0.113.4")...).Want(204, "")
	app.guess(mina.Email, password, "203.0.113.4").Want(200, "")
}

// testParallelGuesses: of guesses made at once each is counted, and what is over
// the limit is not looked at.
func testParallelGuesses(t *testing.T, open Open) {
	const limit = 50
	app := start(t, open, Options{TrustedProxies: loopback, RequestTimeout: time.Minute, Limits: func(r *guard.Rules) { r.Account.Limit = limit }})
	app.Register("mina@example.com")
	guesses := func(n int, ip func(int) string) (looked, refused int64) {
		t.Helper()
		var yes, no atomic.Int64
		inParallel(t, n, func(i int) {
			a, err := app.Anonymous().With(t).try("POST", "/login", creds("mina@example.com", wrong), from(ip(i))...)
			switch {
			case err != nil:
				t.Error(err)
			case a.Status == 401:
				yes.Add(1)
			case a.Status == 429:
				no.Add(1)
			default:
				t.Errorf("login = %d %s", a.Status, a.Body)
			}
		})
		return yes.Load(), no.Load()
	}
	anywhere := func(i int) string { return fmt.Sprintf("198.51.100.%d", i+1) }
	before := app.Faults.Calls("hasher")
	if looked, refused := guesses(limit-1, anywhere); looked != limit-1 || refused != 0 {
		t.Errorf("of %d guesses %d were looked at and %d refused", limit-1, looked, refused)
	}
	app.guess("mina@example.com", wrong, "203.0.113.1").Want(401, "invalid_credentials") // the fiftieth
	app.guess("mina@example.com", password, "203.0.113.2").wantPause(60)
	if n := app.Faults.Calls("hasher") - before; n != limit {
		t.Errorf("%d passwords were looked at, want %d", n, limit)
	}
	app.Advance(2 * time.Hour)
	before = app.Faults.Calls("hasher")
	looked, refused := guesses(100, anywhere)
	if n := app.Faults.Calls("hasher") - before; looked != limit || refused != 100-limit || n != limit {
		t.Errorf("of 100 guesses from anywhere %d were answered 401 and %d refused, %d looked at; want %d", looked, refused, n, limit)
	}
	app.Advance(2 * time.Hour)
	before = app.Faults.Calls("hasher")
	looked, refused = guesses(50, func(int) string { return "198.51.100.1" })
	if n := app.Faults.Calls("hasher") - before; looked != 10 || refused != 40 || n != 10 {
		t.Errorf("of 50 guesses from one network %d were answered 401 and %d refused, %d looked at; want 10", looked, refused, n)
	}
}

// testThrottledNetwork: who fails with many accounts from one network in a
// quarter of an hour is paused too; this machine itself, and a proxy that nobody
// named, is not.
func testThrottledNetwork(t *testing.T, open Open) {
	app := start(t, open, Options{TrustedProxies: loopback, Limits: func(r *guard.Rules) { r.Network.Limit = 5 }})
	app.Register("mina@example.com")
	for i := range 5 {
		app.guess(fmt.Sprintf("user%d@example.com", i), wrong, "198.51.100.1").Want(401, "invalid_credentials")
		app.guess(fmt.Sprintf("user%d@example.com", i), wrong, "127.0.0.9").Want(401, "invalid_credentials")
	}
	app.guess("mina@example.com", password, "198.51.100.1").wantPause(900)
	app.guess("mina@example.com", password, "198.51.100.2").Want(200, "")
	app.guess("mina@example.com", password, "127.0.0.9").Want(200, "")
	// Who owns one account does not guess at others for ever.
	for i := range 4 {
		app.guess(fmt.Sprintf("user%d@example.com", i), wrong, "203.0.113.1").Want(401, "invalid_credentials")
	}
	app.guess("mina@example.com", password, "203.0.113.1").Want(200, "")
	app.guess("user5@example.com", wrong, "203.0.113.1").Want(401, "invalid_credentials")
	app.guess("user6@example.com", wrong, "203.0.113.1").wantPause(900)
	app.Advance(15 * time.Minute)
	app.guess("mina@example.com", password, "198.51.100.1").Want(200, "")
}

// testThrottledRates: what costs mails or work is done so often in a while.
func testThrottledRates(t *testing.T, open Open) {
	app := start(t, open, Options{TrustedProxies: loopback, Limits: func(r *guard.Rules) {
		r.Register.Limit, r.Forgot.Limit, r.Search.Limit = 2, 2, 2
	}})
	const net, other = "198.51.100.1", "198.51.100.2"
	n := 0
	register := func(ip string) *Answer {
		t.Helper()
		n++
		return app.Anonymous().Do("POST", "/register", creds(fmt.Sprintf("user%d@example.com", n), password), from(ip)...)
	}
	search := func(ip string) *Answer { return app.Anonymous().Do("GET", "/products?q=x", nil, from(ip)...) }
	ask := func(email, ip string) *Answer {
		return app.Anonymous().Do("POST", "/password/forgot", forgot(email), append(from(ip), "X-Request-Id", "same")...)
	}
	app.Anonymous().Do("POST", "/register", creds("no address", password), from(net)...).Want(422, "validation_failed") // costs nothing
	register(net).Want(201, "")
	register(net).Want(201, "")
	register(net).wantPause(3600)
	register(other).Want(201, "")
	for range 3 {
		register("127.0.0.1").Want(201, "")
	}
	for range 2 {
		search(net).Want(200, "")
	}
	search(net).wantPause(60)
	search(other).Want(200, "")
	app.Anonymous().Do("GET", "/products", nil, from(net)...).Want(200, "")
	app.Advance(time.Minute)
	search(net).Want(200, "")

	var refused []*Answer
	for i, email := range []string{"user1@example.com", "nobody@example.com"} {
		for k := range 2 {
			ask(email, fmt.Sprintf("203.0.113.%d", 10*i+k)).Want(202, "")
		}
		refused = append(refused, ask(email, fmt.Sprintf("203.0.113.%d", 10*i+3)).wantPause(3600))
	}
	sameAnswer(t, refused[0], refused[1])
	app.wantTold(t, "user1@example.com: "+aboutReset, "user1@example.com: "+aboutReset)
	for i := range 6 {
		ask(fmt.Sprintf("any%d@example.com", i), other).Want(202, "")
	}
	ask("other@example.com", other).wantPause(3600)
	app.Advance(time.Hour)
	ask("user1@example.com", other).Want(202, "")
	register(net).Want(201, "")

	mina := app.SignIn("mina@example.com")
	for range 2 {
		mina.Do("POST", "/email/verification", nil).Want(202, "")
	}
	mina.Do("POST", "/email/verification", nil).wantPause(3600)
	for range 2 {
		mina.Do("PUT", "/me/email", obj{"email": "victim@example.com", "currentPassword": password}).Want(202, "")
	}
	mina.Do("PUT", "/me/email", obj{"email": "victim@example.com", "currentPassword": password}).wantPause(3600)
	mina.Do("PUT", "/me/email", obj{"email": "another@example.com", "currentPassword": password}).Want(202, "")
}

// testThrottledConfirmations: the present password is no more to be guessed in a
// session than at its door, and a code no more than a password.
func testThrottledConfirmations(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina, eve := app.SignIn("mina@example.com"), app.SignIn("eve@example.com")
	phone, codes := mina.Enrol()
	calls := []struct {
		method, path, member string
		rest                 obj
		status               int
	}{
		{"PUT", "/me/email", "currentPassword", obj{"email": "new@example.com"}, 202},
		{"POST", "/me/reauthenticate", "password", nil, 204},
		{"DELETE", "/me/totp", "password", nil, 204},
		{"PUT", "/me/password", "currentPassword", obj{"newPassword": password}, 204},
		{"DELETE", "/me", "password", nil, 204},
	}
	call := func(who *Client, i int, pass string) *Answer {
		t.Helper()
		one := calls[i%len(calls)]
		body := obj{one.member: pass}
		for k, v := range one.rest {
			body[k] = v
		}
		return who.Do(one.method, one.path, body)
	}
	for i := range 10 {
		call(mina, i, wrong).Want(403, "wrong_password") // all of them count together
	}
	looked := app.Faults.Calls("hasher")
	for i := range calls {
		call(mina, i, password).wantPause(30)
	}
	if app.Faults.Calls("hasher") != looked {
		t.Error("a password was looked at during a pause")
	}
	call(eve, 1, password).Want(204, "")
	app.guess(mina.Email, password, "").Want(200, "") // signing in is another count
	app.Advance(30 * time.Second)
	call(mina, 1, wrong).Want(403, "wrong_password")
	call(mina, 1, password).wantPause(60)
	app.Advance(time.Minute)
	call(mina, 1, password).Want(204, "")
	for i := range 9 {
		call(mina, i, wrong).Want(403, "wrong_password") // a right one has forgotten the wrong ones
	}
	call(mina, 1, password).Want(204, "")

	app.nextStep()
	for i := range 10 { // in however many sign-ins
		if i%2 == 0 {
			mina.Pending().second(phone.other()).Want(401, "invalid_code")
		} else {
			mina.Pending().recover("AAAA-AAAA-AAAA-AAAA-AAAA-AAAA").Want(401, "invalid_code")
		}
	}
	last := mina.Pending()
	last.second(phone.code(0)).wantPause(30)
	last.recover(codes[0]).wantPause(30)
	app.Advance(30 * time.Second)
	last.second(phone.code(0)).Want(200, "")
	mina.Pending().recover(codes[0]).Want(200, "") // nothing was used up meanwhile

	for i, one := range calls {
		call(mina, i, password).Want(one.status, "")
	}
}

// testThrottleStores: a store that cannot count neither opens the door nor locks
// it, and each limit can be turned off.
func testThrottleStores(t *testing.T, open Open) {
	app := start(t, open, Options{})
	app.Register("mina@example.com")
	app.Faults.Break("limiter", outage)
	for range 10 {
		app.guess("mina@example.com", wrong, "").Want(401, "invalid_credentials")
	}
	app.guess("mina@example.com", password, "").wantPause(30)
	app.Register("kim@example.com")
	app.guess("kim@example.com", password, "").Want(200, "")
	app.Faults.Break("limiter", nil)
	app.guess("mina@example.com", password, "").Want(200, "")

	free := start(t, open, Options{TrustedProxies: loopback, Limits: unlimited})
	free.Register("mina@example.com")
	for range 150 {
		free.guess("mina@example.com", wrong, "198.51.100.1").Want(401, "invalid_credentials")
	}
	free.guess("mina@example.com", password, "198.51.100.1").Want(200, "")
	if n := free.Faults.Calls("limiter"); n != 0 {
		t.Errorf("limits that are off cost %d queries", n)
	}
	off := throttle.Rule{}
	some := start(t, open, Options{TrustedProxies: loopback, Limits: func(r *guard.Rules) { r.SignIn = off }})
	some.Register("mina@example.com")
	for range 100 {
		some.guess("mina@example.com", wrong, "198.51.100.1").Want(401, "invalid_credentials")
	}
	some.guess("mina@example.com", wrong, "198.51.100.1").wantPause(60)
}
