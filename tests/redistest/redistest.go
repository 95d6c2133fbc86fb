// Package redistest gives tests a real Redis: [Database] an empty database of a
// server that a test binary shares, [New] a server of a test's own, to be
// stopped, killed and frozen, and [NewCluster] a cluster of three.
//
// A package that uses the first ends the shared server in its TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(redistest.Main(m.Run)) }
//
// The servers are those of this machine (redis-server, or valkey-server), which
// root has installed from Debian's packages where there are none. Else tests are
// skipped with the reason, and fail where CI=true. A server ends with the
// process that started it, even if that is killed.
package redistest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"gatehouse/tests/debian"
)

// shared is the server of this test binary, started by who needs it first.
var shared struct {
	mu     sync.Mutex
	server *Server
	err    error
	used   int // databases
}

// Main runs the tests and stops the shared server, whatever becomes of them.
func Main(run func() int) int {
	defer func() {
		shared.mu.Lock()
		defer shared.mu.Unlock()
		if shared.server != nil {
			shared.server.Close()
		}
	}()
	return run()
}

// Database returns the URL of a database that nobody has used, on the shared
// server.
func Database(t testing.TB) string {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Launch()
	}
	if shared.err != nil {
		missing(t, shared.err)
	}
	if shared.used == databases {
		t.Fatalf("redistest: all %d databases are used", databases)
	}
	shared.used++
	return fmt.Sprintf("%s/%d", shared.server.URL(), shared.used-1)
}

// New returns a server of the test's own, which ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s, err := Launch()
	if err != nil {
		missing(t, err)
	}
	t.Cleanup(s.Close)
	return s
}

// NewCluster returns a cluster of the test's own, which ends with the test.
func NewCluster(t testing.TB) *Cluster {
	t.Helper()
	c, err := LaunchCluster()
	if err != nil {
		missing(t, err)
	}
	t.Cleanup(c.Close)
	return c
}

// missing ends a test that cannot have Redis: skipped where somebody develops,
// failed where everything must be tested.
func missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("redistest: %v", err)
	}
	t.Skipf("redistest: %v", err)
}

// binary returns the program, and has it installed if there is none and that can
// be done.
func binary() (string, error) {
	if name, ok := installed(); ok {
		return name, nil
	}
	if err := install(); err != nil {
		return "", fmt.Errorf("there is no redis-server and no valkey-server on the PATH; install one (%w)", err)
	}
	if name, ok := installed(); ok {
		return name, nil
	}
	return "", errors.New("there is no redis-server, though it was installed")
}

func installed() (string, bool) {
	for _, name := range []string{"redis-server", "valkey-server", "/usr/bin/redis-server", "/usr/local/bin/redis-server"} {
		if path, err := exec.LookPath(name); err == nil {
			path, err = filepath.Abs(path)
			return path, err == nil
		}
	}
	return "", false
}

// sweep deletes the folders of processes that were killed before they could.
func sweep() {
	folders, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*")) // the pattern is right
	for _, folder := range folders {
		name := strings.TrimPrefix(filepath.Base(folder), folderPrefix)
		pid, err := strconv.Atoi(name[:max(strings.IndexByte(name, '-'), 0)])
		if err == nil && !alive(pid) {
			_ = os.RemoveAll(folder) // the next one tries again
		}
	}
}

// install installs Redis on Debian and its kin, once for each process.
var install = sync.OnceValue(func() error { return debian.Install("redis-server") })
