package gormrepo_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/adapters/gormrepo"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/idempotency"
	"gatehouse/domain/product"
	"gatehouse/domain/secret"
	"gatehouse/domain/session"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
	"gatehouse/tests/litetest"
	"gatehouse/tests/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// start is when the tests take place; nothing here reads a clock.
var start = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

var serial atomic.Uint64

// newID makes an id that is greater than those before it.
func newID() uuid.UUID {
	n := serial.Add(1)
	return uuid.New(start.Add(time.Duration(n)*time.Millisecond), [8]byte{7: byte(n)})
}

// newKey makes a key that no other session and no other ticket has.
func newKey() secret.Key {
	n := serial.Add(1)
	return secret.NewToken([32]byte{byte(n), byte(n >> 8), byte(n >> 16), 0xff}).Key()
}

func newUser(t testing.TB, address string) user.User {
	t.Helper()
	email, err := user.NewEmail(address)
	if err != nil {
		t.Fatal(err)
	}
	return user.New(user.ID{UUID: newID()}, email, user.Name{}, user.NewPasswordHash("$hash"), start)
}

func addUser(t testing.TB, db *gormrepo.DB) user.User {
	t.Helper()
	u := newUser(t, fmt.Sprintf("user%d@example.com", serial.Add(1)))
	if err := db.Users().Add(t.Context(), u); err != nil {
		t.Fatalf("Add(user) = %v", err)
	}
	return u
}

func newProduct(t testing.TB, owner user.ID, d product.Draft) product.Product {
	t.Helper()
	if d.Name == "" {
		d.Name = "thing"
	}
	if d.Currency == "" {
		d.Currency = "KRW"
	}
	p, err := product.New(product.ID{UUID: newID()}, owner, d, start.Add(time.Duration(serial.Add(1))*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func addProduct(t testing.TB, db *gormrepo.DB, owner user.ID, d product.Draft) product.Product {
	t.Helper()
	p := newProduct(t, owner, d)
	if err := db.Products().Add(t.Context(), p); err != nil {
		t.Fatalf("Add(product) = %v", err)
	}
	return p
}

// openLite opens an empty SQLite database with our tables.
func openLite(t testing.TB) *gormrepo.DB {
	t.Helper()
	return openFile(t, filepath.Join(t.TempDir(), "test.db"))
}

// openFile opens the file; it is made, with our tables, where there is none.
func openFile(t testing.TB, path string) *gormrepo.DB {
	t.Helper()
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		litetest.Migrated(t, path)
	}
	db, err := gormrepo.OpenSQLite(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// lender has the databases of PostgreSQL that are as good as new.
var lender = pgtest.Lender{Open: func(ctx context.Context, url string) (*pgxpool.Pool, error) {
	return gormrepo.NewPool(ctx, url, patient)
}}

var patient = gormrepo.PoolOptions{MaxConns: 8, StatementTimeout: time.Minute}

// openPostgres opens a PostgreSQL database with our tables, in which there is
// nothing.
func openPostgres(t testing.TB) *gormrepo.DB {
	t.Helper()
	return openPool(t, lender.Pool(t))
}

func openURL(t testing.TB, url string, o gormrepo.PoolOptions) *gormrepo.DB {
	t.Helper()
	pool, err := gormrepo.NewPool(context.Background(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return openPool(t, pool)
}

func openPool(t testing.TB, pool *pgxpool.Pool) *gormrepo.DB {
	t.Helper()
	db, err := gormrepo.OpenPostgres(pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// dialects are the two databases, opened empty and migrated.
var dialects = map[string]func(testing.TB) *gormrepo.DB{"postgres": openPostgres, "sqlite": openLite}

// each runs a test over both.
func each(t *testing.T, test func(t *testing.T, db *gormrepo.DB)) {
	for name, open := range dialects {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// A random filter finds exactly the products for which it holds.
func TestFilterFindsWhatItHolds(t *testing.T) {
	each(t, func(t *testing.T, db *gormrepo.DB) {
		owners := []user.ID{addUser(t, db).ID(), addUser(t, db).ID(), {}}
		var all []product.Product
		for i := range 24 {
			all = append(all, addProduct(t, db, owners[i%2], product.Draft{
				Amount: int64(i % 4), Currency: []string{"KRW", "USD"}[i/2%2], Stock: int64(i % 3),
				Status: []string{"draft", "published", "archived"}[i%3],
			}))
		}
		// Atoms in the first round, and what is made of them in the next two.
		filters := []access.Filter{access.Everything, access.Nothing}
		for _, id := range owners {
			filters = append(filters, access.OwnedBy(id), access.Compare{Field: access.FieldOwner, Relation: access.Equal, ID: id},
				access.Compare{Field: access.FieldOwner, Relation: access.AtMost, ID: id})
		}
		usd, _ := product.ParseCurrency("USD")
		filters = append(filters, access.InStatus(product.StatusPublished), access.PricedIn(usd), access.Compare{}, access.Compare{Field: access.FieldStock})
		for _, r := range []access.Relation{access.Equal, access.AtMost, access.AtLeast} {
			filters = append(filters, access.AmountIs(r, 2), access.StockIs(r, 1),
				access.Compare{Field: access.FieldStatus, Relation: r, Text: "draft"})
		}
		for round := range 2 {
			var more []access.Filter
			for i, f := range filters {
				g, h := filters[(i*7+3)%len(filters)], filters[(i*5+round)%len(filters)]
				more = append(more, access.Not{Filter: f}, access.All{f, g, access.Not{Filter: h}}, access.Either{f, access.All{g, h}})
			}
			filters = append(filters, more...)
		}
		for _, f := range filters {
			want := 0
			holds := map[product.ID]bool{}
			for _, p := range all {
				if f.Holds(access.Product(p)) {
					want++
					holds[p.ID()] = true
				}
			}
			got, err := db.Products().List(t.Context(), ports.ProductQuery{Visible: f, Limit: 100})
			if err != nil || len(got) != want {
				t.Fatalf("List(%#v) = %d products, %v, want %d", f, len(got), err, want)
			}
			for _, p := range got {
				if !holds[p.ID()] {
					t.Fatalf("List(%#v) has a product for which it does not hold: %+v", f, p.State())
				}
			}
		}
	})
}

// What cannot be translated is an error; above all it is not everything.
func TestFilterThatIsNone(t *testing.T) {
	each(t, func(t *testing.T, db *gormrepo.DB) {
		addProduct(t, db, addUser(t, db).ID(), product.Draft{})
		for _, f := range []access.Filter{access.Not{}, access.All{nil}, access.Either{access.Everything, nil}} {
			if got, err := db.Products().List(t.Context(), ports.ProductQuery{Visible: f, Limit: 10}); err == nil {
				t.Errorf("List(%#v) = %d products, want an error", f, len(got))
			}
			if n, err := db.Products().Count(t.Context(), ports.ProductQuery{Visible: f}); err == nil {
				t.Errorf("Count(%#v) = %d, want an error", f, n)
			}
		}
		if got, err := db.Products().List(t.Context(), ports.ProductQuery{Limit: 10}); err != nil || len(got) != 0 {
			t.Errorf("List(nil filter) = %d products, %v, want none", len(got), err)
		}
	})
}

// Text from a URL is a value, whatever it looks like.
func TestSearchIsLiteral(t *testing.T) {
	each(t, func(t *testing.T, db *gormrepo.DB) {
		owner := addUser(t, db).ID()
		for _, text := range []string{`100% wool`, `a_b`, `back\slash`, `it's`, `@name ?`, `Straße 한글`, `plain`} {
			addProduct(t, db, owner, product.Draft{Name: "name", Description: text})
		}
		for text, want := range map[string]int{
			`%`: 1, `_`: 1, `\`: 1, `'`: 1, `?`: 1, `@name`: 1, `%wool`: 0, `a%b`: 0, `' OR TRUE --`: 0, `\%`: 0,
			"STRASSE": 1, "한글": 1, "name": 7, "\x00": 0, "\xff": 0, strings.Repeat("%", 10_000): 0,
		} {
			got, err := db.Products().List(t.Context(), ports.ProductQuery{
				Visible: access.Everything, Text: text, Limit: 10,
			})
			if err != nil || len(got) != want {
				t.Errorf("List(text %.20q) = %d products, %v, want %d", text, len(got), err, want)
			}
		}
	})
}

// A page read after each position is the whole list, in every order.
func TestPagesInEveryOrder(t *testing.T) {
	each(t, func(t *testing.T, db *gormrepo.DB) {
		owner := addUser(t, db).ID()
		for i := range 23 {
			// Names whose order is another one in any language than in bytes.
			addProduct(t, db, owner, product.Draft{Name: []string{"b", "B", "a", "é", "Z", "한"}[i%6], Amount: int64(i % 3)})
		}
		for _, sort := range product.Sorts() {
			var after product.Position
			var seen []product.Product
			for {
				page, err := db.Products().List(t.Context(), ports.ProductQuery{Visible: access.Everything, Sort: sort, After: after, Limit: 5})
				if err != nil {
					t.Fatalf("List(%s) = %v", sort, err)
				}
				if len(page) == 0 {
					break
				}
				seen = append(seen, page...)
				after = product.PositionOf(page[len(page)-1])
			}
			if len(seen) != 23 {
				t.Errorf("the pages of %s hold %d products, want 23", sort, len(seen))
			}
			for i := 1; i < len(seen); i++ {
				if sort.Compare(product.PositionOf(seen[i-1]), product.PositionOf(seen[i])) >= 0 {
					t.Errorf("%s: product %d comes before product %d", sort, i-1, i)
				}
			}
		}
	})
}

// pages are queries with the index that must serve each, so that a page costs
// the same in a large table.
func pages(mine, others user.ID) map[string]ports.ProductQuery {
	visible := access.Either{access.InStatus(product.StatusPublished), access.OwnedBy(mine), access.InStatus(product.StatusDraft)}
	all := map[string]ports.ProductQuery{
		"products_created_at_idx":   {Visible: visible},
		"products_name_idx":         {Visible: visible, Sort: product.NameUp},
		"products_price_amount_idx": {Visible: access.Everything, Sort: product.DearestFirst},
		"products_status_idx":       {Visible: access.InStatus(product.StatusArchived)},
		"products_owner_id_idx":     {Visible: access.Everything, Owner: others},
	}
	for name, q := range all {
		q.Limit = 20
		q.After = product.Position{ID: product.ID{UUID: newID()}, CreatedAt: start.Add(2000 * time.Second), Name: "5", Amount: 500}
		all[name] = q
	}
	return all
}

func TestPostgresUsesIndexes(t *testing.T) {
	tracer := &counter{}
	url := pgtest.Migrated(t)
	db := openURL(t, url, gormrepo.PoolOptions{MaxConns: 1, Tracer: tracer, StatementTimeout: time.Minute})
	owner := addUser(t, db).ID()
	fill(t, url, owner, 5000)
	for name, q := range pages(owner, addUser(t, db).ID()) {
		if _, err := db.Products().List(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		plan := explain(t, url, tracer.last())
		if !strings.Contains(plan, "using "+name) || strings.Contains(plan, "Sort") {
			t.Errorf("the plan of %s by %s is\n%s\nwant an index scan using %s and no sort", tracer.last().SQL, q.Sort, plan, name)
		}
	}
}

// A text that stands in few products is found by the index for searches, however
// short it is and whatever stands in it; one that stands in many by a walk in the
// order of the list, which soon has a page full, and at the end of the list has no
// more to look at. The table is never read as a whole.
func TestSearchUsesIndexes(t *testing.T) {
	tracer := &counter{}
	url := pgtest.Migrated(t)
	db := openURL(t, url, gormrepo.PoolOptions{MaxConns: 1, Tracer: tracer, StatementTimeout: time.Minute})
	owner := addUser(t, db).ID()
	fill(t, url, owner, 20_000)
	c := connect(t, url)
	if _, err := c.Exec(t.Context(), `UPDATE products SET description_fold = '%_\주전자' WHERE name = '77'`); err != nil {
		t.Fatal(err)
	}
	visible := access.Either{access.InStatus(product.StatusPublished), access.InStatus(product.StatusDraft), access.OwnedBy(owner)}
	oldest := product.Position{CreatedAt: start.Add(10 * time.Second), ID: product.ID{UUID: newID()}}
	const index, unused = "Bitmap Index Scan on products_search_idx (actual", "Bitmap Index Scan on products_search_idx (never executed)"
	for _, of := range []struct {
		text string
		sort product.Sort
		from product.Position
		plan string
		n    int // on the page
	}{
		{text: "19999", plan: index, n: 1}, {text: "%", plan: index, n: 1}, {text: "_", plan: index, n: 1}, {text: `\`, plan: index, n: 1},
		{text: "주", plan: index, n: 1}, {text: "전자", plan: index, n: 1}, {text: "주전자", plan: index, n: 1}, {text: `\%`, plan: index},
		{text: "없는말", plan: index}, {text: "77777777", plan: index}, {text: "%", sort: product.NameDown, plan: index, n: 1},
		{text: "1", plan: unused, n: 20}, {text: "1", sort: product.NameUp, plan: unused, n: 20}, {text: "1", sort: product.DearestFirst, plan: unused, n: 20},
		{text: "19999", from: oldest, plan: unused}, {text: "7", from: oldest, plan: unused, n: 1},
	} {
		q := ports.ProductQuery{Visible: visible, Text: of.text, Sort: of.sort, After: of.from, Limit: 20}
		if all, err := db.Products().List(t.Context(), q); err != nil || len(all) != of.n {
			t.Fatalf("List(%q by %s) = %d products, %v, want %d", of.text, of.sort, len(all), err, of.n)
		}
		if plan := perform(t, url, tracer.last()); !strings.Contains(plan, of.plan) || strings.Contains(plan, "Seq Scan") {
			t.Fatalf("the plan for %q by %s is\n%s\nwant %s in it and no Seq Scan", of.text, of.sort, plan, of.plan)
		}
	}
	for text, want := range map[string]int{"19999": 1, "%": 1, "주": 1, "a": 0, "1": 13439} {
		if n, err := db.Products().Count(t.Context(), ports.ProductQuery{Visible: visible, Text: text}); err != nil || n != want {
			t.Fatalf("Count(%q) = %d, %v, want %d", text, n, err, want)
		}
		if plan := perform(t, url, tracer.last()); !strings.Contains(plan, index) {
			t.Fatalf("the plan of the count for %q is\n%s\nwant products_search_idx in it", text, plan)
		}
	}
}

func TestSQLiteUsesIndexes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db := openFile(t, path)
	handle, err := gormrepo.SQLiteMigrationHandle(path)
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	for name, q := range pages(addUser(t, db).ID(), addUser(t, db).ID()) {
		statement, args, err := gormrepo.ListStatement(q)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := handle.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement, args...)
		if err != nil {
			t.Fatal(err)
		}
		plan := ""
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			plan += step + "\n"
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan, "USING INDEX "+name) || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("the plan of %s is\n%s\nwant a search by %s and no sort", statement, plan, name)
		}
	}
}

func fill(t *testing.T, url string, owner user.ID, n int) {
	t.Helper()
	c := connect(t, url)
	_, err := c.Exec(t.Context(), `INSERT INTO products
		(id, owner_id, name, description, name_fold, description_fold, price_amount, price_currency, stock, status, version, created_at, updated_at)
		SELECT gen_random_uuid(), $1, n::text, '', n::text, '', n, 'KRW', 0, CASE n % 10 WHEN 0 THEN 'archived' ELSE 'draft' END, 1,
			$2::timestamptz + n * interval '1 second', $2::timestamptz FROM generate_series(1, $3::int) n`, owner.String(), start, n)
	if err == nil {
		_, err = c.Exec(t.Context(), "ANALYZE products")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func explain(t *testing.T, url string, q pgx.TraceQueryStartData) string {
	t.Helper()
	return planOf(t, url, "EXPLAIN ", q)
}

// perform runs a statement again and returns its plan, with what became of it.
func perform(t *testing.T, url string, q pgx.TraceQueryStartData) string {
	t.Helper()
	return planOf(t, url, "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ", q)
}

func planOf(t *testing.T, url, explain string, q pgx.TraceQueryStartData) string {
	t.Helper()
	rows, err := connect(t, url).Query(t.Context(), explain+q.SQL, q.Args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// counter remembers the statements that are sent.
type counter struct {
	mu  sync.Mutex
	all []pgx.TraceQueryStartData
}

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, d)
	return ctx
}

func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *counter) last() pgx.TraceQueryStartData {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[len(c.all)-1]
}

// TraceBatchStart counts a batch as the one round trip that it is.
func (c *counter) TraceBatchStart(ctx context.Context, conn *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return c.TraceQueryStart(ctx, conn, pgx.TraceQueryStartData{SQL: "a batch"})
}

func (c *counter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (c *counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// during counts the round trips of act.
func (c *counter) during(act func()) int {
	c.mu.Lock()
	c.all = nil
	c.mu.Unlock()
	act()
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

func TestStatementCounts(t *testing.T) {
	tracer := &counter{}
	db := openURL(t, pgtest.Migrated(t), gormrepo.PoolOptions{Tracer: tracer})
	u := addUser(t, db)
	p := addProduct(t, db, u.ID(), product.Draft{})
	record(t, db, entries(u.ID(), 1)...) // so that the day has begun
	name := "another"
	for _, c := range []struct {
		what string
		want int
		act  func() error
	}{
		{"Users.Find", 1, func() error { _, err := db.Users().Find(t.Context(), u.ID()); return err }},
		{"Users.FindByEmail", 1, func() error { _, err := db.Users().FindByEmail(t.Context(), u.Email()); return err }},
		{"Users.Update", 2, func() error {
			_, err := db.Users().Update(t.Context(), u.ID(), func(u *user.User) error { u.Disable(start); return nil })
			return err
		}},
		{"Users.Update of nothing", 1, func() error {
			_, err := db.Users().Update(t.Context(), u.ID(), func(*user.User) error { return nil })
			return err
		}},
		{"Users.List", 1, func() error { _, err := db.Users().List(t.Context(), user.ID{}, 10); return err }},
		{"Products.Find", 1, func() error { _, err := db.Products().Find(t.Context(), p.ID()); return err }},
		{"Products.List", 1, func() error {
			_, err := db.Products().List(t.Context(), ports.ProductQuery{Visible: access.Everything, Limit: 10})
			return err
		}},
		{"Products.Update", 2, func() error {
			_, err := db.Products().Update(t.Context(), p.ID(), func(p *product.Product) error {
				return p.Apply(product.Change{Name: &name}, start)
			})
			return err
		}},
		{"Products.Update of nothing", 1, func() error {
			_, err := db.Products().Update(t.Context(), p.ID(), func(*product.Product) error { return nil })
			return err
		}},
		{"Products.Delete", 2, func() error {
			return db.Products().Delete(t.Context(), p.ID(), func(product.Product) error { return nil })
		}},
		{"Products.Add with an answer", 4, func() error {
			return db.Products().Add(t.Context(), newProduct(t, u.ID(), product.Draft{}), &ports.Along{Answers: answers(u, 1)})
		}},
		{"Products.Add with an answer, in time", 5, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			return db.Products().Add(ctx, newProduct(t, u.ID(), product.Draft{}), &ports.Along{Answers: answers(u, 1)})
		}},
		{"Answers.Find", 1, func() error {
			return ignore(second(db.Answers().Find(t.Context(), idempotency.ID{}, start)), idempotency.ErrNone)
		}},
		{"Policies.Version", 1, func() error { _, err := db.Policies().Version(t.Context()); return err }},
		{"Limiter.Take", 1, func() error { return second(db.Limiter().Take(t.Context(), "key", inARow, start)) }},
		{"Limiter.Return", 1, func() error { return db.Limiter().Return(t.Context(), "key", inARow) }},
		{"Limiter.Forget", 1, func() error { return db.Limiter().Forget(t.Context(), "key", "another") }},
		{"Ledger.Record", 2, func() error { return db.Ledger().Record(t.Context(), ports.Along{Audit: entries(u.ID(), 3)}) }},
		{"Ledger.Record with letters", 2, func() error {
			return db.Ledger().Record(t.Context(), ports.Along{Letters: letters(u, 2), Audit: entries(u.ID(), 1)})
		}},
		{"Ledger.RowsOf", 1, func() error { return second(db.Ledger().RowsOf(t.Context(), u.ID(), 10)) }},
		{"Tickets.Issue", 1, func() error { return db.Tickets().Issue(t.Context(), newTicket(u)) }},
		{"Tickets.Find", 1, func() error {
			_, err := db.Tickets().Find(t.Context(), newKey(), start)
			return ignore(err, ticket.ErrInvalid)
		}},
		{"Outbox.Claim", 4, func() error { return second(db.Outbox().Claim(t.Context(), start, time.Minute, 10)) }},
		{"Outbox.Claim of nothing", 3, func() error { return second(db.Outbox().Claim(t.Context(), start, time.Minute, 10)) }},
		{"Factors.Find", 1, func() error { return second(db.Factors().Find(t.Context(), u.ID())) }},
		{"Factors.Update", 3, func() error { return second(db.Factors().Update(t.Context(), u.ID(), startFactor(u.ID()))) }},
		{"Users.Update with all", 9, func() error {
			return second(db.Users().Update(t.Context(), u.ID(), func(u *user.User) error { u.Enable(start); return nil },
				&ports.Along{Void: []ticket.Purpose{ticket.PasswordReset}, Letters: letters(u, 1), Audit: entries(u.ID(), 2)}))
		}},
	} {
		var err error
		if got := tracer.during(func() { err = c.act() }); got != c.want || err != nil {
			t.Errorf("%s sends %d statements, %v, want %d", c.what, got, err, c.want)
		}
	}
}

// What the databases report is translated, and the cause is kept for the log.
func TestTakenAndMissing(t *testing.T) {
	each(t, func(t *testing.T, db *gormrepo.DB) {
		u := addUser(t, db)
		p := addProduct(t, db, u.ID(), product.Draft{})
		other := newUser(t, strings.ToUpper(u.Email().Local())+"@EXAMPLE.com")
		sameID := user.Restore(func() user.State { s := newUser(t, "another@example.com").State(); s.ID = u.ID(); return s }())
		nobody := user.ID{UUID: newID()}
		for _, c := range []struct {
			what string
			err  error
			want error
			code string
		}{
			{"Add(user, taken address)", db.Users().Add(t.Context(), other), user.ErrEmailTaken, "email_taken"},
			{"Add(user, taken id)", db.Users().Add(t.Context(), sameID), fault.Conflict, "id_taken"},
			{"Add(product, taken id)", db.Products().Add(t.Context(), p), fault.Conflict, "id_taken"},
			{"Add(product of nobody)", db.Products().Add(t.Context(), newProduct(t, nobody, product.Draft{})), fault.NotFound, "not_found"},
		} {
			f, ok := errors.AsType[*fault.Error](c.err)
			if !errors.Is(c.err, c.want) || !ok || f.Code != c.code {
				t.Errorf("%s = %v, want %v with the code %s", c.what, c.err, c.want, c.code)
			}
		}
		if _, err := db.Products().Update(t.Context(), p.ID(), func(p *product.Product) error {
			s := p.State()
			s.OwnerID, s.Version = nobody, s.Version+1
			*p = product.Restore(s)
			return nil
		}); !errors.Is(err, fault.NotFound) {
			t.Errorf("Update(owner: nobody) = %v, want NotFound", err)
		}
	})
}

// 40 writers at once: each change is kept, whatever the others do.
func TestNoUpdateIsLost(t *testing.T) {
	const writers = 40
	each(t, func(t *testing.T, db *gormrepo.DB) {
		p := addProduct(t, db, addUser(t, db).ID(), product.Draft{})
		var wait sync.WaitGroup
		for range writers {
			wait.Go(func() {
				_, err := db.Products().Update(t.Context(), p.ID(), func(p *product.Product) error {
					stock := p.Stock() + 1
					return p.Apply(product.Change{Stock: &stock}, start)
				})
				if err != nil {
					t.Errorf("Update = %v", err)
				}
			})
		}
		wait.Wait()
		if got, err := db.Products().Find(t.Context(), p.ID()); err != nil || got.Stock() != writers || got.Version() != writers+1 {
			t.Errorf("after %d updates the stock is %d and the version %d, %v", writers, got.Stock(), got.Version(), err)
		}
	})
}

// A writer that never gets through gives up with its context, as an outage.
func TestContentionEndsWithContext(t *testing.T) {
	each(t, func(t *testing.T, db *gormrepo.DB) {
		p := addProduct(t, db, addUser(t, db).ID(), product.Draft{})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		raise := func(p *product.Product) error {
			stock := p.Stock() + 1
			return p.Apply(product.Change{Stock: &stock}, start)
		}
		_, err := db.Products().Update(ctx, p.ID(), func(mine *product.Product) error {
			if _, err := db.Products().Update(context.WithoutCancel(ctx), p.ID(), raise); err != nil {
				t.Errorf("the other's Update = %v", err)
			}
			return raise(mine)
		})
		if !errors.Is(err, fault.Unavailable) {
			t.Errorf("Update = %v, want Unavailable", err)
		}
	})
}

func TestCancelledContext(t *testing.T) {
	each(t, func(t *testing.T, db *gormrepo.DB) {
		u := addUser(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantUnavailable(t, ctx, db, u.ID())
	})
}

func TestClosed(t *testing.T) {
	each(t, func(t *testing.T, db *gormrepo.DB) {
		u := addUser(t, db)
		if err := errors.Join(db.Close(), db.Close()); err != nil {
			t.Errorf("Close twice = %v, want nil", err)
		}
		wantUnavailable(t, t.Context(), db, u.ID())
	})
}

// wantUnavailable calls everything and asks that it cannot be told.
func wantUnavailable(t *testing.T, ctx context.Context, db *gormrepo.DB, id user.ID) {
	t.Helper()
	productID := product.ID{UUID: id.UUID}
	users, products, policies := db.Users(), db.Products(), db.Policies()
	for what, call := range map[string]func() error{
		"Users.Add":         func() error { return users.Add(ctx, newUser(t, "down@example.com")) },
		"Users.Find":        func() error { _, err := users.Find(ctx, id); return err },
		"Users.FindByEmail": func() error { _, err := users.FindByEmail(ctx, newUser(t, "x@example.com").Email()); return err },
		"Users.Update":      func() error { _, err := users.Update(ctx, id, func(*user.User) error { return nil }); return err },
		"Users.List":        func() error { _, err := users.List(ctx, user.ID{}, 1); return err },
		"Products.Add":      func() error { return products.Add(ctx, newProduct(t, id, product.Draft{})) },
		"Products.Find":     func() error { _, err := products.Find(ctx, productID); return err },
		"Products.List": func() error {
			_, err := products.List(ctx, ports.ProductQuery{Visible: access.Everything, Limit: 1})
			return err
		},
		"Products.Update": func() error {
			_, err := products.Update(ctx, productID, func(*product.Product) error { return nil })
			return err
		},
		"Products.Delete": func() error {
			return products.Delete(ctx, productID, func(product.Product) error { return nil })
		},
		"Policies.Version": func() error { _, err := policies.Version(ctx); return err },
		"Policies.Load":    func() error { _, err := policies.Load(ctx); return err },
		"Policies.Seed":    func() error { _, err := policies.Seed(ctx, access.Revision{}); return err },
		"Policies.Change": func() error {
			return second(policies.Change(ctx, access.Edit{}, func(*access.Table) error { return nil }))
		},
		"Policies.Revisions": func() error { return second(policies.Revisions(ctx, 0, 1)) },
		"Policies.Revision":  func() error { return second(policies.Revision(ctx, 1)) },
		"Check":              func() error { return db.Check(ctx) },
		"Users.Update with an entry": func() error {
			return second(users.Update(ctx, id, func(*user.User) error { return nil }, &ports.Along{Audit: entries(id, 1)}))
		},
		"Users.Delete":    func() error { return users.Delete(ctx, id, func(user.User) error { return nil }) },
		"Factors.Find":    func() error { return second(db.Factors().Find(ctx, id)) },
		"Factors.Update":  func() error { return second(db.Factors().Update(ctx, id, startFactor(id))) },
		"Ledger.Record":   func() error { return db.Ledger().Record(ctx, ports.Along{Audit: entries(id, 1)}) },
		"Ledger.Heads":    func() error { return second(db.Ledger().Heads(ctx)) },
		"Ledger.Rows":     func() error { return second(db.Ledger().Rows(ctx, "2026-03-01", 0, 1)) },
		"Ledger.RowsOf":   func() error { return second(db.Ledger().RowsOf(ctx, id, 1)) },
		"Tickets.Issue":   func() error { return db.Tickets().Issue(ctx, newTicket(newUser(t, "ticket@example.com"))) },
		"Tickets.Find":    func() error { return second(db.Tickets().Find(ctx, newKey(), start)) },
		"Tickets.Prune":   func() error { return second(db.Tickets().Prune(ctx, start, 1)) },
		"Answers.Find":    func() error { return second(db.Answers().Find(ctx, idempotency.ID{}, start)) },
		"Answers.Prune":   func() error { return second(db.Answers().Prune(ctx, start, 1)) },
		"Outbox.Claim":    func() error { return second(db.Outbox().Claim(ctx, start, time.Minute, 1)) },
		"Outbox.Done":     func() error { return db.Outbox().Done(ctx, id.UUID) },
		"Outbox.Postpone": func() error { return db.Outbox().Postpone(ctx, id.UUID, start, "why") },
		"Outbox.Waiting":  func() error { _, _, err := db.Outbox().Waiting(ctx); return err },
		"Outbox.To":       func() error { return second(db.Outbox().LettersTo(ctx, id)) },
		"Limiter.Take":    func() error { return second(db.Limiter().Take(ctx, "key", inARow, start)) },
		"Limiter.Return":  func() error { return db.Limiter().Return(ctx, "key", inARow) },
		"Limiter.Forget":  func() error { return db.Limiter().Forget(ctx, "key") },
		"Limiter.Prune":   func() error { return second(db.Limiter().Prune(ctx, start, 1)) },
		"Keys.Key":        func() error { return second(db.Keys().Key(ctx, [32]byte{})) },
	} {
		begun := time.Now()
		if err := call(); !errors.Is(err, fault.Unavailable) || errors.Is(err, fault.NotFound) {
			t.Errorf("%s = %v, want Unavailable", what, err)
		}
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("%s took %v", what, took)
		}
	}
}

// The database goes and comes back: meanwhile nothing is "not found", and
// nothing waits longer than its context.
func TestPostgresOutage(t *testing.T) {
	server := pgtest.New(t)
	db := openURL(t, server.Migrated(t), gormrepo.PoolOptions{MaxConns: 4})
	u := addUser(t, db)
	down := func(how string) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		t.Run(how, func(t *testing.T) { wantUnavailable(t, ctx, db, u.ID()) })
	}
	recovered := func(how string) {
		t.Helper()
		var err error
		for range 100 { // a connection that broke is found out by who uses it
			if _, err = db.Users().Find(t.Context(), u.ID()); err == nil {
				return
			}
			if !errors.Is(err, fault.Unavailable) {
				t.Fatalf("Find after %s = %v, want Unavailable or the user", how, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("Find a second after %s = %v, want the user", how, err)
	}

	server.Stop()
	down("stopped")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	recovered("a stop")

	server.Kill()
	down("killed")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	recovered("a kill")

	server.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := db.Users().Find(ctx, u.ID()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Find over a frozen server = %v, want Unavailable", err)
	}
	server.Thaw()
	recovered("a freeze")
}

// A pool of a server that is down can be made; it fails where it is used.
func TestPostgresIsLazy(t *testing.T) {
	db := openURL(t, "postgres://nobody@127.0.0.1:1/none?sslmode=disable", gormrepo.PoolOptions{})
	if err := db.Check(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Check = %v, want Unavailable", err)
	}
	if _, err := gormrepo.NewPool(t.Context(), "postgres://user:secret@host:port/", gormrepo.PoolOptions{}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("NewPool(malformed URL) = %v, want an error without the password", err)
	}
}

// PostgreSQL ends a slow statement itself, and that is an outage as well.
func TestStatementTimeout(t *testing.T) {
	url := pgtest.Migrated(t)
	db := openURL(t, url, gormrepo.PoolOptions{StatementTimeout: 100 * time.Millisecond})
	u := addUser(t, db)
	lock := connect(t, url)
	if _, err := lock.Exec(t.Context(), "BEGIN; LOCK TABLE users"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Users().Find(t.Context(), u.ID()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Find of a locked table = %v, want Unavailable", err)
	}
}

// A migration under a running node makes plans stale; nobody notices.
func TestMigrationUnderARunningNode(t *testing.T) {
	url := pgtest.Migrated(t)
	db := openURL(t, url, gormrepo.PoolOptions{MaxConns: 1})
	p := addProduct(t, db, addUser(t, db).ID(), product.Draft{})
	find := func() error { _, err := db.Products().Find(t.Context(), p.ID()); return err }
	if err := find(); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, url).Exec(t.Context(), "ALTER TABLE products ALTER COLUMN price_currency TYPE varchar(3), ADD COLUMN extra text"); err != nil {
		t.Fatal(err)
	}
	if err := find(); err != nil {
		t.Errorf("Find after ALTER TABLE = %v, want the product", err)
	}
}

// A database without the row of the policy's version cannot tell which holds.
func TestPolicyStateGone(t *testing.T) {
	url := pgtest.Migrated(t)
	db := openURL(t, url, gormrepo.PoolOptions{})
	if _, err := connect(t, url).Exec(t.Context(), "DELETE FROM policy_state"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Policies().Version(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Version = %v, want Unavailable", err)
	}
	if _, err := db.Policies().Load(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Load = %v, want Unavailable", err)
	}
}

// Nodes that start at once fill the table once.
func TestSeedAtOnce(t *testing.T) {
	each(t, func(t *testing.T, db *gormrepo.DB) {
		row := func() access.Row {
			return access.Row{ID: access.PolicyID{UUID: newID()}, Role: "user", Resource: "product", Action: "read", Condition: "any", Effect: "allow"}
		}
		var wait sync.WaitGroup
		var seeded atomic.Int64
		for range 8 {
			wait.Go(func() {
				ok, err := db.Policies().Seed(t.Context(), access.Revision{Table: access.Table{Rows: []access.Row{row()}, Inherits: []access.Inheritance{{Role: "admin", Parent: "user"}}}})
				if err != nil {
					t.Errorf("Seed = %v", err)
				}
				if ok {
					seeded.Add(1)
				}
			})
		}
		wait.Wait()
		table, err := db.Policies().Load(t.Context())
		if seeded.Load() != 1 || err != nil || table.Version != 1 || len(table.Rows) != 1 || len(table.Inherits) != 1 {
			t.Errorf("8 seeds at once: %d filled the table, which is %+v, %v", seeded.Load(), table, err)
		}
	})
}

// A path is a path, whatever a URI would make of it, and what is kept there is
// for us alone.
func TestSQLiteFile(t *testing.T) {
	for _, name := range []string{"plain.db", "a b?mode=memory&x=1#frag%41.db", ":memory:", "é한.db"} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "made here", "and%20here?")
			path := filepath.Join(folder, name)
			litetest.Migrate(t, path)
			db := openFile(t, path)
			u := addUser(t, db)
			if again, err := openFile(t, path).Users().Find(t.Context(), u.ID()); err != nil || again.ID() != u.ID() {
				t.Errorf("Find through another handle = %v, want the user", err)
			}
			wantMode(t, folder, 0o700)
			for _, side := range []string{"", "-wal", "-shm"} {
				wantMode(t, path+side, 0o600)
			}
			entries, err := os.ReadDir(folder)
			if err != nil || len(entries) != 3 {
				t.Errorf("the folder holds %v, %v, want the file and its two side files", entries, err)
			}
		})
	}
	if _, err := gormrepo.OpenSQLite(t.Context(), "", nil); err == nil {
		t.Error("OpenSQLite(no path) = nil, want an error")
	}
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != want {
		t.Errorf("the mode of %s is %v, %v, want %v", path, info.Mode(), err, want)
	}
}

// A reader does not wait for the writer, and a writer that waits for another
// process gives up with its context.
func TestSQLiteLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db := openFile(t, path)
	u := addUser(t, db)
	other, err := gormrepo.SQLiteMigrationHandle(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	tx, err := other.BeginTx(t.Context(), &sql.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := db.Users().Find(ctx, u.ID()); err != nil {
		t.Errorf("Find beside a writer = %v, want the user", err)
	}
	begun := time.Now()
	_, err = db.Users().Update(ctx, u.ID(), func(u *user.User) error { u.Disable(start); return nil })
	if took := time.Since(begun); !errors.Is(err, fault.Unavailable) || took > 2*time.Second {
		t.Errorf("Update beside a writer = %v after %v, want Unavailable with the context", err, took)
	}
}

// Deleting a user deletes what is theirs.
func TestSQLiteCascade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db := openFile(t, path)
	u := addUser(t, db)
	p := addProduct(t, db, u.ID(), product.Draft{})
	s := session.Begin(session.Start{ID: session.ID{UUID: newID()}, Key: newKey(), UserID: u.ID()}, session.DefaultLifetime, start)
	if err := db.Sessions().Add(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	handle, err := gormrepo.SQLiteMigrationHandle(path)
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	if _, err := handle.ExecContext(t.Context(), "DELETE FROM users WHERE id = ?", u.ID().String()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Products().Find(t.Context(), p.ID()); !errors.Is(err, fault.NotFound) {
		t.Errorf("Find(product of a deleted user) = %v, want NotFound", err)
	}
	if _, err := db.Sessions().Resume(t.Context(), s.Key()); !errors.Is(err, fault.NotFound) {
		t.Errorf("Resume(session of a deleted user) = %v, want NotFound", err)
	}
}

func run(t *testing.T, db *gormrepo.DB, statement string) {
	t.Helper()
	if err := gormrepo.Run(t.Context(), db, statement); err != nil {
		t.Fatal(err)
	}
}

// A policy that cannot be read, for whatever reason, cannot be told: it is neither
// empty nor a defect that a client is answered 500 for (threats.md, scenario 13).
func TestPolicyGone(t *testing.T) {
	for what, statement := range map[string]string{
		"the table": "ALTER TABLE policies RENAME TO policies_gone", "the inheritance": "DROP TABLE role_inherits",
		"a column": "ALTER TABLE policies RENAME COLUMN effect TO outcome", "the version": "DROP TABLE policy_state",
	} {
		t.Run(what, func(t *testing.T) {
			each(t, func(t *testing.T, db *gormrepo.DB) {
				run(t, db, statement)
				table, err := db.Policies().Load(t.Context())
				if !errors.Is(err, fault.Unavailable) || len(table.Rows) > 0 {
					t.Errorf("Load without %s = %v, %v, want Unavailable", what, table, err)
				}
				_, err = db.Policies().Change(t.Context(), access.Edit{}, func(t *access.Table) error {
					t.Rows = append(t.Rows, access.Row{ID: access.PolicyID{UUID: newID()}})
					return nil
				})
				if !errors.Is(err, fault.Unavailable) {
					t.Errorf("Change without %s = %v, want Unavailable", what, err)
				}
			})
		})
	}
}

// A policy of before there was a history is remembered when it is changed.
func TestPolicyOfBefore(t *testing.T) {
	each(t, func(t *testing.T, db *gormrepo.DB) {
		row := access.Row{ID: access.PolicyID{UUID: newID()}, Role: "user", Resource: "product", Action: "read", Condition: "any", Effect: "allow"}
		first := access.Table{Version: 1, Rows: []access.Row{row}, Inherits: []access.Inheritance{{Role: "admin", Parent: "user"}}}
		if _, err := db.Policies().Seed(t.Context(), access.Revision{Table: first}); err != nil {
			t.Fatal(err)
		}
		run(t, db, "DELETE FROM policy_versions")
		if list, err := db.Policies().Revisions(t.Context(), 0, 10); err != nil || len(list) != 0 {
			t.Fatalf("Revisions = %v, %v, want none", list, err)
		}
		at := time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC)
		_, err := db.Policies().Change(t.Context(), access.Edit{At: at, Note: "first"}, func(t *access.Table) error {
			t.Inherits = nil
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		list, err := db.Policies().Revisions(t.Context(), 0, 10)
		if err != nil || len(list) != 2 {
			t.Fatalf("Revisions after a change = %v, %v, want the table as it was and as it is", list, err)
		}
		if was := list[1]; !was.Table.Since(first).IsZero() || was.Table.Version != 1 || was.Edit != (access.Edit{At: at}) {
			t.Errorf("what was there before is remembered as %+v, want %+v", was, first)
		}
	})
}
