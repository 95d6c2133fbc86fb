// Package audit holds what is written down of security-relevant acts: an
// [Entry] says who did what, when, from where and with which outcome, and a
// [Row] is an entry in its place in the log.
//
// The log is append-only and chained: the hash of a row covers its entry, its
// place and the hash of the row before it on the same day (UTC), so that a row
// which is changed, removed or moved later breaks the chain there. [Chain]
// finds the first such place. Who can write the whole database can forge a
// whole day; that takes copying the day's [Head] to where they cannot.
//
// No secret, password, token or hash of one is ever part of an entry, and no
// e-mail address: people are named by their ids, so that the log may outlive
// their account.
package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

// Event is what happened, as a stable name: "subject.act".
type Event string

// The events.
const (
	Registered           Event = "account.registered"
	RegistrationRepeated Event = "account.registration_repeated" // for an address that has an account
	Left                 Event = "account.deleted"
	Exported             Event = "account.exported"

	SignedIn          Event = "session.signed_in"
	SignInFailed      Event = "session.sign_in_failed"
	SignInAwaits      Event = "session.second_factor_awaited"
	SignInThrottled   Event = "session.sign_in_throttled"
	SessionEnded      Event = "session.ended" // detail "reason" says why
	Reauthenticated   Event = "session.reauthenticated"
	ReauthFailed      Event = "session.reauthentication_failed"
	PasswordChanged   Event = "password.changed"
	PasswordRefused   Event = "password.confirmation_failed"
	ConfirmThrottled  Event = "password.confirmation_throttled"
	ResetRequested    Event = "password.reset_requested"
	PasswordReset     Event = "password.reset"
	VerificationAsked Event = "email.verification_requested"
	EmailVerified     Event = "email.verified"
	EmailChangeAsked  Event = "email.change_requested"
	EmailChanged      Event = "email.changed"
	FactorStarted     Event = "second_factor.started"
	FactorConfirmed   Event = "second_factor.confirmed"
	FactorRemoved     Event = "second_factor.removed"
	FactorFailed      Event = "second_factor.failed"
	FactorThrottled   Event = "second_factor.throttled"
	RecoveryCodeUsed  Event = "second_factor.recovery_code_used"

	Denied Event = "access.denied"

	GrantGiven  Event = "product.grant_given" // detail "user" and "role"
	GrantTaken  Event = "product.grant_taken" // detail "user" and "role", which it was
	Transferred Event = "product.transferred" // detail "from" and "to"

	UserCreated   Event = "user.created" // by an operator
	RolesChanged  Event = "user.roles_changed"
	StatusChanged Event = "user.status_changed"

	PolicyAdded      Event = "policy.added"
	PolicyRemoved    Event = "policy.removed"
	PolicyLoaded     Event = "policy.loaded" // a whole table
	PolicyRolledBack Event = "policy.rolled_back"
)

// Outcome is how it came out.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Failure Outcome = "failure"
	Refused Outcome = "refused" // by policy or throttle
)

// Origin is where a request came from, as far as it can be known.
type Origin struct {
	IP        netip.Addr
	UserAgent string
	RequestID string
}

// Subject is what an act was done to.
type Subject struct {
	Type string // "user", "session", "product"; "" for none
	ID   string
}

// Of is a user as a subject.
func Of(id user.ID) Subject { return Subject{"user", id.String()} }

// Entry is one thing that happened.
type Entry struct {
	ID      uuid.UUID
	At      time.Time
	Event   Event
	Outcome Outcome
	Actor   user.ID // zero where nobody is known, or an operator at the command line acted
	Subject Subject
	Origin  Origin
	Detail  map[string]string // what else is worth knowing; no secrets; may be nil
}

// Day is the day in UTC to whose chain e belongs, "2006-01-02".
func (e Entry) Day() string { return e.At.UTC().Format(time.DateOnly) }

// DetailText is the detail as stores keep it: a JSON object with its members in
// order.
func (e Entry) DetailText() string {
	if len(e.Detail) == 0 {
		return "{}"
	}
	text, err := json.Marshal(e.Detail) // sorts; strings cannot fail
	if err != nil {
		return "{}"
	}
	return string(text)
}

// ParseDetail reads [Entry.DetailText].
func ParseDetail(s string) (map[string]string, error) {
	var d map[string]string
	if err := json.Unmarshal([]byte(s), &d); err != nil {
		return nil, fmt.Errorf("the detail of an audit row cannot be read: %w", err)
	}
	if len(d) == 0 {
		return nil, nil
	}
	return d, nil
}

// Hash is that of a row.
type Hash [sha256.Size]byte

// Row is an entry in its place.
type Row struct {
	Entry
	Seq  int64 // counts from 1 on every day
	Hash Hash
}

// Place is where a row is kept in the log. Places are ordered by the day and then
// by Seq; the zero Place is none.
type Place struct {
	Day string // "2006-01-02"
	Seq int64
}

// Before reports whether p comes before o.
func (p Place) Before(o Place) bool {
	return p.Day < o.Day || p.Day == o.Day && p.Seq < o.Seq
}

// IsZero reports whether p is no place.
func (p Place) IsZero() bool { return p == Place{} }

// ParseEvent reads what may be the name of an event: lower-case letters, '_' and
// '.', up to 64 of them. Whether there is such an event is not asked: a log may
// hold those of another release.
func ParseEvent(s string) (Event, bool) {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && c != '_' && c != '.' {
			return "", false
		}
	}
	return Event(s), len(s) >= 1 && len(s) <= 64
}

// Head is the last row of a day, kept apart from the rows, so that one removed
// from the end is missed too.
type Head struct {
	Day  string
	Seq  int64
	Hash Hash
}

// Append gives e, as stores can keep it, its place behind the head of its day,
// and the head that is then. The head of a day without rows has Seq zero and the zero Hash.
func (h Head) Append(e Entry) (Row, Head) {
	e.At = e.At.UTC().Truncate(time.Microsecond)
	e.Origin.IP = e.Origin.IP.Unmap().WithZone("")
	e.Origin.UserAgent, e.Origin.RequestID = text(e.Origin.UserAgent), text(e.Origin.RequestID)
	e.Detail = texts(e.Detail)
	r := Row{Entry: e, Seq: h.Seq + 1}
	r.Hash = r.sum(h.Hash)
	return r, Head{Day: e.Day(), Seq: r.Seq, Hash: r.Hash}
}

// text is s as every store can keep it: what a client sends in a header may be
// any bytes, and must not keep an act from being written down.
func text(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\ufffd")
}

func texts(detail map[string]string) map[string]string {
	if len(detail) == 0 {
		return nil
	}
	own := make(map[string]string, len(detail))
	for name, value := range detail {
		own[text(name)] = text(value)
	}
	return own
}

// sum hashes every field with its length in front, so that no two rows have the
// same bytes.
func (r Row) sum(before Hash) Hash {
	var b bytes.Buffer
	put := func(field []byte) {
		_ = binary.Write(&b, binary.BigEndian, uint32(len(field)))
		b.Write(field)
	}
	ip := ""
	if r.Origin.IP.IsValid() {
		ip = r.Origin.IP.String()
	}
	put(before[:])
	put(binary.BigEndian.AppendUint64(nil, uint64(r.Seq)))
	put(r.ID[:])
	put(binary.BigEndian.AppendUint64(nil, uint64(r.At.UnixMicro())))
	for _, field := range []string{
		string(r.Event), string(r.Outcome), r.Actor.String(), r.Subject.Type, r.Subject.ID,
		ip, r.Origin.UserAgent, r.Origin.RequestID, r.DetailText(),
	} {
		put([]byte(field))
	}
	return sha256.Sum256(b.Bytes())
}

// Chain follows the rows of one day. The zero value stands before the first.
type Chain struct{ last Head }

// Broken says where a day's chain does not hold.
type Broken struct {
	Day  string
	Seq  int64     // the place in question
	ID   uuid.UUID // the row that stands there; zero where none does
	What string    // "changed", "missing", "moved" or "added"
}

func (b *Broken) Error() string {
	if b.ID.IsZero() {
		return fmt.Sprintf("audit log of %s: row %d is %s", b.Day, b.Seq, b.What)
	}
	return fmt.Sprintf("audit log of %s: row %d (id %s) was %s", b.Day, b.Seq, b.ID, b.What)
}

// Next takes the row that is kept next in the order of Seq under the day, and
// returns a *Broken if it does not follow.
func (c *Chain) Next(day string, r Row) error {
	want := c.last.Seq + 1
	switch {
	case r.Day() != day:
		return &Broken{day, r.Seq, r.ID, "moved"}
	case r.Seq > want:
		return &Broken{day, want, uuid.UUID{}, "missing"}
	case r.Seq < want:
		return &Broken{day, r.Seq, r.ID, "added"}
	case r.Hash != r.sum(c.last.Hash):
		return &Broken{day, r.Seq, r.ID, "changed"}
	}
	c.last = Head{day, r.Seq, r.Hash}
	return nil
}

// End compares the last row with the head that is kept, and returns a *Broken
// if rows are missing at the end or were added there.
func (c *Chain) End(h Head) error {
	switch {
	case c.last.Seq < h.Seq:
		return &Broken{h.Day, c.last.Seq + 1, uuid.UUID{}, "missing"}
	case c.last.Seq > h.Seq:
		return &Broken{h.Day, h.Seq + 1, uuid.UUID{}, "added"}
	case c.last.Hash != h.Hash:
		return &Broken{h.Day, h.Seq, uuid.UUID{}, "changed"}
	}
	return nil
}
