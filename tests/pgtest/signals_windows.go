package pgtest

import "syscall"

// Windows cannot halt a process: what needs it does nothing there.
const (
	halt = syscall.Signal(0)
	goOn = syscall.Signal(0)
)
