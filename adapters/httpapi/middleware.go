package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"gatehouse/application/sessions"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
)

// The way of a request: serve takes it, looks at its envelope and answers for
// whatever goes wrong inside; Fiber then runs withDeadline, shareWithTrusted,
// refuseCrossSite, refuseTwoCookies, and the row's handler, which private or
// public gives the session to.

// exchange is what becomes known of one request while it is served.
type exchange struct {
	envelope
	id        string // the request id
	began     time.Time
	method    string
	route     string // the path of the row, "" where none matched
	quiet     bool
	user      string // the id of who asks, "" where nobody is known
	setCookie string // what the answer says of the session cookie, "" for nothing
	cause     error  // why the answer is a 5xx, for the log
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
	x.envelope = open(rc.Request.Header.RawHeaders(), s.cookie.name)
	if !x.sound {
		closeGently(rc)
		s.answer(rc, x, errMalformedRequest)
		return
	}
	s.route(rc)
}

// begin opens the books on a request and dresses its answer.
func (s *Server) begin(rc *fasthttp.RequestCtx) *exchange {
	x := &exchange{id: s.requestID(rc), began: time.Now(), method: string(rc.Method())}
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

// finish turns a panic into a 500 and writes the cookie and the log line.
func (s *Server) finish(rc *fasthttp.RequestCtx, x *exchange) {
	if p := recover(); p != nil {
		x.cause = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		x.setCookie = ""
		rc.Response.Reset()
		s.dress(rc, x)
		s.answer(rc, x, errPanicked)
	}
	if x.setCookie != "" {
		rc.Response.Header.Set(fiber.HeaderSetCookie, x.setCookie)
	}
	s.log(rc, x)
}

var errPanicked = errors.New("a handler panicked")

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
func (s *Server) log(rc *fasthttp.RequestCtx, x *exchange) {
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
	list := make([]slog.Attr, 0, 9)
	list = append(list,
		slog.String("requestId", x.id),
		slog.String("method", x.method),
		slog.String("route", x.route),
		slog.Int("status", status),
		slog.Duration("duration", time.Since(x.began)),
		slog.Int("bytes", len(rc.Response.Body())),
		slog.String("ip", addrText(s.client(rc))),
	)
	if x.user != "" {
		list = append(list, slog.String("userId", x.user))
	}
	if x.cause != nil {
		list = append(list, slog.String("cause", x.cause.Error()))
	}
	s.Log.LogAttrs(ctx, level, "request", list...)
}

// withDeadline bounds how long anything behind may take.
func (s *Server) withDeadline(c *fiber.Ctx) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.RequestTimeout)
	defer cancel()
	c.SetUserContext(ctx)
	return c.Next()
}

// refuseTwoCookies answers 400 where two cookies bear the session's name: which
// of them is the user's own cannot be known (cookie tossing).
func (s *Server) refuseTwoCookies(c *fiber.Ctx) error {
	if exchangeOf(c.Context()).cookies > 1 {
		return errDuplicateCookie
	}
	return c.Next()
}

// resume gives the session that the request's cookie stands for, or nil if it
// stands for none that is alive. A store that cannot be asked is an error and
// never "no session".
func (s *Server) resume(c *fiber.Ctx, x *exchange) (*session.Resumed, error) {
	token, ok := session.ParseToken(string(x.token))
	if !ok { // no cookie, or one that costs no query
		return nil, nil
	}
	r, err := s.Sessions.Resume(c.UserContext(), token)
	if errors.Is(err, fault.Unauthenticated) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	x.user = r.User.ID().String()
	return &r, nil
}

// public makes a row that anybody may call. A dead cookie counts as none and is
// taken away.
func (s *Server) public(h func(*fiber.Ctx, *session.Resumed) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		x := exchangeOf(c.Context())
		r, err := s.resume(c, x)
		if err != nil {
			return err
		}
		if r == nil && x.cookies > 0 {
			x.setCookie = s.cookie.clear()
		}
		return h(c, r)
	}
}

// private makes a row that takes a session.
func (s *Server) private(h func(*fiber.Ctx, session.Resumed) error) fiber.Handler {
	return s.public(func(c *fiber.Ctx, r *session.Resumed) error {
		if r == nil {
			return access.ErrUnauthenticated
		}
		return h(c, *r)
	})
}

// actor is who asks.
func actor(r *session.Resumed) access.Actor {
	if r == nil {
		return access.Anonymous()
	}
	return sessions.Actor(*r)
}
