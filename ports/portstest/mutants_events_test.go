package portstest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"gatehouse/domain/product"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// queue is a queue of events in which what is not nil stands in for a method.
type queue struct {
	ports.EventQueue
	claim    func(ctx context.Context, to string, now time.Time, lease time.Duration, limit int) ([]product.Delivery, error)
	done     func(ctx context.Context, d product.Delivery, with ...*ports.Along) error
	postpone func(ctx context.Context, d product.Delivery, until time.Time, why string) error
	bury     func(ctx context.Context, d product.Delivery, at time.Time, why string) error
	backlogs func(ctx context.Context) ([]ports.Backlog, error)
	buried   func(ctx context.Context, to string, limit int) ([]product.Delivery, error)
	prune    func(ctx context.Context, before time.Time, limit int) (int, error)
}

func (q queue) Claim(ctx context.Context, to string, now time.Time, lease time.Duration, limit int) ([]product.Delivery, error) {
	if q.claim == nil {
		return q.EventQueue.Claim(ctx, to, now, lease, limit)
	}
	return q.claim(ctx, to, now, lease, limit)
}

func (q queue) Done(ctx context.Context, d product.Delivery, with ...*ports.Along) error {
	if q.done == nil {
		return q.EventQueue.Done(ctx, d, with...)
	}
	return q.done(ctx, d, with...)
}

func (q queue) Postpone(ctx context.Context, d product.Delivery, until time.Time, why string) error {
	if q.postpone == nil {
		return q.EventQueue.Postpone(ctx, d, until, why)
	}
	return q.postpone(ctx, d, until, why)
}

func (q queue) Bury(ctx context.Context, d product.Delivery, at time.Time, why string) error {
	if q.bury == nil {
		return q.EventQueue.Bury(ctx, d, at, why)
	}
	return q.bury(ctx, d, at, why)
}

func (q queue) Backlogs(ctx context.Context) ([]ports.Backlog, error) {
	if q.backlogs == nil {
		return q.EventQueue.Backlogs(ctx)
	}
	return q.backlogs(ctx)
}

func (q queue) Buried(ctx context.Context, to string, limit int) ([]product.Delivery, error) {
	if q.buried == nil {
		return q.EventQueue.Buried(ctx, to, limit)
	}
	return q.buried(ctx, to, limit)
}

func (q queue) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	if q.prune == nil {
		return q.EventQueue.Prune(ctx, before, limit)
	}
	return q.prune(ctx, before, limit)
}

func queueMutant(check, fault string, f func(s RecordStores) queue) mutant[RecordStores] {
	return recordMutant(check, fault, func(s *RecordStores) {
		q := f(*s)
		q.EventQueue = s.Events
		s.Events = q
	})
}

// claiming makes a queue that alters what is asked of it, and what it gives.
func claimingEvents(ask func(now *time.Time, lease *time.Duration, limit *int), give func([]product.Delivery) []product.Delivery) func(RecordStores) queue {
	return func(s RecordStores) queue {
		return queue{claim: func(ctx context.Context, to string, now time.Time, lease time.Duration, limit int) ([]product.Delivery, error) {
			if ask != nil {
				ask(&now, &lease, &limit)
			}
			list, err := s.Events.Claim(ctx, to, now, lease, limit)
			if give != nil {
				list = give(list)
			}
			return list, err
		}}
	}
}

// each alters every delivery that is given.
func eachEvent(alter func(d *product.Delivery)) func(RecordStores) queue {
	return claimingEvents(nil, func(list []product.Delivery) []product.Delivery {
		for i := range list {
			alter(&list[i])
		}
		return list
	})
}

// scattered is a queue that knows no order: every event is that of a product of
// its own.
type scattered struct {
	ports.Ledger
	mu   sync.Mutex
	real map[uuid.UUID]product.Delivery
}

func (l *scattered) Record(ctx context.Context, a ports.Along) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.Events = slices.Clone(a.Events)
	for i, d := range a.Events {
		l.real[d.ID] = d
		other := func(p *product.Product) *product.Product {
			if p == nil {
				return nil
			}
			q := alterProduct(*p, func(s *product.State) { s.ID = product.ID{UUID: d.ID} })
			return &q
		}
		a.Events[i].Event.Before, a.Events[i].Event.After = other(d.Event.Before), other(d.Event.After)
	}
	return l.Ledger.Record(ctx, a)
}

func withoutOrder(s *RecordStores) {
	l := &scattered{Ledger: s.Ledger, real: map[uuid.UUID]product.Delivery{}}
	r := s.Events
	s.Ledger, s.Events = l, queue{EventQueue: r, claim: func(ctx context.Context, to string, now time.Time, lease time.Duration, limit int) ([]product.Delivery, error) {
		list, err := r.Claim(ctx, to, now, lease, limit)
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, d := range list {
			if real, ok := l.real[d.ID]; ok {
				real.Attempt = d.Attempt
				list[i] = real
			}
		}
		return list, err
	}}
}

var eventMutants = []mutant[RecordStores]{
	queueMutant("every field is kept", "forgets who did it", eachEvent(func(d *product.Delivery) { d.Event.By.UUID = uuid.UUID{} })),
	queueMutant("every field is kept", "keeps seconds", eachEvent(func(d *product.Delivery) { d.Event.At = d.Event.At.Truncate(time.Second) })),
	queueMutant("every field is kept", "forgets what was before", eachEvent(func(d *product.Delivery) { d.Event.Before = nil })),
	queueMutant("every field is kept", "knows one kind", eachEvent(func(d *product.Delivery) { d.Event.Kind = product.Changed })),
	handing("they are kept with every change", "forgets events", func(a *ports.Along) { a.Events = nil }),
	handing("they are kept with every change", "keeps one alone", func(a *ports.Along) { a.Events = a.Events[:min(len(a.Events), 1)] }),
	everyChange("a refused change tells of nothing", "tells of it all the same", func(s RecordStores) around {
		return func(ctx context.Context, do act, with []*ports.Along) error {
			err := do(ctx, with...)
			if err != nil {
				_ = s.Ledger.Record(deaf(ctx), ports.Along{Events: joinedAlong(with).Events})
			}
			return err
		}
	}),
	everyChange("what cannot be kept keeps nothing of the change", "changes first and tells then", func(s RecordStores) around {
		return func(ctx context.Context, do act, with []*ports.Along) error {
			a := joinedAlong(with)
			told := ports.Along{Events: a.Events}
			a.Events = nil
			if err := do(ctx, &a); err != nil {
				return err
			}
			return s.Ledger.Record(ctx, told)
		}
	}),
	queueMutant("the longest due come first", "gives the shortest due first", claimingEvents(nil, func(list []product.Delivery) []product.Delivery {
		slices.Reverse(list)
		return list
	})),
	queueMutant("the longest due come first", "knows no limit", claimingEvents(func(_ *time.Time, _ *time.Duration, limit *int) { *limit = 100 }, nil)),
	queueMutant("the longest due come first", "gives what is due a microsecond later", claimingEvents(func(now *time.Time, _ *time.Duration, _ *int) { *now = now.Add(time.Microsecond) }, nil)),
	queueMutant("the longest due come first", "gives to one what is another's", func(s RecordStores) queue {
		return queue{claim: func(ctx context.Context, to string, now time.Time, lease time.Duration, limit int) ([]product.Delivery, error) {
			list, err := s.Events.Claim(ctx, "another", now, lease, limit)
			if len(list) > 0 || err != nil {
				return list, err
			}
			return s.Events.Claim(ctx, to, now, lease, limit)
		}}
	}),
	recordMutant("of one product they come one by one", "knows no order", withoutOrder),
	recordMutant("claimers at once get different ones", "knows no order", withoutOrder),
	queueMutant("claimers at once get different ones", "gives out one twice", func(s RecordStores) queue {
		var mu sync.Mutex
		var given []product.Delivery
		return queue{claim: func(ctx context.Context, to string, now time.Time, lease time.Duration, limit int) ([]product.Delivery, error) {
			list, err := s.Events.Claim(ctx, to, now, lease, limit)
			mu.Lock()
			defer mu.Unlock()
			if given == nil {
				given = list
			} else if len(list) == 0 {
				list, given = given, []product.Delivery{}
			}
			return list, err
		}}
	}),
	queueMutant("what is claimed is due again after its lease", "gives it away for ever", claimingEvents(func(_ *time.Time, lease *time.Duration, _ *int) { *lease = 1000 * time.Hour }, nil)),
	queueMutant("what is claimed is due again after its lease", "gives it away for a moment", claimingEvents(func(_ *time.Time, lease *time.Duration, _ *int) { *lease = time.Second }, nil)),
	queueMutant("what is claimed is due again after its lease", "counts no attempts", eachEvent(func(d *product.Delivery) { d.Attempt = 1 })),
	queueMutant("what is done is gone, and keeps what goes along", "keeps nothing of it", func(s RecordStores) queue {
		return queue{done: func(ctx context.Context, d product.Delivery, _ ...*ports.Along) error { return s.Events.Done(ctx, d) }}
	}),
	queueMutant("what is done is gone, and keeps what goes along", "does it first and keeps then", func(s RecordStores) queue {
		return queue{done: func(ctx context.Context, d product.Delivery, with ...*ports.Along) error {
			if err := s.Events.Done(ctx, d); err != nil {
				return err
			}
			return s.note(ctx, with)
		}}
	}),
	queueMutant("what is done is gone, and keeps what goes along", "does not delete it", func(s RecordStores) queue {
		return queue{done: func(ctx context.Context, d product.Delivery, with ...*ports.Along) error { return s.note(ctx, with) }}
	}),
	queueMutant("who has lost a claim keeps nothing", "keeps it first", func(s RecordStores) queue {
		return queue{done: func(ctx context.Context, d product.Delivery, with ...*ports.Along) error {
			if err := s.note(ctx, with); err != nil {
				return err
			}
			return s.Events.Done(ctx, d)
		}}
	}),
	queueMutant("who has lost a claim keeps nothing", "does not look who has it", func(s RecordStores) queue {
		return queue{done: func(ctx context.Context, d product.Delivery, with ...*ports.Along) error {
			err := s.Events.Done(ctx, d, with...)
			if errors.Is(err, ports.ErrNotClaimed) {
				d.Attempt++
				return s.Events.Done(ctx, d, with...)
			}
			return err
		}}
	}),
	queueMutant("who has lost a claim keeps nothing", "postpones what is another's", func(s RecordStores) queue {
		return queue{postpone: func(ctx context.Context, d product.Delivery, until time.Time, why string) error {
			d.Attempt++
			return s.Events.Postpone(ctx, d, until, why)
		}}
	}),
	queueMutant("who has lost a claim keeps nothing", "buries what is another's", func(s RecordStores) queue {
		return queue{bury: func(ctx context.Context, d product.Delivery, at time.Time, why string) error {
			d.Attempt++
			return s.Events.Bury(ctx, d, at, why)
		}}
	}),
	queueMutant("what is postponed comes later", "postpones nothing", func(RecordStores) queue {
		return queue{postpone: func(context.Context, product.Delivery, time.Time, string) error { return nil }}
	}),
	queueMutant("what is postponed comes later", "takes text alone", func(s RecordStores) queue {
		return queue{postpone: func(ctx context.Context, d product.Delivery, until time.Time, why string) error {
			if slices.Contains([]byte(why), 0) {
				return errors.New("no text")
			}
			return s.Events.Postpone(ctx, d, until, why)
		}}
	}),
	queueMutant("what is buried comes no more", "postpones it", func(s RecordStores) queue {
		return queue{bury: func(ctx context.Context, d product.Delivery, at time.Time, why string) error {
			return s.Events.Postpone(ctx, d, at, why)
		}}
	}),
	queueMutant("what is buried comes no more", "deletes it", func(s RecordStores) queue {
		return queue{bury: func(ctx context.Context, d product.Delivery, _ time.Time, _ string) error {
			return s.Events.Done(ctx, d)
		}}
	}),
	queueMutant("what is buried comes no more", "lists it without a limit", func(s RecordStores) queue {
		return queue{buried: func(ctx context.Context, to string, _ int) ([]product.Delivery, error) {
			return s.Events.Buried(ctx, to, 100)
		}}
	}),
	queueMutant("counts what there is", "counts what is buried as waiting", func(s RecordStores) queue {
		return queue{backlogs: func(ctx context.Context) ([]ports.Backlog, error) {
			list, err := s.Events.Backlogs(ctx)
			for i := range list {
				list[i].Waiting += list[i].Buried
			}
			return list, err
		}}
	}),
	queueMutant("counts what there is", "forgets since when", func(s RecordStores) queue {
		return queue{backlogs: func(ctx context.Context) ([]ports.Backlog, error) {
			list, err := s.Events.Backlogs(ctx)
			for i := range list {
				list[i].Since = time.Time{}
			}
			return list, err
		}}
	}),
	recordMutant("they go with the owner", "keeps those of who has gone", func(s *RecordStores) {
		var kept []product.Delivery
		l, r := s.Ledger, s.Events
		s.Ledger = recordingLedger{l, func(a ports.Along) { kept = append(kept, a.Events...) }}
		s.Events = queue{EventQueue: r, claim: func(context.Context, string, time.Time, time.Duration, int) ([]product.Delivery, error) {
			for i := range kept {
				kept[i].Attempt++
			}
			return kept, nil
		}}
	}),
	queueMutant("prunes what was buried long ago", "prunes what was buried just then", func(s RecordStores) queue {
		return queue{prune: func(ctx context.Context, before time.Time, limit int) (int, error) {
			return s.Events.Prune(ctx, before.Add(time.Microsecond), limit)
		}}
	}),
	queueMutant("prunes what was buried long ago", "knows no limit", func(s RecordStores) queue {
		return queue{prune: func(ctx context.Context, before time.Time, _ int) (int, error) {
			return s.Events.Prune(ctx, before, 100)
		}}
	}),
	queueMutant("nothing handed in or out is shared", "hands out one for all", func(s RecordStores) queue {
		var first *product.Product
		return queue{claim: func(ctx context.Context, to string, now time.Time, lease time.Duration, limit int) ([]product.Delivery, error) {
			list, err := s.Events.Claim(ctx, to, now, lease, limit)
			if len(list) == 1 && first == nil {
				first = list[0].Event.After
			} else if len(list) == 1 {
				list[0].Event.After = first
			}
			return list, err
		}}
	}),
	queueMutant("a cancelled context is an outage", "gives nothing then", func(s RecordStores) queue {
		return queue{claim: func(ctx context.Context, to string, now time.Time, lease time.Duration, limit int) ([]product.Delivery, error) {
			if ctx.Err() != nil {
				return nil, nil
			}
			return s.Events.Claim(ctx, to, now, lease, limit)
		}}
	}),
	queueMutant("a cancelled context is an outage", "says that another has it", func(s RecordStores) queue {
		return queue{done: func(ctx context.Context, d product.Delivery, with ...*ports.Along) error {
			if ctx.Err() != nil {
				return ports.ErrNotClaimed
			}
			return s.Events.Done(ctx, d, with...)
		}}
	}),
}

// recordingLedger tells what it is given.
type recordingLedger struct {
	ports.Ledger
	tell func(ports.Along)
}

func (l recordingLedger) Record(ctx context.Context, a ports.Along) error {
	l.tell(a)
	return l.Ledger.Record(ctx, a)
}
