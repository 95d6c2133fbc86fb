package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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

// A proof counts for ten minutes, the last microsecond of them included.
func TestTheWindowOfAProof(t *testing.T) {
	h := newHome(t, house.Options{})
	r := h.Enter(h.ann)
	for _, c := range []struct {
		move time.Duration
		want error
	}{
		{0, nil},
		{sessions.DefaultReauth, nil},
		{time.Microsecond, sessions.ErrReauthRequired},
		{24 * time.Hour, sessions.ErrReauthRequired},
	} {
		h.Move(c.move)
		if err := h.Sessions.Proved(r); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("at %v: Proved = %v, want %v", h.Now().Sub(house.Noon), err, c.want)
		}
	}
	r = h.Enter(h.ann)
	h.Move(time.Hour)
	in, err := h.Sessions.Reauthenticate(t.Context(), r, house.Password)
	if err != nil {
		t.Fatal(err)
	}
	h.Move(sessions.DefaultReauth)
	again := h.Resume(in.Token)
	if err := h.Sessions.Proved(again); err != nil {
		t.Errorf("ten minutes after Reauthenticate: Proved = %v", err)
	}
	h.Move(time.Microsecond)
	if err := h.Sessions.Proved(h.Resume(in.Token)); !errors.Is(err, sessions.ErrReauthRequired) {
		t.Errorf("a microsecond later: Proved = %v, want ErrReauthRequired", err)
	}
	if used := h.Resume(in.Token); used.Session.ProvedAt() != in.Session.ProvedAt() {
		t.Error("use alone is taken for a proof")
	}
}

// What awaits its second step proves nothing, however fresh it is.
func TestAPendingSessionProvesNothing(t *testing.T) {
	h := newHome(t, house.Options{})
	h.TurnOnTOTP(h.ann)
	if err := h.Sessions.Proved(h.Pending(h.ann)); !errors.Is(err, sessions.ErrReauthRequired) {
		t.Errorf("Proved = %v, want ErrReauthRequired", err)
	}
}

func TestReauthenticateRotates(t *testing.T) {
	h := newHome(t, house.Options{})
	old, other := h.SignIn(h.ann), h.signIn()
	r := h.Resume(old.Token)
	in, err := h.Sessions.Reauthenticate(t.Context(), r, house.Password)
	if err != nil {
		t.Fatal(err)
	}
	h.wantEnded(old.Token, "Reauthenticate")
	h.wantAlive(in.Token, "Reauthenticate")
	h.wantAlive(other, "Reauthenticate elsewhere")
	if in.Session.ID() != old.Session.ID() || in.Session.ExpiresAt() != old.Session.ExpiresAt() {
		t.Error("the session has another handle or end")
	}
	if _, err := h.Sessions.Reauthenticate(t.Context(), r, house.Password); !isUnauthenticated(err) {
		t.Errorf("Reauthenticate under the old token = %v, want ErrUnauthenticated", err)
	}
}

// Who guesses in a session that was found open is stopped, whichever act they
// try the password in.
func TestConfirmationsAreBound(t *testing.T) {
	h := newHome(t, house.Options{})
	r := h.Enter(h.ann)
	acts := []func(string) error{
		func(p string) error { _, err := h.Sessions.Reauthenticate(t.Context(), r, p); return err },
		func(p string) error {
			_, err := h.Accounts.ChangePassword(t.Context(), r, accounts.PasswordChange{Current: p, New: fresh})
			return err
		},
		func(p string) error { return h.Accounts.Leave(t.Context(), r, p) },
		func(p string) error { return h.Accounts.RemoveTOTP(t.Context(), r, p) },
		func(p string) error {
			return h.Accounts.RequestEmailChange(t.Context(), r, accounts.EmailChange{Email: "new@example.com", Current: p})
		},
	}
	before := len(h.Rows())
	for i := range 10 {
		if err := acts[i%len(acts)]("wrong"); !errors.Is(err, sessions.ErrWrongPassword) {
			t.Fatalf("try %d = %v, want ErrWrongPassword", i, err)
		}
	}
	hashes := h.Hasher.Verified.Load()
	for i, act := range acts {
		if err := act(house.Password); !errors.Is(err, guard.ErrTooMany) {
			t.Errorf("act %d with the right password = %v, want ErrTooMany", i, err)
		}
	}
	if h.Hasher.Verified.Load() != hashes {
		t.Error("the password was looked at")
	}
	events := h.Events(before)
	if n := len(events); n != 11 || events[10] != audit.ConfirmThrottled || !slices.Contains(events, audit.ReauthFailed) || !slices.Contains(events, audit.PasswordRefused) {
		t.Errorf("written down: %v, want ten failures and that it was throttled", events)
	}
	h.Move(30 * time.Second)
	if _, err := h.Sessions.Reauthenticate(t.Context(), r, house.Password); err != nil {
		t.Errorf("Reauthenticate after the pause = %v", err)
	}
}

// A right password forgets the wrong ones before it; what could not be hashed
// does not count.
func TestConfirmationsThatDoNotCount(t *testing.T) {
	h := newHome(t, house.Options{})
	for range 5 {
		for range 9 {
			_ = h.Sessions.Confirm(t.Context(), h.ann, "wrong")
		}
		if err := h.Sessions.Confirm(t.Context(), h.ann, house.Password); err != nil {
			t.Fatal(err)
		}
	}
	h.Faults.Always("Hasher.Verify", house.Down)
	for range 50 {
		if err := h.Sessions.Confirm(t.Context(), h.ann, house.Password); !errors.Is(err, fault.Unavailable) {
			t.Fatalf("Confirm = %v, want Unavailable", err)
		}
	}
	h.Faults.Always("Hasher.Verify", nil)
	if err := h.Sessions.Confirm(t.Context(), h.ann, house.Password); err != nil {
		t.Errorf("Confirm after an overload = %v", err)
	}
}

func TestChangeOfPassword(t *testing.T) {
	h := newHome(t, house.Options{})
	other, in := h.signIn(), h.SignIn(h.ann)
	r := h.Resume(in.Token)
	for _, c := range []struct {
		change accounts.PasswordChange
		want   error
	}{
		{accounts.PasswordChange{Current: "wrong", New: fresh}, accounts.ErrWrongPassword},
		{accounts.PasswordChange{Current: house.Password, New: "short"}, fault.Invalid},
		{accounts.PasswordChange{Current: "wrong", New: "short"}, fault.Invalid},
		{accounts.PasswordChange{Current: house.Password, New: h.ann.Email().String()}, fault.Invalid},
	} {
		if _, err := h.Accounts.ChangePassword(t.Context(), r, c.change); !errors.Is(err, c.want) {
			t.Errorf("ChangePassword = %v, want %v", err, c.want)
		}
	}
	h.wantAlive(other, "changes that were refused")
	rotated, err := h.Accounts.ChangePassword(t.Context(), r, accounts.PasswordChange{Current: house.Password, New: fresh})
	if err != nil {
		t.Fatal(err)
	}
	h.wantEnded(other, "the change of password elsewhere")
	h.wantEnded(in.Token, "the rotation")
	if got := h.Resume(rotated.Token); got.Session.ID() != in.Session.ID() {
		t.Error("the present session has another handle after the rotation")
	}
	if _, err := h.Sessions.SignIn(t.Context(), house.Credentials(h.ann), session.Device{}, nil); !errors.Is(err, sessions.ErrInvalidCredentials) {
		t.Errorf("SignIn with the old password = %v", err)
	}
	if got := h.Kinds(h.ann); got != "[new_device password_changed]" {
		t.Errorf("letters: %s", got)
	}
}

// Of changes with one old password only the first succeeds, and a session that
// somebody ended while the change was under way is not brought back by it.
func TestRacingChangesOfPassword(t *testing.T) {
	h := newHome(t, house.Options{Rules: house.NoRules()})
	var mu sync.Mutex
	var won []session.Token
	var all []session.Resumed
	for range 20 {
		all = append(all, h.Enter(h.ann))
	}
	house.AtOnce(len(all), func(i int) {
		in, err := h.Accounts.ChangePassword(t.Context(), all[i], accounts.PasswordChange{Current: house.Password, New: fmt.Sprintf("a lighthouse no. %d", i)})
		if err == nil {
			mu.Lock()
			won = append(won, in.Token)
			mu.Unlock()
		} else if !errors.Is(err, accounts.ErrWrongPassword) && !isUnauthenticated(err) {
			t.Errorf("ChangePassword = %v", err)
		}
	})
	if len(won) != 1 {
		t.Fatalf("%d changes with one old password succeeded, want 1", len(won))
	}
	h.wantAlive(won[0], "the race")
	list, err := h.DB.Sessions().List(t.Context(), h.ann.ID())
	if err != nil || len(list) != 1 {
		t.Errorf("%d sessions are left, %v, want 1", len(list), err)
	}
}

func TestAChangeOfPasswordDoesNotSignBackIn(t *testing.T) {
	for name, between := range map[string]func(*home, session.Resumed) error{
		"signed out": func(h *home, r session.Resumed) error {
			return h.Sessions.End(t.Context(), r, r.Session.ID())
		},
		"all ended by disabling": func(h *home, _ session.Resumed) error {
			h.Change(h.ann, func(u *user.User) { u.Disable(h.Now()); u.Enable(h.Now()) })
			return nil
		},
	} {
		h := newHome(t, house.Options{})
		r := h.Enter(h.ann)
		if err := between(h, r); err != nil {
			t.Fatal(err)
		}
		in, err := h.Accounts.ChangePassword(t.Context(), r, accounts.PasswordChange{Current: house.Password, New: fresh})
		if !isUnauthenticated(err) {
			t.Errorf("%s: ChangePassword = %v, want ErrUnauthenticated", name, err)
		}
		if in.Token != (session.Token{}) {
			if _, err := h.Sessions.Resume(t.Context(), in.Token); err == nil {
				t.Errorf("%s: the session is back", name)
			}
		}
	}
}

// The password is another and the token is new: that the rows of dead sessions
// cannot be cleared away is no reason to withhold it.
func TestAChangeOfPasswordThatCannotTidyUp(t *testing.T) {
	h := newHome(t, house.Options{})
	other := h.signIn()
	h.Faults.Always("Directory.EndOthers", house.Down)
	in, err := h.Accounts.ChangePassword(t.Context(), h.Enter(h.ann), accounts.PasswordChange{Current: house.Password, New: fresh})
	if err != nil {
		t.Fatal(err)
	}
	h.wantAlive(in.Token, "the change")
	h.wantEnded(other, "the change")
}

// Somebody whose hash is renewed while they sign in keeps their sessions.
func TestRehashKeepsSessions(t *testing.T) {
	h := newHome(t, house.Options{})
	tok := h.signIn()
	h.Hasher.Old.Store(true)
	second := h.signIn()
	h.wantAlive(tok, "the renewal of the hash")
	h.wantAlive(second, "the renewal of the hash")
	if h.Find(h.ann).PasswordHash() == h.ann.PasswordHash() {
		t.Error("the outdated hash is still kept")
	}
}

// The old password was right when it was looked at. It must not begin a session
// that is good after all were ended.
func TestRehashBesideAChangeOfPassword(t *testing.T) {
	for name, between := range map[string]func(*home){
		"changed": func(h *home) {
			h.Change(h.ann, func(u *user.User) { u.ChangePassword(user.NewPasswordHash("$insecure-test-hash$x$y"), h.Now()) })
		},
		"disabled and enabled": func(h *home) {
			h.Change(h.ann, func(u *user.User) { u.Disable(h.Now()); u.Enable(h.Now()) })
		},
	} {
		for _, call := range []string{"Users.Update", "Factors.Find", "Sessions.Add", "Ledger.Record"} {
			h := newHome(t, house.Options{})
			h.Hasher.Old.Store(true)
			h.Faults.Before(call, func() { between(h) })
			in, err := h.Sessions.SignIn(t.Context(), house.Credentials(h.ann), session.Device{}, nil)
			if err != nil && !errors.Is(err, sessions.ErrInvalidCredentials) {
				t.Errorf("%s before %s: SignIn = %v", name, call, err)
			}
			if err == nil {
				h.wantEnded(in.Token, name+" before "+call)
			}
		}
	}
}

// Of sign-ins at once, each of which renews the hash, none is refused.
func TestRehashesAtOnce(t *testing.T) {
	h := newHome(t, house.Options{Rules: house.NoRules()})
	h.Hasher.Old.Store(true)
	house.AtOnce(20, func(int) {
		if _, err := h.Sessions.SignIn(context.Background(), house.Credentials(h.ann), session.Device{}, nil); err != nil {
			t.Errorf("SignIn = %v", err)
		}
	})
}
