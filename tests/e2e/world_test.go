// Package e2e_test goes through Gatehouse as its users do: it builds the true
// program, starts it as a process of its own, speaks HTTP to it, stops it with
// signals, and reads everything that it has said.
package e2e_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/tests/pgtest"
)

// patience is how long anything may take before a test gives up on it. It
// measures nothing.
const patience = 60 * time.Second

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// built builds the program once for all tests, as it is released: one static file.
var built = sync.OnceValues(func() (string, error) {
	// The folder goes with the test binary's own, which "go test" deletes.
	path := filepath.Join(filepath.Dir(os.Args[0]), "gatehouse-under-test")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "gatehouse")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// world is one test's processes, and the secrets that they must not tell.
type world struct {
	*testing.T
	program string
	dir     string

	mu      sync.Mutex
	secrets map[string]string // secret -> what it is
	said    []*output
}

func newWorld(t *testing.T) *world {
	t.Helper()
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, program: program, dir: t.TempDir(), secrets: map[string]string{}}
	t.Cleanup(w.scan)
	return w
}

func (w *world) secret(text, what string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets[text] = what
	return text
}

// password makes one up that can be found again wherever it is told.
func (w *world) password() string { return w.secret("pw-"+rand.Text(), "a password") }

// scan looks for secrets in all that was logged and printed.
func (w *world) scan() {
	w.mu.Lock()
	defer w.mu.Unlock()
	hash := regexp.MustCompile(`\$argon2id\$v=`)
	for _, o := range w.said {
		text := o.String()
		for secret, what := range w.secrets {
			if i := strings.Index(text, secret); i >= 0 {
				w.Errorf("%s is in the output: …%s…", what, text[max(0, i-200):min(len(text), i+20)])
			}
		}
		if hash.MatchString(text) {
			w.Errorf("a password hash is in the output:\n%s", text)
		}
		if strings.Contains(text, "panic") {
			w.Errorf("there was a panic:\n%s", text)
		}
	}
}

// output is what a process says; it may be read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// command is the program with a clean environment, in the world's folder.
func (w *world) command(args []string, environ ...string) (*exec.Cmd, *output) {
	cmd := exec.Command(w.program, args...)
	cmd.Dir = w.dir
	cmd.Env = append([]string{"HOME=" + w.dir, "TMPDIR=" + w.dir, "GORACE=halt_on_error=1"}, environ...)
	said := &output{}
	cmd.Stdout, cmd.Stderr = said, said
	w.mu.Lock()
	w.said = append(w.said, said)
	w.mu.Unlock()
	return cmd, said
}

// run runs a command to its end.
func (w *world) run(args []string, environ ...string) (code int, said string) {
	w.Helper()
	cmd, out := w.command(args, environ...)
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		w.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// process is a running "gatehouse serve".
type process struct {
	world *world
	cmd   *exec.Cmd
	said  *output
	ended chan struct{}
	url   string
}

// serve starts a node on a free port and waits until it serves.
func (w *world) serve(environ ...string) *process {
	w.Helper()
	p := w.tryServe(environ...)
	if p == nil {
		w.FailNow()
	}
	return p
}

// tryServe is serve for goroutines that may not end the test: it gives nil. A
// node has few connections: on a small machine that has other work, two times
// ten at once are not made in the time that a connection may take.
func (w *world) tryServe(environ ...string) *process {
	cmd, _ := w.command([]string{"serve"}, append([]string{"GATEHOUSE_LISTEN=127.0.0.1:0", "GATEHOUSE_DATABASE_MAX_CONNECTIONS=4"}, environ...)...)
	return w.start(cmd)
}

// start starts what [world.command] gave as tryServe does.
func (w *world) start(cmd *exec.Cmd) *process {
	said, _ := cmd.Stdout.(*output)
	if err := cmd.Start(); err != nil {
		w.Error(err)
		return nil
	}
	p := &process{world: w, cmd: cmd, said: said, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(p.ended)
	}()
	w.Cleanup(p.kill)
	serving := regexp.MustCompile(`"msg":"serving".*"listen":"([^"]+)"`)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if m := serving.FindStringSubmatch(said.String()); m != nil {
			p.url = "http://" + m[1]
			return p
		}
		select {
		case <-p.ended:
			w.Errorf("serve ended: %s\n%s", cmd.ProcessState, said)
			return nil
		case <-time.After(5 * time.Millisecond):
		}
	}
	w.Errorf("serve does not serve:\n%s", said)
	return nil
}

// terminate sends SIGTERM and returns the exit code.
func (p *process) terminate() int {
	p.world.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.world.Fatal(err)
	}
	return p.wait()
}

func (p *process) wait() int {
	p.world.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.world.Fatalf("the process does not end:\n%s", p.said)
	}
	return p.cmd.ProcessState.ExitCode()
}

// kill ends the process as a power cut would, as far as processes are concerned.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it fails only if the process has ended
	<-p.ended
}

// client is one browser: it keeps cookies, also over a restart of the server.
type client struct {
	world *world
	http  *http.Client
}

func (w *world) client() *client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.Fatal(err)
	}
	return &client{world: w, http: &http.Client{Jar: jar, Timeout: patience}}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// do sends a request; a body is JSON text, "" for none.
func (c *client) do(p *process, method, path, body string, headers ...string) answer {
	c.world.Helper()
	a, err := c.try(p, method, path, body, headers...)
	if err != nil {
		c.world.Fatalf("%s %s: %v\n%s", method, path, err, p.said)
	}
	return a
}

func (c *client) try(p *process, method, path, body string, headers ...string) (answer, error) {
	req, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" { // which net/http takes from elsewhere
			req.Host = headers[i+1]
		}
	}
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	for _, k := range res.Cookies() {
		if k.Value != "" {
			c.world.secret(k.Value, "a session token")
			sum := sha256.Sum256([]byte(k.Value))
			c.world.secret(hex.EncodeToString(sum[:]), "the hash of a session token")
		}
	}
	a := answer{status: res.StatusCode, header: res.Header, text: string(text)}
	_ = json.Unmarshal(text, &a.body) // not every answer is an object
	return a, nil
}

// want sends a request and holds the answer to a status.
func (c *client) want(p *process, status int, method, path, body string, headers ...string) answer {
	c.world.Helper()
	a := c.do(p, method, path, body, headers...)
	if a.status != status {
		c.world.Fatalf("%s %s = %d %s, want %d\n%s", method, path, a.status, a.text, status, p.said)
	}
	return a
}

// signUp registers somebody and signs them in.
func (c *client) signUp(p *process, email string) (password string) {
	c.world.Helper()
	password = c.world.password()
	body := fmt.Sprintf(`{"email":%q,"password":%q,"name":"민서"}`, email, password)
	c.want(p, 201, "POST", "/register", body)
	c.want(p, 200, "POST", "/login", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password))
	return password
}
