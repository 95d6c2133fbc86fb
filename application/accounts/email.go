package accounts

import (
	"context"
	"errors"

	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/session"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// RequestVerification has a link sent to the caller's address, with which its
// owner shows to receive mail there. Nothing is sent where that has been shown.
func (s *Service) RequestVerification(ctx context.Context, r session.Resumed) error {
	if r.User.EmailVerified() {
		return nil
	}
	if err := s.Guard.Mail(ctx, r.User.Email()); err != nil {
		return err
	}
	return gone(s.Ledger.Record(ctx, ports.Along{
		Letters: []mail.Letter{s.book.Letter(ctx, mail.VerifyEmail, r.User)},
		Audit:   []audit.Entry{s.book.Own(ctx, audit.VerificationAsked, audit.Success, r.User.ID())},
	}))
}

// VerifyEmail takes the token of a link that was sent to an address: either that
// of the account, which is verified then, or the one that the account is to
// have, which it has then. It returns ticket.ErrInvalid, also if another account
// has taken the address meanwhile, or this one was disabled.
func (s *Service) VerifyEmail(ctx context.Context, token string) error {
	t, _, err := s.redeemable(ctx, token, ticket.EmailVerification, ticket.EmailChange)
	if err != nil {
		return err
	}
	with := &ports.Along{}
	_, err = s.Users.Update(ctx, t.UserID, func(u *user.User) error {
		*with = ports.Along{}
		if u.Status() != user.Active { // perhaps because somebody else is in it
			return ticket.ErrInvalid
		}
		if t.Purpose == ticket.EmailChange {
			s.changeEmail(ctx, u, t.Email, with)
		} else if err := s.verify(ctx, u, t.Email, with); err != nil {
			return err
		}
		with.Redeem, with.RedeemAt = t.Key, s.Now()
		return nil
	}, with)
	if errors.Is(err, user.ErrEmailTaken) {
		return ticket.ErrInvalid.Because(err)
	}
	return void(err)
}

func (s *Service) verify(ctx context.Context, u *user.User, e user.Email, with *ports.Along) error {
	if u.Email() != e {
		return ticket.ErrInvalid
	}
	u.VerifyEmail(s.Now())
	with.Audit = []audit.Entry{s.book.Own(ctx, audit.EmailVerified, audit.Success, u.ID())}
	return nil
}

// changeEmail has links that were sent to the old address be good for nothing,
// and the old address be told.
func (s *Service) changeEmail(ctx context.Context, u *user.User, e user.Email, with *ports.Along) {
	with.Letters = []mail.Letter{s.book.LetterTo(ctx, mail.EmailChanged, *u, u.Email(), "email", e.String())}
	with.Void = []ticket.Purpose{ticket.PasswordReset, ticket.EmailVerification}
	with.Audit = []audit.Entry{s.book.Own(ctx, audit.EmailChanged, audit.Success, u.ID())}
	u.ChangeEmail(e, s.Now())
}

// EmailChange is the address to have and the present password.
type EmailChange struct{ Email, Current string }

// CheckEmailChange tells what is wrong with the address that u wants, with the
// pointer /email, or nil.
func (s *Service) CheckEmailChange(u user.User, c EmailChange) error {
	email, err := parseEmail("/email", c.Email)
	if err == nil && email == u.Email() {
		var v fault.Validation
		v.Add("/email", "unchanged", "This is the address that the account has.")
		return v.Err()
	}
	return err
}

// RequestEmailChange has a link sent to the address that the caller wants; the
// account has it once the link is followed. The old address is told at once. It
// returns [ErrWrongPassword], and user.ErrEmailTaken unless nobody is to learn
// who has an account: then the holder of the address is told by mail.
func (s *Service) RequestEmailChange(ctx context.Context, r session.Resumed, c EmailChange) error {
	if err := s.CheckEmailChange(r.User, c); err != nil {
		return err
	}
	email, err := parseEmail("/email", c.Email)
	if err != nil {
		return err
	}
	if err := s.Sessions.Confirm(ctx, r.User, c.Current); err != nil {
		return err
	}
	if err := s.Guard.MailFor(ctx, r.User.ID(), email); err != nil {
		return err
	}
	told, err := s.notice(ctx, mail.EmailChangeAsked, r.User, "email", email.String())
	if err != nil {
		return err
	}
	defer s.evenly()()
	holder, err := s.Users.FindByEmail(ctx, email)
	switch taken := err == nil && holder.ID() != r.User.ID(); {
	case err != nil && !errors.Is(err, fault.NotFound):
		return err
	case taken && !s.Verified:
		return user.ErrEmailTaken
	case taken:
		err := s.recordChange(ctx, r, s.book.Letter(ctx, mail.AlreadyRegistered, holder), told)
		if !errors.Is(err, fault.NotFound) {
			return err
		}
		// Either account was deleted meanwhile. If it was the holder's, the address
		// is free; if it was the caller's, that is found out below.
	}
	return s.recordChange(ctx, r, s.book.LetterTo(ctx, mail.ConfirmNewEmail, r.User, email), told)
}

// recordChange keeps the letter to the new address beside that to the old one.
func (s *Service) recordChange(ctx context.Context, r session.Resumed, letter mail.Letter, told []mail.Letter) error {
	return gone(s.Ledger.Record(ctx, ports.Along{
		Letters: append([]mail.Letter{letter}, told...),
		Audit:   []audit.Entry{s.book.Own(ctx, audit.EmailChangeAsked, audit.Success, r.User.ID())},
	}))
}
