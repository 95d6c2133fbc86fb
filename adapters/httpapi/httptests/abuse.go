package httptests

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/domain/access"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// What is sent for the cookie of a session by those who have none (threats.md,
// scenario 10). None of it has the shape of a token.
func forgeries(good string) []string {
	random := rand.New(rand.NewPCG(1, 2))
	list := []string{
		"", " ", "\x00", "\x00" + good[1:], good[:42] + "\x00", good + "\x00", "\xff", "\xff\xfe" + good[2:], strings.Repeat("\xff", 43), "\x7f", good[:20] + "\t" + good[21:],
		strings.Repeat("x", 8<<10), strings.Repeat("\xff", 8<<10), good + good, good[:42], good + "A", good + "=", `"` + good + `"`, good[:42] + "_", good[:42] + "+", good[:42] + "/",
		strings.Repeat("=", 43), "../../etc/passwd", "' or '1'='1", "%00", "%73%69%64", "${jndi:ldap://a}", "null", "undefined", "[object Object]", good[:21] + "\u00a0" + good[23:],
	}
	for range 200 {
		b := make([]byte, random.IntN(100))
		for i := range b {
			for b[i] = ';'; strings.IndexByte(";\r\n", b[i]) >= 0; {
				b[i] = byte(random.Uint32())
			}
		}
		list = append(list, string(b))
	}
	return list
}

// testForgedCookies: a forged cookie is 400, 401 or 431, and one of a wrong shape
// costs no query.
func testForgedCookies(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina := app.SignIn("mina@example.com")
	pipe := newPipe(t, app)
	before := app.Faults.AllCalls()
	for _, value := range forgeries(mina.Cookie) {
		for _, row := range []struct {
			method, path string
			ok           int
		}{{"GET", "/me", 401}, {"POST", "/login/totp", 401}, {"DELETE", "/me", 401}, {"POST", "/logout", 204}} {
			for _, cookie := range []string{"sid=" + value, "a=b; sid=" + value + "; c=d", "sid=" + value + "\r\nCookie: device=" + value} {
				status := pipe.ask(row.method, row.path, cookie)
				if status != row.ok && status != 400 && status != 431 {
					t.Errorf("%s %s with the cookie %.60q = %d, want %d, 400 or 431", row.method, row.path, cookie, status, row.ok)
				}
			}
			if status := pipe.ask(row.method, row.path, "sid="+mina.Cookie+"; sid="+value); status != 400 {
				t.Errorf("%s %s with two cookies, the second %.60q = %d, want 400", row.method, row.path, value, status)
			}
		}
	}
	if n := app.Faults.AllCalls() - before; n != 0 {
		t.Errorf("cookies of a wrong shape cost %d calls of a store", n)
	}
	// One of the right shape costs a look, and where the reason is told another.
	for range 100 {
		before := app.Faults.AllCalls()
		token := app.stores.Random.Token().Reveal()
		if status := pipe.ask("GET", "/products/x", "sid="+token); status != 404 {
			t.Errorf("a public row with an unknown token = %d", status)
		}
		if n := app.Faults.AllCalls() - before; n != 1 {
			t.Errorf("an unknown token costs %d calls of a store on a public row, want one", n)
		}
		if status := pipe.ask("GET", "/me", "sid="+token); status != 401 {
			t.Errorf("a private row with an unknown token = %d", status)
		}
	}
	mina.Do("GET", "/me", nil).Want(200, "")
}

// testFloodOfCookies sends thousands of them down one connection; `make attacks`
// sends a hundred thousand.
func testFloodOfCookies(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina := app.SignIn("mina@example.com")
	var plain []string // those that do not close the connection
	pipe := newPipe(t, app)
	for _, value := range forgeries(mina.Cookie) {
		if pipe.ask("GET", "/me", "sid="+value) == 401 {
			plain = append(plain, value)
		}
	}
	before := app.Faults.AllCalls()
	const flood = 5_000
	c, err := net.Dial("tcp", app.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	go func() {
		w := bufio.NewWriterSize(c, 64<<10)
		for i := range flood {
			_, _ = fmt.Fprintf(w, "GET /me HTTP/1.1\r\nHost: a\r\nCookie: sid=%s\r\n\r\n", plain[i%len(plain)])
		}
		_ = w.Flush()
	}()
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Minute))
	r := bufio.NewReaderSize(c, 64<<10)
	for i := range flood {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("after %d answers: %v", i, err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 401 {
			t.Fatalf("answer %d = %d, %v", i, res.StatusCode, err)
		}
	}
	if n := app.Faults.AllCalls() - before; n != 0 {
		t.Errorf("%d forged cookies cost %d calls of a store", flood, n)
	}
	mina.Do("GET", "/me", nil).Want(200, "")
}

// pipe is a connection on which requests are written byte by byte, made anew when
// the server closes it.
type pipe struct {
	t    *testing.T
	addr string
	c    net.Conn
	r    *bufio.Reader
}

func newPipe(t *testing.T, app *App) *pipe {
	p := &pipe{t: t, addr: app.Addr}
	t.Cleanup(func() {
		if p.c != nil {
			_ = p.c.Close()
		}
	})
	return p
}

// ask sends a request without a body and gives the status.
func (p *pipe) ask(method, path, cookie string) int {
	p.t.Helper()
	if p.c == nil {
		var err error
		if p.c, err = net.Dial("tcp", p.addr); err != nil {
			p.t.Fatal(err)
		}
		p.r = bufio.NewReader(p.c)
	}
	_ = p.c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := fmt.Fprintf(p.c, "%s %s HTTP/1.1\r\nHost: a\r\nCookie: %s\r\n\r\n", method, path, cookie); err != nil {
		p.t.Fatalf("sending %.60q: %v", cookie, err)
	}
	res, err := http.ReadResponse(p.r, nil)
	if err != nil {
		p.t.Fatalf("answer to %.60q: %v", cookie, err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		p.t.Fatal(err)
	}
	if res.Close {
		_ = p.c.Close()
		p.c = nil
	}
	return res.StatusCode
}

// kept is what a store holds of a test's people and products, in words that can
// be compared.
func (a *App) kept() map[string]string {
	a.t.Helper()
	ctx := a.t.Context()
	all := map[string]string{}
	for _, u := range must(a.stores.Users.List(ctx, user.ID{}, 1000)) {
		s := u.State()
		all["user "+u.ID().String()] = fmt.Sprint(u.Email(), s.Name, s.Roles, s.Status, s.EmailVerified, s.PasswordHash.Reveal(), s.SessionEpoch, s.CreatedAt, s.UpdatedAt)
		f := must(a.stores.Factors.Find(ctx, u.ID())).State()
		all["factor "+u.ID().String()] = fmt.Sprint(f.Secret, f.StartedAt, f.ConfirmedAt, f.LastStep, len(f.Recovery))
		for _, one := range must(a.stores.Directory.List(ctx, u.ID())) {
			s := one.State()
			all["session "+one.ID().String()] = fmt.Sprint(s.Key.Hex(), s.Epoch, s.Remembered, s.Methods, s.Device, s.CreatedAt, s.SeenAt, s.ProvedAt, s.IdleEnd, s.End)
		}
		for _, l := range must(a.stores.Outbox.LettersTo(ctx, u.ID())) {
			all["letter "+l.ID.String()] = fmt.Sprint(l)
		}
	}
	for _, p := range must(a.stores.Products.List(ctx, everyProduct)) {
		all["product "+p.ID().String()] = fmt.Sprint(p.OwnerID(), p.Name(), p.Description(), p.Price(), p.Stock(), p.Status(), p.Version(), p.CreatedAt(), p.UpdatedAt(), p.Grants())
	}
	return all
}

// wantKept wants nothing to have changed since.
func (a *App) wantKept(t *testing.T, what string, before map[string]string) {
	t.Helper()
	now := a.kept()
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if now[key] != before[key] {
			t.Errorf("%s changed %s\n from %s\n to   %s", what, key, before[key], now[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, ok := now[key]; !ok {
			t.Errorf("%s took away %s", what, key)
		}
	}
}

// ownMembers are those of testMassAssignmentEverywhere that rows under a path
// take after all; $ is the end of a path.
var ownMembers = []struct{ path, members string }{
	{"/products", "status"}, {"/admin/policies/explain", "userId roles"}, {"/admin/users", "status roles"},
	{"/admin/policies$", "role"}, {"/admin/policies/rollback", "version"},
}

func isOwn(path, member string) bool {
	for _, own := range ownMembers {
		if strings.HasPrefix(path+"$", own.path) && slices.Contains(strings.Fields(own.members), member) {
			return true
		}
	}
	return false
}

// testMassAssignmentEverywhere: no write takes a member that is not its own, in
// whatever form, however right the rest is (scenario 12).
func testMassAssignmentEverywhere(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	all := writes(t, app)
	before := app.kept()
	foreign := []string{"id", "userId", "user_id", "roles", "role", "admin", "isAdmin", "status", "emailVerified", "passwordHash", "password_hash", "sessionEpoch", "ownerId",
		"version", "createdAt", "updatedAt", "recoveryCodes", "methods", "key", "__proto__", "constructor", "Email", "Password", "Code", "Token", "EMAIL"}
	for _, w := range all {
		body, want := maps.Clone(w.body), []string{}
		for _, member := range foreign {
			if _, own := w.body[member]; own || isOwn(w.path, member) {
				continue
			}
			body[member] = "admin"
			want = append(want, "/"+member, "unknown_member")
		}
		w.who.Do(w.method, w.path, body).WantFaults(want...)
		var form, xml []string
		for member, value := range body {
			form = append(form, member+"="+url.QueryEscape(fmt.Sprint(value)))
			xml = append(xml, fmt.Sprintf("<%s>%v</%s>", member, value, member))
		}
		for media, text := range map[string]string{
			"application/x-www-form-urlencoded": strings.Join(form, "&"), "application/xml": "<body>" + strings.Join(xml, "") + "</body>",
			"text/xml": "<body>" + strings.Join(xml, "") + "</body>", "multipart/form-data; boundary=b": "--b\r\nContent-Disposition: form-data; name=\"roles\"\r\n\r\nadmin\r\n--b--\r\n",
		} {
			w.who.Do(w.method, w.path, text, "Content-Type", media).Want(415, "unsupported_media_type")
			w.who.Do(w.method, w.path+"?"+strings.Join(form[:1], "&")+"&roles=admin", text, "Content-Type", media).Want(415, "unsupported_media_type")
		}
	}
	app.wantKept(t, "a refused write", before)
	for _, w := range all { // and each of them would have been accepted without
		if w.path == "/me/password" || w.method == "DELETE" || w.path == "/password/reset" {
			continue // these end what the others stand on
		}
		if a := w.who.Do(w.method, w.path, w.body); a.Status >= 300 {
			t.Errorf("%s %s = %d %s", w.method, w.path, a.Status, a.Body)
		}
	}
}

// testSafeMethods: GET and HEAD change nothing, whoever has a browser send them
// (scenario 21).
func testSafeMethods(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	mina := app.administrator("mina@example.com")
	id := mina.Offer("status", "published")
	token := app.linkFor(mina.Email)
	me, policy := mina.id(), mina.rowID("user product share own allow")
	before := app.kept()
	for _, r := range app.Server.Routes() {
		path := strings.Replace(r.Path, "/admin/users/{id}", "/admin/users/"+me, 1)
		path = strings.Replace(path, "/admin/policies/{id}", "/admin/policies/"+policy, 1)
		path = strings.NewReplacer("{id}", id, "{version}", "1", "{sessionId}", missing, "{asset}", "swagger-ui.css").Replace(path)
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			for _, site := range []string{"same-origin", "cross-site"} {
				query := "?token=" + token + "&email=x@example.com&password=" + password + "&newPassword=" + password + "&_method=DELETE&method=POST"
				a := mina.Do(method, path+query, nil, "Sec-Fetch-Site", site, "X-HTTP-Method-Override", r.Method, "X-Method-Override", r.Method)
				if aside := path == "/admin/policies/explain" || path == "/admin/policies/preview" || path == "/admin/policies/rollback"; aside && a.Status == 404 {
					continue // to GET they are ids of rows, of which there are no such
				}
				if a.Status != 200 && a.Status != 405 {
					t.Errorf("%s %s = %d", method, path, a.Status)
				}
			}
		}
	}
	app.wantKept(t, "a safe method", before)
	app.Anonymous().Do("POST", "/password/reset", reset(token, password)).Want(204, "") // nothing has used the link up
}

// testForwarded: no header that says where a request went by way of decides
// anything (scenario 22); least of all where the links in mails lead, which would
// send tokens to whoever asks for one under another Host.
func testForwarded(t *testing.T, open Open) {
	forged := []string{"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https", "X-Forwarded-Port", "444", "X-Forwarded-Prefix", "/evil", "X-Forwarded-Server", "evil.example",
		"Forwarded", "for=6.6.6.6;host=evil.example;proto=https", "X-Original-URL", "/livez", "X-Rewrite-URL", "/livez", "X-Host", "evil.example", "X-Real-IP", "6.6.6.6",
		"True-Client-IP", "6.6.6.6", "CF-Connecting-IP", "6.6.6.6", "X-Forwarded-For", "6.6.6.6"}
	for _, o := range []Options{{}, {TrustedProxies: loopback}} {
		app := start(t, open, o)
		mina := app.Register("mina@example.com")
		headers := append([]string{"Host", "evil.example"}, forged...)
		a := mina.Do("POST", "/login", creds(mina.Email, password), headers...).Want(200, "")
		want := map[bool]string{true: "127.0.0.1", false: "6.6.6.6"}[len(o.TrustedProxies) == 0]
		if a.Text("session", "ip") != want {
			t.Errorf("ip = %q, want %q", a.Text("session", "ip"), want)
		}
		for _, set := range a.Header.Values("Set-Cookie") {
			if strings.Contains(set, "Secure") || strings.Contains(set, "Domain") || strings.Contains(set, "evil") {
				t.Errorf("Set-Cookie = %q", set)
			}
		}
		if a.Header.Get("Strict-Transport-Security") != "" {
			t.Error("X-Forwarded-Proto decides HSTS")
		}
		created := mina.Do("POST", "/products", teapot(), headers...).Want(201, "")
		if got := created.Header.Get("Location"); got != "/products/"+created.Text("id") {
			t.Errorf("Location = %q", got)
		}
		mina.Do("GET", "/me", nil, headers...).Want(200, "") // and not /livez
		mina.Do("GET", "/nowhere", nil, headers...).Want(404, "not_found")
		app.Anonymous().Do("POST", "/password/forgot", forgot(mina.Email), headers...).Want(202, "")
		mina.Do("POST", "/email/verification", nil, headers...).Want(202, "")
		mina.Do("PUT", "/me/email", obj{"email": "new@example.com", "currentPassword": password}, headers...).Want(202, "")
		for _, m := range app.wantTold(t, "mina@example.com: "+aboutReset, "mina@example.com: "+aboutVerify, "mina@example.com: "+aboutAsked, "new@example.com: "+aboutNewEmail) {
			if all := m.Subject + m.Text + m.HTML; strings.Contains(all, "evil") || strings.Count(m.Text, "https://") != strings.Count(m.Text, linkURL) {
				t.Errorf("a mail follows the request: %s\n%s", m.Subject, m.Text)
			}
		}
	}
}

// everyProduct asks for all of them, whoever may see them.
var everyProduct = ports.ProductQuery{Visible: access.Everything, Limit: 1000}
