package httptests

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

// Client sends requests as one browser or program would, without following
// anything by itself. Its cookie is what the last answer made of it.
type Client struct {
	Email  string
	Cookie string // the token, "" for none
	Device string // the value of the device cookie, "" for none
	app    *App
	t      *testing.T
}

// Answer is what came back, the body read.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	t      *testing.T
	what   string
}

// Anonymous gives a client without a session.
func (a *App) Anonymous() *Client { return &Client{app: a, t: a.t} }

// Register makes an account and gives a client that has not signed in to it.
func (a *App) Register(email string) *Client {
	a.t.Helper()
	c := a.Anonymous()
	c.Email = email
	c.Do("POST", "/register", creds(email, password)).Want(201, "")
	return c
}

// SignIn makes an account and gives a client that is signed in to it.
func (a *App) SignIn(email string) *Client {
	a.t.Helper()
	c := a.Register(email)
	c.Do("POST", "/login", creds(email, password)).Want(200, "")
	return c
}

// Admit puts an account and a session into the stores and gives the client that
// has them, for those to whom neither matters: it spares the dozen of statements
// of registering and signing in.
func (a *App) Admit(email string, names ...string) *Client {
	a.t.Helper()
	ctx, now := context.Background(), a.Clock.Now()
	address, err := user.NewEmail(email)
	if err != nil {
		a.t.Fatal(err)
	}
	hash, err := a.stores.Hasher.Hash(ctx, user.PasswordAttempt(password))
	if err != nil {
		a.t.Fatal(err)
	}
	u := user.New(user.ID{UUID: a.stores.Random.ID(now)}, address, user.Name{}, hash, now)
	if names != nil {
		if err := u.SetRoles(roles(names), now); err != nil {
			a.t.Fatal(err)
		}
	}
	if err := a.stores.Users.Add(ctx, u); err != nil {
		a.t.Fatal(err)
	}
	c := &Client{Email: email, app: a, t: a.t}
	c.begin(u)
	return c
}

// begin puts a session of the user into the stores and takes it on.
func (c *Client) begin(u user.User) {
	c.t.Helper()
	st, now := c.app.stores, c.app.Clock.Now()
	token := st.Random.Token()
	one := session.Begin(session.Start{
		ID: session.ID{UUID: st.Random.ID(now)}, Key: token.Key(), UserID: u.ID(), Epoch: u.SessionEpoch(),
		Methods: session.ByPassword, Device: session.NewDevice("gatehouse-tests", netip.MustParseAddr("127.0.0.1")),
	}, session.DefaultLifetime, now)
	if err := st.Sessions.Add(context.Background(), one); err != nil {
		c.t.Fatal(err)
	}
	c.Cookie = token.Reveal()
	c.app.keep(c.Cookie, token.Key().Hex())
}

// Again gives another device of the same user, signed in.
func (c *Client) Again() *Client {
	c.t.Helper()
	other := &Client{Email: c.Email, app: c.app, t: c.t}
	other.Do("POST", "/login", creds(c.Email, password)).Want(200, "")
	return other
}

// With gives a client with the same cookie for a goroutine or subtest.
func (c *Client) With(t *testing.T) *Client {
	return &Client{Email: c.Email, Cookie: c.Cookie, Device: c.Device, app: c.app, t: t}
}

func creds(email, pass string) map[string]any {
	return map[string]any{"email": email, "password": pass}
}

func (a *App) cookieName() string {
	if a.secure {
		return "__Host-sid"
	}
	return "sid"
}

func (a *App) deviceName() string {
	if a.secure {
		return "__Secure-device"
	}
	return "device"
}

// cookies is the Cookie header that a browser would send.
func (c *Client) cookies(path string) string {
	var list []string
	if c.Cookie != "" {
		list = append(list, "theme=dark", c.app.cookieName()+"="+c.Cookie)
	}
	if c.Device != "" && (path == "/login" || strings.HasPrefix(path, "/login/")) {
		list = append(list, c.app.deviceName()+"="+c.Device)
	}
	return strings.Join(list, "; ")
}

// Do sends a request and checks what is true of every answer. body is nil, a
// string sent as it is, or something to be sent as JSON; headers are names and
// values in turn, a later one of a name in the place of what Do would send, and
// "-" for sending none.
func (c *Client) Do(method, path string, body any, headers ...string) *Answer {
	c.t.Helper()
	a, err := c.try(method, path, body, headers...)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (c *Client) try(method, path string, body any, headers ...string) (*Answer, error) {
	c.t.Helper()
	payload := encode(body)
	req, err := http.NewRequest(method, "http://"+c.app.Addr+path, bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	if body == nil {
		req.Body, req.ContentLength = nil, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "httptests")
	if cookies := c.cookies(req.URL.Path); cookies != "" {
		req.Header.Set("Cookie", cookies)
	}
	setHeaders(req, headers)
	res, err := c.app.transp.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	a := &Answer{Status: res.StatusCode, Header: res.Header, Body: got, t: c.t, what: method + " " + path}
	c.takeCookie(a)
	a.checkAlways(req)
	c.app.contract.check(c.t, req, payload, a)
	return a, nil
}

func setHeaders(req *http.Request, headers []string) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(headers); i += 2 {
		name, value := headers[i], headers[i+1]
		switch {
		case value == "-":
			req.Header.Del(name)
		case name == "Host":
			req.Host = value
		case seen[name]:
			req.Header.Add(name, value)
		default:
			req.Header.Set(name, value)
		}
		seen[name] = true
	}
}

func encode(body any) []byte {
	switch b := body.(type) {
	case nil:
		return nil
	case string:
		return []byte(b)
	default:
		return must(json.Marshal(b))
	}
}

// takeCookie does with Set-Cookie what a browser does.
func (c *Client) takeCookie(a *Answer) {
	set := a.Header.Values("Set-Cookie")
	if len(set) == 0 {
		return
	}
	value, ok := strings.CutPrefix(strings.SplitN(set[0], ";", 2)[0], c.app.cookieName()+"=")
	if !ok || len(set) > 2 {
		c.t.Errorf("%s: Set-Cookie = %q, want that of the session first, and at most one more", a.what, set)
	}
	c.Cookie = value
	if token, ok := session.ParseToken(value); ok {
		c.app.keep(value, token.Key().Hex())
	} else if value != "" {
		c.t.Errorf("%s: Set-Cookie %q holds no token", a.what, set[0])
	}
	if len(set) == 2 {
		c.takeDevice(a, set[1])
	}
}

// takeDevice takes the cookie by which a sign-in that is complete has the device
// known.
func (c *Client) takeDevice(a *Answer, set string) {
	attrs := "; Path=/login; HttpOnly; SameSite=Lax; Max-Age=34560000"
	if c.app.secure {
		attrs = "; Path=/login; HttpOnly; Secure; SameSite=Lax; Max-Age=34560000"
	}
	value, named := strings.CutPrefix(set, c.app.deviceName()+"=")
	value, dressed := strings.CutSuffix(value, attrs)
	if !named || !dressed || !deviceText.MatchString(value) || a.Status != 200 || !strings.Contains(a.what, "POST /login") {
		c.t.Errorf("%s: Set-Cookie = %q, want a device cookie after a sign-in", a.what, set)
	}
	c.Device = value
	c.app.keep(value)
}

var deviceText = regexp.MustCompile(`^[A-Za-z0-9_-]{40,200}$`)

var (
	sane     = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	anyTime  = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^"]*"`)
	detail   = regexp.MustCompile(`"detail":\{[^}]*\}`) // texts, not times
	fullTime = regexp.MustCompile(`^"[0-9-]{10}T[0-9:]{8}\.\d{6}Z"$`)
)

// checkAlways holds an answer to what http-api.md says of every one.
func (a *Answer) checkAlways(req *http.Request) {
	a.t.Helper()
	h := a.Header
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
		"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
	} {
		if got := h.Get(name); got != want {
			a.t.Errorf("%s: %s = %q, want %q", a.what, name, got, want)
		}
	}
	for _, directive := range []string{"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} {
		if !strings.Contains(h.Get("Content-Security-Policy"), directive) {
			a.t.Errorf("%s: Content-Security-Policy = %q, want %s in it", a.what, h.Get("Content-Security-Policy"), directive)
		}
	}
	path := req.URL.Path
	page := (path == "/password/reset" || path == "/email/verify") && (req.Method == "GET" || req.Method == "HEAD")
	shared := path == "/openapi.json" || strings.HasPrefix(path, "/docs") || page
	if got := h.Get("Cache-Control"); got != "no-store" && !shared {
		a.t.Errorf("%s: Cache-Control = %q, want no-store", a.what, got)
	}
	if got := h.Get("Server"); got != "" {
		a.t.Errorf("%s: Server = %q, want none", a.what, got)
	}
	id := h.Get("X-Request-Id")
	if sent := req.Header.Get("X-Request-Id"); !sane.MatchString(id) || sane.MatchString(sent) && id != sent {
		a.t.Errorf("%s: X-Request-Id = %q", a.what, id)
	}
	for _, at := range anyTime.FindAll(detail.ReplaceAll(a.Body, nil), -1) {
		if !fullTime.Match(at) { // else they would not sort as text
			a.t.Errorf("%s: the time %s is not UTC to the microsecond", a.what, at)
		}
	}
	a.checkByStatus(req, id)
}

func (a *Answer) checkByStatus(req *http.Request, id string) {
	a.t.Helper()
	need := func(name string) {
		if a.Header.Get(name) == "" {
			a.t.Errorf("%s: %d without %s", a.what, a.Status, name)
		}
	}
	switch a.Status {
	case 401:
		need("Www-Authenticate")
	case 403:
		if req.Method != "HEAD" && a.Code() == "forbidden" {
			need("X-Decision-Id")
		}
	case 405:
		need("Allow")
	case 429, 503:
		need("Retry-After")
	case 204, 304:
		if len(a.Body) > 0 {
			a.t.Errorf("%s: %d with a body", a.what, a.Status)
		}
	}
	if id := a.Header.Get("X-Decision-Id"); id != "" {
		if _, ok := uuid.Parse(id); !ok || a.Status != 403 || req.Method != "HEAD" && a.Code() != "forbidden" {
			a.t.Errorf("%s: X-Decision-Id = %q on %d %q, want an id on refusals by the policy alone", a.what, id, a.Status, a.Code())
		}
	}
	if a.Status < 400 || req.Method == "HEAD" {
		return
	}
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		a.t.Errorf("%s: Content-Type of %d = %q", a.what, a.Status, got)
	}
	p := a.JSON()
	code, _ := p["code"].(string)
	if p["status"] != float64(a.Status) || p["requestId"] != id || p["type"] != "urn:gatehouse:problem:"+code {
		a.t.Errorf("%s: problem %s does not agree with its answer (status %d, request id %s)", a.what, a.Body, a.Status, id)
	}
	if path := req.URL.EscapedPath(); p["instance"] != path && p["instance"] != "/" {
		a.t.Errorf("%s: instance = %v, want %s", a.what, p["instance"], path)
	}
	for _, word := range []string{"secret", "10.9.8.7", "internal-db-name", "goroutine", ".go:", "SQL"} {
		if bytes.Contains(a.Body, []byte(word)) {
			a.t.Errorf("%s: the problem tells %q: %s", a.what, word, a.Body)
		}
	}
}

// Want fails the test if the answer is another; code is that of a problem, ""
// for none.
func (a *Answer) Want(status int, code string) *Answer {
	a.t.Helper()
	if a.Status != status || code != a.Code() {
		a.t.Fatalf("%s = %d %q, want %d %q: %s", a.what, a.Status, a.Code(), status, code, a.Body)
	}
	return a
}

// WantFaults wants a 422 that tells exactly these pointers and codes, in turn.
func (a *Answer) WantFaults(pairs ...string) {
	a.t.Helper()
	a.Want(422, "validation_failed")
	var got, want []string
	list, _ := a.JSON()["errors"].([]any)
	for _, e := range list {
		f, _ := e.(map[string]any)
		got = append(got, fmt.Sprintf("%v %v", f["pointer"], f["code"]))
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		want = append(want, pairs[i]+" "+pairs[i+1])
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		a.t.Errorf("%s: faults\n got  %q\n want %q", a.what, got, want)
	}
}

// Code is the code of a problem, "" where there is none.
func (a *Answer) Code() string {
	if a.Status < 400 || len(a.Body) == 0 {
		return ""
	}
	code, _ := a.JSON()["code"].(string)
	return code
}

// JSON is the body as an object.
func (a *Answer) JSON() map[string]any {
	a.t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.Body, &m); err != nil {
		a.t.Fatalf("%s: body %q: %v", a.what, a.Body, err)
	}
	return m
}

// Text is the member at a path of names, as text; "" where there is none.
func (a *Answer) Text(names ...string) string {
	a.t.Helper()
	var v any = a.JSON()
	for _, n := range names {
		m, _ := v.(map[string]any)
		v = m[n]
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// Items are the members "id" of a list.
func (a *Answer) Items(member string) []string {
	a.t.Helper()
	var ids []string
	list, ok := a.JSON()["items"].([]any)
	if !ok {
		a.t.Fatalf("%s: no items: %s", a.what, a.Body)
	}
	for _, one := range list {
		m, _ := one.(map[string]any)
		ids = append(ids, fmt.Sprint(m[member]))
	}
	return ids
}
