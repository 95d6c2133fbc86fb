package mail_test

import (
	"errors"
	"strings"
	"testing"

	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/ticket"
)

func TestKinds(t *testing.T) {
	purposes := map[mail.Kind]ticket.Purpose{
		mail.ResetPassword: ticket.PasswordReset, mail.VerifyEmail: ticket.EmailVerification, mail.ConfirmNewEmail: ticket.EmailChange,
	}
	seen := map[string]bool{}
	for _, k := range mail.Kinds() {
		if got, ok := mail.ParseKind(k.String()); !ok || got != k || k.String() == "" || seen[k.String()] {
			t.Errorf("ParseKind(%q) = %q, %v", k, got, ok)
		}
		seen[k.String()] = true
		want, link := purposes[k]
		if p, has := k.Purpose(); p != want || has != link {
			t.Errorf("%s has the purpose %q, %v, want %q, %v", k, p, has, want, link)
		}
	}
	if len(seen) != 12 {
		t.Errorf("there are %d kinds, want 12", len(seen))
	}
	for _, s := range []string{"", "Reset_password", "reset_password\n", "password_reset"} {
		if got, ok := mail.ParseKind(s); ok || got != (mail.Kind{}) {
			t.Errorf("ParseKind(%q) = %q, %v, want none", s, got, ok)
		}
	}
	mail.Kinds()[0] = mail.Kind{}
	if mail.Kinds()[0] == (mail.Kind{}) {
		t.Error("who alters what Kinds gave alters the kinds")
	}
}

func TestParseLanguage(t *testing.T) {
	for tag, want := range map[string]mail.Language{"ko": mail.Korean, "en": mail.English, "": mail.English, "fr": mail.English, "KO": mail.English, "ko-KR": mail.English} {
		if got := mail.ParseLanguage(tag); got != want {
			t.Errorf("ParseLanguage(%q) = %q, want %q", tag, got, want)
		}
	}
}

func TestChecked(t *testing.T) {
	m := mail.Message{To: " Ann@example.com ", Subject: " 안녕\r\nBcc: victim@example.com\x00\u2028\u0085\xff ", Text: "text\n", HTML: "<p>text</p>"}
	got, err := m.Checked()
	if err != nil {
		t.Fatal(err)
	}
	if got.To != "Ann@example.com" || got.Text != m.Text || got.HTML != m.HTML {
		t.Errorf("Checked = %+v, want the address trimmed and the text as it was", got)
	}
	if want := "안녕  Bcc: victim@example.com   \ufffd"; got.Subject != want {
		t.Errorf("Checked made the subject %q, want %q", got.Subject, want)
	}
	for _, to := range []string{"", "ann", "ann@example.com\r\nBcc: victim@example.com", "ann@example.com, bob@example.com", strings.Repeat("a", 300) + "@example.com"} {
		if got, err := (mail.Message{To: to}).Checked(); !errors.Is(err, fault.Invalid) || got != (mail.Message{}) {
			t.Errorf("Checked(to %q) = %+v, %v, want Invalid", to, got, err)
		}
	}
}
