package httpapi

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// How long, and for how many bytes, a refused sender is listened to after the
// answer. Both bound what such a sender can make us do.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 16 << 20
)

// listener bounds how many connections are open at one time, and gives them so
// that they can be closed with their last answer arriving.
//
// A server that closes while bytes lie unread has its kernel send RST, and that
// discards the answer at the other end before it was read: a client that posts
// too much would see "connection reset" instead of 413 (RFC 9112 section 9.6).
type listener struct {
	net.Listener
	open    atomic.Int64
	max     int64
	refuse  func(net.Conn) // is told of a connection that is one too many, before it is closed
	refused atomic.Uint64
}

// Accept gives the next connection. Where the system has no more to give, for
// want of descriptors or memory, it waits until somebody has left: fasthttp takes
// that for the end, and whoever opened enough connections would end the process.
func (l *listener) Accept() (net.Conn, error) {
	for pause := shortestPause; ; {
		c, err := l.Listener.Accept()
		switch {
		case err != nil && passes(err):
			time.Sleep(pause)
			pause = min(2*pause, longestPause)
		case err != nil:
			return nil, err
		case l.open.Add(1) > l.max:
			l.refused.Add(1)
			l.refuse(c)
			_ = c.Close() // it is nobody's
			l.open.Add(-1)
		default:
			return &lingerConn{Conn: c, left: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
	}
}

// How long to wait for the system, as net/http does.
const (
	shortestPause = 5 * time.Millisecond
	longestPause  = time.Second
)

// passes reports whether an error of accepting says nothing of the listener.
func passes(err error) bool {
	var e interface{ Temporary() bool }
	return errors.As(err, &e) && e.Temporary()
}

type lingerConn struct {
	net.Conn
	unread atomic.Bool // the sender may still be sending
	left   func()      // makes room for another
}

// Close closes at once, or, where the sender may still be sending, after it has
// stopped or time is up.
func (c *lingerConn) Close() error {
	defer c.left()
	if c.unread.Swap(false) {
		c.drain()
	}
	return c.Conn.Close()
}

func (c *lingerConn) drain() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes) // whatever ends it, the connection is closed next
	}
}

// closeGently has the connection of rc closed after the answer, with regard to
// a sender that has not finished.
func closeGently(rc *fasthttp.RequestCtx) {
	rc.SetConnectionClose()
	if c, ok := rc.Conn().(*lingerConn); ok {
		c.unread.Store(true)
	}
}
