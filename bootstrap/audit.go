package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/uuid"
)

// auditCommands are "gatehouse audit".
type auditCommands struct {
	Show   auditShow   `cmd:"" help:"Print a row of the audit log: why a request was refused, by its X-Decision-Id."`
	Verify auditVerify `cmd:"" help:"Check that no row of the audit log was changed, removed, moved or added."`
}

type auditShow struct {
	ID string `arg:"" help:"The X-Decision-Id of a refusal, or the id of another row."`
}

// Run prints the row, one member a line.
func (a auditShow) Run(c *call) error {
	id, ok := uuid.Parse(a.ID)
	if !ok {
		return fmt.Errorf("%q is no id", a.ID)
	}
	return c.withHouse(require, func(ctx context.Context, h *house) error {
		r, err := h.operator.FindAudit(ctx, id)
		if errors.Is(err, fault.NotFound) {
			return fmt.Errorf("there is no row %s in the audit log", id)
		}
		if err != nil {
			return err
		}
		printRow(c.out, r)
		return nil
	})
}

func printRow(out io.Writer, r audit.Row) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(out, "%-11s %s\n", name, value)
		}
	}
	line("at", r.At.Format(time.RFC3339Nano))
	line("event", string(r.Event))
	line("outcome", string(r.Outcome))
	if !r.Actor.IsZero() {
		line("actor", r.Actor.String())
	}
	line("subject", strings.TrimSpace(r.Subject.Type+" "+r.Subject.ID))
	for _, name := range slices.Sorted(maps.Keys(r.Detail)) {
		line(name, r.Detail[name])
	}
	if r.Origin.IP.IsValid() {
		line("from", r.Origin.IP.String())
	}
	line("user agent", r.Origin.UserAgent)
	line("request", r.Origin.RequestID)
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
