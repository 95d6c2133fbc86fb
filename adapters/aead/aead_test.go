package aead_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"

	"gatehouse/adapters/aead"
	"gatehouse/ports"
	"gatehouse/ports/portstest"
)

var (
	first  = bytes.Repeat([]byte("1"), aead.MinSecretBytes)
	second = []byte("a secret of any length, as long as it has 32 bytes")
)

func sealer(t *testing.T, secrets ...[]byte) *aead.Sealer {
	t.Helper()
	s, err := aead.New(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	portstest.Sealer(t, func(t *testing.T) ports.Sealer { return sealer(t, first) })
	t.Run("several secrets", func(t *testing.T) {
		portstest.Sealer(t, func(t *testing.T) ports.Sealer { return sealer(t, second, first) })
	})
}

// A secret is replaced by putting a new one in front and, when nothing sealed
// with the old one is about any more, taking that away.
func TestSecretsCanBeReplaced(t *testing.T) {
	old, both, only := sealer(t, first), sealer(t, second, first), sealer(t, second)
	sealed := old.Seal("cookie", []byte("text"))
	if clear, ok := both.Open("cookie", sealed); !ok || string(clear) != "text" {
		t.Errorf("Open of what the older secret sealed = %q, %v, want the text", clear, ok)
	}
	if _, ok := only.Open("cookie", sealed); ok {
		t.Error("Open without the secret gives the text")
	}
	if clear, ok := only.Open("cookie", both.Seal("cookie", []byte("new"))); !ok || string(clear) != "new" {
		t.Errorf("the newest secret does not seal: %q, %v", clear, ok)
	}
}

// What was sealed years ago must still open: this was sealed by the first
// version of this package.
func TestTheLayoutIsKept(t *testing.T) {
	const sealed = "017cb4b197366aa83ead3cdec70208422d5980c95d469e716434b9ef276aa62f88114829a7b84fbd2d776fe4bfcdcb68f53bab02d44055"
	b, err := hex.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	if clear, ok := sealer(t, second, first).Open("a label", b); !ok || string(clear) != "kept for years" {
		t.Errorf("Open = %q, %v, want what was sealed", clear, ok)
	}
}

func TestSecretsHaveALength(t *testing.T) {
	for name, secrets := range map[string][][]byte{"none": nil, "an empty one": {nil}, "a short one": {first, first[1:]}} {
		if _, err := aead.New(secrets...); err == nil {
			t.Errorf("New takes %s", name)
		}
	}
}

// Whatever is changed of what was sealed, it does not open.
func TestForgeries(t *testing.T) {
	s := sealer(t, first)
	rapid.Check(t, func(t *rapid.T) {
		sealed := s.Seal("label", rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "clear"))
		at := rapid.IntRange(0, len(sealed)-1).Draw(t, "at")
		sealed[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		if _, ok := s.Open("label", sealed); ok {
			t.Fatalf("opens with byte %d of %d changed", at, len(sealed))
		}
	})
}

// FuzzOpen: whatever is presented, there is no panic, and nothing opens that
// was not sealed.
func FuzzOpen(f *testing.F) {
	s, err := aead.New(first)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("label", []byte{1})
	f.Add("", s.Seal("label", []byte("text")))
	f.Fuzz(func(t *testing.T, label string, sealed []byte) {
		if _, ok := s.Open("not "+label, sealed); ok {
			t.Errorf("Open(%q) of %x gives something", label, sealed)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	s, _ := aead.New(second, first)
	sealed := s.Seal("device", make([]byte, 40))
	b.ReportAllocs()
	for b.Loop() {
		s.Open("device", sealed)
	}
}
