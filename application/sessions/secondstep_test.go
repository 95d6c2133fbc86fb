package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/application/guard"
	"gatehouse/application/sessions"
	"gatehouse/domain/audit"
	"gatehouse/domain/factor"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/tests/house"
)

// armed is a home whose user has a second factor.
type armed struct {
	*home
	secret   string
	recovery []string
}

func newArmed(t *testing.T) *armed {
	t.Helper()
	h := newHome(t, house.Options{})
	secret, recovery := h.TurnOnTOTP(h.ann)
	return &armed{h, secret, recovery}
}

func (a *armed) step(r session.Resumed, code string) error {
	_, err := a.Sessions.SecondStep(a.T.Context(), r, sessions.Code{TOTP: code})
	return err
}

func (a *armed) recover(r session.Resumed, code string) error {
	_, err := a.Sessions.SecondStep(a.T.Context(), r, sessions.Code{Recovery: code})
	return err
}

func TestTheSecondStep(t *testing.T) {
	a := newArmed(t)
	before := len(a.Rows())
	pending := a.SignIn(a.ann)
	if got := pending.Session; !got.Pending() || got.ExpiresAt() != a.Now().Add(session.PendingLifetime) || pending.Device != "" {
		t.Errorf("pending until %v, device %q", got.ExpiresAt(), pending.Device)
	}
	if got := fmt.Sprint(a.Events(before)); got != "[session.second_factor_awaited]" {
		t.Errorf("written down as %v", got)
	}
	r, err := a.Sessions.ResumePending(t.Context(), pending.Token)
	if err != nil {
		t.Fatal(err)
	}
	a.Move(time.Minute)
	in, err := a.Sessions.SecondStep(t.Context(), r, sessions.Code{TOTP: a.Code(a.secret, 0)})
	if err != nil {
		t.Fatal(err)
	}
	got := a.Resume(in.Token)
	if in.Token == pending.Token || got.Session.ID() != pending.Session.ID() || got.Session.ExpiresAt() != a.Now().Add(session.DefaultLifetime.Absolute) ||
		!slices.Equal(got.Session.Methods().Names(), []string{"password", "totp"}) || in.Device == "" || a.Sessions.Proved(got) != nil {
		t.Errorf("the session is %v until %v", got.Session.Methods().Names(), got.Session.ExpiresAt())
	}
	a.wantEnded(pending.Token, "the second step")
	if _, err := a.Sessions.ResumePending(t.Context(), pending.Token); !isUnauthenticated(err) {
		t.Errorf("ResumePending afterwards = %v", err)
	}
	if got := fmt.Sprint(a.Events(before + 1)); got != "[session.signed_in]" {
		t.Errorf("written down as %v", got)
	}
}

// What awaits its second step opens nothing else, and what is whole does not
// pass for it.
func TestPendingOpensNothingElse(t *testing.T) {
	a := newArmed(t)
	whole := a.SignIn(a.ann)
	r, err := a.Sessions.ResumePending(t.Context(), whole.Token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sessions.Resume(t.Context(), whole.Token); !isUnauthenticated(err) {
		t.Errorf("Resume of what is pending = %v, want ErrUnauthenticated", err)
	}
	in, err := a.Sessions.SecondStep(t.Context(), r, sessions.Code{TOTP: a.Code(a.secret, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sessions.ResumePending(t.Context(), in.Token); !isUnauthenticated(err) {
		t.Errorf("ResumePending of a whole session = %v, want ErrUnauthenticated", err)
	}
	a.Move(time.Minute)
	full := a.Resume(in.Token)
	if err := a.step(full, a.Code(a.secret, 0)); !isUnauthenticated(err) {
		t.Errorf("SecondStep with a whole session = %v, want ErrUnauthenticated", err)
	}
	a.wantAlive(in.Token, "a second step that it does not await")
}

// A code works once, and none before it any more; clocks may be one step off.
func TestCodesOfASteps(t *testing.T) {
	for _, c := range []struct {
		steps int
		good  bool
	}{{-2, false}, {-1, true}, {0, true}, {1, true}, {2, false}} {
		a := newArmed(t)
		code := a.Code(a.secret, c.steps)
		err := a.step(a.Pending(a.ann), code)
		if (err == nil) != c.good || err != nil && !errors.Is(err, factor.ErrInvalidCode) {
			t.Errorf("a code %d steps off: %v, want good %t", c.steps, err, c.good)
		}
		if !c.good {
			continue
		}
		for _, again := range []int{c.steps, c.steps - 1} {
			if err := a.step(a.Pending(a.ann), a.Code(a.secret, again)); !errors.Is(err, factor.ErrInvalidCode) {
				t.Errorf("after a code %d steps off, one %d off: %v, want ErrInvalidCode", c.steps, again, err)
			}
		}
		a.Move(time.Minute)
		if err := a.step(a.Pending(a.ann), a.Code(a.secret, 0)); err != nil {
			t.Errorf("a later code = %v", err)
		}
	}
}

// The code with which the factor was put in force has been used.
func TestTheCodeOfTheSetUpIsUsedUp(t *testing.T) {
	h := newHome(t, house.Options{})
	r := h.Enter(h.ann)
	e, err := h.Accounts.StartTOTP(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	code := h.Code(e.Secret, 0)
	if _, err := h.Accounts.ConfirmTOTP(t.Context(), r, code); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Sessions.SecondStep(t.Context(), h.Pending(h.ann), sessions.Code{TOTP: code}); !errors.Is(err, factor.ErrInvalidCode) {
		t.Errorf("SecondStep with the code of the set-up = %v, want ErrInvalidCode", err)
	}
}

// One code, seen over somebody's shoulder, in many requests at once.
func TestACodeAtOnce(t *testing.T) {
	a := newArmed(t)
	a.Guard.Rules.SignIn.Limit, a.Guard.Rules.Code.Limit = 0, 0
	for name, code := range map[string]sessions.Code{"totp": {TOTP: a.Code(a.secret, 0)}, "recovery": {Recovery: a.recovery[3]}} {
		same := a.Pending(a.ann)
		var won, wrong atomic.Int64
		house.AtOnce(20, func(i int) {
			r := same
			if i%2 == 0 { // as many from other sign-ins
				in, err := a.Sessions.SignIn(t.Context(), house.Credentials(a.ann), session.Device{}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if r, err = a.Sessions.ResumePending(t.Context(), in.Token); err != nil {
					t.Error(err)
					return
				}
			}
			_, err := a.Sessions.SecondStep(t.Context(), r, code)
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, factor.ErrInvalidCode):
				wrong.Add(1)
			default:
				t.Errorf("%s: SecondStep = %v", name, err)
			}
		})
		if won.Load() != 1 || wrong.Load() != 19 {
			t.Errorf("%s: %d got in and %d were refused, want 1 and 19", name, won.Load(), wrong.Load())
		}
	}
}

// Two good codes for one pending session make one session.
func TestOnePendingSessionIsOneSession(t *testing.T) {
	a := newArmed(t)
	r := a.Pending(a.ann)
	if err := a.step(r, a.Code(a.secret, 0)); err != nil {
		t.Fatal(err)
	}
	if err := a.recover(r, a.recovery[0]); !isUnauthenticated(err) {
		t.Errorf("a second good code = %v, want ErrUnauthenticated", err)
	}
}

func TestRecoveryCodes(t *testing.T) {
	a := newArmed(t)
	a.Guard.Rules.SignIn.Limit = 0
	before := len(a.Letters(a.ann))
	for i, code := range a.recovery {
		spelled := []string{code, fmt.Sprintf(" %s ", code), lower(code)}[i%3]
		in, err := a.Sessions.SecondStep(t.Context(), a.Pending(a.ann), sessions.Code{Recovery: spelled})
		if err != nil {
			t.Fatalf("code %d = %v", i, err)
		}
		if got := in.Session.Methods().Names(); !slices.Equal(got, []string{"password", "recovery_code"}) {
			t.Errorf("methods = %v", got)
		}
		if err := a.recover(a.Pending(a.ann), code); !errors.Is(err, factor.ErrInvalidCode) {
			t.Errorf("code %d for the second time = %v, want ErrInvalidCode", i, err)
		}
	}
	used, told := 0, 0
	for _, r := range a.Rows() {
		if r.Event == audit.RecoveryCodeUsed {
			used++
		}
	}
	for _, l := range a.Letters(a.ann)[before:] {
		if l.Kind.String() == "recovery_code_used" {
			told++
		}
	}
	if used != 10 || told != 10 {
		t.Errorf("of ten codes %d were written down and %d told, want 10 and 10", used, told)
	}
	if err := a.recover(a.Pending(a.ann), ""); !errors.Is(err, factor.ErrInvalidCode) {
		t.Errorf("no code at all = %v", err)
	}
	if err := a.step(a.Pending(a.ann), a.Code(a.secret, 0)); err != nil {
		t.Errorf("the app's code afterwards = %v", err)
	}
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// Whoever knows the password guesses no more codes than anybody, however often
// they sign in for it.
func TestGuessingCodes(t *testing.T) {
	a := newArmed(t)
	a.Guard.Rules.SignIn.Limit = 0
	before := len(a.Rows())
	for i := range 10 {
		code := sessions.Code{TOTP: "000000"}
		if i%2 == 1 {
			code = sessions.Code{Recovery: "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"}
		}
		if _, err := a.Sessions.SecondStep(t.Context(), a.Pending(a.ann), code); !errors.Is(err, factor.ErrInvalidCode) {
			t.Fatalf("guess %d = %v", i, err)
		}
	}
	if n := len(slices.DeleteFunc(a.Events(before), func(e audit.Event) bool { return e != audit.FactorFailed })); n != 10 {
		t.Errorf("%d failures were written down, want 10", n)
	}
	if events := a.Events(before); events[len(events)-1] != audit.FactorThrottled {
		t.Errorf("written down as %v, want at last that it was throttled", events)
	}
	r := a.Pending(a.ann)
	if err := a.step(r, a.Code(a.secret, 0)); !errors.Is(err, guard.ErrTooMany) {
		t.Errorf("the right code after ten wrong ones = %v, want ErrTooMany", err)
	}
	a.Move(30 * time.Second)
	if err := a.step(r, a.Code(a.secret, 0)); err != nil {
		t.Errorf("the right code after the pause = %v: it was not looked at before", err)
	}
	if err := a.step(a.Pending(a.ann), "000000"); !errors.Is(err, factor.ErrInvalidCode) {
		t.Errorf("a wrong code after success = %v, want ErrInvalidCode: the count begins anew", err)
	}
}

// What happens between the two steps.
func TestBetweenTheSteps(t *testing.T) {
	for name, c := range map[string]struct {
		between func(*armed, session.Resumed) error
		want    error // ErrInvalidCode, or nil for ErrUnauthenticated
	}{
		"signed out": {func(a *armed, r session.Resumed) error {
			_, err := a.DB.Sessions().End(t.Context(), r.Session.Key(), session.Ending{Why: session.SignedOut, At: a.Now()})
			return err
		}, nil},
		"ten minutes passed": {func(a *armed, _ session.Resumed) error { a.Move(session.PendingLifetime); return nil }, nil},
		"password changed": {func(a *armed, r session.Resumed) error {
			a.Change(a.ann, func(u *user.User) { u.ChangePassword(user.NewPasswordHash("x"), a.Now()) })
			return nil
		}, nil},
		"disabled": {func(a *armed, _ session.Resumed) error {
			a.Change(a.ann, func(u *user.User) { u.Disable(a.Now()) })
			return nil
		}, nil},
		"account deleted": {func(a *armed, _ session.Resumed) error {
			return a.DB.Users().Delete(t.Context(), a.ann.ID(), func(user.User) error { return nil })
		}, nil},
		"factor removed": {func(a *armed, _ session.Resumed) error {
			_, err := a.DB.Factors().Update(t.Context(), a.ann.ID(), func(f *factor.Factor) error { *f = factor.Factor{}; return nil })
			return err
		}, factor.ErrInvalidCode},
		"factor begun anew": {func(a *armed, _ session.Resumed) error {
			_, err := a.DB.Factors().Update(t.Context(), a.ann.ID(), func(f *factor.Factor) error {
				*f = factor.Start(a.ann.ID(), f.Secret(), a.Now())
				return nil
			})
			return err
		}, factor.ErrInvalidCode},
	} {
		for _, by := range []string{"totp", "recovery"} {
			a := newArmed(t)
			r := a.Pending(a.ann)
			if err := c.between(a, r); err != nil {
				t.Fatal(err)
			}
			code := sessions.Code{TOTP: a.Code(a.secret, 0)}
			if by == "recovery" {
				code = sessions.Code{Recovery: a.recovery[0]}
			}
			in, err := a.Sessions.SecondStep(t.Context(), r, code)
			switch {
			case c.want != nil:
				if !errors.Is(err, c.want) {
					t.Errorf("%s, %s: SecondStep = %v, want %v", name, by, err, c.want)
				}
			case err == nil: // made of what was read before; it must be worth nothing
				a.wantEnded(in.Token, name)
			case !isUnauthenticated(err):
				t.Errorf("%s, %s: SecondStep = %v, want ErrUnauthenticated", name, by, err)
			}
		}
	}
}

// The secret of one user's factor opens nothing in the place of another's.
func TestSecretsAreTheirOwners(t *testing.T) {
	a := newArmed(t)
	eve := a.Add("eve@example.com")
	evil, _ := a.TurnOnTOTP(eve)
	theirs, err := a.DB.Factors().Find(t.Context(), eve.ID())
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.DB.Factors().Update(t.Context(), a.ann.ID(), func(f *factor.Factor) error {
		s := f.State()
		s.Secret = theirs.Secret()
		*f = factor.Restore(s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r := a.Pending(a.ann)
	err = a.step(r, a.Code(evil, 0))
	if err == nil || errors.Is(err, factor.ErrInvalidCode) || errors.Is(err, fault.Unavailable) {
		t.Errorf("a secret that was put in another's place: %v, want a defect to be seen", err)
	}
	for range 20 { // which counts as no wrong code
		_ = a.step(r, a.Code(evil, 0))
	}
	if err := a.recover(r, a.recovery[0]); err != nil {
		t.Errorf("a recovery code with the secret lost = %v", err)
	}
}

// Signing in over a session that awaits its second step ends that as well.
func TestSigningInOverAPendingSession(t *testing.T) {
	a := newArmed(t)
	r := a.Pending(a.ann)
	if _, err := a.Sessions.SignIn(context.Background(), house.Credentials(a.ann), session.Device{}, &r); err != nil {
		t.Fatal(err)
	}
	if err := a.step(r, a.Code(a.secret, 0)); !isUnauthenticated(err) {
		t.Errorf("SecondStep of what was signed in over = %v, want ErrUnauthenticated", err)
	}
}

// A device is new until somebody has come in on it whole.
func TestDevicesOfTheSecondStep(t *testing.T) {
	a := newArmed(t)
	before := len(a.Letters(a.ann))
	in, err := a.Sessions.SecondStep(t.Context(), a.Pending(a.ann), sessions.Code{TOTP: a.Code(a.secret, 0)})
	if err != nil || len(a.Letters(a.ann)) != before+1 || in.Device == "" {
		t.Fatalf("SecondStep on a new device: %d letters, %v", len(a.Letters(a.ann))-before, err)
	}
	a.Move(time.Minute)
	again, err := a.Sessions.SecondStep(t.Context(), a.Pending(a.ann), sessions.Code{TOTP: a.Code(a.secret, 0), KnownDevice: in.Device})
	if err != nil || len(a.Letters(a.ann)) != before+1 || again.Device != in.Device {
		t.Errorf("SecondStep on a known device: %d letters, %v", len(a.Letters(a.ann))-before, err)
	}
}
