// Package events tells subscribers what has happened to products.
//
// A team names its [Subscriber]s in bootstrap/extensions.go. What happens is put
// into a queue (ports.EventQueue) in one step with the change itself, a piece for
// each who wants it, and told after that by [Service.Deliver]: at least once, of
// one product in order, by whichever node comes first. Nobody who changes a
// product waits for it, and a subscriber that fails delays its own events alone.
// Where nobody subscribes nothing is written.
//
// What a subscriber leaves on its [Desk], such as a mail, is kept in one step
// with the note that it was told: though it may be told twice, the mail is sent
// once.
package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/domain/product"
	"gatehouse/ports"
)

// Subscriber is somebody who wants to be told.
type Subscriber struct {
	// Name is what waits for the subscriber is kept under: unique, 1 to 64 of a-z,
	// 0-9, "_" and "-", and the same in every release. What waits under a name
	// that nobody has any more stays, and the log says so.
	Name string
	// To is what it wants to be told of; nothing means everything.
	To []product.EventKind
	// Handle is told of one event. When it returns nil, it is told no more; else,
	// or when it panics or takes longer than 15 seconds, it is told again later,
	// and meanwhile of nothing else that happened to this product. It may be told
	// twice: after a crash, or when it was too slow. It runs beside requests, on
	// any node, and for different products side by side on several.
	Handle func(ctx context.Context, e product.Event, d *Desk) error
}

// wants reports whether it is to be told of events of the kind.
func (s Subscriber) wants(k product.EventKind) bool {
	return len(s.To) == 0 || slices.Contains(s.To, k)
}

// Subscribers are all that there are.
type Subscribers []Subscriber

const maxName = 64

// Check tells what is wrong with them, so that the program does not start.
func (s Subscribers) Check() error {
	var errs []error
	seen := map[string]bool{}
	for i, one := range s {
		switch strange := func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789_-", r) }; {
		case one.Name == "" || len(one.Name) > maxName || strings.ContainsFunc(one.Name, strange):
			errs = append(errs, fmt.Errorf("the subscriber %q needs a name of 1 to %d of a-z, 0-9, \"_\" and \"-\"", one.Name, maxName))
		case seen[one.Name]:
			errs = append(errs, fmt.Errorf("two subscribers are named %q", one.Name))
		case one.Handle == nil:
			errs = append(errs, fmt.Errorf("the subscriber %q has nothing to handle events with", one.Name))
		}
		if slices.Contains(one.To, product.EventKind{}) {
			errs = append(errs, fmt.Errorf("the subscriber %q (the %d. one) wants to be told of an event without a name", one.Name, i+1))
		}
		seen[one.Name] = true
	}
	return errors.Join(errs...)
}

// Deliveries are what the subscribers are to be told of a transition that is made
// now; none where nobody wants to be told.
func (s Subscribers) Deliveries(t product.Transition, random ports.Random, now time.Time) (list []product.Delivery) {
	if len(s) == 0 {
		return nil
	}
	for _, kind := range product.Events(t) {
		e := product.Event{Kind: kind, Before: own(t.Before), After: own(t.After), By: t.By, At: now}
		for _, one := range s {
			if !one.wants(kind) {
				continue
			}
			if e.ID.IsZero() {
				e.ID = random.ID(now)
			}
			list = append(list, product.Delivery{ID: random.ID(now), Subscriber: one.Name, Event: e})
		}
	}
	return list
}

func own(p *product.Product) *product.Product {
	if p == nil {
		return nil
	}
	copied := *p
	return &copied
}

// Config is what a [Service] is made of; every field but Subscribers is needed.
type Config struct {
	Subscribers Subscribers
	Queue       ports.EventQueue
	Users       ports.UserRepository
	Products    ports.ProductRepository
	Random      ports.Random
	Now         ports.Clock
}

// Service tells subscribers.
type Service struct{ Config }

// New returns a service over the ports.
func New(c Config) *Service { return &Service{c} }

// How events are told. A claim is longer than all that is done for one takes, so
// that two nodes never have the same in hand; what a node that dies had in hand
// is taken up by another when it is over.
const (
	lease      = handleTime + grace + noteTime
	handleTime = 15 * time.Second // for a subscriber
	grace      = 5 * time.Second  // for one to notice that its time is over
	noteTime   = 10 * time.Second // to note how it came out
	firstPause = time.Second
	lastPause  = 10 * time.Minute
	// MaxAttempts is how often a subscriber is told of an event before that is
	// set aside: over some two hours.
	MaxAttempts = 20
	// BuriedKept is how long what was set aside is kept.
	BuriedKept = 30 * 24 * time.Hour
)

// Report is how telling came out.
type Report struct {
	Told   int
	Buried []Failure // set aside: they are tried no more
	Failed []Failure // tried again later
}

// Failure is an event that a subscriber could not deal with.
type Failure struct {
	product.Delivery
	Err error
}

// String tells of it in the log.
func (f Failure) String() string {
	return fmt.Sprintf("event %s (%s of product %s, attempt %d): %v", f.Event.ID, f.Event.Kind, f.Event.Product().ID(), f.Attempt, f.Err)
}

// Deliver tells the subscriber of all that is due. What it cannot deal with is
// tried again after pauses that double up to ten minutes, and after
// [MaxAttempts] set aside. Many nodes may deliver side by side. The error is
// that the queue could not be asked.
func (s *Service) Deliver(ctx context.Context, name string) (r Report, err error) {
	i := slices.IndexFunc(s.Subscribers, func(one Subscriber) bool { return one.Name == name })
	if i < 0 {
		return r, fmt.Errorf("events: nobody is named %q", name)
	}
	for ctx.Err() == nil {
		claimed, err := s.Queue.Claim(ctx, name, s.Now(), lease, 1)
		if err != nil || len(claimed) == 0 {
			return r, err
		}
		for _, d := range claimed {
			if err := s.deliver(ctx, s.Subscribers[i], d, &r); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// deliver tells of one event, and notes how it came out.
func (s *Service) deliver(ctx context.Context, to Subscriber, d product.Delivery, r *Report) error {
	desk, failed := s.within(ctx, to, d)
	note, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	left := desk.leave()
	if failed == nil {
		failed = s.Queue.Done(note, d, left)
	}
	switch {
	case failed == nil:
		r.Told++
		return nil
	case errors.Is(failed, ports.ErrNotClaimed): // it has come back too late: another has it in hand
		r.Failed = append(r.Failed, Failure{d, failed})
		return nil
	case d.Attempt >= MaxAttempts:
		r.Buried = append(r.Buried, Failure{d, failed})
		return s.Queue.Bury(note, d, s.Now(), failed.Error())
	}
	r.Failed = append(r.Failed, Failure{d, failed})
	return s.Queue.Postpone(note, d, s.Now().Add(s.pause(d.Attempt)), failed.Error())
}

// within lets the subscriber handle the event in the time that there is for it.
// One that does not come back holds up its own events and no others; what it
// leaves on the desk after that is swept away.
func (s *Service) within(ctx context.Context, to Subscriber, d product.Delivery) (*Desk, error) {
	ctx, cancel := context.WithTimeout(ctx, handleTime)
	defer cancel()
	desk := s.desk(d)
	handled := make(chan error, 1)
	go func() { handled <- handle(ctx, to, d.Event, desk) }()
	select {
	case err := <-handled:
		return desk, err
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case err := <-handled:
		return desk, err
	case <-late.C:
		return desk, errors.New("the subscriber has not come back in time")
	}
}

// handle calls the subscriber. A panic is an error of this event.
func handle(ctx context.Context, to Subscriber, e product.Event, desk *Desk) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	e.Before, e.After = own(e.Before), own(e.After)
	return to.Handle(ctx, e, desk)
}

// pause is how long to wait after so many attempts: between half and one and a
// half of what doubles, so that a service that comes back is not met by all at
// once.
func (s *Service) pause(attempt int) time.Duration {
	pause := min(firstPause<<min(max(attempt-1, 0), 20), lastPause)
	random := s.Random.Bytes()
	return pause/2 + pause*time.Duration(random[0])/256
}

// pruneBatch is how many rows one statement of pruning deletes at the most, so
// that nobody waits long for it.
const pruneBatch = 1000

// Prune deletes what was set aside longer ago than [BuriedKept], and returns how
// many.
func (s *Service) Prune(ctx context.Context) (int, error) {
	for total := 0; ; {
		n, err := s.Queue.Prune(ctx, s.Now().Add(-BuriedKept), pruneBatch)
		total += n
		if err != nil || n < pruneBatch {
			return total, err
		}
	}
}

// Doubts are backlogs that somebody should look at: of subscribers that are not
// there, and those in which something was set aside.
func (s *Service) Doubts(ctx context.Context) (doubts []ports.Backlog, err error) {
	all, err := s.Queue.Backlogs(ctx)
	for _, b := range all {
		known := slices.ContainsFunc(s.Subscribers, func(one Subscriber) bool { return one.Name == b.Subscriber })
		if !known || b.Buried > 0 {
			doubts = append(doubts, b)
		}
	}
	return doubts, err
}
