package user

import (
	_ "embed"
	"fmt"
	"io"
	"log/slog"
	"sort"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"gatehouse/domain/fault"
)

// Bounds of a password in code points after normalisation. Length is the only
// rule of composition (NIST SP 800-63B-4 section 3.1.1.2, ASVS 5.0 6.2.1 and 6.2.9).
const (
	MinPasswordLength = 8
	MaxPasswordLength = 128
)

const redacted = "[redacted]"

// Password is a clear-text password on its way to being hashed, in Unicode
// normalisation form NFKC, so that one typed on another keyboard is the same
// (NIST SP 800-63B-4 section 3.1.1.2). It prints as [redacted].
type Password struct{ clear string }

// NewPassword checks a password that someone chooses for the account with the
// given address. It refuses those that are too short or too long, that are
// known from breaches (ASVS 5.0 6.2.4), and those that are the address or its
// local part. The pointer of a fault is "".
func NewPassword(s string, owner Email) (Password, error) {
	var v fault.Validation
	p := PasswordAttempt(s)
	switch n := utf8.RuneCountInString(p.clear); {
	case strings.ContainsRune(p.clear, 0):
		v.Add("", "invalid_characters", "A password holds no NUL character.")
	case n < MinPasswordLength:
		v.Add("", "password_too_short", fmt.Sprintf("A password has at least %d characters.", MinPasswordLength))
	case n > MaxPasswordLength:
		v.Add("", "password_too_long", fmt.Sprintf("A password has at most %d characters.", MaxPasswordLength))
	case isCommon(p.clear) || isOwners(p.clear, owner):
		v.Add("", "password_common", "This password is among the first that an attacker tries. Choose another.")
	}
	if err := v.Err(); err != nil {
		return Password{}, err
	}
	return p, nil
}

// PasswordAttempt takes a password that someone signs in with. It is held to no
// rule, since the rules may have changed since the password was chosen.
func PasswordAttempt(s string) Password { return Password{norm.NFKC.String(s)} }

// Reveal gives the clear text. For hashers alone.
func (p Password) Reveal() string { return p.clear }

func (Password) String() string             { return redacted }
func (Password) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }
func (Password) LogValue() slog.Value       { return slog.StringValue(redacted) }

// PasswordHash is what is kept of a password, as the hasher encoded it. The
// zero value belongs to an account without a password. It prints as [redacted].
type PasswordHash struct{ encoded string }

// NewPasswordHash wraps what a hasher encoded or a store kept.
func NewPasswordHash(encoded string) PasswordHash { return PasswordHash{encoded} }

// Reveal gives the encoded hash. For hashers and stores alone.
func (h PasswordHash) Reveal() string { return h.encoded }

// IsZero reports whether there is no password.
func (h PasswordHash) IsZero() bool { return h.encoded == "" }

func (PasswordHash) String() string             { return redacted }
func (PasswordHash) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }
func (PasswordHash) LogValue() slog.Value       { return slog.StringValue(redacted) }

// Sorted by byte, lower case; source and licence stand in common_passwords.md.
//
//go:embed common_passwords.txt
var commonText string

var commonPasswords = sync.OnceValue(func() []string { return strings.Fields(commonText) })

func isCommon(p string) bool {
	list, lower := commonPasswords(), strings.ToLower(p)
	i := sort.SearchStrings(list, lower)
	return i < len(list) && list[i] == lower
}

func isOwners(p string, owner Email) bool {
	return owner != Email{} && (strings.EqualFold(p, owner.address) || strings.EqualFold(p, owner.canonical) || strings.EqualFold(p, owner.Local()))
}
