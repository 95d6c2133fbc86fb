package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// authority is nodes over one database whose answers hang on what others change
// there: an admin who gives and takes, and ann, who has rights or has not.
type authority struct {
	*world
	store     *store
	nodes     []*process // two that share a PostgreSQL, or one
	root, ann *client
	rootID    string
	annID     string
	rootPass  string
	annPass   string
	draft     string // the path of a product of the admin's that is not published
}

func (w *world) authority(s *store, more ...string) *authority {
	w.Helper()
	a := &authority{world: w, store: s, root: w.client(), ann: w.client()}
	environ := slices.Concat([]string{s.setting(), calm}, roomy, more)
	if s.lite {
		a.nodes = []*process{w.serve(environ...)}
	} else {
		a.nodes = []*process{w.serve(environ...), w.serve(append(environ, s.named("there"))...)}
	}
	a.rootPass = a.root.signUp(a.nodes[0], "root@example.com")
	a.operate("user", "set-roles", "root@example.com", "admin,user")
	a.annPass = a.ann.signUp(a.nodes[0], "ann@example.com")
	a.rootID = fmt.Sprint(a.root.want(a.nodes[0], 200, "GET", "/me", "").body["id"])
	a.annID = fmt.Sprint(a.ann.want(a.nodes[0], 200, "GET", "/me", "").body["id"])
	a.draft = a.root.want(a.nodes[0], 201, "POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"}}`).header.Get("Location")
	return a
}

// named points a node to the store under a name by which its connections are
// told apart from those of others.
func (s *store) named(name string) string {
	separator := "?"
	if strings.Contains(s.url, "?") {
		separator = "&"
	}
	return s.setting() + separator + "application_name=" + name
}

// turn gives the node on which something is changed in the n-th round, and the
// one that is asked next.
func (a *authority) turn(n int) (here, there *process) {
	return a.nodes[n%len(a.nodes)], a.nodes[(n+1)%len(a.nodes)]
}

// operate has an operator do something at the command line, in a process of its
// own, and returns what that said.
func (a *authority) operate(args ...string) string {
	a.Helper()
	code, said := a.run(args, a.store.setting())
	if code != 0 {
		a.Fatalf("gatehouse %s ended with %d: %s", strings.Join(args, " "), code, said)
	}
	return said
}

var policyVersion = regexp.MustCompile(`the policy is at version (\d+)`)

// version is that of the policy after a change at the command line.
func (a *authority) version(said string) string {
	a.Helper()
	m := policyVersion.FindStringSubmatch(said)
	if m == nil {
		a.Fatalf("no version is told: %s", said)
	}
	return m[1]
}

// as is a client with somebody's session as it is now, for an answer may take
// the cookie away.
func (a *authority) as(c *client) *client { return a.bearing(a.nodes[0], c.session(a.nodes[0])) }

// in signs ann in.
func (a *authority) in(p *process) *client {
	a.Helper()
	c := a.client()
	c.want(p, 200, "POST", "/login", login("ann@example.com", a.annPass))
	return c
}

// refused wants the session of c to be over, for the reason.
func (a *authority) refused(c *client, p *process, reason string) {
	a.Helper()
	if got := a.as(c).want(p, 401, "GET", "/me", ""); got.body["reason"] != reason || got.body["code"] != "unauthenticated" {
		a.Errorf("a session that was ended elsewhere answers %s, want the reason %s", got.text, reason)
	}
}

// sessionOf is the id of the session that c is in.
func (a *authority) sessionOf(c *client, p *process) string {
	a.Helper()
	for _, item := range items(c.want(p, 200, "GET", "/me/sessions", "")) {
		if one := item.(map[string]any); one["current"] == true {
			return fmt.Sprint(one["id"])
		}
	}
	a.Fatal("no session is the current one")
	return ""
}

// part is a subtest in the world as it is.
func (w *world) part(name string, test func()) {
	w.Helper()
	whole := w.T
	defer func() { w.T = whole }()
	whole.Run(name, func(t *testing.T) {
		w.T = t
		test()
	})
}

const everybodySees = `{"role":"anonymous","resource":"product","action":"read","condition":"any","effect":"allow"}`

// TestAuthorityIsNeverStale is scenario 5 again and again: the first request
// after the answer to a change obeys it, on whichever node it comes in. Nothing
// is waited for or tried twice.
func TestAuthorityIsNeverStale(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world, s *store) {
		a := w.authority(s)
		// What starts a process or hashes a password takes its time.
		rounds, slow, processes := 50, 12, 3
		if s.lite { // one node, which keeps what it changes; the command line is the other process
			rounds, slow, processes = 5, 3, 3
		}
		a.part("policy", func() { a.policyRounds(max(rounds/2, 5)) }) // of four changes each
		a.part("policy at the command line", func() { a.policyCommands(processes) })
		a.part("roles", func() { a.roleRounds(rounds, processes) })
		a.part("products", func() { a.productRounds(rounds) })
		a.part("sessions", func() { a.sessionRounds(slow) })
		a.part("accounts", func() { a.accountRounds(slow, processes) })
	})
}

// sees holds the next requests on a node, of somebody in particular or of
// anybody, to seeing the draft or not: read, in a list, and as what the policy
// explains.
func (a *authority) sees(n int, p *process, want bool) {
	a.Helper()
	status := 404
	if want {
		status = 200
	}
	who := []*client{a.ann, a.client()}
	for i := range who { // each is first in turn: one brings the version along, the other has it looked up
		who[(n+i)%2].want(p, status, "GET", a.draft, "")
	}
	if list := who[n%2].want(p, 200, "GET", "/products", ""); strings.Contains(list.text, strings.TrimPrefix(a.draft, "/products/")) != want {
		a.Fatalf("GET /products = %s, want the draft in it: %t", list.text, want)
	}
}

// policyRounds gives and takes a right by adding, removing and rolling back,
// while others ask all the time: whatever they ask with no change under way is
// answered by what was changed last.
func (a *authority) policyRounds(rounds int) {
	a.Helper()
	type state struct{ changing, seen bool }
	var now atomic.Pointer[state]
	var stop atomic.Bool
	var asked atomic.Int64
	now.Store(&state{})
	done := make(chan bool)
	for i, p := range a.nodes {
		go func() {
			defer func() { done <- true }()
			for c := []*client{a.ann, a.client()}[i%2]; !stop.Load(); {
				before := now.Load()
				got, err := c.try(p, "GET", a.draft, "")
				if err != nil || got.status != 200 && got.status != 404 {
					a.Errorf("GET beside changes = %d %s, %v", got.status, got.text, err)
					return
				}
				if now.Load() == before && !before.changing {
					if asked.Add(1); (got.status == 200) != before.seen {
						a.Errorf("beside changes: %d, but what was changed last says seen: %t", got.status, before.seen)
						return
					}
				}
			}
		}()
	}
	defer func() {
		stop.Store(true)
		for range a.nodes {
			<-done
		}
		if !a.Failed() && asked.Load() < int64(rounds) {
			a.Errorf("only %d requests came between changes: this shows nothing", asked.Load())
		}
	}()
	change := func(n int, seen bool, do func(here *process)) {
		a.Helper()
		here, there := a.turn(n)
		now.Store(&state{changing: true})
		do(here)
		now.Store(&state{seen: seen})
		a.sees(n, there, seen)
		a.sees(n, here, seen)
	}
	for n := range rounds {
		var row string
		var version float64
		read := func(p *process) float64 {
			v, _ := a.root.want(p, 200, "GET", "/admin/policies", "").body["version"].(float64)
			return v
		}
		change(n, true, func(p *process) {
			row = a.root.want(p, 201, "POST", "/admin/policies", everybodySees).header.Get("Location")
			version = read(p)
		})
		change(n+1, false, func(p *process) { a.root.want(p, 204, "DELETE", row, "") })
		change(n, true, func(p *process) {
			a.root.want(p, 200, "POST", "/admin/policies/rollback", fmt.Sprintf(`{"version":%.0f}`, version))
		})
		change(n+1, false, func(p *process) {
			a.root.want(p, 200, "POST", "/admin/policies/rollback", fmt.Sprintf(`{"version":%.0f}`, version-1))
		})
	}
}

// policyCommands does the same from a third process.
func (a *authority) policyCommands(rounds int) {
	a.Helper()
	words := []string{"anonymous", "product", "read", "any", "allow"}
	files := map[bool]string{}
	exported := a.operate("policy", "export")
	for seen, more := range map[bool]string{false: "", true: "p, " + strings.Join(words, ", ") + "\n"} {
		files[seen] = filepath.Join(a.dir, fmt.Sprintf("policy-%t.csv", seen))
		if err := os.WriteFile(files[seen], []byte(exported+more), 0o600); err != nil {
			a.Fatal(err)
		}
	}
	for n := range rounds {
		here, there := a.turn(n)
		both := func(seen bool) {
			a.Helper()
			a.sees(n, there, seen)
			a.sees(n+1, here, seen)
		}
		with := a.version(a.operate(append([]string{"policy", "add"}, words...)...))
		both(true)
		without := a.version(a.operate(append([]string{"policy", "remove"}, words...)...))
		both(false)
		a.operate("policy", "rollback", with)
		both(true)
		a.operate("policy", "rollback", without)
		both(false)
		a.operate("policy", "load", files[true])
		both(true)
		a.operate("policy", "load", files[false])
		both(false)
	}
}

// roleRounds makes ann a moderator, who sees drafts, and takes it back.
func (a *authority) roleRounds(rounds, processes int) {
	a.Helper()
	holds := func(p *process, status int, role string) {
		a.Helper()
		a.ann.want(p, status, "GET", a.draft, "")
		if me := a.ann.want(p, 200, "GET", "/me", ""); fmt.Sprint(me.body["roles"]) != "["+role+"]" {
			a.Fatalf("GET /me = %s, want the role %s alone", me.text, role)
		}
	}
	for n := range rounds {
		here, there := a.turn(n)
		a.root.want(here, 200, "PATCH", "/admin/users/"+a.annID, `{"roles":["moderator"]}`)
		holds(there, 200, "moderator")
		a.root.want(there, 200, "PATCH", "/admin/users/"+a.annID, `{"roles":["user"]}`)
		holds(here, 404, "user")
	}
	for n := range processes {
		here, there := a.turn(n)
		a.operate("user", "set-roles", "ann@example.com", "moderator")
		holds(there, 200, "moderator")
		a.operate("user", "set-roles", "ann@example.com", "user")
		holds(here, 404, "user")
	}
}

// productRounds lets ann in on the draft, puts her out, and gives it to her and
// away again.
func (a *authority) productRounds(rounds int) {
	a.Helper()
	grant := a.draft + "/grants/" + a.annID
	for n := range rounds {
		here, there := a.turn(n)
		a.root.want(here, 200, "PUT", grant, `{"role":"viewer"}`)
		a.ann.want(there, 200, "GET", a.draft, "")
		a.ann.want(there, 403, "PATCH", a.draft, `{"stock":1}`)
		a.root.want(here, 200, "PUT", grant, `{"role":"editor"}`)
		a.ann.want(there, 200, "PATCH", a.draft, `{"stock":1}`)
		a.root.want(here, 204, "DELETE", grant, "")
		a.ann.want(there, 404, "PATCH", a.draft, `{"stock":2}`)
		a.root.want(here, 200, "PUT", a.draft+"/owner", fmt.Sprintf(`{"ownerId":%q}`, a.annID))
		a.ann.want(there, 200, "PATCH", a.draft, `{"stock":2}`)
		a.root.want(here, 200, "PUT", a.draft+"/owner", fmt.Sprintf(`{"ownerId":%q}`, a.rootID))
		a.ann.want(there, 404, "PATCH", a.draft, `{"stock":3}`)
	}
}

// sessionRounds ends sessions in each way that there is but for those that end
// them with the account.
func (a *authority) sessionRounds(rounds int) {
	a.Helper()
	sessions := "/admin/users/" + a.annID + "/sessions"
	for n := range rounds {
		here, there := a.turn(n)
		one, other := a.in(here), a.in(there)
		other.want(there, 200, "GET", "/me", "")

		kept := a.as(one)
		one.want(here, 204, "POST", "/logout", "")
		a.refused(kept, there, "signed_out")
		if n%2 == 0 {
			a.ann.want(here, 204, "DELETE", "/me/sessions/"+a.sessionOf(other, here), "")
		} else {
			a.ann.want(here, 204, "DELETE", "/me/sessions", "")
		}
		a.refused(other, there, "ended_by_owner")
		a.ann.want(there, 200, "GET", "/me", "")

		if n%2 == 0 {
			a.root.want(here, 204, "DELETE", sessions+"/"+a.sessionOf(a.ann, there), "")
		} else {
			a.root.want(here, 204, "DELETE", sessions, "")
		}
		a.refused(a.ann, there, "ended_by_admin")
		a.ann = a.in(there)
		a.ann.want(here, 200, "GET", "/me", "")
	}
}

// accountRounds changes the password, disables and enables.
func (a *authority) accountRounds(rounds, processes int) {
	a.Helper()
	disable := func(p *process, n int, status string) {
		a.Helper()
		if n < processes {
			a.operate("user", map[string]string{"disabled": "disable", "active": "enable"}[status], "ann@example.com")
		} else {
			a.root.want(p, 200, "PATCH", "/admin/users/"+a.annID, fmt.Sprintf(`{"status":%q}`, status))
		}
	}
	for n := range rounds {
		here, there := a.turn(n)
		before, other, old := a.as(a.ann), a.in(there), a.annPass
		a.annPass = a.password()
		a.ann.want(here, 204, "PUT", "/me/password", fmt.Sprintf(`{"currentPassword":%q,"newPassword":%q}`, old, a.annPass))
		a.refused(other, there, "password_changed")
		a.refused(before, there, "password_changed")
		a.ann.want(there, 200, "GET", "/me", "")

		disable(here, n, "disabled")
		a.refused(a.ann, there, "account_disabled")
		a.client().want(there, 401, "POST", "/login", login("ann@example.com", a.annPass))
		disable(here, n, "active")
		a.ann = a.in(there)
		a.ann.want(here, 200, "GET", "/me", "")
	}
}

// TestConnectionsAreCut: between a change and the next request every connection
// of the other node to the database is cut. It obeys, or says that it cannot
// tell; the old answer it never gives.
func TestConnectionsAreCut(t *testing.T) {
	w := newWorld(t)
	a := w.authority(w.postgres())
	here, there := a.nodes[0], a.nodes[1]
	changes, unsure := 0, 0
	obeys := func(c *client, status int) {
		t.Helper()
		a.store.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'there'`)
		changes++
		for range 100 {
			got := c.do(there, "GET", a.draft, "")
			if got.status == status {
				return
			}
			if got.status != http.StatusServiceUnavailable || got.body["code"] != "unavailable" || got.header.Get("Retry-After") == "" {
				t.Fatalf("with its connections cut: %d %s, want %d or 503\n%s", got.status, got.text, status, there.said)
			}
			unsure++
		}
		t.Fatalf("it does not come back\n%s", there.said)
	}
	const rounds = 6
	for range rounds {
		row := a.root.want(here, 201, "POST", "/admin/policies", everybodySees).header.Get("Location")
		obeys(a.client(), 200)
		a.root.want(here, 204, "DELETE", row, "")
		obeys(a.ann, 404)
		a.root.want(here, 200, "PATCH", "/admin/users/"+a.annID, `{"roles":["moderator"]}`)
		obeys(a.ann, 200)
		a.root.want(here, 200, "PATCH", "/admin/users/"+a.annID, `{"roles":["user"]}`)
		obeys(a.ann, 404)
		a.root.want(here, 200, "PUT", a.draft+"/grants/"+a.annID, `{"role":"viewer"}`)
		obeys(a.ann, 200)
		a.root.want(here, 204, "DELETE", "/admin/users/"+a.annID+"/sessions", "")
		// A dead cookie is none on a route that anybody may use.
		obeys(a.as(a.ann), 404)
		a.root.want(here, 204, "DELETE", a.draft+"/grants/"+a.annID, "")
		a.ann = a.in(here)
	}
	t.Logf("after %d changes with every connection cut, 503 was answered %d times and the old answer never", changes, unsure)
}
