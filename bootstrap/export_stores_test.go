package bootstrap

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/adapters/gormrepo"
	"gatehouse/adapters/httpapi/httptests"
	"gatehouse/adapters/memory"
	"gatehouse/adapters/totp"
	"gatehouse/configs"
)

// OpenStores opens what a program would serve from, for the HTTP tables, with a
// hasher that costs nothing. The policy is the default one.
func OpenStores(ctx context.Context, p Program) (httptests.Stores, func() error, error) {
	h, err := openHouse(ctx, p.withDefaults(), bringUp)
	if err != nil {
		return httptests.Stores{}, nil, err
	}
	return h.forTables(), h.close, nil
}

// OpenStoresOver does so over a pool of connections to a database of PostgreSQL
// that has our tables. The pool stays open.
func OpenStoresOver(ctx context.Context, p Program, pool *pgxpool.Pool) (httptests.Stores, func() error, error) {
	orm, err := gormrepo.OpenPostgres(pool, p.Log)
	if err != nil {
		return httptests.Stores{}, nil, err
	}
	d := &database{config: configs.Database{Kind: configs.Postgres}, pool: pool, orm: orm, closers: []func() error{orm.Close}}
	h, err := build(ctx, p.withDefaults(), d, require)
	if err != nil {
		return httptests.Stores{}, nil, errors.Join(err, d.close())
	}
	return h.forTables(), h.close, nil
}

func (h *house) forTables() httptests.Stores {
	return httptests.Stores{
		Users: h.stores.users, Sessions: h.stores.sessions, Directory: h.stores.directory, Products: h.stores.products,
		Factors: h.stores.factors, Tickets: h.stores.tickets, Answers: h.stores.answers, Outbox: h.stores.outbox, Ledger: h.stores.ledger, Audit: h.stores.ledger, Limiter: h.stores.limiter,
		Policies: h.stores.policies, History: h.stores.policies, Roles: h.stores.roles, Census: h.stores.census, Rehearsal: h.authorizer, Vocabulary: h.vocabulary,
		Authorizer: h.authorizer, Hasher: memory.Hasher{}, Codes: totp.New("Gatehouse"), Sealer: h.sealer, Devices: h.devices, Random: h.random,
	}
}
