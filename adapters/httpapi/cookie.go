package httpapi

import (
	"bytes"
	"net/url"
	"strconv"
	"time"

	"gatehouse/application/sessions"
	"gatehouse/domain/session"
)

// cookieStyle is how a cookie is written, decided once by the public URL.
type cookieStyle struct {
	name  string
	attrs string
}

// newCookieStyle is for the session cookie. Under https the __Host- prefix keeps
// a neighbouring subdomain, or a network attacker over plain http, from planting
// one (RFC 6265bis section 4.1.3.2, ASVS 5.0 3.3.1).
func newCookieStyle(public *url.URL) cookieStyle {
	if public.Scheme == "https" {
		return cookieStyle{name: "__Host-sid", attrs: "; Path=/; HttpOnly; Secure; SameSite=Lax"}
	}
	return cookieStyle{name: "sid", attrs: "; Path=/; HttpOnly; SameSite=Lax"}
}

// newDeviceStyle is for the cookie by which signing in knows a device again. It
// opens nothing by itself, and goes to the routes of signing in alone; its path
// is why it cannot have the prefix __Host-.
func newDeviceStyle(public *url.URL) cookieStyle {
	if public.Scheme == "https" {
		return cookieStyle{name: "__Secure-device", attrs: "; Path=/login; HttpOnly; Secure; SameSite=Lax"}
	}
	return cookieStyle{name: "device", attrs: "; Path=/login; HttpOnly; SameSite=Lax"}
}

// deviceAge is how long a device is known: as long as browsers keep a cookie
// (RFC 6265bis section 5.5), 400 days, renewed at every sign-in.
const deviceAge = 400 * 24 * time.Hour

// set is the Set-Cookie value that hands out a token. Without "remember me", and
// until the second step of signing in is done, it ends with the browser session;
// with it after what is left of the absolute lifetime.
func (k cookieStyle) set(t session.Token, s session.Session, now time.Time) string {
	if s.Remembered() && !s.Pending() {
		return k.keep(t.Reveal(), s.ExpiresAt().Sub(now))
	}
	return k.name + "=" + t.Reveal() + k.attrs
}

// keep is the Set-Cookie value for a cookie that is kept for d, in whole seconds
// rounded up.
func (k cookieStyle) keep(value string, d time.Duration) string {
	left := (d + time.Second - 1) / time.Second
	return k.name + "=" + value + k.attrs + "; Max-Age=" + strconv.FormatInt(int64(max(left, 0)), 10)
}

// clear is the Set-Cookie value that takes the cookie away.
func (k cookieStyle) clear() string { return k.name + "=" + k.attrs + "; Max-Age=0" }

// found is what a request has of the cookies with one name.
type found struct {
	count int
	value []byte // of the last of them; shares memory with the header block
}

func (f *found) add(value []byte) { f.count, f.value = f.count+1, value }

// findCookies counts the cookies with the two names in one Cookie header and
// keeps their values. It is read by hand: a library that takes the first of two,
// or the last, lets an attacker who can plant one choose which session is used
// (cookie tossing).
func (e *envelope) findCookies(header []byte, n cookieNames) {
	for len(header) > 0 {
		pair := header
		if i := bytes.IndexByte(header, ';'); i >= 0 {
			pair, header = header[:i], header[i+1:]
		} else {
			header = nil
		}
		key, value, ok := bytes.Cut(pair, []byte("="))
		if !ok {
			continue
		}
		switch string(bytes.TrimSpace(key)) {
		case n.session:
			e.session.add(bytes.TrimSpace(value))
		case n.device:
			e.device.add(bytes.TrimSpace(value))
		}
	}
}

// knownDevice is what the request shows of the device, "" for nothing that could
// be ours. Of two cookies neither counts: one of them was planted.
func (e *envelope) knownDevice() string {
	if e.device.count != 1 || len(e.device.value) > sessions.MaxDeviceText {
		return ""
	}
	return string(e.device.value)
}
