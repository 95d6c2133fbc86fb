package accounts

import (
	"context"
	"errors"
	"time"

	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/secret"
	"gatehouse/domain/session"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// RequestReset has a link sent with which the password of the account with the
// address can be replaced, if there is one that may sign in. Nobody is told
// whether there is, by answer or duration. It returns fault.Invalid for what is
// no address and guard.ErrTooMany.
func (s *Service) RequestReset(ctx context.Context, address string) error {
	email, err := parseEmail("/email", address)
	if err != nil {
		return err
	}
	if err := s.Guard.Mail(ctx, email); err != nil {
		return err
	}
	defer s.evenly()()
	u, err := s.Users.FindByEmail(ctx, email)
	if err != nil && !errors.Is(err, fault.NotFound) {
		return err
	}
	if err != nil || u.Status() != user.Active {
		return s.Ledger.Record(ctx, ports.Along{Audit: []audit.Entry{
			s.book.Entry(ctx, audit.ResetRequested, audit.Failure, user.ID{}, audit.Subject{}),
		}})
	}
	err = s.Ledger.Record(ctx, ports.Along{
		Letters: []mail.Letter{s.book.Letter(ctx, mail.ResetPassword, u)},
		Audit:   []audit.Entry{s.book.Entry(ctx, audit.ResetRequested, audit.Success, user.ID{}, audit.Of(u.ID()))},
	})
	if errors.Is(err, fault.NotFound) { // the account was deleted meanwhile
		return nil
	}
	return err
}

// CheckAddress tells what is wrong with an address, under the pointer, or nil.
func CheckAddress(pointer, address string) error {
	_, err := parseEmail(pointer, address)
	return err
}

func parseEmail(pointer, address string) (user.Email, error) {
	var v fault.Validation
	email, err := user.NewEmail(address)
	v.Include(pointer, err)
	return email, v.Err()
}

// Reset is the token of a link and the password to be set with it.
type Reset struct{ Token, New string }

// ResetPassword replaces the password of the account that the token was sent
// to, ends all of its sessions, and notes that its owner receives mail at the
// address. The second factor stays on. It returns ticket.ErrInvalid, or
// fault.Invalid for a password that cannot be chosen, which leaves the token
// good.
func (s *Service) ResetPassword(ctx context.Context, c Reset) error {
	t, u, err := s.redeemable(ctx, c.Token, ticket.PasswordReset)
	if err != nil {
		return err
	}
	fresh, err := s.parseNew(u, c.New)
	if err != nil {
		return err
	}
	hash, err := s.Hasher.Hash(ctx, fresh)
	if err != nil {
		return err
	}
	with := &ports.Along{}
	u, err = s.Users.Update(ctx, t.UserID, func(u *user.User) error {
		if u.Email() != t.Email || u.Status() != user.Active {
			return ticket.ErrInvalid
		}
		u.ChangePassword(hash, s.Now())
		u.VerifyEmail(s.Now())
		*with = *s.passwordChanged(ctx, u.ID(), audit.PasswordReset, []mail.Letter{
			s.book.Letter(ctx, mail.PasswordChanged, *u, "at", s.Now().UTC().Format(time.RFC3339)),
		})
		with.Redeem, with.RedeemAt = t.Key, s.Now()
		return nil
	}, with)
	if err != nil {
		return void(err)
	}
	// Whoever has locked the account by guessing has not locked out its owner.
	s.Guard.Unlock(ctx, u.Email().Canonical())
	// The sessions are dead since the epoch changed; this makes room and leaves
	// behind why. The password is changed, whether that can be done now or not.
	_ = s.Sessions.EndAll(ctx, u.ID(), u.ID(), session.PasswordChanged, session.Key{})
	return nil
}

// redeemable finds the ticket that a token stands for, if it is for one of the
// purposes, and whose it is.
func (s *Service) redeemable(ctx context.Context, token string, purposes ...ticket.Purpose) (ticket.Ticket, user.User, error) {
	parsed, ok := secret.ParseToken(token)
	if !ok {
		return ticket.Ticket{}, user.User{}, ticket.ErrInvalid
	}
	t, err := s.Tickets.Find(ctx, parsed.Key(), s.Now())
	if err != nil {
		return ticket.Ticket{}, user.User{}, err
	}
	for _, p := range purposes {
		if t.Purpose == p {
			u, err := s.Users.Find(ctx, t.UserID)
			return t, u, void(err)
		}
	}
	return ticket.Ticket{}, user.User{}, ticket.ErrInvalid
}

// void turns the absence of the account of a ticket into what it means for who
// holds its token.
func void(err error) error {
	if errors.Is(err, fault.NotFound) {
		return ticket.ErrInvalid.Because(err)
	}
	return err
}
