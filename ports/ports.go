// Package ports says what the application needs from outside: stores, a
// hasher, somebody who decides, randomness. Read [UserRepository],
// [SessionRepository] and [ProductRepository] first, then [Authorizer]; what is
// written down beside a change ([Along], [AuditLog], [Outbox]) stands in
// records.go, what keeps attackers off in guards.go.
//
// What binds every implementation, beside what stands at each method:
//
//   - Nothing passed in or handed out is shared: changing a value later changes
//     nothing in the store, nor the other way round.
//   - A failure is a fault. What cannot be asked or written is
//     fault.Unavailable, a cancelled or overdue context included; it is never
//     reported as missing, and a method that fails has changed nothing, unless
//     the connection broke while the answer was on its way.
//   - Times are kept to the microsecond and come back in UTC.
//   - Every method may be called from many goroutines at once.
//
// Each port has a contract suite in package portstest, which every
// implementation passes.
package ports

import (
	"context"
	"time"

	"gatehouse/domain/access"
	"gatehouse/domain/factor"
	"gatehouse/domain/product"
	"gatehouse/domain/secret"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

// UserRepository keeps the registered users. Implementations pass
// portstest.Users.
type UserRepository interface {
	// Add stores a new user, and with it what goes along. It returns
	// user.ErrEmailTaken if another user has the same canonical address, and
	// fault.Conflict if the id is taken.
	Add(ctx context.Context, u user.User, with ...*Along) error
	// Find returns the user, or fault.NotFound.
	Find(ctx context.Context, id user.ID) (user.User, error)
	// FindByEmail returns the user whose canonical address is that of e, or
	// fault.NotFound.
	FindByEmail(ctx context.Context, e user.Email) (user.User, error)
	// Update applies change to the stored user as one step, of concurrent
	// updates none is lost, and returns what is stored then. If change returns
	// an error, Update returns it as it is and keeps nothing. change may run
	// more than once and must not call the store. It returns fault.NotFound if
	// there is no such user and user.ErrEmailTaken as Add does. It returns
	// user.ErrLastAdmin, and keeps nothing, if no user would be left who
	// user.User.ActsAsAdmin but this one did; of two such changes at once, or
	// of one beside a Delete, one finds itself the last.
	//
	// What goes along is kept in the same step, also where change alters
	// nothing, and read after change has returned, which may fill it in; where
	// it cannot be kept its error is returned and nothing is kept.
	Update(ctx context.Context, id user.ID, change func(*user.User) error, with ...*Along) (user.User, error)
	// Delete deletes the user, and with it its sessions and what is left of
	// past ones, products, grants, tickets, second factor and letters not yet sent, if
	// check, called with what is stored, returns nil, as one step: what is
	// deleted is what was checked, and nothing is added for the user later. Else
	// it returns check's error as it is. check may run more than once and must
	// not call the store. It returns fault.NotFound if there is no such user,
	// and user.ErrLastAdmin, where check has no objection, as Update does. What
	// goes along is kept in the same step.
	Delete(ctx context.Context, id user.ID, check func(user.User) error, with ...*Along) error
	// List returns up to limit users whose id is greater than after, in the
	// order of their ids, which is that of their registration.
	List(ctx context.Context, after user.ID, limit int) ([]user.User, error)
	// Search returns the users that the query means, the newest first: in the
	// order of their ids, the greatest first. Who registers while the pages are
	// turned comes before the first one, and pushes nobody out of them.
	Search(ctx context.Context, q UserQuery) ([]user.User, error)
}

// UserQuery asks for a page of users.
type UserQuery struct {
	Visible access.Filter // only those for whose account (access.Of) it holds; nil means access.Nothing
	Text    string        // only those in whose address or name it stands (user.Sought); "" means all
	Role    user.Role     // only those who were given it, not those who inherit it; zero means any
	Status  user.Status   // only those in this status; zero means any
	Before  user.ID       // only those whose id is less; zero means from the newest
	Limit   int           // at most so many
}

// RoleDirectory finds active users by all the roles that they have.
// Implementations pass portstest.RoleDirectory.
type RoleDirectory interface {
	// RoleSets returns the sets of roles that active users have, each once, in no
	// order, and how many users have it.
	RoleSets(ctx context.Context) ([]RoleSet, error)
	// Holders returns up to limit active users who have these roles and no
	// others, those whose id is greater than after, in the order of their ids.
	Holders(ctx context.Context, roles []user.Role, after user.ID, limit int) ([]user.ID, error)
}

// RoleSet is all the roles of some users.
type RoleSet struct {
	Roles []user.Role // in the order of their names, as user.User.SetRoles makes it
	Users int64       // how many active users have just these
}

// Census counts what active users may do with products, by what a
// UserRepository and a ProductRepository keep. Implementations pass
// portstest.Census.
type Census interface {
	// Reach counts the pairs that the query means, and the users in them, as of
	// one moment.
	Reach(ctx context.Context, q CensusQuery) (Reach, error)
	// Pairs returns up to limit of those pairs, each once, in no order; fewer
	// only where there are no more.
	Pairs(ctx context.Context, q CensusQuery, limit int) ([]Pair, error)
}

// CensusQuery means every pair of an active user who has these roles and no
// others, and a product for which Filter holds once the id of that user stands
// in it wherever it names Self (access.Naming).
type CensusQuery struct {
	Roles  []user.Role
	Self   user.ID       // no user's; zero where Filter means the same for everybody
	Filter access.Filter // nil means access.Nothing
}

// Reach is how far a filter goes.
type Reach struct {
	Pairs int64 // of a user and a product
	Users int64 // who are in at least one of them
}

// Pair is a user and a product, as both are called.
type Pair struct {
	User    user.ID
	Email   string
	Product product.ID
	Name    string
}

// SessionRepository keeps the sessions by the key of their token. A session is
// written by Add once; whatever comes later can only alter what is still
// there, so that a session that was ended is never brought back by a slower
// request. Implementations pass portstest.Sessions.
type SessionRepository interface {
	// Add stores a new session under a key that nobody has used: keys are hashes
	// of fresh random tokens. It returns fault.NotFound if there is no such
	// user.
	Add(ctx context.Context, s session.Session) error
	// Resume returns the session with the key, its user, and the version of the
	// policy, as of one moment, or fault.NotFound. It does not judge: a session
	// that has run out may be returned until it is pruned. The moment is not
	// before Resume was called, unless who calls allows for that ([AllowStale]).
	Resume(ctx context.Context, k session.Key) (session.Resumed, error)
	// Replace puts next, the same session renewed or rotated, in the place of
	// the one with key k, which is good for nothing afterwards if next has
	// another key; if why is a reason, Past tells it of k from then on. It
	// returns fault.NotFound, and writes nothing, if the session with key k was
	// ended or has run out by now.
	Replace(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error
	// End deletes the session with the key, leaves behind why, and returns what
	// it was. It returns fault.NotFound if there is none; of two at once, one.
	End(ctx context.Context, k session.Key, e session.Ending) (session.Session, error)
	// Past returns what is left of the session that had the key when it ended,
	// or fault.NotFound.
	Past(ctx context.Context, k session.Key) (session.Past, error)
}

// AllowStale gives a context in which SessionRepository.Resume may return what was
// so a moment before, and that no longer ago than the time for which the
// implementation was configured. Who changes anything, or shows what is kept of
// others, does not allow for it.
func AllowStale(ctx context.Context) context.Context { return stale{ctx} }

// StaleAllowed reports whether ctx is one of [AllowStale], or made of one.
func StaleAllowed(ctx context.Context) bool {
	allowed, _ := ctx.Value(staleKey{}).(bool)
	return allowed
}

type staleKey struct{}

// stale is what context.WithValue would make, found without a walk by who asks
// at once.
type stale struct{ context.Context }

func (s stale) Value(key any) any {
	if _, ok := key.(staleKey); ok {
		return true
	}
	return s.Context.Value(key)
}

// SessionDirectory finds sessions by whose they are. It works on what a
// SessionRepository keeps; whatever it ends leaves its reason behind, as
// SessionRepository.End does. Implementations pass portstest.SessionDirectory.
type SessionDirectory interface {
	// List returns the user's sessions, the most recently begun first, those
	// that have run out but are not pruned included, and pending ones.
	List(ctx context.Context, id user.ID) ([]session.Session, error)
	// EndOne deletes the user's session with that handle and returns what it
	// was. It returns fault.NotFound if the user has none such, whoever else has.
	EndOne(ctx context.Context, id user.ID, s session.ID, e session.Ending) (session.Session, error)
	// EndOthers deletes all sessions of the user but the one with the key keep,
	// and returns what they were, the most recently begun first. The zero Key
	// keeps none.
	EndOthers(ctx context.Context, id user.ID, keep session.Key, e session.Ending) ([]session.Session, error)
	// Trim deletes the user's sessions but the keep that were begun most
	// recently, and returns what they were, as EndOthers does. Pending ones are
	// neither counted nor deleted: who knows the password alone must not push
	// out sessions. When as many have been added at once as may be, each
	// followed by a Trim, keep are left.
	Trim(ctx context.Context, id user.ID, keep int, e session.Ending) ([]session.Session, error)
	// Known reports whether the user has or had a session, as far as it is still
	// kept.
	Known(ctx context.Context, id user.ID) (bool, error)
	// PastOf returns what is left of the user's sessions that are over, the one
	// that ended last first.
	PastOf(ctx context.Context, id user.ID) ([]session.Past, error)
	// Prune deletes up to limit sessions that had run out by now, leaves behind
	// which clock ended them and when, and returns how many. Nodes may prune
	// side by side, and nobody who signs in waits for them.
	Prune(ctx context.Context, now time.Time, limit int) (int, error)
	// PrunePast deletes what is left of up to limit sessions that ended before
	// the time, and returns how many.
	PrunePast(ctx context.Context, before time.Time, limit int) (int, error)
}

// FactorRepository keeps the second factors. Implementations pass
// portstest.Factors.
type FactorRepository interface {
	// Find returns the user's factor, the zero one if there is none.
	Find(ctx context.Context, id user.ID) (factor.Factor, error)
	// Update applies change to the user's factor, the zero one if there is none,
	// as one step: of concurrent updates none is lost, so that a code used twice
	// at once is used once. A factor that is zero then is deleted. If change
	// returns an error, Update returns it as it is and keeps nothing. change may
	// run more than once and must not call the store. It returns fault.NotFound
	// if there is no such user. What goes along is kept in the same step, as in
	// UserRepository.Update.
	Update(ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*Along) (factor.Factor, error)
}

// ProductRepository keeps the products. Implementations pass
// portstest.Products.
type ProductRepository interface {
	// Add stores a new product with its grants, and with it what goes along. It
	// returns fault.Conflict if the id is taken and fault.NotFound if there is no
	// user with the id of the owner, or of a grant.
	Add(ctx context.Context, p product.Product, with ...*Along) error
	// Find returns the product with its grants, or fault.NotFound.
	Find(ctx context.Context, id product.ID) (product.Product, error)
	// List returns the products that the query means, in its order, each with its
	// grants.
	List(ctx context.Context, q ProductQuery) ([]product.Product, error)
	// Count returns how many products the pages of the query hold together:
	// those that it means, without regard to Sort, After and Limit.
	Count(ctx context.Context, q ProductQuery) (int, error)
	// Update applies change to the stored product, with its grants, as one step,
	// of concurrent updates none is lost, and returns what is stored then. If
	// change returns an error, Update returns it as it is and keeps nothing; if
	// change leaves the version as it was, nothing but the grants is written, and
	// those only if they are others. change may run more than once and must not
	// call the store. What it saw of the grants holds until all is written, but
	// for those to users who are deleted meanwhile. It returns fault.NotFound if
	// there is no such product, and product.ErrNobody if there is no active user
	// with the id of its new owner, or no user with that of a new grant. What
	// goes along is kept in the same step, as in UserRepository.Update; the tickets
	// in it are those of the product's owner.
	Update(ctx context.Context, id product.ID, change func(*product.Product) error, with ...*Along) (product.Product, error)
	// Delete deletes the product with its grants if check, called with what is
	// stored, returns nil, as one step: what is deleted is what was checked. Else
	// it returns check's error as it is. check may run more than once. It returns
	// fault.NotFound if there is no such product. What goes along is kept in the
	// same step.
	Delete(ctx context.Context, id product.ID, check func(product.Product) error, with ...*Along) error
}

// ProductQuery asks for a page of products.
type ProductQuery struct {
	Visible access.Filter    // only those for which it holds; nil means access.Nothing
	Owner   user.ID          // only those of this owner; zero means anybody's
	Status  product.Status   // only those in this status; zero means any
	Text    string           // only those whose folded name or description contains product.Fold(Text), literally
	Sort    product.Sort     // the zero Sort means product.NewestFirst
	After   product.Position // only those that come later in the order; zero means from the start
	Limit   int              // at most so many
}

// PolicyRepository keeps the table of policies. Implementations pass
// portstest.Policies.
type PolicyRepository interface {
	// Version returns the version of the table, zero if there never was one.
	Version(ctx context.Context) (int64, error)
	// Load returns the whole table as of one moment, as it stands: whether its
	// words mean anything is for the reader to check.
	Load(ctx context.Context) (access.Table, error)
	// Seed fills a table whose version is zero with the revision's rows and
	// inheritance, raises the version to one, remembers the revision, and
	// reports true. If the version is not zero, whatever the table holds, it
	// changes nothing and reports false.
	Seed(ctx context.Context, r access.Revision) (bool, error)
}

// PolicyHistory changes the table of a PolicyRepository and remembers what it
// was at each version. Implementations pass portstest.PolicyHistory.
type PolicyHistory interface {
	// Change applies change to the table as one step, of concurrent changes none
	// is lost, raises the version by one, and remembers the table as it then
	// stands with e; it returns that table. change alters rows and inheritance;
	// the version is not its to set. If change returns an error, Change returns
	// it as it is and keeps nothing; if it leaves the table as it was, nothing is
	// written, what goes along included. change may run more than once and must
	// not call the store. It returns fault.Conflict if two rows would have one id
	// or the same words, or an inheritance would stand twice.
	//
	// What goes along is kept in the same step, and read after change has
	// returned, which may fill it in. If nobody has remembered the table as it
	// stood before, because an older release or a hand in the database made it,
	// it is remembered as well, at e.At and without author and note.
	Change(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*Along) (access.Table, error)
	// Revisions returns up to limit revisions whose version is less than before,
	// the newest first; before zero begins at the newest.
	Revisions(ctx context.Context, before int64, limit int) ([]access.Revision, error)
	// Revision returns the table as it stood at the version, or
	// access.ErrVersionUnknown.
	Revision(ctx context.Context, version int64) (access.Revision, error)
}

// Authorizer decides who may do what. Implementations pass
// portstest.Authorizer.
type Authorizer interface {
	// Rights returns what the actor may do by a policy at least as new as
	// a.PolicyVersion(), and where that is zero, as the newest there is when
	// Rights is called. It returns fault.Unavailable if such a policy cannot be
	// had. A newer table that cannot be understood, empty or with an unknown
	// word in it, is passed over: the last good one goes on deciding, so that a
	// bad table never allows anything new. That is the newest which is remembered
	// (PolicyHistory), or of which the implementation knows.
	Rights(ctx context.Context, a access.Actor) (access.Rights, error)
}

// Rehearsal tells what would be decided if another table were the policy. It is
// a side of whoever decides. Implementations pass portstest.Rehearsal.
type Rehearsal interface {
	// Under gives the rights that actors would have if the table were the policy,
	// exactly those that Authorizer.Rights would give. No store is asked, what is
	// in force stays in force, and neither the table's version nor the actors'
	// matter. Its error says what is wrong with a table that cannot be understood.
	Under(t access.Table) (func(access.Actor) access.Rights, error)
}

// PasswordHasher turns passwords into what may be kept of them.
// Implementations pass portstest.PasswordHasher.
type PasswordHasher interface {
	// Hash hashes a password with a fresh salt. It returns fault.Unavailable if
	// more hashing is wanted than can be done in reasonable time.
	Hash(ctx context.Context, p user.Password) (user.PasswordHash, error)
	// Verify reports whether p is the password that h was made of. For the zero
	// hash it does the same amount of work and reports false, so that an
	// account without a password, or no account, cannot be told by the clock.
	// It returns fault.Unavailable as Hash does, and another error if h is not
	// a hash that it can verify.
	Verify(ctx context.Context, p user.Password, h user.PasswordHash) (bool, error)
	// Outdated reports whether Hash would make a stronger hash than h today.
	Outdated(h user.PasswordHash) bool
}

// Random gives what must not be guessed or repeated.
type Random interface {
	// ID returns a new identifier, greater than those returned before it by the
	// same Random for earlier times.
	ID(now time.Time) uuid.UUID
	// Token returns a new token of 256 random bits.
	Token() secret.Token
	// Bytes returns 32 random bytes.
	Bytes() [32]byte
}

// Clock tells the time.
type Clock func() time.Time

// Health is something that must work for the service to be of use.
type Health interface {
	// Check returns nil if it works and else what is wrong, within the
	// context's deadline: a *Degraded if requests are answered well all the same.
	Check(ctx context.Context) error
}

// Degraded is what is wrong with something that does its work all the same, such
// as deciding by the last good policy where the newest is none. What every node
// shares must not take every node out of service by that.
type Degraded struct {
	Says string // in words that anybody may read
	Err  error  // why; for the log
}

func (d *Degraded) Error() string { return d.Says + ": " + d.Err.Error() }

// Unwrap gives why.
func (d *Degraded) Unwrap() error { return d.Err }
