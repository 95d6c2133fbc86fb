package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"gatehouse/application/accounts"
	"gatehouse/application/administration"
	"gatehouse/domain/access"
	"gatehouse/domain/factor"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
)

// userCommands are "gatehouse user".
type userCommands struct {
	Create   userCreate   `cmd:"" help:"Create a user, with roles and a password."`
	List     userList     `cmd:"" help:"List all users."`
	SetRoles userSetRoles `cmd:"" help:"Replace a user's roles."`
	Enable   userEnable   `cmd:"" help:"Let a disabled user sign in again."`
	Disable  userDisable  `cmd:"" help:"Keep a user from signing in and end every session of theirs."`

	RemoveFactor userRemoveFactor `cmd:"" help:"Take the second factor away from a user who has lost it."`
}

type userCreate struct {
	Email string   `required:"" placeholder:"ADDRESS" help:"The e-mail address to sign in with."`
	Roles []string `placeholder:"ROLE,…" help:"The roles to give; user if left out."`
	Name  string   `help:"What others see."`
	passwordFlags
}

// Help is what "gatehouse user create --help" adds.
func (userCreate) Help() string {
	return `The password is asked for, unless one of the flags says where it comes from.

Examples:

    gatehouse user create --email you@example.com --roles admin
    gatehouse user create --email you@example.com --roles admin --generate
    pass show gatehouse | gatehouse user create --email you@example.com --password-stdin`
}

// Run creates the user.
func (u userCreate) Run(c *call) error {
	roles, err := administration.ParseRoles(u.Roles)
	if err != nil {
		return err
	}
	return c.withHouse(bringUp, func(ctx context.Context, h *house) error {
		if err := u.free(ctx, h); err != nil { // before somebody thinks up a password
			return err
		}
		password, generated, err := u.password(c)
		if err != nil {
			return err
		}
		made, err := h.operator.CreateUser(ctx, accounts.Registration{Email: u.Email, Password: password, Name: u.Name}, roles)
		if errors.Is(err, user.ErrEmailTaken) {
			return u.taken()
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "created %s with the roles %s\n", made.Email(), roleNames(made.Roles()))
		if generated {
			fmt.Fprintf(c.out, "password: %s\nIt is shown this once and kept nowhere.\n", password)
		}
		return h.warnOfRoles(ctx, c.err, roles)
	})
}

func (u userCreate) free(ctx context.Context, h *house) error {
	switch _, err := h.operator.FindUser(ctx, u.Email); {
	case err == nil:
		return u.taken()
	case !errors.Is(err, fault.NotFound):
		return err
	}
	return nil
}

func (u userCreate) taken() error {
	return fmt.Errorf("there is a user %s already; \"gatehouse user set-roles %s ROLE…\" changes the roles", u.Email, u.Email)
}

type userList struct{}

// Run lists the users.
func (userList) Run(c *call) error {
	return c.withHouse(require, func(ctx context.Context, h *house) error {
		w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "EMAIL\tROLES\tSTATUS\tREGISTERED\tID")
		err := h.operator.EachUser(ctx, func(u user.User) error {
			_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", u.Email(), roleNames(u.Roles()), u.Status(), u.CreatedAt().Format("2006-01-02 15:04"), u.ID())
			return err
		})
		return errors.Join(err, w.Flush())
	})
}

type userSetRoles struct {
	Email string   `arg:"" help:"Whose."`
	Roles []string `arg:"" help:"All the roles to have, parted by spaces or commas."`
}

// Run replaces the roles.
func (u userSetRoles) Run(c *call) error {
	roles, err := administration.ParseRoles(strings.FieldsFunc(strings.Join(u.Roles, ","), func(r rune) bool { return r == ',' || r == ' ' }))
	if err != nil {
		return err
	}
	return c.withHouse(require, func(ctx context.Context, h *house) error {
		changed, err := h.operator.SetRoles(ctx, u.Email, roles)
		if err != nil {
			return named(err, u.Email)
		}
		fmt.Fprintf(c.out, "%s has the roles %s from the next request on\n", changed.Email(), roleNames(changed.Roles()))
		return h.warnOfRoles(ctx, c.err, roles)
	})
}

type userEnable struct {
	Email string `arg:"" help:"Whom."`
}

// Run enables the user.
func (u userEnable) Run(c *call) error { return setStatus(c, u.Email, user.Active, "may sign in") }

type userDisable struct {
	Email string `arg:"" help:"Whom."`
}

// Run disables the user.
func (u userDisable) Run(c *call) error {
	return setStatus(c, u.Email, user.Disabled, "is disabled, and every session has ended")
}

type userRemoveFactor struct {
	Email string `arg:"" help:"Whose."`
}

// Help is what "gatehouse user remove-factor --help" adds.
func (userRemoveFactor) Help() string {
	return `For somebody who has lost the device and every recovery code. They sign in with the password alone then and are told by mail. Make sure that it is they who ask: whoever has their password is waiting for this.`
}

// Run takes the factor away.
func (u userRemoveFactor) Run(c *call) error {
	return c.withHouse(require, func(ctx context.Context, h *house) error {
		changed, err := h.operator.RemoveFactor(ctx, u.Email)
		if errors.Is(err, factor.ErrNotStarted) {
			return fmt.Errorf("%s has no second factor", u.Email)
		}
		if err != nil {
			return named(err, u.Email)
		}
		fmt.Fprintf(c.out, "%s signs in with the password alone\n", changed.Email())
		return nil
	})
}

func setStatus(c *call, email string, s user.Status, said string) error {
	return c.withHouse(require, func(ctx context.Context, h *house) error {
		changed, err := h.operator.SetStatus(ctx, email, s)
		if err != nil {
			return named(err, email)
		}
		fmt.Fprintf(c.out, "%s %s\n", changed.Email(), said)
		return nil
	})
}

// named says whom there is not, or who must not go, and what to do.
func named(err error, email string) error {
	switch {
	case errors.Is(err, fault.NotFound):
		return fmt.Errorf("there is no user %s; \"gatehouse user list\" shows who there is", email)
	case errors.Is(err, user.ErrLastAdmin):
		return fmt.Errorf("%s is the last active user with the role admin, and nothing was changed; make another one first: "+
			"\"gatehouse user set-roles ADDRESS admin,user\" or \"gatehouse user create --email ADDRESS --roles admin\"", email)
	}
	return err
}

// warnOfRoles tells of roles that give nothing, because no row of the policy
// speaks of them: most often they are misspelt.
func (h *house) warnOfRoles(ctx context.Context, w io.Writer, roles []user.Role) error {
	table, err := h.stores.policies.Load(ctx)
	if err != nil {
		return err
	}
	known := rolesOf(table)
	for _, r := range roles {
		if !slices.Contains(known, r.String()) {
			fmt.Fprintf(w, "gatehouse: warning: the policy does not speak of the role %s, so it gives nothing; it knows %s\n", r, strings.Join(known, ", "))
		}
	}
	return nil
}

// rolesOf are the roles that a policy speaks of, in the order of the alphabet.
func rolesOf(t access.Table) []string {
	var names []string
	for _, r := range t.Rows {
		names = append(names, r.Role)
	}
	for _, in := range t.Inherits {
		names = append(names, in.Role)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func roleNames(roles []user.Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = r.String()
	}
	return strings.Join(names, ", ")
}
