// Package argon2id hashes passwords with Argon2id (RFC 9106) from
// golang.org/x/crypto.
//
// A hash costs memory and a core for some hundredth of a second by design, so
// how many are made at once is bounded, and so is how many may wait: a flood of
// sign-ins must not starve those who are signed in already. Read [Hasher]; how
// a hash is written down stands in phc.go, how it leaves cores to others in
// pace.go.
package argon2id

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// present is what new hashes are made with: 19 MiB, two passes, one lane (OWASP
// Password Storage Cheat Sheet; ASVS 5.0 11.4.2).
var present = parameters{memory: 19 * 1024, passes: 2, lanes: 1}

// Config bounds the work. Zero values mean the defaults.
type Config struct {
	Slots int // hashes made at once; default: the cores less one, at least one
	Queue int // hashes that may wait for a slot; default: 64 a slot, what can be made before a request times out
}

// Hasher makes and verifies hashes.
type Hasher struct {
	slots chan struct{} // one token a hash being made
	queue chan struct{} // one token a hash being made or waiting
	pace  *pace         // how long a slot rests after a hash
	made  atomic.Int64  // hashes being made
	dummy encoded       // stands in where there is no hash
}

var _ ports.PasswordHasher = (*Hasher)(nil)

// New returns a hasher with the given bounds.
func New(c Config) *Hasher {
	if c.Slots <= 0 {
		c.Slots = max(1, runtime.GOMAXPROCS(0)-1)
	}
	if c.Queue <= 0 {
		c.Queue = 64 * c.Slots
	}
	h := &Hasher{slots: make(chan struct{}, c.Slots), queue: make(chan struct{}, c.Slots+c.Queue), pace: &pace{}}
	h.dummy = encoded{parameters: present, salt: random(saltBytes), key: random(keyBytes)}
	return h
}

// errBusy is the cause of refusing to queue.
var errBusy = errors.New("too many passwords are being hashed")

// enter waits for a slot. The bound on the queue is checked first, so that work
// is refused before it is begun.
func (h *Hasher) enter(ctx context.Context, work parameters) (leave func(), err error) {
	select {
	case h.queue <- struct{}{}:
	default:
		return nil, busy(errBusy)
	}
	if err := ctx.Err(); err != nil { // select below may prefer a free slot
		<-h.queue
		return nil, busy(err)
	}
	select {
	case h.slots <- struct{}{}:
		began := time.Now()
		h.made.Add(1)
		return func() {
			h.made.Add(-1)
			<-h.queue
			var rest time.Duration
			if work == present { // other work takes another time
				rest = h.pace.rest(time.Since(began))
			}
			time.AfterFunc(rest, func() { <-h.slots })
		}, nil
	case <-ctx.Done():
		<-h.queue
		return nil, busy(ctx.Err())
	}
}

// Load is how much hashing is going on.
type Load struct {
	Slots    int // hashes that may be made at one time
	InFlight int // are being made
	Waiting  int // for a slot
}

// Load tells how much hashing is going on now.
func (h *Hasher) Load() Load {
	made := int(h.made.Load())
	return Load{Slots: cap(h.slots), InFlight: made, Waiting: max(len(h.queue)-made, 0)}
}

func busy(cause error) error {
	f := fault.Outage(cause)
	f.RetryAfter = 2 * time.Second
	return f
}

// Hash implements ports.PasswordHasher.
func (h *Hasher) Hash(ctx context.Context, p user.Password) (user.PasswordHash, error) {
	leave, err := h.enter(ctx, present)
	if err != nil {
		return user.PasswordHash{}, err
	}
	defer leave()
	e := encoded{parameters: present, salt: random(saltBytes)}
	e.key = e.derive(p, keyBytes)
	return user.NewPasswordHash(e.String()), nil
}

// Verify implements ports.PasswordHasher. The zero hash is verified against one
// that nothing matches, so that the clock does not tell that there is no
// account.
func (h *Hasher) Verify(ctx context.Context, p user.Password, hash user.PasswordHash) (bool, error) {
	e := h.dummy
	if !hash.IsZero() {
		var err error
		if e, err = parse(hash.Reveal()); err != nil {
			return false, err
		}
	}
	leave, err := h.enter(ctx, e.parameters)
	if err != nil {
		return false, err
	}
	defer leave()
	same := subtle.ConstantTimeCompare(e.derive(p, len(e.key)), e.key) == 1
	return same && !hash.IsZero(), nil
}

// Outdated implements ports.PasswordHasher.
func (h *Hasher) Outdated(hash user.PasswordHash) bool {
	e, err := parse(hash.Reveal())
	return err != nil || e.parameters != present || len(e.salt) != saltBytes || len(e.key) != keyBytes
}

// derive computes n bytes of key of p under e's parameters and salt.
func (e encoded) derive(p user.Password, n int) []byte {
	return argon2.IDKey([]byte(p.Reveal()), e.salt, e.passes, e.memory, e.lanes, uint32(n))
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: it ends the process instead (crypto/rand)
	return b
}
