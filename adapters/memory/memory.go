// Package memory keeps everything in memory, behind every port: for the unit
// tests of a team's own rules and for trying things. It is real code with locks
// and copies, held to the same contract suites as the databases; only nothing
// survives the process.
//
// [New] gives an empty [DB]; its methods give the repositories, which share one
// state, so that a product needs an owner here as well.
package memory

import (
	"context"
	"sync"
	"time"

	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/factor"
	"gatehouse/domain/fault"
	"gatehouse/domain/idempotency"
	"gatehouse/domain/product"
	"gatehouse/domain/secret"
	"gatehouse/domain/session"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// DB is the state that all repositories of package memory share.
type DB struct {
	mu       sync.RWMutex
	users    map[user.ID]userRow
	byEmail  map[string]user.ID // by canonical address
	products map[product.ID]productRow
	sessions map[session.Key]session.Session
	past     map[session.Key]session.Past
	factors  map[user.ID]factorRow
	tickets  map[secret.Key]ticket.Ticket
	answers  map[idempotency.ID]idempotency.Kept
	letters  map[uuid.UUID]letterRow
	events   map[uuid.UUID]eventRow
	log      map[string][]audit.Row // by day, in the order of their places
	heads    map[string]audit.Head  // by day
	policy   access.Table
	versions []access.Revision // of the policy, the oldest first
	key      *[32]byte
	writes   int // of users, products and factors
	limiter  *Limiter
}

// A row's revision is the number of the write that made it, so that an update
// notices another, and that a row was made anew under an id.
type (
	userRow struct {
		user     user.User
		revision int
	}
	productRow struct {
		product  product.Product
		search   [2]string // folded name and description
		revision int
	}
	factorRow struct {
		factor   factor.Factor
		revision int
	}
)

var _ ports.Health = (*DB)(nil)

// New returns an empty database.
func New() *DB {
	return &DB{
		users: map[user.ID]userRow{}, byEmail: map[string]user.ID{},
		products: map[product.ID]productRow{},
		sessions: map[session.Key]session.Session{}, past: map[session.Key]session.Past{},
		factors: map[user.ID]factorRow{}, tickets: map[secret.Key]ticket.Ticket{}, answers: map[idempotency.ID]idempotency.Kept{}, letters: map[uuid.UUID]letterRow{},
		events: map[uuid.UUID]eventRow{},
		log:    map[string][]audit.Row{}, heads: map[string]audit.Head{},
		limiter: NewLimiter(0),
	}
}

// Users gives the repository of users.
func (db *DB) Users() *Users { return &Users{db} }

// Sessions gives the repository and directory of sessions.
func (db *DB) Sessions() *Sessions { return &Sessions{db} }

// Products gives the repository of products.
func (db *DB) Products() *Products { return &Products{db} }

// Policies gives the repository of policies.
func (db *DB) Policies() *Policies { return &Policies{db} }

// Factors gives the repository of second factors.
func (db *DB) Factors() *Factors { return &Factors{db} }

// Ledger gives the audit log, to append to and to read.
func (db *DB) Ledger() *Ledger { return &Ledger{db} }

// Tickets gives the repository of tickets.
func (db *DB) Tickets() *Tickets { return &Tickets{db} }

// Answers gives the answers that are given again.
func (db *DB) Answers() *Answers { return &Answers{db} }

// Outbox gives the letters that are to be sent.
func (db *DB) Outbox() *Outbox { return &Outbox{db} }

// Events gives the events that subscribers are to be told of.
func (db *DB) Events() *Events { return &Events{db} }

// Limiter gives the counters of tries; of those any number is kept.
func (db *DB) Limiter() *Limiter { return db.limiter }

// Keys gives the keeper of the shared key.
func (db *DB) Keys() *Keys { return &Keys{db} }

// Check implements ports.Health: memory is always there.
func (db *DB) Check(ctx context.Context) error { return alive(ctx) }

// alive refuses what nobody waits for any more, as a database would.
func alive(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.Outage(err)
	}
	return nil
}

// read runs f with the state held still.
func (db *DB) read(ctx context.Context, f func() error) error {
	if err := alive(ctx); err != nil {
		return err
	}
	db.mu.RLock()
	defer db.mu.RUnlock()
	return f()
}

// revision numbers a write that is under way.
func (db *DB) revision() int {
	db.writes++
	return db.writes
}

// write runs f with the state to itself.
func (db *DB) write(ctx context.Context, f func() error) error {
	if err := alive(ctx); err != nil {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	return f()
}

// instant is a time as it is kept.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

var errIDTaken = fault.New(fault.Conflict, "id_taken", "There is something with this id already.")
