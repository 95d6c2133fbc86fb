package memory_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"gatehouse/adapters/memory"
	"gatehouse/domain/throttle"
)

// A flood of keys pushes out what was asked for the longest time ago, and not
// the counter of an account that is being guessed at: being refused counts as
// being asked for.
func TestABoundedLimiterForgetsTheOldest(t *testing.T) {
	l, r := memory.NewLimiter(3), throttle.Rule{Limit: 1, Window: time.Hour, Pause: time.Hour, MaxPause: time.Hour}
	take := func(key string) throttle.Verdict {
		t.Helper()
		v, err := l.Take(t.Context(), key, r, noon)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	take("guessed")
	for n := range 100 {
		take(fmt.Sprint("flood ", n))
		if v := take("guessed"); v.Granted {
			t.Fatalf("after %d other keys a blocked try was granted: %+v", n+1, v)
		}
	}
	if v := take("flood 99"); v.Granted {
		t.Errorf("one of the three that were asked for last was forgotten: %+v", v)
	}
	if v := take("flood 0"); !v.Granted || v.Tries != 1 {
		t.Errorf("what was asked for the longest time ago = %+v, want it forgotten", v)
	}
}

// What is returned or forgotten for a key that was pushed out makes no room and
// takes none.
func TestABoundedLimiterKeepsItsBound(t *testing.T) {
	const most = 10
	l, r := memory.NewLimiter(most), throttle.Rule{Limit: 5, Window: time.Hour, Pause: time.Hour, MaxPause: time.Hour}
	var wg sync.WaitGroup
	for node := range 4 {
		wg.Go(func() {
			for n := range 200 {
				key := fmt.Sprint(node, n)
				_, _ = l.Take(t.Context(), key, r, noon)
				_ = l.Return(t.Context(), fmt.Sprint(node, n-20), r)
				if n%3 == 0 {
					_ = l.Forget(t.Context(), key, fmt.Sprint(node, n-20))
				}
			}
		})
	}
	wg.Wait()
	if n, err := l.Prune(t.Context(), noon.AddDate(1, 0, 0), 1000); err != nil || n > most {
		t.Errorf("the limiter kept %d counters, %v, want at most %d", n, err, most)
	}
}
