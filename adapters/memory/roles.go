package memory

import (
	"context"
	"slices"

	"gatehouse/domain/user"
	"gatehouse/ports"
)

var _ ports.RoleDirectory = (*Users)(nil)

// RoleSets implements ports.RoleDirectory.
func (s *Users) RoleSets(ctx context.Context) (sets []ports.RoleSet, err error) {
	err = s.db.read(ctx, func() error {
		for _, row := range s.db.users {
			if row.user.Status() != user.Active {
				continue
			}
			roles := row.user.Roles()
			i := slices.IndexFunc(sets, func(set ports.RoleSet) bool { return slices.Equal(set.Roles, roles) })
			if i < 0 {
				i, sets = len(sets), append(sets, ports.RoleSet{Roles: roles})
			}
			sets[i].Users++
		}
		return nil
	})
	return sets, err
}

// Holders implements ports.RoleDirectory.
func (s *Users) Holders(ctx context.Context, roles []user.Role, after user.ID, limit int) (ids []user.ID, err error) {
	err = s.db.read(ctx, func() error {
		for id, row := range s.db.users {
			if row.user.Status() == user.Active && slices.Equal(row.user.Roles(), roles) && id.Compare(after.UUID) > 0 {
				ids = append(ids, id)
			}
		}
		return nil
	})
	slices.SortFunc(ids, func(a, b user.ID) int { return a.Compare(b.UUID) })
	return ids[:min(len(ids), max(limit, 0))], err
}
