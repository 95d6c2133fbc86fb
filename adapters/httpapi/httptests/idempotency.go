package httptests

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/domain/idempotency"
)

// wantReplay holds an answer to being the first one given again: its status,
// Location, ETag and body, and a header that says so.
func wantReplay(t *testing.T, first, again *Answer) {
	t.Helper()
	if got := first.Header.Get("Idempotency-Replayed"); got != "" {
		t.Errorf("the first answer says Idempotency-Replayed: %q", got)
	}
	if got := again.Header.Get("Idempotency-Replayed"); got != "true" {
		t.Errorf("%s: Idempotency-Replayed = %q, want true", again.what, got)
	}
	for _, name := range []string{"Location", "Etag", "Content-Type"} {
		if first.Header.Get(name) != again.Header.Get(name) || first.Header.Get(name) == "" {
			t.Errorf("%s again: %q, first %q", name, again.Header.Get(name), first.Header.Get(name))
		}
	}
	if first.Status != again.Status || string(first.Body) != string(again.Body) {
		t.Errorf("again %d %s\nfirst %d %s", again.Status, again.Body, first.Status, first.Body)
	}
}

// count is how many products the caller has.
func (c *Client) count() int {
	c.t.Helper()
	list, _ := c.Do("GET", "/products?owner=me&limit=100", nil).Want(200, "").JSON()["items"].([]any)
	return len(list)
}

func (c *Client) offerOnce(key string, body any) *Answer {
	c.t.Helper()
	return c.Do("POST", "/products", body, "Idempotency-Key", key)
}

func testIdempotency(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited})
	mina, other := app.SignIn("mina@example.com"), app.SignIn("other@example.com")
	body := string(encode(teapot("description", "line\nbreak")))
	first := mina.offerOnce("one", body).Want(201, "")
	wantReplay(t, first, mina.offerOnce("one", body).Want(201, ""))
	wantReplay(t, first, mina.Again().offerOnce("one", body).Want(201, "")) // another device of hers
	path := first.Header.Get("Location")

	// The first answer, whatever has become of the product since.
	mina.Do("PATCH", path, obj{"name": "Kettle"}).Want(200, "")
	wantReplay(t, first, mina.offerOnce("one", body).Want(201, ""))
	mina.Do("DELETE", path, nil).Want(204, "")
	wantReplay(t, first, mina.offerOnce("one", body).Want(201, ""))
	if n := mina.count(); n != 0 {
		t.Errorf("repeated requests made %d products", n)
	}

	// Bodies are the same byte by byte.
	for _, changed := range []string{body + " ", strings.Replace(body, "Teapot", "teapot", 1), `{`, `{"name":""}`} {
		mina.offerOnce("one", changed).Want(422, "idempotency_mismatch")
	}
	mina.Do("POST", "/products", nil, "Idempotency-Key", "one").Want(422, "idempotency_mismatch")

	// A key is its caller's, and a key like any other.
	if mina.offerOnce("One", body).Want(201, "").Text("id") == first.Text("id") || other.offerOnce("one", body).Want(201, "").Text("id") == first.Text("id") {
		t.Error("another key, or another caller, was answered with the first product")
	}
	mina.offerOnce(`"quoted"`, body).Want(201, "")
	if a := mina.offerOnce("quoted", body).Want(201, ""); a.Header.Get("Idempotency-Replayed") != "" {
		t.Error("a key is read without its quotes")
	}
	longest := strings.Repeat("~", idempotency.MaxKeyLength)
	wantReplay(t, mina.offerOnce(longest, body).Want(201, ""), mina.offerOnce(longest, body).Want(201, ""))

	// What is no key is told, to whom may do the thing at all.
	before := mina.count()
	for _, bad := range []string{"", longest + "~", "a b", "a\tb", "schlüssel", "a\x80"} {
		mina.offerOnce(bad, body).Want(400, "invalid_idempotency_key")
		app.Anonymous().offerOnce(bad, body).Want(401, "unauthenticated")
	}
	mina.Do("POST", "/products", body, "Idempotency-Key", "a", "Idempotency-Key", "a").Want(400, "invalid_idempotency_key")
	mina.Do("POST", "/products", `{`, "Idempotency-Key", "").Want(400, "invalid_idempotency_key")
	if n := mina.count(); n != before {
		t.Errorf("%d products were made under bad keys", n-before)
	}

	// Only a success is kept.
	mina.offerOnce("two", teapot("stock", -1)).WantFaults("/stock", "out_of_range")
	mina.offerOnce("two", `{`).Want(400, "malformed_json")
	mina.Do("POST", "/products", body, "Idempotency-Key", "two", "Content-Type", "text/plain").Want(415, "unsupported_media_type")
	app.Faults.Break("products", outage)
	mina.offerOnce("two", body).Want(503, "unavailable")
	app.Faults.Break("products", nil)
	for _, how := range []func(context.Context) error{outage, busy} {
		app.Faults.Break("answers", how)
		mina.offerOnce("two", body).Want(503, "unavailable")
	}
	app.Faults.Break("answers", defect)
	mina.offerOnce("two", body).Want(500, "internal")
	app.Faults.Break("answers", nil)
	second := mina.offerOnce("two", body).Want(201, "")
	wantReplay(t, second, mina.offerOnce("two", body).Want(201, ""))

	// In work for too long.
	app.Faults.Break("products", func(context.Context) error { return idempotency.ErrInProgress })
	if a := mina.offerOnce("three", body).Want(409, "idempotency_in_progress"); a.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After = %q, want 1", a.Header.Get("Retry-After"))
	}
	app.Faults.Break("products", nil)
	mina.offerOnce("three", body).Want(201, "")

	// Other routes do not know it.
	mina.Do("PATCH", second.Header.Get("Location"), obj{}, "Idempotency-Key", "a b").Want(200, "")

	// Rights are asked anew.
	app.Anonymous().offerOnce("one", body).Want(401, "unauthenticated")
	gone := mina.Again()
	mina.Do("DELETE", "/me/sessions", nil).Want(204, "")
	gone.offerOnce("one", body).Want(401, "unauthenticated")
	app.SetRoles("mina@example.com", "guest")
	mina.offerOnce("two", body).Want(403, "forbidden")
	app.SetRoles("mina@example.com", "user")
	wantReplay(t, second, mina.offerOnce("two", body).Want(201, ""))

	// For 24 hours.
	days := app.SignIn("days@example.com")
	old := days.offerOnce("old", body).Want(201, "")
	app.Advance(23*time.Hour + 59*time.Minute)
	days = days.Again()
	wantReplay(t, old, days.offerOnce("old", body).Want(201, ""))
	app.Advance(2 * time.Minute)
	next := days.offerOnce("old", `{"name":"Another","price":{"amount":1,"currency":"KRW"}}`).Want(201, "")
	if next.Header.Get("Idempotency-Replayed") != "" || next.Text("id") == old.Text("id") {
		t.Errorf("after 24 hours: %s", next.Body)
	}
}

// testIdempotencyAtOnce: of twenty that are sent at once one makes a product, and
// all are answered it.
func testIdempotencyAtOnce(t *testing.T, open Open) {
	app := start(t, open, Options{Limits: unlimited, RequestTimeout: 30 * time.Second})
	mina := app.SignIn("mina@example.com")
	for round := range 3 {
		const n = 20
		answers := make([]*Answer, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				a, err := mina.With(t).try("POST", "/products", teapot("stock", round), "Idempotency-Key", fmt.Sprint("round-", round))
				if err != nil {
					t.Error(err)
				}
				answers[i] = a
			})
		}
		all.Wait()
		if t.Failed() {
			t.FailNow()
		}
		firsts := 0
		for _, a := range answers {
			if a.Header.Get("Idempotency-Replayed") == "" {
				firsts++
			}
			if a.Status != http.StatusCreated || string(a.Body) != string(answers[0].Body) {
				t.Errorf("one answer is %d %s, another %s", a.Status, a.Body, answers[0].Body)
			}
		}
		if made := mina.count(); firsts != 1 || made != round+1 {
			t.Errorf("%d at once were answered %d times as the first, and made %d products in %d rounds", n, firsts, made, round+1)
		}
	}
}
