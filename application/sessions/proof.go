package sessions

import (
	"context"

	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// What somebody is told who has to show once more who they are.
var (
	ErrWrongPassword  = fault.New(fault.Forbidden, "wrong_password", "This is not your present password.")
	ErrReauthRequired = fault.New(fault.Forbidden, "reauth_required", "Show once more who you are, with POST /me/reauthenticate, and repeat.")
)

// Confirm checks the present password of a user who is signed in. It returns
// [ErrWrongPassword], or guard.ErrTooMany without looking at the password.
func (s *Service) Confirm(ctx context.Context, u user.User, password string) error {
	return s.confirm(ctx, u, password, audit.PasswordRefused)
}

func (s *Service) confirm(ctx context.Context, u user.User, password string, failed audit.Event) error {
	attempt, err := s.Guard.Confirm(ctx, u.ID())
	if err != nil {
		return err
	}
	ok, err := s.Hasher.Verify(ctx, user.PasswordAttempt(password), u.PasswordHash())
	if err != nil {
		attempt.Void(ctx)
		return err
	}
	if ok {
		attempt.Passed(ctx)
		return nil
	}
	return s.refused(ctx, u.ID(), attempt, failed, audit.ConfirmThrottled, ErrWrongPassword)
}

// Proved returns [ErrReauthRequired] unless the caller has shown who they are
// recently enough for a sensitive act (ASVS 5.0 7.5.1).
func (s *Service) Proved(r session.Resumed) error {
	if r.Session.Proved(s.Reauth, s.Now()) {
		return nil
	}
	return ErrReauthRequired
}

// Reauthenticate has the caller show once more who they are, and puts the
// session under a new token, which may do more. It returns what
// [Service.Confirm] does, and access.ErrUnauthenticated if the session was ended
// meanwhile.
func (s *Service) Reauthenticate(ctx context.Context, r session.Resumed, password string) (SignedIn, error) {
	if err := s.confirm(ctx, r.User, password, audit.ReauthFailed); err != nil {
		return SignedIn{}, err
	}
	token, now := s.Random.Token(), s.Now()
	next := r.Session.Reproved(token.Key(), session.ByPassword, now)
	if err := s.Sessions.Replace(ctx, r.Session.Key(), next, session.Reason{}, now); err != nil {
		return SignedIn{}, ended(err)
	}
	along := ports.Along{Audit: []audit.Entry{s.book.Own(ctx, audit.Reauthenticated, audit.Success, r.User.ID())}}
	return SignedIn{User: r.User, Session: next, Token: token}, s.Ledger.Record(ctx, along)
}
