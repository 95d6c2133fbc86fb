package gormrepo

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"gatehouse/domain/product"
	"gatehouse/domain/user"
)

// The grants of a product are read with its row, as JSON, so that one statement
// gives all that a decision needs. The databases differ in the names of their
// functions, and in how a time looks in JSON. On PostgreSQL nobody looks for grants
// where there never were any, which a trigger tells (migration 0018): twenty looks
// were a third of what a page costs there.
const (
	grantsOnPostgres = "CASE WHEN sharing > 0 THEN (SELECT json_agg(json_build_object('user', g.user_id, 'role', g.role, 'at', g.created_at))::text" + ofProduct + " END"
	grantsOnSQLite   = "(SELECT json_group_array(json_object('user', g.user_id, 'role', g.role, 'at', g.created_at))" + ofProduct
	ofProduct        = " FROM product_grants g WHERE g.product_id = products.id)"
)

// grantText is a grant as the databases write it.
type grantText struct {
	User, Role string
	At         stamp
}

// stamp is a time in JSON: RFC 3339 by PostgreSQL, microseconds in SQLite.
type stamp struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (s *stamp) UnmarshalJSON(b []byte) (err error) {
	if strings.HasPrefix(string(b), `"`) {
		return s.Time.UnmarshalJSON(b)
	}
	var micros int64
	err = json.Unmarshal(b, &micros)
	s.Time = time.UnixMicro(micros)
	return err
}

// readGrants reads the grants of a row; words that are unknown were not written
// by us.
func readGrants(text sql.NullString) ([]product.Grant, error) {
	if text.String == "" || text.String == "[]" {
		return nil, nil
	}
	var rows []grantText
	if err := json.Unmarshal([]byte(text.String), &rows); err != nil {
		return nil, fmt.Errorf("its grants cannot be read: %w", err)
	}
	grants := make([]product.Grant, len(rows))
	for i, r := range rows {
		id, ok := user.ParseID(r.User)
		role, known := product.ParseGrantRole(r.Role)
		if !ok || !known {
			return nil, fmt.Errorf("its grant to %q as %q cannot be read", r.User, r.Role)
		}
		grants[i] = product.Grant{UserID: id, Role: role, CreatedAt: r.At.Time}
	}
	return grants, nil
}

// grantStatements make the grants of before those of after.
func grantStatements(before, after product.Product) []statement {
	var all []statement
	var gone []string
	for _, g := range before.Grants() {
		if _, stays := after.GrantOf(g.UserID); !stays {
			gone = append(gone, g.UserID.String())
		}
	}
	if len(gone) > 0 {
		all = append(all, statement{"DELETE FROM product_grants WHERE product_id = ? AND user_id IN ?", []any{after.ID().String(), gone}})
	}
	var rows [][]any
	for _, g := range given(before, after) {
		rows = append(rows, []any{after.ID().String(), g.UserID.String(), g.Role.String(), g.CreatedAt})
	}
	for _, s := range insert("product_grants (product_id, user_id, role, created_at)", rows) {
		s.text += " ON CONFLICT (product_id, user_id) DO UPDATE SET role = excluded.role, created_at = excluded.created_at"
		all = append(all, s)
	}
	return all
}

// given are the grants of after that before does not have, or not so.
func given(before, after product.Product) []product.Grant {
	return slices.DeleteFunc(after.Grants(), func(g product.Grant) bool {
		old, had := before.GrantOf(g.UserID)
		return had && old == g
	})
}

// concern is a user whom a change of a product concerns.
type concern struct {
	id      user.ID
	active  bool  // they have to be
	missing error // if they are not
}

// concerned are those whom a change of a product newly concerns: who is let in,
// and a new owner, who has to be active.
func concerned(before, after product.Product) (all []concern) {
	for _, g := range given(before, after) {
		all = append(all, concern{id: g.UserID, missing: product.ErrNobody})
	}
	if after.OwnerID() != before.OwnerID() {
		all = append(all, concern{id: after.OwnerID(), active: true, missing: product.ErrNobody})
	}
	return all
}

// lock keeps users from being deleted until the transaction ends, and who has to
// be active from being disabled, in one order, so that no two who lock wait for
// each other.
func (d *DB) lock(tx *gorm.DB, all []concern) error {
	slices.SortFunc(all, func(a, b concern) int { return a.id.Compare(b.id.UUID) })
	for _, c := range all {
		query, lock := "SELECT 1 FROM users WHERE id = ?", "FOR KEY SHARE"
		if c.active {
			query, lock = query+" AND status = 'active'", "FOR SHARE"
		}
		found, err := d.found(tx, query, lock, c.id.String())
		if err != nil {
			return err
		}
		if !found {
			return c.missing
		}
	}
	return nil
}
