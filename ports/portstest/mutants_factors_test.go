package portstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gatehouse/domain/factor"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// factors is a repository with some of its methods replaced.
type factors struct {
	ports.FactorRepository
	find   func(context.Context, user.ID) (factor.Factor, error)
	update func(context.Context, user.ID, func(*factor.Factor) error, ...*ports.Along) (factor.Factor, error)
}

func (s factors) Find(ctx context.Context, id user.ID) (factor.Factor, error) {
	if s.find == nil {
		return s.FactorRepository.Find(ctx, id)
	}
	return s.find(ctx, id)
}

func (s factors) Update(ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
	if s.update == nil {
		return s.FactorRepository.Update(ctx, id, change, with...)
	}
	return s.update(ctx, id, change, with...)
}

func factorMutant(check, fault string, f func(r ports.FactorRepository) factors) mutant[RecordStores] {
	return recordMutant(check, fault, func(s *RecordStores) {
		m := f(s.Factors)
		m.FactorRepository = s.Factors
		s.Factors = m
	})
}

// updatingFactors makes a repository that updates in another way.
func updatingFactors(f func(r ports.FactorRepository, ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error)) func(ports.FactorRepository) factors {
	return func(r ports.FactorRepository) factors {
		return factors{update: func(ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
			return f(r, ctx, id, change, with...)
		}}
	}
}

// keepingFactors makes a repository that alters what it keeps: before is what
// there was.
func keepingFactors(alter func(now *factor.State, before factor.State)) func(ports.FactorRepository) factors {
	return updatingFactors(func(r ports.FactorRepository, ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
		var told factor.Factor
		_, err := r.Update(ctx, id, func(f *factor.Factor) error {
			before := f.State()
			err := change(f)
			told = *f
			state := f.State()
			alter(&state, before)
			*f = factor.Restore(state)
			return err
		}, with...)
		return told, err
	})
}

// lookFirst lets two read before either writes.
func lookFirst(r ports.FactorRepository) factors {
	both := meet()
	return factors{update: func(ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
		f, err := r.Find(ctx, id)
		if err == nil {
			err = change(&f)
		}
		if len(with) > 0 { // not before the race
			both()
		}
		if err != nil {
			return f, err
		}
		return r.Update(ctx, id, setTo(f), with...)
	}}
}

var factorMutants = []mutant[RecordStores]{
	factorMutant("who has none has the zero factor", "says that there is none", func(r ports.FactorRepository) factors {
		return factors{find: func(ctx context.Context, id user.ID) (factor.Factor, error) {
			f, err := r.Find(ctx, id)
			if f.IsZero() && err == nil {
				err = fault.NotFound
			}
			return f, err
		}}
	}),
	factorMutant("who has none has the zero factor", "begins one for who has none", updatingFactors(
		func(r ports.FactorRepository, ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
			return r.Update(ctx, id, func(f *factor.Factor) error {
				if f.IsZero() {
					*f = factor.Start(id, nil, noon)
				}
				return change(f)
			}, with...)
		})),
	factorMutant("every field is kept", "ends the secret at a zero byte", keepingFactors(func(now *factor.State, _ factor.State) {
		now.Secret, _, _ = bytes.Cut(now.Secret, []byte{0})
	})),
	factorMutant("every field is kept", "keeps recovery codes when there are none any more", keepingFactors(func(now *factor.State, before factor.State) {
		if len(now.Recovery) == 0 {
			now.Recovery = before.Recovery
		}
	})),
	factorMutant("every field is kept", "never lets a step go back", keepingFactors(func(now *factor.State, before factor.State) {
		now.LastStep = max(now.LastStep, before.LastStep)
	})),
	factorMutant("every field is kept", "keeps a factor in force once it was", keepingFactors(func(now *factor.State, before factor.State) {
		if now.ConfirmedAt.IsZero() {
			now.ConfirmedAt = before.ConfirmedAt
		}
	})),
	factorMutant("every field is kept", "keeps milliseconds", keepingFactors(func(now *factor.State, _ factor.State) {
		now.StartedAt = now.StartedAt.Truncate(time.Millisecond)
	})),
	factorMutant("each has their own", "keeps the last for all", func(r ports.FactorRepository) factors {
		var last factor.Factor
		return factors{
			find: func(context.Context, user.ID) (factor.Factor, error) { return last, nil },
			update: func(ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (f factor.Factor, err error) {
				last, err = r.Update(ctx, id, change, with...)
				return last, err
			},
		}
	}),
	factorMutant("nobody has no factor", "says that it took it", updatingFactors(
		func(r ports.FactorRepository, ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
			f, err := r.Update(ctx, id, change, with...)
			if errors.Is(err, fault.NotFound) {
				err = nil
			}
			return f, err
		})),
	factorMutant("a factor that is zero is deleted", "leaves what was there", updatingFactors(
		func(r ports.FactorRepository, ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
			return r.Update(ctx, id, func(f *factor.Factor) error {
				before := *f
				err := change(f)
				if f.IsZero() {
					*f = before
				}
				return err
			}, with...)
		})),
	factorMutant("a factor that is zero is deleted", "complains that there is none", updatingFactors(
		func(r ports.FactorRepository, ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
			none := false
			f, err := r.Update(ctx, id, func(f *factor.Factor) error {
				before := f.IsZero()
				err := change(f)
				none = before && f.IsZero()
				return err
			}, with...)
			if none && err == nil {
				err = fault.NotFound
			}
			return f, err
		})),
	factorMutant("a refused change keeps nothing", "keeps what failed", updatingFactors(
		func(r ports.FactorRepository, ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
			var failed error
			f, err := r.Update(ctx, id, func(f *factor.Factor) error { failed = change(f); return nil }, with...)
			if failed != nil {
				err = failed
			}
			return f, err
		})),
	factorMutant("a refused change keeps nothing", "wraps the error", updatingFactors(
		func(r ports.FactorRepository, ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
			f, err := r.Update(ctx, id, change, with...)
			if err != nil {
				err = fmt.Errorf("update: %w", err)
			}
			return f, err
		})),
	factorMutant("a code used twice at once is used once", "reads and writes in two steps", lookFirst),
	factorMutant("a recovery code used twice at once is used once", "reads and writes in two steps", lookFirst),
	factorMutant("of factors started at once one is kept", "reads and writes in two steps", lookFirst),
	factorMutant("factors go with their user", "finds what it once knew", func(r ports.FactorRepository) factors {
		var known sync.Map
		return factors{
			find: func(ctx context.Context, id user.ID) (factor.Factor, error) {
				if f, ok := known.Load(id); ok {
					return f.(factor.Factor), nil
				}
				return r.Find(ctx, id)
			},
			update: func(ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
				f, err := r.Update(ctx, id, change, with...)
				known.Store(id, f)
				return f, err
			},
		}
	}),
	factorMutant("who is going gets no factor", "keeps one of nobody", func(r ports.FactorRepository) factors {
		var orphans sync.Map
		return factors{
			find: func(ctx context.Context, id user.ID) (factor.Factor, error) {
				if f, ok := orphans.Load(id); ok {
					return f.(factor.Factor), nil
				}
				return r.Find(ctx, id)
			},
			update: func(ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
				f, err := r.Update(ctx, id, change, with...)
				if errors.Is(err, fault.NotFound) {
					_ = change(&f)
					orphans.Store(id, f)
					err = nil
				}
				return f, err
			},
		}
	}),
	factorMutant("nothing handed in or out is shared", "keeps the factor that a change was given", func(r ports.FactorRepository) factors {
		held := &factor.Factor{}
		return factors{
			update: func(ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
				return r.Update(ctx, id, func(f *factor.Factor) error { held = f; return change(f) }, with...)
			},
			find: func(context.Context, user.ID) (factor.Factor, error) { return *held, nil },
		}
	}),
	factorMutant("a cancelled context is an outage", "says that there is none", func(r ports.FactorRepository) factors {
		return factors{find: func(ctx context.Context, id user.ID) (factor.Factor, error) {
			f, _ := r.Find(ctx, id)
			return f, nil
		}}
	}),
	factorMutant("a cancelled context is an outage", "updates all the same", updatingFactors(
		func(r ports.FactorRepository, ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
			f, err := r.Update(deaf(ctx), id, change, with...)
			return f, late(ctx, err)
		})),
	factorMutant("who hangs up during an update changes nothing", "does not look at the context again", updatingFactors(
		func(r ports.FactorRepository, ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
			f, err := r.Update(deaf(ctx), id, change, with...)
			return f, late(ctx, err)
		})),
}
