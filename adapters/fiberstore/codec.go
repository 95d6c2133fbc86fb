package fiberstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"
	"unicode/utf8"

	"gatehouse/domain/session"
	"gatehouse/domain/user"
)

// The value of a session, all numbers big-endian and times in microseconds
// since 1970:
//
//	offset  bytes
//	     0     16  user id (the generated column user_id reads it)
//	    16      1  version of this layout
//	    17     16  session handle
//	    33      8  session epoch
//	    41      8  created
//	    49      8  seen
//	    57      8  end if not used (the generated column idle_end reads it)
//	    65      8  end
//	    73      1  flags: bit 0, remembered
//	    74      1  methods
//	    75      8  proved
//	    83  1 + n  IP address, its length in front: 0, 4 or 16
//	     …  2 + n  User-Agent, its length in front
//
// Layout 1, which is still read, lacks methods and proved: such a session was
// begun with the password, and nothing was proved since. The layout up to the
// flags is fixed for every version, because SQL looks into it, and so is where
// the methods are from layout 2 on. The key is not in it: it is the key of the
// row.
const (
	layout    = 2
	fixedSize = 83

	firstLayout    = 1
	firstFixedSize = 74

	atVersion = 16
	atHandle  = 17
	atEpoch   = 33
	atCreated = 41
	atSeen    = 49
	atIdleEnd = 57
	atEnd     = 65
	atFlags   = 73
	atMethods = 74
	atProved  = 75

	flagRemembered = 1
)

// encode writes a session down. Of a User-Agent it keeps what a length of two
// bytes can tell, which is far more than a session.Device holds.
func encode(s session.Session) []byte {
	t := s.State()
	ip, agent := t.Device.IP.AsSlice(), t.Device.UserAgent
	agent = agent[:min(len(agent), math.MaxUint16)]
	v := make([]byte, fixedSize, fixedSize+1+len(ip)+2+len(agent))
	copy(v, t.UserID.UUID[:])
	v[atVersion] = layout
	copy(v[atHandle:], t.ID.UUID[:])
	putInt(v[atEpoch:], t.Epoch)
	putInt(v[atCreated:], t.CreatedAt.UnixMicro())
	putInt(v[atSeen:], t.SeenAt.UnixMicro())
	putInt(v[atIdleEnd:], t.IdleEnd.UnixMicro())
	putInt(v[atEnd:], t.End.UnixMicro())
	if t.Remembered {
		v[atFlags] = flagRemembered
	}
	v[atMethods] = byte(t.Methods)
	putInt(v[atProved:], t.ProvedAt.UnixMicro())
	v = append(v, byte(len(ip)))
	v = append(v, ip...)
	v = binary.BigEndian.AppendUint16(v, uint16(len(agent)))
	return append(v, agent...)
}

// errShort answers a value that ends too early.
var errShort = errors.New("the value of a session is cut short")

// decode reads what encode wrote, now or in the release before, and refuses
// anything else: what cannot be read exactly was not written by us.
func decode(k session.Key, v []byte) (session.Session, error) {
	if len(v) < firstFixedSize {
		return session.Session{}, errShort
	}
	if v[atFlags]&^flagRemembered != 0 {
		return session.Session{}, fmt.Errorf("the value of a session has unknown flags %#x", v[atFlags])
	}
	methods, proved, rest, err := decodeProof(v)
	if err != nil {
		return session.Session{}, err
	}
	device, err := decodeDevice(rest)
	if err != nil {
		return session.Session{}, err
	}
	return session.Restore(session.State{
		ID: session.ID{UUID: [16]byte(v[atHandle:])}, Key: k, UserID: user.ID{UUID: [16]byte(v)},
		Epoch: getInt(v[atEpoch:]), Remembered: v[atFlags] == flagRemembered, Methods: methods, Device: device,
		CreatedAt: getTime(v[atCreated:]), SeenAt: getTime(v[atSeen:]), ProvedAt: proved,
		IdleEnd: getTime(v[atIdleEnd:]), End: getTime(v[atEnd:]),
	}), nil
}

// decodeProof reads how and when the holder was proved, and gives what comes
// after that.
func decodeProof(v []byte) (m session.Methods, at time.Time, rest []byte, err error) {
	switch {
	case v[atVersion] == firstLayout:
		return session.ByPassword, getTime(v[atCreated:]), v[firstFixedSize:], nil
	case v[atVersion] != layout:
		return 0, time.Time{}, nil, fmt.Errorf("the value of a session has the unknown layout %d", v[atVersion])
	case len(v) < fixedSize:
		return 0, time.Time{}, nil, errShort
	}
	if m = session.Methods(v[atMethods]); !m.Known() {
		return 0, time.Time{}, nil, fmt.Errorf("the value of a session has unknown methods %#x", v[atMethods])
	}
	return m, getTime(v[atProved:]), v[fixedSize:], nil
}

func decodeDevice(v []byte) (session.Device, error) {
	if len(v) < 1 || len(v) < 1+int(v[0])+2 {
		return session.Device{}, errShort
	}
	n := int(v[0])
	ip, ok := netip.AddrFromSlice(v[1 : 1+n])
	if !ok && n != 0 {
		return session.Device{}, fmt.Errorf("the value of a session has an address of %d bytes", n)
	}
	v = v[1+n:]
	agent := v[2:]
	switch want := int(binary.BigEndian.Uint16(v)); {
	case len(agent) < want:
		return session.Device{}, errShort
	case len(agent) > want:
		return session.Device{}, errors.New("the value of a session goes on after its end")
	case !utf8.Valid(agent):
		return session.Device{}, errors.New("the User-Agent of a session is no text")
	}
	return session.Device{UserAgent: string(agent), IP: ip}, nil
}

func putInt(b []byte, n int64)   { binary.BigEndian.PutUint64(b, uint64(n)) }
func getInt(b []byte) int64      { return int64(binary.BigEndian.Uint64(b)) }
func getTime(b []byte) time.Time { return time.UnixMicro(getInt(b)).UTC() }
