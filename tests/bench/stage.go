package main

import (
	"bytes"
	"context"
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
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// How much is in the database.
const (
	users           = 20
	productsPerUser = 50
)

// stage is the database, the two processes and what they can be asked for.
type stage struct {
	folder, database  string
	admin             *pgx.Conn
	ours, floor       *process
	cookies           []string // one session a user
	userIDs, products []string
	ready, idle       string // start time, memory: for the closing line
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
	program := filepath.Join(b.folder, "gatehouse")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("building the service: %w\n%s", err, out)
	}
	begun := time.Now()
	if b.ours, err = launch(ctx, b.folder, "/livez", func(listen string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program, "serve")
		cmd.Env = append(os.Environ(), "GATEHOUSE_LISTEN="+listen, "GATEHOUSE_DATABASE_URL="+b.database, "GATEHOUSE_LOG_LEVEL=info")
		return cmd
	}); err != nil {
		return fmt.Errorf("starting the service: %w", err)
	}
	b.ready = time.Since(begun).Round(time.Millisecond).String()
	b.idle = fmt.Sprintf("%.0f MiB", residentMiB(b.ours.cmd.Process.Pid))
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if b.floor, err = launch(ctx, b.folder, "/", func(listen string) *exec.Cmd {
		return exec.CommandContext(ctx, self, "floor", listen, b.database)
	}); err != nil {
		return fmt.Errorf("starting the floor: %w", err)
	}
	return b.seed(ctx)
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

// launch starts a server on a free port, its log going to a file, and waits
// until it answers.
func launch(ctx context.Context, folder, path string, command func(listen string) *exec.Cmd) (*process, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	listen := ln.Addr().String()
	if err := ln.Close(); err != nil {
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

// seed registers users over HTTP, signs them in, and lets them offer products.
func (b *stage) seed(ctx context.Context) error {
	for i := range users {
		c, err := newClient(b.ours.url)
		if err != nil {
			return err
		}
		account := map[string]any{"email": fmt.Sprintf("bench%d@example.com", i), "password": "a long and winding road"}
		var u struct{ ID string }
		if err := c.post(ctx, "/register", account, &u); err != nil {
			return err
		}
		if err := c.post(ctx, "/login", account, nil); err != nil {
			return err
		}
		b.userIDs = append(b.userIDs, u.ID)
		b.cookies = append(b.cookies, c.cookie())
		for j := range productsPerUser {
			var p struct{ ID string }
			offer := map[string]any{"name": fmt.Sprintf("Lamp %d of %d", j, i), "description": strings.Repeat("of brass ", 10),
				"price": map[string]any{"amount": 1000 + j, "currency": "KRW"}, "stock": j, "status": "published"}
			if err := c.post(ctx, "/products", offer, &p); err != nil {
				return err
			}
			b.products = append(b.products, p.ID)
		}
	}
	return nil
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

func (c *client) cookie() string {
	var pairs []string
	for _, k := range c.http.Jar.Cookies(c.base) {
		pairs = append(pairs, k.Name+"="+k.Value)
	}
	return strings.Join(pairs, "; ")
}

func (b *stage) about() string {
	return fmt.Sprintf("First answer %s after start (PostgreSQL, migrations included), idle memory %s", b.ready, b.idle)
}
