package session

import "gatehouse/domain/secret"

// What a client holds of a session, and what its store knows it by.
type (
	Token = secret.Token
	Key   = secret.Key
)

// TokenBytes is the entropy of a token in bytes.
const TokenBytes = secret.TokenBytes

// NewToken makes a token out of fresh randomness.
func NewToken(random [TokenBytes]byte) Token { return secret.NewToken(random) }

// ParseToken reads what a client presents and reports whether it has the shape
// of a token. What has not costs no query.
func ParseToken(s string) (Token, bool) { return secret.ParseToken(s) }

// ParseKey reads [Key.Hex]. For adapters alone.
func ParseKey(s string) (Key, bool) { return secret.ParseKey(s) }
