package bootstrap_test

import (
	"net/http"
	"testing"

	"gatehouse/bootstrap"
	"gatehouse/tests/detector"
)

func TestPolicyCheckWhy(t *testing.T) {
	detector.Skip(t)
	for name, url := range databases(t) {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, "GATEHOUSE_DATABASE_URL="+url(t))
			l.want(0, "", words("demo"))
			c := newCaller(t, start(t, bootstrap.Program{Config: configuration(t, l.environ...)}))
			shown, _ := c.want(200, "GET", "/products?limit=1", "")["items"].([]any)
			first, _ := shown[0].(map[string]any)
			id, _ := first["id"].(string)
			why := func(more ...string) []string { return append(words("policy check --why"), more...) }

			l.want(0, "", why("--user", "owner@demo.example.com", "--action", "update", "--product", id),
				"allow: by the row: user, product, update, own, allow\n", "row:     p, user, product, update, own, allow\n", "for the roles: anonymous, user\n")
			l.want(0, "", why("--roles", "user", "--action", "update", "--product", id),
				"deny: no row allows it; nearest: user, product, update, own, allow (not own); user, product, update, editor, allow (not editor); a row speaks for it to moderator\n",
				"nearest: p, user, product, update, own, allow (the condition own does not hold)\n",
				"nearest: p, user, product, update, editor, allow (the condition editor does not hold)\n",
				"nearest: p, moderator, product, update, any, allow (the role moderator is none of theirs)\n")
			l.want(0, "", why("--roles", "admin,user", "--action", "read", "--product", id), "allow: by the row: ")
			l.want(0, "", why("--roles", "moderator", "--action", "read", "--resource", "audit"), "deny: no row allows it to these roles; a row speaks for it to admin\n")
			l.want(0, "", words("user disable owner@demo.example.com"))
			l.want(0, "", why("--user", "owner@demo.example.com", "--action", "update", "--product", id), "deny: the account is disabled, so that anonymous asks: ")

			// What a refused caller is told leads to why.
			c.want(201, "POST", "/register", `{"email":"eve@example.com","password":"a quiet lighthouse"}`)
			c.want(200, "POST", "/login", `{"email":"eve@example.com","password":"a quiet lighthouse"}`)
			decision := decisionOf(c, "DELETE", "/products/"+id)
			l.want(0, "", words("audit show "+decision), "event       access.denied\n", "subject     product "+id+"\n", "action      delete\n",
				"reason      no row allows it; nearest: user, product, delete, own, allow (not own)\n", "from        127.0.0.1\n")
			l.want(1, "", words("audit show 0190b5c4-0000-7000-8000-000000000000"), "there is no row")
			l.want(1, "", words("audit show x"), `"x" is no id`)

			l.want(1, "", why("--action", "fly", "--resource", "moon"), "--user: Either --user or --roles is needed", "--action: An action is one of create, read,", "--resource: A resource is one of product, user,")
			l.want(1, "", why("--roles", "Root", "--action", "read"), `--roles: "Root" is no role`)
			l.want(1, "", why("--user", "nobody@example.com", "--action", "read"), "there is no user nobody@example.com")
			l.want(1, "", why("--roles", "user", "--action", "read", "--product", "0190b5c4-0000-7000-8000-000000000000"), "--product: There is no such product")
			l.want(1, "", words("policy check --action read"), "belong to --why")
			l.want(1, "", why("p.csv", "--roles", "user", "--action", "read"), "not a file")
		})
	}
}

// decisionOf has a request refused by the policy and gives the id of that.
func decisionOf(c *caller, method, path string) string {
	c.Helper()
	req, err := http.NewRequestWithContext(c.Context(), method, c.base+path, nil)
	if err != nil {
		c.Fatal(err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	defer res.Body.Close()
	if id := res.Header.Get("X-Decision-Id"); res.StatusCode == http.StatusForbidden && id != "" {
		return id
	}
	c.Fatalf("%s %s = %d %v, want 403 with the id of the decision", method, path, res.StatusCode, res.Header)
	return ""
}
