package ottercache

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/domain/access"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports/portstest"
)

// patience is how long a test waits for what comes in its own time. It measures
// nothing.
const patience = time.Minute

// hall is a PostgreSQL with users, sessions and a policy, and somebody who
// listens there.
type hall struct {
	*testing.T
	portstest.SessionStores
	policies PolicyStore
	url      string
	ann      user.User
	told     func() []string // what was told since it was asked before
}

// newHall has the listener hold the lock of those who listen, or not.
func newHall(t *testing.T, locked bool) *hall {
	t.Helper()
	h := &hall{T: t}
	h.SessionStores, h.policies, h.url = openPostgres(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	wire, err := Postgres(h.url)(ctx)
	must(t, err)
	t.Cleanup(wire.Close)
	if !locked {
		_, err := wire.(*postgres).conn.Exec(ctx, "SELECT pg_advisory_unlock_shared($1)", lock)
		must(t, err)
	}
	marks := 0
	h.told = func() (told []string) {
		t.Helper()
		marks++
		mark := fmt.Sprint(beatPrefix, marks)
		must(t, wire.Beat(ctx, mark))
		for {
			text, err := wire.Hear(ctx)
			must(t, err)
			if text == mark { // all that was told before has come before
				return told
			}
			told = append(told, text)
		}
	}
	email, err := user.NewEmail("ann@example.com")
	must(t, err)
	h.ann = user.New(user.ID{UUID: uuid.New(time.Now(), [8]byte{1})}, email, user.Name{}, user.NewPasswordHash("$hash"), time.Now())
	must(t, h.Users.Add(ctx, h.ann))
	return h
}

func (h *hall) begin(n byte) session.Session {
	h.Helper()
	one := session.Begin(session.Start{
		ID: session.ID{UUID: uuid.New(time.Now(), [8]byte{n})}, Key: session.NewToken([32]byte{n}).Key(), UserID: h.ann.ID(), Methods: session.ByPassword,
	}, session.DefaultLifetime, time.Now())
	must(h, h.Sessions.Add(h.Context(), one))
	return one
}

func (h *hall) update(change func(*user.User)) error {
	_, err := h.Users.Update(h.Context(), h.ann.ID(), func(u *user.User) error { change(u); return nil })
	return err
}

// changes are all that is done to sessions, users and the policy; of ann is what
// has to be told.
func (h *hall) changes(told func(what string, want bool, do func() error)) {
	now, ctx := time.Now(), h.Context()
	ending := session.Ending{Why: session.SignedOut, At: now}
	var one session.Session
	var n byte
	again := func() error { n++; one = h.begin(n); return nil }
	told("a sign-in", false, again)
	told("a renewal", false, func() error {
		next, _ := one.Renewed(session.DefaultLifetime, now.Add(time.Hour))
		return h.Sessions.Replace(ctx, one.Key(), next, session.Reason{}, now)
	})
	told("a rotation", true, func() error {
		key := session.NewToken([32]byte{200}).Key()
		err := h.Sessions.Replace(ctx, one.Key(), one.Rotated(key, 0), session.PasswordChanged, now)
		one = one.Rotated(key, 0)
		return err
	})
	told("a step-up", true, func() error {
		next := one.Reproved(session.NewToken([32]byte{201}).Key(), session.ByPassword, now)
		err := h.Sessions.Replace(ctx, one.Key(), next, session.Reason{}, now)
		one = next
		return err
	})
	told("a sign-out", true, func() error { _, err := h.Sessions.End(ctx, one.Key(), ending); return err })
	must(h, again())
	told("an ending by handle", true, func() error { _, err := h.Directory.EndOne(ctx, h.ann.ID(), one.ID(), ending); return err })
	must(h, again())
	must(h, again())
	told("the ending of all", true, func() error { _, err := h.Directory.EndOthers(ctx, h.ann.ID(), session.Key{}, ending); return err })
	must(h, again())
	must(h, again())
	told("a trim", true, func() error { _, err := h.Directory.Trim(ctx, h.ann.ID(), 1, ending); return err })
	told("a trim of nothing", false, func() error { _, err := h.Directory.Trim(ctx, h.ann.ID(), 1, ending); return err })
	told("pruning", false, func() error {
		state := one.State()
		state.IdleEnd, state.End = now.Add(-time.Minute), now.Add(-time.Minute)
		must(h, h.Sessions.Replace(ctx, one.Key(), session.Restore(state), session.Reason{}, now))
		pruned, err := h.Directory.Prune(ctx, now, 10)
		if err == nil && pruned != 1 {
			h.Errorf("%d were pruned, want 1", pruned)
		}
		return err
	})
	told("a name", true, func() error { return h.update(func(u *user.User) { u.Rename(user.Name{}, now.Add(time.Second)) }) })
	told("roles", true, func() error {
		return h.update(func(u *user.User) { must(h, u.SetRoles([]user.Role{user.RoleModerator}, now)) })
	})
	told("a verified address", true, func() error { return h.update(func(u *user.User) { u.VerifyEmail(now) }) })
	told("an address", true, func() error {
		email, err := user.NewEmail("bea@example.com")
		must(h, err)
		return h.update(func(u *user.User) { u.ChangeEmail(email, now) })
	})
	told("a password", true, func() error {
		return h.update(func(u *user.User) { u.ChangePassword(user.NewPasswordHash("$new"), now) })
	})
	told("a disabling", true, func() error { return h.update(func(u *user.User) { u.Disable(now) }) })
	told("an enabling", true, func() error { return h.update(func(u *user.User) { u.Enable(now) }) })
	told("a change of nothing", false, func() error { return h.update(func(*user.User) {}) })
	told("a seeding", true, func() error {
		_, err := h.policies.Seed(ctx, access.Revision{Edit: access.Edit{At: now}})
		return err
	})
	told("a policy", true, func() error {
		row := access.Row{ID: access.PolicyID{UUID: uuid.New(now, [8]byte{9})}, Role: "user", Resource: "product", Action: "read", Condition: "any", Effect: "allow"}
		_, err := h.policies.Change(ctx, access.Edit{At: now}, func(t *access.Table) error { t.Rows = append(t.Rows, row); return nil })
		return err
	})
	must(h, again())
	told("a deletion", true, func() error { return h.Users.Delete(ctx, h.ann.ID(), func(user.User) error { return nil }) })
}

// TestWhatIsTold: every change of what resuming gives is told when it is made,
// once, and without the key of a session; and no other.
func TestWhatIsTold(t *testing.T) {
	h := newHall(t, true)
	h.told()
	h.changes(func(what string, want bool, do func() error) {
		h.told()
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		text := "u" + h.ann.ID().String()
		if what == "a policy" || what == "a seeding" {
			text = "p"
		}
		if !want {
			text = ""
		}
		if got := strings.Join(h.told(), " "); got != text {
			t.Errorf("of %s is told %q, want %q", what, got, text)
		}
	})
}

// TestTeller: what a cache tells by itself is heard as what the triggers tell.
func TestTeller(t *testing.T) {
	h := newHall(t, true)
	pool, err := pgxpool.New(t.Context(), h.url)
	must(t, err)
	defer pool.Close()
	h.told()
	must(t, Teller(pool)(t.Context(), h.ann.ID()))
	if got := fmt.Sprint(h.told()); got != "[u"+h.ann.ID().String()+"]" {
		t.Errorf("told is %s", got)
	}
}

// TestNobodyIsToldWhoDoesNotListen: where no node has a cache, none of it costs a
// notification.
func TestNobodyIsToldWhoDoesNotListen(t *testing.T) {
	h := newHall(t, false)
	h.changes(func(what string, _ bool, do func() error) {
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	})
	if got := h.told(); len(got) > 0 {
		t.Errorf("though nobody says that he listens, it is told: %q", got)
	}
}

// TestOverPostgres: a cache that follows a real PostgreSQL hears of what another
// node does, is off when its connection is ended, and comes back.
func TestOverPostgres(t *testing.T) {
	h := newHall(t, true)
	// Ten seconds, so that what is obeyed is so because it was told.
	c, err := New(Config{Bound: 10 * time.Second, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Follow(ctx, Postgres(h.url)) }()
	defer func() { stop(); <-done; must(t, c.Close()) }()
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("waited in vain until %s: %+v", what, c.Stats())
			}
		}
	}
	on := func() bool { return c.Stats().On }
	one, sessions := h.begin(1), content{c.Sessions(h.Sessions)}
	roles := func() string {
		r, err := sessions.Resume(t.Context(), one.Key())
		must(t, err)
		return fmt.Sprint(r.User.Roles())
	}
	until("it is on", on)
	for n, role := range []user.Role{user.RoleModerator, user.RoleAdmin} {
		before := roles()
		until("it is answered from the cache", func() bool { before := c.Stats().Hits; roles(); return c.Stats().Hits > before })
		must(t, h.update(func(u *user.User) { must(t, u.SetRoles([]user.Role{role}, time.Now())) }))
		if n == 0 {
			until("a change of elsewhere is heard of", func() bool { return roles() != before })
			continue
		}
		lost := c.Stats().Lost
		admin, err := pgx.Connect(t.Context(), h.url)
		must(t, err)
		_, err = admin.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gatehouse listening' AND datname = current_database()")
		must(t, err)
		must(t, admin.Close(t.Context()))
		until("the end of the connection is seen", func() bool { return c.Stats().Lost > lost })
		if roles() == before {
			t.Error("what was read before the connection was ended is still used")
		}
		until("it is on again", on)
	}
}
