package main_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// room is a folder of the house and what its code may import. Patterns are
// import paths; "/..." at the end takes in what lies below. Standard library
// packages are allowed everywhere, but for those named in withoutStd.
type room struct {
	folder     string // "/..." at the end: every folder below is such a room
	ours       []string
	others     []string
	withoutStd []string // standard packages that this room must do without
}

// Technology that the inside of the house has no business with, though it comes
// with Go.
var outside = []string{"database/sql", "net/http", "os", "os/exec", "log"}

// rooms is the plan of the house (README.md, "The rooms"). A folder that no row
// names fails the test: decide where it belongs first.
var rooms = []room{
	{folder: ".", ours: []string{"bootstrap"}},
	{folder: "domain/fault", withoutStd: outside},
	{folder: "domain/uuid", withoutStd: outside},
	{folder: "domain/text", others: []string{"golang.org/x/text/..."}, withoutStd: outside},
	{folder: "domain/user", ours: []string{"domain/fault", "domain/uuid", "domain/text"}, others: []string{"golang.org/x/text/...", "golang.org/x/net/idna"}, withoutStd: outside},
	{folder: "domain/secret", withoutStd: outside},
	{folder: "domain/session", ours: []string{"domain/fault", "domain/uuid", "domain/user", "domain/secret"}, withoutStd: outside},
	{folder: "domain/throttle", ours: []string{"domain/fault"}, withoutStd: outside},
	{folder: "domain/factor", ours: []string{"domain/fault", "domain/uuid", "domain/user"}, withoutStd: outside},
	{folder: "domain/ticket", ours: []string{"domain/fault", "domain/uuid", "domain/user", "domain/secret"}, withoutStd: outside},
	{folder: "domain/mail", ours: []string{"domain/uuid", "domain/user", "domain/ticket"}, withoutStd: outside},
	{folder: "domain/idempotency", ours: []string{"domain/fault", "domain/user"}, withoutStd: outside},
	{folder: "domain/audit", ours: []string{"domain/fault", "domain/uuid", "domain/user"}, withoutStd: outside},
	{folder: "domain/product", ours: []string{"domain/fault", "domain/uuid", "domain/user", "domain/text"}, withoutStd: outside},
	{folder: "domain/access", ours: []string{"domain/fault", "domain/uuid", "domain/user", "domain/product"}, withoutStd: outside},
	{folder: "ports", ours: []string{"domain/..."}, withoutStd: outside},
	{folder: "ports/portstest", ours: []string{"domain/...", "ports"}, others: []string{"pgregory.net/rapid"}},
	{folder: "application/...", ours: []string{"domain/...", "ports", "application/..."}, withoutStd: outside},
	{folder: "adapters/httpapi", ours: []string{"domain/...", "ports", "application/..."}, others: []string{
		"github.com/gofiber/fiber/v2/...", "github.com/valyala/fasthttp/...", "github.com/go-json-experiment/json/...", "github.com/swaggest/swgui/...", "golang.org/x/text/language"}},
	{folder: "adapters/httpapi/httptests", ours: []string{"domain/...", "ports", "application/...", "adapters/httpapi", "adapters/memory"}, others: []string{"..."}},
	{folder: "adapters/batch"},
	{folder: "adapters/gormrepo", ours: []string{"domain/...", "ports", "migrations", "adapters/batch"}, others: []string{
		"gorm.io/...", "github.com/jackc/...", "github.com/ncruces/go-sqlite3/..."}},
	{folder: "adapters/fiberstore", ours: []string{"domain/...", "ports", "migrations", "adapters/batch"}, others: []string{
		"github.com/gofiber/storage/...", "github.com/jackc/...", "github.com/redis/go-redis/v9/..."}},
	{folder: "adapters/casbinauthz", ours: []string{"domain/...", "ports"}, others: []string{"github.com/casbin/casbin/v2/..."}},
	{folder: "adapters/argon2id", ours: []string{"domain/...", "ports"}, others: []string{"golang.org/x/crypto/argon2"}},
	{folder: "adapters/aead", ours: []string{"ports"}, others: []string{"golang.org/x/crypto/chacha20poly1305"}},
	{folder: "adapters/totp", ours: []string{"ports"}, others: []string{"github.com/pquerna/otp/..."}},
	{folder: "adapters/useragent", ours: []string{"ports"}, others: []string{"github.com/medama-io/go-useragent/..."}},
	{folder: "adapters/gomail", ours: []string{"domain/...", "ports"}, others: []string{"github.com/wneessen/go-mail/..."}},
	{folder: "adapters/ottercache", ours: []string{"domain/...", "ports"}, others: []string{"github.com/maypok86/otter/v2/...", "github.com/jackc/pgx/v5/..."}},
	{folder: "adapters/promstats", ours: []string{"domain/...", "ports"}, others: []string{"github.com/prometheus/client_golang/..."}},
	{folder: "adapters/oteltrace", ours: []string{"domain/...", "ports"}, others: []string{"go.opentelemetry.io/otel/...", "github.com/jackc/pgx/v5/..."}},
	{folder: "adapters/privatehttp"},
	{folder: "adapters/memory", ours: []string{"domain/...", "ports"}},
	{folder: "adapters/system", ours: []string{"domain/...", "ports"}},
	{folder: "migrations", others: []string{"github.com/pressly/goose/v3/..."}},
	{folder: "configs", ours: []string{"domain/..."}, others: []string{"github.com/goccy/go-yaml/..."}},
	{folder: "bootstrap", ours: []string{"..."}, others: []string{"..."}},
	{folder: "tests/...", ours: []string{"..."}, others: []string{"..."}},
}

const module = "gatehouse"

// TestImportsFollowThePlan reads the import lines of every Go file. Test files
// may import anything of ours beside what their room may: they plug adapters
// into services to try them.
func TestImportsFollowThePlan(t *testing.T) {
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		folder := path.Dir(filepath.ToSlash(file))
		r, ok := roomOf(folder)
		if !ok {
			t.Errorf("%s: no row of rooms names the folder %s", file, folder)
			return nil
		}
		for _, broken := range violations(t, file, r) {
			t.Errorf("%s imports %s, which %s may not", file, broken, folder)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func roomOf(folder string) (room, bool) {
	i := slices.IndexFunc(rooms, func(r room) bool { return matches(r.folder, folder) })
	if i < 0 {
		return room{}, false
	}
	return rooms[i], true
}

// violations are the imports of the file that its room may not have.
func violations(t *testing.T, file string, r room) []string {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var bad []string
	for _, spec := range parsed.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if !r.allows(name) {
			bad = append(bad, name)
		}
	}
	return bad
}

func (r room) allows(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	if ours, ok := strings.CutPrefix(name, module+"/"); ok {
		return slices.ContainsFunc(r.ours, func(p string) bool { return matches(p, ours) })
	}
	if !strings.Contains(first, ".") {
		return !slices.Contains(r.withoutStd, name)
	}
	return slices.ContainsFunc(r.others, func(p string) bool { return matches(p, name) })
}

// matches reports whether a path is what the pattern names.
func matches(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == base || strings.HasPrefix(path, base+"/")
	}
	return path == pattern
}

// TestTheRuleCanFail shows that the table refuses what it is there to refuse.
func TestTheRuleCanFail(t *testing.T) {
	for _, c := range []struct{ folder, name string }{
		{"domain/user", "gorm.io/gorm"},
		{"domain/user", "database/sql"},
		{"domain/user", module + "/domain/access"},
		{"ports", "github.com/gofiber/fiber/v2"},
		{"application/products", module + "/adapters/memory"},
		{"adapters/httpapi", module + "/adapters/gormrepo"},
		{"adapters/gormrepo", module + "/application/products"},
		{"migrations", module + "/adapters/gormrepo"},
	} {
		r, ok := roomOf(c.folder)
		if !ok || r.allows(c.name) {
			t.Errorf("the table lets %s import %s", c.folder, c.name)
		}
	}
	if _, ok := roomOf("adapters/newcomer"); ok {
		t.Error("the table knows a folder that it does not name")
	}
}
