package memory

import (
	"container/list"
	"context"
	"sync"
	"time"

	"gatehouse/domain/throttle"
	"gatehouse/ports"
)

// Limiter counts tries in memory. It stands alone, so that a node can go on
// counting for itself while the database does not answer.
type Limiter struct {
	mu     sync.Mutex
	max    int
	byKey  map[string]*list.Element
	recent *list.List // of *counter, the one asked for last in front
}

type counter struct {
	key string
	throttle.Counter
}

var _ ports.Limiter = (*Limiter)(nil)

// NewLimiter returns a limiter that keeps at most max counters and forgets the
// one that was not asked for the longest when there are more, so that a flood
// of keys cannot fill the memory. Zero is no bound.
func NewLimiter(max int) *Limiter {
	return &Limiter{max: max, byKey: map[string]*list.Element{}, recent: list.New()}
}

// Take implements ports.Limiter.
func (l *Limiter) Take(ctx context.Context, key string, r throttle.Rule, now time.Time) (v throttle.Verdict, err error) {
	err = l.do(ctx, func() {
		c := l.counter(key)
		c.Counter, v = c.Counter.Take(r, now)
	})
	return v, err
}

// counter gives the counter of the key, a fresh one if there was none.
func (l *Limiter) counter(key string) *counter {
	if e, ok := l.byKey[key]; ok {
		l.recent.MoveToFront(e)
		return e.Value.(*counter)
	}
	if oldest := l.recent.Back(); oldest != nil && l.max > 0 && len(l.byKey) >= l.max {
		l.drop(oldest)
	}
	c := &counter{key: key}
	l.byKey[key] = l.recent.PushFront(c)
	return c
}

// Return implements ports.Limiter.
func (l *Limiter) Return(ctx context.Context, key string, r throttle.Rule) error {
	return l.do(ctx, func() {
		if e, ok := l.byKey[key]; ok {
			c := e.Value.(*counter)
			c.Counter = c.Counter.Return(r)
		}
	})
}

// Forget implements ports.Limiter.
func (l *Limiter) Forget(ctx context.Context, keys ...string) error {
	return l.do(ctx, func() {
		for _, key := range keys {
			if e, ok := l.byKey[key]; ok {
				l.drop(e)
			}
		}
	})
}

// Prune implements ports.Limiter.
func (l *Limiter) Prune(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = l.do(ctx, func() {
		for e := l.recent.Back(); e != nil && n < limit; {
			c, next := e.Value.(*counter), e.Prev()
			if c.Blocked.Before(before) {
				l.drop(e)
				n++
			}
			e = next
		}
	})
	return n, err
}

func (l *Limiter) drop(e *list.Element) {
	delete(l.byKey, e.Value.(*counter).key)
	l.recent.Remove(e)
}

// do runs f with the counters to itself.
func (l *Limiter) do(ctx context.Context, f func()) error {
	if err := alive(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	return nil
}
