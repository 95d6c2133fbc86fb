// Package ottercache keeps what resuming a session has found for a moment, in
// the memory of one node (github.com/maypok86/otter), so that the next requests
// of the same session need not ask the store. It is off unless configured.
//
// A cache of sessions is a cache of rights, and one that lies is worse than
// none. What this one promises: with a bound B, a change that was answered at a
// moment t is obeyed, on every node, by every request that comes in at t+B or
// later, whatever has become of the network between the nodes and the database.
//
// That promise rests on one thing alone, which needs nobody else: an entry is
// used for less than B from the moment before the statement was sent that read
// it. What that statement saw was true then or later, so what is answered was
// true less than B ago. Nothing that is heard or missed, no clock of another
// machine and no order of messages comes into it. By which clock the age is
// counted stands at [moment].
//
// Everything else only makes it faster:
//
//   - What changes through this node is forgotten before the change returns
//     ([Cache.Users], [Cache.Sessions] and the others): the next request on the
//     node obeys.
//   - What changes elsewhere is told by PostgreSQL (NOTIFY, by the triggers of
//     migration 0017) to every node that listens, when it has been committed:
//     within milliseconds ([Cache.Follow]).
//   - A node whose connection for that is silent, as a heartbeat through it
//     shows, does not use its cache at all, since it would hear of nothing: it
//     asks the store again, as if it had none, B after the last sign of life at
//     the latest.
//
// To forget is never to delete, which a read that is under way would undo by
// storing what it has seen before the change. It is to remember when
// ([marks]): an entry counts only if its read began after all that was
// forgotten since, and so it does not matter in which order they come in.
//
// An entry is used only for who asks for it (ports.AllowStale); Resume reads the
// store for everybody else. And it is used only for a yes: what says that a
// session is over, by a clock or by its user, is asked of the store, and what is
// not there is not kept. So nobody is signed out by what was true a moment ago,
// and a forged cookie takes no room.
//
// What the store cannot be asked for may still be answered from here while it is
// younger than B. That is no other promise than the one above.
package ottercache

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// maxBytes bounds the memory of all entries, about. With a bound of a second it
// holds the sessions that some thirty thousand people use within one.
const maxBytes = 32 << 20

// Config is what a [Cache] is made of; Bound and Now are needed.
type Config struct {
	Bound time.Duration // no answer is older
	Now   ports.Clock   // by which sessions end
	Log   *slog.Logger  // is told when the cache goes off and on; nil for nobody

	// Tell tells other nodes that a session of the user was ended here, or was
	// given another token. It is for stores of sessions that do not do so by
	// themselves, as PostgreSQL does; nil for none. Where it fails the bound holds
	// all the same.
	Tell func(ctx context.Context, id user.ID) error
}

// Cache keeps what was resumed. It is off until [Cache.Follow] has heard itself.
type Cache struct {
	bound   time.Duration
	now     ports.Clock
	log     *slog.Logger
	tell    func(context.Context, user.ID) error
	clock   clock
	entries *otter.Cache[session.Key, *entry]
	marks   *marks

	alive atomic.Pointer[moment] // of the latest heartbeat that came back, when it was sent; nil while nothing is heard

	hits, misses, off, told, own, lost atomic.Uint64
}

// entry is what one read of the store has found.
type entry struct {
	resumed session.Resumed
	read    moment // before its statement was sent
}

// New returns an empty cache.
func New(c Config) (*Cache, error) {
	if c.Bound <= 0 || c.Now == nil {
		return nil, errors.New("ottercache: Bound and Now are needed")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	entries, err := otter.New(&otter.Options[session.Key, *entry]{
		MaximumWeight: maxBytes,
		Weigher:       func(_ session.Key, e *entry) uint32 { return weight(e.resumed) },
		// So that nothing is kept in memory for longer than it is good for. What
		// is good is judged by the entry itself.
		ExpiryCalculator: otter.ExpiryWriting[session.Key, *entry](c.Bound),
	})
	if err != nil {
		return nil, err
	}
	return &Cache{bound: c.Bound, now: c.Now, log: c.Log, tell: c.Tell, clock: newClock(), entries: entries, marks: newMarks()}, nil
}

// Close ends the housekeeping.
func (c *Cache) Close() error {
	c.entries.StopAllGoroutines()
	return nil
}

// weight is about how many bytes an entry takes: its struct, the node of the
// table, and its texts.
func weight(r session.Resumed) uint32 {
	const fixed = 900
	u := r.User
	texts := len(u.Email().String()) + len(u.Email().Canonical()) + len(u.Name()) + len(r.Session.Device().UserAgent) + len(u.PasswordHash().Reveal())
	return uint32(fixed + texts)
}

// on reports whether the cache may be used: something was heard in time.
func (c *Cache) on(now moment) bool {
	beat := c.alive.Load()
	return beat != nil && now.since(*beat) < c.bound
}

// find gives what is kept for the key, if it may be used.
func (c *Cache) find(k session.Key) (session.Resumed, bool) {
	now := c.clock()
	if !c.on(now) {
		c.off.Add(1)
		return session.Resumed{}, false
	}
	e, ok := c.entries.GetIfPresent(k)
	if !ok || !c.counts(e, now) || !e.resumed.Good(c.now()) {
		c.misses.Add(1)
		return session.Resumed{}, false
	}
	c.hits.Add(1)
	return e.resumed, true
}

// counts reports whether the entry is young enough, and nothing was forgotten
// since its read began that it could hold.
func (c *Cache) counts(e *entry, now moment) bool {
	return now.since(e.read) < c.bound && c.marks.before(e.read, e.resumed.Session.Key(), e.resumed.User.ID())
}

// keep stores what a read that began at the moment has found, in the place of
// what an earlier one did. It keeps only what a request may act by: what no
// clock has ended is judged each time, the rest of session.Resumed.Good here.
func (c *Cache) keep(k session.Key, r session.Resumed, read moment) {
	if now := c.clock(); !c.on(now) || !r.Good(r.Session.SeenAt()) {
		return
	}
	next := &entry{r, read}
	c.entries.Compute(k, func(old *entry, found bool) (*entry, otter.ComputeOp) {
		if found && old.read.mono > read.mono {
			return old, otter.CancelOp
		}
		return next, otter.WriteOp
	})
}

// forgetSession has what was read of the session until now count no more.
func (c *Cache) forgetSession(k session.Key) { raise(slot(c.marks, k), c.clock().mono) }

// forgetUser has what was read of the user, and of all their sessions, until now
// count no more.
func (c *Cache) forgetUser(id user.ID) { raise(slot(c.marks, id), c.clock().mono) }

// forgetAll has nothing that was read until now count any more.
func (c *Cache) forgetAll() { c.marks.setAll(c.clock()) }

// Stats are figures since the cache was made, but for On and Entries, which are
// of now.
type Stats struct {
	On      bool   // the cache is in use
	Entries int    // that are kept, those too old included
	Hits    uint64 // answered from here
	Misses  uint64 // asked of the store, since there was nothing to use
	Off     uint64 // asked of the store, since the cache was off
	Told    uint64 // changes of which another node, or this one, was heard to tell
	Own     uint64 // changes through this node
	Lost    uint64 // times that the connection for telling was lost or silent
}

// Stats gives the figures.
func (c *Cache) Stats() Stats {
	return Stats{
		On: c.on(c.clock()), Entries: c.entries.EstimatedSize(),
		Hits: c.hits.Load(), Misses: c.misses.Load(), Off: c.off.Load(), Told: c.told.Load(), Own: c.own.Load(), Lost: c.lost.Load(),
	}
}
