package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gatehouse/tests/overlay"
)

// extended builds the program that docs/extending.md makes: owners get a mail when
// the last piece of a product is sold.
func extended(t *testing.T) string {
	t.Helper()
	o := overlay.Of(t, "../..", "docs/extending.md")
	program := filepath.Join(t.TempDir(), "gatehouse-extended")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-overlay", o.Spec, "-o", program, "gatehouse")
	cmd.Dir, cmd.Env = o.Root, append(os.Environ(), "CGO_ENABLED=0") // as built does, which has compiled the most of it
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// eventsAreDue has all events be due at once, as if time had passed.
func (s *store) eventsAreDue() {
	s.world.Helper()
	if s.lite {
		s.exec(`UPDATE product_events SET due_at = due_at - 3600000000`)
	} else {
		s.exec(`UPDATE product_events SET due_at = due_at - interval '1 hour'`)
	}
}

// TestSubscribersAreTold holds what docs/extending.md promises, with nodes that
// are killed (kill -9) under changes: an event of a change that was acknowledged
// is not lost, one of a change that was not is there if and only if the change
// is, and what the subscriber leaves is kept once, though it be told twice. A
// mail that was handed over just before the kill may come again, under its id.
func TestSubscribersAreTold(t *testing.T) {
	program := extended(t)
	eachStore(t, func(t *testing.T, w *world, s *store) {
		w.program = program
		const lamps = 30
		sink := newSink(t)
		start := func() []*process { return s.serve(sink.setting(), calm) }
		nodes, ann := start(), w.client()
		ann.signUp(nodes[0], "ann@example.com")
		s.exec(`UPDATE users SET email_verified = ` + map[bool]string{true: "1", false: "true"}[s.lite])
		paths := make([]string, lamps)
		w.parallel(lamps, func(i int) {
			body := fmt.Sprintf(`{"name":"Lamp %d","price":{"amount":1,"currency":"KRW"},"stock":1}`, i)
			paths[i] = ann.want(nodes[i%len(nodes)], 201, "POST", "/products", body).header.Get("Location")
		})
		const soldOut = `SELECT count(*) FROM products WHERE stock = 0`

		// All are sold out at once, and every node is killed in the middle of it;
		// mail is on its way then, too.
		var mu sync.Mutex
		acknowledged := map[int]bool{}
		var all sync.WaitGroup
		for i := range lamps {
			all.Go(func() {
				got, err := ann.try(nodes[i%len(nodes)], "PATCH", paths[i], `{"stock":0}`)
				mu.Lock()
				defer mu.Unlock()
				acknowledged[i] = err == nil && got.status == 200
			})
		}
		w.until("some are sold out", func() bool { return s.number(soldOut) > lamps/3 })
		for _, p := range nodes {
			p.kill()
		}
		all.Wait()

		nodes = start()
		gone := map[string]bool{} // by their names
		for i, path := range paths {
			lamp := ann.want(nodes[0], 200, "GET", path, "")
			if lamp.body["stock"] == 0.0 {
				gone[fmt.Sprint(lamp.body["name"])] = true
			} else if acknowledged[i] {
				t.Errorf("that lamp %d is sold out was acknowledged, and is lost: %s", i, lamp.text)
			}
		}
		quiet := func() {
			t.Helper()
			s.eventsAreDue() // the leases of whom we killed
			s.mailIsDue()
			w.until("all is told", func() bool { return s.number(`SELECT count(*) FROM product_events`) == 0 })
			s.noMailWaits()
		}
		// told gives the ids of the mails that came of each lamp.
		told := func() map[string]map[string]int {
			t.Helper()
			mails := map[string]map[string]int{}
			for _, m := range sink.all() {
				if rest, ok := strings.CutPrefix(m.subject, "Sold out: "); ok {
					name, _, _ := strings.Cut(rest, " (")
					if mails[name] == nil {
						mails[name] = map[string]int{}
					}
					mails[name][m.id]++
				}
			}
			return mails
		}
		exactly := func(want map[string]bool) {
			t.Helper()
			mails := told()
			for name := range want {
				if len(mails[name]) != 1 {
					t.Errorf("of %s, which is sold out, came %d different mails, want one", name, len(mails[name]))
				}
			}
			again := 0
			for name, ids := range mails {
				if !want[name] {
					t.Errorf("of %s, which is not sold out, came a mail", name)
				}
				for _, n := range ids {
					again += n - 1
				}
			}
			t.Logf("%d of %d are sold out, and %d mails came twice", len(want), lamps, again)
		}
		quiet()
		exactly(gone)

		// What had not been done is done, and what had been happens to nobody again.
		// Its telling is cut off as well: mails are made and sent when the kill comes.
		before := len(sink.all())
		w.parallel(lamps, func(i int) { ann.want(nodes[i%len(nodes)], 200, "PATCH", paths[i], `{"stock":0}`) })
		if len(gone) < lamps {
			w.until("some are told", func() bool { return len(sink.all()) > before })
		}
		for _, p := range nodes {
			p.kill()
		}
		for i := range lamps {
			gone[fmt.Sprintf("Lamp %d", i)] = true
		}
		start()
		quiet()
		exactly(gone)
		if n := s.number(soldOut); n != lamps {
			t.Errorf("%d are sold out, want %d", n, lamps)
		}
	})
}
