package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// calm gives requests the time that many at once need on a small machine.
const calm = "GATEHOUSE_REQUEST_TIMEOUT=60s"

// crowd registers so many people at once, spread over the nodes, and returns
// their addresses.
func (w *world) crowd(n int, nodes ...*process) []string {
	w.Helper()
	emails := make([]string, n)
	w.parallel(n, func(i int) {
		emails[i] = fmt.Sprintf("user%d@example.com", i)
		w.client().want(nodes[i%len(nodes)], 201, "POST", "/register", fmt.Sprintf(`{"email":%q,"password":%q}`, emails[i], w.password()))
	})
	return emails
}

// parallel does n things at once. They may end the test.
func (w *world) parallel(n int, do func(i int)) {
	w.Helper()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
	if w.Failed() {
		w.FailNow()
	}
}

func forgot(email string) string { return fmt.Sprintf(`{"email":%q}`, email) }

// TestMailServerDown: while the mail server is down nothing but mail is late,
// and what was asked for outlives the node. Issue 3: the mail server stopped, 20
// resets asked for, the server killed with -9, both started: 20 mails, each
// once; each token works once.
func TestMailServerDown(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world, s *store) {
		const people = 20
		sink := newSink(t)
		start := func() []*process { return s.serve(sink.setting(), calm) }
		nodes := start()
		emails := w.crowd(people, nodes...)
		sink.stop()
		w.parallel(people, func(i int) {
			w.client().want(nodes[i%len(nodes)], 202, "POST", "/password/forgot", forgot(emails[i]))
		})
		w.until("a letter was tried in vain", func() bool { return s.number(`SELECT count(*) FROM outbox WHERE attempts > 0`) > 0 })
		for _, p := range nodes {
			p.kill()
		}
		if n := s.number(`SELECT count(*) FROM outbox`); n != people {
			t.Fatalf("%d letters wait after kill -9, want %d", n, people)
		}

		sink.start()
		s.mailIsDue() // the lease of whom we killed, and the pauses
		nodes = start()
		s.noMailWaits()
		mails := sink.all()
		eachOnce(t, mails, emails)
		w.parallel(len(mails), func(i int) { w.worksOnce(nodes[i%len(nodes)], mails[i].token()) })
		s.noMailWaits() // the passwords were changed, and that is told too
		if mails := sink.all(); len(mails) != 2*people {
			t.Errorf("%d mails in the end, want %d", len(mails), 2*people)
		}
		differ(t, sink.all())
	})
}

// eachOnce wants one mail with a link for each address.
func eachOnce(t *testing.T, mails []received, emails []string) {
	t.Helper()
	var to []string
	for _, m := range mails {
		to = append(to, m.to)
		if m.token() == "" || !strings.Contains(m.html, m.token()) {
			t.Errorf("no link in the mail to %s:\n%s", m.to, m.text)
		}
	}
	slices.Sort(to)
	if want := slices.Sorted(slices.Values(emails)); !slices.Equal(to, want) {
		t.Errorf("mails came to\n%q, want\n%q", to, want)
	}
	differ(t, mails)
}

// differ wants no Message-ID twice.
func differ(t *testing.T, mails []received) {
	t.Helper()
	seen := map[string]string{}
	for _, m := range mails {
		if before, again := seen[m.id]; again {
			t.Errorf("%s came twice, to %s and to %s", m.id, before, m.to)
		}
		seen[m.id] = m.to
	}
}

// worksOnce redeems the token of a link twice at once: one gets through.
func (w *world) worksOnce(p *process, token string) {
	w.Helper()
	w.secret(token, "the token of a link")
	var taken, gone atomic.Int64
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			a := w.client().do(p, "POST", "/password/reset", fmt.Sprintf(`{"token":%q,"newPassword":%q}`, token, w.password()))
			switch {
			case a.status == 204:
				taken.Add(1)
			case a.status == 410 && a.body["code"] == "token_invalid":
				gone.Add(1)
			default:
				w.Errorf("POST /password/reset = %d %s", a.status, a.text)
			}
		})
	}
	both.Wait()
	if taken.Load() != 1 || gone.Load() != 1 {
		w.Errorf("of two who redeem one token %d get through, want 1", taken.Load())
	}
}

// TestTwoNodesSendOnce: two nodes that deliver from one outbox send each letter
// once.
func TestTwoNodesSendOnce(t *testing.T) {
	w := newWorld(t)
	s, sink := w.postgres(), newSink(t)
	environ := []string{s.setting(), sink.setting(), calm}
	a, b := w.serve(environ...), w.serve(environ...)
	emails := w.crowd(40, a, b)
	// Both find a full outbox when the sink comes up.
	sink.stop()
	w.parallel(len(emails), func(i int) {
		w.client().want([]*process{a, b}[i%2], 202, "POST", "/password/forgot", forgot(emails[i]))
	})
	sink.start()
	s.mailIsDue()
	s.noMailWaits()
	eachOnce(t, sink.all(), emails)
}

// TestMailServerRefuses: what is refused for now is tried again and comes once;
// what is refused for good does not hold up the rest; and a server that dies
// after it has taken a mail gets it again under the same id, with a link of
// which the last alone is good.
func TestMailServerRefuses(t *testing.T) {
	w := newWorld(t)
	s, sink := w.postgres(), newSink(t)
	p := w.serve(s.setting(), sink.setting(), calm)
	emails := w.crowd(6, p)
	var mu sync.Mutex
	tries := map[string]int{}
	sink.behave(func(verb, argument string) string {
		mu.Lock()
		defer mu.Unlock()
		who := argument
		if verb == "RCPT" {
			_, who, _ = strings.Cut(argument, "<")
			who, _, _ = strings.Cut(who, ">")
		}
		tries[verb+" "+who]++
		first := tries[verb+" "+who] == 1
		switch {
		case verb == "RCPT" && who == emails[0] && first:
			return "451 4.2.1 try later"
		case verb == "BODY" && who == emails[1] && first:
			return "452 4.3.1 no room"
		case verb == "RCPT" && who == emails[2]:
			return "550 5.1.1 nobody of that name"
		case verb == "BODY" && who == emails[3] && first:
			return takeAndHangUp
		case verb == "RCPT" && who == emails[4] && first:
			return "421 4.3.2 going down"
		}
		return usual
	})
	for _, email := range emails {
		w.client().want(p, 202, "POST", "/password/forgot", forgot(email))
	}
	s.noMailWaits() // after pauses of a second or so
	byReader := map[string][]received{}
	for _, m := range sink.all() {
		byReader[m.to] = append(byReader[m.to], m)
	}
	for i, want := range []int{1, 1, 0, 2, 1, 1} {
		if n := len(byReader[emails[i]]); n != want {
			t.Errorf("%d mails to %s, want %d", n, emails[i], want)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	twice := byReader[emails[3]]
	if twice[0].id != twice[1].id || twice[0].token() == twice[1].token() {
		t.Errorf("a mail that was not acknowledged came again as %s with the same link: %t, want %s and another link",
			twice[1].id, twice[0].token() == twice[1].token(), twice[0].id)
	}
	w.client().want(p, 410, "POST", "/password/reset", fmt.Sprintf(`{"token":%q,"newPassword":%q}`, twice[0].token(), w.password()))
	w.worksOnce(p, twice[1].token())
	if !strings.Contains(p.said.String(), "550") {
		t.Error("the log does not say that a mail was refused for good")
	}
	for _, email := range emails {
		if strings.Contains(p.said.String(), email) {
			t.Errorf("the log tells the address %s", email)
		}
	}
}

// TestMailServerHangs: one that takes the connection and says nothing delays
// mail alone; the node stops in time, and the letter is sent by the next.
func TestMailServerHangs(t *testing.T) {
	w := newWorld(t)
	s, sink := w.postgres(), newSink(t)
	environ := []string{s.setting(), sink.setting(), calm}
	p := w.serve(environ...)
	emails := w.crowd(2, p)
	release, reached := make(chan struct{}), make(chan struct{}, 100)
	t.Cleanup(func() { close(release) })
	sink.behave(func(string, string) string {
		reached <- struct{}{}
		<-release
		return hangUp
	})
	w.client().want(p, 202, "POST", "/password/forgot", forgot(emails[0]))
	<-reached
	w.client().want(p, 202, "POST", "/password/forgot", forgot(emails[1]))
	w.client().want(p, 200, "GET", "/readyz", "")
	if code := p.terminate(); code != 0 {
		t.Errorf("exit code %d after SIGTERM beside a mail server that hangs, want 0\n%s", code, p.said)
	}
	sink.behave(nil)
	s.mailIsDue()
	w.serve(environ...)
	s.noMailWaits()
	eachOnce(t, sink.all(), emails)
}

// TestKillWhileDelivering: a node that is killed with a mail half sent takes none
// with it. The mail whose taking it did not live to hear of comes again, under
// the same id.
func TestKillWhileDelivering(t *testing.T) {
	w := newWorld(t)
	s, sink := w.postgres(), newSink(t)
	environ := []string{s.setting(), sink.setting(), calm}
	a := w.serve(environ...)
	emails := w.crowd(30, a)
	release, reached := make(chan struct{}), make(chan struct{})
	letGo := sync.OnceFunc(func() { close(release) })
	t.Cleanup(letGo)
	var mails atomic.Int64
	sink.behave(func(verb, _ string) string {
		if verb == "BODY" && mails.Add(1) == 10 {
			close(reached)
			<-release
			return takeAndHangUp
		}
		return usual
	})
	w.parallel(len(emails), func(i int) { w.client().want(a, 202, "POST", "/password/forgot", forgot(emails[i])) })
	<-reached
	a.kill()
	letGo()
	b := w.serve(environ...)
	w.until("the other node sends what is free", func() bool { return s.number(`SELECT count(*) FROM outbox`) <= 1 })
	s.mailIsDue()
	s.noMailWaits()
	again := map[string]int{}
	var to []string
	for _, m := range sink.all() {
		if again[m.id]++; again[m.id] == 1 {
			to = append(to, m.to)
		}
	}
	if slices.Sort(to); !slices.Equal(to, slices.Sorted(slices.Values(emails))) {
		t.Errorf("mails came to\n%q, want\n%q", to, emails)
	}
	if got := sink.all(); len(got) != len(emails)+1 {
		t.Errorf("%d mails, want %d and the one that was cut off again", len(got), len(emails))
	}
	last := sink.all()[len(sink.all())-1]
	w.worksOnce(b, last.token())
}
