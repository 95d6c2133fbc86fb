package docs_test

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	_ "github.com/ncruces/go-sqlite3/driver"

	"gatehouse/bootstrap"
)

// step is a fenced piece of docs/policies.md that is done: a command line, an
// exchange, statements. It may stand within a list.
var step = regexp.MustCompile("(?ms)^( *)```(console|http|sql)([^\n]*)\n(.*?)\n *```$")

// TestPolicies does what docs/policies.md shows, in its order, with one database
// that a service is running over, and compares what comes of it.
func TestPolicies(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "policies.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	s := startAdministered(t, "root@example.com", "a tall lighthouse")
	r := &reader{t: t, start: func(*testing.T, string) *service { return s }, services: map[string]*service{}, people: map[string]*person{}, ids: map[string]string{}}
	steps := step.FindAllStringSubmatch(string(page), -1)
	if len(steps) < 15 {
		t.Fatalf("the page has %d steps", len(steps))
	}
	for _, one := range steps {
		text := strings.ReplaceAll(one[4], "\n"+one[1], "\n")
		text = strings.TrimPrefix(text, one[1])
		switch one[2] {
		case "http":
			r.read(strings.TrimSpace(one[3]), text)
		case "sql":
			byHand(t, s, text)
		case "console":
			console(t, s, text)
		}
	}
}

// byHand does what a hand in the database does.
func byHand(t *testing.T, s *service, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+s.file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for one := range strings.Lines(statements) {
		if result, err := db.Exec(one); err != nil {
			t.Fatalf("%s: %v", one, err)
		} else if n, err := result.RowsAffected(); err != nil || n != 1 {
			t.Fatalf("%s changes %d rows, %v, want one", one, n, err)
		}
	}
}

// console runs commands, each behind a "$ ", and compares what they say.
func console(t *testing.T, s *service, text string) {
	t.Helper()
	for _, one := range strings.Split("\n"+text, "\n$ ")[1:] {
		command, want, _ := strings.Cut(one, "\n")
		if got := strings.TrimSpace(output(t, s, command)); !likeOutput(strings.TrimSpace(want), got) {
			t.Errorf("$ %s\nsays\n%s\nand is shown to say\n%s", command, got, want)
		}
	}
}

var word = regexp.MustCompile(`"[^"]*"|\S+`)

// output runs a command line as a shell does, as far as the page needs one: its
// output, or that of errors, perhaps into a file.
func output(t *testing.T, s *service, line string) string {
	t.Helper()
	words := word.FindAllString(line, -1)
	for i := range words {
		words[i] = strings.Trim(words[i], `"`)
	}
	into, flags := "", os.O_CREATE|os.O_WRONLY|os.O_TRUNC
	if n := len(words); n > 2 && strings.HasPrefix(words[n-2], ">") {
		if words[n-2] == ">>" {
			flags = os.O_CREATE | os.O_WRONLY | os.O_APPEND
		}
		into, words = words[n-1], words[:n-2]
	}
	var said bytes.Buffer
	switch words[0] {
	case "echo":
		said.WriteString(strings.Join(words[1:], " ") + "\n")
	case "gatehouse":
		bootstrap.Main(words[1:], s.environ, strings.NewReader(""), &said, &said)
	default:
		t.Fatalf("%q is no command of the page", line)
	}
	if into == "" {
		return said.String()
	}
	f, err := os.OpenFile(into, flags, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(said.Bytes()); err != nil {
		t.Fatal(err)
	}
	return ""
}

// likeOutput compares what was printed with what is shown, where … stands for
// anything, lines between included, and spaces for however many.
func likeOutput(shown, printed string) bool {
	var pattern strings.Builder
	for i, part := range strings.Split(strings.Join(strings.Fields(strings.ReplaceAll(shown, "\n", " ⏎ ")), " "), "…") {
		if i > 0 {
			pattern.WriteString(".*")
		}
		pattern.WriteString(regexp.QuoteMeta(part))
	}
	return regexp.MustCompile("^(?s:" + pattern.String() + ")$").MatchString(strings.Join(strings.Fields(strings.ReplaceAll(printed, "\n", " ⏎ ")), " "))
}
