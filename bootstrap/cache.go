package bootstrap

import (
	"context"
	"errors"
	"time"

	"gatehouse/adapters/ottercache"
	"gatehouse/ports"
)

// cacheSessions puts a cache in front of the stores, if one is configured. It is
// off until a node follows what is changed ([Node.follow]); a command, which does
// not, reads the store, and tells nodes what it changes.
func cacheSessions(p Program, d *database, kept stores) (*ottercache.Cache, stores, error) {
	bound := p.Config.SessionCache.Bound
	if bound == 0 {
		return nil, kept, nil
	}
	c := ottercache.Config{Bound: bound, Now: p.Now, Log: p.Log}
	if len(p.Config.SessionStore.Addrs) > 0 { // where sessions end without PostgreSQL's knowing
		c.Tell = ottercache.Teller(d.pool)
	}
	cache, err := ottercache.New(c)
	if err != nil {
		return nil, kept, err
	}
	d.onClose(cache.Close)
	kept.sessions, kept.directory = cache.Sessions(kept.sessions), cache.Directory(kept.directory)
	kept.users, kept.policies = cache.Users(kept.users), cache.Policies(kept.policies)
	return cache, kept, nil
}

// followAgain is how soon following goes on that a panic has ended; what it hears
// it hears until the node stops.
const followAgain = time.Second

// follow hears of what other nodes change, until ctx is done.
func (n *Node) follow(ctx context.Context) {
	url := n.program.Config.SessionCache.Listen
	if url == "" {
		url = n.program.Config.Database.URL
	}
	n.house.cache.Follow(ctx, ottercache.Postgres(url))
}

var errUnheard = errors.New("no heartbeat has come back in time")

// cacheHears is nil while the cache is in use. Where it is not, all is answered
// as if there were none.
func (h *house) cacheHears(context.Context) error {
	if h.cache.Stats().On {
		return nil
	}
	return &ports.Degraded{Says: "off: what other nodes change is not heard, so every session is read from the database", Err: errUnheard}
}
