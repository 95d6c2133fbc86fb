package httptests

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"gatehouse/domain/uuid"
)

// testExplain asks why, as support does.
func testExplain(t *testing.T, open Open) {
	app := start(t, open, Options{})
	owner, stranger, admin := app.SignIn("owner@example.com"), app.SignIn("stranger@example.com"), app.SignIn("admin@example.com")
	app.SetRoles(admin.Email, "admin")
	published, draft := owner.Offer("status", "published"), owner.Offer("status", "draft")
	const path = "/admin/policies/explain"
	row := func(role, resource, action, condition string) string {
		return strings.Join([]string{role, resource, action, condition, "allow"}, " ")
	}
	for _, c := range []struct {
		question obj
		decision string
		rule     string // "" for none
		way      string
		nearest  string
		reason   string
	}{
		{obj{"userId": owner.id(), "action": "update", "productId": draft}, "allow", row("user", "product", "update", "own"), "[user]", "[]",
			"by the row: user, product, update, own, allow"},
		{obj{"userId": stranger.id(), "action": "read", "productId": published}, "allow", row("anonymous", "product", "read", "published"), "[user anonymous]", "[]",
			"by the row: anonymous, product, read, published, allow (user → anonymous)"},
		{obj{"userId": stranger.id(), "action": "update", "productId": published}, "deny", "", "[]",
			"[condition: user product update own allow condition: user product update editor allow role: moderator product update any allow]",
			"no row allows it; nearest: user, product, update, own, allow (not own); user, product, update, editor, allow (not editor); a row speaks for it to moderator"},
		{obj{"roles": []string{"moderator"}, "action": "transfer", "productId": published}, "deny", "", "[]",
			"[role: admin product transfer any allow]", "no row allows it to these roles; a row speaks for it to admin"},
		{obj{"roles": []string{"admin"}, "action": "read", "resource": "audit"}, "allow", row("admin", "audit", "read", "any"), "[admin]", "[]",
			"by the row: admin, audit, read, any, allow"},
		{obj{"roles": []string{"user"}, "action": "create"}, "allow", row("user", "product", "create", "any"), "[user]", "[]",
			"by the row: user, product, create, any, allow"},
		{obj{"roles": []string{}, "action": "share", "resource": "product"}, "deny", "", "[]", "[]", "no row allows it to these roles"},
	} {
		a := admin.Do("POST", path, c.question).Want(200, "")
		got := []string{a.Text("decision"), ruleText(a.JSON()["rule"]), a.Text("path"), nearestText(a.JSON()["nearest"]), a.Text("reason")}
		want := []string{c.decision, c.rule, c.way, c.nearest, c.reason}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("explain %v\n got  %q\n want %q", c.question, got, want)
		}
	}
	if roles := admin.Do("POST", path, obj{"roles": []string{"moderator"}, "action": "read"}).Text("roles"); roles != "[anonymous moderator user]" {
		t.Errorf("explained by the roles %s, want them with what they inherit", roles)
	}
	// Who was disabled acts as nobody.
	id := stranger.id()
	app.Disable(stranger.Email)
	a := admin.Do("POST", path, obj{"userId": id, "action": "read", "productId": published}).Want(200, "")
	if a.Text("path") != "[anonymous]" || !strings.HasPrefix(a.Text("reason"), "the account is disabled") {
		t.Errorf("explain of a disabled account = %s", a.Body)
	}

	nobody := uuid.UUID{0x01, 0x90, 6: 0x70, 8: 0x80}.String()
	admin.Do("POST", path, obj{}).WantFaults("/action", "required", "/userId", "required")
	admin.Do("POST", path, obj{"userId": id, "roles": []string{"user"}, "action": "fly", "resource": "moon", "productId": "x", "more": 1}).
		WantFaults("/roles", "invalid_value", "/action", "invalid_value", "/resource", "invalid_value", "/productId", "invalid_value", "/more", "unknown_member")
	admin.Do("POST", path, obj{"userId": nobody, "action": "read", "productId": nobody}).WantFaults("/userId", "not_found", "/productId", "not_found")
	admin.Do("POST", path, obj{"userId": "root", "action": "read", "productId": published, "resource": "user"}).WantFaults("/userId", "invalid_value", "/resource", "invalid_value")
	admin.Do("POST", path, obj{"roles": []string{"user", "Root", "a b"}, "action": "read"}).WantFaults("/roles/1", "invalid_value", "/roles/2", "invalid_value")
	admin.Do("POST", path, obj{"roles": []any{"user", 1}, "action": "read"}).WantFaults("/roles/1", "wrong_type")
	admin.Do("POST", path, obj{"roles": []any{"user\x00"}, "action": "read"}).WantFaults("/roles/0", "invalid_characters")
	admin.Do("POST", path, obj{"roles": "user", "action": "read"}).WantFaults("/roles", "wrong_type")
	admin.Do("POST", path, `{"roles":[`+strings.Repeat(`"user",`, 200)+`"user"],"action":"read"}`).WantFaults("/roles", "out_of_range")
	admin.Do("POST", path, "{").Want(400, "malformed_json")

	// What cannot be looked at is not explained, and not missing.
	for _, port := range []string{"users", "products", "authorizer"} {
		app.Faults.Break(port, outage)
		admin.Do("POST", path, obj{"userId": id, "action": "read", "productId": published}).Want(503, "unavailable")
		app.Faults.Break(port, nil)
	}
	app.Faults.Break("ledger", outage)
	owner.Do("POST", path, obj{"roles": []string{}, "action": "read"}).Want(503, "unavailable")
	app.Faults.Break("ledger", nil)

	// Who may not ask is told that first.
	owner.Do("POST", path, "{").Want(403, "forbidden")
	app.Anonymous().Do("POST", path, "{").Want(401, "unauthenticated")
	app.SetRoles(owner.Email, "moderator")
	owner.Do("POST", path, obj{"roles": []string{"user"}, "action": "create"}).Want(403, "forbidden")
}

func ruleText(v any) string {
	m, ok := v.(map[string]any)
	if !ok {
		return ""
	}
	return fmt.Sprint(m["role"], " ", m["resource"], " ", m["action"], " ", m["condition"], " ", m["effect"])
}

func nearestText(v any) string {
	list, _ := v.([]any)
	var texts []string
	for _, one := range list {
		m, _ := one.(map[string]any)
		texts = append(texts, fmt.Sprintf("%v: %s", m["failed"], ruleText(m["rule"])))
	}
	return fmt.Sprint(texts)
}

// testDecisionIDs: what somebody who was refused can tell support leads to the
// log line and the audit row, where the reason stands.
func testDecisionIDs(t *testing.T, open Open) {
	app := start(t, open, Options{TrustedOrigins: []string{"https://app.example.com"}})
	owner, stranger := app.SignIn("owner@example.com"), app.SignIn("stranger@example.com")
	id := owner.Offer("status", "published")
	const reason = "no row allows it; nearest: user, product, delete, own, allow (not own)"
	refused := stranger.Do("DELETE", "/products/"+id, nil, "X-Request-Id", "r-77", "Origin", "https://app.example.com").Want(403, "forbidden")
	decision := refused.Header.Get("X-Decision-Id")
	line := ""
	for l := range strings.Lines(app.Log()) {
		if strings.Contains(l, decision) {
			line += l
		}
	}
	for _, want := range []string{`"requestId":"r-77"`, `"status":403`, `"decisionId":"` + decision + `"`, `"reason":"delete of product: ` + reason + `"`, `"userId":"` + stranger.id() + `"`} {
		if !strings.Contains(line, want) {
			t.Errorf("the log says of the decision %q, want %s in it", line, want)
		}
	}
	rows := app.AuditRows()
	last := rows[len(rows)-1]
	if last.ID.String() != decision || last.Detail["decision"] != decision || last.Detail["reason"] != reason || last.Origin.RequestID != "r-77" {
		t.Errorf("the audit log says of the decision %v %v, want it under %s", last.ID, last.Detail, decision)
	}
	if again := stranger.Do("DELETE", "/products/"+id, nil).Want(403, "forbidden").Header.Get("X-Decision-Id"); again == decision {
		t.Error("two refusals have one id")
	}
	// Neither what the policy did not refuse nor what nobody is to know of.
	for _, a := range []*Answer{
		owner.Do("DELETE", "/products/"+id, nil, "Sec-Fetch-Site", "cross-site").Want(403, "cross_site_request"),
		owner.Do("DELETE", "/me", obj{"password": "not the password"}).Want(403, "wrong_password"),
		stranger.Do("DELETE", "/products/"+owner.Offer("status", "draft"), nil).Want(404, "not_found"),
		app.Anonymous().Do("DELETE", "/products/"+id, nil).Want(401, "unauthenticated"),
	} {
		if got := a.Header.Get("X-Decision-Id"); got != "" {
			t.Errorf("%s: X-Decision-Id = %q, want none", a.what, got)
		}
	}
}

// ExplainTellsTheTruth asks why about people with random roles and random
// products, and has them try. The policy of app lets who is an auditor ask.
func ExplainTellsTheTruth(t *testing.T, app *App, random *rand.Rand) {
	t.Helper()
	c := &cast{app: app, t: t}
	auditor := c.signIn("auditor", "auditor")
	people := []*Client{app.Anonymous(), c.signIn("ann"), c.signIn("bob", "moderator"), c.signIn("eve", "seller", "user"), c.signIn("joe", "stranger")}
	for range 12 {
		s := &scene{cast: c, about: []string{"draft", "published", "archived"}[random.IntN(3)], owner: people[1+random.IntN(len(people)-1)]}
		who := people[random.IntN(len(people))]
		id := s.product()
		for _, try := range []struct {
			action, method, path string
			body                 any
		}{
			{"create", "POST", "/products", teapot()}, {"read", "GET", "/products/" + id, nil},
			{"update", "PATCH", "/products/" + id, obj{"stock": 3}}, {"delete", "DELETE", "/products/" + id, nil},
		} {
			if who.Email == "" && try.action == "create" {
				continue // whatever the policy says: a product is somebody's
			}
			q := obj{"roles": []string{"anonymous"}, "action": try.action}
			if who.Email != "" {
				q = obj{"userId": s.account(who).ID().String(), "action": try.action}
			}
			if try.action != "create" {
				q["productId"] = id
			}
			why := auditor.Do("POST", "/admin/policies/explain", q).Want(200, "")
			got := who.Do(try.method, try.path, try.body)
			if allowed := why.Text("decision") == "allow"; allowed != (got.Status < 300) {
				t.Errorf("%s a product of %s that is %s by %s = %d, explained as %s", try.action, s.owner.Email, s.about, who.Email, got.Status, why.Body)
			}
		}
	}
}
