package uuid_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/domain/uuid"
)

// The example of RFC 9562 appendix A.6.
func TestNewFollowsTheRFC(t *testing.T) {
	at := time.UnixMilli(0x017F22E279B0)
	u := uuid.New(at, [8]byte{0x18, 0xC4, 0xDC, 0x0C, 0x0C, 0x07, 0x39, 0x8F})
	if got, want := u.String(), "017f22e2-79b0-7000-98c4-dc0c0c07398f"; got != want {
		t.Errorf("New = %s, want %s", got, want)
	}
}

func TestLaterIsGreater(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64Range(0, 1<<50).Draw(t, "a") // µs
		b := a + rapid.Int64Range(1, 1<<40).Draw(t, "later")
		random := [8]byte(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "random"))
		first, second := uuid.New(time.UnixMicro(a), random), uuid.New(time.UnixMicro(b), [8]byte{})
		if first.Compare(second) >= 0 {
			t.Fatalf("%s of %d µs is not less than %s of %d µs", first, a, second, b)
		}
	})
}

func TestTime(t *testing.T) {
	at := time.Date(2026, 11, 25, 4, 40, 0, 123_456_789, time.FixedZone("KST", 9*60*60))
	if got, want := uuid.New(at, [8]byte{0xff}).Time(), at.UTC().Truncate(time.Millisecond); got != want {
		t.Errorf("Time = %s, want %s", got, want)
	}
}

func TestParse(t *testing.T) {
	const text = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
	for s, want := range map[string]bool{
		text:                                   true,
		"017F22E2-79B0-7CC3-98C4-DC0C0C07398F": true,
		"":                                     false,
		"017f22e279b07cc398c4dc0c0c07398f":     false,
		"{" + text + "}":                       false,
		"urn:uuid:" + text:                     false,
		"017f22e2-79b0-7cc3-98c4-dc0c0c07398g": false,
		"017f22e2+79b0-7cc3-98c4-dc0c0c07398f": false,
		text + "0":                             false,
		text[:35] + "\x00":                     false,
	} {
		u, ok := uuid.Parse(s)
		if ok != want {
			t.Errorf("Parse(%q) = %v, want %v", s, ok, want)
		}
		if ok && u.String() != text {
			t.Errorf("Parse(%q).String() = %s, want %s", s, u, text)
		}
		if !ok && !u.IsZero() {
			t.Errorf("Parse(%q) = %s, want zero", s, u)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
	f.Fuzz(func(t *testing.T, s string) {
		if u, ok := uuid.Parse(s); ok {
			if again, ok := uuid.Parse(u.String()); !ok || again != u {
				t.Errorf("Parse(%q) = %s, which reads as %s", s, u, again)
			}
		}
	})
}
