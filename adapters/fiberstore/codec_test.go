package fiberstore_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatehouse/adapters/fiberstore"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
)

var someKey = session.NewToken([32]byte{7}).Key()

// sessions are sessions of every shape.
func shapes() []session.Session {
	long := strings.Repeat("한", session.MaxUserAgentLength/3)
	var all []session.Session
	for _, ip := range []netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:192.0.2.1")} {
		for _, agent := range []string{"", "curl/8", long} {
			for _, remembered := range []bool{false, true} {
				all = append(all, session.Restore(session.State{
					ID: session.ID{UUID: newID()}, Key: someKey, UserID: user.ID{UUID: newID()},
					Epoch: int64(len(all)) << 40, Remembered: remembered, Device: session.Device{UserAgent: agent, IP: ip},
					CreatedAt: start, SeenAt: start.Add(time.Microsecond), IdleEnd: start.Add(time.Hour), End: start.AddDate(200, 0, 0),
				}))
			}
		}
	}
	// Before 1970, and no time at all.
	return append(all, session.Restore(session.State{Key: someKey, Epoch: -1, CreatedAt: time.Unix(-1, 999).UTC()}))
}

func TestCodecKeepsEverything(t *testing.T) {
	for _, want := range shapes() {
		got, err := fiberstore.Decode(someKey, fiberstore.Encode(want))
		if err != nil || got != want {
			t.Errorf("Decode(Encode(s)) = %+v, %v, want %+v", got.State(), err, want.State())
		}
	}
}

func TestCodecIsStrict(t *testing.T) {
	for _, s := range shapes() {
		v := fiberstore.Encode(s)
		for n := range v {
			if _, err := fiberstore.Decode(someKey, v[:n]); err == nil {
				t.Fatalf("Decode of the first %d of %d bytes = nil, want an error", n, len(v))
			}
		}
		for what, bad := range map[string][]byte{
			"a trailing byte":    append(bytes.Clone(v), 0),
			"another layout":     with(v, 16, 2),
			"an unknown flag":    with(v, 73, 2),
			"an address's size":  with(v, 74, 5),
			"no text":            append(bytes.Clone(v[:len(v)-len(s.Device().UserAgent)-2]), 0, 1, 0xff),
			"too short an agent": append(bytes.Clone(v[:len(v)-len(s.Device().UserAgent)-2]), 0xff, 0xff, 'x'),
		} {
			if _, err := fiberstore.Decode(someKey, bad); err == nil {
				t.Errorf("Decode(%s) = nil, want an error", what)
			}
		}
	}
}

func with(v []byte, at int, b byte) []byte {
	v = bytes.Clone(v)
	v[at] = b
	return v
}

// FuzzDecode: whatever stands in a row, the decoder does not panic, and what it
// accepts is what Encode would have written.
func FuzzDecode(f *testing.F) {
	for _, s := range shapes() {
		v := fiberstore.Encode(s)
		f.Add(v)
		f.Add(v[:len(v)-1])
		f.Add(append(bytes.Clone(v), 0))
		f.Add(with(v, 16, 2))
		f.Add(with(v, 74, 255))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, v []byte) {
		s, err := fiberstore.Decode(someKey, v)
		if err != nil {
			return
		}
		if again := fiberstore.Encode(s); !bytes.Equal(again, v) {
			t.Errorf("Encode(Decode(%x)) = %x", v, again)
		}
	})
}
