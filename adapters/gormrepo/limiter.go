package gormrepo

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"gatehouse/domain/throttle"
	"gatehouse/ports"
)

var _ ports.Limiter = (*Limiter)(nil)

// Limiter counts tries. Its statements compute what throttle.Counter does, in
// microseconds, on the row as it is while they hold it; the contract compares
// the two on random tries.
type Limiter struct{ db *DB }

// The parameters of a taking.
const (
	takeFresh   = "$1, $2, $3, $4" // key, tries, since and blocked_until of a counter under which this is the first try
	takeWindow  = "CAST($5 AS bigint)"
	takeLimit   = "CAST($6 AS bigint)"
	takePause   = "CAST($7 AS bigint)" // the first
	takeLongest = "CAST($8 AS bigint)"
)

// The statements of the two kinds of rules.
var (
	takeInARow = taking("throttles.blocked_until", "excluded.since", "excluded.since + LEAST("+
		takePause+" << CAST(LEAST(throttles.tries + 1 - "+takeLimit+", "+strconv.Itoa(throttle.MaxDoublings)+") AS integer), "+takeLongest+")")
	takePerWindow = taking("throttles.since", "throttles.since", "throttles.since + "+takeWindow)
)

// taking makes the statement that asks for a try. A row that is there is
// throttles, the fresh one excluded, whose since is now. from is the moment with
// which the window begins that a counter outlives, since what it counts from
// when this try is granted, and blocked when the pause ends that this try begins.
func taking(from, since, blocked string) string {
	const waits = "throttles.blocked_until > throttles.since AND throttles.blocked_until > excluded.since"
	forgotten := "throttles.tries = 0 OR excluded.since >= " + from + " + " + takeWindow
	either := func(column, counted string) string {
		return column + " = CASE WHEN " + waits + " THEN throttles." + column +
			" WHEN " + forgotten + " THEN excluded." + column + " " + counted + " END"
	}
	return "INSERT INTO throttles (key, tries, since, blocked_until, refused) VALUES (" + takeFresh + ", FALSE)" +
		" ON CONFLICT (key) DO UPDATE SET refused = " + waits + ", " +
		either("tries", "ELSE throttles.tries + 1") + ", " +
		either("since", "ELSE "+since) + ", " +
		either("blocked_until", "WHEN throttles.tries + 1 < "+takeLimit+" THEN "+since+" ELSE "+blocked) +
		" RETURNING tries, since, blocked_until, refused"
}

// inSQLite writes a statement in the words of SQLite.
var inSQLite = strings.NewReplacer("$", "?", "LEAST(", "min(")

// Take asks for a try, with one statement.
func (s *Limiter) Take(ctx context.Context, key string, r throttle.Rule, now time.Time) (throttle.Verdict, error) {
	counter, _ := throttle.Counter{}.Take(r, now)
	at := counter.Since
	statement, args := takeInARow, []any{
		key, counter.Tries, at.UnixMicro(), counter.Blocked.UnixMicro(), r.Window.Microseconds(), bound(r),
	}
	if r.PerWindow {
		statement = takePerWindow
	} else {
		args = append(args, r.Pause.Microseconds(), r.MaxPause.Microseconds())
	}
	var since, blocked int64
	var v throttle.Verdict
	var refused bool
	err := s.write(ctx, []any{&v.Tries, &since, &blocked, &refused}, statement, args)
	if err != nil {
		return throttle.Verdict{}, s.db.failed("take a try", err, nil)
	}
	v.Granted = !refused
	if blocked > since {
		v.Wait = max(time.UnixMicro(blocked).Sub(at), 0)
	}
	return v, nil
}

// write runs a statement on the writer and reads the row that it gives, without
// GORM, which reads no numbered parameters.
func (s *Limiter) write(ctx context.Context, dest []any, statement string, args []any) error {
	if !s.db.lite {
		return s.db.one(ctx, dest, statement, args...)
	}
	handle, err := s.db.write.DB()
	if err != nil {
		return err
	}
	return handle.QueryRowContext(ctx, inSQLite.Replace(statement), args...).Scan(dest...)
}

// bound is how many tries a rule grants before a pause: any number if it is off.
func bound(r throttle.Rule) int64 {
	if r.Off() {
		return math.MaxInt64
	}
	return int64(r.Limit)
}

// Return takes back one try.
func (s *Limiter) Return(ctx context.Context, key string, r throttle.Rule) error {
	_, err := s.db.exec(ctx, "return a try",
		"UPDATE throttles SET tries = CASE WHEN tries > 0 THEN tries - 1 ELSE 0 END,"+
			" blocked_until = CASE WHEN tries - 1 < ? THEN since ELSE blocked_until END WHERE key = ?", bound(r), key)
	return err
}

// Forget deletes counters. Two that forget some of the same at once lock them in
// one order.
func (s *Limiter) Forget(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return s.db.failed("forget tries", ctx.Err(), nil)
	}
	rows := "SELECT key FROM throttles WHERE key IN ? ORDER BY key"
	if !s.db.lite {
		rows += " FOR UPDATE"
	}
	_, err := s.db.exec(ctx, "forget tries", "DELETE FROM throttles WHERE key IN ("+rows+")", keys)
	return err
}

// Prune deletes counters that are over.
func (s *Limiter) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.db.prune(ctx, "throttles", "key", "blocked_until < ?", "blocked_until", before.UnixMicro(), limit)
}
