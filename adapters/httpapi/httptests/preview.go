package httptests

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/application/sessions"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
)

const previewPath = "/admin/policies/preview"

// effects are those of a side of a preview, in a line each.
func (a *Answer) effects(side string) []string {
	a.t.Helper()
	m, _ := a.JSON()[side].(map[string]any)
	items, _ := m["effects"].([]any)
	lines := []string{}
	for _, one := range items {
		e, _ := one.(map[string]any)
		who := strings.Trim(fmt.Sprint(e["roles"]), "[]")
		if e["signedIn"] == false {
			who = "visitors"
		}
		lines = append(lines, fmt.Sprintf("%v of %v: %s: %v %v %v: %v", e["affected"], e["users"], who, e["action"], e["resource"], e["scope"], e["count"]))
	}
	slices.Sort(lines)
	return lines
}

func (a *Answer) wantEffects(gains, losses string) {
	a.t.Helper()
	for side, want := range map[string]string{"gains": gains, "losses": losses} {
		if got := strings.Join(a.effects(side), "; "); got != want {
			a.t.Errorf("the %s are\n %s, want\n %s", side, got, want)
		}
	}
}

// testPreviews: who would gain and lose what, as it then is.
func testPreviews(t *testing.T, open Open) {
	app := start(t, open, Options{})
	root, mina, kim, eve := app.administrator("root@example.com"), app.SignIn("mina@example.com"), app.SignIn("kim@example.com"), app.SignIn("eve@example.com")
	app.SignIn("gone@example.com")
	app.DisableAsOperator("gone@example.com")
	app.SetRoles(eve.Email, "support")
	minas, kims := mina.Offer(), kim.Offer()
	mina.Offer("status", "published")
	mina.Do("PUT", "/products/"+minas+"/grants/"+kim.id(), obj{"role": "viewer"}).Want(200, "")

	// Users see what is published, what is theirs, and what is shared with them:
	// mina misses kim's draft, kim none.
	add := obj{"add": policyRow("user product read any allow")}
	a := root.Do("POST", previewPath, add).Want(200, "")
	a.wantEffects("1 of 2: user: read product each: 1", "")
	if got := a.Text("policyVersion") + " " + a.Text("complete") + " " + a.Text("questions") + " " + a.Text("answered") + " " + a.Text("gains", "onProducts") + " " + a.Text("gains", "elsewhere"); got != "1 true 1 1 1 0" {
		t.Errorf("the preview is %s: %s", got, a.Body)
	}
	want := fmt.Sprintf("[map[product:map[id:%s name:Teapot] user:map[email:%s id:%s]]]", kims, mina.Email, mina.id())
	gains, _ := a.JSON()["gains"].(map[string]any)
	list, _ := gains["effects"].([]any)
	if one, _ := list[0].(map[string]any); fmt.Sprint(one["examples"]) != want {
		t.Errorf("the examples are %v, want %s", one["examples"], want)
	}
	mina.Do("GET", "/products/"+kims, nil).Want(404, "not_found") // it was a preview
	root.Do("POST", "/admin/policies", add["add"]).Want(201, "")
	mina.Do("GET", "/products/"+kims, nil).Want(200, "")

	// A row that gives what others give already changes nothing for most.
	root.Do("POST", previewPath, obj{"remove": obj{"id": root.rowID("user product read any allow")}}).Want(200, "").wantEffects("", "1 of 2: user: read product each: 1")
	root.Do("POST", previewPath, obj{"rollback": obj{"version": 1, "note": "as it was"}}).Want(200, "").wantEffects("", "1 of 2: user: read product each: 1")
	root.Do("POST", previewPath, obj{"rollback": obj{"version": 2}}).Want(200, "").wantEffects("", "")
	// Visitors, and those who have none of it so far.
	root.Do("POST", previewPath, obj{"add": policyRow("anonymous product read any allow")}).Want(200, "").
		wantEffects("1 of 1: visitors: read product each: 2", "")
	root.Do("POST", previewPath, obj{"add": policyRow("support product update own allow")}).Want(200, "").wantEffects("", "")
	root.Do("POST", previewPath, obj{"add": policyRow("support product update published allow")}).Want(200, "").
		wantEffects("1 of 1: support: update product each: 1", "")
	root.Do("POST", previewPath, obj{"add": policyRow("user product update published deny")}).Want(200, "").
		wantEffects("", "1 of 1: admin user: update product each: 1; 1 of 2: user: update product each: 1")
	// What is about no product.
	root.Do("POST", previewPath, obj{"add": policyRow("support user read any allow")}).Want(200, "").
		wantEffects("1 of 1: support: read user kind: 1; 1 of 1: support: read user own: 1", "")
	root.Do("POST", previewPath, obj{"add": policyRow("user session delete own allow")}).Want(200, "").
		wantEffects("2 of 2: user: delete session own: 2", "")
	root.Do("POST", previewPath, obj{"add": policyRow("user product create any deny")}).Want(200, "").
		wantEffects("", "1 of 1: admin user: create product kind: 1; 2 of 2: user: create product kind: 2")
	root.Do("POST", previewPath, obj{"add": policyRow("nobody audit read any allow")}).Want(200, "").wantEffects("", "")

	if now := root.Do("GET", "/admin/policies", nil).Text("version"); now != "2" {
		t.Errorf("after previews the policy is at version %s, want 2", now)
	}
	if n := len(root.Do("GET", "/admin/policies/history", nil).Items("version")); n != 2 {
		t.Errorf("after previews there are %d versions, want 2", n)
	}
	// No proof is asked for where nothing is changed.
	app.Advance(sessions.DefaultReauth)
	root.Do("POST", previewPath, add).Want(409, "policy_exists")
}

// testPreviewsRefused: what the change would be refused with, the preview is.
func testPreviewsRefused(t *testing.T, open Open) {
	app := start(t, open, Options{})
	root := app.administrator("root@example.com")
	root.Do("POST", "/admin/policies", policyRow("support user read any allow")).Want(201, "")
	deny := policyRow("admin policy read any deny")
	essential := root.rowID("admin user update any allow")
	long := strings.Repeat("x", 501)
	for _, c := range []struct {
		member       string
		change       any
		method, path string
		body         any
	}{
		{"add", policyRow("support user read any allow"), "POST", "/admin/policies", policyRow("support user read any allow")},
		{"add", deny, "POST", "/admin/policies", deny},
		{"add", obj{"role": "Root", "resource": "*", "condition": 1, "effect": "allow", "note": long, "x": 1}, "POST", "/admin/policies", obj{"role": "Root", "resource": "*", "condition": 1, "effect": "allow", "note": long, "x": 1}},
		{"add", obj{}, "POST", "/admin/policies", obj{}},
		{"remove", obj{"id": essential}, "DELETE", "/admin/policies/" + essential, nil},
		{"remove", obj{"id": missing}, "DELETE", "/admin/policies/" + missing, nil},
		{"remove", obj{"id": "x"}, "DELETE", "/admin/policies/x", nil},
		{"remove", obj{"id": essential, "note": long}, "DELETE", "/admin/policies/" + essential + "?note=" + long, nil},
		{"rollback", obj{"version": 99}, "POST", "/admin/policies/rollback", obj{"version": 99}},
		{"rollback", obj{"version": "1", "note": long}, "POST", "/admin/policies/rollback", obj{"version": "1", "note": long}},
		{"rollback", obj{}, "POST", "/admin/policies/rollback", obj{}},
	} {
		real := root.Do(c.method, c.path, c.body)
		a := root.Do("POST", previewPath, obj{c.member: c.change})
		// Faults stand beneath the member.
		faults := strings.ReplaceAll(fmt.Sprint(a.JSON()["errors"]), "pointer:/"+c.member+"/", "pointer:/")
		if a.Status != real.Status || a.Code() != real.Code() || a.Text("detail") != real.Text("detail") || faults != fmt.Sprint(real.JSON()["errors"]) || real.Status < 400 {
			t.Errorf("preview of %s %v\n = %d %s\n the change %d %s", c.member, c.change, a.Status, a.Body, real.Status, real.Body)
		}
	}
	root.Do("POST", previewPath, obj{}).WantFaults("", "one_change")
	root.Do("POST", previewPath, obj{"add": policyRow("x user read any allow"), "rollback": obj{"version": 1}}).WantFaults("", "one_change")
	root.Do("POST", previewPath, obj{"add": "x", "more": 1}).WantFaults("/add", "wrong_type", "/more", "unknown_member")
	root.Do("POST", previewPath, obj{"remove": nil}).WantFaults("/remove", "wrong_type")
	root.Do("POST", previewPath, obj{"remove": obj{}}).WantFaults("/remove/id", "required")
	root.Do("POST", previewPath, "{").Want(400, "malformed_json")

	// Of a policy that a hand has spoilt, what decides is the last good one; going
	// back changes nothing of that.
	if _, err := app.stores.History.Change(context.Background(), access.Edit{At: app.Clock.Now()}, func(t *access.Table) error { t.Rows[0].Action = "eat"; return nil }); err != nil {
		t.Fatal(err)
	}
	root.Do("POST", previewPath, obj{"add": policyRow("x user read any allow")}).Want(409, "policy_unusable")
	root.Do("POST", previewPath, obj{"rollback": obj{"version": 2}}).Want(200, "").wantEffects("", "")
	root.Do("POST", previewPath, obj{"rollback": obj{"version": 1}}).Want(200, "").wantEffects("", "")
	app.SetRoles(app.SignIn("eve@example.com").Email, "support")
	root.Do("POST", previewPath, obj{"rollback": obj{"version": 1}}).Want(200, "").wantEffects("", "1 of 1: support: read user kind: 1; 1 of 1: support: read user own: 1")
}

// testPreviewsDenied: it takes the right to read the policy; who may read no users
// is shown none, nor products that they may not read.
func testPreviewsDenied(t *testing.T, open Open) {
	app := start(t, open, Options{})
	root, mina := app.administrator("root@example.com"), app.SignIn("mina@example.com")
	root.Offer()
	for _, body := range []any{obj{"add": policyRow("user product read any allow")}, obj{}, "{"} {
		app.Anonymous().Do("POST", previewPath, body).Want(401, "unauthenticated")
		before := len(app.AuditRows())
		mina.Do("POST", previewPath, body).Want(403, "forbidden")
		rows := app.AuditRows()[before:]
		if len(rows) != 1 || rows[0].Event != audit.Denied || rows[0].Subject.Type != "policy" || rows[0].Detail["action"] != "read" {
			t.Errorf("a preview by who may not is written down as %+v", rows)
		}
	}
	for _, words := range []string{"auditor policy read any allow", "clerk policy read any allow", "clerk user read any allow"} {
		root.Do("POST", "/admin/policies", policyRow(words)).Want(201, "")
	}
	examples := func(c *Client, words string) string {
		a := c.Do("POST", previewPath, obj{"add": policyRow(words)}).Want(200, "")
		if len(a.effects("gains")) == 0 {
			t.Errorf("nobody gains by %s: %s", words, a.Body)
		}
		return strings.Join([]string{fmt.Sprint(strings.Contains(string(a.Body), "@")), fmt.Sprint(strings.Contains(string(a.Body), "Teapot"))}, " ")
	}
	for _, c := range []struct{ role, product, visitors, kind string }{
		{"auditor", "false false", "false false", "false false"},
		{"clerk", "false false", "false false", "true false"},
		{"admin", "true true", "false true", "true false"},
	} {
		app.SetRoles(mina.Email, c.role)
		for words, want := range map[string]string{
			c.role + " product read any allow": c.product, "anonymous product read any allow": c.visitors, c.role + " session read own allow": c.kind,
		} {
			if c.role == "admin" {
				words = strings.Replace(words, "admin product read", "admin product share", 1)
				words = strings.Replace(words, "admin session read own", "admin policy update any", 1)
			}
			if got := examples(mina, words); got != want {
				t.Errorf("examples of %s to who has the role %s: users and products %s, want %s", words, c.role, got, want)
			}
		}
	}
	if now := root.Do("GET", "/admin/policies", nil).Text("version"); now != "4" {
		t.Errorf("after previews the policy is at version %s, want 4", now)
	}
}

// testPreviewTime: what there is no time for is told, and is no outage; an outage
// is no answer.
func testPreviewTime(t *testing.T, open Open) {
	app := start(t, open, Options{RequestTimeout: 2 * time.Second})
	root, mina := app.administrator("root@example.com"), app.SignIn("mina@example.com")
	root.Offer()
	body := obj{"add": policyRow("user product read any allow")}
	for _, port := range []string{"census", "users", "products", "authorizer"} {
		app.Faults.Break(port, outage)
		a := root.Do("POST", previewPath, obj{"add": policyRow("anonymous product read any allow")})
		if port == "users" && a.Status == 200 { // nobody is found by their name here
			a = root.Do("POST", previewPath, obj{"add": policyRow("user audit read any allow")})
		}
		a.Want(503, "unavailable")
		app.Faults.Break(port, nil)
	}
	app.Faults.Break("census", hang)
	a := root.Do("POST", previewPath, obj{"add": policyRow("anonymous product read any allow")}).Want(200, "")
	if got := a.Text("complete") + " " + a.Text("questions") + " " + a.Text("answered"); got != "false 2 1" {
		t.Errorf("a preview that had time for one of two questions is %s: %s", got, a.Body)
	}
	if got := fmt.Sprint(a.JSON()["unanswered"]); got != "[map[action:read resource:product roles:[user] signedIn:true users:1]]" {
		t.Errorf("a preview that had time for one of two questions leaves out %s", got)
	}
	a.wantEffects("1 of 1: visitors: read product each: 1", "")
	app.Faults.Break("census", nil)
	root.Do("POST", previewPath, body).Want(200, "").wantEffects("1 of 1: user: read product each: 1", "")
	mina.Do("POST", previewPath, body).Want(403, "forbidden")
}
