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

// shapes are sessions of every shape.
func shapes() []session.Session {
	long := strings.Repeat("한", session.MaxUserAgentLength/3)
	var all []session.Session
	for _, ip := range []netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:192.0.2.1")} {
		for _, agent := range []string{"", "curl/8", long} {
			for _, remembered := range []bool{false, true} {
				all = append(all, session.Restore(session.State{
					ID: session.ID{UUID: newID()}, Key: someKey, UserID: user.ID{UUID: newID()},
					Epoch: int64(len(all)) << 40, Remembered: remembered, Methods: session.Methods(len(all) % 8),
					Device:    session.Device{UserAgent: agent, IP: ip},
					CreatedAt: start, SeenAt: start.Add(time.Microsecond), ProvedAt: start.Add(time.Minute),
					IdleEnd: start.Add(time.Hour), End: start.AddDate(200, 0, 0),
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

// first gives a value in layout 1, as the release before wrote it.
func first(v []byte) []byte {
	v = append(bytes.Clone(v[:74]), v[83:]...)
	v[16] = 1
	return v
}

// A session that the release before wrote was begun with the password.
func TestCodecReadsTheFirstLayout(t *testing.T) {
	for _, s := range shapes() {
		want := s.State()
		want.Methods, want.ProvedAt = session.ByPassword, want.CreatedAt
		got, err := fiberstore.Decode(someKey, first(fiberstore.Encode(s)))
		if err != nil || got.State() != want {
			t.Errorf("Decode(layout 1) = %+v, %v, want %+v", got.State(), err, want)
		}
	}
}

func TestCodecIsStrict(t *testing.T) {
	for _, s := range shapes() {
		second := fiberstore.Encode(s)
		for device, v := range map[int][]byte{83: second, 74: first(second)} {
			for n := range v {
				if _, err := fiberstore.Decode(someKey, v[:n]); err == nil {
					t.Fatalf("Decode of the first %d of %d bytes = nil, want an error", n, len(v))
				}
			}
			beforeAgent := v[:len(v)-len(s.Device().UserAgent)-2]
			for what, bad := range map[string][]byte{
				"a trailing byte":    append(bytes.Clone(v), 0),
				"a later layout":     with(v, 16, 3),
				"no layout":          with(v, 16, 0),
				"an unknown flag":    with(v, 73, 2),
				"an address's size":  with(v, device, 5),
				"no text":            append(bytes.Clone(beforeAgent), 0, 1, 0xff),
				"too short an agent": append(bytes.Clone(beforeAgent), 0xff, 0xff, 'x'),
			} {
				if _, err := fiberstore.Decode(someKey, bad); err == nil {
					t.Errorf("Decode(%s) = nil, want an error", what)
				}
			}
		}
		if _, err := fiberstore.Decode(someKey, with(second, 74, 8)); err == nil {
			t.Error("Decode(an unknown method) = nil, want an error")
		}
	}
}

func with(v []byte, at int, b byte) []byte {
	v = bytes.Clone(v)
	v[at] = b
	return v
}

// FuzzDecode: whatever stands in a row, the decoder does not panic, and what it
// accepts is what Encode would have written, or the release before.
func FuzzDecode(f *testing.F) {
	for _, s := range shapes() {
		for _, v := range [][]byte{fiberstore.Encode(s), first(fiberstore.Encode(s))} {
			f.Add(v)
			f.Add(v[:len(v)-1])
			f.Add(append(bytes.Clone(v), 0))
			f.Add(with(v, 16, v[16]^3)) // the other layout
			f.Add(with(v, 74, 255))
		}
		f.Add(with(fiberstore.Encode(s), 83, 255))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, v []byte) {
		s, err := fiberstore.Decode(someKey, v)
		if err != nil {
			return
		}
		again := fiberstore.Encode(s)
		if v[16] == 1 {
			again = first(again)
		}
		if !bytes.Equal(again, v) {
			t.Errorf("Encode(Decode(%x)) = %x", v, again)
		}
	})
}
