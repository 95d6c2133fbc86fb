package portstest

import (
	"cmp"
	"fmt"
	"slices"

	"gatehouse/domain/user"
)

var roleChecks = []check[RoleStores]{
	{"nobody has no roles", rolesOfNobody},
	{"users are counted by all their roles", rolesCounted},
	{"who is disabled does not count", rolesOfDisabled},
	{"holders have just these roles", rolesHolders},
	{"holders are read in pages", rolesPages},
	{"a change of roles counts at once", rolesChanged},
	{"a cancelled context is an outage", rolesCancelled},
}

// holding adds the n-th user, with the roles.
func (s RoleStores) holding(t tester, n int, names ...string) user.User {
	t.Helper()
	var given []user.Role
	for _, name := range names {
		given = append(given, role(name))
	}
	u := with(newUser(t, n), func(s *user.State) { s.Roles = given })
	must(t, s.Users.Add(t.Context(), u), "Add(user %d)", n)
	return u
}

// wantSets holds the store to sets of roles, "2 admin user" for two who have
// both.
func (s RoleStores) wantSets(t tester, sets ...string) {
	t.Helper()
	got, err := s.Directory.RoleSets(t.Context())
	must(t, err, "RoleSets")
	texts := []string{}
	for _, set := range got {
		texts = append(texts, fmt.Sprint(set.Users, " ", joined(set.Roles)))
	}
	slices.Sort(texts)
	for i := range sets {
		sets[i] += " "
	}
	slices.Sort(sets)
	want(t, texts, append([]string{}, sets...), "RoleSets")
}

// wantHolders holds the store to the users, by their numbers.
func (s RoleStores) wantHolders(t tester, after, limit int, roles []string, numbers ...int) {
	t.Helper()
	var given []user.Role
	for _, name := range roles {
		given = append(given, role(name))
	}
	var from user.ID
	if after >= 0 {
		from = userID(after)
	}
	got, err := s.Directory.Holders(t.Context(), given, from, limit)
	must(t, err, "Holders(%v)", roles)
	ids := []user.ID{}
	for _, n := range numbers {
		ids = append(ids, userID(n))
	}
	want(t, joined(got), joined(ids), "Holders(%v)", roles)
}

func rolesOfNobody(t tester, s RoleStores) {
	s.wantSets(t)
	s.wantHolders(t, -1, 10, []string{"user"})
}

func rolesCounted(t tester, s RoleStores) {
	s.holding(t, 1, "user")
	s.holding(t, 2, "admin", "user")
	s.holding(t, 3, "admin")
	s.holding(t, 4, "user")
	s.holding(t, 5, "a1", "b-2", "c_3")
	s.wantSets(t, "1 a1 b-2 c_3", "1 admin", "1 admin user", "2 user")
}

func rolesOfDisabled(t tester, s RoleStores) {
	s.holding(t, 1, "user")
	off := with(newUser(t, 2), func(s *user.State) { s.Status = user.Disabled })
	must(t, s.Users.Add(t.Context(), off), "Add")
	s.wantSets(t, "1 user")
	s.wantHolders(t, -1, 10, []string{"user"}, 1)
	must(t, second(s.Users.Update(t.Context(), off.ID(), func(u *user.User) error { u.Enable(noon); return nil })), "Update")
	s.wantSets(t, "2 user")
	s.wantHolders(t, -1, 10, []string{"user"}, 1, 2)
}

func rolesHolders(t tester, s RoleStores) {
	s.holding(t, 1, "user")
	s.holding(t, 2, "admin", "user")
	s.holding(t, 3, "admin")
	s.holding(t, 4, "user", "user2")
	s.wantHolders(t, -1, 10, []string{"user"}, 1)
	s.wantHolders(t, -1, 10, []string{"admin", "user"}, 2)
	s.wantHolders(t, -1, 10, []string{"admin"}, 3)
	s.wantHolders(t, -1, 10, []string{"user2"})
	s.wantHolders(t, -1, 10, nil)
}

func rolesPages(t tester, s RoleStores) {
	order := []int{3, 1, 5, 2, 4}
	for _, n := range order {
		s.holding(t, n, "user")
	}
	slices.SortFunc(order, cmp.Compare[int])
	s.wantHolders(t, -1, 2, []string{"user"}, order[:2]...)
	s.wantHolders(t, 2, 2, []string{"user"}, order[2:4]...)
	s.wantHolders(t, 4, 2, []string{"user"}, 5)
	s.wantHolders(t, 5, 2, []string{"user"})
	s.wantHolders(t, -1, 0, []string{"user"})
	s.wantHolders(t, -1, -1, []string{"user"})
}

func rolesChanged(t tester, s RoleStores) {
	u := s.holding(t, 1, "user")
	s.wantSets(t, "1 user")
	must(t, second(s.Users.Update(t.Context(), u.ID(), func(u *user.User) error {
		return u.SetRoles([]user.Role{user.RoleUser, user.RoleModerator}, noon)
	})), "Update")
	s.wantSets(t, "1 moderator user")
	s.wantHolders(t, -1, 10, []string{"moderator", "user"}, 1)
	must(t, s.Users.Delete(t.Context(), u.ID(), func(user.User) error { return nil }), "Delete")
	s.wantSets(t)
}

// "Nobody has it" would make a change of the policy look harmless.
func rolesCancelled(t tester, s RoleStores) {
	s.holding(t, 1, "user")
	ctx := gone(t)
	wantUnavailable(t, map[string]error{
		"RoleSets": second(s.Directory.RoleSets(ctx)),
		"Holders":  second(s.Directory.Holders(ctx, []user.Role{user.RoleUser}, user.ID{}, 10)),
	})
}
