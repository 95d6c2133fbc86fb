package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestFaultsPage holds docs/faults.md to the tests that it names, and to the
// scenarios that make test-faults has.
func TestFaultsPage(t *testing.T) {
	page := inTree(t, "docs/faults.md")
	tree := newTree(t, "../..")
	cited := citation.FindAllStringSubmatch(page, -1)
	if len(cited) < 5 {
		t.Errorf("the page names %d tests", len(cited))
	}
	for _, c := range cited {
		if err := tree.find(c[1], c[2], c[3]); err != nil {
			t.Error(err)
		}
	}
	var told []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9]+)` \\|").FindAllStringSubmatch(page, -1) {
		told = append(told, m[1])
	}
	var there []string
	source := inTree(t, "tests/trials/main.go")
	faults := regexp.MustCompile(`(?s)\{"faults", \[\]scenario\{(.*?)\n\t\t\}\}`).FindStringSubmatch(source)
	if faults == nil {
		t.Fatal("tests/trials/main.go lists no faults")
	}
	for _, m := range regexp.MustCompile(`(?m)^\s*\{"([a-z0-9]+)"|\b(flood|sizes|slow|searches)\b,`).FindAllStringSubmatch(faults[1], -1) {
		shared := map[string]string{"flood": "6", "sizes": "15", "slow": "17", "searches": "19"}
		if m[2] != "" {
			m[1] = shared[m[2]]
		}
		there = append(there, m[1])
	}
	slices.Sort(told)
	slices.Sort(there)
	if !slices.Equal(told, there) {
		t.Errorf("docs/faults.md tells of the scenarios %v, make test-faults has %v", told, there)
	}
}

func inTree(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
