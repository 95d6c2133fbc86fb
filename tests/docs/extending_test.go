// Package docs_test holds the documentation to the code: what a page shows is
// compiled and run as it stands there.
package docs_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block is a fenced piece of Go that says which file it is.
var block = regexp.MustCompile("(?s)```go file=(\\S+)\n(.*?)\n```")

// TestExtending puts the files of docs/extending.md over the tree, without
// writing into it (go help build, -overlay), and runs the tests of the packages
// that they belong to.
func TestExtending(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "extending.md"))
	if err != nil {
		t.Fatal(err)
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	packages := map[string]bool{}
	for i, m := range block.FindAllStringSubmatch(string(page), -1) {
		file := filepath.Join(t.TempDir(), "block.go")
		if err := os.WriteFile(file, []byte(m[2]+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(m[1], "adapters/") {
			t.Errorf("block %d touches %s: a rule needs no adapter", i, m[1])
		}
		overlay.Replace[filepath.Join(root, filepath.FromSlash(m[1]))] = file
		packages["./"+filepath.ToSlash(filepath.Dir(m[1]))] = true
	}
	if len(packages) != 3 {
		t.Fatalf("the page has files of the packages %v, want three packages", packages)
	}
	spec, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	specFile := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(specFile, spec, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		cmd := exec.Command("go", args...)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("build", "-overlay", specFile, "./...")
	out := run("test", "-overlay", specFile, "-count=1", "-v", "-run", "TestThePublishedCurrencyStays", "./application/products")
	if !strings.Contains(out, "--- PASS: TestThePublishedCurrencyStays") {
		t.Errorf("the page's test did not run:\n%s", out)
	}
}
