package httpapi

import (
	"bytes"
	"net/url"
	"strconv"
	"time"

	"gatehouse/domain/session"
)

// cookieStyle is how the session cookie is written, decided once by the public
// URL. Under https the __Host- prefix keeps a neighbouring subdomain, or a
// network attacker over plain http, from planting one (RFC 6265bis section
// 4.1.3.2, ASVS 5.0 3.3.1).
type cookieStyle struct {
	name  string
	attrs string
}

func newCookieStyle(public *url.URL) cookieStyle {
	if public.Scheme == "https" {
		return cookieStyle{name: "__Host-sid", attrs: "; Path=/; HttpOnly; Secure; SameSite=Lax"}
	}
	return cookieStyle{name: "sid", attrs: "; Path=/; HttpOnly; SameSite=Lax"}
}

// set is the Set-Cookie value that hands out a token. Without "remember me" it
// ends with the browser session; with it after what is left of the absolute
// lifetime.
func (k cookieStyle) set(t session.Token, s session.Session, now time.Time) string {
	v := k.name + "=" + t.Reveal() + k.attrs
	if s.Remembered() {
		left := (s.ExpiresAt().Sub(now) + time.Second - 1) / time.Second
		v += "; Max-Age=" + strconv.FormatInt(int64(max(left, 0)), 10)
	}
	return v
}

// clear is the Set-Cookie value that takes the cookie away.
func (k cookieStyle) clear() string { return k.name + "=" + k.attrs + "; Max-Age=0" }

// findCookie counts the cookies with the name in one Cookie header and keeps
// the value. It is read by hand: a library that takes the first of two, or the
// last, lets an attacker who can plant one choose which session is used
// (cookie tossing).
func (e *envelope) findCookie(header []byte, name string) {
	for len(header) > 0 {
		pair := header
		if i := bytes.IndexByte(header, ';'); i >= 0 {
			pair, header = header[:i], header[i+1:]
		} else {
			header = nil
		}
		key, value, ok := bytes.Cut(pair, []byte("="))
		if !ok || string(bytes.TrimSpace(key)) != name {
			continue
		}
		e.cookies++
		e.token = bytes.TrimSpace(value)
	}
}
