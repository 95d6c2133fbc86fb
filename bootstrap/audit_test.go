package bootstrap_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/ncruces/go-sqlite3/driver"

	"gatehouse/tests/detector"
)

// raw opens the database of the URL past the program.
func raw(t *testing.T, url string) (run func(statements ...string) error) {
	t.Helper()
	driver, source := "pgx", url
	if file, lite := strings.CutPrefix(url, "sqlite:"); lite {
		driver, source = "sqlite3", "file:"+file
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return func(statements ...string) error {
		for _, s := range statements {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	}
}

// guards are what keeps the log from being changed by mistake; the owner of the
// database can take them away.
func guards(url string) []string {
	if strings.HasPrefix(url, "sqlite:") {
		return []string{"DROP TRIGGER audit_log_append_only_update", "DROP TRIGGER audit_log_append_only_delete"}
	}
	return []string{"DROP TRIGGER audit_log_append_only ON audit_log"}
}

// TestAuditVerify: the first row that was changed, removed, moved or added is
// named, in one line (exit code 1). Each of six commands has written one row.
func TestAuditVerify(t *testing.T) {
	detector.Skip(t)
	const all = "id, at, event, outcome, actor_id, subject_type, subject_id, ip, user_agent, request_id, detail, hash"
	const whole = "the audit log holds: 6 rows are as they were written\n"
	tests := []struct {
		name       string
		statements []string
		row        int // in question
		what       string
	}{
		{"a detail changed", []string{"UPDATE audit_log SET detail = '{\"by\":\"nobody\"}' WHERE seq = 3"}, 3, "was changed"},
		{"an outcome changed", []string{"UPDATE audit_log SET outcome = 'failure' WHERE seq = 1"}, 1, "was changed"},
		{"an actor made up", []string{"UPDATE audit_log SET actor_id = '01890000-0000-7000-8000-000000000000' WHERE seq = 4"}, 4, "was changed"},
		{"a row removed", []string{"DELETE FROM audit_log WHERE seq = 2"}, 2, "is missing"},
		{"a row removed and the rest moved up", []string{
			"DELETE FROM audit_log WHERE seq = 2", "UPDATE audit_log SET seq = seq - 1 WHERE seq = 3", "UPDATE audit_log SET seq = seq - 1 WHERE seq = 4",
			"UPDATE audit_log SET seq = seq - 1 WHERE seq = 5", "UPDATE audit_log SET seq = seq - 1 WHERE seq = 6", "UPDATE audit_heads SET seq = 5",
		}, 2, "was changed"},
		{"the last rows removed", []string{"DELETE FROM audit_log WHERE seq > 4"}, 5, "is missing"},
		{"two rows exchanged", []string{
			"UPDATE audit_log SET seq = 99 WHERE seq = 2", "UPDATE audit_log SET seq = 2 WHERE seq = 3", "UPDATE audit_log SET seq = 3 WHERE seq = 99",
		}, 2, "was changed"},
		{"a row moved to another day", []string{"UPDATE audit_log SET day = '2020-01-01', seq = 1 WHERE seq = 6", "INSERT INTO audit_heads SELECT '2020-01-01', 1, hash FROM audit_log WHERE day = '2020-01-01'"}, 1, "was moved"},
		{"a row added", []string{"INSERT INTO audit_log (day, seq, " + all + ") SELECT day, 7, " + all + " FROM audit_log WHERE seq = 6", "UPDATE audit_heads SET seq = 7"}, 7, "was changed"},
		{"a row added behind the last", []string{"INSERT INTO audit_log (day, seq, " + all + ") SELECT day, 7, " + all + " FROM audit_log WHERE seq = 6"}, 7, "was added"},
		{"a day added", []string{"INSERT INTO audit_log (day, seq, " + all + ") SELECT '2020-01-01', 1, " + all + " FROM audit_log WHERE seq = 6"}, 1, "was"},
	}
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			url := database(t)
			l := newLine(t, "GATEHOUSE_DATABASE_URL="+url)
			l.want(1, "", words("audit verify"), `run "gatehouse migrate up" first`)
			for i := range 3 {
				l.want(0, "", words(fmt.Sprintf("user create --generate --email u%d@example.com --roles admin", i)))
				l.want(0, "", words(fmt.Sprintf("user set-roles u%d@example.com admin,user", i)))
			}
			run := raw(t, url)
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(run(guards(url)...))
			must(run("CREATE TABLE kept_log AS SELECT * FROM audit_log", "CREATE TABLE kept_heads AS SELECT * FROM audit_heads"))
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					if got := l.want(0, "", words("audit verify")).out; got != whole {
						t.Errorf("audit verify says %q, want %q", got, whole)
					}
					must(run(tt.statements...))
					got := l.want(1, "", words("audit verify"), fmt.Sprintf("row %d ", tt.row), tt.what)
					if got.out != "" || strings.Count(got.err, "\n") != 1 {
						t.Errorf("audit verify says %q and %q, want one line", got.out, got.err)
					}
					must(run("DELETE FROM audit_log", "INSERT INTO audit_log SELECT * FROM kept_log", "DELETE FROM audit_heads", "INSERT INTO audit_heads SELECT * FROM kept_heads"))
				})
			}
		})
	}
}

// What stands in front of the log refuses who means well.
func TestTheLogIsAppendOnly(t *testing.T) {
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			url := database(t)
			l := newLine(t, "GATEHOUSE_DATABASE_URL="+url)
			l.want(0, "", words("user create --generate --email a@example.com"))
			run := raw(t, url)
			for _, s := range []string{"UPDATE audit_log SET detail = '{}'", "DELETE FROM audit_log"} {
				if err := run(s); err == nil || !strings.Contains(err.Error(), "append-only") {
					t.Errorf("%s = %v, want it refused", s, err)
				}
			}
			l.want(0, "", words("audit verify"), "1 rows")
		})
	}
}
