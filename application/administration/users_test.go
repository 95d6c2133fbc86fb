package administration_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"gatehouse/application/accounts"
	"gatehouse/application/administration"
	"gatehouse/application/sessions"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/tests/house"
)

// enter gives a user with the roles, signed in.
func enter(h *house.House, address string, names ...string) session.Resumed {
	h.T.Helper()
	u := h.Add(address)
	h.Change(u, func(u *user.User) {
		if err := u.SetRoles(rolesOf(names...), h.Now()); err != nil {
			h.T.Fatal(err)
		}
	})
	return h.Enter(h.Find(u))
}

func rolesOf(names ...string) []user.Role {
	all, err := administration.ParseRoles(names)
	if err != nil {
		panic(err)
	}
	return all
}

func toRoles(names ...string) administration.Change {
	all := rolesOf(names...)
	return administration.Change{Roles: &all}
}

var disabled = administration.Change{Status: user.Disabled}

// policyRow is one of the policy.
func policyRow(role, resource, action, condition, effect string) access.Row {
	return access.Row{Role: role, Resource: resource, Action: action, Condition: condition, Effect: effect}
}

// acts is everything that can be done with somebody, and what the policy calls
// it.
func acts(h *house.House, r session.Resumed, target user.User) map[string]error {
	ctx, s, id := h.T.Context(), h.Administration, target.ID()
	second := func(_ any, err error) error { return err }
	return map[string]error{
		"search":   second(s.Search(ctx, r, administration.UserQuery{})),
		"user":     second(s.User(ctx, r, id)),
		"change":   second(s.Change(ctx, r, id, administration.Change{})),
		"sessions": second(s.UserSessions(ctx, r, id)),
		"end":      s.EndSessions(ctx, r, id),
		"end one":  s.EndSession(ctx, r, id, session.ID{}),
		"audit":    second(s.Audit(ctx, r, administration.AuditQuery{})),
	}
}

// The policy decides, and no role is known here by name: a right that is given to
// another role counts, and one that is taken from admins is gone.
func TestThePolicyDecides(t *testing.T) {
	policy := []access.Row{
		policyRow("support", "user", "read", "any", "allow"),
		policyRow("auditor", "audit", "read", "any", "allow"),
		policyRow("ender", "session", "delete", "any", "allow"),
		policyRow("lister", "session", "read", "any", "allow"),
		policyRow("blind", "user", "update", "any", "allow"),
		policyRow("clerk", "user", "read", "any", "allow"), policyRow("clerk", "user", "update", "any", "allow"), policyRow("clerk", "user", "update", "own", "deny"),
		policyRow("self", "user", "read", "own", "allow"), policyRow("self", "session", "read", "own", "allow"),
		policyRow("limited", "audit", "read", "any", "deny"), policyRow("limited", "session", "delete", "any", "deny"),
	}
	all := []string{"search", "user", "change", "sessions", "end", "end one", "audit"}
	for _, c := range []struct {
		roles []string
		may   []string // with another
		own   []string // with oneself, beside that
		not   []string // with oneself, though with another
	}{
		{roles: []string{"user"}}, {roles: []string{"moderator"}}, {roles: []string{"nonsense"}},
		{roles: []string{"admin"}, may: all},
		{roles: []string{"support"}, may: []string{"search", "user"}},
		{roles: []string{"auditor"}, may: []string{"audit"}},
		{roles: []string{"ender"}, may: []string{"end", "end one"}},
		{roles: []string{"lister"}, may: []string{"sessions"}},
		{roles: []string{"blind"}},
		{roles: []string{"clerk"}, may: []string{"search", "user", "change"}, not: []string{"change"}},
		{roles: []string{"self"}, own: []string{"user", "sessions"}},
		{roles: []string{"support", "auditor"}, may: []string{"search", "user", "audit"}},
		{roles: []string{"admin", "limited"}, may: []string{"search", "user", "change", "sessions"}},
	} {
		h := house.New(t, house.Options{Policy: policy})
		r, other := enter(h, "ann@example.com", c.roles...), h.Add("bob@example.com")
		for who, target := range map[string]user.User{"another": other, "oneself": r.User} {
			for act, err := range acts(h, r, target) {
				may := slices.Contains(c.may, act)
				if who == "oneself" && act != "search" && act != "audit" {
					may = (may || slices.Contains(c.own, act)) && !slices.Contains(c.not, act)
				}
				if act == "end one" && errors.Is(err, fault.NotFound) {
					err = nil // it may, and there is none
				}
				if may && err != nil || !may && !errors.Is(err, access.ErrForbidden) {
					t.Errorf("%v, %s with %s = %v, want it allowed %t", c.roles, act, who, err, may)
				}
			}
		}
	}
}

// A list holds what reading one by one shows: a deny of "own" takes oneself out of
// it.
func TestSearchIsWhatUserShows(t *testing.T) {
	h := house.New(t, house.Options{Policy: []access.Row{
		policyRow("keeper", "user", "read", "any", "allow"), policyRow("keeper", "user", "read", "own", "deny"),
	}})
	r := enter(h, "ann@example.com", "keeper")
	for i := range 5 {
		h.Add(fmt.Sprintf("u%d@example.com", i))
	}
	var readable, listed []user.ID
	all, err := h.DB.Users().List(t.Context(), user.ID{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range slices.Backward(all) {
		if _, err := h.Administration.User(t.Context(), r, u.ID()); err == nil {
			readable = append(readable, u.ID())
		}
	}
	for q := (administration.UserQuery{Limit: 2}); ; {
		page, err := h.Administration.Search(t.Context(), r, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page.Items {
			listed = append(listed, u.ID())
		}
		if q.Before = page.Next; q.Before.IsZero() {
			break
		}
	}
	if len(readable) != 5 || !slices.Equal(listed, readable) {
		t.Errorf("the list holds %v, one by one %v may be read, want the five others", listed, readable)
	}
}

// Who may not do a thing learns nothing else: not who there is, and not what was
// wrong with the way they asked. That they tried is written down.
func TestWhoMayNotLearnsNothing(t *testing.T) {
	h := house.New(t, house.Options{})
	r := enter(h, "ann@example.com", "user")
	h.Move(time.Hour) // so that no proof is recent
	before := len(h.Rows())
	refusals := acts(h, r, user.Restore(user.State{}))
	_, refusals["a bad change"] = h.Administration.Change(t.Context(), r, user.ID{}, administration.Change{Roles: &[]user.Role{}, Unread: fault.Invalid})
	_, refusals["a bad query"] = h.Administration.Search(t.Context(), r, administration.UserQuery{Unread: fault.Invalid})
	_, refusals["a bad query of the log"] = h.Administration.Audit(t.Context(), r, administration.AuditQuery{Unread: fault.Invalid})
	for act, err := range refusals {
		if !errors.Is(err, access.ErrForbidden) {
			t.Errorf("%s = %v, want Forbidden", act, err)
		}
		if d, ok := errors.AsType[*access.Denial](err); !ok || d.ID.IsZero() {
			t.Errorf("%s = %v, which says under which id it is written down: %t", act, err, ok)
		}
	}
	events := h.Events(before)
	if len(events) != len(refusals) || slices.ContainsFunc(events, func(e audit.Event) bool { return e != audit.Denied }) {
		t.Errorf("written down: %v, want %d denials", events, len(refusals))
	}
}

// What is sensitive takes a recent proof; looking does not.
func TestSensitiveActsTakeAProof(t *testing.T) {
	h := house.New(t, house.Options{})
	r, other := enter(h, "ann@example.com", "admin"), h.Add("bob@example.com")
	h.SignIn(other)
	sensitive := func(r session.Resumed) map[string]error {
		_, byRoles := h.Administration.Change(t.Context(), r, other.ID(), toRoles("moderator"))
		_, byStatus := h.Administration.Change(t.Context(), r, other.ID(), administration.Change{Status: user.Active})
		return map[string]error{
			"roles": byRoles, "status": byStatus, "end": h.Administration.EndSessions(t.Context(), r, other.ID()),
		}
	}
	h.Move(sessions.DefaultReauth)
	for act, err := range sensitive(r) { // signing in is a proof
		if err != nil {
			t.Errorf("%s with a proof of ten minutes ago = %v", act, err)
		}
	}
	h.Move(time.Microsecond)
	for act, err := range sensitive(r) {
		if !errors.Is(err, sessions.ErrReauthRequired) {
			t.Errorf("%s with an older proof = %v, want ErrReauthRequired", act, err)
		}
	}
	err := h.Administration.EndSession(t.Context(), r, other.ID(), session.ID{})
	if !errors.Is(err, sessions.ErrReauthRequired) {
		t.Errorf("ending a session with an older proof = %v, want ErrReauthRequired", err)
	}
	for _, act := range []string{"search", "user", "change", "sessions", "audit"} { // a change of nothing is none
		if err := acts(h, r, other)[act]; err != nil {
			t.Errorf("%s with an older proof = %v", act, err)
		}
	}
	again, err := h.Sessions.Reauthenticate(t.Context(), r, house.Password)
	if err != nil {
		t.Fatal(err)
	}
	for act, err := range sensitive(h.Resume(again.Token)) {
		if err != nil {
			t.Errorf("%s after showing who one is = %v", act, err)
		}
	}
}

// A change is one step, and counts at once.
func TestChange(t *testing.T) {
	h := house.New(t, house.Options{})
	r, bob := enter(h, "ann@example.com", "admin"), h.Add("bob@example.com")
	change := func(c administration.Change) (user.User, error) {
		return h.Administration.Change(house.From(t.Context(), "192.0.2.7"), r, bob.ID(), c)
	}
	in := h.SignIn(bob)
	both := toRoles("support", "moderator", "support")
	both.Status = user.Disabled
	before := len(h.Rows())
	h.Move(time.Minute)
	u, err := change(both)
	if err != nil || fmt.Sprint(u.Roles(), u.Status()) != "[moderator support] disabled" || !reflect.DeepEqual(u.State(), h.Find(bob).State()) {
		t.Fatalf("Change = %v %v, %v", u.Roles(), u.Status(), err)
	}
	var got []string
	for _, row := range h.Rows()[before:] {
		if row.Actor != r.User.ID() || row.Outcome != audit.Success || row.Origin.IP.String() != "192.0.2.7" && row.Event != audit.SessionEnded {
			t.Errorf("%s by %v, %s, from %v", row.Event, row.Actor, row.Outcome, row.Origin)
		}
		got = append(got, fmt.Sprintf("%s %s %v", row.Event, row.Subject.Type, row.Detail))
	}
	want := []string{
		"user.roles_changed user map[roles:moderator support status:disabled]",
		"user.status_changed user map[roles:moderator support status:disabled]",
		"session.ended session map[reason:account_disabled user:" + bob.ID().String() + "]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("written down:\n%q, want\n%q", got, want)
	}
	_, err = h.Sessions.Resume(t.Context(), in.Token)
	if told := h.Sessions.Explain(t.Context(), in.Token, err); reason(told) != session.AccountDisabled.String() {
		t.Errorf("the session after disabling = %v", told)
	}

	// What is so already is no change, and nothing is written down.
	before = len(h.Rows())
	h.Move(time.Minute)
	for _, c := range []administration.Change{both, {}, toRoles("moderator", "support"), disabled} {
		same, err := change(c)
		if err != nil || !same.UpdatedAt().Equal(u.UpdatedAt()) || same.SessionEpoch() != u.SessionEpoch() {
			t.Errorf("Change to what is so already = %v, %v", same.State(), err)
		}
	}
	if events := h.Events(before); len(events) > 0 {
		t.Errorf("written down of changes to what is so already: %v", events)
	}
	u, err = change(administration.Change{Status: user.Active})
	if err != nil || u.Status() != user.Active || !slices.Equal(h.Events(before), []audit.Event{audit.StatusChanged}) {
		t.Errorf("enabling = %v, %v, %v", u.Status(), err, h.Events(before))
	}
	if _, err := h.Sessions.Resume(t.Context(), in.Token); !errors.Is(err, access.ErrUnauthenticated) {
		t.Errorf("a session of before disabling = %v", err)
	}
}

func reason(err error) string {
	f, _ := errors.AsType[*fault.Error](err)
	if f == nil {
		return ""
	}
	return f.Reason
}

// All that is wrong is told at once, and nothing is changed then.
func TestChangeIsRefusedWhole(t *testing.T) {
	h := house.New(t, house.Options{})
	r, bob := enter(h, "ann@example.com", "admin"), h.Add("bob@example.com")
	in, before := h.SignIn(bob), len(h.Rows())
	many := make([]user.Role, 0, user.MaxRoles+1)
	for i := range user.MaxRoles + 1 {
		many = append(many, rolesOf(fmt.Sprint("r", i))...)
	}
	var unread fault.Validation
	unread.Add("/x", "unknown_member", "")
	for what, c := range map[string]administration.Change{
		"no role":        {Roles: &[]user.Role{}, Status: user.Disabled},
		"anonymous":      {Roles: &[]user.Role{user.RoleAnonymous, user.RoleAdmin}, Status: user.Disabled},
		"too many roles": {Roles: &many, Status: user.Disabled},
		"unread":         {Status: user.Disabled, Unread: unread.Err()},
	} {
		_, err := h.Administration.Change(t.Context(), r, bob.ID(), c)
		if !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: Change = %v, want Invalid", what, err)
		}
	}
	_, err := h.Administration.Change(t.Context(), r, bob.ID(), administration.Change{Roles: &[]user.Role{}, Unread: unread.Err()})
	if f, ok := errors.AsType[*fault.Error](err); !ok || len(f.Fields) != 2 {
		t.Errorf("Change with two faults = %v, want both", err)
	}
	if u := h.Find(bob); u.Status() != user.Active || fmt.Sprint(u.Roles()) != "[user]" || len(h.Rows()) != before {
		t.Errorf("after refusals %v is %v %v, and there are %d rows, want %d", u, u.Status(), u.Roles(), len(h.Rows()), before)
	}
	h.Resume(in.Token)
	for _, id := range []user.ID{{}, {UUID: h.Random.ID(h.Now())}} {
		if _, err := h.Administration.Change(t.Context(), r, id, administration.Change{Unread: unread.Err()}); !errors.Is(err, fault.NotFound) {
			t.Errorf("Change of nobody = %v, want NotFound", err)
		}
	}
}

// With nobody left to administer nobody could be made to: also of two who take
// each other's role at once one keeps it.
func TestTheLastAdminStays(t *testing.T) {
	h := house.New(t, house.Options{})
	ann := enter(h, "ann@example.com", "admin")
	asleep := enter(h, "asleep@example.com", "admin", "user")
	h.Change(asleep.User, func(u *user.User) { u.Disable(h.Now()) })
	for what, c := range map[string]administration.Change{"demoting": toRoles("user"), "disabling": disabled} {
		if _, err := h.Administration.Change(t.Context(), ann, ann.User.ID(), c); !errors.Is(err, user.ErrLastAdmin) {
			t.Errorf("%s the last admin = %v, want ErrLastAdmin", what, err)
		}
	}
	if u := h.Find(ann.User); !u.ActsAsAdmin() {
		t.Errorf("the last admin is %v %v", u.Roles(), u.Status())
	}
	h.Resume(h.SignIn(ann.User).Token)

	for round := range 50 {
		h := house.New(t, house.Options{})
		both := []session.Resumed{enter(h, "ann@example.com", "admin"), enter(h, "bob@example.com", "admin", "user")}
		c := []administration.Change{toRoles("user"), disabled}[round%2]
		var errs [2]error
		house.AtOnce(2, func(i int) { _, errs[i] = h.Administration.Change(t.Context(), both[i], both[1-i].User.ID(), c) })
		left := 0
		for i, r := range both {
			if h.Find(r.User).ActsAsAdmin() {
				left++
			}
			if errs[i] != nil && !errors.Is(errs[i], user.ErrLastAdmin) {
				t.Errorf("round %d: Change = %v, want nil or ErrLastAdmin", round, errs[i])
			}
		}
		if left != 1 || (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("round %d: %d admins are left, after %v", round, left, errs)
		}
	}
}

// Who is disabled signs in while that happens: no session of theirs is good.
func TestDisablingBesideSignIn(t *testing.T) {
	for range 50 {
		h := house.New(t, house.Options{})
		r, bob := enter(h, "ann@example.com", "admin"), h.Add("bob@example.com")
		var in sessions.SignedIn
		var signIn, change error
		house.AtOnce(2, func(i int) {
			if i == 0 {
				in, signIn = h.Sessions.SignIn(t.Context(), house.Credentials(bob), house.Device("127.0.0.1"), nil)
			} else {
				_, change = h.Administration.Change(t.Context(), r, bob.ID(), disabled)
			}
		})
		if change != nil {
			t.Fatal(change)
		}
		if signIn != nil {
			continue
		}
		if _, err := h.Sessions.Resume(t.Context(), in.Token); !errors.Is(err, access.ErrUnauthenticated) {
			t.Fatalf("a session that was begun while its user was disabled = %v", err)
		}
	}
}

// Links that were mailed are good for nothing once the account is disabled.
func TestAdministratorsVoidLinks(t *testing.T) {
	h := house.New(t, house.Options{})
	r, bob := enter(h, "ann@example.com", "admin"), h.Add("bob@example.com")
	if err := h.Accounts.RequestReset(t.Context(), "bob@example.com"); err != nil {
		t.Fatal(err)
	}
	token := h.Token("bob@example.com")
	_, err := h.Administration.Change(t.Context(), r, bob.ID(), disabled)
	_, err2 := h.Administration.Change(t.Context(), r, bob.ID(), administration.Change{Status: user.Active})
	if errors.Join(err, err2) != nil {
		t.Fatal(err, err2)
	}
	if err := h.Accounts.ResetPassword(t.Context(), accounts.Reset{Token: token, New: "another lighthouse"}); !errors.Is(err, ticket.ErrInvalid) {
		t.Errorf("a link of before disabling = %v, want ErrInvalid", err)
	}
}

// Sessions of others are seen and ended, each or all, and those of nobody else.
func TestSessionsOfOthers(t *testing.T) {
	h := house.New(t, house.Options{})
	ann := enter(h, "ann@example.com", "admin")
	bob, eve := h.Add("bob@example.com"), h.Add("eve@example.com")
	hers := h.SignIn(eve)
	var his []sessions.SignedIn
	for range 3 {
		h.Move(time.Second)
		his = append(his, h.SignIn(bob))
	}
	list := func() (ids []session.ID) {
		t.Helper()
		all, err := h.Administration.UserSessions(t.Context(), ann, bob.ID())
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range all {
			ids = append(ids, one.ID())
		}
		return ids
	}
	if got, want := list(), []session.ID{his[2].Session.ID(), his[1].Session.ID(), his[0].Session.ID()}; !slices.Equal(got, want) {
		t.Errorf("UserSessions = %v, want %v", got, want)
	}
	end := func(id user.ID, one session.ID) error { return h.Administration.EndSession(t.Context(), ann, id, one) }
	for what, err := range map[string]error{
		"of nobody": end(user.ID{}, his[0].Session.ID()), "of another": end(bob.ID(), hers.Session.ID()), "that is none": end(bob.ID(), session.ID{}),
		"all of nobody": h.Administration.EndSessions(t.Context(), ann, user.ID{UUID: h.Random.ID(h.Now())}),
	} {
		if !errors.Is(err, fault.NotFound) {
			t.Errorf("ending a session %s = %v, want NotFound", what, err)
		}
	}
	before := len(h.Rows())
	if err := end(bob.ID(), his[1].Session.ID()); err != nil {
		t.Fatal(err)
	}
	if got, want := list(), []session.ID{his[2].Session.ID(), his[0].Session.ID()}; !slices.Equal(got, want) {
		t.Errorf("after one was ended: %v, want %v", got, want)
	}
	if err := h.Administration.EndSessions(t.Context(), ann, bob.ID()); err != nil || len(list()) != 0 {
		t.Errorf("after all were ended: %v, %v", list(), err)
	}
	for _, in := range his {
		_, err := h.Sessions.Resume(t.Context(), in.Token)
		if told := h.Sessions.Explain(t.Context(), in.Token, err); reason(told) != "ended_by_admin" {
			t.Errorf("a session that an administrator ended = %v, want the reason", told)
		}
	}
	h.Resume(hers.Token)
	rows := h.Rows()[before:]
	if len(rows) != 3 || slices.ContainsFunc(rows, func(r audit.Row) bool {
		return r.Event != audit.SessionEnded || r.Actor != ann.User.ID() || r.Detail["reason"] != "ended_by_admin" || r.Detail["user"] != bob.ID().String()
	}) {
		t.Errorf("written down: %+v", rows)
	}
	if err := h.Administration.EndSessions(t.Context(), ann, bob.ID()); err != nil {
		t.Errorf("ending none = %v", err)
	}
}

// Everybody is met once, page by page, while others register.
func TestSearchPages(t *testing.T) {
	h := house.New(t, house.Options{})
	ann := enter(h, "ann@example.com", "admin")
	want := []user.ID{ann.User.ID()}
	for i := range 48 {
		h.Move(time.Second)
		want = append(want, h.Add(fmt.Sprintf("u%d@example.com", i)).ID())
	}
	slices.Reverse(want)
	for _, limit := range []int{0, 1, 7, 49, 50, 1000} {
		var got []user.ID
		for q, n := (administration.UserQuery{Limit: limit}), 0; ; n++ {
			page, err := h.Administration.Search(t.Context(), ann, q)
			if err != nil || len(page.Items) > 100 || limit == 0 && len(page.Items) > 20 || limit > 0 && len(page.Items) > limit {
				t.Fatalf("a page of %d has %d, %v", limit, len(page.Items), err)
			}
			for _, u := range page.Items {
				got = append(got, u.ID())
			}
			if q.Before = page.Next; q.Before.IsZero() {
				break
			}
			h.Move(time.Second)
			h.Add(fmt.Sprintf("new%d-%d@example.com", limit, n))
		}
		// Those who came in the walks before are there now, in front.
		if tail := got[max(len(got)-len(want), 0):]; !slices.Equal(tail, want) {
			t.Errorf("pages of %d end with %d users in another order than %d", limit, len(tail), len(want))
		}
		seen := map[user.ID]bool{}
		for _, id := range got {
			if seen[id] {
				t.Errorf("pages of %d hold %v twice", limit, id)
			}
			seen[id] = true
		}
	}
}

// Writing down, reading and deciding can fail; what cannot be told is never no.
func TestOutagesOfAdministration(t *testing.T) {
	act := func(do func(h *house.House, r session.Resumed, bob user.User) error) house.Outage {
		return house.Outage{Act: func(h *house.House) func() error {
			r, bob := enter(h, "ann@example.com", "admin"), h.Add("bob@example.com")
			h.SignIn(bob)
			return func() error { return do(h, r, bob) }
		}}
	}
	house.Walk(t, map[string]house.Outage{
		"search": act(func(h *house.House, r session.Resumed, _ user.User) error {
			_, err := h.Administration.Search(t.Context(), r, administration.UserQuery{})
			return err
		}),
		"user": act(func(h *house.House, r session.Resumed, bob user.User) error {
			_, err := h.Administration.User(t.Context(), r, bob.ID())
			return err
		}),
		"change": act(func(h *house.House, r session.Resumed, bob user.User) error {
			_, err := h.Administration.Change(t.Context(), r, bob.ID(), disabled)
			return err
		}),
		"sessions": act(func(h *house.House, r session.Resumed, bob user.User) error {
			_, err := h.Administration.UserSessions(t.Context(), r, bob.ID())
			return err
		}),
		"end": act(func(h *house.House, r session.Resumed, bob user.User) error {
			return h.Administration.EndSessions(t.Context(), r, bob.ID())
		}),
		"end one": act(func(h *house.House, r session.Resumed, bob user.User) error {
			list, err := h.DB.Sessions().List(t.Context(), bob.ID())
			if err != nil {
				return err
			}
			return h.Administration.EndSession(t.Context(), r, bob.ID(), list[0].ID())
		}),
		"audit": act(func(h *house.House, r session.Resumed, _ user.User) error {
			_, err := h.Administration.Audit(t.Context(), r, administration.AuditQuery{})
			return err
		}),
	})
	house.Walk(t, map[string]house.Outage{"a refusal": {Want: access.ErrForbidden, Act: func(h *house.House) func() error {
		r := enter(h, "ann@example.com", "user")
		return func() error {
			_, err := h.Administration.User(t.Context(), r, r.User.ID())
			return err
		}
	}}})
}

// An admin whom another role denies what an admin needs is no admin to be left
// with.
func TestWhoIsLeftCanAdminister(t *testing.T) {
	open := func() *house.House {
		return house.New(t, house.Options{Policy: []access.Row{
			policyRow("suspended", "policy", "delete", "any", "deny"), policyRow("hushed", "user", "update", "any", "deny"), policyRow("clerk", "audit", "read", "any", "deny"),
		}})
	}
	for _, c := range []struct {
		what   string
		others []string // roles of another admin, beside that; none for no other
		change administration.Change
		want   error
	}{
		{"a role that denies policies", nil, toRoles("admin", "suspended"), user.ErrLastAdmin},
		{"a role that denies users", nil, toRoles("admin", "hushed", "user"), user.ErrLastAdmin},
		{"a role that denies something else", nil, toRoles("admin", "clerk"), nil},
		{"a role that denies, beside another admin", []string{"user"}, toRoles("admin", "suspended"), nil},
		{"a role that denies, beside an admin who is denied it too", []string{"suspended"}, toRoles("admin", "suspended"), user.ErrLastAdmin},
		{"demoting, beside an admin who is denied", []string{"hushed"}, toRoles("user"), user.ErrLastAdmin},
		{"disabling, beside an admin who is denied", []string{"suspended"}, disabled, user.ErrLastAdmin},
		{"disabling, beside an admin who is not", []string{"clerk"}, disabled, nil},
	} {
		h := open()
		ann := enter(h, "ann@example.com", "admin")
		if c.others != nil {
			enter(h, "bob@example.com", append(c.others, "admin")...)
		}
		rows := len(h.Rows())
		_, err := h.Administration.Change(t.Context(), ann, ann.User.ID(), c.change)
		if !errors.Is(err, c.want) {
			t.Errorf("%s = %v, want %v", c.what, err, c.want)
		}
		if now := h.Find(ann.User); c.want != nil && (len(h.Rows()) != rows || !slices.Equal(now.Roles(), rolesOf("admin")) || now.Status() != user.Active) {
			t.Errorf("%s: refused, and yet ann is %v %v, and %d rows were written", c.what, now.Roles(), now.Status(), len(h.Rows())-rows)
		}
	}

	// Who is held back no more: nobody could before either.
	h := open()
	ann, bob := enter(h, "ann@example.com", "admin"), enter(h, "bob@example.com", "admin")
	h.Change(bob.User, func(u *user.User) { _ = u.SetRoles(rolesOf("admin", "suspended"), h.Now()) })
	h.Change(ann.User, func(u *user.User) { _ = u.SetRoles(rolesOf("admin", "suspended"), h.Now()) })
	if _, err := h.Administration.Change(t.Context(), ann, bob.User.ID(), toRoles("user")); err != nil {
		t.Errorf("demoting one of two who are both denied = %v", err)
	}
}

// Whoever takes away what another one leaves, by roles or by the policy: of two
// at once one is refused.
func TestWhoIsLeftUnderConcurrency(t *testing.T) {
	deny := []access.Row{policyRow("suspended", "policy", "delete", "any", "deny")}
	for round := range 60 {
		h := house.New(t, house.Options{Policy: deny})
		ann, bob := enter(h, "ann@example.com", "admin"), enter(h, "bob@example.com", "admin", "clerk")
		suspend := func(who, by session.Resumed, roles ...string) func() error {
			return func() error {
				_, err := h.Administration.Change(t.Context(), by, who.User.ID(), toRoles(append(roles, "admin", "suspended")...))
				return err
			}
		}
		acts := [2]func() error{suspend(ann, bob), suspend(bob, ann, "clerk")}
		if round%2 == 1 {
			acts[1] = func() error {
				_, err := h.Policies.Add(t.Context(), sessions.Actor(ann), administration.By{}, row("clerk user update any deny"))
				return err
			}
		}
		var errs [2]error
		house.AtOnce(2, func(i int) { errs[i] = acts[(i+round/2)%2]() })
		denied := 0
		for _, err := range errs {
			switch {
			case errors.Is(err, user.ErrLastAdmin) || errors.Is(err, access.ErrForbidden): // too late to be allowed at all
				denied++
			case err != nil:
				t.Fatalf("round %d: %v", round, err)
			}
		}
		if denied != 1 {
			t.Fatalf("round %d: %v and %v, want one refusal", round, errs[0], errs[1])
		}
	}
}
