package ottercache

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/domain/user"
)

// Channel is where the triggers of migration 0017 tell what was changed.
const Channel = "gatehouse_sessions"

// lock is held, shared, by all who listen. The triggers try it: where nobody
// holds it, nobody is told, and a change costs what it did before (PostgreSQL
// has all that notify commit one after the other).
const lock int64 = 0x6761746563616368 // "gatecach"

// Postgres opens a connection of its own to a PostgreSQL, beside those of any
// pool, and listens on it. It does not work through a pooler that hands
// connections out by the transaction (pgbouncer in its modes transaction and
// statement): no heartbeat comes back then, and the cache stays off.
func Postgres(url string) func(context.Context) (Wire, error) {
	return func(ctx context.Context) (Wire, error) {
		c, err := pgx.ParseConfig(url)
		if err != nil {
			return nil, err
		}
		// A pooler may refuse what it does not know.
		c.RuntimeParams["application_name"] = applicationName(c.RuntimeParams["application_name"])
		conn, err := pgx.ConnectConfig(ctx, c)
		if err != nil {
			return nil, err
		}
		w := &postgres{conn: conn}
		if err := w.listen(ctx); err != nil {
			w.Close()
			return nil, err
		}
		return w, nil
	}
}

// Teller gives a Config.Tell over a pool, which may go through a pooler.
func Teller(pool *pgxpool.Pool) func(context.Context, user.ID) error {
	return func(ctx context.Context, id user.ID) error {
		_, err := pool.Exec(ctx, "SELECT pg_notify($1, $2)", Channel, string(userPrefix)+id.String())
		return err
	}
}

func applicationName(given string) string {
	if given == "" {
		given = "gatehouse"
	}
	return given + " listening"
}

type postgres struct{ conn *pgx.Conn }

// listen prepares the connection. The lock comes last: who finds it held finds
// somebody who listens.
func (w *postgres) listen(ctx context.Context) error {
	for _, statement := range []string{
		// A heartbeat is nothing that has to survive a crash, so it waits for no
		// disk, and holds up nobody who notifies.
		"SET synchronous_commit = off",
		"SET statement_timeout = 0",
		// A process that is stopped, with its connection open, must not have the
		// queue of notifications grow until it wakes. PostgreSQL before 14 does not
		// know that.
		"SELECT set_config(name, '60s', false) FROM pg_settings WHERE name = 'idle_session_timeout'",
		"LISTEN " + Channel,
	} {
		if _, err := w.conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	_, err := w.conn.Exec(ctx, "SELECT pg_advisory_lock_shared($1)", lock)
	return err
}

// Beat implements Wire.
func (w *postgres) Beat(ctx context.Context, text string) error {
	_, err := w.conn.Exec(ctx, "SELECT pg_notify($1, $2)", Channel, text)
	return err
}

// Hear implements Wire.
func (w *postgres) Hear(ctx context.Context) (string, error) {
	for {
		n, err := w.conn.WaitForNotification(ctx)
		if err != nil {
			return "", err
		}
		// The heartbeats of others are none of ours. Behind a pooler the number of
		// the backend is not the one that the connection began with, and that is
		// well: a pooler may bring back our own and lose what others tell.
		if what, _ := read(n.Payload); what == beat && n.PID != w.conn.PgConn().PID() {
			continue
		}
		return n.Payload, nil
	}
}

// closeTime is for saying good-bye, which is no more than polite.
const closeTime = time.Second

// Close implements Wire.
func (w *postgres) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	_ = w.conn.Close(ctx) // there is nothing that could be lost
}
