package mailing_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"gatehouse/application/accounts"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/secret"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
	"gatehouse/tests/house"
)

// post is a mailer that does as it is told, and a house that sends by it.
type post struct {
	*house.House
	ann  user.User
	mu   sync.Mutex
	sent []mail.Message // handed over, whatever came of it
	do   func(context.Context, mail.Message) error
	why  []string // what the outbox was told of failures
}

func newPost(t *testing.T, do func(context.Context, mail.Message) error) *post {
	t.Helper()
	p := &post{do: do}
	p.House = house.New(t, house.Options{Mailer: p, Rules: house.NoRules()})
	p.Mailing.Outbox = &noting{p.Mailing.Outbox, p}
	p.ann = p.Add("ann@example.com")
	return p
}

// Send implements ports.Mailer.
func (p *post) Send(ctx context.Context, m mail.Message) error {
	p.mu.Lock()
	p.sent = append(p.sent, m)
	p.mu.Unlock()
	if p.do == nil {
		return nil
	}
	return p.do(ctx, m)
}

func (p *post) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sent)
}

// noting is an outbox that shows what it is told of failures.
type noting struct {
	ports.Outbox
	post *post
}

func (n *noting) Postpone(ctx context.Context, id uuid.UUID, until time.Time, why string) error {
	n.post.why = append(n.post.why, why)
	return n.Outbox.Postpone(ctx, id, until, why)
}

func (p *post) ask(n int) {
	p.T.Helper()
	for range n {
		if err := p.Accounts.RequestReset(p.T.Context(), "ann@example.com"); err != nil {
			p.T.Fatal(err)
		}
	}
}

func (p *post) deliver() (int, error) { return p.Mailing.Deliver(p.T.Context()) }

func (p *post) waiting() int {
	p.T.Helper()
	n, _, err := p.DB.Outbox().Waiting(p.T.Context())
	if err != nil {
		p.T.Fatal(err)
	}
	return n
}

// good reports whether the token of the mail opens anything.
func (p *post) good(m mail.Message) bool {
	tok, ok := secret.ParseToken(house.TokenIn(m))
	if !ok {
		return false
	}
	_, err := p.DB.Tickets().Find(p.T.Context(), tok.Key(), p.Now())
	return err == nil
}

var errDown = fault.Outage(errors.New("connection refused"))

func TestEachLetterIsSentOnce(t *testing.T) {
	p := newPost(t, nil)
	p.ask(20)
	sent, err := p.deliver()
	if sent != 20 || err != nil || p.count() != 20 || p.waiting() != 0 {
		t.Errorf("Deliver = %d, %v; %d handed over, %d wait", sent, err, p.count(), p.waiting())
	}
	seen := map[uuid.UUID]bool{}
	for i, m := range p.sent {
		seen[m.ID] = true
		if i > 0 && p.sent[i-1].ID.Compare(m.ID) >= 0 {
			t.Error("letters are not sent in the order of what they tell of")
		}
		if m.To != "ann@example.com" || !strings.Contains(m.Text, "https://shop.example.com/password/reset#token=") {
			t.Errorf("a mail to %s: %s", m.To, m.Text)
		}
	}
	if len(seen) != 20 {
		t.Errorf("%d mails with ids of their own, want 20", len(seen))
	}
	// The last link alone is good: each voids the one before.
	for i, m := range p.sent {
		if p.good(m) != (i == 19) {
			t.Errorf("link %d is good: %t", i, p.good(m))
		}
	}
	if sent, err := p.deliver(); sent != 0 || err != nil {
		t.Errorf("Deliver again = %d, %v", sent, err)
	}
}

func TestNodesSideBySide(t *testing.T) {
	p := newPost(t, nil)
	p.ask(100)
	total := make([]int, 8)
	house.AtOnce(len(total), func(i int) {
		n, err := p.deliver()
		if err != nil {
			t.Errorf("Deliver = %v", err)
		}
		total[i] = n
	})
	sum := 0
	for _, n := range total {
		sum += n
	}
	if sum != 100 || p.count() != 100 {
		t.Errorf("%d sent, %d handed over, want 100", sum, p.count())
	}
}

// A server that is down delays mail and nothing else; when it is back all is
// sent, once.
func TestAServerThatIsDown(t *testing.T) {
	down := true
	p := newPost(t, func(context.Context, mail.Message) error {
		if down {
			return errDown
		}
		return nil
	})
	p.ask(20)
	for range 50 {
		if sent, err := p.deliver(); sent != 0 || err != nil && !errors.Is(err, fault.Unavailable) {
			t.Fatalf("Deliver = %d, %v", sent, err)
		}
		p.Move(10 * time.Second)
	}
	if p.waiting() != 20 || !strings.Contains(p.why[0], "connection refused") {
		t.Fatalf("%d letters wait, because of %q", p.waiting(), p.why[0])
	}
	tried := p.count()
	down = false
	p.Move(2 * time.Minute)
	if sent, err := p.deliver(); sent != 20 || err != nil || p.waiting() != 0 {
		t.Errorf("Deliver when it is back = %d, %v, %d wait", sent, err, p.waiting())
	}
	if n := p.count() - tried; n != 20 {
		t.Errorf("%d mails were handed over then, want 20", n)
	}
}

// Each try has a link of its own, and those before it are good for nothing: a
// mail that came in spite of an error must not stay open.
func TestEachTryHasItsOwnLink(t *testing.T) {
	p := newPost(t, func(context.Context, mail.Message) error { return errDown })
	p.ask(1)
	for range 5 {
		_, _ = p.deliver()
		p.Move(time.Hour / 4)
	}
	if p.count() != 5 {
		t.Fatalf("%d tries", p.count())
	}
	seen := map[string]bool{}
	for i, m := range p.sent {
		seen[house.TokenIn(m)] = true
		if p.good(m) != (i == 4) || m.ID != p.sent[0].ID || m.At != p.sent[0].At {
			t.Errorf("try %d: good %t, id %s, at %v", i, p.good(m), m.ID, m.At)
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d different links, want 5", len(seen))
	}
	p.do = nil
	if _, err := p.deliver(); err != nil {
		t.Fatal(err)
	}
	if err := p.Accounts.ResetPassword(t.Context(), accounts.Reset{Token: house.TokenIn(p.sent[5]), New: "a loud lighthouse"}); err != nil {
		t.Errorf("the link of the mail that came = %v", err)
	}
}

// The pauses double up to a minute, give or take a half, and after a hundred
// tries are an hour; a letter is never given up.
func TestPauses(t *testing.T) {
	p := newPost(t, func(context.Context, mail.Message) error { return errDown })
	p.ask(1)
	last := p.Now()
	for attempt := 1; attempt <= 105; attempt++ {
		for p.count() < attempt {
			p.Move(100 * time.Millisecond)
			if p.Now().Sub(last) > 2*time.Hour {
				t.Fatalf("attempt %d does not come", attempt)
			}
			_, _ = p.deliver()
		}
		pause := p.Now().Sub(last)
		last = p.Now()
		if attempt == 1 {
			continue
		}
		usual := min(time.Second<<min(attempt-2, 10), time.Minute)
		if attempt > 100 {
			usual = time.Hour
		}
		if pause < usual/2 || pause > usual+usual/2+200*time.Millisecond {
			t.Errorf("pause before attempt %d is %v, want about %v", attempt, pause, usual)
		}
	}
}

// A mail that no server will ever take is dropped, and seen.
func TestAMailThatNobodyTakes(t *testing.T) {
	p := newPost(t, func(context.Context, mail.Message) error {
		return fault.New(fault.Invalid, "refused", "no such mailbox")
	})
	p.ask(1)
	if sent, err := p.deliver(); sent != 0 || !errors.Is(err, fault.Invalid) || p.waiting() != 0 {
		t.Errorf("Deliver = %d, %v, %d wait", sent, err, p.waiting())
	}
}

// A mailer that panics fails the letter on which it does, and no other.
func TestAMailerThatPanics(t *testing.T) {
	p := newPost(t, nil)
	first := true
	p.do = func(context.Context, mail.Message) error {
		if first {
			first = false
			panic("out of paper")
		}
		return nil
	}
	p.ask(3)
	sent, err := p.deliver()
	if sent != 2 || err == nil || !strings.Contains(err.Error(), "out of paper") || p.waiting() != 1 {
		t.Fatalf("Deliver = %d, %v, %d wait", sent, err, p.waiting())
	}
	p.Move(time.Minute)
	if sent, err := p.deliver(); sent != 1 || err != nil {
		t.Errorf("Deliver = %d, %v", sent, err)
	}
}

// One that hangs is given the time of one mail, and those behind it go on.
func TestAMailerThatHangs(t *testing.T) {
	for name, hang := range map[string]func(ctx context.Context, over chan struct{}) error{
		"until its time is over": func(ctx context.Context, _ chan struct{}) error { <-ctx.Done(); return fault.Outage(ctx.Err()) },
		"for ever":               func(_ context.Context, over chan struct{}) error { <-over; return nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Int64
			over := make(chan struct{})
			defer close(over)
			p := newPost(t, nil)
			p.do = func(ctx context.Context, _ mail.Message) error {
				if n.Add(1) == 1 {
					return hang(ctx, over)
				}
				return nil
			}
			p.ask(3)
			began := time.Now()
			sent, err := p.deliver()
			if took := time.Since(began); sent != 2 || !errors.Is(err, fault.Unavailable) || took > 25*time.Second || p.waiting() != 1 {
				t.Errorf("%s: Deliver = %d, %v after %v, %d wait", name, sent, err, took, p.waiting())
			}
			p.Move(time.Minute)
			if sent, err := p.deliver(); sent != 1 || err != nil {
				t.Errorf("%s: Deliver afterwards = %d, %v", name, sent, err)
			}
		})
	}
}

// A mail that was handed over at the last moment was sent: it is not to be sent
// again because its time ran out meanwhile, or the node is about to stop.
func TestHandedOverAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, func(ctx context.Context, _ mail.Message) error { <-ctx.Done(); return nil })
		p.ask(1)
		if sent, err := p.deliver(); sent != 1 || err != nil || p.waiting() != 0 {
			t.Errorf("Deliver = %d, %v, %d wait", sent, err, p.waiting())
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	p := newPost(t, func(context.Context, mail.Message) error { stop(); return nil })
	p.ask(5)
	if sent, err := p.Mailing.Deliver(ctx); sent != 1 || err != nil || p.waiting() != 4 {
		t.Errorf("Deliver of a node that stops = %d, %v, %d wait, want 1 and 4", sent, err, p.waiting())
	}
}

// A node dies with a letter in its hands: another sends it, once the lease is
// over and not before.
func TestANodeDies(t *testing.T) {
	p := newPost(t, nil)
	p.ask(1)
	letters, err := p.DB.Outbox().Claim(t.Context(), p.Now(), 30*time.Second, 10)
	if err != nil || len(letters) != 1 {
		t.Fatal(err)
	}
	p.Move(30*time.Second - time.Microsecond)
	if sent, _ := p.deliver(); sent != 0 {
		t.Error("two nodes have one letter")
	}
	p.Move(time.Microsecond)
	if sent, err := p.deliver(); sent != 1 || err != nil {
		t.Errorf("Deliver after the lease = %d, %v", sent, err)
	}
}

// While a node has a letter in its hands no other gets it, as long as it may
// take.
func TestOneNodeHasALetter(t *testing.T) {
	p := newPost(t, nil)
	others := -1
	p.do = func(context.Context, mail.Message) error {
		p.Move(30*time.Second - time.Microsecond)
		p.do = nil
		others, _ = p.deliver()
		return nil
	}
	p.ask(1)
	if sent, err := p.deliver(); sent != 1 || err != nil || others != 0 {
		t.Errorf("Deliver = %d, %v, and another node sent %d meanwhile", sent, err, others)
	}
}

// The store fails after the mail was handed over: it is sent again under its id,
// so that one mail is left, and the link in it works.
func TestTheStoreFailsAfterSending(t *testing.T) {
	p := newPost(t, nil)
	p.ask(1)
	p.Faults.Always("Outbox.Done", house.Down)
	if sent, err := p.deliver(); sent != 1 || !errors.Is(err, fault.Unavailable) {
		t.Fatalf("Deliver = %d, %v", sent, err)
	}
	p.Faults.Always("Outbox.Done", nil)
	p.Move(30 * time.Second)
	if sent, err := p.deliver(); sent != 1 || err != nil {
		t.Fatalf("Deliver = %d, %v", sent, err)
	}
	if p.sent[0].ID != p.sent[1].ID || p.good(p.sent[0]) || !p.good(p.sent[1]) {
		t.Error("the second mail is another one, or its link is not the good one")
	}
}

// What a server answers is kept and logged. It may quote what it refuses, and be
// of any size and shape; the link stays out of it.
func TestWhatIsToldOfFailuresHoldsNoSecret(t *testing.T) {
	p := newPost(t, func(_ context.Context, m mail.Message) error {
		return fmt.Errorf("554 spam: \x00\xff %s %s", m.Text, strings.Repeat("글", 1000))
	})
	p.ask(1)
	_, err := p.deliver()
	tok := house.TokenIn(p.sent[0])
	if err == nil || strings.Contains(err.Error(), tok) {
		t.Errorf("Deliver = %v", err)
	}
	why := p.why[0]
	if strings.Contains(why, tok) || !strings.Contains(why, "554 spam") || len(why) > 500 || !utf8.ValidString(why) || strings.Contains(why, "\x00") {
		t.Errorf("the outbox was told %q", why)
	}
	p.do = func(_ context.Context, m mail.Message) error {
		return fault.New(fault.Invalid, "refused", m.Text)
	}
	p.Move(time.Minute)
	if _, err := p.deliver(); !errors.Is(err, fault.Invalid) || strings.Contains(err.Error(), house.TokenIn(p.sent[1])) || p.waiting() != 0 {
		t.Errorf("Deliver = %v, %d wait", err, p.waiting())
	}
}

// Nobody is written to whose account is gone, or whose link is about an address
// or a time that is over.
func TestWhatIsNotWantedAnyMore(t *testing.T) {
	for name, end := range map[string]func(*post){
		"the account is gone": func(p *post) {
			_ = p.DB.Users().Delete(t.Context(), p.ann.ID(), func(user.User) error { return nil })
		},
		"the address is another": func(p *post) {
			p.Change(p.ann, func(u *user.User) {
				e, _ := user.NewEmail("new@example.com")
				u.ChangeEmail(e, p.Now())
			})
		},
		"the password is another": func(p *post) {
			p.Change(p.ann, func(u *user.User) { u.ChangePassword(user.NewPasswordHash("x"), p.Now()) })
		},
		"the account was disabled": func(p *post) {
			p.Change(p.ann, func(u *user.User) { u.Disable(p.Now()); u.Enable(p.Now()) })
		},
	} {
		for _, call := range []string{"", "Users.Find", "Tickets.Issue"} {
			p := newPost(t, nil)
			p.ask(1)
			if call == "" {
				end(p)
			} else {
				p.Faults.Before(call, func() { end(p) })
			}
			_, err := p.deliver()
			p.Move(time.Hour)
			_, err2 := p.deliver() // a ticket for a user who is gone cannot be made, which is found out now
			if p.count() != 0 || err2 != nil || p.waiting() != 0 {
				t.Errorf("%s (before %q): %d sent, %v, %v, %d wait", name, call, p.count(), err, err2, p.waiting())
			}
		}
	}
}

// Notices are sent whatever became of the account meanwhile, but for its end.
func TestNoticesAreSentAllTheSame(t *testing.T) {
	p := newPost(t, nil)
	r := p.Enter(p.ann)
	if _, err := p.Accounts.ChangePassword(t.Context(), r, accounts.PasswordChange{Current: house.Password, New: "a loud lighthouse"}); err != nil {
		t.Fatal(err)
	}
	p.Change(p.ann, func(u *user.User) { u.Disable(p.Now()) })
	if sent, err := p.deliver(); sent != 1 || err != nil || p.sent[0].To != "ann@example.com" {
		t.Errorf("Deliver = %d, %v", sent, err)
	}
}

// Nobody has us write their words to people whom they have nothing to do with.
func TestNamesAreForVerifiedAddresses(t *testing.T) {
	const hostile = "Win a car at evil.example"
	p := newPost(t, nil)
	rename := func(u *user.User) {
		name, err := user.NewName(hostile)
		if err != nil {
			t.Fatal(err)
		}
		u.Rename(name, p.Now())
	}
	victim := p.AddUnverified("victim@example.com")
	p.Change(victim, rename)
	p.Change(p.ann, rename)
	r, mine := p.Enter(victim), p.Enter(p.ann)
	if err := errors.Join(
		p.Accounts.RequestVerification(t.Context(), r),
		p.Accounts.RequestReset(t.Context(), "victim@example.com"),
		p.Accounts.RequestEmailChange(t.Context(), r, accounts.EmailChange{Email: "another@example.com", Current: house.Password}),
		p.Accounts.RequestEmailChange(t.Context(), mine, accounts.EmailChange{Email: "third@example.com", Current: house.Password}),
	); err != nil {
		t.Fatal(err)
	}
	p.Enter(victim) // on a new device
	if sent, err := p.deliver(); sent != 7 || err != nil {
		t.Fatalf("Deliver = %d, %v, want 7", sent, err)
	}
	for _, m := range p.sent {
		named := strings.Contains(m.Subject+m.Text+m.HTML, "evil.example")
		if want := m.To == "ann@example.com"; named != want {
			t.Errorf("the mail %q to %s holds the name: %t, want %t", m.Subject, m.To, named, want)
		}
	}
}

func TestOutages(t *testing.T) {
	ask := func(h *house.House) {
		h.Add("ann@example.com")
		if err := h.Accounts.RequestReset(t.Context(), "ann@example.com"); err != nil {
			t.Fatal(err)
		}
	}
	house.Walk(t, map[string]house.Outage{
		"deliver": {Act: func(h *house.House) func() error {
			ask(h)
			return func() error { _, err := h.Mailing.Deliver(t.Context()); return err }
		}},
		"deliver nothing": {Act: func(h *house.House) func() error {
			return func() error { _, err := h.Mailing.Deliver(t.Context()); return err }
		}},
	})
	// Whatever failed, the letter comes, and its link works.
	for n := 1; n < 8; n++ {
		for _, late := range []bool{false, true} {
			h := house.New(t, house.Options{})
			ask(h)
			h.Faults.Fail(n, late)
			_, _ = h.Mailing.Deliver(t.Context())
			h.Faults.Fail(0, false)
			h.Move(time.Minute)
			if _, err := h.Mailing.Deliver(t.Context()); err != nil {
				t.Errorf("after call %d failed, late %t: %v", n, late, err)
			}
			mails := h.Mailbox.Messages()
			if len(mails) != 1 {
				t.Fatalf("after call %d failed, late %t: %d mails", n, late, len(mails))
			}
			tok, _ := secret.ParseToken(house.TokenIn(mails[0]))
			if _, err := h.DB.Tickets().Find(t.Context(), tok.Key(), h.Now()); errors.Is(err, ticket.ErrInvalid) {
				t.Errorf("after call %d failed, late %t: the link in the mail is not good", n, late)
			}
		}
	}
}
