package gormrepo

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"

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
	UserAgent  string
	IP         string
	CreatedAt  time.Time `gorm:"autoCreateTime:false"`
	SeenAt     time.Time
	IdleEnd    time.Time
	EndAt      time.Time
}

// TableName is for GORM.
func (sessionRow) TableName() string { return "user_sessions" }

// sessionColumns are the columns in the order of sessionRow.fields.
const sessionColumns = "user_sessions.key, user_sessions.id, user_sessions.user_id, user_sessions.epoch, user_sessions.remembered, " +
	"user_sessions.user_agent, user_sessions.ip, user_sessions.created_at, user_sessions.seen_at, user_sessions.idle_end, user_sessions.end_at"

func (r *sessionRow) fields() []any {
	return []any{
		&r.Key, &r.ID, &r.UserID, &r.Epoch, &r.Remembered,
		&r.UserAgent, &r.IP, &r.CreatedAt, &r.SeenAt, &r.IdleEnd, &r.EndAt,
	}
}

// newSessionRow writes a session down.
func newSessionRow(s session.Session) sessionRow {
	t := s.State()
	ip := ""
	if t.Device.IP.IsValid() {
		ip = t.Device.IP.String()
	}
	return sessionRow{
		Key: t.Key.Hex(), ID: t.ID.String(), UserID: t.UserID.String(), Epoch: t.Epoch, Remembered: t.Remembered,
		UserAgent: t.Device.UserAgent, IP: ip,
		CreatedAt: t.CreatedAt, SeenAt: t.SeenAt, IdleEnd: t.IdleEnd, EndAt: t.End,
	}
}

// session reads the row.
func (r *sessionRow) session() (session.Session, error) {
	key, ok := session.ParseKey(r.Key)
	id, known := session.ParseID(r.ID)
	owner, valid := user.ParseID(r.UserID)
	ip, err := readIP(r.IP)
	if !ok || !known || !valid || err != nil {
		return session.Session{}, fmt.Errorf("the row of session %q cannot be read", r.ID)
	}
	return session.Restore(session.State{
		ID: id, Key: key, UserID: owner, Epoch: r.Epoch, Remembered: r.Remembered,
		Device:    session.Device{UserAgent: r.UserAgent, IP: ip},
		CreatedAt: r.CreatedAt, SeenAt: r.SeenAt, IdleEnd: r.IdleEnd, End: r.EndAt,
	}), nil
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

// Replace alters what is still there.
func (s *Sessions) Replace(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
	row := newSessionRow(next)
	result := s.db.write.WithContext(ctx).Model(&sessionRow{}).
		Where("key = ? AND idle_end > ?", k.Hex(), now.UTC()).
		Updates(map[string]any{
			"key": row.Key, "epoch": row.Epoch, "remembered": row.Remembered, "user_agent": row.UserAgent, "ip": row.IP,
			"seen_at": row.SeenAt, "idle_end": row.IdleEnd, "end_at": row.EndAt,
		})
	if result.Error != nil {
		return s.db.failed("replace session", result.Error, nil)
	}
	if result.RowsAffected == 0 {
		return session.ErrUnknown
	}
	return nil
}

// End deletes the session.
func (s *Sessions) End(ctx context.Context, k session.Key) error {
	_, err := s.delete(ctx, "key = ?", k.Hex())
	return err
}

// List returns the user's sessions.
func (s *Sessions) List(ctx context.Context, id user.ID) ([]session.Session, error) {
	all, err := many(ctx, s.db, scanSession,
		"SELECT "+sessionColumns+" FROM user_sessions WHERE user_id = ? ORDER BY created_at DESC, id DESC", id.String())
	return all, s.db.failed("list sessions", err, nil)
}

func scanSession(rows *sql.Rows) (session.Session, error) {
	var row sessionRow
	if err := rows.Scan(row.fields()...); err != nil {
		return session.Session{}, err
	}
	return row.session()
}

// EndOne deletes the user's session with the handle.
func (s *Sessions) EndOne(ctx context.Context, id user.ID, one session.ID) error {
	n, err := s.delete(ctx, "user_id = ? AND id = ?", id.String(), one.String())
	if err == nil && n == 0 {
		return session.ErrUnknown
	}
	return err
}

// EndOthers deletes the user's sessions but one; no session has the zero key.
func (s *Sessions) EndOthers(ctx context.Context, id user.ID, keep session.Key) (int, error) {
	return s.delete(ctx, "user_id = ? AND key <> ?", id.String(), keep.Hex())
}

// Prune deletes sessions that have run out, those first that did so first.
func (s *Sessions) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	if limit <= 0 {
		return 0, nil
	}
	return s.delete(ctx, "key IN (SELECT key FROM user_sessions WHERE idle_end <= ? ORDER BY idle_end LIMIT ?)", now.UTC(), limit)
}

func (s *Sessions) delete(ctx context.Context, where string, args ...any) (int, error) {
	result := s.db.write.WithContext(ctx).Where(where, args...).Delete(&sessionRow{})
	return int(result.RowsAffected), s.db.failed("end session", result.Error, nil)
}
