// Package debian installs what tests run besides our own program: a server, a
// proxy, a load generator. A package that needs one looks for it first and says
// what is missing where it can be neither found nor installed.
package debian

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
)

var installing sync.Mutex

// Install installs a package on Debian and its kin, where root may do so. What it
// brings along is not started. The lists of packages are fetched first: a new
// machine has none.
func Install(name string) error {
	if os.Geteuid() != 0 {
		return errors.New("only root could install it")
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return err
	}
	installing.Lock()
	defer installing.Unlock()
	for _, args := range [][]string{
		{"update"},
		// Test binaries run side by side: one waits for the other.
		{"-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends", name},
	} {
		cmd := exec.Command("apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}
