package packaging_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/tests/debian"
	"gatehouse/tests/packaging"
)

const unit = "configs/systemd/gatehouse.service"

// exposure bounds what "systemd-analyze security" makes of the unit, in tenths: 0
// is nothing, 100 everything. What is left is that it may reach the network.
const exposure = 15

func readUnit(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(tree, unit))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestUnitAgrees: the unit runs a command of ours, with settings that the program
// takes, and lets it come to its end.
func TestUnitAgrees(t *testing.T) {
	text := readUnit(t)
	value := func(name string) string {
		m := regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindStringSubmatch(text)
		if m == nil {
			t.Errorf("the unit has no %s", name)
			return ""
		}
		return m[1]
	}
	isCommand(t, "ExecStart", strings.Fields(strings.TrimPrefix(value("ExecStart"), "/usr/local/bin")))
	const longest = time.Minute // of GATEHOUSE_DRAIN_DELAY
	if stop, err := time.ParseDuration(value("TimeoutStopSec")); err != nil || stop < longest+inside {
		t.Errorf("it is killed after %s, which is less than %s", stop, longest+inside)
	}
	if value("WorkingDirectory") != "/var/lib/"+value("StateDirectory") {
		t.Error("relative paths do not lead to where it may write")
	}
	values, suggestions, err := packaging.ReadEnv(filepath.Join(tree, "configs/systemd/gatehouse.env"))
	if err != nil {
		t.Fatal(err)
	}
	load(t, values)
	suggestions["GATEHOUSE_SECRET"] = strings.Repeat("5e", 32)
	load(t, values, suggestions)
}

// TestUnitVerifies has systemd itself read the unit.
func TestUnitVerifies(t *testing.T) {
	analyze := systemdAnalyze(t)
	// The program is not installed here; whether there is one is asked as well.
	there := filepath.Join(t.TempDir(), "gatehouse.service")
	text := strings.ReplaceAll(readUnit(t), "/usr/local/bin/gatehouse", "/bin/true")
	if err := os.WriteFile(there, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", there).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.Command(analyze, "security", "--offline=true", fmt.Sprintf("--threshold=%d", exposure), "--no-pager", there).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// systemdAnalyze is systemd's program: that of this machine; where there is none,
// root has Debian's package installed. Else the test is skipped with the reason,
// and fails where CI=true.
func systemdAnalyze(t *testing.T) string {
	t.Helper()
	const name = "systemd-analyze"
	path, err := exec.LookPath(name)
	if err != nil {
		if err = install(); err == nil {
			path, err = exec.LookPath(name)
		}
	}
	switch {
	case err != nil && os.Getenv("CI") != "true":
		t.Skipf("there is no systemd-analyze: %v", err)
	case err != nil:
		t.Fatalf("there is no systemd-analyze: %v", err)
	}
	return path
}

// install installs systemd's programs on Debian and its kin; nothing is started.
var install = sync.OnceValue(func() error { return debian.Install("systemd") })
