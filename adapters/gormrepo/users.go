package gormrepo

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

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
	Search         string    // user.User.SearchText; never read
	CreatedAt      time.Time `gorm:"autoCreateTime:false"`
	UpdatedAt      time.Time `gorm:"autoUpdateTime:false"`
}

// TableName is for GORM.
func (userRow) TableName() string { return "users" }

// userColumns are the columns in the order of userRow.fields. What is searched is
// not among them.
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
		SessionEpoch: s.SessionEpoch, Revision: revision, Search: u.SearchText(), CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}, err
}

// user reads the row; words that are unknown were not written by us.
func (r *userRow) user() (user.User, error) {
	id, ok := user.ParseID(r.ID)
	status, known := user.ParseStatus(r.Status)
	roles, err := readRoles(r.Roles)
	if err != nil || !ok || !known {
		return user.User{}, fmt.Errorf("the row of user %q cannot be read", r.ID)
	}
	return user.Restore(user.State{
		ID: id, Email: user.RestoreEmail(r.Email, r.EmailCanonical), Name: r.Name, Roles: roles, Status: status,
		EmailVerified: r.EmailVerified, PasswordHash: user.NewPasswordHash(r.PasswordHash),
		SessionEpoch: r.SessionEpoch, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}), nil
}

// Add stores a new user.
func (s *Users) Add(ctx context.Context, u user.User, with ...*ports.Along) error {
	row, err := newUserRow(u, 1)
	if err != nil {
		return s.db.failed("add user", err, nil)
	}
	_, err = s.db.do(ctx, step{op: "add user", owner: u.ID(), write: func(tx *gorm.DB) (bool, error) {
		return true, emailTaken(tx.Create(&row).Error)
	}}, with)
	return err
}

// emailTaken tells a taken address from another taken key, in what a write to
// users reports: of its other keys there is the primary one alone.
func emailTaken(err error) error {
	if duplicateEmail(err) {
		return user.ErrEmailTaken.Because(err)
	}
	return err
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

// Owner returns the user and the version of the policy with one statement, for
// sessions that are kept elsewhere.
func (s *Users) Owner(ctx context.Context, id user.ID) (user.User, int64, error) {
	var row userRow
	var version sql.NullInt64
	const query = "SELECT " + userColumns + ", policy_state.version FROM users LEFT JOIN policy_state ON TRUE WHERE users.id = ?"
	if err := s.db.one(ctx, append(row.fields(), &version), query, id.String()); err != nil {
		return user.User{}, 0, s.db.failed("find owner", err, user.ErrUnknown)
	}
	if !version.Valid {
		return user.User{}, 0, errNoState
	}
	u, err := row.user()
	return u, version.Int64, s.db.failed("find owner", err, nil)
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
func (s *Users) Update(ctx context.Context, id user.ID, change func(*user.User) error, with ...*ports.Along) (updated user.User, err error) {
	err = contend(ctx, func() (done bool, err error) {
		updated, done, err = s.update(ctx, id, change, with)
		return done, err
	})
	if err != nil {
		return user.User{}, err
	}
	return updated, nil
}

// update tries once; it is not done if the user was changed meanwhile.
func (s *Users) update(ctx context.Context, id user.ID, change func(*user.User) error, with []*ports.Along) (user.User, bool, error) {
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
	administered := u.ActsAsAdmin()
	if err := change(&u); err != nil {
		return user.User{}, false, err
	}
	after, err := newUserRow(u, before.Revision)
	if err != nil {
		return user.User{}, false, s.db.failed("update user", err, nil)
	}
	act := s.step("update user", u.ID(), before, administered && !u.ActsAsAdmin())
	if after == same {
		if !slices.ContainsFunc(with, something) {
			return u, true, nil
		}
	} else {
		after.Revision++
		act.write = func(tx *gorm.DB) (bool, error) { return store(tx, after, before) }
	}
	done, err := s.db.do(ctx, act, with)
	return u, done, err
}

// step is one that changes nothing of the row that was read, but needs it to be
// there still as it was. If it is to take an admin away, it is done only while
// there is another one.
func (s *Users) step(op string, id user.ID, row userRow, takesAdmin bool) step {
	hold := func(tx *gorm.DB) (bool, error) {
		return s.db.found(tx, "SELECT 1 FROM users WHERE id = ? AND revision = ?", "FOR NO KEY UPDATE", row.ID, row.Revision)
	}
	act := step{op: op, owner: id, hold: hold, write: hold}
	if takesAdmin {
		act.takesAdmin, act.before = true, func(tx *gorm.DB) error { return s.otherAdmin(tx, row.ID) }
	}
	return act
}

// store writes the row in the place of the one that was read before, if that is
// still there as it was read.
func store(tx *gorm.DB, row, before userRow) (bool, error) {
	columns := map[string]any{
		"email": row.Email, "name": row.Name, "roles": row.Roles,
		"status": row.Status, "email_verified": row.EmailVerified, "password_hash": row.PasswordHash,
		"session_epoch": row.SessionEpoch, "revision": row.Revision, "search": row.Search, "updated_at": row.UpdatedAt,
	}
	// A key: on a table with a trigger PostgreSQL locks a row whose key is named
	// as if it changed, and whoever adds or prunes sessions of the user would wait.
	if row.EmailCanonical != before.EmailCanonical {
		columns["email_canonical"] = row.EmailCanonical
	}
	result := tx.Model(&userRow{}).Where("id = ? AND revision = ?", row.ID, before.Revision).Updates(columns)
	return result.RowsAffected == 1, emailTaken(result.Error)
}

// Delete deletes the user in one step; what is the user's goes by the foreign
// keys, and nothing can be added once it has begun.
func (s *Users) Delete(ctx context.Context, id user.ID, check func(user.User) error, with ...*ports.Along) error {
	return contend(ctx, func() (bool, error) {
		row, u, err := s.find(ctx, "SELECT "+userColumns+" FROM users WHERE id = ?", id.String())
		if err != nil {
			return false, err
		}
		if err := check(u); err != nil {
			return false, err
		}
		act := s.step("delete user", id, row, u.ActsAsAdmin())
		act.write = func(tx *gorm.DB) (bool, error) {
			result := tx.Where("id = ? AND revision = ?", row.ID, row.Revision).Delete(&userRow{})
			return result.RowsAffected == 1, result.Error
		}
		return s.db.do(ctx, act, with)
	})
}

// adminLock is what those who take an admin away hold in PostgreSQL: a number
// of our own that nothing else locks.
const adminLock int64 = 0x6761746561646d6e // "gateadmn"

// lockAdmins keeps others from taking an admin away until the transaction ends. In
// SQLite the transaction is the only writer from its beginning.
func (d *DB) lockAdmins(tx *gorm.DB) error {
	if d.lite {
		return nil
	}
	return tx.Exec("SELECT pg_advisory_xact_lock(?)", adminLock).Error
}

// actsAsAdmin is user.User.ActsAsAdmin as a condition on users.
func (d *DB) actsAsAdmin() string {
	if d.lite {
		return "status = 'active' AND EXISTS (SELECT 1 FROM json_each(users.roles) WHERE value = 'admin')"
	}
	return `status = 'active' AND roles @> '["admin"]'`
}

// askAdmins shows what is left, under the lock, to those who asked.
func (d *DB) askAdmins(tx *gorm.DB, with []*ports.Along) error {
	if !slices.ContainsFunc(with, asks) {
		return nil
	}
	var version int64
	if err := tx.Raw(selectVersion).Row().Scan(&version); err != nil {
		return err
	}
	var texts []string
	if err := tx.Raw("SELECT DISTINCT roles FROM users WHERE " + d.actsAsAdmin()).Scan(&texts).Error; err != nil {
		return err
	}
	sets := make([][]user.Role, len(texts))
	for i, text := range texts {
		var err error
		if sets[i], err = readRoles(text); err != nil {
			return err
		}
	}
	for _, a := range with {
		if asks(a) {
			if err := a.Admins(version, sets); err != nil {
				return refusal{err}
			}
		}
	}
	return nil
}

// otherAdmin returns user.ErrLastAdmin if nobody but the user acts as admin. It
// is asked under the lock: two admins who leave at the same moment would each see
// the other otherwise (write skew, which PostgreSQL lets pass below SERIALIZABLE).
func (s *Users) otherAdmin(tx *gorm.DB, id string) error {
	// A statement of its own, whose snapshot is of after the lock.
	other, err := s.db.found(tx, "SELECT 1 FROM users WHERE id <> ? AND "+s.db.actsAsAdmin()+" LIMIT 1", "", id)
	if err == nil && !other {
		return user.ErrLastAdmin
	}
	return err
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

func scanUser(from scanner) (user.User, error) {
	var row userRow
	if err := from.Scan(row.fields()...); err != nil {
		return user.User{}, err
	}
	return row.user()
}
