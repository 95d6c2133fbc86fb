package throttle_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/domain/throttle"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestPausesDoubleToTheMaximum(t *testing.T) {
	r := throttle.Rule{Limit: 10, Pause: time.Second, MaxPause: time.Minute}
	want := map[int]time.Duration{
		0: 0, 1: 0, 9: 0, 10: time.Second, 11: 2 * time.Second, 12: 4 * time.Second, 15: 32 * time.Second,
		16: time.Minute, 17: time.Minute, 1 << 40: time.Minute,
	}
	for tries, pause := range want {
		if got := r.PauseAfter(tries); got != pause {
			t.Errorf("PauseAfter(%d) = %v, want %v", tries, got, pause)
		}
	}
	long := throttle.Rule{Limit: 1, Pause: time.Hour, MaxPause: 1<<63 - 1}
	if got := long.PauseAfter(1 << 40); got != time.Hour<<throttle.MaxDoublings {
		t.Errorf("PauseAfter(very many) = %v, want an hour doubled %d times", got, throttle.MaxDoublings)
	}
	for _, limit := range []int{0, -1} {
		off := throttle.Rule{Limit: limit, Pause: time.Second, MaxPause: time.Second}
		if !off.Off() || off.PauseAfter(1000) != 0 {
			t.Errorf("a rule with the limit %d bounds something", limit)
		}
	}
}

// drawRule draws a rule whose limit, pauses and window are all met within a few
// tries.
func drawRule(t *rapid.T, perWindow bool) throttle.Rule {
	span := func(name string, most int) time.Duration {
		return time.Duration(rapid.IntRange(1, most).Draw(t, name)) * time.Millisecond
	}
	return throttle.Rule{
		Limit: rapid.IntRange(1, 5).Draw(t, "limit"), PerWindow: perWindow,
		Window: span("window", 2000), Pause: span("pause", 1000), MaxPause: span("longest", 4000),
	}
}

// drawWait draws how much later the next try comes.
func drawWait(t *rapid.T, r throttle.Rule, wait time.Duration) time.Duration {
	return rapid.SampledFrom([]time.Duration{
		0, time.Microsecond, wait, max(wait-time.Microsecond, 0), r.Window, r.Window + wait, (wait / 2).Truncate(time.Microsecond), time.Second,
	}).Draw(t, "later")
}

// While the clock does not go back: a refused try changes nothing, who waits as
// long as told is granted the next, no wait is longer than the longest, and
// the count goes up one by one or begins anew.
func TestLawsInARow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, now, c, wait := drawRule(t, false), noon, throttle.Counter{}, time.Duration(0)
		for range rapid.IntRange(1, 30).Draw(t, "tries") {
			later := drawWait(t, r, wait)
			now = now.Add(later)
			next, v := c.Take(r, now)
			switch {
			case v.Granted != (later >= wait):
				t.Fatalf("granted = %v after %v of a wait of %v", v.Granted, later, wait)
			case !v.Granted && (next != c || v.Tries != c.Tries || v.Wait != wait-later):
				t.Fatalf("a refused try made %+v of %+v and answered %+v, want nothing changed and a wait of %v", next, c, v, wait-later)
			case v.Granted && v.Tries != c.Tries+1 && v.Tries != 1:
				t.Fatalf("the count went from %d to %d", c.Tries, v.Tries)
			case v.Granted && v.Wait != r.PauseAfter(v.Tries):
				t.Fatalf("after %d tries the wait is %v, want %v", v.Tries, v.Wait, r.PauseAfter(v.Tries))
			case v.Granted && c.Tries > 0 && later-wait < r.Window && v.Tries == 1:
				t.Fatalf("forgotten %v after the pause, want not before %v", later-wait, r.Window)
			case v.Granted && later-wait >= r.Window && v.Tries != 1:
				t.Fatalf("not forgotten %v after the pause, want so after %v", later-wait, r.Window)
			}
			c, wait = next, v.Wait
		}
	})
}

// In no window that begins with a try are more granted than the limit.
func TestLawsPerWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, now, c, wait := drawRule(t, true), noon, throttle.Counter{}, time.Duration(0)
		var begins time.Time
		granted := 0
		for range rapid.IntRange(1, 30).Draw(t, "tries") {
			now = now.Add(drawWait(t, r, wait))
			if granted == 0 || !now.Before(begins.Add(r.Window)) {
				begins, granted = now, 0
			}
			next, v := c.Take(r, now)
			if v.Granted != (granted < r.Limit) {
				t.Fatalf("granted = %v where %d of %d were, %v into the window of %v", v.Granted, granted, r.Limit, now.Sub(begins), r.Window)
			}
			if v.Granted {
				granted++
			} else if next != c {
				t.Fatalf("a refused try made %+v of %+v", next, c)
			}
			if left := begins.Add(r.Window).Sub(now); granted == r.Limit && v.Wait != left || granted < r.Limit && v.Wait != 0 {
				t.Fatalf("the wait is %v with %d of %d granted and %v of the window left", v.Wait, granted, r.Limit, left)
			}
			c, wait = next, v.Wait
		}
	})
}

func TestNoBoundNoWait(t *testing.T) {
	for _, perWindow := range []bool{false, true} {
		var c throttle.Counter
		var v throttle.Verdict
		r := throttle.Rule{Window: time.Hour, Pause: time.Hour, MaxPause: time.Hour, PerWindow: perWindow}
		for n := range 100 {
			if c, v = c.Take(r, noon); v != (throttle.Verdict{Granted: true, Tries: n + 1}) {
				t.Fatalf("try %d without a bound = %+v", n+1, v)
			}
		}
	}
}

// A try that was taken back was never made: with it goes the pause that it
// began, so that who signs in with the right password is not held up.
func TestReturn(t *testing.T) {
	for _, r := range []throttle.Rule{
		{Limit: 3, Window: time.Hour, Pause: time.Minute, MaxPause: time.Hour},
		{Limit: 3, Window: time.Hour, PerWindow: true},
	} {
		var c throttle.Counter
		for range 3 {
			c, _ = c.Take(r, noon)
		}
		if _, v := c.Take(r, noon); v.Granted {
			t.Fatalf("a fourth try was granted: %+v", v)
		}
		if _, v := c.Return(r).Take(r, noon); !v.Granted || v.Tries != 3 {
			t.Errorf("after one was taken back the next is %+v, want it granted as the third", v)
		}
		for range 5 {
			c = c.Return(r)
		}
		if c, v := c.Take(r, noon); v != (throttle.Verdict{Granted: true, Tries: 1}) || c.Tries != 1 {
			t.Errorf("after all were taken back, and more, the next is %+v, want it granted as the first", v)
		}
	}
}

// Nodes whose clocks differ, and tries that are counted out of turn.
func TestOutOfTurn(t *testing.T) {
	for _, perWindow := range []bool{false, true} {
		r := throttle.Rule{Limit: 3, Window: time.Hour, PerWindow: perWindow, Pause: time.Minute, MaxPause: time.Hour}
		c, _ := throttle.Counter{}.Take(r, noon.Add(2*time.Minute))
		c, v := c.Take(r, noon)
		if v != (throttle.Verdict{Granted: true, Tries: 2}) {
			t.Errorf("a try that lies before the last = %+v, want it granted without a wait", v)
		}
		c, _ = c.Take(r, noon)
		if _, v := c.Take(r, noon.Add(-time.Second)); v.Granted || v.Wait <= 0 {
			t.Errorf("a try that lies before a pause = %+v, want it refused", v)
		}
	}
}

func TestTimesAreKeptToTheMicrosecond(t *testing.T) {
	r := throttle.Rule{Limit: 1, Window: time.Hour, Pause: time.Second, MaxPause: time.Second}
	c, v := throttle.Counter{}.Take(r, noon.Add(789).In(time.FixedZone("Seoul", 9*60*60)))
	if c.Since != noon || c.Blocked != noon.Add(time.Second) || v.Wait != time.Second {
		t.Errorf("Take = %+v, %+v, want noon in UTC and a second from there", c, v)
	}
}
