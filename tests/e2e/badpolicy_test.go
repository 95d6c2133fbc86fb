package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A hand in the database writes a row that widens what everybody sees, and one
// that nobody understands, and raises the version as every change does.
const (
	wideningID = "01990000-0000-7000-8000-000000000001"
	strangeID  = "01990000-0000-7000-8000-000000000002"
	widening   = `INSERT INTO policies (id, role, resource, action, condition, effect) VALUES ('` + wideningID + `', 'anonymous', 'product', 'read', 'any', 'allow')`
	strange    = `INSERT INTO policies (id, role, resource, action, condition, effect) VALUES ('` + strangeID + `', 'anonymous', 'everything', 'do', 'always', 'allow')`
	raise      = `UPDATE policy_state SET version = version + 1`
)

// TestBadPolicyTable is scenario 13: by a policy that cannot be used nobody is
// allowed anything that the last good one did not allow, every node says that
// something is wrong and goes on, none starts, and once it is mended, in whichever
// way, the next request is decided by it.
func TestBadPolicyTable(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world, s *store) {
		a := w.authority(s)
		each := func(do func(p *process)) {
			for _, p := range a.nodes {
				do(p)
			}
		}
		// holds wants the draft seen, or not, and everything that hangs on the
		// policy to be as always otherwise.
		holds := func(seen bool) {
			t.Helper()
			each(func(p *process) {
				t.Helper()
				a.sees(0, p, seen)
				a.root.want(p, 200, "GET", a.draft, "")
				a.root.want(p, 200, "PATCH", a.draft, `{"stock":1}`)
				a.root.want(p, 200, "GET", "/admin/users", "")
				a.ann.want(p, 403, "GET", "/admin/users", "")
			})
		}
		well := func() {
			t.Helper()
			each(func(p *process) {
				t.Helper()
				if got := w.client().want(p, 200, "GET", "/readyz", ""); got.body["status"] != "ok" {
					t.Errorf("GET /readyz = %s, want all well", got.text)
				}
			})
		}
		degraded := func() {
			t.Helper()
			bad := s.number(`SELECT version FROM policy_state`)
			each(func(p *process) {
				t.Helper()
				got := w.client().want(p, 200, "GET", "/readyz", "")
				checks, _ := got.body["checks"].(map[string]any)
				if want := fmt.Sprintf("policy version %d cannot be used, version %d decides", bad, bad-1); got.body["status"] != "degraded" || checks["policy"] != want {
					t.Errorf("GET /readyz = %s, want degraded, and %q", got.text, want)
				}
				w.until("the log tells of the bad version", func() bool { return strings.Contains(p.said.String(), fmt.Sprintf(`"bad_version":%d,`, bad)) })
			})
			a.noStart("the policy in the database cannot be used")
			if code, said := w.run([]string{"policy", "check"}, s.setting()); code != 1 || !strings.Contains(said, "cannot be used") {
				t.Errorf("gatehouse policy check = %d: %s", code, said)
			}
		}
		good := s.number(`SELECT version FROM policy_state`)
		holds(false)
		well()

		// Mended by removing the row over HTTP: what it stood beside counts then.
		s.exec(widening, strange, raise)
		holds(false)
		degraded()
		a.root.want(a.nodes[0], 204, "DELETE", "/admin/policies/"+strangeID, "")
		holds(true)
		well()
		a.root.want(a.nodes[0], 204, "DELETE", "/admin/policies/"+wideningID, "")
		holds(false)

		// What was revoked just before stays revoked, though no node was asked
		// anything between that and the hand that spoilt the table.
		s.exec(widening, raise)
		holds(true)
		a.operate("policy", "remove", wideningID)
		s.exec(strange, raise)
		holds(false)
		degraded()
		a.operate("policy", "remove", strangeID)
		holds(false)
		well()

		// By going back to a version that was good, from another process.
		s.exec(widening, strange, raise)
		holds(false)
		degraded()
		a.operate("policy", "rollback", fmt.Sprint(good))
		holds(false)
		well()

		// By the hand in the database; and of an empty policy, which allows nothing,
		// nothing is taken to be meant.
		s.exec(`CREATE TABLE aside AS SELECT * FROM policies`, `DELETE FROM policies`, raise)
		holds(false)
		degraded()
		s.exec(`INSERT INTO policies SELECT * FROM aside`, widening, raise)
		holds(true)
		well()

		// Where the table is gone nobody can tell what it says: no one is allowed,
		// and no one refused.
		s.exec(`ALTER TABLE policies RENAME TO gone`, raise)
		each(func(p *process) {
			for who, c := range map[string]*client{"an admin": a.root, "ann": a.ann, "anybody": w.client()} {
				for _, path := range []string{a.draft, "/products", "/readyz"} {
					if got := c.want(p, 503, "GET", path, ""); got.body["code"] != "unavailable" || got.header.Get("Retry-After") == "" {
						t.Errorf("without a table of policies %s asks for %s: %s", who, path, got.text)
					}
				}
			}
			w.client().want(p, 200, "GET", "/livez", "")
			a.ann.want(p, 200, "GET", "/me", "") // which asks no policy
		})
		a.noStart("the policy in the database cannot be used")
		s.exec(`ALTER TABLE gone RENAME TO policies`)
		holds(true)
		well()

		// So it is where somebody has deleted the version.
		s.exec(`CREATE TABLE state AS SELECT * FROM policy_state`, `DELETE FROM policy_state`)
		each(func(p *process) {
			w.client().want(p, 503, "GET", a.draft, "")
			a.ann.want(p, 503, "GET", a.draft, "")
			a.ann.want(p, 503, "GET", "/me", "")
			w.client().want(p, 503, "GET", "/readyz", "")
		})
		a.noStart("policy_state has no row")
		s.exec(`INSERT INTO policy_state SELECT * FROM state`)
		holds(true)
		well()
	})
}

// noStart wants a further node to end at once, for a reason that it tells in one
// line.
func (a *authority) noStart(why string) {
	a.Helper()
	code, said := a.run([]string{"serve"}, a.store.setting(), "GATEHOUSE_LISTEN=127.0.0.1:0")
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(said), "\n"), func(l string) bool { return strings.Contains(l, `"level":"INFO"`) })
	if code != 1 || len(lines) != 1 || !strings.Contains(said, why) {
		a.Errorf("starting over a policy that cannot be used ended with %d in %d lines, want 1 in one that says %q:\n%s", code, len(lines), why, said)
	}
}
