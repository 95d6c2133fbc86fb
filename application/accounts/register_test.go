package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/adapters/memory"
	"gatehouse/application/accounts"
	"gatehouse/application/guard"
	"gatehouse/application/sessions"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/tests/house"
)

const (
	annsAddress = "ann@example.com"
	evil        = "an evil lighthouse" // an attacker's password
	fresh       = "a loud lighthouse"
)

// oneSlot counts what it is asked to hash, and lets others run meanwhile; it
// refuses a second hash beside the first, as a full queue does.
type oneSlot struct {
	memory.Hasher
	made, busy atomic.Int64
}

func (h *oneSlot) Hash(ctx context.Context, p user.Password) (user.PasswordHash, error) {
	h.made.Add(1)
	if h.busy.Add(1) > 1 {
		return user.PasswordHash{}, fault.Outage(errors.New("too many"))
	}
	defer h.busy.Add(-1)
	time.Sleep(20 * time.Millisecond) // which costs no time in a bubble
	return h.Hasher.Hash(ctx, p)
}

func registration(email string) accounts.Registration {
	return accounts.Registration{Email: email, Password: house.Password, Name: "Ann Smith"}
}

// TestRegistrationsOfOneAddress: of fifty at once one makes a hash, and none of
// the others is told that the service is busy.
func TestRegistrationsOfOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, slot := house.New(t, house.Options{}), &oneSlot{}
		h.Accounts.Hasher = slot
		var made, taken atomic.Int64
		house.AtOnce(50, func(i int) {
			email := [...]string{annsAddress, " ANN@Example.com"}[i%2]
			switch _, err := h.Accounts.Register(t.Context(), registration(email)); {
			case err == nil:
				made.Add(1)
			case errors.Is(err, user.ErrEmailTaken):
				taken.Add(1)
			default:
				t.Errorf("Register = %v", err)
			}
		})
		if made.Load() != 1 || taken.Load() != 49 || slot.made.Load() != 1 {
			t.Errorf("%d registered, %d taken, %d hashes; want 1, 49 and 1", made.Load(), taken.Load(), slot.made.Load())
		}
	})
}

// TestWaitingForATurnEnds: who waits behind another registration of the address
// waits no longer than the request lasts, and is told that nobody knows.
func TestWaitingForATurnEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := house.New(t, house.Options{})
		h.Accounts.Hasher = &oneSlot{}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := h.Accounts.Register(t.Context(), registration(annsAddress)); err != nil {
				t.Errorf("the first Register = %v", err)
			}
		})
		synctest.Wait() // it is hashing
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := h.Accounts.Register(ctx, registration(annsAddress)); !errors.Is(err, fault.Unavailable) {
			t.Errorf("Register = %v, want Unavailable", err)
		}
		wg.Wait()
		if _, err := h.Accounts.Register(t.Context(), registration(annsAddress)); !errors.Is(err, user.ErrEmailTaken) {
			t.Errorf("Register = %v, want ErrEmailTaken", err)
		}
	})
}

func TestRegisterOpenly(t *testing.T) {
	h := house.New(t, house.Options{})
	u, err := h.Accounts.Register(t.Context(), registration(annsAddress))
	if err != nil || u == nil || u.EmailVerified() || u.Name() != "Ann Smith" || fmt.Sprint(u.Roles()) != "[user]" {
		t.Fatalf("Register = %v, %v", u, err)
	}
	if _, err := h.Accounts.Register(t.Context(), registration("ANN@example.com")); !errors.Is(err, user.ErrEmailTaken) {
		t.Errorf("Register(taken) = %v, want ErrEmailTaken", err)
	}
	if got := h.Kinds(*u); got != "[]" {
		t.Errorf("letters: %s, want none of itself", got)
	}
	if got := fmt.Sprint(h.Events(0)); got != "[account.registered]" {
		t.Errorf("written down: %s", got)
	}
	_, err = h.Accounts.Register(t.Context(), accounts.Registration{Email: "x", Password: "x", Name: "\x00"})
	if f, ok := errors.AsType[*fault.Error](err); !ok || len(f.Fields) != 3 {
		t.Errorf("Register of nothing good = %v, want three faults", err)
	}
}

// What is no registration counts for none.
func TestRegistrationsAreBound(t *testing.T) {
	h := house.New(t, house.Options{})
	h.Guard.Rules.Register.Limit = 2
	ctx := house.From(t.Context(), "192.0.2.1")
	for i := range 5 {
		_, _ = h.Accounts.Register(ctx, accounts.Registration{Email: "none"})
		_, err := h.Accounts.Register(ctx, registration(fmt.Sprintf("u%d@example.com", i)))
		if want := i >= 2; errors.Is(err, guard.ErrTooMany) != want {
			t.Errorf("registration %d = %v", i, err)
		}
	}
}

// outcome is all that somebody who registers or asks can see or measure.
type outcome struct {
	err            string
	user           bool
	hashed, hashes int64
}

// Where a mail decides, nothing tells who has an account: not the answer, not
// the number of hashes, not a bound that is reached sooner.
func TestRegisterByMailTellsNothing(t *testing.T) {
	h := house.New(t, house.Options{Verified: true})
	h.Add("verified@example.com")
	h.AddUnverified("unverified@example.com")
	out := h.Add("disabled@example.com")
	h.Change(out, func(u *user.User) { u.Disable(h.Now()) })
	used := h.AddUnverified("used@example.com")
	h.Change(used, func(u *user.User) { _ = u.SetRoles([]user.Role{user.RoleAdmin}, h.Now()) })
	register := func(email string) outcome {
		made, verified := h.Hasher.Hashed.Load(), h.Hasher.Verified.Load()
		u, err := h.Accounts.Register(t.Context(), registration(email))
		return outcome{fmt.Sprint(err), u != nil, h.Hasher.Hashed.Load() - made, h.Hasher.Verified.Load() - verified}
	}
	h.Guard.Rules.Forgot.Limit = 4
	for i := range 6 {
		first := register("new@example.com")
		for _, email := range []string{"verified@example.com", "unverified@example.com", "disabled@example.com", "used@example.com"} {
			if got := register(email); got != first {
				t.Errorf("round %d: registering %s = %+v, want %+v", i, email, got, first)
			}
		}
	}
	if got := register("new@example.com"); !strings.Contains(got.err, "too many") {
		t.Errorf("the seventh time = %+v, want a bound", got)
	}
}

func TestRegisterByMail(t *testing.T) {
	h := house.New(t, house.Options{Verified: true})
	u, err := h.Accounts.Register(t.Context(), registration(annsAddress))
	if u != nil || err != nil {
		t.Fatalf("Register = %v, %v, want that a mail decides", u, err)
	}
	signIn := func(password string) error {
		_, err := h.Sessions.SignIn(t.Context(), sessions.Credentials{Email: annsAddress, Password: password}, session.Device{}, nil)
		return err
	}
	if err := signIn(house.Password); !errors.Is(err, sessions.ErrInvalidCredentials) {
		t.Errorf("SignIn before the mail is answered = %v, want ErrInvalidCredentials", err)
	}
	if err := h.Accounts.VerifyEmail(t.Context(), h.Token(annsAddress)); err != nil {
		t.Fatal(err)
	}
	// Registering again changes nothing and is told the owner, who has not even
	// signed in yet.
	ann := h.ByAddress(annsAddress)
	if _, err := h.Accounts.Register(t.Context(), accounts.Registration{Email: annsAddress, Password: evil, Name: "Eve"}); err != nil {
		t.Fatal(err)
	}
	if now := h.Find(ann); now.Name() != ann.Name() || now.PasswordHash() != ann.PasswordHash() || now.SessionEpoch() != ann.SessionEpoch() {
		t.Error("registering an address that is verified changed its account")
	}
	if got := h.Kinds(ann); !strings.Contains(got, "already_registered") || strings.Contains(got, "verify_email") {
		t.Errorf("letters: %s", got)
	}
	if err := signIn(house.Password); err != nil {
		t.Errorf("SignIn after the mail was answered = %v", err)
	}
}

// An attacker registers the victim's address first, to find it verified with
// their own password later (pre-hijacking).
func TestWhoRegistersAVictimFirstGetsNothing(t *testing.T) {
	h := house.New(t, house.Options{Verified: true})
	register := func(password, name string) {
		if _, err := h.Accounts.Register(t.Context(), accounts.Registration{Email: annsAddress, Password: password, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	register(evil, "Visit evil.example")
	first := h.Token(annsAddress)
	register(house.Password, "Ann")
	if err := h.Accounts.VerifyEmail(t.Context(), first); err == nil {
		t.Error("the link of the first registration verified the second")
	}
	m := h.Deliver()
	if len(m) != 1 || strings.Contains(m[0].Text+m[0].HTML, "evil") || strings.Contains(m[0].Text, "Ann") {
		t.Fatalf("mails: %v", m)
	}
	if err := h.Accounts.VerifyEmail(t.Context(), house.TokenIn(m[0])); err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{evil: false, house.Password: true} {
		_, err := h.Sessions.SignIn(t.Context(), sessions.Credentials{Email: annsAddress, Password: password}, session.Device{}, nil)
		if (err == nil) != want {
			t.Errorf("SignIn with the password %q = %v", password, err)
		}
	}
	if got := h.ByAddress(annsAddress).Name(); got != "Ann" {
		t.Errorf("the name is %q", got)
	}
}

// The victim has a link of their own registration in the mailbox when the
// attacker registers the address again: it must not verify the attacker's
// password, also if the mail of the attacker's registration never comes.
func TestWhoRegistersAVictimAgainGetsNothing(t *testing.T) {
	h := house.New(t, house.Options{Verified: true})
	if _, err := h.Accounts.Register(t.Context(), registration(annsAddress)); err != nil {
		t.Fatal(err)
	}
	mine := h.Token(annsAddress)
	if _, err := h.Accounts.Register(t.Context(), accounts.Registration{Email: annsAddress, Password: evil}); err != nil {
		t.Fatal(err)
	}
	if err := h.Accounts.VerifyEmail(t.Context(), mine); err == nil {
		t.Error("the victim's link verified the attacker's password")
	}
	if _, err := h.Sessions.SignIn(t.Context(), sessions.Credentials{Email: annsAddress, Password: evil}, session.Device{}, nil); err == nil {
		t.Error("the attacker is in")
	}
}

// An account with something in it, from before mails had to decide, is not
// handed to whoever registers its address again: its owner would let them in by
// following the link.
func TestAccountsThatWereUsedDoNotBeginAnew(t *testing.T) {
	for name, use := range map[string]func(*house.House, user.User){
		"a session": func(h *house.House, u user.User) { h.SignIn(u) },
		"a session that is over": func(h *house.House, u user.User) {
			if err := h.Sessions.SignOut(t.Context(), h.SignIn(u).Token); err != nil {
				t.Fatal(err)
			}
		},
		"a right": func(h *house.House, u user.User) {
			h.Change(u, func(u *user.User) { _ = u.SetRoles([]user.Role{user.RoleAdmin}, h.Now()) })
		},
		"a product": func(h *house.House, u user.User) {
			p, err := product.New(product.ID{UUID: h.Random.ID(h.Now())}, u.ID(), product.Draft{Name: "Lamp", Currency: "KRW"}, h.Now())
			if err != nil {
				t.Fatal(err)
			}
			if err := h.DB.Products().Add(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		},
	} {
		h := house.New(t, house.Options{})
		ann := h.AddUnverified(annsAddress)
		use(h, ann)
		before := h.Find(ann)
		h.Accounts.Verified, h.Sessions.Verified = true, true
		if _, err := h.Accounts.Register(t.Context(), accounts.Registration{Email: annsAddress, Password: evil, Name: "Eve"}); err != nil {
			t.Fatal(err)
		}
		if now := h.Find(ann); now.PasswordHash() != before.PasswordHash() || now.Name() != before.Name() {
			t.Errorf("an account with %s was given the password of whoever registered again", name)
		}
		if got := h.Kinds(ann); got != "[already_registered]" {
			t.Errorf("an account with %s: letters %s", name, got)
		}
		// Its owner gets in by a new password, which verifies the address.
		if err := h.Accounts.RequestReset(t.Context(), annsAddress); err != nil {
			t.Fatal(err)
		}
		if err := h.Accounts.ResetPassword(t.Context(), accounts.Reset{Token: h.Token(annsAddress), New: fresh}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Sessions.SignIn(t.Context(), sessions.Credentials{Email: annsAddress, Password: fresh}, session.Device{}, nil); err != nil {
			t.Errorf("an account with %s: SignIn after the new password = %v", name, err)
		}
	}
}

// Registrations of one address at once, where a mail decides: one account, a
// link for each, of which the last works, with the password of the last.
func TestRegistrationsByMailAtOnce(t *testing.T) {
	h := house.New(t, house.Options{Verified: true})
	h.Guard.Rules.Forgot.Limit = 0
	house.AtOnce(20, func(i int) {
		r := accounts.Registration{Email: annsAddress, Password: fmt.Sprintf("a lighthouse no. %d", i)}
		if u, err := h.Accounts.Register(t.Context(), r); u != nil || err != nil {
			t.Errorf("Register = %v, %v", u, err)
		}
	})
	users, err := h.DB.Users().List(t.Context(), user.ID{}, 10)
	if err != nil || len(users) != 1 {
		t.Fatalf("%d accounts, %v", len(users), err)
	}
	if err := h.Accounts.VerifyEmail(t.Context(), h.Token(annsAddress)); err != nil {
		t.Fatal(err)
	}
	in := 0
	for i := range 20 {
		c := sessions.Credentials{Email: annsAddress, Password: fmt.Sprintf("a lighthouse no. %d", i)}
		h.Guard.Rules.SignIn.Limit = 0
		if _, err := h.Sessions.SignIn(t.Context(), c, session.Device{}, nil); err == nil {
			in++
		}
	}
	if in != 1 {
		t.Errorf("%d of 20 passwords work, want 1", in)
	}
}

// The time that it takes must not tell whether there was anything to do.
func TestEvenly(t *testing.T) {
	for name, act := range map[string]func(*house.House, string) error{
		"register": func(h *house.House, email string) error {
			_, err := h.Accounts.Register(t.Context(), registration(email))
			return err
		},
		"forgot": func(h *house.House, email string) error { return h.Accounts.RequestReset(t.Context(), email) },
	} {
		synctest.Test(t, func(t *testing.T) {
			h := house.New(t, house.Options{Verified: true})
			h.Accounts.Even = 300 * time.Millisecond
			h.Add(annsAddress)
			for _, email := range []string{annsAddress, "nobody@example.com"} {
				began := time.Now()
				if err := act(h, email); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != 300*time.Millisecond {
					t.Errorf("%s %s took %v, want 300ms", name, email, took)
				}
			}
		})
	}
}

func TestWhatARegistrationLeavesBehind(t *testing.T) {
	h := house.New(t, house.Options{Verified: true})
	for range 2 {
		if _, err := h.Accounts.Register(house.From(t.Context(), "192.0.2.1"), registration(annsAddress)); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.Events(0); !slices.Equal(got, []audit.Event{audit.Registered, audit.RegistrationRepeated}) {
		t.Errorf("written down: %v", got)
	}
	if r := h.Rows()[1]; !r.Actor.IsZero() || r.Subject.Type != "user" {
		t.Errorf("the second was done by %v to %v, want by nobody to the account", r.Actor, r.Subject)
	}
}
