// Package sessions signs people in and out and knows them again: it begins,
// resumes, lists and ends sessions.
//
// It holds the two promises that everything else rests on. Only "there is no
// such account" and "this is not the password" become [ErrInvalidCredentials],
// and only "there is no such session" becomes access.ErrUnauthenticated: a store
// that cannot be asked is fault.Unavailable. And a session that was ended stays
// ended, whatever slower request still carries its token.
package sessions

import (
	"context"
	"errors"

	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// ErrInvalidCredentials answers an unknown address, a wrong password and a
// disabled account alike, so that nobody learns which it was (ASVS 5.0 6.3.8).
var ErrInvalidCredentials = fault.New(fault.Unauthenticated, "invalid_credentials", "The e-mail address or the password is wrong.")

// Config is what a [Service] is made of; every field is needed.
type Config struct {
	Users     ports.UserRepository
	Sessions  ports.SessionRepository
	Directory ports.SessionDirectory
	Hasher    ports.PasswordHasher
	Random    ports.Random
	Now       ports.Clock
	Lifetime  session.Lifetime
}

// Service signs in, resumes, lists and ends.
type Service struct{ Config }

// New returns a service over the ports.
func New(c Config) *Service { return &Service{c} }

// Credentials are what somebody signs in with.
type Credentials struct {
	Email    string
	Password string
	Remember bool
}

// SignedIn is a session just begun or rotated, with the token for its owner.
type SignedIn struct {
	User    user.User
	Session session.Session
	Token   session.Token
}

// SignIn checks the credentials and begins a session under a new token. The
// session over which somebody signs in, if there is one, ends first: a token
// planted before signing in is never adopted (session fixation, ASVS 5.0
// 7.2.4). It returns [ErrInvalidCredentials] after the same work whether the
// account is unknown, disabled or has another password.
func (s *Service) SignIn(ctx context.Context, c Credentials, d session.Device, over *session.Resumed) (SignedIn, error) {
	u, err := s.verify(ctx, c)
	if err != nil {
		return SignedIn{}, err
	}
	if over != nil {
		if err := s.Sessions.End(ctx, over.Session.Key()); err != nil {
			return SignedIn{}, err
		}
	}
	now, token := s.Now(), s.Random.Token()
	begun := session.Begin(session.ID{UUID: s.Random.ID(now)}, token.Key(), u.ID(), u.SessionEpoch(), c.Remember, d, s.Lifetime, now)
	err = s.Sessions.Add(ctx, begun)
	if errors.Is(err, fault.NotFound) { // the account was deleted since
		return SignedIn{}, ErrInvalidCredentials.Because(err)
	}
	return SignedIn{User: u, Session: begun, Token: token}, err
}

// verify returns the user whom the credentials name.
func (s *Service) verify(ctx context.Context, c Credentials) (user.User, error) {
	email, err := user.NewEmail(c.Email)
	var u user.User
	if err == nil { // an address that cannot be is as unknown as any other
		u, err = s.Users.FindByEmail(ctx, email)
		if err != nil && !errors.Is(err, fault.NotFound) {
			return user.User{}, err
		}
	}
	known := err == nil
	password := user.PasswordAttempt(c.Password)
	// Without an account u has no hash, and verifying against none costs the same.
	ok, err := s.Hasher.Verify(ctx, password, u.PasswordHash())
	if err != nil {
		return user.User{}, err
	}
	if !known || !ok || u.Status() != user.Active {
		return user.User{}, ErrInvalidCredentials
	}
	return s.rehash(ctx, u, password)
}

// rehash makes a hash with today's parameters where the one kept is weaker:
// this is the only moment at which the password is known.
func (s *Service) rehash(ctx context.Context, u user.User, p user.Password) (user.User, error) {
	if !s.Hasher.Outdated(u.PasswordHash()) {
		return u, nil
	}
	fresh, err := s.Hasher.Hash(ctx, p)
	if err != nil {
		return user.User{}, err
	}
	return s.Users.Update(ctx, u.ID(), func(now *user.User) error {
		if now.PasswordHash() == u.PasswordHash() { // else it was changed meanwhile
			now.Rehash(fresh)
		}
		return nil
	})
}

// Resume knows the owner of a token again. It returns access.ErrUnauthenticated if
// the session was ended, has run out, or its user may not sign in any more. Use
// of the session is written down once per renewal step.
func (s *Service) Resume(ctx context.Context, t session.Token) (session.Resumed, error) {
	r, err := s.Sessions.Resume(ctx, t.Key())
	if errors.Is(err, fault.NotFound) {
		return session.Resumed{}, access.ErrUnauthenticated.Because(err)
	}
	if err != nil {
		return session.Resumed{}, err
	}
	now := s.Now()
	if !r.Good(now) {
		return session.Resumed{}, access.ErrUnauthenticated
	}
	renewed, due := r.Session.Renewed(s.Lifetime, now)
	if !due {
		return r, nil
	}
	if err := s.Sessions.Replace(ctx, t.Key(), renewed, now); err != nil {
		if errors.Is(err, fault.NotFound) { // signed out since it was read
			return session.Resumed{}, access.ErrUnauthenticated.Because(err)
		}
		return session.Resumed{}, err
	}
	r.Session = renewed
	return r, nil
}

// Actor is who acts in a resumed session.
func Actor(r session.Resumed) access.Actor { return access.SignedIn(r.User, r.PolicyVersion) }

// SignOut ends the session of the token. It is no error if there is none.
func (s *Service) SignOut(ctx context.Context, t session.Token) error {
	return s.Sessions.End(ctx, t.Key())
}

// Rotate puts a resumed session under a new token, for the user's present
// epoch, after something that changes what it may do. It returns
// access.ErrUnauthenticated if the session was ended meanwhile.
func (s *Service) Rotate(ctx context.Context, r session.Resumed, u user.User) (SignedIn, error) {
	token := s.Random.Token()
	next := r.Session.Rotated(token.Key(), u.SessionEpoch())
	err := s.Sessions.Replace(ctx, r.Session.Key(), next, s.Now())
	if errors.Is(err, fault.NotFound) {
		return SignedIn{}, access.ErrUnauthenticated.Because(err)
	}
	return SignedIn{User: u, Session: next, Token: token}, err
}

// List returns the caller's sessions that are good now, the most recently begun
// first.
func (s *Service) List(ctx context.Context, r session.Resumed) ([]session.Session, error) {
	all, err := s.Directory.List(ctx, r.User.ID())
	if err != nil {
		return nil, err
	}
	now := s.Now()
	good := all[:0]
	for _, one := range all {
		if (session.Resumed{Session: one, User: r.User}).Good(now) {
			good = append(good, one)
		}
	}
	return good, nil
}

// End ends one of the caller's sessions, the present one if it is named. It
// returns fault.NotFound if the caller has none such.
func (s *Service) End(ctx context.Context, r session.Resumed, id session.ID) error {
	return s.Directory.EndOne(ctx, r.User.ID(), id)
}

// EndOthers ends all of the caller's sessions but the present one.
func (s *Service) EndOthers(ctx context.Context, r session.Resumed) error {
	_, err := s.Directory.EndOthers(ctx, r.User.ID(), r.Session.Key())
	return err
}

// pruneBatch is how many rows one statement of [Service.Prune] deletes at the
// most, so that it never holds locks for long.
const pruneBatch = 1000

// Prune deletes the sessions that have run out, in small batches, and returns
// how many it deleted. It is housekeeping: they are good for nothing already.
func (s *Service) Prune(ctx context.Context) (int, error) {
	for total := 0; ; {
		n, err := s.Directory.Prune(ctx, s.Now(), pruneBatch)
		total += n
		if err != nil || n < pruneBatch {
			return total, err
		}
	}
}
