// Package overlay builds the program with other files in the place of the tree's,
// without writing into it (go help build, -overlay): those that a page of the
// documentation shows ([Of]), and those that a trial needs ([Write]).
package overlay

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
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
	o := Overlay{Root: root}
	files := map[string]string{}
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		files[m[1]] = m[2] + "\n"
		o.Files = append(o.Files, m[1])
	}
	if o.Spec, err = Write(t.TempDir(), root, files); err != nil {
		t.Fatal(err)
	}
	return o
}

// Write puts texts, named by their paths in the tree, into a folder, and a file
// there that -overlay takes.
func Write(folder, root string, files map[string]string) (spec string, err error) {
	replace := map[string]string{}
	for path, text := range files {
		file := filepath.Join(folder, strings.ReplaceAll(path, "/", "_"))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, filepath.FromSlash(path))] = file
	}
	text, err := json.Marshal(struct{ Replace map[string]string }{replace})
	if err != nil {
		return "", err
	}
	spec = filepath.Join(folder, "overlay.json")
	return spec, os.WriteFile(spec, text, 0o600)
}

// Changed is a file of the tree in which texts stand in the place of others, old
// and new in turn. An old one has to stand there once: the tree has changed
// otherwise, and what was meant is no longer what would be built.
func Changed(root, path string, pairs ...string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		return "", err
	}
	changed := string(text)
	for i := 0; i+1 < len(pairs); i += 2 {
		if n := strings.Count(changed, pairs[i]); n != 1 {
			return "", fmt.Errorf("overlay: %q stands in %s %d times", pairs[i], path, n)
		}
		changed = strings.Replace(changed, pairs[i], pairs[i+1], 1)
	}
	return changed, nil
}
