package argon2id

import (
	"testing"
	"time"
)

// No clock runs here: what hashes took is told, and how long their slots rest is
// compared.
func TestPace(t *testing.T) {
	const ms = time.Millisecond
	p := &pace{}
	for i, c := range []struct{ took, least, most time.Duration }{
		{40 * ms, 0, 0},             // nothing to compare with
		{20 * ms, 0, 0},             // the fastest
		{20 * ms, 0, 0},             // idle cores
		{60 * ms, 19 * ms, 20 * ms}, // two others on the core: half of the 40 ms that it was late
		{20 * ms, 0, 0},
		{time.Minute, longestRest, longestRest},
	} {
		if got := p.rest(c.took); got < c.least || got > c.most {
			t.Errorf("%d: after %v the slot rests %v, want %v to %v", i, c.took, got, c.least, c.most)
		}
	}
	for range 1000 {
		p.rest(80 * ms) // from now on the machine is a slower one
	}
	if got := p.rest(80 * ms); got > ms {
		t.Errorf("a thousand hashes later the slots of a slower machine still rest %v", got)
	}
}
