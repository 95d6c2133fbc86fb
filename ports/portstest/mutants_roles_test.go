package portstest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gatehouse/adapters/memory"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

func TestRoleChecksCanFail(t *testing.T) {
	prove(t, roleChecks, func() RoleStores {
		db := memory.New()
		return RoleStores{Users: db.Users(), Directory: db.Users()}
	}, roleMutants)
}

// directoryOfRoles is one with some of its methods replaced.
type directoryOfRoles struct {
	ports.RoleDirectory
	sets    func(context.Context) ([]ports.RoleSet, error)
	holders func(context.Context, []user.Role, user.ID, int) ([]user.ID, error)
}

func (d directoryOfRoles) RoleSets(ctx context.Context) ([]ports.RoleSet, error) {
	if d.sets == nil {
		return d.RoleDirectory.RoleSets(ctx)
	}
	return d.sets(ctx)
}

func (d directoryOfRoles) Holders(ctx context.Context, roles []user.Role, after user.ID, limit int) ([]user.ID, error) {
	if d.holders == nil {
		return d.RoleDirectory.Holders(ctx, roles, after, limit)
	}
	return d.holders(ctx, roles, after, limit)
}

func roleMutant(check, fault string, f func(s RoleStores) directoryOfRoles) mutant[RoleStores] {
	return mutant[RoleStores]{check, fault, func(s RoleStores) RoleStores {
		m := f(s)
		m.RoleDirectory = s.Directory
		s.Directory = m
		return s
	}}
}

// everybody walks all users.
func everybody(ctx context.Context, s RoleStores) []user.User {
	all, _ := s.Users.List(ctx, user.ID{}, 1000)
	return all
}

var roleMutants = []mutant[RoleStores]{
	roleMutant("nobody has no roles", "counts visitors", func(s RoleStores) directoryOfRoles {
		return directoryOfRoles{sets: func(ctx context.Context) ([]ports.RoleSet, error) {
			sets, err := s.Directory.RoleSets(ctx)
			return append(sets, ports.RoleSet{Roles: []user.Role{user.RoleAnonymous}}), err
		}}
	}),
	roleMutant("users are counted by all their roles", "counts each role", func(s RoleStores) directoryOfRoles {
		return directoryOfRoles{sets: func(ctx context.Context) ([]ports.RoleSet, error) {
			sets, err := s.Directory.RoleSets(ctx)
			var each []ports.RoleSet
			for _, set := range sets {
				for _, r := range set.Roles {
					each = append(each, ports.RoleSet{Roles: []user.Role{r}, Users: set.Users})
				}
			}
			return each, err
		}}
	}),
	roleMutant("who is disabled does not count", "counts the disabled", func(s RoleStores) directoryOfRoles {
		return directoryOfRoles{holders: func(ctx context.Context, roles []user.Role, _ user.ID, _ int) ([]user.ID, error) {
			var ids []user.ID
			for _, u := range everybody(ctx, s) {
				if slices.Equal(u.Roles(), roles) {
					ids = append(ids, u.ID())
				}
			}
			return ids, nil
		}}
	}),
	roleMutant("holders have just these roles", "takes those who have more", func(s RoleStores) directoryOfRoles {
		return directoryOfRoles{holders: func(ctx context.Context, roles []user.Role, _ user.ID, _ int) ([]user.ID, error) {
			var ids []user.ID
			for _, u := range everybody(ctx, s) {
				if !slices.ContainsFunc(roles, func(r user.Role) bool { return !u.HasRole(r) }) {
					ids = append(ids, u.ID())
				}
			}
			return ids, nil
		}}
	}),
	roleMutant("holders are read in pages", "gives the last of a page again", func(s RoleStores) directoryOfRoles {
		return directoryOfRoles{holders: func(ctx context.Context, roles []user.Role, after user.ID, limit int) ([]user.ID, error) {
			ids, err := s.Directory.Holders(ctx, roles, after, limit)
			if !after.IsZero() {
				ids = append([]user.ID{after}, ids...)
			}
			return ids[:min(len(ids), max(limit, 0))], err
		}}
	}),
	roleMutant("holders are read in pages", "knows no limit", func(s RoleStores) directoryOfRoles {
		return directoryOfRoles{holders: func(ctx context.Context, roles []user.Role, after user.ID, _ int) ([]user.ID, error) {
			return s.Directory.Holders(ctx, roles, after, 1000)
		}}
	}),
	roleMutant("a change of roles counts at once", "counts once for all", func(s RoleStores) directoryOfRoles {
		var cache kept[[]ports.RoleSet]
		return directoryOfRoles{sets: func(ctx context.Context) ([]ports.RoleSet, error) {
			return cache.first(func() ([]ports.RoleSet, error) { return s.Directory.RoleSets(ctx) })
		}}
	}),
	roleMutant("a cancelled context is an outage", "finds nobody", func(s RoleStores) directoryOfRoles {
		return directoryOfRoles{sets: func(ctx context.Context) ([]ports.RoleSet, error) {
			sets, err := s.Directory.RoleSets(ctx)
			if errors.Is(err, fault.Unavailable) {
				err = nil
			}
			return sets, err
		}}
	}),
}
