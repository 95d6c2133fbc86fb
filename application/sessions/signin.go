package sessions

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"gatehouse/application/guard"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/factor"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// ErrInvalidCredentials answers an unknown address, a wrong password, a
// disabled account and one that is not verified alike, so that nobody learns
// which it was (ASVS 5.0 6.3.8).
var ErrInvalidCredentials = fault.New(fault.Unauthenticated, "invalid_credentials", "The e-mail address or the password is wrong.")

// Credentials are what somebody signs in with.
type Credentials struct {
	Email       string
	Password    string
	Remember    bool
	KnownDevice string // what [SignedIn.Device] was the last time on this device, or ""
}

// SignedIn is a session just begun or rotated, with the token for its owner. If
// the session is pending, the second step is to come.
type SignedIn struct {
	User    user.User
	Session session.Session
	Token   session.Token
	Device  string // for the device to keep and to show with the next sign-in; "" leaves what it has
}

// SignIn checks the credentials and begins a session under a new token. The
// session over which somebody signs in, if there is one, ends first: a token
// planted before signing in is never adopted (session fixation, ASVS 5.0
// 7.2.4). It returns [ErrInvalidCredentials] after the same work whether the
// account is unknown, disabled or has another password, and guard.ErrTooMany
// without looking at the password.
func (s *Service) SignIn(ctx context.Context, c Credentials, d session.Device, over *session.Resumed) (SignedIn, error) {
	u, known, err := s.find(ctx, c.Email)
	if err != nil {
		return SignedIn{}, err
	}
	attempt, err := s.Guard.SignIn(ctx, account(c.Email), d.IP, s.counted(c.KnownDevice, u))
	if err != nil {
		return SignedIn{}, err
	}
	password := user.PasswordAttempt(c.Password)
	// Without an account u has no hash, and verifying against none costs the same.
	right, err := s.Hasher.Verify(ctx, password, u.PasswordHash())
	if err != nil {
		attempt.Void(ctx)
		return SignedIn{}, err
	}
	if why := s.refusal(u, known, right); why != "" {
		return SignedIn{}, s.failed(ctx, u, why, attempt)
	}
	attempt.Passed(ctx)
	in, err := s.admit(ctx, password, entrance{user: u, device: d, remember: c.Remember, known: c.KnownDevice, over: over})
	if errors.Is(err, fault.NotFound) { // the account was deleted since
		return SignedIn{}, ErrInvalidCredentials.Because(err)
	}
	return in, err
}

// admit begins a session for somebody who has shown the right password.
func (s *Service) admit(ctx context.Context, p user.Password, e entrance) (in SignedIn, err error) {
	if e.user, err = s.rehash(ctx, e.user, p); err != nil {
		return SignedIn{}, err
	}
	return s.begin(ctx, e)
}

// counted names the count of a device that is known as one of the user's, or is
// "". With a new password it is another: who has forgotten theirs, failed too
// often on their own device and set a new one is not to wait there.
func (s *Service) counted(shown string, u user.User) string {
	device, known := s.openDevice(shown, u.ID())
	if !known {
		return ""
	}
	return device + " " + strconv.FormatInt(u.SessionEpoch(), 10)
}

// find returns the user with the address, or the zero user; an address that
// cannot be is as unknown as any other.
func (s *Service) find(ctx context.Context, address string) (u user.User, known bool, err error) {
	email, err := user.NewEmail(address)
	if err != nil {
		return user.User{}, false, nil
	}
	u, err = s.Users.FindByEmail(ctx, email)
	if errors.Is(err, fault.NotFound) {
		return user.User{}, false, nil
	}
	return u, err == nil, err
}

// account names the account that somebody tries to sign in to, whether there is
// one or not: that a try is counted must not tell.
func account(address string) string {
	if email, err := user.NewEmail(address); err == nil {
		return email.Canonical()
	}
	return strings.ToLower(strings.TrimSpace(address))
}

// refusal tells, for the audit log alone, why somebody may not sign in, or "".
func (s *Service) refusal(u user.User, known, right bool) string {
	switch {
	case !known:
		return "unknown"
	case !right:
		return "password"
	case u.Status() != user.Active:
		return "disabled"
	case s.Verified && !u.EmailVerified():
		return "unverified"
	}
	return ""
}

// failed writes a failure down and gives the one answer for all of them.
func (s *Service) failed(ctx context.Context, u user.User, why string, a *guard.Attempt) error {
	subject := audit.Subject{}
	if !u.ID().IsZero() {
		subject = audit.Of(u.ID())
	}
	entries := []audit.Entry{s.book.Entry(ctx, audit.SignInFailed, audit.Failure, user.ID{}, subject, "reason", why)}
	if a.Last() {
		entries = append(entries, s.book.Entry(ctx, audit.SignInThrottled, audit.Refused, user.ID{}, subject))
	}
	if err := s.Ledger.Record(ctx, ports.Along{Audit: entries}); err != nil {
		return err
	}
	return ErrInvalidCredentials
}

// rehash makes a hash with today's parameters where the one kept is weaker:
// this is the only moment at which the password is known. If all sessions were
// ended meanwhile, the password that was right is so no longer, and the session
// must not begin for the epoch that is now.
func (s *Service) rehash(ctx context.Context, u user.User, p user.Password) (user.User, error) {
	if !s.Hasher.Outdated(u.PasswordHash()) {
		return u, nil
	}
	fresh, err := s.Hasher.Hash(ctx, p)
	if err != nil {
		return user.User{}, err
	}
	return s.Users.Update(ctx, u.ID(), func(now *user.User) error {
		if now.SessionEpoch() != u.SessionEpoch() {
			return ErrInvalidCredentials
		}
		if now.PasswordHash() == u.PasswordHash() { // else another sign-in has done it
			now.Rehash(fresh)
		}
		return nil
	})
}

// entrance is somebody who has shown the right password and comes in.
type entrance struct {
	user     user.User
	device   session.Device
	remember bool
	known    string           // see Credentials.KnownDevice
	over     *session.Resumed // the session that ends with it, or nil
}

// begin begins a session for e: one that is pending, if a second factor is on.
func (s *Service) begin(ctx context.Context, e entrance) (SignedIn, error) {
	f, err := s.Factors.Find(ctx, e.user.ID())
	if err != nil {
		return SignedIn{}, err
	}
	methods := session.ByPassword
	if f.On() {
		methods = 0
	}
	var greeting []mail.Letter
	if !f.On() {
		if greeting, err = s.greet(ctx, e); err != nil {
			return SignedIn{}, err
		}
	}
	left, err := s.leave(ctx, e.over)
	if err != nil {
		return SignedIn{}, err
	}
	now, token := s.Now(), s.Random.Token()
	one := session.Begin(session.Start{
		ID: session.ID{UUID: s.Random.ID(now)}, Key: token.Key(), UserID: e.user.ID(), Epoch: e.user.SessionEpoch(),
		Remembered: e.remember, Methods: methods, Device: e.device,
	}, s.Lifetime, now)
	if err := s.Sessions.Add(ctx, one); err != nil {
		return SignedIn{}, err
	}
	in := SignedIn{User: e.user, Session: one, Token: token}
	if f.On() {
		along := ports.Along{Audit: append(left, s.book.Own(ctx, audit.SignInAwaits, audit.Success, e.user.ID()))}
		return in, s.Ledger.Record(ctx, along)
	}
	return s.welcome(ctx, in, e, left, greeting)
}

// leave ends the session over which somebody signs in.
func (s *Service) leave(ctx context.Context, over *session.Resumed) ([]audit.Entry, error) {
	if over == nil {
		return nil, nil
	}
	one, err := s.Sessions.End(ctx, over.Session.Key(), s.because(session.SignedOut))
	switch {
	case errors.Is(err, fault.NotFound): // it has ended by itself
		return nil, nil
	case err != nil:
		return nil, err
	}
	return s.book.Ended(ctx, one.UserID(), session.SignedOut, one), nil
}

// greet makes the letter that tells of a sign-in on a new device. The first
// device of an account is not new to anybody; of an account so old that what
// was before may be forgotten, none is taken for the first.
func (s *Service) greet(ctx context.Context, e entrance) ([]mail.Letter, error) {
	if _, known := s.openDevice(e.known, e.user.ID()); known {
		return nil, nil
	}
	if s.Now().Sub(e.user.CreatedAt()) < session.PastKept {
		before, err := s.Directory.Known(ctx, e.user.ID())
		if err != nil || !before {
			return nil, err
		}
	}
	if wanted, err := s.Guard.Notice(ctx, e.user); err != nil || !wanted {
		return nil, err
	}
	return []mail.Letter{s.book.Letter(ctx, mail.NewDevice, e.user,
		"device", s.Devices.Name(e.device.UserAgent), "ip", addrText(e.device), "at", s.Now().UTC().Format(time.RFC3339))}, nil
}

func addrText(d session.Device) string {
	if !d.IP.IsValid() {
		return ""
	}
	return d.IP.String()
}

// welcome finishes a sign-in whose session stands: older sessions make room, it
// is written down, and the device is known from now on.
func (s *Service) welcome(ctx context.Context, in SignedIn, e entrance, entries []audit.Entry, letters []mail.Letter) (SignedIn, error) {
	id := in.User.ID()
	entries = append(entries, s.book.Entry(ctx, audit.SignedIn, audit.Success, id,
		audit.Subject{Type: "session", ID: in.Session.ID().String()}, "methods", strings.Join(in.Session.Methods().Names(), " ")))
	if s.Max > 0 {
		made, err := s.Directory.Trim(ctx, id, s.Max, s.because(session.LimitReached))
		if err != nil {
			return SignedIn{}, err
		}
		entries = append(entries, s.book.Ended(ctx, id, session.LimitReached, made...)...)
	}
	in.Device = e.known
	if _, known := s.openDevice(e.known, id); !known {
		in.Device = s.sealDevice(id)
	}
	return in, s.Ledger.Record(ctx, ports.Along{Audit: entries, Letters: letters})
}

// Code is the second step of signing in: one of the two.
type Code struct {
	TOTP        string
	Recovery    string
	KnownDevice string // see [Credentials]
}

// SecondStep completes a sign-in that awaits it, under a new token. It returns
// factor.ErrInvalidCode for a code that is not or no longer good,
// guard.ErrTooMany without looking at the code, and access.ErrUnauthenticated if
// the pending session was ended or used meanwhile.
func (s *Service) SecondStep(ctx context.Context, pending session.Resumed, c Code) (SignedIn, error) {
	if !pending.Awaits(s.Now()) {
		return SignedIn{}, access.ErrUnauthenticated
	}
	u := pending.User
	attempt, err := s.Guard.Code(ctx, u.ID())
	if err != nil {
		return SignedIn{}, err
	}
	if err := s.use(ctx, u, c); errors.Is(err, factor.ErrInvalidCode) {
		return SignedIn{}, s.refused(ctx, u.ID(), attempt, audit.FactorFailed, audit.FactorThrottled, err)
	} else if err != nil {
		attempt.Void(ctx)
		return SignedIn{}, ended(err)
	}
	attempt.Passed(ctx)
	e := entrance{user: u, device: pending.Session.Device(), known: c.KnownDevice}
	letters, err := s.greet(ctx, e)
	if err != nil {
		return SignedIn{}, err
	}
	methods := session.ByPassword | session.ByTOTP
	if c.Recovery != "" {
		methods = session.ByPassword | session.ByRecoveryCode
	}
	now, token := s.Now(), s.Random.Token()
	next := pending.Session.Completed(token.Key(), methods, s.Lifetime, now)
	if err := s.Sessions.Replace(ctx, pending.Session.Key(), next, session.Reason{}, now); err != nil {
		return SignedIn{}, ended(err)
	}
	in, err := s.welcome(ctx, SignedIn{User: u, Session: next, Token: token}, e, nil, letters)
	return in, ended(err) // the account may have been deleted since
}

// use takes the code out of the user's factor, which no other request can do
// then. It returns factor.ErrInvalidCode if it is not there.
func (s *Service) use(ctx context.Context, u user.User, c Code) error {
	if c.Recovery == "" {
		_, err := s.Factors.Update(ctx, u.ID(), func(f *factor.Factor) error { return s.useStep(f, c.TOTP) })
		return err
	}
	h, ok := factor.HashCode(c.Recovery)
	if !ok {
		return factor.ErrInvalidCode
	}
	with := &ports.Along{Audit: []audit.Entry{s.book.Own(ctx, audit.RecoveryCodeUsed, audit.Success, u.ID())}}
	wanted, err := s.Guard.Notice(ctx, u)
	if err != nil {
		return err
	}
	if wanted {
		with.Letters = []mail.Letter{s.book.Letter(ctx, mail.RecoveryCodeWasUsed, u)}
	}
	_, err = s.Factors.Update(ctx, u.ID(), func(f *factor.Factor) error { return f.UseRecovery(h) }, with)
	return err
}

// useStep opens the secret and computes, and asks no store.
func (s *Service) useStep(f *factor.Factor, code string) error {
	step, ok, err := s.match(*f, code)
	if err != nil {
		return err
	}
	if !ok {
		return factor.ErrInvalidCode
	}
	return f.UseStep(step)
}

// match finds the time step whose code it is. A secret that cannot be opened,
// because the installation's key was lost, is a defect to be seen and not a
// wrong code.
func (s *Service) match(f factor.Factor, code string) (step int64, ok bool, err error) {
	if !f.On() {
		return 0, false, nil
	}
	clear, ok := s.Sealer.Open(FactorLabel(f.UserID()), f.Secret())
	if !ok {
		return 0, false, errors.New("sessions: the secret of a second factor cannot be opened with the configured secrets")
	}
	step, ok = s.Codes.Match(string(clear), code, s.Now())
	return step, ok, nil
}

// FactorLabel is the label under which the secret of a user's second factor is
// sealed, so that one cannot be put in the place of another's.
func FactorLabel(id user.ID) string { return "second factor of " + id.String() }

// refused writes down that somebody who is known has shown the wrong thing, and
// that there is a pause now if there is one, and returns what they are told.
func (s *Service) refused(ctx context.Context, id user.ID, a *guard.Attempt, failed, throttled audit.Event, told error) error {
	entries := []audit.Entry{s.book.Own(ctx, failed, audit.Failure, id)}
	if a.Last() {
		entries = append(entries, s.book.Own(ctx, throttled, audit.Refused, id))
	}
	if err := s.Ledger.Record(ctx, ports.Along{Audit: entries}); err != nil {
		return err
	}
	return told
}

const deviceLabel = "known device"

var deviceText = base64.RawURLEncoding.Strict()

// sealDevice makes what a device shows to be known again as one of the user's:
// an id of its own, signed for this user alone.
func (s *Service) sealDevice(id user.ID) string {
	device := s.Random.ID(s.Now())
	return deviceText.EncodeToString(s.Sealer.Seal(deviceLabel, append(id.UUID[:], device[:]...)))
}

// MaxDeviceText bounds what is looked at of what a device shows, in bytes.
const MaxDeviceText = 256

// openDevice gives the id of a device that is known as one of the user's.
func (s *Service) openDevice(shown string, id user.ID) (device string, known bool) {
	if shown == "" || len(shown) > MaxDeviceText || id.IsZero() {
		return "", false
	}
	sealed, err := deviceText.DecodeString(shown)
	// The decoder passes over line breaks; what is shown goes out in a header.
	if err != nil || len(shown) != deviceText.EncodedLen(len(sealed)) {
		return "", false
	}
	clear, ok := s.Sealer.Open(deviceLabel, sealed)
	if !ok || len(clear) != 32 || uuid.UUID(clear[:16]) != id.UUID {
		return "", false
	}
	return uuid.UUID(clear[16:]).String(), true
}
