package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// statuses counts answers by their status; it may be used by many at once.
type statuses struct {
	mu    sync.Mutex
	count map[int]int
}

func (s *statuses) add(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == nil {
		s.count = map[int]int{}
	}
	s.count[status]++
}

func (s *statuses) of(status int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[status]
}

// TestOneOfManyWins is scenario 24 over two nodes: of those who want the same at
// once one has it, and each of the others is told what became of it.
func TestOneOfManyWins(t *testing.T) {
	w := newWorld(t)
	a := w.authority(w.postgres())
	w.part("an entity tag is good for one change", func() {
		made := a.ann.want(a.nodes[0], 201, "POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"}}`)
		path, tag := made.header.Get("Location"), made.header.Get("ETag")
		var got statuses
		const patches = 100
		w.parallel(patches, func(i int) {
			got.add(a.ann.do(a.nodes[i%2], "PATCH", path, fmt.Sprintf(`{"stock":%d}`, i+1), "If-Match", tag).status)
		})
		if now := a.ann.want(a.nodes[0], 200, "GET", path, ""); got.of(200) != 1 || got.of(412) != patches-1 || now.body["version"] != 2.0 {
			w.Errorf("%d changes under one tag were answered %v, and left %s", patches, got.count, now.text)
		}
	})
	w.part("an address is registered once", func() {
		var got statuses
		const people = 50
		body := login("many@example.com", w.password())
		w.parallel(people, func(i int) { got.add(w.client().do(a.nodes[i%2], "POST", "/register", body).status) })
		if n := a.store.number(`SELECT count(*) FROM users WHERE email = 'many@example.com'`); n != 1 || got.of(201) != 1 || got.of(409) != people-1 {
			w.Errorf("%d who register one address were answered %v, and left %d", people, got.count, n)
		}
	})
	w.part("what is deleted stays deleted", func() {
		for n := range 20 {
			here, there := a.turn(n)
			path := a.ann.want(here, 201, "POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"}}`).header.Get("Location")
			var gone atomic.Bool
			w.parallel(4, func(i int) {
				if i == 0 {
					a.ann.want(here, 204, "DELETE", path, "")
					gone.Store(true)
					return
				}
				for range 3 {
					before := gone.Load()
					got := a.ann.do([]*process{here, there}[i%2], "PATCH", path, `{"stock":1}`)
					if got.status != 404 && (before || got.status != 200) {
						w.Errorf("a change beside the deletion (over before it: %t) = %d %s", before, got.status, got.text)
					}
				}
			})
			a.ann.want(there, 404, "GET", path, "")
		}
	})
	w.part("an owner is an owner until it is given away", func() {
		path := a.root.want(a.nodes[0], 201, "POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"}}`).header.Get("Location")
		to := func(id string) string { return fmt.Sprintf(`{"ownerId":%q}`, id) }
		changed, written := 0, 1 // the version counts both
		for n := range 20 {
			here, there := a.turn(n)
			a.root.want(here, 200, "PUT", path+"/owner", to(a.annID))
			var away atomic.Bool
			var done atomic.Int64
			w.parallel(4, func(i int) {
				if i == 0 {
					a.root.want(here, 200, "PUT", path+"/owner", to(a.rootID))
					away.Store(true)
					return
				}
				for range 3 {
					before := away.Load()
					switch got := a.ann.do([]*process{here, there}[i%2], "PATCH", path, `{"stock":`+fmt.Sprint(100*n+i)+`}`); {
					case got.status == http.StatusOK && !before:
						done.Add(1)
					case got.status != http.StatusNotFound:
						w.Errorf("a change beside the transfer (over before it: %t) = %d %s", before, got.status, got.text)
					}
				}
			})
			a.ann.want(there, 404, "GET", path, "")
			changed, written = changed+int(done.Load()), written+2
		}
		now := a.root.want(a.nodes[1], 200, "GET", path, "")
		if version, _ := now.body["version"].(float64); int(version) < written || int(version) > written+changed {
			w.Errorf("after %d transfers and at most %d changes that were acknowledged: %s", written-1, changed, now.text)
		}
	})
}

// TestOneAdminStays: two admins who take each other's role or account away at
// once, over two nodes, leave one of them.
func TestOneAdminStays(t *testing.T) {
	w := newWorld(t)
	a := w.authority(w.postgres())
	const demote, disable = `{"roles":["user"]}`, `{"status":"disabled"}`
	for _, way := range []struct {
		name   string
		rounds int
		bodies [2]string
	}{{"demoting", 30, [2]string{demote, demote}}, {"disabling", 5, [2]string{disable, disable}}, {"either", 5, [2]string{demote, disable}}} {
		w.part(way.name, func() {
			for n := range way.rounds {
				a.store.exec(`UPDATE users SET roles = '["admin"]', status = 'active', revision = revision + 1`)
				for i, who := range []*client{a.root, a.ann} {
					if who.do(a.nodes[i], "GET", "/me", "").status != 200 { // disabled in the round before
						who.want(a.nodes[i], 200, "POST", "/login", login([]string{"root@example.com", "ann@example.com"}[i], []string{a.rootPass, a.annPass}[i]))
					}
				}
				var got statuses
				w.parallel(2, func(i int) {
					who, whom := []*client{a.root, a.ann}[i], []string{a.annID, a.rootID}[i]
					answer := who.do(a.nodes[(n+i)%2], "PATCH", "/admin/users/"+whom, way.bodies[i])
					// Who comes second would leave nobody, or has lost the right to ask.
					if !slices.Contains([]int{200, 401, 403, 409}, answer.status) || answer.status == 409 && answer.body["code"] != "last_admin" {
						w.Errorf("an admin against an admin: %d %s", answer.status, answer.text)
					}
					got.add(answer.status)
				})
				left := a.store.number(`SELECT count(*) FROM users WHERE roles @> '["admin"]' AND status = 'active'`)
				if left != 1 || got.of(200) != 1 {
					w.Fatalf("%d admins are left after answers %v, want one", left, got.count)
				}
			}
		})
	}
}
