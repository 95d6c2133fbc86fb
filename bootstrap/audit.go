package bootstrap

import (
	"context"
	"errors"
	"fmt"

	"gatehouse/domain/audit"
)

// auditCommands are "gatehouse audit".
type auditCommands struct {
	Verify auditVerify `cmd:"" help:"Check that no row of the audit log was changed, removed, moved or added."`
}

type auditVerify struct{}

// Help is what "gatehouse audit verify --help" adds.
func (auditVerify) Help() string {
	return `Each row is chained by a hash to the one before it on the same day (UTC). The first place at which that does not hold is named, and the exit code is 1.

Who can write the whole database can forge a whole day: copy the table audit_heads to where they cannot, and compare.`
}

// Run checks the log.
func (auditVerify) Run(c *call) error {
	return c.withHouse(require, func(ctx context.Context, h *house) error {
		rows, err := h.operator.VerifyAudit(ctx)
		if broken, found := errors.AsType[*audit.Broken](err); found {
			return fmt.Errorf("%w; the %d rows before it are as they were written", broken, rows)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "the audit log holds: %d rows are as they were written\n", rows)
		return nil
	})
}
