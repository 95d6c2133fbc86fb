package gomail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/ports"
)

// TLS says how the way to a mail server is encrypted.
type TLS string

// The ways. Certificates are checked in all of them but NoTLS.
const (
	ImplicitTLS      TLS = "implicit"      // from the first byte, as on port 465 (RFC 8314)
	RequiredTLS      TLS = "required"      // after STARTTLS, and not at all without
	OpportunisticTLS TLS = "opportunistic" // after STARTTLS, where the server offers it
	NoTLS            TLS = "none"
)

// Server is a mail server that takes our mail.
type Server struct {
	Host     string
	Port     int
	TLS      TLS
	User     string // "" for none
	Password string // never sent over a way that is not encrypted, but to this machine
	From     string // such as "Gatehouse <no-reply@example.com>"

	Roots    *x509.CertPool // who may vouch for the server; nil for those that the system trusts
	Patience time.Duration  // with one mail; 0 means 20 s, which is less than a letter is claimed for (application/mailing)
}

const patience = 20 * time.Second

// SMTP hands mails to a mail server, over a connection of its own for each.
type SMTP struct {
	server Server
	from   sender
	secret *strings.Replacer
}

var _ ports.Mailer = (*SMTP)(nil)

// NewSMTP returns a mailer to the server, which it does not talk to yet.
func NewSMTP(s Server) (*SMTP, error) {
	from, err := newSender(s.From)
	if err != nil {
		return nil, err
	}
	if s.Patience == 0 {
		s.Patience = patience
	}
	return &SMTP{server: s, from: from, secret: hiding(s)}, nil
}

// Send implements ports.Mailer.
//
// A recipient that the server refuses for good is fault.Invalid. A refusal that
// speaks of us (the sender, our rights, the mail's text) is fault.Unavailable:
// somebody can mend that, and the letter is still there then.
func (s *SMTP) Send(ctx context.Context, m mail.Message) error {
	if err := ctx.Err(); err != nil {
		return fault.Outage(err)
	}
	if _, err := m.Checked(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.server.Patience)
	defer cancel()
	err := s.send(ctx, m)
	if err == nil {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return fault.Outage(errors.Join(ctx.Err(), s.safe(err, m)))
	}
	if forGood(err) {
		return errRefused.Because(s.safe(err, m))
	}
	return fault.Outage(s.safe(err, m))
}

var errRefused = fault.New(fault.Invalid, "mail_refused", "The mail server does not deliver to this address.")

// send has one conversation with the server.
func (s *SMTP) send(ctx context.Context, m mail.Message) error {
	line := &line{server: s.server}
	defer line.hangUp()
	client, err := gomail.NewClient(s.server.Host, s.options(ctx, line)...)
	if err != nil {
		return err
	}
	talk, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return err
	}
	eightBit, _ := talk.Extension("8BITMIME")
	msg, err := s.from.write(m, eightBit)
	if err != nil {
		return err
	}
	if err := client.SendWithSMTPClient(talk, msg); err != nil {
		return err
	}
	_ = client.CloseWithSMTPClient(talk) // good-bye: a mail that was taken is not sent twice for want of it
	return nil
}

func (s *SMTP) options(ctx context.Context, l *line) []gomail.Option {
	policy := gomail.TLSMandatory
	switch s.server.TLS {
	case OpportunisticTLS:
		policy = gomail.TLSOpportunistic
	case NoTLS, ImplicitTLS: // there already, or not at all
		policy = gomail.NoTLS
	}
	options := []gomail.Option{
		gomail.WithPort(s.server.Port), gomail.WithTimeout(s.server.Patience / 2), gomail.WithTLSPolicy(policy), gomail.WithTLSConfig(s.server.tls()),
		gomail.WithDialContextFunc(func(step context.Context, network, address string) (net.Conn, error) {
			return l.dial(ctx, step, network, address)
		}),
		gomail.WithoutNoop(), gomail.WithoutRset(), gomail.WithoutSMTPUTF8(), // what we send is ASCII outside the body
	}
	if s.server.User == "" {
		return options
	}
	return append(options, gomail.WithUsername(s.server.User), gomail.WithPassword(s.server.Password),
		gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1))
}

func (s Server) tls() *tls.Config {
	return &tls.Config{ServerName: s.Host, MinVersion: tls.VersionTLS12, RootCAs: s.Roots}
}

// line is the connection of one conversation.
type line struct {
	server Server
	conn   net.Conn
	stop   func() bool
}

// dial connects, and hangs up as soon as the whole mail has taken too long: the
// library watches over connecting and over single steps alone.
func (l *line) dial(whole, step context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(step, network, address)
	if err != nil {
		return nil, err
	}
	l.conn, l.stop = conn, context.AfterFunc(whole, func() { conn.Close() })
	if l.server.TLS != ImplicitTLS {
		return conn, nil
	}
	encrypted := tls.Client(conn, l.server.tls())
	if err := encrypted.HandshakeContext(step); err != nil {
		return nil, err
	}
	return encrypted, nil
}

func (l *line) hangUp() {
	if l.conn != nil {
		l.stop()
		l.conn.Close()
	}
}

// forGood reports whether an error is the server's last word about the
// recipient: a reply of 5xx to RCPT, unless it says that the mailbox is full
// (552, RFC 5321 section 4.5.3.1.10; x.2.2) or that we may not send (530; x.7.x,
// RFC 3463).
func forGood(err error) bool {
	refused, ok := errors.AsType[*gomail.SendError](err)
	if !ok || refused.Reason != gomail.ErrSMTPRcptTo {
		return false
	}
	code, detail := refused.ErrorCode(), refused.EnhancedStatusCode()
	return code >= 500 && code != 530 && code != 552 && !strings.HasPrefix(detail, "5.7.") && detail != "5.2.2"
}

// safe gives an error for logs: without the password, which a server may repeat
// in the form in which it came, and without the address, which logs outlive.
func (s *SMTP) safe(err error, m mail.Message) error {
	text := s.secret.Replace(err.Error())
	return errors.New(strings.NewReplacer(m.To, "<recipient>", asciiAddress(m.To), "<recipient>").Replace(text))
}

// hiding takes the password out of a text, and every form in which we send it.
func hiding(s Server) *strings.Replacer {
	const masked = "***"
	var pairs []string
	for _, form := range []string{"\x00" + s.User + "\x00" + s.Password, s.Password} {
		if s.Password != "" {
			pairs = append(pairs, base64.StdEncoding.EncodeToString([]byte(form)), masked, form, masked)
		}
	}
	return strings.NewReplacer(pairs...)
}
