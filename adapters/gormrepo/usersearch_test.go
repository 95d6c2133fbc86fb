package gormrepo_test

import (
	"strings"
	"testing"
	"time"

	"gatehouse/adapters/gormrepo"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/user"
	"gatehouse/ports"
	"gatehouse/tests/pgtest"
)

func everyUser(text string) ports.UserQuery {
	return ports.UserQuery{Visible: access.Everything, Text: text, Limit: 100}
}

func found(t *testing.T, db *gormrepo.DB, text string) (ids []user.ID) {
	t.Helper()
	all, err := db.Users().Search(t.Context(), everyUser(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range all {
		ids = append(ids, u.ID())
	}
	return ids
}

// A node of the release before writes users without the text for searching, and
// changes their names; they are found all the same, by what they are called now.
func TestSearchFindsUsersOfTheReleaseBefore(t *testing.T) {
	eachWritable(t, func(t *testing.T, db writable) {
		ann, bob := addUser(t, db.DB), addUser(t, db.DB)
		db.must(t, "UPDATE users SET search = NULL, name = 'Ünïcode' WHERE id = '"+ann.ID().String()+"'")
		if got := found(t, db.DB, "üNÏ"); len(got) != 1 || got[0] != ann.ID() {
			t.Errorf("Search finds %v, want who was written without a text", got)
		}
		for range 1100 { // more than is filled in at a time
			addUser(t, db.DB)
		}
		db.must(t, "UPDATE users SET search = NULL")
		if got := found(t, db.DB, "no such text"); len(got) != 0 {
			t.Errorf("Search for what stands nowhere finds %d users", len(got))
		}
		if got := found(t, db.DB, "ÜNÏCODE"); len(got) != 1 || got[0] != ann.ID() {
			t.Errorf("Search finds %v, want who has the name", got)
		}
		if got := found(t, db.DB, bob.Email().String()); len(got) != 1 || got[0] != bob.ID() {
			t.Errorf("Search finds %v, want who has the address", got)
		}
	})
}

// What an old node changes in PostgreSQL, where nodes are upgraded one by one.
func TestSearchFollowsOldNodes(t *testing.T) {
	url := pgtest.Migrated(t)
	db, c := openURL(t, url, gormrepo.PoolOptions{}), connect(t, url)
	ann := addUser(t, db)
	for _, change := range []string{"name = 'First'", "name = 'Second'", "email = 'third@example.com', email_canonical = 'third@example.com'"} {
		if _, err := c.Exec(t.Context(), "UPDATE users SET "+change+", revision = revision + 1 WHERE id = $1", ann.ID().String()); err != nil {
			t.Fatal(err)
		}
		word := strings.Split(strings.Split(change, "'")[1], "@")[0]
		if got := found(t, db, strings.ToUpper(word)); len(got) != 1 {
			t.Errorf("after %s a search for it finds %v", change, got)
		}
	}
	if got := found(t, db, "first"); len(got) != 0 {
		t.Errorf("a name of before is still found: %v", got)
	}
}

// A page costs the same in a large table.
func TestUserSearchUsesIndexes(t *testing.T) {
	tracer := &counter{}
	url := pgtest.Migrated(t)
	db := openURL(t, url, gormrepo.PoolOptions{MaxConns: 1, Tracer: tracer, StatementTimeout: time.Minute})
	c := connect(t, url)
	for _, statement := range []string{
		`INSERT INTO users SELECT gen_random_uuid(), n || '@example.com', n || '@example.com', '', CASE n % 1000 WHEN 0 THEN '["auditor"]'::jsonb ELSE '["user"]' END,
			CASE n % 500 WHEN 1 THEN 'disabled' ELSE 'active' END, true, '', 0, 1, now(), now(), n || '@example.com' || chr(10) || md5(n::text) FROM generate_series(1, 60000) n`,
		`INSERT INTO audit_log SELECT '2026-03-01', n, gen_random_uuid(), timestamptz '2026-03-01' + n * interval '1 second', CASE n % 1000 WHEN 0 THEN 'rare.event' ELSE 'e' END, 'o',
			CASE n % 3 WHEN 0 THEN gen_random_uuid() END, '', '', '', '', '', '{}', '' FROM generate_series(1, 20000) n`,
		"ANALYZE",
	} {
		if _, err := c.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	auditor, _ := user.ParseRole("auditor")
	var trigrams bool
	if err := c.QueryRow(t.Context(), "SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm')").Scan(&trigrams); err != nil {
		t.Fatal(err)
	}
	users := map[string]ports.UserQuery{
		"users_pkey": {Before: user.ID{UUID: newID()}}, "users_disabled_idx": {Status: user.Disabled}, "users_roles_idx": {Role: auditor},
	}
	if trigrams {
		users["users_search_idx"] = ports.UserQuery{Text: "19999@EXAMPLE"}
	}
	for index, q := range users {
		q.Visible, q.Limit = access.Everything, 20
		if _, err := db.Users().Search(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		if plan := explain(t, url, tracer.last()); !strings.Contains(plan, index) || strings.Contains(plan, "Seq Scan") {
			t.Errorf("the plan of %s is\n%s\nwant it to go by %s", tracer.last().SQL, plan, index)
		}
	}
	for index, q := range map[string]ports.AuditQuery{
		"audit_log_pkey": {Before: audit.Place{Day: "2026-03-01", Seq: 9000}}, "audit_log_actor_day_idx": {Actor: user.ID{UUID: newID()}}, "audit_log_event_idx": {Event: "rare.event"},
	} {
		q.Limit = 5
		if _, err := db.Ledger().Search(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		if plan := explain(t, url, tracer.last()); !strings.Contains(plan, index) || strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Sort") {
			t.Errorf("the plan of %s is\n%s\nwant it to go by %s and no sort", tracer.last().SQL, plan, index)
		}
	}
}

// A log that was tampered with is read to its end all the same: a page goes on
// behind where its last row is kept, and not where that says it belongs.
func TestSearchOfATamperedLogEnds(t *testing.T) {
	eachWritable(t, func(t *testing.T, db writable) {
		record(t, db.DB, entries(user.ID{UUID: newID()}, 5)...)
		db.unlock(t)
		db.must(t, "UPDATE audit_log SET day = '2020-01-01' WHERE seq <= 3")
		q, rows := ports.AuditQuery{Limit: 1}, 0
		for range 10 {
			page, err := db.Ledger().Search(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			rows += len(page.Rows)
			if q.Before = page.Next; q.Before.IsZero() {
				break
			}
		}
		if rows != 5 || !q.Before.IsZero() {
			t.Errorf("the pages hold %d rows, and go on %v, want 5 and an end", rows, q.Before)
		}
	})
}
