package sessions_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/application/accounts"
	"gatehouse/application/guard"
	"gatehouse/application/sessions"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/tests/house"
)

// refusals are the ways in which a sign-in fails that nobody is to tell apart.
func refusals(t *testing.T, h *home) map[string]sessions.Credentials {
	t.Helper()
	out, unverified := h.Add("out@example.com"), h.AddUnverified("unverified@example.com")
	h.Change(out, func(u *user.User) { u.Disable(h.Now()) })
	h.Sessions.Verified = true
	return map[string]sessions.Credentials{
		"unknown":                  {Email: "bob@example.com", Password: house.Password},
		"wrong password":           {Email: "ann@example.com", Password: fresh},
		"disabled":                 house.Credentials(out),
		"disabled, wrong password": {Email: "out@example.com", Password: fresh},
		"unverified":               house.Credentials(unverified),
		"no address":               {Email: "ann", Password: house.Password},
		"nothing":                  {},
	}
}

func TestRefusalsAreAlike(t *testing.T) {
	h := newHome(t, house.Options{})
	for name, c := range refusals(t, h) {
		before, hashes, calls := len(h.Rows()), h.Hasher.Verified.Load(), 0
		h.Faults.Fail(0, false)
		_, err := h.Sessions.SignIn(t.Context(), c, house.Device("192.0.2.1"), nil)
		if err != error(sessions.ErrInvalidCredentials) {
			t.Errorf("%s: SignIn = %v, want ErrInvalidCredentials itself", name, err)
		}
		if n := h.Hasher.Verified.Load() - hashes; n != 1 {
			t.Errorf("%s: %d hashes, want one", name, n)
		}
		if got := h.Events(before); len(got) != 1 || got[0] != audit.SignInFailed {
			t.Errorf("%s: written down as %v", name, got)
		}
		// The clock must not tell either: the same is asked of the stores, but for
		// an address that cannot be, which everybody can see.
		calls = len(h.Faults.Calls())
		if want := 6; calls != want && strings.Contains(c.Email, "@") {
			t.Errorf("%s: %d calls, want %d: %v", name, calls, want, h.Faults.Calls())
		}
	}
	if h.Hasher.Hashed.Load() != 0 {
		t.Error("a refused sign-in made a hash")
	}
	if n := h.Hasher.Dummies.Load(); n != 3 {
		t.Errorf("%d hashes were against nothing, want 3: where there is no account", n)
	}
}

func TestTheAddressIsTakenInAnyCase(t *testing.T) {
	h := newHome(t, house.Options{})
	in, err := h.Sessions.SignIn(t.Context(), sessions.Credentials{Email: " ANN@Example.com ", Password: house.Password}, session.Device{}, nil)
	if err != nil || in.User.ID() != h.ann.ID() {
		t.Errorf("SignIn with the address in capitals = %v", err)
	}
}

// In open mode nobody has to verify anything.
func TestUnverifiedInOpenMode(t *testing.T) {
	h := newHome(t, house.Options{})
	if _, err := h.Sessions.SignIn(t.Context(), house.Credentials(h.AddUnverified("bob@example.com")), session.Device{}, nil); err != nil {
		t.Errorf("SignIn = %v", err)
	}
}

// An attacker who is throttled costs no hash, and is answered alike whether the
// account is there, and whatever the password.
func TestThrottledBeforeTheHash(t *testing.T) {
	for name, email := range map[string]string{"known": "ann@example.com", "unknown": "bob@example.com", "no address": "bob"} {
		h := newHome(t, house.Options{})
		before := len(h.Rows())
		for i := range 10 {
			email := []string{email, strings.ToUpper(email), " " + email}[i%3]
			if _, err := h.Sessions.SignIn(t.Context(), sessions.Credentials{Email: email, Password: fresh}, house.Device("192.0.2.1"), nil); !errors.Is(err, sessions.ErrInvalidCredentials) {
				t.Fatalf("%s: try %d = %v", name, i, err)
			}
		}
		if got := h.Events(before); len(got) != 11 || got[10] != audit.SignInThrottled {
			t.Errorf("%s: written down as %v, want ten failures and that it was throttled", name, got)
		}
		hashes := h.Hasher.Verified.Load()
		for _, password := range []string{fresh, house.Password} {
			_, err := h.Sessions.SignIn(t.Context(), sessions.Credentials{Email: email, Password: password}, house.Device("192.0.2.1"), nil)
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || !errors.Is(f, guard.ErrTooMany) || f.RetryAfter != 30*time.Second {
				t.Errorf("%s: SignIn = %v, want ErrTooMany for 30 s", name, err)
			}
		}
		if h.Hasher.Verified.Load() != hashes {
			t.Errorf("%s: a throttled try cost a hash", name)
		}
	}
}

// 1,000 addresses guess at one account.
func TestGuessingFromEverywhere(t *testing.T) {
	h := newHome(t, house.Options{})
	phone := h.SignIn(h.ann).Device
	looked := h.Hasher.Verified.Load()
	for i := range 1000 {
		_, _ = h.Sessions.SignIn(t.Context(), sessions.Credentials{Email: "ann@example.com", Password: fresh}, house.Device(fmt.Sprintf("10.0.%d.%d", i/250, i%250)), nil)
	}
	if n := h.Hasher.Verified.Load() - looked; n != 100 {
		t.Errorf("%d guesses were looked at, want 100", n)
	}
	if _, err := h.Sessions.SignIn(t.Context(), house.Credentials(h.ann), house.Device("192.0.2.7"), nil); !errors.Is(err, guard.ErrTooMany) {
		t.Errorf("SignIn on an unknown device = %v, want ErrTooMany", err)
	}
	c := house.Credentials(h.ann)
	c.KnownDevice = phone
	for range 20 {
		in, err := h.Sessions.SignIn(t.Context(), c, house.Device("10.0.0.1"), nil)
		if err != nil {
			t.Fatalf("SignIn of the owner on a known device = %v", err)
		}
		if in.Device != phone {
			t.Error("a known device became another")
		}
	}
	// Success there does not open the door for strangers.
	if _, err := h.Sessions.SignIn(t.Context(), sessions.Credentials{Email: "ann@example.com", Password: fresh}, house.Device("203.0.113.9"), nil); !errors.Is(err, guard.ErrTooMany) {
		t.Errorf("a stranger's try afterwards = %v, want ErrTooMany", err)
	}
}

func TestFiftyGuessesAtOnce(t *testing.T) {
	h := newHome(t, house.Options{})
	var wrong, refused atomic.Int64
	house.AtOnce(50, func(int) {
		_, err := h.Sessions.SignIn(t.Context(), sessions.Credentials{Email: "ann@example.com", Password: fresh}, house.Device("192.0.2.1"), nil)
		switch {
		case errors.Is(err, sessions.ErrInvalidCredentials):
			wrong.Add(1)
		case errors.Is(err, guard.ErrTooMany):
			refused.Add(1)
		default:
			t.Errorf("SignIn = %v", err)
		}
	})
	if wrong.Load() != 10 || refused.Load() != 40 {
		t.Errorf("%d wrong and %d refused, want 10 and 40", wrong.Load(), refused.Load())
	}
}

// A sign-in that could not be judged is no failure.
func TestAnOverloadDoesNotCount(t *testing.T) {
	h := newHome(t, house.Options{})
	h.Faults.Always("Hasher.Verify", house.Down)
	for range 200 {
		if _, err := h.Sessions.SignIn(t.Context(), house.Credentials(h.ann), house.Device("192.0.2.1"), nil); !errors.Is(err, fault.Unavailable) {
			t.Fatalf("SignIn = %v, want Unavailable", err)
		}
	}
	h.Faults.Always("Hasher.Verify", nil)
	if _, err := h.Sessions.SignIn(t.Context(), house.Credentials(h.ann), house.Device("192.0.2.1"), nil); err != nil {
		t.Errorf("SignIn after an overload = %v", err)
	}
}

// What a device shows is worth something only as it was sealed, and for the
// user whom it was sealed for.
func TestWhatAForgedDeviceIsWorth(t *testing.T) {
	h := newHome(t, house.Options{})
	bob := h.Add("bob@example.com")
	mine, bobs := h.SignIn(h.ann).Device, h.SignIn(bob).Device
	sealedOtherwise := h.Sealer.Seal("second factor of "+h.ann.ID().String(), make([]byte, 32))
	for name, shown := range map[string]string{
		"nothing":           "",
		"a guess":           strings.Repeat("A", len(mine)),
		"another user's":    bobs,
		"cut":               mine[:len(mine)-1],
		"lengthened":        mine + "A",
		"with a bit turned": mine[:40] + string(rune('A'+('B'-mine[40])&1)) + mine[41:],
		"of another label":  fmt.Sprintf("%x", sealedOtherwise),
		"in other letters":  strings.ToLower(mine),
		"with line breaks":  mine[:20] + "\n" + mine[20:],
		"huge":              strings.Repeat(mine, 1000),
		"no text":           "\x00\xff",
	} {
		h.Move(24 * time.Hour) // what was counted is forgotten
		lock(t, h, "")
		c := house.Credentials(h.ann)
		c.KnownDevice = shown
		if _, err := h.Sessions.SignIn(t.Context(), c, house.Device("192.0.2.1"), nil); !errors.Is(err, guard.ErrTooMany) {
			t.Errorf("a device that shows %s: SignIn = %v, want ErrTooMany", name, err)
		}
	}
	c := house.Credentials(h.ann)
	c.KnownDevice = mine
	if _, err := h.Sessions.SignIn(t.Context(), c, house.Device("192.0.2.1"), nil); err != nil {
		t.Errorf("the true device: SignIn = %v", err)
	}
	// Whoever copied it shares its count and gets no other.
	lock(t, h, mine)
	if _, err := h.Sessions.SignIn(t.Context(), c, house.Device("203.0.113.1"), nil); !errors.Is(err, guard.ErrTooMany) {
		t.Errorf("a copy of a device that is locked: SignIn = %v, want ErrTooMany", err)
	}
}

// lock fails to sign in to ann's account until it is throttled, from one
// network, or on the device.
func lock(t *testing.T, h *home, device string) {
	t.Helper()
	for range 10 {
		c := sessions.Credentials{Email: "ann@example.com", Password: fresh, KnownDevice: device}
		if _, err := h.Sessions.SignIn(t.Context(), c, house.Device("192.0.2.1"), nil); !errors.Is(err, sessions.ErrInvalidCredentials) {
			t.Fatalf("SignIn = %v, want ErrInvalidCredentials", err)
		}
	}
}

// Who has forgotten the password, tried too often on their own device and set a
// new one by mail, is not kept waiting; neither there nor from their network.
func TestANewPasswordUnlocks(t *testing.T) {
	h := newHome(t, house.Options{})
	phone := h.SignIn(h.ann).Device
	lock(t, h, "")
	lock(t, h, phone)
	ctx := house.From(t.Context(), "192.0.2.1")
	if err := h.Accounts.RequestReset(ctx, "ann@example.com"); err != nil {
		t.Fatal(err)
	}
	if err := h.Accounts.ResetPassword(ctx, accounts.Reset{Token: h.Token("ann@example.com"), New: fresh}); err != nil {
		t.Fatal(err)
	}
	for name, device := range map[string]string{"the device": phone, "the network": ""} {
		c := sessions.Credentials{Email: "ann@example.com", Password: fresh, KnownDevice: device}
		if _, err := h.Sessions.SignIn(t.Context(), c, house.Device("192.0.2.1"), nil); err != nil {
			t.Errorf("SignIn with the new password from %s that was locked = %v", name, err)
		}
	}
}

func TestLettersOfNewDevices(t *testing.T) {
	h := newHome(t, house.Options{})
	letters := func() int { return len(h.Letters(h.ann)) }
	phone := h.SignIn(h.ann).Device
	if letters() != 0 {
		t.Error("the first device of a new account was told of")
	}
	c := house.Credentials(h.ann)
	c.KnownDevice = phone
	if _, err := h.Sessions.SignIn(t.Context(), c, house.Device("198.51.100.4"), nil); err != nil || letters() != 0 {
		t.Errorf("a known device was told of, %v", err)
	}
	in, err := h.Sessions.SignIn(t.Context(), house.Credentials(h.ann), house.Device("203.0.113.9"), nil)
	if err != nil || letters() != 1 || in.Device == "" || in.Device == phone {
		t.Fatalf("a new device: %d letters, %v", letters(), err)
	}
	l := h.Letters(h.ann)[0]
	if l.Kind.String() != "new_device" || l.To != h.ann.Email() || l.Detail["ip"] != "203.0.113.9" || l.Detail["device"] != "curl" || l.Detail["at"] != "2026-11-24T12:00:00Z" {
		t.Errorf("the letter is %+v", l)
	}
	if _, err := h.Sessions.SignIn(t.Context(), sessions.Credentials{Email: "ann@example.com", Password: fresh}, house.Device("203.0.113.9"), nil); err == nil || letters() != 1 {
		t.Errorf("a failed sign-in was told of, %v", err)
	}
	// The first device of an account whose past may be forgotten is new.
	old := h.Add("old@example.com")
	h.Move(session.PastKept)
	h.SignIn(old)
	if got := h.Kinds(old); got != "[new_device]" {
		t.Errorf("letters to an old account: %s", got)
	}
}

// Whoever registers under a stranger's address cannot have them sent a mail with
// every sign-in.
func TestSigningInFloodsNoStranger(t *testing.T) {
	h := newHome(t, house.Options{})
	victim := h.AddUnverified("victim@example.com")
	for range 200 {
		h.SignIn(victim)
	}
	if n := len(h.Letters(victim)); n != 20 {
		t.Errorf("%d letters, want 20 in an hour", n)
	}
}

// A token that an attacker planted before signing in must be worth nothing
// afterwards; one with which the sign-in failed stays.
func TestSigningInOverASessionEndsIt(t *testing.T) {
	h := newHome(t, house.Options{})
	first := h.SignIn(h.ann)
	over := h.Resume(first.Token)
	if _, err := h.Sessions.SignIn(t.Context(), sessions.Credentials{Email: "ann@example.com", Password: "wrong"}, session.Device{}, &over); err == nil {
		t.Fatal("SignIn took a wrong password")
	}
	h.wantAlive(first.Token, "a failed sign-in over it")
	before := len(h.Rows())
	second, err := h.Sessions.SignIn(t.Context(), house.Credentials(h.ann), session.Device{}, &over)
	if err != nil {
		t.Fatal(err)
	}
	if second.Token == first.Token || second.Session.ID() == first.Session.ID() {
		t.Error("the session was adopted")
	}
	h.wantEnded(first.Token, "signing in over it")
	h.wantAlive(second.Token, "signing in")
	if got := h.Events(before); fmt.Sprint(got) != "[session.ended session.signed_in]" {
		t.Errorf("written down as %v", got)
	}
	// Over one that has ended meanwhile, and over another user's.
	if _, err := h.Sessions.SignIn(t.Context(), house.Credentials(h.ann), session.Device{}, &over); err != nil {
		t.Errorf("SignIn over a session that is over = %v", err)
	}
	bob := h.Enter(h.Add("bob@example.com"))
	if _, err := h.Sessions.SignIn(t.Context(), house.Credentials(h.ann), session.Device{}, &bob); err != nil {
		t.Errorf("SignIn over another's session = %v", err)
	}
	if list, _ := h.DB.Sessions().List(t.Context(), bob.User.ID()); len(list) != 0 {
		t.Error("the other's session in this browser lives on")
	}
}

// Twenty sign-ins at once over one planted token: all get sessions of their own.
func TestSignInsAtOnceOverOneSession(t *testing.T) {
	h := newHome(t, house.Options{Rules: house.NoRules()})
	first := h.SignIn(h.ann)
	over := h.Resume(first.Token)
	tokens := make([]session.Token, 20)
	house.AtOnce(len(tokens), func(i int) {
		in, err := h.Sessions.SignIn(t.Context(), house.Credentials(h.ann), session.Device{}, &over)
		if err != nil {
			t.Errorf("SignIn = %v", err)
		}
		tokens[i] = in.Token
	})
	h.wantEnded(first.Token, "signing in over it")
	seen := map[string]bool{}
	for _, tok := range tokens {
		h.wantAlive(tok, "signing in at once")
		seen[tok.Reveal()] = true
	}
	if len(seen) != len(tokens) {
		t.Errorf("%d different tokens, want %d", len(seen), len(tokens))
	}
}

func TestTheCapOfSessions(t *testing.T) {
	h := newHome(t, house.Options{Rules: house.NoRules(), Max: 5})
	house.AtOnce(40, func(int) { h.SignIn(h.ann) })
	list, err := h.DB.Sessions().List(t.Context(), h.ann.ID())
	if err != nil || len(list) != 5 {
		t.Fatalf("%d sessions after forty sign-ins at once, %v, want 5", len(list), err)
	}
	ended := 0
	for _, r := range h.Rows() {
		if r.Event == audit.SessionEnded && r.Detail["reason"] == "session_limit" {
			ended++
		}
	}
	if ended != 35 {
		t.Errorf("%d ends were written down, want 35", ended)
	}
	// The oldest make room, and nobody else's.
	bob := h.SignIn(h.Add("bob@example.com"))
	var tokens []session.Token
	for range 6 {
		h.Move(time.Second)
		tokens = append(tokens, h.signIn())
	}
	h.wantEnded(tokens[0], "five newer ones")
	for _, tok := range tokens[1:] {
		h.wantAlive(tok, "the cap")
	}
	h.wantAlive(bob.Token, "another's sign-ins")
}

// Whoever knows the password alone must not push out sessions of the owner.
func TestPendingSessionsPushNobodyOut(t *testing.T) {
	h := newHome(t, house.Options{Rules: house.NoRules(), Max: 3})
	h.TurnOnTOTP(h.ann)
	list, _ := h.DB.Sessions().List(t.Context(), h.ann.ID())
	for range 30 {
		h.Pending(h.ann)
	}
	if now, _ := h.DB.Sessions().List(t.Context(), h.ann.ID()); len(now) != len(list)+30 {
		t.Errorf("%d sessions, want %d", len(now), len(list)+30)
	}
}

func TestWhatASignInSays(t *testing.T) {
	h := newHome(t, house.Options{})
	ctx := house.From(t.Context(), "192.0.2.1")
	before := len(h.Rows())
	in, err := h.Sessions.SignIn(ctx, sessions.Credentials{Email: "ann@example.com", Password: house.Password, Remember: true}, house.Device("192.0.2.1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := in.Session; got.Pending() || !slices.Equal(got.Methods().Names(), []string{"password"}) || !got.Remembered() || got.ExpiresAt() != h.Now().Add(session.DefaultLifetime.Remembered) {
		t.Errorf("the session is %v, %v, until %v", got.Methods().Names(), got.Remembered(), got.ExpiresAt())
	}
	row := h.Rows()[before]
	if row.Event != audit.SignedIn || row.Outcome != audit.Success || row.Actor != h.ann.ID() || row.Subject.ID != in.Session.ID().String() ||
		row.Origin.IP.String() != "192.0.2.1" || row.Origin.RequestID != "r-1" || row.Detail["methods"] != "password" || row.At != h.Now() {
		t.Errorf("written down as %+v", row)
	}
}

// The account is deleted while somebody signs in: no session, no outage, and
// nothing that tells.
func TestSigningInBesideTheEndOfTheAccount(t *testing.T) {
	for _, call := range []string{"Factors.Find", "Directory.Known", "Sessions.Add", "Ledger.Record"} {
		h := newHome(t, house.Options{})
		h.signIn()
		h.Faults.Before(call, func() {
			if err := h.DB.Users().Delete(t.Context(), h.ann.ID(), func(user.User) error { return nil }); err != nil {
				t.Error(err)
			}
		})
		in, err := h.Sessions.SignIn(t.Context(), house.Credentials(h.ann), session.Device{}, nil)
		if f, ok := errors.AsType[*fault.Error](err); err != nil && (!ok || f.Kind != fault.Unauthenticated) {
			t.Errorf("deleted before %s: SignIn = %v", call, err)
		}
		if err == nil {
			h.wantEnded(in.Token, "the end of the account")
		}
	}
}
