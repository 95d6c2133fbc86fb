package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestWhatIsLeftUnwatchedRuns: whatever leaves something out under the race
// detector, by itself or by a function that it calls, `make test` runs without.
func TestWhatIsLeftUnwatchedRuns(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	setting := func(name string) string {
		m := regexp.MustCompile(`(?m)^` + name + ` += (.*)$`).FindSubmatch(makefile)
		if m == nil {
			t.Fatalf("the Makefile sets no %s", name)
		}
		return strings.ReplaceAll(string(m[1]), "$$", "$")
	}
	names, folders := regexp.MustCompile(setting("PLAIN_TESTS")), strings.Fields(setting("PLAIN_IN"))
	skipping := map[string][]string{} // by folder: the functions that ask for it
	var found int
	eachTestFile(t, func(folder string, f *ast.File) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && mentions(fn, func(name string) bool { return name == "detector.Skip" || name == "detector.On" }) {
				skipping[folder] = append(skipping[folder], fn.Name.Name)
			}
		}
	})
	eachTestFile(t, func(folder string, f *ast.File) {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(fn.Name.Name, "Test") {
				continue
			}
			left := slices.Contains(skipping[folder], fn.Name.Name) || mentions(fn, func(name string) bool { return slices.Contains(skipping[folder], name) })
			if !left {
				continue
			}
			found++
			if !names.MatchString(fn.Name.Name) || !slices.Contains(folders, "./"+folder) {
				t.Errorf("%s in %s is left out under the race detector, and the Makefile does not run it without", fn.Name.Name, folder)
			}
		}
	})
	if found < 5 {
		t.Errorf("%d tests are left out under the race detector; there were more", found)
	}
}

func eachTestFile(t *testing.T, visit func(folder string, f *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, "_test.go") || strings.Contains(file, "testdata") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			return err
		}
		visit(path.Dir(filepath.ToSlash(file)), f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// mentions reports whether a function names something, of its own package or of
// another.
func mentions(fn *ast.FuncDecl, named func(string) bool) (yes bool) {
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			yes = yes || named(n.Name)
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				yes = yes || named(x.Name+"."+n.Sel.Name)
			}
		}
		return true
	})
	return yes
}
