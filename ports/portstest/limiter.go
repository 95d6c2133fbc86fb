package portstest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"pgregory.net/rapid"

	"gatehouse/domain/throttle"
	"gatehouse/ports"
)

var limiterChecks = []check[ports.Limiter]{
	{"counts and pauses", limiterCounts},
	{"tries at once are each counted", limiterAtOnce},
	{"of tries at once no more are granted than may be", limiterBoundAtOnce},
	{"a refused try changes nothing", limiterRefuses},
	{"tries that come out of turn meet no pause", limiterOutOfTurn},
	{"keys are apart", limiterKeys},
	{"forgets what it is told to", limiterForgets},
	{"a try can be taken back", limiterReturns},
	{"it counts as the domain does", limiterIsTheCounter},
	{"prunes what is over", limiterPrunes},
	{"a cancelled context is an outage", limiterCancelled},
}

// inARow pauses after three tries, rate grants three in a minute, and wide is a
// rule that nothing in the checks reaches.
var (
	inARow = throttle.Rule{Limit: 3, Window: 15 * time.Minute, Pause: time.Second, MaxPause: 5 * time.Second}
	rate   = throttle.Rule{Limit: 3, Window: time.Minute, PerWindow: true}
	wide   = throttle.Rule{Limit: 1000, Window: time.Hour, Pause: time.Second, MaxPause: time.Minute}
)

// wantTake holds the limiter to its verdict.
func wantTake(t tester, l ports.Limiter, key string, r throttle.Rule, now time.Time, v throttle.Verdict) {
	t.Helper()
	got, err := l.Take(t.Context(), key, r, now)
	must(t, err, "Take(%s)", key)
	want(t, got, v, "Take(%s, %v after noon)", key, now.Sub(noon))
}

func granted(tries int, wait time.Duration) throttle.Verdict {
	return throttle.Verdict{Granted: true, Tries: tries, Wait: wait}
}

func refused(tries int, wait time.Duration) throttle.Verdict {
	return throttle.Verdict{Tries: tries, Wait: wait}
}

func limiterCounts(t tester, l ports.Limiter) {
	at := func(s time.Duration) time.Time { return noon.Add(s) }
	wantTake(t, l, "row", inARow, at(0), granted(1, 0))
	wantTake(t, l, "row", inARow, at(0), granted(2, 0))
	wantTake(t, l, "row", inARow, at(0), granted(3, time.Second))
	wantTake(t, l, "row", inARow, at(time.Second-time.Microsecond), refused(3, time.Microsecond))
	wantTake(t, l, "row", inARow, at(time.Second), granted(4, 2*time.Second))
	wantTake(t, l, "row", inARow, at(3*time.Second), granted(5, 4*time.Second))
	wantTake(t, l, "row", inARow, at(7*time.Second), granted(6, 5*time.Second))
	end := at(12 * time.Second).Add(inARow.Window)
	wantTake(t, l, "row", inARow, end.Add(-time.Microsecond), granted(7, 5*time.Second))
	wantTake(t, l, "row", inARow, end.Add(5*time.Second+inARow.Window), granted(1, 0))
	for n := range 2 {
		wantTake(t, l, "rate", rate, at(time.Duration(n)*10*time.Second), granted(n+1, 0))
	}
	wantTake(t, l, "rate", rate, at(20*time.Second), granted(3, 40*time.Second))
	wantTake(t, l, "rate", rate, at(time.Minute-time.Microsecond), refused(3, time.Microsecond))
	wantTake(t, l, "rate", rate, at(time.Minute), granted(1, 0))
	for n := range 20 {
		wantTake(t, l, "off", throttle.Rule{Window: time.Hour, Pause: time.Hour, MaxPause: time.Hour}, noon, granted(n+1, 0))
	}
}

// takeAtOnce takes n times side by side, each at a time of its own, and gives
// the verdicts.
func takeAtOnce(t tester, l ports.Limiter, key string, r throttle.Rule, n int) []throttle.Verdict {
	t.Helper()
	var mu sync.Mutex
	var all []throttle.Verdict
	atOnce(n, func(i int) {
		v, err := l.Take(t.Context(), key, r, noon.Add(time.Duration(i%7)*time.Microsecond))
		if err != nil {
			t.Errorf("Take(%d at once) = %v, want no error", n, err)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, v)
	})
	return all
}

// Fifty guesses at once that count as one are fifty guesses for the price of
// one (threats.md, scenario 7).
func limiterAtOnce(t tester, l ports.Limiter) {
	const n = 50
	var tries []int
	for _, v := range takeAtOnce(t, l, "account", wide, n) {
		if !v.Granted || v.Wait != 0 {
			t.Errorf("Take(%d at once) = %+v, want it granted without a wait", n, v)
		}
		tries = append(tries, v.Tries)
	}
	slices.Sort(tries)
	for i, got := range tries {
		want(t, got, i+1, "the count of the %d-th try", i+1)
	}
	wantTake(t, l, "account", wide, noon, granted(n+1, 0))
}

func limiterBoundAtOnce(t tester, l ports.Limiter) {
	const n = 50
	pausing := throttle.Rule{Limit: 10, Window: time.Hour, Pause: time.Minute, MaxPause: time.Hour}
	for key, r := range map[string]throttle.Rule{
		"row":  pausing,
		"rate": {Limit: 10, Window: time.Hour, PerWindow: true},
	} {
		let := 0
		for _, v := range takeAtOnce(t, l, key, r, n) {
			if v.Granted {
				let++
			} else if v.Tries != 10 || v.Wait <= 0 {
				t.Errorf("a refused Take = %+v, want 10 tries and a wait", v)
			}
		}
		want(t, let, 10, "how many of %d tries at once were granted (%s)", n, key)
	}
}

// Who keeps knocking at a door must not lock it for its owner for good.
func limiterRefuses(t tester, l ports.Limiter) {
	for _, r := range []throttle.Rule{inARow, rate} {
		key := fmt.Sprint("per window: ", r.PerWindow)
		for range 2 {
			must(t, second(l.Take(t.Context(), key, r, noon)), "Take")
		}
		v, err := l.Take(t.Context(), key, r, noon)
		must(t, err, "Take")
		for n := range 10 {
			later := time.Duration(n) * 50 * time.Millisecond
			wantTake(t, l, key, r, noon.Add(later), refused(3, v.Wait-later))
		}
		got, err := l.Take(t.Context(), key, r, noon.Add(v.Wait))
		if err != nil || !got.Granted {
			t.Errorf("Take(after the pause) = %+v, %v, want it granted", got, err)
		}
	}
}

// The clocks of nodes differ, and who was first is not always counted first.
func limiterOutOfTurn(t tester, l ports.Limiter) {
	ahead := noon.Add(2 * time.Minute)
	wantTake(t, l, "row", wide, ahead, granted(1, 0))
	wantTake(t, l, "row", wide, noon, granted(2, 0))
	hourly := throttle.Rule{Limit: 10, Window: time.Hour, PerWindow: true}
	wantTake(t, l, "rate", hourly, ahead, granted(1, 0))
	wantTake(t, l, "rate", hourly, noon, granted(2, 0))
}

func limiterKeys(t tester, l ports.Limiter) {
	keys := []string{"a", "A", "a ", "a%", "a_", "'\"\\;--", strings.Repeat("k", 199) + "1", strings.Repeat("k", 199) + "2"}
	for n := range 2 {
		for _, key := range keys {
			wantTake(t, l, key, wide, noon, granted(n+1, 0))
		}
	}
}

func limiterForgets(t tester, l ports.Limiter) {
	for _, key := range []string{"a", "b", "c"} {
		for range 3 {
			must(t, second(l.Take(t.Context(), key, inARow, noon)), "Take")
		}
	}
	must(t, l.Forget(t.Context(), "a", "never there", "c"), "Forget")
	must(t, l.Forget(t.Context()), "Forget(nothing)")
	wantTake(t, l, "a", inARow, noon, granted(1, 0))
	wantTake(t, l, "b", inARow, noon, refused(3, time.Second))
	wantTake(t, l, "c", inARow, noon, granted(1, 0))
}

func limiterReturns(t tester, l ports.Limiter) {
	must(t, l.Return(t.Context(), "a", inARow), "Return(what was never taken)")
	wantTake(t, l, "a", inARow, noon, granted(1, 0))
	for range 3 {
		must(t, l.Return(t.Context(), "a", inARow), "Return")
	}
	for n, wait := range []time.Duration{0, 0, time.Second} {
		wantTake(t, l, "a", inARow, noon, granted(n+1, wait))
	}
	wantTake(t, l, "a", inARow, noon, refused(3, time.Second))
	must(t, l.Return(t.Context(), "a", inARow), "Return(the last before the pause)")
	wantTake(t, l, "a", inARow, noon, granted(3, time.Second))
	wantTake(t, l, "b", inARow, noon, granted(1, 0))
}

// drawRule draws any rule, of a size at which limits, pauses and windows are
// all met within a few tries.
func drawRule(t *rapid.T) throttle.Rule {
	span := func(name string, most int) time.Duration {
		return time.Duration(rapid.IntRange(1, most).Draw(t, name)) * 500 * time.Microsecond
	}
	return throttle.Rule{
		Limit: rapid.SampledFrom([]int{-1, 0, 1, 2, 2, 3, 3, 4}).Draw(t, "limit"), PerWindow: rapid.Bool().Draw(t, "per window"),
		Window: span("window", 40_000), Pause: span("pause", 4_000), MaxPause: span("longest pause", 80_000),
	}
}

// Whatever is done in whatever order, the store says what throttle.Counter
// says: in SQL the arithmetic is written a second time.
func limiterIsTheCounter(t tester, l ports.Limiter) {
	runs := 0
	rapid.Check(t, func(r *rapid.T) {
		runs++ // what a run before this one left behind is not in the way
		key, now, c := fmt.Sprint("run ", runs), noon, throttle.Counter{}
		rules := []throttle.Rule{drawRule(r), drawRule(r)} // a setting may change
		var wait time.Duration
		for range rapid.IntRange(10, 25).Draw(r, "steps") {
			rule := rules[min(rapid.IntRange(0, 9).Draw(r, "rule")/9, 1)]
			switch rapid.IntRange(0, 11).Draw(r, "act") {
			case 0, 1:
				if err := l.Return(t.Context(), key, rule); err != nil {
					r.Fatalf("Return = %v, want no error", err)
				}
				c = c.Return(rule)
				continue
			case 2:
				if err := l.Forget(t.Context(), key); err != nil {
					r.Fatalf("Forget = %v, want no error", err)
				}
				c = throttle.Counter{}
				continue
			}
			now = now.Add(drawStep(r, rule, wait))
			got, err := l.Take(t.Context(), key, rule, now)
			if err != nil {
				r.Fatalf("Take = %v, want no error", err)
			}
			next, v := c.Take(rule, now)
			if got != v {
				r.Fatalf("Take(%+v, %v after noon) = %+v, want %+v, which throttle.Counter says of %+v", rule, now.Sub(noon), got, v, c)
			}
			c, wait = next, v.Wait
		}
	})
}

// drawStep draws how much later the next try comes: mostly where something
// happens, sometimes earlier.
func drawStep(t *rapid.T, r throttle.Rule, wait time.Duration) time.Duration {
	off := time.Duration(rapid.IntRange(-1500, 1500).Draw(t, "off")) // nanoseconds
	switch rapid.IntRange(0, 7).Draw(t, "step") {
	case 0:
		return r.Window + off
	case 1:
		return r.Window + wait + off
	case 2, 3:
		return wait + off
	case 4:
		return -time.Duration(rapid.IntRange(0, 5_000_000).Draw(t, "back")) * time.Microsecond
	case 5:
		return time.Duration(rapid.IntRange(0, 10_000_000).Draw(t, "on")) * time.Microsecond
	}
	return 0
}

func limiterPrunes(t tester, l ports.Limiter) {
	for n := range 5 {
		must(t, second(l.Take(t.Context(), fmt.Sprint(n), wide, noon.Add(time.Duration(n)*time.Second))), "Take")
	}
	for range 3 {
		must(t, second(l.Take(t.Context(), "paused", inARow, noon)), "Take")
	}
	for _, c := range []struct {
		what   string
		before time.Time
		limit  int
		n      int
	}{
		{"what was over at this very time", noon, 10, 0}, {"none", noon.Add(time.Hour), 0, 0},
		{"the first", noon.Add(time.Microsecond), 10, 1}, {"none, while there is a pause", noon.Add(time.Second), 10, 0},
		{"two", noon.Add(3 * time.Second), 2, 2}, {"two, of one", noon.Add(3 * time.Second), 2, 1}, {"what is none", noon.Add(3 * time.Second), 2, 0},
	} {
		if n, err := l.Prune(t.Context(), c.before, c.limit); err != nil || n != c.n {
			t.Errorf("Prune(%s) = %d, %v, want %d", c.what, n, err, c.n)
		}
	}
	for _, key := range []string{"0", "1", "2"} {
		wantTake(t, l, key, wide, noon.Add(3*time.Second), granted(1, 0))
	}
	for _, key := range []string{"3", "4"} {
		wantTake(t, l, key, wide, noon.Add(4*time.Second), granted(2, 0))
	}
}

func limiterCancelled(t tester, l ports.Limiter) {
	ctx := gone(t)
	wantTake(t, l, "a", inARow, noon, granted(1, 0))
	wantUnavailable(t, map[string]error{
		"Take":          second(l.Take(ctx, "a", inARow, noon)),
		"Take of a new": second(l.Take(ctx, "b", inARow, noon)),
		"Return":        l.Return(ctx, "a", inARow),
		"Forget":        l.Forget(ctx, "a"),
		"Prune":         second(l.Prune(ctx, farAway, 10)),
	})
	wantTake(t, l, "a", inARow, noon, granted(2, 0))
	wantTake(t, l, "b", inARow, noon, granted(1, 0))
}
