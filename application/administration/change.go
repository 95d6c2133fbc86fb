package administration

import (
	"context"
	"slices"
	"strings"

	"gatehouse/application/journal"
	"gatehouse/application/sessions"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Change is what is to become of an account.
type Change struct {
	Roles  *[]user.Role // all the roles to have; nil leaves them
	Status user.Status  // zero leaves it
	Unread error        // what a transport could not read of the change; it is told with what else is wrong, and nothing is changed
}

// changer alters accounts.
type changer struct {
	users    ports.UserRepository
	sessions *sessions.Service
	book     journal.Book
}

// change has the actor alter a user in one step, in which what was altered is
// written down. Who is disabled has no session any more, and no link that was
// sent for the account is good: whoever asked for it may be the reason. over, if it
// is not nil, gives what has the last word on what becomes of an admin.
func (k changer) change(ctx context.Context, actor, id user.ID, c Change, over func(user.User) ports.LastWord) (user.User, error) {
	with := &ports.Along{}
	if c.Status == user.Disabled {
		with.Void = ticket.Purposes()
	}
	u, err := k.users.Update(ctx, id, func(u *user.User) error {
		before := *u
		if err := fault.Merge(c.Unread, k.apply(u, c)); err != nil {
			return err
		}
		with.Audit, with.Admins = k.altered(ctx, actor, before, *u), nil
		if over != nil && before.ActsAsAdmin() && len(with.Audit) > 0 {
			with.Admins = over(before)
		}
		return nil
	}, with)
	if err != nil || c.Status != user.Disabled {
		return u, err
	}
	// They are dead already, by the epoch; this makes room, and leaves behind why.
	return u, k.sessions.EndAll(ctx, actor, id, session.AccountDisabled, session.Key{})
}

func (k changer) apply(u *user.User, c Change) error {
	switch now := k.book.Now(); c.Status {
	case user.Disabled:
		u.Disable(now)
	case user.Active:
		u.Enable(now)
	}
	if c.Roles == nil {
		return nil
	}
	return u.SetRoles(*c.Roles, k.book.Now())
}

// altered writes down what roles and status are after a change of them.
func (k changer) altered(ctx context.Context, actor user.ID, before, after user.User) (all []audit.Entry) {
	entry := func(e audit.Event) {
		all = append(all, k.book.Entry(ctx, e, audit.Success, actor, audit.Of(after.ID()),
			"roles", roleNames(after.Roles()), "status", after.Status().String()))
	}
	if !slices.Equal(before.Roles(), after.Roles()) {
		entry(audit.RolesChanged)
	}
	if before.Status() != after.Status() {
		entry(audit.StatusChanged)
	}
	return all
}

func roleNames(roles []user.Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = r.String()
	}
	return strings.Join(names, " ")
}
