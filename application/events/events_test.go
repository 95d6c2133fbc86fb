package events_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/application/events"
	"gatehouse/application/products"
	"gatehouse/domain/access"
	"gatehouse/domain/mail"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
	"gatehouse/tests/house"
)

// heard is what a subscriber was told, and what it does with it.
type heard struct {
	mu     sync.Mutex
	events []product.Event
	handle func(context.Context, product.Event, *events.Desk) error
}

func (h *heard) hear(ctx context.Context, e product.Event, d *events.Desk) error {
	h.mu.Lock()
	h.events = append(h.events, e)
	handle := h.handle
	h.mu.Unlock()
	if handle == nil {
		return nil
	}
	return handle(ctx, e, d)
}

// take gives what was heard since it was called last, as kinds and versions.
func (h *heard) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []string
	for _, e := range h.events {
		list = append(list, fmt.Sprintf("%s %d", strings.TrimPrefix(e.Kind.String(), "product."), e.Product().Version()))
	}
	h.events = nil
	return strings.Join(list, ", ")
}

// shop is a house with subscribers.
type shop struct {
	*house.House
	events *events.Service
	ann    access.Actor
}

func open(t *testing.T, subscribers ...events.Subscriber) *shop {
	t.Helper()
	h := house.New(t, house.Options{Subscribers: subscribers})
	return &shop{House: h, ann: h.Actor("ann@example.com"), events: h.Telling}
}

func (s *shop) create(t *testing.T, d product.Draft) product.ID {
	t.Helper()
	d.Name, d.Amount, d.Currency = "Lamp", 1, "KRW"
	p, err := s.Products.Create(t.Context(), s.ann, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p.ID()
}

func (s *shop) change(t *testing.T, id product.ID, c product.Change) {
	t.Helper()
	if _, err := s.Products.Update(t.Context(), s.ann, id, products.Edit{Change: c}); err != nil {
		t.Fatal(err)
	}
}

func stock(n int64) product.Change      { return product.Change{Stock: &n} }
func status(name string) product.Change { return product.Change{Status: &name} }
func (s *shop) deliver(t *testing.T, name string) events.Report {
	t.Helper()
	r, err := s.events.Deliver(t.Context(), name)
	if err != nil {
		t.Fatalf("Deliver(%s) = %v", name, err)
	}
	return r
}

// Everybody is told of what they want to be told, once, and in order.
func TestSubscribersAreTold(t *testing.T) {
	all, some := &heard{}, &heard{}
	s := open(t, events.Subscriber{Name: "all", Handle: all.hear},
		events.Subscriber{Name: "some", To: []product.EventKind{product.StockReachedZero, product.Deleted}, Handle: some.hear})
	id := s.create(t, product.Draft{Stock: 2})
	s.change(t, id, status("published"))
	s.change(t, id, stock(0))
	s.change(t, id, product.Change{})
	if err := s.Products.Delete(t.Context(), s.ann, id, nil); err != nil {
		t.Fatal(err)
	}
	if got := all.take() + some.take(); got != "" {
		t.Errorf("before anything is delivered they heard %s", got)
	}
	if r := s.deliver(t, "all"); r.Told != 6 || len(r.Failed)+len(r.Buried) != 0 {
		t.Errorf("Deliver = %+v, want 6 told", r)
	}
	s.deliver(t, "some")
	if got, want := all.take(), "created 1, changed 2, published 2, changed 3, stock_reached_zero 3, deleted 3"; got != want {
		t.Errorf("one heard %s, want %s", got, want)
	}
	if got, want := some.take(), "stock_reached_zero 3, deleted 3"; got != want {
		t.Errorf("the other heard %s, want %s", got, want)
	}
	if s.deliver(t, "all").Told+s.deliver(t, "some").Told != 0 {
		t.Error("they are told again of what they have dealt with")
	}
	if _, err := s.events.Deliver(t.Context(), "nobody"); err == nil {
		t.Error("Deliver to nobody = nil")
	}
}

// What is told says who did it, when, and what the product was; each event has an
// id, which is the same for all who are told of it.
func TestWhatIsTold(t *testing.T) {
	one, other := &heard{}, &heard{}
	s := open(t, events.Subscriber{Name: "one", Handle: one.hear}, events.Subscriber{Name: "other", Handle: other.hear})
	id := s.create(t, product.Draft{Stock: 2})
	s.Move(time.Minute)
	s.change(t, id, stock(1))
	s.deliver(t, "one")
	s.deliver(t, "other")
	if len(one.events) != 2 || len(other.events) != 2 {
		t.Fatalf("they heard %d and %d events, want 2 each", len(one.events), len(other.events))
	}
	made, changed := one.events[0], one.events[1]
	if made.Before != nil || made.After.Stock() != 2 || made.By != s.ann.ID() || !made.At.Equal(house.Noon) {
		t.Errorf("of the new product it heard %+v", made)
	}
	if changed.Before.Stock() != 2 || changed.After.Stock() != 1 || changed.After.ID() != id || !changed.At.Equal(house.Noon.Add(time.Minute)) {
		t.Errorf("of the change it heard %+v", changed)
	}
	if made.ID.IsZero() || made.ID == changed.ID || other.events[0].ID != made.ID || other.events[1].ID != changed.ID {
		t.Errorf("ids %s and %s, for the other %s and %s", made.ID, changed.ID, other.events[0].ID, other.events[1].ID)
	}
}

// Where nobody wants to be told nothing is kept, and a product that was refused
// or could not be written has told of nothing.
func TestNothingIsToldOfNothing(t *testing.T) {
	all := &heard{}
	s := open(t, events.Subscriber{Name: "all", Handle: all.hear}, events.Subscriber{Name: "deletions", To: []product.EventKind{product.Deleted}, Handle: all.hear})
	waiting := func() int {
		list, err := s.DB.Events().Backlogs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, b := range list {
			n += b.Waiting
		}
		return n
	}
	refusal := product.Refuse("/stock", "no", "")
	s.Products.Rules = []product.Rule{func(product.Transition) error { return refusal }}
	if _, err := s.Products.Create(t.Context(), s.ann, product.Draft{Name: "Lamp", Currency: "KRW"}, nil); err == nil {
		t.Fatal("the rule let it pass")
	}
	s.Products.Rules = nil
	s.Faults.Fail(2, false)
	if _, err := s.Products.Create(t.Context(), s.ann, product.Draft{Name: "Lamp", Currency: "KRW"}, nil); err == nil {
		t.Fatal("the store did not fail")
	}
	s.Faults.Fail(0, false)
	if n := waiting(); n != 0 {
		t.Errorf("%d events of what has not happened", n)
	}
	id := s.create(t, product.Draft{})
	if n := waiting(); n != 1 {
		t.Errorf("%d events wait, want 1: the other subscriber has not asked for it", n)
	}
	s.Products.Subscribers = nil
	s.change(t, id, stock(5))
	if n := waiting(); n != 1 {
		t.Errorf("%d events wait where nobody subscribes, want 1 as before", n)
	}
}

// One that fails is told again, of this first and of nothing else of that product
// meanwhile, after pauses that grow; others are told in time. After so many
// attempts the event is set aside, and what comes after it is told.
func TestAFailingSubscriber(t *testing.T) {
	bad, good := &heard{}, &heard{}
	s := open(t, events.Subscriber{Name: "bad", Handle: bad.hear}, events.Subscriber{Name: "good", Handle: good.hear})
	broken, fine := s.create(t, product.Draft{Stock: 1}), s.create(t, product.Draft{Stock: 1})
	s.change(t, broken, stock(2))
	s.change(t, fine, stock(2))
	tries := 0
	bad.handle = func(_ context.Context, e product.Event, _ *events.Desk) error {
		if e.Kind == product.Created && e.After.ID() == broken {
			tries++
			if tries%2 == 0 {
				panic("what it cannot bear")
			}
			return errors.New("it does not like this one")
		}
		return nil
	}
	first := s.deliver(t, "bad")
	if first.Told != 2 || len(first.Failed) != 1 || first.Failed[0].Attempt != 1 || !strings.Contains(first.Failed[0].String(), "it does not like") {
		t.Errorf("Deliver = %+v, want 2 told and 1 failed", first)
	}
	if got, want := bad.take(), "created 1, created 1, changed 2"; got != want {
		t.Errorf("the bad one heard %s, want %s", got, want)
	}
	if r := s.deliver(t, "good"); r.Told != 4 {
		t.Errorf("the good one was told of %d, want 4", r.Told)
	}
	var passed time.Duration
	for attempt := 2; attempt <= events.MaxAttempts; attempt++ {
		if r := s.deliver(t, "bad"); r.Told+len(r.Failed)+len(r.Buried) != 0 {
			t.Fatalf("attempt %d comes without a pause: %+v", attempt, r)
		}
		pause := 2 * time.Second << min(attempt-2, 10)
		pause = min(pause, 15*time.Minute)
		s.Move(pause)
		passed += pause
		r := s.deliver(t, "bad")
		if attempt < events.MaxAttempts && (len(r.Failed) != 1 || r.Failed[0].Attempt != attempt || r.Told != 0) {
			t.Fatalf("attempt %d: %+v, want one that failed", attempt, r)
		}
		if attempt == events.MaxAttempts && (len(r.Buried) != 1 || r.Told != 1) {
			t.Fatalf("the last attempt: %+v, want one set aside, and the next one told", r)
		}
	}
	if tries != events.MaxAttempts {
		t.Errorf("%d attempts, want %d", tries, events.MaxAttempts)
	}
	doubts, err := s.events.Doubts(t.Context())
	if err != nil || len(doubts) != 1 || doubts[0].Subscriber != "bad" || doubts[0].Buried != 1 || doubts[0].Waiting != 0 {
		t.Errorf("Doubts = %+v, %v, want one of bad", doubts, err)
	}
	s.Move(events.BuriedKept)
	if n, err := s.events.Prune(t.Context()); n != 0 || err != nil {
		t.Errorf("Prune = %d, %v, want 0: it is not older yet", n, err)
	}
	s.Move(time.Second)
	if n, err := s.events.Prune(t.Context()); n != 1 || err != nil {
		t.Errorf("Prune = %d, %v, want 1", n, err)
	}
}

// What waits for a subscriber that nobody is stays, and is told of.
func TestSubscribersThatAreNot(t *testing.T) {
	one := &heard{}
	s := open(t, events.Subscriber{Name: "one", Handle: one.hear})
	s.create(t, product.Draft{})
	s.events.Subscribers = nil
	doubts, err := s.events.Doubts(t.Context())
	if err != nil || len(doubts) != 1 || doubts[0].Subscriber != "one" || doubts[0].Waiting != 1 {
		t.Errorf("Doubts = %+v, %v, want one", doubts, err)
	}
}

// A mail that is left is sent once, though its event is told twice: when the
// store fails at the note that it was told, or answers too late.
func TestMailIsSentOnce(t *testing.T) {
	for _, c := range []struct {
		what string
		late bool
	}{{"the note was not made", false}, {"the note was made", true}} {
		t.Run(c.what, func(t *testing.T) {
			one := &heard{handle: func(ctx context.Context, e product.Event, d *events.Desk) error {
				return d.Mail(ctx, e.After.OwnerID(), events.Note{Subject: "Sold\nout", Text: "None of " + e.After.Name() + " is left.\n\nOffer more."})
			}}
			s := open(t, events.Subscriber{Name: "one", To: []product.EventKind{product.StockReachedZero}, Handle: one.hear})
			q := &flaky{EventQueue: s.DB.Events(), late: c.late}
			s.events.Queue = q
			s.change(t, s.create(t, product.Draft{Stock: 1}), stock(0))
			s.deliver(t, "one")
			s.Move(time.Minute)
			s.deliver(t, "one")
			mails := s.Deliver()
			if len(mails) != 1 || mails[0].To != "ann@example.com" || mails[0].Subject != "Sold out (shop.example.com)" ||
				!strings.Contains(mails[0].Text, "None of Lamp is left.") || !strings.Contains(mails[0].Text, "\nOffer more.") {
				t.Errorf("the mails are %+v", mails)
			}
			if want := map[bool]int{false: 2, true: 1}[c.late]; len(one.events) != want {
				t.Errorf("it was told %d times, want %d", len(one.events), want)
			}
		})
	}
}

// flaky fails once at Done.
type flaky struct {
	ports.EventQueue
	late, failed bool
}

func (q *flaky) Done(ctx context.Context, d product.Delivery, with ...*ports.Along) error {
	if q.failed {
		return q.EventQueue.Done(ctx, d, with...)
	}
	q.failed = true
	if q.late {
		_ = q.EventQueue.Done(ctx, d, with...)
	}
	return house.Down
}

// Who fails has left nothing; and nobody gets mail who has not shown that the
// address is theirs.
func TestWhoGetsMail(t *testing.T) {
	var to user.ID
	fails := true
	one := &heard{handle: func(ctx context.Context, _ product.Event, d *events.Desk) error {
		err := d.Mail(ctx, to, events.Note{Subject: "News", Text: "There is some.", Language: mail.Korean})
		if fails {
			return errors.New("after all, no")
		}
		return err
	}}
	s := open(t, events.Subscriber{Name: "one", Handle: one.hear})
	tell := func() []mail.Message {
		s.create(t, product.Draft{})
		s.deliver(t, "one")
		return s.Deliver()
	}
	verified := s.Add("bob@example.com")
	to = verified.ID()
	if mails := tell(); len(mails) != 0 {
		t.Errorf("one that failed has sent %+v", mails)
	}
	fails = false
	if mails := tell(); len(mails) != 1 || mails[0].To != "bob@example.com" || !strings.Contains(mails[0].Text, "안녕하세요") {
		t.Errorf("bob got %+v", mails)
	}
	stranger := s.AddUnverified("eve@example.com")
	s.Change(verified, func(u *user.User) { u.Disable(s.Now()) })
	for what, id := range map[string]user.ID{"whose address is not verified": stranger.ID(), "who is disabled": verified.ID(), "who is not": {}} {
		to = id
		if mails := tell(); len(mails) != 0 {
			t.Errorf("somebody %s got %+v", what, mails)
		}
	}
}

// A subscriber reads through its desk.
func TestTheDeskReads(t *testing.T) {
	var read []string
	one := &heard{handle: func(ctx context.Context, e product.Event, d *events.Desk) error {
		p, err := d.Product(ctx, e.Product().ID())
		if err != nil {
			return err
		}
		u, err := d.User(ctx, p.OwnerID())
		read = append(read, fmt.Sprint(p.Version(), u.Email()))
		return err
	}}
	s := open(t, events.Subscriber{Name: "one", Handle: one.hear})
	s.change(t, s.create(t, product.Draft{}), stock(3))
	s.deliver(t, "one")
	if want := []string{"2 ann@example.com", "2 ann@example.com"}; !slices.Equal(read, want) {
		t.Errorf("it read %q, want %q: the product as it is now", read, want)
	}
}

// One that hangs holds up its own events, and what it leaves when it comes back
// at last is swept away.
func TestASubscriberThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back, left := make(chan struct{}), make(chan error, 1)
		one := &heard{handle: func(ctx context.Context, e product.Event, d *events.Desk) error {
			<-back // whatever its context says
			left <- d.Mail(context.Background(), e.After.OwnerID(), events.Note{Subject: "Late", Text: "Late."})
			return nil
		}}
		s := open(t, events.Subscriber{Name: "one", Handle: one.hear})
		s.create(t, product.Draft{})
		began := time.Now()
		r := s.deliver(t, "one")
		if took := time.Since(began); took != 20*time.Second || len(r.Failed) != 1 || r.Told != 0 {
			t.Errorf("after %v: %+v, want one that failed after 20 s", took, r)
		}
		close(back)
		if err := <-left; err == nil {
			t.Error("a mail that was left too late was taken")
		}
		if mails := s.Deliver(); len(mails) != 0 {
			t.Errorf("it was sent: %+v", mails)
		}
	})
}

func TestCheckSubscribers(t *testing.T) {
	fine := func(context.Context, product.Event, *events.Desk) error { return nil }
	if err := (events.Subscribers{{Name: "stock-alerts_2", Handle: fine}, {Name: "b", Handle: fine}}).Check(); err != nil {
		t.Errorf("Check = %v, want nil", err)
	}
	for what, bad := range map[string]events.Subscribers{
		"needs a name":      {{Handle: fine}},
		"a name of 1 to":    {{Name: "Stock Alerts", Handle: fine}},
		"to 64":             {{Name: strings.Repeat("a", 65), Handle: fine}},
		"two subscribers":   {{Name: "a", Handle: fine}, {Name: "a", Handle: fine}},
		"nothing to handle": {{Name: "a"}},
		"without a name":    {{Name: "a", Handle: fine, To: []product.EventKind{{}}}},
	} {
		if err := bad.Check(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("Check = %v, want one that says %q", err, what)
		}
	}
}
