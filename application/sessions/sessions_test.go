package sessions_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"gatehouse/application/accounts"
	"gatehouse/application/sessions"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
	"gatehouse/tests/house"
)

const fresh = "a loud lighthouse"

// home is an application with one user in it.
type home struct {
	*house.House
	ann user.User
}

func newHome(t *testing.T, o house.Options) *home {
	t.Helper()
	h := house.New(t, o)
	return &home{h, h.Add("ann@example.com")}
}

func (h *home) signIn() session.Token { return h.SignIn(h.ann).Token }

func (h *home) wantAlive(tok session.Token, what string) {
	h.T.Helper()
	if _, err := h.Sessions.Resume(h.T.Context(), tok); err != nil {
		h.T.Errorf("Resume after %s = %v, want the session", what, err)
	}
}

func (h *home) wantEnded(tok session.Token, what string) {
	h.T.Helper()
	if _, err := h.Sessions.Resume(h.T.Context(), tok); !isUnauthenticated(err) {
		h.T.Errorf("Resume after %s = %v, want ErrUnauthenticated", what, err)
	}
}

func isUnauthenticated(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && errors.Is(f, access.ErrUnauthenticated)
}

func TestWhatEndsASession(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *home, session.Token) error{
		"signing out": func(t *testing.T, h *home, tok session.Token) error { return h.Sessions.SignOut(t.Context(), tok) },
		"ending it by its handle": func(t *testing.T, h *home, tok session.Token) error {
			r := h.Resume(tok)
			return h.Sessions.End(t.Context(), r, r.Session.ID())
		},
		"ending the others": func(t *testing.T, h *home, _ session.Token) error {
			return h.Sessions.EndOthers(t.Context(), h.Enter(h.ann))
		},
		"disabling": func(_ *testing.T, h *home, _ session.Token) error {
			h.Change(h.ann, func(u *user.User) { u.Disable(h.Now()) })
			return nil
		},
		"disabling and enabling again": func(_ *testing.T, h *home, _ session.Token) error {
			h.Change(h.ann, func(u *user.User) { u.Disable(h.Now()); u.Enable(h.Now()) })
			return nil
		},
		"a day without use": func(_ *testing.T, h *home, _ session.Token) error { h.Move(24 * time.Hour); return nil },
		"the end of the account": func(t *testing.T, h *home, tok session.Token) error {
			return h.Accounts.Leave(t.Context(), h.Resume(tok), house.Password)
		},
	} {
		h := newHome(t, house.Options{})
		tok := h.signIn()
		if err := end(t, h, tok); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		h.wantEnded(tok, name)
	}
}

// The reason of a session that has ended is told to whoever holds its token, and
// what was never one has none.
func TestReasons(t *testing.T) {
	change := func(t *testing.T, h *home, r session.Resumed) error {
		_, err := h.Accounts.ChangePassword(t.Context(), r, accounts.PasswordChange{Current: house.Password, New: fresh})
		return err
	}
	for name, c := range map[string]struct {
		end  func(*testing.T, *home, session.Token) error
		want string
	}{
		"signed out": {func(t *testing.T, h *home, tok session.Token) error { return h.Sessions.SignOut(t.Context(), tok) }, "signed_out"},
		"signed in over": {func(t *testing.T, h *home, tok session.Token) error {
			r := h.Resume(tok)
			_, err := h.Sessions.SignIn(t.Context(), house.Credentials(h.ann), session.Device{}, &r)
			return err
		}, "signed_out"},
		"by its handle": {func(t *testing.T, h *home, tok session.Token) error {
			return h.Sessions.End(t.Context(), h.Enter(h.ann), h.Resume(tok).Session.ID())
		}, "ended_by_owner"},
		"among the others": {func(t *testing.T, h *home, _ session.Token) error {
			return h.Sessions.EndOthers(t.Context(), h.Enter(h.ann))
		}, "ended_by_owner"},
		"password changed elsewhere": {func(t *testing.T, h *home, _ session.Token) error { return change(t, h, h.Enter(h.ann)) }, "password_changed"},
		"password changed here":      {func(t *testing.T, h *home, tok session.Token) error { return change(t, h, h.Resume(tok)) }, "password_changed"},
		"password reset": {func(t *testing.T, h *home, _ session.Token) error {
			if err := h.Accounts.RequestReset(t.Context(), h.ann.Email().String()); err != nil {
				return err
			}
			return h.Accounts.ResetPassword(t.Context(), accounts.Reset{Token: h.Token(h.ann.Email().String()), New: fresh})
		}, "password_changed"},
		"disabled": {func(t *testing.T, h *home, _ session.Token) error {
			_, err := h.Operator.SetStatus(t.Context(), h.ann.Email().String(), user.Disabled)
			return err
		}, "account_disabled"},
		"disabled and enabled": {func(t *testing.T, h *home, _ session.Token) error {
			_, err := h.Operator.SetStatus(t.Context(), h.ann.Email().String(), user.Disabled)
			_, err2 := h.Operator.SetStatus(t.Context(), h.ann.Email().String(), user.Active)
			return errors.Join(err, err2)
		}, "account_disabled"},
		"idle": {func(_ *testing.T, h *home, _ session.Token) error { h.Move(24 * time.Hour); return nil }, "expired"}, // both clocks strike at once
		"idle and pruned": {func(t *testing.T, h *home, _ session.Token) error {
			h.Move(24 * time.Hour)
			_, err := h.Sessions.Prune(t.Context())
			return err
		}, "expired"},
		"the cap": {func(t *testing.T, h *home, _ session.Token) error {
			h.Sessions.Max = 2
			for range 2 {
				h.Move(time.Second)
				h.signIn()
			}
			return nil
		}, "session_limit"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, house.Options{})
			tok := h.signIn()
			if err := c.end(t, h, tok); err != nil {
				t.Fatal(err)
			}
			_, err := h.Sessions.Resume(t.Context(), tok)
			if !isUnauthenticated(err) {
				t.Fatalf("Resume = %v", err)
			}
			told := h.Sessions.Explain(t.Context(), tok, err)
			f, ok := errors.AsType[*fault.Error](told)
			if !ok || !isUnauthenticated(told) || f.Reason != c.want {
				t.Errorf("Explain = %v, want the reason %q", told, c.want)
			}
		})
	}
	h := newHome(t, house.Options{})
	unknown := h.Random.Token()
	_, err := h.Sessions.Resume(t.Context(), unknown)
	if f, ok := errors.AsType[*fault.Error](h.Sessions.Explain(t.Context(), unknown, err)); !ok || f.Reason != "" {
		t.Errorf("a token that never was is explained with %q", f.Reason)
	}
	if err := h.Sessions.Explain(t.Context(), unknown, fault.NotFound); err != fault.NotFound {
		t.Errorf("Explain of another error = %v, want it", err)
	}
}

// A session that is idle but not at its absolute end is told so.
func TestIdleAndExpired(t *testing.T) {
	remember := func(h *home) session.Token {
		c := house.Credentials(h.ann)
		c.Remember = true
		in, err := h.Sessions.SignIn(t.Context(), c, session.Device{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return in.Token
	}
	h := newHome(t, house.Options{})
	tok := remember(h)
	for range 29 {
		h.Move(24*time.Hour - time.Microsecond)
		h.Resume(tok)
	}
	h.Move(24 * time.Hour)
	if got := reason(h, tok); got != "idle" {
		t.Errorf("after a day without use: %q, want idle", got)
	}
	h = newHome(t, house.Options{})
	tok = remember(h)
	for range 59 {
		h.Move(12 * time.Hour)
		h.Resume(tok)
	}
	h.Move(12*time.Hour - time.Microsecond)
	h.Resume(tok)
	h.Move(time.Microsecond)
	if got := reason(h, tok); got != "expired" {
		t.Errorf("after thirty days of use: %q, want expired", got)
	}
}

func reason(h *home, tok session.Token) string {
	_, err := h.Sessions.Resume(h.T.Context(), tok)
	f, _ := errors.AsType[*fault.Error](h.Sessions.Explain(h.T.Context(), tok, err))
	return f.Reason
}

func TestUseIsWrittenOncePerStep(t *testing.T) {
	h := newHome(t, house.Options{})
	tok := h.signIn()
	h.Faults.Fail(0, false)
	for range 10 {
		h.Move(time.Minute)
		h.Resume(tok)
	}
	if got := count(h.Faults.Calls(), "Sessions.Replace"); got != 2 {
		t.Errorf("ten requests in ten minutes wrote %d times, want 2 with a step of five minutes", got)
	}
	if got := h.Resume(tok).Session.SeenAt(); got != h.Now() {
		t.Errorf("SeenAt = %v, want %v", got, h.Now())
	}
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

// A session that is signed out while a slow request renews it stays signed out.
func TestARenewalBringsNothingBack(t *testing.T) {
	h := newHome(t, house.Options{})
	tok := h.signIn()
	h.Move(time.Hour)
	h.Faults.Before("Sessions.Replace", func() {
		if err := h.Sessions.SignOut(t.Context(), tok); err != nil {
			t.Error(err)
		}
	})
	h.wantEnded(tok, "signing out between read and renewal")
	h.wantEnded(tok, "the renewal")
}

func TestSigningOutTwiceIsNoError(t *testing.T) {
	h := newHome(t, house.Options{})
	tok := h.signIn()
	before := len(h.Rows())
	for range 2 {
		if err := h.Sessions.SignOut(t.Context(), tok); err != nil {
			t.Errorf("SignOut = %v", err)
		}
	}
	if got := h.Events(before); len(got) != 1 {
		t.Errorf("signing out twice was written down as %v, want once", got)
	}
}

func TestListShowsWhatIsGood(t *testing.T) {
	h := newHome(t, house.Options{})
	h.signIn()
	h.Change(h.ann, func(u *user.User) { u.Disable(h.Now()); u.Enable(h.Now()) }) // the first is dead by its epoch
	h.Move(time.Second)
	second := h.SignIn(h.ann)
	h.Move(time.Second)
	third := h.SignIn(h.ann)
	list, err := h.Sessions.List(t.Context(), h.Resume(third.Token))
	if err != nil || len(list) != 2 || list[0].ID() != third.Session.ID() || list[1].ID() != second.Session.ID() {
		t.Errorf("List = %v, %v, want the third and the second", list, err)
	}
	h.TurnOnTOTP(h.ann)
	h.Pending(h.ann)
	list, err = h.Sessions.List(t.Context(), h.Resume(third.Token))
	if err != nil || len(list) != 3 {
		t.Errorf("List = %v, %v, want three and none that awaits its second step", list, err)
	}
}

// A handle opens nothing for anybody else.
func TestEndingIsForOnesOwn(t *testing.T) {
	h := newHome(t, house.Options{})
	tok := h.signIn()
	eve := h.Enter(h.Add("eve@example.com"))
	if err := h.Sessions.End(t.Context(), eve, h.Resume(tok).Session.ID()); !errors.Is(err, fault.NotFound) {
		t.Errorf("End of another's session = %v, want NotFound", err)
	}
	if err := h.Sessions.EndOthers(t.Context(), eve); err != nil {
		t.Fatal(err)
	}
	h.wantAlive(tok, "another's ending all of theirs")
}

func TestPruneTakesAllThatRanOut(t *testing.T) {
	h := newHome(t, house.Options{Rules: house.NoRules()})
	for range 1005 {
		h.signIn()
	}
	h.Move(24 * time.Hour)
	last := h.signIn()
	if n, err := h.Sessions.Prune(t.Context()); n != 1005 || err != nil {
		t.Errorf("Prune = %d, %v, want 1005", n, err)
	}
	h.wantAlive(last, "Prune")
	past, _ := h.DB.Sessions().PastOf(t.Context(), h.ann.ID())
	if len(past) != 1005 {
		t.Errorf("%d sessions are remembered, want 1005", len(past))
	}
	h.Move(session.PastKept + time.Microsecond)
	if _, err := h.Sessions.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if past, _ = h.DB.Sessions().PastOf(t.Context(), h.ann.ID()); len(past) != 1 { // the last one, which ran out since
		t.Errorf("%d sessions are remembered after thirty days, want 1", len(past))
	}
}

// endless is a directory in which there is always another full batch to prune.
type endless struct {
	ports.SessionDirectory
	pruned func()
}

func (e endless) Prune(_ context.Context, _ time.Time, limit int) (int, error) {
	e.pruned()
	return limit, nil
}

// Between batches a node that stops is heard.
func TestPruneStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	now, batches := time.Unix(0, 0), 0
	s := sessions.New(sessions.Config{
		Directory: endless{pruned: func() {
			if batches++; batches == 3 {
				cancel()
			}
			now = now.Add(time.Duration(batches) * time.Millisecond) // a batch takes time, and so is rested after
		}},
		Now: func() time.Time { return now },
	})
	n, err := s.Prune(ctx)
	if !errors.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) || n < 3000 {
		t.Errorf("Prune = %d, %v, want at least 3000 and that it was cancelled", n, err)
	}
}
