package accounts_test

import (
	"errors"
	"testing"

	"gatehouse/application/accounts"
	"gatehouse/domain/factor"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/tests/house"
)

// An outage is not an answer, whichever call it meets: nobody is told that an
// address is free or a link is bad, or that something was done.
func TestOutagesAreOutages(t *testing.T) {
	byMail := house.Options{Verified: true}
	register := func(h *house.House) func() error {
		return func() error {
			_, err := h.Accounts.Register(house.From(t.Context(), "192.0.2.1"), registration(annsAddress))
			return err
		}
	}
	enter := func(h *house.House) session.Resumed { return h.Enter(h.AddUnverified(annsAddress)) }
	ask := func(h *house.House) string {
		if err := h.Accounts.RequestReset(t.Context(), annsAddress); err != nil {
			t.Fatal(err)
		}
		return h.Token(annsAddress)
	}
	change := func(h *house.House, r session.Resumed, address string) func() error {
		return func() error {
			return h.Accounts.RequestEmailChange(t.Context(), r, accounts.EmailChange{Email: address, Current: house.Password})
		}
	}
	reset := func(h *house.House, token string) func() error {
		return func() error {
			return h.Accounts.ResetPassword(t.Context(), accounts.Reset{Token: token, New: fresh})
		}
	}
	verify := func(h *house.House, token string) func() error {
		return func() error { return h.Accounts.VerifyEmail(t.Context(), token) }
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	house.Walk(t, map[string]house.Outage{
		"register":              {Act: register},
		"register, taken":       {Want: user.ErrEmailTaken, Act: func(h *house.House) func() error { h.Add(annsAddress); return register(h) }},
		"register by mail":      {Options: byMail, Act: register},
		"register by mail, old": {Options: byMail, Act: func(h *house.House) func() error { h.Add(annsAddress); return register(h) }},
		"register by mail, anew": {Options: byMail, Act: func(h *house.House) func() error {
			h.AddUnverified(annsAddress)
			return register(h)
		}},
		"register as": {Act: func(h *house.House) func() error {
			return func() error {
				_, err := h.Accounts.RegisterAs(t.Context(), registration(annsAddress), []user.Role{user.RoleAdmin})
				return err
			}
		}},
		"profile": {Act: func(h *house.House) func() error {
			r, name := enter(h), "Ann"
			return func() error {
				_, err := h.Accounts.ChangeProfile(t.Context(), r, accounts.Profile{Name: &name})
				return err
			}
		}},
		// What comes after the new password and the new token only tidies up.
		"password": {Harmless: []string{"Directory.EndOthers"}, Act: func(h *house.House) func() error {
			r := enter(h)
			return func() error {
				_, err := h.Accounts.ChangePassword(t.Context(), r, accounts.PasswordChange{Current: house.Password, New: fresh})
				return err
			}
		}},
		"password, wrong": {Want: accounts.ErrWrongPassword, Act: func(h *house.House) func() error {
			r := enter(h)
			return func() error {
				_, err := h.Accounts.ChangePassword(t.Context(), r, accounts.PasswordChange{Current: "wrong", New: fresh})
				return err
			}
		}},
		"ask for a reset": {Act: func(h *house.House) func() error {
			h.Add(annsAddress)
			return func() error { return h.Accounts.RequestReset(house.From(t.Context(), "192.0.2.1"), annsAddress) }
		}},
		"ask for a reset, unknown": {Act: func(h *house.House) func() error {
			return func() error { return h.Accounts.RequestReset(t.Context(), annsAddress) }
		}},
		"reset": {Harmless: []string{"Directory.EndOthers"}, Act: func(h *house.House) func() error {
			h.Add(annsAddress)
			return reset(h, ask(h))
		}},
		"reset, bad token": {Want: ticket.ErrInvalid, Act: func(h *house.House) func() error { return reset(h, h.Random.Token().Reveal()) }},
		"reset, bad password": {Want: fault.Invalid, Act: func(h *house.House) func() error {
			h.Add(annsAddress)
			tok := ask(h)
			return func() error { return h.Accounts.ResetPassword(t.Context(), accounts.Reset{Token: tok, New: "x"}) }
		}},
		"ask for a verification": {Act: func(h *house.House) func() error {
			r := enter(h)
			return func() error { return h.Accounts.RequestVerification(t.Context(), r) }
		}},
		"verify": {Act: func(h *house.House) func() error {
			must(h.Accounts.RequestVerification(t.Context(), enter(h)))
			return verify(h, h.Token(annsAddress))
		}},
		"verify, bad token": {Want: ticket.ErrInvalid, Act: func(h *house.House) func() error { return verify(h, h.Random.Token().Reveal()) }},
		"verify a change": {Act: func(h *house.House) func() error {
			must(change(h, enter(h), newAddress)())
			return verify(h, h.Token(newAddress))
		}},
		"verify a change, taken": {Want: ticket.ErrInvalid, Act: func(h *house.House) func() error {
			must(change(h, enter(h), newAddress)())
			tok := h.Token(newAddress)
			h.Add(newAddress)
			return verify(h, tok)
		}},
		"change the address":        {Act: func(h *house.House) func() error { return change(h, enter(h), newAddress) }},
		"change the address, taken": {Want: user.ErrEmailTaken, Act: func(h *house.House) func() error { h.Add(newAddress); return change(h, enter(h), newAddress) }},
		"change the address by mail, taken": {Options: byMail, Act: func(h *house.House) func() error {
			h.Add(newAddress)
			return change(h, h.Enter(h.Add(annsAddress)), newAddress)
		}},
		"start a factor": {Act: func(h *house.House) func() error {
			r := enter(h)
			return func() error { _, err := h.Accounts.StartTOTP(t.Context(), r); return err }
		}},
		"confirm a factor": {Act: func(h *house.House) func() error {
			r := enter(h)
			e, err := h.Accounts.StartTOTP(t.Context(), r)
			must(err)
			return func() error { _, err := h.Accounts.ConfirmTOTP(t.Context(), r, h.Code(e.Secret, 0)); return err }
		}},
		"confirm no factor": {Want: factor.ErrNotStarted, Act: func(h *house.House) func() error {
			r := enter(h)
			return func() error { _, err := h.Accounts.ConfirmTOTP(t.Context(), r, "123456"); return err }
		}},
		"remove a factor": {Act: func(h *house.House) func() error {
			r := enter(h)
			h.TurnOnTOTPIn(r)
			return func() error { return h.Accounts.RemoveTOTP(t.Context(), r, house.Password) }
		}},
		"leave": {Act: func(h *house.House) func() error {
			r := enter(h)
			return func() error { return h.Accounts.Leave(t.Context(), r, house.Password) }
		}},
		"export": {Act: func(h *house.House) func() error {
			r := enter(h)
			return func() error { _, err := h.Accounts.Export(t.Context(), r); return err }
		}},
		"prune": {Act: func(h *house.House) func() error {
			return func() error { _, err := h.Accounts.Prune(t.Context()); return err }
		}},
	})
}

// A link outlives an outage: whatever call failed before anything was written,
// it works at the next try.
func TestLinksOutliveOutages(t *testing.T) {
	for n := 1; ; n++ {
		h := newHome(t, house.Options{})
		tok := h.asked()
		h.Faults.Fail(n, false)
		err := h.reset(tok, fresh)
		calls := h.Faults.Calls()
		h.Faults.Fail(0, false)
		if len(calls) < n {
			break
		}
		if errors.Is(err, fault.Unavailable) {
			if err := h.reset(tok, fresh); err != nil {
				t.Errorf("after %s failed: %v", calls[n-1], err)
			}
		}
		if !h.signsIn(annsAddress, fresh) {
			t.Errorf("after %s failed, and a second try, the new password does not sign in", calls[n-1])
		}
	}
}
