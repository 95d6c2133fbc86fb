//go:build unix

package gormrepo

import (
	"crypto/tls"
	"net"
	"syscall"
)

// stirred reports whether something lies unread on a connection that nobody uses,
// or it was closed at the other end: PostgreSQL speaks unasked when it ends a
// session, and seldom otherwise. It takes one system call, which waits for
// nothing.
func stirred(c net.Conn) bool {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	var stirs bool
	// Control and not Read, which would wait for pgconn's own reader where one is
	// still about after a slow write.
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		stirs = err != syscall.EAGAIN && err != syscall.EWOULDBLOCK
	})
	return stirs || err != nil
}
