package fiberstore_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/adapters/fiberstore"
	"gatehouse/adapters/gormrepo"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/tests/pgtest"
)

// short is a lifetime that is over within a minute.
var short = session.Lifetime{Idle: time.Minute, Absolute: time.Hour, Step: time.Second}

// An ending leaves a row that points at the user, and the deletion of the user
// takes the sessions along: each begins where the other one ends. Unless both
// take the user first, PostgreSQL has to end one of them (40P01), which is an
// outage to who asked for it.
func TestEndingBesideADeletion(t *testing.T) {
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{MaxConns: 8, StatementTimeout: time.Minute})
	endings := map[string]func(session.Session) error{
		"End": func(one session.Session) error { return second(s.sessions.End(t.Context(), one.Key(), signedOut)) },
		"EndOne": func(one session.Session) error {
			return second(s.sessions.EndOne(t.Context(), one.UserID(), one.ID(), signedOut))
		},
		"EndOthers": func(one session.Session) error {
			return second(s.sessions.EndOthers(t.Context(), one.UserID(), session.Key{}, signedOut))
		},
		"Trim": func(one session.Session) error {
			return second(s.sessions.Trim(t.Context(), one.UserID(), 0, signedOut))
		},
		"Prune": func(one session.Session) error { return second(s.sessions.Prune(t.Context(), one.IdleEnd(), 10)) },
		"Replace": func(one session.Session) error {
			return s.sessions.Replace(t.Context(), one.Key(), one.Rotated(newKey(), 0), session.PasswordChanged, start)
		},
	}
	for what, end := range endings {
		t.Run(what, func(t *testing.T) {
			u := s.addUser(t)
			one := s.addSession(t, u.ID(), short)
			deletion, err := s.pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer deletion.Rollback(context.Background())
			if _, err := deletion.Exec(t.Context(), "SELECT FROM users WHERE id = $1 FOR UPDATE", u.ID().String()); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- end(one) }()
			s.awaitWaiting(t, ended)
			_, err = deletion.Exec(t.Context(), "DELETE FROM users WHERE id = $1", u.ID().String())
			if err = errors.Join(err, deletion.Commit(t.Context())); err != nil {
				t.Errorf("the deletion = %v", err)
			}
			ignoreMissing(t, <-ended)
			if n := s.rows(t, "user_id = $1", u.ID().String()); n != 0 {
				t.Errorf("%d sessions outlive their user", n)
			}
		})
	}
}

// awaitWaiting returns when somebody waits for a lock, or has done without.
func (s store) awaitWaiting(t *testing.T, done chan error) {
	t.Helper()
	for {
		select {
		case err := <-done:
			done <- err
			return
		default:
		}
		var waiting bool
		err := s.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		if waiting {
			return
		}
	}
}

// Whoever trims, ends and rotates a user's sessions at once gets through, and
// none is counted twice or forgotten because its key changed under way.
func TestTrimBesideRotations(t *testing.T) {
	const keep = 3
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{MaxConns: 8, StatementTimeout: time.Minute})
	for range 20 {
		u := s.addUser(t)
		var all []session.Session
		for range 8 {
			all = append(all, s.addSession(t, u.ID(), session.DefaultLifetime))
		}
		var wait sync.WaitGroup
		for _, one := range all {
			wait.Go(func() {
				ignoreMissing(t, s.sessions.Replace(t.Context(), one.Key(), one.Rotated(newKey(), 0), session.PasswordChanged, start))
			})
		}
		for range 4 {
			wait.Go(func() { ignoreMissing(t, second(s.sessions.Trim(t.Context(), u.ID(), keep, signedOut))) })
		}
		wait.Wait()
		left, err := s.sessions.List(t.Context(), u.ID())
		if err != nil || len(left) != keep {
			t.Fatalf("after Trim(%d) beside rotations %d are left, %v", keep, len(left), err)
		}
		slices.Reverse(all)
		for i, one := range left {
			if one.ID() != all[i].ID() {
				t.Errorf("Trim left %v as number %d, want %v", one, i, all[i])
			}
		}
	}
}

// What the release before has written is found, counted, ended and told of.
func TestFirstLayout(t *testing.T) {
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{})
	u := s.addUser(t)
	older := func() session.Session {
		one := s.addSession(t, u.ID(), short)
		if _, err := s.pool.Exec(t.Context(), "UPDATE user_sessions SET v = $1 WHERE k = $2", first(fiberstore.Encode(one)), one.Key().Hex()); err != nil {
			t.Fatal(err)
		}
		state := one.State()
		state.ProvedAt = state.CreatedAt
		return session.Restore(state)
	}
	want := func(got session.Session, err error, want session.Session, what string) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s = %+v, %v, want %+v", what, got.State(), err, want.State())
		}
	}
	one := older()
	r, err := s.sessions.Resume(t.Context(), one.Key())
	want(r.Session, err, one, "Resume")
	ended, err := s.sessions.EndOne(t.Context(), u.ID(), one.ID(), signedOut)
	want(ended, err, one, "EndOne")
	if past, err := s.sessions.Past(t.Context(), one.Key()); err != nil || past != signedOut.Of(one) {
		t.Errorf("Past = %+v, %v", past, err)
	}
	one = older()
	all, err := s.sessions.Trim(t.Context(), u.ID(), 0, signedOut)
	want(slices.Concat(all, make([]session.Session, 1))[0], err, one, "Trim")
	one = older()
	if n, err := s.sessions.Prune(t.Context(), one.IdleEnd(), 10); err != nil || n != 1 {
		t.Errorf("Prune = %d, %v, want 1", n, err)
	}
	if past, err := s.sessions.Past(t.Context(), one.Key()); err != nil || past.Why != session.Idle || past.EndedAt != one.IdleEnd() {
		t.Errorf("Past = %+v, %v, want one that fell idle at %v", past, err, one.IdleEnd())
	}
	one = older()
	next := one.Rotated(newKey(), 1)
	if err := s.sessions.Replace(t.Context(), one.Key(), next, session.PasswordChanged, start); err != nil {
		t.Errorf("Replace = %v", err)
	}
	r, err = s.sessions.Resume(t.Context(), next.Key())
	want(r.Session, err, next, "Resume(after Replace)")
	if v := fiberstore.Encode(next); !bytes.Equal(s.value(t, next.Key()), v) {
		t.Errorf("a replaced session is not in the layout of today")
	}
}

func (s store) value(t *testing.T, k session.Key) (v []byte) {
	t.Helper()
	if err := s.pool.QueryRow(t.Context(), "SELECT v FROM user_sessions WHERE k = $1", k.Hex()).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// A million of expired sessions are pruned in many small steps. Nobody who signs
// in, is resumed or signs out meanwhile waits for one, not even where a step has
// come to a halt with all its locks.
func TestPruneBesideALoad(t *testing.T) {
	url := pgtest.Migrated(t)
	s := open(t, url, gormrepo.PoolOptions{MaxConns: 8, StatementTimeout: 10 * time.Second})
	u := s.addUser(t)
	expired(t, s, u.ID(), 3000)

	pruner, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pruner.Close(context.Background())
	halted, err := pruner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := halted.QueryRow(t.Context(), fiberstore.Pruning(500), start.UnixMicro(), "expired", "idle").Scan(&n); err != nil || n != 500 {
		t.Fatalf("pruning = %d, %v, want 500", n, err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	one := s.addSession(t, u.ID(), session.DefaultLifetime) // the user's row is locked by the pruner
	_, resumed := s.sessions.Resume(ctx, one.Key())
	_, changed := s.db.Users().Update(ctx, u.ID(), func(u *user.User) error { u.Rehash(user.NewPasswordHash("$new")); return nil })
	_, trimmed := s.sessions.Trim(ctx, u.ID(), 4000, signedOut)
	_, ended := s.sessions.End(ctx, one.Key(), signedOut)
	if err := errors.Join(resumed, changed, trimmed, ended); err != nil {
		t.Errorf("beside a pruning that has come to a halt: %v", err)
	}

	// Others go on with what it does not hold.
	var pruned atomic.Int64
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for {
				n, err := s.sessions.Prune(ctx, start, 300)
				if err != nil {
					t.Errorf("Prune = %v", err)
				}
				if pruned.Add(int64(n)); n == 0 || err != nil {
					return
				}
			}
		})
	}
	for range 200 {
		one := s.addSession(t, u.ID(), session.DefaultLifetime)
		if _, err := s.sessions.End(ctx, one.Key(), signedOut); err != nil {
			t.Errorf("End beside pruning = %v", err)
		}
	}
	wait.Wait()
	if err := halted.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := s.rows(t, "true"); pruned.Load() != 2500 || left != 0 {
		t.Errorf("%d were pruned beside the 500 and %d are left, want 2500 and 0", pruned.Load(), left)
	}
	past, err := s.sessions.PastOf(ctx, u.ID())
	if err != nil || len(past) != 3000+201 {
		t.Errorf("%d are past, %v, want all", len(past), err)
	}
}

// expired adds sessions that had run out at start.
func expired(t testing.TB, s store, id user.ID, n int) {
	t.Helper()
	begun := start.Add(-time.Hour)
	like := session.Begin(session.Start{UserID: id, Methods: session.ByPassword, Device: session.Device{UserAgent: strings.Repeat("x", 100)}}, short, begun)
	// Every handle and every key is another one; the keys are no hashes of anything.
	_, err := s.pool.Exec(t.Context(), `INSERT INTO user_sessions (k, v, e)
		SELECT encode(sha256(int8send(n)), 'hex'), overlay($1::bytea PLACING substring(sha256(int8send(n)) FROM 1 FOR 16) FROM 18), 1
		FROM generate_series(1::bigint, $2::bigint) n`, fiberstore.Encode(like), n)
	if err != nil {
		t.Fatal(err)
	}
}

// Each statement that prunes finds its rows by an index, however large the table.
func TestPruningUsesIndexes(t *testing.T) {
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{StatementTimeout: time.Minute})
	expired(t, s, s.addUser(t).ID(), 20_000)
	if _, err := s.pool.Exec(t.Context(), "ANALYZE user_sessions"); err != nil {
		t.Fatal(err)
	}
	plan := explain(t, s, fiberstore.Pruning(1000), start.UnixMicro(), "expired", "idle")
	if !strings.Contains(plan, "user_sessions_idle_end_idx") || !strings.Contains(plan, "user_sessions_pkey") || strings.Contains(plan, "Seq Scan on user_sessions") {
		t.Errorf("the plan of pruning is\n%s\nwant it to go by indexes", plan)
	}
	for {
		n, err := s.sessions.Prune(t.Context(), start, 5000)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	if _, err := s.pool.Exec(t.Context(), "ANALYZE past_sessions"); err != nil {
		t.Fatal(err)
	}
	plan = explain(t, s, fiberstore.PruningPast(1000), start.UnixMicro())
	if !strings.Contains(plan, "past_sessions_ended_at_idx") || strings.Contains(plan, "Seq Scan") {
		t.Errorf("the plan of pruning what is past is\n%s\nwant it to go by indexes", plan)
	}
}

func explain(t *testing.T, s store, statement string, args ...any) string {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), "EXPLAIN "+statement, args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// What stands in a row and was not written by us is a defect, and no session
// that is missing.
func TestForeignPast(t *testing.T) {
	s := open(t, pgtest.Migrated(t), gormrepo.PoolOptions{})
	one := s.addSession(t, s.addUser(t).ID(), short)
	if _, err := s.sessions.End(t.Context(), one.Key(), signedOut); err != nil {
		t.Fatal(err)
	}
	for _, spoil := range []string{"why = 'bored'", "v = substring(v FROM 1 FOR 20)"} {
		if _, err := s.pool.Exec(t.Context(), "UPDATE past_sessions SET "+spoil); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"Past":   second(s.sessions.Past(t.Context(), one.Key())),
			"PastOf": second(s.sessions.PastOf(t.Context(), one.UserID())),
		} {
			if err == nil || errors.Is(err, fault.NotFound) || errors.Is(err, fault.Unavailable) {
				t.Errorf("%s(%s) = %v, want a defect", what, spoil, err)
			}
		}
	}
}
