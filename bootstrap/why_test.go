package bootstrap_test

import (
	"testing"

	"gatehouse/bootstrap"
)

func TestPolicyCheckWhy(t *testing.T) {
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
				"deny: no row allows it; nearest: user, product, update, own, allow (not own); a row speaks for it to moderator\n",
				"nearest: p, user, product, update, own, allow (the condition own does not hold)\n",
				"nearest: p, moderator, product, update, any, allow (the role moderator is none of theirs)\n")
			l.want(0, "", why("--roles", "admin,user", "--action", "read", "--product", id), "allow: by the row: ")
			l.want(0, "", why("--roles", "moderator", "--action", "read", "--resource", "audit"), "deny: no row allows it to these roles; a row speaks for it to admin\n")
			l.want(0, "", words("user disable owner@demo.example.com"))
			l.want(0, "", why("--user", "owner@demo.example.com", "--action", "update", "--product", id), "deny: the account is disabled, so that anonymous asks: ")

			l.want(1, "", why("--action", "fly", "--resource", "moon"), "--user: Either --user or --roles is needed", "--action: An action is one of create, read,", "--resource: A resource is one of product, user,")
			l.want(1, "", why("--roles", "Root", "--action", "read"), `--roles: "Root" is no role`)
			l.want(1, "", why("--user", "nobody@example.com", "--action", "read"), "there is no user nobody@example.com")
			l.want(1, "", why("--roles", "user", "--action", "read", "--product", "0190b5c4-0000-7000-8000-000000000000"), "--product: There is no such product")
			l.want(1, "", words("policy check --action read"), "belong to --why")
			l.want(1, "", why("p.csv", "--roles", "user", "--action", "read"), "not a file")
		})
	}
}
