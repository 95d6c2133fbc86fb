package accounts_test

import (
	"errors"
	"fmt"
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
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/tests/house"
)

// asked has a link sent and gives its token.
func (h *home) asked() string {
	h.T.Helper()
	if err := h.Accounts.RequestReset(h.T.Context(), annsAddress); err != nil {
		h.T.Fatal(err)
	}
	return h.Token(annsAddress)
}

func (h *home) reset(token, password string) error {
	return h.Accounts.ResetPassword(h.T.Context(), accounts.Reset{Token: token, New: password})
}

func (h *home) signsIn(address, password string) bool {
	_, err := h.Sessions.SignIn(h.T.Context(), sessions.Credentials{Email: address, Password: password}, session.Device{}, nil)
	if err != nil && !errors.Is(err, sessions.ErrInvalidCredentials) {
		h.T.Fatal(err)
	}
	return err == nil
}

func TestAskingTellsNothing(t *testing.T) {
	h := newHome(t, house.Options{})
	out := h.Add("out@example.com")
	h.Change(out, func(u *user.User) { u.Disable(h.Now()) })
	h.Guard.Rules.Forgot.Limit = 2
	for round := range 3 {
		for _, address := range []string{annsAddress, "out@example.com", "nobody@example.com", " ANN@EXAMPLE.COM"} {
			if address[0] == ' ' && round > 0 {
				continue // one with the first
			}
			h.Faults.Fail(0, false)
			err := h.Accounts.RequestReset(t.Context(), address)
			want := round == 2 || round == 1 && address == annsAddress
			if errors.Is(err, guard.ErrTooMany) != want || err != nil && !want {
				t.Errorf("round %d: RequestReset(%s) = %v, want ErrTooMany %t", round, address, err, want)
			}
			if calls := fmt.Sprint(h.Faults.Calls()); !want && calls != "[Limiter.Take Users.FindByEmail Ledger.Record]" {
				t.Errorf("RequestReset(%s) asks %s", address, calls)
			}
		}
	}
	if h.Hasher.Hashed.Load() != 0 {
		t.Error("asking costs a hash")
	}
	if got := h.Kinds(h.ann); got != "[reset_password reset_password]" {
		t.Errorf("letters: %s", got)
	}
	if got := h.Kinds(out); got != "[]" {
		t.Errorf("letters to a disabled account: %s", got)
	}
	err := h.Accounts.RequestReset(t.Context(), "no address")
	if f, ok := errors.AsType[*fault.Error](err); !ok || len(f.Fields) != 1 || f.Fields[0].Pointer != "/email" {
		t.Errorf("RequestReset(no address) = %v, want a fault at /email", err)
	}
}

func TestReset(t *testing.T) {
	h := newHome(t, house.Options{})
	tok, other := h.asked(), h.Enter(h.ann)
	before := len(h.Rows())
	if err := h.reset(tok, fresh); err != nil {
		t.Fatal(err)
	}
	if h.signsIn(annsAddress, house.Password) || !h.signsIn(annsAddress, fresh) {
		t.Error("the old password works, or the new one does not")
	}
	for _, r := range []session.Resumed{h.r, other} {
		if list, _ := h.Sessions.List(t.Context(), r); len(list) != 0 {
			t.Errorf("sessions from before: %v", list)
		}
	}
	if got := h.Kinds(h.ann); got != "[new_device password_changed new_device]" {
		t.Errorf("letters: %s", got)
	}
	if got := h.Events(before); got[0] != audit.PasswordReset || got[1] != audit.SessionEnded || got[2] != audit.SessionEnded {
		t.Errorf("written down: %v", got)
	}
	for name, bad := range map[string]string{"used": tok, "unknown": h.Random.Token().Reveal(), "cut": tok[:42], "none": "", "longer": tok + "A"} {
		if err := h.reset(bad, evil); err != error(ticket.ErrInvalid) {
			t.Errorf("a token that is %s: %v, want ErrInvalid itself", name, err)
		}
	}
}

// A token is looked at before the password, and a password that cannot be chosen
// leaves it good.
func TestPasswordRulesLeaveTheTokenGood(t *testing.T) {
	h := newHome(t, house.Options{})
	tok := h.asked()
	hashes := h.Hasher.Hashed.Load()
	for _, bad := range []string{"", "short", "password1234", annsAddress, strings.Repeat("x", 129), "annsmith1"} {
		err := h.reset(tok, bad)
		if f, ok := errors.AsType[*fault.Error](err); !ok || len(f.Fields) == 0 || f.Fields[0].Pointer != "/newPassword" {
			t.Errorf("ResetPassword(%q) = %v, want a fault at /newPassword", bad, err)
		}
		if err := h.reset(h.Random.Token().Reveal(), bad); !errors.Is(err, ticket.ErrInvalid) {
			t.Errorf("an unknown token with %q = %v, want ErrInvalid", bad, err)
		}
	}
	if h.Hasher.Hashed.Load() != hashes {
		t.Error("a refused reset made a hash")
	}
	if err := h.reset(tok, fresh); err != nil {
		t.Errorf("ResetPassword afterwards = %v", err)
	}
}

func TestAResetWorksOnce(t *testing.T) {
	h := newHome(t, house.Options{Rules: house.NoRules()})
	tok := h.asked()
	var won, lost atomic.Int64
	house.AtOnce(20, func(i int) {
		switch err := h.reset(tok, fmt.Sprintf("a lighthouse no. %d", i)); {
		case err == nil:
			won.Add(1)
		case errors.Is(err, ticket.ErrInvalid):
			lost.Add(1)
		default:
			t.Errorf("ResetPassword = %v", err)
		}
	})
	works := 0
	for i := range 20 {
		if h.signsIn(annsAddress, fmt.Sprintf("a lighthouse no. %d", i)) {
			works++
		}
	}
	if won.Load() != 1 || lost.Load() != 19 || works != 1 {
		t.Errorf("%d got through, %d did not, and %d passwords work; want 1, 19 and 1", won.Load(), lost.Load(), works)
	}
}

func TestHowLongALinkIsGood(t *testing.T) {
	h := newHome(t, house.Options{})
	tok := h.asked()
	h.Move(ticket.Lifetime - time.Microsecond)
	if err := h.reset(tok, "short"); !errors.Is(err, fault.Invalid) {
		t.Errorf("just before an hour has passed = %v, want that it is still looked at", err)
	}
	h.Move(time.Microsecond)
	if err := h.reset(tok, fresh); !errors.Is(err, ticket.ErrInvalid) {
		t.Errorf("after an hour = %v, want ErrInvalid", err)
	}
	first := h.asked()
	second := h.asked()
	if err := h.reset(first, fresh); !errors.Is(err, ticket.ErrInvalid) {
		t.Errorf("a link that another was sent after = %v, want ErrInvalid", err)
	}
	if err := h.reset(second, fresh); err != nil {
		t.Errorf("the other one = %v", err)
	}
}

// What makes a link worthless that was sent.
func TestWhatVoidsALink(t *testing.T) {
	for name, c := range map[string]struct {
		void func(*home) error
		back func(*home) error // afterwards, so that what is seen is no state of the account
	}{
		"a new password": {func(h *home) error { _, err := h.changePassword(house.Password, fresh); return err }, nil},
		"another reset": {func(h *home) error {
			return h.reset(h.asked(), fresh)
		}, nil},
		"a new address": {func(h *home) error {
			if err := h.Accounts.RequestEmailChange(t.Context(), h.r, accounts.EmailChange{Email: "new@example.com", Current: house.Password}); err != nil {
				return err
			}
			return h.Accounts.VerifyEmail(t.Context(), h.Token("new@example.com"))
		}, nil},
		"a new address and back": {func(h *home) error {
			if err := h.Accounts.RequestEmailChange(t.Context(), h.r, accounts.EmailChange{Email: "new@example.com", Current: house.Password}); err != nil {
				return err
			}
			return h.Accounts.VerifyEmail(t.Context(), h.Token("new@example.com"))
		}, func(h *home) error {
			h.Change(h.ann, func(u *user.User) { u.ChangeEmail(h.ann.Email(), h.Now()) })
			return nil
		}},
		"an address that is another": {func(h *home) error {
			h.Change(h.ann, func(u *user.User) { u.ChangeEmail(mustEmail(t, "new@example.com"), h.Now()) })
			return nil
		}, nil},
		"disabling": {func(h *home) error {
			_, err := h.Operator.SetStatus(t.Context(), annsAddress, user.Disabled)
			return err
		}, nil},
		"disabling and enabling": {func(h *home) error {
			_, err := h.Operator.SetStatus(t.Context(), annsAddress, user.Disabled)
			return err
		}, func(h *home) error {
			_, err := h.Operator.SetStatus(t.Context(), annsAddress, user.Active)
			return err
		}},
		"leaving": {func(h *home) error { return h.Accounts.Leave(t.Context(), h.r, house.Password) }, nil},
	} {
		h := newHome(t, house.Options{})
		tok := h.asked()
		if err := c.void(h); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if c.back != nil {
			if err := c.back(h); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if err := h.reset(tok, evil); !errors.Is(err, ticket.ErrInvalid) {
			t.Errorf("a link after %s = %v, want ErrInvalid", name, err)
		}
	}
}

func mustEmail(t *testing.T, s string) user.Email {
	t.Helper()
	e, err := user.NewEmail(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The account changes between the look at the token and its use.
func TestAResetBesideChanges(t *testing.T) {
	for name, between := range map[string]func(*home) error{
		"disabled": func(h *home) error { h.Change(h.ann, func(u *user.User) { u.Disable(h.Now()) }); return nil },
		"address changed": func(h *home) error {
			h.Change(h.ann, func(u *user.User) { u.ChangeEmail(mustEmail(t, "new@example.com"), h.Now()) })
			return nil
		},
		"deleted": func(h *home) error {
			return h.DB.Users().Delete(t.Context(), h.ann.ID(), func(user.User) error { return nil })
		},
		"password changed": func(h *home) error {
			_, err := h.changePassword(house.Password, fresh)
			return err
		},
	} {
		for _, call := range []string{"Users.Find", "Users.Update"} {
			h := newHome(t, house.Options{})
			tok := h.asked()
			h.Faults.Before(call, func() {
				if err := between(h); err != nil {
					t.Error(err)
				}
			})
			if err := h.reset(tok, evil); !errors.Is(err, ticket.ErrInvalid) {
				t.Errorf("%s before %s: ResetPassword = %v, want ErrInvalid", name, call, err)
			}
		}
	}
}

// A link to one account sets no password of another, and one for another purpose
// sets none at all.
func TestALinkIsForItsPurpose(t *testing.T) {
	h := newHome(t, house.Options{})
	u := h.AddUnverified("bob@example.com")
	if err := h.Accounts.RequestVerification(t.Context(), h.Enter(u)); err != nil {
		t.Fatal(err)
	}
	verification := h.Token("bob@example.com")
	if err := h.reset(verification, evil); !errors.Is(err, ticket.ErrInvalid) {
		t.Errorf("a link that verifies an address set a password: %v", err)
	}
	if err := h.Accounts.VerifyEmail(t.Context(), h.asked()); !errors.Is(err, ticket.ErrInvalid) {
		t.Errorf("a link that sets a password verified an address: %v", err)
	}
	if err := h.Accounts.VerifyEmail(t.Context(), verification); err != nil {
		t.Errorf("the link for its own purpose = %v", err)
	}
}

// Whoever follows the link receives mail at the address; and the second factor
// stays on, since a mailbox is none.
func TestWhatAResetDoesBeside(t *testing.T) {
	h := newHome(t, house.Options{Verified: true})
	h.Change(h.ann, func(u *user.User) {
		s := u.State()
		s.EmailVerified = false
		*u = user.Restore(s)
	})
	secret, _ := h.TurnOnTOTPIn(h.r)
	if err := h.reset(h.asked(), fresh); err != nil {
		t.Fatal(err)
	}
	if !h.Find(h.ann).EmailVerified() {
		t.Error("the address is not verified")
	}
	in, err := h.Sessions.SignIn(t.Context(), sessions.Credentials{Email: annsAddress, Password: fresh}, session.Device{}, nil)
	if err != nil || !in.Session.Pending() {
		t.Fatalf("SignIn after a reset: pending %t, %v", in.Session.Pending(), err)
	}
	r, err := h.Sessions.ResumePending(t.Context(), in.Token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Sessions.SecondStep(t.Context(), r, sessions.Code{TOTP: h.Code(secret, 0)}); err != nil {
		t.Errorf("the second step afterwards = %v", err)
	}
}

// The sessions are dead since the epoch changed. That their rows cannot be
// cleared away now does not undo that the password is another.
func TestAResetThatCannotTidyUp(t *testing.T) {
	h := newHome(t, house.Options{})
	tok := h.asked()
	h.Faults.Always("Directory.EndOthers", house.Down)
	if err := h.reset(tok, fresh); err != nil {
		t.Errorf("ResetPassword = %v", err)
	}
	if !h.signsIn(annsAddress, fresh) {
		t.Error("the password is not the new one")
	}
}
