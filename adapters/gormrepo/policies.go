package gormrepo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

var _ ports.PolicyRepository = (*Policies)(nil)

// Policies keeps the table of policies. Its version is a row of its own, raised
// in the transaction of every change.
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

// Version returns the version of the table.
func (s *Policies) Version(ctx context.Context) (int64, error) {
	var version int64
	err := s.db.one(ctx, []any{&version}, selectVersion)
	return version, s.db.failed("policy version", err, errNoState)
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
		return access.Table{}, s.db.failed("load policies", err, errNoState)
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
func (s *Policies) Seed(ctx context.Context, rows []access.Row, inherits []access.Inheritance) (bool, error) {
	seeded := false
	err := s.db.write.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		raised := tx.Exec("UPDATE policy_state SET version = 1 WHERE version = 0")
		if raised.Error != nil || raised.RowsAffected == 0 {
			return raised.Error
		}
		seeded = true
		return fill(tx, rows, inherits)
	})
	if err != nil {
		return false, s.db.failed("seed policies", err, nil)
	}
	return seeded, nil
}

func fill(tx *gorm.DB, rows []access.Row, inherits []access.Inheritance) error {
	for _, r := range rows {
		row := policyRow{
			ID: r.ID.String(), Role: r.Role, Resource: r.Resource,
			Action: r.Action, Condition: r.Condition, Effect: r.Effect,
		}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
	}
	for _, in := range inherits {
		row := inheritanceRow(in)
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
	}
	return nil
}
