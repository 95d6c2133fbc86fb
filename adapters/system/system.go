// Package system gives the application what only the machine can: the time
// ([Now]) and what nobody can guess ([Random]). What a token or an id looks
// like is the domain's to say.
package system

import (
	"crypto/rand"
	"sync"
	"time"

	"gatehouse/domain/secret"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

var _ ports.Clock = Now

// Now is the machine's clock.
func Now() time.Time { return time.Now() }

// Random draws from the operating system's generator (crypto/rand). It is safe
// for many goroutines at once.
type Random struct {
	mu   sync.Mutex
	last time.Time // what the last id was made for; never goes back
}

var _ ports.Random = (*Random)(nil)

// NewRandom returns a source of randomness. Ids are ordered among those of one
// source.
func NewRandom() *Random { return &Random{} }

// tick is the least that tells two ids apart by their time: a little more than
// a 4096th of a millisecond, which is what a UUID shows of it.
const tick = 250 * time.Nanosecond

// ID implements ports.Random. Every id is greater than all before it, even
// when the clock goes back or two are made at one instant: ids that went back
// would put new users and products behind pages that were read already.
func (r *Random) ID(now time.Time) uuid.UUID {
	var b [8]byte
	rand.Read(b[:]) // never fails: it ends the process instead (crypto/rand)
	return uuid.New(r.next(now), b)
}

// next gives now, or a tick after the time that it gave before.
func (r *Random) next(now time.Time) time.Time {
	// Without its monotonic reading, which goes on while the wall clock, that
	// ids are made of, is set back.
	now = now.Round(0)
	r.mu.Lock()
	defer r.mu.Unlock()
	if least := r.last.Add(tick); now.Before(least) {
		now = least
	}
	r.last = now
	return now
}

// Token implements ports.Random.
func (r *Random) Token() secret.Token { return secret.NewToken(r.Bytes()) }

// Bytes implements ports.Random.
func (*Random) Bytes() (b [32]byte) {
	rand.Read(b[:])
	return b
}
