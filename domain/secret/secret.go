// Package secret is what the house hands out to be shown again: a [Token] of 256
// random bits, of which stores keep the [Key] alone. Session cookies and the
// links in mails are both made of it.
package secret

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
)

// TokenBytes is the entropy of a token in bytes: 256 bits, where ASVS 5.0 7.2.3
// asks for 128 (and 6.5.5 for as much of what is sent out of band).
const TokenBytes = 32

// encoding refuses stray bits in the last character, so that every token has
// one spelling only.
var encoding = base64.RawURLEncoding.Strict()

// encodedLength is that of a token in characters.
const encodedLength = (TokenBytes*8 + 5) / 6

const redacted = "[redacted]"

// Token is the secret that a client holds. It prints as [redacted].
type Token struct{ text string }

// NewToken makes a token out of fresh randomness.
func NewToken(random [TokenBytes]byte) Token { return Token{encoding.EncodeToString(random[:])} }

// ParseToken reads what a client presents and reports whether it has the shape
// of a token. What has not costs no query.
func ParseToken(s string) (Token, bool) {
	var b [TokenBytes + 1]byte
	if len(s) != encoding.EncodedLen(TokenBytes) {
		return Token{}, false
	}
	// The decoder passes over line breaks; no token holds one.
	if n, err := encoding.Decode(b[:], []byte(s)); err != nil || n != TokenBytes {
		return Token{}, false
	}
	return Token{s}, true
}

// Reveal gives the secret. For the transport that hands it to its owner alone.
func (t Token) Reveal() string { return t.text }

// Key gives what the store knows the token by.
func (t Token) Key() Key {
	var b [encodedLength]byte // so that nothing is allocated for a token of the usual shape
	return Key{sha256.Sum256(append(b[:0], t.text...))}
}

func (Token) String() string             { return redacted }
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }
func (Token) LogValue() slog.Value       { return slog.StringValue(redacted) }

// Key is the SHA-256 of a token: who reads the store cannot use what stands
// there. It prints as [redacted] all the same.
type Key struct{ sum [sha256.Size]byte }

// ParseKey reads [Key.Hex]. For adapters alone.
func ParseKey(s string) (Key, bool) {
	var k Key
	if len(s) != hex.EncodedLen(len(k.sum)) {
		return Key{}, false
	}
	if _, err := hex.Decode(k.sum[:], []byte(s)); err != nil {
		return Key{}, false
	}
	return k, true
}

// Hex is the form in which stores keep a key. For adapters alone.
func (k Key) Hex() string { return hex.EncodeToString(k.sum[:]) }

func (Key) String() string             { return redacted }
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }
func (Key) LogValue() slog.Value       { return slog.StringValue(redacted) }

// IsZero reports whether k is the key of no token.
func (k Key) IsZero() bool { return k == Key{} }
