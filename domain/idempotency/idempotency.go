// Package idempotency holds what it takes to do a thing once that is asked for
// twice: a client that does not know whether its request got through repeats it
// under the same [Key], and is answered what it was answered first.
//
// The answer is kept in one step with what was done ([Kept], ports.Along), so
// that there is never the one without the other. The rules are those of the
// IETF draft "The Idempotency-Key HTTP Header Field"
// (draft-ietf-httpapi-idempotency-key-header-07), without its HTTP.
package idempotency

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/user"
)

// Lifetime is how long an answer is kept.
const Lifetime = 24 * time.Hour

// MaxKeyLength is how long a key may be, in characters.
const MaxKeyLength = 255

// Key is what a client calls one thing that it wants done. The zero Key is none.
type Key struct{ text string }

// ParseKey reads a key: 1 to [MaxKeyLength] visible ASCII characters, taken as
// they are, quotes included.
func ParseKey(s string) (Key, bool) {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return Key{}, false
		}
	}
	return Key{s}, len(s) >= 1 && len(s) <= MaxKeyLength
}

// IsZero reports whether k is no key.
func (k Key) IsZero() bool { return k == Key{} }

// Of gives what the key stands for where it comes from the caller, and for that
// act: what others do under the same key, and what the caller does elsewhere, has
// nothing to do with it.
func (k Key) Of(caller user.ID, act string) ID {
	h := sha256.New()
	h.Write([]byte(caller.String() + " " + act + " ")) // neither holds a space
	h.Write([]byte(k.text))
	return ID(h.Sum(nil))
}

// ID identifies one thing that one caller wants done: the SHA-256 of caller, act
// and key. The key itself is kept nowhere.
type ID [sha256.Size]byte

// Hex writes the id as stores keep it.
func (i ID) Hex() string { return hex.EncodeToString(i[:]) }

// Digest is the SHA-256 of a request's body: by it alone two requests are the
// same or are not.
type Digest [sha256.Size]byte

// DigestOf makes one.
func DigestOf(body []byte) Digest { return sha256.Sum256(body) }

// Kept is an answer that is kept to be given again.
type Kept struct {
	ID      ID
	Caller  user.ID // with whom it goes
	Request Digest
	Answer  []byte // in the transport's own writing
	At      time.Time
	Until   time.Time // from then on it is as if it had never been kept
}

// Keep makes what is kept of an answer that is given now.
func Keep(id ID, caller user.ID, request Digest, answer []byte, now time.Time) Kept {
	at := now.UTC().Truncate(time.Microsecond) // the precision of every store
	return Kept{ID: id, Caller: caller, Request: request, Answer: answer, At: at, Until: at.Add(Lifetime)}
}

// Replay gives the answer to a request that was answered before, or
// [ErrMismatch] if it is another one.
func (k Kept) Replay(request Digest) ([]byte, error) {
	if k.Request != request {
		return nil, ErrMismatch
	}
	return k.Answer, nil
}

// What becomes of a request under a key that is in use.
var (
	// ErrNone answers that nothing is kept under an id.
	ErrNone = fault.New(fault.NotFound, "not_found", "Nothing is kept under this key.")
	// ErrTaken says that somebody else has kept an answer under the id meanwhile:
	// it can be read now.
	ErrTaken = fault.New(fault.Conflict, "idempotency_key_taken", "Something was done under this key already.")
	// ErrMismatch refuses a key that was used for another request.
	ErrMismatch = fault.New(fault.Invalid, "idempotency_mismatch", "This Idempotency-Key was used for another request. Use a new one for a new request.")
	// ErrInProgress says that a request under the key is in work still, and that
	// the time to wait for it is over.
	ErrInProgress = fault.New(fault.Conflict, "idempotency_in_progress", "A request with this Idempotency-Key is in work. Repeat it shortly.").Again(time.Second)
)
