package gormrepo

import (
	"context"
	"encoding/json"
	"fmt"

	"gatehouse/domain/user"
	"gatehouse/ports"
)

var _ ports.RoleDirectory = (*Users)(nil)

// RoleSets counts active users by their roles.
func (s *Users) RoleSets(ctx context.Context) ([]ports.RoleSet, error) {
	sets, err := many(ctx, s.db, func(from scanner) (ports.RoleSet, error) {
		var text string
		var set ports.RoleSet
		if err := from.Scan(&text, &set.Users); err != nil {
			return ports.RoleSet{}, err
		}
		roles, err := readRoles(text)
		set.Roles = roles
		return set, err
	}, "SELECT roles, count(*) FROM users WHERE status = 'active' GROUP BY roles")
	return sets, s.db.failed("count roles", err, nil)
}

// readRoles reads the roles of a user as they are kept.
func readRoles(text string) ([]user.Role, error) {
	var names []string
	if err := json.Unmarshal([]byte(text), &names); err != nil {
		return nil, fmt.Errorf("roles cannot be read: %w", err)
	}
	roles := make([]user.Role, len(names))
	for i, name := range names {
		var ok bool
		if roles[i], ok = user.ParseRole(name); !ok {
			return nil, fmt.Errorf("a user has the role %q, which is no word", name)
		}
	}
	return roles, nil
}

// Holders returns a page of the active users with the roles.
func (s *Users) Holders(ctx context.Context, roles []user.Role, after user.ID, limit int) ([]user.ID, error) {
	if limit <= 0 {
		return nil, nil
	}
	text, err := rolesText(roles)
	if err != nil {
		return nil, s.db.failed("list by roles", err, nil)
	}
	ids, err := many(ctx, s.db, func(from scanner) (user.ID, error) {
		var text string
		if err := from.Scan(&text); err != nil {
			return user.ID{}, err
		}
		id, ok := user.ParseID(text)
		if !ok {
			return user.ID{}, fmt.Errorf("the id %q of a user cannot be read", text)
		}
		return id, nil
	}, "SELECT id FROM users WHERE status = 'active' AND "+sameRoles(s.db.lite)+" AND id > ? ORDER BY id LIMIT ?", text, after.String(), limit)
	return ids, s.db.failed("list by roles", err, nil)
}
