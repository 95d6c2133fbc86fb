package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"gatehouse/tests/overlay"
)

// root is the folder of the tree.
func root(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("finding the tree: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// probe is what the service under trial has besides: it tells how many goroutines
// it has, on a socket that nothing else knows.
const probe = `package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
)

func init() {
	ln, err := net.Listen("unix", os.Getenv("TRIAL_PROBE"))
	if err != nil {
		return // another command than serve
	}
	go func() {
		for c, err := ln.Accept(); err == nil; c, err = ln.Accept() {
			fmt.Fprintln(c, runtime.NumGoroutine())
			c.Close()
		}
	}()
}
`

// build builds the service, with texts in the place of files of the tree, as
// name.
func (f *field) build(ctx context.Context, name string, files map[string]string, flags ...string) (program string, err error) {
	folder := filepath.Join(f.folder, "source-"+name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", err
	}
	all := maps.Clone(files)
	if all == nil {
		all = map[string]string{}
	}
	all["probe.go"] = probe
	spec, err := overlay.Write(folder, f.root, all)
	if err != nil {
		return "", err
	}
	program = filepath.Join(f.folder, name)
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build", "-overlay", spec, "-o", program}, flags...), "gatehouse")...)
	cmd.Dir = f.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the service: %w\n%s", err, out)
	}
	return program, nil
}
