package gormrepo

import (
	"cmp"
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"

	"gatehouse/domain/product"
	"gatehouse/ports"
)

// ProductAhead reads a product (ports.Ahead) within a statement of somebody
// else's on PostgreSQL, which joins its query.
type ProductAhead struct{}

// Query gives one row, or none, for the id in the named parameter. Its first
// column is never NULL.
func (ProductAhead) Query(parameter string) string { return selectOnPostgres + "id = " + parameter }

// Scan reads the row at hand: into dest the columns before the one called at, and
// the others, which are those of the query or NULL, as the product that is kept
// in a.
func (ProductAhead) Scan(rows pgx.Rows, at int, dest []any, a *ports.Ahead) error {
	var row productRow
	fields := row.fields()
	absent := rows.RawValues()[at] == nil
	if absent {
		clear(fields) // pgx passes over what nobody wants
	}
	if err := rows.Scan(append(dest, fields...)...); err != nil {
		return err
	}
	if absent {
		a.Keep(product.Product{}, productRow{}, product.ErrUnknown)
		return nil
	}
	p, err := row.product()
	if err != nil {
		return err
	}
	a.Keep(p, row, nil)
	return nil
}

var versionAhead = "SELECT v.version, p.* FROM policy_state v LEFT JOIN LATERAL (" + ProductAhead{}.Query("$1") + ") p ON TRUE"

// versionWith reads the policy version and, in the same round trip, the product
// that the request will want.
func (d *DB) versionWith(ctx context.Context, a *ports.Ahead) (version int64, err error) {
	err = d.reading(ctx, versionAhead, func() error {
		rows, err := d.pool.Query(ctx, versionAhead, a.ID().String())
		if err != nil {
			return err
		}
		defer rows.Close()
		if !rows.Next() {
			return cmp.Or(rows.Err(), sql.ErrNoRows)
		}
		if err := (ProductAhead{}).Scan(rows, 1, []any{&version}, a); err != nil {
			return err
		}
		rows.Close()
		return rows.Err()
	})
	return version, err
}
