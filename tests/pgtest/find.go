package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"gatehouse/tests/debian"
)

// prefix begins the name of a cluster's folder; the id of the process that made
// it follows.
const prefix = "gatehouse-pg-"

// binaries returns the folder with postgres and initdb, and has them installed
// if there is none and that can be done.
func binaries(ctx context.Context) (string, error) {
	if bin, ok := installed(ctx); ok {
		return bin, nil
	}
	if err := install(); err != nil {
		return "", fmt.Errorf("there is no PostgreSQL: no initdb and postgres on the PATH, where pg_config --bindir says, "+
			"or under /usr/lib/postgresql; install it or set %s (%w)", URLVariable, err)
	}
	if bin, ok := installed(ctx); ok {
		return bin, nil
	}
	return "", errors.New("PostgreSQL was installed, and yet there is no initdb")
}

func installed(ctx context.Context) (string, bool) {
	var folders []string
	if initdb, err := exec.LookPath("initdb"); err == nil {
		folders = append(folders, filepath.Dir(initdb))
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		folders = append(folders, strings.TrimSpace(string(out)))
	}
	debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is right
	for i := len(debian) - 1; i >= 0; i-- {                 // the newest first
		folders = append(folders, debian[i])
	}
	for _, folder := range folders {
		if executable(folder, "initdb") && executable(folder, "postgres") {
			return folder, true
		}
	}
	return "", false
}

func executable(folder, name string) bool {
	_, err := exec.LookPath(filepath.Join(folder, name))
	return err == nil
}

// install installs PostgreSQL on Debian and its kin, once for each process.
var install = sync.OnceValue(func() error { return debian.Install("postgresql") })

// place is the folder for clusters. That of Linux for shared memory is preferred unless TMPDIR says otherwise: files
// are made and deleted there by the thousand, and nothing is to outlive the
// machine.
func place() string {
	const memory, roomy = "/dev/shm", 4 << 30
	if os.Getenv("TMPDIR") == "" && free(memory) > roomy {
		return memory
	}
	return os.TempDir()
}

// sweep deletes the folders of processes that were killed before they could.
func sweep() {
	folders, _ := filepath.Glob(filepath.Join(place(), prefix+"*")) // the pattern is right
	for _, folder := range folders {
		name := strings.TrimPrefix(filepath.Base(folder), prefix)
		pid, err := strconv.Atoi(name[:max(strings.IndexByte(name, '-'), 0)])
		if err == nil && !alive(pid) {
			_ = os.RemoveAll(folder) // the next one tries again
		}
	}
}
