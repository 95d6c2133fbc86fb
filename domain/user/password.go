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
// rule of composition (NIST SP 800-63B-4 section 3.1.1.2, ASVS 5.0 6.2.1 and
// 6.2.9). An installation may ask for more than the minimum, up to
// [MaxMinimumLength], never for less.
const (
	MinPasswordLength = 8
	MaxPasswordLength = 128
	MaxMinimumLength  = 64
)

// PasswordRules is what an installation asks of passwords that people choose.
// The zero value asks for what holds everywhere.
type PasswordRules struct {
	Minimum int      // length in code points; less than MinPasswordLength means that
	Words   []string // its own names, which nobody is to use as a password
}

const redacted = "[redacted]"

// Password is a clear-text password on its way to being hashed, in Unicode
// normalisation form NFKC, so that one typed on another keyboard is the same
// (NIST SP 800-63B-4 section 3.1.1.2). It prints as [redacted].
type Password struct{ clear string }

// New checks a password that the person with that address and name chooses. It
// refuses those that are too short or too long, and those that an attacker
// tries first: known from breaches (ASVS 5.0 6.2.4), walks over the keyboard,
// and the words of the person and the installation (ASVS 5.0 6.2.11, NIST SP
// 800-63B-4 section 3.1.1.2), each also as typed with the keyboard switched
// between Korean and Latin. The pointer of a fault is "".
func (r PasswordRules) New(s string, owner Email, name string) (Password, error) {
	var v fault.Validation
	p, least := PasswordAttempt(s), max(r.Minimum, MinPasswordLength)
	switch n := utf8.RuneCountInString(p.clear); {
	case strings.ContainsRune(p.clear, 0):
		v.Add("", "invalid_characters", "A password holds no NUL character.")
	case n < least:
		v.Add("", "password_too_short", fmt.Sprintf("A password has at least %d characters.", least))
	case n > MaxPasswordLength:
		v.Add("", "password_too_long", fmt.Sprintf("A password has at most %d characters.", MaxPasswordLength))
	case r.predictable(p.clear, owner, name):
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

func isCommon(lower string) bool {
	list := commonPasswords()
	i := sort.SearchStrings(list, lower)
	return i < len(list) && list[i] == lower
}
