package httptests

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/application/sessions"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
)

// policyRow is one as a body: policyRow("user product read any allow").
func policyRow(words string) obj {
	w := strings.Fields(words)
	return obj{"role": w[0], "resource": w[1], "action": w[2], "condition": w[3], "effect": w[4]}
}

// rowID is the id of a row of the policy.
func (c *Client) rowID(words string) string {
	c.t.Helper()
	items, _ := c.Do("GET", "/admin/policies", nil).Want(200, "").JSON()["items"].([]any)
	for _, one := range items {
		m, _ := one.(map[string]any)
		if fmt.Sprint(m["role"], " ", m["resource"], " ", m["action"], " ", m["condition"], " ", m["effect"]) == words {
			return fmt.Sprint(m["id"])
		}
	}
	c.t.Fatalf("there is no row %s", words)
	return ""
}

// withoutID is a row of an answer as a body.
func withoutID(m map[string]any) obj {
	o := obj{}
	for name, value := range m {
		if name != "id" {
			o[name] = value
		}
	}
	return o
}

// testPolicies: rows come and go, and every fault of one is told at once.
func testPolicies(t *testing.T, open Open) {
	app := start(t, open, Options{})
	root := app.administrator("root@example.com")
	first := root.Do("GET", "/admin/policies", nil).Want(200, "").JSON()
	rows, _ := first["items"].([]any)
	inherits, _ := first["inherits"].([]any)
	if first["version"] != 1.0 || first["nextCursor"] != nil || len(rows) < 18 || len(inherits) != 3 {
		t.Errorf("the policy = %v", first)
	}
	if one, _ := rows[0].(map[string]any); one == nil {
		t.Errorf("the first row = %v", rows[0])
	} else if got := root.Do("GET", "/admin/policies/"+fmt.Sprint(one["id"]), nil).Want(200, "").JSON(); fmt.Sprint(got) != fmt.Sprint(one) {
		t.Errorf("the row by itself = %v, in the list %v", got, one)
	}

	want := policyRow("support user read any allow")
	made := root.Do("POST", "/admin/policies", obj{"role": "support", "resource": "user", "action": "read", "condition": "any", "effect": "allow", "note": "help desk"}).Want(201, "")
	path := "/admin/policies/" + made.Text("id")
	if made.Header.Get("Location") != path || fmt.Sprint(withoutID(made.JSON())) != fmt.Sprint(want) {
		t.Errorf("the new row = %s at %s, want %v at %s", made.Body, made.Header.Get("Location"), want, path)
	}
	root.Do("POST", "/admin/policies", want).Want(409, "policy_exists")
	if now := root.Do("GET", "/admin/policies", nil).Want(200, ""); now.Text("version") != "2" || !slices.Contains(now.Items("id"), made.Text("id")) {
		t.Errorf("after adding a row the policy is %s", now.Body)
	}
	root.Do("DELETE", path+"?note=not+needed", nil).Want(204, "")
	root.Do("DELETE", path, nil).Want(404, "not_found")
	root.Do("GET", path, nil).Want(404, "not_found")
	for _, id := range []string{"x", missing, "%00", strings.Repeat("a", 500)} {
		root.Do("GET", "/admin/policies/"+id, nil).Want(404, "not_found")
		root.Do("DELETE", "/admin/policies/"+id, nil).Want(404, "not_found")
	}

	root.Do("POST", "/admin/policies", policyRow("Support users eat true maybe")).
		WantFaults("/role", "invalid_value", "/resource", "invalid_value", "/action", "invalid_value", "/condition", "invalid_value", "/effect", "invalid_value")
	root.Do("POST", "/admin/policies", obj{"role": 1, "resource": "*", "condition": nil, "effect": "allow", "id": missing, "note": strings.Repeat("x", 501)}).
		WantFaults("/role", "wrong_type", "/resource", "invalid_value", "/action", "required", "/condition", "wrong_type", "/id", "unknown_member", "/note", "too_long")
	root.Do("POST", "/admin/policies", `{"role":"user","role":"admin"}`).Want(400, "malformed_json")
	root.Do("POST", "/admin/policies", "", "Content-Type", "text/plain").Want(400, "malformed_json")
	root.Do("POST", "/admin/policies", `{}`, "Content-Type", "text/plain").Want(415, "unsupported_media_type")
	root.Do("DELETE", "/admin/policies/"+root.rowID("user product share own allow")+"?note="+strings.Repeat("x", 501), nil).WantFaults("/note", "too_long")
	root.Do("DELETE", "/admin/policies/"+root.rowID("user product share own allow")+"?note=%ff", nil).WantFaults("/note", "invalid_characters")
	if now := root.Do("GET", "/admin/policies", nil).Text("version"); now != "3" {
		t.Errorf("after one row that came and went the policy is at version %s, want 3", now)
	}

	// What it takes is to be shown once more who it is, as for the accounts of others.
	app.Advance(sessions.DefaultReauth)
	root.Do("POST", "/admin/policies", want).Want(403, "reauth_required")
	root.Do("POST", "/admin/policies", obj{}).Want(422, "validation_failed")
	root.Do("DELETE", "/admin/policies/"+root.rowID("user product share own allow"), nil).Want(403, "reauth_required")
	root.Do("POST", "/admin/policies/rollback", obj{"version": 1}).Want(403, "reauth_required")
	root.Do("POST", "/me/reauthenticate", obj{"password": password}).Want(204, "")
	root.Do("POST", "/admin/policies", want).Want(201, "")
}

// testPoliciesDenied: whoever may not is told so, whatever is asked about, and it
// is written down; a right of one kind is none of another.
func testPoliciesDenied(t *testing.T, open Open) {
	app := start(t, open, Options{})
	root, mina := app.administrator("root@example.com"), app.SignIn("mina@example.com")
	row := root.rowID("user product share own allow")
	routes := []struct {
		method, path string
		body         any
		right        string
	}{
		{"GET", "/admin/policies", nil, "read"}, {"GET", "/admin/policies/" + row, nil, "read"}, {"GET", "/admin/policies/x", nil, "read"},
		{"GET", "/admin/policies/history", nil, "read"}, {"GET", "/admin/policies/history?limit=x", nil, "read"}, {"GET", "/admin/policies/history/1", nil, "read"}, {"GET", "/admin/policies/history/x", nil, "read"},
		{"POST", "/admin/policies", policyRow("mina policy create any allow"), "create"}, {"POST", "/admin/policies", `{"role":`, "create"}, {"POST", "/admin/policies", obj{}, "create"},
		{"DELETE", "/admin/policies/" + row, nil, "delete"}, {"DELETE", "/admin/policies/" + missing, nil, "delete"},
		{"POST", "/admin/policies/rollback", obj{"version": 1}, "create"}, {"POST", "/admin/policies/rollback", obj{}, "create"},
	}
	for _, r := range routes {
		app.Anonymous().Do(r.method, r.path, r.body).Want(401, "unauthenticated")
		before := len(app.AuditRows())
		mina.Do(r.method, r.path, r.body).Want(403, "forbidden")
		rows := app.AuditRows()[before:]
		if len(rows) != 1 || rows[0].Event != audit.Denied || rows[0].Subject.Type != "policy" || rows[0].Detail["action"] != r.right {
			t.Errorf("%s %s by who may not is written down as %+v", r.method, r.path, rows)
		}
	}
	// A role that nobody has registered, with one right.
	root.Do("POST", "/admin/policies", policyRow("auditor policy read any allow")).Want(201, "")
	app.SetRoles("mina@example.com", "auditor")
	for _, r := range routes {
		if a := mina.Do(r.method, r.path, r.body); r.right == "read" && a.Status == 403 || r.right != "read" && a.Status != 403 {
			t.Errorf("%s %s by who may read policies = %d %s", r.method, r.path, a.Status, a.Body)
		}
	}
	if now := root.Do("GET", "/admin/policies", nil).Text("version"); now != "2" {
		t.Errorf("after who may not has tried the policy is at version %s, want 2", now)
	}
}

// testPoliciesAtOnce: what is changed counts from the next request on, in single
// answers and in lists, in either direction and for roles made up on the spot.
func testPoliciesAtOnce(t *testing.T, open Open) {
	app := start(t, open, Options{})
	root, mina, visitor := app.administrator("root@example.com"), app.SignIn("mina@example.com"), app.Anonymous()
	draft := root.Offer()
	shown := func(c *Client) int { return len(c.Do("GET", "/products", nil).Want(200, "").Items("id")) }
	for round := range 3 {
		mina.Do("GET", "/products/"+draft, nil).Want(404, "not_found")
		made := root.Do("POST", "/admin/policies", policyRow("user product read any allow")).Want(201, "")
		mina.Do("GET", "/products/"+draft, nil).Want(200, "")
		if n := shown(mina); n != 1 {
			t.Errorf("round %d: who may read everything is shown %d products, want 1", round, n)
		}
		visitor.Do("GET", "/products/"+draft, nil).Want(404, "not_found")
		deny := root.Do("POST", "/admin/policies", policyRow("user product read any deny")).Want(201, "")
		mina.Do("GET", "/products/"+draft, nil).Want(404, "not_found")
		if n := shown(mina); n != 0 {
			t.Errorf("round %d: who is denied everything is shown %d products, want none", round, n)
		}
		root.Do("DELETE", "/admin/policies/"+deny.Text("id"), nil).Want(204, "")
		mina.Do("GET", "/products/"+draft, nil).Want(200, "")
		root.Do("DELETE", "/admin/policies/"+made.Text("id"), nil).Want(204, "")
	}
	made := root.Do("POST", "/admin/policies", policyRow("anonymous product read any allow")).Want(201, "")
	visitor.Do("GET", "/products/"+draft, nil).Want(200, "")
	root.Do("POST", "/admin/policies/rollback", obj{"version": 1}).Want(200, "")
	visitor.Do("GET", "/products/"+draft, nil).Want(404, "not_found")
	root.Do("DELETE", "/admin/policies/"+made.Text("id"), nil).Want(404, "not_found")
	// A role of one's own.
	root.Do("POST", "/admin/policies", policyRow("curator_2 product update any allow")).Want(201, "")
	root.Do("POST", "/admin/policies", policyRow("curator_2 product read any allow")).Want(201, "")
	app.SetRoles("mina@example.com", "curator_2")
	mina.Do("PATCH", "/products/"+draft, obj{"name": "Curated"}).Want(200, "")
}

// testLockOut: what no admin could undo is refused, alone and at once.
func testLockOut(t *testing.T, open Open) {
	app := start(t, open, Options{})
	root := app.administrator("root@example.com")
	essential := []string{"admin policy read any allow", "admin policy create any allow", "admin policy delete any allow", "admin user read any allow", "admin user update any allow"}
	for _, words := range essential {
		a := root.Do("DELETE", "/admin/policies/"+root.rowID(words), nil).Want(409, "last_admin")
		if !strings.HasPrefix(a.Text("detail"), "Nothing was changed: the role admin could not ") {
			t.Errorf("the detail is %q", a.Text("detail"))
		}
		root.Do("POST", "/admin/policies", policyRow(strings.Replace(words, "allow", "deny", 1))).Want(409, "last_admin")
		root.Do("POST", "/admin/policies", policyRow(strings.Replace(strings.Replace(words, "allow", "deny", 1), "admin ", "anonymous ", 1))).Want(409, "last_admin")
	}
	// Two who each remove one of two rows that give the same.
	for range 5 {
		root.Do("POST", "/admin/policies", policyRow("moderator user update any allow")).Want(201, "")
		ids := []string{root.rowID("moderator user update any allow"), root.rowID("admin user update any allow")}
		status := make([]int, 2)
		var wait sync.WaitGroup
		for i, id := range ids {
			c := root.With(t)
			wait.Go(func() { status[i] = c.Do("DELETE", "/admin/policies/"+id, nil).Status })
		}
		wait.Wait()
		slices.Sort(status)
		if !slices.Equal(status, []int{204, 409}) {
			t.Errorf("two who remove the last two rows at once: %v, want 204 and 409", status)
		}
		root.Do("POST", "/admin/policies/rollback", obj{"version": 1}).Want(200, "")
	}
	root.Do("GET", "/admin/policies", nil).Want(200, "")
}

// testPolicyHistory: every change is a version, which is told page by page, and to
// which one can go back.
func testPolicyHistory(t *testing.T, open Open) {
	app := start(t, open, Options{})
	root := app.administrator("root@example.com")
	me := root.Do("GET", "/me", nil).Text("id")
	first := root.Do("GET", "/admin/policies", nil).JSON()
	for i := range 5 {
		body := policyRow(fmt.Sprintf("role%d product read any allow", i))
		body["note"] = fmt.Sprintf("note %d, 메모", i)
		root.Do("POST", "/admin/policies", body).Want(201, "")
	}
	root.Do("DELETE", "/admin/policies/"+root.rowID("role2 product read any allow")+"?note=gone", nil).Want(204, "")
	var versions []string
	cursor := ""
	for {
		page := root.Do("GET", "/admin/policies/history?limit=3&cursor="+cursor, nil).Want(200, "")
		versions = append(versions, page.Items("version")...)
		if cursor = page.Text("nextCursor"); cursor == "" {
			break
		}
	}
	if fmt.Sprint(versions) != "[7 6 5 4 3 2 1]" {
		t.Errorf("the history tells of the versions %v", versions)
	}
	items, _ := root.Do("GET", "/admin/policies/history", nil).Want(200, "").JSON()["items"].([]any)
	for i, want := range []struct {
		note           string
		author         any
		added, removed int
	}{{"gone", me, 0, 1}, {"note 4, 메모", me, 1, 0}} {
		one, _ := items[i].(map[string]any)
		added, _ := one["added"].([]any)
		removed, _ := one["removed"].([]any)
		if one["note"] != want.note || one["authorId"] != want.author || len(added) != want.added || len(removed) != want.removed {
			t.Errorf("history[%d] = %v, want %+v", i, one, want)
		}
	}
	if last, _ := items[6].(map[string]any); last["authorId"] != nil || last["version"] != 1.0 {
		t.Errorf("the first version is %v, want one without author", last)
	}

	was := root.Do("GET", "/admin/policies/history/1", nil).Want(200, "").JSON()
	if fmt.Sprint(was["items"]) != fmt.Sprint(first["items"]) || fmt.Sprint(was["inherits"]) != fmt.Sprint(first["inherits"]) {
		t.Errorf("version 1 was %v, want %v", was, first)
	}
	for _, version := range []string{"0", "-1", "8", "01", "x", "9223372036854775808", "1.0"} {
		root.Do("GET", "/admin/policies/history/"+version, nil).Want(404, "not_found")
	}
	root.Do("GET", "/admin/policies/history?limit=0", nil).WantFaults("/limit", "out_of_range")
	good := root.Do("GET", "/admin/policies/history?limit=1", nil).Text("nextCursor")
	for _, bad := range []string{"x", good[1:], good + "A", strings.ToLower(good), "AAAA", strings.Repeat("A", 3000)} {
		root.Do("GET", "/admin/policies/history?cursor="+bad, nil).Want(400, "invalid_cursor")
	}

	back := root.Do("POST", "/admin/policies/rollback", obj{"version": 1, "note": "that was wrong"}).Want(200, "").JSON()
	if back["version"] != 8.0 || fmt.Sprint(back["items"]) != fmt.Sprint(first["items"]) {
		t.Errorf("after going back the policy is %v, want that of version 1", back)
	}
	if rows := app.AuditRows(); rows[len(rows)-1].Event != audit.PolicyRolledBack || rows[len(rows)-1].Detail["to"] != "1" || rows[len(rows)-1].Actor.String() != me {
		t.Errorf("going back is written down as %+v", rows[len(rows)-1])
	}
	if again := root.Do("POST", "/admin/policies/rollback", obj{"version": 1}).Want(200, "").JSON(); again["version"] != 8.0 {
		t.Errorf("going back to where one is made version %v", again["version"])
	}
	for _, version := range []any{0, -3, 99} {
		root.Do("POST", "/admin/policies/rollback", obj{"version": version}).Want(404, "not_found")
	}
	root.Do("POST", "/admin/policies/rollback", obj{"version": "1", "x": 1}).WantFaults("/version", "wrong_type", "/x", "unknown_member")
	root.Do("POST", "/admin/policies/rollback", `{"version":1.0}`).WantFaults("/version", "wrong_type")
}

// testPolicyOutages: a table that a hand in the database has spoilt widens
// nothing, and is mended by going back (threats.md, scenario 13).
func testPolicyOutages(t *testing.T, open Open) {
	app := start(t, open, Options{})
	root, mina := app.administrator("root@example.com"), app.SignIn("mina@example.com")
	draft, offered := root.Offer(), root.Offer("status", "published")
	for what, spoil := range map[string]func(*access.Table){
		"emptied": func(t *access.Table) { t.Rows = nil },
		"an unknown word": func(t *access.Table) {
			t.Rows[0].Condition = "always"
			t.Rows = append(t.Rows, access.Row{ID: app.newRowID(), Role: "user", Resource: "product", Action: "read", Condition: "any", Effect: "allow"})
		},
		"a circle": func(t *access.Table) {
			t.Inherits = append(t.Inherits, access.Inheritance{Role: "anonymous", Parent: "admin"})
		},
	} {
		spoilt, err := app.stores.History.Change(context.Background(), access.Edit{At: app.Clock.Now()}, func(t *access.Table) error { spoil(t); return nil })
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			mina.Do("GET", "/products/"+draft, nil).Want(404, "not_found")
			mina.Do("GET", "/products/"+offered, nil).Want(200, "")
			mina.Do("DELETE", "/products/"+offered, nil).Want(403, "forbidden")
			mina.Do("GET", "/admin/policies", nil).Want(403, "forbidden")
			app.Anonymous().Do("GET", "/products/"+draft, nil).Want(404, "not_found")
		}
		if what == "an unknown word" {
			root.Do("POST", "/admin/policies", policyRow("x product read any allow")).Want(409, "policy_unusable")
		}
		root.Do("GET", "/admin/policies/history", nil).Want(200, "")
		if now := root.Do("POST", "/admin/policies/rollback", obj{"version": 1}).Want(200, ""); len(now.Items("id")) < 18 {
			t.Errorf("after %s and going back the policy is %s", what, now.Body)
		}
		code := "policy_unusable"
		if what == "emptied" {
			code = "last_admin"
		}
		root.Do("POST", "/admin/policies/rollback", obj{"version": spoilt.Version}).Want(409, code)
	}
}

func (a *App) newRowID() access.PolicyID {
	return access.PolicyID{UUID: a.stores.Random.ID(a.Clock.Now())}
}
