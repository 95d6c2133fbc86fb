// Package overlay puts the files that a page of the documentation shows over the
// tree, without writing into it (go help build, -overlay), for the tests that
// compile and run them.
package overlay

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// block is a fenced piece of Go that says which file it is.
var block = regexp.MustCompile("(?s)```go file=(\\S+)\n(.*?)\n```")

// Overlay is such a page.
type Overlay struct {
	Root  string   // of the tree
	Spec  string   // what -overlay takes
	Files []string // by their path in the tree, as the page shows them
}

// Of reads the page at a path in the tree; root is the way there.
func Of(t testing.TB, root, page string) Overlay {
	t.Helper()
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(page)))
	if err != nil {
		t.Fatal(err)
	}
	o := Overlay{Root: root, Spec: filepath.Join(t.TempDir(), "overlay.json")}
	spec := struct{ Replace map[string]string }{map[string]string{}}
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		file := filepath.Join(t.TempDir(), "block.go")
		if err := os.WriteFile(file, []byte(m[2]+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		spec.Replace[filepath.Join(root, filepath.FromSlash(m[1]))] = file
		o.Files = append(o.Files, m[1])
	}
	bytes, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.Spec, bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}
