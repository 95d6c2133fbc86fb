package httpapi

import (
	"context"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// Tracer opens spans: of a request, and of parts of it.
type Tracer interface {
	// Request opens the span of a request, below the one that its headers name if
	// header is not nil. It returns the context of the span, the id of the trace,
	// and what ends the span with the pattern of the route ("" for none) and the
	// status.
	Request(ctx context.Context, method, requestID string, header func(name string) string) (below context.Context, traceID string, end func(route string, status int))
	// Step opens the span of a part of what ctx is of, and returns what ends it.
	Step(ctx context.Context, name string) (below context.Context, end func(failed bool))
}

// traced is the span of a request.
type traced struct {
	below context.Context
	id    string
	end   func(route string, status int)
}

// follow opens the span of a request, where somebody follows them. The span of the
// caller is taken over from trusted proxies alone: whoever else may say what is
// sampled could have everything sampled, and put themselves into traces of others.
func (s *Server) follow(rc *fasthttp.RequestCtx, x *exchange) {
	if s.Tracer == nil {
		return
	}
	var header func(string) string
	if s.isProxy(peer(rc.RemoteAddr())) {
		header = func(name string) string { return string(rc.Request.Header.Peek(name)) }
	}
	x.trace = &traced{}
	x.trace.below, x.trace.id, x.trace.end = s.Tracer.Request(context.Background(), x.method, x.id, header)
}

// within is the context that the work for a request begins with.
func (x *exchange) within() context.Context {
	if x.trace == nil {
		return context.Background()
	}
	return x.trace.below
}

// step opens the span of a part of a request, in whose context the handlers work
// until what it returns is called with the error that came of it. Where nobody
// follows the request it does nothing, and allocates nothing.
func (s *Server) step(c *fiber.Ctx, x *exchange, name string) (done func(error)) {
	if x.trace == nil {
		return unfollowed
	}
	before := c.UserContext()
	below, end := s.Tracer.Step(before, name)
	c.SetUserContext(below)
	return func(err error) {
		c.SetUserContext(before)
		end(err != nil && problemOf(err).status >= fiber.StatusInternalServerError)
	}
}

func unfollowed(error) {}
