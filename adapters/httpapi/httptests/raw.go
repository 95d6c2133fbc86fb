package httptests

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// talk sends bytes as they are and gives all answers that come back before the
// server closes, and whether it closed.
func (a *App) talk(t *testing.T, wait time.Duration, request string) (answers []*http.Response, closed bool) {
	t.Helper()
	c := a.send(t, request)
	defer func() { _ = c.Close() }()
	return readAnswers(t, c, wait)
}

// send opens a connection and sends bytes as they are.
func (a *App) send(t *testing.T, request string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", a.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatalf("sending: %v", err)
	}
	return c
}

func readAnswers(t *testing.T, c net.Conn, wait time.Duration) (answers []*http.Response, closed bool) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(wait))
	r := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(r, nil)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return answers, false
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("reading: %v", err)
			}
			return answers, true
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Errorf("reading a body: %v", err)
		}
		res.Body = io.NopCloser(bytes.NewReader(body))
		answers = append(answers, res)
	}
}

// wantOne wants one problem and a closed connection.
func wantOne(t *testing.T, name string, answers []*http.Response, closed bool, status int, code string) {
	t.Helper()
	if len(answers) != 1 || !closed {
		t.Errorf("%s: %d answers, closed %v; want one and closed", name, len(answers), closed)
		return
	}
	res := answers[0]
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != status || !strings.Contains(string(body), `"code":"`+code+`"`) || res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s = %d %s, want %d %s", name, res.StatusCode, body, status, code)
	}
	for _, h := range []string{"X-Request-Id", "Content-Security-Policy", "X-Content-Type-Options", "Cache-Control"} {
		if res.Header.Get(h) == "" {
			t.Errorf("%s: no %s", name, h)
		}
	}
	if !res.Close {
		t.Errorf("%s: no Connection: close", name)
	}
}

// testSmuggling: of a request that two readers may frame in two ways nothing is
// executed, least of all what hides in its body.
func testSmuggling(t *testing.T, open Open) {
	app := start(t, open, Options{})
	const hidden = "DELETE /me/sessions HTTP/1.1\r\nHost: a\r\n\r\n"
	post := func(headers, body string) string {
		return "POST /logout HTTP/1.1\r\n" + headers + "\r\n" + body
	}
	n := len(hidden)
	for name, request := range map[string]string{
		"two lengths":            post(fmt.Sprintf("Host: a\r\nContent-Length: 0\r\nContent-Length: %d\r\n", n), hidden),
		"two equal lengths":      post(fmt.Sprintf("Host: a\r\nContent-Length: %d\r\nContent-Length: %d\r\n", n, n), hidden),
		"lengths in a list":      post(fmt.Sprintf("Host: a\r\nContent-Length: %d, %d\r\n", n, n), hidden),
		"length and encoding":    post("Host: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden),
		"encoding and length":    post("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"+hidden),
		"identity and length":    post("Host: a\r\nTransfer-Encoding: identity\r\nContent-Length: 4\r\n", "abcd"+hidden),
		"two encodings":          post("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"+hidden),
		"two equal encodings":    post("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden),
		"unknown encoding":       post("Host: a\r\nTransfer-Encoding: xchunked\r\n", "0\r\n\r\n"+hidden),
		"encodings in a list":    post("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"+hidden),
		"negative length":        post("Host: a\r\nContent-Length: -1\r\n", hidden),
		"signed length":          post(fmt.Sprintf("Host: a\r\nContent-Length: +%d\r\n", n), hidden),
		"hexadecimal length":     post("Host: a\r\nContent-Length: 0x4\r\n", "abcd"+hidden),
		"blank in a name":        post("Host: a\r\nContent-Length : 4\r\n", "abcd"+hidden),
		"blank within a name":    post("Host: a\r\nX Y: z\r\n", hidden),
		"folded encoding":        post("Host: a\r\nTransfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"+hidden),
		"folded header":          post("Host: a\r\nX-A: b\r\n Content-Length: 4\r\n", "abcd"+hidden),
		"two hosts":              post("Host: a\r\nHost: b\r\nContent-Length: 0\r\n", hidden),
		"no host":                post("Content-Length: 0\r\n", hidden),
		"empty host":             post("Host: \r\nContent-Length: 0\r\n", hidden),
		"no host in 1.0":         "POST /logout HTTP/1.0\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n" + hidden,
		"encoding in 1.0":        "POST /logout HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"bad chunk size":         post("Host: a\r\nTransfer-Encoding: chunked\r\n", "0x4\r\nabcd\r\n0\r\n\r\n"+hidden),
		"chunk without CRLF":     post("Host: a\r\nTransfer-Encoding: chunked\r\n", "4\r\nabcdX0\r\n\r\n"+hidden),
		"tabbed encoding":        post("Host: a\r\nTransfer-Encoding:\tchunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"+hidden),
		"vertical encoding":      post("Host: a\r\nTransfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"+hidden),
		"encoding with a NUL":    post("Host: a\r\nTransfer-Encoding: chunked\x00\r\n", "0\r\n\r\n"+hidden),
		"encoding, quoted":       post("Host: a\r\nTransfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"+hidden),
		"encoding and more":      post("Host: a\r\nTransfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"+hidden),
		"encoding with a dash":   post("Host: a\r\nTransfer-Encoding: chunked-\r\n", "0\r\n\r\n"+hidden),
		"encoding after a colon": post("Host: a\r\n: b\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"+hidden),
		"CR in a value":          post("Host: a\r\nX: b\rContent-Length: 4\r\n", "abcd"+hidden),
		"CR before a name":       post("Host: a\r\n\rContent-Length: 4\r\n", "abcd"+hidden),
		"LF before an encoding":  post("Host: a\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden),
		"LF after a length":      post("Host: a\r\nContent-Length: 4\n", "abcd"+hidden),
		"LF alone":               "POST /logout HTTP/1.1\nHost: a\nContent-Length: 4\n\nabcd" + hidden,
		"empty length":           post("Host: a\r\nContent-Length: \r\n", hidden),
		"length with a blank":    post("Host: a\r\nContent-Length: 1 0\r\n", "a"+hidden),
		"length with a NUL":      post("Host: a\r\nContent-Length: 4\x00\r\n", "abcd"+hidden),
		"length over 64 bits":    post("Host: a\r\nContent-Length: 18446744073709551620\r\n", "abcd"+hidden),
		"length, a fraction":     post("Host: a\r\nContent-Length: 4.0\r\n", "abcd"+hidden),
		"chunk size, signed":     post("Host: a\r\nTransfer-Encoding: chunked\r\n", "+4\r\nabcd\r\n0\r\n\r\n"+hidden),
		"chunk size, negative":   post("Host: a\r\nTransfer-Encoding: chunked\r\n", "-1\r\nabcd\r\n0\r\n\r\n"+hidden),
		"chunk size, overflow":   post("Host: a\r\nTransfer-Encoding: chunked\r\n", "10000000000000004\r\nabcd\r\n0\r\n\r\n"+hidden),
		"chunk size, none":       post("Host: a\r\nTransfer-Encoding: chunked\r\n", "\r\nabcd\r\n0\r\n\r\n"+hidden),
		"chunk size, LF alone":   post("Host: a\r\nTransfer-Encoding: chunked\r\n", "4\nabcd\n0\n\n"+hidden),
		"chunk, LF in extension": post("Host: a\r\nTransfer-Encoding: chunked\r\n", "4;a\nb\r\nabcd\r\n0\r\n\r\n"+hidden),
		"no HTTP":                "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
		"no version":             "GET /livez\r\n\r\n",
		"NUL in a header":        "GET /livez HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
		"header without a colon": "GET /livez HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
	} {
		answers, closed := app.talk(t, 8*time.Second, request)
		wantOne(t, name, answers, closed, 400, "malformed_request")
	}
	answers, closed := app.talk(t, time.Second, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if len(answers) != 2 || !closed || answers[0].StatusCode != 200 || answers[1].StatusCode != 404 {
		t.Errorf("two honest requests: %d answers, closed %v", len(answers), closed)
	}
	answers, _ = app.talk(t, 300*time.Millisecond, "POST /login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
	if len(answers) != 1 || answers[0].StatusCode != 422 {
		t.Errorf("an honest chunked request: %v", answers)
	}
	answers, _ = app.talk(t, 300*time.Millisecond, "GET http://other.example/livez HTTP/1.1\r\nHost: a\r\n\r\n")
	if len(answers) != 1 || answers[0].StatusCode != 200 {
		t.Errorf("an absolute request target: %v", answers)
	}
	answers, closed = app.talk(t, 8*time.Second, "GET /livez HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("x", 17<<10)+"\r\n\r\n")
	wantOne(t, "long headers", answers, closed, 431, "headers_too_large")
	answers, closed = app.talk(t, 8*time.Second, "GET /"+strings.Repeat("x", 1<<20)+" HTTP/1.1\r\nHost: a\r\n\r\n")
	wantOne(t, "a long path", answers, closed, 431, "headers_too_large")
	app.Anonymous().Do("GET", "/products?unknown="+strings.Repeat("x", 15000), nil).Want(200, "")
}

// testTooLarge: whoever sends too much gets to read why.
func testTooLarge(t *testing.T, open Open) {
	app := start(t, open, Options{})
	big := `{"email":"` + strings.Repeat("x", 1<<20) + `"}`
	for _, path := range []string{"/login", "/register", "/products", "/logout", "/nowhere"} {
		a := app.Anonymous().Do("POST", path, big)
		if a.Status != 413 || a.Code() != "body_too_large" {
			t.Errorf("POST %s with 1 MB = %d %q", path, a.Status, a.Code())
		}
	}
	for _, size := range []int{64 << 10, 64<<10 + 1} {
		pad := `{"zzz":"` + strings.Repeat("x", size-10) + `"}`
		if got, want := app.Anonymous().Do("POST", "/login", pad).Status, map[int]int{64 << 10: 422, 64<<10 + 1: 413}[size]; got != want {
			t.Errorf("a body of %d bytes = %d, want %d", size, got, want)
		}
	}
	for range 20 {
		req := must(http.NewRequest("POST", "http://"+app.Addr+"/login", io.MultiReader(strings.NewReader(big)))) // of unknown length: chunked
		res, err := app.transp.RoundTrip(req)
		if err != nil {
			t.Errorf("posting 1 MB in chunks: %v", err)
			continue
		}
		_ = res.Body.Close()
		if res.StatusCode != 413 {
			t.Errorf("posting 1 MB in chunks = %d", res.StatusCode)
		}
	}
	head := "POST /login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
	answers, closed := app.talk(t, 5*time.Second, head+fmt.Sprintf("Content-Length: %d\r\n\r\n", len(big))+big)
	wantOne(t, "1 MB over a raw socket", answers, closed, 413, "body_too_large")
	answers, closed = app.talk(t, 5*time.Second, head+"Content-Length: 1099511627776\r\n\r\n{}")
	wantOne(t, "a lying length", answers, closed, 413, "body_too_large")
	chunks := strings.Repeat("2000\r\n"+strings.Repeat("x", 0x2000)+"\r\n", 200)
	answers, closed = app.talk(t, 5*time.Second, head+"Transfer-Encoding: chunked\r\n\r\n"+chunks)
	wantOne(t, "endless chunks", answers, closed, 413, "body_too_large")
	answers, closed = app.talk(t, 5*time.Second, head+"Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
	wantOne(t, "a large expectation", answers, closed, 413, "body_too_large")
	answers, closed = app.talk(t, time.Second, head+"Expect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
	if len(answers) != 2 || !closed || answers[0].StatusCode != 100 || answers[1].StatusCode != 422 {
		t.Errorf("Expect: 100-continue: %d answers, closed %v", len(answers), closed)
	}
	small := start(t, open, Options{BodyLimit: 100})
	small.Anonymous().Do("POST", "/login", `{"zzz":"`+strings.Repeat("x", 100)+`"}`).Want(413, "body_too_large")
	small.Anonymous().Do("POST", "/login", `{"zzz":1}`).Want(422, "validation_failed")
}

// testBodyEnds: where a body ends the next request begins, whatever became of the
// first; and a body that ends too early is none.
func testBodyEnds(t *testing.T, open Open) {
	app := start(t, open, Options{})
	const hidden = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	post := "POST /login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
	chunked := post + "Transfer-Encoding: chunked\r\n\r\n"
	sized := func(head, body string) string {
		return head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	}
	for name, row := range map[string]struct {
		requests string
		want     []int
	}{
		"read":                 {sized(post, `{}`) + hidden, []int{422, 200}},
		"of many kilobytes":    {sized(post, "{"+strings.Repeat(" ", 60_000)+"}") + hidden, []int{422, 200}},
		"empty":                {sized(post, "") + hidden, []int{400, 200}},
		"in chunks":            {chunked + "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n" + hidden, []int{422, 200}},
		"in chunks, trailed":   {chunked + "2\r\n{}\r\n0\r\nA: b\r\n\r\n" + hidden, []int{422, 200}},
		"in no chunk":          {chunked + "0\r\n\r\n" + hidden, []int{400, 200}},
		"of GET":               {sized("GET /livez HTTP/1.1\r\nHost: a\r\n", hidden) + hidden, []int{200, 200}},
		"of GET, in chunks":    {"GET /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + hidden, []int{200, 200}},
		"of no method":         {sized("BREW /livez HTTP/1.1\r\nHost: a\r\n", hidden) + hidden, []int{405, 200}},
		"of a path not there":  {sized("POST /nowhere HTTP/1.1\r\nHost: a\r\n", hidden) + hidden, []int{404, 200}},
		"from another site":    {sized(post+"Sec-Fetch-Site: cross-site\r\n", hidden) + hidden, []int{403, 200}},
		"expected":             {sized(post+"Expect: 100-continue\r\n", `{}`) + hidden, []int{100, 422, 200}},
		"expected, in chunks":  {post + "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + hidden, []int{100, 422, 200}},
		"too large":            {sized(post, strings.Repeat("x", 64<<10+1)) + hidden, []int{413}},
		"too large, of hidden": {sized(post, strings.Repeat(hidden, 2000)) + hidden, []int{413}},
		"too large, in chunks": {chunked + "10001\r\n" + strings.Repeat("x", 64<<10+1) + "\r\n0\r\n\r\n" + hidden, []int{413}},
		"too large, expected":  {sized(post+"Expect: 100-continue\r\n", strings.Repeat("x", 64<<10+1)) + hidden, []int{413}},
		"broken":               {chunked + "2\r\n{}0\r\n\r\n" + hidden, []int{400}},
	} {
		answers, closed := app.talk(t, 8*time.Second, row.requests)
		var got []int
		for _, a := range answers {
			got = append(got, a.StatusCode)
		}
		if !slices.Equal(got, row.want) || !closed {
			t.Errorf("a body %s: answers %v, closed %v; want %v and closed", name, got, closed, row.want)
		}
	}
	for name, request := range map[string]string{
		"a length of ten":   post + "Content-Length: 10\r\n\r\n{}",
		"a length, nothing": post + "Content-Length: 10\r\n\r\n",
		"a chunk":           chunked + "5\r\n{}",
		"a whole chunk":     chunked + "2\r\n{}\r\n",
		"chunks, no end":    chunked + "2\r\n{}\r\n0\r\n",
	} {
		c := app.send(t, request)
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answers, closed := readAnswers(t, c, 8*time.Second)
		_ = c.Close()
		wantOne(t, name+" that is cut off", answers, closed, 400, "malformed_request")
	}
}

// testPromises: a body takes the memory of what has arrived of it, and not of what
// its length or a chunk's promises.
func testPromises(t *testing.T, open Open) {
	const promise, each = 1 << 20, 64 << 10
	app := start(t, open, Options{BodyLimit: promise})
	requests := []string{
		fmt.Sprintf("Content-Length: %d\r\n\r\n{", promise),
		fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n\r\n{", promise),
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n{", promise),
	}
	count := 64 * len(requests)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	inParallel(t, count, func(i int) { // together, since each waits for the deadline
		request := requests[i%len(requests)]
		answers, closed := app.talk(t, 9*time.Second, "POST /login HTTP/1.1\r\nHost: a\r\n"+request)
		if len(answers) > 0 && answers[0].StatusCode == 100 {
			answers = answers[1:]
		}
		wantOne(t, "a promise that is not kept, "+request, answers, closed, 408, "request_timeout")
	})
	runtime.ReadMemStats(&after)
	// If one kind took what it promises, it would be a third of a MiB on average.
	if cost := int(after.TotalAlloc-before.TotalAlloc) / count; cost > each {
		t.Errorf("bodies of %d KiB that are not sent cost %d KiB each, want at most %d", promise>>10, cost>>10, each>>10)
	}
}

// bombMemory is what a request that is refused may cost (threats.md, scenario 15).
const bombMemory = 8 << 20

// testBombs: a body that is small on the wire and large to whoever unpacks it, or
// endless, costs no memory.
func testBombs(t *testing.T, open Open) {
	app := start(t, open, Options{})
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	must(z.Write(make([]byte, 48<<20)))
	if err := z.Close(); err != nil || zipped.Len() > 60<<10 {
		t.Fatalf("the bomb weighs %d bytes, %v", zipped.Len(), err)
	}
	head := "POST /login HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n"
	sized := func(more, body string) string {
		return head + more + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body
	}
	big := strings.Repeat("x", 1<<20)
	for name, row := range map[string]struct {
		request string
		status  int
		code    string
	}{
		"a gzip bomb":             {sized("Content-Encoding: gzip\r\n", zipped.String()), 415, "unsupported_media_type"},
		"a gzip bomb, twice":      {sized("Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n", zipped.String()), 415, "unsupported_media_type"},
		"a deflate bomb":          {sized("Content-Encoding: deflate\r\n", zipped.String()), 415, "unsupported_media_type"},
		"1 MB of JSON":            {sized("", `{"email":"`+big+`"}`), 413, "body_too_large"},
		"a length of 1 TB":        {head + "Content-Length: 1099511627776\r\n\r\n{}", 413, "body_too_large"},
		"a chunk of 1 TB":         {head + "Transfer-Encoding: chunked\r\n\r\n10000000000\r\n" + big, 413, "body_too_large"},
		"endless chunks":          {head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", 200_000), 413, "body_too_large"},
		"a long chunk extension":  {head + "Transfer-Encoding: chunked\r\n\r\n1;a=" + big + "\r\n{\r\n0\r\n\r\n", 400, "malformed_json"},
		"an endless chunk size":   {head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("0", 1<<20), 400, "malformed_request"},
		"endless trailers":        {head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + strings.Repeat("A: b\r\n", 200_000), 431, "headers_too_large"},
		"one endless trailer":     {head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nA: " + big, 431, "headers_too_large"},
		"60 KB of brackets":       {sized("", strings.Repeat("[", 60_000)), 400, "malformed_json"},
		"60 KB of members":        {sized("", "{"+strings.Repeat(`"a":{`, 12_000)), 400, "malformed_json"},
		"60 KB of unknown names":  {sized("", "{"+manyMembers(6_000)+"}"), 422, "validation_failed"},
		"an endless header":       {"GET /me HTTP/1.1\r\nHost: a\r\nX: " + big, 431, "headers_too_large"},
		"an endless cookie":       {"GET /me HTTP/1.1\r\nHost: a\r\nCookie: sid=" + big, 431, "headers_too_large"},
		"an endless name":         {"GET /me HTTP/1.1\r\nHost: a\r\n" + big, 431, "headers_too_large"},
		"an endless path":         {"GET /" + big, 431, "headers_too_large"},
		"an endless method":       {big, 431, "headers_too_large"},
		"five thousand headers":   {"GET /me HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("a:b\r\n", 5_000) + "\r\n", 431, "headers_too_large"},
		"endless headers":         {"GET /me HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("a:b\r\n", 200_000), 431, "headers_too_large"},
		"two thousand headers":    {"GET /me HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + strings.Repeat("a:b\r\n", 2_000) + "\r\n", 401, "unauthenticated"},
		"a thousand cookies":      {"GET /me HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: " + strings.Repeat("sid=x;", 1_000) + "\r\n\r\n", 400, "duplicate_cookie"},
		"five thousand languages": {sized("Accept-Language: "+strings.Repeat("a,", 7_000)+"\r\n", "{}"), 422, "validation_failed"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		answers, closed := app.talk(t, 8*time.Second, row.request)
		runtime.ReadMemStats(&after)
		wantOne(t, name, answers, closed, row.status, row.code)
		if cost := after.TotalAlloc - before.TotalAlloc; cost > bombMemory {
			t.Errorf("%s costs %d KiB of memory, want at most %d", name, cost>>10, bombMemory>>10)
		}
	}
	app.Anonymous().Do("GET", "/livez", nil).Want(200, "")
}

// manyMembers are so many members of an object, each of another name.
func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"m%d":0,`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// testSlowloris: five thousand connections that never finish a request, some of
// them sending now and then a byte, are cut within six seconds and keep nobody
// from being served meanwhile.
func testSlowloris(t *testing.T, open Open) {
	app := start(t, open, Options{})
	var slow []net.Conn
	defer func() {
		for _, c := range slow {
			_ = c.Close()
		}
	}()
	for len(slow) < 5000 {
		c, err := net.Dial("tcp", app.Addr)
		if err != nil { // as many as this machine lets a process open
			t.Logf("%d slow connections: %v", len(slow), err)
			for _, spare := range slow[max(len(slow)-100, 0):] {
				_ = spare.Close()
			}
			slow = slow[:max(len(slow)-100, 0)]
			break
		}
		slow = append(slow, c)
		if _, err := io.WriteString(c, "POST /login HTTP/1.1\r\nHost: a\r\nX-"); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	done := make(chan struct{})
	var dripping sync.WaitGroup
	for _, c := range slow[:min(len(slow), 500)] {
		dripping.Go(func() {
			for tick := time.NewTicker(time.Second); ; {
				select {
				case <-done:
					tick.Stop()
					return
				case <-tick.C:
					_, _ = io.WriteString(c, "a")
				}
			}
		})
	}
	for range 200 {
		app.Anonymous().Do("GET", "/products", nil).Want(200, "")
	}
	var alive atomic.Int64
	inParallel(t, len(slow), func(i int) {
		_ = slow[i].SetReadDeadline(began.Add(30 * time.Second))
		if _, err := io.Copy(io.Discard, slow[i]); errors.Is(err, os.ErrDeadlineExceeded) {
			alive.Add(1)
		}
	})
	took := time.Since(began)
	close(done)
	dripping.Wait()
	if alive.Load() > 0 {
		t.Errorf("%d of %d slow connections are open after %v", alive.Load(), len(slow), took)
	}
	t.Logf("%d slow connections were cut within %v", len(slow), took)
	app.Anonymous().Do("GET", "/products", nil).Want(200, "")
}

// testSlowSenders: who does not finish a request is cut within six seconds.
func testSlowSenders(t *testing.T, open Open) {
	app := start(t, open, Options{})
	type result struct {
		name    string
		answers []*http.Response
		closed  bool
		took    time.Duration
	}
	results := make(chan result)
	cases := map[string]string{
		"half a header": "GET /livez HTTP/1.1\r\nHost: a\r\nX-",
		"half a body":   "POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{",
		"half a chunk":  "POST /login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
	}
	for name, request := range cases {
		go func() {
			began := time.Now()
			answers, closed := app.talk(t, 9*time.Second, request)
			results <- result{name, answers, closed, time.Since(began)}
		}()
	}
	for range cases {
		r := <-results
		wantOne(t, r.name, r.answers, r.closed, 408, "request_timeout")
		if r.took > 7500*time.Millisecond {
			t.Errorf("%s was cut after %v", r.name, r.took)
		}
	}
}
