package portstest

import (
	"errors"
	"fmt"
	"strings"

	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var hasherChecks = []check[ports.PasswordHasher]{
	{"the right password is verified", hasherRight},
	{"a wrong password is not", hasherWrong},
	{"every character counts", hasherLong},
	{"no hash is no password", hasherZero},
	{"equal passwords have different hashes", hasherSalts},
	{"a hash tells nothing", hasherHides},
	{"a fresh hash is not outdated", hasherFresh},
	{"what is no hash is an error", hasherGarbage},
	{"a cancelled context is an outage", hasherCancelled},
}

const secret = "correct horse 배터리 staple"

func hash(t tester, h ports.PasswordHasher, password string) user.PasswordHash {
	t.Helper()
	made, err := h.Hash(t.Context(), user.PasswordAttempt(password))
	if err != nil || made.IsZero() {
		t.Fatalf("Hash = zero: %v, %v, want a hash", made.IsZero(), err)
	}
	return made
}

func wantVerified(t tester, h ports.PasswordHasher, password string, made user.PasswordHash, want bool, what string) {
	t.Helper()
	if got, err := h.Verify(t.Context(), user.PasswordAttempt(password), made); err != nil || got != want {
		t.Errorf("Verify(%s) = %v, %v, want %v", what, got, err, want)
	}
}

func hasherRight(t tester, h ports.PasswordHasher) {
	for _, password := range []string{secret, "12345678", strings.Repeat("비", user.MaxPasswordLength)} {
		// Stores keep the text of a hash.
		kept := user.NewPasswordHash(hash(t, h, password).Reveal())
		wantVerified(t, h, password, kept, true, "right")
	}
}

func hasherWrong(t tester, h ports.PasswordHasher) {
	made := hash(t, h, secret)
	for _, password := range []string{"", secret + " ", secret[1:], strings.ToUpper(secret), made.Reveal()} {
		wantVerified(t, h, password, made, false, "wrong")
	}
	wantVerified(t, h, "another secret", made, false, "wrong")
}

// bcrypt looks at 72 bytes, which are 24 syllables of Hangul, and C strings end
// at a NUL (threats.md, "Hashing").
func hasherLong(t tester, h ports.PasswordHasher) {
	long := strings.Repeat("비", user.MaxPasswordLength-1)
	wantVerified(t, h, long+"나", hash(t, h, long+"다"), false, "another last character")
	wantVerified(t, h, "secret\x00two", hash(t, h, "secret\x00one"), false, "another end after NUL")
}

func hasherZero(t tester, h ports.PasswordHasher) {
	wantVerified(t, h, secret, user.PasswordHash{}, false, "zero hash")
	wantVerified(t, h, "", user.PasswordHash{}, false, "no password, zero hash")
}

// Without a salt one table of hashes breaks all accounts at once.
func hasherSalts(t tester, h ports.PasswordHasher) {
	first, other := hash(t, h, secret), hash(t, h, secret)
	if first == other {
		t.Errorf("two hashes of one password are equal, want different salts")
	}
	wantVerified(t, h, secret, first, true, "the first of two")
	wantVerified(t, h, secret, other, true, "the second of two")
}

// Hashes end in logs and dumps by mistake.
func hasherHides(t tester, h ports.PasswordHasher) {
	made := hash(t, h, secret)
	if text := made.Reveal(); strings.Contains(text, secret) || strings.Contains(text, "correct horse") {
		t.Errorf("the hash has the password in it")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		want(t, fmt.Sprintf(verb, made), "[redacted]", "Sprintf(%s)", verb)
	}
	if _, err := h.Verify(t.Context(), user.PasswordAttempt(secret), user.NewPasswordHash("$garbage$kept$")); err != nil &&
		(strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "garbage$kept")) {
		t.Errorf("the error of Verify quotes the password or the hash: %v", err)
	}
}

func hasherFresh(t tester, h ports.PasswordHasher) {
	if h.Outdated(hash(t, h, secret)) {
		t.Errorf("Outdated(fresh hash) = true, want false: every sign-in would hash anew")
	}
}

// A hash that was cut short or is of another make can be told by nobody: that
// is neither a wrong password nor an outage, which would be tried again.
func hasherGarbage(t tester, h ports.PasswordHasher) {
	made := hash(t, h, secret).Reveal()
	for _, text := range []string{"x", "$", secret, "$2a$10$abcdefghijklmnopqrstuv", made[:3], "x" + made} {
		ok, err := h.Verify(t.Context(), user.PasswordAttempt(secret), user.NewPasswordHash(text))
		if ok || err == nil || errors.Is(err, fault.Unavailable) {
			t.Errorf("Verify(garbage of %d bytes) = %v, %v, want another error than Unavailable", len(text), ok, err)
		}
	}
}

func hasherCancelled(t tester, h ports.PasswordHasher) {
	made, ctx, p := hash(t, h, secret), gone(t), user.PasswordAttempt(secret)
	again, err := h.Hash(ctx, p)
	wantError(t, err, fault.Unavailable, "Hash with a cancelled context")
	if !again.IsZero() {
		t.Errorf("Hash with a cancelled context = a hash, want none")
	}
	for _, stored := range []user.PasswordHash{made, {}} {
		ok, err := h.Verify(ctx, p, stored)
		wantError(t, err, fault.Unavailable, "Verify with a cancelled context")
		if ok {
			t.Errorf("Verify with a cancelled context = true, want false")
		}
	}
}
