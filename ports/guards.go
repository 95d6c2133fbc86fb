package ports

import (
	"context"
	"time"

	"gatehouse/domain/throttle"
)

// Limiter counts tries, shared by all nodes. A key is a name of up to 200
// bytes of ASCII; it is no secret and nothing personal. Implementations pass
// portstest.Limiter.
type Limiter interface {
	// Take asks for a try under the key, as throttle.Counter.Take does, as one
	// step: of n at once that are all granted, each is counted.
	Take(ctx context.Context, key string, r throttle.Rule, now time.Time) (throttle.Verdict, error)
	// Return takes back one try under the key, as throttle.Counter.Return does.
	Return(ctx context.Context, key string, r throttle.Rule) error
	// Forget sets the counters of the keys back to nothing.
	Forget(ctx context.Context, keys ...string) error
	// Prune deletes up to limit counters whose last try and pause were over
	// before the time, and returns how many.
	Prune(ctx context.Context, before time.Time, limit int) (int, error)
}

// OneTimePasswords computes the codes of a second factor (TOTP, RFC 6238: six
// digits, steps of 30 seconds, SHA-1, which is what every authenticator app
// takes). Implementations pass portstest.OneTimePasswords.
type OneTimePasswords interface {
	// Secret makes a secret of 160 bits out of fresh randomness, in Base32, and
	// the otpauth URI that shows it, under the service's name, to the account.
	Secret(random [32]byte, account string) (secret, uri string)
	// Match reports for which time step the code is that of the secret: the one
	// of now, or one before or after it, for clocks that drift. It is false for
	// any other code and for what is no code at all.
	Match(secret, code string, now time.Time) (step int64, ok bool)
}

// Sealer encrypts and authenticates what is kept by others: in a cookie by the
// client, in the database by whoever can read it. Implementations pass
// portstest.Sealer.
type Sealer interface {
	// Seal encrypts clear so that Open gives it back under the same label, and
	// under no other. Two seals of one text differ.
	Seal(label string, clear []byte) []byte
	// Open gives what was sealed under the label, and false for anything else.
	Open(label string, sealed []byte) ([]byte, bool)
}

// KeyKeeper keeps the key that the nodes over one database share, for where
// none is configured. Implementations pass portstest.KeyKeeper.
type KeyKeeper interface {
	// Key returns the key, which is fresh if there was none: of nodes that ask
	// at once, all get the same.
	Key(ctx context.Context, fresh [32]byte) ([32]byte, error)
}
