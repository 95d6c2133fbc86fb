package gomail_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"gatehouse/adapters/gomail"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/ports/portstest"
	"gatehouse/tests/smtptest"
)

func wantKind(t *testing.T, err error, want fault.Kind, what string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

// mailer sends to the server, without TLS unless alter says otherwise.
func mailer(t *testing.T, s *smtptest.Server, alter func(*gomail.Server)) *gomail.SMTP {
	t.Helper()
	to := gomail.Server{Host: "127.0.0.1", Port: s.Port(), TLS: gomail.NoTLS, From: from}
	if alter != nil {
		alter(&to)
	}
	m, err := gomail.NewSMTP(to)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func received(t *testing.T, s *smtptest.Server) []mail.Message {
	t.Helper()
	var all []mail.Message
	for _, m := range s.Mails() {
		all = append(all, read(t, m.Raw))
	}
	return all
}

func TestSMTP(t *testing.T) {
	for name, o := range map[string]smtptest.Options{"eight bits": {}, "seven bits": {SevenBit: true}} {
		t.Run(name, func(t *testing.T) {
			portstest.Mailer(t, func(t *testing.T) portstest.Mailbox {
				s := smtptest.Start(t, o)
				return portstest.Mailbox{Mailer: mailer(t, s, nil), Received: func() []mail.Message { return received(t, s) }}
			})
		})
	}
}

// A server that speaks ASCII alone gets ASCII alone.
func TestSevenBits(t *testing.T) {
	s := smtptest.Start(t, smtptest.Options{SevenBit: true})
	m := letter(1)
	m.Text, m.To = "길\n", "ann@예시.example"
	if err := mailer(t, s, nil).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	for _, got := range s.Mails() {
		if strings.ContainsFunc(string(got.Raw)+got.To, func(r rune) bool { return r > 127 }) {
			t.Errorf("what came is not ASCII: to %s\n%s", got.To, got.Raw)
		}
	}
}

func TestEnvelope(t *testing.T) {
	s := smtptest.Start(t, smtptest.Options{})
	if err := mailer(t, s, nil).Send(t.Context(), letter(1)); err != nil {
		t.Fatal(err)
	}
	got := s.Mails()
	if len(got) != 1 || got[0].From != "no-reply@shop.example.com" || got[0].To != "ann@example.com" || got[0].Parameters != "BODY=8BITMIME" {
		t.Errorf("came %+v, want one from our address to ann's, with nothing of it in UTF-8 but the body", got)
	}
}

// What a server's replies mean. The verb is that after which the reply comes.
func TestReplies(t *testing.T) {
	for _, c := range []struct {
		verb, reply string
		want        fault.Kind
	}{
		{"RCPT", "550 5.1.1 no such user", fault.Invalid},
		{"RCPT", "550 no such user", fault.Invalid},
		{"RCPT", "553 5.1.3 bad address", fault.Invalid},
		{"RCPT", "556 5.1.10 the domain takes no mail", fault.Invalid},
		{"RCPT", "550 5.7.1 relaying denied", fault.Unavailable},
		{"RCPT", "554 5.7.1 your address is on a list", fault.Unavailable},
		{"RCPT", "530 authentication required", fault.Unavailable},
		{"RCPT", "552 5.2.2 mailbox full", fault.Unavailable},
		{"RCPT", "550 5.2.2 mailbox full", fault.Unavailable},
		{"RCPT", "450 4.2.0 greylisted", fault.Unavailable},
		{"RCPT", "452 4.5.3 too many", fault.Unavailable},
		{"RCPT", "", fault.Unavailable},
		{"MAIL", "553 5.1.8 sender refused", fault.Unavailable},
		{"DATA", "554 5.5.1 no", fault.Unavailable},
		{"BODY", "554 5.6.0 this looks like spam", fault.Unavailable},
		{"BODY", "451 4.3.0 disk full", fault.Unavailable},
		{"BODY", "", fault.Unavailable},
		{"HELLO", "554 5.3.2 go away", fault.Unavailable},
		{"HELLO", "", fault.Unavailable},
		{"HELLO", "HTTP/1.1 400 Bad Request", fault.Unavailable},
	} {
		t.Run(c.verb+" "+c.reply, func(t *testing.T) {
			s := smtptest.Start(t, smtptest.Options{})
			s.Answer(c.verb, c.reply)
			m := mailer(t, s, nil)
			err := m.Send(t.Context(), letter(1))
			wantKind(t, err, c.want, "Send")
			if err != nil && strings.Contains(err.Error(), "ann@") {
				t.Errorf("the error holds the address: %v", err)
			}
			if len(s.Mails()) > 0 {
				t.Errorf("a mail came all the same")
			}
			s.Answer(c.verb, "ok")
			if err := m.Send(t.Context(), letter(1)); err != nil {
				t.Errorf("Send after the server has come to itself = %v", err)
			}
		})
	}
}

// What goes wrong after a mail was taken must not have it sent twice.
func TestATakenMailIsSent(t *testing.T) {
	for _, reply := range []string{"", "421 4.3.2 going down", "nonsense"} {
		s := smtptest.Start(t, smtptest.Options{})
		for _, verb := range []string{"QUIT", "RSET", "NOOP"} {
			s.Answer(verb, reply)
		}
		if err := mailer(t, s, nil).Send(t.Context(), letter(1)); err != nil || len(s.Mails()) != 1 {
			t.Errorf("Send with %q to the good-bye = %v, %d mails, want one", reply, err, len(s.Mails()))
		}
	}
}

// A server that is silent is given up on by itself.
func TestPatience(t *testing.T) {
	s := smtptest.Start(t, smtptest.Options{})
	s.Answer("RCPT", "-")
	m := mailer(t, s, func(to *gomail.Server) { to.Patience = 50 * time.Millisecond })
	wantKind(t, m.Send(t.Context(), letter(1)), fault.Unavailable, "Send to a silent server")
}

func TestNoServer(t *testing.T) {
	s := smtptest.Start(t, smtptest.Options{})
	m := mailer(t, s, nil)
	s.Stop()
	wantKind(t, m.Send(t.Context(), letter(1)), fault.Unavailable, "Send to a server that is down")
}

// Whoever gives up on a server is not held by it, wherever in the conversation
// it falls silent.
func TestASilentServer(t *testing.T) {
	for _, verb := range []string{"HELLO", "EHLO", "MAIL", "RCPT", "DATA", "BODY", "QUIT"} {
		t.Run(verb, func(t *testing.T) {
			s := smtptest.Start(t, smtptest.Options{})
			s.Answer(verb, "-")
			ctx, cancel := context.WithCancel(t.Context())
			answered := make(chan error, 1)
			m := mailer(t, s, func(to *gomail.Server) { to.Patience = time.Hour })
			go func() { answered <- m.Send(ctx, letter(1)) }()
			<-s.Silent()
			cancel()
			if err := <-answered; verb != "QUIT" {
				wantKind(t, err, fault.Unavailable, "Send")
			}
			s.Stop() // waits until every connection is closed
		})
	}
}

// authority makes certificates, and says who trusts them.
func authority(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots
}

func TestTLS(t *testing.T) {
	with, roots := authority(t)
	for _, c := range []struct {
		name   string
		server smtptest.Options
		way    gomail.TLS
		roots  *x509.CertPool
		sent   bool
		over   bool // over TLS
	}{
		{"required and offered", smtptest.Options{TLS: with}, gomail.RequiredTLS, roots, true, true},
		{"required and not offered", smtptest.Options{}, gomail.RequiredTLS, roots, false, false},
		{"required with a certificate of nobody known", smtptest.Options{TLS: with}, gomail.RequiredTLS, x509.NewCertPool(), false, false},
		{"opportunistic and offered", smtptest.Options{TLS: with}, gomail.OpportunisticTLS, roots, true, true},
		{"opportunistic and not offered", smtptest.Options{}, gomail.OpportunisticTLS, roots, true, false},
		{"opportunistic with a certificate of nobody known", smtptest.Options{TLS: with}, gomail.OpportunisticTLS, x509.NewCertPool(), false, false},
		{"none though offered", smtptest.Options{TLS: with}, gomail.NoTLS, roots, true, false},
		{"implicit", smtptest.Options{TLS: with, Implicit: true}, gomail.ImplicitTLS, roots, true, true},
		{"implicit to a server that is not", smtptest.Options{TLS: with}, gomail.ImplicitTLS, roots, false, false},
		{"implicit with a certificate of nobody known", smtptest.Options{TLS: with, Implicit: true}, gomail.ImplicitTLS, x509.NewCertPool(), false, false},
		{"a way that there is not", smtptest.Options{}, "", roots, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.server.User, c.server.Password = "gate", "secretword"
			s := smtptest.Start(t, c.server)
			m := mailer(t, s, func(to *gomail.Server) {
				to.TLS, to.Roots, to.User, to.Password = c.way, c.roots, "gate", "secretword"
			})
			err := m.Send(t.Context(), letter(1))
			got := s.Mails()
			switch {
			case !c.sent:
				wantKind(t, err, fault.Unavailable, "Send")
				if len(got) > 0 {
					t.Error("a mail came")
				}
			case err != nil || len(got) != 1:
				t.Errorf("Send = %v, %d mails, want one", err, len(got))
			case got[0].TLS != c.over:
				t.Errorf("came over TLS: %v, want %v", got[0].TLS, c.over)
			}
		})
	}
}

// A password goes to this machine alone where the way is not encrypted, and
// stands in no error, even where the server repeats it.
func TestThePasswordIsKept(t *testing.T) {
	with, roots := authority(t)
	const wrong = "wrong-secretword"
	s := smtptest.Start(t, smtptest.Options{TLS: with, User: "gate", Password: "right"})
	for _, way := range []gomail.TLS{gomail.RequiredTLS, gomail.NoTLS} {
		err := mailer(t, s, func(to *gomail.Server) { to.TLS, to.Roots, to.User, to.Password = way, roots, "gate", wrong }).Send(t.Context(), letter(1))
		wantKind(t, err, fault.Unavailable, "Send with a wrong password")
		for _, form := range []string{wrong, "Z2F0ZQB3cm9uZy1z", "d3Jvbmct"} { // as it is, and in Base64
			if strings.Contains(err.Error(), form) {
				t.Errorf("the error holds the password as %s: %v", form, err)
			}
		}
		if !strings.Contains(err.Error(), "535") {
			t.Errorf("the error does not say what the server said: %v", err)
		}
	}
}

func TestSenders(t *testing.T) {
	for _, from := range []string{"", "Gatehouse", "a@b, c@d", "a@b\r\nBcc: x@y.z", "a@예시.example"} {
		if _, err := gomail.NewSMTP(gomail.Server{Host: "localhost", From: from}); err == nil {
			t.Errorf("NewSMTP takes mails from %q", from)
		}
	}
	for _, from := range []string{"no-reply@localhost", "게이트하우스 <no-reply@[127.0.0.1]>"} {
		if _, err := gomail.NewSMTP(gomail.Server{Host: "localhost", From: from}); err != nil {
			t.Errorf("NewSMTP(%q) = %v", from, err)
		}
	}
}
