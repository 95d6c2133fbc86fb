package portstest

import (
	"bytes"
	"slices"
	"sync"
	"testing"

	"gatehouse/adapters/aead"
	"gatehouse/ports"
)

func TestSealerChecksCanFail(t *testing.T) {
	prove(t, sealerChecks, func() ports.Sealer {
		s, err := aead.New(bytes.Repeat([]byte("k"), aead.MinSecretBytes))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, sealerMutants)
}

// sealer is a sealer with some of its methods replaced.
type sealer struct {
	ports.Sealer
	seal func(string, []byte) []byte
	open func(string, []byte) ([]byte, bool)
}

func (s sealer) Seal(label string, clear []byte) []byte {
	if s.seal == nil {
		return s.Sealer.Seal(label, clear)
	}
	return s.seal(label, clear)
}

func (s sealer) Open(label string, sealed []byte) ([]byte, bool) {
	if s.open == nil {
		return s.Sealer.Open(label, sealed)
	}
	return s.open(label, sealed)
}

func sealerMutant(check, fault string, f func(r ports.Sealer) sealer) mutant[ports.Sealer] {
	return mutant[ports.Sealer]{check, fault, func(r ports.Sealer) ports.Sealer {
		m := f(r)
		m.Sealer = r
		return m
	}}
}

// relabelled is a sealer that takes every label for another.
func relabelled(f func(string) string) func(ports.Sealer) sealer {
	return func(r ports.Sealer) sealer {
		return sealer{
			seal: func(label string, clear []byte) []byte { return r.Seal(f(label), clear) },
			open: func(label string, sealed []byte) ([]byte, bool) { return r.Open(f(label), sealed) },
		}
	}
}

var sealerMutants = []mutant[ports.Sealer]{
	sealerMutant("what was sealed opens under its label", "opens nothing", func(ports.Sealer) sealer {
		return sealer{open: func(string, []byte) ([]byte, bool) { return nil, false }}
	}),
	sealerMutant("what was sealed opens under its label", "opens no empty text", func(r ports.Sealer) sealer {
		return sealer{open: func(label string, sealed []byte) ([]byte, bool) {
			clear, ok := r.Open(label, sealed)
			return clear, ok && len(clear) > 0
		}}
	}),
	sealerMutant("it opens under no other", "does not look at labels", relabelled(func(string) string { return "" })),
	sealerMutant("it opens under no other", "trims labels", relabelled(func(s string) string { return string(bytes.TrimRight([]byte(s), " \x00")) })),
	sealerMutant("two seals of one text differ", "uses one nonce", func(r ports.Sealer) sealer {
		var cache kept[[]byte]
		return sealer{seal: func(label string, clear []byte) []byte {
			sealed, _ := cache.first(func() ([]byte, error) { return r.Seal(label, clear), nil })
			return slices.Clone(sealed)
		}}
	}),
	sealerMutant("nothing of the text can be read", "signs without encrypting", func(r ports.Sealer) sealer {
		return sealer{seal: func(label string, clear []byte) []byte { return append(r.Seal(label, clear), clear...) }}
	}),
	sealerMutant("nothing of the text can be read", "writes the label in front", func(r ports.Sealer) sealer {
		return sealer{seal: func(label string, clear []byte) []byte { return append([]byte(label), r.Seal(label, clear)...) }}
	}),
	sealerMutant("what was changed does not open", "does not look at the last byte", func(r ports.Sealer) sealer {
		return sealer{
			seal: func(label string, clear []byte) []byte { return append(r.Seal(label, clear), 0) },
			open: func(label string, sealed []byte) ([]byte, bool) { return r.Open(label, sealed[:max(0, len(sealed)-1)]) },
		}
	}),
	sealerMutant("what was changed does not open", "gives out what it could not check", func(r ports.Sealer) sealer {
		return sealer{open: func(label string, sealed []byte) ([]byte, bool) {
			clear, ok := r.Open(label, sealed)
			if !ok {
				clear = sealed
			}
			return clear, ok
		}}
	}),
	sealerMutant("what was never sealed does not open", "takes what is short for clear text", func(r ports.Sealer) sealer {
		return sealer{open: func(label string, sealed []byte) ([]byte, bool) {
			if len(sealed) < 24 {
				return sealed, true
			}
			return r.Open(label, sealed)
		}}
	}),
	sealerMutant("nothing handed in or out is shared", "wipes what it is given to open", func(r ports.Sealer) sealer {
		return sealer{open: func(label string, sealed []byte) ([]byte, bool) {
			clear, ok := r.Open(label, sealed)
			clearAll(sealed)
			return clear, ok
		}}
	}),
	sealerMutant("nothing handed in or out is shared", "wipes what it is given to seal", func(r ports.Sealer) sealer {
		return sealer{seal: func(label string, clear []byte) []byte {
			sealed := r.Seal(label, clear)
			clearAll(clear)
			return sealed
		}}
	}),
	sealerMutant("many at once", "keeps the text in one place", func(r ports.Sealer) sealer {
		var mu sync.Mutex
		var last kept[[]byte]
		return sealer{open: func(label string, sealed []byte) ([]byte, bool) {
			clear, ok := r.Open(label, sealed)
			mu.Lock()
			defer mu.Unlock()
			if same, _ := last.first(func() ([]byte, error) { return clear, nil }); len(same) == len(clear) {
				return same, ok
			}
			return clear, ok
		}}
	}),
}

func clearAll(b []byte) {
	for i := range b {
		b[i] = 0
	}
}
