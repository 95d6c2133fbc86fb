package accounts_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"gatehouse/application/accounts"
	"gatehouse/application/guard"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/session"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/tests/house"
)

const newAddress = "new@example.com"

func (h *home) wants(address string) error {
	return h.Accounts.RequestEmailChange(h.T.Context(), h.r, accounts.EmailChange{Email: address, Current: house.Password})
}

func (h *home) verify(token string) error { return h.Accounts.VerifyEmail(h.T.Context(), token) }

func TestVerification(t *testing.T) {
	h := house.New(t, house.Options{})
	u := h.AddUnverified(annsAddress)
	r := h.Enter(u)
	before := len(h.Rows())
	if err := h.Accounts.RequestVerification(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	tok := h.Token(annsAddress)
	if err := h.Accounts.VerifyEmail(t.Context(), tok); err != nil || !h.Find(u).EmailVerified() {
		t.Fatalf("VerifyEmail = %v, verified %t", err, h.Find(u).EmailVerified())
	}
	if got := fmt.Sprint(h.Events(before)); got != "[email.verification_requested email.verified]" {
		t.Errorf("written down: %s", got)
	}
	for name, bad := range map[string]string{"used": tok, "unknown": h.Random.Token().Reveal(), "none": "", "no token": "x"} {
		if err := h.Accounts.VerifyEmail(t.Context(), bad); err != error(ticket.ErrInvalid) {
			t.Errorf("a token that is %s: %v, want ErrInvalid itself", name, err)
		}
	}
	// Nobody is written to again.
	verified := session.Resumed{Session: r.Session, User: h.Find(u)}
	if err := h.Accounts.RequestVerification(t.Context(), verified); err != nil || h.Kinds(u) != "[]" {
		t.Errorf("RequestVerification of what is verified = %v, letters %s", err, h.Kinds(u))
	}
}

// A link to an address that the account has no longer verifies nothing.
func TestVerificationOfAnAddressThatIsNoMore(t *testing.T) {
	for _, sent := range []bool{true, false} {
		h := house.New(t, house.Options{})
		u := h.AddUnverified(annsAddress)
		if err := h.Accounts.RequestVerification(t.Context(), h.Enter(u)); err != nil {
			t.Fatal(err)
		}
		tok := ""
		if sent {
			tok = h.Token(annsAddress)
		}
		h.Change(u, func(u *user.User) {
			s := u.State()
			s.Email = mustEmail(t, newAddress)
			*u = user.Restore(s)
		})
		if !sent {
			if mails := h.Deliver(); len(mails) != 0 {
				t.Errorf("a link was sent to an address that the account has no longer")
			}
			continue
		}
		if err := h.Accounts.VerifyEmail(t.Context(), tok); !errors.Is(err, ticket.ErrInvalid) || h.Find(u).EmailVerified() {
			t.Errorf("VerifyEmail = %v, verified %t", err, h.Find(u).EmailVerified())
		}
	}
}

func TestChangeOfAddress(t *testing.T) {
	h := newHome(t, house.Options{})
	before := len(h.Rows())
	if err := h.wants(newAddress); err != nil {
		t.Fatal(err)
	}
	var tok string
	told := map[string]string{}
	for _, m := range h.Deliver() {
		told[m.To] = m.Subject
		if house.TokenIn(m) != "" {
			if m.To != newAddress {
				t.Errorf("a link was sent to %s", m.To)
			}
			tok = house.TokenIn(m)
		}
	}
	if len(told) != 2 || told[annsAddress] == "" || tok == "" {
		t.Fatalf("mails: %v, want both addresses told", told)
	}
	if h.Find(h.ann).Email() != h.ann.Email() {
		t.Error("the address changed before the link was followed")
	}
	if err := h.verify(tok); err != nil {
		t.Fatal(err)
	}
	if now := h.Find(h.ann); now.Email().String() != newAddress || !now.EmailVerified() {
		t.Errorf("the address is %s, verified %t", now.Email(), now.EmailVerified())
	}
	if mails := h.Deliver(); len(mails) != 1 || mails[0].To != annsAddress {
		t.Errorf("mails after the change: %v, want one to the old address", mails)
	}
	if err := h.verify(tok); !errors.Is(err, ticket.ErrInvalid) {
		t.Errorf("the link for the second time = %v, want ErrInvalid", err)
	}
	if got := fmt.Sprint(h.Events(before)); got != "[email.change_requested email.changed]" {
		t.Errorf("written down: %s", got)
	}
	if !h.signsIn(newAddress, house.Password) || h.signsIn(annsAddress, house.Password) {
		t.Error("the new address does not sign in, or the old one does")
	}
	if list, err := h.Sessions.List(t.Context(), h.r); err != nil || len(list) == 0 {
		t.Errorf("the session is gone: %v", err)
	}
}

func TestRefusedChangesOfAddress(t *testing.T) {
	for _, verified := range []bool{false, true} {
		h := newHome(t, house.Options{Verified: verified})
		bob := h.Add("bob@example.com")
		for name, c := range map[string]struct {
			change accounts.EmailChange
			want   error
		}{
			"wrong password":     {accounts.EmailChange{Email: newAddress, Current: "wrong"}, accounts.ErrWrongPassword},
			"no address":         {accounts.EmailChange{Email: "none", Current: house.Password}, fault.Invalid},
			"the same":           {accounts.EmailChange{Email: annsAddress, Current: house.Password}, fault.Invalid},
			"the same, no proof": {accounts.EmailChange{Email: annsAddress, Current: "wrong"}, fault.Invalid},
		} {
			if err := h.Accounts.RequestEmailChange(t.Context(), h.r, c.change); !errors.Is(err, c.want) {
				t.Errorf("%s: RequestEmailChange = %v, want %v", name, err, c.want)
			}
		}
		if n := len(h.Letters(h.ann)); n != 0 {
			t.Errorf("%d letters of what was refused", n)
		}
		// An address that is taken is told of only to its holder, where nobody is
		// to learn who has an account; and not before the password is right.
		if err := h.Accounts.RequestEmailChange(t.Context(), h.r, accounts.EmailChange{Email: "BOB@example.com", Current: "wrong"}); !errors.Is(err, accounts.ErrWrongPassword) {
			t.Errorf("a taken address with a wrong password = %v", err)
		}
		err := h.wants("BOB@example.com")
		if verified {
			if err != nil || h.Kinds(h.ann) != "[email_change_requested]" || h.Kinds(bob) != "[already_registered]" {
				t.Errorf("a taken address = %v, letters %s and %s", err, h.Kinds(h.ann), h.Kinds(bob))
			}
		} else if !errors.Is(err, user.ErrEmailTaken) || h.Kinds(bob) != "[]" {
			t.Errorf("a taken address = %v, letters %s", err, h.Kinds(bob))
		}
		// Other letters of one's own address are a change like any other.
		if err := h.wants("ANN@Example.com"); err != nil {
			t.Errorf("one's own address in capitals = %v", err)
		}
	}
}

// Nothing that the caller is shown tells whether an address is taken: not the
// answer, not what is asked of the stores, not the mail that they get, not an
// export made at once.
func TestAChangeOfAddressTellsNothing(t *testing.T) {
	seen := map[string]string{}
	for _, address := range []string{"bob@example.com", "nobody@example.com"} {
		h := newHome(t, house.Options{Verified: true})
		h.Add("bob@example.com")
		h.Faults.Fail(0, false)
		err := h.wants(address)
		calls := fmt.Sprint(err, h.Faults.Calls())
		e, err := h.Accounts.Export(t.Context(), h.r)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range e.Letters {
			calls += fmt.Sprint(" ", l.Kind, l.To == h.ann.Email())
		}
		for _, r := range e.Audit {
			calls += fmt.Sprint(" ", r.Event, r.Outcome)
		}
		seen[address] = calls
	}
	if seen["bob@example.com"] != seen["nobody@example.com"] {
		t.Errorf("a taken address: %s\na free one: %s", seen["bob@example.com"], seen["nobody@example.com"])
	}
}

// The holder of the address leaves while somebody else wants it: it is free
// then, and the caller is not taken for the one who is gone.
func TestTheHolderLeavesMeanwhile(t *testing.T) {
	h := newHome(t, house.Options{Verified: true})
	bob := h.Add("bob@example.com")
	h.Faults.Before("Ledger.Record", func() {
		if err := h.DB.Users().Delete(t.Context(), bob.ID(), func(user.User) error { return nil }); err != nil {
			t.Error(err)
		}
	})
	if err := h.wants("bob@example.com"); err != nil || h.Kinds(h.ann) != "[email_change_requested confirm_new_email]" {
		t.Errorf("RequestEmailChange = %v, letters %s", err, h.Kinds(h.ann))
	}
	h = newHome(t, house.Options{Verified: true})
	h.Faults.Before("Ledger.Record", func() {
		if err := h.DB.Users().Delete(t.Context(), h.ann.ID(), func(user.User) error { return nil }); err != nil {
			t.Error(err)
		}
	})
	if err := h.wants("bob@example.com"); !isUnauthenticated(err) {
		t.Errorf("RequestEmailChange of an account that is gone = %v, want ErrUnauthenticated", err)
	}
}

// Somebody else has the address by the time that the link is followed.
func TestTheAddressIsTakenMeanwhile(t *testing.T) {
	h := newHome(t, house.Options{})
	if err := h.wants(newAddress); err != nil {
		t.Fatal(err)
	}
	tok := h.Token(newAddress)
	h.Add("NEW@example.com")
	if err := h.verify(tok); !errors.Is(err, ticket.ErrInvalid) {
		t.Errorf("VerifyEmail = %v, want ErrInvalid", err)
	}
	f, _ := errors.AsType[*fault.Error](h.verify(tok))
	if f == nil || f.Kind != fault.Gone {
		t.Errorf("which is of the kind %v", f)
	}
	if got := h.Find(h.ann).Email(); got != h.ann.Email() {
		t.Errorf("the address is %s", got)
	}
}

// Two accounts want one address at once: one gets it.
func TestOneAddressForTwo(t *testing.T) {
	h := newHome(t, house.Options{})
	var tokens []string
	for i := range 5 {
		other := &home{h.House, h.Add(fmt.Sprintf("u%d@example.com", i)), session.Resumed{}}
		other.r = h.Enter(other.ann)
		if err := other.wants(newAddress); err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, h.Token(newAddress))
	}
	var won atomic.Int64
	house.AtOnce(len(tokens), func(i int) {
		if err := h.verify(tokens[i]); err == nil {
			won.Add(1)
		} else if !errors.Is(err, ticket.ErrInvalid) {
			t.Errorf("VerifyEmail = %v", err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d accounts got one address", won.Load())
	}
}

// Somebody who knew the password has asked to have the address changed to their
// own. Its owner is told, and sets a new password, as the mail advises: the
// account must be theirs then. A link that was sent is worthless, one that waits
// is not sent, and one that is being sent meanwhile is worthless too.
func TestANewPasswordStopsAChangeOfAddress(t *testing.T) {
	newPassword := map[string]func(*home) error{
		"changed": func(h *home) error {
			_, err := h.changePassword(house.Password, fresh)
			return err
		},
		"reset": func(h *home) error {
			if err := h.Accounts.RequestReset(t.Context(), annsAddress); err != nil {
				return err
			}
			// Sent by another node, while this one has its hands on the other mail.
			for _, l := range h.Letters(h.ann) {
				if l.Kind != mail.ResetPassword {
					continue
				}
				tok := h.Random.Token()
				if err := h.DB.Tickets().Issue(t.Context(), ticket.Issue(tok.Key(), h.ann.ID(), ticket.PasswordReset, h.ann.Email(), h.Now())); err != nil {
					return err
				}
				return h.reset(tok.Reveal(), fresh)
			}
			return errors.New("no letter")
		},
	}
	for name, secure := range newPassword {
		for when, call := range map[string]string{"after it was sent": "", "while it waits": "", "before the first look": "Users.Find", "before it is issued": "Tickets.Issue", "before it is sent": "Mailer.Send"} {
			h := newHome(t, house.Options{})
			if err := h.wants("eve@example.com"); err != nil {
				t.Fatal(err)
			}
			secured := func() {
				if err := secure(h); err != nil {
					t.Fatal(err)
				}
			}
			tok := ""
			switch {
			case when == "after it was sent":
				tok = h.Token("eve@example.com")
				secured()
			case when == "while it waits":
				secured()
			default:
				h.Faults.Before(call, secured)
			}
			for _, m := range h.Deliver() {
				if m.To == "eve@example.com" {
					tok = house.TokenIn(m)
				}
			}
			if when == "while it waits" && tok != "" {
				t.Errorf("%s %s: a link was sent", name, when)
			}
			if err := h.verify(tok); !errors.Is(err, ticket.ErrInvalid) {
				t.Errorf("%s %s: the link = %v, want ErrInvalid", name, when, err)
			}
			if got := h.Find(h.ann).Email(); got != h.ann.Email() {
				t.Fatalf("%s %s: the account was taken over", name, when)
			}
		}
	}
}

// An account that was disabled is not to be moved to another address, to be
// found there when it is enabled again.
func TestDisabledAccountsKeepTheirAddress(t *testing.T) {
	h := newHome(t, house.Options{})
	if err := h.wants(newAddress); err != nil {
		t.Fatal(err)
	}
	tok := h.Token(newAddress)
	h.Change(h.ann, func(u *user.User) { u.Disable(h.Now()) })
	if err := h.verify(tok); !errors.Is(err, ticket.ErrInvalid) {
		t.Errorf("VerifyEmail of a disabled account = %v, want ErrInvalid", err)
	}
}

// An account is no means to have mails sent to everybody.
func TestChangesOfAddressAreBound(t *testing.T) {
	h := newHome(t, house.Options{})
	h.Guard.Rules.Forgot.Limit = 2
	sent := 0
	for i := range 20 {
		switch err := h.wants(fmt.Sprintf("u%d@example.com", i)); {
		case err == nil:
			sent++
		case !errors.Is(err, guard.ErrTooMany):
			t.Fatal(err)
		}
	}
	if sent != 6 {
		t.Errorf("mails to %d addresses, want 6", sent)
	}
	// And under a stranger's address none to flood them with notices.
	victim := &home{h.House, h.AddUnverified("victim@example.com"), session.Resumed{}}
	victim.r = h.Enter(victim.ann)
	for i := range 6 {
		if err := victim.wants(fmt.Sprintf("v%d@example.com", i)); err != nil {
			t.Fatal(err)
		}
	}
	notices := 0
	for _, l := range h.Letters(victim.ann) {
		if l.To == victim.ann.Email() {
			notices++
		}
	}
	if notices != 2 {
		t.Errorf("%d notices to an address that nobody has answered from, want 2", notices)
	}
}

// Asking for a link to one's own address is bound, and refused alike.
func TestVerificationsAreBound(t *testing.T) {
	h := house.New(t, house.Options{})
	h.Guard.Rules.Forgot.Limit = 2
	r := h.Enter(h.AddUnverified(annsAddress))
	for i := range 4 {
		err := h.Accounts.RequestVerification(t.Context(), r)
		if want := i >= 2; errors.Is(err, guard.ErrTooMany) != want {
			t.Errorf("request %d = %v", i, err)
		}
	}
}

// A link that was sent for an account which is gone is worth as little as any.
func TestLinksOfAccountsThatAreGone(t *testing.T) {
	h := newHome(t, house.Options{})
	if err := h.wants(newAddress); err != nil {
		t.Fatal(err)
	}
	tok := h.Token(newAddress)
	for _, call := range []string{"Users.Find", "Users.Update"} {
		h.Faults.Before(call, func() {
			_ = h.DB.Users().Delete(t.Context(), h.ann.ID(), func(user.User) error { return nil })
		})
		if err := h.verify(tok); !errors.Is(err, ticket.ErrInvalid) {
			t.Errorf("VerifyEmail = %v, want ErrInvalid", err)
		}
	}
	if got := h.Events(0); len(got) == 0 || got[len(got)-1] == audit.EmailChanged {
		t.Errorf("written down: %v", got)
	}
	if h.signsIn(newAddress, house.Password) {
		t.Error("somebody is in")
	}
}
