package accounts_test

import (
	"errors"
	"testing"

	"gatehouse/application/accounts"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/tests/house"
)

// home is an application with one user in it, who is signed in.
type home struct {
	*house.House
	ann user.User
	r   session.Resumed
}

func newHome(t *testing.T, o house.Options) *home {
	t.Helper()
	h := house.New(t, o)
	ann := h.Add(annsAddress)
	return &home{h, ann, h.Enter(ann)}
}

func (h *home) changePassword(current, next string) (session.Token, error) {
	in, err := h.Accounts.ChangePassword(h.T.Context(), h.r, accounts.PasswordChange{Current: current, New: next})
	return in.Token, err
}

func isUnauthenticated(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && errors.Is(f, access.ErrUnauthenticated)
}

func TestChangeProfile(t *testing.T) {
	h := newHome(t, house.Options{})
	name, bad := "  Ann Other ", "\x00"
	u, err := h.Accounts.ChangeProfile(t.Context(), h.r, accounts.Profile{Name: &name})
	if err != nil || u.Name() != "Ann Other" || h.Find(h.ann).Name() != "Ann Other" {
		t.Errorf("ChangeProfile = %q, %v", u.Name(), err)
	}
	if _, err := h.Accounts.ChangeProfile(t.Context(), h.r, accounts.Profile{Name: &bad}); !errors.Is(err, fault.Invalid) {
		t.Errorf("ChangeProfile with a control character = %v, want Invalid", err)
	}
	if u, err := h.Accounts.ChangeProfile(t.Context(), h.r, accounts.Profile{}); err != nil || u.ID() != h.ann.ID() {
		t.Errorf("ChangeProfile of nothing = %v, %v", u, err)
	}
	if err := h.DB.Users().Delete(t.Context(), h.ann.ID(), func(user.User) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Accounts.ChangeProfile(t.Context(), h.r, accounts.Profile{Name: &name}); !isUnauthenticated(err) {
		t.Errorf("ChangeProfile of an account that is gone = %v, want ErrUnauthenticated", err)
	}
}
