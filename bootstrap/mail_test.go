package bootstrap_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/application/guard"
	"gatehouse/bootstrap"
	"gatehouse/domain/mail"
	"gatehouse/ports/portstest"
	"gatehouse/tests/smtptest"
)

// The bounds of package configs are those of package guard.
func TestDefaultThrottles(t *testing.T) {
	if got, want := guard.Rules(configuration(t).Throttle), guard.DefaultRules(); got != want {
		t.Errorf("by default %+v holds, want %+v", got, want)
	}
}

// logged is a log that may be read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// letters reads the mails that a server has taken.
func letters(t *testing.T, s *smtptest.Server) []mail.Message {
	t.Helper()
	var all []mail.Message
	for _, m := range s.Mails() {
		read, err := portstest.ReadMail(m.Raw)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, read)
	}
	return all
}

// TestMail: what people are told by mail reaches a mail server, from who and
// with links to where the settings say; one that does not work delays it.
func TestMail(t *testing.T) {
	server := smtptest.Start(t, smtptest.Options{})
	server.Answer("MAIL", "451 4.3.0 not now")
	log := &logged{}
	n := start(t, bootstrap.Program{
		Config: configuration(t, "GATEHOUSE_DATABASE_URL=sqlite:"+filepath.Join(t.TempDir(), "g.db"),
			"GATEHOUSE_MAIL_URL=smtp://"+server.Addr(), "GATEHOUSE_MAIL_FROM=Shop <shop@example.com>", "GATEHOUSE_MAIL_LINK=https://shop.example.com/account/"),
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	c := newCaller(t, n)
	c.want(201, "POST", "/register", `{"email":"ann@example.com","password":"correct horse battery"}`)
	c.want(202, "POST", "/password/forgot", `{"email":"ann@example.com"}`)
	<-server.Refused()
	<-server.Refused()
	server.Answer("MAIL", "ok")
	<-server.Taken()
	got := letters(t, server)
	if len(got) != 1 || got[0].To != "ann@example.com" || !strings.Contains(got[0].Text, "\nhttps://shop.example.com/account/password/reset#token=") {
		t.Fatalf("came %+v, want one mail to ann with a link", got)
	}
	if raw := string(server.Mails()[0].Raw); !strings.Contains(raw, `From: "Shop" <shop@example.com>`) {
		t.Errorf("the mail is not from the shop:\n%s", raw)
	}
	_, link, _ := strings.Cut(got[0].Text, "#token=")
	token, _, _ := strings.Cut(link, "\n")
	c.want(204, "POST", "/password/reset", fmt.Sprintf(`{"token":%q,"newPassword":"battery horse correct"}`, token))
	c.want(200, "POST", "/login", `{"email":"ann@example.com","password":"battery horse correct"}`)
	text := log.String()
	if strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, "mail could not be sent; it is tried again") {
		t.Errorf("the log tells of the server that refused other than once:\n%s", text)
	}
	if strings.Contains(text, token) || strings.Contains(text, "ann@example.com") {
		t.Errorf("the log holds a token or an address:\n%s", text)
	}
}

// Where nothing is configured mails go into a folder, and whom that may surprise
// is told.
func TestWhereMailGoes(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name    string
		environ []string
		goes    string // ends so
		doubt   string
	}{
		{"as it comes", []string{"DATABASE_URL=sqlite:" + dir + "/g.db"}, dir + "/mail", ""},
		{"a folder", []string{"DATABASE_URL=sqlite:" + dir + "/g.db", "MAIL_URL=file:" + dir + "/out", "PUBLIC_URL=https://shop.example.com"}, dir + "/out", ""},
		{"for others", []string{"DATABASE_URL=sqlite:" + dir + "/g.db", "PUBLIC_URL=https://shop.example.com"}, dir + "/mail", "no mail server is configured"},
		{"a server", []string{"DATABASE_URL=sqlite:" + dir + "/g.db", "MAIL_URL=smtp://u:secretword@mail.example.com"}, "smtp://u:***@mail.example.com:587?tls=required", ""},
		{"a server in clear", []string{"DATABASE_URL=sqlite:" + dir + "/g.db", "MAIL_URL=smtp://mail.example.com?tls=none"}, "smtp://mail.example.com:587?tls=none", "without TLS"},
		{"nothing is kept", []string{"DATABASE_URL=memory:"}, "", "memory: keeps nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			environ := []string{"GATEHOUSE_MAIL_URL=auto"}
			for _, v := range tt.environ {
				environ = append(environ, "GATEHOUSE_"+v)
			}
			n, err := quiet(t, environ...).Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			goes, doubts := bootstrap.MailGoes(n)
			if !strings.HasSuffix(goes, tt.goes) || strings.Contains(fmt.Sprint(goes, doubts), "secretword") {
				t.Errorf("mails go to %s, want %s", goes, tt.goes)
			}
			if said := strings.Join(doubts, "\n"); !strings.Contains(said, tt.doubt) || tt.doubt == "" && said != "" {
				t.Errorf("doubts %q, want %q", said, tt.doubt)
			}
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(goes); tt.goes == "" && !os.IsNotExist(err) {
				t.Errorf("the folder of what keeps nothing is still there: %v", err)
			}
		})
	}
}

// A mail in work when the node stops may come to its end, but not for ever.
func TestWhatIsInWorkLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		longer, cancel := bootstrap.Lingering(ctx, 5*time.Second)
		defer cancel()
		stop()
		time.Sleep(5*time.Second - 1)
		synctest.Wait()
		if longer.Err() != nil {
			t.Error("it is over before its time")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if longer.Err() == nil {
			t.Error("it is not over when its time has passed")
		}
	})
}
