package gormrepo

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"gorm.io/gorm"

	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var (
	_ ports.SessionRepository = (*Sessions)(nil)
	_ ports.SessionDirectory  = (*Sessions)(nil)
)

// Sessions keeps the sessions in SQLite.
type Sessions struct{ db *DB }

// Sessions returns the store of sessions, for a database that is SQLite.
func (d *DB) Sessions() *Sessions { return &Sessions{d} }

// sessionRow is a row of user_sessions.
type sessionRow struct {
	Key        string `gorm:"primaryKey"`
	ID         string
	UserID     string
	Epoch      int64
	Remembered bool
	Methods    int64
	UserAgent  string
	IP         string
	CreatedAt  time.Time `gorm:"autoCreateTime:false"`
	SeenAt     time.Time
	ProvedAt   time.Time
	IdleEnd    time.Time
	EndAt      time.Time
}

// TableName is for GORM.
func (sessionRow) TableName() string { return "user_sessions" }

// sessionColumns are the columns in the order of sessionRow.fields.
const sessionColumns = "user_sessions.key, user_sessions.id, user_sessions.user_id, user_sessions.epoch, user_sessions.remembered, " +
	"user_sessions.methods, user_sessions.user_agent, user_sessions.ip, user_sessions.created_at, user_sessions.seen_at, " +
	"user_sessions.proved_at, user_sessions.idle_end, user_sessions.end_at"

func (r *sessionRow) fields() []any {
	return []any{
		&r.Key, &r.ID, &r.UserID, &r.Epoch, &r.Remembered,
		&r.Methods, &r.UserAgent, &r.IP, &r.CreatedAt, &r.SeenAt, &r.ProvedAt, &r.IdleEnd, &r.EndAt,
	}
}

// newSessionRow writes a session down.
func newSessionRow(s session.Session) sessionRow {
	t := s.State()
	return sessionRow{
		Key: t.Key.Hex(), ID: t.ID.String(), UserID: t.UserID.String(), Epoch: t.Epoch, Remembered: t.Remembered,
		Methods: int64(t.Methods), UserAgent: t.Device.UserAgent, IP: writeIP(t.Device.IP),
		CreatedAt: t.CreatedAt, SeenAt: t.SeenAt, ProvedAt: t.ProvedAt, IdleEnd: t.IdleEnd, EndAt: t.End,
	}
}

// session reads the row.
func (r *sessionRow) session() (session.Session, error) {
	key, ok := session.ParseKey(r.Key)
	id, known := session.ParseID(r.ID)
	owner, valid := user.ParseID(r.UserID)
	ip, err := readIP(r.IP)
	methods := session.Methods(r.Methods)
	if !ok || !known || !valid || err != nil || int64(methods) != r.Methods || !methods.Known() {
		return session.Session{}, fmt.Errorf("the row of session %q cannot be read", r.ID)
	}
	return session.Restore(session.State{
		ID: id, Key: key, UserID: owner, Epoch: r.Epoch, Remembered: r.Remembered, Methods: methods,
		Device:    session.Device{UserAgent: r.UserAgent, IP: ip},
		CreatedAt: r.CreatedAt, SeenAt: r.SeenAt, ProvedAt: r.ProvedAt, IdleEnd: r.IdleEnd, End: r.EndAt,
	}), nil
}

// writeIP gives the text of an address, empty for none; readIP reads it.
func writeIP(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}

func readIP(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	return netip.ParseAddr(s)
}

// Add stores a new session.
func (s *Sessions) Add(ctx context.Context, new session.Session) error {
	row := newSessionRow(new)
	return s.db.failed("add session", s.db.write.WithContext(ctx).Create(&row).Error, nil)
}

// Resume reads the session, its user and the policy version with one statement.
func (s *Sessions) Resume(ctx context.Context, k session.Key) (session.Resumed, error) {
	const query = "SELECT " + sessionColumns + ", " + userColumns + ", policy_state.version" +
		" FROM user_sessions JOIN users ON users.id = user_sessions.user_id LEFT JOIN policy_state ON TRUE" +
		" WHERE user_sessions.key = ?"
	var row sessionRow
	var owner userRow
	var version sql.NullInt64
	fields := append(append(row.fields(), owner.fields()...), &version)
	if err := s.db.one(ctx, fields, query, k.Hex()); err != nil {
		return session.Resumed{}, s.db.failed("resume session", err, session.ErrUnknown)
	}
	if !version.Valid {
		return session.Resumed{}, errNoState
	}
	one, err := row.session()
	if err != nil {
		return session.Resumed{}, s.db.failed("resume session", err, nil)
	}
	u, err := owner.user()
	if err != nil {
		return session.Resumed{}, s.db.failed("resume session", err, nil)
	}
	return session.Resumed{Session: one, User: u, PolicyVersion: version.Int64}, nil
}

// Replace alters what is still there, and leaves behind what it was if there is
// a reason to tell.
func (s *Sessions) Replace(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
	const alive = "key = ? AND idle_end > ?"
	replace := func(tx *gorm.DB) (bool, error) {
		row := newSessionRow(next)
		result := tx.Model(&sessionRow{}).Where(alive, k.Hex(), now.UTC()).Updates(map[string]any{
			"key": row.Key, "epoch": row.Epoch, "remembered": row.Remembered, "methods": row.Methods, "user_agent": row.UserAgent, "ip": row.IP,
			"seen_at": row.SeenAt, "proved_at": row.ProvedAt, "idle_end": row.IdleEnd, "end_at": row.EndAt,
		})
		return result.RowsAffected == 1, result.Error
	}
	change := step{op: "replace session", write: replace}
	if !why.IsZero() {
		change.before = func(tx *gorm.DB) error {
			return leave(tx, "?, ?", []any{why.String(), now.UTC()}, alive, k.Hex(), now.UTC())
		}
	}
	met, err := s.db.do(ctx, change, nil)
	if err == nil && !met {
		return session.ErrUnknown
	}
	return err
}

// leave copies what is left of the sessions for which a condition holds to
// past_sessions; ending is why and when they end. What is there already stays.
func leave(tx *gorm.DB, ending string, values []any, where string, args ...any) error {
	return tx.Exec("INSERT INTO past_sessions (key, id, user_id, user_agent, ip, created_at, why, ended_at)"+
		" SELECT key, id, user_id, user_agent, ip, created_at, "+ending+" FROM user_sessions WHERE "+where+
		" ON CONFLICT (key) DO NOTHING", append(values, args...)...).Error
}

// end deletes the sessions for which a condition holds, leaves behind why, and
// returns what they were, the most recently begun first.
func (s *Sessions) end(ctx context.Context, e session.Ending, where string, args ...any) (ended []session.Session, err error) {
	err = s.db.transact(ctx, func(tx *gorm.DB) (err error) {
		ended, err = collect(tx.Raw(selectSessions+where+newestFirst, args...), scanSession)
		if err != nil || len(ended) == 0 {
			return err
		}
		if err := leave(tx, "?, ?", []any{e.Why.String(), e.At.UTC()}, where, args...); err != nil {
			return err
		}
		return tx.Where(where, args...).Delete(&sessionRow{}).Error
	})
	if err != nil {
		return nil, s.db.failed("end sessions", err, nil)
	}
	return ended, nil
}

// one is what an ending has ended that had one to end.
func one(ended []session.Session, err error) (session.Session, error) {
	if err != nil {
		return session.Session{}, err
	}
	if len(ended) == 0 {
		return session.Session{}, session.ErrUnknown
	}
	return ended[0], nil
}

// End deletes the session.
func (s *Sessions) End(ctx context.Context, k session.Key, e session.Ending) (session.Session, error) {
	return one(s.end(ctx, e, "key = ?", k.Hex()))
}

// EndOne deletes the user's session with the handle.
func (s *Sessions) EndOne(ctx context.Context, id user.ID, handle session.ID, e session.Ending) (session.Session, error) {
	return one(s.end(ctx, e, "user_id = ? AND id = ?", id.String(), handle.String()))
}

// EndOthers deletes the user's sessions but one; no session has the zero key.
func (s *Sessions) EndOthers(ctx context.Context, id user.ID, keep session.Key, e session.Ending) ([]session.Session, error) {
	return s.end(ctx, e, "user_id = ? AND key <> ?", id.String(), keep.Hex())
}

// Trim deletes the user's oldest sessions.
func (s *Sessions) Trim(ctx context.Context, id user.ID, keep int, e session.Ending) ([]session.Session, error) {
	return s.end(ctx, e, "key IN (SELECT key FROM user_sessions WHERE user_id = ? AND methods <> 0"+newestFirst+" LIMIT -1 OFFSET ?)",
		id.String(), max(keep, 0))
}

const (
	selectSessions = "SELECT " + sessionColumns + " FROM user_sessions WHERE "
	newestFirst    = " ORDER BY created_at DESC, id DESC"
)

// List returns the user's sessions.
func (s *Sessions) List(ctx context.Context, id user.ID) ([]session.Session, error) {
	all, err := many(ctx, s.db, scanSession, selectSessions+"user_id = ?"+newestFirst, id.String())
	return all, s.db.failed("list sessions", err, nil)
}

func scanSession(from scanner) (session.Session, error) {
	var row sessionRow
	if err := from.Scan(row.fields()...); err != nil {
		return session.Session{}, err
	}
	return row.session()
}

const selectPast = "SELECT key, id, user_id, why, user_agent, ip, created_at, ended_at FROM past_sessions WHERE "

// Past returns what is left of the session that had the key.
func (s *Sessions) Past(ctx context.Context, k session.Key) (session.Past, error) {
	all, err := many(ctx, s.db, scanPast, selectPast+"key = ?", k.Hex())
	if err != nil {
		return session.Past{}, s.db.failed("find past session", err, nil)
	}
	if len(all) == 0 {
		return session.Past{}, session.ErrUnknown
	}
	return all[0], nil
}

// PastOf returns what is left of the user's sessions that are over.
func (s *Sessions) PastOf(ctx context.Context, id user.ID) ([]session.Past, error) {
	all, err := many(ctx, s.db, scanPast, selectPast+"user_id = ? ORDER BY ended_at DESC, id DESC, key", id.String())
	return all, s.db.failed("list past sessions", err, nil)
}

func scanPast(from scanner) (session.Past, error) {
	var key, handle, owner, why, agent, address string
	var p session.Past
	if err := from.Scan(&key, &handle, &owner, &why, &agent, &address, &p.CreatedAt, &p.EndedAt); err != nil {
		return session.Past{}, err
	}
	ip, err := readIP(address)
	var ok [4]bool
	p.Key, ok[0] = session.ParseKey(key)
	p.ID, ok[1] = session.ParseID(handle)
	p.UserID, ok[2] = user.ParseID(owner)
	p.Why, ok[3] = session.ParseReason(why)
	if err != nil || ok != [4]bool{true, true, true, true} {
		return session.Past{}, fmt.Errorf("the row of the past session %q cannot be read", handle)
	}
	p.Device = session.Device{UserAgent: agent, IP: ip}
	p.CreatedAt, p.EndedAt = p.CreatedAt.UTC(), p.EndedAt.UTC()
	return p, nil
}

// Known reports whether anything of a session of the user's is kept.
func (s *Sessions) Known(ctx context.Context, id user.ID) (known bool, err error) {
	err = s.db.one(ctx, []any{&known}, "SELECT EXISTS (SELECT 1 FROM user_sessions WHERE user_id = ?)"+
		" OR EXISTS (SELECT 1 FROM past_sessions WHERE user_id = ?)", id.String(), id.String())
	return known, s.db.failed("look for sessions", err, nil)
}

// Prune deletes sessions that have run out, those first that did so first.
func (s *Sessions) Prune(ctx context.Context, now time.Time, limit int) (n int, err error) {
	if limit <= 0 {
		return 0, nil
	}
	due := "key IN (SELECT key FROM user_sessions WHERE idle_end <= ? ORDER BY idle_end, key LIMIT " + strconv.Itoa(limit) + ")"
	err = s.db.transact(ctx, func(tx *gorm.DB) error {
		byClock := []any{session.Expired.String(), session.Idle.String()}
		if err := leave(tx, "CASE WHEN idle_end = end_at THEN ? ELSE ? END, idle_end", byClock, due, now.UTC()); err != nil {
			return err
		}
		result := tx.Where(due, now.UTC()).Delete(&sessionRow{})
		n = int(result.RowsAffected)
		return result.Error
	})
	return n, s.db.failed("prune sessions", err, nil)
}

// PrunePast deletes what is left of sessions that ended long ago.
func (s *Sessions) PrunePast(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.db.prune(ctx, "past_sessions", "key", "ended_at < ?", "ended_at", before, limit)
}
