package main

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// forgedCookies is scenario 10.
func forgedCookies(a *trial) error {
	n, err := a.node(noThrottles...)
	if err != nil {
		return err
	}
	defer a.rest(n)
	if _, err := n.signUp("ann@example.com"); err != nil {
		return err
	}
	const forged = 100_000
	shapeless := []func(i int) []byte{
		func(int) []byte { return []byte("sid=") },
		func(i int) []byte { return fmt.Appendf(nil, "sid=%d", i) },
		func(int) []byte { return []byte("sid=\x00\x00\x00\x00") },
		func(int) []byte { return append([]byte("sid="), bytes.Repeat([]byte{0xff}, 43)...) },
		func(i int) []byte { return fmt.Appendf(nil, "sid=%s", strings.Repeat("A", 8<<10)) },
		func(i int) []byte { return fmt.Appendf(nil, "sid=%s", strings.Repeat("A", 17<<10)) },
		func(i int) []byte { return fmt.Appendf(nil, "sid=%s; sid=%s", token(), token()) },
		func(int) []byte { return []byte("sid=" + token() + "=") },
		func(int) []byte { return []byte("sid=" + token()[:42]) },
		func(int) []byte { return []byte("sid=" + token()[:42] + "+") },
		func(int) []byte { return []byte(`sid="` + token() + `"`) },
		func(int) []byte { return []byte("sid='; DROP TABLE user_sessions; --") },
	}
	shaped := func(int) []byte { return []byte("sid=" + token()) }
	get := func(cookie []byte) []byte {
		return slicesConcat([]byte("GET /me HTTP/1.1\r\nHost: localhost\r\nCookie: "), cookie, []byte("\r\n\r\n"))
	}
	n.drive(a.ctx, 8, times(2000, func(i int) []byte { return get(shapeless[i%len(shapeless)](i)) })) // warms up
	base := n.settled()
	before, err := a.transactions()
	if err != nil {
		return err
	}
	began := time.Now()
	without := n.drive(a.ctx, 8, times(forged/2, func(i int) []byte { return get(shapeless[i%len(shapeless)](i)) }))
	after, err := a.transactions()
	if err != nil {
		return err
	}
	// What runs in the background asks once a second or so.
	budget := int64(20 + 10*time.Since(began).Seconds())
	with := n.drive(a.ctx, 8, times(forged/2, func(i int) []byte { return get(shaped(i)) }))
	_, peak := n.memory()
	a.row(without.only(400, 401, 431), fmt.Sprintf("%d cookies of a wrong shape", forged/2), "400, 401, 431", without.statuses())
	a.row(after-before <= budget, "the same: transactions in the database", fmt.Sprintf("≤ %d, those of the background", budget), fmt.Sprint(after-before))
	a.row(with.only(401), fmt.Sprintf("%d cookies of the right shape", forged/2), "401", with.statuses())
	a.row(peak <= base+32, "both: memory", "≤ base + 32 MiB", fmt.Sprintf("%.0f MiB (base %.0f MiB)", peak, base))
	return n.alive()
}

func slicesConcat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// token has the shape of a session's.
func token() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// transactions is how many the database has ended. Backends report theirs when
// they are idle for a moment.
func (a *trial) transactions() (int64, error) {
	time.Sleep(1500 * time.Millisecond)
	return a.number(`SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1`, a.name)
}

// bodies is scenario 15.
func bodies(a *trial) error {
	n, err := a.node(noThrottles...)
	if err != nil {
		return err
	}
	defer a.rest(n)
	cookie, err := n.signUp("ann@example.com")
	if err != nil {
		return err
	}
	big := `{"email":"` + strings.Repeat("x", 1<<20) + `"}`
	head := "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	cases := []struct {
		what    string
		raw     []byte
		status  int
		silence time.Duration
	}{
		{"1 MB of JSON", request("POST", "/login", big), 413, time.Second},
		{"1 MB of JSON, nested", request("POST", "/login", strings.Repeat("[", 1<<20)), 413, time.Second},
		{"64 KiB of JSON, nested", request("POST", "/login", strings.Repeat("[", 64<<10)), 400, time.Second},
		{"a gzip bomb", request("POST", "/login", bomb(), "Content-Encoding: gzip"), 415, time.Second},
		{"a lying length, far too long", []byte(head + "Content-Length: 1099511627776\r\n\r\n{}"), 413, time.Second},
		{"a lying length, a little too long", []byte(head + "Content-Length: 100\r\n\r\n{}"), 408, 8 * time.Second},
		{"endless chunks", []byte(head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("2000\r\n"+strings.Repeat("x", 0x2000)+"\r\n", 1000)), 413, time.Second},
		{"a chunk without an end", []byte(head + "Transfer-Encoding: chunked\r\n\r\n7fffffff\r\n" + strings.Repeat("x", 1<<20)), 413, time.Second},
		{"a chunk that never comes", []byte(head + "Transfer-Encoding: chunked\r\n\r\n10\r\n"), 408, 8 * time.Second},
	}
	honest := request("GET", "/me", "", cookie)
	n.forA(a.ctx, 2*time.Second, 8, always(honest)) // warms up
	for _, c := range cases {
		base := n.settled()
		var bad atomic.Int64
		var seen sync.Map
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for range max(1, int(time.Second/c.silence)*4) {
					answers, closed, err := n.raw(c.raw, c.silence)
					if err != nil || len(answers) != 1 || answers[0].status != c.status || !closed && c.status != 415 && c.status != 400 {
						bad.Add(1)
						seen.Store(describe(answers, closed, err), true)
					}
				}
			})
		}
		all.Wait()
		_, peak := n.memory()
		measured := fmt.Sprint(c.status)
		seen.Range(func(k, _ any) bool { measured = fmt.Sprintf("%d times %s", bad.Load(), k); return true })
		a.row(bad.Load() == 0, c.what, fmt.Sprint(c.status), measured)
		a.row(peak-base <= 8, c.what+", sixteen at once: memory", "≤ base + 8 MiB", fmt.Sprintf("+ %.1f MiB (base %.0f MiB)", peak-base, base))
	}
	return n.alive()
}

func describe(answers []reply, closed bool, err error) string {
	var status []int
	for _, r := range answers {
		status = append(status, r.status)
	}
	return fmt.Sprintf("%v, closed %t, %v", status, closed, err)
}

// bomb is 50 KiB that gzip makes 50 MiB of.
func bomb() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 50 {
		_, _ = z.Write(zeros) // into memory
	}
	_ = z.Close()
	return b.String()
}

// malformed is scenario 16: bodies of every route, damaged in many ways.
func malformed(a *trial) error {
	n, err := a.node(noThrottles...)
	if err != nil {
		return err
	}
	defer a.rest(n)
	cookie, err := n.signUp("ann@example.com")
	if err != nil {
		return err
	}
	w, err := n.dial()
	if err != nil {
		return err
	}
	made, err := w.send("POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"KRW"}}`, cookie)
	w.close()
	if err != nil || made.status != 201 {
		return fmt.Errorf("POST /products = %d %s, %w", made.status, made.body, orNone(err))
	}
	product := made.get("Location")
	random := mathrand.New(mathrand.NewPCG(16, 16))
	var requests [][]byte
	add := func(method, path, body string, headers ...string) {
		requests = append(requests, request(method, path, body, headers...))
	}
	for _, r := range routes(product) {
		for _, body := range damaged(random, r) {
			add(r.method, r.path, body, cookie)
		}
		add(r.method, r.path, r.body, cookie, "Content-Type: application/x-www-form-urlencoded")
		add(r.method, r.path, "email=a%40b.example&password=x&roles=admin", cookie, "Content-Type: application/x-www-form-urlencoded")
		add(r.method, r.path, "<a><email>a@b.example</email></a>", cookie, "Content-Type: application/xml")
		add(r.method, r.path, "--x\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\na\r\n--x--\r\n", cookie, "Content-Type: multipart/form-data; boundary=x")
	}
	var wordless, pointless atomic.Int64
	example := atomic.Pointer[string]{}
	l := &load{}
	var all sync.WaitGroup
	next := times(len(requests), func(i int) []byte { return requests[i] })
	for range 8 {
		all.Go(func() {
			w, err := n.dial()
			if err != nil {
				l.add(reply{}, err)
				return
			}
			defer func() { w.close() }()
			for raw := next(); raw != nil && a.ctx.Err() == nil; raw = next() {
				r, err := w.exchange(raw)
				l.add(r, err)
				if err != nil || r.closes() {
					w.close()
					if w, err = n.dial(); err != nil {
						return
					}
				}
				if r.status < 400 {
					text := fmt.Sprintf("%q = %d", raw, r.status)
					example.Store(&text)
				}
				if r.status >= 400 && r.code() == "" {
					wordless.Add(1)
				}
				if r.status == 422 && !pointed(r) {
					pointless.Add(1)
				}
			}
		})
	}
	all.Wait()
	measured := l.statuses()
	if e := example.Load(); e != nil {
		measured += ", such as " + *e
	}
	// What is well-formed and nonsense may be refused for what it says.
	a.row(l.only(400, 415, 422, 401, 403, 409, 410), fmt.Sprintf("%d damaged bodies", len(requests)), "400, 415, 422, never 2xx or 5xx", measured)
	a.row(wordless.Load() == 0 && pointless.Load() == 0, "the same: problems with a code, and pointers at 422", "all", fmt.Sprintf("%d without a code, %d without a pointer", wordless.Load(), pointless.Load()))
	return n.alive()
}

type route struct{ method, path, body string }

// routes are those that take a body. None of the bodies does anything: the
// passwords are wrong, and the damage is done before they are looked at.
func routes(product string) []route {
	const t = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	return []route{
		{"POST", "/register", `{"email":"bob@example.com","password":"a short and winding road","name":"Bob"}`},
		{"POST", "/login", `{"email":"bob@example.com","password":"a short and winding road","rememberMe":true}`},
		{"POST", "/login/totp", `{"code":"123456"}`},
		{"POST", "/password/forgot", `{"email":"bob@example.com"}`},
		{"POST", "/password/reset", `{"token":"` + t + `","newPassword":"a short and winding road"}`},
		{"POST", "/email/verify", `{"token":"` + t + `"}`},
		{"PATCH", "/me", `{"name":"Ann"}`},
		{"DELETE", "/me", `{"password":"a short and winding road"}`},
		{"PUT", "/me/password", `{"currentPassword":"a short and winding road","newPassword":"the other winding road"}`},
		{"PUT", "/me/email", `{"email":"bob@example.com","currentPassword":"a short and winding road"}`},
		{"POST", "/me/reauthenticate", `{"password":"a short and winding road"}`},
		{"POST", "/me/totp/confirm", `{"code":"123456"}`},
		{"DELETE", "/me/totp", `{"password":"a short and winding road"}`},
		{"POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"KRW"},"stock":3,"status":"draft"}`},
		{"PATCH", product, `{"name":"Lamp","price":{"amount":1,"currency":"KRW"},"stock":3}`},
	}
}

// damaged gives what no reader of the body may take: cut short, with a byte
// changed so that it is no JSON any more, with members twice, of other types,
// unknown, too deep.
func damaged(random *mathrand.Rand, r route) []string {
	body := r.body
	list := []string{
		"", " ", "null", "true", "0", `"x"`, "[]", "[" + body + "]", body + body, body + "x", body + "\x00", "\xef\xbb\xbf" + body,
		strings.Replace(body, "{", "{,", 1), strings.TrimSuffix(body, "}") + ",}", strings.TrimSuffix(body, "}") + `,"unknown":1}`,
		strings.TrimSuffix(body, "}") + `,"__proto__":{}}`, strings.ReplaceAll(body, `"`, "'"), body[:len(body)-1],
		strings.Replace(body, `":"`, `":"\u0000`, 1), strings.Replace(body, `":"`, `":"\ud800`, 1), strings.Replace(body, `":"`, "\":\"\xff", 1),
		strings.Replace(body, `":"`, `":["`, 1), strings.Replace(body, `":"`, `":{"a":"`, 1), strings.ToUpper(body),
		strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), strings.Repeat("[", 30_000), `{"a":1e999999999}`, `{"a":` + strings.Repeat("9", 50_000) + `}`,
	}
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &members) == nil {
		for name, value := range members {
			for _, other := range []string{"1.0", "1e2", "-1", "{}", "[]", "[[]]", `{"a":1}`, strings.Repeat("1", 30)} {
				if r.method == "PATCH" && name == "price" && other == "{}" {
					continue // it changes nothing, and may
				}
				list = append(list, set(members, name, other))
			}
			if name != "name" { // which may be left out, and nulled
				list = append(list, set(members, name, `"`+strings.Repeat("x", 60_000)+`"`))
			}
			list = append(list, strings.TrimSuffix(body, "}")+fmt.Sprintf(",%q:%s}", name, value), strings.Replace(body, `"`+name+`"`, `"`+strings.ToUpper(name[:1])+name[1:]+`"`, 1))
		}
	}
	for range 40 { // a control character is nowhere allowed
		b := []byte(body)
		b[random.IntN(len(b))] = byte(1 + random.IntN(8))
		list = append(list, string(b))
	}
	for range 20 {
		list = append(list, body[:random.IntN(len(body)-1)])
	}
	return list
}

// set writes an object down with one member replaced.
func set(members map[string]json.RawMessage, name, value string) string {
	var parts []string
	for other, old := range members {
		if other == name {
			old = json.RawMessage(value)
		}
		parts = append(parts, fmt.Sprintf("%q:%s", other, old))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// pointed reports whether a problem says where the faults are.
func pointed(r reply) bool {
	var p struct {
		Errors []struct{ Pointer, Code, Detail *string }
	}
	if json.Unmarshal(r.body, &p) != nil || len(p.Errors) == 0 {
		return false
	}
	for _, e := range p.Errors {
		if e.Pointer == nil || e.Code == nil || *e.Code == "" || *e.Pointer != "" && !strings.HasPrefix(*e.Pointer, "/") {
			return false
		}
	}
	return true
}
