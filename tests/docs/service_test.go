package docs_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
}

// startService runs it until the test ends. registration is that setting, ""
// for its default.
func startService(t *testing.T, registration string) *service {
	t.Helper()
	s := &service{mail: filepath.Join(t.TempDir(), "mail"), clock: &clock{at: time.Now().UTC()}, used: map[string]bool{}}
	environ := []string{"GATEHOUSE_DATABASE_URL=memory:", "GATEHOUSE_LISTEN=127.0.0.1:0", "GATEHOUSE_MAIL_URL=file:" + s.mail}
	if registration != "" {
		environ = append(environ, "GATEHOUSE_REGISTRATION="+registration)
	}
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
