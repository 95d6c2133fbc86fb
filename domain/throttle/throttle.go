// Package throttle holds how often something may be tried: a [Rule] says how
// many times, a [Counter] is how many it were, and [Counter.Take] asks for one
// more. A try is counted before it is made, so that of many at once none slips
// through between the look and the count.
package throttle

import "time"

// Rule bounds tries, in one of two ways.
//
// Without PerWindow it is for failures in a row: after Limit tries there is a
// pause, which doubles with every further one from Pause up to MaxPause. The
// counter is forgotten when nothing was tried for Window after the last try or
// the end of its pause; success forgets it (ports.Limiter.Forget).
//
// With PerWindow it is for a rate: Limit tries are granted in a Window that
// begins with the first, and none until it is over. Pause and MaxPause mean
// nothing then.
type Rule struct {
	Limit     int // 0 means no bound
	Window    time.Duration
	PerWindow bool
	Pause     time.Duration // the first
	MaxPause  time.Duration // the longest
}

// Off reports whether the rule bounds nothing.
func (r Rule) Off() bool { return r.Limit <= 0 }

// MaxDoublings bounds how often a pause is doubled, so that stores which count
// by shifting bits agree: with a first pause of an hour it is far from an
// overflow of microseconds.
const MaxDoublings = 20

// PauseAfter is how long to wait after so many tries in a row.
func (r Rule) PauseAfter(tries int) time.Duration {
	if r.Off() || tries < r.Limit {
		return 0
	}
	return min(r.Pause<<min(tries-r.Limit, MaxDoublings), r.MaxPause)
}

// Counter is what is kept under one key. The zero value is that of a key under
// which nothing is kept.
type Counter struct {
	Tries   int
	Since   time.Time // of the last try that was granted; with PerWindow of the first
	Blocked time.Time // until when none is granted; never before Since
}

// Verdict answers one request for a try.
type Verdict struct {
	Granted bool
	Tries   int           // counted so far, this one included if it was granted
	Wait    time.Duration // until another may be granted; zero if that is now
}

// Take asks for a try at now, and gives the counter as it is then. A refused one
// changes nothing: who keeps knocking does not lengthen the pause.
func (c Counter) Take(r Rule, now time.Time) (Counter, Verdict) {
	now = now.UTC().Truncate(time.Microsecond)
	if wait := c.wait(now); wait > 0 {
		return c, Verdict{Tries: c.Tries, Wait: wait}
	}
	if c.forgotten(r, now) {
		c = Counter{}
	}
	c.Tries++
	if c.Tries == 1 || !r.PerWindow {
		c.Since = now
	}
	c.Blocked = c.Since
	switch {
	case r.Off() || c.Tries < r.Limit:
	case r.PerWindow:
		c.Blocked = c.Since.Add(r.Window)
	default:
		c.Blocked = now.Add(r.PauseAfter(c.Tries))
	}
	return c, Verdict{Granted: true, Tries: c.Tries, Wait: c.wait(now)}
}

// wait is how long the pause lasts from now on. Where Blocked is Since there is
// none, even if that lies ahead of now: tries come out of turn, and the clocks
// of nodes differ.
func (c Counter) wait(now time.Time) time.Duration {
	if !c.Blocked.After(c.Since) {
		return 0
	}
	return max(c.Blocked.Sub(now), 0)
}

// forgotten reports whether the counter counts no longer at now.
func (c Counter) forgotten(r Rule, now time.Time) bool {
	from := c.Since
	if !r.PerWindow {
		from = c.Blocked // which is never before Since
	}
	return c.Tries == 0 || !now.Before(from.Add(r.Window))
}

// Return takes one granted try back, as if it had not been made; with it goes
// the pause, if as few tries as are left begin none.
func (c Counter) Return(r Rule) Counter {
	c.Tries = max(c.Tries-1, 0)
	if r.Off() || c.Tries < r.Limit {
		c.Blocked = c.Since
	}
	return c
}
