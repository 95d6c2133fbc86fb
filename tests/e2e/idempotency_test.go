package e2e_test

import (
	"fmt"
	"sync"
	"testing"
)

// offer is a request for the n-th product.
func offer(n int) (body, key string) {
	return fmt.Sprintf(`{"name":"Lamp %d","price":{"amount":%d,"currency":"KRW"}}`, n, n), fmt.Sprintf("lamp-%d", n)
}

// TestOneKeyOneProduct: who sends a request again under its key, to whichever
// node and however often at once, has one product; and so has who sends it again
// because the node was killed in the middle of it.
func TestOneKeyOneProduct(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world, s *store) {
		start := func() []*process { return s.serve(calm) }
		nodes, ann := start(), w.client()
		ann.signUp(nodes[0], "ann@example.com")

		const rounds, atOnce = 3, 20
		for round := range rounds {
			body, key := offer(round)
			var mu sync.Mutex
			bodies, firsts := map[string]int{}, 0
			w.parallel(atOnce, func(i int) {
				a := ann.want(nodes[i%len(nodes)], 201, "POST", "/products", body, "Idempotency-Key", key)
				mu.Lock()
				defer mu.Unlock()
				bodies[a.text]++
				if a.header.Get("Idempotency-Replayed") == "" {
					firsts++
				}
			})
			if len(bodies) != 1 || firsts != 1 {
				t.Errorf("%d at once got %d answers, %d of them as the first: %v", atOnce, len(bodies), firsts, bodies)
			}
		}
		if n := s.number(`SELECT count(*) FROM products`); n != rounds {
			t.Fatalf("%d products, want %d", n, rounds)
		}

		// kill -9 while many are at work.
		const keys = 40
		var mu sync.Mutex
		got := map[int]string{}
		var all sync.WaitGroup
		for i := range keys {
			all.Go(func() {
				body, key := offer(100 + i)
				a, err := ann.try(nodes[i%len(nodes)], "POST", "/products", body, "Idempotency-Key", key)
				mu.Lock()
				defer mu.Unlock()
				if err == nil && a.status == 201 {
					got[i] = a.text
				}
			})
		}
		w.until("some are through", func() bool { return s.number(`SELECT count(*) FROM products`) > rounds+keys/4 })
		for _, p := range nodes {
			p.kill()
		}
		all.Wait()
		nodes = start()
		w.parallel(keys, func(i int) {
			body, key := offer(100 + i)
			a := ann.want(nodes[i%len(nodes)], 201, "POST", "/products", body, "Idempotency-Key", key)
			if before, known := got[i]; known && (a.text != before || a.header.Get("Idempotency-Replayed") != "true") {
				t.Errorf("after the crash %s is answered\n%s, before it was\n%s", key, a.text, before)
			}
		})
		if n := s.number(`SELECT count(*) FROM products`); n != rounds+keys {
			t.Errorf("%d products, want %d", n, rounds+keys)
		}
		if n := s.number(`SELECT count(*) FROM idempotency_keys`); n != rounds+keys {
			t.Errorf("%d answers are kept, want %d", n, rounds+keys)
		}
		body, known := offer(100)
		other, _ := offer(999)
		ann.want(nodes[0], 422, "POST", "/products", other, "Idempotency-Key", known)
		ann.want(nodes[0], 201, "POST", "/products", body, "Idempotency-Key", known)
	})
}
