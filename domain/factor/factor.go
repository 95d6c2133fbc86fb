// Package factor holds what is true of a second factor: a [Factor] is a secret
// that its owner's device shares (TOTP, RFC 6238) and ten codes to use in its
// place once each. Computing a code is ports.OneTimePasswords; what is here is
// that none is good twice.
package factor

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/user"
)

// What can be wrong about a second factor.
var (
	ErrNotStarted  = fault.New(fault.Conflict, "totp_not_started", "There is no second factor being set up. Start with POST /me/totp.")
	ErrAlreadyOn   = fault.New(fault.Conflict, "totp_already_on", "A second factor is on already. Remove it first.")
	ErrInvalidCode = fault.New(fault.Unauthenticated, "invalid_code", "This code is not, or no longer, good.")
)

// RecoveryCodes is how many codes a user gets.
const RecoveryCodes = 10

// recoveryBytes is the entropy of a recovery code: 120 bits, so that an
// unsalted SHA-256 of it may be kept (ASVS 5.0 6.5.2 asks for a password hash
// below 112 bits).
const recoveryBytes = 15

const redacted = "[redacted]"

// RecoveryCode is a code that stands in for the device, once. It prints as
// [redacted].
type RecoveryCode struct{ text string }

var letters = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewRecoveryCode makes a code out of fresh randomness: 24 letters and digits in
// groups of four.
func NewRecoveryCode(random [32]byte) RecoveryCode {
	text := letters.EncodeToString(random[:recoveryBytes])
	var groups []string
	for chunk := range slices.Chunk([]byte(text), 4) {
		groups = append(groups, string(chunk))
	}
	return RecoveryCode{strings.Join(groups, "-")}
}

// Reveal gives the code. For the transport that hands it to its owner alone.
func (c RecoveryCode) Reveal() string { return c.text }

// Hash gives what is kept of the code.
func (c RecoveryCode) Hash() CodeHash {
	h, _ := HashCode(c.text)
	return h
}

func (RecoveryCode) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// CodeHash is the SHA-256 of a recovery code.
type CodeHash [sha256.Size]byte

func (CodeHash) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// HashCode reads what somebody typed for a recovery code, whatever the case and
// however it is grouped, and reports whether it has the shape of one.
func HashCode(s string) (CodeHash, bool) {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '-' || r == ' ':
			return -1
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, s)
	if b, err := letters.DecodeString(s); err != nil || len(b) != recoveryBytes || len(s) != letters.EncodedLen(recoveryBytes) {
		return CodeHash{}, false
	}
	return sha256.Sum256([]byte(s)), true
}

// Factor is the second factor of one user. The zero value is none.
type Factor struct {
	userID      user.ID
	secret      []byte // sealed by ports.Sealer
	startedAt   time.Time
	confirmedAt time.Time // zero while it is being set up
	lastStep    int64     // the newest time step whose code was used
	recovery    []CodeHash
}

// Start begins to set up a factor. secret is sealed.
func Start(id user.ID, secret []byte, now time.Time) Factor {
	return Factor{userID: id, secret: slices.Clone(secret), startedAt: instant(now)}
}

// State is everything that a store keeps of a factor. For adapters alone.
type State struct {
	UserID      user.ID
	Secret      []byte
	StartedAt   time.Time
	ConfirmedAt time.Time // zero while it is being set up
	LastStep    int64
	Recovery    []CodeHash
}

// Restore makes a factor out of what a store kept. For adapters alone.
func Restore(s State) Factor {
	return Factor{
		userID: s.UserID, secret: slices.Clone(s.Secret), startedAt: instant(s.StartedAt), confirmedAt: instant(s.ConfirmedAt),
		lastStep: s.LastStep, recovery: slices.Clone(s.Recovery),
	}
}

// State gives everything that a store keeps of f. For adapters alone.
func (f Factor) State() State {
	return State{
		UserID: f.userID, Secret: slices.Clone(f.secret), StartedAt: f.startedAt, ConfirmedAt: f.confirmedAt,
		LastStep: f.lastStep, Recovery: slices.Clone(f.recovery),
	}
}

func (f Factor) UserID() user.ID { return f.userID }

// Secret is the sealed secret.
func (f Factor) Secret() []byte { return slices.Clone(f.secret) }

// IsZero reports whether there is no factor, not even one being set up.
func (f Factor) IsZero() bool { return f.userID == user.ID{} }

// On reports whether signing in takes this factor.
func (f Factor) On() bool { return !f.confirmedAt.IsZero() }

// Left is how many recovery codes have not been used.
func (f Factor) Left() int { return len(f.recovery) }

// Confirm puts a factor in force, by a code of the time step, with its recovery
// codes.
func (f *Factor) Confirm(step int64, codes []CodeHash, now time.Time) error {
	switch {
	case f.On():
		return ErrAlreadyOn
	case f.IsZero():
		return ErrNotStarted
	}
	f.confirmedAt, f.lastStep, f.recovery = instant(now), step, slices.Clone(codes)
	return nil
}

// UseStep takes a code of the time step. Each step is good once, and none that
// came before it any more (RFC 6238 section 5.2, ASVS 5.0 6.5.1).
func (f *Factor) UseStep(step int64) error {
	if !f.On() || step <= f.lastStep {
		return ErrInvalidCode
	}
	f.lastStep = step
	return nil
}

// UseRecovery takes a recovery code, which is gone then.
func (f *Factor) UseRecovery(h CodeHash) error {
	at := slices.IndexFunc(f.recovery, func(k CodeHash) bool { return subtle.ConstantTimeCompare(k[:], h[:]) == 1 })
	if !f.On() || at < 0 {
		return ErrInvalidCode
	}
	f.recovery = slices.Delete(slices.Clone(f.recovery), at, at+1)
	return nil
}

// Format prints whose it is alone, under every verb.
func (f Factor) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "factor of "+f.userID.String()) }

func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
