package e2e_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/bootstrap"
)

// auditVerify follows the chain by the command.
func (w *world) auditVerify(s *store) (code int) {
	w.Helper()
	code, said := w.run([]string{"audit", "verify"}, s.setting())
	if code != 0 {
		w.Logf("audit verify: %s", said)
	}
	return code
}

// tamperings are what can be done to an audit log by who holds the database, and
// what the command says then. The rows are those of one day, %[1]s; %[2]d is a
// row in the middle and %[3]d the last. They work in both dialects.
var tamperings = []struct {
	name       string
	statements []string
	what       string // is done to it, as the command says
	row        string // where, a format as in statements
}{
	{"change what was done", []string{`UPDATE audit_log SET event = 'account.exported' WHERE seq = %[2]d`}, "changed", "row %[2]d"},
	{"change who did it", []string{`UPDATE audit_log SET actor_id = NULL WHERE seq = %[2]d`}, "changed", "row %[2]d"},
	{"change from where", []string{`UPDATE audit_log SET ip = '203.0.113.1' WHERE seq = %[2]d`}, "changed", "row %[2]d"},
	{"change a detail", []string{`UPDATE audit_log SET detail = '{}' WHERE seq = %[2]d`}, "changed", "row %[2]d"},
	{"change how it came out", []string{`UPDATE audit_log SET outcome = 'refused' WHERE seq = %[2]d`}, "changed", "row %[2]d"},
	{"change the first row", []string{`UPDATE audit_log SET request_id = 'x' WHERE seq = 1`}, "changed", "row 1"},
	{"change the last row", []string{`UPDATE audit_log SET request_id = 'x' WHERE seq = %[3]d`}, "changed", "row %[3]d"},
	{"put another hash", []string{`UPDATE audit_log SET hash = (SELECT hash FROM audit_log WHERE seq = 1) WHERE seq = %[2]d`}, "changed", "row %[2]d"},
	{"delete one", []string{`DELETE FROM audit_log WHERE seq = %[2]d`}, "missing", "row %[2]d"},
	{"delete the first", []string{`DELETE FROM audit_log WHERE seq = 1`}, "missing", "row 1"},
	{"delete the last", []string{`DELETE FROM audit_log WHERE seq = %[3]d`}, "missing", "row %[3]d"},
	{"delete one and close the gap", []string{
		`DELETE FROM audit_log WHERE seq = %[2]d`, `UPDATE audit_log SET seq = seq + 1000 WHERE seq > %[2]d`, `UPDATE audit_log SET seq = seq - 1001 WHERE seq > 1000`,
		`UPDATE audit_heads SET seq = seq - 1`}, "changed", "row %[2]d"},
	{"delete all", []string{`DELETE FROM audit_log`}, "missing", "row 1"},
	{"delete the last and have the head agree", []string{
		`DELETE FROM audit_log WHERE seq = %[3]d`, `UPDATE audit_heads SET seq = seq - 1`}, "changed", "row"},
	{"take the head away", []string{`DELETE FROM audit_heads`}, "", ""},
	{"move one to another day", []string{`UPDATE audit_log SET day = '2001-02-03' WHERE seq = %[2]d`}, "moved", "2001-02-03"},
	{"move the last to another day", []string{`UPDATE audit_log SET day = '2001-02-03', seq = 1 WHERE seq = %[3]d`}, "moved", "2001-02-03"},
	{"move all to another day", []string{`UPDATE audit_log SET day = '2001-02-03'`, `UPDATE audit_heads SET day = '2001-02-03'`}, "moved", "2001-02-03: row 1"},
	{"swap two", []string{
		`UPDATE audit_log SET seq = 1000 WHERE seq = %[2]d`, `UPDATE audit_log SET seq = %[2]d WHERE seq = %[2]d - 1`, `UPDATE audit_log SET seq = %[2]d - 1 WHERE seq = 1000`,
	}, "changed", "row"},
	{"insert at the end", []string{insert + `, %[3]d + 1, ` + rest + ` WHERE seq = %[2]d`}, "added", "row"},
	{"insert at the end and have the head agree", []string{
		insert + `, %[3]d + 1, ` + rest + ` WHERE seq = %[2]d`, `UPDATE audit_heads SET seq = seq + 1`}, "changed", "row"},
	{"insert in the middle", []string{
		`UPDATE audit_log SET seq = seq + 1000 WHERE seq > %[2]d`, `UPDATE audit_log SET seq = seq - 999 WHERE seq > 1000`,
		insert + `, %[2]d + 1, ` + rest + ` WHERE seq = %[2]d`, `UPDATE audit_heads SET seq = seq + 1`}, "changed", "row"},
	{"insert on a day of its own", []string{
		`INSERT INTO audit_log (day, seq, ` + rest0 + `) SELECT '2001-02-03', 1, ` + rest + ` WHERE seq = %[2]d`}, "", "2001-02-03"},
}

const (
	rest0  = `id, at, event, outcome, actor_id, subject_type, subject_id, ip, user_agent, request_id, detail, hash`
	rest   = rest0 + ` FROM audit_log`
	insert = `INSERT INTO audit_log (day, seq, ` + rest0 + `) SELECT day`
)

// TestAuditVerify: whatever is done to the audit log behind our back is found,
// and the first row that is not in its place is named.
func TestAuditVerify(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world, s *store) {
		p := w.serve(s.setting(), calm)
		c := w.client()
		password := c.signUp(p, "ann@example.com")
		for range 3 {
			c.want(p, 204, "POST", "/logout", "")
			c.want(p, 401, "POST", "/login", login("ann@example.com", "not the password"))
			c.want(p, 200, "POST", "/login", login("ann@example.com", password))
		}
		if code := p.terminate(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		if code := w.auditVerify(s); code != 0 {
			t.Fatal("the log does not hold before anything was done to it")
		}
		if n := s.number(`SELECT count(DISTINCT day) FROM audit_log`); n != 1 {
			t.Skip("midnight (UTC) fell into the test")
		}
		if _, err := s.db.Exec(`DELETE FROM audit_log`); err == nil {
			t.Fatal("rows of the audit log can be deleted just so")
		}
		s.unlockAudit()
		s.exec(`CREATE TABLE kept_log AS SELECT * FROM audit_log`, `CREATE TABLE kept_heads AS SELECT * FROM audit_heads`)
		last := s.number(`SELECT count(*) FROM audit_log`)
		middle := s.number(`SELECT max(seq) FROM audit_log WHERE event = 'session.signed_in' AND seq < $1 AND detail <> '{}'`, last)
		place := func(format string) string {
			text := fmt.Sprintf(format+"%[1]s%[2]d%[3]d", "|", middle, last)
			return text[:strings.LastIndexByte(text, '|')]
		}
		for _, how := range tamperings {
			for _, statement := range how.statements {
				s.exec(place(statement))
			}
			// The command without a process of its own: it is run two dozen times.
			var said strings.Builder
			code := bootstrap.Main([]string{"audit", "verify"}, []string{s.setting()}, nil, &said, &said)
			if code != 1 {
				t.Errorf("%s: audit verify ends with %d, want 1: %s", how.name, code, said.String())
			} else if !strings.Contains(said.String(), how.what) || !strings.Contains(said.String(), place(how.row)) {
				t.Errorf("%s: audit verify says %q, want it to be %s at %s", how.name, said.String(), how.what, place(how.row))
			}
			s.exec(`DELETE FROM audit_log`, `DELETE FROM audit_heads`, `INSERT INTO audit_log SELECT * FROM kept_log`, `INSERT INTO audit_heads SELECT * FROM kept_heads`)
		}
		if code := w.auditVerify(s); code != 0 {
			t.Error("the log does not hold after everything was put back")
		}
	})
}

// unlockAudit takes the triggers away that keep the log append-only, as whoever
// owns the tables can.
func (s *store) unlockAudit() {
	s.world.Helper()
	query := `SELECT tgname FROM pg_trigger WHERE tgrelid = 'audit_log'::regclass AND NOT tgisinternal`
	drop := `DROP TRIGGER %s ON audit_log`
	if s.lite {
		query, drop = `SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_log'`, `DROP TRIGGER %s`
	}
	rows, err := s.db.Query(query)
	if err != nil {
		s.world.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			s.world.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Close(); err != nil || len(names) == 0 {
		s.world.Fatalf("the triggers of audit_log are %q, %v", names, err)
	}
	for _, name := range names {
		s.exec(fmt.Sprintf(drop, name))
	}
}

// TestAuditFromTwoNodes: what two nodes write at once stands in one chain, each
// act once.
func TestAuditFromTwoNodes(t *testing.T) {
	w := newWorld(t)
	s := w.postgres()
	a, b := w.serve(s.setting(), calm), w.serve(s.setting(), calm)
	const acts, hands = 600, 12
	var next atomic.Int64
	w.parallel(hands, func(int) {
		c := w.client()
		for n := next.Add(1); n <= acts; n = next.Add(1) {
			c.want([]*process{a, b}[n%2], 202, "POST", "/password/forgot", forgot(fmt.Sprintf("nobody%d@example.com", n)), "X-Request-Id", fmt.Sprintf("act-%d", n))
		}
	})
	if code := w.auditVerify(s); code != 0 {
		t.Error("the chain is broken")
	}
	if n := s.number(`SELECT count(DISTINCT request_id) FROM audit_log WHERE event = 'password.reset_requested' AND request_id LIKE 'act-%'`); n != acts {
		t.Errorf("%d of %d acts are in the log", n, acts)
	}
	if n := s.number(`SELECT count(*) FROM audit_log WHERE request_id LIKE 'act-%'`); n != acts {
		t.Errorf("%d rows for %d acts", n, acts)
	}
}

// TestAuditAfterKill: a node that is killed under load leaves a chain that holds,
// with every act that it had answered in it.
func TestAuditAfterKill(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world, s *store) {
		nodes := []*process{w.serve(s.setting(), calm)}
		if !s.lite {
			nodes = append(nodes, w.serve(s.setting(), calm))
		}
		var next, answered atomic.Int64
		var stopping atomic.Bool
		var acknowledged sync.Map
		var load sync.WaitGroup
		for h := range 12 {
			load.Go(func() {
				c, p := w.client(), nodes[h%len(nodes)]
				for !stopping.Load() {
					id := fmt.Sprintf("act-%d", next.Add(1))
					got, err := c.try(p, "POST", "/password/forgot", forgot(id+"@example.com"), "X-Request-Id", id)
					if err != nil {
						return // it was killed
					}
					if got.status != 202 {
						t.Errorf("POST /password/forgot = %d %s", got.status, got.text)
						return
					}
					acknowledged.Store(id, true)
					answered.Add(1)
				}
			})
		}
		w.until("there is load", func() bool { return answered.Load() >= 200 })
		nodes[0].kill()
		if !s.lite {
			before := answered.Load()
			w.until("the other node goes on", func() bool { return answered.Load() >= before+100 })
		}
		stopping.Store(true)
		load.Wait()
		if code := w.auditVerify(s); code != 0 {
			t.Error("the chain is broken")
		}
		lost := 0
		for id := range acknowledged.Range {
			if s.number(`SELECT count(*) FROM audit_log WHERE request_id = $1`, id) != 1 {
				lost++
			}
		}
		if lost > 0 {
			t.Errorf("%d of %d acts that were answered are not in the log once", lost, answered.Load())
		}
		p := w.serve(s.setting(), calm)
		w.client().want(p, 202, "POST", "/password/forgot", forgot("after@example.com"))
		if code := w.auditVerify(s); code != 0 {
			t.Error("the chain is broken by what came after")
		}
	})
}
