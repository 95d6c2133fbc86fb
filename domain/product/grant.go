package product

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/user"
)

// MaxGrants is how many users one product is shared with at the most: all of
// them are read with it.
const MaxGrants = 100

// Grant lets a user in on a product of somebody else.
type Grant struct {
	UserID    user.ID
	Role      GrantRole
	CreatedAt time.Time // when the user was let in, whatever became of the role since
}

// GrantRole is what a grant is for. What one with it may do is for the policy to
// say, by the conditions of package access.
type GrantRole struct{ name string }

// The roles that a grant can have.
var (
	Viewer = GrantRole{"viewer"}
	Editor = GrantRole{"editor"}
)

// ParseGrantRole reads the name of a role.
func ParseGrantRole(s string) (GrantRole, bool) {
	for _, known := range [...]GrantRole{Viewer, Editor} {
		if s == known.name {
			return known, true
		}
	}
	return GrantRole{}, false
}

func (r GrantRole) String() string { return r.name }

// ErrNobody is what a store answers that was to keep a new owner who is not
// there, or not active, or a grant to somebody who is not there.
var ErrNobody = fault.New(fault.NotFound, "no_such_user", "There is no such user.")

// ErrNoGrant answers the taking away of what was not given.
var ErrNoGrant = fault.New(fault.NotFound, "not_found", "The product is not shared with this user.")

// Grants are those of the product, the one given first first.
func (p Product) Grants() []Grant { return slices.Clone(p.grants) }

// GrantOf is the user's grant. The zero ID, that of nobody, has none.
func (p Product) GrantOf(id user.ID) (Grant, bool) {
	i := p.grantAt(id)
	if i < 0 {
		return Grant{}, false
	}
	return p.grants[i], true
}

func (p Product) grantAt(id user.ID) int {
	if id.IsZero() {
		return -1
	}
	return slices.IndexFunc(p.grants, func(g Grant) bool { return g.UserID == id })
}

// Share lets the user in with the named role, or gives who is in that role from
// now on, and returns the grant. Who is shared with is not what the product is:
// its version stays. It refuses the owner, who needs none, a role that is no
// word, and one grant more than [MaxGrants].
func (p *Product) Share(with user.ID, role string, now time.Time) (Grant, error) {
	if with.IsZero() {
		return Grant{}, ErrNobody
	}
	i := p.grantAt(with)
	var v fault.Validation
	r, known := ParseGrantRole(role)
	if !known {
		v.Add("/role", "invalid_value", "A role is one of viewer, editor.")
	}
	switch {
	case with == p.ownerID:
		v.Add("/userId", "owner", "The owner needs no grant.")
	case i < 0 && len(p.grants) >= MaxGrants:
		v.Add("/userId", "too_many_grants", fmt.Sprintf("A product is shared with at most %d users.", MaxGrants))
	}
	if err := v.Err(); err != nil {
		return Grant{}, err
	}
	g := Grant{UserID: with, Role: r, CreatedAt: instant(now)}
	if i >= 0 {
		g.CreatedAt = p.grants[i].CreatedAt
	}
	p.grants = inOrder(append(without(p.grants, with), g))
	return g, nil
}

// Unshare takes the user's grant away and returns what it was, or [ErrNoGrant].
func (p *Product) Unshare(with user.ID) (Grant, error) {
	i := p.grantAt(with)
	if i < 0 {
		return Grant{}, ErrNoGrant
	}
	g := p.grants[i]
	p.grants = without(p.grants, with)
	return g, nil
}

// Transfer makes the user the owner, raises the version, and takes the grant
// away that an owner does not need. To give it to whom it belongs changes
// nothing.
func (p *Product) Transfer(to user.ID, now time.Time) {
	if to == p.ownerID {
		return
	}
	p.ownerID = to
	p.grants = without(p.grants, to)
	p.version++
	p.updatedAt = instant(now)
}

func without(grants []Grant, id user.ID) []Grant {
	return orNone(slices.DeleteFunc(slices.Clone(grants), func(g Grant) bool { return g.UserID == id }))
}

// inOrder gives grants the order in which they are told.
func inOrder(grants []Grant) []Grant {
	slices.SortFunc(grants, func(a, b Grant) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), a.UserID.Compare(b.UserID.UUID))
	})
	return orNone(grants)
}

// orNone is the one form that there is of no grants.
func orNone(grants []Grant) []Grant {
	if len(grants) == 0 {
		return nil
	}
	return grants
}

// SameGrants reports whether both are shared with the same users in the same
// roles.
func (p Product) SameGrants(other Product) bool { return slices.Equal(p.grants, other.grants) }

// restoreGrants are the grants that a store kept, as values of our own.
func restoreGrants(grants []Grant) []Grant {
	own := slices.Clone(grants)
	for i := range own {
		own[i].CreatedAt = instant(own[i].CreatedAt)
	}
	return inOrder(own)
}

// Bare is the product without its grants. For adapters alone.
func (p Product) Bare() Product {
	p.grants = nil
	return p
}

// Became is what a store keeps of next in the place of p: all of it if the
// version is another, else the grants alone. For adapters alone.
func (p Product) Became(next Product) Product {
	if next.version == p.version {
		p.grants = next.grants
		return p
	}
	return next
}
