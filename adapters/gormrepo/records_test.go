package gormrepo_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/adapters/gormrepo"
	"gatehouse/domain/audit"
	"gatehouse/domain/factor"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/product"
	"gatehouse/domain/throttle"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/ports"
	"gatehouse/tests/pgtest"
)

var inARow = throttle.Rule{Limit: 10, Window: time.Hour, Pause: time.Second, MaxPause: time.Minute}

// second is the error of a call whose value does not matter.
func second[A any](_ A, err error) error { return err }

// ignore gives err unless it is one of those.
func ignore(err error, those ...error) error {
	for _, one := range those {
		if errors.Is(err, one) {
			return nil
		}
	}
	return err
}

func entries(id user.ID, n int) (all []audit.Entry) {
	for range n {
		all = append(all, audit.Entry{
			ID: newID(), At: start, Event: audit.SignedIn, Outcome: audit.Success, Actor: id, Subject: audit.Of(id),
			Detail: map[string]string{"device": "check"},
		})
	}
	return all
}

func letters(to user.User, n int) (all []mail.Letter) {
	for range n {
		all = append(all, mail.Letter{ID: newID(), UserID: to.ID(), Kind: mail.NewDevice, To: to.Email(), Language: mail.English, CreatedAt: start})
	}
	return all
}

func newTicket(u user.User) ticket.Ticket {
	return ticket.Issue(newKey(), u.ID(), ticket.PasswordReset, u.Email(), start)
}

// startFactor is a change that begins to set a factor up anew.
func startFactor(id user.ID) func(*factor.Factor) error {
	return func(f *factor.Factor) error {
		*f = factor.Start(id, []byte{byte(serial.Add(1)), 1}, start)
		return nil
	}
}

func record(t testing.TB, db *gormrepo.DB, all ...audit.Entry) {
	t.Helper()
	if err := db.Ledger().Record(t.Context(), ports.Along{Audit: all}); err != nil {
		t.Fatalf("Record = %v", err)
	}
}

// verify follows the chains of all days as "gatehouse audit verify" does.
func verify(t *testing.T, db *gormrepo.DB) error {
	t.Helper()
	heads, err := db.Ledger().Heads(t.Context())
	if err != nil {
		t.Fatalf("Heads = %v", err)
	}
	for _, head := range heads {
		rows, err := db.Ledger().Rows(t.Context(), head.Day, 0, 100_000)
		if err != nil {
			t.Fatalf("Rows(%s) = %v", head.Day, err)
		}
		var chain audit.Chain
		for _, r := range rows {
			if err := chain.Next(head.Day, r); err != nil {
				return err
			}
		}
		if err := chain.End(head); err != nil {
			return err
		}
	}
	return nil
}

// writable is a database with a way to it that is not ours.
type writable struct {
	*gormrepo.DB
	exec func(statement string) error
}

// eachWritable runs a test over both databases.
func eachWritable(t *testing.T, test func(t *testing.T, db writable)) {
	t.Run("postgres", func(t *testing.T) {
		url := pgtest.Migrated(t)
		c := connect(t, url)
		test(t, writable{openURL(t, url, gormrepo.PoolOptions{MaxConns: 8, StatementTimeout: time.Minute}), func(statement string) error {
			_, err := c.Exec(t.Context(), statement)
			return err
		}})
	})
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "test.db")
		db := openFile(t, path)
		handle, err := gormrepo.SQLiteMigrationHandle(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { handle.Close() })
		test(t, writable{db, func(statement string) error {
			_, err := handle.ExecContext(t.Context(), statement)
			return err
		}})
	})
}

func (w writable) must(t *testing.T, statement string) {
	t.Helper()
	if err := w.exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// open the log to writing, as somebody would who owns the database.
func (w writable) unlock(t *testing.T) {
	t.Helper()
	if w.exec("DROP TRIGGER audit_log_append_only ON audit_log") != nil {
		w.must(t, "DROP TRIGGER audit_log_append_only_update")
		w.must(t, "DROP TRIGGER audit_log_append_only_delete")
	}
}

func TestAuditLogIsAppendOnly(t *testing.T) {
	eachWritable(t, func(t *testing.T, db writable) {
		record(t, db.DB, entries(user.ID{}, 3)...)
		for _, statement := range []string{
			"UPDATE audit_log SET event = 'x'", "UPDATE audit_log SET seq = seq + 1", "DELETE FROM audit_log", "DELETE FROM audit_log WHERE seq = 3",
			"INSERT INTO audit_log SELECT * FROM audit_log WHERE true ON CONFLICT (day, seq) DO UPDATE SET event = 'x'",
		} {
			if err := db.exec(statement); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s = %v, want it refused", statement, err)
			}
		}
		if err := db.exec("TRUNCATE audit_log"); err == nil {
			t.Error("TRUNCATE was taken")
		}
		if err := verify(t, db.DB); err != nil {
			t.Error(err)
		}
	})
}

// tamperings are what can be done to a log of five rows, and where it shows.
var tamperings = map[string]audit.Broken{
	"UPDATE audit_log SET event = 'x' WHERE seq = 3":                                                                   {Seq: 3, What: "changed"},
	"UPDATE audit_log SET outcome = 'failure' WHERE seq = 3":                                                           {Seq: 3, What: "changed"},
	"UPDATE audit_log SET actor_id = NULL WHERE seq = 3":                                                               {Seq: 3, What: "changed"},
	"UPDATE audit_log SET id = '0198f7a0-0000-7000-8000-000000000000' WHERE seq = 3":                                   {Seq: 3, What: "changed"},
	"UPDATE audit_log SET detail = '{}' WHERE seq = 3":                                                                 {Seq: 3, What: "changed"},
	"UPDATE audit_log SET detail = 'no JSON' WHERE seq = 3":                                                            {Seq: 3, What: "changed"},
	`UPDATE audit_log SET detail = '{"device": "check"}' WHERE seq = 3`:                                                {Seq: 3, What: "changed"},
	"UPDATE audit_log SET ip = '192.0.2.1' WHERE seq = 3":                                                              {Seq: 3, What: "changed"},
	"UPDATE audit_log SET ip = 'nowhere' WHERE seq = 3":                                                                {Seq: 3, What: "changed"},
	"UPDATE audit_log SET user_agent = 'x' WHERE seq = 3":                                                              {Seq: 3, What: "changed"},
	"UPDATE audit_log SET hash = (SELECT hash FROM audit_log WHERE seq = 4) WHERE seq = 3":                             {Seq: 3, What: "changed"},
	"UPDATE audit_log SET hash = '' WHERE seq = 3":                                                                     {Seq: 3, What: "changed"},
	"UPDATE audit_log SET day = '2026-03-02' WHERE seq = 3":                                                            {Seq: 3, What: "missing"},
	"DELETE FROM audit_log WHERE seq = 3":                                                                              {Seq: 3, What: "missing"},
	"DELETE FROM audit_log WHERE seq = 5":                                                                              {Seq: 5, What: "missing"},
	"DELETE FROM audit_log":                                                                                            {Seq: 1, What: "missing"},
	"UPDATE audit_heads SET seq = 4":                                                                                   {Seq: 5, What: "added"},
	"UPDATE audit_heads SET hash = (SELECT hash FROM audit_log WHERE seq = 4)":                                         {Seq: 5, What: "changed"},
	"UPDATE audit_log SET seq = 6 WHERE seq = 5":                                                                       {Seq: 5, What: "missing"},
	"DELETE FROM audit_log WHERE seq = 3; UPDATE audit_log SET seq = seq - 1 WHERE seq = 4":                            {Seq: 3, What: "changed"},
	"UPDATE audit_log SET seq = 9 WHERE seq = 2; UPDATE audit_log SET seq = 2 WHERE seq = 3":                           {Seq: 2, What: "changed"},
	"UPDATE audit_log SET request_id = 'x' WHERE seq = 1; DELETE FROM audit_log WHERE seq = 4":                         {Seq: 1, What: "changed"},
	"UPDATE audit_log SET subject_id = '0198f7a0-0000-7000-8000-000000000000', subject_type = 'session' WHERE seq = 5": {Seq: 5, What: "changed"},
	"UPDATE audit_log SET at = (SELECT min(created_at) FROM users) WHERE seq = 2":                                      {Seq: 2, What: "changed"},
	"UPDATE audit_log SET hash = (SELECT key FROM server_keys) WHERE seq = (SELECT 2)":                                 {Seq: 2, What: "changed"},
	"UPDATE audit_heads SET hash = (SELECT key FROM server_keys)":                                                      {Seq: 5, What: "changed"},
	"UPDATE audit_heads SET hash = ''":                                                                                 {Seq: 5, What: "changed"},
	"DELETE FROM audit_heads":                                                                                          {Seq: 1, What: "added"},
}

// Whatever somebody does to the log who owns the database, the first row that is
// not as it was written is named, even if it cannot be read any more.
func TestTamperingIsFound(t *testing.T) {
	eachWritable(t, func(t *testing.T, db writable) {
		addUserAt(t, db.DB, start.Add(-time.Hour))
		if _, err := db.Keys().Key(t.Context(), [32]byte{7}); err != nil {
			t.Fatal(err)
		}
		db.unlock(t)
		for statement, want := range tamperings {
			db.must(t, "DELETE FROM audit_log")
			db.must(t, "DELETE FROM audit_heads")
			record(t, db.DB, entries(user.ID{UUID: newID()}, 5)...)
			if err := verify(t, db.DB); err != nil {
				t.Fatalf("before %s: %v", statement, err)
			}
			for part := range strings.SplitSeq(statement, ";") {
				db.must(t, part)
			}
			got, ok := errors.AsType[*audit.Broken](verify(t, db.DB))
			if !ok || got.Seq != want.Seq || got.What != want.What {
				t.Errorf("after %s the chain = %v, want row %d %s", statement, got, want.Seq, want.What)
			}
		}
	})
}

// addUserAt adds a user who registered then.
func addUserAt(t *testing.T, db *gormrepo.DB, at time.Time) {
	t.Helper()
	s := newUser(t, fmt.Sprintf("user%d@example.com", serial.Add(1))).State()
	s.CreatedAt = at
	if err := db.Users().Add(t.Context(), user.Restore(s)); err != nil {
		t.Fatal(err)
	}
}

// A change of what is a user's has letters along, which point at the user, and
// the deletion of the user takes it with it. Unless both take the user first,
// PostgreSQL has to end one of them (40P01).
func TestAlongBesideADeletion(t *testing.T) {
	url := pgtest.Migrated(t)
	db := openURL(t, url, gormrepo.PoolOptions{MaxConns: 8, StatementTimeout: time.Minute})
	watch := connect(t, url)
	for what, act := range map[string]func(u user.User) error{
		"Factors.Update": func(u user.User) error {
			return second(db.Factors().Update(t.Context(), u.ID(), startFactor(u.ID()), &ports.Along{Letters: letters(u, 1), Audit: entries(u.ID(), 1)}))
		},
		"Tickets.Issue": func(u user.User) error { return db.Tickets().Issue(t.Context(), newTicket(u)) },
		"Users.Update": func(u user.User) error {
			_, err := db.Users().Update(t.Context(), u.ID(), func(u *user.User) error { u.Disable(start); return nil },
				&ports.Along{Void: []ticket.Purpose{ticket.PasswordReset}, Letters: letters(u, 1), Audit: entries(u.ID(), 1)})
			return err
		},
		"Ledger.Record": func(u user.User) error {
			return db.Ledger().Record(t.Context(), ports.Along{Letters: letters(u, 1), Audit: entries(u.ID(), 1)})
		},
		"Products.Add": func(u user.User) error {
			return db.Products().Add(t.Context(), newProduct(t, u.ID(), product.Draft{}), &ports.Along{Answers: answers(u, 1), Letters: letters(u, 1)})
		},
		"Products.Update": func(u user.User) error {
			_, err := db.Products().Update(t.Context(), product.ID(u.ID()), func(p *product.Product) error {
				return p.Apply(product.Change{Stock: new(int64)}, start)
			}, &ports.Along{Answers: answers(u, 1), Letters: letters(u, 1), Audit: entries(u.ID(), 1)})
			return err
		},
		"Products.Delete": func(u user.User) error {
			return db.Products().Delete(t.Context(), product.ID(u.ID()), func(product.Product) error { return nil },
				&ports.Along{Letters: letters(u, 1), Audit: entries(u.ID(), 1)})
		},
	} {
		t.Run(what, func(t *testing.T) {
			u := addUser(t, db)
			owned := newProduct(t, u.ID(), product.Draft{}).State()
			owned.ID = product.ID(u.ID())
			if err := errors.Join(db.Tickets().Issue(t.Context(), newTicket(u)), second(db.Factors().Update(t.Context(), u.ID(), startFactor(u.ID()))),
				db.Products().Add(t.Context(), product.Restore(owned))); err != nil {
				t.Fatal(err)
			}
			deletion, err := connect(t, url).Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer deletion.Rollback(context.Background())
			if _, err := deletion.Exec(t.Context(), "SELECT FROM users WHERE id = $1 FOR UPDATE", u.ID().String()); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- act(u) }()
			awaitWaiting(t, watch, done)
			_, err = deletion.Exec(t.Context(), "DELETE FROM users WHERE id = $1", u.ID().String())
			if err = errors.Join(err, deletion.Commit(t.Context())); err != nil {
				t.Errorf("the deletion = %v", err)
			}
			if err := ignore(<-done, fault.NotFound); err != nil {
				t.Errorf("%s beside the deletion = %v, want nil or NotFound", what, err)
			}
		})
	}
}

// awaitWaiting returns when somebody waits for a lock, or has done without.
func awaitWaiting(t *testing.T, watch *pgx.Conn, done chan error) {
	t.Helper()
	for {
		select {
		case err := <-done:
			done <- err
			return
		default:
		}
		var waiting bool
		err := watch.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		if waiting {
			return
		}
	}
}

// Everything that takes locks, all at once for a few users and over midnight:
// nobody fails but for what somebody else has done, and the log is unbroken.
func TestEverythingAtOnce(t *testing.T) {
	each(t, func(t *testing.T, db *gormrepo.DB) {
		const rounds = 15
		var users []user.User
		for range 3 {
			users = append(users, addUser(t, db))
		}
		all := func(u user.User) *ports.Along {
			e := entries(u.ID(), 3)
			e[1].At = start.AddDate(0, 0, int(serial.Add(1)%2))
			return &ports.Along{
				Void: []ticket.Purpose{ticket.PasswordReset, ticket.EmailChange}, Letters: letters(u, 2), Audit: e,
			}
		}
		acts := []func(u user.User) error{
			func(u user.User) error {
				return second(db.Users().Update(t.Context(), u.ID(), func(u *user.User) error { u.Rehash(user.NewPasswordHash(newID().String())); return nil }, all(u)))
			},
			func(u user.User) error {
				return second(db.Factors().Update(t.Context(), u.ID(), func(f *factor.Factor) error {
					if f.IsZero() {
						return startFactor(u.ID())(f)
					}
					*f = factor.Factor{}
					return nil
				}, all(u)))
			},
			func(u user.User) error {
				one := newTicket(u)
				if err := db.Tickets().Issue(t.Context(), one); err != nil {
					return err
				}
				with := all(u)
				with.Redeem, with.RedeemAt = one.Key, start
				return second(db.Users().Update(t.Context(), u.ID(), func(*user.User) error { return nil }, with))
			},
			func(u user.User) error {
				with := all(u)
				with.Void = nil
				return db.Ledger().Record(t.Context(), *with)
			},
			func(u user.User) error {
				claimed, err := db.Outbox().Claim(t.Context(), start.Add(time.Hour), time.Minute, 3)
				for _, l := range claimed {
					err = errors.Join(err, db.Outbox().Done(t.Context(), l.ID))
				}
				return err
			},
			func(u user.User) error { return second(db.Tickets().Prune(t.Context(), start.Add(2*time.Hour), 2)) },
			func(u user.User) error { return db.Limiter().Forget(t.Context(), "b", "a") },
			func(u user.User) error {
				return errors.Join(second(db.Limiter().Take(t.Context(), "a", inARow, start)), second(db.Limiter().Take(t.Context(), "b", inARow, start)))
			},
			func(u user.User) error { return db.Limiter().Forget(t.Context(), "a", "b") },
		}
		var wait sync.WaitGroup
		for i, act := range acts {
			for j, u := range users {
				wait.Go(func() {
					for range rounds {
						if err := ignore(act(u), ticket.ErrInvalid, user.ErrUnknown); err != nil {
							t.Errorf("act %d = %v", i, err)
						}
					}
				})
				if j == 0 && i == 0 {
					wait.Go(func() {
						if err := db.Users().Delete(t.Context(), users[2].ID(), func(user.User) error { return nil }, &ports.Along{Audit: entries(u.ID(), 1)}); err != nil {
							t.Errorf("Delete = %v", err)
						}
					})
				}
			}
		}
		wait.Wait()
		if err := verify(t, db); err != nil {
			t.Errorf("the log = %v", err)
		}
	})
}

// What cannot be recorded leaves the connection as good as it was.
func TestRecordGivesTheConnectionBack(t *testing.T) {
	url := pgtest.Migrated(t)
	db := openURL(t, url, gormrepo.PoolOptions{MaxConns: 1})
	u, nobody := addUser(t, db), newUser(t, "nobody@example.com")
	watch := connect(t, url)
	backend := func() (pid int) {
		t.Helper()
		if err := watch.QueryRow(t.Context(), "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()").Scan(&pid); err != nil {
			t.Fatal(err)
		}
		return pid
	}
	before := backend()
	for range 3 {
		if err := db.Ledger().Record(t.Context(), ports.Along{Letters: letters(nobody, 1), Audit: entries(u.ID(), 1)}); !errors.Is(err, user.ErrUnknown) {
			t.Errorf("Record(letter to nobody) = %v, want ErrUnknown", err)
		}
		record(t, db, entries(u.ID(), 1)...)
	}
	if after := backend(); after != before {
		t.Errorf("Record cost the connection: the backend was %d and is %d", before, after)
	}
	if err := verify(t, db); err != nil {
		t.Error(err)
	}
}

// A database may have another default than READ COMMITTED, under which who waits
// for a row fails when he gets it.
func TestAtOnceWhereRepeatableReadIsTheDefault(t *testing.T) {
	url := pgtest.Migrated(t)
	c := connect(t, url)
	if _, err := c.Exec(t.Context(), "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = ''repeatable read''', current_database()); END $$"); err != nil {
		t.Fatal(err)
	}
	db := openURL(t, url, gormrepo.PoolOptions{MaxConns: 8, StatementTimeout: time.Minute})
	u := addUser(t, db)
	var wait sync.WaitGroup
	for range 30 {
		wait.Go(func() {
			if err := errors.Join(
				second(db.Limiter().Take(t.Context(), "key", throttle.Rule{Window: time.Hour}, start)),
				db.Ledger().Record(t.Context(), ports.Along{Audit: entries(u.ID(), 1)}),
				second(db.Users().Update(t.Context(), u.ID(), func(*user.User) error { return nil }, &ports.Along{Audit: entries(u.ID(), 1)})),
			); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if v, err := db.Limiter().Take(t.Context(), "key", throttle.Rule{Window: time.Hour}, start); err != nil || v.Tries != 31 {
		t.Errorf("Take = %+v, %v, want the 31st", v, err)
	}
	if err := verify(t, db); err != nil {
		t.Error(err)
	}
}

// No key that is taken but that of an address is told as an address.
func TestTakenIsNoAddress(t *testing.T) {
	each(t, func(t *testing.T, db *gormrepo.DB) {
		ann, bob := addUser(t, db), addUser(t, db)
		one := letters(ann, 1)
		if err := db.Ledger().Record(t.Context(), ports.Along{Letters: one}); err != nil {
			t.Fatal(err)
		}
		his, hers := newTicket(bob), newTicket(ann)
		hers.Key = his.Key
		if err := db.Tickets().Issue(t.Context(), his); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"Record(letter twice)": db.Ledger().Record(t.Context(), ports.Along{Letters: one}),
			"Add(letter twice)":    db.Users().Add(t.Context(), newUser(t, "third@example.com"), &ports.Along{Letters: one}),
			"Update(letter twice)": second(db.Users().Update(t.Context(), ann.ID(), func(u *user.User) error { u.Disable(start); return nil }, &ports.Along{Letters: one})),
			"Issue(a taken key)":   db.Tickets().Issue(t.Context(), hers),
		} {
			if !errors.Is(err, fault.Conflict) || errors.Is(err, user.ErrEmailTaken) {
				t.Errorf("%s = %v, want another Conflict than a taken address", what, err)
			}
		}
	})
}

// A letter that a newer release has put in waits for a node of that release, and
// is in nobody's way.
func TestUnknownKindsWait(t *testing.T) {
	eachWritable(t, func(t *testing.T, db writable) {
		u := addUser(t, db.DB)
		both := letters(u, 2)
		if err := db.Ledger().Record(t.Context(), ports.Along{Letters: both}); err != nil {
			t.Fatal(err)
		}
		db.must(t, "UPDATE outbox SET kind = 'from_the_future' WHERE id = '"+both[0].ID.String()+"'")
		claimed, err := db.Outbox().Claim(t.Context(), start, time.Minute, 10)
		if err != nil || len(claimed) != 1 || claimed[0].ID != both[1].ID {
			t.Errorf("Claim = %+v, %v, want the letter that is known", claimed, err)
		}
		db.must(t, "UPDATE outbox SET kind = 'new_device'")
		claimed, err = db.Outbox().Claim(t.Context(), start, time.Minute, 10)
		if err != nil || len(claimed) != 1 || claimed[0].ID != both[0].ID || claimed[0].Attempt != 1 {
			t.Errorf("Claim = %+v, %v, want the other letter, for the first time", claimed, err)
		}
	})
}

// A factor that was removed and set up anew meanwhile is not taken for the one
// that was read, though both have been written once.
func TestFactorSetUpAnew(t *testing.T) {
	each(t, func(t *testing.T, db *gormrepo.DB) {
		u := addUser(t, db)
		factors := db.Factors()
		update := func(change func(*factor.Factor) error) {
			t.Helper()
			if _, err := factors.Update(t.Context(), u.ID(), change); err != nil {
				t.Fatal(err)
			}
		}
		update(startFactor(u.ID()))
		tried := 0
		var seen []factor.State
		update(func(f *factor.Factor) error {
			seen = append(seen, f.State())
			if tried++; tried == 1 {
				update(func(f *factor.Factor) error { *f = factor.Factor{}; return nil })
				update(startFactor(u.ID()))
			}
			return f.Confirm(7, nil, start)
		})
		got, err := factors.Find(t.Context(), u.ID())
		if err != nil || tried != 2 || !got.On() || string(got.Secret()) != string(seen[len(seen)-1].Secret) {
			t.Errorf("Find = %+v, %v after %d tries, want the second factor on, confirmed in the second try", got.State(), err, tried)
		}
	})
}

// What a user did and met with is read by indexes, however long the log.
func TestRowsOfUsesIndexes(t *testing.T) {
	tracer := &counter{}
	url := pgtest.Migrated(t)
	db := openURL(t, url, gormrepo.PoolOptions{MaxConns: 1, Tracer: tracer, StatementTimeout: time.Minute})
	c := connect(t, url)
	if _, err := c.Exec(t.Context(), `INSERT INTO audit_log SELECT '2026-03-01', n, gen_random_uuid(), $1::timestamptz + n * interval '1 second', 'e', 'o',
		CASE n % 3 WHEN 0 THEN gen_random_uuid() END, CASE n % 3 WHEN 1 THEN 'user' ELSE '' END, gen_random_uuid()::text, '', '', '', '{}', ''
		FROM generate_series(1, 5000) n`, start); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), "ANALYZE audit_log"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Ledger().RowsOf(t.Context(), user.ID{UUID: newID()}, 10); err != nil {
		t.Fatal(err)
	}
	plan := explain(t, url, tracer.last())
	for _, name := range []string{"audit_log_actor_id_idx", "audit_log_subject_id_idx"} {
		if !strings.Contains(plan, name) || strings.Contains(plan, "Seq Scan") {
			t.Errorf("the plan of %s is\n%s\nwant it to go by %s", tracer.last().SQL, plan, name)
		}
	}
}

// What is pruned is found by indexes, and what somebody holds is passed over.
func TestPruning(t *testing.T) {
	tracer := &counter{}
	url := pgtest.Migrated(t)
	db := openURL(t, url, gormrepo.PoolOptions{MaxConns: 1, Tracer: tracer, StatementTimeout: time.Minute})
	c := connect(t, url)
	for table, fill := range map[string]string{
		"throttles": `INSERT INTO throttles SELECT 'key ' || n, 1, n, n, false FROM generate_series(1, 20000) n`,
		"tickets": `WITH who AS (INSERT INTO users SELECT gen_random_uuid(), '', n::text, '', '[]', 'active', true, '', 0, 1, now(), now() FROM generate_series(1, 20000) n RETURNING id)
			INSERT INTO tickets SELECT id::text, id, 'password_reset', '', '', '2026-01-01', timestamptz '2026-01-01' + row_number() OVER () * interval '1 second' FROM who`,
	} {
		t.Run(table, func(t *testing.T) {
			if _, err := c.Exec(t.Context(), fill); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Exec(t.Context(), "ANALYZE "+table); err != nil {
				t.Fatal(err)
			}
			prune := func(limit int) (int, error) {
				if table == "tickets" {
					return db.Tickets().Prune(t.Context(), start, limit)
				}
				return db.Limiter().Prune(t.Context(), start, limit)
			}
			held, err := connect(t, url).Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer held.Rollback(context.Background())
			if _, err := held.Exec(t.Context(), "SELECT FROM "+table+" LIMIT 5 FOR UPDATE"); err != nil {
				t.Fatal(err)
			}
			if n, err := prune(1000); err != nil || n != 1000 {
				t.Errorf("Prune = %d, %v, want 1000", n, err)
			}
			plan := explain(t, url, tracer.last())
			if strings.Contains(plan, "Seq Scan") {
				t.Errorf("the plan of %s is\n%s\nwant it to go by indexes", tracer.last().SQL, plan)
			}
			if n, err := prune(100_000); err != nil || n != 20_000-1000-5 {
				t.Errorf("Prune = %d, %v, want all but what is held", n, err)
			}
		})
	}
}

// The log outlives the user whose ids are in it; all else that is a user's goes.
func TestOnlyTheLogIsLeft(t *testing.T) {
	each(t, func(t *testing.T, db *gormrepo.DB) {
		u := addUser(t, db)
		err := errors.Join(
			db.Tickets().Issue(t.Context(), newTicket(u)),
			second(db.Factors().Update(t.Context(), u.ID(), startFactor(u.ID()))),
			db.Ledger().Record(t.Context(), ports.Along{Letters: letters(u, 2), Audit: entries(u.ID(), 2)}),
			db.Users().Delete(t.Context(), u.ID(), func(user.User) error { return nil }, &ports.Along{Audit: entries(u.ID(), 1)}),
		)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := db.Ledger().RowsOf(t.Context(), u.ID(), 10)
		if err != nil || len(rows) != 3 {
			t.Errorf("RowsOf(who was deleted) = %d, %v, want 3", len(rows), err)
		}
		if n, _, err := db.Outbox().Waiting(t.Context()); err != nil || n != 0 {
			t.Errorf("Waiting = %d, %v, want none", n, err)
		}
	})
}

// A change whose connection is found dead before anything was sent is made on
// another: nobody can have seen the first.
func TestAWriteOnADeadConnection(t *testing.T) {
	pool := lender.Pool(t)
	db := openPool(t, pool)
	p := addProduct(t, db, addUser(t, db).ID(), product.Draft{})
	stock := int64(7)
	got, err := db.Products().Update(t.Context(), p.ID(), func(p *product.Product) error {
		for _, c := range pool.AcquireAllIdle(t.Context()) {
			_ = c.Conn().PgConn().Conn().Close() // without a word to pgx
			c.Release()
		}
		return p.Apply(product.Change{Stock: &stock}, start)
	})
	if err != nil || got.Stock() != stock {
		t.Errorf("Update = stock %d, %v, want %d", got.Stock(), err, stock)
	}
}
