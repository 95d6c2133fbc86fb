package httptests

import (
	"context"
	"errors"
	"sync"
	"time"

	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/factor"
	"gatehouse/domain/fault"
	"gatehouse/domain/idempotency"
	"gatehouse/domain/mail"
	"gatehouse/domain/product"
	"gatehouse/domain/secret"
	"gatehouse/domain/session"
	"gatehouse/domain/throttle"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// Faults breaks ports on demand, and counts what is asked of them: "users",
// "sessions", of which "past" are those that are over, "directory", "factors",
// "products", "census", "answers", "tickets", "outbox", "ledger", "audit", "limiter", "authorizer",
// "hasher", "mailer".
type Faults struct {
	mu    sync.Mutex
	how   map[string]func(context.Context) error
	calls map[string]int
}

// Calls is how often the port was asked for anything.
func (f *Faults) Calls(port string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[port]
}

// AllCalls is how often any port was.
func (f *Faults) AllCalls() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for port, calls := range f.calls {
		if port != "resumed" { // which is part of one
			n += calls
		}
	}
	return n
}

// Break has every call of the port do that first; nil mends it.
func (f *Faults) Break(port string, how func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.how == nil {
		f.how = map[string]func(context.Context) error{}
	}
	f.how[port] = how
}

func (f *Faults) hit(ctx context.Context, port string) error {
	f.mu.Lock()
	how := f.how[port]
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[port]++
	f.mu.Unlock()
	if how == nil {
		return nil
	}
	return how(ctx)
}

// What can be wrong with a port.
var (
	outage = func(context.Context) error {
		return fault.Outage(errors.New("dial tcp 10.9.8.7:5432: internal-db-name refused"))
	}
	busy = func(context.Context) error {
		e := fault.Outage(errors.New("queue is full"))
		e.RetryAfter = 2500 * time.Millisecond
		return e
	}
	defect = func(context.Context) error { return errors.New(`ERROR: relation "secret_table" does not exist`) }
	crash  = func(context.Context) error { panic("secret text of a panic") }
	hang   = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
)

// around puts the faults in front of the stores.
func (f *Faults) around(st Stores) Stores {
	st.Users = brokenUsers{st.Users, f}
	st.Sessions = brokenSessions{st.Sessions, f}
	st.Directory = brokenDirectory{st.Directory, f}
	st.Factors = brokenFactors{st.Factors, f}
	st.Products = brokenProducts{st.Products, f}
	st.Census = brokenCensus{st.Census, f}
	st.Answers = brokenAnswers{st.Answers, f}
	st.Tickets = brokenTickets{st.Tickets, f}
	st.Outbox = brokenOutbox{st.Outbox, f}
	st.Ledger = brokenLedger{st.Ledger, f}
	st.Audit = brokenAudit{st.Audit, f}
	st.Limiter = brokenLimiter{st.Limiter, f}
	st.Authorizer = brokenAuthorizer{st.Authorizer, f}
	st.Hasher = brokenHasher{st.Hasher, f}
	return st
}

// asked has f act, and then asks.
func asked[T any](ctx context.Context, f *Faults, port string, ask func() (T, error)) (T, error) {
	if err := f.hit(ctx, port); err != nil {
		var zero T
		return zero, err
	}
	return ask()
}

// hitThen is asked for what gives an error alone.
func hitThen(ctx context.Context, f *Faults, port string, tell func() error) error {
	if err := f.hit(ctx, port); err != nil {
		return err
	}
	return tell()
}

type brokenUsers struct {
	ports.UserRepository
	f *Faults
}

func (b brokenUsers) Add(ctx context.Context, u user.User, with ...*ports.Along) error {
	return hitThen(ctx, b.f, "users", func() error { return b.UserRepository.Add(ctx, u, with...) })
}

func (b brokenUsers) Find(ctx context.Context, id user.ID) (user.User, error) {
	return asked(ctx, b.f, "users", func() (user.User, error) { return b.UserRepository.Find(ctx, id) })
}

func (b brokenUsers) FindByEmail(ctx context.Context, e user.Email) (user.User, error) {
	return asked(ctx, b.f, "users", func() (user.User, error) { return b.UserRepository.FindByEmail(ctx, e) })
}

func (b brokenUsers) Update(ctx context.Context, id user.ID, change func(*user.User) error, with ...*ports.Along) (user.User, error) {
	return asked(ctx, b.f, "users", func() (user.User, error) { return b.UserRepository.Update(ctx, id, change, with...) })
}

func (b brokenUsers) Delete(ctx context.Context, id user.ID, check func(user.User) error, with ...*ports.Along) error {
	return hitThen(ctx, b.f, "users", func() error { return b.UserRepository.Delete(ctx, id, check, with...) })
}

func (b brokenUsers) Search(ctx context.Context, q ports.UserQuery) ([]user.User, error) {
	return asked(ctx, b.f, "users", func() ([]user.User, error) { return b.UserRepository.Search(ctx, q) })
}

type brokenSessions struct {
	ports.SessionRepository
	f *Faults
}

func (b brokenSessions) Add(ctx context.Context, s session.Session) error {
	return hitThen(ctx, b.f, "sessions", func() error { return b.SessionRepository.Add(ctx, s) })
}

func (b brokenSessions) Resume(ctx context.Context, k session.Key) (session.Resumed, error) {
	return asked(ctx, b.f, "sessions", func() (session.Resumed, error) {
		r, err := b.SessionRepository.Resume(ctx, k)
		if e := b.f.hit(ctx, "resumed"); e != nil { // between being read and being written
			return session.Resumed{}, e
		}
		return r, err
	})
}

func (b brokenSessions) Replace(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
	return hitThen(ctx, b.f, "sessions", func() error { return b.SessionRepository.Replace(ctx, k, next, why, now) })
}

func (b brokenSessions) End(ctx context.Context, k session.Key, e session.Ending) (session.Session, error) {
	return asked(ctx, b.f, "sessions", func() (session.Session, error) { return b.SessionRepository.End(ctx, k, e) })
}

func (b brokenSessions) Past(ctx context.Context, k session.Key) (session.Past, error) {
	return asked(ctx, b.f, "past", func() (session.Past, error) { return b.SessionRepository.Past(ctx, k) })
}

type brokenDirectory struct {
	ports.SessionDirectory
	f *Faults
}

func (b brokenDirectory) List(ctx context.Context, id user.ID) ([]session.Session, error) {
	return asked(ctx, b.f, "directory", func() ([]session.Session, error) { return b.SessionDirectory.List(ctx, id) })
}

func (b brokenDirectory) EndOne(ctx context.Context, id user.ID, s session.ID, e session.Ending) (session.Session, error) {
	return asked(ctx, b.f, "directory", func() (session.Session, error) { return b.SessionDirectory.EndOne(ctx, id, s, e) })
}

func (b brokenDirectory) EndOthers(ctx context.Context, id user.ID, keep session.Key, e session.Ending) ([]session.Session, error) {
	return asked(ctx, b.f, "directory", func() ([]session.Session, error) { return b.SessionDirectory.EndOthers(ctx, id, keep, e) })
}

func (b brokenDirectory) Trim(ctx context.Context, id user.ID, keep int, e session.Ending) ([]session.Session, error) {
	return asked(ctx, b.f, "directory", func() ([]session.Session, error) { return b.SessionDirectory.Trim(ctx, id, keep, e) })
}

func (b brokenDirectory) Known(ctx context.Context, id user.ID) (bool, error) {
	return asked(ctx, b.f, "directory", func() (bool, error) { return b.SessionDirectory.Known(ctx, id) })
}

func (b brokenDirectory) PastOf(ctx context.Context, id user.ID) ([]session.Past, error) {
	return asked(ctx, b.f, "directory", func() ([]session.Past, error) { return b.SessionDirectory.PastOf(ctx, id) })
}

type brokenFactors struct {
	ports.FactorRepository
	f *Faults
}

func (b brokenFactors) Find(ctx context.Context, id user.ID) (factor.Factor, error) {
	return asked(ctx, b.f, "factors", func() (factor.Factor, error) { return b.FactorRepository.Find(ctx, id) })
}

func (b brokenFactors) Update(ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
	return asked(ctx, b.f, "factors", func() (factor.Factor, error) { return b.FactorRepository.Update(ctx, id, change, with...) })
}

type brokenProducts struct {
	ports.ProductRepository
	f *Faults
}

func (b brokenProducts) Add(ctx context.Context, p product.Product, with ...*ports.Along) error {
	return hitThen(ctx, b.f, "products", func() error { return b.ProductRepository.Add(ctx, p, with...) })
}

func (b brokenProducts) Find(ctx context.Context, id product.ID) (product.Product, error) {
	return asked(ctx, b.f, "products", func() (product.Product, error) { return b.ProductRepository.Find(ctx, id) })
}

func (b brokenProducts) List(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
	return asked(ctx, b.f, "products", func() ([]product.Product, error) { return b.ProductRepository.List(ctx, q) })
}

func (b brokenProducts) Count(ctx context.Context, q ports.ProductQuery) (int, error) {
	return asked(ctx, b.f, "products", func() (int, error) { return b.ProductRepository.Count(ctx, q) })
}

func (b brokenProducts) Update(ctx context.Context, id product.ID, change func(*product.Product) error, with ...*ports.Along) (product.Product, error) {
	return asked(ctx, b.f, "products", func() (product.Product, error) { return b.ProductRepository.Update(ctx, id, change, with...) })
}

func (b brokenProducts) Delete(ctx context.Context, id product.ID, check func(product.Product) error, with ...*ports.Along) error {
	return hitThen(ctx, b.f, "products", func() error { return b.ProductRepository.Delete(ctx, id, check, with...) })
}

type brokenAnswers struct {
	ports.IdempotencyRepository
	f *Faults
}

func (b brokenAnswers) Find(ctx context.Context, id idempotency.ID, now time.Time) (idempotency.Kept, error) {
	return asked(ctx, b.f, "answers", func() (idempotency.Kept, error) { return b.IdempotencyRepository.Find(ctx, id, now) })
}

type brokenTickets struct {
	ports.TicketRepository
	f *Faults
}

func (b brokenTickets) Issue(ctx context.Context, t ticket.Ticket) error {
	return hitThen(ctx, b.f, "tickets", func() error { return b.TicketRepository.Issue(ctx, t) })
}

func (b brokenTickets) Find(ctx context.Context, k secret.Key, now time.Time) (ticket.Ticket, error) {
	return asked(ctx, b.f, "tickets", func() (ticket.Ticket, error) { return b.TicketRepository.Find(ctx, k, now) })
}

type brokenOutbox struct {
	ports.Outbox
	f *Faults
}

func (b brokenOutbox) Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
	return asked(ctx, b.f, "outbox", func() ([]mail.Letter, error) { return b.Outbox.Claim(ctx, now, lease, limit) })
}

func (b brokenOutbox) Done(ctx context.Context, id uuid.UUID) error {
	return hitThen(ctx, b.f, "outbox", func() error { return b.Outbox.Done(ctx, id) })
}

func (b brokenOutbox) Postpone(ctx context.Context, id uuid.UUID, until time.Time, why string) error {
	return hitThen(ctx, b.f, "outbox", func() error { return b.Outbox.Postpone(ctx, id, until, why) })
}

func (b brokenOutbox) LettersTo(ctx context.Context, id user.ID) ([]mail.Letter, error) {
	return asked(ctx, b.f, "outbox", func() ([]mail.Letter, error) { return b.Outbox.LettersTo(ctx, id) })
}

type brokenLedger struct {
	ports.Ledger
	f *Faults
}

func (b brokenLedger) Record(ctx context.Context, a ports.Along) error {
	return hitThen(ctx, b.f, "ledger", func() error { return b.Ledger.Record(ctx, a) })
}

type brokenAudit struct {
	ports.AuditLog
	f *Faults
}

func (b brokenAudit) RowsOf(ctx context.Context, id user.ID, limit int) ([]audit.Row, error) {
	return asked(ctx, b.f, "audit", func() ([]audit.Row, error) { return b.AuditLog.RowsOf(ctx, id, limit) })
}

func (b brokenAudit) Search(ctx context.Context, q ports.AuditQuery) (ports.AuditPage, error) {
	return asked(ctx, b.f, "audit", func() (ports.AuditPage, error) { return b.AuditLog.Search(ctx, q) })
}

type brokenLimiter struct {
	ports.Limiter
	f *Faults
}

func (b brokenLimiter) Take(ctx context.Context, key string, r throttle.Rule, now time.Time) (throttle.Verdict, error) {
	return asked(ctx, b.f, "limiter", func() (throttle.Verdict, error) { return b.Limiter.Take(ctx, key, r, now) })
}

func (b brokenLimiter) Return(ctx context.Context, key string, r throttle.Rule) error {
	return hitThen(ctx, b.f, "limiter", func() error { return b.Limiter.Return(ctx, key, r) })
}

func (b brokenLimiter) Forget(ctx context.Context, keys ...string) error {
	return hitThen(ctx, b.f, "limiter", func() error { return b.Limiter.Forget(ctx, keys...) })
}

type brokenAuthorizer struct {
	ports.Authorizer
	f *Faults
}

func (b brokenAuthorizer) Rights(ctx context.Context, a access.Actor) (access.Rights, error) {
	return asked(ctx, b.f, "authorizer", func() (access.Rights, error) { return b.Authorizer.Rights(ctx, a) })
}

type brokenCensus struct {
	ports.Census
	f *Faults
}

func (b brokenCensus) Reach(ctx context.Context, q ports.CensusQuery) (ports.Reach, error) {
	return asked(ctx, b.f, "census", func() (ports.Reach, error) { return b.Census.Reach(ctx, q) })
}

func (b brokenCensus) Pairs(ctx context.Context, q ports.CensusQuery, limit int) ([]ports.Pair, error) {
	return asked(ctx, b.f, "census", func() ([]ports.Pair, error) { return b.Census.Pairs(ctx, q, limit) })
}

type brokenHasher struct {
	ports.PasswordHasher
	f *Faults
}

func (b brokenHasher) Hash(ctx context.Context, p user.Password) (user.PasswordHash, error) {
	return asked(ctx, b.f, "hasher", func() (user.PasswordHash, error) { return b.PasswordHasher.Hash(ctx, p) })
}

func (b brokenHasher) Verify(ctx context.Context, p user.Password, h user.PasswordHash) (bool, error) {
	return asked(ctx, b.f, "hasher", func() (bool, error) { return b.PasswordHasher.Verify(ctx, p, h) })
}

type brokenMailer struct {
	ports.Mailer
	f *Faults
}

func (b brokenMailer) Send(ctx context.Context, m mail.Message) error {
	return hitThen(ctx, b.f, "mailer", func() error { return b.Mailer.Send(ctx, m) })
}
