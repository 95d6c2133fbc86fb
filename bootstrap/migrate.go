package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"gatehouse/configs"
	"gatehouse/migrations"
)

// migrateCommand is "gatehouse migrate".
type migrateCommand struct {
	Up     migrateUp     `cmd:"" help:"Apply every migration that is missing."`
	Down   migrateDown   `cmd:"" help:"Take the latest migration back, with the data that only it holds."`
	Status migrateStatus `cmd:"" help:"List the migrations and when each was applied."`
}

type migrateUp struct{}

// Run applies what is missing.
func (migrateUp) Run(c *call) error {
	return c.withMigrator(func(ctx context.Context, m *migrations.Migrator) error {
		applied, err := m.Up(ctx)
		for _, name := range applied {
			fmt.Fprintf(c.out, "applied %s\n", name)
		}
		if err == nil && len(applied) == 0 {
			fmt.Fprintln(c.out, "nothing to do: the database is up to date")
		}
		return err
	})
}

type migrateDown struct {
	Yes bool `help:"Do not ask first."`
}

// Run takes one step back.
func (d migrateDown) Run(c *call) error {
	if !d.Yes && !c.confirmed("This deletes the data that only the latest migration made room for.") {
		return errors.New("nothing was done")
	}
	return c.withMigrator(func(ctx context.Context, m *migrations.Migrator) error {
		before, err := latest(ctx, m)
		if err != nil {
			return err
		}
		if before == "" {
			fmt.Fprintln(c.out, "nothing to do: no migration is applied")
			return nil
		}
		if err := m.Down(ctx); err != nil {
			return err
		}
		fmt.Fprintf(c.out, "took back %s\n", before)
		return nil
	})
}

// latest names the last migration that is applied, or nothing.
func latest(ctx context.Context, m *migrations.Migrator) (string, error) {
	all, err := m.Status(ctx)
	name := ""
	for _, s := range all {
		if s.Applied {
			name = s.Name
		}
	}
	return name, err
}

type migrateStatus struct{}

// Run lists them.
func (migrateStatus) Run(c *call) error {
	return c.withMigrator(func(ctx context.Context, m *migrations.Migrator) error {
		all, err := m.Status(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
		for _, s := range all {
			at := "missing"
			if s.Applied {
				at = "applied " + s.AppliedAt.UTC().Format("2006-01-02 15:04:05 UTC")
			}
			fmt.Fprintf(w, "%s\t%s\n", s.Name, at)
		}
		return w.Flush()
	})
}

// withMigrator runs use over the configured database, whatever its state.
func (c *call) withMigrator(use func(context.Context, *migrations.Migrator) error) error {
	loaded, err := c.config()
	if err != nil {
		return err
	}
	if loaded.Config.Database.Kind == configs.Memory {
		return errMemory
	}
	d, err := openDatabase(c.ctx, c.program(loaded.Config).withDefaults())
	if err != nil {
		return err
	}
	err = d.migrating(func(m *migrations.Migrator) error { return use(c.ctx, m) })
	return errors.Join(err, d.close())
}
