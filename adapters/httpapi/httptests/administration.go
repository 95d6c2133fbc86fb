package httptests

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/application/sessions"
)

// administrator gives a client whose user has the role admin.
func (a *App) administrator(email string) *Client {
	a.t.Helper()
	c := a.SignIn(email)
	a.SetRoles(email, "admin", "user")
	return c
}

// testAdminUsers: who there is, and what of them is shown.
func testAdminUsers(t *testing.T, open Open) {
	app := start(t, open, Options{})
	root := app.administrator("root@example.com")
	mina, eve, bob := app.SignIn("Mina@Example.com"), app.SignIn("eve@b\u00fccher.example"), app.SignIn("bob@example.com")
	mina.Do("PATCH", "/me", obj{"name": "100% \ud55c\uae00_Na\u00efve"}).Want(200, "")
	app.SetRoles(eve.Email, "support", "user")
	app.DisableAsOperator(bob.Email)
	for query, want := range map[string][]string{
		"": {"bob@example.com", "eve@b\u00fccher.example", "Mina@Example.com", "root@example.com"},
		"limit=&cursor=&q=&role=&status=&unknown=1": {"bob@example.com", "eve@b\u00fccher.example", "Mina@Example.com", "root@example.com"},
		"q=MINA@": {"Mina@Example.com"}, "q=na%C3%8Fve": {"Mina@Example.com"}, "q=%25": {"Mina@Example.com"}, "q=_": {"Mina@Example.com"}, "q=%ED%95%9C": {"Mina@Example.com"},
		"q=B%C3%9CCHER": {"eve@b\u00fccher.example"}, "q=xn--": {"eve@b\u00fccher.example"}, "q=example.com": {"bob@example.com", "Mina@Example.com", "root@example.com"},
		"q=nobody": nil, "q=%5C": nil, "q='": nil, "q=%0A": nil, "q=" + strings.Repeat("x", 10_000): nil,
		"role=admin": {"root@example.com"}, "role=support": {"eve@b\u00fccher.example"}, "role=moderator": nil, "role=user&status=active": {"eve@b\u00fccher.example", "Mina@Example.com", "root@example.com"},
		"status=disabled": {"bob@example.com"}, "status=disabled&role=admin": nil, "q=e&limit=1": {"bob@example.com"}, "role=support&role=admin": {"eve@b\u00fccher.example"},
	} {
		a := root.Do("GET", "/admin/users?"+query, nil).Want(200, "")
		if got := a.Items("email"); !slices.Equal(got, want) {
			t.Errorf("GET /admin/users?%.60s = %q, want %q", query, got, want)
		}
		if next := a.JSON()["nextCursor"]; (next == nil) != (query != "q=e&limit=1") {
			t.Errorf("GET /admin/users?%.60s: nextCursor = %v", query, next)
		}
	}
	for query, want := range map[string][]string{
		"limit=0": {"/limit", "out_of_range"}, "limit=101": {"/limit", "out_of_range"}, "limit=x": {"/limit", "out_of_range"}, "limit=1.0": {"/limit", "out_of_range"},
		"role=Root": {"/role", "invalid_value"}, "role=x%20y": {"/role", "invalid_value"}, "status=gone": {"/status", "invalid_value"}, "status=ACTIVE": {"/status", "invalid_value"},
		"q=%00": {"/q", "invalid_characters"}, "q=%ff": {"/q", "invalid_characters"},
		"limit=0&role=R&status=x&q=%00&cursor=x": {"/limit", "out_of_range", "/role", "invalid_value", "/status", "invalid_value", "/q", "invalid_characters"},
	} {
		root.Do("GET", "/admin/users?"+query, nil).WantFaults(want...)
	}
	id := mina.id()
	shown, own := root.Do("GET", "/admin/users/"+id, nil).Want(200, ""), mina.Do("GET", "/me", nil)
	if string(shown.Body) != string(own.Body) {
		t.Errorf("GET /admin/users/{id} = %s, want what GET /me says: %s", shown.Body, own.Body)
	}
	for _, none := range []string{missing, "x", "00000000-0000-0000-0000-000000000000", strings.ToUpper(id) + "0", "%00"} {
		for _, r := range [][2]string{{"GET", ""}, {"PATCH", ""}, {"GET", "/sessions"}, {"DELETE", "/sessions"}, {"DELETE", "/sessions/" + missing}, {"DELETE", "/sessions/x"}} {
			var body any
			if r[0] == "PATCH" {
				body = obj{"status": "active"}
			}
			root.Do(r[0], "/admin/users/"+none+r[1], body).Want(404, "not_found")
			mina.Do(r[0], "/admin/users/"+none+r[1], body).Want(403, "forbidden")
		}
	}
	root.Do("DELETE", "/admin/users/"+id+"/sessions/x", nil).Want(404, "not_found")
}

// testAdminDenied: 401 for who has not signed in, 403 for who may not, whatever
// else is wrong; a store that cannot be asked is neither.
func testAdminDenied(t *testing.T, open Open) {
	app := start(t, open, Options{})
	root, mina, mod := app.administrator("root@example.com"), app.SignIn("mina@example.com"), app.SignIn("mod@example.com")
	app.SetRoles(mod.Email, "moderator")
	app.administrator("another@example.com") // so that one can be demoted
	id := app.SignIn("kim@example.com").id()
	rows := []struct {
		method, path string
		body         any
		ports        []string // without which it cannot be told
	}{
		{"GET", "/admin/users", nil, []string{"users", "authorizer"}}, {"GET", "/admin/users?limit=0&cursor=x", nil, nil}, {"GET", "/admin/users/" + id, nil, []string{"users", "authorizer"}},
		{"PATCH", "/admin/users/" + id, obj{"status": "active", "roles": []string{"user"}}, []string{"users", "authorizer"}}, {"PATCH", "/admin/users/" + id, `{`, nil}, {"PATCH", "/admin/users/" + id, obj{"roles": 1}, nil},
		{"GET", "/admin/users/" + id + "/sessions", nil, []string{"users", "directory", "authorizer"}},
		{"DELETE", "/admin/users/" + id + "/sessions", nil, []string{"users", "directory", "authorizer"}}, {"DELETE", "/admin/users/" + id + "/sessions/" + missing, nil, []string{"directory", "authorizer"}},
		{"GET", "/admin/audit", nil, []string{"audit", "authorizer"}}, {"GET", "/admin/audit?actor=x&limit=0", nil, nil},
	}
	before := root.Do("GET", "/admin/users/"+id, nil).Body
	for _, r := range rows {
		app.Anonymous().Do(r.method, r.path, r.body).Want(401, "unauthenticated")
		for _, c := range []*Client{mina, mod} {
			c.Do(r.method, r.path, r.body).Want(403, "forbidden")
		}
		for _, port := range r.ports {
			app.Faults.Break(port, outage)
			root.Do(r.method, r.path, r.body).Want(503, "unavailable")
			app.Faults.Break(port, nil)
		}
		if r.method != "GET" {
			root.Do(r.method, r.path, r.body, "Sec-Fetch-Site", "cross-site").Want(403, "cross_site_request")
			root.Do(r.method, r.path, r.body, "Origin", "https://evil.example").Want(403, "cross_site_request")
		}
	}
	if after := root.Do("GET", "/admin/users/"+id, nil).Body; string(after) != string(before) {
		t.Errorf("refusals and outages have changed %s to %s", before, after)
	}
	app.Faults.Break("ledger", outage) // a refusal that cannot be written down is none
	mina.Do("GET", "/admin/users", nil).Want(503, "unavailable")
	app.Faults.Break("ledger", nil)
	app.SetRoles(root.Email, "user") // counts from the next request on
	root.Do("GET", "/admin/users", nil).Want(403, "forbidden")
}

// testAdminChange: roles and status, in one step, counting at once.
func testAdminChange(t *testing.T, open Open) {
	app := start(t, open, Options{})
	root, mina := app.administrator("root@example.com"), app.SignIn("mina@example.com")
	path, phone := "/admin/users/"+mina.id(), mina.Again()
	lamp := root.Offer("status", "draft")
	mina.Do("GET", "/products/"+lamp, nil).Want(404, "not_found")

	a := root.Do("PATCH", path, obj{"roles": []string{"moderator", "custom-1", "moderator"}}, "Content-Type", "application/merge-patch+json").Want(200, "")
	if got := a.Text("roles"); got != "[custom-1 moderator]" {
		t.Errorf("roles = %s", got)
	}
	mina.Do("GET", "/products/"+lamp, nil).Want(200, "")
	changed := root.Do("GET", path, nil).Text("updatedAt")
	rows := len(app.AuditRows())
	for _, nothing := range []any{obj{}, obj{"status": "active"}, obj{"roles": []string{"custom-1", "moderator"}}, obj{"roles": []string{"moderator", "custom-1"}, "status": "active"}} {
		if a := root.Do("PATCH", path, nothing).Want(200, ""); a.Text("updatedAt") != changed {
			t.Errorf("PATCH %v changed something: %s", nothing, a.Body)
		}
	}
	if n := len(app.AuditRows()); n != rows {
		t.Errorf("changes of nothing wrote %d rows", n-rows)
	}
	for body, want := range map[string][]string{
		`{"roles":[]}`: {"/roles", "required"}, `{"roles":null}`: {"/roles", "required"}, `{"status":null}`: {"/status", "required"}, `{"roles":"admin"}`: {"/roles", "wrong_type"},
		`{"roles":["anonymous"]}`: {"/roles", "invalid_value"}, `{"roles":["admin",1,"x y",null]}`: {"/roles/1", "wrong_type", "/roles/3", "wrong_type"},
		`{"roles":["Admin","ok",""]}`: {"/roles/0", "invalid_value", "/roles/2", "invalid_value"}, `{"roles":["a\u0000"]}`: {"/roles/0", "invalid_characters"},
		`{"status":"gone"}`: {"/status", "invalid_value"}, `{"status":1}`: {"/status", "wrong_type"}, `{"status":"Disabled"}`: {"/status", "invalid_value"},
		`{"email":"x@example.com","status":"disabled"}`:                        {"/email", "unknown_member"},
		`{"name":"x","roles":[],"status":"x","password":"x","sessionEpoch":0}`: {"/name", "unknown_member", "/roles", "required", "/status", "invalid_value", "/password", "unknown_member", "/sessionEpoch", "unknown_member"},
		`{"roles":["r` + strings.Join(numbers(33), `","r`) + `"]}`:             {"/roles", "too_many"},
	} {
		root.Do("PATCH", path, body).WantFaults(want...)
	}
	root.Do("PATCH", path, `{`).Want(400, "malformed_json")
	root.Do("PATCH", path, `{"status":"active","status":"disabled"}`).Want(400, "malformed_json")
	root.Do("PATCH", path, `{"status":"disabled"}`, "Content-Type", "text/plain").Want(415, "unsupported_media_type")
	if a := root.Do("PATCH", path, `{"roles":[`+strings.Repeat(`1,`, 20_000)+`1]}`).Want(422, "validation_failed"); len(a.Body) > 30_000 {
		t.Errorf("an array of faults is answered with %d bytes", len(a.Body))
	}
	mina.Do("GET", "/me", nil).Want(200, "")

	root.Do("PATCH", path, obj{"roles": []string{"user"}, "status": "disabled"}).Want(200, "")
	for _, dead := range []*Client{mina, phone} {
		token := dead.Cookie
		a := dead.Do("GET", "/me", nil).Want(401, "unauthenticated")
		if a.Text("reason") != "account_disabled" {
			t.Errorf("the 401 of who was disabled says %q", a.Text("reason"))
		}
		dead.Cookie = token
	}
	app.Anonymous().Do("POST", "/login", creds(mina.Email, password)).Want(401, "invalid_credentials")
	root.Do("PATCH", path, obj{"status": "active"}).Want(200, "")
	phone.Do("GET", "/me", nil).Want(401, "unauthenticated") // what ended stays ended
	again := app.Anonymous()
	again.Do("POST", "/login", creds(mina.Email, password)).Want(200, "")
	again.Do("GET", "/products/"+lamp, nil).Want(404, "not_found")
}

func numbers(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(i)
	}
	return all
}

// testAdminProof: what is sensitive takes a proof of the last ten minutes; to sign
// in is one.
func testAdminProof(t *testing.T, open Open) {
	app := start(t, open, Options{})
	root, mina := app.administrator("root@example.com"), app.SignIn("mina@example.com")
	path := "/admin/users/" + mina.id()
	sensitive := func(code string, status ...int) {
		t.Helper()
		root.Do("PATCH", path, obj{"roles": []string{"moderator"}}).Want(status[0], code)
		root.Do("PATCH", path, obj{"status": "active"}).Want(status[0], code)
		root.Do("DELETE", path+"/sessions/"+missing, nil).Want(status[1], orCode(code, "not_found"))
		root.Do("DELETE", path+"/sessions", nil).Want(status[2], code)
	}
	sensitive("", 200, 404, 204)
	app.Advance(sessions.DefaultReauth)
	sensitive("reauth_required", 403, 403, 403)
	root.Do("GET", "/admin/users", nil).Want(200, "")
	root.Do("GET", path, nil).Want(200, "")
	root.Do("GET", path+"/sessions", nil).Want(200, "")
	root.Do("GET", "/admin/audit", nil).Want(200, "")
	root.Do("PATCH", path, obj{}).Want(200, "")
	root.Do("PATCH", path, obj{"roles": 1}).WantFaults("/roles", "wrong_type")
	root.Do("POST", "/me/reauthenticate", obj{"password": password}).Want(204, "")
	sensitive("", 200, 404, 204)
}

func orCode(code, other string) string {
	if code == "" {
		return other
	}
	return code
}

// testAdminSessions: the sessions of others are listed and ended, and the next
// request with one is refused.
func testAdminSessions(t *testing.T, open Open) {
	app := start(t, open, Options{})
	root, mina, eve := app.administrator("root@example.com"), app.SignIn("mina@example.com"), app.SignIn("eve@example.com")
	phone, tablet := mina.Again(), mina.Again()
	path := "/admin/users/" + mina.id() + "/sessions"
	shown, own := root.Do("GET", path, nil).Want(200, ""), tablet.Do("GET", "/me/sessions", nil)
	if got, want := strings.ReplaceAll(string(own.Body), `"current":true`, `"current":false`), string(shown.Body); got != want {
		t.Errorf("GET %s = %s, want what the user sees: %s", path, want, got)
	}
	ids := shown.Items("id") // the newest first
	theirs := eve.Do("GET", "/me/sessions", nil).Items("id")[0]
	root.Do("DELETE", path+"/"+theirs, nil).Want(404, "not_found")
	root.Do("DELETE", path+"/"+ids[1], nil).Want(204, "")
	root.Do("DELETE", path+"/"+ids[1], nil).Want(404, "not_found")
	ended := func(c *Client) {
		t.Helper()
		if a := c.Do("GET", "/me", nil).Want(401, "unauthenticated"); a.Text("reason") != "ended_by_admin" {
			t.Errorf("the 401 of a session that an administrator ended says %q", a.Text("reason"))
		}
	}
	ended(phone)
	mina.Do("GET", "/me", nil).Want(200, "")
	root.Do("DELETE", path, nil).Want(204, "")
	ended(mina)
	ended(tablet)
	if got := root.Do("GET", path, nil).Want(200, "").Items("id"); len(got) != 0 {
		t.Errorf("sessions after all were ended: %v", got)
	}
	root.Do("DELETE", path, nil).Want(204, "")
	eve.Do("GET", "/me", nil).Want(200, "")

	// One's own are sessions like any.
	me := "/admin/users/" + root.id() + "/sessions"
	other := root.Again()
	list := root.Do("GET", me, nil)
	if n := strings.Count(string(list.Body), `"current":true`); n != 1 {
		t.Errorf("of one's own sessions %d are the current one: %s", n, list.Body)
	}
	root.Do("DELETE", me+"/"+list.Items("id")[1], nil).Want(204, "")
	if root.Cookie != "" {
		t.Error("who ended the session that they are in keeps its cookie")
	}
	other.Do("DELETE", me, nil).Want(204, "")
	if other.Cookie != "" {
		t.Error("who ended all of their sessions keeps the cookie")
	}
}

// testAdminLast: two who take each other's right to administer at once leave one
// of them.
func testAdminLast(t *testing.T, open Open) {
	app := start(t, open, Options{RequestTimeout: time.Minute})
	root := app.administrator("root@example.com")
	path := "/admin/users/" + root.id()
	root.Do("PATCH", path, obj{"roles": []string{"user"}}).Want(409, "last_admin")
	root.Do("PATCH", path, obj{"status": "disabled"}).Want(409, "last_admin")
	root.Do("PATCH", path, obj{"roles": []string{"moderator"}, "status": "disabled"}).Want(409, "last_admin")
	root.Do("PATCH", path, obj{"roles": []string{"admin", "moderator"}}).Want(200, "") // still one
	second := app.administrator("second@example.com")
	ids := []string{root.id(), second.id()}
	for round := range 12 {
		both := []*Client{root, second}
		change := []obj{{"roles": []string{"user"}}, {"status": "disabled"}}[round%2]
		var answers [2]*Answer
		var failed [2]error
		inParallel(t, 2, func(i int) { answers[i], failed[i] = both[i].With(t).try("PATCH", "/admin/users/"+ids[1-i], change) })
		if err := errors.Join(failed[:]...); err != nil {
			t.Fatal(err)
		}
		left := -1
		for i, c := range both {
			if c.With(t).Do("GET", "/admin/users", nil).Status == 200 {
				if left >= 0 {
					t.Fatalf("round %d: both are left, after %d and %d", round, answers[0].Status, answers[1].Status)
				}
				left = i
			}
		}
		if left < 0 {
			t.Fatalf("round %d: nobody is left to administer, after %s and %s", round, answers[0].Body, answers[1].Body)
		}
		if answers[left].Status != 200 {
			t.Errorf("round %d: who is left was told %d", round, answers[left].Status)
		}
		// The other one came too late: to be the last one's last, to be let in at all,
		// or to have a session.
		if a := answers[1-left]; a.Status == 200 || a.Status != 409 && a.Status != 403 && a.Status != 401 {
			t.Errorf("round %d: who is out was told %d %s", round, a.Status, a.Body)
		}
		both[left].Do("PATCH", "/admin/users/"+ids[1-left], obj{"roles": []string{"admin"}, "status": "active"}).Want(200, "")
		out := both[1-left]
		out.Cookie = ""
		out.Do("POST", "/login", creds(out.Email, password)).Want(200, "")
	}
}

// testAdminWalk: everybody is met once while others register.
func testAdminWalk(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	root := app.administrator("root@example.com")
	want := []string{"root@example.com"}
	for i := range 22 {
		want = append(want, app.Register(fmt.Sprintf("u%d@example.com", i)).Email)
	}
	slices.Reverse(want)
	var more atomic.Int64
	for _, limit := range []int{1, 4, 22, 23, 24} {
		query := fmt.Sprintf("q=U&limit=%d", limit) // "u" stands in none but those of before
		if limit > 4 {
			query = fmt.Sprintf("limit=%d", limit)
		}
		got := root.walkOf(t, "/admin/users?"+query, "email", func() { app.Register(fmt.Sprintf("later%d@example.com", more.Add(1))) })
		if limit <= 4 {
			if all := want[:22]; !slices.Equal(got, all) {
				t.Errorf("walking %q = %q, want %q", query, got, all)
			}
			continue
		}
		if len(got) < len(want) || !slices.Equal(got[len(got)-len(want):], want) {
			t.Errorf("walking %q ends with %q, want %q", query, got, want)
		}
	}
	cursors := map[string]string{}
	queries := []string{"", "q=u", "role=user", "status=active", "q=u&role=user"}
	for _, q := range queries {
		cursors[q] = root.Do("GET", "/admin/users?limit=2&"+q, nil).Want(200, "").Text("nextCursor")
	}
	cursors["audit"] = root.Do("GET", "/admin/audit?limit=2", nil).Want(200, "").Text("nextCursor")
	cursors["sign-ins"] = root.Do("GET", "/admin/audit?limit=1&event=account.registered", nil).Want(200, "").Text("nextCursor")
	root.Offer()
	root.Offer()
	cursors["products"] = root.Do("GET", "/products?limit=1", nil).Want(200, "").Text("nextCursor")
	for from, cursor := range cursors {
		if cursor == "" {
			t.Fatalf("no cursor for %q", from)
		}
		for _, q := range queries {
			a := root.Do("GET", "/admin/users?"+q+"&limit=9&cursor="+cursor, nil)
			if q == from {
				a.Want(200, "")
			} else {
				a.Want(400, "invalid_cursor")
			}
		}
		a := root.Do("GET", "/admin/audit?cursor="+cursor, nil)
		if from == "audit" {
			a.Want(200, "")
		} else {
			a.Want(400, "invalid_cursor")
		}
	}
	good := cursors[""]
	for i := range len(good) {
		for _, c := range []byte{'A', 'b', '_'} {
			if good[i] != c {
				root.Do("GET", "/admin/users?cursor="+good[:i]+string(c)+good[i+1:], nil).Want(400, "invalid_cursor")
			}
		}
	}
	for _, bad := range []string{"x", good + "A", good[:len(good)-1], good + "=", good + "%0A", "%00", strings.Repeat("A", 5000), "%ff"} {
		root.Do("GET", "/admin/users?cursor="+bad, nil).Want(400, "invalid_cursor")
		root.Do("GET", "/admin/audit?cursor="+bad, nil).Want(400, "invalid_cursor")
	}
}

// walkOf gives the member of all items of a list, page by page.
func (c *Client) walkOf(t *testing.T, path, member string, between func()) []string {
	t.Helper()
	var got []string
	for cursor := ""; ; between() {
		a := c.Do("GET", path+"&cursor="+url.QueryEscape(cursor), nil).Want(200, "")
		got = append(got, a.Items(member)...)
		if cursor = a.Text("nextCursor"); cursor == "" {
			return got
		}
		if len(got) > 10_000 {
			t.Fatal("the list does not end")
		}
	}
}

// testAdminAudit: the log from the newest on, narrowed by who and what.
func testAdminAudit(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	root, mina := app.administrator("root@example.com"), app.SignIn("mina@example.com")
	app.Advance(-30 * time.Hour) // of the day before, and kept after
	mina.Again()
	app.Advance(30 * time.Hour)
	mina.Do("GET", "/admin/audit", nil).Want(403, "forbidden")
	var all []string
	for _, r := range slices.Backward(app.AuditRows()) {
		all = append(all, r.ID.String())
	}
	got := root.Do("GET", "/admin/audit?limit=100", nil).Want(200, "")
	if ids := got.Items("id"); !slices.Equal(ids, all) {
		t.Errorf("GET /admin/audit = %v, want %v", ids, all)
	}
	for _, limit := range []int{1, 2, 5, len(all), len(all) + 1} {
		ids := root.walkOf(t, fmt.Sprintf("/admin/audit?limit=%d", limit), "id", func() { app.Anonymous().Do("POST", "/login", creds("nobody@example.com", wrong)) })
		if tail := ids[max(0, len(ids)-len(all)):]; !slices.Equal(tail, all) {
			t.Errorf("pages of %d end with %v, want %v", limit, tail, all)
		}
	}
	id := mina.id()
	for query, want := range map[string]string{
		"actor=" + id: "access.denied session.signed_in account.registered session.signed_in", "event=access.denied": "access.denied", "event=nothing.of_that_name": "", "actor=" + missing: "",
		"actor=" + id + "&event=session.signed_in": "session.signed_in session.signed_in", "actor=" + root.id() + "&event=access.denied": "",
		"actor=" + strings.ToUpper(id) + "&event=account.registered": "account.registered",
	} {
		if got := strings.Join(root.Do("GET", "/admin/audit?"+query, nil).Want(200, "").Items("event"), " "); got != want {
			t.Errorf("GET /admin/audit?%s = %q, want %q", query, got, want)
		}
	}
	for query, want := range map[string][]string{
		"actor=mina": {"/actor", "invalid_value"}, "event=Session": {"/event", "invalid_value"}, "event=a%20b": {"/event", "invalid_value"}, "event=" + strings.Repeat("a", 65): {"/event", "invalid_value"},
		"actor=me&event=%00&limit=101&cursor=x": {"/actor", "invalid_value", "/event", "invalid_value", "/limit", "out_of_range"},
	} {
		root.Do("GET", "/admin/audit?"+query, nil).WantFaults(want...)
	}
	a := root.Do("GET", "/admin/audit?limit=1&event=access.denied", nil, "User-Agent", "x").Want(200, "")
	row, _ := a.JSON()["items"].([]any)[0].(map[string]any)
	for member, want := range map[string]string{"actorId": id, "outcome": "refused", "subjectType": "audit", "subjectId": "", "userAgent": "httptests", "ip": "127.0.0.1"} {
		if fmt.Sprint(row[member]) != want {
			t.Errorf("%s of a denial = %v, want %s", member, row[member], want)
		}
	}
}
