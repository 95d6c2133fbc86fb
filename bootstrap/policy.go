package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"os"

	"gatehouse/configs"
	"gatehouse/domain/access"
)

// policyCommands are "gatehouse policy".
type policyCommands struct {
	List     policyList     `cmd:"" help:"Show the policy in the database, with the ids of its rows."`
	Add      policyAdd      `cmd:"" help:"Add a row."`
	Remove   policyRemove   `cmd:"" help:"Remove a row."`
	Load     policyLoad     `cmd:"" help:"Put the policy of a file in the place of the one there is."`
	Export   policyExport   `cmd:"" help:"Print the policy in the form that load reads."`
	History  policyHistory  `cmd:"" help:"Show the versions of the policy: when, by whom, why and what."`
	Rollback policyRollback `cmd:"" help:"Make the policy what it was at a version."`
	Check    policyCheck    `cmd:"" help:"Check the policy in the database, or in a file; or tell why somebody may or may not do something."`
}

type policyList struct{}

// Run shows the policy.
func (policyList) Run(c *call) error {
	return c.withHouse(require, func(ctx context.Context, h *house) error {
		table, err := h.policies.Table(ctx)
		if err != nil {
			return err
		}
		return listPolicy(c.out, table)
	})
}

type policyCheck struct {
	File  string   `arg:"" optional:"" type:"path" help:"A file of rows as in configs/policy.csv, instead of the database."`
	Asked whyFlags `embed:""`
}

// Run checks that every word of the policy means something, or answers a
// question of it.
func (p policyCheck) Run(c *call) error {
	if err := p.Asked.check(); err != nil {
		return err
	}
	switch {
	case p.Asked.Why && p.File != "":
		return errors.New("--why asks the policy in the database, not a file")
	case p.Asked.Why:
		return p.Asked.answer(c)
	case p.File != "":
		return p.checkFile(c)
	}
	return c.withHouse(require, func(ctx context.Context, h *house) error {
		table, err := h.stores.policies.Load(ctx)
		if err != nil {
			return err
		}
		return tell(c, h.vocabulary, table, "the policy in the database")
	})
}

func (p policyCheck) checkFile(c *call) error {
	f, err := os.Open(p.File)
	if err != nil {
		return err
	}
	defer f.Close()
	table, err := configs.ReadPolicy(f)
	if err != nil {
		return fmt.Errorf("%s: %w", p.File, err)
	}
	v, err := access.NewVocabulary(extensions().Conditions...)
	if err != nil {
		return fmt.Errorf("bootstrap/extensions.go: %w", err)
	}
	return tell(c, v, table, p.File)
}

// tell says that a policy is good, or what is wrong with it.
func tell(c *call, v access.Vocabulary, t access.Table, what string) error {
	if _, err := v.Check(t); err != nil {
		return fmt.Errorf("%s cannot be used: %w", what, err)
	}
	fmt.Fprintf(c.out, "%s is good: %d rows, %d inheritances\n", what, len(t.Rows), len(t.Inherits))
	return nil
}
