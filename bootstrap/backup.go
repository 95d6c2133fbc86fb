package bootstrap

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gatehouse/adapters/gormrepo"
	"gatehouse/configs"
)

// backupCommand is "gatehouse backup".
type backupCommand struct {
	To string `arg:"" name:"file" help:"The file to make; there must be none of that name."`
}

// Help is what "gatehouse backup --help" adds.
func (backupCommand) Help() string {
	return `It copies the SQLite file as it is at one moment, while the service goes on, and is good for that alone: to copy the file itself may miss what was written last. The copy is a database like any other, which GATEHOUSE_DATABASE_URL=sqlite:FILE serves.

PostgreSQL has pg_dump for this.

Examples:

    gatehouse backup gatehouse-2026-11-25.db
    gatehouse backup --database-url sqlite:data/gatehouse.db /mnt/backups/gatehouse.db`
}

// Run copies the database.
func (b backupCommand) Run(c *call) error {
	loaded, err := c.config()
	if err != nil {
		return err
	}
	switch d := loaded.Config.Database; d.Kind {
	case configs.Memory:
		return errMemory
	case configs.Postgres:
		return errors.New("this copies SQLite files; of PostgreSQL pg_dump makes backups, see docs/operations.md")
	default:
		if err := b.copy(c, d.Path); err != nil {
			return fmt.Errorf("no backup was made: %w", err)
		}
	}
	fmt.Fprintf(c.out, "%s holds the database as it was just now\n", b.To)
	return nil
}

// copy leaves nothing behind where it fails.
func (b backupCommand) copy(c *call, path string) (err error) {
	if _, err := os.Stat(path); err != nil { // opening would make it
		return err
	}
	to, err := filepath.Abs(b.To)
	if err != nil {
		return err
	}
	// SQLite would make it for all to read, and fills one that is empty.
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(to))
		}
	}()
	if err := f.Close(); err != nil {
		return err
	}
	handle, err := gormrepo.SQLiteMigrationHandle(path)
	if err != nil {
		return err
	}
	_, err = handle.ExecContext(c.ctx, "VACUUM INTO ?", to)
	return errors.Join(err, handle.Close(), synced(to))
}

// synced has what is in the file survive a power cut.
func synced(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
