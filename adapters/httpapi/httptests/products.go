package httptests

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gatehouse/domain/product"
	"gatehouse/domain/user"
)

func teapot(more ...any) obj {
	o := obj{"name": "Teapot", "price": obj{"amount": 1290000, "currency": "KRW"}}
	for i := 0; i+1 < len(more); i += 2 {
		name, _ := more[i].(string)
		o[name] = more[i+1]
	}
	return o
}

// Offer makes a product and gives its id.
func (c *Client) Offer(more ...any) string {
	c.t.Helper()
	return c.Do("POST", "/products", teapot(more...)).Want(201, "").Text("id")
}

const missing = "0199a3f2-7c1e-7d3a-9b1f-2c4e6a8d0f13"

func testProducts(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina := app.SignIn("mina@example.com")
	me := mina.Do("GET", "/me", nil).Text("id")
	app.Anonymous().Do("POST", "/products", teapot()).Want(401, "unauthenticated")
	a := mina.Do("POST", "/products", teapot("name", " 백자 \"주전자\" ", "description", "line\nbreak <b>", "stock", 1000000000, "status", "published")).Want(201, "")
	id := a.Text("id")
	for member, want := range map[string]string{
		"ownerId": me, "name": "백자 \"주전자\"", "description": "line\nbreak <b>", "stock": "1e+09", "status": "published", "version": "1",
		"price": "map[amount:1.29e+06 currency:KRW]",
	} {
		if got := a.Text(member); got != want {
			t.Errorf("created %s = %q, want %q", member, got, want)
		}
	}
	if got := a.Header.Get("Location"); got != "/products/"+id {
		t.Errorf("Location = %q", got)
	}
	if got := a.Header.Get("Etag"); got != `"1"` {
		t.Errorf("ETag = %q", got)
	}
	read := app.Anonymous().Do("GET", a.Header.Get("Location"), nil).Want(200, "")
	if string(read.Body) != string(a.Body) || read.Header.Get("Etag") != `"1"` {
		t.Errorf("read %s\nwas %s", read.Body, a.Body)
	}
	plain := mina.Do("POST", "/products", teapot()).Want(201, "")
	if plain.Text("status") != "draft" || plain.Text("stock") != "0" || plain.Text("description") != "" {
		t.Errorf("defaults: %s", plain.Body)
	}
	if a := app.Anonymous().Do("HEAD", "/products/"+id, nil); a.Status != 200 || a.Header.Get("Etag") != `"1"` {
		t.Errorf("HEAD = %d, ETag %q", a.Status, a.Header.Get("Etag"))
	}
	app.Anonymous().Do("GET", "/products/"+strings.ToUpper(id), nil).Want(200, "")
	for _, bad := range []string{"x", id + "x", "%30" + id[1:], strings.ReplaceAll(id, "-", ""), "{" + id + "}", "me", missing} {
		for _, who := range []*Client{app.Anonymous(), mina} {
			who.Do("GET", "/products/"+bad, nil).Want(404, "not_found")
			who.Do("GET", "/products/"+bad+"/permissions", nil).Want(404, "not_found")
			who.Do("PATCH", "/products/"+bad, `{`).Want(404, "not_found")
			who.Do("DELETE", "/products/"+bad, nil).Want(404, "not_found")
		}
	}
	mina.Do("DELETE", "/products/"+id, nil).Want(204, "")
	mina.Do("DELETE", "/products/"+id, nil).Want(404, "not_found")
	mina.Do("GET", "/products/"+id, nil).Want(404, "not_found")
	for _, row := range []struct {
		body any
		want []string
	}{
		{obj{}, []string{"/name", "required", "/price", "required"}},
		{teapot("price", obj{}), []string{"/price/amount", "required", "/price/currency", "required"}},
		{teapot("name", "  "), []string{"/name", "too_short"}},
		{teapot("name", strings.Repeat("n", 201), "description", strings.Repeat("d", 5001), "stock", 1000000001, "status", "sold",
			"price", obj{"amount": -1, "currency": "krw"}),
			[]string{"/name", "too_long", "/description", "too_long", "/stock", "out_of_range", "/status", "invalid_value", "/price/amount", "out_of_range", "/price/currency", "invalid_value"}},
		{teapot("price", obj{"amount": 1000000000001, "currency": "XXX"}), []string{"/price/amount", "out_of_range", "/price/currency", "invalid_value"}},
		{teapot("price", 5, "stock", "1", "description", nil, "status", ""), []string{"/price", "wrong_type", "/stock", "wrong_type", "/description", "wrong_type", "/status", "invalid_value"}},
		{teapot("ownerId", me, "id", id, "version", 7, "createdAt", "now"), []string{"/ownerId", "unknown_member", "/id", "unknown_member", "/version", "unknown_member", "/createdAt", "unknown_member"}},
		{teapot("price", obj{"amount": 1, "currency": "KRW", "a/b~c": 1}), []string{"/price/a~1b~0c", "unknown_member"}},
		{`{"name":"x","price":{"amount":1.0,"currency":"KRW"},"stock":1e2}`, []string{"/price/amount", "wrong_type", "/stock", "wrong_type"}},
		{`{"name":"x","price":{"amount":99999999999999999999,"currency":"KRW"}}`, []string{"/price/amount", "out_of_range"}},
		{`{"Name":"x","name":"y","price":{"amount":1,"currency":"KRW"}}`, []string{"/Name", "unknown_member"}},
		{teapot("name", "a\x00", "description", "\x00"), []string{"/name", "invalid_characters", "/description", "invalid_characters"}},
	} {
		mina.Do("POST", "/products", row.body).WantFaults(row.want...)
	}
}

func testMergePatch(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina := app.SignIn("mina@example.com")
	id := mina.Offer("description", "old", "stock", 5)
	version := 1
	for _, row := range []struct{ body, member, want string }{
		{`{}`, "version", "1"},
		{`{"name":" Kettle "}`, "name", "Kettle"},
		{`{"price":{"amount":5}}`, "price", "map[amount:5 currency:KRW]"},
		{`{"price":{"currency":"USD"}}`, "price", "map[amount:5 currency:USD]"},
		{`{"price":{}}`, "price", "map[amount:5 currency:USD]"},
		{`{"description":null}`, "description", ""},
		{`{"stock":null}`, "stock", "0"},
		{`{"stock":-0}`, "stock", "0"},
		{`{"status":"archived","stock":7}`, "status", "archived"},
	} {
		a := mina.Do("PATCH", "/products/"+id, row.body, "Content-Type", "application/merge-patch+json").Want(200, "")
		if row.body != `{}` && row.body != `{"price":{}}` {
			version++
		}
		if a.Text(row.member) != row.want || a.Header.Get("Etag") != fmt.Sprintf(`"%d"`, version) || a.Text("version") != fmt.Sprint(version) {
			t.Errorf("PATCH %s: %s = %q, version %s, ETag %s; want %q and version %d",
				row.body, row.member, a.Text(row.member), a.Text("version"), a.Header.Get("Etag"), row.want, version)
		}
	}
	before := mina.Do("GET", "/products/"+id, nil)
	for _, row := range []struct {
		body string
		want []string
	}{
		{`{"name":null,"price":null,"status":null}`, []string{"/name", "required", "/price", "required", "/status", "required"}},
		{`{"price":{"currency":null,"amount":null}}`, []string{"/price/currency", "required", "/price/amount", "required"}},
		{`{"name":"","stock":-1,"price":{"currency":"krw","x":1},"ownerId":"me"}`,
			[]string{"/name", "too_short", "/stock", "out_of_range", "/price/currency", "invalid_value", "/price/x", "unknown_member", "/ownerId", "unknown_member"}},
		{`{"price":[],"stock":"1"}`, []string{"/price", "wrong_type", "/stock", "wrong_type"}},
		{`[]`, []string{"", "wrong_type"}},
	} {
		mina.Do("PATCH", "/products/"+id, row.body).WantFaults(row.want...)
	}
	if after := mina.Do("GET", "/products/"+id, nil); string(after.Body) != string(before.Body) {
		t.Errorf("refused patches changed the product: %s", after.Body)
	}
}

// testWhoMay is the matrix of the default policy: who × whose × what.
func testWhoMay(t *testing.T, open Open) {
	app := start(t, open, Options{})
	owner, stranger := app.SignIn("owner@example.com"), app.SignIn("stranger@example.com")
	moderator, admin := app.SignIn("moderator@example.com"), app.SignIn("admin@example.com")
	expired := stranger.Again()
	app.SetRoles(moderator.Email, "moderator")
	app.SetRoles(admin.Email, "admin")
	expired.Do("POST", "/logout", nil, "Cookie", "sid="+expired.Cookie)
	expired.Cookie = strings.Repeat("A", 43)
	const na = "" // may not even be read
	for _, row := range []struct {
		name                 string
		who                  *Client
		status               string
		read, patch, deleted int
		may                  string
	}{
		{"anonymous", app.Anonymous(), "published", 200, 401, 401, "[read]"},
		{"anonymous", app.Anonymous(), "draft", 404, 404, 404, na},
		{"anonymous", app.Anonymous(), "archived", 404, 404, 404, na},
		{"expired", expired, "published", 200, 401, 401, "[read]"},
		{"expired", expired, "draft", 404, 404, 404, na},
		{"owner", owner, "published", 200, 200, 204, "[read update delete share]"},
		{"owner", owner, "draft", 200, 200, 204, "[read update delete share]"},
		{"owner", owner, "archived", 200, 200, 204, "[read update delete share]"},
		{"stranger", stranger, "published", 200, 403, 403, "[read]"},
		{"stranger", stranger, "draft", 404, 404, 404, na},
		{"stranger", stranger, "archived", 404, 404, 404, na},
		{"moderator", moderator, "published", 200, 200, 403, "[read update]"},
		{"moderator", moderator, "draft", 200, 200, 403, "[read update]"},
		{"admin", admin, "published", 200, 200, 204, "[read update delete transfer]"},
		{"admin", admin, "draft", 200, 200, 204, "[read update delete transfer]"},
	} {
		id := owner.Offer("status", row.status)
		path := "/products/" + id
		codes := map[int]string{200: "", 204: "", 401: "unauthenticated", 403: "forbidden", 404: "not_found"}
		cookie := row.who.Cookie
		do := func(method string, want int, body any) *Answer {
			t.Helper()
			row.who.Cookie = cookie
			a := row.who.Do(method, path, body)
			if a.Status != want || a.Code() != codes[want] {
				t.Errorf("%s: %s of a %s product = %d %q, want %d", row.name, method, row.status, a.Status, a.Code(), want)
			}
			return a
		}
		do("GET", row.read, nil)
		do("PATCH", row.patch, `{"stock":1}`)
		if a := row.who.Do("GET", path+"/permissions", nil); row.may == na {
			a.Want(404, "not_found")
		} else if got := fmt.Sprint(a.Want(200, "").JSON()["actions"]); got != row.may {
			t.Errorf("%s may %s with a %s product, want %s", row.name, got, row.status, row.may)
		}
		row.who.Cookie = cookie
		listed := slices.Contains(row.who.Do("GET", "/products?limit=100&owner="+owner.id(), nil).Items("id"), id)
		if listed != (row.read == 200) {
			t.Errorf("%s: a %s product listed %v, read %d", row.name, row.status, listed, row.read)
		}
		do("DELETE", row.deleted, nil)
		if a := owner.Do("GET", path, nil); (a.Status == 404) != (row.deleted == 204) {
			t.Errorf("%s: after DELETE = %d the product is %d", row.name, row.deleted, a.Status)
		}
	}
}

func (c *Client) id() string { return c.Do("GET", "/me", nil).Want(200, "").Text("id") }

func testRolesAtOnce(t *testing.T, open Open) {
	app := start(t, open, Options{})
	owner, mod := app.SignIn("owner@example.com"), app.SignIn("mod@example.com")
	path := "/products/" + owner.Offer("status", "published")
	for range 3 {
		mod.Do("PATCH", path, `{"stock":1}`).Want(403, "forbidden")
		app.SetRoles(mod.Email, "moderator")
		mod.Do("PATCH", path, `{"stock":2}`).Want(200, "")
		app.SetRoles(mod.Email, "user")
	}
	app.SetRoles(mod.Email, "nobody") // a role that the policy does not speak of
	mod.Do("POST", "/products", teapot()).Want(403, "forbidden")
	mod.Do("POST", "/products", `{`).Want(403, "forbidden")
	mod.Do("GET", path, nil).Want(404, "not_found")
}

func testMassAssignment(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina, eve := app.SignIn("mina@example.com"), app.SignIn("eve@example.com")
	id := mina.Offer()
	user, prod := mina.Do("GET", "/me", nil).Body, mina.Do("GET", "/products/"+id, nil).Body
	for _, member := range []string{"id", "ownerId", "owner_id", "OwnerID", "version", "createdAt", "updatedAt", "roles", "role", "status", "email",
		"emailVerified", "passwordHash", "sessionEpoch", "password", "__proto__"} {
		body := obj{member: eve.id()}
		mina.Do("PATCH", "/me", body).WantFaults("/"+member, "unknown_member")
		if member != "status" {
			mina.Do("PATCH", "/products/"+id, body).WantFaults("/"+member, "unknown_member")
			mina.Do("POST", "/products", teapot(member, eve.id())).WantFaults("/"+member, "unknown_member")
		}
		for media, text := range map[string]string{
			"application/x-www-form-urlencoded": member + "=admin", "application/xml": "<x><" + member + ">admin</" + member + "></x>",
			"multipart/form-data; boundary=b": "--b\r\nContent-Disposition: form-data; name=\"" + member + "\"\r\n\r\nadmin\r\n--b--\r\n",
		} {
			for _, path := range []string{"/me", "/products/" + id} {
				mina.Do("PATCH", path, text, "Content-Type", media).Want(415, "unsupported_media_type")
			}
		}
	}
	if now := mina.Do("GET", "/me", nil).Body; string(now) != string(user) {
		t.Errorf("the user is changed: %s", now)
	}
	if now := mina.Do("GET", "/products/"+id, nil).Body; string(now) != string(prod) {
		t.Errorf("the product is changed: %s", now)
	}
}

func testConditions(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina := app.SignIn("mina@example.com")
	id := mina.Offer("status", "published")
	path := "/products/" + id
	mina.Do("PATCH", path, `{"stock":2}`).Want(200, "") // version 2
	for _, row := range []struct {
		header string
		same   bool
	}{
		{`"2"`, true}, {`W/"2"`, true}, {`"1", "2"`, true}, {`"1" ,W/"2"`, true}, {`*`, true}, {` * `, true}, {`"1",,"2",`, true},
		{`"1"`, false}, {`"02"`, false}, {`2`, false}, {`"2`, false}, {``, false}, {`"x y"`, false}, {`"1""2"`, false}, {`w/"2"`, false}, {`"2" x`, false},
	} {
		a := app.Anonymous().Do("GET", path, nil, "If-None-Match", row.header)
		if (a.Status == 304) != row.same || a.Header.Get("Etag") != `"2"` {
			t.Errorf("GET with If-None-Match %s = %d, ETag %q; want not modified %v", row.header, a.Status, a.Header.Get("Etag"), row.same)
		}
	}
	if a := app.Anonymous().Do("GET", path, nil, "If-None-Match", `"1"`, "If-None-Match", `"2"`); a.Status != 304 {
		t.Errorf("GET with two If-None-Match = %d, want 304", a.Status)
	}
	app.Anonymous().Do("GET", "/products/"+missing, nil, "If-None-Match", "*").Want(404, "not_found")
	for _, bad := range []string{`"1"`, `W/"2"`, `2`, `"2`, `"1", W/"2"`, ``, `"2" x`, `,`, `""`, `"` + strings.Repeat("2", 2000) + `"`} {
		mina.Do("PATCH", path, `{"stock":9}`, "If-Match", bad).Want(412, "version_conflict")
		mina.Do("DELETE", path, nil, "If-Match", bad).Want(412, "version_conflict")
	}
	mina.Do("PATCH", path, `{"stock":3}`, "If-Match", `"7", "2"`).Want(200, "")
	mina.Do("PATCH", path, `{"stock":4}`, "If-Match", `"7"`, "If-Match", `"3"`).Want(200, "")
	mina.Do("PATCH", path, `{"stock":5}`, "If-Match", `*`).Want(200, "")
	mina.Do("DELETE", path, nil, "If-Match", `"4"`).Want(412, "version_conflict")
	mina.Do("DELETE", path, nil, "If-Match", `"5"`).Want(204, "")
	mina.Do("DELETE", path, nil, "If-Match", `*`).Want(404, "not_found")
}

func testLists(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina, eve := app.SignIn("mina@example.com"), app.SignIn("eve@example.com")
	cheap := mina.Offer("name", "b", "price", obj{"amount": 1, "currency": "KRW"}, "status", "published")
	dear := mina.Offer("name", "a", "price", obj{"amount": 9, "currency": "KRW"}, "status", "published")
	draft := mina.Offer("name", "ab", "price", obj{"amount": 5, "currency": "KRW"})
	his := eve.Offer("name", "B", "price", obj{"amount": 7, "currency": "KRW"}, "status", "archived")
	for _, row := range []struct {
		who   *Client
		query string
		want  []string
	}{
		{app.Anonymous(), "", []string{dear, cheap}}, {app.Anonymous(), "sort=createdAt", []string{cheap, dear}},
		{mina, "", []string{draft, dear, cheap}}, {mina, "sort=-createdAt&unknown=1", []string{draft, dear, cheap}},
		{mina, "sort=name", []string{dear, draft, cheap}}, {mina, "sort=-name", []string{cheap, draft, dear}},
		{mina, "sort=price", []string{cheap, draft, dear}}, {mina, "sort=-price", []string{dear, draft, cheap}},
		{mina, "status=draft", []string{draft}}, {mina, "status=published", []string{dear, cheap}}, {eve, "status=draft", nil},
		{mina, "owner=me", []string{draft, dear, cheap}}, {eve, "owner=me", []string{his}}, {eve, "owner=" + mina.id(), []string{dear, cheap}},
		{mina, "owner=" + missing, nil}, {mina, "owner=00000000-0000-0000-0000-000000000000", nil}, {mina, "q=A", []string{draft, dear}}, {mina, "q=B&sort=name", []string{draft, cheap}}, {mina, "q=nothing", nil},
		{mina, "limit=&cursor=&owner=&status=&q=&sort=", []string{draft, dear, cheap}}, {mina, "sort=name&sort=nonsense", []string{dear, draft, cheap}},
		{mina, "limit=2", []string{draft, dear}}, {mina, "limit=100", []string{draft, dear, cheap}},
	} {
		a := row.who.Do("GET", "/products?"+row.query, nil).Want(200, "")
		if got := a.Items("id"); !slices.Equal(got, row.want) {
			t.Errorf("GET /products?%s = %v, want %v", row.query, got, row.want)
		}
		if next := a.JSON()["nextCursor"]; (next == nil) != (row.query != "limit=2") {
			t.Errorf("GET /products?%s: nextCursor = %v", row.query, next)
		}
	}
	for _, query := range []string{"", "&limit=0", "&sort=x&q=%00", "&cursor=x"} {
		app.Anonymous().Do("GET", "/products?owner=me"+query, nil).Want(401, "unauthenticated")
	}
	for query, want := range map[string][]string{
		"limit=0": {"/limit", "out_of_range"}, "limit=101": {"/limit", "out_of_range"}, "limit=-1": {"/limit", "out_of_range"},
		"limit=1.0": {"/limit", "out_of_range"}, "limit=x": {"/limit", "out_of_range"}, "limit=99999999999999999999": {"/limit", "out_of_range"},
		"sort=id": {"/sort", "invalid_value"}, "sort=name;drop": {"/sort", "invalid_value"}, "status=DRAFT": {"/status", "invalid_value"},
		"q=" + strings.Repeat("x", 201): {"/q", "too_long"}, "q=" + strings.Repeat("%25", 10_000/3): {"/q", "too_long"}, "q=" + strings.Repeat("%ED%95%9C", 201): {"/q", "too_long"},
		"owner=mina": {"/owner", "invalid_value"}, "q=%00": {"/q", "invalid_characters"}, "q=%ff": {"/q", "invalid_characters"},
		"limit=0&sort=x&status=x&owner=x&q=%00": {"/limit", "out_of_range", "/sort", "invalid_value", "/status", "invalid_value", "/owner", "invalid_value", "/q", "invalid_characters"},
	} {
		mina.Do("GET", "/products?"+query, nil).WantFaults(want...)
	}
}

// testWalk walks a list while rows are added and taken away: what was there all
// the time is met once.
func testWalk(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina := app.SignIn("mina@example.com")
	const n = 23
	var all []string
	for i := range n {
		all = append(all, mina.Offer("name", fmt.Sprintf("name %d", i%5), "price", obj{"amount": i % 3, "currency": "KRW"}))
	}
	slices.Sort(all)
	for _, sort := range []string{"", "-createdAt", "createdAt", "name", "-name", "price", "-price"} {
		for _, limit := range []int{1, 4, 22, 23, 24} {
			got := mina.walk(t, fmt.Sprintf("sort=%s&limit=%d", sort, limit), nil)
			slices.Sort(got)
			if !slices.Equal(got, all) {
				t.Errorf("walking by %q, %d a page: %d products, want each of %d once", sort, limit, len(got), n)
			}
		}
	}
	var added []string
	got := mina.walk(t, "sort=name&limit=4", func() {
		added = append(added, mina.Offer("name", fmt.Sprintf("name %d", len(added))))
		if len(added) > 1 {
			mina.Do("DELETE", "/products/"+added[len(added)-2], nil).Want(204, "")
		}
	})
	seen := map[string]int{}
	for _, id := range got {
		seen[id]++
	}
	for _, id := range append(all, added...) {
		if seen[id] > 1 || seen[id] == 0 && slices.Contains(all, id) {
			t.Errorf("%s was met %d times", id, seen[id])
		}
	}
}

func (c *Client) walk(t *testing.T, query string, between func()) []string {
	t.Helper()
	var got []string
	var totals []string
	for cursor := ""; ; {
		a := c.Do("GET", "/products?"+query+"&cursor="+cursor, nil).Want(200, "")
		got = append(got, a.Items("id")...)
		totals = append(totals, a.Text("total"))
		if cursor = a.Text("nextCursor"); cursor == "" {
			c.wantTotals(t, query, totals, len(got), between != nil)
			return got
		}
		if len(got) > 1000 {
			t.Fatal("the list does not end")
		}
		if between != nil {
			between()
		}
	}
}

// wantTotals holds every page of a walk to how many products it has met: that is
// the total, if one was asked for and nothing happened between the pages.
func (c *Client) wantTotals(t *testing.T, query string, totals []string, met int, disturbed bool) {
	t.Helper()
	for i, total := range totals {
		switch asked := strings.Contains(query, "count=true"); {
		case asked && !disturbed && total != fmt.Sprint(met):
			t.Errorf("%s, page %d: the total is %q, but the walk met %d", query, i, total, met)
		case !asked && total != "":
			t.Errorf("%s, page %d: there is a total that nobody asked for", query, i)
		}
	}
}

func testTotals(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina, eve := app.SignIn("mina@example.com"), app.SignIn("eve@example.com")
	for i := range 7 {
		mina.Offer("name", fmt.Sprint("lamp ", i%3), "status", []string{"draft", "published"}[i%2])
		eve.Offer("name", "100% wool")
	}
	for query, want := range map[string][3]int{ // nobody's, mina's and eve's
		"": {3, 7, 10}, "limit=1": {3, 7, 10}, "limit=100": {3, 7, 10}, "status=draft&limit=2": {0, 4, 7}, "q=LAMP&limit=2": {3, 7, 3}, "q=%25&limit=2": {0, 0, 7},
		"q=lamp+1&sort=name": {1, 2, 1}, "owner=" + mina.id() + "&limit=1": {3, 7, 3}, "owner=" + missing: {0, 0, 0}, "owner=00000000-0000-0000-0000-000000000000": {0, 0, 0},
	} {
		for i, who := range []*Client{app.Anonymous(), mina, eve} {
			a := who.Do("GET", "/products?count=true&"+query, nil).Want(200, "")
			if got := a.Text("total"); got != fmt.Sprint(want[i]) {
				t.Errorf("the total of %q for %d = %s, want %d", query, i, got, want[i])
			}
			if got := len(who.walk(t, "count=true&"+query, nil)); got != want[i] {
				t.Errorf("the walk over %q of %d meets %d, want %d", query, i, got, want[i])
			}
		}
	}
	if a := mina.Do("GET", "/products?owner=me&count=true&limit=2", nil).Want(200, ""); a.Text("total") != "7" {
		t.Errorf("the total of mine: %s", a.Body)
	}
	// The total belongs to the answer, not to the cursor.
	next := mina.Do("GET", "/products?limit=2", nil).Want(200, "").Text("nextCursor")
	if a := mina.Do("GET", "/products?limit=2&count=true&cursor="+next, nil).Want(200, ""); a.Text("total") != "7" {
		t.Errorf("the total beside a later page: %s", a.Body)
	}
	if a := mina.Do("GET", "/products?count=&count=true", nil).Want(200, ""); a.JSON()["total"] != nil {
		t.Errorf("an empty count counts as absent, of a repeated one the first: %s", a.Body)
	}
	for _, bad := range []string{"1", "TRUE", "yes", "false", "true%00", "%ff"} {
		mina.Do("GET", "/products?count="+bad, nil).WantFaults("/count", "invalid_value")
	}
	app.Anonymous().Do("GET", "/products?owner=me&count=x", nil).Want(401, "unauthenticated")
}

func testSearch(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina := app.SignIn("mina@example.com")
	for _, name := range []string{"100% wool", "snake_case", `back\slash`, "it's", "STRASSE", "plain", "한글 주전자", "Ünïcode"} {
		mina.Offer("name", name)
	}
	for q, want := range map[string]int{
		"%25": 1, "_": 1, "%5C": 1, "'": 1, "100%25": 1, "wo_l": 0, "w%25l": 0, "stra%C3%9Fe": 1, "PLAIN": 1, "%EC%A3%BC%EC%A0%84": 1, "%C3%BCN%C3%8F": 1,
		"it's'%20or%201=1": 0, strings.Repeat("x", 200): 0, strings.Repeat("%25", 200): 0, strings.Repeat("%ED%95%9C", 200): 0, "100%25+wool": 1,
	} {
		a := mina.Do("GET", "/products?q="+q, nil).Want(200, "")
		if got := len(a.Items("id")); got != want {
			t.Errorf("q=%.40s finds %d, want %d", q, got, want)
		}
	}
}

func testCursor(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina, eve := app.SignIn("mina@example.com"), app.SignIn("eve@example.com")
	for i := range 5 {
		mina.Offer("name", fmt.Sprint("n", i), "status", "published")
		eve.Offer("name", fmt.Sprint("n", i), "status", "published")
	}
	next := func(who *Client, query string) string {
		t.Helper()
		return who.Do("GET", "/products?limit=2&"+query, nil).Want(200, "").Text("nextCursor")
	}
	queries := []string{"", "sort=createdAt", "sort=name", "sort=price", "status=published", "q=n", "owner=" + eve.id(), "owner=me", "q=n&status=published"}
	cursors := map[string]string{}
	for _, q := range queries {
		cursors[q] = next(mina, q)
	}
	for _, q := range queries {
		for _, other := range queries {
			a := mina.Do("GET", "/products?"+other+"&cursor="+cursors[q], nil)
			if q == other {
				a.Want(200, "")
			} else {
				a.Want(400, "invalid_cursor")
			}
		}
	}
	mina.Do("GET", "/products?sort=-createdAt&limit=7&cursor="+cursors[""], nil).Want(200, "") // the default spelt out
	eve.Do("GET", "/products?owner=me&cursor="+cursors["owner=me"], nil).Want(400, "invalid_cursor")
	app.Anonymous().Do("GET", "/products?owner=me&cursor="+cursors["owner=me"], nil).Want(401, "unauthenticated")
	good := cursors[""]
	for i := range len(good) {
		for _, c := range []byte{'A', 'b', '_'} {
			if good[i] == c {
				continue
			}
			tampered := good[:i] + string(c) + good[i+1:]
			mina.Do("GET", "/products?cursor="+tampered, nil).Want(400, "invalid_cursor")
		}
	}
	for _, bad := range []string{"x", good + "A", good[:len(good)-1], good + "=", good + "%0A", "%00", "null", strings.Repeat("A", 5000), "%ff"} {
		mina.Do("GET", "/products?cursor="+bad, nil).Want(400, "invalid_cursor")
	}
	mina.Do("GET", "/products?limit=0&cursor=x", nil).WantFaults("/limit", "out_of_range")
}

// testOrderOfFaults: who may not do a thing learns nothing of what is wrong with
// the way it was asked.
func testOrderOfFaults(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina, eve := app.SignIn("mina@example.com"), app.SignIn("eve@example.com")
	public, secret := mina.Offer("status", "published"), mina.Offer()
	for _, row := range []struct {
		who               *Client
		method, path      string
		body              any
		media, ifMatch    string
		status            int
		code              string
		alsoWithoutHeader bool
	}{
		{who: app.Anonymous(), method: "POST", path: "/products", body: `{`, status: 401, code: "unauthenticated"},
		{who: app.Anonymous(), method: "POST", path: "/products", body: `x`, media: "text/plain", status: 401, code: "unauthenticated"},
		{who: app.Anonymous(), method: "PATCH", path: "/products/" + public, body: `{`, ifMatch: `"9"`, status: 401, code: "unauthenticated"},
		{who: eve, method: "PATCH", path: "/products/" + public, body: `{`, ifMatch: `"9"`, status: 403, code: "forbidden"},
		{who: eve, method: "PATCH", path: "/products/" + secret, body: `{"x":1}`, ifMatch: `"9"`, status: 404, code: "not_found"},
		{who: mina, method: "PATCH", path: "/products/" + public, body: `{`, ifMatch: `"9"`, status: 412, code: "version_conflict"},
		{who: mina, method: "PATCH", path: "/products/" + public, body: `{"x":1}`, media: "text/plain", ifMatch: `x`, status: 412, code: "version_conflict"},
		{who: mina, method: "PATCH", path: "/products/" + public, body: `{`, ifMatch: `"1"`, status: 400, code: "malformed_json"},
		{who: mina, method: "PATCH", path: "/products/" + public, body: `{}`, media: "text/plain", status: 415, code: "unsupported_media_type"},
		{who: mina, method: "PATCH", path: "/products/" + public, body: `{"x":1}`, status: 422, code: "validation_failed"},
		{who: app.Anonymous(), method: "PUT", path: "/me/password", body: `{`, media: "text/plain", status: 401, code: "unauthenticated"},
	} {
		media, match := row.media, row.ifMatch
		if media == "" {
			media = "application/json"
		}
		if match == "" {
			match = "-"
		}
		row.who.Do(row.method, row.path, row.body, "Content-Type", media, "If-Match", match).Want(row.status, row.code)
	}
}

// testRules: what a team wants true is told like any other fault.
func testRules(t *testing.T, open Open) {
	rule := func(tr product.Transition) error {
		if tr.After != nil && tr.After.Stock() > 100 && !tr.ByRole(user.RoleModerator) {
			return product.Refuse("/stock", "too_much_stock", "Only moderators stock more than 100.")
		}
		return nil
	}
	app := start(t, open, Options{Rules: []product.Rule{rule}})
	mina := app.SignIn("mina@example.com")
	mina.Do("POST", "/products", teapot("stock", 101)).WantFaults("/stock", "too_much_stock")
	id := mina.Offer("stock", 100)
	mina.Do("PATCH", "/products/"+id, `{"stock":101}`).WantFaults("/stock", "too_much_stock")
	app.SetRoles(mina.Email, "moderator")
	mina.Do("PATCH", "/products/"+id, `{"stock":101}`).Want(200, "")
}

func testParallelPatches(t *testing.T, open Open) {
	app := start(t, open, Options{RequestTimeout: 1 << 34})
	mina := app.SignIn("mina@example.com")
	path := "/products/" + mina.Offer()
	var changed, stale, other atomic.Int64
	inParallel(t, 50, func(i int) {
		a, err := mina.With(t).try("PATCH", path, fmt.Sprintf(`{"stock":%d}`, i+1), "If-Match", `"1"`)
		switch {
		case err == nil && a.Status == 200:
			changed.Add(1)
		case err == nil && a.Status == 412:
			stale.Add(1)
		default:
			t.Errorf("PATCH = %v %v", a, err)
			other.Add(1)
		}
	})
	if changed.Load() != 1 || stale.Load() != 49 {
		t.Errorf("of 50 patches with one ETag %d succeeded and %d were stale, want 1 and 49", changed.Load(), stale.Load())
	}
	if got := mina.Do("GET", path, nil).Text("version"); got != "2" {
		t.Errorf("version = %s, want 2", got)
	}
	var created atomic.Int64
	inParallel(t, 50, func(int) {
		if a, err := app.Anonymous().With(t).try("POST", "/register", creds("same@example.com", password)); err == nil && a.Status == 201 {
			created.Add(1)
		}
	})
	if created.Load() != 1 {
		t.Errorf("of 50 registrations of one address %d succeeded", created.Load())
	}
}
