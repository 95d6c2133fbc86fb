package httpapi

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// client is where a request came from: the peer, or, when the peer is a trusted
// proxy, the right-most address of X-Forwarded-For that is not one. Whatever
// stands further left was written by the client and can name anybody.
func (s *Server) client(rc *fasthttp.RequestCtx) netip.Addr {
	at := peer(rc.RemoteAddr())
	if len(s.TrustedProxies) == 0 || !s.isProxy(at) {
		return at
	}
	for _, line := range slices.Backward(rc.Request.Header.PeekAll("X-Forwarded-For")) {
		hops := strings.Split(string(line), ",")
		for _, hop := range slices.Backward(hops) {
			addr, ok := parseHop(strings.TrimSpace(hop))
			if !ok {
				return at
			}
			at = addr
			if !s.isProxy(at) {
				return at
			}
		}
	}
	return at
}

func peer(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// parseHop reads an address, with or without a port.
func parseHop(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap(), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), true
	}
	return netip.Addr{}, false
}

func (s *Server) isProxy(a netip.Addr) bool {
	return slices.ContainsFunc(s.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// addrText is "" for an address that is not known.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
