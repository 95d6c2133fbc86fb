package ottercache

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"gatehouse/domain/user"
)

// Wire is a connection over which a node hears what is changed elsewhere.
// Whatever has been told before a beat is heard before that beat.
type Wire interface {
	// Beat has the text come back, out of Hear, through the same way that all
	// that is told takes.
	Beat(ctx context.Context, text string) error
	// Hear waits for what is told next. Whether ctx ended or the wire broke is
	// told by ctx: a wire whose Hear ended with ctx can be heard again.
	Hear(ctx context.Context) (text string, err error)
	// Close ends it, whatever state it is in.
	Close()
}

// beats is how many heartbeats are sent within the bound: two may be late in a
// row.
const beats = 3

// openTime bounds the making of a connection.
const openTime = 5 * time.Second

// Follow listens to what is told until ctx is done, and has the cache be in use
// while that works. Where it does not it is tried again. One goroutine follows.
func (c *Cache) Follow(ctx context.Context, open func(context.Context) (Wire, error)) {
	quiet := false
	for ctx.Err() == nil {
		heard, err := c.follow(ctx, open)
		c.alive.Store(nil)
		c.forgetAll()
		if ctx.Err() != nil {
			return
		}
		c.lost.Add(1)
		if heard || !quiet { // told once, not at each attempt
			c.log.WarnContext(ctx, "the session cache is off: what other nodes change is not heard; every session is read from the store until it is", "error", err)
		}
		quiet = true
		mean := min(c.bound, time.Second)
		pause := time.NewTimer(mean/2 + rand.N(mean)) // so that nodes do not come back together
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// errSilent says why a wire is given up that is still there.
var errSilent = errors.New("no heartbeat has come back")

// follow listens over one wire, until that breaks, and reports whether anything
// was heard over it.
func (c *Cache) follow(ctx context.Context, open func(context.Context) (Wire, error)) (heard bool, err error) {
	opening, cancel := context.WithTimeout(ctx, openTime)
	wire, err := open(opening)
	cancel()
	if err != nil {
		return false, err
	}
	defer wire.Close()
	f := follower{cache: c, wire: wire, sent: map[string]moment{}, began: c.clock()}
	for {
		if err := f.beat(ctx); err != nil {
			return f.heard, err
		}
		if err := f.hear(ctx, c.bound/beats); err != nil {
			return f.heard, err
		}
	}
}

// follower is one wire and the heartbeats that are under way in it.
type follower struct {
	cache *Cache
	wire  Wire
	sent  map[string]moment // by their text, when
	count uint64
	began moment
	heard bool
}

// beat sends a heartbeat. When it was sent is taken before: what has been told by
// then will have been heard when it is back.
func (f *follower) beat(ctx context.Context) error {
	now := f.cache.clock()
	for text, at := range f.sent {
		if now.since(at) >= f.cache.bound { // nothing follows from it any more
			delete(f.sent, text)
		}
	}
	last := f.began
	if alive := f.cache.alive.Load(); alive != nil {
		last = *alive
	}
	if now.since(last) >= max(3*f.cache.bound, openTime) {
		return errSilent // it may be open for nobody: an address that was moved, a pooler
	}
	f.count++
	text := beatPrefix + strconv.FormatUint(f.count, 10)
	f.sent[text] = now
	ctx, cancel := context.WithTimeout(ctx, max(f.cache.bound, time.Second))
	defer cancel()
	return f.wire.Beat(ctx, text)
}

// hear takes in what is told for a while.
func (f *follower) hear(ctx context.Context, d time.Duration) error {
	listening, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		text, err := f.wire.Hear(listening)
		switch {
		case err == nil:
			f.take(text)
		case listening.Err() != nil:
			return ctx.Err()
		default:
			return err
		}
	}
}

// take does what is told.
func (f *follower) take(text string) {
	c := f.cache
	switch what, id := read(text); what {
	case beat:
		if at, ok := f.sent[text]; ok { // else it is too late, or not ours
			delete(f.sent, text)
			f.alive(at)
		}
	case ofUser:
		c.told.Add(1)
		c.forgetUser(id)
	default: // everything, or what a later release tells
		c.told.Add(1)
		c.forgetAll()
	}
}

// alive has the cache be in use: all that was told until the moment was heard. If
// it was off, something may have been missed, and nothing counts that was read
// before now.
func (f *follower) alive(at moment) {
	c := f.cache
	was := c.alive.Load()
	if now := c.clock(); !c.on(now) {
		if now.since(at) >= c.bound {
			return
		}
		c.forgetAll()
	}
	if was == nil {
		c.log.Info("the session cache is on", "bound", c.bound.String())
	}
	f.heard = true
	c.alive.Store(&at)
}

// What is told.
type news int

const (
	everything news = iota // "p" for the policy, "*", and whatever is not known
	ofUser                 // "u" and the id of a user: that user, or a session of theirs
	beat                   // "b" and a number: a heartbeat
)

const (
	beatPrefix = "b"
	userPrefix = 'u'
)

// read reads a notification.
func read(text string) (news, user.ID) {
	if text == "" {
		return everything, user.ID{}
	}
	switch text[0] {
	case beatPrefix[0]:
		return beat, user.ID{}
	case userPrefix:
		if id, ok := user.ParseID(text[1:]); ok {
			return ofUser, id
		}
	}
	return everything, user.ID{}
}
