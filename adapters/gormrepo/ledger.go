package gormrepo

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"gorm.io/gorm"

	"gatehouse/domain/audit"
	"gatehouse/domain/secret"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

var (
	_ ports.Ledger   = (*Ledger)(nil)
	_ ports.AuditLog = (*Ledger)(nil)
)

// Ledger keeps the audit log.
type Ledger struct{ db *DB }

// Record keeps what goes along with no other change.
func (s *Ledger) Record(ctx context.Context, a ports.Along) error {
	a.Redeem, a.Void, a.Answers = secret.Key{}, nil, nil
	var err error
	switch {
	case nothing(&a):
		err = ctx.Err()
	case s.db.pool != nil:
		err = s.db.record(ctx, []*ports.Along{&a})
	default:
		err = s.db.transact(ctx, func(tx *gorm.DB) error { return s.db.post(tx, []*ports.Along{&a}) })
	}
	return s.db.failed("record", err, nil)
}

// record does what post does in a transaction of its own, on PostgreSQL, with
// two round trips where one statement after the other would take five or more:
// every sign-in comes this way, and all who append wait for the head meanwhile.
// One begins, puts letters and events in, and locks and reads the heads; the other one
// appends and commits.
func (d *DB) record(ctx context.Context, with []*ports.Along) error {
	if d.closed.Load() {
		return sql.ErrConnDone
	}
	for attempt := 1; ; attempt++ {
		err := d.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
			err := recordOn(ctx, c, with)
			if err != nil && !c.Conn().IsClosed() && c.Conn().PgConn().TxStatus() != 'I' {
				_, rollback := c.Exec(ctx, "ROLLBACK") // else the pool closes the connection
				err = errors.Join(err, rollback)
			}
			return err
		})
		if attempt == planAttempts || !stalePlan(err) {
			return err
		}
	}
}

func recordOn(ctx context.Context, c *pgxpool.Conn, with []*ports.Along) error {
	var first, second pgx.Batch
	first.Queue("BEGIN ISOLATION LEVEL READ COMMITTED") // as in transact
	queue(&first, letterStatements(with)...)
	queue(&first, eventStatements(with)...)
	days := entriesOf(with)
	heads := make([]headRow, len(days))
	for i, day := range days.names() {
		queue(&first, newHead(day))
		first.Queue(numbered(lockHead), day).QueryRow(func(row pgx.Row) error { return row.Scan(heads[i].fields()...) })
	}
	if err := c.SendBatch(ctx, &first).Close(); err != nil {
		return err
	}
	for _, row := range heads {
		queue(&second, appendStatements(row.head(), days[row.day])...)
	}
	second.Queue("COMMIT")
	return c.SendBatch(ctx, &second).Close()
}

func queue(b *pgx.Batch, all ...statement) {
	for _, s := range all {
		b.Queue(numbered(s.text), s.args...)
	}
}

// entries are entries by their day.
type entries map[string][]audit.Entry

func entriesOf(with []*ports.Along) entries {
	days := entries{}
	for _, a := range with {
		for _, e := range a.Audit {
			days[e.Day()] = append(days[e.Day()], e)
		}
	}
	return days
}

// names lists the days in the order in which their heads are locked.
func (e entries) names() []string { return slices.Sorted(maps.Keys(e)) }

// headRow is a row of audit_heads.
type headRow struct {
	day  string
	seq  int64
	hash []byte
}

const selectHead = "SELECT day, seq, hash FROM audit_heads"

// lockHead reads the head of a day and keeps it from others until the
// transaction ends. In SQLite there are none who write.
const (
	readHead = selectHead + " WHERE day = ?"
	lockHead = readHead + " FOR NO KEY UPDATE"
)

func (r *headRow) fields() []any { return []any{&r.day, &r.seq, &r.hash} }

func (r *headRow) head() audit.Head {
	return audit.Head{Day: r.day, Seq: r.seq, Hash: readHash(r.hash)}
}

// readHash gives the zero Hash for what is none: somebody has altered it, and it
// is for the chain to find that out.
func readHash(b []byte) audit.Hash {
	if len(b) != len(audit.Hash{}) {
		return audit.Hash{}
	}
	return audit.Hash(b)
}

// newHead makes the head of a day without rows, if there is none.
func newHead(day string) statement {
	return statement{"INSERT INTO audit_heads (day, seq, hash) VALUES (?, 0, ?) ON CONFLICT (day) DO NOTHING", []any{day, make([]byte, len(audit.Hash{}))}}
}

// hold locks and reads the head of a day, which is made if it is the first time.
func (d *DB) hold(tx *gorm.DB, day string) (audit.Head, error) {
	query := lockHead
	if d.lite {
		query = readHead
	}
	var row headRow
	read := func() error { return tx.Raw(query, day).Row().Scan(row.fields()...) }
	err := read()
	if errors.Is(err, sql.ErrNoRows) {
		if err = runAll(tx, []statement{newHead(day)}); err == nil {
			err = read()
		}
	}
	return row.head(), err
}

// auditColumns are the columns of audit_log in the order of auditRow.fields.
const auditColumns = "day, seq, id, at, event, outcome, actor_id, subject_type, subject_id, ip, user_agent, request_id, detail, hash"

// appendStatements gives the entries their places behind the head, and moves it.
func appendStatements(head audit.Head, all []audit.Entry) []statement {
	rows := make([][]any, len(all))
	for i, e := range all {
		var r audit.Row
		r, head = head.Append(e)
		rows[i] = auditValues(r)
	}
	return append(insert("audit_log ("+auditColumns+")", rows),
		statement{"UPDATE audit_heads SET seq = ?, hash = ? WHERE day = ?", []any{head.Seq, head.Hash[:], head.Day}})
}

func auditValues(r audit.Row) []any {
	var actor any
	if !r.Actor.IsZero() {
		actor = r.Actor.String()
	}
	return []any{
		r.Day(), r.Seq, r.ID.String(), r.At, string(r.Event), string(r.Outcome), actor, r.Subject.Type, r.Subject.ID,
		writeIP(r.Origin.IP), r.Origin.UserAgent, r.Origin.RequestID, r.DetailText(), r.Hash[:],
	}
}

// auditRow is a row of audit_log.
type auditRow struct {
	day, id, event, outcome, subjectType, subjectID, ip, userAgent, requestID, detail string
	seq                                                                               int64
	at                                                                                time.Time
	actor                                                                             sql.NullString
	hash                                                                              []byte
}

func (r *auditRow) fields() []any {
	return []any{
		&r.day, &r.seq, &r.id, &r.at, &r.event, &r.outcome, &r.actor, &r.subjectType, &r.subjectID,
		&r.ip, &r.userAgent, &r.requestID, &r.detail, &r.hash,
	}
}

// row reads the row. One in which something was not written by us is given
// without its hash, so that the chain is found broken there and at no later row.
func (r *auditRow) row() audit.Row {
	id, hasID := uuid.Parse(r.id)
	actor, hasActor := user.ParseID(r.actor.String)
	ip, badIP := readIP(r.ip)
	detail, badDetail := audit.ParseDetail(r.detail)
	row := audit.Row{
		Entry: audit.Entry{
			ID: id, At: r.at.UTC(), Event: audit.Event(r.event), Outcome: audit.Outcome(r.outcome), Actor: actor,
			Subject: audit.Subject{Type: r.subjectType, ID: r.subjectID},
			Origin:  audit.Origin{IP: ip, UserAgent: r.userAgent, RequestID: r.requestID}, Detail: detail,
		},
		Seq: r.seq, Hash: readHash(r.hash),
	}
	ours := hasID && hasActor == r.actor.Valid && errors.Join(badIP, badDetail) == nil
	if !ours || writeIP(ip) != r.ip || row.DetailText() != r.detail {
		row.Hash = audit.Hash{}
	}
	return row
}

func scanAudit(from scanner) (audit.Row, error) {
	var row auditRow
	err := from.Scan(row.fields()...)
	return row.row(), err
}

// Heads returns the heads of all days. A day whose head somebody has deleted has
// one that stands before its first row.
func (s *Ledger) Heads(ctx context.Context) ([]audit.Head, error) {
	all, err := many(ctx, s.db, func(from scanner) (audit.Head, error) {
		var row headRow
		err := from.Scan(row.fields()...)
		return row.head(), err
	}, selectHead+" UNION ALL SELECT day, 0, NULL FROM (SELECT DISTINCT day FROM audit_log"+
		" WHERE NOT EXISTS (SELECT 1 FROM audit_heads WHERE audit_heads.day = audit_log.day)) AS headless ORDER BY day")
	return all, s.db.failed("audit heads", err, nil)
}

const selectAudit = "SELECT " + auditColumns + " FROM audit_log WHERE "

// Rows returns a page of the rows of a day.
func (s *Ledger) Rows(ctx context.Context, day string, after int64, limit int) ([]audit.Row, error) {
	if limit <= 0 {
		return nil, nil
	}
	all, err := many(ctx, s.db, scanAudit, selectAudit+"day = ? AND seq > ? ORDER BY seq LIMIT "+strconv.Itoa(limit), day, after)
	return all, s.db.failed("audit rows", err, nil)
}

// RowsOf returns the newest entries about a user, those in which the user acted
// and those about the user each from an index.
func (s *Ledger) RowsOf(ctx context.Context, id user.ID, limit int) ([]audit.Row, error) {
	if limit <= 0 || id.IsZero() {
		return nil, nil
	}
	newest := " ORDER BY at DESC, seq DESC LIMIT " + strconv.Itoa(limit)
	all, err := many(ctx, s.db, scanAudit, "SELECT "+auditColumns+" FROM ("+selectAudit+"actor_id = ?"+newest+") AS acted"+
		" UNION SELECT "+auditColumns+" FROM ("+selectAudit+"subject_type = 'user' AND subject_id = ?"+newest+") AS suffered"+newest,
		id.String(), id.String())
	return all, s.db.failed("audit rows of a user", err, nil)
}

// Search returns a page of the log. A page goes on behind the place under which
// its last row is kept, which in a log that was tampered with need not be the one
// that the row tells.
func (s *Ledger) Search(ctx context.Context, q ports.AuditQuery) (ports.AuditPage, error) {
	if q.Limit <= 0 {
		return ports.AuditPage{}, nil
	}
	c := condition{lite: s.db.lite}
	c.add(selectAudit + "TRUE")
	if !q.Actor.IsZero() {
		c.and("actor_id = ?", q.Actor.String())
	}
	if q.Event != "" {
		c.and("event = ?", string(q.Event))
	}
	if !q.Before.IsZero() {
		c.and("(day, seq) < (?, ?)", q.Before.Day, q.Before.Seq)
	}
	c.add(" ORDER BY day DESC, seq DESC LIMIT " + strconv.Itoa(q.Limit+1))
	all, err := many(ctx, s.db, func(from scanner) (keptRow, error) {
		var row auditRow
		err := from.Scan(row.fields()...)
		return keptRow{row.row(), audit.Place{Day: row.day, Seq: row.seq}}, err
	}, c.text.String(), c.args...)
	if err != nil {
		return ports.AuditPage{}, s.db.failed("search audit", err, nil)
	}
	var page ports.AuditPage
	if len(all) > q.Limit {
		all = all[:q.Limit]
		page.Next = all[q.Limit-1].at
	}
	for _, kept := range all {
		page.Rows = append(page.Rows, kept.row)
	}
	return page, nil
}

// keptRow is a row of the log and where it is kept.
type keptRow struct {
	row audit.Row
	at  audit.Place
}
