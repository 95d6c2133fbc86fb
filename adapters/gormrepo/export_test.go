package gormrepo

import "context"

// For the tests of plans and of errors.
var (
	ListStatement = listStatement
	Outage        = outage
)

// Run runs a statement past the repositories, as a hand in the database does.
func Run(ctx context.Context, d *DB, statement string) error {
	return d.write.WithContext(ctx).Exec(statement).Error
}
