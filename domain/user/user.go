// Package user holds what is true of the people who sign in: their address,
// their password rules, their roles and whether they may sign in at all.
//
// Read [User] first, then [Email] and [Password]. Nothing here hashes, stores
// or sends; how a password becomes a [PasswordHash] is ports.PasswordHasher.
package user

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/domain/fault"
	"gatehouse/domain/uuid"
)

// MaxNameLength is the greatest length of a user's name, in code points.
const MaxNameLength = 100

// MaxRoles is how many roles a user has at the most.
const MaxRoles = 32

// ID identifies a user.
type ID struct{ uuid.UUID }

// ParseID reads the canonical text form.
func ParseID(s string) (ID, bool) {
	u, ok := uuid.Parse(s)
	return ID{u}, ok
}

// User is a registered person. It is a value: copies share nothing that can be
// changed, and it changes only through the methods that check what they do.
type User struct {
	id            ID
	email         Email
	name          string
	roles         []Role
	status        Status
	emailVerified bool
	passwordHash  PasswordHash
	sessionEpoch  int64
	createdAt     time.Time
	updatedAt     time.Time
}

// New makes an active user with the role "user".
func New(id ID, email Email, name Name, hash PasswordHash, now time.Time) User {
	at := instant(now)
	return User{
		id: id, email: email, name: name.s, roles: []Role{RoleUser}, status: Active,
		passwordHash: hash, createdAt: at, updatedAt: at,
	}
}

// State is everything that a store keeps of a user. It is how adapters write a
// user down ([User.State]) and get it back ([Restore]); nobody else uses it.
type State struct {
	ID            ID
	Email         Email
	Name          string
	Roles         []Role
	Status        Status
	EmailVerified bool
	PasswordHash  PasswordHash
	SessionEpoch  int64
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Restore makes a user out of what a store kept, unchecked: it passed the
// checks when it was made. For adapters alone.
func Restore(s State) User {
	return User{
		id: s.ID, email: s.Email, name: s.Name, roles: slices.Clone(s.Roles), status: s.Status,
		emailVerified: s.EmailVerified, passwordHash: s.PasswordHash, sessionEpoch: s.SessionEpoch,
		createdAt: instant(s.CreatedAt), updatedAt: instant(s.UpdatedAt),
	}
}

// State gives everything that a store keeps of u. For adapters alone.
func (u User) State() State {
	return State{
		ID: u.id, Email: u.email, Name: u.name, Roles: slices.Clone(u.roles), Status: u.status,
		EmailVerified: u.emailVerified, PasswordHash: u.passwordHash, SessionEpoch: u.sessionEpoch,
		CreatedAt: u.createdAt, UpdatedAt: u.updatedAt,
	}
}

func (u User) ID() ID                     { return u.id }
func (u User) Email() Email               { return u.email }
func (u User) Name() string               { return u.name }
func (u User) Roles() []Role              { return slices.Clone(u.roles) }
func (u User) Status() Status             { return u.status }
func (u User) EmailVerified() bool        { return u.emailVerified }
func (u User) PasswordHash() PasswordHash { return u.passwordHash }
func (u User) CreatedAt() time.Time       { return u.createdAt }
func (u User) UpdatedAt() time.Time       { return u.updatedAt }

// SessionEpoch counts how often all sessions of the user were ended at once. A
// session is good only while its own epoch equals this one.
func (u User) SessionEpoch() int64 { return u.sessionEpoch }

// HasRole reports whether r is among the user's roles; inheritance between
// roles is the authorizer's.
func (u User) HasRole(r Role) bool { return slices.Contains(u.roles, r) }

// ActsAsAdmin reports whether u can administer now: it has the role admin and is
// not disabled. A store never lets the last such user go ([ErrLastAdmin]).
func (u User) ActsAsAdmin() bool { return u.status == Active && u.HasRole(RoleAdmin) }

// Rename changes the name that others see.
func (u *User) Rename(n Name, now time.Time) {
	u.name = n.s
	u.touch(now)
}

// VerifyEmail notes that the user has shown to receive mail at the address.
func (u *User) VerifyEmail(now time.Time) {
	if u.emailVerified {
		return
	}
	u.emailVerified = true
	u.touch(now)
}

// ChangeEmail replaces the address by one at which the user has shown to
// receive mail.
func (u *User) ChangeEmail(e Email, now time.Time) {
	u.email, u.emailVerified = e, true
	u.touch(now)
}

// ChangePassword replaces the password and ends every session that the user
// has: whoever knew the old password may hold one (ASVS 5.0 7.4.3).
func (u *User) ChangePassword(h PasswordHash, now time.Time) {
	u.passwordHash = h
	u.sessionEpoch++
	u.touch(now)
}

// Rehash replaces the hash of an unchanged password, after the parameters of
// hashing were raised. Sessions live on.
func (u *User) Rehash(h PasswordHash) { u.passwordHash = h }

// SetRoles replaces the roles. It refuses an empty set, more than [MaxRoles], and
// the role "anonymous", which is who has not signed in. Where the roles are these
// already, nothing is changed.
func (u *User) SetRoles(roles []Role, now time.Time) error {
	set := slices.Clone(roles)
	slices.SortFunc(set, func(a, b Role) int { return strings.Compare(a.name, b.name) })
	set = slices.Compact(set)
	var v fault.Validation
	switch {
	case len(set) == 0:
		v.Add("/roles", "required", "A user has at least one role.")
	case len(set) > MaxRoles:
		v.Add("/roles", "too_many", "A user has at most 32 roles.")
	}
	if slices.Contains(roles, RoleAnonymous) {
		v.Add("/roles", "invalid_value", "The role anonymous belongs to visitors who have not signed in.")
	}
	if err := v.Err(); err != nil {
		return err
	}
	if slices.Equal(set, u.roles) {
		return nil
	}
	u.roles = set
	u.touch(now)
	return nil
}

// Disable keeps the user from signing in and ends every session at once.
func (u *User) Disable(now time.Time) {
	if u.status == Disabled {
		return
	}
	u.status = Disabled
	u.sessionEpoch++
	u.touch(now)
}

// Enable lets a disabled user sign in again. Sessions that ended stay ended.
func (u *User) Enable(now time.Time) {
	if u.status == Active {
		return
	}
	u.status = Active
	u.touch(now)
}

// Format prints the id alone, under every verb: fmt would reach past the
// password hash's own care, since it is a private field.
func (u User) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "user "+u.id.String()) }

func (u *User) touch(now time.Time) { u.updatedAt = instant(now) }

// Name is what a user wants to be called, possibly empty.
type Name struct{ s string }

// NewName trims and checks a name: at most [MaxNameLength] code points, no
// control characters. The pointer of a fault is "".
func NewName(s string) (Name, error) {
	s = strings.TrimSpace(s)
	var v fault.Validation
	switch {
	case strings.ContainsFunc(s, isControl):
		v.Add("", "invalid_characters", "A name holds no control characters.")
	case utf8.RuneCountInString(s) > MaxNameLength:
		v.Add("", "too_long", "A name has at most 100 characters.")
	}
	if err := v.Err(); err != nil {
		return Name{}, err
	}
	return Name{s}, nil
}

func (n Name) String() string { return n.s }

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r <= 0x9f }

// instant is the precision that every store keeps: UTC, microseconds.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Role is the name of a set of rights. Which rights is up to the policy; any
// name of the right form may be used in one.
type Role struct{ name string }

// The roles that the default policy speaks of.
var (
	RoleAnonymous = Role{"anonymous"}
	RoleUser      = Role{"user"}
	RoleModerator = Role{"moderator"}
	RoleAdmin     = Role{"admin"}
)

// ParseRole reads a role name: a lower-case letter, then up to 31 lower-case
// letters, digits, '_' and '-'.
func ParseRole(s string) (Role, bool) {
	if len(s) == 0 || len(s) > 32 || s[0] < 'a' || s[0] > 'z' {
		return Role{}, false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return Role{}, false
		}
	}
	return Role{s}, true
}

func (r Role) String() string { return r.name }

// Status tells whether a user may sign in.
type Status struct{ name string }

// The states of an account.
var (
	Active   = Status{"active"}
	Disabled = Status{"disabled"}
)

// ParseStatus reads the name of a status.
func ParseStatus(s string) (Status, bool) {
	switch s {
	case Active.name:
		return Active, true
	case Disabled.name:
		return Disabled, true
	}
	return Status{}, false
}

func (s Status) String() string { return s.name }

// ErrEmailTaken is what a store answers when the address belongs to an account.
var ErrEmailTaken = fault.New(fault.Conflict, "email_taken", "There is an account with this e-mail address already.")

// ErrUnknown is what a store answers when there is no such user.
var ErrUnknown = fault.New(fault.NotFound, "not_found", "There is no such user.")

// ErrLastAdmin is what a store answers to a change that would leave nobody who
// [User.ActsAsAdmin]: with the last one gone, no one could make another.
var ErrLastAdmin = fault.New(fault.Conflict, "last_admin", "This is the last active account with the role admin. Give another active account that role first.")
