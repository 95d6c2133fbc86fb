// Package smtptest is a mail server for tests: it takes mail on this machine,
// keeps it, and refuses what it is told to refuse. Read [Start].
package smtptest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options are what a server is like. The zero value is one without TLS and
// without accounts, on a port of its own.
type Options struct {
	Listen         string      // address; "" for any free port of this machine
	TLS            *tls.Config // with a certificate; nil offers none
	Implicit       bool        // TLS from the first byte, as on port 465
	User, Password string      // "" takes mail from anybody
	SevenBit       bool        // does not offer 8BITMIME

	// Judge, if there is one, is asked before every answer for what to answer a
	// verb with its argument, as in [Server.Answer]; "ok" leaves it to that. The
	// argument of "BODY" is the recipient. It may take its time.
	Judge func(verb, argument string) string
}

// Mail is one that was taken.
type Mail struct {
	From, To   string // of the envelope
	Parameters string // of MAIL, such as BODY=8BITMIME
	Raw        []byte // as it came, without the dots that SMTP adds
	TLS        bool   // it came over TLS
}

// Server is a running mail server.
type Server struct {
	options  Options
	listener net.Listener
	running  sync.WaitGroup
	silent   chan struct{}
	taken    chan struct{}
	refused  chan struct{}

	mu      sync.Mutex
	mails   []Mail
	answers map[string]string // by verb
	open    map[net.Conn]bool
}

// Start starts a server, which is stopped when the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", o.Listen)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		options: o, listener: ln, answers: map[string]string{}, open: map[net.Conn]bool{},
		silent: make(chan struct{}, 1), taken: make(chan struct{}, 1000), refused: make(chan struct{}, 1000),
	}
	s.running.Go(s.accept)
	t.Cleanup(s.Stop)
	return s
}

// Addr is where the server listens, such as 127.0.0.1:4711.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Port is that of [Server.Addr].
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Answer has the server answer a verb, such as "RCPT", with a line such as "550
// 5.1.1 no such user" from now on. The verb "BODY" stands for the end of a
// mail, "HELLO" for the greeting. An empty line hangs up, "-" says nothing (see
// [Server.Silent]), and "ok" is as it was before. "taken" at the end of a mail
// keeps it and hangs up: the server died after it had taken the mail.
func (s *Server) Answer(verb, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[verb] = line
}

// Mails are those that were taken.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Silent tells when the server has begun to say nothing.
func (s *Server) Silent() <-chan struct{} { return s.silent }

// Taken tells of each mail that was taken.
func (s *Server) Taken() <-chan struct{} { return s.taken }

// Refused tells of each time that the server has answered as it was told to.
func (s *Server) Refused() <-chan struct{} { return s.refused }

// tell puts word into a channel, unless nobody has listened for long.
func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Stop hangs up on everybody and listens no more.
func (s *Server) Stop() {
	s.listener.Close()
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[c] = true
		s.mu.Unlock()
		s.running.Go(func() {
			defer func() {
				c.Close()
				s.mu.Lock()
				delete(s.open, c)
				s.mu.Unlock()
			}()
			talk := &conversation{server: s}
			talk.over(c)
			if s.options.Implicit {
				talk.encrypt()
			}
			talk.run()
		})
	}
}

// conversation is one connection.
type conversation struct {
	server *Server
	conn   net.Conn
	in     *bufio.Reader
	tls    bool
	known  bool // has shown who it is
	mail   Mail
	about  string // the argument of the verb that is being answered
}

func (c *conversation) over(conn net.Conn) {
	c.conn, c.in = conn, bufio.NewReader(conn)
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
}

func (c *conversation) encrypt() {
	c.over(tls.Server(c.conn, c.server.options.TLS))
	c.tls = true
}

var errHungUp = errors.New("hung up")

// taken is what [Server.Answer] tells of.
const taken = "taken"

// instead is what the test wants the verb answered with, if it wants something.
func (s *Server) instead(verb, argument string) (string, bool) {
	if s.options.Judge != nil {
		if line := s.options.Judge(verb, argument); line != "ok" {
			return line, true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	line, has := s.answers[verb]
	return line, has && line != "ok"
}

// say answers a verb with a line, or with what the test wants instead, and
// reports whether it went as it was meant.
func (c *conversation) say(verb, line string) (bool, error) {
	other, has := c.server.instead(verb, c.about)
	return c.answer(line, other, has)
}

// answer says a line, or the other if there is one.
func (c *conversation) answer(line, other string, has bool) (bool, error) {
	if has {
		tell(c.server.refused)
	}
	switch {
	case has && (other == "" || other == taken):
		return false, errHungUp
	case has && other == "-":
		tell(c.server.silent)
		_, err := c.in.ReadByte() // until the other side hangs up
		return false, errors.Join(errHungUp, err)
	case has:
		line = other
	}
	_, err := fmt.Fprintf(c.conn, "%s\r\n", line)
	return !has, err
}

func (c *conversation) run() {
	if _, err := c.say("HELLO", "220 mail.example.com ESMTP"); err != nil {
		return
	}
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if err := c.command(strings.ToUpper(verb), rest); err != nil {
			return
		}
	}
}

func (c *conversation) command(verb, rest string) error {
	c.about = rest
	switch verb {
	case "EHLO":
		return c.ehlo()
	case "STARTTLS":
		if ok, err := c.say(verb, "220 2.0.0 go ahead"); !ok {
			return err
		}
		c.encrypt()
		return nil
	case "AUTH":
		return c.auth(rest)
	case "MAIL":
		if c.server.options.User != "" && !c.known {
			_, err := c.say(verb, "530 5.7.0 authentication required")
			return err
		}
		_, parameters, _ := strings.Cut(rest, "> ")
		c.mail = Mail{From: path(rest), Parameters: parameters, TLS: c.tls}
		_, err := c.say(verb, "250 2.1.0 ok")
		return err
	case "RCPT":
		ok, err := c.say(verb, "250 2.1.5 ok")
		if ok {
			c.mail.To = path(rest)
		}
		return err
	case "DATA":
		if ok, err := c.say(verb, "354 go ahead"); !ok {
			return err
		}
		return c.body()
	case "QUIT":
		_, err := c.say(verb, "221 2.0.0 bye")
		return errors.Join(err, errHungUp)
	}
	_, err := c.say(verb, "250 2.0.0 ok")
	return err
}

func (c *conversation) ehlo() error {
	lines := []string{"mail.example.com", "PIPELINING", "ENHANCEDSTATUSCODES", "SMTPUTF8"}
	if !c.server.options.SevenBit {
		lines = append(lines, "8BITMIME")
	}
	if c.server.options.TLS != nil && !c.tls {
		lines = append(lines, "STARTTLS")
	}
	if c.server.options.User != "" {
		lines = append(lines, "AUTH PLAIN LOGIN")
	}
	for i := range lines {
		mark := "-"
		if i == len(lines)-1 {
			mark = " "
		}
		lines[i] = "250" + mark + lines[i]
	}
	_, err := c.say("EHLO", strings.Join(lines, "\r\n"))
	return err
}

// auth takes AUTH PLAIN (RFC 4616) with its initial response.
func (c *conversation) auth(rest string) error {
	mechanism, initial, _ := strings.Cut(rest, " ")
	given, _ := base64.StdEncoding.DecodeString(initial)
	want := "\x00" + c.server.options.User + "\x00" + c.server.options.Password
	if mechanism != "PLAIN" || string(given) != want {
		// As bad as a server can be: it repeats what it was given.
		_, err := c.say("AUTH", fmt.Sprintf("535 5.7.8 authentication failed: %s %q", initial, given))
		return err
	}
	ok, err := c.say("AUTH", "235 2.7.0 welcome")
	c.known = ok
	return err
}

// body reads a mail up to the dot that stands alone (RFC 5321 section 4.5.2).
func (c *conversation) body() error {
	var raw bytes.Buffer
	for {
		line, err := c.in.ReadBytes('\n')
		if err != nil {
			return err
		}
		if string(line) == ".\r\n" {
			break
		}
		raw.Write(bytes.TrimPrefix(line, []byte(".")))
	}
	c.about = c.mail.To
	other, has := c.server.instead("BODY", c.about)
	if !has || other == taken {
		c.mail.Raw = raw.Bytes()
		c.server.mu.Lock()
		c.server.mails = append(c.server.mails, c.mail)
		c.server.mu.Unlock()
		tell(c.server.taken)
	}
	_, err := c.answer("250 2.0.0 taken", other, has)
	return err
}

// path gives the address in MAIL FROM:<…> or RCPT TO:<…>.
func path(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}
