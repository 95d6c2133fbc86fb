package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// account is a user without privileges; nil stands for the one we are.
type account struct{ uid, gid int }

// unprivileged returns the account under which a server runs: our own, unless
// that is root.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil {
			return &account{uid, gid}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody")
}

// own gives the folder to the account.
func (a *account) own(folder string) error {
	if a == nil {
		return nil
	}
	return os.Chown(folder, a.uid, a.gid)
}

// become makes the command run as the account.
func (a *account) become(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
}

// start starts a server that is shut down if this process is killed. The
// kernel counts the thread that starts it as the parent (prctl(2),
// PR_SET_PDEATHSIG), so that thread is kept for as long as the server runs. The
// server has a process group of its own, lest an interrupt at the terminal
// reaches it before the tests have ended.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, said: &output{}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.said, p.said
	cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	cmd.SysProcAttr.Setpgid = true
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in what it said
			close(p.ended)
		}
		runtime.UnlockOSThread()
	}()
	return p, <-started
}

// children returns the processes whose parent is pid.
func children(pid int) []int {
	var found []int
	all, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	for _, name := range all {
		stat, err := os.ReadFile(name)
		if err != nil { // it has ended
			continue
		}
		// The name of the program stands in parentheses and may hold anything.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			var child int
			if _, err := fmt.Sscanf(name, "/proc/%d/stat", &child); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}

// kill sends a signal; a process that has ended needs none.
func kill(pid int, signal syscall.Signal) {
	if pid > 0 { // zero would be our own process group
		_ = syscall.Kill(pid, signal)
	}
}

func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// free is how many bytes fit into the file system of a folder, 0 where there is
// none.
func free(folder string) uint64 {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(folder, &fs); err != nil {
		return 0
	}
	return fs.Bavail * uint64(fs.Bsize)
}
