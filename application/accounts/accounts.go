// Package accounts lets people register and look after their own account: the
// name that others see, the password, what is kept about them and an end to it.
//
// Everything here is done by people to themselves, so no policy is asked; what
// may be done to others is package administration.
package accounts

import (
	"context"
	"errors"

	"gatehouse/application/sessions"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// ErrWrongPassword answers an act that needs the present password when another
// one was given.
var ErrWrongPassword = fault.New(fault.Forbidden, "wrong_password", "This is not your present password.")

// Config is what a [Service] is made of; every field but Passwords is needed.
type Config struct {
	Users     ports.UserRepository
	Directory ports.SessionDirectory
	Products  ports.ProductRepository
	Sessions  *sessions.Service
	Hasher    ports.PasswordHasher
	Random    ports.Random
	Now       ports.Clock
	Passwords user.PasswordRules // the zero value holds what holds everywhere
}

// Service looks after accounts.
type Service struct {
	Config
	registering turns // by canonical address
}

// New returns a service over the ports.
func New(c Config) *Service { return &Service{Config: c} }

// Registration is what somebody registers with. Nothing in it has been checked.
type Registration struct {
	Email    string
	Password string
	Name     string
}

// CheckRegistration tells all that is wrong with r, with pointers /email,
// /password and /name, or nil.
func (s *Service) CheckRegistration(r Registration) error {
	_, _, _, err := s.parse(r)
	return err
}

func (s *Service) parse(r Registration) (user.Email, user.Name, user.Password, error) {
	var v fault.Validation
	email, err := user.NewEmail(r.Email)
	v.Include("/email", err)
	name, err := user.NewName(r.Name)
	v.Include("/name", err)
	password, err := s.Passwords.New(r.Password, email, name.String())
	v.Include("/password", err)
	return email, name, password, v.Err()
}

// Register makes an account with the role "user". It returns fault.Invalid with
// all that is wrong, or user.ErrEmailTaken.
func (s *Service) Register(ctx context.Context, r Registration) (user.User, error) {
	return s.RegisterAs(ctx, r, []user.Role{user.RoleUser})
}

// RegisterAs makes an account with the roles, for an operator: nobody gives
// roles to themselves. It returns what Register does, and fault.Invalid for
// roles that nobody can have.
func (s *Service) RegisterAs(ctx context.Context, r Registration, roles []user.Role) (user.User, error) {
	email, name, password, err := s.parse(r)
	if err != nil {
		return user.User{}, err
	}
	over, err := s.registering.wait(ctx, email.Canonical())
	if err != nil {
		return user.User{}, err
	}
	defer over()
	if err := s.free(ctx, email); err != nil {
		return user.User{}, err
	}
	hash, err := s.Hasher.Hash(ctx, password)
	if err != nil {
		return user.User{}, err
	}
	now := s.Now()
	u := user.New(user.ID{UUID: s.Random.ID(now)}, email, name, hash, now)
	if err := u.SetRoles(roles, now); err != nil {
		return user.User{}, err
	}
	if err := s.Users.Add(ctx, u); err != nil {
		return user.User{}, err
	}
	return u, nil
}

// free returns user.ErrEmailTaken if the address belongs to an account. The store
// says so too, but only after the password was hashed: fifty registrations of one
// address at once would fill the queue for hashing and have others refused.
func (s *Service) free(ctx context.Context, email user.Email) error {
	switch _, err := s.Users.FindByEmail(ctx, email); {
	case err == nil:
		return user.ErrEmailTaken
	case errors.Is(err, fault.NotFound):
		return nil
	default:
		return err
	}
}

// Profile is what people change of their account; nil leaves a field as it is.
type Profile struct{ Name *string }

// Validate tells all that is wrong with p, or nil.
func (p Profile) Validate() error {
	_, err := p.parse()
	return err
}

func (p Profile) parse() (user.Name, error) {
	if p.Name == nil {
		return user.Name{}, nil
	}
	var v fault.Validation
	name, err := user.NewName(*p.Name)
	v.Include("/name", err)
	return name, v.Err()
}

// ChangeProfile alters the caller's profile and returns the user as it is then.
func (s *Service) ChangeProfile(ctx context.Context, r session.Resumed, p Profile) (user.User, error) {
	name, err := p.parse()
	if err != nil {
		return user.User{}, err
	}
	if p.Name == nil {
		return r.User, nil
	}
	u, err := s.Users.Update(ctx, r.User.ID(), func(u *user.User) error {
		u.Rename(name, s.Now())
		return nil
	})
	return u, gone(err)
}

// PasswordChange is a present password and the one to replace it.
type PasswordChange struct{ Current, New string }

// CheckPasswordChange tells all that is wrong with what u wants as a new
// password, with the pointer /newPassword, or nil.
func (s *Service) CheckPasswordChange(u user.User, c PasswordChange) error {
	_, err := s.parseNew(u, c)
	return err
}

func (s *Service) parseNew(u user.User, c PasswordChange) (user.Password, error) {
	var v fault.Validation
	fresh, err := s.Passwords.New(c.New, u.Email(), u.Name())
	v.Include("/newPassword", err)
	return fresh, v.Err()
}

// ChangePassword replaces the caller's password, ends all other sessions and
// puts the present one under a new token. It returns [ErrWrongPassword] if the
// current password is another, also if it became another one meanwhile.
//
// The sessions end with the password in one write, that of the user's epoch.
// If the store fails between that and the new token, the caller is signed out
// as well and signs in with the new password.
func (s *Service) ChangePassword(ctx context.Context, r session.Resumed, c PasswordChange) (sessions.SignedIn, error) {
	fresh, err := s.parseNew(r.User, c)
	if err != nil {
		return sessions.SignedIn{}, err
	}
	if err := s.confirm(ctx, r.User, c.Current); err != nil {
		return sessions.SignedIn{}, err
	}
	hash, err := s.Hasher.Hash(ctx, fresh)
	if err != nil {
		return sessions.SignedIn{}, err
	}
	u, err := s.Users.Update(ctx, r.User.ID(), func(u *user.User) error {
		// Whoever ended all sessions meanwhile ended this one too; it must not
		// live on through its new token.
		if err := asConfirmed(*u, r); err != nil {
			return err
		}
		u.ChangePassword(hash, s.Now())
		return nil
	})
	if err != nil {
		return sessions.SignedIn{}, gone(err)
	}
	rotated, err := s.Sessions.Rotate(ctx, r, u)
	if err != nil {
		return sessions.SignedIn{}, err
	}
	// The others are dead since the epoch changed; this makes room.
	_, err = s.Directory.EndOthers(ctx, u.ID(), rotated.Session.Key())
	return rotated, err
}

// confirm checks the present password of u.
func (s *Service) confirm(ctx context.Context, u user.User, password string) error {
	ok, err := s.Hasher.Verify(ctx, user.PasswordAttempt(password), u.PasswordHash())
	if err != nil {
		return err
	}
	if !ok {
		return ErrWrongPassword
	}
	return nil
}

// gone turns the absence of the caller's own account into what it means: the
// account was deleted while the request was under way.
func gone(err error) error {
	if errors.Is(err, fault.NotFound) {
		return access.ErrUnauthenticated.Because(err)
	}
	return err
}
