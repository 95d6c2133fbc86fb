package httpapi

import (
	"io"
	"net"
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

// lingering gives connections that can be closed so that the last answer
// arrives. A server that closes while bytes lie unread has its kernel send RST,
// and that discards the answer at the other end before it was read: a client
// that posts too much would see "connection reset" instead of 413 (RFC 9112
// section 9.6).
type lingering struct{ net.Listener }

func (l lingering) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lingerConn{Conn: c}, nil
}

type lingerConn struct {
	net.Conn
	unread atomic.Bool // the sender may still be sending
}

// Close closes at once, or, where the sender may still be sending, after it has
// stopped or time is up.
func (c *lingerConn) Close() error {
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
