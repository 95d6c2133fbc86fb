// Package proxytest puts an HAProxy in front of nodes, with the very file that
// operators use (configs/haproxy.cfg): [Launch] for programs, [New] for tests.
//
// HAProxy is the one of this machine. Where there is none, root has Debian's
// package installed; else tests are skipped with the reason, and fail where
// CI=true.
package proxytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/tests/debian"
)

// Nodes is how many nodes the file names.
const Nodes = 3

// patience is how long a proxy may take to start.
const patience = 30 * time.Second

// Proxy is a running HAProxy.
type Proxy struct {
	// Address is where it listens.
	Address string

	cmd   *exec.Cmd
	said  *output
	ended chan struct{}
}

// Launch starts a proxy on a free port in front of the nodes at the addresses;
// root is the folder of the tree.
func Launch(ctx context.Context, root string, nodes [Nodes]string) (*Proxy, error) {
	program, err := find()
	if err != nil {
		return nil, err
	}
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	p := &Proxy{Address: address, said: &output{}, ended: make(chan struct{})}
	p.cmd = exec.Command(program, "-db", "-f", filepath.Join(root, "configs", "haproxy.cfg"))
	p.cmd.Env = append(os.Environ(), "GATEHOUSE_PROXY_LISTEN="+address)
	for i, node := range nodes {
		p.cmd.Env = append(p.cmd.Env, fmt.Sprintf("GATEHOUSE_NODE_%d=%s", i+1, node))
	}
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // what it said tells more
		close(p.ended)
	}()
	return p, p.await(ctx)
}

// await returns when the proxy takes connections.
func (p *Proxy) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		c, err := net.Dial("tcp", p.Address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-p.ended:
			return fmt.Errorf("haproxy ended: %s", p.said)
		case <-ctx.Done():
			p.Close()
			return fmt.Errorf("haproxy does not start: %w: %s", ctx.Err(), p.said)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Said is what the proxy has logged.
func (p *Proxy) Said() string { return p.said.String() }

// Close ends the proxy. It may be called twice.
func (p *Proxy) Close() {
	_ = p.cmd.Process.Kill() // it fails only if the process has ended
	<-p.ended
}

// New starts a proxy that ends with the test.
func New(t testing.TB, root string, nodes [Nodes]string) *Proxy {
	t.Helper()
	p, err := Launch(t.Context(), root, nodes)
	if p != nil {
		t.Cleanup(p.Close)
	}
	switch {
	case errors.Is(err, errMissing) && os.Getenv("CI") != "true":
		t.Skipf("proxytest: %v", err)
	case err != nil:
		t.Fatalf("proxytest: %v", err)
	}
	return p
}

// FreeAddress is one on the loopback interface that nobody listens on. Nodes that
// are to come back where they were are told where.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

var errMissing = errors.New("there is no haproxy")

// find returns the program, and has it installed if there is none and that can be
// done.
func find() (string, error) {
	if path, ok := installed(); ok {
		return path, nil
	}
	if err := install(); err != nil {
		return "", fmt.Errorf("%w on the PATH; install it (%w)", errMissing, err)
	}
	if path, ok := installed(); ok {
		return path, nil
	}
	return "", errMissing
}

func installed() (string, bool) {
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy"} { // which no PATH of users has
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

// install installs HAProxy on Debian and its kin, once for each process.
var install = sync.OnceValue(func() error { return debian.Install("haproxy") })

// output is what a process says; it may be read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(o.b.String())
}
