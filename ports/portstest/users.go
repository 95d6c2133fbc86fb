package portstest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

var userChecks = []check[ports.UserRepository]{
	{"every field is kept", usersKeepEveryField},
	{"an update keeps every field", usersUpdateEveryField},
	{"a missing user is not found", usersMissing},
	{"a taken id is a conflict", usersTakenID},
	{"an address in another case is taken", usersTakenAddress},
	{"an address is found in another case", usersFoundByAddress},
	{"an address can change hands", usersAddressMoves},
	{"nobody changes to a taken address", usersUpdateToTaken},
	{"of registrations at once one wins", usersRegisterAtOnce},
	{"a failed update keeps nothing", usersFailedUpdate},
	{"deleting deletes", usersDelete},
	{"a refused deletion deletes nothing", usersRefusedDelete},
	{"what is deleted is what was checked", usersCheckRace},
	{"the last admin stays", usersLastAdmin},
	{"who does not act as admin comes and goes", usersWithoutAdmins},
	{"of two admins who go at once one stays", usersAdminsAtOnce},
	{"updates at once are all kept", usersUpdateAtOnce},
	{"nothing handed out is shared", usersShareNothing},
	{"the list goes by id", usersList},
	{"pages hold everybody once", usersPages},
	{"a search finds what stands in address or name", usersSearchText},
	{"a search looks at the user of now", usersSearchFollows},
	{"a search narrows by role, status and who may be seen", usersSearchNarrows},
	{"the pages of a search hold everybody once", usersSearchPages},
	{"a cancelled context is an outage", usersCancelled},
	{"who hangs up during an update changes nothing", usersHangUp},
	{"who hangs up during a deletion deletes nothing", usersHangUpDelete},
}

func usersKeepEveryField(t tester, users ports.UserRepository) {
	for _, u := range []user.User{newUser(t, 1), fullUser(t, 2), emptyUser(t, 3)} {
		must(t, users.Add(t.Context(), u), "Add(%+v)", u.State())
		wantStored(t, users, u)
		got, err := users.FindByEmail(t.Context(), u.Email())
		wantUser(t, got, err, u, "FindByEmail")
	}
}

// An ORM that writes only what is not zero leaves the roles of a demoted admin,
// and the name of somebody who took it back.
func usersUpdateEveryField(t tester, users ports.UserRepository) {
	u := addUser(t, users, 1)
	full := with(fullUser(t, 1), func(s *user.State) { s.CreatedAt = noon })
	for _, next := range []user.User{full, emptyUser(t, 1), full} {
		got, err := users.Update(t.Context(), u.ID(), func(u *user.User) error { *u = next; return nil })
		wantUser(t, got, err, next, "Update")
		wantStored(t, users, next)
	}
}

func usersMissing(t tester, users ports.UserRepository) {
	addUser(t, users, 1)
	called := false
	change := func(*user.User) error { called = true; return nil }
	check := func(user.User) error { called = true; return nil }
	for what, err := range map[string]error{
		"Find":        second(users.Find(t.Context(), userID(2))),
		"Find(zero)":  second(users.Find(t.Context(), user.ID{})),
		"FindByEmail": second(users.FindByEmail(t.Context(), email(t, "user2@example.com"))),
		"Update":      second(users.Update(t.Context(), userID(2), change)),
		"Delete":      users.Delete(t.Context(), userID(2), check),
	} {
		wantError(t, err, fault.NotFound, "%s of nobody", what)
	}
	if called {
		t.Errorf("Update or Delete of nobody called change or check, want no call")
	}
	wantError(t, second(users.Find(t.Context(), userID(2))), fault.NotFound, "Find after Update of nobody")
}

// A taken id is no taken address: who is told that, looks for an account that
// does not exist.
func usersTakenID(t tester, users ports.UserRepository) {
	first := addUser(t, users, 1)
	err := users.Add(t.Context(), with(newUser(t, 2), func(s *user.State) { s.ID = first.ID() }))
	wantError(t, err, fault.Conflict, "Add(taken id)")
	if errors.Is(err, user.ErrEmailTaken) {
		t.Errorf("Add(taken id, free address) = %v, want another conflict than ErrEmailTaken", err)
	}
	wantStored(t, users, first)
	wantError(t, second(users.FindByEmail(t.Context(), email(t, "user2@example.com"))), fault.NotFound, "FindByEmail of who was refused")
}

// Two accounts for one address let the second receive the reset mail of the
// first (threats.md, scenario 20).
func usersTakenAddress(t tester, users ports.UserRepository) {
	first := addUser(t, users, 1)
	for i, address := range []string{"User1@example.com", "uSER1@EXAMPLE.com"} {
		again := with(newUser(t, 2+i), func(s *user.State) { s.Email = email(t, address) })
		wantError(t, users.Add(t.Context(), again), user.ErrEmailTaken, "Add(%s beside %s)", address, first.Email())
		wantError(t, second(users.Find(t.Context(), again.ID())), fault.NotFound, "Find of who was refused")
	}
	got, err := users.FindByEmail(t.Context(), first.Email())
	wantUser(t, got, err, first, "FindByEmail after a refused Add")
}

func usersFoundByAddress(t tester, users ports.UserRepository) {
	u := with(newUser(t, 1), func(s *user.State) { s.Email = email(t, "Ann+Tag@Bücher.example") })
	must(t, users.Add(t.Context(), u), "Add")
	for _, address := range []string{"ann+tag@xn--bcher-kva.example", "ANN+TAG@BÜCHER.EXAMPLE"} {
		got, err := users.FindByEmail(t.Context(), email(t, address))
		wantUser(t, got, err, u, "FindByEmail("+address+")")
	}
	for _, address := range []string{"ann@xn--bcher-kva.example", "ann+ta_@xn--bcher-kva.example", "%@xn--bcher-kva.example"} {
		wantError(t, second(users.FindByEmail(t.Context(), email(t, address))), fault.NotFound, "FindByEmail(%s)", address)
	}
}

func usersAddressMoves(t tester, users ports.UserRepository) {
	old := addUser(t, users, 1)
	moved := with(old, func(s *user.State) { s.Email = email(t, "moved@example.com") })
	got, err := users.Update(t.Context(), old.ID(), func(u *user.User) error { *u = moved; return nil })
	wantUser(t, got, err, moved, "Update(email)")
	wantError(t, second(users.FindByEmail(t.Context(), old.Email())), fault.NotFound, "FindByEmail(the address given up)")
	next := with(newUser(t, 2), func(s *user.State) { s.Email = old.Email() })
	must(t, users.Add(t.Context(), next), "Add(an address that was given up)")
	got, err = users.FindByEmail(t.Context(), old.Email())
	wantUser(t, got, err, next, "FindByEmail(the address given up)")
	got, err = users.FindByEmail(t.Context(), moved.Email())
	wantUser(t, got, err, moved, "FindByEmail(the new address)")
}

func usersUpdateToTaken(t tester, users ports.UserRepository) {
	first, other := addUser(t, users, 1), addUser(t, users, 2)
	_, err := users.Update(t.Context(), other.ID(), func(u *user.User) error {
		*u = with(*u, func(s *user.State) { s.Email, s.Name = email(t, "uSER1@example.com"), "thief" })
		return nil
	})
	wantError(t, err, user.ErrEmailTaken, "Update(to another's address)")
	for _, u := range []user.User{first, other} {
		wantStored(t, users, u)
		got, err := users.FindByEmail(t.Context(), u.Email())
		wantUser(t, got, err, u, "FindByEmail")
	}
}

// Looking first and writing then lets two in at once (threats.md, scenario 24).
func usersRegisterAtOnce(t tester, users ports.UserRepository) {
	const n = 20
	var won atomic.Int64
	atOnce(n, func(i int) {
		u := with(newUser(t, i), func(s *user.State) { s.Email = email(t, "wanted@example.com") })
		if err := users.Add(t.Context(), u); err != nil {
			wantError(t, err, user.ErrEmailTaken, "Add(one address, %d at once)", n)
			return
		}
		won.Add(1)
	})
	all, err := users.List(t.Context(), user.ID{}, n)
	if won.Load() != 1 || err != nil || len(all) != 1 {
		t.Errorf("of %d registrations of one address %d succeeded, %d are kept, %v, want 1", n, won.Load(), len(all), err)
	}
}

func usersFailedUpdate(t tester, users ports.UserRepository) {
	u := addUser(t, users, 1)
	for _, refusal := range []error{errRefused, user.ErrUnknown, fault.New(fault.Stale, "version_conflict", "")} {
		_, err := users.Update(t.Context(), u.ID(), func(u *user.User) error {
			u.Disable(noon.Add(time.Hour))
			return refusal
		})
		wantVery(t, err, refusal, "Update(change fails)")
		wantStored(t, users, u)
	}
}

// Two password changes at once that are kept as one leave the sessions of one
// of them alive: the epoch must rise twice.
func usersUpdateAtOnce(t tester, users ports.UserRepository) {
	const n = 20
	u := addUser(t, users, 1)
	atOnce(n, func(int) {
		_, err := users.Update(t.Context(), u.ID(), func(u *user.User) error {
			linger()
			u.ChangePassword(user.NewPasswordHash("$other$"), noon)
			return nil
		})
		if err != nil {
			t.Errorf("Update(%d at once) = %v, want no error", n, err)
		}
	})
	got, err := users.Find(t.Context(), u.ID())
	must(t, err, "Find")
	want(t, got.SessionEpoch(), n, "the epoch after %d updates at once", n)
}

// Who keeps the pointer that a change was given must not reach into the store.
func usersShareNothing(t tester, users ports.UserRepository) {
	u := addUser(t, users, 1)
	var leaked *user.User
	_, err := users.Update(t.Context(), u.ID(), func(u *user.User) error {
		u.Rehash(user.NewPasswordHash("$new$"))
		leaked = u
		return nil
	})
	must(t, err, "Update")
	u.Rehash(user.NewPasswordHash("$new$"))
	leaked.Disable(noon)
	wantStored(t, users, u)
	list, err := users.List(t.Context(), user.ID{}, 1)
	if err != nil || len(list) != 1 {
		t.Fatalf("List = %d users, %v, want 1", len(list), err)
	}
	list[0] = user.User{}
	list, err = users.List(t.Context(), user.ID{}, 1)
	if err != nil || len(list) != 1 || list[0].ID() != u.ID() {
		t.Errorf("List after altering what List gave = %v, %v, want %v", list, err, u)
	}
}

func usersList(t tester, users ports.UserRepository) {
	// Bytes are not signed: ff comes last.
	var ids []user.ID
	for _, first := range []byte{0x01, 0x7f, 0x80, 0xff} {
		ids = append(ids, user.ID{UUID: uuid.UUID{first, 15: 1}})
	}
	for _, n := range []int{2, 0, 3, 1} {
		u := with(newUser(t, n), func(s *user.State) { s.ID, s.CreatedAt = ids[n], noon.Add(-time.Duration(n)*time.Hour) })
		must(t, users.Add(t.Context(), u), "Add")
	}
	between := user.ID{UUID: uuid.UUID{0x7f, 15: 2}}
	for _, c := range []struct {
		what  string
		after user.ID
		limit int
		want  []user.ID
	}{
		{"all", user.ID{}, 10, ids},
		{"the first two", user.ID{}, 2, ids[:2]},
		{"after the second", ids[1], 10, ids[2:]},
		{"after what is not there", between, 1, ids[2:3]},
		{"after the last", ids[3], 10, nil},
		{"none", user.ID{}, 0, nil},
	} {
		got, err := users.List(t.Context(), c.after, c.limit)
		must(t, err, "List(%s)", c.what)
		want(t, names(got), joined(c.want), "List(%s)", c.what)
	}
}

func names(list []user.User) string {
	var ids []user.ID
	for _, u := range list {
		ids = append(ids, u.ID())
	}
	return joined(ids)
}

// People who register while an operator turns the pages must not push anybody
// out of them.
func usersPages(t tester, users ports.UserRepository) {
	for n := range 7 {
		addUser(t, users, 10*n)
	}
	var seen []user.User
	var after user.ID
	for page := range 20 {
		got, err := users.List(t.Context(), after, 2)
		must(t, err, "List")
		if len(got) == 0 {
			break
		}
		seen = append(seen, got...)
		after = got[len(got)-1].ID()
		if page == 1 {
			addUser(t, users, 5)  // behind us
			addUser(t, users, 55) // before us
		}
	}
	var all []user.ID
	for _, n := range []int{0, 10, 20, 30, 40, 50, 55, 60} {
		all = append(all, userID(n))
	}
	want(t, names(seen), joined(all), "the pages together")
}

func usersCancelled(t tester, users ports.UserRepository) {
	u := addUser(t, users, 1)
	ctx, change := gone(t), func(u *user.User) error { u.Disable(noon); return nil }
	wantUnavailable(t, map[string]error{
		"Add":                  users.Add(ctx, newUser(t, 2)),
		"Find":                 second(users.Find(ctx, u.ID())),
		"Find of nobody":       second(users.Find(ctx, userID(2))),
		"FindByEmail":          second(users.FindByEmail(ctx, u.Email())),
		"FindByEmail of none":  second(users.FindByEmail(ctx, newUser(t, 2).Email())),
		"Update":               second(users.Update(ctx, u.ID(), change)),
		"Update of nobody":     second(users.Update(ctx, userID(2), change)),
		"Delete":               users.Delete(ctx, u.ID(), goInPeace),
		"Delete of nobody":     users.Delete(ctx, userID(2), goInPeace),
		"List":                 second(users.List(ctx, user.ID{}, 10)),
		"Search":               second(users.Search(ctx, everyUser())),
		"Add of who is there":  users.Add(ctx, u),
		"List of what is none": second(users.List(ctx, userID(9), 10)),
	})
	wantStored(t, users, u)
	wantError(t, second(users.Find(t.Context(), userID(2))), fault.NotFound, "Find of who was added with a cancelled context")
}

func usersHangUp(t tester, users ports.UserRepository) {
	u := addUser(t, users, 1)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := users.Update(ctx, u.ID(), func(u *user.User) error {
		cancel()
		u.Disable(noon)
		return nil
	})
	wantError(t, err, fault.Unavailable, "Update(cancelled meanwhile)")
	wantStored(t, users, u)
}

func usersHangUpDelete(t tester, users ports.UserRepository) {
	for n, u := range []user.User{addUser(t, users, 0), addAdmin(t, users, 1)} {
		addAdmin(t, users, 10+n) // so that it is not the rule that keeps one
		ctx, cancel := context.WithCancel(t.Context())
		err := users.Delete(ctx, u.ID(), func(user.User) error { cancel(); return nil })
		wantError(t, err, fault.Unavailable, "Delete(cancelled meanwhile)")
		wantStored(t, users, u)
	}
}
