// Package mail holds what is told people by mail. A [Letter] is the decision
// that somebody is to be told something, kept in the outbox in the same step as
// what it tells of; a [Message] is the text that it becomes when it is sent.
//
// A letter holds no secret: the token of a link is made at the moment of
// sending, so that it is nowhere but in the mail (application/mailing).
package mail

import (
	"strings"
	"time"
	"unicode"

	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

// Language is that of a letter.
type Language string

// The languages.
const (
	English Language = "en"
	Korean  Language = "ko"
)

// ParseLanguage gives the language with the tag, English for any other.
func ParseLanguage(tag string) Language {
	if tag == string(Korean) {
		return Korean
	}
	return English
}

// Kind is what a letter tells.
type Kind struct {
	name    string
	purpose ticket.Purpose // of the ticket that its link stands for; zero for none
}

// The kinds.
var (
	ResetPassword       = Kind{"reset_password", ticket.PasswordReset}
	VerifyEmail         = Kind{"verify_email", ticket.EmailVerification}
	ConfirmNewEmail     = Kind{"confirm_new_email", ticket.EmailChange}
	EmailChangeAsked    = Kind{name: "email_change_requested"} // to the old address
	EmailChanged        = Kind{name: "email_changed"}          // to the old address
	AlreadyRegistered   = Kind{name: "already_registered"}     // somebody registers an address that has an account
	PasswordChanged     = Kind{name: "password_changed"}
	NewDevice           = Kind{name: "new_device"}
	SecondFactorOn      = Kind{name: "second_factor_on"}
	SecondFactorOff     = Kind{name: "second_factor_off"}
	RecoveryCodeWasUsed = Kind{name: "recovery_code_used"}
	Notice              = Kind{name: "notice"} // what a team has to say: "subject" and "text"
)

var kinds = []Kind{
	ResetPassword, VerifyEmail, ConfirmNewEmail, EmailChangeAsked, EmailChanged, AlreadyRegistered,
	PasswordChanged, NewDevice, SecondFactorOn, SecondFactorOff, RecoveryCodeWasUsed, Notice,
}

// Kinds are all kinds.
func Kinds() []Kind { return append([]Kind(nil), kinds...) }

// ParseKind reads the name of a kind.
func ParseKind(s string) (Kind, bool) {
	for _, k := range kinds {
		if k.name == s {
			return k, true
		}
	}
	return Kind{}, false
}

func (k Kind) String() string { return k.name }

// Purpose is that of the ticket that goes with the letter, if one does.
func (k Kind) Purpose() (ticket.Purpose, bool) { return k.purpose, k.purpose != ticket.Purpose{} }

// Letter is something that a user is to be told.
type Letter struct {
	ID        uuid.UUID // of the mail too: one event is one mail, however often it is tried
	UserID    user.ID
	Kind      Kind
	To        user.Email
	Language  Language
	Detail    map[string]string // what the text speaks of: "device", "ip", "at", "email"; may be nil
	CreatedAt time.Time
	Attempt   int // how often it was taken out to be sent, this time included
}

// Message is a mail ready to be sent.
type Message struct {
	ID      uuid.UUID // the letter's
	To      string
	Subject string
	Text    string
	HTML    string
	At      time.Time
}

// Checked gives m as it may be sent, its subject in one line, or fault.Invalid if
// it is to no address. A mailer sends nothing else: a line break in the head of
// a mail would let whoever wrote it send mails of their own in our name.
func (m Message) Checked() (Message, error) {
	to, err := user.NewEmail(m.To)
	if err != nil {
		return Message{}, err
	}
	m.To = to.String()
	m.Subject = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(m.Subject, "\uFFFD")))
	return m, nil
}
