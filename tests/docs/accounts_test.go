package docs_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// script is a fenced piece of HTTP: who sends it, and what is said of that.
var script = regexp.MustCompile("(?s)```http ([^\n]*)\n(.*?)\n```")

// TestAccounts sends the requests of docs/accounts.md, in their order, to a
// running service and compares the answers with what stands there.
func TestAccounts(t *testing.T) { readPage(t, "accounts.md", startService) }

// TestAdministration does so with docs/administration.md, where an operator has
// made an administrator.
func TestAdministration(t *testing.T) { readPage(t, "administration.md", withRoot) }

// TestProducts does so with docs/products.md.
func TestProducts(t *testing.T) { readPage(t, "products.md", withRoot) }

func withRoot(t *testing.T, _ string) *service {
	t.Helper()
	return startAdministered(t, "root@example.com", "a tall lighthouse")
}

// readPage sends the requests of a page to services as start gives them.
func readPage(t *testing.T, name string, start func(t *testing.T, setting string) *service) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	scripts := script.FindAllStringSubmatch(string(page), -1)
	if len(scripts) < 10 {
		t.Fatalf("the page has %d scripts", len(scripts))
	}
	r := &reader{t: t, start: start, services: map[string]*service{}, people: map[string]*person{}, ids: map[string]string{}}
	for _, s := range scripts {
		r.read(s[1], s[2])
	}
}

// reader sends what it reads.
type reader struct {
	t        *testing.T
	start    func(t *testing.T, setting string) *service
	services map[string]*service // by their setting of registration
	people   map[string]*person
	ids      map[string]string // of users, by the address as an answer told it, and of products by name
	secret   string            // of the second factor that was begun last
	recovery string            // a recovery code that was handed out
	token    string            // of the link that was taken last
}

// person is a browser with its cookies.
type person struct {
	service *service
	http    http.Client
}

// read sends the exchanges of a script. Its head is a name, perhaps at a service
// with another setting of registration, then perhaps how often it is sent
// (repeat=10) and how much later than what came before (later=11m).
func (r *reader) read(head, text string) {
	r.t.Helper()
	words := strings.Fields(head)
	p, times := r.person(words[0]), 1
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "repeat":
			times, _ = strconv.Atoi(value)
		case "later":
			d, err := time.ParseDuration(value)
			if err != nil {
				r.t.Fatal(err)
			}
			p.service.clock.advance(d)
		default:
			r.t.Fatalf("%q is not understood", word)
		}
	}
	for range times {
		parts := strings.Split(text, "\n\n")
		for i := 0; i+1 < len(parts); i += 2 {
			r.exchange(p, parts[i], parts[i+1])
		}
	}
}

func (r *reader) person(name string) *person {
	if p, ok := r.people[name]; ok {
		return p
	}
	_, setting, _ := strings.Cut(name, "@")
	s, ok := r.services[setting]
	if !ok {
		s = r.start(r.t, setting)
		r.services[setting] = s
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.people[name] = &person{s, http.Client{Jar: jar}}
	return r.people[name]
}

// exchange sends one request and compares its answer.
func (r *reader) exchange(p *person, request, want string) {
	r.t.Helper()
	first, body, _ := strings.Cut(request, "\n")
	method, path, _ := strings.Cut(first, " ")
	headers := http.Header{}
	for body != "" && !strings.HasPrefix(body, "{") {
		var line string
		line, body, _ = strings.Cut(body, "\n")
		name, value, _ := strings.Cut(line, ": ")
		headers.Set(name, value)
	}
	req, err := http.NewRequest(method, p.service.url+r.named(path), strings.NewReader(r.named(r.fill(p, body))))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header = headers
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0")
	res, err := p.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	r.remember(got)
	if fault := compareAnswer(want, res, got); fault != "" {
		r.t.Errorf("%s\n%s\n%s\n%s", first, body, fault, got)
	}
}

var inBrackets = regexp.MustCompile(`<([^<>]*)>`)

// named puts the id of a user or a product in the place of an address or a name
// in angle brackets.
func (r *reader) named(text string) string {
	return inBrackets.ReplaceAllStringFunc(text, func(name string) string {
		id := r.ids[strings.Trim(name, "<>")]
		if id == "" {
			r.t.Fatalf("no answer told the id of %s", name)
		}
		return id
	})
}

// fill puts in what stands for something that only the run knows.
func (r *reader) fill(p *person, body string) string {
	for place, value := range map[string]func() string{
		"<from the link>":           func() string { r.token = p.service.token(r.t); return r.token },
		"<the same>":                func() string { return r.token },
		"<from the app>":            func() string { return r.code(p, 0) },
		"<not the code of the app>": func() string { return r.code(p, time.Hour) },
		"<one of the ten>":          func() string { return r.recovery },
	} {
		if strings.Contains(body, place) {
			body = strings.ReplaceAll(body, place, value())
		}
	}
	return body
}

// code is that of the app, after the time of the one before.
func (r *reader) code(p *person, off time.Duration) string {
	p.service.clock.advance(30 * time.Second)
	code, err := totp.GenerateCode(r.secret, p.service.clock.now().Add(off))
	if err != nil {
		r.t.Fatal(err)
	}
	return code
}

// remember keeps what an answer hands out once.
func (r *reader) remember(body []byte) {
	type user struct{ ID, Email, OwnerID, Name string }
	var out struct {
		user
		Secret        string
		RecoveryCodes []string
		User          user
		Items         []user
	}
	if json.Unmarshal(body, &out) != nil {
		return
	}
	for _, u := range append(out.Items, out.user, out.User) {
		if u.Email != "" {
			r.ids[u.Email] = u.ID
		} else if u.OwnerID != "" {
			r.ids[u.Name] = u.ID
		}
	}
	if out.Secret != "" {
		r.secret = out.Secret
	}
	if len(out.RecoveryCodes) > 0 {
		r.recovery = out.RecoveryCodes[0]
	}
}

// compareAnswer tells how an answer differs from what the page shows: the
// status, each header that stands there, and the body.
func compareAnswer(want string, res *http.Response, got []byte) string {
	lines := strings.Split(want, "\n")
	if lines[0] != strconv.Itoa(res.StatusCode) {
		return fmt.Sprintf("status %d, want %s", res.StatusCode, lines[0])
	}
	for _, line := range lines[1:] {
		if name, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, "{") {
			if !slices.ContainsFunc(res.Header.Values(name), func(v string) bool { return likeText(value, v) }) {
				return fmt.Sprintf("%s: %q, want %q", name, res.Header.Values(name), value)
			}
			continue
		}
		var shown, sent any
		if err := json.Unmarshal([]byte(spelledOut(line)), &shown); err != nil {
			return fmt.Sprintf("what is shown is no JSON: %v: %s", err, line)
		}
		if err := json.Unmarshal(got, &sent); err != nil {
			return fmt.Sprintf("what was sent is no JSON: %v", err)
		}
		return like("", shown, sent)
	}
	if len(got) > 0 {
		return "a body, want none"
	}
	return ""
}

var (
	moreMembers = regexp.MustCompile(`(,\s*)?…\s*}`)
	anyItems    = regexp.MustCompile(`\[…\]`)
)

// spelledOut makes JSON of what leaves things out.
func spelledOut(s string) string {
	s = anyItems.ReplaceAllString(s, `"…"`)
	return moreMembers.ReplaceAllStringFunc(s, func(m string) string {
		if strings.HasPrefix(m, ",") {
			return `,"…":0}`
		}
		return `"…":0}`
	})
}

// like tells how a value differs from one that leaves things out.
func like(at string, shown, sent any) string {
	switch shown := shown.(type) {
	case string:
		if text, ok := sent.(string); shown != "…" && (!ok || !likeText(shown, text)) {
			return fmt.Sprintf("%s is %v, want %q", at, sent, shown)
		}
	case map[string]any:
		return likeObject(at, shown, sent)
	case []any:
		list, ok := sent.([]any)
		if !ok || len(list) != len(shown) {
			return fmt.Sprintf("%s is %v, want %d items", at, sent, len(shown))
		}
		for i := range shown {
			if fault := like(fmt.Sprintf("%s/%d", at, i), shown[i], list[i]); fault != "" {
				return fault
			}
		}
	default:
		if shown != sent {
			return fmt.Sprintf("%s is %v, want %v", at, sent, shown)
		}
	}
	return ""
}

func likeObject(at string, shown map[string]any, sent any) string {
	object, ok := sent.(map[string]any)
	if !ok {
		return fmt.Sprintf("%s is %v, want an object", at, sent)
	}
	_, more := shown["…"]
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if _, ok := shown[name]; !ok && !more {
			return fmt.Sprintf("%s/%s is not shown", at, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		if name == "…" {
			continue
		}
		if fault := like(at+"/"+name, shown[name], object[name]); fault != "" {
			return fault
		}
	}
	return ""
}

// likeText compares with a text in which "…" stands for anything.
func likeText(shown, sent string) bool {
	parts := strings.Split(shown, "…")
	rest, ok := strings.CutPrefix(sent, parts[0])
	if !ok || len(parts) == 1 {
		return ok && rest == ""
	}
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
