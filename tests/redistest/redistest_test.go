package redistest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"gatehouse/tests/redistest"
)

// childVariable makes this test binary play the process that is killed.
const childVariable = "REDISTEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		s, err := redistest.Launch()
		if err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString(s.Addr() + "\n")
		select {}
	}
	os.Exit(redistest.Main(m.Run))
}

func ping(t *testing.T, addr string) error {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: 200 * time.Millisecond})
	defer c.Close()
	return c.Ping(context.Background()).Err()
}

// What was told to be written is there after SIGKILL, and a server that is
// frozen answers nothing.
func TestServer(t *testing.T) {
	s := redistest.New(t)
	c := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer c.Close()
	for what, end := range map[string]func(){"Stop": s.Stop, "Kill": s.Kill} {
		if err := c.Set(t.Context(), "k", what, 0).Err(); err != nil {
			t.Fatal(err)
		}
		end()
		if ping(t, s.Addr()) == nil {
			t.Errorf("the server answers after %s", what)
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		if v, err := c.Get(t.Context(), "k").Result(); err != nil || v != what {
			t.Errorf("after %s and Start: %q, %v", what, v, err)
		}
	}
	s.Freeze()
	if ping(t, s.Addr()) == nil {
		t.Error("a frozen server answers")
	}
	s.Thaw()
	if err := ping(t, s.Addr()); err != nil {
		t.Errorf("after Thaw: %v", err)
	}
	s.Close()
	if _, err := os.Stat(s.Folder()); !os.IsNotExist(err) {
		t.Errorf("after Close the folder is there: %v", err)
	}
}

func TestDatabases(t *testing.T) {
	if a, b := redistest.Database(t), redistest.Database(t); a == b {
		t.Errorf("Database = %s twice", a)
	}
}

// A process that is killed takes its server along.
func TestNothingIsLeftBehind(t *testing.T) {
	redistest.New(t) // skips where there is no Redis
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"=1", "TMPDIR="+t.TempDir())
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 100)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	addr := strings.TrimSpace(string(line[:n]))
	if err := ping(t, addr); err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	for range 200 {
		if ping(t, addr) != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the server of a killed process still answers")
}
