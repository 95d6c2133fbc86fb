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
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
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

// How letters are tried. A claim is longer than a mailer may take for one mail,
// so that two nodes never send the same; a letter whose node dies is taken up by
// another when it is over.
const (
	lease      = 30 * time.Second
	sendTime   = 20 * time.Second
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
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	m, wanted, err := s.compose(ctx, l)
	if err == nil && wanted {
		err = s.Mailer.Send(ctx, m)
	}
	switch {
	case err == nil:
		return wanted, s.done(ctx, l)
	case errors.Is(err, fault.Invalid):
		return false, errors.Join(err, s.done(ctx, l))
	}
	return false, errors.Join(err, s.postpone(ctx, l, err))
}

// done and postpone outlive the time of sending: a mail that was handed over is
// to be taken out of the outbox whatever it took.
func (s *Service) done(ctx context.Context, l mail.Letter) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease-sendTime)
	defer cancel()
	return s.Outbox.Done(ctx, l.ID)
}

func (s *Service) postpone(ctx context.Context, l mail.Letter, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease-sendTime)
	defer cancel()
	return s.Outbox.Postpone(ctx, l.ID, s.Now().Add(s.pause(l.Attempt)), why.Error())
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

// compose makes the mail of a letter, with a fresh token where it has a link. It
// is not wanted if the account is gone, or if the letter is about an address
// that the account has no longer.
func (s *Service) compose(ctx context.Context, l mail.Letter) (m mail.Message, wanted bool, err error) {
	u, err := s.Users.Find(ctx, l.UserID)
	if errors.Is(err, fault.NotFound) {
		return mail.Message{}, false, nil
	}
	if err != nil {
		return mail.Message{}, false, err
	}
	link := ""
	if purpose, has := l.Kind.Purpose(); has {
		if purpose != ticket.EmailChange && u.Email() != l.To {
			return mail.Message{}, false, nil
		}
		if link, err = s.link(ctx, l, purpose); err != nil {
			return mail.Message{}, false, err
		}
	}
	m, err = s.write(l, u, link)
	return m, err == nil, err
}

// link issues a ticket and gives the link that stands for it. The token is in
// the fragment, which browsers send to no server and so to no log.
func (s *Service) link(ctx context.Context, l mail.Letter, p ticket.Purpose) (string, error) {
	token := s.Random.Token()
	if err := s.Tickets.Issue(ctx, ticket.Issue(token.Key(), l.UserID, p, l.To, s.Now())); err != nil {
		return "", err
	}
	path := "/email/verify"
	if p == ticket.PasswordReset {
		path = "/password/reset"
	}
	return s.Link + path + "#token=" + token.Reveal(), nil
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
