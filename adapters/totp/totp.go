// Package totp computes the codes of authenticator apps (TOTP, RFC 6238) with
// github.com/pquerna/otp. Read [Codes]. That no code is good twice is
// domain/factor.
package totp

import (
	"crypto/subtle"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"gatehouse/ports"
)

// What every authenticator app takes without being told.
const (
	period      = 30 // seconds of a time step (RFC 6238 section 5.2)
	digits      = 6
	secretBytes = 20 // 160 bits (RFC 4226 section 4, R6)
)

// drift is how many steps a clock may be off, either way (RFC 6238 section 6).
const drift = 1

// Codes makes secrets and computes their codes.
type Codes struct{ issuer string }

var _ ports.OneTimePasswords = Codes{}

// New returns codes that apps show under the issuer's name: letters, digits and
// spaces, at least one. The library does not escape an & in it.
func New(issuer string) Codes { return Codes{issuer} }

// Secret implements ports.OneTimePasswords.
func (c Codes) Secret(random [32]byte, account string) (secret, uri string) {
	key, err := totp.Generate(totp.GenerateOpts{
		Issuer: c.issuer, AccountName: account, Secret: random[:secretBytes],
		Period: period, Digits: digits, Algorithm: otp.AlgorithmSHA1,
	})
	if err != nil { // without issuer or account alone
		panic(err)
	}
	return key.Secret(), key.URL()
}

// Match implements ports.OneTimePasswords. All three steps are computed, so that
// the clock does not tell which it was. Where one code is that of two steps, it
// is taken for the present one first.
func (Codes) Match(secret, code string, now time.Time) (step int64, ok bool) {
	code, well := digitsOf(code)
	if !well || now.Unix() < 0 {
		return 0, false
	}
	present := now.Unix() / period
	for _, at := range [...]int64{present + drift, present - drift, present} {
		if at >= 0 && isCode(secret, code, at) {
			step, ok = at, true
		}
	}
	return step, ok
}

func isCode(secret, code string, step int64) bool {
	right, err := hotp.GenerateCodeCustom(secret, uint64(step), hotp.ValidateOpts{Digits: digits, Algorithm: otp.AlgorithmSHA1})
	return err == nil && subtle.ConstantTimeCompare([]byte(right), []byte(code)) == 1
}

// maxTyped bounds what is looked at: six digits, each with a space behind it,
// and some more.
const maxTyped = 16

// digitsOf reads what somebody typed for a code. Apps show one in groups, so
// spaces are passed over; digits are those of ASCII.
func digitsOf(typed string) (string, bool) {
	if len(typed) > maxTyped {
		return "", false
	}
	code := strings.ReplaceAll(typed, " ", "")
	if len(code) != digits || strings.Trim(code, "0123456789") != "" {
		return "", false
	}
	return code, true
}
