package gormrepo

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"gorm.io/gorm"

	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

var (
	_ ports.PolicyRepository = (*Policies)(nil)
	_ ports.PolicyHistory    = (*Policies)(nil)
)

// Policies keeps the table of policies, and in policy_versions what it was at
// each version. Its version is a row of its own, raised in the transaction of
// every change, whose first statement that is.
type Policies struct{ db *DB }

// policyRow is a row of policies.
type policyRow struct {
	ID        string `gorm:"primaryKey"`
	Role      string
	Resource  string
	Action    string
	Condition string
	Effect    string
}

// TableName is for GORM.
func (policyRow) TableName() string { return "policies" }

// inheritanceRow is a row of role_inherits.
type inheritanceRow struct {
	Role   string `gorm:"primaryKey"`
	Parent string `gorm:"primaryKey"`
}

// TableName is for GORM.
func (inheritanceRow) TableName() string { return "role_inherits" }

const selectVersion = "SELECT version FROM policy_state"

// errNoState answers a database whose one row of policy_state somebody has
// deleted: which policy holds cannot be told, and that is not "none".
var errNoState = fault.Outage(errors.New("gormrepo: policy_state has no row"))

// untold makes an outage of whatever kept the policy from being read, a table
// that is gone included: what nobody can read, nobody can decide by.
func untold(err error) error {
	if err == nil || errors.Is(err, fault.Unavailable) {
		return err
	}
	return fault.Outage(err)
}

// Version returns the version of the table.
func (s *Policies) Version(ctx context.Context) (int64, error) {
	var version int64
	var err error
	if a := ports.AheadOf(ctx); a != nil && s.db.pool != nil {
		var v versioned
		if v, err = s.db.versions.Load(ctx, a.ID()); err == nil {
			version = v.version
			a.Keep(v.product)
		}
	} else {
		err = s.db.one(ctx, []any{&version}, selectVersion)
	}
	return version, untold(s.db.failed("policy version", err, errNoState))
}

// Load returns the whole table, out of one snapshot.
func (s *Policies) Load(ctx context.Context) (access.Table, error) {
	options := &sql.TxOptions{ReadOnly: true}
	if !s.db.lite { // where every transaction has a snapshot
		options.Isolation = sql.LevelRepeatableRead
	}
	var t access.Table
	err := s.db.read.WithContext(ctx).Transaction(func(tx *gorm.DB) (err error) {
		t, err = load(tx)
		return err
	}, options)
	if err != nil {
		return access.Table{}, untold(s.db.failed("load policies", err, errNoState))
	}
	return t, nil
}

func load(tx *gorm.DB) (access.Table, error) {
	var t access.Table
	if err := tx.Raw(selectVersion).Row().Scan(&t.Version); err != nil {
		return t, err
	}
	var rows []policyRow
	err := tx.Select("id", "role", "resource", "action", "condition", "effect").Order("id").Find(&rows).Error
	if err != nil {
		return t, err
	}
	for _, r := range rows {
		id, ok := uuid.Parse(r.ID)
		if !ok {
			return t, fmt.Errorf("the policy row %q has no id", r.ID)
		}
		t.Rows = append(t.Rows, access.Row{
			ID: access.PolicyID{UUID: id}, Role: r.Role, Resource: r.Resource,
			Action: r.Action, Condition: r.Condition, Effect: r.Effect,
		})
	}
	var inherits []inheritanceRow
	err = tx.Select("role", "parent").Order("role, parent").Find(&inherits).Error
	for _, in := range inherits {
		t.Inherits = append(t.Inherits, access.Inheritance(in))
	}
	return t, err
}

// Seed fills a table whose version is zero. Of nodes that seed at once, the one
// that raises the version fills it; the others wait for its row and find it
// raised.
func (s *Policies) Seed(ctx context.Context, r access.Revision) (bool, error) {
	seeded := false
	err := s.db.write.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		raised, err := raise(tx, 0)
		if err != nil || !raised {
			return err
		}
		seeded = true
		if err := apply(tx, r.Table.Since(access.Table{})); err != nil {
			return err
		}
		r.Table.Version = 1
		return remember(tx, r)
	})
	if err != nil {
		return false, s.db.failed("seed policies", err, nil)
	}
	return seeded, nil
}

// raise raises the version by one if it is still that, and reports whether it
// was. The row of policy_state is locked from then on: whoever changes the table
// begins here.
func raise(tx *gorm.DB, version int64) (bool, error) {
	raised := tx.Exec("UPDATE policy_state SET version = version + 1 WHERE version = ?", version)
	return raised.RowsAffected == 1, raised.Error
}

// Change changes the table in one step. It reads, lets the table be changed, and
// writes if the version is still what was read, or starts again.
func (s *Policies) Change(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (changed access.Table, err error) {
	err = contend(ctx, func() (done bool, err error) {
		changed, done, err = s.change(ctx, e, change, with)
		return done, err
	})
	if err != nil {
		return access.Table{}, err
	}
	return changed, nil
}

// change tries once; it is not done if the table was changed meanwhile.
func (s *Policies) change(ctx context.Context, e access.Edit, change func(*access.Table) error, with []*ports.Along) (access.Table, bool, error) {
	before, err := s.Load(ctx)
	if err != nil {
		return access.Table{}, false, err
	}
	after := before.Clone()
	if err := change(&after); err != nil {
		return access.Table{}, false, err
	}
	after.Version = before.Version
	if !after.Distinct() {
		return access.Table{}, false, errTaken
	}
	difference := after.Since(before)
	if difference.IsZero() {
		return before, true, nil
	}
	after.Version++
	done, err := s.db.do(ctx, step{
		op: "change policies",
		before: func(tx *gorm.DB) error {
			return must(raise(tx, before.Version))
		},
		write: func(tx *gorm.DB) (bool, error) {
			if err := found(tx, access.Revision{Edit: access.Edit{At: e.At}, Table: before}); err != nil {
				return false, err
			}
			if err := apply(tx, difference); err != nil {
				return false, err
			}
			return true, remember(tx, access.Revision{Edit: e, Table: after})
		},
	}, with)
	return after, done, err
}

// apply does to the tables what makes the difference, first what gives room.
func apply(tx *gorm.DB, d access.Diff) error {
	for _, r := range d.Removed {
		if err := tx.Exec("DELETE FROM policies WHERE id = ?", r.ID.String()).Error; err != nil {
			return err
		}
	}
	for _, in := range d.Severed {
		if err := tx.Exec("DELETE FROM role_inherits WHERE role = ? AND parent = ?", in.Role, in.Parent).Error; err != nil {
			return err
		}
	}
	var rows, inherits [][]any
	for _, r := range d.Added {
		rows = append(rows, []any{r.ID.String(), r.Role, r.Resource, r.Action, r.Condition, r.Effect})
	}
	for _, in := range d.Inherited {
		inherits = append(inherits, []any{in.Role, in.Parent})
	}
	return runAll(tx, append(
		insert("policies (id, role, resource, action, condition, effect)", rows),
		insert("role_inherits (role, parent)", inherits)...))
}

// revisionText is the table of a revision as policy_versions keeps it.
type revisionText struct {
	Rows     []rowText         `json:"rows"`
	Inherits []inheritanceText `json:"inherits"`
}

type rowText struct {
	ID        string `json:"id"`
	Role      string `json:"role"`
	Resource  string `json:"resource"`
	Action    string `json:"action"`
	Condition string `json:"condition"`
	Effect    string `json:"effect"`
}

type inheritanceText struct {
	Role   string `json:"role"`
	Parent string `json:"parent"`
}

const insertVersion = "INSERT INTO policy_versions (version, author, at, note, content) VALUES (?, ?, ?, ?, ?)"

// remember keeps a revision.
func remember(tx *gorm.DB, r access.Revision) error { return keep(tx, insertVersion, r) }

// found keeps a revision that nobody has kept: an older release has made the
// table, or a hand in the database.
func found(tx *gorm.DB, r access.Revision) error {
	if r.Table.Version == 0 {
		return nil
	}
	return keep(tx, insertVersion+" ON CONFLICT (version) DO NOTHING", r)
}

func keep(tx *gorm.DB, statement string, r access.Revision) error {
	var text revisionText
	for _, row := range r.Table.Rows {
		text.Rows = append(text.Rows, rowText{row.ID.String(), row.Role, row.Resource, row.Action, row.Condition, row.Effect})
	}
	for _, in := range r.Table.Inherits {
		text.Inherits = append(text.Inherits, inheritanceText(in))
	}
	content, err := json.Marshal(text)
	if err != nil {
		return err
	}
	var author any
	if !r.Author.IsZero() {
		author = r.Author.String()
	}
	return tx.Exec(statement, r.Table.Version, author, r.At.UTC(), r.Note, string(content)).Error
}

// versionRow is a row of policy_versions.
type versionRow struct {
	version int64
	author  *string
	at      time.Time
	note    string
	content string
}

const versionColumns = "version, author, at, note, content"

func (r *versionRow) fields() []any {
	return []any{&r.version, &r.author, &r.at, &r.note, &r.content}
}

// revision reads the row.
func (r *versionRow) revision() (access.Revision, error) {
	var text revisionText
	if err := json.Unmarshal([]byte(r.content), &text); err != nil {
		return access.Revision{}, fmt.Errorf("version %d of the policy cannot be read: %w", r.version, err)
	}
	made := access.Revision{Edit: access.Edit{At: r.at.UTC(), Note: r.note}, Table: access.Table{Version: r.version}}
	if r.author != nil {
		made.Author, _ = user.ParseID(*r.author) // the column holds nothing else
	}
	for _, row := range text.Rows {
		id, ok := uuid.Parse(row.ID)
		if !ok {
			return access.Revision{}, fmt.Errorf("version %d of the policy has a row without an id", r.version)
		}
		made.Table.Rows = append(made.Table.Rows, access.Row{
			ID: access.PolicyID{UUID: id}, Role: row.Role, Resource: row.Resource,
			Action: row.Action, Condition: row.Condition, Effect: row.Effect,
		})
	}
	for _, in := range text.Inherits {
		made.Table.Inherits = append(made.Table.Inherits, access.Inheritance(in))
	}
	return made, nil
}

// Revisions returns a page of what the table was, the newest first.
func (s *Policies) Revisions(ctx context.Context, before int64, limit int) ([]access.Revision, error) {
	if limit <= 0 {
		return nil, nil
	}
	if before == 0 {
		before = math.MaxInt64
	}
	list, err := many(ctx, s.db, func(from scanner) (access.Revision, error) {
		var row versionRow
		if err := from.Scan(row.fields()...); err != nil {
			return access.Revision{}, err
		}
		return row.revision()
	}, "SELECT "+versionColumns+" FROM policy_versions WHERE version < ? ORDER BY version DESC LIMIT ?", before, limit)
	return list, s.db.failed("list versions of the policy", err, nil)
}

// Revision returns what the table was at a version.
func (s *Policies) Revision(ctx context.Context, version int64) (access.Revision, error) {
	var row versionRow
	err := s.db.one(ctx, row.fields(), "SELECT "+versionColumns+" FROM policy_versions WHERE version = ?", version)
	if err != nil {
		return access.Revision{}, s.db.failed("find a version of the policy", err, access.ErrVersionUnknown)
	}
	r, err := row.revision()
	return r, s.db.failed("find a version of the policy", err, nil)
}
