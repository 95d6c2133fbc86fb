package gormrepo

import (
	"context"

	"gatehouse/ports"
)

// SearchNear has searches look at few rows before they go by the index.
func (d *DB) SearchNear() { d.near = 2 }

// For the tests of plans and of errors.
var (
	Outage  = outage
	Stirred = stirred
)

// ListStatement is the statement for a page over SQLite.
func ListStatement(q ports.ProductQuery) (string, []any, error) {
	return (&DB{lite: true}).listStatement(q)
}

// Run runs a statement past the repositories, as a hand in the database does.
func Run(ctx context.Context, d *DB, statement string) error {
	return d.write.WithContext(ctx).Exec(statement).Error
}
