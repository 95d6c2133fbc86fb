// Package docs_test holds the documentation to the code: what a page shows is
// compiled and run as it stands there.
package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/tests/overlay"
)

// extended is docs/extending.md over the tree.
func extended(t *testing.T) overlay.Overlay {
	t.Helper()
	return overlay.Of(t, "../..", "docs/extending.md")
}

// goCommand runs the go command in the tree.
func goCommand(t *testing.T, root string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0") // as the program is built
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestExtending compiles the files of docs/extending.md and runs the tests among
// them. They touch what a team may touch, and no adapter.
func TestExtending(t *testing.T) {
	o := extended(t)
	folders := map[string]bool{}
	for _, file := range o.Files {
		room, _, _ := strings.Cut(file, "/")
		if room != "domain" && room != "application" && file != "bootstrap/extensions.go" {
			t.Errorf("the page touches %s", file)
		}
		if strings.HasSuffix(file, "_test.go") {
			folders["./"+path.Dir(file)] = true
		}
	}
	if len(o.Files) != 8 || len(folders) != 2 {
		t.Fatalf("the page has the files %v, with tests in %v; want eight, with tests in two folders", o.Files, folders)
	}
	tests := []string{"TestOurRules", "TestSoldOut", "TestVisitorsSeeWhatIsInStock"}
	var out strings.Builder
	for folder := range folders { // which may be one that is not in the tree, where "go test" cannot run
		binary := filepath.Join(t.TempDir(), "page.test")
		goCommand(t, o.Root, "test", "-vet=off", "-overlay", o.Spec, "-c", "-o", binary, folder)
		said, err := exec.Command(binary, "-test.v", "-test.run", "^("+strings.Join(tests, "|")+")$").CombinedOutput()
		if err != nil {
			t.Errorf("the tests in %s: %v\n%s", folder, err, said)
		}
		out.Write(said)
	}
	for _, name := range tests {
		if !strings.Contains(out.String(), "--- PASS: "+name) {
			t.Errorf("the page's test %s did not run:\n%s", name, out.String())
		}
	}
}

// TestNothingIsSwitchedOn: a fresh clone has no rule, condition or subscriber.
func TestNothingIsSwitchedOn(t *testing.T) {
	text, err := os.ReadFile(filepath.FromSlash("../../bootstrap/extensions.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, empty := range []string{"[]product.Rule{},", "[]access.Condition{},", "events.Subscribers{},"} {
		if !bytes.Contains(text, []byte(empty)) {
			t.Errorf("bootstrap/extensions.go does not say %s", empty)
		}
	}
}

// program is a built Gatehouse that serves.
type program struct {
	t    *testing.T
	path string
	env  []string
	url  string
}

// said is what a process says; it may be read while it is written.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// serveExtended builds the page's program and serves from a SQLite file.
func serveExtended(t *testing.T) (p *program, mails string) {
	t.Helper()
	o, dir := extended(t), t.TempDir()
	p = &program{t: t, path: filepath.Join(dir, "gatehouse")}
	goCommand(t, o.Root, "build", "-ldflags=-s -w", "-overlay", o.Spec, "-o", p.path, "gatehouse")
	mails = filepath.Join(dir, "mail")
	p.env = []string{"HOME=" + dir, "GATEHOUSE_DATABASE_URL=sqlite:" + filepath.Join(dir, "g.db"), "GATEHOUSE_LISTEN=127.0.0.1:0", "GATEHOUSE_MAIL_URL=file:" + mails}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, p.path, "serve")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	log := &said{}
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, p.env, log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != 0 {
			t.Errorf("serve ended: %v\n%s", err, log)
		}
	})
	serving := regexp.MustCompile(`"msg":"serving".*"listen":"([^"]+)"`)
	until(t, "it serves", func() bool {
		m := serving.FindStringSubmatch(log.String())
		if m != nil {
			p.url = "http://" + m[1]
		}
		return m != nil
	})
	return p, mails
}

// until returns when ok does. It measures nothing.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// run runs a command of the program.
func (p *program) run(args ...string) {
	p.t.Helper()
	cmd := exec.Command(p.path, args...)
	cmd.Env = p.env
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("gatehouse %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// shopper is somebody with a browser.
type shopper struct {
	*program
	http http.Client
}

func (p *program) somebody() *shopper {
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return &shopper{p, http.Client{Jar: jar}}
}

// signUp registers somebody and signs them in.
func (p *program) signUp(email string) *shopper {
	p.t.Helper()
	one := p.somebody()
	account := fmt.Sprintf(`{"email":%q,"password":"a quiet lighthouse"}`, email)
	one.want(201, "POST", "/register", account)
	one.want(200, "POST", "/login", account)
	return one
}

// want sends a request, holds the answer to a status, and gives its members.
func (p *shopper) want(status int, method, path, body string) map[string]any {
	p.t.Helper()
	req, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if res.StatusCode != status {
		p.t.Fatalf("%s %s = %d %s, want %d", method, path, res.StatusCode, text, status)
	}
	var members map[string]any
	_ = json.Unmarshal(text, &members) // not every answer is an object
	return members
}

// refused wants a 422 for one reason alone.
func (p *shopper) refused(code, method, path, body string) {
	p.t.Helper()
	list, _ := p.want(422, method, path, body)["errors"].([]any)
	if len(list) == 1 {
		if f, _ := list[0].(map[string]any); f["code"] == code {
			return
		}
	}
	p.t.Errorf("%s %s is refused for %v, want %s", method, path, list, code)
}

// TestExtendingOverHTTP builds the program that docs/extending.md makes, and asks
// it over HTTP for what the page promises.
func TestExtendingOverHTTP(t *testing.T) {
	p, mails := serveExtended(t)
	ann, bob, nobody := p.signUp("ann@example.com"), p.signUp("bob@example.com"), p.somebody()
	p.run("user", "set-roles", "bob@example.com", "moderator")
	offer := func(amount, stock int, status string) string {
		t.Helper()
		body := fmt.Sprintf(`{"name":"Lamp","price":{"amount":%d,"currency":"KRW"},"stock":%d,"status":%q}`, amount, stock, status)
		return fmt.Sprint("/products/", ann.want(201, "POST", "/products", body)["id"])
	}

	lamp := offer(5000, 2, "published")
	ann.refused("currency_fixed", "PATCH", lamp, `{"price":{"currency":"USD"}}`)
	ann.want(200, "PATCH", offer(5000, 0, "draft"), `{"price":{"currency":"USD"}}`)

	ann.refused("price_needs_moderator", "POST", "/products", `{"name":"Lamp","price":{"amount":1000001,"currency":"KRW"}}`)
	ann.refused("price_needs_moderator", "PATCH", lamp, `{"price":{"amount":1000001}}`)
	bob.want(200, "PATCH", lamp, `{"price":{"amount":1000001}}`)
	ann.want(200, "PATCH", lamp, `{"name":"Brass lamp"}`)

	hidden, shown := offer(1, 0, "draft"), offer(1, 1, "draft")
	nobody.want(404, "GET", shown, "")
	p.run("policy", "add", "anonymous", "product", "read", "in_stock")
	nobody.want(200, "GET", shown, "")
	nobody.want(404, "GET", hidden, "")
	var listed []string
	items, _ := nobody.want(200, "GET", "/products", "")["items"].([]any)
	for _, item := range items {
		one, _ := item.(map[string]any)
		listed = append(listed, fmt.Sprint("/products/", one["id"]))
	}
	slices.Sort(listed)
	if want := []string{lamp, shown}; !slices.Equal(listed, want) {
		t.Errorf("visitors are listed %v, want %v", listed, want)
	}

	// Mail goes to who has answered one.
	ann.want(202, "POST", "/email/verification", "")
	var token string
	until(t, "the link comes", func() bool {
		if m := linkToken.FindStringSubmatch(read(t, mails)); m != nil {
			token = m[1]
		}
		return token != ""
	})
	nobody.want(204, "POST", "/email/verify", fmt.Sprintf(`{"token":%q}`, token))
	ann.want(200, "PATCH", lamp, `{"stock":0}`)
	until(t, "the mail comes", func() bool { return strings.Contains(read(t, mails), "Sold out: Brass lamp") })
	if n := strings.Count(read(t, mails), "Subject: Sold out"); n != 1 {
		t.Errorf("%d mails came, want 1", n)
	}
}

// read is what stands in all mails.
func read(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
