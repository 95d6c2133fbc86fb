// Package batch asks a database once for what many requests ask for at the same
// moment.
//
// A [Loader] has a few statements under way at a time. Whoever comes while fewer
// are is served at once; those who come while all are wait together, and the next
// statement asks for all of them, as a group commit does. Nobody waits for others
// to come, as with a window of time, and the busier it gets the less each costs. A
// statement is sent after all whom it serves have asked, so that none is told what
// was true before.
package batch

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// Answer is what one key came to.
type Answer[V any] struct {
	Value V
	Err   error
}

// Fetch asks for all keys at once. It fills in the answer of each, at the same
// place; one that it leaves alone is the zero V and no error. If it fails, all
// have failed. For one key it has the context of who asks; for several one of its
// own, with the values of one of those who ask, which ends when the last of them
// would have.
type Fetch[K, V any] func(ctx context.Context, keys []K, answers []Answer[V]) error

// Ways and Width suit what is looked up by keys in PostgreSQL: one statement is
// under way while the answers of another are handed out.
const (
	Ways  = 2
	Width = 64
)

// Loader loads values by keys. Make one with [New].
type Loader[K, V any] struct {
	fetch       Fetch[K, V]
	ways, width int

	mu      sync.Mutex
	busy    int // how many fetch
	waiting []*call[K, V]
}

type call[K, V any] struct {
	ctx    context.Context
	key    K
	answer Answer[V]
	done   chan struct{}
}

// New returns a loader that fetches in so many ways at a time, for up to width
// keys each.
func New[K, V any](ways, width int, fetch Fetch[K, V]) *Loader[K, V] {
	return &Loader[K, V]{fetch: fetch, ways: max(ways, 1), width: max(width, 1)}
}

// Load returns the value of a key, or why there is none: what the fetch said of
// it, or that ctx has ended.
func (l *Loader[K, V]) Load(ctx context.Context, key K) (V, error) {
	var none V
	if err := ctx.Err(); err != nil {
		return none, err
	}
	l.mu.Lock()
	if l.busy < l.ways { // then nobody waits
		l.busy++
		l.mu.Unlock()
		return l.alone(ctx, key)
	}
	c := &call[K, V]{ctx: ctx, key: key, done: make(chan struct{})}
	l.waiting = append(l.waiting, c)
	l.mu.Unlock()
	select {
	case <-c.done:
		return c.answer.Value, c.answer.Err
	case <-ctx.Done(): // what is under way serves others
		return none, ctx.Err()
	}
}

// alone fetches for one, and leaves the way to those who have come meanwhile.
func (l *Loader[K, V]) alone(ctx context.Context, key K) (V, error) {
	defer func() {
		if calls := l.take(); calls != nil {
			go l.work(calls)
		}
	}()
	var answers [1]Answer[V]
	if err := l.fetch(ctx, []K{key}, answers[:]); err != nil {
		var none V
		return none, err
	}
	return answers[0].Value, answers[0].Err
}

// work fetches for some, and then as long as somebody waits.
func (l *Loader[K, V]) work(calls []*call[K, V]) {
	for ; calls != nil; calls = l.take() {
		answers := l.ask(calls)
		for i, c := range calls {
			c.answer = answers[i]
			close(c.done)
		}
	}
}

// take gives those who are next, or nil and one way less.
func (l *Loader[K, V]) take() []*call[K, V] {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) > 0 {
		n := min(len(l.waiting), l.width)
		calls := make([]*call[K, V], 0, n)
		for _, c := range l.waiting[:n] {
			if c.ctx.Err() == nil { // it has not given up
				calls = append(calls, c)
			}
		}
		clear(l.waiting[:n])
		l.waiting = l.waiting[n:]
		if len(calls) > 0 {
			return calls
		}
	}
	l.waiting = nil
	l.busy--
	return nil
}

// ask fetches for some. A panic would end the process, there being no request
// around it that could fail: it is an error of theirs.
func (l *Loader[K, V]) ask(calls []*call[K, V]) (answers []Answer[V]) {
	answers = make([]Answer[V], len(calls))
	fail := func(err error) {
		for i := range answers {
			answers[i] = Answer[V]{Err: err}
		}
	}
	defer func() {
		if p := recover(); p != nil {
			fail(fmt.Errorf("batch: panic: %v\n%s", p, debug.Stack()))
		}
	}()
	keys := make([]K, len(calls))
	for i, c := range calls {
		keys[i] = c.key
	}
	ctx, cancel := together(calls)
	defer cancel()
	if err := l.fetch(ctx, keys, answers); err != nil {
		fail(err)
	}
	return answers
}

// together is a context that ends when the last of those does whose calls it
// serves. Where one of them waits for ever, so does it.
func together[K, V any](calls []*call[K, V]) (context.Context, context.CancelFunc) {
	ctx := context.WithoutCancel(calls[0].ctx)
	var last time.Time
	for _, c := range calls {
		end, bounded := c.ctx.Deadline()
		if !bounded {
			return ctx, func() {}
		}
		if end.After(last) {
			last = end
		}
	}
	return context.WithDeadline(ctx, last)
}
