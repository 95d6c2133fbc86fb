// Package administration is what an operator does to the accounts of others.
//
// [Operator] serves the command line: who can run it holds the database, so no
// policy is asked. What administrators do over HTTP is asked of the authorizer.
package administration

import (
	"context"

	"gatehouse/application/accounts"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Operator acts with the rights of whoever holds the database.
type Operator struct {
	Users    ports.UserRepository
	Accounts *accounts.Service
	Now      ports.Clock
}

// CreateUser registers somebody with roles; no roles means "user". It returns
// what accounts.Service.RegisterAs does.
func (o *Operator) CreateUser(ctx context.Context, r accounts.Registration, roles []user.Role) (user.User, error) {
	if len(roles) == 0 {
		roles = []user.Role{user.RoleUser}
	}
	return o.Accounts.RegisterAs(ctx, r, roles)
}

// FindUser returns the user with the address, or fault.NotFound.
func (o *Operator) FindUser(ctx context.Context, email string) (user.User, error) {
	e, err := user.NewEmail(email)
	if err != nil {
		return user.User{}, user.ErrUnknown.Because(err)
	}
	return o.Users.FindByEmail(ctx, e)
}

// SetRoles replaces the roles of the user with the address. It counts from the
// user's next request on.
func (o *Operator) SetRoles(ctx context.Context, email string, roles []user.Role) (user.User, error) {
	return o.change(ctx, email, func(u *user.User) error { return u.SetRoles(roles, o.Now()) })
}

// SetStatus enables or disables the user with the address. Disabling ends every
// session of theirs.
func (o *Operator) SetStatus(ctx context.Context, email string, s user.Status) (user.User, error) {
	return o.change(ctx, email, func(u *user.User) error {
		if s == user.Disabled {
			u.Disable(o.Now())
		} else {
			u.Enable(o.Now())
		}
		return nil
	})
}

func (o *Operator) change(ctx context.Context, email string, change func(*user.User) error) (user.User, error) {
	u, err := o.FindUser(ctx, email)
	if err != nil {
		return user.User{}, err
	}
	return o.Users.Update(ctx, u.ID(), change)
}

// EachUser calls visit with every user in the order of registration, until it
// returns an error.
func (o *Operator) EachUser(ctx context.Context, visit func(user.User) error) error {
	const page = 200
	var after user.ID
	for {
		users, err := o.Users.List(ctx, after, page)
		if err != nil {
			return err
		}
		for _, u := range users {
			if err := visit(u); err != nil {
				return err
			}
			after = u.ID()
		}
		if len(users) < page {
			return nil
		}
	}
}

// ParseRoles reads role names; it tells all that are none.
func ParseRoles(names []string) ([]user.Role, error) {
	var v fault.Validation
	var roles []user.Role
	for _, name := range names {
		r, ok := user.ParseRole(name)
		if !ok {
			v.Add("/roles", "invalid_value", "\""+name+"\" is no role: a lower-case letter, then up to 31 of a-z, 0-9, _ and -.")
		}
		roles = append(roles, r)
	}
	return roles, v.Err()
}
