package e2e_test

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/ports/portstest"
	"gatehouse/tests/smtptest"
)

// received is a mail as it came in.
type received struct {
	id      string // Message-ID
	to      string // of the envelope, where it was sent over SMTP
	subject string
	text    string // the plain part
	html    string
}

// token is the secret of the link in the mail, "" if it has none.
func (r received) token() string {
	if m := linkToken.FindStringSubmatch(r.text); m != nil {
		return m[1]
	}
	return ""
}

var linkToken = regexp.MustCompile(`#token=([A-Za-z0-9_-]{43})(?:\s|$)`)

// sink is a mail server that can be stopped and started again on its port, and
// told to answer otherwise than well.
type sink struct {
	t    *testing.T
	addr string

	mu     sync.Mutex
	server *smtptest.Server // nil while it is stopped
	before []smtptest.Mail  // what was taken before it was stopped
	judge  func(verb, argument string) string
}

// newSink gives one that runs.
func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{t: t}
	s.start()
	return s
}

// setting points a node to the sink.
func (s *sink) setting() string { return "GATEHOUSE_MAIL_URL=smtp://" + s.addr }

func (s *sink) start() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = smtptest.Start(s.t, smtptest.Options{Listen: s.addr, Judge: s.answer})
	s.addr = s.server.Addr()
}

// stop closes the port and cuts all connections.
func (s *sink) stop() {
	s.mu.Lock()
	server := s.server
	s.mu.Unlock()
	server.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.server = append(s.before, server.Mails()...), nil
}

// behave has judge answer from now on, see smtptest.Options.
func (s *sink) behave(judge func(verb, argument string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.judge = judge
}

func (s *sink) answer(verb, argument string) string {
	s.mu.Lock()
	judge := s.judge
	s.mu.Unlock()
	if judge == nil {
		return usual
	}
	return judge(verb, argument)
}

// What a judge may say beside lines of SMTP.
const (
	usual         = "ok"
	takeAndHangUp = "taken"
	hangUp        = ""
)

// all is every mail taken so far.
func (s *sink) all() []received {
	s.t.Helper()
	s.mu.Lock()
	mails := slices.Clone(s.before)
	if s.server != nil {
		mails = append(mails, s.server.Mails()...)
	}
	s.mu.Unlock()
	list := make([]received, len(mails))
	for i, m := range mails {
		r, err := readMail(m.Raw)
		if err == nil {
			err = sound(m)
		}
		if err != nil {
			s.t.Fatalf("a mail that cannot be read: %v\n%s", err, m.Raw)
		}
		r.to = m.To
		list[i] = r
	}
	return list
}

// sound holds a mail to what servers on the way may refuse.
func sound(m smtptest.Mail) error {
	if bytes.IndexFunc(m.Raw, func(r rune) bool { return r >= 0x80 }) >= 0 && !strings.Contains(m.Parameters, "BODY=8BITMIME") {
		return errors.New("it has characters of 8 bits, and was not announced so (RFC 6152)")
	}
	return nil
}

// readMail takes a mail apart.
func readMail(raw []byte) (received, error) {
	m, err := portstest.ReadMail(raw)
	return received{id: m.ID.String(), to: m.To, subject: m.Subject, text: m.Text, html: m.HTML}, err
}
