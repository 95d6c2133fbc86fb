// Package house is the application over memory, for the tests of its services:
// every service wired as in production, over stores that can be told to fail at
// any call ([Faults]), with a clock that a test moves ([Clock]) and a mailbox
// that can be read. Read [New] first.
package house

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"gatehouse/adapters/aead"
	"gatehouse/adapters/memory"
	"gatehouse/adapters/system"
	codes "gatehouse/adapters/totp"
	"gatehouse/adapters/useragent"
	"gatehouse/application/accounts"
	"gatehouse/application/administration"
	"gatehouse/application/events"
	"gatehouse/application/gate"
	"gatehouse/application/guard"
	"gatehouse/application/mailing"
	"gatehouse/application/products"
	"gatehouse/application/sessions"
	"gatehouse/configs"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/mail"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Password is what everybody here signs in with.
const Password = "a quiet lighthouse"

// Noon is when every test begins.
var Noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// Clock is a clock that a test moves.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is what the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Move puts the clock forward.
func (c *Clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Set puts the clock to a time.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// Hasher counts what it is asked for.
type Hasher struct {
	memory.Hasher
	Hashed, Verified, Dummies atomic.Int64 // Dummies are those of Verified that were against no hash
	Old                       atomic.Bool  // every hash is outdated
}

// Hash implements ports.PasswordHasher.
func (h *Hasher) Hash(ctx context.Context, p user.Password) (user.PasswordHash, error) {
	h.Hashed.Add(1)
	return h.Hasher.Hash(ctx, p)
}

// Verify implements ports.PasswordHasher.
func (h *Hasher) Verify(ctx context.Context, p user.Password, stored user.PasswordHash) (bool, error) {
	h.Verified.Add(1)
	if stored.IsZero() {
		h.Dummies.Add(1)
	}
	return h.Hasher.Verify(ctx, p, stored)
}

// Outdated implements ports.PasswordHasher.
func (h *Hasher) Outdated(stored user.PasswordHash) bool {
	return h.Old.Load() || h.Hasher.Outdated(stored)
}

// Options are what tests want otherwise than it is by default.
type Options struct {
	Verified bool
	Rules    *guard.Rules // nil means the default ones
	Policy   []access.Row // what stands in the policy beside the default rows
	Max      int
	Mailer   ports.Mailer // nil means the mailbox

	Subscribers events.Subscribers
	Conditions  []access.Condition // of a team's own
}

// House is the application over memory.
type House struct {
	Clock
	T       testing.TB
	DB      *memory.DB
	Faults  *Faults
	Hasher  *Hasher
	Sealer  *aead.Sealer
	Random  *system.Random
	Mailbox *memory.Mailbox

	Guard    *guard.Guard
	Gate     *gate.Gate
	Sessions *sessions.Service
	Accounts *accounts.Service
	Products *products.Service
	Mailing  *mailing.Service
	Telling  *events.Service
	Operator *administration.Operator
	Policies *administration.Policies
	Preview  *administration.Previewer

	Administration *administration.Service
}

// New returns an application in which nobody has registered.
func New(t testing.TB, o Options) *House {
	t.Helper()
	h := &House{
		Clock: Clock{now: Noon}, T: t, DB: memory.New(), Faults: &Faults{}, Hasher: &Hasher{},
		Random: system.NewRandom(), Mailbox: memory.NewMailbox(),
	}
	var err error
	h.Sealer, err = aead.New([]byte("a secret for tests, which is long enough"))
	h.must(err)
	rules := guard.DefaultRules()
	if o.Rules != nil {
		rules = *o.Rules
	}
	if o.Mailer == nil {
		o.Mailer = h.Mailbox
	}
	f, db := h.Faults, h.DB
	users, directory, ledger, log := faultyUsers{db.Users(), f}, faultyDirectory{db.Sessions(), f}, faultyLedger{db.Ledger(), f}, faultyLog{db.Ledger(), f}
	factors, tickets, outbox, store := faultyFactors{db.Factors(), f}, faultyTickets{db.Tickets(), f}, faultyOutbox{db.Outbox(), f}, faultyProducts{db.Products(), f}
	hasher, one := faultyHasher{h.Hasher, f}, codes.New("Gatehouse")
	h.Guard = guard.New(guard.Config{Shared: faultyLimiter{db.Limiter(), f}, Own: memory.NewLimiter(1000), Rules: rules, Now: h.Now})
	h.Sessions = sessions.New(sessions.Config{
		Users: users, Sessions: faultySessions{db.Sessions(), f}, Directory: directory, Factors: factors, Ledger: ledger, Hasher: hasher, Codes: one,
		Sealer: h.Sealer, Devices: useragent.New(), Random: h.Random, Now: h.Now, Guard: h.Guard, Lifetime: session.DefaultLifetime,
		Max: o.Max, Verified: o.Verified,
	})
	h.Accounts = accounts.New(accounts.Config{
		Users: users, Directory: directory, Products: store, Tickets: tickets, Factors: factors, Ledger: ledger, Log: log, Outbox: outbox,
		Sessions: h.Sessions, Guard: h.Guard, Hasher: hasher, Codes: one, Sealer: h.Sealer, Random: h.Random, Now: h.Now, Verified: o.Verified,
	})
	h.Mailing = mailing.New(mailing.Config{
		Outbox: outbox, Tickets: tickets, Users: users, Mailer: faultyMailer{o.Mailer, f}, Random: h.Random, Now: h.Now,
		Site: "shop.example.com", Link: "https://shop.example.com",
	})
	vocabulary, err := access.NewVocabulary(o.Conditions...)
	h.must(err)
	table, err := configs.DefaultPolicy()
	h.must(err)
	table.Rows = append(table.Rows, o.Policy...)
	for i := range table.Rows {
		table.Rows[i].ID = access.PolicyID{UUID: h.Random.ID(Noon)}
	}
	_, err = db.Policies().Seed(t.Context(), access.Revision{Edit: access.Edit{At: Noon}, Table: table})
	h.must(err)
	decider := memory.NewAuthorizer(db.Policies(), vocabulary)
	h.Gate = &gate.Gate{Authorizer: faultyAuthorizer{decider, f}, Ledger: ledger, Random: h.Random, Now: h.Now}
	h.Policies = &administration.Policies{Gate: h.Gate, Editor: &administration.PolicyEditor{
		Policies: faultyPolicies{db.Policies(), f}, History: faultyHistory{db.Policies(), f}, Roles: faultyRoles{db.Users(), f},
		Rehearsal: decider, Vocabulary: vocabulary, Random: h.Random, Now: h.Now,
	}}
	h.Preview = &administration.Previewer{Editor: h.Policies.Editor, Census: faultyCensus{db.Products(), f}, Products: store, Users: users, Gate: h.Gate}
	h.Products = products.New(products.Config{Products: store, Answers: faultyAnswers{db.Answers(), f}, Gate: h.Gate, Guard: h.Guard, Random: h.Random, Now: h.Now, Subscribers: o.Subscribers})
	h.Administration = administration.New(administration.Config{
		Users: users, Log: log, Sessions: h.Sessions, Gate: h.Gate, Random: h.Random, Now: h.Now,
	})
	h.Accounts.Watched = h.Administration.Watched
	h.must(o.Subscribers.Check())
	h.Telling = events.New(events.Config{Subscribers: o.Subscribers, Queue: db.Events(), Users: db.Users(), Products: db.Products(), Random: h.Random, Now: h.Now})
	h.Operator = &administration.Operator{Users: users, Log: log, Accounts: h.Accounts, Sessions: h.Sessions, Random: h.Random, Now: h.Now}
	return h
}

func (h *House) must(err error) {
	h.T.Helper()
	if err != nil {
		h.T.Fatal(err)
	}
}

// NoRules are rules that bound nothing.
func NoRules() *guard.Rules { return &guard.Rules{} }

// From is the context of a request from an address.
func From(ctx context.Context, ip string) context.Context {
	return ports.WithOrigin(ctx, ports.Origin{Origin: audit.Origin{IP: netip.MustParseAddr(ip), UserAgent: "curl/8", RequestID: "r-1"}})
}

// Device is one at an address.
func Device(ip string) session.Device { return session.NewDevice("curl/8", netip.MustParseAddr(ip)) }

// Add gives a new user with the address and [Password], whose address is
// verified.
func (h *House) Add(address string) user.User {
	h.T.Helper()
	u := h.AddUnverified(address)
	h.Change(u, func(u *user.User) { u.VerifyEmail(h.Now()) })
	return h.Find(u)
}

// Actor gives a new user with the roles, user if none is named, as somebody who
// asks.
func (h *House) Actor(address string, roles ...user.Role) access.Actor {
	h.T.Helper()
	u := h.Add(address)
	if len(roles) > 0 {
		h.Change(u, func(u *user.User) { h.must(u.SetRoles(roles, h.Now())) })
	}
	return access.SignedIn(h.Find(u), 1)
}

// Tell tells every subscriber what has happened; nothing may fail.
func (h *House) Tell() {
	h.T.Helper()
	for _, s := range h.Telling.Subscribers {
		r, err := h.Telling.Deliver(h.T.Context(), s.Name)
		h.must(err)
		if len(r.Failed)+len(r.Buried) > 0 {
			h.T.Errorf("%s could not be told: %v", s.Name, append(r.Failed, r.Buried...))
		}
	}
}

// AddUnverified gives a new user whose address is not verified.
func (h *House) AddUnverified(address string) user.User {
	h.T.Helper()
	email, err := user.NewEmail(address)
	h.must(err)
	name, err := user.NewName("Ann Smith")
	h.must(err)
	hash, err := memory.Hasher{}.Hash(h.T.Context(), user.PasswordAttempt(Password))
	h.must(err)
	u := user.New(user.ID{UUID: h.Random.ID(h.Now())}, email, name, hash, h.Now())
	h.must(h.DB.Users().Add(h.T.Context(), u))
	return u
}

// Find gives the user as it is kept now.
func (h *House) Find(u user.User) user.User {
	h.T.Helper()
	now, err := h.DB.Users().Find(h.T.Context(), u.ID())
	h.must(err)
	return now
}

// ByAddress gives the user with the address.
func (h *House) ByAddress(address string) user.User {
	h.T.Helper()
	email, err := user.NewEmail(address)
	h.must(err)
	u, err := h.DB.Users().FindByEmail(h.T.Context(), email)
	h.must(err)
	return u
}

// Change alters the user behind the back of the services.
func (h *House) Change(u user.User, change func(*user.User)) {
	h.T.Helper()
	_, err := h.DB.Users().Update(h.T.Context(), u.ID(), func(u *user.User) error { change(u); return nil })
	h.must(err)
}

// Credentials are those of the user, with [Password].
func Credentials(u user.User) sessions.Credentials {
	return sessions.Credentials{Email: u.Email().String(), Password: Password}
}

// SignIn signs the user in with [Password].
func (h *House) SignIn(u user.User) sessions.SignedIn {
	h.T.Helper()
	in, err := h.Sessions.SignIn(h.T.Context(), Credentials(u), Device("127.0.0.1"), nil)
	h.must(err)
	return in
}

// Resume resumes a session that must be good.
func (h *House) Resume(t session.Token) session.Resumed {
	h.T.Helper()
	r, err := h.Sessions.Resume(h.T.Context(), t)
	h.must(err)
	return r
}

// Enter signs the user in and resumes the session.
func (h *House) Enter(u user.User) session.Resumed {
	h.T.Helper()
	return h.Resume(h.SignIn(u).Token)
}

// TurnOnTOTP sets up a second factor for the user, and gives its secret and the
// recovery codes. The clock is then at the next time step, so that a code is
// fresh.
func (h *House) TurnOnTOTP(u user.User) (secret string, recovery []string) {
	h.T.Helper()
	return h.TurnOnTOTPIn(h.Enter(u))
}

// TurnOnTOTPIn is [House.TurnOnTOTP] in a session that there is.
func (h *House) TurnOnTOTPIn(r session.Resumed) (secret string, recovery []string) {
	h.T.Helper()
	e, err := h.Accounts.StartTOTP(h.T.Context(), r)
	h.must(err)
	list, err := h.Accounts.ConfirmTOTP(h.T.Context(), r, h.Code(e.Secret, 0))
	h.must(err)
	for _, c := range list {
		recovery = append(recovery, c.Reveal())
	}
	h.Move(time.Minute)
	return e.Secret, recovery
}

// Code is the code of the secret so many steps from now.
func (h *House) Code(secret string, steps int) string {
	h.T.Helper()
	code, err := totp.GenerateCode(secret, h.Now().Add(time.Duration(steps)*30*time.Second))
	h.must(err)
	return code
}

// Pending signs in a user who has a second factor, and resumes what awaits it.
func (h *House) Pending(u user.User) session.Resumed {
	h.T.Helper()
	in := h.SignIn(u)
	if !in.Session.Pending() {
		h.T.Fatal("the session is not pending")
	}
	r, err := h.Sessions.ResumePending(h.T.Context(), in.Token)
	h.must(err)
	return r
}

// Letters are those to the user that wait.
func (h *House) Letters(u user.User) []mail.Letter {
	h.T.Helper()
	list, err := h.DB.Outbox().LettersTo(h.T.Context(), u.ID())
	h.must(err)
	return list
}

// Kinds are the kinds of the letters to the user that wait, the oldest first.
func (h *House) Kinds(u user.User) string {
	h.T.Helper()
	var kinds []string
	for _, l := range h.Letters(u) {
		kinds = append(kinds, l.Kind.String())
	}
	return fmt.Sprint(kinds)
}

var token = regexp.MustCompile(`#token=([A-Za-z0-9_-]{43})`)

// TokenIn is the token of the link in a mail, "" if there is none.
func TokenIn(m mail.Message) string {
	if found := token.FindStringSubmatch(m.Text); found != nil {
		return found[1]
	}
	return ""
}

// Deliver sends what is due and gives the mails that came with it.
func (h *House) Deliver() []mail.Message {
	h.T.Helper()
	before := len(h.Mailbox.Messages())
	_, err := h.Mailing.Deliver(h.T.Context())
	h.must(err)
	return h.Mailbox.Messages()[before:]
}

// Token is that of the link in the mail that [House.Deliver] brings to the
// address; there must be one.
func (h *House) Token(address string) string {
	h.T.Helper()
	for _, m := range slices.Backward(h.Deliver()) {
		if m.To == address && TokenIn(m) != "" {
			return TokenIn(m)
		}
	}
	h.T.Fatalf("no mail to %s brought a link", address)
	return ""
}

// Rows is the whole audit log, the oldest first.
func (h *House) Rows() []audit.Row {
	h.T.Helper()
	heads, err := h.DB.Ledger().Heads(h.T.Context())
	h.must(err)
	var all []audit.Row
	for _, head := range heads {
		rows, err := h.DB.Ledger().Rows(h.T.Context(), head.Day, 0, int(head.Seq)+1)
		h.must(err)
		all = append(all, rows...)
	}
	return all
}

// Events are the names of the events in the audit log from the given place on.
func (h *House) Events(from int) []audit.Event {
	h.T.Helper()
	var events []audit.Event
	for _, r := range h.Rows()[from:] {
		events = append(events, r.Event)
	}
	return events
}

// AtOnce runs f(0) to f(n-1) side by side and waits for all.
func AtOnce(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}
