package portstest

import (
	"slices"
	"strings"

	"gatehouse/domain/audit"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// The checks of ports.Along's Admins: who takes an admin away is shown who is left.

// roleWords are sets of roles as texts, sorted.
func roleWords(sets [][]user.Role) []string {
	words := make([]string, len(sets))
	for i, roles := range sets {
		words[i] = strings.TrimSpace(joined(roles))
	}
	slices.Sort(words)
	return words
}

func addInRoles(t tester, users ports.UserRepository, n int, names ...string) user.User {
	t.Helper()
	u := with(newUser(t, n), func(s *user.State) {
		s.Roles = nil
		for _, name := range names {
			r, ok := user.ParseRole(name)
			if !ok {
				t.Fatalf("%q is no role", name)
			}
			s.Roles = append(s.Roles, r)
		}
	})
	must(t, users.Add(t.Context(), u), "Add(user %d)", n)
	return u
}

func alongAdmins(t tester, s RecordStores) {
	addInRoles(t, s.Users, 1, "admin", "user")
	addInRoles(t, s.Users, 2, "admin", "user")
	addInRoles(t, s.Users, 3, "admin", "clerk")
	addInRoles(t, s.Users, 4, "sysadmin")
	out := with(newUser(t, 5), func(s *user.State) {
		s.Roles, s.Status = []user.Role{user.RoleAdmin, user.RoleModerator}, user.Disabled
	})
	must(t, s.Users.Add(t.Context(), out), "Add(a disabled admin)")
	left := []string{"admin clerk", "admin user"}
	for n, c := range carriers[:2] { // disables, deletes
		u := addInRoles(t, s.Users, 10+n, "admin")
		var seen [][]user.Role
		answer := errRefused
		along := ports.Along{Audit: []audit.Entry{newEntry(1, u.ID())}, Admins: func(_ int64, sets [][]user.Role) error {
			seen = sets
			return answer
		}}
		wantVery(t, c.run(t.Context(), s, u.ID(), consent, &along), errRefused, c.name+" that the admins refuse")
		s.wantNothing(t, c, u, u)
		want(t, roleWords(seen), left, "who is left after %s", c.name)
		seen, answer = nil, nil
		along.Audit = nil
		must(t, c.run(t.Context(), s, u.ID(), consent, &along), "%s", c.name)
		if !c.made(t, s, u.ID()) {
			t.Errorf("%s that the admins allow changed nothing", c.name)
		}
		want(t, roleWords(seen), left, "who is left after %s", c.name)
	}
	u, seen := addInRoles(t, s.Users, 20, "admin"), [][]user.Role(nil)
	_, err := s.Users.Update(t.Context(), u.ID(), func(u *user.User) error {
		return u.SetRoles([]user.Role{user.RoleAdmin, user.RoleModerator}, noon)
	}, &ports.Along{Admins: func(_ int64, sets [][]user.Role) error { seen = sets; return nil }})
	must(t, err, "Update(another role)")
	want(t, roleWords(seen), []string{"admin clerk", "admin moderator", "admin user"}, "who is left after another role")
}

// Each sees that the other one is left, and both go.
func alongAdminsAtOnce(t tester, s RecordStores) {
	for n := range 20 {
		both := [2]user.User{addInRoles(t, s.Users, 10*n+1, "admin"), addInRoles(t, s.Users, 10*n+2, "admin")}
		lonely := func(_ int64, sets [][]user.Role) error {
			if !slices.Contains(roleWords(sets), "admin") {
				return errRefused
			}
			return nil
		}
		var errs [2]error
		at := func(i int) func() {
			return func() {
				_, errs[i] = s.Users.Update(t.Context(), both[i].ID(), func(u *user.User) error {
					linger()
					return u.SetRoles([]user.Role{user.RoleAdmin, user.RoleModerator}, noon)
				}, &ports.Along{Admins: lonely})
			}
		}
		race(n, at(0), at(1))
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("two who each leave the other = %v and %v, want one refusal", errs[0], errs[1])
		}
		for i, u := range both { // out of the way of the next round
			if errs[i] != nil {
				wantVery(t, errs[i], errRefused, "Update of who is left")
				must(t, second(s.Users.Update(t.Context(), u.ID(), disable)), "Update")
			}
		}
	}
}
