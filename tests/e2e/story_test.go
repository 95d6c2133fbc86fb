package e2e_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestStory is somebody's whole life with the service, from registering to
// leaving, over the true program; mail goes to a folder.
func TestStory(t *testing.T) {
	for store, open := range stores() {
		for _, registration := range []string{"open", "verified"} {
			t.Run(store+", "+registration, func(t *testing.T) {
				t.Parallel() // each waits for its proof to grow old
				w := newWorld(t)
				s := open(w)
				told := &person{t: t, world: w, email: "ann@example.com", folder: t.TempDir(), verified: registration == "verified"}
				told.p = w.serve(s.setting(), calm, "GATEHOUSE_REGISTRATION="+registration, "GATEHOUSE_MAIL_URL=file:"+told.folder, "GATEHOUSE_REAUTH=5s")
				told.live()
				if code := told.p.terminate(); code != 0 {
					t.Errorf("exit code %d after SIGTERM, want 0\n%s", code, told.p.said)
				}
				if code := w.auditVerify(s); code != 0 {
					t.Error("the audit log does not hold")
				}
			})
		}
	}
}

// person is who lives the story.
type person struct {
	t        *testing.T
	world    *world
	p        *process
	c        *client
	folder   string
	verified bool
	email    string
	password string
	read     []string // files of mails
}

func (o *person) live() {
	o.t.Helper()
	o.c = o.world.client()
	o.register()
	o.forget()
	secret, recovery := o.secondFactor()
	o.signInWith(secret, recovery)
	o.stepUp()
	o.move()
	o.leave()
}

// mail returns the mail to the address whose subject holds some words, which has
// not been returned before.
func (o *person) mail(to, subject string) (found received) {
	o.t.Helper()
	o.world.until(fmt.Sprintf("there is a mail to %s, %q", to, subject), func() bool {
		files, err := filepath.Glob(filepath.Join(o.folder, "*.eml"))
		if err != nil {
			o.t.Fatal(err)
		}
		for _, file := range files {
			if slices.Contains(o.read, file) {
				continue
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				o.t.Fatal(err)
			}
			m, err := readMail(raw)
			if err != nil {
				o.t.Fatalf("%s: %v\n%s", file, err, raw)
			}
			if m.to == to && strings.Contains(m.subject, subject) {
				o.read, found = append(o.read, file), m
				return true
			}
		}
		return false
	})
	if token := found.token(); token != "" {
		o.world.secret(token, "the token of a link")
	}
	return found
}

func (o *person) body(format string, args ...any) string { return fmt.Sprintf(format, args...) }

func (o *person) login() string { return login(o.email, o.password) }

// register comes in, one way or the other, with the address verified.
func (o *person) register() {
	o.t.Helper()
	o.password = o.world.password()
	c, p := o.c, o.p
	body := o.body(`{"email":%q,"password":%q,"name":"민서"}`, o.email, o.password)
	if o.verified {
		if a := c.want(p, 202, "POST", "/register", body); a.text != "" {
			o.t.Errorf("202 has the body %s", a.text)
		}
		c.want(p, 401, "POST", "/login", o.login())
	} else {
		c.want(p, 201, "POST", "/register", body)
		c.want(p, 200, "POST", "/login", o.login())
		c.want(p, 202, "POST", "/email/verification", "", "Accept-Language", "ko-KR,ko;q=0.9")
	}
	subject := "Confirm your e-mail address"
	if !o.verified {
		subject = "확인"
	}
	link := o.mail(o.email, subject)
	visitor := o.world.client() // the link is opened where nobody is signed in
	visitor.want(p, 410, "POST", "/password/reset", o.body(`{"token":%q,"newPassword":%q}`, link.token(), o.world.password()))
	visitor.want(p, 204, "POST", "/email/verify", o.body(`{"token":%q}`, link.token()))
	visitor.want(p, 410, "POST", "/email/verify", o.body(`{"token":%q}`, link.token()))
	if o.verified { // nobody learns who has an account
		visitor.want(p, 202, "POST", "/register", body)
		if again := o.mail(o.email, "You have an account"); again.token() != "" {
			o.t.Error("the mail to who has an account has a link with a token")
		}
		c.want(p, 200, "POST", "/login", o.login())
	} else {
		visitor.want(p, 409, "POST", "/register", body)
	}
	if me := c.want(p, 200, "GET", "/me", ""); me.body["emailVerified"] != true {
		o.t.Errorf("GET /me = %s", me.text)
	}
}

// forget has the password replaced by a link. The second link voids the first.
func (o *person) forget() {
	o.t.Helper()
	c, p := o.c, o.p
	for _, who := range []string{"nobody@example.com", o.email} {
		if a := o.world.client().want(p, 202, "POST", "/password/forgot", forgot(who)); a.text != "" {
			o.t.Errorf("202 has the body %s", a.text)
		}
	}
	first := o.mail(o.email, "Set a new password")
	o.world.client().want(p, 202, "POST", "/password/forgot", forgot(o.email))
	second := o.mail(o.email, "Set a new password")
	old := o.password
	o.password = o.world.password()
	reset := func(token string) string { return o.body(`{"token":%q,"newPassword":%q}`, token, o.password) }
	visitor := o.world.client()
	visitor.want(p, 410, "POST", "/password/reset", reset(first.token()))
	visitor.want(p, 422, "POST", "/password/reset", o.body(`{"token":%q,"newPassword":"short"}`, second.token()))
	visitor.want(p, 204, "POST", "/password/reset", reset(second.token()))
	visitor.want(p, 410, "POST", "/password/reset", reset(second.token()))
	visitor.want(p, 401, "GET", "/me", "") // nobody is signed in by it
	if gone := c.want(p, 401, "GET", "/me", ""); gone.body["reason"] != "password_changed" {
		o.t.Errorf("the session from before says %s", gone.text)
	}
	o.mail(o.email, "was changed")
	c.want(p, 401, "POST", "/login", login(o.email, old))
	c.want(p, 200, "POST", "/login", o.login())
}

// secondFactor sets one up.
func (o *person) secondFactor() (secret string, recovery []string) {
	o.t.Helper()
	c, p := o.c, o.p
	c.want(p, 409, "POST", "/me/totp/confirm", `{"code":"123456"}`)
	begun := c.want(p, 200, "POST", "/me/totp", "")
	secret, _ = begun.body["secret"].(string)
	o.world.secret(secret, "the secret of a second factor")
	if uri := fmt.Sprint(begun.body["uri"]); !strings.HasPrefix(uri, "otpauth://totp/") || !strings.Contains(uri, "secret="+secret) {
		o.t.Errorf("the URI is %s", uri)
	}
	c.want(p, 422, "POST", "/me/totp/confirm", o.body(`{"code":%q}`, wrongCode(secret)))
	on := c.want(p, 200, "POST", "/me/totp/confirm", o.body(`{"code":%q}`, code(secret, 0)))
	for _, one := range on.body["recoveryCodes"].([]any) {
		recovery = append(recovery, o.world.secret(one.(string), "a recovery code"))
	}
	if len(recovery) != 10 {
		o.t.Fatalf("%d recovery codes, want 10", len(recovery))
	}
	c.want(p, 409, "POST", "/me/totp", "")
	o.mail(o.email, "second factor is on")
	return secret, recovery
}

// signInWith signs in with a code of the app, which is used up, and with a
// recovery code, which is too.
func (o *person) signInWith(secret string, recovery []string) {
	o.t.Helper()
	c, p := o.world.client(), o.p
	pending := func() {
		o.t.Helper()
		a := c.want(p, 200, "POST", "/login", o.login())
		if a.text != `{"next":"totp"}` {
			o.t.Errorf("POST /login = %s, want the next step alone", a.text)
		}
		if i := slices.IndexFunc(cookies(a), func(k *http.Cookie) bool { return k.Name == "device" }); i >= 0 {
			o.t.Error("the device is known after the password alone")
		}
		for _, path := range []string{"/me", "/me/sessions", "/me/export"} {
			c.want(p, 401, "GET", path, "")
		}
		c.want(p, 401, "POST", "/me/reauthenticate", o.body(`{"password":%q}`, o.password))
	}
	pending()
	half := c.session(p)
	c.want(p, 401, "POST", "/login/totp", o.body(`{"code":%q}`, wrongCode(secret)))
	app := code(secret, 1) // the one before was used up by confirming
	c.want(p, 200, "POST", "/login/totp", o.body(`{"code":%q}`, app))
	if c.session(p) == half {
		o.t.Error("the token is the same after the second step")
	}
	c.want(p, 200, "GET", "/me", "")
	o.world.bearing(p, half).want(p, 401, "POST", "/login/totp", o.body(`{"recoveryCode":%q}`, recovery[0]))
	o.mail(o.email, "new device")
	c = o.world.client()
	pending()
	if a := c.want(p, 401, "POST", "/login/totp", o.body(`{"code":%q}`, app)); a.body["code"] != "invalid_code" {
		o.t.Errorf("a code again = %s", a.text)
	}
	c.want(p, 200, "POST", "/login/totp", o.body(`{"recoveryCode":%q}`, recovery[0]))
	o.mail(o.email, "recovery code was used")
	c = o.world.client()
	pending()
	c.want(p, 401, "POST", "/login/totp", o.body(`{"recoveryCode":%q}`, recovery[0]))
	c.want(p, 200, "POST", "/login/totp", o.body(`{"recoveryCode":%q}`, recovery[9]))
	o.c = c
}

// stepUp has time pass until who one is has to be shown again.
func (o *person) stepUp() {
	o.t.Helper()
	c, p := o.c, o.p
	c.want(p, 403, "DELETE", "/me/totp", `{"password":"not this one"}`)
	c.want(p, 204, "DELETE", "/me/totp", o.body(`{"password":%q}`, o.password))
	o.mail(o.email, "second factor is off")
	o.world.until("the proof is old", func() bool {
		a := c.do(p, "POST", "/me/totp", "")
		return a.status == 403 && a.body["code"] == "reauth_required"
	})
	before := c.session(p)
	c.want(p, 403, "POST", "/me/reauthenticate", `{"password":"not this one"}`)
	c.want(p, 204, "POST", "/me/reauthenticate", o.body(`{"password":%q}`, o.password))
	if c.session(p) == before {
		o.t.Error("the token is the same after showing who one is")
	}
	o.world.bearing(p, before).want(p, 401, "GET", "/me", "")
	c.want(p, 200, "POST", "/me/totp", "")
	c.want(p, 204, "DELETE", "/me/totp", o.body(`{"password":%q}`, o.password))
}

// move changes the address: the new one is asked, the old one told.
func (o *person) move() {
	o.t.Helper()
	c, p := o.c, o.p
	next := "new-" + o.email
	c.want(p, 403, "PUT", "/me/email", o.body(`{"email":%q,"currentPassword":"not this one"}`, next))
	c.want(p, 202, "PUT", "/me/email", o.body(`{"email":%q,"currentPassword":%q}`, next, o.password))
	asked := o.mail(next, "Confirm your new e-mail address")
	if old := o.mail(o.email, "about to change"); old.token() != "" || !strings.Contains(old.text, next) {
		o.t.Errorf("the old address is told:\n%s", old.text)
	}
	if me := c.want(p, 200, "GET", "/me", ""); me.body["email"] != o.email {
		o.t.Errorf("the address changed before anybody answered: %s", me.text)
	}
	o.world.client().want(p, 204, "POST", "/email/verify", o.body(`{"token":%q}`, asked.token()))
	o.mail(o.email, "has changed")
	if me := c.want(p, 200, "GET", "/me", ""); me.body["email"] != next || me.body["emailVerified"] != true {
		o.t.Errorf("GET /me = %s, want the address %s, verified", me.text, next)
	}
	o.world.client().want(p, 401, "POST", "/login", o.login())
	o.email = next
	o.world.client().want(p, 200, "POST", "/login", o.login())
}

// leave takes everything along and is gone.
func (o *person) leave() {
	o.t.Helper()
	c, p := o.c, o.p
	product := c.want(p, 201, "POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"},"status":"published"}`).header.Get("Location")
	export := c.want(p, 200, "GET", "/me/export", "")
	if !json.Valid([]byte(export.text)) {
		o.t.Errorf("the export is no JSON: %s", export.text)
	}
	for _, want := range []string{o.email, "민서", "Lamp", "session.signed_in", "password.reset", "email.changed", "second_factor.recovery_code_used"} {
		if !strings.Contains(export.text, want) {
			o.t.Errorf("%q is not in the export:\n%s", want, export.text)
		}
	}
	o.world.mu.Lock()
	for secret, what := range o.world.secrets {
		if strings.Contains(export.text, secret) {
			o.t.Errorf("%s is in the export", what)
		}
	}
	o.world.mu.Unlock()
	if strings.Contains(export.text, "argon2id") {
		o.t.Error("the hash of the password is in the export")
	}
	c.want(p, 403, "DELETE", "/me", `{"password":"not this one"}`)
	c.want(p, 204, "DELETE", "/me", o.body(`{"password":%q}`, o.password))
	c.want(p, 401, "GET", "/me", "")
	c.want(p, 404, "GET", product, "")
	c.want(p, 401, "POST", "/login", o.login())
}

func cookies(a answer) []*http.Cookie { return (&http.Response{Header: a.header}).Cookies() }

// code is the one that an authenticator app shows (RFC 6238), so many steps of 30
// seconds from now.
func code(secret string, ahead int64) string {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		return err.Error()
	}
	mac := hmac.New(sha1.New, key)
	step := time.Now().Unix()/30 + ahead
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step)))
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1_000_000)
}

// wrongCode is none that is good about now.
func wrongCode(secret string) string {
	good := []string{code(secret, -2), code(secret, -1), code(secret, 0), code(secret, 1), code(secret, 2)}
	for n := range 10 {
		if guess := strings.Repeat(fmt.Sprint(n), 6); !slices.Contains(good, guess) {
			return guess
		}
	}
	return "" // ten guesses against five codes
}
