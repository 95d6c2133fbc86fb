package batch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/adapters/batch"
)

// store is asked for numbers, and answers when it is told to.
type store struct {
	mu    sync.Mutex
	asked [][]int
	let   chan struct{} // nil: at once
}

func (s *store) fetch(ctx context.Context, keys []int, answers []batch.Answer[string]) error {
	s.mu.Lock()
	s.asked = append(s.asked, slices.Clone(keys))
	s.mu.Unlock()
	if s.let != nil {
		select {
		case <-s.let:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for i, k := range keys {
		if answers[i].Value = fmt.Sprint(k); k < 0 {
			answers[i] = batch.Answer[string]{Err: fmt.Errorf("%d is negative", k)}
		}
	}
	return nil
}

// sizes are how many each fetch asked for.
func (s *store) sizes() (all []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, keys := range s.asked {
		all = append(all, len(keys))
	}
	return all
}

// load asks for keys side by side, each when those before wait, and gives the
// answers once all are there.
func load(ctx context.Context, l *batch.Loader[int, string], keys ...int) func() []string {
	got := make([]string, len(keys))
	var all sync.WaitGroup
	for i, k := range keys {
		all.Go(func() {
			v, err := l.Load(ctx, k)
			if got[i] = v; err != nil {
				got[i] = "error: " + err.Error()
			}
		})
		synctest.Wait()
	}
	return func() []string { all.Wait(); return got }
}

// Who comes while a way is free is asked for at once, and who comes while none is
// goes with the next, with all others who came meanwhile.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{let: make(chan struct{})}
		answers := load(t.Context(), batch.New(2, 3, s.fetch), 1, 2, 3, -4, 5, 6, 7)
		if got := s.sizes(); !slices.Equal(got, []int{1, 1}) {
			t.Errorf("before any answer: fetches of %v, want one key each in two ways", got)
		}
		s.let <- struct{}{}
		synctest.Wait()
		close(s.let)
		want := []string{"1", "2", "3", "error: -4 is negative", "5", "6", "7"}
		if got := answers(); !slices.Equal(got, want) {
			t.Errorf("answers %q, want %q", got, want)
		}
		if got := s.sizes(); !slices.Equal(got, []int{1, 1, 3, 2}) {
			t.Errorf("fetches of %v, want 1, 1, 3 and 2", got)
		}
	})
}

// What was asked for before somebody came is not their answer: it may be older
// than what they have done.
func TestNothingOld(t *testing.T) {
	var now, wrong atomic.Int64
	l := batch.New(2, 8, func(_ context.Context, keys []int64, answers []batch.Answer[int64]) error {
		seen := now.Load()
		time.Sleep(50 * time.Microsecond)
		for i := range keys {
			answers[i].Value = seen
		}
		return nil
	})
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 300 {
				mine := now.Add(1)
				if got, err := l.Load(t.Context(), mine); err != nil || got < mine {
					wrong.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d of %d answers were of a time before the question", n, 16*300)
	}
}

// One who gives up goes, and takes nothing from the others: neither those with
// whom a fetch is under way nor those who wait.
func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{let: make(chan struct{})}
		l := batch.New(1, 8, s.fetch)
		short, cancel := context.WithCancel(t.Context())
		first := load(short, l, 1)
		waiting, quitting := load(t.Context(), l, 2), load(short, l, 3)
		cancel()
		for _, answers := range []func() []string{first, quitting} {
			if got := answers(); got[0] != "error: context canceled" {
				t.Errorf("who gave up got %q", got)
			}
		}
		close(s.let)
		if got := waiting(); got[0] != "2" {
			t.Errorf("who waited got %q, want 2", got)
		}
		if _, err := l.Load(short, 4); !errors.Is(err, context.Canceled) {
			t.Errorf("who had given up before got %v", err)
		}
		if !slices.EqualFunc(s.asked, [][]int{{1}, {2}}, slices.Equal) {
			t.Errorf("asked for %v, want 1 and 2", s.asked)
		}
	})
}

// A fetch ends with the last of those whom it serves, so that a store that hangs
// holds no way for ever.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{let: make(chan struct{})}
		l := batch.New(1, 8, s.fetch)
		within := func(d time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx
		}
		begun := time.Now()
		all := []func() []string{load(within(time.Second), l, 1), load(within(3*time.Second), l, 2), load(within(5*time.Second), l, 3)}
		for i, want := range []time.Duration{1, 3, 5} {
			if got := all[i](); got[0] != "error: context deadline exceeded" || time.Since(begun) != want*time.Second {
				t.Errorf("%d got %q after %s, want the end of its %d s", i+1, got, time.Since(begun), want)
			}
		}
		close(s.let)
		if got := load(within(time.Second), l, 4)(); got[0] != "4" {
			t.Errorf("after that: %q, want 4", got)
		}
	})
}

// What fails has failed for all whom it served, and the next may succeed. A panic
// is the caller's where there is one caller, whose request is to fail by it, and an
// error where there are several.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let, act := make(chan struct{}), func() error { return nil }
		l := batch.New(1, 8, func(_ context.Context, keys []int, answers []batch.Answer[string]) error {
			<-let
			answers[0].Value = "half"
			return act()
		})
		for name, act1 := range map[string]func() error{
			"broken":       func() error { return errors.New("broken") },
			"out of order": func() error { panic("out of order") },
		} {
			act = func() error { return nil }
			first, others := load(t.Context(), l, 1), load(t.Context(), l, 2, 3)
			let <- struct{}{}
			if got := first(); got[0] != "half" {
				t.Errorf("the first got %q, want half", got)
			}
			act = act1
			let <- struct{}{}
			for _, got := range others() {
				if !strings.HasPrefix(got, "error: ") || !strings.Contains(got, name) {
					t.Errorf("the others got %q, want the error %s", got, name)
				}
			}
		}
		close(let)
		alone := func() (v string, panicked any, err error) {
			defer func() { panicked = recover() }()
			v, err = l.Load(t.Context(), 1)
			return v, nil, err
		}
		act = func() error { panic("out of order") }
		if _, p, _ := alone(); p != "out of order" {
			t.Errorf("alone: panic %v, want out of order", p)
		}
		act = func() error { return errors.New("broken") }
		if v, _, err := alone(); v != "" || err == nil {
			t.Errorf("alone: %q, %v, want broken", v, err)
		}
		act = func() error { return nil }
		if v, _, err := alone(); v != "half" || err != nil {
			t.Errorf("after that: %q, %v, want half", v, err)
		}
	})
}

// The values of a request are at hand, for a trace to go on.
func TestValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		let := make(chan struct{})
		l := batch.New(1, 8, func(ctx context.Context, keys []int, answers []batch.Answer[string]) error {
			<-let
			for i := range keys {
				answers[i].Value, _ = ctx.Value(key{}).(string)
			}
			return nil
		})
		as := func(who string) context.Context { return context.WithValue(t.Context(), key{}, who) }
		alone, together := load(as("one"), l, 1), load(as("another"), l, 2, 3)
		close(let)
		if got := append(alone(), together()...); !slices.Equal(got, []string{"one", "another", "another"}) {
			t.Errorf("the values are %q", got)
		}
	})
}
