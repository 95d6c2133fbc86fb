package portstest

import (
	"slices"
	"sync/atomic"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
)

var directoryChecks = []check[SessionStores]{
	{"lists the user's own, the newest first", directoryList},
	{"lists what is kept now", directoryListsNow},
	{"ends one of the user's own", directoryEndOne},
	{"ends nobody else's", directoryEndOneOfOthers},
	{"ends all others and tells them", directoryEndOthers},
	{"the zero key keeps none", directoryEndAll},
	{"trims to those begun last", directoryTrim},
	{"of sessions added at once the cap is left", directoryTrimAtOnce},
	{"whatever ends leaves a reason behind", directoryLeavesAPast},
	{"knows who has signed in before", directoryKnown},
	{"prunes what has run out by now", directoryPrune},
	{"prunes no more than the limit", directoryPruneLimit},
	{"nodes prune side by side", directoryPruneAtOnce},
	{"what is pruned leaves the clock behind that ended it", directoryPruneLeavesAPast},
	{"prunes what is left of old ones", directoryPrunePast},
	{"nothing handed out is shared", directorySharesNothing},
	{"a cancelled context is an outage", directoryCancelled},
}

// wantList holds the directory to a user's sessions, in their order.
func (s SessionStores) wantList(t tester, owner user.ID, sessions ...session.Session) {
	t.Helper()
	got, err := s.Directory.List(t.Context(), owner)
	must(t, err, "List")
	want(t, states(got), states(sessions), "List")
}

func states(list []session.Session) []session.State {
	all := make([]session.State, len(list))
	for i, one := range list {
		all[i] = one.State()
	}
	return all
}

func directoryList(t tester, s SessionStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	// Handles do not tell the time: the newest may have the smallest.
	begun := func(n, minute int, owner user.ID) session.Session {
		start := session.Start{ID: session.ID{UUID: id(n)}, Key: key(n), UserID: owner, Methods: session.ByPassword}
		one := session.Begin(start, lifetime, noon.Add(time.Duration(minute)*time.Minute))
		must(t, s.Sessions.Add(t.Context(), one), "Add")
		return one
	}
	first, third, second := begun(5, 1, ann.ID()), begun(1, 3, ann.ID()), begun(3, 2, ann.ID())
	others := begun(4, 2, bob.ID())
	s.wantList(t, ann.ID(), third, second, first)
	s.wantList(t, bob.ID(), others)
	s.wantList(t, userID(3))
}

func directoryListsNow(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	all := extremes(u.ID())
	for _, one := range all {
		must(t, s.Sessions.Add(t.Context(), one), "Add")
	}
	slices.SortFunc(all, func(a, b session.Session) int { return b.CreatedAt().Compare(a.CreatedAt()) })
	s.wantList(t, u.ID(), all...)
	now := noon.Add(20 * time.Minute)
	next := renewed(t, all[0], now).Rotated(key(99), 7)
	must(t, s.replace(t, all[0].Key(), next, now), "Replace")
	must(t, second(s.Sessions.End(t.Context(), all[1].Key(), signedOut)), "End")
	s.wantList(t, u.ID(), next, all[2])
}

func directoryEndOne(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	one, other := s.add(t, 1, u.ID()), s.add(t, 2, u.ID())
	rotated := one.Rotated(key(9), 0)
	must(t, s.replace(t, one.Key(), rotated, noon), "Replace")
	ended, err := s.Directory.EndOne(t.Context(), u.ID(), one.ID(), signedOut)
	must(t, err, "EndOne")
	want(t, ended.State(), rotated.State(), "what EndOne ended")
	s.wantDead(t, rotated, "what was ended by its handle")
	s.wantAlive(t, other, "another session of the user")
	wantError(t, second(s.Directory.EndOne(t.Context(), u.ID(), one.ID(), signedOut)), fault.NotFound, "EndOne again")
	wantError(t, second(s.Directory.EndOne(t.Context(), u.ID(), session.ID{}, signedOut)), fault.NotFound, "EndOne(zero handle)")
}

// A handle is no secret: whoever has seen another's must not end it
// (ASVS 5.0 8.2.2, insecure direct object references).
func directoryEndOneOfOthers(t tester, s SessionStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	anns, bobs := s.add(t, 1, ann.ID()), s.add(t, 2, bob.ID())
	wantError(t, second(s.Directory.EndOne(t.Context(), ann.ID(), bobs.ID(), signedOut)), fault.NotFound, "EndOne(another's)")
	wantError(t, second(s.Directory.EndOne(t.Context(), userID(3), bobs.ID(), signedOut)), fault.NotFound, "EndOne(by nobody)")
	s.wantAlive(t, bobs, "another's session")
	s.wantAlive(t, anns, "the user's own session")
}

func directoryEndOthers(t tester, s SessionStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	keep, bobs := s.add(t, 4, ann.ID()), s.add(t, 2, bob.ID())
	others := []session.Session{s.add(t, 3, ann.ID()), s.add(t, 5, ann.ID()), s.add(t, 1, ann.ID())}
	s.wantEnded(t, ann.ID(), keep.Key(), "EndOthers", others[1], others[0], others[2])
	for _, one := range others {
		s.wantDead(t, one, "another session of the user")
	}
	s.wantAlive(t, keep, "the session that is kept")
	s.wantAlive(t, bobs, "another's session")
	s.wantEnded(t, ann.ID(), keep.Key(), "EndOthers again")
	s.wantEnded(t, userID(3), keep.Key(), "EndOthers of nobody")
}

// wantEnded ends all others and holds the directory to which they were.
func (s SessionStores) wantEnded(t tester, owner user.ID, keep session.Key, what string, ended ...session.Session) {
	t.Helper()
	got, err := s.Directory.EndOthers(t.Context(), owner, keep, signedOut)
	must(t, err, "%s", what)
	want(t, states(got), states(ended), "%s", what)
}

// A password reset has no session to keep.
func directoryEndAll(t tester, s SessionStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	bobs, one, two := s.add(t, 2, bob.ID()), s.add(t, 1, ann.ID()), s.add(t, 3, ann.ID())
	s.wantEnded(t, ann.ID(), session.Key{}, "EndOthers(zero key)", two, one)
	three := s.add(t, 4, ann.ID())
	s.wantEnded(t, ann.ID(), bobs.Key(), "EndOthers(the key of another's session)", three)
	s.wantCount(t, ann.ID(), 0, "after EndOthers")
	s.wantAlive(t, bobs, "another's session")
}

// Who knows the password but has not the second factor must not push anybody's
// sessions out: pending ones do not count.
func directoryTrim(t tester, s SessionStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	trim := func(keep int, what string, ended ...session.Session) {
		t.Helper()
		got, err := s.Directory.Trim(t.Context(), ann.ID(), keep, signedOut)
		must(t, err, "Trim(%s)", what)
		want(t, states(got), states(ended), "Trim(%s)", what)
		for _, one := range ended {
			s.wantDead(t, one, "what was trimmed")
		}
	}
	trim(2, "nothing")
	third, first, fourth, second := s.add(t, 3, ann.ID()), s.add(t, 1, ann.ID()), s.add(t, 4, ann.ID()), s.add(t, 2, ann.ID())
	oldest, newest, his := pending(0, ann.ID()), pending(9, ann.ID()), s.add(t, 5, bob.ID())
	for _, one := range []session.Session{oldest, newest} {
		must(t, s.Sessions.Add(t.Context(), one), "Add(pending)")
	}
	trim(4, "as many as there are")
	trim(2, "to two", second, first)
	trim(2, "to two, again")
	s.wantList(t, ann.ID(), newest, fourth, third, oldest)
	trim(0, "to none", fourth, third)
	s.wantList(t, ann.ID(), newest, oldest)
	s.wantAlive(t, his, "another's session")
}

func directoryTrimAtOnce(t tester, s SessionStores) {
	const n, keep = 20, 5
	u := addUser(t, s.Users, 1)
	var ended atomic.Int64
	atOnce(n, func(i int) {
		if err := s.Sessions.Add(t.Context(), newSession(i, u.ID())); err != nil {
			t.Errorf("Add(%d at once) = %v, want no error", n, err)
		}
		linger()
		gone, err := s.Directory.Trim(t.Context(), u.ID(), keep, signedOut)
		if err != nil {
			t.Errorf("Trim(%d at once) = %v, want no error", n, err)
		}
		ended.Add(int64(len(gone)))
	})
	s.wantCount(t, u.ID(), keep, "after adding and trimming at once")
	want(t, ended.Load(), n-keep, "how many sessions the trims say that they ended")
}

func (s SessionStores) wantPruned(t tester, now time.Time, limit, n int, what string) {
	t.Helper()
	if got, err := s.Directory.Prune(t.Context(), now, limit); err != nil || got != n {
		t.Errorf("Prune(%s) = %d, %v, want %d", what, got, err, n)
	}
}

func directoryPrune(t tester, s SessionStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	first, second, used := s.add(t, 1, ann.ID()), s.add(t, 2, bob.ID()), s.add(t, 0, ann.ID())
	again := renewed(t, used, noon.Add(time.Hour/2))
	must(t, s.replace(t, used.Key(), again, noon.Add(time.Hour/2)), "Replace")
	s.wantPruned(t, first.IdleEnd().Add(-time.Microsecond), 10, 0, "before any end")
	s.wantAlive(t, first, "a microsecond before its end")
	s.wantPruned(t, first.IdleEnd(), 10, 1, "at the first end")
	s.wantDead(t, first, "what has run out")
	s.wantAlive(t, second, "what runs out later")
	s.wantAlive(t, again, "what was used meanwhile")
	s.wantPruned(t, again.IdleEnd().Add(time.Hour), 10, 2, "after all ends")
	s.wantCount(t, ann.ID(), 0, "after pruning")
}

func directoryPruneLimit(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	for n := range 5 {
		s.add(t, n, u.ID())
	}
	now := noon.Add(2 * time.Hour)
	s.wantPruned(t, now, 0, 0, "none")
	for i, n := range []int{2, 2, 1, 0} {
		s.wantPruned(t, now, 2, n, "two of those left")
		s.wantCount(t, u.ID(), []int{3, 1, 0, 0}[i], "after pruning two at a time")
	}
}

func directoryPruneAtOnce(t tester, s SessionStores) {
	const dead, alive, nodes = 30, 5, 4
	u := addUser(t, s.Users, 1)
	for n := range dead + alive {
		s.add(t, n, u.ID())
	}
	now := newSession(dead-1, u.ID()).IdleEnd()
	var total atomic.Int64
	atOnce(nodes, func(int) {
		for range dead + 1 {
			n, err := s.Directory.Prune(t.Context(), now, 3)
			if err != nil {
				t.Errorf("Prune beside others = %v, want no error", err)
			}
			if n == 0 || err != nil {
				return
			}
			total.Add(int64(n))
		}
	})
	want(t, total.Load(), dead, "the sum that %d nodes pruned", nodes)
	s.wantCount(t, u.ID(), alive, "after pruning side by side")
}

func directorySharesNothing(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	one := s.add(t, 1, u.ID())
	list, err := s.Directory.List(t.Context(), u.ID())
	if err != nil || len(list) != 1 {
		t.Fatalf("List = %d sessions, %v, want 1", len(list), err)
	}
	list[0] = session.Session{}
	s.wantList(t, u.ID(), one)
}

func directoryCancelled(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	one, ctx := s.add(t, 1, u.ID()), gone(t)
	wantUnavailable(t, map[string]error{
		"List":            second(s.Directory.List(ctx, u.ID())),
		"List of nobody":  second(s.Directory.List(ctx, userID(9))),
		"EndOne":          second(s.Directory.EndOne(ctx, u.ID(), one.ID(), signedOut)),
		"EndOne of none":  second(s.Directory.EndOne(ctx, u.ID(), session.ID{UUID: id(9)}, signedOut)),
		"EndOthers":       second(s.Directory.EndOthers(ctx, u.ID(), session.Key{}, signedOut)),
		"Trim":            second(s.Directory.Trim(ctx, u.ID(), 0, signedOut)),
		"Known":           second(s.Directory.Known(ctx, u.ID())),
		"Known of nobody": second(s.Directory.Known(ctx, userID(9))),
		"PastOf":          second(s.Directory.PastOf(ctx, u.ID())),
		"PrunePast":       second(s.Directory.PrunePast(ctx, farAway, 10)),
		"Prune":           second(s.Directory.Prune(ctx, one.IdleEnd(), 10)),
		"Prune with none": second(s.Directory.Prune(ctx, noon, 10)),
	})
	s.wantList(t, u.ID(), one)
}
