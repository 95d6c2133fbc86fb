package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"gatehouse/application/sessions"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/ports"
)

// The way of a request: serve takes it, looks at its envelope, has its body read
// (receive.go) and answers for whatever goes wrong inside; Fiber then runs
// withContext, shareWithTrusted, refuseCrossSite, refuseTwoCookies, and the row's
// handler, which private, public or awaiting gives the session to.

// exchange is what becomes known of one request while it is served.
type exchange struct {
	envelope
	id        string // the request id
	began     time.Time
	method    string
	route     string // the path of the row, "" where none matched
	quiet     bool
	recent    bool                                 // the row is content with a session as it was a moment ago
	count     func(status int, took time.Duration) // counts it with others of its row
	service   string                               // what the work behind it is called in a trace
	trace     *traced                              // nil where nobody follows it
	ip        netip.Addr                           // of the client
	user      string                               // the id of who asks, "" where nobody is known
	pending   *session.Resumed                     // what the cookie stands for, if that awaits its second step
	dead      error                                // why the cookie opens nothing, nil if it has not been found out
	alive     bool                                 // the cookie is good, if not for this row, and stays
	setCookie string                               // what the answer says of the session cookie, "" for nothing
	setDevice string                               // what it says of the device cookie
	code      string                               // of the problem that was answered, "" for none, for the log
	cause     error                                // why the answer is a 5xx, for the log
	denial    *access.Denial                       // why the answer is 403, if the policy refused, for the log
}

type exchangeKey struct{}

func exchangeOf(rc *fasthttp.RequestCtx) *exchange {
	x, ok := rc.UserValue(exchangeKey{}).(*exchange)
	if !ok { // fasthttp refused the request before serve saw it
		x = &exchange{}
	}
	return x
}

// serve answers one request and writes one line about it.
func (s *Server) serve(rc *fasthttp.RequestCtx) {
	x := s.begin(rc)
	defer s.finish(rc, x)
	x.envelope = open(rc.Request.Header.RawHeaders(), cookieNames{s.cookie.name, s.device.name})
	if !x.sound || !knownVersion(rc.Request.Header.Protocol()) {
		closeGently(rc)
		s.answer(rc, x, errMalformedRequest)
		return
	}
	if err := s.receive(rc); err != nil {
		s.refuse(rc, x, err)
		return
	}
	x.began = time.Now() // the time that the sender took is not ours
	s.follow(rc, x)
	s.route(rc)
}

// begin opens the books on a request and dresses its answer.
func (s *Server) begin(rc *fasthttp.RequestCtx) *exchange {
	x := &exchange{id: s.requestID(rc), began: time.Now(), method: string(rc.Method()), ip: s.client(rc), count: s.strays}
	rc.SetUserValue(exchangeKey{}, x)
	if !knownMethod(x.method) {
		x.method = "other" // as long as its sender likes, and no business of the log's
		// Fiber answers these in plain text; as OPTIONS, for which there are no
		// rows, they get the 404 or 405 of their path.
		rc.Request.Header.SetMethod(fiber.MethodOptions)
		rc.Request.Header.Del(fiber.HeaderAccessControlRequestMethod)
	}
	s.dress(rc, x)
	return x
}

func (s *Server) dress(rc *fasthttp.RequestCtx, x *exchange) {
	h := &rc.Response.Header
	for _, kv := range s.headers {
		h.SetCanonical(kv.key, kv.value)
	}
	h.SetCanonical([]byte("X-Request-Id"), []byte(x.id)) // as http-api.md spells it
}

// finish turns a panic into a 500, writes the cookies and the log line, and has
// the request counted.
func (s *Server) finish(rc *fasthttp.RequestCtx, x *exchange) {
	if p := recover(); p != nil {
		x.cause = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		x.setCookie, x.setDevice = "", ""
		rc.Response.Reset()
		s.dress(rc, x)
		s.answer(rc, x, errPanicked)
	}
	for _, cookie := range []string{x.setCookie, x.setDevice} {
		if cookie != "" {
			rc.Response.Header.Set(fiber.HeaderSetCookie, cookie) // of one name; another stands beside it
		}
	}
	took := time.Since(x.began)
	x.count(rc.Response.StatusCode(), took)
	if x.trace != nil {
		x.trace.end(x.route, rc.Response.StatusCode())
	}
	s.log(rc, x, took)
}

var errPanicked = errors.New("a handler panicked")

// knownVersion reports whether a request is in the HTTP that is spoken here.
func knownVersion(protocol []byte) bool {
	return string(protocol) == "HTTP/1.1" || string(protocol) == "HTTP/1.0"
}

func knownMethod(m string) bool {
	switch m {
	case fiber.MethodGet, fiber.MethodHead, fiber.MethodPost, fiber.MethodPut, fiber.MethodDelete,
		fiber.MethodConnect, fiber.MethodOptions, fiber.MethodTrace, fiber.MethodPatch:
		return true
	}
	return false
}

// requestID takes over what the client calls the request if that is a sane
// token, and makes a name otherwise: a hostile one would forge log lines.
func (s *Server) requestID(rc *fasthttp.RequestCtx) string {
	if given := rc.Request.Header.Peek(fiber.HeaderXRequestID); saneToken(given) {
		return string(given)
	}
	return s.Random.ID(s.Now()).String()
}

func saneToken(b []byte) bool {
	for _, c := range b {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return len(b) >= 1 && len(b) <= 64
}

// log writes the line about a request. It never holds a cookie, a body or a
// query: secrets travel in all three.
func (s *Server) log(rc *fasthttp.RequestCtx, x *exchange, took time.Duration) {
	status := rc.Response.StatusCode()
	level := slog.LevelInfo
	switch {
	case status == fiber.StatusServiceUnavailable:
		level = slog.LevelWarn
	case status >= fiber.StatusInternalServerError:
		level = slog.LevelError
	case x.quiet:
		level = slog.LevelDebug
	}
	ctx := context.Background()
	if !s.Log.Enabled(ctx, level) {
		return
	}
	list := make([]slog.Attr, 0, 13)
	list = append(list,
		slog.String("requestId", x.id),
		slog.String("method", x.method),
		slog.String("route", x.route),
		slog.Int("status", status),
		slog.Duration("duration", took),
		slog.Int("bytes", len(rc.Response.Body())),
		slog.String("ip", addrText(x.ip)),
	)
	if x.trace != nil {
		list = append(list, slog.String("traceId", x.trace.id))
	}
	if x.code != "" {
		list = append(list, slog.String("code", x.code))
	}
	if x.user != "" {
		list = append(list, slog.String("userId", x.user))
	}
	if x.denial != nil {
		list = append(list, slog.String("decisionId", x.denial.ID.String()), slog.String("reason", x.denial.Error()))
	}
	if x.cause != nil {
		list = append(list, slog.String("cause", x.cause.Error()))
	}
	// Past s.Log.LogAttrs, which would find out for nobody where it was called.
	record := slog.NewRecord(time.Now(), level, "request", 0)
	record.AddAttrs(list...)
	_ = s.Log.Handler().Handle(ctx, record) // a log that cannot be written is no reason to fail a request
}

// withContext bounds how long anything behind may take, and tells it where the
// request came from.
func (s *Server) withContext(c *fiber.Ctx) error {
	ctx := newDeadline(ports.WithOrigin(exchangeOf(c.Context()).within(), origin(c)), s.RequestTimeout)
	defer ctx.cancel()
	c.SetUserContext(ctx)
	return c.Next()
}

// origin is where a request came from. The language is that of a mail, which
// only a change can be a reason for.
func origin(c *fiber.Ctx) ports.Origin {
	x := exchangeOf(c.Context())
	d := session.NewDevice(c.Get(fiber.HeaderUserAgent), x.ip)
	o := ports.Origin{Origin: audit.Origin{IP: d.IP, UserAgent: d.UserAgent, RequestID: x.id}}
	if !safeMethod(c.Method()) {
		o.Language = readLanguage(c.Request().Header.PeekAll(fiber.HeaderAcceptLanguage))
	}
	return o
}

// refuseTwoCookies answers 400 where two cookies bear the session's name: which
// of them is the user's own cannot be known (cookie tossing).
func (s *Server) refuseTwoCookies(c *fiber.Ctx) error {
	if exchangeOf(c.Context()).session.count > 1 {
		return errDuplicateCookie
	}
	return c.Next()
}

// resume gives the session that the request's cookie stands for, or nil if it
// stands for none that may act. A store that cannot be asked is an error and
// never "no session".
func (s *Server) resume(c *fiber.Ctx, x *exchange) (*session.Resumed, error) {
	token, ok := session.ParseToken(string(x.session.value))
	if !ok { // no cookie, or one that costs no query
		return nil, nil
	}
	ctx := c.UserContext()
	if x.recent {
		ctx = ports.AllowStale(ctx)
	}
	r, err := s.Sessions.Resume(ctx, token)
	if errors.Is(err, fault.Unauthenticated) {
		x.dead = err
		return nil, s.resumePending(c, x, token)
	}
	if err != nil {
		return nil, err
	}
	x.user = r.User.ID().String()
	return &r, nil
}

// resumePending finds out whether a session that may not act awaits its second
// step, and its cookie must stay therefore. For a token that is not known, or
// whose session is over, it costs no further query.
func (s *Server) resumePending(c *fiber.Ctx, x *exchange, token session.Token) error {
	if f, ok := errors.AsType[*fault.Error](x.dead); ok && f.Reason != "" || errors.Is(x.dead, fault.NotFound) {
		return nil
	}
	r, err := s.Sessions.ResumePending(c.UserContext(), token)
	switch {
	case err == nil:
		x.pending, x.alive = &r, true
		return nil
	case errors.Is(err, fault.Unauthenticated):
		return nil
	}
	return err
}

// public makes a row that anybody may call. A dead cookie counts as none and is
// taken away.
func (s *Server) public(h func(*fiber.Ctx, *session.Resumed) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		x := exchangeOf(c.Context())
		done := s.step(c, x, "session resume")
		r, err := s.resume(c, x)
		done(err)
		if err != nil {
			return err
		}
		if r == nil && x.session.count > 0 && !x.alive {
			x.setCookie = s.cookie.clear()
		}
		done = s.step(c, x, x.service)
		err = h(c, r)
		done(err)
		return err
	}
}

// ahead makes a row that is about one product, and says so before it is known who
// asks: then both are one question to the store.
func (s *Server) ahead(h fiber.Handler) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if id, ok := product.ParseID(c.Params("id")); ok {
			c.SetUserContext(ports.WithAhead(c.UserContext(), id))
		}
		return h(c)
	}
}

// private makes a row that takes a session.
func (s *Server) private(h func(*fiber.Ctx, session.Resumed) error) fiber.Handler {
	return s.public(func(c *fiber.Ctx, r *session.Resumed) error {
		if r == nil {
			return s.explain(c)
		}
		return h(c, *r)
	})
}

// awaiting makes the row of the second step of signing in. Whoever is through it
// keeps their cookie: a form that was sent twice must not sign them out.
func (s *Server) awaiting(h func(*fiber.Ctx, session.Resumed) error) fiber.Handler {
	return s.public(func(c *fiber.Ctx, r *session.Resumed) error {
		x := exchangeOf(c.Context())
		if x.pending == nil {
			x.alive = r != nil
			return s.explain(c)
		}
		x.alive = false // it is in the hands of h
		x.user = x.pending.User.ID().String()
		return h(c, *x.pending)
	})
}

// explain is the answer to who has no session for the row, with the reason where
// they had one. Public rows do not ask for it: it costs a query.
func (s *Server) explain(c *fiber.Ctx) error {
	x := exchangeOf(c.Context())
	token, ok := session.ParseToken(string(x.session.value))
	if !ok || x.dead == nil || x.alive {
		return access.ErrUnauthenticated
	}
	err := s.Sessions.Explain(c.UserContext(), token, x.dead)
	if !errors.Is(err, fault.Unauthenticated) {
		x.setCookie = "" // so that the next answer can tell
	}
	return err
}

// actor is who asks.
func actor(r *session.Resumed) access.Actor {
	if r == nil {
		return access.Anonymous()
	}
	return sessions.Actor(*r)
}
