package e2e_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/tests/debian"
	"gatehouse/tests/pgtest"
)

// TestBehindPgbouncer holds docs/scaling.md to what it says of pgbouncer: two
// nodes with a pooler in transaction mode between them and PostgreSQL, which
// gives each transaction another connection, and the schema brought up to date
// past it.
func TestBehindPgbouncer(t *testing.T) {
	server := pgtest.New(t)
	w := newWorld(t)
	direct := server.Database(t)
	pooled := pgbouncer(t, direct)
	if code, said := w.run([]string{"migrate", "up"}, "GATEHOUSE_DATABASE_URL="+direct); code != 0 {
		t.Fatalf("migrate up: %d %s", code, said)
	}
	environ := []string{"GATEHOUSE_DATABASE_URL=" + pooled + "&default_query_exec_mode=cache_describe", "GATEHOUSE_MIGRATE=off"}
	one, two := w.serve(environ...), w.serve(environ...)
	for i := range 2 {
		c := w.client()
		address := fmt.Sprintf("user%d@example.com", i)
		password := c.signUp(one, address)
		lamp := c.want(two, 201, "POST", "/products", `{"name":"Lamp","price":{"amount":1,"currency":"USD"}}`).header.Get("Location")
		for range 3 { // the same statements, on whatever connections
			c.want(one, 200, "GET", lamp, "")
			c.want(two, 200, "PATCH", lamp, `{"stock":3}`)
			c.want(one, 200, "GET", "/products?q=lamp&count=true", "")
			c.want(two, 200, "GET", "/me/sessions", "")
			c.want(one, 200, "GET", "/me/export", "")
		}
		fresh := w.password()
		c.want(one, 204, "PUT", "/me/password", fmt.Sprintf(`{"currentPassword":%q,"newPassword":%q}`, password, fresh))
		c.want(two, 200, "GET", "/me", "")
		c.want(two, 204, "DELETE", "/me", fmt.Sprintf(`{"password":%q}`, fresh))
		c.want(one, 401, "GET", "/me", "")
	}
	if code, said := w.run([]string{"audit", "verify"}, "GATEHOUSE_DATABASE_URL="+direct); code != 0 {
		t.Errorf("audit verify: %d %s", code, said)
	}
	for _, p := range []*process{one, two} {
		if code := p.terminate(); code != 0 {
			t.Errorf("the node ended with %d", code)
		}
	}
}

// pgbouncer starts one with the settings of docs/scaling.md, and two connections
// to the server for all, and gives the URL by which the database is reached
// through it.
func pgbouncer(t *testing.T, direct string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/pgbouncer")
	}
	if err != nil {
		if failed := debian.Install("pgbouncer"); failed != nil {
			err = failed
		} else {
			program, err = exec.LookPath("/usr/sbin/pgbouncer")
		}
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("there is no pgbouncer: %v", err)
		}
		t.Skipf("there is no pgbouncer: %v", err)
	}
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close() // for pgbouncer to take
	folder, err := os.MkdirTemp("", "gatehouse-pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	settings := strings.NewReplacer("{server}", u.Hostname(), "{port}", u.Port(), "{listen}", strconv.Itoa(port)).Replace(`[databases]
* = host={server} port={port} pool_size=2

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
auth_file =
pool_mode = transaction
max_client_conn = 1000
ignore_startup_parameters = statement_timeout, default_transaction_isolation
`)
	settings = strings.Replace(settings, "pool_size=2", "pool_size=2 user="+u.User.Username(), 1)
	file := filepath.Join(folder, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, file)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if os.Geteuid() == 0 { // as which it does not run
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(nobody.Uid)
		gid, _ := strconv.Atoi(nobody.Gid)
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	said := &output{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("pgbouncer does not listen:\n%s", said)
		}
	}
	u.Host = addr
	return u.String()
}
