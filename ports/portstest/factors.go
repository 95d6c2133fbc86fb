package portstest

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"

	"gatehouse/domain/audit"
	"gatehouse/domain/factor"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var factorChecks = []check[RecordStores]{
	{"who has none has the zero factor", factorsNone},
	{"every field is kept", factorsKeepEveryField},
	{"each has their own", factorsApart},
	{"nobody has no factor", factorsOfNobody},
	{"a factor that is zero is deleted", factorsDelete},
	{"a refused change keeps nothing", factorsRefused},
	{"a code used twice at once is used once", factorsAtOnce},
	{"a recovery code used twice at once is used once", factorsRecoverAtOnce},
	{"of factors started at once one is kept", factorsStartAtOnce},
	{"factors go with their user", factorsGoWithTheirUser},
	{"who is going gets no factor", factorsOfWhoIsGoing},
	{"nothing handed in or out is shared", factorsShareNothing},
	{"a cancelled context is an outage", factorsCancelled},
	{"who hangs up during an update changes nothing", factorsHangUp},
}

// codes are n hashes of recovery codes.
func codes(n int) (hashes []factor.CodeHash) {
	for i := range n {
		hashes = append(hashes, factor.NewRecoveryCode([32]byte{byte(i), 0xff}).Hash())
	}
	return hashes
}

// newFactor is a factor of the owner, in force.
func newFactor(owner user.ID) factor.Factor {
	return factor.Restore(factor.State{
		UserID: owner, Secret: []byte("sealed"), StartedAt: noon, ConfirmedAt: noon, LastStep: 100, Recovery: codes(factor.RecoveryCodes),
	})
}

// setTo changes any factor into f.
func setTo(f factor.Factor) func(*factor.Factor) error {
	return func(now *factor.Factor) error { *now = f; return nil }
}

func (s RecordStores) setFactor(t tester, f factor.Factor) factor.Factor {
	t.Helper()
	got, err := s.Factors.Update(t.Context(), f.UserID(), setTo(f))
	must(t, err, "Update(factor)")
	want(t, got.State(), f.State(), "what Update gives")
	return f
}

// wantFactor holds the store to the user's factor.
func (s RecordStores) wantFactor(t tester, owner user.ID, f factor.Factor, what string) {
	t.Helper()
	got, err := s.Factors.Find(t.Context(), owner)
	must(t, err, "Find(%s)", what)
	want(t, got.State(), f.State(), "Find(%s)", what)
}

func factorsNone(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	s.wantFactor(t, u.ID(), factor.Factor{}, "of who has none")
	s.wantFactor(t, userID(2), factor.Factor{}, "of nobody")
	var seen factor.Factor
	_, err := s.Factors.Update(t.Context(), u.ID(), func(f *factor.Factor) error { seen = *f; return errRefused })
	wantVery(t, err, errRefused, "Update(none, refused)")
	want(t, seen.State(), factor.State{}, "what a change of none is given")
}

func factorsKeepEveryField(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	started := factor.State{UserID: u.ID(), Secret: []byte{0, 1, 0xff, '\'', '\\', 0}, StartedAt: noon}
	full := factor.State{
		UserID: u.ID(), Secret: []byte(strings.Repeat("\x00\xffsecret", 30)), StartedAt: longAgo, ConfirmedAt: farAway,
		LastStep: math.MaxInt64, Recovery: codes(factor.RecoveryCodes),
	}
	used := full
	used.Recovery, used.LastStep = codes(1), 1
	spent := used
	spent.Recovery = nil
	for _, state := range []factor.State{started, full, used, spent, started} {
		f := s.setFactor(t, factor.Restore(state))
		s.wantFactor(t, u.ID(), f, "what was kept")
	}
}

func factorsApart(t tester, s RecordStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	hers := s.setFactor(t, newFactor(ann.ID()))
	s.wantFactor(t, bob.ID(), factor.Factor{}, "of another")
	his := s.setFactor(t, factor.Start(bob.ID(), []byte("his"), noon))
	s.wantFactor(t, ann.ID(), hers, "hers")
	s.wantFactor(t, bob.ID(), his, "his")
}

func factorsOfNobody(t tester, s RecordStores) {
	addUser(t, s.Users, 1)
	_, err := s.Factors.Update(t.Context(), userID(2), setTo(newFactor(userID(2))))
	wantError(t, err, fault.NotFound, "Update of nobody")
	s.wantFactor(t, userID(2), factor.Factor{}, "of nobody")
}

func factorsDelete(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	for range 2 {
		s.setFactor(t, newFactor(u.ID()))
		for range 2 {
			got, err := s.Factors.Update(t.Context(), u.ID(), setTo(factor.Factor{}))
			if err != nil || !got.IsZero() {
				t.Errorf("Update(to none) = %v, %v, want no factor", got, err)
			}
			s.wantFactor(t, u.ID(), factor.Factor{}, "what was deleted")
		}
	}
}

func factorsRefused(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	f := s.setFactor(t, newFactor(u.ID()))
	for _, refusal := range []error{errRefused, factor.ErrInvalidCode, user.ErrUnknown} {
		_, err := s.Factors.Update(t.Context(), u.ID(), func(f *factor.Factor) error {
			must(t, f.UseStep(500), "UseStep")
			return refusal
		})
		wantVery(t, err, refusal, "Update(change fails)")
		s.wantFactor(t, u.ID(), f, "after a refused change")
	}
}

// A code that somebody read over a shoulder, presented beside its owner, lets
// one of the two in (RFC 6238 section 5.2).
func factorsAtOnce(t tester, s RecordStores) {
	s.usedOnce(t, func(f *factor.Factor, round int) error { return f.UseStep(int64(200 + round)) })
}

func factorsRecoverAtOnce(t tester, s RecordStores) {
	all := codes(factor.RecoveryCodes)
	s.usedOnce(t, func(f *factor.Factor, round int) error { return f.UseRecovery(all[round]) })
}

// usedOnce holds the store to letting one of twenty use a code, whose use is
// written down.
func (s RecordStores) usedOnce(t tester, use func(f *factor.Factor, round int) error) {
	t.Helper()
	const n, rounds = 20, 3
	u := addUser(t, s.Users, 1)
	s.setFactor(t, newFactor(u.ID()))
	for round := range rounds {
		var won atomic.Int64
		atOnce(n, func(i int) {
			with := ports.Along{Audit: []audit.Entry{newEntry(n*round+i, u.ID())}}
			_, err := s.Factors.Update(t.Context(), u.ID(), func(f *factor.Factor) error { linger(); return use(f, round) }, &with)
			if err == nil {
				won.Add(1)
				return
			}
			wantError(t, err, factor.ErrInvalidCode, "using one code, %d at once", n)
		})
		want(t, won.Load(), 1, "how many of %d used one code", n)
	}
	s.wantUnbroken(t, rounds)
}

func factorsStartAtOnce(t tester, s RecordStores) {
	const n = 20
	u := addUser(t, s.Users, 1)
	var won atomic.Int64
	atOnce(n, func(i int) {
		_, err := s.Factors.Update(t.Context(), u.ID(), func(f *factor.Factor) error {
			linger()
			if !f.IsZero() {
				return factor.ErrAlreadyOn
			}
			*f = factor.Start(u.ID(), []byte{byte(i)}, noon)
			return nil
		}, &ports.Along{})
		if err == nil {
			won.Add(1)
			return
		}
		wantError(t, err, factor.ErrAlreadyOn, "starting a factor, %d at once", n)
	})
	want(t, won.Load(), 1, "how many of %d started a factor", n)
}

func factorsGoWithTheirUser(t tester, s RecordStores) {
	ann, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	s.setFactor(t, newFactor(ann.ID()))
	his := s.setFactor(t, newFactor(bob.ID()))
	must(t, s.Users.Delete(t.Context(), ann.ID(), goInPeace), "Delete")
	s.wantFactor(t, ann.ID(), factor.Factor{}, "of who was deleted")
	s.wantFactor(t, bob.ID(), his, "of another than who was deleted")
}

func factorsOfWhoIsGoing(t tester, s RecordStores) {
	for n := range 50 {
		u := addUser(t, s.Users, n)
		var set error
		race(n, func() {
			err := s.Users.Delete(t.Context(), u.ID(), func(user.User) error { linger(); return nil })
			if err != nil {
				t.Errorf("Delete beside Factors.Update = %v, want no error", err)
			}
		}, func() {
			_, set = s.Factors.Update(t.Context(), u.ID(), func(f *factor.Factor) error { linger(); return setTo(newFactor(u.ID()))(f) })
		})
		if set != nil {
			wantError(t, set, fault.NotFound, "Update beside Delete of the user")
		}
		s.wantFactor(t, u.ID(), factor.Factor{}, "set while the user was deleted")
	}
}

func factorsShareNothing(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	f := s.setFactor(t, newFactor(u.ID()))
	var leaked *factor.Factor
	_, err := s.Factors.Update(t.Context(), u.ID(), func(f *factor.Factor) error { leaked = f; return nil })
	must(t, err, "Update")
	must(t, leaked.UseStep(900), "UseStep")
	*leaked = factor.Factor{}
	s.wantFactor(t, u.ID(), f, "after altering what a change was given")
}

func factorsCancelled(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	f, ctx := s.setFactor(t, newFactor(u.ID())), gone(t)
	wantUnavailable(t, map[string]error{
		"Find":             second(s.Factors.Find(ctx, u.ID())),
		"Find of nobody":   second(s.Factors.Find(ctx, userID(9))),
		"Update":           second(s.Factors.Update(ctx, u.ID(), setTo(factor.Factor{}))),
		"Update of nobody": second(s.Factors.Update(ctx, userID(9), setTo(newFactor(userID(9))))),
	})
	s.wantFactor(t, u.ID(), f, "after cancelled calls")
}

func factorsHangUp(t tester, s RecordStores) {
	u := addUser(t, s.Users, 1)
	f := s.setFactor(t, newFactor(u.ID()))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Factors.Update(ctx, u.ID(), func(f *factor.Factor) error { cancel(); return f.UseStep(300) })
	cancel()
	wantError(t, err, fault.Unavailable, "Update(cancelled meanwhile)")
	if errors.Is(err, factor.ErrInvalidCode) {
		t.Errorf("Update(cancelled meanwhile) = %v, want no word on the code", err)
	}
	s.wantFactor(t, u.ID(), f, "after hanging up")
}
