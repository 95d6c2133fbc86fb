package gormrepo

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"

	"gatehouse/adapters/batch"
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
// the others, which are those of the query or NULL, as what was found.
func (ProductAhead) Scan(rows pgx.Rows, at int, dest []any) (ports.Found, error) {
	var row productRow
	fields := row.fields()
	absent := rows.RawValues()[at] == nil
	if absent {
		clear(fields) // pgx passes over what nobody wants
	}
	if err := rows.Scan(append(dest, fields...)...); err != nil {
		return ports.Found{}, err
	}
	if absent {
		return ports.Found{Own: productRow{}, Err: product.ErrUnknown}, nil
	}
	p, err := row.product()
	return ports.Found{Product: p, Own: row}, err
}

// versioned is a product and, of the same moment, the policy version. Whoever looks
// for one of the two shares the statement with those who look for both.
type versioned struct {
	version int64
	product ports.Found
}

// The policy version with one product, or with several. OFFSET 0 keeps the planner
// from joining the products as a whole, whatever it takes their number for: each
// is looked up by its key.
var (
	versionAhead = "SELECT 1, v.version, p.* FROM policy_state v LEFT JOIN LATERAL (" + ProductAhead{}.Query("$1") + ") p ON TRUE"

	versionsAhead = "SELECT q.n, v.version, p.* FROM unnest((SELECT $1::uuid[])) WITH ORDINALITY AS q(id, n) CROSS JOIN policy_state v" +
		" LEFT JOIN LATERAL (" + ProductAhead{}.Query("q.id") + " OFFSET 0) p ON TRUE"
)

// versionsWith reads the policy version and products, for many requests at once.
func (d *DB) versionsWith(ctx context.Context, ids []product.ID, answers []batch.Answer[versioned]) error {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = id.String()
	}
	statement, arg := versionsAhead, any(keys)
	if len(keys) == 1 {
		statement, arg = versionAhead, keys[0]
	}
	return d.reading(ctx, statement, func() error {
		if d.closed.Load() {
			return sql.ErrConnDone
		}
		for i := range answers {
			answers[i].Err = errNoState
		}
		rows, err := d.pool.Query(ctx, statement, arg)
		if err != nil {
			return err
		}
		defer rows.Close()
		var n int
		var v versioned
		dest := append(make([]any, 0, 16), &n, &v.version)
		for rows.Next() {
			if v.product, err = (ProductAhead{}).Scan(rows, len(dest), dest); err != nil {
				return err
			}
			answers[n-1] = batch.Answer[versioned]{Value: v}
		}
		return rows.Err()
	})
}
