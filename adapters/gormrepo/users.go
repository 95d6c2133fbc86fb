package gormrepo

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"gatehouse/domain/user"
	"gatehouse/ports"
)

var _ ports.UserRepository = (*Users)(nil)

// Users keeps the registered users.
type Users struct{ db *DB }

// userRow is a row of users.
type userRow struct {
	ID             string `gorm:"primaryKey"`
	Email          string
	EmailCanonical string
	Name           string
	Roles          string // a JSON array
	Status         string
	EmailVerified  bool
	PasswordHash   string
	SessionEpoch   int64
	Revision       int64     // raised by every write
	CreatedAt      time.Time `gorm:"autoCreateTime:false"`
	UpdatedAt      time.Time `gorm:"autoUpdateTime:false"`
}

// TableName is for GORM.
func (userRow) TableName() string { return "users" }

// userColumns are the columns in the order of userRow.fields.
const userColumns = "users.id, users.email, users.email_canonical, users.name, users.roles, users.status, users.email_verified, " +
	"users.password_hash, users.session_epoch, users.revision, users.created_at, users.updated_at"

func (r *userRow) fields() []any {
	return []any{
		&r.ID, &r.Email, &r.EmailCanonical, &r.Name, &r.Roles, &r.Status, &r.EmailVerified,
		&r.PasswordHash, &r.SessionEpoch, &r.Revision, &r.CreatedAt, &r.UpdatedAt,
	}
}

// newUserRow writes a user down.
func newUserRow(u user.User, revision int64) (userRow, error) {
	s := u.State()
	names := make([]string, len(s.Roles))
	for i, r := range s.Roles {
		names[i] = r.String()
	}
	roles, err := json.Marshal(names)
	return userRow{
		ID: s.ID.String(), Email: s.Email.String(), EmailCanonical: s.Email.Canonical(), Name: s.Name, Roles: string(roles),
		Status: s.Status.String(), EmailVerified: s.EmailVerified, PasswordHash: s.PasswordHash.Reveal(),
		SessionEpoch: s.SessionEpoch, Revision: revision, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}, err
}

// user reads the row; words that are unknown were not written by us.
func (r *userRow) user() (user.User, error) {
	id, ok := user.ParseID(r.ID)
	status, known := user.ParseStatus(r.Status)
	var names []string
	if err := json.Unmarshal([]byte(r.Roles), &names); err != nil || !ok || !known {
		return user.User{}, fmt.Errorf("the row of user %q cannot be read", r.ID)
	}
	roles := make([]user.Role, len(names))
	for i, name := range names {
		if roles[i], ok = user.ParseRole(name); !ok {
			return user.User{}, fmt.Errorf("the row of user %q has a role that is no word", r.ID)
		}
	}
	return user.Restore(user.State{
		ID: id, Email: user.RestoreEmail(r.Email, r.EmailCanonical), Name: r.Name, Roles: roles, Status: status,
		EmailVerified: r.EmailVerified, PasswordHash: user.NewPasswordHash(r.PasswordHash),
		SessionEpoch: r.SessionEpoch, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}), nil
}

// Add stores a new user.
func (s *Users) Add(ctx context.Context, u user.User) error {
	row, err := newUserRow(u, 1)
	if err != nil {
		return s.db.failed("add user", err, nil)
	}
	return s.db.failed("add user", s.db.write.WithContext(ctx).Create(&row).Error, nil)
}

// Find returns the user.
func (s *Users) Find(ctx context.Context, id user.ID) (user.User, error) {
	_, u, err := s.find(ctx, "SELECT "+userColumns+" FROM users WHERE id = ?", id.String())
	return u, err
}

// FindByEmail returns the user with the canonical address.
func (s *Users) FindByEmail(ctx context.Context, e user.Email) (user.User, error) {
	_, u, err := s.find(ctx, "SELECT "+userColumns+" FROM users WHERE email_canonical = ?", e.Canonical())
	return u, err
}

func (s *Users) find(ctx context.Context, query string, arg any) (userRow, user.User, error) {
	var row userRow
	if err := s.db.one(ctx, row.fields(), query, arg); err != nil {
		return userRow{}, user.User{}, s.db.failed("find user", err, user.ErrUnknown)
	}
	u, err := row.user()
	return row, u, s.db.failed("find user", err, nil)
}

// Update changes the user in one step.
func (s *Users) Update(ctx context.Context, id user.ID, change func(*user.User) error) (updated user.User, err error) {
	err = contend(ctx, func() (done bool, err error) {
		updated, done, err = s.update(ctx, id, change)
		return done, err
	})
	if err != nil {
		return user.User{}, err
	}
	return updated, nil
}

// update tries once; it is not done if the user was changed meanwhile.
func (s *Users) update(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, bool, error) {
	before, u, err := s.find(ctx, "SELECT "+userColumns+" FROM users WHERE id = ?", id.String())
	if err != nil {
		return user.User{}, false, err
	}
	// Of a row that somebody mended by hand, only the application's form can be
	// compared with what it becomes.
	same, err := newUserRow(u, before.Revision)
	if err != nil {
		return user.User{}, false, s.db.failed("update user", err, nil)
	}
	if err := change(&u); err != nil {
		return user.User{}, false, err
	}
	after, err := newUserRow(u, before.Revision)
	if err != nil || after == same {
		return u, true, s.db.failed("update user", err, nil)
	}
	after.Revision++
	done, err := s.write(ctx, after, before.Revision)
	return u, done, err
}

// write stores what has changed since the row was read at a revision, and
// reports whether it was still there as it was read.
func (s *Users) write(ctx context.Context, row userRow, revision int64) (bool, error) {
	result := s.db.write.WithContext(ctx).Model(&userRow{}).
		Where("id = ? AND revision = ?", row.ID, revision).
		Updates(map[string]any{
			"email": row.Email, "email_canonical": row.EmailCanonical, "name": row.Name, "roles": row.Roles,
			"status": row.Status, "email_verified": row.EmailVerified, "password_hash": row.PasswordHash,
			"session_epoch": row.SessionEpoch, "revision": row.Revision, "updated_at": row.UpdatedAt,
		})
	return result.RowsAffected == 1, s.db.failed("update user", result.Error, nil)
}

// List returns a page of users in the order of their ids.
func (s *Users) List(ctx context.Context, after user.ID, limit int) ([]user.User, error) {
	if limit <= 0 {
		return nil, nil
	}
	all, err := many(ctx, s.db, scanUser,
		"SELECT "+userColumns+" FROM users WHERE id > ? ORDER BY id LIMIT ?", after.String(), limit)
	return all, s.db.failed("list users", err, nil)
}

func scanUser(rows *sql.Rows) (user.User, error) {
	var row userRow
	if err := rows.Scan(row.fields()...); err != nil {
		return user.User{}, err
	}
	return row.user()
}
