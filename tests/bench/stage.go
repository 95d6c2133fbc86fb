package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// stage is the database, the two processes and what they can be asked for.
type stage struct {
	folder, database  string
	admin             *pgx.Conn // to the server
	db                *pgx.Conn // to the database
	ours, floor       *process
	profiles, private string // where profiles go to and come from, if they are wanted
	cookieName        string
	salt              [16]byte // of the tokens
	cookies           []string
	userIDs           []string
	products, owned   []string // owned has a cookie of the owner of each product
	seeded            time.Duration
	ready             []time.Duration // start times
	idle              float64         // MiB, after the start over a filled database
}

// process is one of the servers.
type process struct {
	cmd *exec.Cmd
	url string
}

func newStage(ctx context.Context) (*stage, error) {
	server := os.Getenv("TEST_DATABASE_URL")
	if server == "" {
		return nil, errors.New("TEST_DATABASE_URL names no PostgreSQL; run `make bench`")
	}
	b := &stage{}
	if _, err := rand.Read(b.salt[:]); err != nil {
		return nil, err
	}
	if err := b.open(ctx, server); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *stage) open(ctx context.Context, server string) (err error) {
	if b.folder, err = os.MkdirTemp("", "gatehouse-bench-"); err != nil {
		return err
	}
	if b.admin, err = pgx.Connect(ctx, server); err != nil {
		return err
	}
	if b.database, err = b.createDatabase(ctx, server); err != nil {
		return err
	}
	if b.db, err = pgx.Connect(ctx, b.database); err != nil {
		return err
	}
	if b.profiles = os.Getenv("BENCH_PROFILE"); b.profiles != "" {
		if b.private, err = freeAddress(); err != nil {
			return err
		}
	}
	program := filepath.Join(b.folder, "gatehouse")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("building the service: %w\n%s", err, out)
	}
	start := func() error {
		begun := time.Now()
		b.ours, err = launch(ctx, b.folder, "/livez", func(listen string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, program, "serve")
			cmd.Env = append(append(os.Environ(), "GATEHOUSE_LISTEN="+listen, "GATEHOUSE_DATABASE_URL="+b.database, "GATEHOUSE_LOG_LEVEL=info"), unthrottled...)
			if b.profiles != "" {
				cmd.Env = append(cmd.Env, "GATEHOUSE_METRICS_LISTEN="+b.private)
			}
			return cmd
		})
		b.ready = append(b.ready, time.Since(begun))
		return err
	}
	if err := start(); err != nil { // makes the tables
		return fmt.Errorf("starting the service: %w", err)
	}
	if err := b.seed(ctx); err != nil {
		return err
	}
	for range 3 {
		b.ours.stop()
		if err := start(); err != nil {
			return fmt.Errorf("starting the service again: %w", err)
		}
	}
	b.idle = residentMiB(b.ours.cmd.Process.Pid)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.floor, err = launch(ctx, b.folder, "/", func(listen string) *exec.Cmd {
		return exec.CommandContext(ctx, self, "floor", listen, b.database)
	})
	if err != nil {
		return fmt.Errorf("starting the floor: %w", err)
	}
	return nil
}

// unthrottled has nobody made to wait who comes from one address a thousand times.
var unthrottled = []string{
	"GATEHOUSE_THROTTLE_SIGN_IN=off", "GATEHOUSE_THROTTLE_ACCOUNT=off", "GATEHOUSE_THROTTLE_NETWORK=off",
	"GATEHOUSE_THROTTLE_REGISTER=off", "GATEHOUSE_THROTTLE_SEARCH=off",
}

// stop ends the process as an operator would.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt) // if it has ended, so much the better
	_ = p.cmd.Wait()
}

// createDatabase makes one of our own beside whatever the server holds.
func (b *stage) createDatabase(ctx context.Context, server string) (string, error) {
	name := fmt.Sprintf("bench_%d", os.Getpid())
	if _, err := b.admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

func (b *stage) close() {
	for _, p := range []*process{b.ours, b.floor} {
		if p != nil && p.cmd.Process != nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	}
	if b.admin != nil {
		if b.database != "" {
			_, _ = b.admin.Exec(context.Background(), fmt.Sprintf("DROP DATABASE IF EXISTS bench_%d WITH (FORCE)", os.Getpid()))
		}
		_ = b.admin.Close(context.Background())
	}
	_ = os.RemoveAll(b.folder)
}

// freeAddress is one where nobody listens.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// launch starts a server on a free port, its log going to a file, and waits
// until it answers.
func launch(ctx context.Context, folder, path string, command func(listen string) *exec.Cmd) (*process, error) {
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: command(listen), url: "http://" + listen}
	log, err := os.CreateTemp(folder, "log-")
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has it open by itself
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for range 2000 {
		if res, err := http.Get(p.url + path); err == nil {
			return p, res.Body.Close()
		}
		select {
		case <-ctx.Done():
			return p, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	said, err := os.ReadFile(log.Name())
	return p, errors.Join(fmt.Errorf("no answer: %.4096s", said), err)
}

// client is one user's browser.
type client struct {
	base *url.URL
	http *http.Client
}

func newClient(base string) (*client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	return &client{base: u, http: &http.Client{Jar: jar}}, err
}

func (c *client) post(ctx context.Context, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(path).String(), bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		return fmt.Errorf("POST %s: %s", path, res.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(into)
}

func (b *stage) about() string {
	slices.Sort(b.ready[1:])
	return fmt.Sprintf("%d users, %d sessions, %d products, filled in in %s. First answer %s after start, %s where the tables are to be made. Memory: idle %.0f MiB, after all of this %.0f MiB",
		users+signers, sessions, productRows, b.seeded, b.ready[2].Round(time.Millisecond), b.ready[0].Round(time.Millisecond), b.idle, residentMiB(b.ours.cmd.Process.Pid))
}
