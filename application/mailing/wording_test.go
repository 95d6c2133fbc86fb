package mailing_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/adapters/memory"
	"gatehouse/adapters/system"
	"gatehouse/application/journal"
	"gatehouse/application/mailing"
	"gatehouse/domain/mail"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// send puts a letter of the kind to a new user into an outbox and gives the mail
// that it becomes.
func send(t *testing.T, k mail.Kind, language mail.Language, name string, detail map[string]string) mail.Message {
	t.Helper()
	db, box, random := memory.New(), memory.NewMailbox(), system.NewRandom()
	email, err := user.NewEmail("ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	called, err := user.NewName(name)
	if err != nil {
		t.Fatal(err)
	}
	u := user.New(user.ID{UUID: random.ID(noon)}, email, called, user.PasswordHash{}, noon)
	u.VerifyEmail(noon)
	var pairs []string
	for name, value := range detail {
		pairs = append(pairs, name, value)
	}
	ctx := ports.WithOrigin(t.Context(), ports.Origin{Language: language})
	letter := journal.Book{Random: random, Now: func() time.Time { return noon }}.Letter(ctx, k, u, pairs...)
	if err := db.Users().Add(t.Context(), u, &ports.Along{Letters: []mail.Letter{letter}}); err != nil {
		t.Fatal(err)
	}
	s := mailing.New(mailing.Config{
		Outbox: db.Outbox(), Tickets: db.Tickets(), Users: db.Users(), Mailer: box, Random: random, Now: func() time.Time { return noon },
		Site: "shop.example.com", Link: "https://shop.example.com",
	})
	if sent, err := s.Deliver(t.Context()); sent != 1 || err != nil {
		t.Fatalf("Deliver of %s = %d, %v", k, sent, err)
	}
	return box.Messages()[0]
}

var (
	link     = regexp.MustCompile(`https://shop\.example\.com/(email/verify|password/reset)#token=[A-Za-z0-9_-]{43}`)
	hangul   = regexp.MustCompile(`\p{Hangul}`)
	leftOver = regexp.MustCompile(`\{\{|<no value>|%!|\d\dT\d\d|\s{3}[^\n]`)
)

// Every kind of letter in every language, as its reader sees it.
func TestEveryMailCanBeRead(t *testing.T) {
	full := map[string]string{"device": "Firefox on Windows", "ip": "192.0.2.1", "at": "2026-11-24T12:00:00Z", "email": "new@example.com"}
	for _, k := range mail.Kinds() {
		for _, language := range []mail.Language{mail.English, mail.Korean} {
			for _, detail := range []map[string]string{full, nil} {
				m := send(t, k, language, "Ann", detail)
				what := k.String() + " in " + string(language)
				if m.Subject == "" || strings.Contains(m.Subject, "\n") || !strings.Contains(m.Subject, "shop.example.com") {
					t.Errorf("%s: the subject is %q", what, m.Subject)
				}
				if found := leftOver.FindString(m.Subject + m.Text); found != "" {
					t.Errorf("%s: %q stands in\n%s", what, found, m.Text)
				}
				if !strings.Contains(m.Text, "Ann") || hangul.MatchString(m.Text) != (language == mail.Korean) {
					t.Errorf("%s: the text is\n%s", what, m.Text)
				}
				_, linked := k.Purpose()
				if in := link.FindString(m.Text); (in != "") != linked || in != link.FindString(m.HTML) {
					t.Errorf("%s: the link is %q", what, in)
				}
			}
		}
	}
}

// What happened is told in a time that its reader knows.
func TestTimesInMails(t *testing.T) {
	at := map[string]string{"at": "2026-11-24T22:05:59Z"}
	for language, want := range map[mail.Language]string{mail.English: "24 November 2026, 22:05 UTC", mail.Korean: "2026년 11월 25일 07:05(한국 시간)"} {
		for _, k := range []mail.Kind{mail.PasswordChanged, mail.NewDevice} {
			if m := send(t, k, language, "Ann", at); !strings.Contains(m.Text, want) {
				t.Errorf("%s in %s: want %q in\n%s", k, language, want, m.Text)
			}
		}
	}
}

// A name is text, whatever is in it.
func TestNamesInMails(t *testing.T) {
	m := send(t, mail.PasswordChanged, mail.English, `<a href="https://evil.example">{{.Link}}`, nil)
	if strings.Contains(m.HTML, "<a href") || !strings.Contains(m.HTML, "&lt;a href") || !strings.Contains(m.Text, "{{.Link}}") {
		t.Errorf("the mail is\n%s\n%s", m.Text, m.HTML)
	}
}
