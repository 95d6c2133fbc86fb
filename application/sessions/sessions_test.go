package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"gatehouse/adapters/memory"
	"gatehouse/adapters/system"
	"gatehouse/application/accounts"
	"gatehouse/application/sessions"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

const (
	address  = "ann@example.com"
	password = "a quiet lighthouse"
)

// house is the services over memory, with a clock that a test moves.
type house struct {
	*sessions.Service
	accounts *accounts.Service
	db       *memory.DB
	ann      user.User
	now      time.Time
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{db: memory.New(), now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	clock, random := func() time.Time { return h.now }, system.NewRandom()
	h.Service = sessions.New(sessions.Config{
		Users: h.db.Users(), Sessions: h.db.Sessions(), Directory: h.db.Sessions(),
		Hasher: memory.Hasher{}, Random: random, Now: clock, Lifetime: session.DefaultLifetime,
	})
	h.accounts = accounts.New(accounts.Config{
		Users: h.db.Users(), Directory: h.db.Sessions(), Products: h.db.Products(), Sessions: h.Service, Hasher: memory.Hasher{}, Random: random, Now: clock,
	})
	var err error
	if h.ann, err = h.accounts.Register(t.Context(), accounts.Registration{Email: address, Password: password}); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) signIn(t *testing.T, over *session.Resumed) sessions.SignedIn {
	t.Helper()
	in, err := h.SignIn(t.Context(), sessions.Credentials{Email: address, Password: password}, session.Device{}, over)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func (h *house) resume(t *testing.T, tok session.Token) session.Resumed {
	t.Helper()
	r, err := h.Resume(t.Context(), tok)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (h *house) wantEnded(t *testing.T, tok session.Token, why string) {
	t.Helper()
	if _, err := h.Resume(t.Context(), tok); !errors.Is(err, access.ErrUnauthenticated) {
		t.Errorf("Resume after %s = %v, want ErrUnauthenticated", why, err)
	}
}

func (h *house) change(t *testing.T, f func(*user.User)) {
	t.Helper()
	if _, err := h.db.Users().Update(t.Context(), h.ann.ID(), func(u *user.User) error { f(u); return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestSignInAnswersAlike(t *testing.T) {
	h := newHouse(t)
	if _, err := h.accounts.Register(t.Context(), accounts.Registration{Email: "out@example.com", Password: password}); err != nil {
		t.Fatal(err)
	}
	email, _ := user.NewEmail("out@example.com")
	out, err := h.db.Users().FindByEmail(t.Context(), email)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.db.Users().Update(t.Context(), out.ID(), func(u *user.User) error { u.Disable(h.now); return nil }); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]sessions.Credentials{
		"unknown":        {Email: "bob@example.com", Password: password},
		"wrong password": {Email: address, Password: "a loud lighthouse"},
		"disabled":       {Email: "out@example.com", Password: password},
		"no address":     {Email: "ann", Password: password},
		"nothing":        {},
	} {
		_, err := h.SignIn(t.Context(), c, session.Device{}, nil)
		if err != error(sessions.ErrInvalidCredentials) {
			t.Errorf("%s: SignIn = %v, want ErrInvalidCredentials itself", name, err)
		}
	}
	if in, err := h.SignIn(t.Context(), sessions.Credentials{Email: " ANN@example.com ", Password: password}, session.Device{}, nil); err != nil || in.User.ID() != h.ann.ID() {
		t.Errorf("SignIn with the address in capitals = %v", err)
	}
}

// counting counts how many hashes are verified, against which kind of hash.
type counting struct {
	memory.Hasher
	verified []bool // whether it was against a real hash
}

func (c *counting) Verify(ctx context.Context, p user.Password, h user.PasswordHash) (bool, error) {
	c.verified = append(c.verified, !h.IsZero())
	return c.Hasher.Verify(ctx, p, h)
}

// The clock must not tell whether there is an account: one hash each.
func TestUnknownAddressesCostAHash(t *testing.T) {
	h := newHouse(t)
	hasher := &counting{}
	h.Hasher = hasher
	for _, email := range []string{address, "bob@example.com", "no address"} {
		_, _ = h.SignIn(t.Context(), sessions.Credentials{Email: email, Password: "a loud lighthouse"}, session.Device{}, nil)
	}
	if got := fmt.Sprint(hasher.verified); got != "[true false false]" {
		t.Errorf("hashes verified: %s, want one for each try", got)
	}
}

// A token that an attacker planted before signing in must be worth nothing
// afterwards.
func TestSigningInOverASessionEndsIt(t *testing.T) {
	h := newHouse(t)
	first := h.signIn(t, nil)
	over := h.resume(t, first.Token)
	if _, err := h.SignIn(t.Context(), sessions.Credentials{Email: address, Password: "wrong"}, session.Device{}, &over); err == nil {
		t.Fatal("SignIn took a wrong password")
	}
	h.resume(t, first.Token) // a failed sign-in ends nothing
	second := h.signIn(t, &over)
	if second.Token == first.Token || second.Session.ID() == first.Session.ID() {
		t.Error("the session was adopted")
	}
	h.wantEnded(t, first.Token, "signing in over it")
	h.resume(t, second.Token)
}

func TestWhatEndsASession(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *house, sessions.SignedIn){
		"signing out": func(t *testing.T, h *house, in sessions.SignedIn) {
			if err := h.SignOut(t.Context(), in.Token); err != nil {
				t.Fatal(err)
			}
		},
		"ending it by its handle": func(t *testing.T, h *house, in sessions.SignedIn) {
			if err := h.End(t.Context(), h.resume(t, in.Token), in.Session.ID()); err != nil {
				t.Fatal(err)
			}
		},
		"ending the others": func(t *testing.T, h *house, _ sessions.SignedIn) {
			if err := h.EndOthers(t.Context(), h.resume(t, h.signIn(t, nil).Token)); err != nil {
				t.Fatal(err)
			}
		},
		"disabling": func(t *testing.T, h *house, _ sessions.SignedIn) {
			h.change(t, func(u *user.User) { u.Disable(h.now) })
		},
		"disabling and enabling again": func(t *testing.T, h *house, _ sessions.SignedIn) {
			h.change(t, func(u *user.User) { u.Disable(h.now); u.Enable(h.now) })
		},
		"a day without use": func(_ *testing.T, h *house, _ sessions.SignedIn) { h.now = h.now.Add(24 * time.Hour) },
	} {
		h := newHouse(t)
		in := h.signIn(t, nil)
		end(t, h, in)
		h.wantEnded(t, in.Token, name)
	}
}

func TestUseIsWrittenOncePerStep(t *testing.T) {
	h := newHouse(t)
	writes := &countingSessions{SessionRepository: h.db.Sessions()}
	h.Sessions = writes
	in := h.signIn(t, nil)
	for range 10 {
		h.now = h.now.Add(time.Minute)
		h.resume(t, in.Token)
	}
	if writes.replaced != 2 {
		t.Errorf("ten requests in ten minutes wrote %d times, want 2 with a step of five minutes", writes.replaced)
	}
	if got := h.resume(t, in.Token).Session.SeenAt(); got != h.now {
		t.Errorf("SeenAt = %v, want %v", got, h.now)
	}
}

type countingSessions struct {
	ports.SessionRepository
	replaced int
}

func (c *countingSessions) Replace(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
	c.replaced++
	return c.SessionRepository.Replace(ctx, k, next, now)
}

// A session that is signed out while a slow request renews it stays signed out.
func TestARenewalBringsNothingBack(t *testing.T) {
	h := newHouse(t)
	in := h.signIn(t, nil)
	h.now = h.now.Add(time.Hour)
	h.Sessions = &endsBeforeReplace{h.db.Sessions()}
	h.wantEnded(t, in.Token, "signing out between read and renewal")
	h.Sessions = h.db.Sessions()
	h.wantEnded(t, in.Token, "the renewal")
}

type endsBeforeReplace struct{ ports.SessionRepository }

func (e *endsBeforeReplace) Replace(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
	if err := e.End(ctx, k); err != nil {
		return err
	}
	return e.SessionRepository.Replace(ctx, k, next, now)
}

// An outage is not an answer: never "wrong password", never "not signed in".
func TestOutagesAreOutages(t *testing.T) {
	h := newHouse(t)
	down := fault.Outage(io.ErrUnexpectedEOF)
	creds := sessions.Credentials{Email: address, Password: password}
	h.Users = downUsers{h.db.Users(), down}
	if _, err := h.SignIn(t.Context(), creds, session.Device{}, nil); !errors.Is(err, fault.Unavailable) {
		t.Errorf("SignIn with the users down = %v, want Unavailable", err)
	}
	h.Users = h.db.Users()
	h.Hasher = downHasher{memory.Hasher{}, down}
	if _, err := h.SignIn(t.Context(), creds, session.Device{}, nil); !errors.Is(err, fault.Unavailable) {
		t.Errorf("SignIn with the hasher busy = %v, want Unavailable", err)
	}
	h.Hasher = memory.Hasher{}
	for method, act := range map[string]func(sessions.SignedIn) error{
		"Add": func(sessions.SignedIn) error {
			_, err := h.SignIn(t.Context(), creds, session.Device{}, nil)
			return err
		},
		"End": func(in sessions.SignedIn) error {
			_, err := h.SignIn(t.Context(), creds, session.Device{}, &session.Resumed{Session: in.Session})
			return errors.Join(err, h.SignOut(t.Context(), in.Token))
		},
		"Resume": func(in sessions.SignedIn) error {
			_, err := h.Resume(t.Context(), in.Token)
			return err
		},
		"Replace": func(in sessions.SignedIn) error {
			h.now = h.now.Add(time.Hour)
			_, err := h.Resume(t.Context(), in.Token)
			return err
		},
	} {
		in := h.signIn(t, nil)
		h.Sessions = downSessions{h.db.Sessions(), method, down}
		if err := act(in); !errors.Is(err, fault.Unavailable) || errors.Is(err, fault.Unauthenticated) {
			t.Errorf("with %s down: %v, want Unavailable", method, err)
		}
		h.Sessions = h.db.Sessions()
		h.resume(t, in.Token) // what failed changed nothing
	}
}

type downUsers struct {
	ports.UserRepository
	err error
}

func (d downUsers) FindByEmail(context.Context, user.Email) (user.User, error) {
	return user.User{}, d.err
}

type downHasher struct {
	memory.Hasher
	err error
}

func (d downHasher) Verify(context.Context, user.Password, user.PasswordHash) (bool, error) {
	return false, d.err
}

type downSessions struct {
	ports.SessionRepository
	method string
	err    error
}

func (d downSessions) Add(ctx context.Context, s session.Session) error {
	if d.method == "Add" {
		return d.err
	}
	return d.SessionRepository.Add(ctx, s)
}

func (d downSessions) Resume(ctx context.Context, k session.Key) (session.Resumed, error) {
	if d.method == "Resume" {
		return session.Resumed{}, d.err
	}
	return d.SessionRepository.Resume(ctx, k)
}

func (d downSessions) Replace(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
	if d.method == "Replace" {
		return d.err
	}
	return d.SessionRepository.Replace(ctx, k, next, now)
}

func (d downSessions) End(ctx context.Context, k session.Key) error {
	if d.method == "End" {
		return d.err
	}
	return d.SessionRepository.End(ctx, k)
}

func TestListShowsWhatIsGood(t *testing.T) {
	h := newHouse(t)
	h.signIn(t, nil)
	h.change(t, func(u *user.User) { u.Disable(h.now); u.Enable(h.now) }) // the first is dead by its epoch
	h.now = h.now.Add(time.Second)
	second := h.signIn(t, nil)
	h.now = h.now.Add(time.Second)
	third := h.signIn(t, nil)
	list, err := h.List(t.Context(), h.resume(t, third.Token))
	if err != nil || len(list) != 2 || list[0].ID() != third.Session.ID() || list[1].ID() != second.Session.ID() {
		t.Errorf("List = %v, %v, want the third and the second", list, err)
	}
}

func TestPruneTakesAllThatRanOut(t *testing.T) {
	h := newHouse(t)
	for range 5 {
		h.signIn(t, nil)
	}
	h.now = h.now.Add(24 * time.Hour)
	last := h.signIn(t, nil)
	if n, err := h.Prune(t.Context()); n != 5 || err != nil {
		t.Errorf("Prune = %d, %v, want 5", n, err)
	}
	h.resume(t, last.Token)
}

func TestChangeOfPassword(t *testing.T) {
	h := newHouse(t)
	other, in := h.signIn(t, nil), h.signIn(t, nil)
	r := h.resume(t, in.Token)
	const fresh = "a loud lighthouse"
	for _, c := range []struct {
		change accounts.PasswordChange
		want   error
	}{
		{accounts.PasswordChange{Current: "wrong", New: fresh}, accounts.ErrWrongPassword},
		{accounts.PasswordChange{Current: password, New: "short"}, fault.Invalid},
		{accounts.PasswordChange{Current: "wrong", New: "short"}, fault.Invalid},
		{accounts.PasswordChange{Current: password, New: address}, fault.Invalid},
	} {
		if _, err := h.accounts.ChangePassword(t.Context(), r, c.change); !errors.Is(err, c.want) {
			t.Errorf("ChangePassword = %v, want %v", err, c.want)
		}
	}
	h.resume(t, other.Token) // refused changes end nothing
	rotated, err := h.accounts.ChangePassword(t.Context(), r, accounts.PasswordChange{Current: password, New: fresh})
	if err != nil {
		t.Fatal(err)
	}
	h.wantEnded(t, other.Token, "the change of password elsewhere")
	h.wantEnded(t, in.Token, "the rotation")
	if got := h.resume(t, rotated.Token); got.Session.ID() != in.Session.ID() {
		t.Error("the present session has another handle after the rotation")
	}
	if _, err := h.SignIn(t.Context(), sessions.Credentials{Email: address, Password: password}, session.Device{}, nil); !errors.Is(err, sessions.ErrInvalidCredentials) {
		t.Errorf("SignIn with the old password = %v", err)
	}
}

// Of changes with one old password only the first succeeds, and a session that
// somebody ended while the change was under way is not brought back by it.
func TestRacingChangesOfPassword(t *testing.T) {
	h := newHouse(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won []session.Token
	var all []session.Resumed
	for range 20 {
		all = append(all, h.resume(t, h.signIn(t, nil).Token))
	}
	for i, r := range all {
		wg.Go(func() {
			in, err := h.accounts.ChangePassword(t.Context(), r, accounts.PasswordChange{Current: password, New: fmt.Sprintf("a lighthouse no. %d", i)})
			if err == nil {
				mu.Lock()
				won = append(won, in.Token)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d changes with one old password succeeded, want 1", len(won))
	}
	h.resume(t, won[0])
	list, err := h.db.Sessions().List(t.Context(), h.ann.ID())
	if err != nil || len(list) != 1 {
		t.Errorf("%d sessions are left, %v, want 1", len(list), err)
	}
}

func TestAChangeOfPasswordDoesNotSignBackIn(t *testing.T) {
	h := newHouse(t)
	in := h.signIn(t, nil)
	r := h.resume(t, in.Token)
	if err := h.SignOut(t.Context(), in.Token); err != nil {
		t.Fatal(err)
	}
	if _, err := h.accounts.ChangePassword(t.Context(), r, accounts.PasswordChange{Current: password, New: "a loud lighthouse"}); !errors.Is(err, access.ErrUnauthenticated) {
		t.Errorf("ChangePassword in a session signed out meanwhile = %v, want ErrUnauthenticated", err)
	}
	if list, _ := h.db.Sessions().List(t.Context(), h.ann.ID()); len(list) != 0 {
		t.Errorf("%d sessions live, want none", len(list))
	}
}

func TestRehashKeepsSessions(t *testing.T) {
	h := newHouse(t)
	in := h.signIn(t, nil)
	h.Hasher = outdated{}
	h.signIn(t, nil)
	h.resume(t, in.Token)
	now, err := h.db.Users().Find(t.Context(), h.ann.ID())
	if err != nil || now.PasswordHash() == h.ann.PasswordHash() {
		t.Errorf("the outdated hash is still kept, %v", err)
	}
}

type outdated struct{ memory.Hasher }

func (outdated) Outdated(user.PasswordHash) bool { return true }
