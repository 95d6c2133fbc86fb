package portstest

import (
	"encoding/base32"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/ports"
)

// OneTimePasswords holds a ports.OneTimePasswords to its promises.
func OneTimePasswords(t *testing.T, open func(t *testing.T) ports.OneTimePasswords) {
	run(t, otpChecks, open)
}

var otpChecks = []check[ports.OneTimePasswords]{
	{"a secret has 160 bits of the randomness", otpSecret},
	{"the URI shows secret and account", otpURI},
	{"a code is that of its step", otpSteps},
	{"a code is good one step before and after", otpDrift},
	{"a code of another secret is none", otpSecrets},
	{"a code may be typed in groups", otpGroups},
	{"what is no code is none", otpShapes},
	{"a secret that is none has no codes", otpNoSecret},
}

// The second test vector of RFC 6238 appendix B for SHA-1, less its first two
// digits.
const (
	otpVector = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // "12345678901234567890"
	otpCode   = "081804"
	otpStep   = 0x23523EC
)

var otpTime = time.Unix(1111111109, 0).UTC() // one second before the step ends

func wantStep(t tester, o ports.OneTimePasswords, code string, at time.Time, step int64, ok bool) {
	t.Helper()
	got, matched := o.Match(otpVector, code, at)
	if matched != ok || ok && got != step {
		t.Errorf("Match(%q) at %s = %d, %v, want %d, %v", code, at.Format(time.TimeOnly), got, matched, step, ok)
	}
}

func otpSecret(t tester, o ports.OneTimePasswords) {
	random := [32]byte{0xf0, 1, 2, 3, 19: 0xff}
	secret, _ := o.Secret(random, "ann@example.com")
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil || len(b) != 20 {
		t.Fatalf("Secret = %q, %v, want 160 bits in Base32", secret, err)
	}
	seen := map[string]int{}
	for at := range 20 {
		other := random
		other[at] ^= 0x55
		s, _ := o.Secret(other, "ann@example.com")
		seen[s]++
	}
	if again, _ := o.Secret(random, "bob@example.com"); again != secret {
		t.Errorf("Secret of the same randomness = %q, want %q", again, secret)
	}
	if len(seen) != 20 || seen[secret] > 0 {
		t.Errorf("20 different bytes of randomness make %d different secrets", len(seen))
	}
}

func otpURI(t tester, o ports.OneTimePasswords) {
	secret, uri := o.Secret([32]byte{1}, "ann@example.com")
	for _, part := range []string{"secret=" + secret, "ann@example.com", "issuer="} {
		if !strings.HasPrefix(uri, "otpauth://totp/") || !strings.Contains(uri, part) {
			t.Errorf("the URI is %q, want %s in an otpauth://totp/ one", uri, part)
		}
	}
}

func otpSteps(t tester, o ports.OneTimePasswords) {
	for at, code := range map[int64]string{59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"} {
		step, ok := o.Match(otpVector, code, time.Unix(at, 0))
		if !ok || step != at/30 {
			t.Errorf("Match(%s) at %d = %d, %v, want step %d (RFC 6238 appendix B)", code, at, step, ok, at/30)
		}
	}
}

// A step is named, not how far it is away: that is how a code used twice is
// known.
func otpDrift(t tester, o ports.OneTimePasswords) {
	const period = 30 * time.Second
	begin := time.Unix(otpStep*30, 0)
	for at, ok := range map[time.Duration]bool{
		-period - 1: false, -period: true, -1: true, 0: true, period - 1: true, period: true, 2*period - 1: true, 2 * period: false, 3 * period: false,
	} {
		wantStep(t, o, otpCode, begin.Add(at), otpStep, ok)
	}
}

func otpSecrets(t tester, o ports.OneTimePasswords) {
	other, _ := o.Secret([32]byte{1}, "ann@example.com")
	if _, ok := o.Match(other, otpCode, otpTime); ok {
		t.Errorf("Match of another secret's code = true, want false")
	}
	wantStep(t, o, otpCode[1:]+"5", otpTime, 0, false)
}

func otpGroups(t tester, o ports.OneTimePasswords) {
	for _, code := range []string{"081 804", " 081804 ", "08 18 04"} {
		wantStep(t, o, code, otpTime, otpStep, true)
	}
}

// Parsers of numbers take signs, other scripts' digits and leading zeros.
func otpShapes(t tester, o ports.OneTimePasswords) {
	wide := strings.Map(func(r rune) rune { return r - '0' + '０' }, otpCode)
	arabic := strings.Map(func(r rune) rune { return r - '0' + '٠' }, otpCode)
	for _, code := range []string{
		"", " ", otpCode[1:], otpCode[:5], "0" + otpCode, otpCode + "0", "00" + otpCode, otpCode + otpCode, "+" + otpCode[1:], "-81804", "81804",
		otpCode + "\x00", otpCode + "\n", "\t" + otpCode, "081-804", "081\u00a0804", "081.804", "0x13f7c", wide, arabic, strings.Repeat("0", 100_000),
		strings.Repeat(" ", 100_000) + otpCode, "081８04", fmt.Sprintf("%06x", 81804),
	} {
		wantStep(t, o, code, otpTime, 0, false)
	}
}

func otpNoSecret(t tester, o ports.OneTimePasswords) {
	for _, secret := range []string{"1", "not base32 at all!", "\x00", otpVector[1:] + "0", strings.Repeat("=", 32)} {
		if _, ok := o.Match(secret, otpCode, otpTime); ok {
			t.Errorf("Match of the secret %q = true, want false", secret)
		}
	}
}
