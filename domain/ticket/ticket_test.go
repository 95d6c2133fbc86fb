package ticket_test

import (
	"errors"
	"testing"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/secret"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 123456000, time.UTC)

func TestATicketIsGoodForAnHour(t *testing.T) {
	e, err := user.NewEmail("Ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	key, ann := secret.NewToken([32]byte{1}).Key(), user.ID{UUID: uuid.UUID{1}}
	got := ticket.Issue(key, ann, ticket.EmailChange, e, noon.Add(789).In(time.FixedZone("Seoul", 9*60*60)))
	want := ticket.Ticket{Key: key, UserID: ann, Purpose: ticket.EmailChange, Email: e, IssuedAt: noon, ExpiresAt: noon.Add(time.Hour)}
	if got != want {
		t.Errorf("Issue = %+v, want %+v", got, want)
	}
	for after, good := range map[time.Duration]bool{
		0: true, time.Hour - time.Nanosecond: true, time.Hour: false, time.Hour + time.Nanosecond: false, 1000 * time.Hour: false,
	} {
		if is := got.Good(noon.Add(after)); is != good {
			t.Errorf("Good %v after = %v, want %v", after, is, good)
		}
	}
}

func TestPurposes(t *testing.T) {
	for name, p := range map[string]ticket.Purpose{
		"password_reset": ticket.PasswordReset, "email_verification": ticket.EmailVerification, "email_change": ticket.EmailChange,
	} {
		if got, ok := ticket.ParsePurpose(name); !ok || got != p || p.String() != name {
			t.Errorf("ParsePurpose(%q) = %q, %v", name, got, ok)
		}
	}
	for _, s := range []string{"", "Password_reset", "password_reset ", "login"} {
		if got, ok := ticket.ParsePurpose(s); ok || got != (ticket.Purpose{}) {
			t.Errorf("ParsePurpose(%q) = %q, %v, want none", s, got, ok)
		}
	}
}

// Which of the ways in which a link is no good it was, nobody is told.
func TestErrInvalid(t *testing.T) {
	e, ok := errors.AsType[*fault.Error](ticket.ErrInvalid)
	if !ok || e.Kind != fault.Gone || e.Code != "token_invalid" || e.Reason != "" {
		t.Errorf("ErrInvalid = %+v, want Gone, token_invalid, without a reason", e)
	}
}
