package httptests

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// share lets somebody in on a product of the client's.
func (c *Client) share(product string, with *Client, role string) *Answer {
	c.t.Helper()
	return c.Do("PUT", "/products/"+product+"/grants/"+with.id(), obj{"role": role}).Want(200, "")
}

// testSharing: who is let in may do what the role is for, from the next request
// on and until the grant is taken away.
func testSharing(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina, kim, eve := app.SignIn("mina@example.com"), app.SignIn("kim@example.com"), app.SignIn("eve@example.com")
	product := mina.Offer()
	path := "/products/" + product
	kims := path + "/grants/" + kim.id()
	// may is what kim may do with it now, by every way of asking.
	may := func(want string, read, patch, remove int) {
		t.Helper()
		if a := kim.Do("GET", path+"/permissions", nil); read == 404 {
			a.Want(404, "not_found")
		} else if got := fmt.Sprint(a.Want(200, "").JSON()["actions"]); got != want {
			t.Errorf("kim may %s, want %s", got, want)
		}
		if a := kim.Do("GET", path, nil); a.Status != read {
			t.Errorf("GET = %d, want %d", a.Status, read)
		}
		if a := kim.Do("PATCH", path, `{"description":"by kim"}`); a.Status != patch {
			t.Errorf("PATCH = %d, want %d", a.Status, patch)
		}
		if a := kim.Do("DELETE", path, nil); a.Status != remove {
			t.Errorf("DELETE = %d, want %d", a.Status, remove)
		}
		if listed := slices.Contains(kim.Do("GET", "/products?limit=100", nil).Items("id"), product); listed != (read == 200) {
			t.Errorf("listed: %v, read %d", listed, read)
		}
		for _, who := range []*Client{eve, app.Anonymous()} { // whatever kim may
			who.Do("GET", path, nil).Want(404, "not_found")
			who.Do("GET", path+"/grants", nil).Want(404, "not_found")
		}
	}
	may("", 404, 404, 404)
	if got := mina.Do("GET", path+"/grants", nil).Want(200, ""); string(got.Body) != `{"items":[],"nextCursor":null}` {
		t.Errorf("no grants are %s", got.Body)
	}
	first := mina.share(product, kim, "viewer")
	if first.Text("userId") != kim.id() || first.Text("role") != "viewer" {
		t.Errorf("PUT = %s", first.Body)
	}
	may("[read]", 200, 403, 403)
	second := mina.share(product, kim, "editor")
	if second.Text("createdAt") != first.Text("createdAt") {
		t.Errorf("a new role moved createdAt from %s to %s", first.Text("createdAt"), second.Text("createdAt"))
	}
	may("[read update]", 200, 200, 403)
	if again := mina.share(product, kim, "editor"); string(again.Body) != string(second.Body) {
		t.Errorf("the same again = %s, was %s", again.Body, second.Body)
	}
	mina.share(product, eve, "viewer")
	list := mina.Do("GET", path+"/grants", nil).Want(200, "")
	if got := list.Items("userId"); !slices.Equal(got, []string{kim.id(), eve.id()}) {
		t.Errorf("grants to %v, want kim and eve", got)
	}
	if got := list.Items("role"); fmt.Sprint(got) != "[editor viewer]" {
		t.Errorf("roles %v", got)
	}
	mina.Do("DELETE", path+"/grants/"+eve.id(), nil).Want(204, "")
	// Who is shared with is not what the product is.
	a := mina.Do("GET", path, nil).Want(200, "")
	if a.Header.Get("Etag") != `"2"` || a.Text("description") != "by kim" {
		t.Errorf("after one change and three of the grants: %s, ETag %s", a.Body, a.Header.Get("Etag"))
	}
	mina.Do("DELETE", kims, nil).Want(204, "")
	may("", 404, 404, 404)
	mina.Do("DELETE", kims, nil).Want(404, "not_found")
	// A grant given anew is a new one.
	app.Advance(1)
	if third := mina.share(product, kim, "viewer"); third.Text("createdAt") <= first.Text("createdAt") {
		t.Errorf("a grant given anew is of %s, as the one before it", third.Text("createdAt"))
	}
	may("[read]", 200, 403, 403)
	mina.Do("DELETE", path, nil).Want(204, "")
	mina.Do("GET", path+"/grants", nil).Want(404, "not_found")
	mina.Do("PUT", kims, obj{"role": "viewer"}).Want(404, "not_found")
	mina.Do("DELETE", kims, nil).Want(404, "not_found")
}

// testSharingIsRefused: to whom, in which order, and for what.
func testSharingIsRefused(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina, kim, eve, admin := app.SignIn("mina@example.com"), app.SignIn("kim@example.com"), app.SignIn("eve@example.com"), app.SignIn("admin@example.com")
	app.SetRoles(admin.Email, "admin")
	public, secret := "/products/"+mina.Offer("status", "published"), "/products/"+mina.Offer()
	mina.Do("PUT", secret+"/grants/"+kim.id(), obj{"role": "editor"}).Want(200, "")
	to := "/grants/" + eve.id()
	for _, row := range []struct {
		who    *Client
		path   string
		status int
		code   string
	}{
		{app.Anonymous(), public, 401, "unauthenticated"}, {app.Anonymous(), secret, 404, "not_found"},
		{eve, public, 403, "forbidden"}, {eve, secret, 404, "not_found"},
		{kim, public, 403, "forbidden"}, {kim, secret, 403, "forbidden"}, // an editor lets nobody in
		{admin, public, 403, "forbidden"}, {admin, secret, 403, "forbidden"},
		{mina, "/products/" + missing, 404, "not_found"}, {mina, "/products/x", 404, "not_found"},
	} {
		row.who.Do("GET", row.path+"/grants", nil).Want(row.status, row.code)
		// Whatever is wrong with the way it is asked.
		row.who.Do("PUT", row.path+to, obj{"role": "viewer"}).Want(row.status, row.code)
		row.who.Do("PUT", row.path+to, `{`).Want(row.status, row.code)
		row.who.Do("PUT", row.path+"/grants/"+mina.id(), obj{"role": "owner"}).Want(row.status, row.code)
		row.who.Do("PUT", row.path+"/grants/"+missing, obj{"role": "viewer"}).Want(row.status, row.code)
		row.who.Do("DELETE", row.path+to, nil).Want(row.status, row.code)
		row.who.Do("DELETE", row.path+"/grants/"+missing, nil).Want(row.status, row.code)
	}
	for _, bad := range []string{"x", "me", strings.ReplaceAll(missing, "-", ""), "%00"} {
		mina.Do("PUT", public+"/grants/"+bad, obj{"role": "viewer"}).Want(404, "not_found")
		mina.Do("DELETE", public+"/grants/"+bad, nil).Want(404, "not_found")
	}
	for _, row := range []struct {
		to   string
		body any
		want []string
	}{
		{eve.id(), obj{"role": "owner"}, []string{"/role", "invalid_value"}}, {eve.id(), obj{"role": ""}, []string{"/role", "invalid_value"}},
		{eve.id(), obj{"role": "Viewer"}, []string{"/role", "invalid_value"}}, {eve.id(), obj{}, []string{"/role", "required"}},
		{eve.id(), obj{"role": nil}, []string{"/role", "wrong_type"}}, {eve.id(), obj{"role": []string{"viewer"}}, []string{"/role", "wrong_type"}},
		{eve.id(), obj{"role": "viewer", "userId": kim.id()}, []string{"/userId", "unknown_member"}},
		{mina.id(), obj{"role": "viewer"}, []string{"/userId", "owner"}},
		{mina.id(), obj{"role": "x"}, []string{"/userId", "owner", "/role", "invalid_value"}},
		{missing, obj{"role": "viewer"}, []string{"/userId", "unknown_user"}},
		{"00000000-0000-0000-0000-000000000000", obj{"role": "editor"}, []string{"/userId", "unknown_user"}},
	} {
		mina.Do("PUT", public+"/grants/"+row.to, row.body).WantFaults(row.want...)
	}
	mina.Do("PUT", public+to, nil).Want(400, "malformed_json")
	mina.Do("PUT", public+to, `{"role":"viewer"}`, "Content-Type", "text/plain").Want(415, "unsupported_media_type")
	mina.Do("PUT", public+to, `{"role":"viewer"}`, "Content-Type", "application/merge-patch+json").Want(415, "unsupported_media_type")
	if got := mina.Do("GET", public+"/grants", nil).Items("userId"); len(got) > 0 {
		t.Errorf("refusals left grants to %v", got)
	}
	// Whether an account is disabled is not for owners to find out.
	app.Disable(eve.Email)
	mina.Do("PUT", public+to, obj{"role": "viewer"}).Want(200, "")
	// No more than there is room for; a change of those who are in is none more.
	for i := range 99 {
		other := app.Register(fmt.Sprintf("other%d@example.com", i))
		id := app.idOf(other.Email)
		mina.Do("PUT", public+"/grants/"+id, obj{"role": "viewer"}).Want(200, "")
	}
	mina.Do("PUT", public+"/grants/"+kim.id(), obj{"role": "viewer"}).WantFaults("/userId", "too_many_grants")
	mina.Do("PUT", public+to, obj{"role": "editor"}).Want(200, "")
	if got := mina.Do("GET", public+"/grants", nil).Items("userId"); len(got) != 100 {
		t.Errorf("%d grants, want 100", len(got))
	}
}

// testTransfer: what changes hands, and who may do that.
func testTransfer(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina, kim, eve, admin := app.SignIn("mina@example.com"), app.SignIn("kim@example.com"), app.SignIn("eve@example.com"), app.SignIn("admin@example.com")
	app.SetRoles(admin.Email, "admin")
	product := mina.Offer()
	path := "/products/" + product
	mina.share(product, kim, "viewer")
	mina.share(product, eve, "editor")
	before := mina.Do("GET", path, nil)
	for _, row := range []struct {
		who    *Client
		status int
		code   string
	}{
		{app.Anonymous(), 404, "not_found"}, {mina, 403, "forbidden"}, {kim, 403, "forbidden"}, {eve, 403, "forbidden"},
	} {
		row.who.Do("PUT", path+"/owner", obj{"ownerId": kim.id()}).Want(row.status, row.code)
		row.who.Do("PUT", path+"/owner", `{`, "If-Match", `"9"`).Want(row.status, row.code)
	}
	app.Anonymous().Do("PUT", "/products/"+mina.Offer("status", "published")+"/owner", `{`).Want(401, "unauthenticated")
	for _, bad := range []string{"x", missing} {
		admin.Do("PUT", "/products/"+bad+"/owner", obj{"ownerId": kim.id()}).Want(404, "not_found")
	}
	admin.Do("PUT", path+"/owner", `{`, "If-Match", `"9"`).Want(412, "version_conflict")
	admin.Do("PUT", path+"/owner", `{`).Want(400, "malformed_json")
	admin.Do("PUT", path+"/owner", `{}`, "Content-Type", "text/plain").Want(415, "unsupported_media_type")
	for _, row := range []struct {
		body any
		want []string
	}{
		{obj{}, []string{"/ownerId", "required"}}, {obj{"ownerId": 7}, []string{"/ownerId", "wrong_type"}},
		{obj{"ownerId": "me"}, []string{"/ownerId", "invalid_value"}}, {obj{"ownerId": ""}, []string{"/ownerId", "invalid_value"}},
		{obj{"ownerId": "x", "version": 1}, []string{"/ownerId", "invalid_value", "/version", "unknown_member"}},
		{obj{"ownerId": missing}, []string{"/ownerId", "unknown_user"}},
		{obj{"ownerId": "00000000-0000-0000-0000-000000000000"}, []string{"/ownerId", "unknown_user"}},
	} {
		admin.Do("PUT", path+"/owner", row.body).WantFaults(row.want...)
	}
	app.Disable(kim.Email)
	admin.Do("PUT", path+"/owner", obj{"ownerId": app.idOf(kim.Email)}).WantFaults("/ownerId", "unknown_user")
	if now := mina.Do("GET", path, nil); string(now.Body) != string(before.Body) {
		t.Errorf("refusals changed the product: %s", now.Body)
	}
	a := admin.Do("PUT", path+"/owner", obj{"ownerId": eve.id()}, "If-Match", `"1"`).Want(200, "")
	if a.Text("ownerId") != eve.id() || a.Text("version") != "2" || a.Header.Get("Etag") != `"2"` || a.Text("updatedAt") <= before.Text("updatedAt") {
		t.Errorf("transferred: %s, ETag %s", a.Body, a.Header.Get("Etag"))
	}
	admin.Do("PUT", path+"/owner", obj{"ownerId": mina.id()}, "If-Match", `"1"`).Want(412, "version_conflict")
	again := admin.Do("PUT", path+"/owner", obj{"ownerId": eve.id()}, "If-Match", `"2"`).Want(200, "")
	if string(again.Body) != string(a.Body) {
		t.Errorf("to whom it belongs: %s, was %s", again.Body, a.Body)
	}
	mina.Do("GET", path, nil).Want(404, "not_found")
	if got := mina.Do("GET", "/products?owner=me&status=draft", nil).Items("id"); len(got) > 0 {
		t.Errorf("who owned it still lists %v", got)
	}
	if got := eve.Do("GET", "/products?owner=me", nil).Items("id"); !slices.Equal(got, []string{product}) {
		t.Errorf("who owns it now lists %v", got)
	}
	if got := fmt.Sprint(eve.Do("GET", path+"/permissions", nil).JSON()["actions"]); got != "[read update delete share]" {
		t.Errorf("the new owner may %s", got)
	}
	// The grant that an owner needs none of is gone, and does not come back.
	if got := eve.Do("GET", path+"/grants", nil).Items("role"); fmt.Sprint(got) != "[viewer]" {
		t.Errorf("grants after the transfer: %v", got)
	}
	admin.Do("PUT", path+"/owner", obj{"ownerId": mina.id()}).Want(200, "")
	eve.Do("GET", path, nil).Want(404, "not_found")
}

// testHandsAtOnce: what is done to a product at once comes out as if it had been
// done in turn.
func testHandsAtOnce(t *testing.T, open Open) {
	app := start(t, open, Options{RequestTimeout: 1 << 34})
	mina, kim, admin := app.SignIn("mina@example.com"), app.SignIn("kim@example.com"), app.SignIn("admin@example.com")
	app.SetRoles(admin.Email, "admin")
	path := "/products/" + mina.Offer()
	var moved, stale atomic.Int64
	minas, kims := mina.id(), kim.id()
	inParallel(t, 20, func(i int) {
		to := []string{kims, minas}[i%2]
		a, err := admin.With(t).try("PUT", path+"/owner", obj{"ownerId": to}, "If-Match", `"1"`)
		switch {
		case err == nil && a.Status == 200 && a.Text("version") == "2":
			moved.Add(1)
		case err == nil && a.Status == 412:
			stale.Add(1)
		case err == nil && a.Status == 200 && to == minas && a.Text("version") == "1": // to whom it belonged
		default:
			t.Errorf("PUT owner = %v %v", a, err)
		}
	})
	if moved.Load() != 1 {
		t.Errorf("of 10 transfers with one ETag %d succeeded, %d were stale, want one", moved.Load(), stale.Load())
	}
	// An editor whose grant is taken away, beside an owner who changes.
	for n := range 10 {
		id := mina.Offer()
		mina.share(id, kim, "editor")
		var answers [4]*Answer
		clients := [4]*Client{kim.With(t), mina.With(t), admin.With(t), kim.With(t)}
		requests := [4]func(c *Client) (*Answer, error){
			func(c *Client) (*Answer, error) { return c.try("PATCH", "/products/"+id, `{"stock":1}`) },
			func(c *Client) (*Answer, error) { return c.try("DELETE", "/products/"+id+"/grants/"+kims, nil) },
			func(c *Client) (*Answer, error) { return c.try("PUT", "/products/"+id+"/owner", obj{"ownerId": kims}) },
			func(c *Client) (*Answer, error) { return c.try("DELETE", "/products/"+id, nil) },
		}
		inParallel(t, 4, func(i int) {
			a, err := requests[i](clients[i])
			if err != nil {
				t.Error(err)
				return
			}
			answers[i] = a
		})
		for i, may := range []string{"200 403 404", "204 404 403", "200 404", "204 403 404"} {
			if a := answers[i]; a != nil && !strings.Contains(may, fmt.Sprint(a.Status)) {
				t.Errorf("round %d, request %d = %d %s", n, i, a.Status, a.Body)
			}
		}
		now := admin.Do("GET", "/products/"+id, nil)
		if gone := answers[3].Status == 204; gone != (now.Status == 404) {
			t.Errorf("round %d: after DELETE = %d the product is %d", n, answers[3].Status, now.Status)
		}
		if now.Status == 200 && now.Text("ownerId") == kims {
			if got := kim.Do("GET", "/products/"+id+"/grants", nil).Want(200, "").Items("userId"); len(got) > 0 {
				t.Errorf("round %d: the owner holds a grant: %v", n, got)
			}
		}
	}
}

// testSharingAudit: each change is written down once, in one step with it.
func testSharingAudit(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina, kim, admin := app.SignIn("mina@example.com"), app.SignIn("kim@example.com"), app.SignIn("admin@example.com")
	app.SetRoles(admin.Email, "admin")
	path := "/products/" + mina.Offer("status", "published")
	kims := path + "/grants/" + kim.id()
	before := len(app.AuditRows())
	for _, do := range []func(){
		func() { mina.Do("PUT", kims, obj{"role": "viewer"}).Want(200, "") },
		func() { mina.Do("PUT", kims, obj{"role": "viewer"}).Want(200, "") }, // changes nothing
		func() { mina.Do("PUT", kims, obj{"role": "editor"}).Want(200, "") },
		func() { mina.Do("PUT", kims, obj{"role": "x"}).Want(422, "validation_failed") },
		func() { kim.Do("PUT", kims, obj{"role": "editor"}).Want(403, "forbidden") },
		func() { kim.Do("GET", path+"/grants", nil).Want(403, "forbidden") },
		func() { mina.Do("DELETE", kims, nil).Want(204, "") },
		func() { mina.Do("DELETE", kims, nil).Want(404, "not_found") },
		func() { mina.Do("PUT", path+"/owner", obj{"ownerId": kim.id()}).Want(403, "forbidden") },
		func() { admin.Do("PUT", path+"/owner", obj{"ownerId": kim.id()}).Want(200, "") },
		func() { admin.Do("PUT", path+"/owner", obj{"ownerId": kim.id()}).Want(200, "") }, // changes nothing
		func() { admin.Do("PUT", path+"/owner", obj{"ownerId": missing}).Want(422, "validation_failed") },
	} {
		do()
	}
	people, got := names{}, []string{}
	people.learn(t, app)
	for _, r := range app.AuditRows()[before:] {
		got = append(got, people.describe(r))
	}
	if want := []string{
		`product.grant_given success mina product:offered {"role":"viewer","user":"kim"}`,
		`product.grant_given success mina product:offered {"role":"editor","user":"kim"}`,
		`access.denied refused kim product:offered {"action":"share","decision":"itself","reason":"no row allows it; nearest: user, product, share, own, allow (not own)"}`,
		`access.denied refused kim product:offered {"action":"share","decision":"itself","reason":"no row allows it; nearest: user, product, share, own, allow (not own)"}`,
		`product.grant_taken success mina product:offered {"role":"editor","user":"kim"}`,
		`access.denied refused mina product:offered {"action":"transfer","decision":"itself","reason":"no row allows it to these roles"}`,
		`product.transferred success admin product:offered {"from":"mina","to":"kim"}`,
	}; !slices.Equal(got, want) {
		t.Errorf("written down as\n got  %q\n want %q", got, want)
	}
}

// testSharedAndGone: nothing is left of a grant when the product or the user
// goes, and an export has those given and those received.
func testSharedAndGone(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina, kim, eve := app.SignIn("mina@example.com"), app.SignIn("kim@example.com"), app.SignIn("eve@example.com")
	hers, his := mina.Offer(), kim.Offer()
	mina.share(hers, kim, "editor")
	mina.share(hers, eve, "viewer")
	kim.share(his, mina, "viewer")
	export := mina.Do("GET", "/me/export", nil).Want(200, "")
	for list, want := range map[string][][]string{
		"grantsGiven":    {{hers, hers}, {kim.id(), eve.id()}, {"editor", "viewer"}},
		"grantsReceived": {{his}, {mina.id()}, {"viewer"}},
	} {
		for i, member := range []string{"productId", "userId", "role"} {
			if got := listed(export, list, member); !slices.Equal(got, want[i]) {
				t.Errorf("export of %s, %s = %v, want %v", list, member, got, want[i])
			}
		}
	}
	if got := listed(eve.Do("GET", "/me/export", nil).Want(200, ""), "grantsReceived", "productId"); !slices.Equal(got, []string{hers}) {
		t.Errorf("what is shared with eve = %v", got)
	}
	eve.Do("DELETE", "/me", leaving(password)).Want(204, "")
	if got := mina.Do("GET", "/products/"+hers+"/grants", nil).Items("userId"); !slices.Equal(got, []string{kim.id()}) {
		t.Errorf("grants after eve has left: %v", got)
	}
	mina.Do("DELETE", "/me", leaving(password)).Want(204, "")
	kim.Do("GET", "/products/"+hers, nil).Want(404, "not_found")
	if got := kim.Do("GET", "/products/"+his+"/grants", nil).Items("userId"); len(got) > 0 {
		t.Errorf("grants after mina has left: %v", got)
	}
	if got := listed(kim.Do("GET", "/me/export", nil).Want(200, ""), "grantsReceived", "productId"); len(got) > 0 {
		t.Errorf("what is shared with kim after mina has left = %v", got)
	}
}

// testStatuses: the life of a product. Any status may follow any other; what is
// archived is off offer, and seen by those alone who see drafts.
func testStatuses(t *testing.T, open Open) {
	app := start(t, open, Options{})
	mina, kim, eve, moderator := app.SignIn("mina@example.com"), app.SignIn("kim@example.com"), app.SignIn("eve@example.com"), app.SignIn("moderator@example.com")
	app.SetRoles(moderator.Email, "moderator")
	product := mina.Offer()
	mina.share(product, kim, "viewer")
	path := "/products/" + product
	all := []string{"draft", "published", "archived"}
	version := 1
	for _, status := range []string{"published", "archived", "published", "draft", "archived", "draft", "draft"} {
		version++
		a := mina.Do("PATCH", path, obj{"status": status}, "If-Match", fmt.Sprintf(`"%d"`, version-1)).Want(200, "")
		if a.Text("status") != status || a.Text("version") != fmt.Sprint(version) {
			t.Errorf("PATCH status %s = %s", status, a.Body)
		}
		for _, row := range []struct {
			name string
			who  *Client
			sees bool
		}{
			{"nobody", app.Anonymous(), status == "published"}, {"a stranger", eve, status == "published"},
			{"the owner", mina, true}, {"who it is shared with", kim, true}, {"a moderator", moderator, true},
		} {
			if a := row.who.Do("GET", path, nil); (a.Status == 200) != row.sees {
				t.Errorf("%s: a product that is %s is %d", row.name, status, a.Status)
			}
			if got := row.who.Do("GET", "/products", nil).Items("id"); slices.Contains(got, product) != row.sees {
				t.Errorf("%s: a product that is %s among %v, want %v", row.name, status, got, row.sees)
			}
			for _, asked := range all {
				got := row.who.Do("GET", "/products?status="+asked, nil).Items("status")
				if (len(got) == 1) != (row.sees && asked == status) || len(got) == 1 && got[0] != asked {
					t.Errorf("%s: the list of what is %s holds %v while it is %s", row.name, asked, got, status)
				}
			}
		}
	}
	archived := mina.Do("POST", "/products", teapot("status", "archived")).Want(201, "").Text("id")
	eve.Do("GET", "/products/"+archived, nil).Want(404, "not_found")
	mina.Do("PATCH", path, obj{"status": "deleted"}).WantFaults("/status", "invalid_value")
	mina.Do("DELETE", "/products/"+archived, nil).Want(204, "")
}
