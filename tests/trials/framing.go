package main

import (
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// smuggling is scenario 18: of a request that two readers may frame in two ways
// nothing that hides in it is executed. What hides would end all of a victim's
// other sessions, with the victim's cookie on it, as a front end that was fooled
// would send it.
func smuggling(a *trial) error {
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
	defer w.close()
	for range 5 {
		if r, err := w.send("POST", "/login", credentials("ann@example.com")); err != nil || r.status != 200 {
			return fmt.Errorf("POST /login = %d, %w", r.status, orNone(err))
		}
	}
	count := func() (int64, error) { return a.number(`SELECT count(*) FROM user_sessions`) }
	before, err := count()
	if err != nil {
		return err
	}
	hidden := "DELETE /me/sessions HTTP/1.1\r\nHost: localhost\r\n" + cookie + "\r\nSec-Fetch-Site: same-origin\r\n\r\n"
	cases := ambiguous(hidden)
	var more, wrong atomic.Int64
	var example atomic.Value
	var all sync.WaitGroup
	var next atomic.Int64
	for range 32 {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(cases)); i = next.Add(1) - 1 {
				answers, _, err := n.raw([]byte(cases[i]), 300*time.Millisecond)
				if err != nil || len(answers) > 1 {
					more.Add(1)
					example.Store(cases[i])
				}
				if len(answers) == 1 && answers[0].status != 400 && answers[0].status != 431 && answers[0].status != 413 {
					wrong.Add(1)
					example.Store(fmt.Sprintf("%d: %s", answers[0].status, cases[i]))
				}
			}
		})
	}
	all.Wait()
	after, err := count()
	if err != nil {
		return err
	}
	measured := fmt.Sprintf("%d with a second answer, %d of %d sessions left", more.Load(), after, before)
	if e := example.Load(); e != nil && more.Load() > 0 {
		measured += fmt.Sprintf(", such as %q", e)
	}
	a.row(more.Load() == 0 && before == after, fmt.Sprintf("%d ambiguous requests", len(cases)), "no second request is executed", measured)
	measured = fmt.Sprintf("%d of another kind", wrong.Load())
	if e := example.Load(); e != nil && wrong.Load() > 0 {
		measured += fmt.Sprintf(", such as %.300q", e)
	}
	a.row(wrong.Load() == 0, "the same: answers", "400 or none", measured)
	// It is the framing that is refused and not the request.
	answers, _, err := n.raw([]byte("POST /logout HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"+hidden), 500*time.Millisecond)
	if err != nil {
		return err
	}
	after, err = count()
	a.row(len(answers) == 2 && after == 1, "the same behind an honest request", "is executed", fmt.Sprintf("%d answers, %d session left", len(answers), after))
	return err
}

// ambiguous gives requests whose end is a matter of opinion, each with another
// one where some would see the end. The first halves are those of the
// literature; the second are made by chance out of what they are made of.
func ambiguous(hidden string) []string {
	post := func(headers, body string) string {
		return "POST /logout HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n" + body
	}
	chunked := "0\r\n\r\n" + hidden
	size := len(hidden)
	lengths := []string{
		fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n", size), fmt.Sprintf("Content-Length: %d\r\nContent-Length: 0\r\n", size),
		fmt.Sprintf("Content-Length: 0, %d\r\n", size), "Content-Length: -0\r\n", "Content-Length: +0\r\n", "Content-Length: 0x0\r\n", "Content-Length: 0 0\r\n", "Content-Length: \r\n",
		"Content-Length: 0\r\ncontent-length: 0\r\n", "Content-Length : 0\r\n", " Content-Length: 0\r\n", "Content-Length\t: 0\r\n",
		"Content-Length: 18446744073709551616\r\n", "Content-Length: 1e0\r\n", "Content-Length:\r\n 0\r\n", "X: y\r\n Content-Length: 0\r\n", "Content-Length: 0\rX: y\r\n", "Content-Length: \x0b0\r\n", "Content-Length: 0\x00\r\n",
	}
	encodings := []string{
		"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding: identity, chunked\r\n", "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding: chunkedx\r\n", "Transfer-Encoding: \"chunked\"\r\n", "Transfer-Encoding : chunked\r\n", " Transfer-Encoding: chunked\r\n",
		"Transfer-Encoding:\x0bchunked\r\n", "Transfer-Encoding:\r\n chunked\r\n", "X: y\r\n Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\rX: y\r\n", "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: chunked;q=1\r\n", "Transfer_Encoding: chunked\r\nTransfer-Encoding: x\r\n",
		"Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n", "Transfer-Encoding: chunked\x00\r\n", "Transfer-Encoding: \x00chunked\r\n",
	}
	var list []string
	for _, l := range lengths {
		list = append(list, post(l, hidden))
	}
	for _, e := range encodings {
		list = append(list, post(e, chunked))
	}
	for _, chunk := range []string{"0x0\r\n\r\n", "-0\r\n\r\n", "+0\r\n\r\n", " 0\r\n\r\n", "00000000000000000000000\r\n\r\n1\r\n", "0\n\n", "0;a\nb\r\n\r\n", "4\r\nabcdX0\r\n\r\n", "4\r\nabc\r\n0\r\n\r\n", "ffffffffffffffff0\r\n\r\n", "\r\n0\r\n\r\n", "g\r\n\r\n", "4\r\nabcd\n0\r\n\r\n"} {
		list = append(list, post("Transfer-Encoding: chunked\r\n", chunk+hidden))
	}
	list = append(list,
		"POST /logout HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n"+chunked,
		"POST /logout HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nContent-Length: 0\r\n\r\n"+hidden,
		"POST /logout HTTP/1.1\r\nContent-Length: 0\r\n\r\n"+hidden,
		"POST /logout HTTP/1.1\r\nHost:\r\nContent-Length: 0\r\n\r\n"+hidden,
		"POST /logout\r\nHost: localhost\r\n\r\n"+hidden,
		"POST /logout HTTP/2.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"+hidden,
		"POST /logout HTTP/1.1 \r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"+hidden,
		"POST /log out HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"+hidden,
		"POST /logout HTTP/1.1\r\nHost: localhost\r\nX\r\nContent-Length: 0\r\n\r\n"+hidden,
		"POST /logout HTTP/1.1\r\nHost: localhost\r\n: x\r\nContent-Length: 0\r\n\r\n"+hidden,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+hidden,
	)
	// Two headers that frame, each a little odd, in either order.
	random := mathrand.New(mathrand.NewPCG(18, 18))
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	for range 1000 {
		both := []string{pick(lengths), pick(encodings)}
		random.Shuffle(2, func(i, j int) { both[i], both[j] = both[j], both[i] })
		if random.IntN(2) == 0 {
			both = append(both, fmt.Sprintf("X-%d: %s\r\n", random.IntN(9), strings.Repeat("x", random.IntN(40))))
			random.Shuffle(3, func(i, j int) { both[i], both[j] = both[j], both[i] })
		}
		list = append(list, post(strings.Join(both, ""), chunked))
	}
	return list
}
