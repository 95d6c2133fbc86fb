package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// asvs is how many requirements each section of the OWASP ASVS 5.0.0 has that
// docs/security.md answers; they are numbered from 1.
var asvs = map[string]int{
	"3.3": 5, "3.4": 8, "3.5": 8,
	"6.1": 3, "6.2": 12, "6.3": 8, "6.4": 6, "6.5": 8, "6.6": 4, "6.7": 2, "6.8": 4,
	"7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 3, "7.6": 2,
	"8.1": 4, "8.2": 4, "8.3": 3, "8.4": 2,
	"16.1": 1, "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 4,
}

// answer is a row of docs/security.md.
type answer struct {
	number              string
	verdict, how, shown string
}

var (
	sectionHead = regexp.MustCompile(`^### V(\d+\.\d+) `)
	row         = regexp.MustCompile(`^\| (\d+\.\d+\.\d+) \|`)
	citation    = regexp.MustCompile("`([a-z.][a-z0-9_/]*): ((?:Test|Fuzz)[A-Za-z0-9_]*)(?:/([^`]+))?`")
)

// TestSecurityPage holds docs/security.md to the standard that it answers and to
// the tests that it names.
func TestSecurityPage(t *testing.T) {
	text, err := os.ReadFile(filepath.FromSlash("../../docs/security.md"))
	if err != nil {
		t.Fatal(err)
	}
	answers := readAnswers(t, string(text))
	for _, fault := range compare(answers, asvs) {
		t.Error(fault)
	}
	tree := newTree(t, "../..")
	for _, a := range answers {
		for _, fault := range tree.check(a) {
			t.Errorf("%s: %s", a.number, fault)
		}
	}
}

// readAnswers takes the rows out of the tables.
func readAnswers(t *testing.T, page string) []answer {
	t.Helper()
	var list []answer
	section := ""
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if m := sectionHead.FindStringSubmatch(line); m != nil {
			section = m[1]
		}
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 5 {
			t.Errorf("%s: a row has number, what is asked, verdict, how, shown by; this one has %d cells", m[1], len(cells))
			continue
		}
		if !strings.HasPrefix(m[1], section+".") {
			t.Errorf("%s stands in section V%s", m[1], section)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		list = append(list, answer{m[1], cells[2], cells[3], cells[4]})
	}
	return list
}

// compare tells which numbers stand there twice, are missing, or are none of
// the standard's.
func compare(answers []answer, sections map[string]int) (faults []string) {
	times := map[string]int{}
	for _, a := range answers {
		times[a.number]++
	}
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		for n := range sections[section] {
			number := fmt.Sprintf("%s.%d", section, n+1)
			if times[number] != 1 {
				faults = append(faults, fmt.Sprintf("%s is answered %d times, want once", number, times[number]))
			}
			delete(times, number)
		}
	}
	for number := range times {
		faults = append(faults, number+" is no requirement of the sections")
	}
	return faults
}

// tree finds tests by the name of their package and their own.
type tree struct {
	t        *testing.T
	root     string
	packages map[string]*sources
}

// sources are the declarations of one folder, those of its tests included.
type sources struct {
	funcs map[string]*ast.FuncDecl
	vars  map[string]ast.Expr
}

func newTree(t *testing.T, root string) *tree {
	return &tree{t: t, root: root, packages: map[string]*sources{}}
}

// check tells what is wrong with a row.
func (tr *tree) check(a answer) (faults []string) {
	cited := citation.FindAllStringSubmatch(a.shown, -1)
	if left := strings.Trim(citation.ReplaceAllString(a.shown, ""), " ,·"); strings.Contains(left, "`") {
		faults = append(faults, "cannot be read: "+left)
	}
	switch a.verdict {
	case "yes", "in part":
		if len(cited) == 0 && !strings.Contains(a.shown, "](") {
			faults = append(faults, "is said to be met, and names neither a test nor a text")
		}
	case "no", "n/a":
	default:
		faults = append(faults, fmt.Sprintf("%q is no verdict", a.verdict))
	}
	if a.how == "" {
		faults = append(faults, "does not say how, or why not")
	}
	for _, c := range cited {
		if err := tr.find(c[1], c[2], c[3]); err != nil {
			faults = append(faults, err.Error())
		}
	}
	return faults
}

// find looks for a test, and for a subtest by its name among what the test and
// the suites that it runs write down.
func (tr *tree) find(folder, name, sub string) error {
	f, ok := tr.load(folder).funcs[name]
	if !ok {
		return fmt.Errorf("there is no test %s in %s", name, folder)
	}
	if sub == "" {
		return nil
	}
	if !slices.Contains(tr.words(folder, f), sub) {
		return fmt.Errorf("%s in %s has no subtest %q", name, folder, sub)
	}
	return nil
}

// suites are where the subtests of a suite are listed.
var suites = map[string]string{"httptests": "adapters/httpapi/httptests", "portstest": "ports/portstest"}

// words are the texts that stand in the test, in the suite that it calls, and
// in the lists of checks that this one runs.
func (tr *tree) words(folder string, f *ast.FuncDecl) []string {
	words := texts(f.Body)
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.SelectorExpr); ok {
			if pkg, ok := call.X.(*ast.Ident); ok && suites[pkg.Name] != "" {
				words = append(words, tr.suite(suites[pkg.Name], call.Sel.Name)...)
			}
		}
		return true
	})
	return append(words, tr.lists(folder, f)...)
}

func (tr *tree) suite(folder, name string) []string {
	f, ok := tr.load(folder).funcs[name]
	if !ok {
		return nil
	}
	return append(texts(f.Body), tr.lists(folder, f)...)
}

// lists are the texts in the variables of the package that f speaks of.
func (tr *tree) lists(folder string, f *ast.FuncDecl) (words []string) {
	vars := tr.load(folder).vars
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && vars[id.Name] != nil {
			words = append(words, texts(vars[id.Name])...)
		}
		return true
	})
	return words
}

func texts(n ast.Node) (list []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				list = append(list, s)
			}
		}
		return true
	})
	return list
}

// load parses a folder once. Of a suite it takes everything, else the tests
// alone.
func (tr *tree) load(folder string) *sources {
	if s, ok := tr.packages[folder]; ok {
		return s
	}
	s := &sources{map[string]*ast.FuncDecl{}, map[string]ast.Expr{}}
	tr.packages[folder] = s
	pattern := "*_test.go"
	if slices.Contains(slices.Collect(maps.Values(suites)), folder) {
		pattern = "*.go"
	}
	files, err := filepath.Glob(filepath.Join(tr.root, filepath.FromSlash(path.Clean(folder)), pattern))
	if err != nil {
		tr.t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			tr.t.Fatal(err)
		}
		s.add(parsed)
	}
	return s
}

func (s *sources) add(file *ast.File) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Body != nil {
				s.funcs[d.Name.Name] = d
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				v, ok := spec.(*ast.ValueSpec)
				for i := 0; ok && i < len(v.Values) && i < len(v.Names); i++ {
					s.vars[v.Names[i].Name] = v.Values[i]
				}
			}
		}
	}
}

// TestSecurityPageCanFail shows each fault to be found.
func TestSecurityPageCanFail(t *testing.T) {
	sections := map[string]int{"7.2": 2}
	for name, numbers := range map[string][]string{
		"missing": {"7.2.1"}, "twice": {"7.2.1", "7.2.2", "7.2.2"}, "unknown": {"7.2.1", "7.2.2", "7.2.3"},
	} {
		var list []answer
		for _, n := range numbers {
			list = append(list, answer{number: n})
		}
		if len(compare(list, sections)) != 1 {
			t.Errorf("a number that is %s: faults %q, want one", name, compare(list, sections))
		}
	}
	tr := newTree(t, "../..")
	for shown, wrong := range map[string]bool{
		"`tests/docs: TestSecurityPageCanFail`":                             false,
		"`tests/docs: TestSecurityPageCanFail/missing`":                     false,
		"`adapters/httpapi: TestContract/cookie`":                           false,
		"`adapters/memory: TestSessions/what was ended does not come back`": false,
		"[above](#passwords)":                                               false,
		"`tests/docs: TestNobodyWrote`":                                     true,
		"`tests/nowhere: TestSecurityPageCanFail`":                          true,
		"`adapters/httpapi: TestContract/no such group`":                    true,
		"`adapters/memory: TestSessions/no such check`":                     true,
		"`tests/docs: TestSecurityPageCanFail`, `and what is no citation`":  true,
		"nothing": true,
	} {
		faults := tr.check(answer{number: "7.2.1", verdict: "yes", how: "so", shown: shown})
		if (len(faults) > 0) != wrong {
			t.Errorf("%s: faults %q", shown, faults)
		}
	}
}
