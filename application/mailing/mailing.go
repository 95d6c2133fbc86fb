// Package mailing sends the letters of the outbox: it takes out what is due,
// makes the text in the reader's language (text.go), and hands it to a
// ports.Mailer.
//
// A letter is put into the outbox in one step with what it tells of, by the
// service that did it; nobody waits for it to be sent, and a mail server that
// is down delays mail and nothing else. The token of a link is made here, at
// the moment of sending, and is nowhere but in the mail: a letter that is tried
// again gets a new one, which voids the one before.
package mailing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/application/journal"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/secret"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Config is what a [Service] is made of; every field is needed.
type Config struct {
	Outbox  ports.Outbox
	Tickets ports.TicketRepository
	Users   ports.UserRepository
	Mailer  ports.Mailer
	Random  ports.Random
	Now     ports.Clock

	Site string // what the service calls itself to people, such as "shop.example.com"
	Link string // URL in front of the paths of links, without a slash at its end
}

// Service sends letters.
type Service struct{ Config }

// New returns a service over the ports.
func New(c Config) *Service { return &Service{c} }

// How letters are tried. A claim is longer than all that is done for one letter
// takes, so that two nodes never send the same; a letter whose node dies is
// taken up by another when it is over.
const (
	lease      = sendTime + grace + noteTime
	sendTime   = 15 * time.Second // for a mailer
	grace      = 5 * time.Second  // for one to notice that its time is over
	noteTime   = 10 * time.Second // to note how it came out
	firstPause = time.Second
	lastPause  = time.Minute
	rarePause  = time.Hour
	rareAfter  = 100 // attempts, about an hour and a half
)

// Deliver sends what is due and returns how many mails it has handed over. Its
// error tells of letters that it could not send: those are tried again later,
// after pauses that double up to a minute, and after a hundred attempts once an
// hour. Many nodes may deliver side by side.
func (s *Service) Deliver(ctx context.Context) (sent int, err error) {
	var failures []error
	for ctx.Err() == nil {
		letters, err := s.Outbox.Claim(ctx, s.Now(), lease, 1)
		if err != nil {
			return sent, errors.Join(append(failures, err)...)
		}
		if len(letters) == 0 {
			break
		}
		for _, l := range letters {
			done, err := s.deliver(ctx, l)
			if done {
				sent++
			}
			if err != nil {
				failures = append(failures, fmt.Errorf("letter %s (%s, attempt %d): %w", l.ID, l.Kind, l.Attempt, err))
			}
		}
	}
	return sent, errors.Join(failures...)
}

// deliver sends one letter. What nobody can be told any more, or what no server
// will ever take, is dropped; the latter is an error to be seen.
func (s *Service) deliver(ctx context.Context, l mail.Letter) (sent bool, err error) {
	wanted, err := s.within(ctx, l)
	switch {
	case err == nil:
		return wanted, s.done(ctx, l)
	case errors.Is(err, fault.Invalid):
		return false, errors.Join(err, s.done(ctx, l))
	}
	return false, errors.Join(err, s.postpone(ctx, l, err))
}

// within tries to send the letter in the time that there is for it. A mailer
// that does not come back holds up its own letter and no other.
func (s *Service) within(ctx context.Context, l mail.Letter) (wanted bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	tried := make(chan struct{})
	var was struct {
		wanted bool
		err    error
	}
	go func() {
		defer close(tried)
		was.wanted, was.err = s.try(ctx, l)
	}()
	select {
	case <-tried:
		return was.wanted, was.err
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-tried:
		return was.wanted, was.err
	case <-late.C:
		return false, fault.Outage(errors.New("the mailer has not come back in time"))
	}
}

// try makes the mail of a letter and hands it over. A panic is an error of this
// letter; the token of its link stays out of what is told of an error: servers
// quote what they refuse.
func (s *Service) try(ctx context.Context, l mail.Letter) (wanted bool, err error) {
	var token secret.Token
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		err = without(token, err)
	}()
	m, token, err := s.compose(ctx, l)
	if errors.Is(err, errUnwanted) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.Mailer.Send(ctx, m)
}

// without gives err with a text in which the token does not stand.
func without(t secret.Token, err error) error {
	if err == nil || t == (secret.Token{}) || !strings.Contains(err.Error(), t.Reveal()) {
		return err
	}
	return redacted{err, strings.ReplaceAll(err.Error(), t.Reveal(), t.String())}
}

type redacted struct {
	cause error
	text  string
}

func (r redacted) Error() string        { return r.text }
func (r redacted) Is(target error) bool { return errors.Is(r.cause, target) }

// done and postpone outlive the time of sending: a mail that was handed over is
// to be taken out of the outbox whatever it took.
func (s *Service) done(ctx context.Context, l mail.Letter) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	return s.Outbox.Done(ctx, l.ID)
}

func (s *Service) postpone(ctx context.Context, l mail.Letter, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	return s.Outbox.Postpone(ctx, l.ID, s.Now().Add(s.pause(l.Attempt)), short(why.Error()))
}

// maxWhy is how many bytes are kept of why a letter could not be sent.
const maxWhy = 500

// short gives text that every store can keep, whatever a server has said.
func short(why string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(why[:min(len(why), maxWhy)], "\x00", ""), "")
}

// pause is how long to wait after so many attempts: between half and one and a
// half of what doubles, so that a server that comes back is not met by all at
// once.
func (s *Service) pause(attempt int) time.Duration {
	pause := rarePause
	if attempt < rareAfter {
		pause = min(firstPause<<min(max(attempt-1, 0), 10), lastPause)
	}
	random := s.Random.Bytes()
	return pause/2 + pause*time.Duration(random[0])/256
}

// errUnwanted says that nobody is to have the mail any more.
var errUnwanted = errors.New("the letter is not wanted any more")

// compose makes the mail of a letter, with a fresh token where it has a link. It
// returns errUnwanted if the account is gone, and for a link also if it is for an
// address that the account has no longer, or was asked for before its password
// was changed.
func (s *Service) compose(ctx context.Context, l mail.Letter) (m mail.Message, token secret.Token, err error) {
	u, err := s.reader(ctx, l)
	if err != nil {
		return m, token, err
	}
	if purpose, linked := l.Kind.Purpose(); linked {
		token = s.Random.Token()
		if err := s.Tickets.Issue(ctx, ticket.Issue(token.Key(), l.UserID, purpose, l.To, s.Now())); err != nil {
			return m, token, err
		}
		// A change of password voids the ticket if it comes after this look, and is
		// seen if it came before.
		if u, err = s.reader(ctx, l); err != nil {
			return m, token, err
		}
	}
	m, err = s.write(l, u, s.link(l, token))
	return m, token, err
}

// reader finds whom the letter is to.
func (s *Service) reader(ctx context.Context, l mail.Letter) (user.User, error) {
	u, err := s.Users.Find(ctx, l.UserID)
	if errors.Is(err, fault.NotFound) {
		return user.User{}, errUnwanted
	}
	purpose, linked := l.Kind.Purpose()
	if err != nil || !linked {
		return u, err
	}
	if purpose != ticket.EmailChange && u.Email() != l.To || !journal.StillMeant(l, u) {
		return user.User{}, errUnwanted
	}
	return u, nil
}

// link is what stands for the ticket with the token. The token is in the
// fragment, which browsers send to no server and so to no log.
func (s *Service) link(l mail.Letter, t secret.Token) string {
	switch purpose, linked := l.Kind.Purpose(); {
	case !linked:
		return ""
	case purpose == ticket.PasswordReset:
		return s.Link + "/password/reset#token=" + t.Reveal()
	}
	return s.Link + "/email/verify#token=" + t.Reveal()
}

// write makes the mail.
func (s *Service) write(l mail.Letter, u user.User, link string) (mail.Message, error) {
	v := view{Site: s.Site, Link: link, At: moment(l.Language, l.Detail["at"]), Detail: l.Detail}
	if u.EmailVerified() && u.Email() == l.To { // else anybody could have us write their words to anybody
		v.Name = u.Name()
	}
	m := mail.Message{ID: l.ID, To: l.To.String(), At: l.CreatedAt}
	var err error
	m.Subject, m.Text, m.HTML, err = render(l.Language, l.Kind, v)
	return m, err
}
