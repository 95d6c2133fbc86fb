package accounts_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"gatehouse/application/accounts"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/tests/house"
)

// livedIn is a home in which all has been done that leaves something behind.
func livedIn(t *testing.T) (h *home, offered product.Product) {
	t.Helper()
	h = newHome(t, house.Options{})
	actor := access.SignedIn(h.ann, 1)
	offered, err := h.Products.Create(t.Context(), actor, product.Draft{Name: "Lamp", Currency: "KRW"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.wants(newAddress); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Mailing.Deliver(t.Context()); err != nil { // so that there is a ticket
		t.Fatal(err)
	}
	h.Move(time.Second)
	if err := h.Sessions.SignOut(t.Context(), h.SignIn(h.ann).Token); err != nil {
		t.Fatal(err)
	}
	h.TurnOnTOTPIn(h.r)
	h.Pending(h.ann)
	return h, offered
}

func TestLeaving(t *testing.T) {
	h, offered := livedIn(t)
	bob := h.Add("bob@example.com")
	bobs := h.Enter(bob)
	for name, c := range map[string]struct {
		password string
		want     error
	}{"wrong": {"wrong", accounts.ErrWrongPassword}, "none": {"", accounts.ErrWrongPassword}} {
		if err := h.Accounts.Leave(t.Context(), h.r, c.password); !errors.Is(err, c.want) {
			t.Errorf("Leave with a password that is %s = %v, want %v", name, err, c.want)
		}
	}
	before := len(h.Rows())
	if err := h.Accounts.Leave(t.Context(), h.r, house.Password); err != nil {
		t.Fatal(err)
	}
	id := h.ann.ID()
	_, user1 := h.DB.Users().Find(t.Context(), id)
	_, product1 := h.DB.Products().Find(t.Context(), offered.ID())
	live, _ := h.DB.Sessions().List(t.Context(), id)
	past, _ := h.DB.Sessions().PastOf(t.Context(), id)
	f, _ := h.DB.Factors().Find(t.Context(), id)
	letters, _ := h.DB.Outbox().LettersTo(t.Context(), id)
	pruned, _ := h.DB.Tickets().Prune(t.Context(), h.Now().Add(2*ticket.Lifetime), 10)
	if !errors.Is(user1, fault.NotFound) || !errors.Is(product1, fault.NotFound) || len(live)+len(past)+len(letters)+pruned > 0 || !f.IsZero() {
		t.Errorf("left behind: account %v, product %v, %d sessions, %d past ones, %d letters, %d tickets, factor %t",
			user1, product1, len(live), len(past), len(letters), pruned, !f.IsZero())
	}
	row := h.Rows()[before]
	if row.Event != audit.Left || row.Actor != id || row.Subject != audit.Of(id) || len(h.Rows()) != before+1 {
		t.Errorf("written down as %+v", row)
	}
	if rows, _ := h.DB.Ledger().RowsOf(t.Context(), id, 100); len(rows) < 5 {
		t.Errorf("%d rows of the audit log are left, want all", len(rows))
	}
	if list, err := h.Sessions.List(t.Context(), bobs); err != nil || len(list) != 1 {
		t.Errorf("another's sessions: %v, %v", list, err)
	}
	// The address is free, and whoever registers it is somebody else.
	again, err := h.Accounts.Register(t.Context(), registration(annsAddress))
	if err != nil || again.ID() == id {
		t.Errorf("Register of the address afterwards = %v", err)
	}
}

// The password is no longer the one that was confirmed, or somebody has ended
// all sessions to keep the holder of this one out.
func TestLeavingBesideChanges(t *testing.T) {
	for name, c := range map[string]struct {
		between func(*home)
		want    error
	}{
		"password changed": {func(h *home) {
			h.Change(h.ann, func(u *user.User) { u.ChangePassword(user.NewPasswordHash("x"), h.Now()) })
		}, accounts.ErrWrongPassword},
		"all ended": {func(h *home) {
			h.Change(h.ann, func(u *user.User) { u.Disable(h.Now()); u.Enable(h.Now()) })
		}, access.ErrUnauthenticated},
		"gone": {func(h *home) {
			_ = h.DB.Users().Delete(t.Context(), h.ann.ID(), func(user.User) error { return nil })
		}, access.ErrUnauthenticated},
	} {
		h := newHome(t, house.Options{})
		h.Faults.Before("Users.Delete", func() { c.between(h) })
		if err := h.Accounts.Leave(t.Context(), h.r, house.Password); !errors.Is(err, c.want) {
			t.Errorf("%s: Leave = %v, want %v", name, err, c.want)
		}
	}
}

func TestTheLastAdminStays(t *testing.T) {
	h := newHome(t, house.Options{})
	h.Change(h.ann, func(u *user.User) { _ = u.SetRoles([]user.Role{user.RoleAdmin}, h.Now()) })
	before := len(h.Rows())
	if err := h.Accounts.Leave(t.Context(), h.r, house.Password); !errors.Is(err, user.ErrLastAdmin) {
		t.Errorf("Leave of the last admin = %v, want ErrLastAdmin", err)
	}
	if got := h.Events(before); len(got) != 0 {
		t.Errorf("written down: %v", got)
	}
}

// An export holds all that was done, and nothing of anybody else's.
func TestExportIsComplete(t *testing.T) {
	h, offered := livedIn(t)
	bob := h.Add("bob@example.com")
	h.SignIn(bob)
	if _, err := h.Products.Create(t.Context(), access.SignedIn(bob, 1), product.Draft{Name: "Bob's", Currency: "KRW"}, nil); err != nil {
		t.Fatal(err)
	}
	for range 250 { // more than two pages
		if _, err := h.Products.Create(t.Context(), access.SignedIn(h.ann, 1), product.Draft{Name: "Lamp", Currency: "KRW"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	before := len(h.Rows())
	e, err := h.Accounts.Export(t.Context(), h.r)
	if err != nil {
		t.Fatal(err)
	}
	if e.At != h.Now() || e.User.ID() != h.ann.ID() {
		t.Errorf("of %v at %v", e.User, e.At)
	}
	id := h.ann.ID()
	live, _ := h.DB.Sessions().List(t.Context(), id)
	past, _ := h.DB.Sessions().PastOf(t.Context(), id)
	letters, _ := h.DB.Outbox().LettersTo(t.Context(), id)
	if len(live) < 2 || !slices.Equal(e.Sessions, live) {
		t.Errorf("%d sessions, want %d", len(e.Sessions), len(live))
	}
	if len(past) != 1 || !slices.Equal(e.Past, past) {
		t.Errorf("%d past sessions, want %d", len(e.Past), len(past))
	}
	if len(letters) == 0 || len(e.Letters) != len(letters) {
		t.Errorf("%d letters, want %d", len(e.Letters), len(letters))
	}
	if !e.Factor.On() {
		t.Error("no second factor")
	}
	if len(e.Products) != 251 || !reflect.DeepEqual(e.Products[0], offered) {
		t.Errorf("%d products, want 251, the oldest first", len(e.Products))
	}
	for _, p := range e.Products {
		if p.OwnerID() != id {
			t.Errorf("a product of %s", p.OwnerID())
		}
	}
	var want []audit.Event
	for _, r := range h.Rows()[:before] {
		if r.Actor == id || r.Subject == audit.Of(id) {
			want = append(want, r.Event)
		}
	}
	var got []audit.Event
	for _, r := range slices.Backward(e.Audit) {
		if r.Actor != id && r.Subject != audit.Of(id) {
			t.Errorf("a row of another: %+v", r)
		}
		got = append(got, r.Event)
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(want) < 6 || !slices.Equal(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
	if events := h.Events(before); fmt.Sprint(events) != "[account.exported]" {
		t.Errorf("the export was written down as %v", events)
	}
}

func TestPruneOfTickets(t *testing.T) {
	h := newHome(t, house.Options{})
	h.asked()
	if n, err := h.Accounts.Prune(t.Context()); n != 0 || err != nil {
		t.Errorf("Prune of what is good = %d, %v", n, err)
	}
	h.Move(ticket.Lifetime)
	if n, err := h.Accounts.Prune(t.Context()); n != 1 || err != nil {
		t.Errorf("Prune = %d, %v, want 1", n, err)
	}
}

// Factors that are being set up are nothing to tell of.
func TestExportOfAFactorThatIsNone(t *testing.T) {
	h := newHome(t, house.Options{})
	if _, err := h.start(); err != nil {
		t.Fatal(err)
	}
	if e, err := h.Accounts.Export(t.Context(), h.r); err != nil || e.Factor.On() {
		t.Errorf("Export = %v, on %t", err, e.Factor.On())
	}
}

// An admin who is denied by another role what an admin needs is nobody to leave
// the house to.
func TestLeavingToWhoCannotAdminister(t *testing.T) {
	suspended, _ := user.ParseRole("suspended")
	deny := access.Row{Role: "suspended", Resource: "policy", Action: "delete", Condition: "any", Effect: "deny"}
	h := newHome(t, house.Options{Policy: []access.Row{deny}})
	raise := func(address string, roles ...user.Role) user.User {
		u := h.Add(address)
		h.Change(u, func(u *user.User) { _ = u.SetRoles(append(roles, user.RoleAdmin), h.Now()) })
		return h.Find(u)
	}
	full, denied := raise("root@example.com"), raise("late@example.com", suspended)
	leave := func(u user.User) error { return h.Accounts.Leave(t.Context(), h.Enter(u), house.Password) }
	if err := leave(full); !errors.Is(err, user.ErrLastAdmin) {
		t.Errorf("Leave to an admin who is denied = %v, want ErrLastAdmin", err)
	}
	if err := errors.Join(leave(denied), leave(h.ann)); err != nil {
		t.Errorf("Leave of others = %v", err)
	}
	raise("next@example.com")
	if err := leave(full); err != nil {
		t.Errorf("Leave to another admin = %v", err)
	}
}
