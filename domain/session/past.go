package session

import (
	"time"

	"gatehouse/domain/user"
)

// Reason is why a session is over.
type Reason struct{ name string }

// The reasons. Idle and Expired a session knows by its clocks; the others are
// those of who ended it.
var (
	SignedOut       = Reason{"signed_out"}
	Idle            = Reason{"idle"}
	Expired         = Reason{"expired"}
	EndedByOwner    = Reason{"ended_by_owner"}
	EndedByAdmin    = Reason{"ended_by_admin"}
	PasswordChanged = Reason{"password_changed"}
	AccountDisabled = Reason{"account_disabled"}
	LimitReached    = Reason{"session_limit"} // newer ones took its place
)

var reasons = []Reason{SignedOut, Idle, Expired, EndedByOwner, EndedByAdmin, PasswordChanged, AccountDisabled, LimitReached}

// ParseReason reads the name of a reason.
func ParseReason(s string) (Reason, bool) {
	for _, r := range reasons {
		if r.name == s {
			return r, true
		}
	}
	return Reason{}, false
}

func (r Reason) String() string { return r.name }

// IsZero reports whether r is no reason.
func (r Reason) IsZero() bool { return r.name == "" }

// PastKept is how long it is kept that a session was, and why it ended.
const PastKept = 30 * 24 * time.Hour

// Ending is why and when sessions are ended.
type Ending struct {
	Why Reason
	At  time.Time
}

// Past is what is left of a session that is over.
type Past struct {
	ID        ID
	Key       Key // the token that was its last, or one that it had before
	UserID    user.ID
	Why       Reason
	Device    Device
	CreatedAt time.Time
	EndedAt   time.Time
}

// Of gives what is left of s.
func (e Ending) Of(s Session) Past {
	return Past{
		ID: s.id, Key: s.key, UserID: s.userID, Why: e.Why, Device: s.device,
		CreatedAt: s.createdAt, EndedAt: instant(e.At),
	}
}
