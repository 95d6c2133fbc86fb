package accounts

import (
	"context"

	"gatehouse/application/sessions"
	"gatehouse/domain/audit"
	"gatehouse/domain/factor"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Enrolment is what an authenticator app is told, once.
type Enrolment struct{ Secret, URI string }

// StartTOTP begins to set up a second factor, anew if one was begun. It returns
// factor.ErrAlreadyOn, and sessions.ErrReauthRequired if the caller has not
// shown lately who they are: whoever finds a session open must not lock its
// owner out.
func (s *Service) StartTOTP(ctx context.Context, r session.Resumed) (Enrolment, error) {
	if err := s.Sessions.Proved(r); err != nil {
		return Enrolment{}, err
	}
	id := r.User.ID()
	clear, uri := s.Codes.Secret(s.Random.Bytes(), r.User.Email().String())
	sealed := s.Sealer.Seal(sessions.FactorLabel(id), []byte(clear))
	with := &ports.Along{Audit: []audit.Entry{s.book.Own(ctx, audit.FactorStarted, audit.Success, id)}}
	_, err := s.Factors.Update(ctx, id, func(f *factor.Factor) error {
		if f.On() {
			return factor.ErrAlreadyOn
		}
		*f = factor.Start(id, sealed, s.Now())
		return nil
	}, with)
	if err != nil {
		return Enrolment{}, gone(err)
	}
	return Enrolment{clear, uri}, nil
}

// errWrongCode answers a code at which the factor that is being set up is not
// put in force.
func errWrongCode() error {
	f := fault.New(fault.Invalid, factor.ErrInvalidCode.Code, "This is not the code that your app should show now.")
	f.Fields = []fault.Field{{Pointer: "/code", Code: f.Code, Detail: f.Detail}}
	return f
}

// ConfirmTOTP puts the second factor in force, for a code of it, and returns the
// codes that stand in for the device. It returns fault.Invalid for a wrong code,
// factor.ErrNotStarted, factor.ErrAlreadyOn, and sessions.ErrReauthRequired as
// [Service.StartTOTP] does.
func (s *Service) ConfirmTOTP(ctx context.Context, r session.Resumed, code string) ([]factor.RecoveryCode, error) {
	if err := s.Sessions.Proved(r); err != nil {
		return nil, err
	}
	codes := make([]factor.RecoveryCode, factor.RecoveryCodes)
	hashes := make([]factor.CodeHash, len(codes))
	for i := range codes {
		codes[i] = factor.NewRecoveryCode(s.Random.Bytes())
		hashes[i] = codes[i].Hash()
	}
	told, err := s.notice(ctx, mail.SecondFactorOn, r.User)
	if err != nil {
		return nil, err
	}
	id := r.User.ID()
	with := &ports.Along{
		Letters: told,
		Audit:   []audit.Entry{s.book.Own(ctx, audit.FactorConfirmed, audit.Success, id)},
	}
	_, err = s.Factors.Update(ctx, id, func(f *factor.Factor) error {
		step, err := s.firstCode(*f, code)
		if err != nil {
			return err
		}
		return f.Confirm(step, hashes, s.Now())
	}, with)
	if err != nil {
		return nil, gone(err)
	}
	return codes, nil
}

// firstCode checks a code of a factor that is being set up.
func (s *Service) firstCode(f factor.Factor, code string) (step int64, err error) {
	switch {
	case f.On():
		return 0, factor.ErrAlreadyOn
	case f.IsZero():
		return 0, factor.ErrNotStarted
	}
	clear, ok := s.Sealer.Open(sessions.FactorLabel(f.UserID()), f.Secret())
	if !ok { // sealed with a key that is gone: it has to be begun anew
		return 0, factor.ErrNotStarted
	}
	step, ok = s.Codes.Match(string(clear), code, s.Now())
	if !ok {
		return 0, errWrongCode()
	}
	return step, nil
}

// RemoveTOTP takes the second factor away, also one that is being set up. It
// returns [ErrWrongPassword], and factor.ErrNotStarted if there is none.
func (s *Service) RemoveTOTP(ctx context.Context, r session.Resumed, password string) error {
	if err := s.Sessions.Confirm(ctx, r.User, password); err != nil {
		return err
	}
	return gone(s.RemoveFactor(ctx, r.User.ID(), r.User))
}

// RemoveFactor takes the second factor of u away, also one that is being set up,
// for the actor: u, or an operator (zero) who helps somebody that has lost both
// device and recovery codes. It returns factor.ErrNotStarted if there is none.
func (s *Service) RemoveFactor(ctx context.Context, actor user.ID, u user.User) error {
	told, err := s.notice(ctx, mail.SecondFactorOff, u)
	if err != nil {
		return err
	}
	with := &ports.Along{}
	_, err = s.Factors.Update(ctx, u.ID(), func(f *factor.Factor) error {
		if f.IsZero() {
			return factor.ErrNotStarted
		}
		*with = ports.Along{Audit: []audit.Entry{s.book.Entry(ctx, audit.FactorRemoved, audit.Success, actor, audit.Of(u.ID()))}}
		if f.On() {
			with.Letters = told
		}
		*f = factor.Factor{}
		return nil
	}, with)
	return err
}

// factorOf is the second factor that is on, for an export.
func (s *Service) factorOf(ctx context.Context, id user.ID) (factor.Factor, error) {
	f, err := s.Factors.Find(ctx, id)
	if err != nil || !f.On() {
		return factor.Factor{}, err
	}
	return f, nil
}
