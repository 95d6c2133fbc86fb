package gormrepo_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"gatehouse/adapters/gormrepo"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
	"gatehouse/tests/pgtest"
)

// TestSearchesLeaveConnections is scenario 3 in small: searches and totals that do
// not come back hold half of the connections, whoever comes on top is told so, and
// everything else is answered meanwhile.
func TestSearchesLeaveConnections(t *testing.T) {
	url := pgtest.Migrated(t)
	db := openURL(t, url, gormrepo.PoolOptions{MaxConns: 6, StatementTimeout: -1})
	ann := addUser(t, db)
	c := connect(t, url)
	lock, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), "LOCK TABLE products, users IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	find := ports.ProductQuery{Visible: access.Everything, Text: "lamp", Limit: 20}
	kinds := map[string]func(context.Context) error{
		"list":  func(ctx context.Context) error { _, err := db.Products().List(ctx, find); return err },
		"count": func(ctx context.Context) error { _, err := db.Products().Count(ctx, find); return err },
		"users": func(ctx context.Context) error {
			_, err := db.Users().Search(ctx, ports.UserQuery{Visible: access.Everything, Text: "ann", Limit: 20})
			return err
		},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // lest it hangs when it fails
	defer cancel()
	const each = 4
	var all sync.WaitGroup
	refused := make(chan error, each*len(kinds))
	for name, search := range kinds {
		for range each {
			all.Go(func() {
				err := search(ctx)
				if err != nil && !errors.Is(err, fault.Unavailable) {
					t.Errorf("%s = %v, want success or Unavailable", name, err)
				}
				if err != nil {
					refused <- err
				}
			})
		}
	}
	// All but those that found one of the two places.
	for range each*len(kinds) - 2 {
		if f, ok := errors.AsType[*fault.Error](<-refused); !ok || f.RetryAfter <= 0 {
			t.Errorf("a search too many = %v, want to be told when to come again", f)
		}
	}
	if _, err := db.Policies().Version(ctx); err != nil {
		t.Errorf("beside searches that hang, the version of the policy = %v", err)
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	for name, search := range kinds { // the places are free again
		for range each {
			if err := search(t.Context()); err != nil {
				t.Errorf("%s afterwards = %v", name, err)
			}
		}
	}
	if _, err := db.Users().Find(t.Context(), ann.ID()); err != nil {
		t.Errorf("Find = %v", err)
	}
}

// TestASearchWaitsForNoOneWhoLeaves: who has given up waits for no place.
func TestASearchWaitsForNoOneWhoLeaves(t *testing.T) {
	url := pgtest.Migrated(t)
	db := openURL(t, url, gormrepo.PoolOptions{MaxConns: 2, StatementTimeout: -1})
	lock, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), "LOCK TABLE products IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	find := ports.ProductQuery{Visible: access.Everything, Text: "lamp", Limit: 20}
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan error, 2)
	for range 2 {
		go func() { _, err := db.Products().List(ctx, find); answers <- err }()
	}
	<-answers // the one without a place
	cancel()
	if err := <-answers; !errors.Is(err, fault.Unavailable) {
		t.Errorf("List = %v, want Unavailable", err)
	}
	if _, err := db.Products().List(ctx, find); !errors.Is(err, fault.Unavailable) {
		t.Errorf("List of who has left = %v, want Unavailable", err)
	}
}

// TestALookWaitsForNobody: pgconn may still be reading a connection that is back in
// the pool, after a slow write. A look at it must not wait for that: it would do so
// until something comes.
func TestALookWaitsForNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	there, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = c.Read(make([]byte, 1)) // the end
	}()
	for range 1000 { // while the reader comes, and after
		if gormrepo.Stirred(c) {
			t.Fatal("a connection on which nothing has happened has stirred")
		}
		runtime.Gosched()
	}
	if err := there.Close(); err != nil {
		t.Fatal(err)
	}
	<-read
	if !gormrepo.Stirred(c) {
		t.Error("a connection that was closed at the other end has not stirred")
	}
}

// TestAReadThatWasCut: a read that meets the end of its connection is done again. The
// server is told to end all sessions, and it is not waited for that.
func TestAReadThatWasCut(t *testing.T) {
	url := pgtest.Migrated(t)
	db := openURL(t, url, gormrepo.PoolOptions{MaxConns: 4})
	other := connect(t, url)
	ann := addUser(t, db)
	find := ports.ProductQuery{Visible: access.Everything, Limit: 20}
	for i := range 30 {
		if _, err := db.Users().Find(t.Context(), ann.ID()); err != nil {
			t.Fatalf("%d: Find = %v", i, err)
		}
		if _, err := other.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Users().Find(t.Context(), ann.ID()); err != nil {
			t.Fatalf("%d: Find after the cut = %v", i, err)
		}
		if _, err := db.Products().List(t.Context(), find); err != nil {
			t.Fatalf("%d: List after the cut = %v", i, err)
		}
	}
}

// TestConnectionsThatWereCut: after the server has ended every session, the next
// write is carried out all the same. Without a look at the connection it fails,
// unless that was idle for so long that pgx tries it first.
func TestConnectionsThatWereCut(t *testing.T) {
	url := pgtest.Migrated(t)
	db := openURL(t, url, gormrepo.PoolOptions{MaxConns: 4})
	other := connect(t, url)
	for range 5 {
		var all sync.WaitGroup
		for range 8 { // so that several connections are open
			all.Go(func() { addUser(t, db) })
		}
		all.Wait()
		if _, err := other.Exec(t.Context(), "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"); err != nil {
			t.Fatal(err)
		}
		addUser(t, db)
		addProduct(t, db, addUser(t, db).ID(), product.Draft{})
	}
	if _, err := db.Users().Find(t.Context(), user.ID{}); !errors.Is(err, fault.NotFound) {
		t.Errorf("Find = %v, want NotFound", err)
	}
}
