package main

import (
	"context"
	"database/sql"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx" of the migrations

	"gatehouse/adapters/fiberstore"
	"gatehouse/adapters/gormrepo"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/migrations"
	"gatehouse/tests/pgtest"
)

type pgScale struct {
	figures
	pool  *pgxpool.Pool
	store *fiberstore.Sessions
}

func measurePostgres(ctx context.Context, n int) (*figures, error) {
	// The log as in production, with checkpoints as far apart as by default.
	server, err := pgtest.LaunchWith(ctx, "full_page_writes=on", "max_wal_size=4GB", "checkpoint_timeout=5min", "shared_buffers=512MB")
	if err != nil {
		return nil, err
	}
	defer server.Close()
	url := server.URL("postgres")
	if err := migrate(ctx, url); err != nil {
		return nil, err
	}
	p := &pgScale{}
	if p.pool, err = gormrepo.NewPool(ctx, url, gormrepo.PoolOptions{MaxConns: 8, StatementTimeout: time.Hour}); err != nil {
		return nil, err
	}
	defer p.pool.Close()
	if p.store, err = fiberstore.OpenPostgres(ctx, p.pool, nil); err != nil {
		return nil, err
	}
	return &p.figures, p.measure(ctx, n)
}

func migrate(ctx context.Context, url string) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer db.Close()
	m, err := migrations.NewPostgres(db)
	if err != nil {
		return err
	}
	_, err = m.Up(ctx)
	return err
}

// fill makes sessions out of one that the store has written: in its value the
// user, the handle and the times are others (adapters/fiberstore/codec.go).
const fill = `INSERT INTO user_sessions (k, v, e)
	SELECT encode(sha256(n::text::bytea), 'hex'),
		uuid_send(u.id) || substring(t.v FROM 17 FOR 1) || uuid_send(gen_random_uuid()) || substring(t.v FROM 34 FOR 24)
			|| int8send(t.idle_end + n) || substring(t.v FROM 66), t.e
	FROM (SELECT id, row_number() OVER () AS nth FROM users) u, (SELECT v, e, idle_end FROM user_sessions LIMIT 1) t,
		generate_series($1::bigint * u.nth, $1::bigint * u.nth + $1 - 1) n`

// register makes users, of whom nothing but what is needed is measured here.
const register = `INSERT INTO users (id, email, email_canonical, name, roles, status, email_verified, password_hash, session_epoch, revision, search, created_at, updated_at)
	SELECT id, address, address, '', '["user"]', 'active', true, 'x', 0, 1, '', now(), now()
	FROM (SELECT gen_random_uuid() AS id, 'user' || n || '@example.com' AS address FROM generate_series(1, $1) n) new`

func (p *pgScale) measure(ctx context.Context, n int) error {
	if err := p.first(ctx); err != nil {
		return err
	}
	if err := p.exec(ctx, register, n/perUser-1); err != nil {
		return err
	}
	begun := time.Now()
	if err := p.exec(ctx, fill, perUser); err != nil {
		return err
	}
	p.add("sessions written by one statement", float64(n)/time.Since(begun).Seconds(), "a second", false)
	if err := p.exec(ctx, "VACUUM ANALYZE user_sessions"); err != nil {
		return err
	}
	rows := p.number(ctx, "SELECT count(*) FROM user_sessions")
	p.add("table, of a session", p.number(ctx, "SELECT pg_table_size('user_sessions')")/rows, "bytes", true)
	p.add("its four indexes, of a session", p.number(ctx, "SELECT pg_indexes_size('user_sessions')")/rows, "bytes", true)
	return p.oneByOne(ctx, n)
}

// first registers somebody and signs them in.
func (p *pgScale) first(ctx context.Context) error {
	db, err := gormrepo.OpenPostgres(p.pool, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	email, err := user.NewEmail("first@example.com")
	if err != nil {
		return err
	}
	one := newSession(0)
	if err := db.Users().Add(ctx, user.New(one.UserID(), email, user.Name{}, user.NewPasswordHash("x"), began)); err != nil {
		return err
	}
	return p.store.Add(ctx, one)
}

// oneByOne measures what is done to one session at a time, of users chosen at
// random. After a checkpoint the first change of each page puts all of it into
// the log (full_page_writes), which for random keys is nearly every change.
func (p *pgScale) oneByOne(ctx context.Context, n int) error {
	ops := min(operations, n/10)
	owners, err := p.texts(ctx, "SELECT id::text FROM users ORDER BY random() LIMIT $1", ops)
	if err != nil {
		return err
	}
	begin := func(i int) session.Session {
		s := newSession(1_000_000_000 + i).State()
		s.UserID, _ = user.ParseID(owners[i])
		return session.Restore(s)
	}
	now := began.Add(10 * time.Minute)
	for _, step := range []struct {
		what  string
		again bool // may be done to the same session twice
		act   func(i int) error
	}{
		{"a sign-in", false, func(i int) error { return p.store.Add(ctx, begin(i)) }},
		{"a renewal", true, func(i int) error {
			next, _ := begin(i).Renewed(session.DefaultLifetime, now)
			return p.store.Replace(ctx, next.Key(), next, session.Reason{}, now)
		}},
		{"an end", false, func(i int) error {
			_, err := p.store.End(ctx, begin(i).Key(), session.Ending{Why: session.SignedOut, At: now})
			return err
		}},
	} {
		if err := p.exec(ctx, "CHECKPOINT"); err != nil {
			return err
		}
		lsn := p.written(ctx)
		if _, err := each(ops, step.act); err != nil {
			return err
		}
		p.add("log of "+step.what+", its pages new to the log", (p.written(ctx)-lsn)/float64(ops), "bytes", false)
		if !step.again {
			continue
		}
		lsn = p.written(ctx)
		if _, err := each(ops, step.act); err != nil {
			return err
		}
		p.add("log of "+step.what+", its pages in the log", (p.written(ctx)-lsn)/float64(ops), "bytes", false)
	}
	return p.prune(ctx, n)
}

func (p *pgScale) prune(ctx context.Context, n int) error {
	begun, pruned := time.Now(), 0
	lsn := p.written(ctx)
	for pruned < n/10 {
		k, err := p.store.Prune(ctx, began.Add(48*time.Hour), 1000)
		if err != nil {
			return err
		}
		if k == 0 {
			break
		}
		pruned += k
	}
	p.add("sessions pruned, by one node", float64(pruned)/time.Since(begun).Seconds(), "a second", false)
	p.add("log of a session that is pruned", (p.written(ctx)-lsn)/float64(pruned), "bytes", false)
	past := p.number(ctx, "SELECT count(*) FROM past_sessions")
	p.add("what is left of one that is over, for 30 days", p.number(ctx, "SELECT pg_total_relation_size('past_sessions')")/past, "bytes", true)
	return nil
}

func (p *pgScale) exec(ctx context.Context, statement string, args ...any) error {
	_, err := p.pool.Exec(ctx, statement, args...)
	return err
}

func (p *pgScale) number(ctx context.Context, query string) (v float64) {
	_ = p.pool.QueryRow(ctx, "SELECT ("+query+")::float8").Scan(&v) // a zero is seen
	return v
}

// written is how much log there is.
func (p *pgScale) written(ctx context.Context) float64 {
	return p.number(ctx, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")
}

func (p *pgScale) texts(ctx context.Context, query string, args ...any) (all []string, err error) {
	rows, err := p.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}
