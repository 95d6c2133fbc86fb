package fiberstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/adapters/gormrepo"
	"gatehouse/ports/portstest"
	"gatehouse/tests/pgtest"
)

var lender = pgtest.Lender{Open: func(ctx context.Context, url string) (*pgxpool.Pool, error) {
	return gormrepo.NewPool(ctx, url, gormrepo.PoolOptions{MaxConns: 8, StatementTimeout: time.Minute})
}}

func openStores(t *testing.T) portstest.SessionStores {
	s := over(t, lender.Pool(t))
	return portstest.SessionStores{
		Users: s.db.Users(), Sessions: s.sessions, Directory: s.sessions, Policies: s.db.Policies(),
	}
}

func TestSessionsContract(t *testing.T)         { portstest.Sessions(t, openStores) }
func TestSessionDirectoryContract(t *testing.T) { portstest.SessionDirectory(t, openStores) }
