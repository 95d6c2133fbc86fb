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
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/adapters/httpapi"
	"gatehouse/application/accounts"
	"gatehouse/application/products"
	"gatehouse/application/sessions"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Stores are the adapters under an application: empty, but for the default
// policy.
type Stores struct {
	Users      ports.UserRepository
	Sessions   ports.SessionRepository
	Directory  ports.SessionDirectory
	Products   ports.ProductRepository
	Authorizer ports.Authorizer
	Hasher     ports.PasswordHasher
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
	Health         map[string]ports.Health
	Rules          []product.Rule
}

// App is a running server.
type App struct {
	Server *httpapi.Server
	Addr   string  // host:port
	Faults *Faults // what to break
	Clock  *Clock

	t        *testing.T
	users    ports.UserRepository
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
		users: st.Users, transp: &http.Transport{MaxIdleConnsPerHost: 100}, log: &buffer{}, secrets: []string{password},
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
	st = a.Faults.around(st)
	ss := sessions.New(sessions.Config{
		Users: st.Users, Sessions: st.Sessions, Directory: st.Directory, Hasher: st.Hasher,
		Random: st.Random, Now: a.Clock.Now, Lifetime: session.DefaultLifetime,
	})
	a.Server, err = httpapi.New(httpapi.Config{
		Accounts: accounts.New(accounts.Config{
			Users: st.Users, Directory: st.Directory, Products: st.Products, Sessions: ss, Hasher: st.Hasher, Random: st.Random, Now: a.Clock.Now,
		}),
		Sessions: ss,
		Products: products.New(products.Config{
			Products: st.Products, Authorizer: st.Authorizer, Random: st.Random, Now: a.Clock.Now, Rules: o.Rules,
		}),
		Health: o.Health, PublicURL: u, TrustedOrigins: o.TrustedOrigins, TrustedProxies: o.TrustedProxies,
		BodyLimit: o.BodyLimit, RequestTimeout: o.RequestTimeout, Random: st.Random, Now: a.Clock.Now,
		Log:     slog.New(slog.NewJSONHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Version: "1.2.3",
	})
	if err != nil {
		t.Fatal(err)
	}
	a.listen()
	a.contract = contractOf(t, a)
	return a
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
	a.change(email, func(u *user.User) error {
		var roles []user.Role
		for _, n := range names {
			r, _ := user.ParseRole(n)
			roles = append(roles, r)
		}
		return u.SetRoles(roles, a.Clock.Now())
	})
}

// Disable keeps a user from signing in.
func (a *App) Disable(email string) {
	a.t.Helper()
	a.change(email, func(u *user.User) error { u.Disable(a.Clock.Now()); return nil })
}

func (a *App) change(email string, change func(*user.User) error) {
	a.t.Helper()
	ctx := context.Background()
	e, err := user.NewEmail(email)
	if err != nil {
		a.t.Fatal(err)
	}
	u, err := a.users.FindByEmail(ctx, e)
	if err == nil {
		_, err = a.users.Update(ctx, u.ID(), change)
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

// Run drives everything whose outcome depends on what is stored. It is what
// every set of stores passes.
func Run(t *testing.T, open Open) {
	seen := &coverage{}
	counted := func(t *testing.T) Stores {
		coverages.Store(t, seen)
		t.Cleanup(func() { coverages.Delete(t) })
		return open(t)
	}
	runGroups(t, counted, []group{
		{"register", testRegister}, {"login", testLogin}, {"cookie", testCookie}, {"clocks", testClocks},
		{"me", testMe}, {"sessions", testSessions}, {"password", testPassword}, {"fixation", testFixation},
		{"leaving", testLeaving}, {"the last admin", testLastAdmin}, {"leaving meanwhile", testLeavingMeanwhile},
		{"leaving races", testLeavingRace}, {"export", testExport},
		{"products", testProducts}, {"merge patch", testMergePatch}, {"who may", testWhoMay}, {"roles count at once", testRolesAtOnce},
		{"mass assignment", testMassAssignment}, {"conditions", testConditions}, {"lists", testLists}, {"walk", testWalk}, {"lists tell the truth", testListsTellTheTruth},
		{"search", testSearch}, {"cursor", testCursor}, {"order of faults", testOrderOfFaults}, {"rules", testRules},
		{"parallel patches", testParallelPatches}, {"sign-out races", testSignOutRaces}, {"outages", testOutages},
		{"service", testService},
	})
	if !t.Failed() {
		seen.complete(t)
	}
}

// Transport drives what is the same over any stores: headers, framing, bodies,
// origins. It takes some six seconds, those of a read timeout.
func Transport(t *testing.T, open Open) {
	runGroups(t, open, []group{
		{"bodies", testBodies}, {"all faults", testAllFaults}, {"media types", testMediaTypes},
		{"origin gate", testOriginGate}, {"shared origins", testSharedOrigins}, {"paths and methods", testPaths},
		{"request id", testRequestID}, {"https", testHTTPS}, {"client address", testClientAddress}, {"docs", testDocs},
		{"panics", testPanics}, {"deadline", testDeadline}, {"readiness", testReadiness}, {"log", testLog},
		{"too large", testTooLarge}, {"smuggling", testSmuggling}, {"slow senders", testSlowSenders}, {"shutdown", testShutdown},
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("httptests: %v", err))
	}
	return v
}
