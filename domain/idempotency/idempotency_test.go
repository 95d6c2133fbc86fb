package idempotency_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"gatehouse/domain/idempotency"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

func TestParseKey(t *testing.T) {
	for s, want := range map[string]bool{
		"": false, "a": true, "!": true, "~": true, `"8e03978e-40d5-43e1-bc93-6894a57f9324"`: true,
		strings.Repeat("k", idempotency.MaxKeyLength):   true,
		strings.Repeat("k", idempotency.MaxKeyLength+1): false,
		"a b": false, " a": false, "a\t": false, "a\x00": false, "a\x7f": false, "ключ": false, "a\xff": false, "a\u00a0b": false,
	} {
		k, ok := idempotency.ParseKey(s)
		if ok != want || ok && k.IsZero() {
			t.Errorf("ParseKey(%q) = %t, want %t", s, ok, want)
		}
	}
}

// A key is one caller's, for one act.
func TestWhatAKeyStandsFor(t *testing.T) {
	ann, bob := user.ID{UUID: uuid.UUID{1}}, user.ID{UUID: uuid.UUID{2}}
	key := func(s string) idempotency.Key {
		k, ok := idempotency.ParseKey(s)
		if !ok {
			t.Fatalf("ParseKey(%q) refuses", s)
		}
		return k
	}
	one := key("k").Of(ann, "createProduct")
	if one != key("k").Of(ann, "createProduct") || len(one.Hex()) != 64 {
		t.Error("one key of one caller stands for two things")
	}
	for what, other := range map[string]idempotency.ID{
		"another key": key("K").Of(ann, "createProduct"), "another caller": key("k").Of(bob, "createProduct"), "another act": key("k").Of(ann, "other"),
	} {
		if other == one {
			t.Errorf("%s stands for the same", what)
		}
	}
}

func TestReplay(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 123456789, time.FixedZone("KST", 9*60*60))
	k := idempotency.Keep(idempotency.ID{1}, user.ID{UUID: uuid.UUID{1}}, idempotency.DigestOf([]byte("body")), []byte("answer"), now)
	if k.At != now.UTC().Truncate(time.Microsecond) || k.Until != k.At.Add(24*time.Hour) {
		t.Errorf("kept from %v until %v", k.At, k.Until)
	}
	if got, err := k.Replay(idempotency.DigestOf([]byte("body"))); err != nil || !bytes.Equal(got, []byte("answer")) {
		t.Errorf("Replay(the same) = %q, %v", got, err)
	}
	for _, other := range []string{"", "Body", "body "} {
		if got, err := k.Replay(idempotency.DigestOf([]byte(other))); !errors.Is(err, idempotency.ErrMismatch) || got != nil {
			t.Errorf("Replay(%q) = %q, %v, want ErrMismatch", other, got, err)
		}
	}
}
