package portstest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// Mailbox is what the suite of mailers needs: a mailer, and what came of what
// it sent, in any order. An adapter whose mails are text reads them with
// [ReadMail].
type Mailbox struct {
	Mailer   ports.Mailer
	Received func() []mail.Message
}

// Mailer holds a ports.Mailer to its promises.
func Mailer(t *testing.T, open func(t *testing.T) Mailbox) { run(t, mailerChecks, open) }

var mailerChecks = []check[Mailbox]{
	{"a mail arrives as it was sent", mailerArrives},
	{"a mail may be text alone", mailerText},
	{"what mail has no form for arrives all the same", mailerForms},
	{"a domain may be written in any script", mailerDomains},
	{"sending again leaves one mail", mailerAgain},
	{"each mail is one", mailerEach},
	{"nothing in a mail makes a line of its head", mailerInjection},
	{"an address that is none is refused for good", mailerAddress},
	{"a cancelled context is an outage", mailerCancelled},
	{"many at once", mailerAtOnce},
}

// letter is the n-th mail.
func letter(n int) mail.Message {
	return mail.Message{
		ID: id(n), To: fmt.Sprintf("User%d@example.com", n), Subject: "Reset your password",
		Text: "Follow this link:\n\nhttps://shop.example.com/password/reset#token=abc=-_\n",
		HTML: "<p>Follow <a href=\"https://shop.example.com/password/reset#token=abc=-_\">this link</a>:</p>\n",
		At:   noon,
	}
}

// posted is what a mail keeps of m: seconds, and lines that end.
func posted(m mail.Message) mail.Message {
	m.At = m.At.UTC().Truncate(time.Second)
	m.Text, m.HTML = lines(m.Text), lines(m.HTML)
	return m
}

func lines(s string) string {
	if s == "" {
		return ""
	}
	return strings.TrimRight(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s), "\n") + "\n"
}

func send(t tester, b Mailbox, m mail.Message) {
	t.Helper()
	must(t, b.Mailer.Send(t.Context(), m), "Send")
}

// wantMails holds what came to being those mails, in any order.
func wantMails(t tester, b Mailbox, what string, mails ...mail.Message) {
	t.Helper()
	got, all := b.Received(), slices.Clone(mails)
	order := func(a, b mail.Message) int { return a.ID.Compare(b.ID) }
	slices.SortStableFunc(got, order)
	slices.SortStableFunc(all, order)
	if len(got) != len(all) {
		t.Errorf("%s: %d mails came, want %d", what, len(got), len(all))
		return
	}
	for i := range got {
		want(t, posted(got[i]), posted(all[i]), "%s: the mail", what)
	}
}

func mailerArrives(t tester, b Mailbox) {
	m := letter(1)
	m.Subject, m.Text = "비밀번호를 다시 정하세요", "아래 링크를 누르세요.\n\nhttps://shop.example.com/password/reset#token=abc=-_\n"
	m.HTML = "<p>아래 <a href=\"https://shop.example.com/password/reset#token=abc=-_\">링크</a>를 누르세요.</p>\n"
	send(t, b, m)
	wantMails(t, b, "a Korean one", m)
}

func mailerText(t tester, b Mailbox) {
	m := letter(1)
	m.HTML = ""
	send(t, b, m)
	wantMails(t, b, "one without HTML", m)
}

// A line of a mail has up to 998 octets (RFC 5322 section 2.1.1), and one dot
// alone ends it on the way (RFC 5321 section 4.5.2).
func mailerForms(t tester, b Mailbox) {
	var all []mail.Message
	for i, text := range []string{
		strings.Repeat("long ", 1000) + "\nshort\n", strings.Repeat("길", 1000) + "\n", ".\n..\n.a\n", "a\rb\r\nc\n", "From me\nFrom: me\n\n--\n",
		"=20=\n", " leading and trailing \n", "no end of line",
	} {
		m := letter(i)
		m.Text, m.HTML = text, "<p>"+text+"</p>"
		m.Subject = strings.TrimSpace(strings.Repeat("제목 subject ", 20))
		send(t, b, m)
		all = append(all, m)
	}
	wantMails(t, b, "odd lines", all...)
}

// What people wrote is what they have; on the way there is ASCII alone.
func mailerDomains(t tester, b Mailbox) {
	m := letter(1)
	m.To = "Ann.O'Neil+x@예시.example"
	send(t, b, m)
	got := b.Received()
	if len(got) != 1 || got[0].To != m.To && got[0].To != "Ann.O'Neil+x@xn--vv4b11d.example" {
		t.Errorf("to %s came %+v, want one mail to it", m.To, got)
	}
}

// A letter whose sending was not written down is sent again: with another
// token, and the one before is void. Where the first cannot be taken back, both
// are one to whoever looks at the Message-ID.
func mailerAgain(t tester, b Mailbox) {
	first := letter(1)
	again := first
	again.Text, again.HTML = "Another link\n", ""
	again.At = first.At.Add(time.Minute)
	for _, m := range []mail.Message{first, again} {
		send(t, b, m)
	}
	got := b.Received()
	if len(got) == 0 {
		t.Fatalf("no mail came")
	}
	for _, m := range got {
		want(t, m.ID, first.ID, "the id of a mail sent twice")
	}
	if !slices.ContainsFunc(got, func(m mail.Message) bool { return strings.Contains(m.Text, "Another link") }) {
		t.Errorf("what came is not what was sent last: %+v", got)
	}
	if len(got) > 2 {
		t.Errorf("%d mails came, want one, or both", len(got))
	}
}

func mailerEach(t tester, b Mailbox) {
	var all []mail.Message
	for n := range 5 {
		m := letter(n)
		m.To = "same@example.com" // and the same text, at the same time
		send(t, b, m)
		all = append(all, m)
	}
	wantMails(t, b, "five", all...)
}

// Whoever gets a line break into the head of a mail sends their own mail, to
// whom they like, in our name.
func mailerInjection(t tester, b Mailbox) {
	for i, end := range []string{"\r\n", "\n", "\r", "\r\n\r\n", "\x00\r\n", "\u2028", "\u0085"} {
		m := letter(i)
		m.Subject = "Hello" + end + "Bcc: victim@example.com" + end + end + "Buy!"
		err := b.Mailer.Send(t.Context(), m)
		if err != nil && !errors.Is(err, fault.Invalid) {
			t.Errorf("Send(subject with %q) = %v, want none or Invalid", end, err)
		}
		m = letter(i + 100)
		m.To = "ann@example.com" + end + "Bcc: victim@example.com"
		wantError(t, b.Mailer.Send(t.Context(), m), fault.Invalid, "Send(to with %q)", end)
	}
	for _, m := range b.Received() {
		body := letter(0)
		if lines(m.Text) != lines(body.Text) || strings.Contains(m.To, "victim") || strings.ContainsAny(m.Subject, "\r\n\x00") || !strings.HasPrefix(m.Subject, "Hello") {
			t.Errorf("came as %+v", m)
		}
	}
}

func mailerAddress(t tester, b Mailbox) {
	for i, to := range []string{
		"", " ", "ann", "@example.com", "ann@", "ann@example", "ann@@example.com", "ann@example.com, bob@example.com", "Ann <ann@example.com>", "<ann@example.com>",
		"ann@example.com>", "ann bob@example.com", "ann@[127.0.0.1]", "앤@example.com", "ann@exa mple.com", "ann@example.com NOTIFY=NEVER", strings.Repeat("a", 65) + "@example.com",
	} {
		m := letter(i)
		m.To = to
		wantError(t, b.Mailer.Send(t.Context(), m), fault.Invalid, "Send(to %q)", to)
	}
	wantMails(t, b, "to addresses that are none")
}

func mailerCancelled(t tester, b Mailbox) {
	wantUnavailable(t, map[string]error{"Send": b.Mailer.Send(gone(t), letter(1))})
	overdue, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	wantUnavailable(t, map[string]error{"Send": b.Mailer.Send(overdue, letter(2))})
	wantMails(t, b, "for a cancelled context")
}

func mailerAtOnce(t tester, b Mailbox) {
	const mails = 12
	all := make([]mail.Message, mails)
	for n := range all {
		all[n] = letter(n)
		all[n].Text = strings.Repeat(fmt.Sprintf("Mail %d\n", n), 500)
	}
	atOnce(mails, func(n int) {
		if err := b.Mailer.Send(t.Context(), all[n]); err != nil {
			t.Errorf("Send beside others = %v, want no error", err)
		}
	})
	wantMails(t, b, "at once", all...)
}

// ReadMail reads a mail as our adapters write it: plain text, or plain text and
// HTML to choose from (RFC 5322, RFC 2045 to 2047). It tells what is wrong with
// its form.
func ReadMail(raw []byte) (mail.Message, error) {
	for n, line := range strings.SplitAfter(string(raw), "\n") {
		if len(line) > 1000 || line != "" && !strings.HasSuffix(line, "\r\n") || strings.Contains(strings.TrimSuffix(line, "\r\n"), "\r") {
			return mail.Message{}, fmt.Errorf("line %d is no line of a mail: %.100q… of %d bytes", n+1, line, len(line))
		}
	}
	parsed, err := netmail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil {
		return mail.Message{}, err
	}
	m, err := readHead(parsed.Header)
	if err != nil {
		return m, err
	}
	return m, readBody(&m, textproto.MIMEHeader(parsed.Header), parsed.Body)
}

func readHead(h netmail.Header) (m mail.Message, err error) {
	for name, values := range h {
		if len(values) != 1 {
			return m, fmt.Errorf("the field %s stands there %d times", name, len(values))
		}
	}
	local, _, _ := strings.Cut(strings.Trim(h.Get("Message-Id"), "<>"), "@")
	var ok bool
	if m.ID, ok = uuid.Parse(local); !ok {
		return m, fmt.Errorf("the Message-ID %q is not made of an id", h.Get("Message-Id"))
	}
	to, err := h.AddressList("To")
	if err != nil || len(to) != 1 {
		return m, fmt.Errorf("to %q, %w", h.Get("To"), err)
	}
	m.To = to[0].Address
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(h.Get("Subject")); err != nil {
		return m, err
	}
	m.At, err = h.Date()
	return m, err
}

func readBody(m *mail.Message, h textproto.MIMEHeader, body io.Reader) error {
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return err
	}
	if kind == "multipart/alternative" {
		return readParts(m, multipart.NewReader(body, params["boundary"]))
	}
	if h.Get("Content-Transfer-Encoding") == "quoted-printable" {
		body = quotedprintable.NewReader(body)
	} else if e := h.Get("Content-Transfer-Encoding"); e != "7bit" && e != "8bit" {
		return fmt.Errorf("encoded as %q, want it to be read as it is", e)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if !strings.EqualFold(params["charset"], "utf-8") {
		return fmt.Errorf("the charset is %q, want UTF-8", params["charset"])
	}
	switch kind {
	case "text/plain":
		m.Text = lines(string(text))
	case "text/html":
		m.HTML = lines(string(text))
	default:
		return fmt.Errorf("a part of the type %s", kind)
	}
	return nil
}

func readParts(m *mail.Message, parts *multipart.Reader) error {
	for n := 0; ; n++ {
		p, err := parts.NextRawPart()
		if err == io.EOF && n == 2 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d parts: %w", n, err)
		}
		if err := readBody(m, p.Header, p); err != nil {
			return err
		}
		if n == 0 && m.Text == "" { // the richest comes last (RFC 2046 section 5.1.4)
			return errors.New("the first part is not the plain text")
		}
	}
}
