package administration_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"gatehouse/application/accounts"
	"gatehouse/application/administration"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/secret"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
	"gatehouse/tests/house"
)

// log is an audit log that can be tampered with.
type log struct {
	rows  map[string][]audit.Row // by day, in the order of their places
	heads []audit.Head
	asked func() // before each reading of rows, if set
}

func (l *log) Heads(context.Context) ([]audit.Head, error) {
	list := slices.Clone(l.heads)
	for day := range l.rows {
		if !slices.ContainsFunc(list, func(h audit.Head) bool { return h.Day == day }) && len(l.rows[day]) > 0 {
			list = append(list, audit.Head{Day: day})
		}
	}
	slices.SortFunc(list, func(a, b audit.Head) int { return int(int64(a.Day[9]) - int64(b.Day[9])) })
	return list, nil
}

func (l *log) Rows(_ context.Context, day string, after int64, limit int) (page []audit.Row, err error) {
	if l.asked != nil {
		l.asked()
	}
	for _, r := range l.rows[day] {
		if r.Seq > after && len(page) < limit {
			page = append(page, r)
		}
	}
	return page, nil
}

func (l *log) RowsOf(context.Context, user.ID, int) ([]audit.Row, error) { return nil, nil }

func (l *log) Search(context.Context, ports.AuditQuery) (ports.AuditPage, error) {
	return ports.AuditPage{}, nil
}

// The log has rows on three days, the last one more than a page of them.
const first, second, third = "2026-11-24", "2026-11-25", "2026-11-26"

const pageful = 1203

func newLog() *log {
	l := &log{rows: map[string][]audit.Row{}}
	for _, n := range []int{5, 3, pageful} {
		at := house.Noon.AddDate(0, 0, len(l.heads))
		l.heads = append(l.heads, audit.Head{Day: at.Format(time.DateOnly)})
		for i := range n {
			l.append(len(l.heads)-1, at.Add(time.Duration(i)*time.Second))
		}
	}
	return l
}

func (l *log) append(day int, at time.Time) {
	e := audit.Entry{
		ID: uuid.New(at, [8]byte{byte(day), byte(at.Second())}), At: at, Event: audit.SignedIn, Outcome: audit.Success, Actor: user.ID{UUID: uuid.UUID{1}},
		Subject: audit.Subject{Type: "session", ID: "x"}, Origin: audit.Origin{IP: netip.MustParseAddr("192.0.2.1"), UserAgent: "curl", RequestID: "r"},
		Detail: map[string]string{"methods": "password"},
	}
	r, head := l.heads[day].Append(e)
	l.heads[day] = head
	l.rows[head.Day] = append(l.rows[head.Day], r)
}

// change alters a row and leaves its hash as it was.
func change(day string, at int, f func(*audit.Row)) func(*log) {
	return func(l *log) { f(&l.rows[day][at]) }
}

func TestVerifyAuditFindsTheFirstPlace(t *testing.T) {
	remove := func(day string, at int) func(*log) {
		return func(l *log) { l.rows[day] = slices.Delete(l.rows[day], at, at+1) }
	}
	for name, c := range map[string]struct {
		tamper func(*log)
		want   string // day, place and what; "" where all holds
		rows   int    // in place before it
	}{
		"nothing":            {func(*log) {}, "", 8 + pageful},
		"an event":           {change(first, 2, func(r *audit.Row) { r.Event = audit.Exported }), first + " 3 changed", 2},
		"an outcome":         {change(first, 0, func(r *audit.Row) { r.Outcome = audit.Failure }), first + " 1 changed", 0},
		"a time":             {change(first, 4, func(r *audit.Row) { r.At = r.At.Add(time.Microsecond) }), first + " 5 changed", 4},
		"an actor":           {change(second, 1, func(r *audit.Row) { r.Actor = user.ID{} }), second + " 2 changed", 6},
		"a subject":          {change(first, 1, func(r *audit.Row) { r.Subject.ID = "y" }), first + " 2 changed", 1},
		"a kind of subject":  {change(first, 1, func(r *audit.Row) { r.Subject.Type = "user" }), first + " 2 changed", 1},
		"an address":         {change(first, 1, func(r *audit.Row) { r.Origin.IP = netip.Addr{} }), first + " 2 changed", 1},
		"a user agent":       {change(first, 1, func(r *audit.Row) { r.Origin.UserAgent = "" }), first + " 2 changed", 1},
		"a request id":       {change(first, 1, func(r *audit.Row) { r.Origin.RequestID = "q" }), first + " 2 changed", 1},
		"a detail":           {change(first, 1, func(r *audit.Row) { r.Detail = map[string]string{"methods": "totp"} }), first + " 2 changed", 1},
		"an id":              {change(first, 1, func(r *audit.Row) { r.ID[15]++ }), first + " 2 changed", 1},
		"a hash":             {change(first, 1, func(r *audit.Row) { r.Hash[0]++ }), first + " 2 changed", 1},
		"a row past a page":  {change(third, pageful-2, func(r *audit.Row) { r.Event = "x" }), third + " 1202 changed", 8 + pageful - 2},
		"a text over fields": {change(first, 1, func(r *audit.Row) { r.Subject.Type, r.Subject.ID = "sessionx", "" }), first + " 2 changed", 1},

		"the first row removed": {remove(first, 0), first + " 1 missing", 0},
		"a row removed":         {remove(first, 2), first + " 3 missing", 2},
		"the last row removed":  {remove(first, 4), first + " 5 missing", 4},
		"all rows removed":      {func(l *log) { delete(l.rows, second) }, second + " 1 missing", 5},
		"a page removed":        {func(l *log) { l.rows[third] = slices.Delete(l.rows[third], 500, 1000) }, third + " 501 missing", 8 + 500},

		"rows exchanged": {func(l *log) {
			a, b := &l.rows[first][1], &l.rows[first][2]
			a.Entry, b.Entry = b.Entry, a.Entry
		}, first + " 2 changed", 1},
		"a row moved to the next day": {func(l *log) {
			r := l.rows[first][4]
			r.Seq = 4
			l.rows[second], l.rows[first] = append(l.rows[second], r), l.rows[first][:4]
			l.heads[0].Seq, l.heads[0].Hash = 4, l.rows[first][3].Hash
		}, second + " 4 moved", 7},
		"a row moved between":         {func(l *log) { l.rows[second][0].Entry = l.rows[first][0].Entry }, second + " 1 moved", 5},
		"rows moved to a day of none": {func(l *log) { l.rows["2026-11-27"] = []audit.Row{l.rows[third][0]} }, "2026-11-27 1 moved", 8 + pageful},

		"a row added behind":       {func(l *log) { h := l.heads[1]; l.append(1, house.Noon.AddDate(0, 0, 1).Add(time.Hour)); l.heads[1] = h }, second + " 4 added", 8},
		"a row added far behind":   {func(l *log) { r := l.rows[second][2]; r.Seq = 99; l.rows[second] = append(l.rows[second], r) }, second + " 99 added", 8},
		"a row added in front":     {func(l *log) { r := l.rows[second][0]; r.Seq = 0; l.rows[second] = slices.Insert(l.rows[second], 0, r) }, second + " 0 added", 5},
		"a row added far in front": {func(l *log) { r := l.rows[first][0]; r.Seq = -7; l.rows[first] = slices.Insert(l.rows[first], 0, r) }, first + " -7 added", 0},
		"a row added without a day": {func(l *log) {
			l.rows["2026-11-23"] = []audit.Row{{Entry: audit.Entry{At: house.Noon.AddDate(0, 0, -1)}, Seq: 0}}
		}, "2026-11-23 0 added", 0},

		"a head removed":     {func(l *log) { l.heads = slices.Delete(l.heads, 1, 2) }, second + " 1 added", 5},
		"a head set back":    {func(l *log) { l.heads[0].Seq, l.heads[0].Hash = 4, l.rows[first][3].Hash }, first + " 5 added", 4},
		"a head set forward": {func(l *log) { l.heads[0].Seq++ }, first + " 6 missing", 5},
		"a head's hash":      {func(l *log) { l.heads[0].Hash[0]++ }, first + " 5 changed", 5},
		"the last rows forged with a new chain": {func(l *log) {
			l.rows[first][3].Event = audit.Exported
			h := audit.Head{Day: first, Seq: 3, Hash: l.rows[first][2].Hash}
			for i := 3; i < 5; i++ {
				l.rows[first][i], h = h.Append(l.rows[first][i].Entry)
			}
		}, first + " 5 changed", 5},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog()
			c.tamper(l)
			rows, err := (&administration.Operator{Log: l}).VerifyAudit(t.Context())
			got := ""
			if err != nil {
				broken, ok := errors.AsType[*audit.Broken](err)
				if !ok {
					t.Fatalf("VerifyAudit = %v, want an *audit.Broken", err)
				}
				got = fmt.Sprint(broken.Day, " ", broken.Seq, " ", broken.What)
			}
			if got != c.want || rows != c.rows {
				t.Errorf("VerifyAudit found %d rows in place and %q, want %d and %q", rows, got, c.rows, c.want)
			}
		})
	}
}

// What is appended while the log is read is nobody's fault.
func TestVerifyAuditBesideWriters(t *testing.T) {
	l := newLog()
	l.asked = func() { l.append(2, house.Noon.AddDate(0, 0, 2).Add(time.Hour)) }
	if rows, err := (&administration.Operator{Log: l}).VerifyAudit(t.Context()); err != nil || rows != 8+pageful {
		t.Errorf("VerifyAudit = %d, %v, want %d", rows, err, 8+pageful)
	}
}

func TestVerifyAuditOfNothing(t *testing.T) {
	if rows, err := newOperator(t).VerifyAudit(t.Context()); rows != 0 || err != nil {
		t.Errorf("VerifyAudit of an empty log = %d, %v", rows, err)
	}
}

// What the services write down holds, over days and many writers.
func TestWhatIsWrittenDownHolds(t *testing.T) {
	h := house.New(t, house.Options{Rules: house.NoRules()})
	ann := h.Add("ann@example.com")
	for range 3 {
		house.AtOnce(20, func(int) { h.SignIn(ann) })
		h.Move(24 * time.Hour)
	}
	rows, err := h.Operator.VerifyAudit(t.Context())
	if err != nil || rows != len(h.Rows()) || rows < 60 {
		t.Errorf("VerifyAudit = %d of %d, %v", rows, len(h.Rows()), err)
	}
}

// An operator's acts are written down, by nobody who has an account.
func TestOperatorsActsAreWrittenDown(t *testing.T) {
	h := house.New(t, house.Options{Verified: true})
	ann, err := h.Operator.CreateUser(t.Context(), registration("ann@example.com"), nil)
	if err != nil || !ann.EmailVerified() {
		t.Fatalf("CreateUser = %v, verified %t: the operator vouches for the address", err, ann.EmailVerified())
	}
	in := h.SignIn(ann)
	before := len(h.Rows())
	_, err = h.Operator.SetRoles(t.Context(), "ann@example.com", []user.Role{user.RoleModerator})
	_, err2 := h.Operator.SetStatus(t.Context(), "ann@example.com", user.Disabled)
	_, err3 := h.Operator.SetStatus(t.Context(), "ann@example.com", user.Active)
	_, refused := h.Operator.SetRoles(t.Context(), "ann@example.com", nil)
	_, unknown := h.Operator.SetRoles(t.Context(), "bob@example.com", []user.Role{user.RoleUser})
	if errors.Join(err, err2, err3) != nil || !errors.Is(refused, fault.Invalid) || !errors.Is(unknown, fault.NotFound) {
		t.Fatal(err, err2, err3, refused, unknown)
	}
	var got []string
	for _, r := range append(h.Rows()[:1:1], h.Rows()[before:]...) {
		if !r.Actor.IsZero() || r.Outcome != audit.Success {
			t.Errorf("%s was done by %v, %s", r.Event, r.Actor, r.Outcome)
		}
		got = append(got, fmt.Sprintf("%s %s %v", r.Event, r.Subject.Type, r.Detail))
	}
	want := []string{
		"user.created user map[roles:user]",
		"user.roles_changed user map[roles:moderator status:active]",
		"user.status_changed user map[roles:moderator status:disabled]",
		"session.ended session map[reason:account_disabled user:" + ann.ID().String() + "]",
		"user.status_changed user map[roles:moderator status:active]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("written down:\n%q, want\n%q", got, want)
	}
	if _, err := h.Sessions.Resume(t.Context(), in.Token); !errors.Is(err, access.ErrUnauthenticated) {
		t.Errorf("Resume after disabling = %v", err)
	}
}

// Whoever an account is disabled for gets in by no link that is about, nor by
// one that is to be sent.
func TestDisablingVoidsLinks(t *testing.T) {
	for _, sent := range []bool{true, false} {
		h := house.New(t, house.Options{})
		u := h.AddUnverified("ann@example.com")
		r := h.Enter(u)
		err := errors.Join(
			h.Accounts.RequestReset(t.Context(), "ann@example.com"),
			h.Accounts.RequestVerification(t.Context(), r),
			h.Accounts.RequestEmailChange(t.Context(), r, accounts.EmailChange{Email: "eve@example.com", Current: house.Password}),
		)
		if err != nil {
			t.Fatal(err)
		}
		var tokens []string
		collect := func() {
			for _, m := range h.Deliver() {
				if tok := house.TokenIn(m); tok != "" {
					tokens = append(tokens, tok)
				}
			}
		}
		if sent {
			if collect(); len(tokens) != 3 {
				t.Fatalf("%d links were sent, want 3", len(tokens))
			}
		}
		_, err = h.Operator.SetStatus(t.Context(), "ann@example.com", user.Disabled)
		_, err2 := h.Operator.SetStatus(t.Context(), "ann@example.com", user.Active)
		if errors.Join(err, err2) != nil {
			t.Fatal(err, err2)
		}
		if collect(); !sent && len(tokens) != 0 {
			t.Errorf("%d links were sent after disabling, want none", len(tokens))
		}
		for _, tok := range tokens {
			k, _ := secret.ParseToken(tok)
			if _, err := h.DB.Tickets().Find(t.Context(), k.Key(), h.Now()); !errors.Is(err, ticket.ErrInvalid) {
				t.Errorf("a link that was sent before disabling = %v, want ErrInvalid", err)
			}
		}
	}
}

func TestOutages(t *testing.T) {
	house.Walk(t, map[string]house.Outage{
		"create": {Act: func(h *house.House) func() error {
			return func() error {
				_, err := h.Operator.CreateUser(t.Context(), registration("ann@example.com"), nil)
				return err
			}
		}},
		"find": {Act: func(h *house.House) func() error {
			h.Add("ann@example.com")
			return func() error { _, err := h.Operator.FindUser(t.Context(), "ann@example.com"); return err }
		}},
		"roles": {Act: func(h *house.House) func() error {
			h.Add("ann@example.com")
			return func() error {
				_, err := h.Operator.SetRoles(t.Context(), "ann@example.com", []user.Role{user.RoleAdmin})
				return err
			}
		}},
		"status": {Act: func(h *house.House) func() error {
			h.SignIn(h.Add("ann@example.com"))
			return func() error {
				_, err := h.Operator.SetStatus(t.Context(), "ann@example.com", user.Disabled)
				return err
			}
		}},
		"verify": {Act: func(h *house.House) func() error {
			h.SignIn(h.Add("ann@example.com"))
			return func() error { _, err := h.Operator.VerifyAudit(t.Context()); return err }
		}},
		"each user": {Act: func(h *house.House) func() error {
			h.Add("ann@example.com")
			return func() error { return h.Operator.EachUser(t.Context(), func(user.User) error { return nil }) }
		}},
	})
}
