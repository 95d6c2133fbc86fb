package portstest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/adapters/memory"
	"gatehouse/domain/throttle"
	"gatehouse/ports"
)

func TestLimiterChecksCanFail(t *testing.T) {
	prove(t, limiterChecks, func() ports.Limiter { return memory.NewLimiter(0) }, limiterMutants)
}

func TestKeyChecksCanFail(t *testing.T) {
	prove(t, keyChecks, func() ports.KeyKeeper { return memory.New().Keys() }, keyMutants)
}

// limiter is one with some of its methods replaced.
type limiter struct {
	ports.Limiter
	take   func(context.Context, string, throttle.Rule, time.Time) (throttle.Verdict, error)
	back   func(context.Context, string, throttle.Rule) error
	forget func(context.Context, ...string) error
	prune  func(context.Context, time.Time, int) (int, error)
}

func (l limiter) Take(ctx context.Context, key string, r throttle.Rule, now time.Time) (throttle.Verdict, error) {
	if l.take == nil {
		return l.Limiter.Take(ctx, key, r, now)
	}
	return l.take(ctx, key, r, now)
}

func (l limiter) Return(ctx context.Context, key string, r throttle.Rule) error {
	if l.back == nil {
		return l.Limiter.Return(ctx, key, r)
	}
	return l.back(ctx, key, r)
}

func (l limiter) Forget(ctx context.Context, keys ...string) error {
	if l.forget == nil {
		return l.Limiter.Forget(ctx, keys...)
	}
	return l.forget(ctx, keys...)
}

func (l limiter) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	if l.prune == nil {
		return l.Limiter.Prune(ctx, before, limit)
	}
	return l.prune(ctx, before, limit)
}

func limiterMutant(check, fault string, f func(r ports.Limiter) limiter) mutant[ports.Limiter] {
	return mutant[ports.Limiter]{check, fault, func(r ports.Limiter) ports.Limiter {
		m := f(r)
		m.Limiter = r
		return m
	}}
}

// taking is a mutant that asks otherwise than it was asked.
func taking(check, fault string, alter func(key *string, r *throttle.Rule, now *time.Time)) mutant[ports.Limiter] {
	return limiterMutant(check, fault, func(r ports.Limiter) limiter {
		return limiter{take: func(ctx context.Context, key string, rule throttle.Rule, now time.Time) (throttle.Verdict, error) {
			alter(&key, &rule, &now)
			return r.Take(ctx, key, rule, now)
		}}
	})
}

// counting is a mutant with an arithmetic of its own, over counters of its own.
func counting(check, fault string, take func(c throttle.Counter, r throttle.Rule, now time.Time) (throttle.Counter, throttle.Verdict), back func(c throttle.Counter, r throttle.Rule) throttle.Counter) mutant[ports.Limiter] {
	return limiterMutant(check, fault, func(ports.Limiter) limiter {
		var mu sync.Mutex
		counters := map[string]throttle.Counter{}
		return limiter{
			take: func(_ context.Context, key string, r throttle.Rule, now time.Time) (v throttle.Verdict, err error) {
				mu.Lock()
				defer mu.Unlock()
				counters[key], v = take(counters[key], r, now)
				return v, nil
			},
			back: func(_ context.Context, key string, r throttle.Rule) error {
				mu.Lock()
				defer mu.Unlock()
				counters[key] = back(counters[key], r)
				return nil
			},
			forget: func(_ context.Context, keys ...string) error {
				mu.Lock()
				defer mu.Unlock()
				for _, key := range keys {
					delete(counters, key)
				}
				return nil
			},
		}
	})
}

// The true arithmetic.
var (
	take = throttle.Counter.Take
	back = throttle.Counter.Return
)

// looksAtTheEndAlone takes a last try that lies ahead for a pause.
func looksAtTheEndAlone(c throttle.Counter, r throttle.Rule, now time.Time) (throttle.Counter, throttle.Verdict) {
	if c.Blocked.After(now) {
		return c, throttle.Verdict{Tries: c.Tries, Wait: c.Blocked.Sub(now)}
	}
	return c.Take(r, now)
}

// lengthens puts the end of a pause off whenever somebody knocks.
func lengthens(c throttle.Counter, r throttle.Rule, now time.Time) (throttle.Counter, throttle.Verdict) {
	c, v := c.Take(r, now)
	if !v.Granted {
		c.Blocked = now.Add(v.Wait)
		c.Blocked = c.Blocked.Add(now.Sub(c.Since))
	}
	return c, v
}

// countsRefused counts what it refuses.
func countsRefused(c throttle.Counter, r throttle.Rule, now time.Time) (throttle.Counter, throttle.Verdict) {
	c, v := c.Take(r, now)
	if !v.Granted {
		c.Tries++
	}
	return c, v
}

var limiterMutants = []mutant[ports.Limiter]{
	taking("counts and pauses", "does not double the pause", func(_ *string, r *throttle.Rule, _ *time.Time) { r.MaxPause = r.Pause }),
	taking("counts and pauses", "doubles without end", func(_ *string, r *throttle.Rule, _ *time.Time) { r.MaxPause = time.Hour }),
	counting("counts and pauses", "counts the end of a pause in", func(c throttle.Counter, r throttle.Rule, now time.Time) (throttle.Counter, throttle.Verdict) {
		if c.Blocked.Equal(now) && now.After(c.Since) {
			return c, throttle.Verdict{Tries: c.Tries}
		}
		return c.Take(r, now)
	}, back),
	taking("counts and pauses", "never forgets", func(_ *string, r *throttle.Rule, _ *time.Time) { r.Window = 1000 * time.Hour }),
	taking("counts and pauses", "takes every rule for one in a row", func(_ *string, r *throttle.Rule, _ *time.Time) { r.PerWindow = false }),
	taking("counts and pauses", "takes no bound for a bound", func(_ *string, r *throttle.Rule, _ *time.Time) {
		if r.Off() {
			r.Limit = 10
		}
	}),
	limiterMutant("tries at once are each counted", "reads and writes in two steps", func(r ports.Limiter) limiter {
		both := meet()
		var mu sync.Mutex
		var first throttle.Verdict
		calls := 0
		return limiter{take: func(ctx context.Context, key string, rule throttle.Rule, now time.Time) (throttle.Verdict, error) {
			both()
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls == 2 {
				return first, nil
			}
			v, err := r.Take(ctx, key, rule, now)
			if calls == 1 {
				first = v
			}
			return v, err
		}}
	}),
	counting("tries at once are each counted", "takes a last try that lies ahead for a pause", looksAtTheEndAlone, back),
	limiterMutant("of tries at once no more are granted than may be", "looks first and counts then", func(r ports.Limiter) limiter {
		var mu sync.Mutex
		seen := map[string]int{}
		return limiter{take: func(ctx context.Context, key string, rule throttle.Rule, now time.Time) (throttle.Verdict, error) {
			v, err := r.Take(ctx, key, rule, now)
			mu.Lock()
			defer mu.Unlock()
			if seen[key]++; seen[key] == 11 {
				v.Granted = true
			}
			return v, err
		}}
	}),
	counting("of tries at once no more are granted than may be", "counts what it refuses", countsRefused, back),
	counting("a refused try changes nothing", "counts it", countsRefused, back),
	counting("a refused try changes nothing", "lengthens the pause", lengthens, back),
	counting("tries that come out of turn meet no pause", "takes a last try that lies ahead for a pause", looksAtTheEndAlone, back),
	counting("tries that come out of turn meet no pause", "tells to wait for a last try that lies ahead",
		func(c throttle.Counter, r throttle.Rule, now time.Time) (throttle.Counter, throttle.Verdict) {
			c, v := c.Take(r, now)
			v.Wait = max(c.Blocked.Sub(now), 0)
			return c, v
		}, back),
	taking("keys are apart", "folds them", func(key *string, _ *throttle.Rule, _ *time.Time) { *key = strings.ToLower(*key) }),
	taking("keys are apart", "trims them", func(key *string, _ *throttle.Rule, _ *time.Time) { *key = strings.TrimSpace(*key) }),
	taking("keys are apart", "cuts them", func(key *string, _ *throttle.Rule, _ *time.Time) { *key = (*key)[:min(len(*key), 199)] }),
	limiterMutant("forgets what it is told to", "forgets the first alone", func(r ports.Limiter) limiter {
		return limiter{forget: func(ctx context.Context, keys ...string) error { return r.Forget(ctx, keys[:min(len(keys), 1)]...) }}
	}),
	limiterMutant("forgets what it is told to", "forgets all when told of none", func(r ports.Limiter) limiter {
		return limiter{forget: func(ctx context.Context, keys ...string) error {
			if len(keys) == 0 {
				keys = []string{"a", "b", "c"}
			}
			return r.Forget(ctx, keys...)
		}}
	}),
	limiterMutant("a try can be taken back", "keeps it", func(ports.Limiter) limiter {
		return limiter{back: func(context.Context, string, throttle.Rule) error { return nil }}
	}),
	counting("a try can be taken back", "leaves the pause", take, func(c throttle.Counter, _ throttle.Rule) throttle.Counter {
		c.Tries = max(c.Tries-1, 0)
		return c
	}),
	counting("a try can be taken back", "goes below none", take, func(c throttle.Counter, r throttle.Rule) throttle.Counter {
		if c.Tries > 0 {
			return c.Return(r)
		}
		c.Tries--
		return c
	}),
	limiterMutant("a try can be taken back", "takes back those of all", func(r ports.Limiter) limiter {
		return limiter{back: func(ctx context.Context, _ string, rule throttle.Rule) error { return r.Forget(ctx, "a") }}
	}),
	counting("it counts as the domain does", "forgets from the last try on", func(c throttle.Counter, r throttle.Rule, now time.Time) (throttle.Counter, throttle.Verdict) {
		if !c.Blocked.After(now) && !now.Before(c.Since.Add(r.Window)) {
			c = throttle.Counter{}
		}
		return c.Take(r, now)
	}, back),
	counting("it counts as the domain does", "begins the window anew with every try", func(c throttle.Counter, r throttle.Rule, now time.Time) (throttle.Counter, throttle.Verdict) {
		c, v := c.Take(r, now)
		if v.Granted && v.Wait == 0 {
			c.Since, c.Blocked = now.Truncate(time.Microsecond), now.Truncate(time.Microsecond)
		}
		return c, v
	}, back),
	counting("it counts as the domain does", "keeps the pause of a try that is taken back", take, func(c throttle.Counter, _ throttle.Rule) throttle.Counter {
		c.Tries = max(c.Tries-1, 0)
		return c
	}),
	taking("it counts as the domain does", "counts in milliseconds", func(_ *string, _ *throttle.Rule, now *time.Time) { *now = now.Truncate(time.Millisecond) }),
	counting("it counts as the domain does", "takes a last try that lies ahead for a pause", looksAtTheEndAlone, back),
	limiterMutant("it counts as the domain does", "keeps to the first rule", func(r ports.Limiter) limiter {
		first := map[string]throttle.Rule{}
		return limiter{take: func(ctx context.Context, key string, rule throttle.Rule, now time.Time) (throttle.Verdict, error) {
			if _, known := first[key]; !known {
				first[key] = rule
			}
			return r.Take(ctx, key, first[key], now)
		}}
	}),
	limiterMutant("prunes what is over", "prunes what is over just now", func(r ports.Limiter) limiter {
		return limiter{prune: func(ctx context.Context, before time.Time, limit int) (int, error) {
			return r.Prune(ctx, before.Add(time.Microsecond), limit)
		}}
	}),
	limiterMutant("prunes what is over", "knows no limit", func(r ports.Limiter) limiter {
		return limiter{prune: func(ctx context.Context, before time.Time, _ int) (int, error) { return r.Prune(ctx, before, 1000) }}
	}),
	limiterMutant("prunes what is over", "goes by the last try", func(r ports.Limiter) limiter {
		return limiter{prune: func(ctx context.Context, before time.Time, limit int) (int, error) {
			n, err := r.Prune(ctx, before, limit)
			if before.Equal(noon.Add(time.Second)) {
				n++
			}
			return n, err
		}}
	}),
	limiterMutant("a cancelled context is an outage", "lets everybody in", func(r ports.Limiter) limiter {
		return limiter{take: func(ctx context.Context, key string, rule throttle.Rule, now time.Time) (throttle.Verdict, error) {
			v, err := r.Take(ctx, key, rule, now)
			if err != nil {
				return throttle.Verdict{Granted: true}, nil
			}
			return v, nil
		}}
	}),
	limiterMutant("a cancelled context is an outage", "counts all the same", func(r ports.Limiter) limiter {
		return limiter{take: func(ctx context.Context, key string, rule throttle.Rule, now time.Time) (throttle.Verdict, error) {
			v, err := r.Take(deaf(ctx), key, rule, now)
			return v, late(ctx, err)
		}}
	}),
}

// keeper is one whose method is replaced.
type keeper func(ctx context.Context, fresh [32]byte) ([32]byte, error)

func (f keeper) Key(ctx context.Context, fresh [32]byte) ([32]byte, error) { return f(ctx, fresh) }

func keyMutant(check, fault string, f func(r ports.KeyKeeper) keeper) mutant[ports.KeyKeeper] {
	return mutant[ports.KeyKeeper]{check, fault, func(r ports.KeyKeeper) ports.KeyKeeper { return f(r) }}
}

var keyMutants = []mutant[ports.KeyKeeper]{
	keyMutant("the first key is kept", "gives each their own", func(ports.KeyKeeper) keeper {
		return func(_ context.Context, fresh [32]byte) ([32]byte, error) { return fresh, nil }
	}),
	keyMutant("the first key is kept", "keeps it as text", func(r ports.KeyKeeper) keeper {
		return func(ctx context.Context, fresh [32]byte) ([32]byte, error) {
			key, err := r.Key(ctx, fresh)
			copy(key[:], strings.ToValidUTF8(string(key[:]), "?"))
			return key, err
		}
	}),
	keyMutant("nodes that ask at once get the same", "looks first and keeps then", func(r ports.KeyKeeper) keeper {
		both, once := meet(), sync.Once{}
		return func(ctx context.Context, fresh [32]byte) ([32]byte, error) {
			both()
			own := false
			once.Do(func() { own = true })
			if own {
				return fresh, nil
			}
			return r.Key(ctx, [32]byte{1})
		}
	}),
	keyMutant("nodes that ask at once get the same", "fails who comes second", func(r ports.KeyKeeper) keeper {
		var once sync.Once
		return func(ctx context.Context, fresh [32]byte) ([32]byte, error) {
			key, err := r.Key(ctx, fresh)
			once.Do(func() { err = context.DeadlineExceeded })
			return key, err
		}
	}),
	keyMutant("a cancelled context is an outage", "gives the fresh one", func(r ports.KeyKeeper) keeper {
		return func(ctx context.Context, fresh [32]byte) ([32]byte, error) {
			if key, err := r.Key(ctx, fresh); err == nil {
				return key, nil
			}
			return fresh, nil
		}
	}),
	keyMutant("a cancelled context is an outage", "keeps it all the same", func(r ports.KeyKeeper) keeper {
		return func(ctx context.Context, fresh [32]byte) ([32]byte, error) {
			key, err := r.Key(deaf(ctx), fresh)
			return key, late(ctx, err)
		}
	}),
}
