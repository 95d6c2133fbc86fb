package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gatehouse/tests/pgtest"
)

// shownCommand finds the piece of shell in docs/operations.md of which a line
// begins with name.
func shownCommand(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		if strings.Contains("\n"+m[1], "\n"+name+" ") {
			found = append(found, m[1])
		}
	}
	if len(found) != 1 {
		t.Fatalf("docs/operations.md shows %s %d times: %q", name, len(found), found)
	}
	return found[0]
}

// shell runs a piece of the page as its reader would.
func (w *world) shell(line string, environ ...string) {
	w.Helper()
	cmd := exec.Command("sh", "-ec", line)
	cmd.Dir = w.dir
	cmd.Env = append([]string{"PATH=" + w.dir + ":" + os.Getenv("PATH"), "HOME=" + w.dir}, environ...)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// TestBackup makes a backup with the commands of docs/operations.md while people
// are served, loses the database, and restores it: they are still signed in, can
// sign in, the audit log holds, and what was done after the backup is not there.
func TestBackup(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world, s *store) {
		if _, err := exec.LookPath("pg_dump"); !s.lite && err != nil && os.Getenv("CI") != "true" {
			t.Skip("there is no pg_dump on the PATH")
		}
		if err := os.Symlink(w.program, filepath.Join(w.dir, "gatehouse")); err != nil {
			t.Fatal(err)
		}
		p, ann, bob := w.serve(s.setting(), calm), w.client(), w.client()
		password := ann.signUp(p, "ann@example.com")
		product := ann.want(p, 201, "POST", "/products", `{"name":"황동 램프","price":{"amount":1,"currency":"KRW"},"status":"published"}`).header.Get("Location")

		restored, backup, restore := "sqlite:"+w.dir+"/restored.db", "gatehouse backup", "cp"
		if !s.lite {
			restored, backup, restore = pgtest.Database(t), "pg_dump", "pg_restore"
		}
		setting := "GATEHOUSE_DATABASE_URL=" + s.url
		w.shell(shownCommand(t, backup), setting, "BACKUP="+w.dir+"/backup")
		ann.want(p, 204, "DELETE", product, "")
		bob.signUp(p, "bob@example.com")
		if code := p.terminate(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		info, err := os.Stat(w.dir + "/backup")
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("the backup, with hashes of passwords in it, can be read by others: %v, %v", info.Mode(), err)
		}
		w.shell(shownCommand(t, restore), "GATEHOUSE_DATABASE_URL="+restored, "BACKUP="+w.dir+"/backup", "RESTORED="+strings.TrimPrefix(restored, "sqlite:"))

		if code, said := w.run([]string{"audit", "verify"}, "GATEHOUSE_DATABASE_URL="+restored); code != 0 {
			t.Errorf("gatehouse audit verify = %d %s", code, said)
		}
		p = w.serve("GATEHOUSE_DATABASE_URL="+restored, "GATEHOUSE_MIGRATE=off", calm)
		ann.want(p, 200, "GET", "/me", "")
		ann.want(p, 200, "GET", product, "")
		ann.want(p, 200, "GET", "/products?q=%ED%99%A9", "")
		bob.want(p, 401, "GET", "/me", "")
		w.client().want(p, 200, "POST", "/login", login("ann@example.com", password))
		if code, said := w.run([]string{"audit", "verify"}, "GATEHOUSE_DATABASE_URL="+restored); code != 0 {
			t.Errorf("after more was written gatehouse audit verify = %d %s", code, said)
		}
	})
}
