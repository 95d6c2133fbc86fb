package fiberstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
)

// Add stores a new session.
func (s *Sessions) Add(ctx context.Context, new session.Session) error {
	err := s.storage.SetWithContext(ctx, new.Key().Hex(), encode(new), expiry(new, new.SeenAt()))
	return failed("add session", err)
}

// expiry is how long the storage is to keep a session, from now on by its own
// clock. It keeps whole seconds and drops the fraction: one more than the
// session needs, rounded up, and the row never goes before the session ends.
func expiry(s session.Session, now time.Time) time.Duration {
	left := s.IdleEnd().Sub(now)
	return max(left.Truncate(time.Second), 0) + 2*time.Second
}

// Resume reads the session, its user and the policy version with one statement.
func (s *Sessions) Resume(ctx context.Context, k session.Key) (session.Resumed, error) {
	var value []byte
	var owner ownerRow
	var version *int64
	err := withFreshPlan(func() error {
		return s.storage.Conn().QueryRow(ctx, "SELECT s.v, (SELECT version FROM policy_state), "+ownerColumns+
			" FROM user_sessions s JOIN users u ON u.id = s.user_id WHERE s.k = $1", k.Hex(),
		).Scan(append([]any{&value, &version}, owner.fields()...)...)
	})
	if err != nil {
		return session.Resumed{}, failed("resume session", err)
	}
	if version == nil { // somebody deleted it, and that is not "no policy"
		return session.Resumed{}, fault.Outage(errors.New("fiberstore: policy_state has no row"))
	}
	one, err := decode(k, value)
	if err != nil {
		return session.Resumed{}, failed("resume session", err)
	}
	u, err := owner.user(one.UserID())
	if err != nil {
		return session.Resumed{}, failed("resume session", err)
	}
	return session.Resumed{Session: one, User: u, PolicyVersion: *version}, nil
}

// Replace alters what is still there. A rotation that raced with this one has
// taken the row away from k, and so has an ending.
func (s *Sessions) Replace(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
	expires := time.Now().Add(expiry(next, now)).Unix() // as the storage does it
	return s.changed(ctx, "replace session",
		"UPDATE user_sessions SET k = $1, v = $2, e = $3 WHERE k = $4 AND idle_end > $5",
		next.Key().Hex(), encode(next), expires, k.Hex(), now.UnixMicro())
}

// End deletes the session.
func (s *Sessions) End(ctx context.Context, k session.Key) error {
	return failed("end session", s.storage.DeleteWithContext(ctx, k.Hex()))
}

// List returns the user's sessions.
func (s *Sessions) List(ctx context.Context, id user.ID) ([]session.Session, error) {
	var all []session.Session
	err := withFreshPlan(func() error {
		rows, err := s.storage.Conn().Query(ctx, "SELECT k, v FROM user_sessions WHERE user_id = $1", id.String())
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, read)
		return err
	})
	if err != nil {
		return nil, failed("list sessions", err)
	}
	slices.SortFunc(all, func(a, b session.Session) int {
		if order := b.CreatedAt().Compare(a.CreatedAt()); order != 0 {
			return order
		}
		return b.ID().Compare(a.ID().UUID)
	})
	return all, nil
}

func read(row pgx.CollectableRow) (session.Session, error) {
	var key string
	var value []byte
	if err := row.Scan(&key, &value); err != nil {
		return session.Session{}, err
	}
	k, ok := session.ParseKey(key)
	if !ok {
		return session.Session{}, errors.New("the key of a session is no hash")
	}
	return decode(k, value)
}

// EndOne deletes the user's session with the handle, which stands at its offset
// in the value.
func (s *Sessions) EndOne(ctx context.Context, id user.ID, one session.ID) error {
	return s.changed(ctx, "end session",
		"DELETE FROM user_sessions WHERE user_id = $1 AND substring(v FROM 18 FOR 16) = $2", id.String(), one.UUID[:])
}

// EndOthers deletes the user's sessions but one; no session has the zero key.
func (s *Sessions) EndOthers(ctx context.Context, id user.ID, keep session.Key) (int, error) {
	return s.exec(ctx, "end sessions",
		"DELETE FROM user_sessions WHERE user_id = $1 AND k <> $2", id.String(), keep.Hex())
}

// Prune deletes sessions that have run out, those first that did so first. It
// goes by the session's own end and not by the storage's column e, which is by
// the clock of whoever wrote it. Rows that another node prunes, or that a
// request holds, are passed over; one that was renewed until it could be locked
// is looked at again and stays.
func (s *Sessions) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	if limit <= 0 {
		return 0, nil
	}
	return s.exec(ctx, "prune sessions",
		`DELETE FROM user_sessions WHERE k = ANY (ARRAY(
			SELECT k FROM user_sessions WHERE idle_end <= $1 ORDER BY idle_end LIMIT $2 FOR UPDATE SKIP LOCKED
		))`, now.UnixMicro(), limit)
}

// exec runs a statement and returns how many rows it has changed.
func (s *Sessions) exec(ctx context.Context, op, statement string, args ...any) (int, error) {
	tag, err := s.storage.Conn().Exec(ctx, statement, args...)
	return int(tag.RowsAffected()), failed(op, err)
}

// changed runs a statement that must find a row.
func (s *Sessions) changed(ctx context.Context, op, statement string, args ...any) error {
	n, err := s.exec(ctx, op, statement, args...)
	if err == nil && n == 0 {
		return session.ErrUnknown
	}
	return err
}

// ownerRow is what a row of users says of the owner of a session.
type ownerRow struct {
	email, canonical, name, status, hash string
	roles                                []byte // a JSON array
	verified                             bool
	epoch                                int64
	createdAt, updatedAt                 time.Time
}

// ownerColumns are the columns in the order of ownerRow.fields.
const ownerColumns = "u.email, u.email_canonical, u.name, u.status, u.password_hash, u.roles, u.email_verified, " +
	"u.session_epoch, u.created_at, u.updated_at"

func (r *ownerRow) fields() []any {
	return []any{
		&r.email, &r.canonical, &r.name, &r.status, &r.hash, &r.roles, &r.verified,
		&r.epoch, &r.createdAt, &r.updatedAt,
	}
}

// user reads the row; words that are unknown were not written by us.
func (r *ownerRow) user(id user.ID) (user.User, error) {
	status, known := user.ParseStatus(r.status)
	roles, valid := parseRoles(string(r.roles))
	if !known || !valid {
		return user.User{}, fmt.Errorf("the row of user %q has a status or a role that is no word", id)
	}
	return user.Restore(user.State{
		ID: id, Email: user.RestoreEmail(r.email, r.canonical), Name: r.name, Roles: roles, Status: status,
		EmailVerified: r.verified, PasswordHash: user.NewPasswordHash(r.hash),
		SessionEpoch: r.epoch, CreatedAt: r.createdAt, UpdatedAt: r.updatedAt,
	}), nil
}

// blanks are what JSON calls white space (RFC 8259 section 2), which is less than
// Go does.
const blanks = " \t\r\n"

// parseRoles reads a JSON array of role names. Those hold nothing that JSON
// would escape, so a comma always stands between two of them; a reader of JSON
// in general costs a fortieth of GET /me.
func parseRoles(array string) ([]user.Role, bool) {
	inner, ok := strings.CutPrefix(array, "[")
	inner, ok2 := strings.CutSuffix(inner, "]")
	if !ok || !ok2 {
		return nil, false
	}
	if strings.Trim(inner, blanks) == "" {
		return nil, true
	}
	var roles []user.Role
	for item := range strings.SplitSeq(inner, ",") {
		item = strings.Trim(item, blanks)
		name := strings.Trim(item, `"`)
		role, valid := user.ParseRole(name)
		if !valid || item != `"`+name+`"` {
			return nil, false
		}
		roles = append(roles, role)
	}
	return roles, true
}
