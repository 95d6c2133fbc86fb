package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// databases is how many a server has.
const databases = 2000

// folderPrefix begins the name of a server's folder; the id of the process that
// made it follows.
const folderPrefix = "gatehouse-redis-"

// ready is how long a server may take to start or to stop.
const ready = 30 * time.Second

// Server is a throw-away Redis of this process, with a log of writes (AOF), so
// that it keeps what it has told to be done also when it is killed. Its methods
// are for one goroutine at a time.
type Server struct {
	home    string
	binary  string
	port    int
	bus     int // the port on which the nodes of a cluster talk, 0 for none
	args    []string
	process *process // nil while it does not run
}

// Launch starts a server on a free port of the loopback interface, in a
// temporary folder. The arguments are put behind ours.
func Launch(args ...string) (*Server, error) {
	return launch(false, args)
}

func launch(clustered bool, args []string) (*Server, error) {
	name, err := binary()
	if err != nil {
		return nil, err
	}
	sweep()
	s := &Server{binary: name, args: args}
	if s.home, err = os.MkdirTemp("", fmt.Sprintf("%s%d-", folderPrefix, os.Getpid())); err != nil {
		return nil, err
	}
	for attempt := 0; ; attempt++ { // somebody else may take a port first
		if s.port, err = freePort(); err == nil && clustered {
			s.bus, err = freePort()
		}
		if err == nil {
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

// Addr is host and port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is how GATEHOUSE_SESSION_STORE names the server.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// Folder is where it keeps its files.
func (s *Server) Folder() string { return s.home }

// Start starts a server that was stopped or killed, on the port that it had,
// and returns when it has loaded what it kept.
func (s *Server) Start() error {
	if s.process != nil {
		return errors.New("the server runs already")
	}
	args := []string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.home, "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
		"--databases", strconv.Itoa(databases), "--daemonize", "no", "--loglevel", "warning",
	}
	if s.bus != 0 {
		args = append(args, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(s.bus), "--cluster-node-timeout", "2000")
	}
	cmd := exec.Command(s.binary, append(args, s.args...)...)
	cmd.Dir = s.home
	p, err := start(cmd)
	if err != nil {
		return err
	}
	s.process = p
	return s.await()
}

func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), ready)
	defer cancel()
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1, DisableIdentity: true})
	defer c.Close()
	for {
		err := c.Ping(ctx).Err()
		if err == nil || strings.HasPrefix(err.Error(), "NOAUTH") {
			return nil
		}
		select {
		case <-s.process.ended:
			said := s.process.said.String()
			s.process = nil
			return fmt.Errorf("redis-server ended: %s", said)
		case <-ctx.Done():
			s.Kill()
			return fmt.Errorf("redis-server does not answer: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Stop shuts the server down.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server with SIGKILL.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

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

// Freeze halts the server (SIGSTOP): connections stay open, and nothing answers.
func (s *Server) Freeze() { s.signal(halt) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signal(goOn) }

func (s *Server) signal(signal syscall.Signal) {
	if s.process != nil && signal != 0 {
		_ = s.process.cmd.Process.Signal(signal)
	}
}

// Close ends the server and deletes its folder. It may be called twice.
func (s *Server) Close() {
	s.Kill() // nothing of it is needed any more
	_ = os.RemoveAll(s.home)
}

// Cluster is three servers that part the keys among them.
type Cluster struct{ Nodes []*Server }

// LaunchCluster starts a cluster.
func LaunchCluster(args ...string) (*Cluster, error) {
	c := &Cluster{}
	for range 3 {
		s, err := launch(true, args)
		if err != nil {
			c.Close()
			return nil, err
		}
		c.Nodes = append(c.Nodes, s)
	}
	if err := c.form(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// URL is how GATEHOUSE_SESSION_STORE names the cluster.
func (c *Cluster) URL() string {
	var addrs []string
	for _, s := range c.Nodes {
		addrs = append(addrs, s.Addr())
	}
	return "redis://" + strings.Join(addrs, ",")
}

// Close ends all of it.
func (c *Cluster) Close() {
	for _, s := range c.Nodes {
		s.Close()
	}
}

// form gives each its part of the keys, has them meet, and returns when all
// agree.
func (c *Cluster) form() error {
	ctx, cancel := context.WithTimeout(context.Background(), ready)
	defer cancel()
	const slots = 16384
	for i, s := range c.Nodes {
		err := s.ask(func(r *redis.Client) error {
			if err := r.ClusterAddSlotsRange(ctx, i*slots/3, (i+1)*slots/3-1).Err(); err != nil {
				return err
			}
			for _, other := range c.Nodes {
				if err := r.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", other.port, other.bus).Err(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return c.Await(ctx)
}

// Await returns when every node that runs says that the cluster is whole.
func (c *Cluster) Await(ctx context.Context) error {
	for {
		whole := true
		for _, s := range c.Nodes {
			err := s.ask(func(r *redis.Client) error {
				info, err := r.ClusterInfo(ctx).Result()
				if err == nil && (!strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_size:3")) {
					err = errors.New("not whole")
				}
				return err
			})
			whole = whole && err == nil
		}
		if whole {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster is not whole: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Server) ask(f func(*redis.Client) error) error {
	r := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1, DisableIdentity: true})
	defer r.Close()
	return f(r)
}

// Flush deletes all keys of all nodes.
func (c *Cluster) Flush(ctx context.Context) error {
	for _, s := range c.Nodes {
		if err := s.ask(func(r *redis.Client) error { return r.FlushAll(ctx).Err() }); err != nil {
			return err
		}
	}
	return nil
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
