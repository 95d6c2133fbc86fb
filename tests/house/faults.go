package house

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

// Faults stands in front of every port. It has a call fail, or something else
// happen just before one. The zero value lets everything through.
type Faults struct {
	mu     sync.Mutex
	calls  []string
	nth    int // fails; 0 is none
	late   bool
	always map[string]error
	before map[string]func()
}

// Fail has the nth call from now on, counted from 1, answer fault.Unavailable:
// without being made, or, if late, after it was, as where a connection breaks
// while the answer is on its way. 0 lets everything through.
func (f *Faults) Fail(nth int, late bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.nth, f.late = nil, nth, late
}

// Always has every call with the name, such as "Users.Find", return err; nil
// mends it.
func (f *Faults) Always(call string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.always == nil {
		f.always = map[string]error{}
	}
	f.always[call] = err
}

// Before runs do just before the next call with the name, once.
func (f *Faults) Before(call string, do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.before == nil {
		f.before = map[string]func(){}
	}
	f.before[call] = do
}

// Calls are the names of the calls since [Faults.Fail] was called last.
func (f *Faults) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...)
}

// Down is what a port answers that cannot be asked.
var Down = fault.Outage(errors.New("the store does not answer"))

// next counts a call and tells what is to become of it.
func (f *Faults) next(call string) (early, late error) {
	f.mu.Lock()
	f.calls = append(f.calls, call)
	do := f.before[call]
	delete(f.before, call)
	if len(f.calls) == f.nth {
		if f.late {
			late = Down
		} else {
			early = Down
		}
	}
	if err := f.always[call]; err != nil {
		early = err
	}
	f.mu.Unlock()
	if do != nil {
		do()
	}
	return early, late
}

func told(f *Faults, call string, do func() error) error {
	early, late := f.next(call)
	if early != nil {
		return early
	}
	if err := do(); late == nil {
		return err
	}
	return late
}

func asked[T any](f *Faults, call string, do func() (T, error)) (got T, err error) {
	err = told(f, call, func() (err error) {
		got, err = do()
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return got, nil
}

type faultyUsers struct {
	ports.UserRepository
	f *Faults
}

func (s faultyUsers) Add(ctx context.Context, u user.User, with ...*ports.Along) error {
	return told(s.f, "Users.Add", func() error { return s.UserRepository.Add(ctx, u, with...) })
}

func (s faultyUsers) Find(ctx context.Context, id user.ID) (user.User, error) {
	return asked(s.f, "Users.Find", func() (user.User, error) { return s.UserRepository.Find(ctx, id) })
}

func (s faultyUsers) FindByEmail(ctx context.Context, e user.Email) (user.User, error) {
	return asked(s.f, "Users.FindByEmail", func() (user.User, error) { return s.UserRepository.FindByEmail(ctx, e) })
}

func (s faultyUsers) Update(ctx context.Context, id user.ID, change func(*user.User) error, with ...*ports.Along) (user.User, error) {
	return asked(s.f, "Users.Update", func() (user.User, error) { return s.UserRepository.Update(ctx, id, change, with...) })
}

func (s faultyUsers) Delete(ctx context.Context, id user.ID, check func(user.User) error, with ...*ports.Along) error {
	return told(s.f, "Users.Delete", func() error { return s.UserRepository.Delete(ctx, id, check, with...) })
}

func (s faultyUsers) List(ctx context.Context, after user.ID, limit int) ([]user.User, error) {
	return asked(s.f, "Users.List", func() ([]user.User, error) { return s.UserRepository.List(ctx, after, limit) })
}

func (s faultyUsers) Search(ctx context.Context, q ports.UserQuery) ([]user.User, error) {
	return asked(s.f, "Users.Search", func() ([]user.User, error) { return s.UserRepository.Search(ctx, q) })
}

type faultySessions struct {
	ports.SessionRepository
	f *Faults
}

func (s faultySessions) Add(ctx context.Context, one session.Session) error {
	return told(s.f, "Sessions.Add", func() error { return s.SessionRepository.Add(ctx, one) })
}

func (s faultySessions) Resume(ctx context.Context, k session.Key) (session.Resumed, error) {
	return asked(s.f, "Sessions.Resume", func() (session.Resumed, error) { return s.SessionRepository.Resume(ctx, k) })
}

func (s faultySessions) Replace(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
	return told(s.f, "Sessions.Replace", func() error { return s.SessionRepository.Replace(ctx, k, next, why, now) })
}

func (s faultySessions) End(ctx context.Context, k session.Key, e session.Ending) (session.Session, error) {
	return asked(s.f, "Sessions.End", func() (session.Session, error) { return s.SessionRepository.End(ctx, k, e) })
}

func (s faultySessions) Past(ctx context.Context, k session.Key) (session.Past, error) {
	return asked(s.f, "Sessions.Past", func() (session.Past, error) { return s.SessionRepository.Past(ctx, k) })
}

type faultyDirectory struct {
	ports.SessionDirectory
	f *Faults
}

func (s faultyDirectory) List(ctx context.Context, id user.ID) ([]session.Session, error) {
	return asked(s.f, "Directory.List", func() ([]session.Session, error) { return s.SessionDirectory.List(ctx, id) })
}

func (s faultyDirectory) EndOne(ctx context.Context, id user.ID, one session.ID, e session.Ending) (session.Session, error) {
	return asked(s.f, "Directory.EndOne", func() (session.Session, error) { return s.SessionDirectory.EndOne(ctx, id, one, e) })
}

func (s faultyDirectory) EndOthers(ctx context.Context, id user.ID, keep session.Key, e session.Ending) ([]session.Session, error) {
	return asked(s.f, "Directory.EndOthers", func() ([]session.Session, error) { return s.SessionDirectory.EndOthers(ctx, id, keep, e) })
}

func (s faultyDirectory) Trim(ctx context.Context, id user.ID, keep int, e session.Ending) ([]session.Session, error) {
	return asked(s.f, "Directory.Trim", func() ([]session.Session, error) { return s.SessionDirectory.Trim(ctx, id, keep, e) })
}

func (s faultyDirectory) Known(ctx context.Context, id user.ID) (bool, error) {
	return asked(s.f, "Directory.Known", func() (bool, error) { return s.SessionDirectory.Known(ctx, id) })
}

func (s faultyDirectory) PastOf(ctx context.Context, id user.ID) ([]session.Past, error) {
	return asked(s.f, "Directory.PastOf", func() ([]session.Past, error) { return s.SessionDirectory.PastOf(ctx, id) })
}

func (s faultyDirectory) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	return asked(s.f, "Directory.Prune", func() (int, error) { return s.SessionDirectory.Prune(ctx, now, limit) })
}

func (s faultyDirectory) PrunePast(ctx context.Context, before time.Time, limit int) (int, error) {
	return asked(s.f, "Directory.PrunePast", func() (int, error) { return s.SessionDirectory.PrunePast(ctx, before, limit) })
}

type faultyFactors struct {
	ports.FactorRepository
	f *Faults
}

func (s faultyFactors) Find(ctx context.Context, id user.ID) (factor.Factor, error) {
	return asked(s.f, "Factors.Find", func() (factor.Factor, error) { return s.FactorRepository.Find(ctx, id) })
}

func (s faultyFactors) Update(ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
	return asked(s.f, "Factors.Update", func() (factor.Factor, error) { return s.FactorRepository.Update(ctx, id, change, with...) })
}

type faultyLedger struct {
	ports.Ledger
	f *Faults
}

func (s faultyLedger) Record(ctx context.Context, a ports.Along) error {
	return told(s.f, "Ledger.Record", func() error { return s.Ledger.Record(ctx, a) })
}

type faultyLog struct {
	ports.AuditLog
	f *Faults
}

func (s faultyLog) Heads(ctx context.Context) ([]audit.Head, error) {
	return asked(s.f, "Log.Heads", func() ([]audit.Head, error) { return s.AuditLog.Heads(ctx) })
}

func (s faultyLog) Rows(ctx context.Context, day string, after int64, limit int) ([]audit.Row, error) {
	return asked(s.f, "Log.Rows", func() ([]audit.Row, error) { return s.AuditLog.Rows(ctx, day, after, limit) })
}

func (s faultyLog) RowsOf(ctx context.Context, id user.ID, limit int) ([]audit.Row, error) {
	return asked(s.f, "Log.RowsOf", func() ([]audit.Row, error) { return s.AuditLog.RowsOf(ctx, id, limit) })
}

func (s faultyLog) Search(ctx context.Context, q ports.AuditQuery) (ports.AuditPage, error) {
	return asked(s.f, "Log.Search", func() (ports.AuditPage, error) { return s.AuditLog.Search(ctx, q) })
}

type faultyTickets struct {
	ports.TicketRepository
	f *Faults
}

func (s faultyTickets) Issue(ctx context.Context, t ticket.Ticket) error {
	return told(s.f, "Tickets.Issue", func() error { return s.TicketRepository.Issue(ctx, t) })
}

func (s faultyTickets) Find(ctx context.Context, k secret.Key, now time.Time) (ticket.Ticket, error) {
	return asked(s.f, "Tickets.Find", func() (ticket.Ticket, error) { return s.TicketRepository.Find(ctx, k, now) })
}

func (s faultyTickets) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	return asked(s.f, "Tickets.Prune", func() (int, error) { return s.TicketRepository.Prune(ctx, now, limit) })
}

type faultyOutbox struct {
	ports.Outbox
	f *Faults
}

func (s faultyOutbox) Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error) {
	return asked(s.f, "Outbox.Claim", func() ([]mail.Letter, error) { return s.Outbox.Claim(ctx, now, lease, limit) })
}

func (s faultyOutbox) Done(ctx context.Context, id uuid.UUID) error {
	return told(s.f, "Outbox.Done", func() error { return s.Outbox.Done(ctx, id) })
}

func (s faultyOutbox) Postpone(ctx context.Context, id uuid.UUID, until time.Time, why string) error {
	return told(s.f, "Outbox.Postpone", func() error { return s.Outbox.Postpone(ctx, id, until, why) })
}

func (s faultyOutbox) Waiting(ctx context.Context) (n int, since time.Time, err error) {
	err = told(s.f, "Outbox.Waiting", func() (err error) {
		n, since, err = s.Outbox.Waiting(ctx)
		return err
	})
	return n, since, err
}

func (s faultyOutbox) LettersTo(ctx context.Context, id user.ID) ([]mail.Letter, error) {
	return asked(s.f, "Outbox.LettersTo", func() ([]mail.Letter, error) { return s.Outbox.LettersTo(ctx, id) })
}

type faultyProducts struct {
	ports.ProductRepository
	f *Faults
}

func (s faultyProducts) Add(ctx context.Context, p product.Product, with ...*ports.Along) error {
	return told(s.f, "Products.Add", func() error { return s.ProductRepository.Add(ctx, p, with...) })
}

func (s faultyProducts) Find(ctx context.Context, id product.ID) (product.Product, error) {
	return asked(s.f, "Products.Find", func() (product.Product, error) { return s.ProductRepository.Find(ctx, id) })
}

func (s faultyProducts) List(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
	return asked(s.f, "Products.List", func() ([]product.Product, error) { return s.ProductRepository.List(ctx, q) })
}

func (s faultyProducts) Count(ctx context.Context, q ports.ProductQuery) (int, error) {
	return asked(s.f, "Products.Count", func() (int, error) { return s.ProductRepository.Count(ctx, q) })
}

func (s faultyProducts) Update(ctx context.Context, id product.ID, change func(*product.Product) error, with ...*ports.Along) (product.Product, error) {
	return asked(s.f, "Products.Update", func() (product.Product, error) { return s.ProductRepository.Update(ctx, id, change, with...) })
}

func (s faultyProducts) Delete(ctx context.Context, id product.ID, check func(product.Product) error, with ...*ports.Along) error {
	return told(s.f, "Products.Delete", func() error { return s.ProductRepository.Delete(ctx, id, check, with...) })
}

type faultyAnswers struct {
	ports.IdempotencyRepository
	f *Faults
}

func (s faultyAnswers) Find(ctx context.Context, id idempotency.ID, now time.Time) (idempotency.Kept, error) {
	return asked(s.f, "Answers.Find", func() (idempotency.Kept, error) { return s.IdempotencyRepository.Find(ctx, id, now) })
}

func (s faultyAnswers) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	return asked(s.f, "Answers.Prune", func() (int, error) { return s.IdempotencyRepository.Prune(ctx, now, limit) })
}

type faultyAuthorizer struct {
	ports.Authorizer
	f *Faults
}

func (s faultyAuthorizer) Rights(ctx context.Context, a access.Actor) (access.Rights, error) {
	return asked(s.f, "Authorizer.Rights", func() (access.Rights, error) { return s.Authorizer.Rights(ctx, a) })
}

type faultyHasher struct {
	ports.PasswordHasher
	f *Faults
}

func (s faultyHasher) Hash(ctx context.Context, p user.Password) (user.PasswordHash, error) {
	return asked(s.f, "Hasher.Hash", func() (user.PasswordHash, error) { return s.PasswordHasher.Hash(ctx, p) })
}

func (s faultyHasher) Verify(ctx context.Context, p user.Password, h user.PasswordHash) (bool, error) {
	return asked(s.f, "Hasher.Verify", func() (bool, error) { return s.PasswordHasher.Verify(ctx, p, h) })
}

type faultyLimiter struct {
	ports.Limiter
	f *Faults
}

func (s faultyLimiter) Take(ctx context.Context, key string, r throttle.Rule, now time.Time) (throttle.Verdict, error) {
	return asked(s.f, "Limiter.Take", func() (throttle.Verdict, error) { return s.Limiter.Take(ctx, key, r, now) })
}

func (s faultyLimiter) Return(ctx context.Context, key string, r throttle.Rule) error {
	return told(s.f, "Limiter.Return", func() error { return s.Limiter.Return(ctx, key, r) })
}

func (s faultyLimiter) Forget(ctx context.Context, keys ...string) error {
	return told(s.f, "Limiter.Forget", func() error { return s.Limiter.Forget(ctx, keys...) })
}

func (s faultyLimiter) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	return asked(s.f, "Limiter.Prune", func() (int, error) { return s.Limiter.Prune(ctx, before, limit) })
}

type faultyMailer struct {
	ports.Mailer
	f *Faults
}

func (s faultyMailer) Send(ctx context.Context, m mail.Message) error {
	return told(s.f, "Mailer.Send", func() error { return s.Mailer.Send(ctx, m) })
}
