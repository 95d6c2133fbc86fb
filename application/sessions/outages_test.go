package sessions_test

import (
	"testing"
	"time"

	"gatehouse/application/sessions"
	"gatehouse/domain/access"
	"gatehouse/domain/factor"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/tests/house"
)

// An outage is not an answer, whichever call it meets: never "wrong password",
// never "not signed in", and never success.
func TestOutagesAreOutages(t *testing.T) {
	enter := func(h *house.House) session.Resumed { return h.Enter(h.Add("ann@example.com")) }
	signIn := func(h *house.House, c sessions.Credentials, over *session.Resumed) func() error {
		return func() error { _, err := h.Sessions.SignIn(t.Context(), c, house.Device("192.0.2.1"), over); return err }
	}
	armed := func(h *house.House) (r session.Resumed, secret, recovery string) {
		ann := h.Add("ann@example.com")
		secret, codes := h.TurnOnTOTP(ann)
		return h.Pending(ann), secret, codes[0]
	}
	capped := house.Options{Max: 1}
	house.Walk(t, map[string]house.Outage{
		"sign in": {Options: capped, Act: func(h *house.House) func() error {
			r := enter(h)
			h.Move(time.Second)
			return signIn(h, house.Credentials(r.User), &r)
		}},
		"sign in with an old hash": {Options: capped, Act: func(h *house.House) func() error {
			c := house.Credentials(h.Add("ann@example.com"))
			h.Hasher.Old.Store(true)
			return signIn(h, c, nil)
		}},
		"sign in, unverified": {Act: func(h *house.House) func() error {
			u := h.AddUnverified("ann@example.com")
			h.SignIn(u)
			return signIn(h, house.Credentials(u), nil)
		}},
		"sign in on a known device": {Act: func(h *house.House) func() error {
			in := h.SignIn(h.Add("ann@example.com"))
			c := house.Credentials(in.User)
			c.KnownDevice = in.Device
			return signIn(h, c, nil)
		}},
		"sign in, wrong": {Want: sessions.ErrInvalidCredentials, Act: func(h *house.House) func() error {
			h.Add("ann@example.com")
			return signIn(h, sessions.Credentials{Email: "ann@example.com", Password: "wrong"}, nil)
		}},
		"sign in, unknown": {Want: sessions.ErrInvalidCredentials, Act: func(h *house.House) func() error {
			return signIn(h, sessions.Credentials{Email: "ann@example.com", Password: "wrong"}, nil)
		}},
		"sign in, awaiting a second step": {Act: func(h *house.House) func() error {
			r, _, _ := armed(h)
			return signIn(h, house.Credentials(r.User), &r)
		}},
		"second step": {Options: capped, Act: func(h *house.House) func() error {
			r, secret, _ := armed(h)
			return func() error {
				_, err := h.Sessions.SecondStep(t.Context(), r, sessions.Code{TOTP: h.Code(secret, 0)})
				return err
			}
		}},
		"second step by a recovery code": {Act: func(h *house.House) func() error {
			r, _, recovery := armed(h)
			return func() error {
				_, err := h.Sessions.SecondStep(t.Context(), r, sessions.Code{Recovery: recovery})
				return err
			}
		}},
		"second step, wrong": {Want: factor.ErrInvalidCode, Act: func(h *house.House) func() error {
			r, _, _ := armed(h)
			return func() error {
				_, err := h.Sessions.SecondStep(t.Context(), r, sessions.Code{TOTP: "000000"})
				return err
			}
		}},
		"resume": {Act: func(h *house.House) func() error {
			in := h.SignIn(h.Add("ann@example.com"))
			h.Move(time.Hour)
			return func() error { _, err := h.Sessions.Resume(t.Context(), in.Token); return err }
		}},
		"resume, unknown": {Want: access.ErrUnauthenticated, Act: func(h *house.House) func() error {
			return func() error { _, err := h.Sessions.Resume(t.Context(), h.Random.Token()); return err }
		}},
		"resume what is pending": {Act: func(h *house.House) func() error {
			ann := h.Add("ann@example.com")
			h.TurnOnTOTP(ann)
			in := h.SignIn(ann)
			return func() error { _, err := h.Sessions.ResumePending(t.Context(), in.Token); return err }
		}},
		"explain": {Want: access.ErrUnauthenticated, Act: func(h *house.House) func() error {
			return func() error { return h.Sessions.Explain(t.Context(), h.Random.Token(), access.ErrUnauthenticated) }
		}},
		"reauthenticate": {Act: func(h *house.House) func() error {
			r := enter(h)
			return func() error { _, err := h.Sessions.Reauthenticate(t.Context(), r, house.Password); return err }
		}},
		"reauthenticate, wrong": {Want: sessions.ErrWrongPassword, Act: func(h *house.House) func() error {
			r := enter(h)
			return func() error { _, err := h.Sessions.Reauthenticate(t.Context(), r, "wrong"); return err }
		}},
		"sign out": {Act: func(h *house.House) func() error {
			in := h.SignIn(h.Add("ann@example.com"))
			return func() error { return h.Sessions.SignOut(t.Context(), in.Token) }
		}},
		"sign out of nothing": {Act: func(h *house.House) func() error {
			return func() error { return h.Sessions.SignOut(t.Context(), h.Random.Token()) }
		}},
		"list": {Act: func(h *house.House) func() error {
			r := enter(h)
			return func() error { _, err := h.Sessions.List(t.Context(), r); return err }
		}},
		"end one": {Act: func(h *house.House) func() error {
			r := enter(h)
			return func() error { return h.Sessions.End(t.Context(), r, r.Session.ID()) }
		}},
		"end none": {Want: fault.NotFound, Act: func(h *house.House) func() error {
			r := enter(h)
			return func() error { return h.Sessions.End(t.Context(), r, session.ID{}) }
		}},
		"end the others": {Act: func(h *house.House) func() error {
			r := enter(h)
			h.SignIn(r.User)
			return func() error { return h.Sessions.EndOthers(t.Context(), r) }
		}},
		"prune": {Act: func(h *house.House) func() error {
			enter(h)
			h.Move(24 * time.Hour)
			return func() error { _, err := h.Sessions.Prune(t.Context()); return err }
		}},
	})
}

// What failed can be tried again, and succeeds.
func TestAfterAnOutage(t *testing.T) {
	for n := 1; n < 20; n++ {
		for _, late := range []bool{false, true} {
			h := newHome(t, house.Options{})
			h.Faults.Fail(n, late)
			_, _ = h.Sessions.SignIn(t.Context(), house.Credentials(h.ann), house.Device("192.0.2.1"), nil)
			h.Faults.Fail(0, false)
			in, err := h.Sessions.SignIn(t.Context(), house.Credentials(h.ann), house.Device("192.0.2.1"), nil)
			if err != nil {
				t.Fatalf("after call %d failed, late %t: %v", n, late, err)
			}
			h.wantAlive(in.Token, "the second try")
		}
	}
}
