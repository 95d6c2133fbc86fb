package httptests

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/domain/mail"
	"gatehouse/domain/secret"
)

// Deliver sends the mails that are due, and gives them in the order in which
// they were sent. Nothing is sent otherwise.
func (a *App) Deliver() []mail.Message {
	a.t.Helper()
	before := len(a.Mailbox.Messages())
	if _, err := a.mailing.Deliver(context.Background()); err != nil {
		a.t.Fatalf("Deliver = %v", err)
	}
	sent := a.Mailbox.Messages()[before:]
	for _, m := range sent {
		for _, found := range linkToken.FindAllStringSubmatch(m.Text, -1) {
			token, _ := secret.ParseToken(found[1])
			a.keep(found[1], token.Key().Hex())
		}
	}
	return sent
}

var linkToken = regexp.MustCompile(`#token=([A-Za-z0-9_-]*)`)

// Token delivers, wants one mail with a link to the path, sent to the address,
// and gives the link's token.
func (a *App) Token(to, path string) string {
	a.t.Helper()
	var found []string
	sent := a.Deliver()
	for _, m := range sent {
		link, rest, has := strings.Cut(m.Text, linkURL+path+"#token=")
		token, _, _ := strings.Cut(rest, "\n")
		if _, ok := secret.ParseToken(token); has && ok && m.To == to && strings.HasSuffix(link, "\n") {
			found = append(found, token)
			if !strings.Contains(m.HTML, `href="`+linkURL+path+"#token="+token+`"`) {
				a.t.Errorf("the HTML of %q lacks the link: %s", m.Subject, m.HTML)
			}
		}
	}
	if len(found) != 1 {
		a.t.Fatalf("%d links to %s sent to %s, want one: %v", len(found), path, to, told(sent))
	}
	return found[0]
}

// lastToken is that of the last link in mails.
func lastToken(sent []mail.Message) string {
	token := ""
	for _, m := range sent {
		if found := linkToken.FindStringSubmatch(m.Text); found != nil {
			token = found[1]
		}
	}
	return token
}

// told is whom mails went to and what about, sorted.
func told(sent []mail.Message) []string {
	list := make([]string, len(sent))
	for i, m := range sent {
		list[i] = m.To + ": " + m.Subject
	}
	slices.Sort(list)
	return list
}

// wantTold delivers and wants mails with these addressees and subjects.
func (a *App) wantTold(t *testing.T, want ...string) []mail.Message {
	t.Helper()
	sent := a.Deliver()
	slices.Sort(want)
	if got := told(sent); !slices.Equal(got, want) {
		t.Errorf("mails\n got  %q\n want %q", got, want)
	}
	return sent
}

const site = "shop.example.com"

// What mails are about, in English.
var (
	aboutReset     = "Set a new password for " + site
	aboutVerify    = "Confirm your e-mail address for " + site
	aboutNewEmail  = "Confirm your new e-mail address for " + site
	aboutAsked     = "Your e-mail address at " + site + " is about to change"
	aboutChanged   = "Your e-mail address at " + site + " has changed"
	aboutTaken     = "You have an account at " + site
	aboutPassword  = "Your password at " + site + " was changed"
	aboutDevice    = "A new device has signed in to " + site
	aboutFactorOn  = "A second factor is on at " + site
	aboutFactorOff = "The second factor is off at " + site
	aboutRecovery  = "A recovery code was used at " + site
)

const firefox = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"

// testNewDevice: who signs in where they never did before is told by mail.
func testNewDevice(t *testing.T, open Open) {
	app := start(t, open, Options{TrustedProxies: loopback})
	mina := app.SignIn("mina@example.com")
	app.wantTold(t) // the first device of an account is new to nobody
	mina.Do("POST", "/login", creds(mina.Email, password)).Want(200, "")
	mina.Do("POST", "/logout", nil).Want(204, "")
	mina.Do("POST", "/login", creds(mina.Email, password)).Want(200, "")
	app.wantTold(t)
	phone := app.Anonymous()
	headers := []string{"User-Agent", firefox, "X-Forwarded-For", "198.51.100.7", "Accept-Language", "en"}
	phone.Do("POST", "/login", creds(mina.Email, "wrong-passphrase"), headers...).Want(401, "invalid_credentials")
	app.wantTold(t)
	a := phone.Do("POST", "/login", creds(mina.Email, password), headers...).Want(200, "")
	sent := app.wantTold(t, "mina@example.com: "+aboutDevice)
	for _, want := range []string{"Firefox on Linux", "198.51.100.7", app.Clock.Now().Format("2 January 2006, 15:04 UTC")} {
		if len(sent) == 1 && (!strings.Contains(sent[0].Text, want) || !strings.Contains(sent[0].HTML, want)) {
			t.Errorf("the mail does not tell %q:\n%s", want, sent[0].Text)
		}
	}
	if got := a.Text("session", "device"); got != "Firefox on Linux" {
		t.Errorf("device = %q", got)
	}
	phone.Do("POST", "/login", creds(mina.Email, password), headers...).Want(200, "")
	app.wantTold(t)
	// Another's device is not known, nor is one that was tampered with.
	eve := app.SignIn("eve@example.com")
	for _, device := range []string{eve.Device, "x", phone.Device[:len(phone.Device)-1], phone.Device + "A", strings.Repeat("A", len(phone.Device)), strings.Repeat("A", 300)} {
		thief := app.Anonymous()
		thief.Device = device
		thief.Do("POST", "/login", creds(mina.Email, password)).Want(200, "")
		if thief.Device == device || thief.Device == "" {
			t.Errorf("the device cookie %q stays after a sign-in by somebody else", device)
		}
		app.wantTold(t, "mina@example.com: "+aboutDevice)
	}
	for _, two := range [][2]string{{phone.Device, eve.Device}, {eve.Device, phone.Device}} { // one was planted
		app.Anonymous().Do("POST", "/login", creds(mina.Email, password), "Cookie", "device="+two[0]+"; device="+two[1]).Want(200, "")
		app.wantTold(t, "mina@example.com: "+aboutDevice)
	}
	// Where all that was before may be forgotten, no device is the first.
	app.Advance(31 * 24 * time.Hour)
	must(app.operator.Sessions.Prune(t.Context()))
	app.Anonymous().Do("POST", "/login", creds(mina.Email, password)).Want(200, "")
	app.wantTold(t, "mina@example.com: "+aboutDevice)
}

// testLanguages: mail is in the language that its reader's browser asked for.
func testLanguages(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	mina := app.SignIn("mina@example.com")
	const korean = site + " 비밀번호 재설정"
	for header, want := range map[string]string{
		"-": aboutReset, "": aboutReset, "ko": korean, "ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7": korean, "en-US,en;q=0.9,ko;q=0.8": aboutReset,
		"ja,ko;q=0.5": korean, "ja": aboutReset, "*": aboutReset, "ko;q=0": aboutReset, "en;q=0.1,ko;q=0.2": korean, "KO": korean, "ko_KR": korean,
		"\xff\xfe": aboutReset, "ko;q=x": aboutReset, strings.Repeat("ko,", 300): aboutReset, "../../ko": aboutReset,
	} {
		app.Anonymous().Do("POST", "/password/forgot", obj{"email": mina.Email}, "Accept-Language", header).Want(202, "")
		app.wantTold(t, "mina@example.com: "+want)
	}
	app.Anonymous().Do("POST", "/password/forgot", obj{"email": mina.Email}, "Accept-Language", "ja", "Accept-Language", "ko").Want(202, "")
	sent := app.wantTold(t, "mina@example.com: "+korean)
	if len(sent) == 1 && (!strings.Contains(sent[0].Text, "안녕하세요") || !strings.Contains(sent[0].HTML, `lang="ko"`)) {
		t.Errorf("a mail in Korean:\n%s\n%s", sent[0].Text, sent[0].HTML)
	}
	for _, row := range []struct {
		method, path string
		body         any
		want         []string
	}{
		{"POST", "/email/verification", nil, []string{"mina@example.com: " + site + " 이메일 주소 확인"}},
		{"PUT", "/me/email", obj{"email": "new@example.com", "currentPassword": password},
			[]string{"mina@example.com: " + site + " 이메일 주소 변경 요청", "new@example.com: " + site + " 새 이메일 주소 확인"}},
		{"PUT", "/me/password", obj{"currentPassword": password, "newPassword": password}, []string{"mina@example.com: " + site + " 비밀번호가 바뀌었습니다"}},
	} {
		if a := mina.Do(row.method, row.path, row.body, "Accept-Language", "ko"); a.Status >= 300 {
			t.Errorf("%s %s = %d %s", row.method, row.path, a.Status, a.Body)
		}
		app.wantTold(t, row.want...)
	}
	phone := app.Anonymous()
	phone.Do("POST", "/login", creds(mina.Email, password), "Accept-Language", "ko", "User-Agent", firefox).Want(200, "")
	app.wantTold(t, "mina@example.com: "+site+"에 새 기기로 로그인했습니다")
}

// testMailOutage: a mail server that is down delays mail and nothing else.
func testMailOutage(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	for n := range 20 {
		app.Register(fmt.Sprintf("user%d@example.com", n))
	}
	app.Faults.Break("mailer", outage)
	for n := range 20 {
		app.Anonymous().Do("POST", "/password/forgot", obj{"email": fmt.Sprintf("user%d@example.com", n)}).Want(202, "")
	}
	for range 5 {
		if sent, err := app.mailing.Deliver(t.Context()); err == nil || sent != 0 {
			t.Errorf("Deliver without a mail server = %d, %v, want an error", sent, err)
		}
		app.Advance(2 * time.Minute)
	}
	app.Faults.Break("mailer", nil)
	var want []string
	for n := range 20 {
		want = append(want, fmt.Sprintf("user%d@example.com: %s", n, aboutReset))
	}
	sent := app.wantTold(t, want...)
	app.Advance(2 * time.Minute)
	app.wantTold(t)
	for _, m := range sent {
		token := linkToken.FindStringSubmatch(m.Text)[1]
		app.Anonymous().Do("POST", "/password/reset", obj{"token": token, "newPassword": password}).Want(204, "")
	}
}
