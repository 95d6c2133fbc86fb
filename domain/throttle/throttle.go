// Package throttle holds how often something may be tried: a [Rule] says how
// many times, a [Counter] is how many it were, and [Counter.Take] asks for one
// more. A try is counted before it is made, so that of many at once none slips
// through between the look and the count.
package throttle

import "time"

// Rule bounds tries. After Limit of them in a row there is a pause, which
// doubles with every further one up to MaxPause. A counter is forgotten when
// nothing was tried for Window after the last try or the end of its pause.
type Rule struct {
	Limit    int // tries before the first pause; 0 means no bound
	Window   time.Duration
	Pause    time.Duration // the first
	MaxPause time.Duration // the longest
}

// Off reports whether the rule bounds nothing.
func (r Rule) Off() bool { return r.Limit <= 0 }

// maxDoublings bounds how often a pause is doubled, so that stores which count
// by shifting bits agree: with a first pause of an hour it is far from an
// overflow of microseconds.
const maxDoublings = 20

// PauseAfter is how long to wait after so many tries.
func (r Rule) PauseAfter(tries int) time.Duration {
	if r.Off() || tries < r.Limit {
		return 0
	}
	pause := r.Pause
	for range min(tries-r.Limit, maxDoublings) {
		if pause *= 2; pause >= r.MaxPause {
			return r.MaxPause
		}
	}
	return min(pause, r.MaxPause)
}

// Counter is what is kept under one key.
type Counter struct {
	Tries   int
	Last    time.Time // when the last try was taken
	Blocked time.Time // until when none is; at or before Last for not at all
}

// Verdict answers one request for a try.
type Verdict struct {
	Granted bool
	Tries   int           // counted in a row, this one included if it was granted
	Wait    time.Duration // until another may be granted; zero if that is now
	Began   bool          // this one was granted and is the last before a pause
}

// Forgotten reports whether the counter counts no longer at now.
func (c Counter) Forgotten(r Rule, now time.Time) bool {
	from := c.Last
	if c.Blocked.After(from) {
		from = c.Blocked
	}
	return c.Tries == 0 || !now.Before(from.Add(r.Window))
}

// Take asks for a try at now, and gives the counter as it is then. A refused one
// changes nothing: who keeps knocking does not lengthen the pause.
func (c Counter) Take(r Rule, now time.Time) (Counter, Verdict) {
	now = now.UTC().Truncate(time.Microsecond)
	if c.Blocked.After(now) {
		return c, Verdict{Tries: c.Tries, Wait: c.Blocked.Sub(now)}
	}
	if c.Forgotten(r, now) {
		c = Counter{}
	}
	c.Tries++
	c.Last = now
	pause := r.PauseAfter(c.Tries)
	c.Blocked = now.Add(pause)
	return c, Verdict{Granted: true, Tries: c.Tries, Wait: pause, Began: pause > 0}
}

// Return takes one granted try back, as if it had not been made; with it goes
// the pause that it began.
func (c Counter) Return(r Rule) Counter {
	if c.Tries > 0 {
		c.Tries--
	}
	if r.PauseAfter(c.Tries) == 0 {
		c.Blocked = c.Last
	}
	return c
}
