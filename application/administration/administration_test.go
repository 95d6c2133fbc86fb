package administration_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"gatehouse/adapters/system"
	"gatehouse/application/accounts"
	"gatehouse/application/administration"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/tests/house"
)

func newOperator(t *testing.T) *administration.Operator {
	return house.New(t, house.Options{}).Operator
}

func registration(email string) accounts.Registration {
	return accounts.Registration{Email: email, Password: "a quiet lighthouse"}
}

func TestCreateUser(t *testing.T) {
	o := newOperator(t)
	ann, err := o.CreateUser(t.Context(), registration("ann@example.com"), []user.Role{user.RoleModerator, user.RoleAdmin})
	if err != nil || fmt.Sprint(ann.Roles()) != "[admin moderator]" {
		t.Errorf("CreateUser = %v, %v", ann.Roles(), err)
	}
	bob, err := o.CreateUser(t.Context(), registration("bob@example.com"), nil)
	if err != nil || fmt.Sprint(bob.Roles()) != "[user]" {
		t.Errorf("CreateUser without roles = %v, %v", bob.Roles(), err)
	}
	if _, err := o.CreateUser(t.Context(), registration("ANN@example.com"), nil); !errors.Is(err, user.ErrEmailTaken) {
		t.Errorf("CreateUser(taken) = %v, want ErrEmailTaken", err)
	}
	// Roles that are refused must not leave an account without them behind.
	if _, err := o.CreateUser(t.Context(), registration("eve@example.com"), []user.Role{user.RoleAnonymous}); !errors.Is(err, fault.Invalid) {
		t.Errorf("CreateUser(anonymous) = %v, want Invalid", err)
	}
	if _, err := o.FindUser(t.Context(), "eve@example.com"); !errors.Is(err, fault.NotFound) {
		t.Errorf("a refused user is there: %v", err)
	}
}

func TestChangesByAddress(t *testing.T) {
	o := newOperator(t)
	if _, err := o.CreateUser(t.Context(), registration("ann@example.com"), nil); err != nil {
		t.Fatal(err)
	}
	moderator, err := o.SetRoles(t.Context(), "Ann@Example.com", []user.Role{user.RoleModerator})
	if err != nil || !moderator.HasRole(user.RoleModerator) {
		t.Errorf("SetRoles = %v, %v", moderator.Roles(), err)
	}
	disabled, err := o.SetStatus(t.Context(), "ann@example.com", user.Disabled)
	if err != nil || disabled.Status() != user.Disabled || disabled.SessionEpoch() != 1 {
		t.Errorf("SetStatus(disabled) = %v, epoch %d, %v: every session must end", disabled.Status(), disabled.SessionEpoch(), err)
	}
	enabled, err := o.SetStatus(t.Context(), "ann@example.com", user.Active)
	if err != nil || enabled.Status() != user.Active {
		t.Errorf("SetStatus(active) = %v, %v", enabled.Status(), err)
	}
	for _, nobody := range []string{"bob@example.com", "no address"} {
		if _, err := o.SetRoles(t.Context(), nobody, []user.Role{user.RoleUser}); !errors.Is(err, fault.NotFound) {
			t.Errorf("SetRoles(%s) = %v, want NotFound", nobody, err)
		}
	}
}

func TestEachUserMeetsAllOnce(t *testing.T) {
	o := newOperator(t)
	const n = 450 // more than two pages
	hash, now := user.NewPasswordHash("x"), time.Now()
	random := system.NewRandom()
	for i := range n {
		email, err := user.NewEmail(fmt.Sprintf("u%d@example.com", i))
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Users.Add(t.Context(), user.New(user.ID{UUID: random.ID(now)}, email, user.Name{}, hash, now)); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[user.ID]bool{}
	err := o.EachUser(t.Context(), func(u user.User) error { seen[u.ID()] = true; return nil })
	if err != nil || len(seen) != n {
		t.Errorf("EachUser met %d users, %v, want %d", len(seen), err, n)
	}
	stop := errors.New("enough")
	if err := o.EachUser(t.Context(), func(user.User) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("EachUser = %v, want the visitor's error", err)
	}
}

func TestParseRolesTellsAllFaults(t *testing.T) {
	_, err := administration.ParseRoles([]string{"admin", "Root", "", "x y"})
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || len(f.Fields) != 3 {
		t.Errorf("ParseRoles = %v, want three faults", err)
	}
}
