package bootstrap_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/bootstrap"
	"gatehouse/configs"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/tests/detector"
	"gatehouse/tests/pgtest"
)

// line is one shell to type commands in: a folder, an environment.
type line struct {
	testing.TB
	environ []string
}

// said is what a command answered.
type said struct {
	code     int
	out, err string
}

func newLine(t *testing.T, environ ...string) line {
	t.Helper()
	t.Chdir(t.TempDir())
	return line{t, environ}
}

// run runs a command with something on standard input.
func (l line) run(in string, args ...string) said {
	l.Helper()
	var out, errs bytes.Buffer
	code := bootstrap.Main(args, l.environ, strings.NewReader(in), &out, &errs)
	return said{code, out.String(), errs.String()}
}

// want runs a command and holds it to an exit code and to texts, on standard
// output where it succeeds and on standard error where not.
func (l line) want(code int, in string, args []string, texts ...string) said {
	l.Helper()
	got := l.run(in, args...)
	text := got.out
	if code != 0 {
		text = got.err
	}
	if got.code != code {
		l.Errorf("gatehouse %q = %d, want %d\n%s%s", args, got.code, code, got.out, got.err)
	}
	for _, want := range texts {
		if !strings.Contains(text, want) {
			l.Errorf("gatehouse %q says %q, want %q", args, text, want)
		}
	}
	if strings.Contains(got.err, "goroutine ") {
		l.Errorf("gatehouse %q shows a stack trace", args)
	}
	return got
}

func words(s string) []string { return strings.Fields(s) }

func TestHelp(t *testing.T) {
	l := newLine(t)
	l.want(0, "", nil, "Usage: gatehouse <command>", "serve", "user create", "config print")
	l.want(0, "", words("--help"), "Usage: gatehouse <command>")
	for _, command := range []string{
		"serve", "demo", "user", "user create", "user list", "user set-roles", "user enable", "user disable", "policy", "policy list", "policy add", "policy remove", "policy load", "policy export", "policy history", "policy rollback", "policy check", "audit", "audit show", "audit verify",
		"migrate", "migrate up", "migrate down", "migrate status", "backup", "config", "config print", "config example", "health", "version",
	} {
		l.want(0, "", words(command+" --help"), "Usage: gatehouse "+command)
	}
	help := l.want(0, "", words("serve --help"), "Examples:").out
	for _, s := range configs.Settings() {
		if !strings.Contains(help, "--"+s.Flag) || !strings.Contains(strings.Join(words(help), " "), s.Env[0].Name) {
			t.Errorf("serve --help does not tell of %s", s.Key)
		}
	}
	if brief := l.run("", "version", "--help").out; strings.Contains(brief, "--session-idle") {
		t.Errorf("version --help is full of settings:\n%s", brief)
	}
}

func TestUsage(t *testing.T) {
	l := newLine(t)
	l.want(2, "", words("serv"), "unexpected argument serv")
	l.want(2, "", words("user"), "expected one of")
	l.want(2, "", words("user create"), "--email")
	l.want(2, "", words("serve --nothing"), "unknown flag --nothing")
	l.want(2, "", words("user create --email a@example.com --password x"), "unknown flag --password")
	l.want(2, "", words("user create --email a@example.com --password-stdin --generate"), "can't be used together")
	l.want(2, "", words("user list --listen nowhere --log-level loud"), "2 faults", "--listen", "--log-level")
	l.want(2, "", words("config print --config none.yaml"), "none.yaml")
	l.want(0, "", words("version"), "gatehouse ")
}

func TestConfigCommands(t *testing.T) {
	detector.Skip(t)
	l := newLine(t, "GATEHOUSE_DATABASE_URL=postgres://gate:secretword@db/gate", "GATEHOUSE_TRUSTED_PROXIES=10.0.0.0/8, ::1", "PORT=9000", "GATEHOUSE_SESION_IDLE=1h")
	got := l.want(0, "", words("config print --log-level debug"),
		"listen: \":9000\"", "# PORT", "# default, now http://localhost:9000", "url: \"postgres://gate:***@db/gate\"", "# GATEHOUSE_DATABASE_URL", "level: debug", "# --log-level")
	if strings.Contains(got.out+got.err, "secretword") {
		t.Errorf("a secret is printed:\n%s", got.out)
	}
	if !strings.Contains(got.err, "GATEHOUSE_SESION_IDLE means nothing to Gatehouse; did you mean GATEHOUSE_SESSION_IDLE?") {
		t.Errorf("no warning of a misspelt variable: %q", got.err)
	}
	// What is printed can be read again, and comes to the same.
	if err := os.WriteFile("printed.yaml", []byte(got.out), 0o600); err != nil {
		t.Fatal(err)
	}
	again := line{t, nil}.want(0, "", words("config print --config printed.yaml"))
	comment := regexp.MustCompile(` +# .*`)
	if a, b := comment.ReplaceAllString(got.out, ""), comment.ReplaceAllString(again.out, ""); a != b {
		t.Errorf("printed\n%sread again it is\n%s", a, b)
	}
	if example := l.want(0, "", words("config example")); example.out != configs.Example() {
		t.Error("config example prints something else")
	}
}

func TestUserCommands(t *testing.T) {
	detector.Skip(t)
	for name, url := range databases(t) {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, "GATEHOUSE_DATABASE_URL="+url(t))
			l.want(1, "", words("user list"), `run "gatehouse migrate up" first`)
			l.want(1, "", words("user create --email ann@example.com"), "--password-stdin", "--generate")
			l.want(1, "", words("user create --email ann --generate"), "no e-mail address")
			l.want(1, "", words("user create --email ann@example.com --roles A --generate"), `"A" is no role`)
			l.want(1, "short\n", words("user create --email ann@example.com --password-stdin"), "at least 8 characters")
			l.want(1, "\n", words("user create --email ann@example.com --password-stdin"), "no password on standard input")
			l.want(1, strings.Repeat("x", 5000), words("user create --email ann@example.com --password-stdin"), "too long to be a password")

			made := l.want(0, "correct horse battery\r\n", words("user create --email ann@example.com --roles admin,user --password-stdin"), "created ann@example.com with the roles admin, user")
			if strings.Contains(made.out+made.err, "correct horse") {
				t.Errorf("the password is shown: %s", made.out)
			}
			l.want(1, "", words("user create --email ANN@example.com --generate"), "there is a user ANN@example.com already")
			generated := l.want(0, "", words("user create --email bob@example.com --roles amdin --generate"), "created bob@example.com with the roles amdin", "password: ", "shown this once")
			if !strings.Contains(generated.err, "does not speak of the role amdin") {
				t.Errorf("no warning of a misspelt role: %q", generated.err)
			}
			if m := regexp.MustCompile(`password: ([a-z2-7]{5}-){3}[a-z2-7]{5}\n`).FindString(generated.out); m == "" {
				t.Errorf("no password in %q", generated.out)
			}
			l.want(0, "", words("user set-roles bob@example.com moderator, user"), "bob@example.com has the roles moderator, user")
			l.want(1, "", words("user set-roles bob@example.com anonymous"), "anonymous belongs to visitors")
			l.want(1, "", words("user set-roles nobody@example.com user"), "there is no user nobody@example.com")
			l.want(1, "", words("user remove-factor bob@example.com"), "bob@example.com has no second factor")
			l.want(1, "", words("user remove-factor nobody@example.com"), "there is no user nobody@example.com")
			l.want(0, "", words("user disable bob@example.com"), "bob@example.com is disabled")
			list := l.want(0, "", words("user list"), "EMAIL", "ann@example.com", "admin, user", "disabled").out
			if n := strings.Count(list, "\n"); n != 3 {
				t.Errorf("user list has %d lines, want 3:\n%s", n, list)
			}
			l.want(0, "", words("user enable bob@example.com"), "may sign in")
			l.want(1, "", words("user enable x"), "there is no user x")
		})
	}
}

// Who holds the shell can lock everybody out of administering by mistake, and
// is told what to do instead.
func TestTheLastAdmin(t *testing.T) {
	for name, url := range databases(t) {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, "GATEHOUSE_DATABASE_URL="+url(t))
			for _, who := range []string{"ann@example.com --roles admin", "bob@example.com"} {
				l.want(0, "", words("user create --generate --email "+who))
			}
			const refusal, advice = "is the last active user with the role admin, and nothing was changed", `"gatehouse user set-roles ADDRESS admin,user"`
			for _, command := range []string{"user set-roles ann@example.com user", "user disable ann@example.com"} {
				if got := l.want(1, "", words(command), "gatehouse: ann@example.com "+refusal, advice); got.out != "" {
					t.Errorf("gatehouse %s says %q, though nothing was done", command, got.out)
				}
			}
			l.want(0, "", words("user set-roles ann@example.com admin,user"), "admin, user")
			l.want(0, "", words("user set-roles bob@example.com admin"))
			l.want(0, "", words("user disable ann@example.com"), "is disabled")
			l.want(1, "", words("user set-roles bob@example.com user"), "gatehouse: bob@example.com "+refusal, advice)
		})
	}
}

// databases are empty ones of each kind that keeps anything.
func databases(t *testing.T) map[string]func(*testing.T) string {
	t.Helper()
	return map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "g.db") },
		"postgres": func(t *testing.T) string { return pgtest.Database(t) },
	}
}

func TestMigrateCommands(t *testing.T) {
	detector.Skip(t)
	for name, url := range databases(t) {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, "GATEHOUSE_DATABASE_URL="+url(t))
			l.want(0, "", words("migrate status"), "0001_users.sql", "missing")
			l.want(0, "", words("migrate down"), "nothing to do")
			first := l.want(0, "", words("migrate up"), "applied 0001_users.sql").out
			l.want(0, "", words("migrate up"), "nothing to do")
			if status := l.want(0, "", words("migrate status"), "applied 20").out; strings.Contains(status, "missing") {
				t.Errorf("after up:\n%s", status)
			}
			steps := strings.Count(first, "applied ")
			for range steps {
				l.want(0, "", words("migrate down"), "took back ")
			}
			l.want(0, "", words("migrate down"), "nothing to do")
			l.want(1, "", words("policy list"), "not up to date")
			if second := l.want(0, "", words("migrate up")).out; second != first {
				t.Errorf("up again applies\n%swant\n%s", second, first)
			}
			l.want(0, "", words("policy check"), "is good")
		})
	}
}

func TestPolicyCommands(t *testing.T) {
	detector.Skip(t)
	l := newLine(t, "GATEHOUSE_DATABASE_URL=sqlite:g.db")
	l.want(0, "", words("migrate up"))
	list := l.want(0, "", words("policy export"), "p, user, product, update, own, allow", "g, admin, moderator", "# version 1").out
	l.want(0, "", words("policy check"), "the policy in the database is good: 20 rows, 3 inheritances")
	if err := os.WriteFile("p.csv", []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	l.want(0, "", words("policy check p.csv"), "p.csv is good: 20 rows, 3 inheritances")
	bad := map[string]string{
		"p, user, produkt, read, any, allow": `unknown resource "produkt"`,
		"q, user":                            "line 1",
		"# nothing":                          "empty",
		"g, a, b\ng, b, a\np, user, product, read, any, allow":              "inherits itself",
		"p, user, product, read, any, allow\np,user,product,read,any,allow": "twice",
	}
	for text, want := range bad {
		if err := os.WriteFile("bad.csv", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l.want(1, "", words("policy check bad.csv"), "bad.csv", want)
	}
	l.want(1, "", words("policy check none.csv"), "none.csv: no such file")
}

// The policy is changed, looked back at and put back, over each database.
func TestPolicyChangeCommands(t *testing.T) {
	detector.Skip(t)
	for name, url := range databases(t) {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, "GATEHOUSE_DATABASE_URL="+url(t))
			l.want(1, "", words("policy add support user read any"), `run "gatehouse migrate up" first`)
			l.want(0, "", words("migrate up"))
			first := l.want(0, "", words("policy export")).out
			l.want(0, "", append(words("policy add support user read any --note"), "for the\nhelp desk"),
				"added support, user, read, any, allow (", "the policy is at version 2, and every node decides by it from the next request on")
			l.want(1, "", words("policy add support user read any"), "there is such a row already, and nothing was changed")
			l.want(1, "", words("policy add Support users eat any maybe"), `"Support" is no role`, `"users" is no resource: that is one of product,`, `"eat" is no action`, `"maybe" is no effect: that is one of allow, deny.`)
			l.want(1, "", words("policy add user product read any --note "+strings.Repeat("x", 501)), "A note has at most 500 characters.")
			list := l.want(0, "", words("policy list"), "version 2", "ID ", "admin has all that moderator has").out
			id := regexp.MustCompile(`(?m)^(\S{36})  support +user +read +any +allow$`).FindStringSubmatch(list)
			if id == nil {
				t.Fatalf("the new row is not in\n%s", list)
			}
			l.want(0, "", words("policy remove "+id[1]), "removed support, user, read, any, allow; the policy is at version 3")
			l.want(1, "", words("policy remove "+id[1]), "there is no such row")
			l.want(0, "", words("policy remove user product share own allow"), "version 4")
			l.want(1, "", words("policy remove user, product, share, own, allow"), "there is no such row")
			l.want(1, "", words("policy remove user product"), "a row is named by its id")
			for _, command := range []string{"policy remove admin policy create any allow", "policy add anonymous user update any deny"} {
				l.want(1, "", words(command), "Nothing was changed: the role admin could not ", "Whoever has the role admin must be able to")
			}

			l.want(1, "", words("policy load none.csv"), "no such file")
			write := func(text string) {
				t.Helper()
				if err := os.WriteFile("p.csv", []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("p, user, produkt, read, any, allow\np, user, product, read, any, allow\ng, Admin, user\n")
			got := l.want(1, "", words("policy load p.csv"), "p.csv cannot be used, and nothing was changed:",
				`p, user, produkt, read, any, allow: "produkt" is no resource`, `g, Admin, user: "Admin" is no role`)
			if got.out != "" {
				t.Errorf("of a load that was refused is told %q", got.out)
			}
			write("p, user, product, read, any, allow\n")
			l.want(1, "", words("policy load p.csv"), "Nothing was changed: the role admin could not read any policy any more.")
			write("# nothing\n")
			l.want(1, "", words("policy load p.csv"), "Nothing was changed")
			l.want(0, first, words("policy load -"), "+ p, user, product, share, own, allow", "version 5")
			write(first + "g, seller, user\np, seller, product, update, any, allow\n")
			l.want(0, "", append(words("policy load p.csv --note"), "sellers"), "+ g, seller, user\n+ p, seller, product, update, any, allow\nthe policy is at version 6")
			l.want(0, "", words("policy load p.csv"), "the policy was so already; it stays at version 6")

			history := l.want(0, "", words("policy history"), "version 6, ", ", by an operator: sellers", "  + g, seller, user\n", "version 2, ", ": for the help desk\n  + p, support, user, read, any, allow", "version 1, ", ": the default policy").out
			if strings.Count(history, "version ") != 6 || !strings.HasPrefix(history, "version 6, ") {
				t.Errorf("the history is\n%s", history)
			}
			if short := l.want(0, "", words("policy history --limit 2")).out; strings.Count(short, "version ") != 2 {
				t.Errorf("two versions of the history are\n%s", short)
			}
			l.want(1, "", words("policy rollback 99"), "nobody remembers a version 99")
			l.want(1, "", words("policy rollback 99 --preview"), "nobody remembers a version 99")
			l.want(0, "", words("policy rollback 1 --preview"), "what would become of version 6; nothing was changed", "- p, seller, product, update, any, allow", "gained: nothing", "lost: nothing")
			l.want(1, "", words("policy add support --within 3s user read any"), "--within belongs to --preview")
			l.want(1, "", words("policy add support user read any --preview --within 0s"), "--within is a time")
			l.want(0, "", words("policy rollback 1"), "- g, seller, user", "- p, seller, product, update, any, allow", "version 7")
			if now := l.want(0, "", words("policy export")).out; now != strings.Replace(first, "# version 1:", "# version 7:", 1) {
				t.Errorf("after going back to version 1 the policy is\n%s\nwant\n%s", now, first)
			}
			l.want(0, "", words("policy rollback 7"), "it stays at version 7")
			l.want(0, "", words("audit verify"))
		})
	}
}

func TestDemo(t *testing.T) {
	detector.Skip(t)
	for name, url := range databases(t) {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, "GATEHOUSE_DATABASE_URL="+url(t))
			got := l.want(0, "", words("demo"), "Made 12 products and 3 users", "owner@demo.example.com", "moderator@demo.example.com", "admin@demo.example.com")
			l.want(0, "", words("demo"), "The demo was run before, and nothing was changed")
			l.want(0, "", words("user list"), "owner@demo.example.com")

			n := start(t, bootstrap.Program{Config: configuration(t, l.environ...)})
			c := newCaller(t, n)
			if shown := c.want(200, "GET", "/products?limit=100", "")["items"].([]any); len(shown) != 9 {
				t.Errorf("a visitor sees %d products, want the 9 published ones", len(shown))
			}
			password := regexp.MustCompile(`owner@demo\S+ +user +(\S+)`).FindStringSubmatch(got.out)
			if password == nil {
				t.Fatalf("no password in %s", got.out)
			}
			c.want(200, "POST", "/login", fmt.Sprintf(`{"email":"owner@demo.example.com","password":%q}`, password[1]))
			if mine := c.want(200, "GET", "/products?owner=me&limit=100", "")["items"].([]any); len(mine) != 12 {
				t.Errorf("the owner has %d products, want 12", len(mine))
			}
		})
	}
}

func TestHealthCommand(t *testing.T) {
	n := start(t, bootstrap.Program{Config: configuration(t, "GATEHOUSE_DATABASE_URL=memory:")})
	l := newLine(t, "GATEHOUSE_LISTEN="+n.Addr().String())
	l.want(0, "", words("health"), "/livez answers 200")
	l.want(0, "", words("health --ready"), "/readyz answers 200")
	u, err := url.Parse(n.URL())
	if err != nil {
		t.Fatal(err)
	}
	line{t, []string{"PORT=" + u.Port()}}.want(1, "", words("health --listen 127.0.0.1:1"), "is the service running?")
}

func TestMemoryKeepsNothing(t *testing.T) {
	l := newLine(t, "GATEHOUSE_DATABASE_URL=memory:")
	for _, command := range []string{"demo", "user list", "user create --email a@example.com --generate", "migrate up", "policy check"} {
		l.want(1, "", words(command), "keeps nothing")
	}
}

// What a change would do is told, and not done.
func TestPolicyPreviewCommands(t *testing.T) {
	detector.Skip(t)
	for name, url := range databases(t) {
		t.Run(name, func(t *testing.T) {
			at := url(t)
			l := newLine(t, "GATEHOUSE_DATABASE_URL="+at)
			for _, who := range []string{"ann@example.com --roles admin", "bob@example.com", "eve@example.com"} {
				l.want(0, "", words("user create --generate --email "+who))
			}
			st, done, err := bootstrap.OpenStores(t.Context(), bootstrap.Program{Config: configuration(t, "GATEHOUSE_DATABASE_URL="+at), Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			address, _ := user.NewEmail("bob@example.com")
			bob, err := st.Users.FindByEmail(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			id := product.ID{UUID: st.Random.ID(time.Now())}
			lamp := product.Restore(product.State{ID: id, OwnerID: bob.ID(), Name: "Lamp", Price: product.RestorePrice(1, "KRW"), Status: product.StatusDraft, Version: 1, CreatedAt: time.Now(), UpdatedAt: time.Now()})
			if err := errors.Join(st.Products.Add(t.Context(), lamp), done()); err != nil {
				t.Fatal(err)
			}

			got := l.want(0, "", words("policy add user product read any --preview")).out
			if want := "what would become of version 1; nothing was changed\n+ p, user, product, read, any, allow\n" +
				"gained: 1 on products, 0 elsewhere\n  1 of 2 users with the role user: read product, 1 in all\n    eve@example.com: \"Lamp\" (" + id.String() + ")\nlost: nothing\n"; got != want {
				t.Errorf("the preview is\n%s\nwant\n%s", got, want)
			}
			got = l.want(0, "", words("policy add anonymous product read any --preview --within 20s")).out
			if want := "gained: 2 on products, 0 elsewhere\n  visitors: read product, 1 in all\n    \"Lamp\" (" + id.String() + ")\n  1 of 2 users with the role user: read product, 1 in all\n"; !strings.Contains(got, want) {
				t.Errorf("the preview is\n%s\nwant in it\n%s", got, want)
			}
			l.want(0, "", words("policy remove user product delete own allow --preview"), "- p, user, product, delete, own, allow", "gained: nothing",
				"lost: 1 on products, 0 elsewhere\n  1 of 2 users with the role user: delete product, 1 in all\n    bob@example.com: \"Lamp\" (")
			l.want(0, "", words("policy add user session read own allow --preview"), "gained: 0 on products, 2 elsewhere\n  2 users with the role user: read own session\n    bob@example.com\n    eve@example.com\n")
			l.want(0, "", words("policy add user audit read any allow --preview"), "gained: 0 on products, 2 elsewhere\n  2 users with the role user: read any audit\n")
			l.want(1, "", words("policy add user product read own --preview"), "there is such a row already, and nothing was changed")
			l.want(1, "", words("policy remove admin policy create any allow --preview"), "Nothing was changed: the role admin could not ")
			l.want(1, "", words("policy add Support user eat any --preview"), `"Support" is no role`, `"eat" is no action`)
			table := l.want(0, "", words("policy export")).out
			l.want(0, table+"g, seller, user\np, user, product, create, any, deny\n", words("policy load - --preview"), "+ g, seller, user\n+ p, user, product, create, any, deny\n", "lost: 0 on products, 3 elsewhere")
			l.want(0, table, words("policy load - --preview"), "the policy is so already, at version 1")
			l.want(1, table+"p, user, produkt, read, any, allow\n", words("policy load - --preview"), `p, user, produkt, read, any, allow: "produkt" is no resource`)
			if now := l.want(0, "", words("policy export")).out; now != table {
				t.Errorf("after previews the policy is\n%s\nwant\n%s", now, table)
			}
		})
	}
}

// TestBackupRefuses: what it cannot copy it says, and leaves nothing behind.
func TestBackupRefuses(t *testing.T) {
	l := newLine(t)
	l.want(1, "", words("backup copy.db"), "no backup was made", "gatehouse.db")
	l.want(1, "", words("backup copy.db --database-url memory:"), "keeps nothing")
	l.want(1, "", words("backup copy.db --database-url postgres://nobody@127.0.0.1:1/none"), "pg_dump")
	if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
		t.Errorf("there are %v, %v", files, err)
	}
	l.want(0, "", words("migrate up"), "applied")
	if err := os.WriteFile("copy.db", []byte("of value"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.want(1, "", words("backup copy.db"), "no backup was made", "exists")
	if text, err := os.ReadFile("copy.db"); err != nil || string(text) != "of value" {
		t.Errorf("what was there became %q, %v", text, err)
	}
	if err := os.WriteFile("broken.db", []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	l.want(1, "", words("backup other.db --database-url sqlite:broken.db"), "no backup was made")
	if _, err := os.Stat("other.db"); err == nil {
		t.Error("half a backup is left behind")
	}
	l.want(0, "", words("backup whole.db"), "whole.db")
	l.want(0, "", words("audit verify --database-url sqlite:whole.db"), "holds")
}
