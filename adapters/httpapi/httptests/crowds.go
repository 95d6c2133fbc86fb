package httptests

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// hold has every call of a port wait until it is let go, and tells of each.
func (f *Faults) hold(port string) (reached chan struct{}, letGo func()) {
	reached, released := make(chan struct{}, 100), make(chan struct{})
	f.Break(port, func(context.Context) error {
		reached <- struct{}{}
		<-released
		return nil
	})
	return reached, sync.OnceFunc(func() {
		f.Break(port, nil)
		close(released)
	})
}

// testCrowds: whoever comes while as many requests are in work as may be is told
// at once to come again; those who sign in leave room for those who are signed
// in, and probes are answered in any case (threats.md, scenario 6).
func testCrowds(t *testing.T, open Open) {
	app := start(t, open, Options{MaxInWork: 6, MaxHashing: 2, RequestTimeout: time.Minute})
	mina := app.SignIn("mina@example.com")
	made := mina.Do("POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"},"status":"published"}`).Want(201, "")
	product := made.Header.Get("Location")
	var work sync.WaitGroup
	defer work.Wait()

	signingIn, finishSigningIn := app.Faults.hold("hasher")
	defer finishSigningIn()
	for range 2 {
		work.Go(func() { app.Anonymous().Do("POST", "/login", creds(mina.Email, password)).Want(200, "") })
		<-signingIn
	}
	wantCrowded := func(method, path string, body any) {
		t.Helper()
		a := mina.Do(method, path, body).Want(503, "unavailable")
		if a.Header.Get("Retry-After") != "2" {
			t.Errorf("%s %s in a crowd has Retry-After %q, want 2", method, path, a.Header.Get("Retry-After"))
		}
	}
	for _, r := range []struct {
		method, path string
		body         any
	}{
		{"POST", "/login", creds(mina.Email, password)}, {"POST", "/register", creds("new@example.com", password)},
		{"POST", "/me/reauthenticate", `{"password":"x"}`}, {"DELETE", "/me", `{"password":"x"}`}, {"DELETE", "/me/totp", `{"password":"x"}`},
		{"PUT", "/me/password", `{"currentPassword":"x","newPassword":"another-fine-passphrase"}`}, {"PUT", "/me/email", `{"email":"b@example.com","currentPassword":"x"}`},
		{"POST", "/password/reset", `{"token":"` + strings.Repeat("A", 43) + `","newPassword":"another-fine-passphrase"}`},
	} {
		wantCrowded(r.method, r.path, r.body)
	}
	mina.Do("GET", "/me", nil).Want(200, "")

	reading, finishReading := app.Faults.hold("products")
	defer finishReading()
	for range 4 {
		work.Go(func() { app.Anonymous().Do("GET", product, nil).Want(200, "") })
		<-reading
	}
	wantCrowded("GET", "/me", nil)
	mina.Do("GET", "/livez", nil).Want(200, "")
	mina.Do("GET", "/readyz", nil).Want(200, "")
	finishReading()
	finishSigningIn()
	work.Wait()
	for range 10 { // every place is free again
		mina.Do("GET", product, nil).Want(200, "")
		app.Anonymous().Do("POST", "/login", creds(mina.Email, password)).Want(200, "")
	}
}

// testConnections: a connection that is one too many is told why it is closed,
// and there is room again when another has gone.
func testConnections(t *testing.T, open Open) {
	app := start(t, open, Options{MaxConnections: 4})
	var held []net.Conn
	for range 4 {
		c, err := net.Dial("tcp", app.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
	}
	answers, closed := app.talk(t, 5*time.Second, "")
	wantOne(t, "a fifth connection", answers, closed, 503, "unavailable")
	if len(answers) == 1 && answers[0].Header.Get("Retry-After") != "2" {
		t.Errorf("a fifth connection has Retry-After %q, want 2", answers[0].Header.Get("Retry-After"))
	}
	_ = held[0].Close()
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for began := time.Now(); ; time.Sleep(time.Millisecond) { // until the server has seen it
		res, err := fresh.Get("http://" + app.Addr + "/livez")
		if err == nil {
			_ = res.Body.Close()
		}
		if err == nil && res.StatusCode == http.StatusOK {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("there is no room again after a connection has gone: %v", err)
		}
	}
}
