package fiberstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"gatehouse/adapters/batch"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Add stores a new session.
func (s *Sessions) Add(ctx context.Context, new session.Session) error {
	err := s.storage.SetWithContext(ctx, new.Key().Hex(), encode(new), expiry(new, new.SeenAt()))
	return failed("add session", err)
}

// expiry is how long the storage is to keep a session, from now on by its own
// clock. It keeps whole seconds and drops the fraction: one more than the
// session needs, rounded up, and the row never goes before the session ends.
func expiry(s session.Session, now time.Time) time.Duration {
	left := s.IdleEnd().Sub(now)
	return max(left.Truncate(time.Second), 0) + 2*time.Second
}

// Resume reads the session, its user and the policy version with one statement,
// and with the same one what the request will want (ports.Ahead). Requests that
// come at the same moment share it.
func (s *Sessions) Resume(ctx context.Context, k session.Key) (session.Resumed, error) {
	var f found
	var err error
	if a := ports.AheadOf(ctx); a != nil && s.ahead != nil {
		if f, err = s.withProduct.Load(ctx, wanted{k, a.ID()}); err == nil {
			a.Keep(f.product)
		}
	} else {
		f, err = s.alone.Load(ctx, wanted{key: k})
	}
	return f.resumed, failed("resume session", err)
}

// wanted is what one request looks for, and found what there is of it.
type wanted struct {
	key     session.Key
	product product.ID
}

type found struct {
	resumed session.Resumed
	product ports.Found
}

// How sessions are resumed: one, or several, each looked up by itself. OFFSET 0
// keeps the planner from joining the tables as a whole, whatever it takes their
// size for. And it is not to see how many keys there are, or it would make a plan
// for each number of them.
const (
	resumeColumns = "s.v, (SELECT version FROM policy_state), " + ownerColumns
	resumeFrom    = " FROM user_sessions s JOIN users u ON u.id = s.user_id"
	resumeOne     = " WHERE s.k = $1"
	resumeEach    = " WHERE s.k = q.k OFFSET 0) r"
)

// resuming are the statements that resume one session and several.
type resuming struct{ one, several string }

var resumingAlone = resuming{
	one: "SELECT 1, " + resumeColumns + resumeFrom + resumeOne,
	several: "SELECT q.n, r.* FROM unnest((SELECT $1::text[])) WITH ORDINALITY AS q(k, n)" +
		" CROSS JOIN LATERAL (SELECT " + resumeColumns + resumeFrom + resumeEach,
}

// resumingAhead reads a product with each.
func resumingAhead(ahead ProductAhead) resuming {
	with := func(id string) string {
		return resumeColumns + ", p.*" + resumeFrom + " LEFT JOIN LATERAL (" + ahead.Query(id) + ") p ON TRUE"
	}
	return resuming{
		one: "SELECT 1, " + with("$2") + resumeOne,
		several: "SELECT q.n, r.* FROM unnest((SELECT $1::text[]), (SELECT $2::uuid[])) WITH ORDINALITY AS q(k, id, n)" +
			" CROSS JOIN LATERAL (SELECT " + with("q.id") + resumeEach,
	}
}

// resumeAll resumes sessions for many requests at once.
func (s *Sessions) resumeAll(ctx context.Context, all []wanted, answers []batch.Answer[found]) error {
	if len(all) == 1 {
		return s.resume(ctx, all, answers, nil, resumingAlone.one, all[0].key.Hex())
	}
	return s.resume(ctx, all, answers, nil, resumingAlone.several, keysOf(all))
}

// resumeAllAhead does so, and reads the product of each.
func (s *Sessions) resumeAllAhead(ctx context.Context, all []wanted, answers []batch.Answer[found]) error {
	if len(all) == 1 {
		return s.resume(ctx, all, answers, s.ahead, s.resumingAhead.one, all[0].key.Hex(), all[0].product.String())
	}
	ids := make([]string, len(all))
	for i, w := range all {
		ids[i] = w.product.String()
	}
	return s.resume(ctx, all, answers, s.ahead, s.resumingAhead.several, keysOf(all), ids)
}

func keysOf(all []wanted) []string {
	keys := make([]string, len(all))
	for i, w := range all {
		keys[i] = w.key.Hex()
	}
	return keys
}

// resume reads the rows that a statement gives, each with the place in all.
func (s *Sessions) resume(ctx context.Context, all []wanted, answers []batch.Answer[found], ahead ProductAhead, statement string, args ...any) error {
	return s.reading(ctx, func() error {
		for i := range answers {
			answers[i] = batch.Answer[found]{Err: pgx.ErrNoRows}
		}
		rows, err := s.storage.Conn().Query(ctx, statement, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var n int
		var r resumedRow
		dest := r.fields(&n)
		for rows.Next() {
			var f found
			if ahead == nil {
				err = rows.Scan(dest...)
			} else {
				f.product, err = ahead.Scan(rows, len(dest), dest)
			}
			if err != nil {
				return err
			}
			f.resumed, err = r.resumed(all[n-1].key)
			answers[n-1] = batch.Answer[found]{Value: f, Err: err}
		}
		return rows.Err()
	})
}

// resumedRow is a row of the statements above.
type resumedRow struct {
	value   pgtype.DriverBytes // good until the next row
	version *int64
	owner   ownerRow
}

func (r *resumedRow) fields(n *int) []any {
	return append(append(make([]any, 0, 32), n, &r.value, &r.version), r.owner.fields()...)
}

func (r *resumedRow) resumed(k session.Key) (session.Resumed, error) {
	if r.version == nil { // somebody deleted it, and that is not "no policy"
		return session.Resumed{}, fault.Outage(errors.New("fiberstore: policy_state has no row"))
	}
	one, err := decode(k, r.value)
	if err != nil {
		return session.Resumed{}, err
	}
	u, err := r.owner.user(one.UserID())
	if err != nil {
		return session.Resumed{}, err
	}
	return session.Resumed{Session: one, User: u, PolicyVersion: *r.version}, nil
}

// Replace alters what is still there. A rotation that raced with this one has
// taken the row away from k, and so has an ending.
func (s *Sessions) Replace(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
	expires := time.Now().Add(expiry(next, now)).Unix() // as the storage does it
	args := []any{next.Key().Hex(), encode(next), expires, k.Hex(), now.UnixMicro()}
	statement := "UPDATE user_sessions SET k = $1, v = $2, e = $3 WHERE k = $4 AND idle_end > $5"
	if !why.IsZero() {
		statement, args = replaceAndLeave, append(args, why.String())
	}
	n, err := s.exec(ctx, "replace session", statement, args...)
	if err == nil && n == 0 {
		return session.ErrUnknown
	}
	return err
}

// replaceAndLeave is the statement of Replace, with what is left of the old key.
const replaceAndLeave = `WITH was AS (
		SELECT s.v, s.user_id FROM user_sessions s JOIN users u ON u.id = s.user_id WHERE s.k = $4 FOR KEY SHARE OF u
	), changed AS (
		UPDATE user_sessions SET k = $1, v = $2, e = $3
		WHERE k = $4 AND idle_end > $5 AND user_id = (SELECT user_id FROM was) RETURNING k
	), kept AS (
		INSERT INTO past_sessions (k, v, user_id, why, ended_at)
		SELECT $4::text, was.v, was.user_id, $6::text, $5::bigint FROM was, changed ON CONFLICT (k) DO NOTHING
	) SELECT k FROM changed`

// A session is ended by one statement, which moves its row to past_sessions.
// All such statements take the row of the user first: the foreign key of what is
// left behind would take it last, and then an ending and a deletion of the user,
// each with a lock that the other one wants, would wait until PostgreSQL ends
// one of them. What ends several takes it for itself, so that two do not meet
// over the sessions in different orders; who signs in does not wait for it.

// end ends the sessions of one user for which a condition holds. owner finds the
// user and locks it. Both speak of $1, and of $4 and what comes later.
func end(with, owner, where string) string {
	return "WITH " + with + `owner AS (` + owner + `), gone AS (
		DELETE FROM user_sessions WHERE user_id = (SELECT id FROM owner) AND ` + where + ` RETURNING k, v, user_id
	), kept AS (
		INSERT INTO past_sessions (k, v, user_id, why, ended_at)
		SELECT k, v, user_id, $2::text, $3::bigint FROM gone ON CONFLICT (k) DO NOTHING
	) SELECT k, v FROM gone`
}

var (
	endByKey = end("", "SELECT u.id FROM users u JOIN user_sessions s ON s.user_id = u.id WHERE s.k = $1 FOR KEY SHARE OF u", "k = $1")

	endByHandle = end("", "SELECT id FROM users WHERE id = $1 FOR KEY SHARE", handle+" = $4")

	endOthers = end("", "SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE", "k <> $4")

	// The user is not locked where there is nothing to trim, which is nearly
	// always. Sessions are told by their handles: a rotation that is under way
	// changes the key.
	trim = end(`surplus AS (
			SELECT `+handle+` AS handle FROM user_sessions
			WHERE user_id = $1 AND (get_byte(v, 16) = 1 OR get_byte(v, 74) <> 0)
			ORDER BY ('x' || encode(substring(v FROM 42 FOR 8), 'hex'))::bit(64)::bigint DESC, handle DESC OFFSET $4
		), `,
		"SELECT id FROM users WHERE id = $1 AND EXISTS (SELECT FROM surplus) FOR NO KEY UPDATE",
		handle+" = ANY (ARRAY(SELECT handle FROM surplus))")
)

// handle is where the handle of a session stands in its value.
const handle = "substring(v FROM 18 FOR 16)"

// End deletes the session.
func (s *Sessions) End(ctx context.Context, k session.Key, e session.Ending) (session.Session, error) {
	return one(s.sessions(ctx, "end session", endByKey, k.Hex(), e.Why.String(), e.At.UnixMicro()))
}

// EndOne deletes the user's session with that handle.
func (s *Sessions) EndOne(ctx context.Context, id user.ID, h session.ID, e session.Ending) (session.Session, error) {
	return one(s.sessions(ctx, "end session", endByHandle, id.String(), e.Why.String(), e.At.UnixMicro(), h.UUID[:]))
}

// one is what a statement has ended that had one to end.
func one(ended []session.Session, err error) (session.Session, error) {
	if err != nil {
		return session.Session{}, err
	}
	if len(ended) == 0 {
		return session.Session{}, session.ErrUnknown
	}
	return ended[0], nil
}

// EndOthers deletes the user's sessions but one; no session has the zero key.
func (s *Sessions) EndOthers(ctx context.Context, id user.ID, keep session.Key, e session.Ending) ([]session.Session, error) {
	return s.sessions(ctx, "end sessions", endOthers, id.String(), e.Why.String(), e.At.UnixMicro(), keep.Hex())
}

// Trim deletes the user's oldest sessions. Whoever comes last sees all that were
// added, and nobody deletes one that is among the newest of those that he sees.
func (s *Sessions) Trim(ctx context.Context, id user.ID, keep int, e session.Ending) ([]session.Session, error) {
	return s.sessions(ctx, "trim sessions", trim, id.String(), e.Why.String(), e.At.UnixMicro(), max(keep, 0))
}

// List returns the user's sessions.
func (s *Sessions) List(ctx context.Context, id user.ID) ([]session.Session, error) {
	return s.sessions(ctx, "list sessions", "SELECT k, v FROM user_sessions WHERE user_id = $1", id.String())
}

// sessions runs a statement that gives keys and values, and returns the
// sessions, the most recently begun first.
func (s *Sessions) sessions(ctx context.Context, op, statement string, args ...any) ([]session.Session, error) {
	all, err := collect(ctx, s, read, statement, args...)
	if err != nil {
		return nil, failed(op, err)
	}
	slices.SortFunc(all, newestFirst)
	return all, nil
}

// newestFirst is the order in which sessions are told.
func newestFirst(a, b session.Session) int {
	return cmp.Or(b.CreatedAt().Compare(a.CreatedAt()), b.ID().Compare(a.ID().UUID))
}

// collect runs a statement and reads its rows. One that fails for its stale
// plan has done nothing, whatever it does, and is tried again.
func collect[T any](ctx context.Context, s *Sessions, read pgx.RowToFunc[T], statement string, args ...any) (all []T, err error) {
	err = withFreshPlan(func() error {
		rows, err := s.storage.Conn().Query(ctx, statement, args...)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, read)
		return err
	})
	return all, err
}

func read(row pgx.CollectableRow) (session.Session, error) {
	var key string
	var value []byte
	if err := row.Scan(&key, &value); err != nil {
		return session.Session{}, err
	}
	return readSession(key, value)
}

func readSession(key string, value []byte) (session.Session, error) {
	k, ok := session.ParseKey(key)
	if !ok {
		return session.Session{}, errors.New("the key of a session is no hash")
	}
	return decode(k, value)
}

const selectPast = "SELECT k, v, why, ended_at FROM past_sessions WHERE "

// Past returns what is left of the session that had the key.
func (s *Sessions) Past(ctx context.Context, k session.Key) (session.Past, error) {
	all, err := collect(ctx, s, readPast, selectPast+"k = $1", k.Hex())
	if err != nil {
		return session.Past{}, failed("find past session", err)
	}
	if len(all) == 0 {
		return session.Past{}, session.ErrUnknown
	}
	return all[0], nil
}

// PastOf returns what is left of the user's sessions that are over.
func (s *Sessions) PastOf(ctx context.Context, id user.ID) ([]session.Past, error) {
	all, err := collect(ctx, s, readPast, selectPast+"user_id = $1 ORDER BY ended_at DESC, "+handle+" DESC, k", id.String())
	return all, failed("list past sessions", err)
}

func readPast(row pgx.CollectableRow) (session.Past, error) {
	var key, name string
	var value []byte
	var endedAt int64
	if err := row.Scan(&key, &value, &name, &endedAt); err != nil {
		return session.Past{}, err
	}
	was, err := readSession(key, value)
	if err != nil {
		return session.Past{}, err
	}
	why, ok := session.ParseReason(name)
	if !ok {
		return session.Past{}, fmt.Errorf("the end of a session has the unknown reason %q", name)
	}
	return session.Ending{Why: why, At: time.UnixMicro(endedAt)}.Of(was), nil
}

// Known reports whether anything of a session of the user's is kept.
func (s *Sessions) Known(ctx context.Context, id user.ID) (known bool, err error) {
	err = s.storage.Conn().QueryRow(ctx, `SELECT EXISTS (SELECT FROM user_sessions WHERE user_id = $1)
		OR EXISTS (SELECT FROM past_sessions WHERE user_id = $1)`, id.String()).Scan(&known)
	return known, failed("look for sessions", err)
}

// Prune deletes sessions that have run out, those first that did so first. It
// goes by the session's own end and not by the storage's column e, which is by
// the clock of whoever wrote it. It waits for nobody: rows that another node
// prunes or that a request holds are passed over, and those of a user who is
// being deleted; one that was renewed until it could be locked is looked at
// again and stays. Who signs in waits for none of its locks.
func (s *Sessions) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	if limit <= 0 {
		return 0, nil
	}
	var n int
	err := s.storage.Conn().QueryRow(ctx, pruning(limit), now.UnixMicro(), session.Expired.String(), session.Idle.String()).Scan(&n)
	return n, failed("prune sessions", err)
}

// pruning is the statement of Prune. The limit is part of the text: PostgreSQL
// plans for a parameter as if it were a tenth of the table. For an array it plans
// for ten.
func pruning(limit int) string {
	return `WITH due AS (
			SELECT s.k FROM user_sessions s JOIN users u ON u.id = s.user_id WHERE s.idle_end <= $1
			ORDER BY s.idle_end LIMIT ` + strconv.Itoa(limit) + ` FOR UPDATE OF s SKIP LOCKED FOR KEY SHARE OF u SKIP LOCKED
		), gone AS (
			DELETE FROM user_sessions WHERE k = ANY (ARRAY(SELECT k FROM due)) RETURNING k, v, user_id, idle_end
		), kept AS (
			INSERT INTO past_sessions (k, v, user_id, why, ended_at)
			SELECT k, v, user_id, CASE WHEN substring(v FROM 58 FOR 8) = substring(v FROM 66 FOR 8) THEN $2 ELSE $3 END, idle_end
			FROM gone ON CONFLICT (k) DO NOTHING
		) SELECT count(*) FROM gone`
}

// PrunePast deletes what is left of sessions that ended long ago.
func (s *Sessions) PrunePast(ctx context.Context, before time.Time, limit int) (int, error) {
	if limit <= 0 {
		return 0, nil
	}
	return s.exec(ctx, "prune past sessions", pruningPast(limit), before.UnixMicro())
}

func pruningPast(limit int) string {
	return `DELETE FROM past_sessions WHERE k = ANY (ARRAY(
			SELECT k FROM past_sessions WHERE ended_at < $1 ORDER BY ended_at LIMIT ` + strconv.Itoa(limit) + ` FOR UPDATE SKIP LOCKED
		))`
}

// exec runs a statement and returns how many rows it has changed, or for one
// that ends with a SELECT, given.
func (s *Sessions) exec(ctx context.Context, op, statement string, args ...any) (int, error) {
	tag, err := s.storage.Conn().Exec(ctx, statement, args...)
	return int(tag.RowsAffected()), failed(op, err)
}

// ownerRow is what a row of users says of the owner of a session.
type ownerRow struct {
	email, canonical, name, status, hash string
	roles                                []byte // a JSON array
	verified                             bool
	epoch                                int64
	createdAt, updatedAt                 time.Time
}

// ownerColumns are the columns in the order of ownerRow.fields.
const ownerColumns = "u.email, u.email_canonical, u.name, u.status, u.password_hash, u.roles, u.email_verified, " +
	"u.session_epoch, u.created_at, u.updated_at"

func (r *ownerRow) fields() []any {
	return []any{
		&r.email, &r.canonical, &r.name, &r.status, &r.hash, &r.roles, &r.verified,
		&r.epoch, &r.createdAt, &r.updatedAt,
	}
}

// user reads the row; words that are unknown were not written by us.
func (r *ownerRow) user(id user.ID) (user.User, error) {
	status, known := user.ParseStatus(r.status)
	roles, valid := parseRoles(string(r.roles))
	if !known || !valid {
		return user.User{}, fmt.Errorf("the row of user %q has a status or a role that is no word", id)
	}
	return user.Restore(user.State{
		ID: id, Email: user.RestoreEmail(r.email, r.canonical), Name: r.name, Roles: roles, Status: status,
		EmailVerified: r.verified, PasswordHash: user.NewPasswordHash(r.hash),
		SessionEpoch: r.epoch, CreatedAt: r.createdAt, UpdatedAt: r.updatedAt,
	}), nil
}

// blanks are what JSON calls white space (RFC 8259 section 2), which is less than
// Go does.
const blanks = " \t\r\n"

// parseRoles reads a JSON array of role names. Those hold nothing that JSON
// would escape, so a comma always stands between two of them; a reader of JSON
// in general costs a fortieth of GET /me.
func parseRoles(array string) ([]user.Role, bool) {
	inner, ok := strings.CutPrefix(array, "[")
	inner, ok2 := strings.CutSuffix(inner, "]")
	if !ok || !ok2 {
		return nil, false
	}
	if strings.Trim(inner, blanks) == "" {
		return nil, true
	}
	var roles []user.Role
	for item := range strings.SplitSeq(inner, ",") {
		item = strings.Trim(item, blanks)
		name := strings.Trim(item, `"`)
		role, valid := user.ParseRole(name)
		if !valid || item != `"`+name+`"` {
			return nil, false
		}
		roles = append(roles, role)
	}
	return roles, true
}
