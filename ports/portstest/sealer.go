package portstest

import (
	"bytes"
	"slices"
	"testing"

	"gatehouse/ports"
)

// Sealer holds a ports.Sealer to its promises.
func Sealer(t *testing.T, open func(t *testing.T) ports.Sealer) { run(t, sealerChecks, open) }

var sealerChecks = []check[ports.Sealer]{
	{"what was sealed opens under its label", sealerOpens},
	{"it opens under no other", sealerLabels},
	{"two seals of one text differ", sealerFresh},
	{"nothing of the text can be read", sealerHides},
	{"what was changed does not open", sealerForged},
	{"what was never sealed does not open", sealerGarbage},
	{"nothing handed in or out is shared", sealerCopies},
	{"many at once", sealerAtOnce},
}

func sealerOpens(t tester, s ports.Sealer) {
	for _, clear := range [][]byte{{}, {0}, []byte("text"), bytes.Repeat([]byte("비밀"), 10_000)} {
		for _, label := range []string{"", "label", "라벨 \x00"} {
			got, ok := s.Open(label, s.Seal(label, clear))
			if !ok || !bytes.Equal(got, clear) {
				t.Errorf("Open(%q) of %d sealed bytes = %d bytes, %v, want them", label, len(clear), len(got), ok)
			}
		}
	}
}

// A value that is good for one purpose must not do for another: a device's
// cookie is no second factor.
func sealerLabels(t tester, s ports.Sealer) {
	sealed := s.Seal("label", []byte("text"))
	for _, label := range []string{"", "labe", "label ", "Label", "label\x00", "other"} {
		if got, ok := s.Open(label, sealed); ok || got != nil {
			t.Errorf("Open(%q) of what was sealed under another label = %q, %v, want nothing", label, got, ok)
		}
	}
}

func sealerFresh(t tester, s ports.Sealer) {
	var seen [][]byte
	for range 100 {
		sealed := s.Seal("label", []byte("text"))
		if slices.ContainsFunc(seen, func(o []byte) bool { return bytes.Equal(o, sealed) }) {
			t.Fatalf("two seals of one text are equal: who sees both knows that the texts are")
		}
		seen = append(seen, sealed)
	}
}

func sealerHides(t tester, s ports.Sealer) {
	clear := []byte("a text that can be told")
	sealed := s.Seal("label of it", clear)
	for _, part := range []string{string(clear), "text that", "label"} {
		if bytes.Contains(sealed, []byte(part)) {
			t.Errorf("%q stands in what was sealed", part)
		}
	}
}

func sealerForged(t tester, s ports.Sealer) {
	sealed := s.Seal("label", []byte("user=1"))
	for at := range sealed {
		for _, flip := range []byte{1, 0x80, 0xff} {
			forged := slices.Clone(sealed)
			forged[at] ^= flip
			if got, ok := s.Open("label", forged); ok || got != nil {
				t.Errorf("Open with byte %d of %d changed = %q, %v, want nothing", at, len(sealed), got, ok)
			}
		}
	}
	for cut := range len(sealed) {
		if _, ok := s.Open("label", sealed[:cut]); ok {
			t.Errorf("Open of the first %d bytes of %d = true, want false", cut, len(sealed))
		}
	}
	for name, forged := range map[string][]byte{"a byte more": append(slices.Clone(sealed), 0), "twice": slices.Concat(sealed, sealed)} {
		if _, ok := s.Open("label", forged); ok {
			t.Errorf("Open of %s = true, want false", name)
		}
	}
}

func sealerGarbage(t tester, s ports.Sealer) {
	for _, n := range []int{0, 1, 12, 16, 24, 40, 41, 42, 100, 10_000} {
		for _, fill := range []byte{0, 1, 0xff} {
			if got, ok := s.Open("label", bytes.Repeat([]byte{fill}, n)); ok || got != nil {
				t.Errorf("Open(%d bytes of %d) = %q, %v, want nothing", n, fill, got, ok)
			}
		}
	}
	if _, ok := s.Open("label", []byte("text")); ok {
		t.Errorf("Open(text) = true, want false")
	}
}

func sealerCopies(t tester, s ports.Sealer) {
	clear := []byte("text")
	sealed := s.Seal("label", clear)
	want(t, string(clear), "text", "the text after Seal")
	clear[0] = 'X'
	kept := slices.Clone(sealed)
	got, ok := s.Open("label", sealed)
	if !ok || string(got) != "text" {
		t.Errorf("Open = %q, %v, want the text as it was when it was sealed", got, ok)
	}
	if !bytes.Equal(sealed, kept) {
		t.Errorf("Open has changed what it was given")
	}
	if len(got) > 0 {
		got[0] = 'X'
	}
	if again, _ := s.Open("label", kept); string(again) != "text" {
		t.Errorf("Open again = %q, want the text", again)
	}
}

func sealerAtOnce(t tester, s ports.Sealer) {
	atOnce(8, func(i int) {
		clear := bytes.Repeat([]byte{byte(i)}, 1000)
		for range 50 {
			if got, ok := s.Open("label", s.Seal("label", clear)); !ok || !bytes.Equal(got, clear) {
				t.Errorf("Open beside others = %d bytes, %v, want what was sealed", len(got), ok)
			}
		}
	})
}
