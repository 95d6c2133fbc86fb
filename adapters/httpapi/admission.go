package httpapi

import (
	"errors"
	"net"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"gatehouse/domain/fault"
)

// Config.MaxInWork requests may be in work at one time. Whoever comes while there
// are as many is told at once to come again: they would wait for the database, in
// a crowd of which none gets through before its time is up. Measured with ten
// thousand sign-ins at once and ten connections to PostgreSQL: without a bound
// each was answered 503, after seven seconds, and the process had grown by 400 MiB.
//
// The rows that hash a password are bounded for themselves (Config.MaxHashing), so
// that a flood of sign-ins leaves room for those who are signed in.

// places are taken by what is bounded in number.
type places chan struct{}

func (p places) take() bool {
	select {
	case p <- struct{}{}:
		return true
	default:
		return false
	}
}

func (p places) leave() { <-p }

var errCrowded = errors.New("too many requests are in work")

// crowded is what a request is told that has found no place.
func crowded() error {
	f := fault.Outage(errCrowded)
	f.RetryAfter = 2 * time.Second
	return f
}

// admitted runs a row's handler in a place of its own. Probes need none: what
// watches a busy node must see that it lives.
func (s *Server) admitted(r route) fiber.Handler {
	if r.quiet {
		return r.handle
	}
	all := []places{s.inWork}
	if r.hashes {
		all = []places{s.hashing, s.inWork}
	}
	return func(c *fiber.Ctx) error {
		for _, p := range all {
			if !p.take() {
				c.Context().SetConnectionClose() // what it holds is needed
				return crowded()
			}
			defer p.leave()
		}
		return r.handle(c)
	}
}

// refuseConnection tells a connection that is one too many why it is closed. It
// is called where connections are accepted, and so waits for nobody: what little
// is written goes into the empty buffer of a new connection.
func (s *Server) refuseConnection(c net.Conn) {
	rc := &fasthttp.RequestCtx{}
	rc.Init2(c, nil, false)
	x := &exchange{id: s.Random.ID(s.Now()).String(), began: time.Now(), cause: errConnections}
	s.dress(rc, x)
	s.answer(rc, x, crowded())
	rc.Response.SetConnectionClose()
	if c.SetWriteDeadline(time.Now().Add(refusalTime)) == nil {
		_, _ = rc.Response.WriteTo(c) // who does not read it is told nothing
	}
}

var errConnections = errors.New("too many connections are open")

// refusalTime is far more than writing into an empty buffer takes.
const refusalTime = time.Second
