package httptests

import (
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"strings"
	"testing"
)

// write is a row that takes a JSON body, with somebody who may call it and a body
// that would be accepted.
type write struct {
	who          *Client
	method, path string
	body         obj
}

// writes are all of them.
func writes(t *testing.T, app *App) []write {
	t.Helper()
	mina := app.SignIn("mina@example.com")
	id := mina.Offer()
	phone, _ := mina.Enrol()
	waiting, kim := mina.Pending(), app.SignIn("kim@example.com")
	starting := authenticator{app, kim.Do("POST", "/me/totp", nil).Want(200, "").Text("secret")}
	app.keep(starting.secret)
	admin := app.SignIn("admin@example.com")
	app.SetRoles(admin.Email, "admin")
	token := app.linkFor(mina.Email)
	mina.Do("POST", "/email/verification", nil).Want(202, "")
	all := []write{
		{mina, "POST", "/register", creds("new@example.com", password)},
		{app.Anonymous(), "POST", "/login", creds(kim.Email, password)},
		{waiting, "POST", "/login/totp", obj{"code": phone.code(0)}},
		{app.Anonymous(), "POST", "/password/forgot", forgot(mina.Email)},
		{app.Anonymous(), "POST", "/password/reset", reset(token, "another-fine-passphrase")},
		{mina, "POST", "/email/verify", obj{"token": app.Token(mina.Email, "/email/verify")}},
		{mina, "PATCH", "/me", obj{"name": "Mina"}},
		{mina, "DELETE", "/me", obj{"password": password}},
		{mina, "PUT", "/me/email", obj{"email": "other@example.com", "currentPassword": password}},
		{mina, "PUT", "/me/password", obj{"currentPassword": password, "newPassword": "another-fine-passphrase"}},
		{mina, "POST", "/me/reauthenticate", obj{"password": password}},
		{kim, "POST", "/me/totp/confirm", obj{"code": starting.code(0)}},
		{mina, "DELETE", "/me/totp", obj{"password": password}},
		{mina, "POST", "/products", teapot()},
		{mina, "PATCH", "/products/" + id, obj{"stock": 1}},
		{admin, "POST", "/admin/policies", policyRow("support user read any allow")},
		{admin, "POST", "/admin/policies/rollback", obj{"version": 1}},
		{admin, "POST", "/admin/policies/preview", obj{"add": policyRow("support user read any allow")}},
		{admin, "POST", "/admin/policies/explain", obj{"roles": []string{"user"}, "action": "read"}},
		{admin, "PATCH", "/admin/users/" + kim.id(), obj{"status": "active", "roles": []string{"user"}}},
		{mina, "PUT", "/products/" + id + "/grants/" + kim.id(), obj{"role": "viewer"}},
		{admin, "PUT", "/products/" + mina.Offer() + "/owner", obj{"ownerId": kim.id()}},
	}
	listed := 0
	for _, item := range app.contract.doc.Paths.Map() {
		for _, op := range item.Operations() {
			if op.RequestBody != nil {
				listed++
			}
		}
	}
	if listed != len(all) {
		t.Fatalf("%d rows take a body, by openapi.json %d", len(all), listed)
	}
	return all
}

// malformed is what is no JSON value that all readers read alike.
var malformed = []string{
	``, ` `, `{`, `}`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,}`, `{,}`, `{a:1}`, `{'a':1}`, `{"a":01}`, `{"a":+1}`, `{"a":.5}`, `{"a":1.}`, `{"a":0x1}`,
	`{"a":NaN}`, `{"a":Infinity}`, `{"a":tru}`, `{"a":TRUE}`, `{"a":1}{}`, `{"a":1} x`, `{} {}`, `{}]`, `[`, `[1,]`, `"a`, "{\"a\":\"\n\"}", "{\"a\":\"\x01\"}",
	`{"a":1,"a":1}`, `{"a":1,"\u0061":2}`, `{"x":{"a":1,"a":2}}`, `{"x":[{"a":1,"a":2}]}`, "\xef\xbb\xbf{}", "{\"a\":\"\xff\"}", "{\"\xff\":1}", "{\"a\":\"\xc0\xaf\"}",
	"{\"a\":\"\xed\xa0\x80\"}", `{"a":"\ud800"}`, `{"a":"\udc00"}`, `{"a":"\ud800\u0041"}`, `{"a":"\x41"}`, `{"a":"\u12"}`, `// x` + "\n{}", `{/**/}`, "{}\x00", "\x00",
	`{"email":"a@b.example","email":"c@d.example","password":"x"}`,
	strings.Repeat(`{"a":`, 33) + `1` + strings.Repeat(`}`, 33), strings.Repeat(`[`, 33) + strings.Repeat(`]`, 33), strings.Repeat(`[`, 60000),
}

func testBodies(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	all := writes(t, app)
	mina := all[0].who
	for _, w := range all {
		for _, body := range malformed {
			if a := w.who.Do(w.method, w.path, body); a.Status != 400 || a.Code() != "malformed_json" {
				t.Errorf("%s %s %.60q = %d %q, want 400 malformed_json", w.method, w.path, body, a.Status, a.Code())
			}
		}
		w.who.Do(w.method, w.path, nil).Want(400, "malformed_json")
		for _, body := range []string{`[]`, `null`, `"x"`, `1`, `true`, `[{}]`, strings.Repeat(`[`, 32) + strings.Repeat(`]`, 32)} {
			w.who.Do(w.method, w.path, body).WantFaults("", "wrong_type")
		}
		deep := `{"zzz":` + strings.Repeat(`[`, 31) + strings.Repeat(`]`, 31) + `}`
		a := w.who.Do(w.method, w.path, deep).Want(422, "validation_failed")
		if !strings.Contains(string(a.Body), `"/zzz"`) {
			t.Errorf("%s %s: %s", w.method, w.path, a.Body)
		}
		if a := w.who.Do(w.method, w.path, `{"a~b/c\u0000":1}`); !strings.Contains(string(a.Body), `"pointer":"/a~0b~1c\u0000"`) {
			t.Errorf("%s %s: %s", w.method, w.path, a.Body)
		}
		if a := w.who.Do(w.method, w.path, "{"+strings.Repeat(`"`+strings.Repeat("x", 8), 1)+`":1}`); a.Status != 422 {
			t.Errorf("%s %s = %d", w.method, w.path, a.Status)
		}
	}
	mina.Do("PATCH", "/me", " \t\r\n{ \"name\" : \"\\ud83d\\ude00\" } \n").Want(200, "")
	many := strings.Builder{}
	for i := range 6000 {
		many.WriteString(`,"m` + strings.Repeat("x", i%3) + string(rune('a'+i%26)) + strings.Repeat("y", i/78) + `":0`)
	}
	a := mina.Do("PATCH", "/me", "{"+many.String()[1:60000]+`"":0}`)
	if a.Status != 400 && a.Status != 422 || len(a.Body) > 64<<10 {
		t.Errorf("a body of unknown members = %d, %d bytes", a.Status, len(a.Body))
	}
}

func testAllFaults(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina := app.SignIn("mina@example.com")
	app.Anonymous().Do("POST", "/register", `{"email":"x","password":7,"name":"\u0000","admin":true,"":1}`).
		WantFaults("/email", "invalid_email", "/password", "wrong_type", "/name", "invalid_characters", "/admin", "unknown_member", "/", "unknown_member")
	mina.Do("POST", "/products", `{"name":5,"description":false,"price":{"amount":"1","currency":1,"c":0},"stock":1.5,"status":"x","owner":1}`).
		WantFaults("/name", "wrong_type", "/description", "wrong_type", "/price/amount", "wrong_type", "/price/currency", "wrong_type", "/price/c", "unknown_member",
			"/stock", "wrong_type", "/status", "invalid_value", "/owner", "unknown_member")
}

func testMediaTypes(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	all := writes(t, app)
	good := map[string]bool{
		"application/json": true, "Application/JSON": true, "application/json; charset=utf-8": true, `application/json;charset="UTF-8"`: true, "application/json ;": true,
		"application/json; charset=latin1": false, "application/json; charset=utf-16": false, "application/json; version=1": false, "application/json; charset=utf-8; a=b": false,
		"text/json": false, "text/plain": false, "application/xml": false, "application/x-www-form-urlencoded": false, "multipart/form-data": false,
		"application/jsonx": false, "application/vnd.api+json": false, "application/json, text/plain": false, "*/*": false, "-": false, "": false,
		"application/problem+json": false, "application/json-patch+json": false,
	}
	for media, ok := range good {
		for _, w := range all {
			a := w.who.Do(w.method, w.path, `{"zzz":1}`, "Content-Type", media)
			if want := map[bool]int{true: 422, false: 415}[ok]; a.Status != want {
				t.Errorf("%s %s as %q = %d, want %d", w.method, w.path, media, a.Status, want)
			}
		}
	}
	for _, w := range all {
		want := 415
		if w.method == "PATCH" {
			want = 422
		}
		if a := w.who.Do(w.method, w.path, `{"zzz":1}`, "Content-Type", "application/merge-patch+json"); a.Status != want {
			t.Errorf("%s %s as a merge patch = %d, want %d", w.method, w.path, a.Status, want)
		}
		for _, encoding := range []string{"gzip", "br", "deflate", "identity, gzip", "x"} {
			w.who.Do(w.method, w.path, "\x1f\x8b\x08", "Content-Encoding", encoding).Want(415, "unsupported_media_type")
		}
		w.who.Do(w.method, w.path, `{"zzz":1}`, "Content-Encoding", "Identity").Want(422, "validation_failed")
		w.who.Do(w.method, w.path, `{"zzz":1}`, "Content-Encoding", "identity", "Content-Encoding", "gzip").Want(415, "unsupported_media_type")
		for _, two := range [][2]string{{"text/plain", "application/json"}, {"application/json", "text/plain"}, {"application/json", "application/json"}} {
			w.who.Do(w.method, w.path, `{"zzz":1}`, "Content-Type", two[0], "Content-Type", two[1]).Want(415, "unsupported_media_type")
		}
		w.who.Do(w.method, w.path, nil, "Content-Type", "text/plain").Want(400, "malformed_json")
	}
}

func testOriginGate(t *testing.T, open Open) {
	app := start(t, open, Options{TrustedOrigins: []string{"https://App.example.com"}})
	mina := app.SignIn("mina@example.com")
	const trusted, foreign = "https://app.example.com", "https://evil.example"
	own := "http://" + app.Addr
	pass := func(site, origin string) bool {
		switch {
		case site == "same-origin" || site == "none":
			return true
		case strings.EqualFold(origin, trusted):
			return true
		case site != "-":
			return false
		}
		return origin == "-" || strings.EqualFold(origin, own) || strings.EqualFold(origin, "http://API.example.com") || origin == "https://"+app.Addr
	}
	for _, site := range []string{"-", "same-origin", "none", "same-site", "cross-site", "Same-Origin", "other"} {
		for _, origin := range []string{"-", own, "https://" + app.Addr, trusted, "https://APP.example.com", foreign, "null", "http://" + app.Addr + "0",
			trusted + ":444", trusted + ".evil.example", "https://user@app.example.com", app.Addr, own + "/", "file://" + app.Addr} {
			ok := pass(site, origin)
			for _, w := range []struct{ method, path string }{
				{"POST", "/logout"}, {"POST", "/login"}, {"POST", "/login/totp"}, {"POST", "/register"}, {"PATCH", "/me"}, {"DELETE", "/me"}, {"DELETE", "/me/sessions"},
				{"PUT", "/me/password"}, {"PUT", "/me/email"}, {"POST", "/me/reauthenticate"}, {"POST", "/me/totp"}, {"POST", "/me/totp/confirm"}, {"DELETE", "/me/totp"},
				{"POST", "/password/forgot"}, {"POST", "/password/reset"}, {"POST", "/email/verification"}, {"POST", "/email/verify"},
				{"POST", "/products"}, {"PATCH", "/products/" + missing}, {"DELETE", "/products/" + missing}, {"POST", "/nowhere"}, {"DELETE", "/livez"},
			} {
				a := app.Anonymous().Do(w.method, w.path, nil, "Sec-Fetch-Site", site, "Origin", origin)
				if (a.Code() != "cross_site_request") != ok || !ok && a.Status != 403 {
					t.Errorf("%s %s from site %q, origin %q = %d %q, want passed %v", w.method, w.path, site, origin, a.Status, a.Code(), ok)
				}
				if vary := strings.Join(a.Header.Values("Vary"), ", "); !strings.Contains(vary, "Sec-Fetch-Site") || !strings.Contains(vary, "Origin") {
					t.Errorf("%s %s: Vary = %q", w.method, w.path, vary)
				}
			}
			for _, method := range []string{"GET", "HEAD"} {
				if a := mina.Do(method, "/me", nil, "Sec-Fetch-Site", site, "Origin", origin); a.Status != 200 {
					t.Errorf("%s /me from site %q, origin %q = %d", method, site, origin, a.Status)
				}
			}
		}
	}
	app.Anonymous().Do("POST", "/logout", nil, "Host", "api.example.com", "Origin", "https://API.Example.com").Want(204, "")
	app.Anonymous().Do("POST", "/logout", nil, "Host", "api.example.com", "Origin", "https://other.example.com").Want(403, "cross_site_request")
	app.Anonymous().Do("POST", "/logout", nil, "X-Forwarded-Host", "evil.example", "Origin", foreign).Want(403, "cross_site_request")
	app.Anonymous().Do("POST", "/logout", nil, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site").Want(403, "cross_site_request")
	mina.Do("GET", "/me", nil).Want(200, "")
	testSimpleRequests(t, open)
	plain := start(t, open, Options{})
	plain.Anonymous().Do("POST", "/logout", nil, "Origin", trusted).Want(403, "cross_site_request")
}

// testSimpleRequests: what a page of another site can send without asking first, a
// form or text, is read by no row, and from elsewhere not even looked at.
func testSimpleRequests(t *testing.T, open Open) {
	t.Helper()
	app := start(t, open, Options{Limits: unlimited})
	for _, w := range writes(t, app) {
		for _, media := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "-"} {
			w.who.Do(w.method, w.path, w.body, "Content-Type", media, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example").Want(403, "cross_site_request")
			w.who.Do(w.method, w.path, w.body, "Content-Type", media, "Origin", "null").Want(403, "cross_site_request")
			if media != "application/json" {
				w.who.Do(w.method, w.path, w.body, "Content-Type", media, "Sec-Fetch-Site", "same-origin").Want(415, "unsupported_media_type")
			}
		}
	}
}

func testSharedOrigins(t *testing.T, open Open) {
	app := start(t, open, Options{TrustedOrigins: []string{"https://app.example.com"}})
	mina := app.SignIn("mina@example.com")
	shared := func(a *Answer) bool {
		return a.Header.Get("Access-Control-Allow-Origin") == "https://app.example.com" && a.Header.Get("Access-Control-Allow-Credentials") == "true"
	}
	for _, path := range []string{"/me", "/products", "/nowhere", "/products/x"} {
		a := mina.Do("GET", path, nil, "Origin", "https://app.example.com", "Sec-Fetch-Site", "same-site")
		if !shared(a) || a.Header.Get("Access-Control-Expose-Headers") != "etag, idempotency-replayed, location, x-request-id, x-decision-id, retry-after" || !strings.Contains(a.Header.Get("Vary"), "Origin") {
			t.Errorf("GET %s from a trusted origin: %v", path, a.Header)
		}
		for _, origin := range []string{"https://evil.example", "null", "*", "-"} {
			if a := mina.Do("GET", path, nil, "Origin", origin); a.Header.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(a.Header.Get("Vary"), "Origin") {
				t.Errorf("GET %s from %s: %v", path, origin, a.Header)
			}
		}
	}
	a := app.Anonymous().Do("OPTIONS", "/products", nil, "Origin", "https://app.example.com", "Access-Control-Request-Method", "POST", "Sec-Fetch-Site", "cross-site")
	if a.Status != 204 || !shared(a) || !strings.Contains(a.Header.Get("Access-Control-Allow-Methods"), "PATCH") || !strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), "if-match") {
		t.Errorf("preflight = %d %v", a.Status, a.Header)
	}
	app.Anonymous().Do("OPTIONS", "/products", nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST").Want(405, "method_not_allowed")
	app.Anonymous().Do("OPTIONS", "/products", nil, "Origin", "https://app.example.com").Want(405, "method_not_allowed")
	app.Anonymous().Do("OPTIONS", "/nowhere", nil).Want(404, "not_found")
	app.Anonymous().Do("BREW", "/products", nil, "Origin", "https://app.example.com", "Access-Control-Request-Method", "POST").Want(405, "method_not_allowed")
}

func testPaths(t *testing.T, open Open) {
	app := start(t, open, Options{})
	c := app.Anonymous()
	for _, path := range []string{"/", "/nowhere", "/Me", "/ME", "/me/", "//me", "/me/x", "/products/", "/products//permissions", "/products/" + missing + "/", "/me/sessions/",
		"/livez/", "/docs/", "/docs/a/b", "/docs/..%2fserver.go", "/docs/swagger-ui.js.gz", "/openapi.JSON", "/me%2fsessions", "/products/../me", "/.env"} {
		c.Do("GET", path, nil).Want(404, "not_found")
		if !strings.HasPrefix(path, "/docs/") {
			c.Do("POST", path, `{}`).Want(404, "not_found")
		}
	}
	for _, row := range []struct{ path, allow string }{
		{"/register", "POST"}, {"/login", "POST"}, {"/logout", "POST"}, {"/login/totp", "POST"}, {"/password/forgot", "POST"}, {"/password/reset", "GET, HEAD, POST"}, {"/email/verification", "POST"}, {"/email/verify", "GET, HEAD, POST"},
		{"/me/email", "PUT"}, {"/me/reauthenticate", "POST"}, {"/me/totp", "POST, DELETE"}, {"/me/totp/confirm", "POST"}, {"/me", "GET, HEAD, DELETE, PATCH"}, {"/me/export", "GET, HEAD"}, {"/me/sessions", "GET, HEAD, DELETE"}, {"/me/sessions/x", "DELETE"},
		{"/me/password", "PUT"}, {"/products", "GET, HEAD, POST"}, {"/products/x", "GET, HEAD, DELETE, PATCH"}, {"/products/x/permissions", "GET, HEAD"},
		{"/admin/policies/x", "GET, HEAD, DELETE"}, {"/admin/policies/explain", "POST"}, {"/admin/policies/rollback", "POST"}, {"/admin/policies/history", "GET, HEAD"},
		{"/livez", "GET, HEAD"}, {"/readyz", "GET, HEAD"}, {"/openapi.json", "GET, HEAD"}, {"/docs", "GET, HEAD"},
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get", "PROPFIND"} {
			if strings.Contains(" "+row.allow+",", " "+method+",") {
				continue
			}
			a := c.Do(method, row.path, nil)
			if a.Status != 405 || method != "HEAD" && a.Code() != "method_not_allowed" || a.Header.Get("Allow") != row.allow {
				t.Errorf("%s %s = %d %q, Allow %q; want 405, Allow %q", method, row.path, a.Status, a.Code(), a.Header.Get("Allow"), row.allow)
			}
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/openapi.json", "/docs", "/products"} {
		get, head := c.Do("GET", path, nil), c.Do("HEAD", path, nil)
		if head.Status != 200 || len(head.Body) > 0 || get.Header.Get("Content-Length") != head.Header.Get("Content-Length") || get.Header.Get("Content-Type") != head.Header.Get("Content-Type") {
			t.Errorf("HEAD %s = %d %v\nGET %v", path, head.Status, head.Header, get.Header)
		}
	}
}

func testHTTPS(t *testing.T, open Open) {
	app := start(t, open, Options{PublicURL: "https://shop.example.com"})
	mina := app.Register("mina@example.com")
	a := mina.Do("POST", "/login", creds("mina@example.com", password)).Want(200, "")
	if set, want := a.Header.Get("Set-Cookie"), "__Host-sid="+mina.Cookie+"; Path=/; HttpOnly; Secure; SameSite=Lax"; set != want {
		t.Errorf("Set-Cookie = %q, want %q", set, want)
	}
	if got := a.Header.Get("Strict-Transport-Security"); got != "max-age=63072000; includeSubDomains" {
		t.Errorf("Strict-Transport-Security = %q, want two years", got)
	}
	mina.Do("GET", "/me", nil).Want(200, "")
	mina.Do("GET", "/me", nil, "Cookie", "sid="+mina.Cookie).Want(401, "unauthenticated")
	token := mina.Cookie
	mina.Cookie = ""
	mina.Do("GET", "/me", nil, "Cookie", "sid=planted; __Host-sid="+token).Want(200, "")
	mina.Do("GET", "/me", nil, "Cookie", "__Host-sid="+token+"; __Host-sid=x").Want(400, "duplicate_cookie")
	out := mina.Do("POST", "/logout", nil, "Cookie", "__Host-sid="+token).Want(204, "")
	if got := out.Header.Get("Set-Cookie"); got != "__Host-sid=; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=0" {
		t.Errorf("logout Set-Cookie = %q", got)
	}
	doc := mina.Do("GET", "/openapi.json", nil)
	if got := doc.Text("components", "securitySchemes", "session", "name"); got != "__Host-sid" {
		t.Errorf("the document names the cookie %q", got)
	}
	if a := start(t, open, Options{}).Anonymous().Do("GET", "/livez", nil); a.Header.Get("Strict-Transport-Security") != "" {
		t.Error("HSTS under http")
	}
}

func testClientAddress(t *testing.T, open Open) {
	behind := Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}}
	for _, row := range []struct {
		o    Options
		xff  []string
		want string
	}{
		{Options{}, []string{"198.51.100.1"}, "127.0.0.1"},
		{behind, nil, "127.0.0.1"},
		{behind, []string{"198.51.100.1"}, "198.51.100.1"},
		{behind, []string{"6.6.6.6, 198.51.100.1"}, "198.51.100.1"},
		{behind, []string{"6.6.6.6, 198.51.100.1, 10.0.0.1"}, "198.51.100.1"},
		{behind, []string{"6.6.6.6", "198.51.100.1 , 10.0.0.1"}, "198.51.100.1"},
		{behind, []string{"198.51.100.1, nonsense, 10.0.0.1"}, "10.0.0.1"},
		{behind, []string{"10.0.0.9, 10.0.0.1"}, "10.0.0.9"},
		{behind, []string{"198.51.100.1:1234"}, "198.51.100.1"},
		{behind, []string{"[2001:db8::7]:1234"}, "2001:db8::7"},
		{behind, []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
	} {
		app := start(t, open, row.o)
		mina := app.Register("mina@example.com")
		headers := []string{"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https", "X-Real-IP", "6.6.6.6", "Forwarded", "for=6.6.6.6"}
		for _, line := range row.xff {
			headers = append(headers, "X-Forwarded-For", line)
		}
		a := mina.Do("POST", "/login", creds("mina@example.com", password), headers...).Want(200, "")
		if got := a.Text("session", "ip"); got != row.want {
			t.Errorf("X-Forwarded-For %q: ip = %q, want %q", row.xff, got, row.want)
		}
		if strings.Contains(a.Header.Get("Set-Cookie"), "Secure") {
			t.Error("X-Forwarded-Proto decides the cookie")
		}
	}
	app := start(t, open, Options{})
	app.Register("mina@example.com")
	a := app.Anonymous().Do("POST", "/login", creds("mina@example.com", password), "User-Agent", strings.Repeat("u", 600)+"\xff")
	if got := a.Want(200, "").Text("session", "userAgent"); got != strings.Repeat("u", 512) {
		t.Errorf("user agent kept: %d characters", len(got))
	}
}

// testLinkPages: what the links in mails open runs its own script alone, masks a
// password and lets a password manager fill it in.
func testLinkPages(t *testing.T, open Open) {
	app := start(t, open, Options{})
	for _, path := range []string{"/password/reset", "/email/verify"} {
		page := app.Anonymous().Do("GET", path, nil).Want(200, "")
		csp, text := page.Header.Get("Content-Security-Policy"), string(page.Body)
		for tag, directive := range map[string]string{"script": "script-src ", "style": "style-src "} {
			_, rest, _ := strings.Cut(text, "<"+tag+">")
			inline, _, _ := strings.Cut(rest, "</"+tag+">")
			sum := sha256.Sum256([]byte(inline))
			if want := directive + "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.Contains(csp, want) {
				t.Errorf("%s: the policy %q does not have %q", path, csp, want)
			}
			if n := strings.Count(text, "<"+tag); n != 1 {
				t.Errorf("%s has %d of <%s>, want the one that the policy names", path, n, tag)
			}
		}
		for _, want := range []string{`<input id="password" type="password"`, `autocomplete="new-password"`, "location.hash", "history.replaceState"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %s", path, want)
			}
		}
		for _, no := range []string{"paste", "src=", "href=", "http://", "https://", "innerHTML", "localStorage"} {
			if strings.Contains(text, no) {
				t.Errorf("%s has %s", path, no)
			}
		}
	}
}

func testDocs(t *testing.T, open Open) {
	app := start(t, open, Options{})
	c := app.Anonymous()
	page := c.Do("GET", "/docs", nil).Want(200, "")
	csp := page.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "'sha256-") || strings.Contains(strings.SplitN(csp, "style-src", 2)[0], "unsafe-inline") || page.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("docs: %v", page.Header)
	}
	if strings.Contains(string(page.Body), `src="http`) || strings.Contains(string(page.Body), `href="http`) {
		t.Error("the page loads something from elsewhere")
	}
	for name, media := range map[string]string{"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "swagger-ui-standalone-preset.js": "text/javascript", "favicon-32x32.png": "image/png", "favicon-16x16.png": "image/png"} {
		if !strings.Contains(string(page.Body), "/docs/"+name) {
			t.Errorf("the page does not load %s", name)
		}
		for _, encoding := range []string{"gzip", "identity"} {
			a := c.Do("GET", "/docs/"+name, nil, "Accept-Encoding", encoding).Want(200, "")
			if !strings.HasPrefix(a.Header.Get("Content-Type"), media) || len(a.Body) < 100 {
				t.Errorf("%s as %s: %v, %d bytes", name, encoding, a.Header, len(a.Body))
			}
			if (a.Header.Get("Content-Encoding") == "gzip") != (encoding == "gzip" && media != "image/png") {
				t.Errorf("%s asked as %s comes as %q", name, encoding, a.Header.Get("Content-Encoding"))
			}
		}
	}
}
