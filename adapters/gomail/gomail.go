// Package gomail sends mail with github.com/wneessen/go-mail: over SMTP
// ([SMTP]), or, where there is no mail server, into a folder as files that any
// mail program opens ([Folder]).
//
// Both write the same mail (this file): plain text and HTML to choose from, as
// UTF-8 that is not encoded, so that a link can be read and copied out of the
// file. What is sent when, and again if it failed, is application/mailing.
package gomail

import (
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"

	gomail "github.com/wneessen/go-mail"

	"gatehouse/domain/mail"
	"gatehouse/domain/user"
)

// maxLine is how many octets a line of a mail may have, less its end (RFC 5322
// section 2.1.1).
const maxLine = 998

// sender is who mails come from.
type sender struct {
	address *netmail.Address
	host    string // what Message-IDs are unique under
}

// newSender reads an address such as "Gatehouse <no-reply@example.com>", which
// is ASCII but for the name.
func newSender(from string) (sender, error) {
	a, err := netmail.ParseAddress(from)
	if err != nil {
		return sender{}, fmt.Errorf("mail cannot come from %q: %w", from, err)
	}
	at := strings.LastIndexByte(a.Address, '@')
	if !ascii(a.Address) {
		return sender{}, fmt.Errorf("mail cannot come from %q: the address is to be in ASCII, its domain as xn--…", from)
	}
	return sender{a, strings.Trim(a.Address[at+1:], "[]")}, nil
}

// write makes the mail. Without eightBit, what is not ASCII is written as
// quoted-printable.
func (s sender) write(m mail.Message, eightBit bool) (*gomail.Msg, error) {
	m, err := m.Checked()
	if err != nil {
		return nil, err
	}
	out := gomail.NewMsg(gomail.WithEncoding(gomail.EncodingB64), gomail.WithNoDefaultUserAgent()) // the encoding is that of the head
	out.FromMailAddress(s.address)
	if err := out.To(asciiAddress(m.To)); err != nil {
		return nil, errors.New("an address that was checked is refused") // the library's error repeats it
	}
	out.Subject(m.Subject)
	out.SetDateWithValue(m.At.UTC())
	out.SetMessageIDWithValue(m.ID.String() + "@" + s.host)
	out.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no out-of-office notes, please
	out.SetGenHeader("X-Auto-Response-Suppress", "All")  // the same to Exchange
	out.SetBodyString(gomail.TypeTextPlain, body(m.Text), partEncoding(m.Text, eightBit))
	if m.HTML != "" {
		out.AddAlternativeString(gomail.TypeTextHTML, body(m.HTML), partEncoding(m.HTML, eightBit))
	}
	return out, nil
}

// asciiAddress gives an address that was checked with its domain as mail
// servers take it without the extension for others (RFC 6531).
func asciiAddress(to string) string {
	e, err := user.NewEmail(to)
	if err != nil {
		return to
	}
	local, domain := e.String(), e.Canonical()
	return local[:strings.LastIndexByte(local, '@')] + domain[strings.LastIndexByte(domain, '@'):]
}

// body gives a text with the ends of its lines as mail has them.
func body(text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.ToValidUTF8(text, "\uFFFD"))
	return strings.ReplaceAll(strings.TrimRight(text, "\n")+"\n", "\n", "\r\n")
}

// partEncoding leaves a text as it is, unless that is not allowed.
func partEncoding(text string, eightBit bool) gomail.PartOption {
	for line := range strings.Lines(body(text)) {
		if len(line) > maxLine+len("\r\n") || !eightBit && !ascii(line) {
			return gomail.WithPartEncoding(gomail.EncodingQP)
		}
	}
	return gomail.WithPartEncoding(gomail.NoEncoding)
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 127 })
}
