package pgtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Lender lends migrated databases, with the connections to them, to one test
// after the other: to begin a connection costs PostgreSQL more than most tests
// do. What a test did to the rows is undone before the next one has them; a
// database whose tables it altered is not lent again.
type Lender struct {
	// Open opens a pool over a database.
	Open func(ctx context.Context, url string) (*pgxpool.Pool, error)

	mu   sync.Mutex
	idle []*loan
}

// loan is a database and the pool over it.
type loan struct {
	name  string
	admin string
	pool  *pgxpool.Pool
	shape string // of the tables, when they were new
}

// Pool lends a database that holds what migrations put there, until the test
// ends. A test may cut its connections and close the pool, but whoever wants
// tables altered takes [Migrated], and so does one that reads plans: this one
// has had other rows.
func (l *Lender) Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	one, err := l.take(t)
	if err != nil {
		t.Fatalf("pgtest: lending a database: %v", err)
	}
	t.Cleanup(func() { l.give(t, one) })
	return one.pool
}

func (l *Lender) take(t testing.TB) (*loan, error) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.idle); n > 0 {
		one := l.idle[n-1]
		l.idle = l.idle[:n-1]
		return one, nil
	}
	from := admin(t)
	name, err := template(from)
	if err != nil {
		return nil, err
	}
	one := &loan{name: unique("lent"), admin: from}
	if err := one.make(l.Open, name); err != nil {
		return nil, errors.Join(err, one.end())
	}
	onRelease(func() error { return l.release() })
	return one, nil
}

// make copies the database and notes in it how to undo what tests do.
func (o *loan) make(open func(context.Context, string) (*pgxpool.Pool, error), template string) error {
	if err := copied(o.admin, o.name, template); err != nil {
		return err
	}
	url := within(o.admin, o.name)
	if err := execute(url, notePristine); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	if o.pool, err = open(ctx, url); err != nil {
		return err
	}
	o.shape, err = o.restore(ctx)
	return err
}

// give takes the database back, empties it, and keeps it for the next test.
func (l *Lender) give(t testing.TB, one *loan) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for one.pool.Stat().AcquiredConns() > 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond) // whoever has it gives it back just after the test
	}
	if ctx.Err() != nil {
		t.Errorf("pgtest: %d connections are still in use after the test", one.pool.Stat().AcquiredConns())
		return
	}
	if shape, err := one.restore(ctx); err != nil || shape != one.shape {
		if err := one.end(); err != nil { // closed, cut or altered: none of our business
			t.Errorf("pgtest: %v", err)
		}
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = append(l.idle, one)
}

// restore makes the rows those of a new database, and returns the shape of what
// holds them.
func (o *loan) restore(ctx context.Context) (shape string, err error) {
	err = o.pool.QueryRow(ctx, "SELECT pristine.restore()").Scan(&shape)
	return shape, err
}

func (o *loan) end() error {
	if o.pool != nil {
		o.pool.Close()
	}
	return dropped(o.admin, o.name)
}

// release drops what is lent to nobody.
func (l *Lender) release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, one := range l.idle {
		errs = append(errs, one.end())
	}
	l.idle = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("dropping what was lent: %w", err)
	}
	return nil
}

// notePristine keeps a copy of what a new database holds, and a function that
// brings it back. Foreign keys and triggers rest meanwhile, since all of it is
// as they left it. A table that grew large is cut off, lest its dead rows slow
// the next test down.
const notePristine = `
CREATE SCHEMA pristine;
DO $$ DECLARE t text; filled boolean; BEGIN
	FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
		EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', t) INTO filled;
		IF filled THEN EXECUTE format('CREATE TABLE pristine.%I AS TABLE public.%I', t, t); END IF;
	END LOOP;
END $$;
CREATE FUNCTION pristine.restore() RETURNS text LANGUAGE plpgsql AS $$ DECLARE t text; shape text; BEGIN
	PERFORM set_config('session_replication_role', 'replica', true);
	FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
		IF pg_relation_size(format('public.%I', t)) > 1000000 THEN
			EXECUTE format('TRUNCATE public.%I CASCADE', t);
		ELSE
			EXECUTE format('DELETE FROM public.%I', t);
		END IF;
	END LOOP;
	FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'pristine' LOOP
		EXECUTE format('INSERT INTO public.%I OVERRIDING SYSTEM VALUE SELECT * FROM pristine.%I', t, t);
	END LOOP;
	PERFORM setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
		FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL AND sequencename NOT LIKE 'goose%';
	SELECT concat_ws(' ',
		(SELECT string_agg(c.oid::text || c.relname, ',' ORDER BY c.oid) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace),
		(SELECT sum(hashtext(a.attname || a.attnum || ':' || a.attrelid)) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
			WHERE c.relnamespace = 'public'::regnamespace AND NOT a.attisdropped),
		(SELECT sum(oid::bigint) FROM pg_constraint), (SELECT sum(oid::bigint + ascii(tgenabled)) FROM pg_trigger),
		(SELECT string_agg(oid::text || ':' || xmin::text, ',' ORDER BY oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace)
	) INTO shape;
	RETURN shape;
END $$`
