package portstest

import (
	"context"
	"math"
	"net/netip"
	"strings"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
)

var sessionChecks = []check[SessionStores]{
	{"every field is kept", sessionsKeepEveryField},
	{"nobody has no session", sessionsOfNobody},
	{"a missing session is not found", sessionsMissing},
	{"resuming reads what holds now", sessionsResumeNow},
	{"disabling and a new epoch are seen at once", sessionsEpoch},
	{"a renewal is kept", sessionsRenew},
	{"a renewal keeps every field", sessionsReplaceEveryField},
	{"a rotation kills the old token", sessionsRotate},
	{"ending ends one, once and for all", sessionsEnd},
	{"of two who end one, one does", sessionsEndTwice},
	{"what was ended leaves a reason behind", sessionsLeaveAPast},
	{"a rotation leaves a reason behind if it has one", sessionsRotateWithAReason},
	{"what was ended does not come back", sessionsStayEnded},
	{"replacing is possible until the end", sessionsUntilTheEnd},
	{"a renewal loses against an ending", sessionsEndRace},
	{"a rotation loses against an ending by handle", sessionsEndOneRace},
	{"of rotations at once one wins", sessionsRotateRace},
	{"sessions go with their user", sessionsGoWithTheirUser},
	{"what is left of sessions goes with their user", pastGoesWithItsUser},
	{"who is going begins no session", sessionsOfWhoIsGoing},
	{"a cancelled context is an outage", sessionsCancelled},
}

// lifetime is how long the sessions of the checks last.
var lifetime = session.Lifetime{Idle: time.Hour, Absolute: 8 * time.Hour, Remembered: 720 * time.Hour, Step: 5 * time.Minute}

// newSession makes the n-th session, begun n seconds after noon.
func newSession(n int, owner user.ID) session.Session {
	d := session.Device{UserAgent: "check", IP: netip.MustParseAddr("192.0.2.1")}
	start := session.Start{ID: session.ID{UUID: id(n)}, Key: key(n), UserID: owner, Methods: session.ByPassword, Device: d}
	return session.Begin(start, lifetime, noon.Add(time.Duration(n)*time.Second))
}

// pending is the n-th session, as one that waits for its second step.
func pending(n int, owner user.ID) session.Session {
	start := session.Start{ID: session.ID{UUID: id(n)}, Key: key(n), UserID: owner}
	return session.Begin(start, lifetime, noon.Add(time.Duration(n)*time.Second))
}

// signedOut is how most sessions of the checks are ended. Its time has more
// digits than are kept, and is not in UTC.
var signedOut = session.Ending{
	Why: session.SignedOut,
	At:  noon.Add(10*time.Minute + 789*time.Nanosecond).In(time.FixedZone("Seoul", 9*60*60)),
}

// replace replaces without leaving a reason behind.
func (s SessionStores) replace(t tester, k session.Key, next session.Session, now time.Time) error {
	return s.Sessions.Replace(t.Context(), k, next, session.Reason{}, now)
}

func (s SessionStores) add(t tester, n int, owner user.ID) session.Session {
	t.Helper()
	one := newSession(n, owner)
	must(t, s.Sessions.Add(t.Context(), one), "Add(session %d)", n)
	return one
}

// renewed is one as used at now.
func renewed(t tester, one session.Session, now time.Time) session.Session {
	t.Helper()
	next, ok := one.Renewed(lifetime, now)
	if !ok {
		t.Fatalf("the session is not renewed: the check is wrong")
	}
	return next
}

// wantAlive holds the store to giving the session for its key.
func (s SessionStores) wantAlive(t tester, one session.Session, what string) {
	t.Helper()
	got, err := s.Sessions.Resume(t.Context(), one.Key())
	if err != nil {
		t.Errorf("Resume(%s) = %v, want the session", what, err)
		return
	}
	want(t, got.Session.State(), one.State(), "Resume(%s)", what)
}

// wantDead holds the store to knowing no such key.
func (s SessionStores) wantDead(t tester, one session.Session, what string) {
	t.Helper()
	wantError(t, second(s.Sessions.Resume(t.Context(), one.Key())), fault.NotFound, "Resume(%s)", what)
}

// wantCount holds the directory to the number of a user's sessions.
func (s SessionStores) wantCount(t tester, owner user.ID, n int, what string) {
	t.Helper()
	list, err := s.Directory.List(t.Context(), owner)
	if err != nil || len(list) != n {
		t.Errorf("%s the user has %d sessions, %v, want %d", what, len(list), err, n)
	}
}

// extremes are sessions with the greatest and with the least of everything.
func extremes(owner user.ID) []session.Session {
	full := session.State{
		ID: session.ID{UUID: id(2)}, Key: key(2), UserID: owner, Epoch: math.MaxInt64, Remembered: true,
		Methods:   session.ByPassword | session.ByTOTP | session.ByRecoveryCode,
		Device:    session.NewDevice(strings.Repeat("브'\"\\%", 200), netip.MustParseAddr("2001:db8::ffff")),
		CreatedAt: longAgo, SeenAt: noon.Add(time.Microsecond), ProvedAt: noon.Add(-time.Microsecond),
		IdleEnd: noon.Add(lifetime.Idle), End: farAway,
	}
	empty := session.State{
		ID: session.ID{UUID: id(3)}, Key: key(3), UserID: owner,
		CreatedAt: noon, SeenAt: noon, ProvedAt: noon, IdleEnd: noon.Add(lifetime.Idle), End: noon.Add(lifetime.Idle),
	}
	mapped := newSession(4, owner).State()
	mapped.Device = session.NewDevice("", netip.MustParseAddr("::ffff:192.0.2.1"))
	return []session.Session{session.Restore(full), session.Restore(empty), session.Restore(mapped)}
}

func sessionsKeepEveryField(t tester, s SessionStores) {
	u := fullUser(t, 1)
	must(t, s.Users.Add(t.Context(), u), "Add(user)")
	for _, one := range append(extremes(u.ID()), newSession(1, u.ID())) {
		must(t, s.Sessions.Add(t.Context(), one), "Add(%+v)", one.State())
		got, err := s.Sessions.Resume(t.Context(), one.Key())
		must(t, err, "Resume")
		want(t, got.Session.State(), one.State(), "Resume().Session")
		want(t, got.User.State(), u.State(), "Resume().User")
	}
}

// A sign-in that overtakes the deletion of its account must not leave a key to
// it behind.
func sessionsOfNobody(t tester, s SessionStores) {
	addUser(t, s.Users, 1)
	one := newSession(1, userID(2))
	wantError(t, s.Sessions.Add(t.Context(), one), fault.NotFound, "Add(session of nobody)")
	s.wantDead(t, one, "a session of nobody")
}

func sessionsMissing(t tester, s SessionStores) {
	one := s.add(t, 1, addUser(t, s.Users, 1).ID())
	next := newSession(2, one.UserID())
	s.wantDead(t, next, "an unknown key")
	wantError(t, second(s.Sessions.Resume(t.Context(), session.Key{})), fault.NotFound, "Resume(zero key)")
	wantError(t, s.replace(t, next.Key(), next, noon), fault.NotFound, "Replace(unknown key)")
	for _, k := range []session.Key{next.Key(), {}} {
		wantError(t, second(s.Sessions.End(t.Context(), k, signedOut)), fault.NotFound, "End(unknown key)")
		wantError(t, second(s.Sessions.Past(t.Context(), k)), fault.NotFound, "Past(unknown key)")
	}
	s.wantDead(t, next, "an unknown key after Replace")
	s.wantAlive(t, one, "the other session")
}

// Roles, status and policy count from the next request on: nothing of them may
// be kept from before.
func sessionsResumeNow(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	one := s.add(t, 1, u.ID())
	resumed := func(version int64) {
		t.Helper()
		got, err := s.Sessions.Resume(t.Context(), one.Key())
		must(t, err, "Resume")
		want(t, got.User.State(), u.State(), "Resume().User")
		want(t, got.PolicyVersion, version, "Resume().PolicyVersion")
	}
	resumed(0)
	u = fullUser(t, 1)
	must(t, second(s.Users.Update(t.Context(), u.ID(), func(now *user.User) error {
		u = with(u, func(s *user.State) { s.CreatedAt = now.CreatedAt() })
		*now = u
		return nil
	})), "Update(user)")
	resumed(0)
	seed(t, s.Policies, seedRows(), seedInherits(), true)
	resumed(1)
}

func sessionsEpoch(t tester, s SessionStores) {
	changes := []func(*user.User){
		func(u *user.User) { u.Disable(noon) },
		func(u *user.User) { u.ChangePassword(user.NewPasswordHash("$new$"), noon) },
	}
	for n, change := range changes {
		u := addUser(t, s.Users, n)
		one := s.add(t, n, u.ID())
		got, err := s.Sessions.Resume(t.Context(), one.Key())
		if err != nil || !got.Good(noon) {
			t.Errorf("Resume before the change = %v, good: %v, want a good session", err, got.Good(noon))
		}
		must(t, second(s.Users.Update(t.Context(), u.ID(), func(u *user.User) error { change(u); return nil })), "Update(user)")
		got, err = s.Sessions.Resume(t.Context(), one.Key())
		if err != nil || got.Good(noon) {
			t.Errorf("Resume after change %d = %v, good: %v, want a session that is not good", n, err, got.Good(noon))
		}
	}
}

func sessionsRenew(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	one, other := s.add(t, 1, u.ID()), s.add(t, 2, u.ID())
	now := noon.Add(30 * time.Minute)
	next := renewed(t, one, now)
	must(t, s.replace(t, one.Key(), next, now), "Replace(renewed)")
	s.wantAlive(t, next, "the renewed session")
	s.wantAlive(t, other, "another session of the user")
	s.wantCount(t, u.ID(), 2, "after a renewal")
	// The new idle end counts, and no more the old one.
	later := one.IdleEnd().Add(time.Minute)
	must(t, s.replace(t, one.Key(), renewed(t, next, later), later), "Replace(after the first idle end)")
}

func sessionsReplaceEveryField(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	one := s.add(t, 1, u.ID())
	for _, next := range extremes(u.ID()) {
		state := next.State()
		state.ID, state.Key, state.CreatedAt = one.ID(), one.Key(), one.CreatedAt()
		next = session.Restore(state)
		must(t, s.replace(t, one.Key(), next, noon), "Replace(%+v)", state)
		s.wantAlive(t, next, "what it was replaced by")
	}
}

// The token before a change of privilege may be known to others: it is why the
// token changes (session fixation).
func sessionsRotate(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	one, other := s.add(t, 1, u.ID()), s.add(t, 2, u.ID())
	next := one.Rotated(key(9), 1)
	must(t, s.replace(t, one.Key(), next, noon), "Replace(rotated)")
	s.wantDead(t, one, "the old token")
	s.wantAlive(t, next, "the new token")
	s.wantAlive(t, other, "another session of the user")
	s.wantCount(t, u.ID(), 2, "after a rotation")
}

func sessionsEnd(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	one, other := s.add(t, 1, u.ID()), s.add(t, 2, u.ID())
	ended, err := s.Sessions.End(t.Context(), one.Key(), signedOut)
	must(t, err, "End")
	want(t, ended.State(), one.State(), "what End ended")
	for range 2 {
		s.wantDead(t, one, "what was ended")
		s.wantAlive(t, other, "another session of the user")
		wantError(t, second(s.Sessions.End(t.Context(), one.Key(), signedOut)), fault.NotFound, "End again")
		wantError(t, second(s.Sessions.End(t.Context(), session.Key{}, signedOut)), fault.NotFound, "End(zero key)")
	}
	s.wantCount(t, u.ID(), 1, "after an ending")
}

// Whoever ends a session writes that into the audit log: one does.
func sessionsEndTwice(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	for n := range 50 {
		one := s.add(t, n, u.ID())
		var errs [2]error
		end := func(i int) func() {
			return func() { _, errs[i] = s.Sessions.End(t.Context(), one.Key(), signedOut) }
		}
		race(n, end(0), end(1))
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Errorf("two endings of one session = %v and %v, want one to succeed", errs[0], errs[1])
		}
		for _, err := range errs {
			if err != nil {
				wantError(t, err, fault.NotFound, "End beside another End")
			}
		}
	}
}

// A slow request that was begun before the session ended and writes afterwards
// brings it back in express-session, scs and Fiber's own middleware
// (architecture.md, "Sessions").
func sessionsStayEnded(t tester, s SessionStores) {
	endings := map[string]func(context.Context, session.Session) error{
		"End": func(ctx context.Context, one session.Session) error {
			return second(s.Sessions.End(ctx, one.Key(), signedOut))
		},
		"EndOne": func(ctx context.Context, one session.Session) error {
			return second(s.Directory.EndOne(ctx, one.UserID(), one.ID(), signedOut))
		},
		"EndOthers": func(ctx context.Context, one session.Session) error {
			return second(s.Directory.EndOthers(ctx, one.UserID(), session.Key{}, signedOut))
		},
		"Trim": func(ctx context.Context, one session.Session) error {
			return second(s.Directory.Trim(ctx, one.UserID(), 0, signedOut))
		},
		"Prune": func(ctx context.Context, one session.Session) error {
			return second(s.Directory.Prune(ctx, one.IdleEnd(), 10))
		},
		"a rotation": func(ctx context.Context, one session.Session) error {
			return s.Sessions.Replace(ctx, one.Key(), one.Rotated(key(99), 1), session.Reason{}, noon)
		},
	}
	n := 0
	for what, end := range endings {
		n++
		u := addUser(t, s.Users, n)
		one := s.add(t, n, u.ID())
		must(t, end(t.Context(), one), "%s", what)
		before, err := s.Directory.List(t.Context(), u.ID())
		must(t, err, "List")
		renewal, rotation := renewed(t, one, noon.Add(10*time.Minute)), one.Rotated(key(98), 1)
		for late, next := range map[string]session.Session{"renewal": renewal, "rotation": rotation} {
			wantError(t, s.replace(t, one.Key(), next, noon), fault.NotFound, "Replace(%s) after %s", late, what)
			s.wantDead(t, one, "after "+what+" and a late "+late)
			s.wantDead(t, next, "after "+what+" and a late "+late)
		}
		s.wantCount(t, u.ID(), len(before), "after "+what+" and late writes")
		if what == "a rotation" {
			s.wantAlive(t, one.Rotated(key(99), 1), "the rotated session")
		}
	}
}

// A session is over at the very instant of its end, whatever next says of it.
func sessionsUntilTheEnd(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	for n, c := range []struct {
		before time.Duration // from now to the end
		alive  bool
	}{
		{time.Minute, true}, {time.Microsecond, true}, {time.Nanosecond, true},
		{0, false}, {-time.Nanosecond, false}, {-time.Microsecond, false}, {-time.Hour, false},
	} {
		one := s.add(t, n, u.ID())
		now := one.IdleEnd().Add(-c.before)
		state := one.State()
		state.SeenAt, state.IdleEnd = now, now.Add(lifetime.Idle)
		next := session.Restore(state)
		err := s.replace(t, one.Key(), next, now)
		if c.alive {
			must(t, err, "Replace %v before the end", c.before)
			s.wantAlive(t, next, "what was renewed in time")
			continue
		}
		wantError(t, err, fault.NotFound, "Replace %v after the end", -c.before)
		wantError(t, s.replace(t, one.Key(), next.Rotated(key(99), 0), now), fault.NotFound, "Replace(rotated) %v after the end", -c.before)
		s.wantDead(t, next.Rotated(key(99), 0), "what was rotated too late")
		// It may be there still, but as it was.
		if got, err := s.Sessions.Resume(t.Context(), one.Key()); err == nil {
			want(t, got.Session.State(), one.State(), "Resume after a late Replace")
		}
	}
}

// Upserts left 354 of 400 sessions alive here (threats.md, law 2).
func sessionsEndRace(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	for n := range 200 {
		one := s.add(t, n, u.ID())
		now := noon.Add(30 * time.Minute)
		next := renewed(t, one, now)
		race(n, func() {
			if _, err := s.Sessions.End(t.Context(), one.Key(), signedOut); err != nil {
				t.Errorf("End = %v, want no error", err)
			}
		}, func() {
			if err := s.replace(t, one.Key(), next, now); err != nil {
				wantError(t, err, fault.NotFound, "Replace beside End")
			}
		})
	}
	s.wantCount(t, u.ID(), 0, "after 200 endings beside renewals")
}

// The handle stays when the token changes, so ending by handle always ends.
func sessionsEndOneRace(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	for n := range 100 {
		one := s.add(t, n, u.ID())
		race(n, func() {
			if _, err := s.Directory.EndOne(t.Context(), u.ID(), one.ID(), signedOut); err != nil {
				t.Errorf("EndOne beside a rotation = %v, want no error", err)
			}
		}, func() {
			if err := s.replace(t, one.Key(), one.Rotated(key(1000+n), 0), noon); err != nil {
				wantError(t, err, fault.NotFound, "Replace beside EndOne")
			}
		})
	}
	s.wantCount(t, u.ID(), 0, "after 100 endings beside rotations")
}

func sessionsRotateRace(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	for n := range 50 {
		one := s.add(t, n, u.ID())
		var errs [2]error
		rotate := func(i int) func() {
			return func() {
				errs[i] = s.replace(t, one.Key(), one.Rotated(key(1000+2*n+i), 0), noon)
			}
		}
		race(n, rotate(0), rotate(1))
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Errorf("two rotations of one token = %v and %v, want one to succeed", errs[0], errs[1])
		}
		for i, err := range errs {
			if err != nil {
				wantError(t, err, fault.NotFound, "Replace beside another rotation")
				s.wantDead(t, one.Rotated(key(1000+2*n+i), 0), "the rotation that lost")
			}
		}
		s.wantDead(t, one, "the rotated token")
	}
	s.wantCount(t, u.ID(), 50, "after 50 double rotations")
}

// An outage that reads as "no session" signs everybody out.
func sessionsCancelled(t tester, s SessionStores) {
	u := addUser(t, s.Users, 1)
	one, ctx := s.add(t, 1, u.ID()), gone(t)
	next, ended := newSession(2, u.ID()), s.add(t, 4, u.ID())
	must(t, second(s.Sessions.End(t.Context(), ended.Key(), signedOut)), "End")
	wantUnavailable(t, map[string]error{
		"Add":                 s.Sessions.Add(ctx, next),
		"Add of nobody's":     s.Sessions.Add(ctx, newSession(3, userID(3))),
		"Resume":              second(s.Sessions.Resume(ctx, one.Key())),
		"Resume of none":      second(s.Sessions.Resume(ctx, key(9))),
		"Replace":             s.Sessions.Replace(ctx, one.Key(), one.Rotated(key(8), 1), session.SignedOut, noon),
		"Replace of none":     s.Sessions.Replace(ctx, key(9), next, session.Reason{}, noon),
		"End":                 second(s.Sessions.End(ctx, one.Key(), signedOut)),
		"End of what is none": second(s.Sessions.End(ctx, key(9), signedOut)),
		"Past":                second(s.Sessions.Past(ctx, ended.Key())),
		"Past of what is not": second(s.Sessions.Past(ctx, one.Key())),
	})
	s.wantAlive(t, one, "after cancelled calls")
	s.wantNoPast(t, one.Key(), "after cancelled calls")
	s.wantCount(t, u.ID(), 1, "after cancelled calls")
}
