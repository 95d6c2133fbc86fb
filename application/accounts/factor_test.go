package accounts_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/adapters/aead"
	"gatehouse/application/accounts"
	"gatehouse/application/sessions"
	"gatehouse/domain/audit"
	"gatehouse/domain/factor"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/tests/house"
)

func (h *home) start() (accounts.Enrolment, error) {
	return h.Accounts.StartTOTP(h.T.Context(), h.r)
}

func (h *home) confirm(code string) ([]factor.RecoveryCode, error) {
	return h.Accounts.ConfirmTOTP(h.T.Context(), h.r, code)
}

func TestSettingUpASecondFactor(t *testing.T) {
	h := newHome(t, house.Options{})
	if _, err := h.confirm("123456"); !errors.Is(err, factor.ErrNotStarted) {
		t.Errorf("ConfirmTOTP before StartTOTP = %v, want ErrNotStarted", err)
	}
	before := len(h.Rows())
	old, err := h.start()
	if err != nil {
		t.Fatal(err)
	}
	e, err := h.start()
	if err != nil || e.Secret == old.Secret {
		t.Fatalf("StartTOTP for the second time = %v", err)
	}
	uri, err := url.Parse(e.URI)
	if err != nil || uri.Scheme != "otpauth" || !strings.Contains(uri.Path, annsAddress) || uri.Query().Get("secret") != e.Secret {
		t.Errorf("the URI is %s", e.URI)
	}
	if h.signIn(t).Session.Pending() {
		t.Error("a factor that is being set up is asked for")
	}
	for _, code := range []string{h.Code(old.Secret, 0), h.Code(e.Secret, 2), "", "000000x", strings.Repeat("1", 1000)} {
		_, err := h.confirm(code)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Invalid || f.Code != "invalid_code" || f.Fields[0].Pointer != "/code" {
			t.Errorf("ConfirmTOTP(%q) = %v, want invalid_code at /code", code, err)
		}
	}
	codes, err := h.confirm(h.Code(e.Secret, 0))
	if err != nil || len(codes) != factor.RecoveryCodes {
		t.Fatalf("ConfirmTOTP = %d codes, %v", len(codes), err)
	}
	seen := map[string]bool{}
	for _, c := range codes {
		seen[c.Reveal()] = true
	}
	if len(seen) != factor.RecoveryCodes {
		t.Errorf("%d different codes", len(seen))
	}
	if !h.signIn(t).Session.Pending() {
		t.Error("the second factor is not asked for")
	}
	if _, err := h.start(); !errors.Is(err, factor.ErrAlreadyOn) {
		t.Errorf("StartTOTP while one is on = %v, want ErrAlreadyOn", err)
	}
	if _, err := h.confirm(h.Code(e.Secret, 1)); !errors.Is(err, factor.ErrAlreadyOn) {
		t.Errorf("ConfirmTOTP while one is on = %v, want ErrAlreadyOn", err)
	}
	if got := h.Kinds(h.ann); !strings.Contains(got, "second_factor_on") {
		t.Errorf("letters: %s", got)
	}
	if got := fmt.Sprint(h.Events(before)); !strings.Contains(got, "second_factor.started second_factor.started") || strings.Count(got, "second_factor.confirmed") != 1 {
		t.Errorf("written down: %s", got)
	}
}

func (h *home) signIn(t *testing.T) sessions.SignedIn {
	t.Helper()
	return h.SignIn(h.ann)
}

// Whoever finds a session open locks nobody out with a factor of their own.
func TestSettingUpTakesAProof(t *testing.T) {
	h := newHome(t, house.Options{})
	h.Move(sessions.DefaultReauth)
	e, err := h.start()
	if err != nil {
		t.Fatalf("StartTOTP at the end of the window = %v", err)
	}
	h.Move(time.Microsecond)
	if _, err := h.start(); !errors.Is(err, sessions.ErrReauthRequired) {
		t.Errorf("StartTOTP after the window = %v, want ErrReauthRequired", err)
	}
	if _, err := h.confirm(h.Code(e.Secret, 0)); !errors.Is(err, sessions.ErrReauthRequired) {
		t.Errorf("ConfirmTOTP after the window = %v, want ErrReauthRequired", err)
	}
	in, err := h.Sessions.Reauthenticate(t.Context(), h.r, house.Password)
	if err != nil {
		t.Fatal(err)
	}
	h.r = h.Resume(in.Token)
	if _, err := h.confirm(h.Code(e.Secret, 0)); err != nil {
		t.Errorf("ConfirmTOTP after a proof = %v", err)
	}
}

func TestConfirmingAtOnce(t *testing.T) {
	h := newHome(t, house.Options{})
	e, err := h.start()
	if err != nil {
		t.Fatal(err)
	}
	code := h.Code(e.Secret, 0)
	var won atomic.Int64
	house.AtOnce(10, func(int) {
		if _, err := h.confirm(code); err == nil {
			won.Add(1)
		} else if !errors.Is(err, factor.ErrAlreadyOn) {
			t.Errorf("ConfirmTOTP = %v", err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d got recovery codes, of which one set is kept", won.Load())
	}
}

func TestRemovingASecondFactor(t *testing.T) {
	h := newHome(t, house.Options{})
	remove := func(password string) error { return h.Accounts.RemoveTOTP(t.Context(), h.r, password) }
	if err := remove(house.Password); !errors.Is(err, factor.ErrNotStarted) {
		t.Errorf("RemoveTOTP of none = %v, want ErrNotStarted", err)
	}
	// One that is being set up goes too, which is nobody's business.
	if _, err := h.start(); err != nil {
		t.Fatal(err)
	}
	if err := remove(house.Password); err != nil || h.Kinds(h.ann) != "[]" {
		t.Errorf("RemoveTOTP of what is being set up = %v, letters %s", err, h.Kinds(h.ann))
	}
	_, recovery := h.TurnOnTOTPIn(h.r)
	if err := remove("wrong"); !errors.Is(err, accounts.ErrWrongPassword) {
		t.Errorf("RemoveTOTP with a wrong password = %v", err)
	}
	if err := remove(house.Password); err != nil {
		t.Fatal(err)
	}
	if h.signIn(t).Session.Pending() {
		t.Error("the second factor is still asked for")
	}
	if got := h.Kinds(h.ann); !strings.Contains(got, "second_factor_off") {
		t.Errorf("letters: %s", got)
	}
	// An operator needs no password, and the log does not say that the user did it.
	h.TurnOnTOTPIn(h.Resume(h.signIn(t).Token))
	if err := h.Accounts.RemoveFactor(t.Context(), user.ID{}, h.ann); err != nil || h.signIn(t).Session.Pending() {
		t.Errorf("RemoveFactor = %v, want signing in without", err)
	}
	rows, err := h.DB.Ledger().RowsOf(t.Context(), h.ann.ID(), 2) // the sign-in and what was before it
	if err != nil || len(rows) != 2 || rows[1].Event != audit.FactorRemoved || !rows[1].Actor.IsZero() {
		t.Errorf("the log says %v, %v, want a removal by nobody who is known", rows, err)
	}
	// Its recovery codes are good for nothing when another is set up.
	h.TurnOnTOTPIn(h.Resume(h.signIn(t).Token))
	if _, err := h.Sessions.SecondStep(t.Context(), h.Pending(h.ann), sessions.Code{Recovery: recovery[0]}); !errors.Is(err, factor.ErrInvalidCode) {
		t.Errorf("a code of the factor before = %v, want ErrInvalidCode", err)
	}
}

// What is kept of the secret opens with the installation's key alone, and for
// its owner alone.
func TestTheSecretIsSealed(t *testing.T) {
	h := newHome(t, house.Options{})
	e, err := h.start()
	if err != nil {
		t.Fatal(err)
	}
	f, err := h.DB.Factors().Find(t.Context(), h.ann.ID())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(f.Secret()), e.Secret) {
		t.Error("the secret is kept in clear")
	}
	if _, ok := h.Sealer.Open(sessions.FactorLabel(user.ID{}), f.Secret()); ok {
		t.Error("the secret opens for another user")
	}
	// With the key lost the set-up has to be begun anew, which works.
	other, err := aead.New([]byte("another secret, which is long enough too"))
	if err != nil {
		t.Fatal(err)
	}
	h.Accounts.Sealer, h.Sessions.Sealer = other, other
	if _, err := h.confirm(h.Code(e.Secret, 0)); !errors.Is(err, factor.ErrNotStarted) {
		t.Errorf("ConfirmTOTP with the key lost = %v, want ErrNotStarted", err)
	}
	h.TurnOnTOTPIn(h.r)
}

// Turning a factor on and off under a stranger's address does not flood them.
func TestFactorsFloodNoStranger(t *testing.T) {
	h := newHome(t, house.Options{Rules: house.NoRules()})
	h.Guard.Rules.Forgot.Limit, h.Guard.Rules.Forgot.Window, h.Guard.Rules.Forgot.PerWindow = 3, time.Hour, true
	victim := h.AddUnverified("victim@example.com")
	for range 5 {
		r := h.Enter(victim)
		h.TurnOnTOTPIn(r)
		if err := h.Accounts.RemoveTOTP(t.Context(), r, house.Password); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(h.Letters(victim)); n > 3 {
		t.Errorf("%d letters, want at most 3", n)
	}
}

// The account is gone while the factor is set up.
func TestFactorsOfAccountsThatAreGone(t *testing.T) {
	h := newHome(t, house.Options{})
	e, err := h.start()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.DB.Users().Delete(t.Context(), h.ann.ID(), func(user.User) error { return nil }); err != nil {
		t.Fatal(err)
	}
	_, start := h.start()
	_, confirm := h.confirm(h.Code(e.Secret, 0))
	for name, err := range map[string]error{"StartTOTP": start, "ConfirmTOTP": confirm, "RemoveTOTP": h.Accounts.RemoveTOTP(t.Context(), h.r, house.Password)} {
		if !isUnauthenticated(err) {
			t.Errorf("%s = %v, want ErrUnauthenticated", name, err)
		}
	}
}
