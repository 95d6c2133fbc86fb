package portstest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/idempotency"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// answers is a store of answers in which what is not nil stands in for a method.
type answers struct {
	ports.IdempotencyRepository
	find  func(context.Context, idempotency.ID, time.Time) (idempotency.Kept, error)
	prune func(context.Context, time.Time, int) (int, error)
}

func (s answers) Find(ctx context.Context, id idempotency.ID, now time.Time) (idempotency.Kept, error) {
	if s.find == nil {
		return s.IdempotencyRepository.Find(ctx, id, now)
	}
	return s.find(ctx, id, now)
}

func (s answers) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	if s.prune == nil {
		return s.IdempotencyRepository.Prune(ctx, now, limit)
	}
	return s.prune(ctx, now, limit)
}

func answerMutant(check, fault string, f func(r ports.IdempotencyRepository) answers) mutant[RecordStores] {
	return recordMutant(check, fault, func(s *RecordStores) {
		m := f(s.Answers)
		m.IdempotencyRepository = s.Answers
		s.Answers = m
	})
}

// finding makes a store that alters what it finds.
func finding(alter func(k *idempotency.Kept)) func(ports.IdempotencyRepository) answers {
	return func(r ports.IdempotencyRepository) answers {
		return answers{find: func(ctx context.Context, id idempotency.ID, now time.Time) (idempotency.Kept, error) {
			k, err := r.Find(ctx, id, now)
			alter(&k)
			return k, err
		}}
	}
}

// otherProducts is a mutant whose new products are otherwise.
func otherProducts(check, fault string, add func(s RecordStores) func(context.Context, product.Product, ...*ports.Along) error) mutant[RecordStores] {
	return recordMutant(check, fault, func(s *RecordStores) { s.Products = addingOtherwise{s.Products, add(*s)} })
}

type addingOtherwise struct {
	ports.ProductRepository
	add func(context.Context, product.Product, ...*ports.Along) error
}

func (s addingOtherwise) Add(ctx context.Context, p product.Product, with ...*ports.Along) error {
	return s.add(ctx, p, with...)
}

// keepThen keeps answers by themselves, with a change of nothing.
func keepThen(ctx context.Context, s RecordStores, with []*ports.Along) error {
	for _, k := range joinedAlong(with).Answers {
		_, err := s.Users.Update(ctx, k.Caller, func(*user.User) error { return nil }, &ports.Along{Answers: []idempotency.Kept{k}})
		if err != nil {
			return err
		}
	}
	return nil
}

// keepWhatFails keeps the answers of a change that failed.
func keepWhatFails(s RecordStores) around {
	return func(ctx context.Context, do act, with []*ports.Along) error {
		err := do(ctx, with...)
		if err != nil {
			_ = keepThen(deaf(ctx), s, with)
		}
		return err
	}
}

var answerMutants = []mutant[RecordStores]{
	answerMutant("every field is kept", "cuts long answers", finding(func(k *idempotency.Kept) { k.Answer = k.Answer[:min(len(k.Answer), 65_535)] })),
	answerMutant("every field is kept", "keeps seconds", finding(func(k *idempotency.Kept) { k.At = k.At.Truncate(time.Second) })),
	answerMutant("every field is kept", "forgets the request", finding(func(k *idempotency.Kept) { k.Request = idempotency.Digest{} })),
	answerMutant("every field is kept", "gives nil for an empty answer", finding(func(k *idempotency.Kept) {
		if len(k.Answer) == 0 {
			k.Answer = nil
		}
	})),
	answerMutant("what was never kept is none", "gives a zero answer", func(r ports.IdempotencyRepository) answers {
		return answers{find: func(ctx context.Context, id idempotency.ID, now time.Time) (idempotency.Kept, error) {
			k, err := r.Find(ctx, id, now)
			if errors.Is(err, fault.NotFound) {
				return k, nil
			}
			return k, err
		}}
	}),
	answerMutant("an answer is good until its end", "gives it for ever", func(r ports.IdempotencyRepository) answers {
		return answers{find: func(ctx context.Context, id idempotency.ID, _ time.Time) (idempotency.Kept, error) {
			return r.Find(ctx, id, longAgo)
		}}
	}),
	answerMutant("an answer is good until its end", "gives it a microsecond longer", func(r ports.IdempotencyRepository) answers {
		return answers{find: func(ctx context.Context, id idempotency.ID, now time.Time) (idempotency.Kept, error) {
			return r.Find(ctx, id, now.Add(-time.Microsecond))
		}}
	}),
	handing("it is kept with every change", "forgets answers", func(a *ports.Along) { a.Answers = nil }),
	handing("it is kept with every change", "keeps one alone", func(a *ports.Along) { a.Answers = a.Answers[:min(len(a.Answers), 1)] }),
	everyChange("a refused change keeps none", "keeps it all the same", keepWhatFails),
	otherProducts("a taken id keeps nothing of the change", "adds the product first", func(s RecordStores) func(context.Context, product.Product, ...*ports.Along) error {
		return func(ctx context.Context, p product.Product, with ...*ports.Along) error {
			if err := s.Products.Add(ctx, p); err != nil {
				return err
			}
			return keepThen(ctx, s, with)
		}
	}),
	everyChange("a taken id keeps nothing of the change", "says nothing, and does it without", func(RecordStores) around {
		return func(ctx context.Context, do act, with []*ports.Along) error {
			err := do(ctx, with...)
			if errors.Is(err, idempotency.ErrTaken) {
				a := joinedAlong(with)
				a.Answers = nil
				return do(ctx, &a)
			}
			return err
		}
	}),
	everyChange("a taken id keeps nothing of the change", "keeps the other answers", keepWhatFails),
	otherProducts("what is good no longer makes room", "keeps its place for ever", func(s RecordStores) func(context.Context, product.Product, ...*ports.Along) error {
		return func(ctx context.Context, p product.Product, with ...*ports.Along) error {
			for _, k := range joinedAlong(with).Answers {
				if _, err := s.Answers.Find(ctx, k.ID, longAgo); err == nil {
					return idempotency.ErrTaken
				}
			}
			return s.Products.Add(ctx, p, with...)
		}
	}),
	answerMutant("what is good no longer makes room", "gives the old one", func(r ports.IdempotencyRepository) answers {
		var first kept[idempotency.Kept]
		return answers{find: func(ctx context.Context, id idempotency.ID, _ time.Time) (idempotency.Kept, error) {
			return first.first(func() (idempotency.Kept, error) {
				k, err := r.Find(ctx, id, longAgo)
				k.Caller = user.ID{}
				return k, err
			})
		}}
	}),
	otherProducts("of many who do one thing at once one does", "looks first and keeps then", func(s RecordStores) func(context.Context, product.Product, ...*ports.Along) error {
		both := meet()
		return func(ctx context.Context, p product.Product, with ...*ports.Along) error {
			for _, k := range joinedAlong(with).Answers {
				if _, err := s.Answers.Find(ctx, k.ID, k.At); err == nil {
					return idempotency.ErrTaken
				}
			}
			both()
			_ = s.Products.Add(ctx, p)
			_ = keepThen(ctx, s, with)
			return nil
		}
	}),
	otherProducts("an answer to nobody keeps nothing of the change", "passes such an answer over", func(s RecordStores) func(context.Context, product.Product, ...*ports.Along) error {
		return func(ctx context.Context, p product.Product, with ...*ports.Along) error {
			a := joinedAlong(with)
			a.Answers = slices.DeleteFunc(slices.Clone(a.Answers), func(k idempotency.Kept) bool {
				return second(s.Users.Find(ctx, k.Caller)) != nil
			})
			return s.Products.Add(ctx, p, &a)
		}
	}),
	recordMutant("a record brings none", "keeps what a record brings", func(s *RecordStores) { s.Ledger = keepingLedger{s.Ledger, *s} }),
	recordMutant("answers go with their caller", "keeps answers of who is gone", func(s *RecordStores) {
		r, all := s.Answers, sync.Map{}
		s.Answers = answers{IdempotencyRepository: r, find: func(ctx context.Context, id idempotency.ID, now time.Time) (idempotency.Kept, error) {
			k, _ := all.Load(id)
			known, _ := k.(idempotency.Kept)
			return known, nil
		}}
		s.Products = addingOtherwise{s.Products, func(p ports.ProductRepository) func(context.Context, product.Product, ...*ports.Along) error {
			return func(ctx context.Context, one product.Product, with ...*ports.Along) error {
				for _, k := range joinedAlong(with).Answers {
					all.Store(k.ID, k)
				}
				return p.Add(ctx, one, with...)
			}
		}(s.Products)}
	}),
	answerMutant("prunes what is good no longer", "prunes what is good", func(r ports.IdempotencyRepository) answers {
		return answers{prune: func(ctx context.Context, now time.Time, limit int) (int, error) {
			return r.Prune(ctx, now.Add(time.Second), limit)
		}}
	}),
	answerMutant("prunes what is good no longer", "knows no limit", func(r ports.IdempotencyRepository) answers {
		return answers{prune: func(ctx context.Context, now time.Time, _ int) (int, error) { return r.Prune(ctx, now, 100) }}
	}),
	answerMutant("nothing handed in or out is shared", "hands out one for all", func(r ports.IdempotencyRepository) answers {
		var first kept[idempotency.Kept]
		return answers{find: func(ctx context.Context, id idempotency.ID, now time.Time) (idempotency.Kept, error) {
			return first.first(func() (idempotency.Kept, error) { return r.Find(ctx, id, now) })
		}}
	}),
	answerMutant("a cancelled context is an outage", "says that there is none", func(r ports.IdempotencyRepository) answers {
		return answers{find: func(ctx context.Context, id idempotency.ID, now time.Time) (idempotency.Kept, error) {
			k, err := r.Find(ctx, id, now)
			if ctx.Err() != nil {
				return k, idempotency.ErrNone
			}
			return k, err
		}}
	}),
	everyChange("a cancelled context is an outage", "does not look at it", func(RecordStores) around {
		return func(ctx context.Context, do act, with []*ports.Along) error { return do(deaf(ctx), with...) }
	}),
}

// keepingLedger keeps the answers that a record brings.
type keepingLedger struct {
	ports.Ledger
	stores RecordStores
}

func (l keepingLedger) Record(ctx context.Context, a ports.Along) error {
	if err := keepThen(ctx, l.stores, []*ports.Along{&a}); err != nil {
		return err
	}
	return l.Ledger.Record(ctx, a)
}
