// Package httpapi is the public face of the service: JSON over HTTP/1.1, on
// Fiber. It reads requests, finds out who asks, calls the application and
// writes down what it answered. It decides nothing and holds no rule.
//
// Read [Config] and [New] first, then routes in this file, which is the whole
// surface. The way of a request is middleware.go; a body comes in by receive.go
// and is read by body.go, an error becomes an answer in problem.go, and
// accounts.go, recovery.go, email.go, factor.go, leaving.go, sessions.go,
// products.go, sharing.go, administration.go, policies.go and service.go hold
// the handlers. openapi.json is the same surface in words for clients; a test
// compares the two.
package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"gatehouse/application/accounts"
	"gatehouse/application/administration"
	"gatehouse/application/products"
	"gatehouse/application/sessions"
	"gatehouse/ports"
)

// Bounds that hold where the configuration says nothing else. Connections: 5,000
// that stall leave room for honest ones, and ten thousand at once do not take the
// memory that scenario 6 of the attacks allows.
const (
	DefaultBodyLimit      = 64 << 10
	DefaultRequestTimeout = 2 * time.Second
	DefaultMaxConnections = 5632
	DefaultMaxInWork      = 512
	DefaultMaxHashing     = 128
)

// Bounds that no configuration changes. The read timeout is what a slow sender
// (slowloris) gets, the header buffer what a browser with many cookies needs.
const (
	headerLimit  = 16 << 10
	readTimeout  = 4 * time.Second
	writeTimeout = 10 * time.Second
	idleTimeout  = 60 * time.Second
)

// Config is what a [Server] is made of. Everything without a default is needed.
type Config struct {
	Accounts  *accounts.Service
	Sessions  *sessions.Service
	Products  *products.Service
	Explainer *administration.Explainer
	Policies  *administration.Policies
	Previewer *administration.Previewer
	Devices   ports.Devices

	Administration *administration.Service

	Health map[string]ports.Health // by the name under which GET /readyz tells of it; may be empty

	PublicURL      *url.URL       // where clients reach the service; decides cookie name, Secure and HSTS
	TrustedOrigins []string       // other origins whose pages may call, such as "https://app.example.com"
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed

	BodyLimit      int           // bytes; 0 means DefaultBodyLimit
	RequestTimeout time.Duration // 0 means DefaultRequestTimeout
	MaxConnections int           // open at one time; 0 means DefaultMaxConnections
	MaxInWork      int           // requests that are worked on at one time; 0 means DefaultMaxInWork
	MaxHashing     int           // of these, such as hash a password; 0 means DefaultMaxHashing

	Random  ports.Random
	Now     ports.Clock
	Log     *slog.Logger
	Version string // of the build, told in the OpenAPI document; may be empty

	// Count is asked once for each row what counts its requests, and with two
	// empty strings what counts those that are no row's. That is called after
	// every answer, from many goroutines. May be nil.
	Count func(method, path string) func(status int, took time.Duration)
	// Tracer follows requests; nil where nobody does.
	Tracer Tracer
}

// check tells what is missing, so that the process does not start half wired.
func (c Config) check() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("httpapi: "+what))
		}
	}
	need(c.Accounts != nil && c.Sessions != nil && c.Products != nil, "Accounts, Sessions and Products are needed")
	need(c.Explainer != nil, "Explainer is needed")
	need(c.Administration != nil, "Administration is needed")
	need(c.Policies != nil && c.Previewer != nil, "Policies and Previewer are needed")
	need(c.Devices != nil && c.Random != nil && c.Now != nil && c.Log != nil, "Devices, Random, Now and Log are needed")
	need(min(c.BodyLimit, c.MaxConnections, c.MaxInWork, c.MaxHashing) >= 0 && c.RequestTimeout >= 0, "limits are not negative")
	errs = append(errs, checkPublicURL(c.PublicURL))
	return errors.Join(errs...)
}

// checkPublicURL holds plain http to loopback hosts: elsewhere a session cookie
// without Secure could be read off the wire (ASVS 5.0 3.3.1).
func checkPublicURL(u *url.URL) error {
	if u == nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("httpapi: PublicURL is an absolute http or https URL")
	}
	host := u.Hostname()
	ip, err := netip.ParseAddr(host)
	loopback := err == nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
	if u.Scheme == "http" && !loopback {
		return fmt.Errorf("httpapi: PublicURL %s: http is for loopback hosts only", u.Redacted())
	}
	return nil
}

// Server serves the API. It is made by [New].
type Server struct {
	Config
	app      *fiber.App
	route    fasthttp.RequestHandler // what Fiber does with a request
	http     *fasthttp.Server
	table    []route
	cookie   cookieStyle // of the session
	device   cookieStyle
	trusted  []string   // TrustedOrigins, normalised
	headers  []headerKV // on every answer
	document document   // openapi.json as it is served
	docs     *docs
	inWork   places
	hashing  places
	draining atomic.Bool
	entrance atomic.Pointer[listener] // what Serve was given, nil before
	strays   func(status int, took time.Duration)
}

// New returns a server that is ready to serve.
func New(c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.BodyLimit = cmp.Or(c.BodyLimit, DefaultBodyLimit)
	c.RequestTimeout = cmp.Or(c.RequestTimeout, DefaultRequestTimeout)
	c.MaxConnections = cmp.Or(c.MaxConnections, DefaultMaxConnections)
	c.MaxInWork = cmp.Or(c.MaxInWork, DefaultMaxInWork)
	c.MaxHashing = cmp.Or(c.MaxHashing, DefaultMaxHashing)
	s := &Server{
		Config: c, cookie: newCookieStyle(c.PublicURL), device: newDeviceStyle(c.PublicURL), headers: securityHeaders(c.PublicURL),
		inWork: make(places, c.MaxInWork), hashing: make(places, c.MaxHashing),
	}
	var err error
	if s.trusted, err = parseOrigins(c.TrustedOrigins); err != nil {
		return nil, err
	}
	s.document = newDocument(c.Version, s.cookie.name)
	if s.docs, err = newDocs(); err != nil {
		return nil, err
	}
	s.build()
	return s, nil
}

// build makes the Fiber app and puts our own entrance in front of it.
func (s *Server) build() {
	s.app = fiber.New(fiber.Config{
		Immutable:                    true, // strings of a request outlive it in sessions and logs
		CaseSensitive:                true,
		StrictRouting:                true,
		DisableStartupMessage:        true,
		DisableDefaultContentType:    true,
		DisablePreParseMultipartForm: true,
		StreamRequestBody:            true, // see receive
		BodyLimit:                    readAhead,
		ReadBufferSize:               headerLimit,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		ReduceMemoryUsage:            true, // a connection on which nothing happens holds no buffers
		ErrorHandler:                 s.fail,
	})
	s.strays = s.counter("", "")
	s.app.Use(s.withContext, s.shareWithTrusted, s.refuseCrossSite, s.refuseTwoCookies)
	s.table = s.routes()
	s.mountAll()
	s.route = s.app.Handler()
	s.http = s.app.Server()
	s.http.Handler = s.serve
	s.http.ErrorHandler = s.failEarly
	s.http.ExpectHandler = s.expect
	s.http.CloseOnShutdown = true
	s.http.MaxIdleWorkerDuration = 2 * time.Second // the stacks of a crowd that has gone
	s.http.SecureErrorLogMessage = true            // errors of fasthttp quote the request otherwise, cookies too
}

// Serve answers what comes in on ln. It blocks until [Server.Shutdown].
func (s *Server) Serve(ln net.Listener) error {
	l := &listener{Listener: ln, max: int64(s.MaxConnections), refuse: s.refuseConnection}
	s.entrance.Store(l)
	return s.http.Serve(l)
}

// Load is how much is going on, beside how much may.
type Load struct {
	Connections, MaxConnections int    // open
	InWork, MaxInWork           int    // requests
	Hashing, MaxHashing         int    // of these, such as hash a password or wait to
	Refused                     uint64 // connections that were one too many
	Draining                    bool
}

// Load tells how much is going on now.
func (s *Server) Load() Load {
	l := Load{
		MaxConnections: s.MaxConnections, InWork: len(s.inWork), MaxInWork: s.MaxInWork, Hashing: len(s.hashing), MaxHashing: s.MaxHashing,
		Draining: s.draining.Load(),
	}
	if e := s.entrance.Load(); e != nil {
		l.Connections, l.Refused = int(e.open.Load()), e.refused.Load()
	}
	return l
}

// Drain has GET /readyz answer 503 from now on, so that a load balancer sends
// no more. Everything else is still answered.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown takes no new connections and waits until what is in flight has been
// answered, or until ctx ends, whose error it returns then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	return s.http.ShutdownWithContext(ctx)
}

// Handler is the whole server as one function, for tests over an in-memory
// listener.
func (s *Server) Handler() fasthttp.RequestHandler { return s.serve }

// Route is one row of the surface.
type Route struct {
	Method string
	Path   string // "/products/{id}"
	Name   string // its operationId in the OpenAPI document
}

// Routes lists the surface. HEAD is served wherever GET is, and OPTIONS to
// pages of trusted origins; neither is listed.
func (s *Server) Routes() []Route {
	list := make([]Route, len(s.table))
	for i, r := range s.table {
		list[i] = r.Route
	}
	return list
}

type route struct {
	Route
	handle fiber.Handler
	quiet  bool // asked by machines every second: logged at Debug
	hashes bool // takes a core for a moment, and 19 MiB
	recent bool // is content with a session as it was a moment ago (ports.AllowStale)
}

func (s *Server) routes() []route {
	row := func(method, path, name string, h fiber.Handler) route {
		return route{Route: Route{method, path, name}, handle: h}
	}
	hash := func(method, path, name string, h fiber.Handler) route {
		return route{Route: Route{method, path, name}, handle: h, hashes: true}
	}
	// What only shows its caller what they may see, and is asked most.
	recent := func(path, name string, h fiber.Handler) route {
		return route{Route: Route{fiber.MethodGet, path, name}, handle: h, recent: true}
	}
	probe := func(path, name string, h fiber.Handler) route {
		return route{Route: Route{fiber.MethodGet, path, name}, handle: h, quiet: true}
	}
	return []route{
		hash("POST", "/register", "register", s.public(s.register)),
		hash("POST", "/login", "login", s.public(s.login)),
		row("POST", "/login/totp", "loginTotp", s.awaiting(s.loginTOTP)),
		row("POST", "/logout", "logout", s.logout),
		row("POST", "/password/forgot", "forgotPassword", s.public(s.forgotPassword)),
		hash("POST", "/password/reset", "resetPassword", s.public(s.resetPassword)),
		row("GET", "/password/reset", "getResetPage", s.getLinkPage),
		row("POST", "/email/verification", "sendVerification", s.private(s.sendVerification)),
		row("POST", "/email/verify", "verifyEmail", s.public(s.verifyEmail)),
		row("GET", "/email/verify", "getVerifyPage", s.getLinkPage),

		recent("/me", "getMe", s.private(s.getMe)),
		row("PATCH", "/me", "updateMe", s.private(s.updateMe)),
		row("GET", "/me/sessions", "listMySessions", s.private(s.listSessions)),
		row("DELETE", "/me/sessions", "endMyOtherSessions", s.private(s.endOtherSessions)),
		row("DELETE", "/me/sessions/{id}", "endMySession", s.private(s.endSession)),
		hash("DELETE", "/me", "deleteMe", s.private(s.deleteMe)),
		row("GET", "/me/export", "exportMe", s.private(s.exportMe)),
		hash("PUT", "/me/password", "changePassword", s.private(s.changePassword)),
		hash("PUT", "/me/email", "changeEmail", s.private(s.changeEmail)),
		hash("POST", "/me/reauthenticate", "reauthenticate", s.private(s.reauthenticate)),
		row("POST", "/me/totp", "startTotp", s.private(s.startTOTP)),
		row("POST", "/me/totp/confirm", "confirmTotp", s.private(s.confirmTOTP)),
		hash("DELETE", "/me/totp", "removeTotp", s.private(s.removeTOTP)),

		row("POST", "/products", "createProduct", s.public(s.createProduct)),
		recent("/products", "listProducts", s.public(s.listProducts)),
		recent("/products/{id}", "getProduct", s.ahead(s.public(s.getProduct))),
		row("PATCH", "/products/{id}", "updateProduct", s.ahead(s.public(s.updateProduct))),
		row("DELETE", "/products/{id}", "deleteProduct", s.ahead(s.public(s.deleteProduct))),
		row("PUT", "/products/{id}/owner", "transferProduct", s.ahead(s.public(s.putOwner))),
		recent("/products/{id}/grants", "listProductGrants", s.ahead(s.public(s.listGrants))),
		row("PUT", "/products/{id}/grants/{userId}", "shareProduct", s.ahead(s.public(s.putGrant))),
		row("DELETE", "/products/{id}/grants/{userId}", "unshareProduct", s.ahead(s.public(s.deleteGrant))),
		recent("/products/{id}/permissions", "getProductPermissions", s.ahead(s.public(s.getPermissions))),

		row("POST", "/admin/policies/explain", "explainPolicy", s.private(s.explainPolicy)),
		row("GET", "/admin/users", "listUsers", s.private(s.listUsers)),
		row("GET", "/admin/users/{id}", "getUser", s.private(s.getUser)),
		row("PATCH", "/admin/users/{id}", "updateUser", s.private(s.updateUser)),
		row("GET", "/admin/users/{id}/sessions", "listUserSessions", s.private(s.listUserSessions)),
		row("DELETE", "/admin/users/{id}/sessions", "endUserSessions", s.private(s.endUserSessions)),
		row("DELETE", "/admin/users/{id}/sessions/{sessionId}", "endUserSession", s.private(s.endUserSession)),
		row("GET", "/admin/audit", "listAudit", s.private(s.listAudit)),
		row("GET", "/admin/policies", "listPolicies", s.private(s.listPolicies)),
		row("POST", "/admin/policies", "addPolicy", s.private(s.addPolicy)),
		row("GET", "/admin/policies/history", "listPolicyVersions", s.private(s.listPolicyVersions)),
		row("GET", "/admin/policies/history/{version}", "getPolicyVersion", s.private(s.getPolicyVersion)),
		row("POST", "/admin/policies/rollback", "rollBackPolicies", s.private(s.rollBackPolicies)),
		row("POST", "/admin/policies/preview", "previewPolicies", s.private(s.previewPolicies)),
		row("GET", "/admin/policies/{id}", "getPolicy", s.private(s.getPolicy)),
		row("DELETE", "/admin/policies/{id}", "removePolicy", s.private(s.removePolicy)),

		probe("/livez", "getLiveness", s.livez),
		probe("/readyz", "getReadiness", s.readyz),
		row("GET", "/openapi.json", "getOpenAPI", s.getDocument),
		row("GET", "/docs", "getDocs", s.getDocs),
		row("GET", "/docs/{asset}", "getDocsAsset", s.getDocsAsset),
	}
}

// mountAll mounts the table: paths that are spelled out first, each closed behind
// its rows. Else a method that "/admin/policies/explain" does not know would be
// one of "/admin/policies/{id}", and its Allow would name those too.
func (s *Server) mountAll() {
	allow := map[string][]string{}
	var patterns []route
	for _, r := range s.table {
		if strings.Contains(r.Path, "{") {
			patterns = append(patterns, r)
			continue
		}
		s.mount(r)
		allow[r.Path] = append(allow[r.Path], r.Method)
		if r.Method == fiber.MethodGet {
			allow[r.Path] = append(allow[r.Path], fiber.MethodHead)
		}
	}
	for path, methods := range allow {
		slices.SortFunc(methods, func(a, b string) int {
			return cmp.Compare(slices.Index(fiber.DefaultMethods, a), slices.Index(fiber.DefaultMethods, b))
		})
		known := strings.Join(methods, ", ")
		s.app.All(path, func(c *fiber.Ctx) error {
			c.Set(fiber.HeaderAllow, known)
			return errMethod
		})
	}
	for _, r := range patterns {
		s.mount(r)
	}
}

// mount hands a row to Fiber, which spells parameters ":id" and serves HEAD
// with what serves GET.
func (s *Server) mount(r route) {
	path := strings.NewReplacer("{", ":", "}", "").Replace(r.Path)
	admitted, count, service := s.admitted(r), s.counter(r.Method, r.Path), "service "+r.Name
	handle := func(c *fiber.Ctx) error {
		x := exchangeOf(c.Context())
		x.route, x.quiet, x.recent, x.count, x.service = r.Path, r.quiet, r.recent, count, service
		return admitted(c)
	}
	if r.Method == fiber.MethodGet {
		s.app.Get(path, handle)
		return
	}
	s.app.Add(r.Method, path, handle)
}

// counter gives what counts the requests of a row.
func (s *Server) counter(method, path string) func(status int, took time.Duration) {
	if s.Count == nil {
		return func(int, time.Duration) {}
	}
	return s.Count(method, path)
}

type headerKV struct{ key, value []byte }

// securityHeaders are on every answer, errors included. The CSP is that of an
// API whose answers are never a page: should a browser be made to show one,
// nothing in it runs or loads. base-uri does not follow default-src (ASVS 5.0
// 3.4.3). The rows that are pages bring a policy of their own; no window of
// another site keeps a hold of one (ASVS 5.0 3.4.8).
func securityHeaders(public *url.URL) []headerKV {
	list := []headerKV{
		{[]byte("X-Content-Type-Options"), []byte("nosniff")},
		{[]byte("Referrer-Policy"), []byte("no-referrer")},
		{[]byte("Content-Security-Policy"), []byte("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")},
		{[]byte("Cross-Origin-Opener-Policy"), []byte("same-origin")},
		{[]byte("Cross-Origin-Resource-Policy"), []byte("same-origin")},
		{[]byte("X-Frame-Options"), []byte("DENY")},
		{[]byte("Cache-Control"), []byte("no-store")}, // taken back where an answer is the same for all
	}
	if public.Scheme == "https" {
		list = append(list, headerKV{[]byte("Strict-Transport-Security"), []byte("max-age=63072000; includeSubDomains")})
	}
	return list
}

// document is openapi.json as it is served, with its ETag.
type document struct {
	body []byte
	etag string
}

// newDocument fills in what only the running service knows.
func newDocument(version, cookie string) document {
	body := openAPI
	if version != "" {
		body = bytes.Replace(body, []byte(`"version": "0.0.0"`), fmt.Appendf(nil, `"version": %q`, version), 1)
	}
	body = bytes.Replace(body, []byte(`"name": "sid"`), fmt.Appendf(nil, `"name": %q`, cookie), 1)
	return document{body: body, etag: contentTag(body)}
}
