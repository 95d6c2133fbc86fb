// Package uuid is the shape of every id in the house: a UUID of version 7
// (RFC 9562 section 5.7), which sorts by the time at which it was made.
//
// The domain draws no randomness and reads no clock: [New] takes both. Where
// ids come from is ports.Random.
package uuid

import (
	"bytes"
	"encoding/hex"
	"time"
)

// UUID is a 128-bit identifier. The zero value is no id.
type UUID [16]byte

// New builds a version 7 UUID from a time (used to the millisecond, the
// remainder to about a quarter of a microsecond in the 12 bits after the
// version, RFC 9562 section 6.2 method 3) and eight random bytes.
func New(at time.Time, random [8]byte) UUID {
	var u UUID
	ms := uint64(at.UnixMilli())
	frac := uint64(at.Nanosecond()%int(time.Millisecond)) << 12 / uint64(time.Millisecond)
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	u[6] = 0x70 | byte(frac>>8)
	u[7] = byte(frac)
	copy(u[8:], random[:])
	u[8] = u[8]&0x3f | 0x80
	return u
}

// Parse reads the canonical form of 36 characters, in either case
// (RFC 9562 section 4). Braces, URNs and bare hex are not accepted.
func Parse(s string) (UUID, bool) {
	var u UUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return UUID{}, false
	}
	at := 0
	for _, part := range [...]string{s[:8], s[9:13], s[14:18], s[19:23], s[24:]} {
		n, err := hex.Decode(u[at:], []byte(part))
		if err != nil {
			return UUID{}, false
		}
		at += n
	}
	return u, true
}

// String is the canonical form in lower case.
func (u UUID) String() string {
	var b [36]byte
	return string(u.AppendTo(b[:0]))
}

// AppendTo appends the canonical form.
func (u UUID) AppendTo(to []byte) []byte {
	var b [36]byte
	hex.Encode(b[:8], u[:4])
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:], u[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return append(to, b[:]...)
}

// Time is when u was made, in UTC and to the millisecond; of an id that is not of
// version 7 it means nothing.
func (u UUID) Time() time.Time {
	var ms int64
	for _, b := range u[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}

// IsZero reports whether u is no id.
func (u UUID) IsZero() bool { return u == UUID{} }

// Compare orders by bytes, which for version 7 is by time of making.
func (u UUID) Compare(o UUID) int { return bytes.Compare(u[:], o[:]) }
