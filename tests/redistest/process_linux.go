package redistest

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
)

const (
	halt = syscall.SIGSTOP
	goOn = syscall.SIGCONT
)

// start starts a server that ends if this process is killed. The kernel counts
// the thread that starts it as the parent (prctl(2), PR_SET_PDEATHSIG), so that
// thread is kept for as long as the server runs. The server has a process group
// of its own, lest an interrupt at the terminal reaches it before the tests have
// ended.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, said: &output{}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.said, p.said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
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

func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
