package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// role is the superuser of a cluster; the others may connect as it without a
// password, from this machine.
const role = "gatehouse"

// settings make a cluster quick and keep what scenario tests rely on: fsync is
// off, since only processes are killed here and never the machine, but a commit
// is acknowledged only when it is handed to the system.
var settings = []string{
	"fsync=off", "full_page_writes=off", "synchronous_commit=on", "max_connections=300",
	"shared_buffers=64MB", "logging_collector=off", "log_min_messages=fatal", "listen_addresses=127.0.0.1",
}

// ready is how long a server may take to start or to stop.
const ready = 60 * time.Second

// Server is a throw-away PostgreSQL of this process. Its methods are for one
// goroutine at a time.
type Server struct {
	home    string // folder of everything
	bin     string // folder of the binaries
	port    int
	account *account // whose process it is, nil for ours
	more    []string // settings beside ours, which they beat

	process *process // nil while it does not run
}

// Launch makes a cluster in a temporary folder, in memory where there is much
// of it, and starts it on a free port of
// the loopback interface and on a Unix socket. PostgreSQL refuses to run as
// root, so root runs it as the user postgres, or nobody. The binaries are
// looked for on the PATH, where pg_config says, and in the folders of Debian,
// where root also may have them installed.
func Launch(ctx context.Context) (*Server, error) { return LaunchWith(ctx) }

// LaunchWith is [Launch] with settings of the caller's, such as "fsync=on".
func LaunchWith(ctx context.Context, more ...string) (*Server, error) {
	bin, err := binaries(ctx)
	if err != nil {
		return nil, err
	}
	sweep()
	s := &Server{bin: bin, more: more}
	if s.account, err = unprivileged(); err != nil {
		return nil, err
	}
	if s.home, err = os.MkdirTemp(place(), fmt.Sprintf("%s%d-", prefix, os.Getpid())); err != nil {
		return nil, err
	}
	if err := s.initialize(ctx); err != nil {
		s.Close()
		return nil, err
	}
	for attempt := 0; ; attempt++ { // somebody else may take the port first
		if s.port, err = freePort(); err == nil {
			err = s.Start()
		}
		if err == nil {
			return s, nil
		}
		if attempt == 3 {
			s.Close()
			return nil, err
		}
	}
}

// initialize makes the cluster. Where the build knows ICU its collation is that
// of a language, as in production, so that a query which relies on the order of
// bytes without saying so is found out.
func (s *Server) initialize(ctx context.Context) error {
	if err := s.account.own(s.home); err != nil {
		return err
	}
	args := []string{"-D", s.data(), "-U", role, "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-instructions"}
	out, err := s.run(ctx, "initdb", append(slices.Clone(args), "--locale=C", "--locale-provider=icu", "--icu-locale=en")...)
	if err != nil {
		if err := os.RemoveAll(s.data()); err != nil {
			return err
		}
		out, err = s.run(ctx, "initdb", append(args, "--locale=C")...)
	}
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

func (s *Server) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir = s.home
	s.account.become(cmd)
	return cmd.CombinedOutput()
}

func (s *Server) data() string { return filepath.Join(s.home, "data") }

// URL is where a database of the server is reached over TCP.
func (s *Server) URL(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User(role), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// SocketURL is where a database of the server is reached over its Unix socket.
func (s *Server) SocketURL(database string) string {
	query := url.Values{"host": {s.home}, "port": {strconv.Itoa(s.port)}, "user": {role}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: query.Encode()}).String()
}

// Database makes an empty database, which ends with the server.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := unique("test")
	if err := execute(s.URL("postgres"), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return s.URL(name)
}

// Migrated makes a database with our tables, which ends with the server.
func (s *Server) Migrated(t testing.TB) string {
	t.Helper()
	url := s.Database(t)
	if err := migrate(url); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return url
}

// PID is the process id of the postmaster, or zero while it does not run.
func (s *Server) PID() int {
	if s.process == nil {
		return 0
	}
	return s.process.cmd.Process.Pid
}

// Start starts a server that was stopped or killed, on the port that it had,
// and returns when it accepts connections.
func (s *Server) Start() error {
	if s.process != nil {
		return errors.New("the server runs already")
	}
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
	for _, setting := range slices.Concat(settings, []string{"unix_socket_directories=" + s.sockets()}, s.more) {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), args...)
	cmd.Dir = s.home
	s.account.become(cmd)
	p, err := start(cmd)
	if err != nil {
		return err
	}
	s.process = p
	return s.await()
}

// sockets is where the Unix socket goes: nowhere if its path would be longer
// than the 107 bytes that the system takes.
func (s *Server) sockets() string {
	if len(s.home)+len("/.s.PGSQL.65535.lock") > 107 {
		return ""
	}
	return s.home
}

// await returns when the server answers, or has ended.
func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), ready)
	defer cancel()
	for {
		attempt, done := context.WithTimeout(ctx, time.Second)
		c, err := pgx.Connect(attempt, s.URL("postgres"))
		if err == nil {
			err = errors.Join(c.Ping(attempt), c.Close(attempt))
		}
		done()
		if err == nil {
			return nil
		}
		select {
		case <-s.process.ended:
			said := s.process.said.String()
			s.process = nil
			return fmt.Errorf("postgres ended: %s", said)
		case <-ctx.Done():
			s.Kill()
			return fmt.Errorf("postgres does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop shuts the server down: connections are cut, what was committed is kept.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

// Kill ends the postmaster and all its processes with SIGKILL, at once.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	others := s.family()
	s.end(syscall.SIGKILL)
	for _, pid := range others {
		kill(pid, syscall.SIGKILL)
	}
}

// end sends a signal and waits for the process to have ended; one that does not
// end is killed.
func (s *Server) end(signal syscall.Signal) {
	if s.process == nil {
		return
	}
	p := s.process
	s.process = nil
	_ = p.cmd.Process.Signal(signal) // it fails only if the process has ended
	select {
	case <-p.ended:
	case <-time.After(ready):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// Restart stops the server and starts it again.
func (s *Server) Restart() error {
	s.Stop()
	return s.Start()
}

// Freeze halts the postmaster and all its processes (SIGSTOP): connections
// stay open, and nothing answers. It returns the processes that it halted.
func (s *Server) Freeze() []int {
	if s.process == nil {
		return nil
	}
	// The postmaster first, so that it starts no more.
	kill(s.PID(), halt)
	all := append([]int{s.PID()}, s.family()...)
	for _, pid := range all {
		kill(pid, halt)
	}
	return all
}

// Thaw lets a frozen server go on.
func (s *Server) Thaw() {
	for _, pid := range append(s.family(), s.PID()) {
		kill(pid, goOn)
	}
}

// family is the processes that the postmaster has started.
func (s *Server) family() []int { return children(s.PID()) }

// Close ends the server and deletes its folder. It may be called twice.
func (s *Server) Close() {
	s.Thaw()
	s.end(syscall.SIGQUIT) // at once: nothing of it is needed any more
	// Its last processes may still be writing.
	for range 50 {
		if os.RemoveAll(s.home) == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// process is a child whose end is waited for.
type process struct {
	cmd   *exec.Cmd
	said  *output
	ended chan struct{}
}

// output keeps the end of what a process says.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all.Len() > 1<<16 {
		o.all.Reset()
	}
	return o.all.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(o.all.String())
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
