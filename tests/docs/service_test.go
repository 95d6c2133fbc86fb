package docs_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/bootstrap"
	"gatehouse/configs"
)

// clock is what the service takes the time from; a test moves it.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Microsecond) // so that what comes later is later
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// service is the true program in this process, over a memory of its own.
type service struct {
	url   string
	mail  string // the folder
	clock *clock
	used  map[string]bool // mails whose link has been taken

	file    string   // of the database, "" for memory
	environ []string // by which commands find it
}

// startService runs it until the test ends. registration is that setting, ""
// for its default.
func startService(t *testing.T, registration string) *service {
	t.Helper()
	environ := []string{"GATEHOUSE_DATABASE_URL=memory:"}
	if registration != "" {
		environ = append(environ, "GATEHOUSE_REGISTRATION="+registration)
	}
	return startWith(t, environ)
}

// startAdministered runs one over SQLite, in which the command line has made an
// administrator.
func startAdministered(t *testing.T, address, password string) *service {
	t.Helper()
	file := filepath.Join(t.TempDir(), "g.db")
	environ := []string{"GATEHOUSE_DATABASE_URL=sqlite:" + file, "GATEHOUSE_CONFIG=" + os.DevNull}
	var said bytes.Buffer
	command := []string{"user", "create", "--email", address, "--roles", "admin", "--password-stdin"}
	if code := bootstrap.Main(command, environ, strings.NewReader(password), &said, &said); code != 0 {
		t.Fatalf("gatehouse %s = %d: %s", strings.Join(command, " "), code, &said)
	}
	s := startWith(t, environ)
	s.file, s.environ = file, environ
	return s
}

func startWith(t *testing.T, environ []string) *service {
	t.Helper()
	s := &service{mail: filepath.Join(t.TempDir(), "mail"), clock: &clock{at: time.Now().UTC()}, used: map[string]bool{}}
	environ = append(environ, "GATEHOUSE_LISTEN=127.0.0.1:0", "GATEHOUSE_MAIL_URL=file:"+s.mail)
	loaded, err := configs.Load(configs.Input{Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	node, err := bootstrap.Program{Config: loaded.Config, Log: slog.New(slog.DiscardHandler), Now: s.clock.now}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.url = node.URL()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-done, node.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

var linkToken = regexp.MustCompile(`#token=([A-Za-z0-9_-]{43})`)

// token is that of the newest link that was mailed and not taken yet. Mails take
// a second.
func (s *service) token(t *testing.T) string {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		name, token := s.newest(t)
		if token != "" {
			s.used[name] = true
			return token
		}
		if time.Now().After(deadline) {
			t.Fatal("no mail with a link came")
		}
		time.Sleep(wait)
	}
}

// newest is the newest mail with a link that was not taken.
func (s *service) newest(t *testing.T) (name, token string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.mail, "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range slices.Backward(files) { // named in the order of the letters
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if m := linkToken.FindSubmatch(text); m != nil && !s.used[file] {
			return file, string(m[1])
		}
	}
	return "", ""
}
