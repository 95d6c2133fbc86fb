package bootstrap

import (
	"context"

	"gatehouse/adapters/httpapi/httptests"
	"gatehouse/adapters/memory"
)

// OpenStores opens what a program would serve from, for the HTTP tables, with a
// hasher that costs nothing. The policy is the default one.
func OpenStores(ctx context.Context, p Program) (httptests.Stores, func() error, error) {
	h, err := openHouse(ctx, p.withDefaults(), bringUp)
	if err != nil {
		return httptests.Stores{}, nil, err
	}
	return httptests.Stores{
		Users: h.stores.users, Sessions: h.stores.sessions, Directory: h.stores.directory, Products: h.stores.products,
		Authorizer: h.authorizer, Hasher: memory.Hasher{}, Random: h.random,
	}, h.close, nil
}
