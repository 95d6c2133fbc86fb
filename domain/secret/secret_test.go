package secret_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gatehouse/domain/secret"
)

var token = secret.NewToken([32]byte{1, 2, 3})

func TestToken(t *testing.T) {
	text := token.Reveal()
	if len(text) != 43 {
		t.Errorf("a token has %d characters, want 43 for 256 bits", len(text))
	}
	if got, ok := secret.ParseToken(text); !ok || got != token {
		t.Errorf("ParseToken refused what NewToken made")
	}
	for _, s := range []string{
		"", "short", text[:42], text + "A", text + "=", strings.Repeat("A", 42) + "B", // stray bits: a second spelling of one token
		strings.Repeat("+", 43), strings.Repeat("\x00", 43), strings.Repeat("\xff", 43), text[:42] + "\n", text[:41] + "\r\n", "\n" + text[1:], strings.Repeat("A", 8192),
	} {
		if got, ok := secret.ParseToken(s); ok || got != (secret.Token{}) {
			t.Errorf("ParseToken(%q) took it", s)
		}
	}
}

func TestKey(t *testing.T) {
	sum := sha256.Sum256([]byte(token.Reveal()))
	k := token.Key()
	if got := k.Hex(); got != hex.EncodeToString(sum[:]) {
		t.Errorf("Key = %s, want the SHA-256 of the token", got)
	}
	if got, ok := secret.ParseKey(k.Hex()); !ok || got != k || k.IsZero() {
		t.Error("ParseKey(Hex) is another key")
	}
	if !(secret.Key{}).IsZero() {
		t.Error("the zero key is one")
	}
	for _, s := range []string{"", k.Hex()[:62], k.Hex() + "00", "g" + k.Hex()[1:], strings.Repeat("\x00", 64)} {
		if got, ok := secret.ParseKey(s); ok || !got.IsZero() {
			t.Errorf("ParseKey(%q) took it", s)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(token.Reveal())
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := secret.ParseToken(s); ok && got.Reveal() != s {
			t.Errorf("ParseToken(%q) is the token %q", s, got.Reveal())
		}
	})
}

func TestSecretsDoNotPrint(t *testing.T) {
	k := token.Key()
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("signed in", "token", token, "key", k)
	said := []string{log.String()}
	for _, one := range []any{token, &token, k, &k, []secret.Token{token}, struct {
		Token secret.Token
		Key   secret.Key
	}{token, k}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			said = append(said, fmt.Sprintf(verb, one))
		}
	}
	for _, s := range said {
		if strings.Contains(s, token.Reveal()) || strings.Contains(s, hex.EncodeToString([]byte(token.Reveal())[:4])) || strings.Contains(s, k.Hex()[:8]) {
			t.Errorf("printed as %s", s)
		}
	}
}

// BenchmarkToken is what a request's token costs before the store is asked: its
// shape is checked and it is hashed.
func BenchmarkToken(b *testing.B) {
	text := secret.NewToken([32]byte{1, 2, 3}).Reveal()
	b.ReportAllocs()
	for b.Loop() {
		token, ok := secret.ParseToken(text)
		if !ok {
			b.Fatal("it is none")
		}
		_ = token.Key().Hex()
	}
}
