// Package httptests is the HTTP contract as tables that can be run over any
// stores: request in, status, code and body out. [Run] drives what depends on
// what is kept, [Transport] what does not.
//
// A test asks for an [App], the real server over real TCP, gets clients of it
// ([App.SignIn], [App.Anonymous]) and calls [Client.Do], which holds every
// single answer to what is true of all answers, and to openapi.json.
package httptests

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/adapters/httpapi"
	"gatehouse/adapters/memory"
	"gatehouse/application/accounts"
	"gatehouse/application/administration"
	"gatehouse/application/gate"
	"gatehouse/application/guard"
	"gatehouse/application/mailing"
	"gatehouse/application/products"
	"gatehouse/application/sessions"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Stores are the adapters under an application: empty, but for the default
// policy. Those that keep something share one database.
type Stores struct {
	Users      ports.UserRepository
	Sessions   ports.SessionRepository
	Directory  ports.SessionDirectory
	Factors    ports.FactorRepository
	Products   ports.ProductRepository
	Tickets    ports.TicketRepository
	Answers    ports.IdempotencyRepository
	Outbox     ports.Outbox
	Ledger     ports.Ledger
	Audit      ports.AuditLog
	Limiter    ports.Limiter
	Policies   ports.PolicyRepository
	History    ports.PolicyHistory
	Roles      ports.RoleDirectory
	Census     ports.Census
	Authorizer ports.Authorizer
	Rehearsal  ports.Rehearsal      // the other side of Authorizer
	Vocabulary access.Vocabulary    // that Authorizer decides by
	Hasher     ports.PasswordHasher // one that costs nothing
	Codes      ports.OneTimePasswords
	Sealer     ports.Sealer
	Devices    ports.Devices
	Random     ports.Random
}

// Open gives empty stores for one test.
type Open func(t *testing.T) Stores

// Options are what a test wants to be otherwise than by default.
type Options struct {
	PublicURL      string // "http://127.0.0.1" if empty
	TrustedOrigins []string
	TrustedProxies []netip.Prefix
	BodyLimit      int
	RequestTimeout time.Duration
	MaxConnections int
	MaxInWork      int
	MaxHashing     int
	Health         map[string]ports.Health
	Rules          []product.Rule
	Limits         func(*guard.Rules) // changes guard.DefaultRules
	Verified       bool               // who registers has to answer a mail first
}

// App is a running server.
type App struct {
	Server  *httpapi.Server
	Addr    string  // host:port
	Faults  *Faults // what to break
	Clock   *Clock
	Mailbox *memory.Mailbox // of everybody; filled by Deliver alone

	t        *testing.T
	stores   Stores // without faults
	mailing  *mailing.Service
	operator *administration.Operator
	transp   *http.Transport
	contract *contract
	log      *buffer
	secure   bool
	mu       sync.Mutex
	secrets  []string // nothing of this may stand in the log
}

// password is what everybody here signs in with.
const password = "a-fine-passphrase-for-tests"

// NewApp starts a server over the stores and stops it when the test ends. It
// then looks for secrets in the log.
func NewApp(t *testing.T, st Stores, o Options) *App {
	t.Helper()
	a := &App{
		Faults: &Faults{}, Clock: &Clock{now: time.Now().UTC().Truncate(time.Microsecond)}, t: t,
		Mailbox: memory.NewMailbox(), stores: st,
		transp: &http.Transport{MaxIdleConnsPerHost: 100}, log: &buffer{}, secrets: []string{password},
	}
	public := o.PublicURL
	if public == "" {
		public = "http://127.0.0.1"
	}
	u, err := url.Parse(public)
	if err != nil {
		t.Fatal(err)
	}
	a.secure = u.Scheme == "https"
	c := a.services(a.Faults.around(st), o)
	c.Health, c.PublicURL, c.TrustedOrigins, c.TrustedProxies = o.Health, u, o.TrustedOrigins, o.TrustedProxies
	c.BodyLimit, c.RequestTimeout, c.Version = o.BodyLimit, o.RequestTimeout, "1.2.3"
	c.MaxConnections, c.MaxInWork, c.MaxHashing = o.MaxConnections, o.MaxInWork, o.MaxHashing
	c.Log = slog.New(slog.NewJSONHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if a.Server, err = httpapi.New(c); err != nil {
		t.Fatal(err)
	}
	a.listen()
	a.contract = contractOf(t, a)
	return a
}

// What the links in mails begin with. It is not the address of the server, so
// that a link which follows the request would show.
const linkURL = "https://shop.example.com/app"

// maxSessions is how many sessions a user may have here, as by default.
const maxSessions = 20

// services puts the application together, as bootstrap does.
func (a *App) services(st Stores, o Options) httpapi.Config {
	now, rules := a.Clock.Now, guard.DefaultRules()
	if o.Limits != nil {
		o.Limits(&rules)
	}
	g := guard.New(guard.Config{Shared: st.Limiter, Own: memory.NewLimiter(1000), Rules: rules, Now: now})
	ss := sessions.New(sessions.Config{
		Users: st.Users, Sessions: st.Sessions, Directory: st.Directory, Factors: st.Factors, Ledger: st.Ledger, Hasher: st.Hasher,
		Codes: st.Codes, Sealer: st.Sealer, Devices: st.Devices, Random: st.Random, Now: now, Guard: g,
		Lifetime: session.DefaultLifetime, Max: maxSessions, Verified: o.Verified,
	})
	policed := &gate.Gate{Authorizer: st.Authorizer, Ledger: st.Ledger, Random: st.Random, Now: now}
	admin := administration.New(administration.Config{
		Users: st.Users, Log: st.Audit, Sessions: ss, Gate: policed, Random: st.Random, Now: now,
	})
	as := accounts.New(accounts.Config{
		Users: st.Users, Directory: st.Directory, Products: st.Products, Tickets: st.Tickets, Factors: st.Factors, Ledger: st.Ledger,
		Log: st.Audit, Outbox: st.Outbox, Sessions: ss, Guard: g, Hasher: st.Hasher, Codes: st.Codes, Sealer: st.Sealer,
		Random: st.Random, Now: now, Verified: o.Verified, Watched: admin.Watched,
	})
	ps := products.New(products.Config{
		Products: st.Products, Answers: st.Answers, Gate: policed, Guard: g, Random: st.Random, Now: now, Rules: o.Rules,
	})
	a.mailing = mailing.New(mailing.Config{
		Outbox: st.Outbox, Tickets: st.Tickets, Users: st.Users, Mailer: brokenMailer{a.Mailbox, a.Faults}, Random: st.Random, Now: now,
		Site: "shop.example.com", Link: linkURL,
	})
	editor := &administration.PolicyEditor{
		Policies: st.Policies, History: st.History, Rehearsal: st.Rehearsal, Roles: st.Roles, Vocabulary: st.Vocabulary, Random: st.Random, Now: now,
	}
	policies := &administration.Policies{Gate: policed, Editor: editor}
	previewer := &administration.Previewer{Editor: editor, Census: st.Census, Products: st.Products, Users: st.Users, Gate: policed}
	a.operator = &administration.Operator{Users: st.Users, Log: st.Audit, Accounts: as, Sessions: ss, Random: st.Random, Now: now}
	why := &administration.Explainer{Users: st.Users, Products: st.Products, Gate: policed}
	return httpapi.Config{Accounts: as, Sessions: ss, Products: ps, Administration: admin, Explainer: why, Policies: policies, Previewer: previewer, Devices: st.Devices, Random: st.Random, Now: now}
}

func (a *App) listen() {
	a.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.t.Fatal(err)
	}
	a.Addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- a.Server.Serve(ln) }()
	a.t.Cleanup(func() {
		a.transp.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Server.Shutdown(ctx); err != nil {
			a.t.Errorf("Shutdown = %v", err)
		}
		if err := <-served; err != nil {
			a.t.Errorf("Serve = %v", err)
		}
		a.searchLog()
		a.searchAudit()
	})
}

// searchLog fails the test if a secret that was used stands in the log.
func (a *App) searchLog() {
	text := a.log.String()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.secrets {
		if s != "" && strings.Contains(text, s) {
			a.t.Errorf("the log holds a secret: %q", s)
		}
	}
	if strings.Contains(text, "argon2") || strings.Contains(text, "sid=") {
		a.t.Error("the log holds a hash or a cookie header")
	}
	if found := address.FindString(text); found != "" {
		a.t.Errorf("the log holds an e-mail address: %q", found)
	}
}

// address finds those that the tests use.
var address = regexp.MustCompile(`[^" ]+@[a-z0-9.-]+\.(com|example)`)

// searchAudit fails the test if the chains of the audit log do not hold, or if a
// secret that was used, or an e-mail address, stands there.
func (a *App) searchAudit() {
	if _, err := a.operator.VerifyAudit(context.Background()); err != nil {
		a.t.Errorf("VerifyAudit = %v", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.AuditRows() {
		text := fmt.Sprint(r.Event, r.Outcome, r.Subject, r.Origin.UserAgent, r.Origin.RequestID, r.DetailText())
		if strings.Contains(text, "@") {
			a.t.Errorf("the audit log holds an e-mail address: %s", text)
		}
		for _, s := range a.secrets {
			if s != "" && strings.Contains(text, s) {
				a.t.Errorf("the audit log holds a secret: %s", text)
			}
		}
	}
}

// AuditRows are all rows of the audit log, the oldest first.
func (a *App) AuditRows() []audit.Row {
	a.t.Helper()
	ctx := context.Background()
	heads, err := a.stores.Audit.Heads(ctx)
	if err != nil {
		a.t.Fatal(err)
	}
	var all []audit.Row
	for _, h := range heads {
		rows, err := a.stores.Audit.Rows(ctx, h.Day, 0, 100_000)
		if err != nil {
			a.t.Fatal(err)
		}
		all = append(all, rows...)
	}
	return all
}

// keep remembers a secret for searchLog.
func (a *App) keep(secrets ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.secrets = append(a.secrets, secrets...)
}

// Log is what was logged so far, one JSON object a line.
func (a *App) Log() string { return a.log.String() }

// Advance moves the application's clock.
func (a *App) Advance(d time.Duration) { a.Clock.Advance(d) }

// SetRoles gives a user other roles.
func (a *App) SetRoles(email string, names ...string) {
	a.t.Helper()
	a.change(email, func(u *user.User) error { return u.SetRoles(roles(names), a.Clock.Now()) })
}

func roles(names []string) (all []user.Role) {
	for _, n := range names {
		r, _ := user.ParseRole(n)
		all = append(all, r)
	}
	return all
}

// Disable keeps a user from signing in, by a change of the account alone, as
// another node sees it before the sessions are deleted.
func (a *App) Disable(email string) {
	a.t.Helper()
	a.change(email, func(u *user.User) error { u.Disable(a.Clock.Now()); return nil })
}

// DisableAsOperator does what "gatehouse user disable" does.
func (a *App) DisableAsOperator(email string) {
	a.t.Helper()
	if _, err := a.operator.SetStatus(context.Background(), email, user.Disabled); err != nil {
		a.t.Fatal(err)
	}
}

// idOf is the id of a user who may not be signed in.
func (a *App) idOf(email string) string {
	a.t.Helper()
	e, err := user.NewEmail(email)
	if err != nil {
		a.t.Fatal(err)
	}
	u, err := a.stores.Users.FindByEmail(context.Background(), e)
	if err != nil {
		a.t.Fatal(err)
	}
	return u.ID().String()
}

func (a *App) change(email string, change func(*user.User) error) {
	a.t.Helper()
	ctx := context.Background()
	e, err := user.NewEmail(email)
	if err != nil {
		a.t.Fatal(err)
	}
	u, err := a.stores.Users.FindByEmail(ctx, e)
	if err == nil {
		_, err = a.stores.Users.Update(ctx, u.ID(), change)
	}
	if err != nil {
		a.t.Fatalf("changing %s: %v", email, err)
	}
}

// Clock is a clock that a test moves.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now tells the time. Every look is a microsecond later than the one before, so
// that what is made in turn is made at different times.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Microsecond)
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// group is a named set of checks.
type group struct {
	name string
	run  func(t *testing.T, open Open)
}

func runGroups(t *testing.T, open Open, groups []group) {
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) { g.run(t, open) })
	}
}

// races are what many do at once.
var races = []group{
	{"reset races", testResetRaces}, {"second step races", testSecondStepRaces}, {"parallel guesses", testParallelGuesses}, {"cap beside sign-out", testCapBesideSignOut},
	{"leaving meanwhile", testLeavingMeanwhile}, {"leaving races", testLeavingRace}, {"idempotency at once", testIdempotencyAtOnce}, {"roles count at once", testRolesAtOnce},
	{"hands at once", testHandsAtOnce}, {"parallel patches", testParallelPatches}, {"sign-out races", testSignOutRaces}, {"admins at once", testAdminLast},
	{"policies count at once", testPoliciesAtOnce}, {"throttle stores", testThrottleStores},
}

// Run drives everything whose outcome depends on what is stored. It is what
// every set of stores passes.
func Run(t *testing.T, open Open) {
	seen := &coverage{}
	counted := func(t *testing.T) Stores {
		coverages.Store(t, seen)
		t.Cleanup(func() { coverages.Delete(t) })
		return open(t)
	}
	runGroups(t, counted, append([]group{
		{"register", testRegister}, {"login", testLogin}, {"cookie", testCookie}, {"clocks", testClocks},
		{"me", testMe}, {"sessions", testSessions}, {"password", testPassword}, {"fixation", testFixation},
		{"recovery", testRecovery}, {"reset keeps the factor", testResetKeepsTheFactor}, {"verification", testVerification}, {"e-mail change", testEmailChange},
		{"verified registration", testVerifiedRegistration}, {"new device", testNewDevice}, {"languages", testLanguages}, {"mail outage", testMailOutage},
		{"enrolment", testEnrolment}, {"second step", testSecondStep}, {"pending opens nothing", testPendingOpensNothing},
		{"recovery codes", testRecoveryCodes}, {"step-up", testStepUp},
		{"throttled account", testThrottledAccount}, {"locked account", testLockedAccount},
		{"throttled network", testThrottledNetwork}, {"throttled rates", testThrottledRates}, {"throttled confirmations", testThrottledConfirmations},
		{"reasons", testReasons}, {"cap", testCap}, {"devices", testDevices}, {"audit", testAudit},
		{"leaving", testLeaving}, {"the last admin", testLastAdmin},
		{"export", testExport},
		{"products", testProducts}, {"idempotency", testIdempotency}, {"merge patch", testMergePatch}, {"who may", testWhoMay}, {"matrix", testMatrix}, {"explain", testExplain}, {"decision ids", testDecisionIDs},
		{"mass assignment", testMassAssignment}, {"mass assignment everywhere", testMassAssignmentEverywhere},
		{"forged cookies", testForgedCookies}, {"safe methods", testSafeMethods}, {"forwarded", testForwarded}, {"conditions", testConditions}, {"lists", testLists}, {"walk", testWalk}, {"totals", testTotals}, {"lists tell the truth", testListsTellTheTruth},
		{"search", testSearch}, {"cursor", testCursor}, {"order of faults", testOrderOfFaults}, {"rules", testRules},
		{"sharing", testSharing}, {"sharing is refused", testSharingIsRefused}, {"transfer", testTransfer},
		{"sharing is written down", testSharingAudit}, {"shared and gone", testSharedAndGone}, {"statuses", testStatuses},
		{"outages", testOutages},
		{"administered users", testAdminUsers}, {"administration denied", testAdminDenied}, {"administered roles and status", testAdminChange},
		{"administration takes a proof", testAdminProof}, {"administered sessions", testAdminSessions},
		{"walk of users", testAdminWalk}, {"audit log read", testAdminAudit},
		{"policies", testPolicies}, {"policies denied", testPoliciesDenied}, {"lock-out", testLockOut},
		{"policy history", testPolicyHistory}, {"policy outages", testPolicyOutages},
		{"previews", testPreviews}, {"previews are refused", testPreviewsRefused}, {"previews are for those who may", testPreviewsDenied}, {"previews and time", testPreviewTime},
		{"service", testService},
	}, races...))
	if !t.Failed() {
		seen.complete(t)
	}
}

// RunRaces drives of it what many do at once, for where the race detector watches:
// the rest, in which nobody meets anybody, is five times as slow there.
func RunRaces(t *testing.T, open Open) { runGroups(t, open, races) }

// RunSessions drives what hangs on where sessions are kept, for stores that keep
// those apart and share the rest with stores that pass [Run]. Races are left to
// the contract suites of the ports, which run them at a tenth of the cost.
func RunSessions(t *testing.T, open Open) {
	runGroups(t, open, []group{
		{"clocks", testClocks}, {"me", testMe}, {"sessions", testSessions}, {"password", testPassword}, {"new device", testNewDevice},
		{"second step", testSecondStep}, {"pending opens nothing", testPendingOpensNothing}, {"step-up", testStepUp}, {"reasons", testReasons},
		{"cap", testCap}, {"devices", testDevices}, {"leaving", testLeaving}, {"leaving meanwhile", testLeavingMeanwhile}, {"export", testExport},
		{"roles count at once", testRolesAtOnce}, {"outages", testOutages}, {"administered roles and status", testAdminChange},
		{"administered sessions", testAdminSessions}, {"policies count at once", testPoliciesAtOnce},
	})
}

// Transport drives what is the same over any stores: headers, framing, bodies,
// origins. It takes some six seconds, those of a read timeout.
func Transport(t *testing.T, open Open) {
	runGroups(t, open, []group{
		{"bodies", testBodies}, {"all faults", testAllFaults}, {"media types", testMediaTypes},
		{"origin gate", testOriginGate}, {"shared origins", testSharedOrigins}, {"paths and methods", testPaths},
		{"request id", testRequestID}, {"https", testHTTPS}, {"client address", testClientAddress}, {"docs", testDocs}, {"link pages", testLinkPages},
		{"panics", testPanics}, {"deadline", testDeadline}, {"readiness", testReadiness}, {"log", testLog},
		{"flood of cookies", testFloodOfCookies}, {"too large", testTooLarge}, {"where a body ends", testBodyEnds}, {"promised bodies", testPromises}, {"bombs", testBombs}, {"smuggling", testSmuggling}, {"slowloris", testSlowloris}, {"slow senders", testSlowSenders}, {"crowds", testCrowds}, {"connections", testConnections}, {"shutdown", testShutdown},
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("httptests: %v", err))
	}
	return v
}
