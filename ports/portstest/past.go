package portstest

import (
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
)

// The checks of what is left of sessions that are over.

// wantPast holds the store to what is left of a session under its key.
func (s SessionStores) wantPast(t tester, p session.Past, what string) {
	t.Helper()
	got, err := s.Sessions.Past(t.Context(), p.Key)
	must(t, err, "Past(%s)", what)
	want(t, got, p, "Past(%s)", what)
}

// wantNoPast holds the store to knowing nothing past under the key.
func (s SessionStores) wantNoPast(t tester, k session.Key, what string) {
	t.Helper()
	wantError(t, second(s.Sessions.Past(t.Context(), k)), fault.NotFound, "Past(%s)", what)
}

// wantPastOf holds the directory to what is left of a user's sessions.
func (s SessionStores) wantPastOf(t tester, owner user.ID, past ...session.Past) {
	t.Helper()
	got, err := s.Directory.PastOf(t.Context(), owner)
	must(t, err, "PastOf")
	want(t, append([]session.Past{}, got...), append([]session.Past{}, past...), "PastOf")
}

// ending is why, at that minute after noon.
func ending(why session.Reason, minute int) session.Ending {
	return session.Ending{Why: why, At: noon.Add(time.Duration(minute) * time.Minute)}
}

// Who was signed out by somebody else must not take it for a session that fell
// idle: the 401 that follows says why.
func sessionsLeaveAPast(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	reasons := []session.Reason{session.SignedOut, session.AccountDisabled, session.LimitReached}
	for n, one := range extremes(u.ID()) {
		must(t, s.Sessions.Add(t.Context(), one), "Add(%+v)", one.State())
		s.wantNoPast(t, one.Key(), "a session that lives")
		e := session.Ending{Why: reasons[n], At: signedOut.At}
		must(t, second(s.Sessions.End(t.Context(), one.Key(), e)), "End")
		s.wantPast(t, e.Of(one), "a session that was ended")
		again := second(s.Sessions.End(t.Context(), one.Key(), ending(session.EndedByAdmin, 60)))
		wantError(t, again, fault.NotFound, "End again")
		s.wantPast(t, e.Of(one), "a session that was ended, after a second try")
	}
}

func sessionsRotateWithAReason(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	one := s.add(t, 1, u.ID())
	silent := one.Rotated(key(11), 0)
	must(t, s.replace(t, one.Key(), silent, noon), "Replace(rotated, no reason)")
	s.wantNoPast(t, one.Key(), "the token before a rotation without a reason")
	loud, e := silent.Rotated(key(12), 0), session.Ending{Why: session.PasswordChanged, At: signedOut.At}
	must(t, s.Sessions.Replace(t.Context(), silent.Key(), loud, e.Why, e.At), "Replace(rotated, with a reason)")
	s.wantPast(t, e.Of(silent), "the token before a rotation with a reason")
	s.wantNoPast(t, loud.Key(), "the token after a rotation")
	s.wantAlive(t, loud, "the rotated session")
	must(t, second(s.Sessions.End(t.Context(), loud.Key(), ending(session.SignedOut, 20))), "End")
	s.wantPast(t, ending(session.SignedOut, 20).Of(loud), "the last token")
	s.wantPast(t, e.Of(silent), "a token before the last, after the end")
	late := s.Sessions.Replace(t.Context(), one.Key(), one.Rotated(key(13), 0), e.Why, e.At)
	wantError(t, late, fault.NotFound, "Replace(a token that was good once, with a reason)")
	s.wantNoPast(t, one.Key(), "what was there no more")
}

func directoryLeavesAPast(t tester, s SessionStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	byHandle, byCap, byAll := ending(session.EndedByOwner, 11), ending(session.LimitReached, 12), ending(session.EndedByAdmin, 10)
	oldest, middle, newest, his := s.add(t, 1, ann.ID()), s.add(t, 2, ann.ID()), s.add(t, 3, ann.ID()), s.add(t, 4, bob.ID())
	s.wantPastOf(t, ann.ID())
	must(t, second(s.Directory.EndOne(t.Context(), ann.ID(), middle.ID(), byHandle)), "EndOne")
	must(t, second(s.Directory.Trim(t.Context(), ann.ID(), 1, byCap)), "Trim")
	must(t, second(s.Directory.EndOthers(t.Context(), ann.ID(), session.Key{}, byAll)), "EndOthers")
	must(t, second(s.Sessions.End(t.Context(), his.Key(), signedOut)), "End")
	lasts := []session.Past{byCap.Of(oldest), byHandle.Of(middle), byAll.Of(newest)}
	for _, p := range lasts {
		s.wantPast(t, p, p.Why.String())
	}
	s.wantPastOf(t, ann.ID(), lasts...)
	s.wantPastOf(t, bob.ID(), signedOut.Of(his))
	s.wantPastOf(t, userID(3))
}

// A session that nobody ended is told by its clocks, and ended when they say,
// however late it is pruned.
func directoryPruneLeavesAPast(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	idle := s.add(t, 1, u.ID())
	short := newSession(2, u.ID()).State()
	short.End = short.IdleEnd
	expired := session.Restore(short)
	must(t, s.Sessions.Add(t.Context(), expired), "Add")
	s.wantPruned(t, farAway, 10, 2, "everything")
	s.wantPast(t, session.Ending{Why: session.Idle, At: idle.IdleEnd()}.Of(idle), "a session that fell idle")
	s.wantPast(t, session.Ending{Why: session.Expired, At: expired.ExpiresAt()}.Of(expired), "a session in use until its end")
}

func directoryPrunePast(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	for n := range 5 {
		one := s.add(t, n, u.ID())
		must(t, second(s.Sessions.End(t.Context(), one.Key(), ending(session.SignedOut, n))), "End")
	}
	alive := s.add(t, 9, u.ID())
	before := noon.Add(3 * time.Minute)
	for _, c := range []struct {
		what         string
		limit, n     int
		left, oldest int
	}{
		{"none", 0, 0, 5, 0}, {"two", 2, 2, 3, -1}, {"two more, of one", 2, 1, 2, 3}, {"what is none", 2, 0, 2, 3},
	} {
		n, err := s.Directory.PrunePast(t.Context(), before, c.limit)
		if err != nil || n != c.n {
			t.Errorf("PrunePast(%s) = %d, %v, want %d", c.what, n, err, c.n)
		}
		past, err := s.Directory.PastOf(t.Context(), u.ID())
		if err != nil || len(past) != c.left {
			t.Fatalf("after PrunePast(%s) %d are left, %v, want %d", c.what, len(past), err, c.left)
		}
		if last := past[len(past)-1].EndedAt; c.oldest >= 0 && !last.Equal(noon.Add(time.Duration(c.oldest)*time.Minute)) {
			t.Errorf("after PrunePast(%s) the oldest ended at %v, want minute %d", c.what, last, c.oldest)
		}
	}
	s.wantAlive(t, alive, "beside past ones that are pruned")
}

func directoryKnown(t tester, s SessionStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	known := func(owner user.ID, yes bool, what string) {
		t.Helper()
		if got, err := s.Directory.Known(t.Context(), owner); err != nil || got != yes {
			t.Errorf("Known(%s) = %v, %v, want %v", what, got, err, yes)
		}
	}
	known(ann.ID(), false, "who never signed in")
	one := s.add(t, 1, ann.ID())
	known(ann.ID(), true, "who is signed in")
	must(t, second(s.Sessions.End(t.Context(), one.Key(), signedOut)), "End")
	known(ann.ID(), true, "who was signed in")
	known(bob.ID(), false, "another than who was signed in")
	known(userID(3), false, "nobody")
	must(t, second(s.Directory.PrunePast(t.Context(), farAway, 10)), "PrunePast")
	known(ann.ID(), false, "of whom nothing is left")
}

// pastGoesWithItsUser holds the deletion of a user to taking what is left of
// the sessions with it.
func pastGoesWithItsUser(t tester, s SessionStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	hers, his := s.add(t, 1, ann.ID()), s.add(t, 2, bob.ID())
	for _, one := range []session.Session{hers, his} {
		must(t, second(s.Sessions.End(t.Context(), one.Key(), signedOut)), "End")
	}
	must(t, s.Users.Delete(t.Context(), ann.ID(), goInPeace), "Delete")
	s.wantNoPast(t, hers.Key(), "of who was deleted")
	s.wantPastOf(t, ann.ID())
	s.wantPastOf(t, bob.ID(), signedOut.Of(his))
}
