package portstest

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/adapters/totp"
	"gatehouse/ports"
)

func TestOneTimePasswordChecksCanFail(t *testing.T) {
	prove(t, otpChecks, func() ports.OneTimePasswords { return totp.New("Gatehouse") }, otpMutants)
}

// otps has some of its methods replaced.
type otps struct {
	ports.OneTimePasswords
	secret func([32]byte, string) (string, string)
	match  func(string, string, time.Time) (int64, bool)
}

func (o otps) Secret(random [32]byte, account string) (string, string) {
	if o.secret == nil {
		return o.OneTimePasswords.Secret(random, account)
	}
	return o.secret(random, account)
}

func (o otps) Match(secret, code string, now time.Time) (int64, bool) {
	if o.match == nil {
		return o.OneTimePasswords.Match(secret, code, now)
	}
	return o.match(secret, code, now)
}

func otpMutant(check, fault string, f func(r ports.OneTimePasswords) otps) mutant[ports.OneTimePasswords] {
	return mutant[ports.OneTimePasswords]{check, fault, func(r ports.OneTimePasswords) ports.OneTimePasswords {
		m := f(r)
		m.OneTimePasswords = r
		return m
	}}
}

// reading is a mutant that reads codes in its own way.
func reading(check, fault string, read func(string) string) mutant[ports.OneTimePasswords] {
	return otpMutant(check, fault, func(r ports.OneTimePasswords) otps {
		return otps{match: func(secret, code string, now time.Time) (int64, bool) { return r.Match(secret, read(code), now) }}
	})
}

// drawing is a mutant that alters the randomness that it is given.
func drawing(check, fault string, alter func(*[32]byte)) mutant[ports.OneTimePasswords] {
	return otpMutant(check, fault, func(r ports.OneTimePasswords) otps {
		return otps{secret: func(random [32]byte, account string) (string, string) {
			alter(&random)
			return r.Secret(random, account)
		}}
	})
}

// showing is a mutant that alters the URI.
func showing(fault, old, new string) mutant[ports.OneTimePasswords] {
	return otpMutant("the URI shows secret and account", fault, func(r ports.OneTimePasswords) otps {
		return otps{secret: func(random [32]byte, account string) (string, string) {
			secret, uri := r.Secret(random, account)
			return secret, strings.ReplaceAll(uri, old, new)
		}}
	})
}

var otpMutants = []mutant[ports.OneTimePasswords]{
	drawing("a secret has 160 bits of the randomness", "is given the same for everybody", func(b *[32]byte) { *b = [32]byte{} }),
	drawing("a secret has 160 bits of the randomness", "uses 80 bits of it", func(b *[32]byte) { clearAll(b[10:]) }),
	otpMutant("a secret has 160 bits of the randomness", "gives 80 bits", func(r ports.OneTimePasswords) otps {
		return otps{secret: func(random [32]byte, account string) (string, string) {
			secret, uri := r.Secret(random, account)
			return secret[:16], uri
		}}
	}),
	showing("shows another secret", "secret=", "secret=A"),
	showing("shows no account", "ann@example.com", ""),
	showing("shows another kind of code", "totp", "hotp"),
	otpMutant("a code is that of its step", "counts from the present", func(r ports.OneTimePasswords) otps {
		return otps{match: func(secret, code string, now time.Time) (int64, bool) {
			step, ok := r.Match(secret, code, now)
			return step - now.Unix()/30, ok
		}}
	}),
	otpMutant("a code is that of its step", "counts minutes", func(r ports.OneTimePasswords) otps {
		return otps{match: func(secret, code string, now time.Time) (int64, bool) {
			return r.Match(secret, code, now.Add(-time.Minute))
		}}
	}),
	otpMutant("a code is good one step before and after", "bears no drift", func(r ports.OneTimePasswords) otps {
		return otps{match: func(secret, code string, now time.Time) (int64, bool) {
			step, ok := r.Match(secret, code, now)
			return step, ok && step == now.Unix()/30
		}}
	}),
	otpMutant("a code is good one step before and after", "bears two steps", func(r ports.OneTimePasswords) otps {
		return otps{match: func(secret, code string, now time.Time) (int64, bool) {
			step, ok := r.Match(secret, code, now)
			if !ok {
				step, ok = r.Match(secret, code, now.Add(-30*time.Second))
			}
			return step, ok
		}}
	}),
	otpMutant("a code is good one step before and after", "names the present step always", func(r ports.OneTimePasswords) otps {
		return otps{match: func(secret, code string, now time.Time) (int64, bool) {
			_, ok := r.Match(secret, code, now)
			return now.Unix() / 30, ok
		}}
	}),
	otpMutant("a code of another secret is none", "has one secret for all", func(r ports.OneTimePasswords) otps {
		return otps{match: func(_, code string, now time.Time) (int64, bool) { return r.Match(otpVector, code, now) }}
	}),
	otpMutant("a code of another secret is none", "takes any six digits", func(ports.OneTimePasswords) otps {
		return otps{match: func(_, code string, now time.Time) (int64, bool) { return now.Unix() / 30, len(code) == 6 }}
	}),
	otpMutant("a code may be typed in groups", "takes no spaces", func(r ports.OneTimePasswords) otps {
		return otps{match: func(secret, code string, now time.Time) (int64, bool) {
			step, ok := r.Match(secret, code, now)
			return step, ok && !strings.Contains(code, " ")
		}}
	}),
	reading("what is no code is none", "fills up with zeros", func(s string) string {
		return strings.Repeat("0", max(0, 6-len(s))) + s
	}),
	reading("what is no code is none", "looks at six characters", func(s string) string { return s[:min(len(s), 6)] }),
	reading("what is no code is none", "reads a number", func(s string) string {
		if n, err := strconv.ParseInt(s, 0, 64); err == nil {
			return strings.Repeat("0", max(0, 6-len(strconv.FormatInt(n, 10)))) + strconv.FormatInt(n, 10)
		}
		return s
	}),
	reading("what is no code is none", "reads the digits of every script", func(s string) string {
		return strings.Map(func(r rune) rune {
			if r >= '０' && r <= '９' {
				return r - '０' + '0'
			}
			return r
		}, s)
	}),
	reading("what is no code is none", "passes over signs", func(s string) string { return strings.ReplaceAll(s, "-", "") }),
	otpMutant("a secret that is none has no codes", "takes any code then", func(r ports.OneTimePasswords) otps {
		return otps{match: func(secret, code string, now time.Time) (int64, bool) {
			step, ok := r.Match(secret, code, now)
			return step, ok || strings.ContainsAny(secret, "01=")
		}}
	}),
}
