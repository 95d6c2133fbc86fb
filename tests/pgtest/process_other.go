//go:build !linux

package pgtest

import (
	"os"
	"os/exec"
	"syscall"
)

// account stands for a user without privileges; here it is always ourselves.
type account struct{}

func unprivileged() (*account, error)   { return nil, nil }
func (a *account) own(string) error     { return nil }
func (a *account) become(cmd *exec.Cmd) {}

// start starts a server. Elsewhere than on Linux a server outlives a process
// that is killed before it could stop it.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, said: &output{}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.said, p.said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // how it ended is in what it said
		close(p.ended)
	}()
	return p, nil
}

// children is not known here: [Server.Kill] and [Server.Freeze] reach the
// postmaster alone.
func children(int) []int { return nil }

func kill(pid int, signal syscall.Signal) {
	if p, err := os.FindProcess(pid); err == nil && pid > 0 {
		_ = p.Signal(signal)
	}
}

// alive says yes, so that nothing is swept that might be in use.
func alive(int) bool { return true }

// free is known on Linux alone, where it is asked for.
func free(string) uint64 { return 0 }
