//go:build unix

package pgtest

import "syscall"

const (
	halt = syscall.SIGSTOP
	goOn = syscall.SIGCONT
)
