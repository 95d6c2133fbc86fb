package session_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

var (
	noon  = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ann   = user.ID{UUID: uuid.UUID{1}}
	token = session.NewToken([32]byte{1, 2, 3})
)

func begin(l session.Lifetime, remembered bool) session.Session {
	return session.Begin(session.Start{
		ID: session.ID{UUID: uuid.UUID{2}}, Key: token.Key(), UserID: ann, Epoch: 7, Remembered: remembered, Methods: session.ByPassword,
	}, l, noon)
}

func TestTheTwoClocks(t *testing.T) {
	l := session.Lifetime{Idle: time.Hour, Absolute: 3 * time.Hour, Remembered: 10 * time.Hour, Step: time.Minute}
	for _, c := range []struct {
		name       string
		remembered bool
		use        []time.Duration // renewed at these times after noon
		at         time.Duration
		want       string
	}{
		{"fresh", false, nil, 0, ""},
		{"a moment before it falls idle", false, nil, time.Hour - time.Microsecond, ""},
		{"the instant it falls idle", false, nil, time.Hour, "idle"},
		{"used", false, []time.Duration{50 * time.Minute}, 100 * time.Minute, ""},
		{"used, then not", false, []time.Duration{50 * time.Minute}, 110 * time.Minute, "idle"},
		{"used within the step", false, []time.Duration{59 * time.Second}, time.Hour, "idle"},
		{"used after it fell idle", false, []time.Duration{61 * time.Minute}, 62 * time.Minute, "idle"},
		{"in steady use to the end", false, []time.Duration{50 * time.Minute, 100 * time.Minute, 150 * time.Minute}, 3*time.Hour - time.Microsecond, ""},
		{"however much it is used", false, []time.Duration{50 * time.Minute, 100 * time.Minute, 150 * time.Minute}, 3 * time.Hour, "expired"},
		{"remembered", true, []time.Duration{50 * time.Minute, 100 * time.Minute, 150 * time.Minute}, 3 * time.Hour, ""},
	} {
		s := begin(l, c.remembered)
		for _, at := range c.use {
			s, _ = s.Renewed(l, noon.Add(at))
		}
		reason, over := s.Ended(noon.Add(c.at))
		if over != (c.want != "") || reason.String() != c.want {
			t.Errorf("%s: Ended = %q, %v, want %q", c.name, reason, over, c.want)
		}
	}
}

// Whatever the lifetimes and however a session is used: it never outlives its
// absolute end, an ended one is never renewed, use more often than the idle
// time keeps it alive, and writing happens at most once per step.
func TestLifetimeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		minutes := func(name string, least int) time.Duration {
			return time.Duration(rapid.IntRange(least, 3000).Draw(t, name)) * time.Minute
		}
		l := session.Lifetime{Idle: minutes("idle", 1), Absolute: minutes("absolute", 1), Remembered: minutes("remembered", 1), Step: minutes("step", 0)}
		remembered := rapid.Bool().Draw(t, "remember")
		s := begin(l, remembered)
		end, step := noon.Add(l.Absolute), min(l.Step, l.Idle/4)
		if remembered {
			end = noon.Add(l.Remembered)
		}
		now, seen := noon, noon
		for range rapid.IntRange(0, 30).Draw(t, "uses") {
			now = now.Add(time.Duration(rapid.IntRange(0, int(l.Idle/time.Second)).Draw(t, "pause")) * time.Second)
			_, over := s.Ended(now)
			next, due := s.Renewed(l, now)
			switch {
			case over && (due || next != s):
				t.Fatalf("renewed at %v after its end", now)
			case !over && due != (now.Sub(seen) >= step):
				t.Fatalf("due = %v after %v with a step of %v", due, now.Sub(seen), step)
			case next.IdleEnd().After(end) || next.ExpiresAt() != end:
				t.Fatalf("idle end %v, end %v, want at most and exactly %v", next.IdleEnd(), next.ExpiresAt(), end)
			case !over && now.Sub(seen) < l.Idle-step && now.Before(end) && next.IdleEnd().Sub(now) < min(l.Idle-step, end.Sub(now)):
				t.Fatalf("in use at %v, yet it falls idle at %v", now, next.IdleEnd())
			}
			if due {
				seen = now
			}
			s = next
		}
		if _, over := s.Ended(end); !over {
			t.Fatal("outlives its absolute end")
		}
	})
}

func TestRotationChangesTheTokenAlone(t *testing.T) {
	s := begin(session.DefaultLifetime, true)
	next := s.Rotated(session.NewToken([32]byte{9}).Key(), 8)
	want := s.State()
	want.Key, want.Epoch = session.NewToken([32]byte{9}).Key(), 8
	if next.State() != want {
		t.Errorf("Rotated = %+v, want %+v", next.State(), want)
	}
	if session.Restore(s.State()) != s {
		t.Error("Restore(State) is another session")
	}
}

func TestGoodNeedsAllThree(t *testing.T) {
	e, _ := user.NewEmail("ann@example.com")
	with := func(change func(*user.User)) user.User {
		u := user.Restore(user.State{ID: ann, Email: e, Status: user.Active, SessionEpoch: 7})
		change(&u)
		return u
	}
	same := func(*user.User) {}
	s := begin(session.DefaultLifetime, false)
	for name, c := range map[string]struct {
		u    user.User
		at   time.Time
		want bool
	}{
		"good":                           {with(same), noon, true},
		"over":                           {with(same), noon.Add(24 * time.Hour), false},
		"password changed":               {with(func(u *user.User) { u.ChangePassword(user.PasswordHash{}, noon) }), noon, false},
		"disabled":                       {with(func(u *user.User) { u.Disable(noon) }), noon, false},
		"disabled before it began":       {user.Restore(user.State{ID: ann, Status: user.Disabled, SessionEpoch: 7}), noon, false},
		"epoch of a restored old backup": {user.Restore(user.State{ID: ann, Status: user.Active, SessionEpoch: 6}), noon, false},
	} {
		if got := (session.Resumed{Session: s, User: c.u}).Good(c.at); got != c.want {
			t.Errorf("%s: Good = %v, want %v", name, got, c.want)
		}
	}
}

func TestToken(t *testing.T) {
	text := token.Reveal()
	if len(text) != 43 {
		t.Errorf("a token has %d characters, want 43 for 256 bits", len(text))
	}
	sum := sha256.Sum256([]byte(text))
	if got := token.Key().Hex(); got != hex.EncodeToString(sum[:]) {
		t.Errorf("Key = %s, want the SHA-256 of the token", got)
	}
	if k, ok := session.ParseKey(token.Key().Hex()); !ok || k != token.Key() {
		t.Error("ParseKey(Hex) is another key")
	}
	for _, s := range []string{
		"", "short", text[:42], text + "A", text + "=", strings.Repeat("A", 42) + "B", // stray bits: a second spelling of one token
		strings.Repeat("+", 43), strings.Repeat("\x00", 43), strings.Repeat("\xff", 43), text[:42] + "\n", text[:41] + "\r\n", "\n" + text[1:], strings.Repeat("A", 8192),
	} {
		if _, ok := session.ParseToken(s); ok {
			t.Errorf("ParseToken(%q) took it", s)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(token.Reveal())
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := session.ParseToken(s); ok && got.Reveal() != s {
			t.Errorf("ParseToken(%q) is the token %q", s, got.Reveal())
		}
	})
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := begin(session.DefaultLifetime, false)
	for _, secret := range []any{token, token.Key(), s, &s, session.Resumed{Session: s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			got := fmt.Sprintf(verb, secret)
			if strings.Contains(got, token.Reveal()) || strings.Contains(got, token.Key().Hex()) || strings.Contains(got, token.Key().Hex()[:8]) {
				t.Errorf("Sprintf(%q, %T) = %s", verb, secret, got)
			}
		}
	}
}

func TestDeviceKeepsWhatIsText(t *testing.T) {
	d := session.NewDevice("Mozilla\x00/5.0\r\n"+strings.Repeat("가", 300)+"\xff", netip.MustParseAddr("::ffff:192.0.2.1"))
	if !strings.HasPrefix(d.UserAgent, "Mozilla/5.0가") || len(d.UserAgent) > session.MaxUserAgentLength || !utf8.ValidString(d.UserAgent) {
		t.Errorf("UserAgent = %q", d.UserAgent)
	}
	if d.IP != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("IP = %v, want 192.0.2.1", d.IP)
	}
}
