package fiberstore_test

import (
	"testing"
	"time"

	"gatehouse/adapters/gormrepo"
	"gatehouse/ports/portstest"
	"gatehouse/tests/pgtest"
)

func openStores(t *testing.T) portstest.SessionStores {
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{MaxConns: 8, StatementTimeout: time.Minute})
	return portstest.SessionStores{
		Users: s.db.Users(), Sessions: s.sessions, Directory: s.sessions, Policies: s.db.Policies(),
	}
}

func TestSessionsContract(t *testing.T)         { portstest.Sessions(t, openStores) }
func TestSessionDirectoryContract(t *testing.T) { portstest.SessionDirectory(t, openStores) }
