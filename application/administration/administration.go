// Package administration is what is done to the accounts of others.
//
// [Operator] serves the command line: who can run it holds the database, so no
// policy is asked. [Service] serves those who administer from outside: each of
// its acts is asked of the policy, and nothing here knows a role by name. What
// both do to an account is done in change.go.
package administration

import (
	"context"
	"math"
	"strconv"

	"gatehouse/application/accounts"
	"gatehouse/application/journal"
	"gatehouse/application/sessions"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// Operator acts with the rights of whoever holds the database.
type Operator struct {
	Users    ports.UserRepository
	Log      ports.AuditLog
	Accounts *accounts.Service
	Sessions *sessions.Service
	Random   ports.Random
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
	return o.change(ctx, email, Change{Roles: &roles})
}

// SetStatus enables or disables the user with the address. Disabling ends every
// session of theirs, and voids the links that were sent for the account: whoever
// asked for them may be the reason.
func (o *Operator) SetStatus(ctx context.Context, email string, s user.Status) (user.User, error) {
	return o.change(ctx, email, Change{Status: s})
}

func (o *Operator) change(ctx context.Context, email string, c Change) (user.User, error) {
	u, err := o.FindUser(ctx, email)
	if err != nil {
		return user.User{}, err
	}
	return changer{o.Users, o.Sessions, journal.Book{Random: o.Random, Now: o.Now}}.change(ctx, user.ID{}, u.ID(), c, nil)
}

// RemoveFactor takes the second factor of the user with the address away, for
// somebody who has lost device and recovery codes. It returns
// factor.ErrNotStarted if there is none. That it is they who ask, the operator
// has to make sure of.
func (o *Operator) RemoveFactor(ctx context.Context, email string) (user.User, error) {
	u, err := o.FindUser(ctx, email)
	if err != nil {
		return user.User{}, err
	}
	return u, o.Accounts.RemoveFactor(ctx, user.ID{}, u)
}

// auditPage is how many rows of the audit log are read at a time.
const auditPage = 500

// VerifyAudit follows the chains of the audit log day by day, and returns how
// many rows it has found in place. Its error is an *audit.Broken for the first
// place at which a row was changed, removed, moved or added. What is appended
// meanwhile is not looked at.
func (o *Operator) VerifyAudit(ctx context.Context) (int, error) {
	heads, err := o.Log.Heads(ctx)
	if err != nil {
		return 0, err
	}
	rows := 0
	for _, h := range heads {
		n, err := o.verifyDay(ctx, h)
		rows += n
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// verifyDay looks at every row that is kept under the day, also at those whose
// place is none: rows count from 1.
func (o *Operator) verifyDay(ctx context.Context, h audit.Head) (rows int, err error) {
	var chain audit.Chain
	for after := int64(math.MinInt64); ; {
		page, err := o.Log.Rows(ctx, h.Day, after, auditPage)
		if err != nil {
			return rows, err
		}
		for _, r := range page {
			if r.Seq > h.Seq && r.Day() == h.Day { // else Next tells where it is from
				if err := chain.End(h); err != nil {
					return rows, err
				}
				return rows, o.appended(ctx, h, r)
			}
			if err := chain.Next(h.Day, r); err != nil {
				return rows, err
			}
			after = r.Seq
			rows++
		}
		if len(page) < auditPage {
			return rows, chain.End(h)
		}
	}
}

// appended returns nil if the row behind the head was appended since the head was
// read, and a *audit.Broken if it was added by other means: a row and the head
// that it makes are kept in one step, so that the head which is read after the
// row knows of it.
func (o *Operator) appended(ctx context.Context, h audit.Head, r audit.Row) error {
	heads, err := o.Log.Heads(ctx)
	if err != nil {
		return err
	}
	for _, now := range heads {
		if now.Day == h.Day && now.Seq >= r.Seq {
			return nil
		}
	}
	return &audit.Broken{Day: h.Day, Seq: r.Seq, ID: r.ID, What: "added"}
}

// FindAudit returns the row of the audit log with the id, such as that of a
// refusal which somebody reports, or fault.NotFound. It reads the day on which
// the id was made from its beginning.
func (o *Operator) FindAudit(ctx context.Context, id uuid.UUID) (audit.Row, error) {
	day := audit.Entry{At: id.Time()}.Day()
	for after := int64(0); ; {
		page, err := o.Log.Rows(ctx, day, after, auditPage)
		if err != nil {
			return audit.Row{}, err
		}
		for _, r := range page {
			if r.ID == id {
				return r, nil
			}
			after = r.Seq
		}
		if len(page) < auditPage {
			return audit.Row{}, fault.New(fault.NotFound, "not_found", "There is no such row in the audit log.")
		}
	}
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

// ParseRoles reads role names; it tells all that are none, each at its place in /roles.
func ParseRoles(names []string) ([]user.Role, error) {
	var v fault.Validation
	var roles []user.Role
	for i, name := range names {
		r, ok := user.ParseRole(name)
		if !ok {
			v.Add("/roles/"+strconv.Itoa(i), "invalid_value", "\""+name+"\" is no role: a lower-case letter, then up to 31 of a-z, 0-9, _ and -.")
		}
		roles = append(roles, r)
	}
	return roles, v.Err()
}
