package portstest

import (
	"errors"

	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// The checks of users who go: deleted, or no longer admins. What goes with them
// is checked where sessions and products are at hand.

// goInPeace is a check without objection.
func goInPeace(user.User) error { return nil }

// administrator is the n-th user, as an admin.
func administrator(t tester, n int) user.User {
	t.Helper()
	return with(newUser(t, n), func(s *user.State) { s.Roles = []user.Role{user.RoleAdmin, user.RoleUser} })
}

func addAdmin(t tester, users ports.UserRepository, n int) user.User {
	t.Helper()
	u := administrator(t, n)
	must(t, users.Add(t.Context(), u), "Add(admin %d)", n)
	return u
}

// The changes that take an admin away without deleting anybody.
func demote(u *user.User) error  { return u.SetRoles([]user.Role{user.RoleUser}, noon) }
func disable(u *user.User) error { u.Disable(noon); return nil }

// A way to go is one of the three ways in which an admin ceases to act.
type wayToGo struct {
	name string
	run  func(t tester, users ports.UserRepository, id user.ID) error
}

var waysToGo = []wayToGo{
	{"demoting", changing(demote)},
	{"disabling", changing(disable)},
	{"deleting", func(t tester, users ports.UserRepository, id user.ID) error {
		return users.Delete(t.Context(), id, func(user.User) error { linger(); return nil })
	}},
}

func changing(change func(*user.User) error) func(tester, ports.UserRepository, user.ID) error {
	return func(t tester, users ports.UserRepository, id user.ID) error {
		return second(users.Update(t.Context(), id, func(u *user.User) error { linger(); return change(u) }))
	}
}

func usersDelete(t tester, users ports.UserRepository) {
	u, other := addUser(t, users, 1), addUser(t, users, 2)
	var checked user.User
	err := users.Delete(t.Context(), u.ID(), func(u user.User) error { checked = u; return nil })
	must(t, err, "Delete")
	wantUser(t, checked, nil, u, "what check was called with")
	for what, err := range map[string]error{
		"Find":        second(users.Find(t.Context(), u.ID())),
		"FindByEmail": second(users.FindByEmail(t.Context(), u.Email())),
		"Update":      second(users.Update(t.Context(), u.ID(), disable)),
		"Delete":      users.Delete(t.Context(), u.ID(), goInPeace),
	} {
		wantError(t, err, fault.NotFound, "%s of who was deleted", what)
	}
	wantStored(t, users, other)
	list, err := users.List(t.Context(), user.ID{}, 10)
	must(t, err, "List")
	want(t, names(list), joined([]user.ID{other.ID()}), "List after Delete")
	again := with(newUser(t, 3), func(s *user.State) { s.Email = u.Email() })
	must(t, users.Add(t.Context(), again), "Add(the address of who was deleted)")
}

func usersRefusedDelete(t tester, users ports.UserRepository) {
	for _, u := range []user.User{addUser(t, users, 0), addAdmin(t, users, 1)} { // not even the last admin hears anything else
		for _, refusal := range []error{errRefused, user.ErrUnknown} {
			err := users.Delete(t.Context(), u.ID(), func(user.User) error { return refusal })
			wantVery(t, err, refusal, "Delete(check refuses)")
			wantStored(t, users, u)
		}
	}
}

// Confirmed with the old password, changed by its owner, deleted all the same:
// checking and deleting are one step or neither.
func usersCheckRace(t tester, users ports.UserRepository) {
	for n := range 50 {
		u := addUser(t, users, n)
		var updated, deleted error
		race(n, func() {
			deleted = users.Delete(t.Context(), u.ID(), func(now user.User) error {
				linger()
				if now.PasswordHash() != u.PasswordHash() {
					return errRefused
				}
				return nil
			})
		}, func() {
			_, updated = users.Update(t.Context(), u.ID(), func(u *user.User) error {
				linger()
				u.ChangePassword(user.NewPasswordHash("$other$"), noon)
				return nil
			})
		})
		kept := second(users.Find(t.Context(), u.ID()))
		first := updated == nil && deleted == errRefused && kept == nil
		last := errors.Is(updated, fault.NotFound) && deleted == nil && errors.Is(kept, fault.NotFound)
		if !first && !last {
			t.Errorf("a new password = %v, deleting under the old = %v, then Find = %v: want one of them to come first", updated, deleted, kept)
		}
	}
}

// A house without an admin can never have one again, but through its database.
func usersLastAdmin(t tester, users ports.UserRepository) {
	last := addAdmin(t, users, 1)
	// None of these acts as admin: one is disabled, one only called so.
	almost, _ := user.ParseRole("sysadmin")
	out := with(administrator(t, 2), func(s *user.State) { s.Status = user.Disabled })
	named := with(newUser(t, 3), func(s *user.State) { s.Roles, s.Name = []user.Role{almost}, `"admin"` })
	for _, u := range []user.User{out, named} {
		must(t, users.Add(t.Context(), u), "Add")
	}
	for _, way := range waysToGo {
		wantError(t, way.run(t, users, last.ID()), user.ErrLastAdmin, "%s the last admin", way.name)
		wantStored(t, users, last)
	}
	_, err := users.Update(t.Context(), last.ID(), func(u *user.User) error {
		u.ChangePassword(user.NewPasswordHash("$new$"), noon)
		return u.SetRoles([]user.Role{user.RoleAdmin}, noon)
	})
	must(t, err, "Update(the last admin stays one)")
	for n, way := range waysToGo {
		next := addAdmin(t, users, 10+n)
		must(t, way.run(t, users, last.ID()), "%s one of two admins", way.name)
		last = next
	}
	wantStored(t, users, last)
}

// The rule is about taking the last admin away: where there is none, nobody is
// held back, and beside the last one everybody else is free.
func usersWithoutAdmins(t tester, users ports.UserRepository) {
	for n := range 2 {
		for i, way := range waysToGo {
			plain := addUser(t, users, 10*n+i)
			must(t, way.run(t, users, plain.ID()), "%s who is no admin", way.name)
			out := with(administrator(t, 10*n+i+5), func(s *user.State) { s.Status = user.Disabled })
			must(t, users.Add(t.Context(), out), "Add")
			must(t, way.run(t, users, out.ID()), "%s a disabled admin", way.name)
		}
		addAdmin(t, users, 100+n)
	}
}

// Each looks and sees the other one, and both go: write skew.
func usersAdminsAtOnce(t tester, users ports.UserRepository) {
	stays := addAdmin(t, users, 0)
	for n := range 50 {
		both := [2]user.User{stays, addAdmin(t, users, n+1)}
		ways := [2]wayToGo{waysToGo[n%3], waysToGo[n/3%3]}
		var errs [2]error
		race(n, func() { errs[0] = ways[0].run(t, users, both[0].ID()) }, func() { errs[1] = ways[1].run(t, users, both[1].ID()) })
		one := 0
		if errs[0] == nil {
			one = 1
		}
		if errs[1-one] != nil || errs[one] == nil {
			t.Fatalf("%s = %v beside %s = %v, want one to succeed", ways[0].name, errs[0], ways[1].name, errs[1])
		}
		wantError(t, errs[one], user.ErrLastAdmin, "%s the one who is left", ways[one].name)
		stays = both[one]
		wantStored(t, users, stays)
	}
}

func sessionsGoWithTheirUser(t tester, s SessionStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	hers := []session.Session{s.add(t, 1, ann.ID()), s.add(t, 2, ann.ID())}
	his := s.add(t, 3, bob.ID())
	must(t, s.Users.Delete(t.Context(), ann.ID(), goInPeace), "Delete")
	for _, one := range hers {
		s.wantDead(t, one, "of who was deleted")
	}
	s.wantCount(t, ann.ID(), 0, "after the user was deleted")
	s.wantAlive(t, his, "of another than who was deleted")
}

// A sign-in that is under way while the account goes leaves nothing behind.
func sessionsOfWhoIsGoing(t tester, s SessionStores) {
	for n := range 50 {
		u := addUser(t, s.Users, n)
		one := newSession(n, u.ID())
		var added error
		race(n, func() {
			err := s.Users.Delete(t.Context(), u.ID(), func(user.User) error { linger(); return nil })
			if err != nil {
				t.Errorf("Delete beside a sign-in = %v, want no error", err)
			}
		}, func() { linger(); added = s.Sessions.Add(t.Context(), one) })
		if added != nil {
			wantError(t, added, fault.NotFound, "Add beside Delete of the user")
		}
		s.wantDead(t, one, "begun while the user was deleted")
	}
}

func productsGoWithTheirOwner(t tester, s ProductStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	hers := []product.Product{s.add(t, 1, ann.ID()), s.add(t, 2, ann.ID())}
	his := s.add(t, 3, bob.ID())
	must(t, s.Users.Delete(t.Context(), ann.ID(), goInPeace), "Delete")
	for _, p := range hers {
		wantError(t, second(s.Products.Find(t.Context(), p.ID())), fault.NotFound, "Find of what the deleted user owned")
	}
	s.wantList(t, everything(product.OldestFirst), his)
}

func productsOfWhoIsGoing(t tester, s ProductStores) {
	for n := range 50 {
		u := addUser(t, s.Users, n)
		p := newProduct(n, u.ID())
		var added error
		race(n, func() {
			err := s.Users.Delete(t.Context(), u.ID(), func(user.User) error { linger(); return nil })
			if err != nil {
				t.Errorf("Delete beside Products.Add = %v, want no error", err)
			}
		}, func() { linger(); added = s.Products.Add(t.Context(), p) })
		if added != nil {
			wantError(t, added, fault.NotFound, "Add beside Delete of the owner")
		}
		wantError(t, second(s.Products.Find(t.Context(), p.ID())), fault.NotFound, "Find of what was added while its owner went")
	}
	s.wantList(t, everything(product.OldestFirst))
}
