package bootstrap_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/bootstrap"
	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/tests/pgtest"
	"gatehouse/tests/redistest"
)

// quiet is a program that says nothing.
func quiet(t *testing.T, environ ...string) bootstrap.Program {
	t.Helper()
	return bootstrap.Program{Config: configuration(t, environ...), Log: slog.New(slog.DiscardHandler)}
}

// TestBadPolicy: a start on a table that means nothing, or from which somebody
// took every row, is refused (threats.md, scenario 13).
func TestBadPolicy(t *testing.T) {
	tests := []struct{ name, change, want string }{
		{"every row is gone", "DELETE FROM policies", "the policy table is empty"},
		{"a word that nobody knows", "UPDATE policies SET action = 'publish' WHERE action = 'read'", `unknown action "publish"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url := pgtest.Database(t)
			environ := "GATEHOUSE_DATABASE_URL=" + url
			n, err := quiet(t, environ).Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			change(t, url, tt.change)
			_, err = quiet(t, environ).Open(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), `"gatehouse policy check"`) {
				t.Errorf("Open = %v, want %q and what to do", err, tt.want)
			}
			line{t, []string{environ}}.want(1, "", words("policy check"), tt.want)
		})
	}
}

func change(t *testing.T, url, statement string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if _, err := c.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// TestThePolicyIsSeededOnce: what was changed in the database stays so.
func TestThePolicyIsSeededOnce(t *testing.T) {
	url := pgtest.Database(t)
	l := newLine(t, "GATEHOUSE_DATABASE_URL="+url)
	l.want(0, "", words("migrate up"))
	l.want(0, "", words("policy check"), "20 rows")
	change(t, url, "DELETE FROM policies WHERE role = 'moderator'")
	l.want(0, "", words("demo"))
	l.want(0, "", words("policy check"), "18 rows")
}

func TestExtensionsAreWiredIn(t *testing.T) {
	p := quiet(t, "GATEHOUSE_DATABASE_URL=sqlite:"+filepath.Join(t.TempDir(), "g.db"))
	p.Extensions = bootstrap.Extensions{ProductRules: []product.Rule{func(tr product.Transition) error {
		if tr.After != nil && tr.After.Stock() == 13 {
			return product.Refuse("/stock", "unlucky", "Not thirteen.")
		}
		return nil
	}}}
	c := newCaller(t, start(t, p))
	c.want(201, "POST", "/register", `{"email":"ann@example.com","password":"correct horse battery"}`)
	c.want(200, "POST", "/login", `{"email":"ann@example.com","password":"correct horse battery"}`)
	got := c.want(422, "POST", "/products", `{"name":"x","price":{"amount":1,"currency":"KRW"},"stock":13}`)
	if !strings.Contains(fmt.Sprint(got["errors"]), "unlucky") {
		t.Errorf("the rule is not asked: %v", got)
	}

	p.Extensions = bootstrap.Extensions{Conditions: []access.Condition{access.NewCondition("own", nil)}}
	if _, err := p.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "bootstrap/extensions.go") {
		t.Errorf("Open with a bad condition = %v, want the file to mend", err)
	}
}

// TestDatabaseAway: the start waits for PostgreSQL for as long as it may, and
// then says what to do, without the password.
func TestDatabaseAway(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	p := quiet(t, "GATEHOUSE_DATABASE_URL=postgres://gate:secretword@"+ln.Addr().String()+"/gate")
	var log bytes.Buffer
	p.Log, p.Patience = slog.New(slog.NewTextHandler(&log, nil)), 500*time.Millisecond
	_, err = p.Open(t.Context())
	if err == nil || !strings.Contains(err.Error(), "is it running") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Open = %v, want one line with what to do", err)
	}
	if !strings.Contains(log.String(), "trying on") || strings.Contains(log.String()+err.Error(), "secretword") {
		t.Errorf("it says %s and %v", log.String(), err)
	}
}

// TestItWaitsForPostgres: a database that comes up late is no reason to give up.
func TestItWaitsForPostgres(t *testing.T) {
	server := pgtest.New(t)
	p := quiet(t, "GATEHOUSE_DATABASE_URL="+server.Database(t))
	p.Patience = time.Minute
	server.Stop()
	opened := make(chan error, 1)
	go func() {
		n, err := p.Open(context.Background())
		if err == nil {
			err = n.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("Open = %v while PostgreSQL is down", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("Open = %v, want it to have waited", err)
	}
}

// TestRedisAway: the start waits for Redis as it does for PostgreSQL, and says
// what to do at once where waiting mends nothing; the password it tells nobody.
func TestRedisAway(t *testing.T) {
	server, err := redistest.Launch("--requirepass", "secretword")
	if err != nil {
		t.Skip(err) // others tell that there is no Redis
	}
	t.Cleanup(server.Close)
	at := func(password string) bootstrap.Program {
		return quiet(t, "GATEHOUSE_DATABASE_URL=sqlite:"+filepath.Join(t.TempDir(), "g.db"), "GATEHOUSE_SESSION_STORE=redis://:"+password+"@"+server.Addr())
	}
	p := at("secretword2")
	p.Patience = time.Hour
	_, err = p.Open(t.Context())
	if err == nil || !strings.Contains(err.Error(), "WRONGPASS") || !strings.Contains(err.Error(), "GATEHOUSE_SESSION_STORE") || strings.Contains(err.Error(), "secretword") {
		t.Errorf("Open with a wrong password = %v, want what to do, and no password", err)
	}
	server.Stop()
	p = at("secretword")
	var log bytes.Buffer
	p.Log, p.Patience = slog.New(slog.NewTextHandler(&log, nil)), 500*time.Millisecond
	_, err = p.Open(t.Context())
	if err == nil || !strings.Contains(err.Error(), "is it running") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Open without Redis = %v, want one line with what to do", err)
	}
	if !strings.Contains(log.String(), "trying on") || strings.Contains(log.String()+err.Error(), "secretword") {
		t.Errorf("it says %s and %v", log.String(), err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	n, err := at("secretword").Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

// TestOpenFailsCleanly: what Open opened is closed also where it fails.
func TestOpenFailsCleanly(t *testing.T) {
	n, err := quiet(t, "GATEHOUSE_DATABASE_URL=memory:").Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := quiet(t, "GATEHOUSE_DATABASE_URL=sqlite:"+filepath.Join(t.TempDir(), "g.db"), "GATEHOUSE_LISTEN="+n.Addr().String())
	if _, err := p.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "another program may be using the port") {
		t.Errorf("Open on a taken port = %v", err)
	}
	if err := n.Close(); err != nil {
		t.Errorf("Close without Run = %v", err)
	}
	again, err := p.Open(t.Context())
	if err != nil {
		t.Fatalf("Open after the port is free = %v", err)
	}
	if err := again.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}
