// Command cmd runs another command with a PostgreSQL of its own:
//
//	go run ./tests/pgtest/cmd -- go test ./...
//
// It starts a throw-away cluster (see pgtest.Launch), sets TEST_DATABASE_URL
// to its URL, runs the command, stops the cluster, and ends with the exit code
// of the command. Where TEST_DATABASE_URL is set already it starts nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"gatehouse/tests/pgtest"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: pgtest -- command [argument ...]")
		return 2
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = os.Environ()
	if os.Getenv(pgtest.URLVariable) == "" {
		server, err := pgtest.Launch(context.Background())
		if err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			return 1
		}
		defer server.Close()
		cmd.Env = append(cmd.Env, pgtest.URLVariable+"="+server.URL("postgres"))
	}
	return await(cmd)
}

// await runs the command and hands signals on to it, so that the cluster is
// stopped after it and not under it.
func await(cmd *exec.Cmd) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return 1
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it fails only if the command has ended
		}
	}()
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1) // -1 where a signal ended it
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return 1
	}
	return 0
}
