// Package ticket holds what a link in a mail stands for: the right to do one
// thing with one account, once, for an hour. A [Ticket] is known by the
// [secret.Key] of its token; the token itself is in the mail alone.
package ticket

import (
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/secret"
	"gatehouse/domain/user"
)

// Lifetime is how long a ticket is good (ASVS 5.0 6.5.5 asks for a defined
// one; NIST SP 800-63B-4 section 4.2.1.2 lets a code by mail live 24 hours).
const Lifetime = time.Hour

// Purpose is what a ticket is good for.
type Purpose struct{ name string }

// The purposes.
var (
	PasswordReset     = Purpose{"password_reset"}
	EmailVerification = Purpose{"email_verification"} // of the address that the account has
	EmailChange       = Purpose{"email_change"}       // to the address of the ticket
)

var purposes = []Purpose{PasswordReset, EmailVerification, EmailChange}

// Purposes are all purposes.
func Purposes() []Purpose { return append([]Purpose(nil), purposes...) }

// ParsePurpose reads the name of a purpose.
func ParsePurpose(s string) (Purpose, bool) {
	for _, p := range purposes {
		if p.name == s {
			return p, true
		}
	}
	return Purpose{}, false
}

func (p Purpose) String() string { return p.name }

// Ticket is one right. Of one user and purpose there is at most one: a new one
// voids the old.
type Ticket struct {
	Key       secret.Key
	UserID    user.ID
	Purpose   Purpose
	Email     user.Email // where the mail went
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// Issue makes a ticket that is good from now on.
func Issue(k secret.Key, u user.ID, p Purpose, e user.Email, now time.Time) Ticket {
	at := now.UTC().Truncate(time.Microsecond)
	return Ticket{Key: k, UserID: u, Purpose: p, Email: e, IssuedAt: at, ExpiresAt: at.Add(Lifetime)}
}

// Good reports whether t may still be used at now.
func (t Ticket) Good(now time.Time) bool { return now.Before(t.ExpiresAt) }

// ErrInvalid answers a ticket that was used, has expired, was voided, or never
// was: which of them nobody is told.
var ErrInvalid = fault.New(fault.Gone, "token_invalid", "This link is no longer good. Ask for a new one.")
