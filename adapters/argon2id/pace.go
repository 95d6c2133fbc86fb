package argon2id

import (
	"sync"
	"time"
)

// pace has slots rest where the cores are wanted by others. A hash runs for some
// hundredth of a second, while a request of somebody who is signed in runs for a
// tenth of a millisecond: where both queue for the cores, those who are signed in
// would wait for those who sign in. How busy the cores are is told by the clock: a
// hash always is the same work, so what it took above the fastest was time in
// which others ran, or waited.
//
// The same thought governs how fast bulk transfers send, so that calls are not
// disturbed (LEDBAT, RFC 6817).
type pace struct {
	mu      sync.Mutex
	fastest time.Duration // of late: it rises slowly, since a process may be moved to a slower machine
}

const (
	longestRest = 100 * time.Millisecond // so that hashes are still made when nothing else helps
	ageing      = 256                    // the fastest rises by one part in so many with each hash
)

// rest is how long a slot rests after a hash that took so long: half of what it
// was late.
func (p *pace) rest(took time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fastest == 0 || took < p.fastest {
		p.fastest = took
	}
	late := took - p.fastest
	p.fastest += p.fastest / ageing
	return min(late/2, longestRest)
}
