package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/tests/pgtest"
)

// field is what all trials share: the built program and the database server.
type field struct {
	folder string
	root   string // of the tree
	plain  string // the program as the tree has it
	server string // URL
	admin  *pgx.Conn
	made   int
}

func newField(ctx context.Context) (*field, error) {
	f := &field{server: os.Getenv("TEST_DATABASE_URL")}
	if f.server == "" {
		return nil, errors.New("TEST_DATABASE_URL names no PostgreSQL; run `make attacks` or `make test-faults`")
	}
	var err error
	if f.folder, err = os.MkdirTemp("", "gatehouse-trials-"); err != nil {
		return nil, err
	}
	if f.root, err = root(ctx); err == nil {
		f.plain, err = f.build(ctx, "gatehouse", nil)
	}
	if err != nil {
		f.close()
		return nil, err
	}
	if f.admin, err = pgx.Connect(ctx, f.server); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *field) close() {
	if f.admin != nil {
		_ = f.admin.Close(context.Background())
	}
	if os.Getenv("TRIALS_KEEP") != "" {
		fmt.Println("what the services said is in", f.folder)
		return
	}
	_ = os.RemoveAll(f.folder)
}

// trial is one scenario under way, over a database of its own.
type trial struct {
	*field
	ctx      context.Context
	cancel   context.CancelFunc
	program  string // the one that nodes run
	database string // URL
	name     string
	db       *pgx.Conn
	own      *pgtest.Server // where the scenario does something to it
	nodes    []*node
	broken   bool // a figure was not held
}

func (f *field) trial(ctx context.Context, s scenario) (*trial, error) {
	a := &trial{field: f, program: f.plain}
	a.ctx, a.cancel = context.WithTimeout(ctx, s.limit)
	f.made++
	a.name = fmt.Sprintf("trials_%d_%d", os.Getpid(), f.made)
	if _, err := f.admin.Exec(a.ctx, "CREATE DATABASE "+a.name); err != nil {
		return a, err
	}
	u, err := url.Parse(f.server)
	if err != nil {
		return a, err
	}
	u.Path = "/" + a.name
	a.database = u.String()
	a.db, err = pgx.Connect(a.ctx, a.database)
	return a, err
}

func (a *trial) close() {
	for _, n := range a.nodes {
		a.rest(n)
	}
	if a.own != nil {
		a.own.Close()
	}
	if a.db != nil {
		_ = a.db.Close(context.Background())
	}
	_, _ = a.admin.Exec(context.Background(), "DROP DATABASE IF EXISTS "+a.name+" WITH (FORCE)")
	a.cancel()
}

// row prints one figure.
func (a *trial) row(holds bool, what, figure, measured string) {
	mark := "holds"
	if !holds {
		mark, a.broken = "DOES NOT HOLD", true
	}
	fmt.Printf("    %-13s  %-58s  to hold: %-34s  measured: %s\n", mark, what, figure, measured)
}

// number is what a query that gives one number gives.
func (a *trial) number(query string, args ...any) (int64, error) {
	var n int64
	err := a.db.QueryRow(a.ctx, query, args...).Scan(&n)
	return n, err
}

// noThrottles are the settings that take every limit away, for trials of what
// lies behind them.
var noThrottles = []string{
	"GATEHOUSE_THROTTLE_SIGN_IN=off", "GATEHOUSE_THROTTLE_ACCOUNT=off", "GATEHOUSE_THROTTLE_NETWORK=off", "GATEHOUSE_THROTTLE_CODE=off",
	"GATEHOUSE_THROTTLE_CONFIRM=off", "GATEHOUSE_THROTTLE_REGISTER=off", "GATEHOUSE_THROTTLE_FORGOT=off", "GATEHOUSE_THROTTLE_SEARCH=off",
}

// node is one running service.
type node struct {
	address string
	cmd     *exec.Cmd
	log     string
	ended   chan struct{}
	once    sync.Once
	probe   string // path of a socket, see probe in build.go
	fresh   upkeep // when it had just come up
}

// node starts a service with further settings, and waits until it serves. It ends
// with the trial at the latest.
func (a *trial) node(settings ...string) (*node, error) {
	n, err := a.unlisted(settings...)
	if n != nil {
		a.nodes = append(a.nodes, n)
	}
	return n, err
}

// unlisted is node for who ends it.
func (a *trial) unlisted(settings ...string) (*node, error) {
	log, err := os.CreateTemp(a.folder, "log-")
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has it open by itself
	n := &node{cmd: exec.Command(a.program, "serve"), log: log.Name(), ended: make(chan struct{})}
	n.cmd.Dir, n.probe = a.folder, log.Name()+".probe"
	n.cmd.Env = append([]string{
		"HOME=" + a.folder, "GATEHOUSE_LISTEN=127.0.0.1:0", "GATEHOUSE_DATABASE_URL=" + a.database,
		"GATEHOUSE_MAIL_URL=file:" + filepath.Join(a.folder, a.name+"-mail"), "TRIAL_PROBE=" + n.probe,
	}, settings...)
	n.cmd.Stdout, n.cmd.Stderr = log, log
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = n.cmd.Wait() // how it ended is in ProcessState
		close(n.ended)
	}()
	serving := regexp.MustCompile(`"msg":"serving".*"listen":"([^"]+)"`)
	for range 4000 {
		said, err := os.ReadFile(n.log)
		if err != nil {
			return n, err
		}
		if m := serving.FindSubmatch(said); m != nil {
			n.address = string(m[1])
			n.fresh, err = n.upkeep()
			return n, err
		}
		select {
		case <-n.ended:
			return n, fmt.Errorf("the service ended: %s\n%s", n.cmd.ProcessState, said)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return n, errors.New("the service does not come up")
}

func (n *node) kill() {
	n.once.Do(func() {
		_ = n.cmd.Process.Kill() // it fails only if the process has ended
		<-n.ended
	})
}

// alive reports whether the process still runs, and did not panic.
func (n *node) alive() error {
	select {
	case <-n.ended:
		return fmt.Errorf("the service ended: %s", n.cmd.ProcessState)
	default:
	}
	said, err := os.ReadFile(n.log)
	if err == nil && strings.Contains(string(said), "panic") {
		return errors.New("the service panicked")
	}
	return err
}

// memory is what the process holds in the system's eyes, and the most that it
// held since resetPeak, in MiB.
func (n *node) memory() (now, peak float64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		return 0, 0
	}
	field := func(name string) float64 {
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, name+":"); ok {
				kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
				return kib / 1024
			}
		}
		return 0
	}
	return field("VmRSS"), field("VmHWM")
}

// resetPeak forgets the most that was held (proc(5), clear_refs).
func (n *node) resetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", n.cmd.Process.Pid), []byte("5"), 0)
}

// settled is the memory held when nothing happens, after what was there before
// has come to rest.
func (n *node) settled() float64 {
	least, _ := n.memory()
	for range 10 {
		time.Sleep(100 * time.Millisecond)
		now, _ := n.memory()
		least = min(least, now)
	}
	n.resetPeak()
	return least
}

const password = "a long and winding road"

func credentials(email string) string { return members("email", email, "password", password) }

// members writes an object of texts down, names and values in turn.
func members(pairs ...string) string {
	object := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		object[pairs[i]] = pairs[i+1]
	}
	text, _ := json.Marshal(object) // of texts it cannot fail
	return string(text)
}

// signUp registers somebody and returns the cookie of a session.
func (n *node) signUp(email string) (cookie string, err error) {
	w, err := n.dial()
	if err != nil {
		return "", err
	}
	defer w.close()
	if r, err := w.send("POST", "/register", credentials(email)); err != nil || r.status != 201 {
		return "", fmt.Errorf("POST /register = %d %s, %w", r.status, r.body, orNone(err))
	}
	r, err := w.send("POST", "/login", credentials(email))
	if err != nil || r.status != 200 {
		return "", fmt.Errorf("POST /login = %d %s, %w", r.status, r.body, orNone(err))
	}
	return r.cookie("sid"), nil
}

var errNone = errors.New("no error")

func orNone(err error) error {
	if err == nil {
		return errNone
	}
	return err
}

// code is the stable name of a problem.
func (r reply) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal(r.body, &p) // what is no problem has none
	return p.Code
}

// slots is how many passwords the service hashes at once by itself.
func slots() int { return max(1, runtime.GOMAXPROCS(0)-1) }
