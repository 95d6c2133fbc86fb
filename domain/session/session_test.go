package session_test

import (
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

// resumed is the session with its user as they are after change.
func resumed(s session.Session, change func(*user.User)) session.Resumed {
	e, _ := user.NewEmail("ann@example.com")
	u := user.Restore(user.State{ID: ann, Email: e, Status: user.Active, SessionEpoch: 7})
	change(&u)
	return session.Resumed{Session: s, User: u}
}

func same(*user.User)                 {}
func disabled(u *user.User)           { u.Disable(noon) }
func withNewPassword(u *user.User)    { u.ChangePassword(user.PasswordHash{}, noon) }
func restored(s user.State) user.User { s.ID = ann; return user.Restore(s) }

func TestGoodNeedsAllThree(t *testing.T) {
	s := begin(session.DefaultLifetime, false)
	for name, c := range map[string]struct {
		r    session.Resumed
		at   time.Time
		over string // why, "" for good
	}{
		"good":                           {resumed(s, same), noon, ""},
		"over":                           {resumed(s, same), noon.Add(24 * time.Hour), "expired"},
		"idle":                           {resumed(begin(session.Lifetime{Idle: time.Minute, Absolute: time.Hour}, false), same), noon.Add(time.Minute), "idle"},
		"password changed":               {resumed(s, withNewPassword), noon, "password_changed"},
		"disabled":                       {resumed(s, disabled), noon, "account_disabled"},
		"disabled and over":              {resumed(s, disabled), noon.Add(24 * time.Hour), "expired"},
		"disabled before it began":       {session.Resumed{Session: s, User: restored(user.State{Status: user.Disabled, SessionEpoch: 7})}, noon, "account_disabled"},
		"epoch of a restored old backup": {session.Resumed{Session: s, User: restored(user.State{Status: user.Active, SessionEpoch: 6})}, noon, "password_changed"},
	} {
		why, over := c.r.Over(c.at)
		if over != (c.over != "") || why.String() != c.over {
			t.Errorf("%s: Over = %q, %v, want %q", name, why, over, c.over)
		}
		if got := c.r.Good(c.at); got == over {
			t.Errorf("%s: Good = %v, want %v", name, got, !over)
		}
		if c.r.Awaits(c.at) {
			t.Errorf("%s: a full session awaits the second step", name)
		}
	}
}

// pending is a session that waits for its second step.
func pending(l session.Lifetime, remembered bool) session.Session {
	return session.Begin(session.Start{ID: session.ID{UUID: uuid.UUID{3}}, Key: token.Key(), UserID: ann, Epoch: 7, Remembered: remembered}, l, noon)
}

// The password alone opens nothing but the second step, and that for ten
// minutes.
func TestPending(t *testing.T) {
	s := pending(session.DefaultLifetime, true)
	if !s.Pending() || len(s.Methods().Names()) != 0 || s.ExpiresAt() != noon.Add(session.PendingLifetime) || s.IdleEnd() != s.ExpiresAt() {
		t.Errorf("a pending session = %+v, want it to end after %v", s.State(), session.PendingLifetime)
	}
	if s.Proved(time.Hour, noon) {
		t.Error("a pending session proves something")
	}
	for name, c := range map[string]struct {
		r      session.Resumed
		at     time.Time
		awaits bool
	}{
		"fresh":            {resumed(s, same), noon, true},
		"at the last":      {resumed(s, same), noon.Add(session.PendingLifetime - time.Microsecond), true},
		"over":             {resumed(s, same), noon.Add(session.PendingLifetime), false},
		"disabled":         {resumed(s, disabled), noon, false},
		"password changed": {resumed(s, withNewPassword), noon, false},
	} {
		if got := c.r.Awaits(c.at); got != c.awaits || c.r.Good(c.at) {
			t.Errorf("%s: Awaits = %v, Good = %v, want %v and never good", name, got, c.r.Good(c.at), c.awaits)
		}
	}
	short := session.Lifetime{Idle: time.Hour, Absolute: time.Minute, Remembered: 2 * time.Minute}
	for remembered, end := range map[bool]time.Duration{false: time.Minute, true: 2 * time.Minute} {
		if got := pending(short, remembered).ExpiresAt(); got != noon.Add(end) {
			t.Errorf("a pending session where none lasts longer than %v ends at %v", end, got)
		}
	}
}

func TestTheSecondStep(t *testing.T) {
	l := session.Lifetime{Idle: time.Hour, Absolute: 3 * time.Hour, Remembered: 10 * time.Hour, Step: time.Minute}
	next, later := session.NewToken([32]byte{9}).Key(), noon.Add(5*time.Minute)
	for remembered, end := range map[bool]time.Duration{false: l.Absolute, true: l.Remembered} {
		s := pending(l, remembered)
		got := s.Completed(next, session.ByPassword|session.ByTOTP, l, later)
		want := s.State()
		want.Key, want.Methods, want.SeenAt, want.ProvedAt = next, session.ByPassword|session.ByTOTP, later, later
		want.IdleEnd, want.End = later.Add(l.Idle), later.Add(end)
		if got.State() != want || got.Pending() || !resumed(got, same).Good(later) {
			t.Errorf("Completed = %+v, want %+v", got.State(), want)
		}
	}
}

// Who has just shown who they are may do more, under another token: the old one
// may be known to who could not.
func TestReproved(t *testing.T) {
	s := begin(session.DefaultLifetime, false)
	next, later := session.NewToken([32]byte{9}).Key(), noon.Add(time.Hour)
	got := s.Reproved(next, session.ByRecoveryCode, later)
	want := s.State()
	want.Key, want.Methods, want.ProvedAt = next, session.ByPassword|session.ByRecoveryCode, later
	if got.State() != want {
		t.Errorf("Reproved = %+v, want %+v", got.State(), want)
	}
	for after, proved := range map[time.Duration]bool{
		-time.Second: true, 0: true, 10 * time.Minute: true, 10*time.Minute + time.Microsecond: false, time.Hour: false,
	} {
		if is := got.Proved(10*time.Minute, later.Add(after)); is != proved {
			t.Errorf("Proved %v after = %v, want %v", after, is, proved)
		}
	}
	if s.ProvedAt() != noon || !s.Proved(0, noon) {
		t.Errorf("signing in proves at %v, want at %v", s.ProvedAt(), noon)
	}
}

func TestMethods(t *testing.T) {
	for m, want := range map[session.Methods]string{
		0: "", session.ByPassword: "password", session.ByPassword | session.ByTOTP: "password totp",
		session.ByPassword | session.ByRecoveryCode: "password recovery_code", 7: "password totp recovery_code",
	} {
		if got := strings.Join(m.Names(), " "); got != want || !m.Known() {
			t.Errorf("Names of %d = %q, known: %v, want %q", m, got, m.Known(), want)
		}
	}
	for _, m := range []session.Methods{8, 9, 128, 255} {
		if m.Known() {
			t.Errorf("%d holds a method that there is not, and is known", m)
		}
	}
}

func TestReasons(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range []session.Reason{
		session.SignedOut, session.Idle, session.Expired, session.EndedByOwner, session.EndedByAdmin, session.PasswordChanged, session.AccountDisabled, session.LimitReached,
	} {
		if got, ok := session.ParseReason(r.String()); !ok || got != r || r.IsZero() || seen[r.String()] {
			t.Errorf("ParseReason(%q) = %q, %v", r, got, ok)
		}
		seen[r.String()] = true
	}
	for _, s := range []string{"", "Idle", "idle ", "unknown"} {
		if got, ok := session.ParseReason(s); ok || !got.IsZero() {
			t.Errorf("ParseReason(%q) = %q, %v, want none", s, got, ok)
		}
	}
}

func TestWhatIsLeftOfASession(t *testing.T) {
	d := session.NewDevice("agent", netip.MustParseAddr("192.0.2.1"))
	s := session.Begin(session.Start{ID: session.ID{UUID: uuid.UUID{2}}, Key: token.Key(), UserID: ann, Methods: session.ByPassword, Device: d}, session.DefaultLifetime, noon)
	at := noon.Add(time.Hour + 789).In(time.FixedZone("Seoul", 9*60*60))
	got := session.Ending{Why: session.EndedByOwner, At: at}.Of(s)
	want := session.Past{
		ID: s.ID(), Key: s.Key(), UserID: ann, Why: session.EndedByOwner, Device: d, CreatedAt: noon, EndedAt: noon.Add(time.Hour),
	}
	if got != want {
		t.Errorf("Of = %+v, want %+v", got, want)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := begin(session.DefaultLifetime, false)
	past := session.Ending{Why: session.Idle, At: noon}.Of(s)
	for _, secret := range []any{token, token.Key(), s, &s, past, session.Resumed{Session: s}} {
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
