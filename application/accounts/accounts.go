// Package accounts lets people register and look after their own account: the
// name that others see, the address, the password, the second factor, what is
// kept about them and an end to it.
//
// Everything here is done by people to themselves, so no policy is asked; what
// may be done to others is package administration. Read [Service.Register]
// first, then recovery.go and email.go for what a link in a mail does, and
// factor.go.
package accounts

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"gatehouse/application/guard"
	"gatehouse/application/journal"
	"gatehouse/application/sessions"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/session"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// ErrWrongPassword answers an act that needs the present password when another
// one was given.
var ErrWrongPassword = sessions.ErrWrongPassword

// Config is what a [Service] is made of; every field is needed but the last
// three.
type Config struct {
	Users     ports.UserRepository
	Directory ports.SessionDirectory
	Products  ports.ProductRepository
	Tickets   ports.TicketRepository
	Factors   ports.FactorRepository
	Ledger    ports.Ledger
	Log       ports.AuditLog
	Outbox    ports.Outbox
	Sessions  *sessions.Service
	Guard     *guard.Guard
	Hasher    ports.PasswordHasher
	Codes     ports.OneTimePasswords
	Sealer    ports.Sealer
	Random    ports.Random
	Now       ports.Clock

	Passwords user.PasswordRules // the zero value holds what holds everywhere
	Verified  bool               // whoever registers has to answer a mail first, and nobody is told who has an account
	Even      time.Duration      // what must not be told by its duration takes so long, if it does not take longer

	// Watched runs the step in which somebody leaves who may be the last to
	// administer (administration.Service.Watched); without it only roles are counted.
	Watched func(ctx context.Context, r session.Resumed, step func(over func(user.User) ports.LastWord) error) error
}

// Service looks after accounts.
type Service struct {
	Config
	book        journal.Book
	registering turns // by canonical address
}

// New returns a service over the ports.
func New(c Config) *Service {
	return &Service{Config: c, book: journal.Book{Random: c.Random, Now: c.Now}}
}

// Registration is what somebody registers with. Nothing in it has been checked.
type Registration struct {
	Email    string
	Password string
	Name     string
}

// CheckRegistration tells all that is wrong with r, with pointers /email,
// /password and /name, or nil.
func (s *Service) CheckRegistration(r Registration) error {
	_, err := s.parse(r)
	return err
}

// newcomer is a registration that has been checked.
type newcomer struct {
	email    user.Email
	name     user.Name
	password user.Password
}

func (s *Service) parse(r Registration) (n newcomer, err error) {
	var v fault.Validation
	n.email, err = user.NewEmail(r.Email)
	v.Include("/email", err)
	n.name, err = user.NewName(r.Name)
	v.Include("/name", err)
	n.password, err = s.Passwords.New(r.Password, n.email, n.name.String())
	v.Include("/password", err)
	return n, v.Err()
}

// Register makes an account with the role "user" and returns it. It returns
// fault.Invalid with all that is wrong, user.ErrEmailTaken, or
// guard.ErrTooMany.
//
// Where a mail decides (Config.Verified) it returns nil for everybody after the
// same work: a new account is good once the link is followed, an account that
// is there already is told by mail, and one that was neither verified nor used
// begins anew with what was given last.
func (s *Service) Register(ctx context.Context, r Registration) (*user.User, error) {
	n, err := s.parse(r)
	if err != nil {
		return nil, err
	}
	if err := s.Guard.Register(ctx); err != nil {
		return nil, err
	}
	if s.Verified {
		defer s.evenly()()
		return nil, s.registerByMail(ctx, n)
	}
	u, err := s.register(ctx, n, []user.Role{user.RoleUser}, audit.Registered)
	if err != nil {
		return nil, err
	}
	return &u, nil
}

// RegisterAs makes an account with the roles, for an operator: nobody gives
// roles to themselves. The operator vouches for the address where that is asked
// for. It returns fault.Invalid for what Register does and for roles that nobody
// can have, or user.ErrEmailTaken.
func (s *Service) RegisterAs(ctx context.Context, r Registration, roles []user.Role) (user.User, error) {
	n, err := s.parse(r)
	if err != nil {
		return user.User{}, err
	}
	return s.register(ctx, n, roles, audit.UserCreated)
}

func (s *Service) register(ctx context.Context, n newcomer, roles []user.Role, event audit.Event) (user.User, error) {
	over, err := s.registering.wait(ctx, n.email.Canonical())
	if err != nil {
		return user.User{}, err
	}
	defer over()
	if err := s.free(ctx, n.email); err != nil {
		return user.User{}, err
	}
	hash, err := s.Hasher.Hash(ctx, n.password)
	if err != nil {
		return user.User{}, err
	}
	u := s.newUser(n, hash)
	if err := u.SetRoles(roles, s.Now()); err != nil {
		return user.User{}, err
	}
	entry := s.book.Own(ctx, event, audit.Success, u.ID())
	if event == audit.UserCreated { // by an operator
		entry = s.book.Entry(ctx, event, audit.Success, user.ID{}, audit.Of(u.ID()), "roles", roleNames(u.Roles()))
		if s.Verified {
			u.VerifyEmail(s.Now())
		}
	}
	if err := s.Users.Add(ctx, u, &ports.Along{Audit: []audit.Entry{entry}}); err != nil {
		return user.User{}, err
	}
	return u, nil
}

func roleNames(roles []user.Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = r.String()
	}
	return strings.Join(names, " ")
}

func (s *Service) newUser(n newcomer, hash user.PasswordHash) user.User {
	now := s.Now()
	return user.New(user.ID{UUID: s.Random.ID(now)}, n.email, n.name, hash, now)
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

// registerByMail hashes whether there is an account or not.
func (s *Service) registerByMail(ctx context.Context, n newcomer) error {
	over, err := s.registering.wait(ctx, n.email.Canonical())
	if err != nil {
		return err
	}
	defer over()
	if err := s.Guard.Mail(ctx, n.email); err != nil {
		return err
	}
	hash, err := s.Hasher.Hash(ctx, n.password)
	if err != nil {
		return err
	}
	u := s.newUser(n, hash)
	err = s.Users.Add(ctx, u, &ports.Along{
		Letters: []mail.Letter{s.book.Letter(ctx, mail.VerifyEmail, u)},
		Audit:   []audit.Entry{s.book.Own(ctx, audit.Registered, audit.Success, u.ID())},
	})
	if errors.Is(err, user.ErrEmailTaken) {
		return s.registerAgain(ctx, n, hash)
	}
	return err
}

// registerAgain has somebody register an address that has an account. One that
// was never verified was perhaps made by somebody else, to be found verified
// with their password later; so it begins anew, and the links that were sent for
// it open nothing. But one that was used, before mails had to decide, has
// something in it: with a password of a stranger's in it, its owner would let
// them in by following the link.
func (s *Service) registerAgain(ctx context.Context, n newcomer, hash user.PasswordHash) error {
	holder, err := s.Users.FindByEmail(ctx, n.email)
	if errors.Is(err, fault.NotFound) { // deleted since, and the next try will do
		return nil
	}
	if err != nil {
		return err
	}
	used, err := s.used(ctx, holder)
	if err != nil {
		return err
	}
	with := &ports.Along{}
	_, err = s.Users.Update(ctx, holder.ID(), func(u *user.User) error {
		kind := mail.AlreadyRegistered
		*with = ports.Along{}
		if !u.EmailVerified() && !used {
			kind = mail.VerifyEmail
			u.ChangePassword(hash, s.Now())
			u.Rename(n.name, s.Now())
			with.Void = append(slices.Clone(voidedWithPassword), ticket.EmailVerification)
		}
		with.Letters = []mail.Letter{s.book.Letter(ctx, kind, *u)}
		with.Audit = []audit.Entry{s.book.Entry(ctx, audit.RegistrationRepeated, audit.Success, user.ID{}, audit.Of(u.ID()))}
		return nil
	}, with)
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// used reports whether there is anything in the account: rights, products, a
// second factor, or that somebody has been signed in to it.
func (s *Service) used(ctx context.Context, u user.User) (bool, error) {
	if roles := u.Roles(); len(roles) != 1 || roles[0] != user.RoleUser {
		return true, nil
	}
	if known, err := s.Directory.Known(ctx, u.ID()); err != nil || known {
		return true, err
	}
	if f, err := s.Factors.Find(ctx, u.ID()); err != nil || !f.IsZero() {
		return true, err
	}
	own, err := s.Products.List(ctx, ports.ProductQuery{Visible: access.OwnedBy(u.ID()), Limit: 1})
	return len(own) > 0, err
}

// evenly returns what waits until Config.Even has passed since: deferred, it
// hides how long the work took, and so whether there was any.
func (s *Service) evenly() func() {
	if s.Even <= 0 {
		return func() {}
	}
	timer := time.NewTimer(s.Even)
	return func() { <-timer.C }
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
	_, err := s.parseNew(u, c.New)
	return err
}

func (s *Service) parseNew(u user.User, clear string) (user.Password, error) {
	var v fault.Validation
	fresh, err := s.Passwords.New(clear, u.Email(), u.Name())
	v.Include("/newPassword", err)
	return fresh, v.Err()
}

// ChangePassword replaces the caller's password, ends all other sessions, voids
// the links of mails that would reset it or change the address, and puts the
// present session under a new token. It returns [ErrWrongPassword] if the
// current password is another, also if it became another one meanwhile.
//
// The sessions end with the password in one write, that of the user's epoch.
// If the store fails between that and the new token, the caller is signed out
// as well and signs in with the new password.
func (s *Service) ChangePassword(ctx context.Context, r session.Resumed, c PasswordChange) (sessions.SignedIn, error) {
	fresh, err := s.parseNew(r.User, c.New)
	if err != nil {
		return sessions.SignedIn{}, err
	}
	if err := s.Sessions.Confirm(ctx, r.User, c.Current); err != nil {
		return sessions.SignedIn{}, err
	}
	hash, err := s.Hasher.Hash(ctx, fresh)
	if err != nil {
		return sessions.SignedIn{}, err
	}
	told, err := s.notice(ctx, mail.PasswordChanged, r.User, "at", s.Now().UTC().Format(time.RFC3339))
	if err != nil {
		return sessions.SignedIn{}, err
	}
	with := s.passwordChanged(ctx, r.User.ID(), audit.PasswordChanged, told)
	u, err := s.Users.Update(ctx, r.User.ID(), func(u *user.User) error {
		// Whoever ended all sessions meanwhile ended this one too; it must not
		// live on through its new token.
		if err := asConfirmed(*u, r); err != nil {
			return err
		}
		u.ChangePassword(hash, s.Now())
		return nil
	}, with)
	if err != nil {
		return sessions.SignedIn{}, gone(err)
	}
	rotated, err := s.Sessions.Rotate(ctx, r, u)
	if err != nil {
		return sessions.SignedIn{}, err
	}
	// The others are dead since the epoch changed; this makes room, and leaves
	// behind why. If that cannot be done now, the caller has the new password and
	// the new token all the same, and is to be given it.
	_ = s.Sessions.EndAll(ctx, u.ID(), u.ID(), session.PasswordChanged, rotated.Session.Key())
	return rotated, nil
}

// voidedWithPassword are the links that open nothing any more once the password
// is another. That of a change of address is among them: somebody who knew the
// old password has perhaps asked for it, and would take the account over with it
// after its owner has done what a mail advised them to do.
var voidedWithPassword = []ticket.Purpose{ticket.PasswordReset, ticket.EmailChange}

// passwordChanged is what goes along with a new password.
func (s *Service) passwordChanged(ctx context.Context, id user.ID, e audit.Event, told []mail.Letter) *ports.Along {
	return &ports.Along{
		Void:    voidedWithPassword,
		Letters: told,
		Audit:   []audit.Entry{s.book.Own(ctx, e, audit.Success, id)},
	}
}

// notice is a letter that tells the user what was done in the account, or none
// where they have been told too much already (guard.Guard.Notice).
func (s *Service) notice(ctx context.Context, k mail.Kind, u user.User, detail ...string) ([]mail.Letter, error) {
	if wanted, err := s.Guard.Notice(ctx, u); err != nil || !wanted {
		return nil, err
	}
	return []mail.Letter{s.book.Letter(ctx, k, u, detail...)}, nil
}

// gone turns the absence of the caller's own account into what it means: the
// account was deleted while the request was under way.
func gone(err error) error {
	if errors.Is(err, fault.NotFound) {
		return access.ErrUnauthenticated.Because(err)
	}
	return err
}
