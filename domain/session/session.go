// Package session holds what is true of a sign-in that lasts: its secret
// [Token], of which only the [Key] is ever kept, and the [Session] with the two
// clocks that end it.
//
// A session is begun once and afterwards only renewed or rotated; whether it
// still exists is for the store to say (ports.SessionRepository), whether it is
// still good at a moment is for [Session.Ended].
package session

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

// ID is the public handle of a session, by which its owner names it. It gives
// no access: that takes the token.
type ID struct{ uuid.UUID }

// ParseID reads the canonical text form.
func ParseID(s string) (ID, bool) {
	u, ok := uuid.Parse(s)
	return ID{u}, ok
}

// Lifetime says how long sessions last (ASVS 5.0 7.3.1 and 7.3.2, NIST SP
// 800-63B-4 section 5.2).
type Lifetime struct {
	Idle       time.Duration // without use
	Absolute   time.Duration // however much it is used
	Remembered time.Duration // absolute, where the user asked to be remembered
	Step       time.Duration // use is written down at most once per step
}

// DefaultLifetime is what holds where nothing is configured.
var DefaultLifetime = Lifetime{
	Idle:       24 * time.Hour,
	Absolute:   24 * time.Hour,
	Remembered: 30 * 24 * time.Hour,
	Step:       5 * time.Minute,
}

// step is never so long that a session in steady use could fall idle.
func (l Lifetime) step() time.Duration { return min(l.Step, l.Idle/4) }

func (l Lifetime) absolute(remembered bool) time.Duration {
	if remembered {
		return l.Remembered
	}
	return l.Absolute
}

// MaxUserAgentLength is how many bytes of a User-Agent header are kept.
const MaxUserAgentLength = 512

// Device is where a session was begun from, as far as it can be known. Both
// are claims or hints, never proofs.
type Device struct {
	UserAgent string
	IP        netip.Addr
}

// NewDevice keeps of a User-Agent what is printable text, up to
// [MaxUserAgentLength] bytes.
func NewDevice(userAgent string, ip netip.Addr) Device {
	ua := strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r <= 0x9f || r == utf8.RuneError {
			return -1
		}
		return r
	}, userAgent)
	for len(ua) > MaxUserAgentLength {
		_, n := utf8.DecodeLastRuneInString(ua)
		ua = ua[:len(ua)-n]
	}
	return Device{UserAgent: ua, IP: ip.Unmap().WithZone("")}
}

// Session is one sign-in of a user. It is a value and holds no secret but the
// hash of one.
type Session struct {
	id         ID
	key        Key
	userID     user.ID
	epoch      int64
	remembered bool
	methods    Methods
	device     Device
	createdAt  time.Time
	seenAt     time.Time
	provedAt   time.Time
	idleEnd    time.Time
	end        time.Time
}

// Methods are the ways in which somebody has shown who they are, as a set. A
// session without any is pending: it opens nothing but the second step of
// signing in.
type Methods uint8

// The methods.
const (
	ByPassword Methods = 1 << iota
	ByTOTP
	ByRecoveryCode

	allMethods = ByPassword | ByTOTP | ByRecoveryCode
)

// Known reports whether m holds nothing but methods that there are.
func (m Methods) Known() bool { return m&^allMethods == 0 }

// Names lists the methods by name: "password", "totp", "recovery_code".
func (m Methods) Names() []string {
	var names []string
	for i, name := range []string{"password", "totp", "recovery_code"} {
		if m&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// PendingLifetime is how long the second step of signing in may take.
const PendingLifetime = 10 * time.Minute

// Start is what a session begins with.
type Start struct {
	ID         ID
	Key        Key
	UserID     user.ID
	Epoch      int64 // the user's [user.User.SessionEpoch] for which the session is good
	Remembered bool
	Methods    Methods // none for a pending session
	Device     Device
}

// Begin makes a session that starts now. One that is pending ends after
// [PendingLifetime], or sooner if no session lasts that long.
func Begin(s Start, l Lifetime, now time.Time) Session {
	at := instant(now)
	end := at.Add(l.absolute(s.Remembered))
	if s.Methods == 0 {
		end = earlier(end, at.Add(PendingLifetime))
	}
	return Session{
		id: s.ID, key: s.Key, userID: s.UserID, epoch: s.Epoch, remembered: s.Remembered, methods: s.Methods, device: s.Device,
		createdAt: at, seenAt: at, provedAt: at, idleEnd: earlier(at.Add(l.Idle), end), end: end,
	}
}

// State is everything that a store keeps of a session. For adapters alone.
type State struct {
	ID         ID
	Key        Key
	UserID     user.ID
	Epoch      int64
	Remembered bool
	Methods    Methods
	Device     Device
	CreatedAt  time.Time
	SeenAt     time.Time
	ProvedAt   time.Time
	IdleEnd    time.Time
	End        time.Time
}

// Restore makes a session out of what a store kept. For adapters alone.
func Restore(s State) Session {
	return Session{
		id: s.ID, key: s.Key, userID: s.UserID, epoch: s.Epoch, remembered: s.Remembered, methods: s.Methods, device: s.Device,
		createdAt: instant(s.CreatedAt), seenAt: instant(s.SeenAt), provedAt: instant(s.ProvedAt), idleEnd: instant(s.IdleEnd), end: instant(s.End),
	}
}

// State gives everything that a store keeps of s. For adapters alone.
func (s Session) State() State {
	return State{
		ID: s.id, Key: s.key, UserID: s.userID, Epoch: s.epoch, Remembered: s.remembered, Methods: s.methods, Device: s.device,
		CreatedAt: s.createdAt, SeenAt: s.seenAt, ProvedAt: s.provedAt, IdleEnd: s.idleEnd, End: s.end,
	}
}

func (s Session) ID() ID               { return s.id }
func (s Session) Key() Key             { return s.key }
func (s Session) UserID() user.ID      { return s.userID }
func (s Session) Remembered() bool     { return s.remembered }
func (s Session) Device() Device       { return s.device }
func (s Session) CreatedAt() time.Time { return s.createdAt }
func (s Session) Methods() Methods     { return s.methods }

// Pending reports whether s opens nothing but the second step of signing in.
func (s Session) Pending() bool { return s.methods == 0 }

// ProvedAt is when its holder last showed who they are.
func (s Session) ProvedAt() time.Time { return s.provedAt }

// Proved reports whether that was at most window before now.
func (s Session) Proved(window time.Duration, now time.Time) bool {
	return !s.Pending() && instant(now).Sub(s.provedAt) <= window
}

// Epoch is the user's session epoch for which s is good. Another one means
// that all sessions of the user were ended since.
func (s Session) Epoch() int64 { return s.epoch }

// SeenAt is when s was last used, to the renewal step.
func (s Session) SeenAt() time.Time { return s.seenAt }

// ExpiresAt is when s ends however much it is used.
func (s Session) ExpiresAt() time.Time { return s.end }

// IdleEnd is when s ends if it is not used, at the latest at [Session.ExpiresAt].
func (s Session) IdleEnd() time.Time { return s.idleEnd }

// Format prints the handle alone, under every verb: fmt would reach past the
// key's own care, since it is a private field.
func (s Session) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "session "+s.id.String()) }

// Ended reports whether a clock has ended s by now, and which. A session is
// over at the very instant of its end.
func (s Session) Ended(now time.Time) (Reason, bool) {
	switch at := instant(now); {
	case !at.Before(s.end):
		return Expired, true
	case !at.Before(s.idleEnd):
		return Idle, true
	}
	return Reason{}, false
}

// Renewed gives s as used now, and whether that is worth writing down: it is
// not until a renewal step has passed. A session that has ended is not renewed,
// and the absolute end never moves.
func (s Session) Renewed(l Lifetime, now time.Time) (Session, bool) {
	at := instant(now)
	if _, over := s.Ended(now); over || at.Sub(s.seenAt) < l.step() {
		return s, false
	}
	s.seenAt = at
	s.idleEnd = earlier(at.Add(l.Idle), s.end)
	return s, true
}

// Rotated gives s under a new token and for a new epoch: the old token is good
// for nothing any more.
func (s Session) Rotated(key Key, epoch int64) Session {
	s.key, s.epoch = key, epoch
	return s
}

// Reproved gives s after its holder showed once more who they are: under a new
// token, since it may do more from now on.
func (s Session) Reproved(key Key, m Methods, now time.Time) Session {
	s.key, s.methods, s.provedAt = key, s.methods|m, instant(now)
	return s
}

// Completed gives a pending s after the second step: a session that is good
// from now on, under a new token, with the lifetime that it would have had.
func (s Session) Completed(key Key, m Methods, l Lifetime, now time.Time) Session {
	at := instant(now)
	s.key, s.methods = key, m
	s.seenAt, s.provedAt = at, at
	s.end = at.Add(l.absolute(s.remembered))
	s.idleEnd = earlier(at.Add(l.Idle), s.end)
	return s
}

// Resumed is what presenting a good token yields, read at one moment: the
// session, its user, and how new the policy is by which to decide.
type Resumed struct {
	Session       Session
	User          user.User
	PolicyVersion int64
}

// Good reports whether the session may act at now: it is not pending, no clock
// has ended it, the user's sessions were not ended since, and the user may sign
// in.
func (r Resumed) Good(now time.Time) bool {
	_, over := r.Over(now)
	return !over && !r.Session.Pending()
}

// Awaits reports whether the session is pending and good for the second step of
// signing in.
func (r Resumed) Awaits(now time.Time) bool {
	_, over := r.Over(now)
	return !over && r.Session.Pending()
}

// Over reports whether the session is good for nothing at now, and why. That all
// sessions of the user were ended is known here by the epoch alone: the usual
// reason is given, and the true one stands in what the store keeps of those
// that were ended.
func (r Resumed) Over(now time.Time) (Reason, bool) {
	if why, over := r.Session.Ended(now); over {
		return why, true
	}
	switch {
	case r.User.Status() != user.Active:
		return AccountDisabled, true
	case r.Session.epoch != r.User.SessionEpoch():
		return PasswordChanged, true
	}
	return Reason{}, false
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// ErrUnknown is what a store answers when there is no such session, or none any
// more.
var ErrUnknown = fault.New(fault.NotFound, "not_found", "There is no such session.")
