package bootstrap

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"gatehouse/configs"
)

// serveCommand is "gatehouse serve".
type serveCommand struct{}

// Help is what "gatehouse serve --help" adds.
func (serveCommand) Help() string {
	return `Without any setting it serves on http://localhost:8080 and keeps its data in data/gatehouse.db. The schema is brought up to date first.

SIGTERM or Ctrl-C lets requests in work come to their end; a second one ends at once.

Examples:

    gatehouse serve
    gatehouse serve --listen :8080 --public-url https://shop.example.com
    GATEHOUSE_DATABASE_URL=postgres://gate:secret@db/gate gatehouse serve
    gatehouse serve --database-url memory:`
}

// Run serves.
func (serveCommand) Run(c *call) error {
	loaded, err := c.config()
	if err != nil {
		return err
	}
	config := loaded.Config
	c.tune(config.HashSlots)
	p := c.program(config)
	p.Config.LogLevel = config.LogLevel
	log, flush := c.servingLogger(config)
	defer flush()
	p.Log = log
	n, err := p.Open(c.ctx)
	if err != nil {
		return err
	}
	c.greet(n, loaded)
	return errors.Join(n.Run(c.ctx), n.Close())
}

// tune sets what Go would set for a program that does one kind of work, unless
// the variables of Go say it: how often garbage is collected, and how many
// threads run at once. A hash keeps one busy for some hundredth of a second:
// each slot has one on top of those for the cores, so that the system divides
// the cores and no request waits for a hash to end.
func (c *call) tune(slots int) {
	given := func(names ...string) bool {
		return slices.ContainsFunc(c.input.Environ, func(v string) bool {
			name, _, _ := strings.Cut(v, "=")
			return slices.Contains(names, name)
		})
	}
	if !given("GOGC", "GOMEMLIMIT") {
		boundGarbage()
	}
	if !given("GOMAXPROCS") {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + slots)
	}
}

// greet tells what is served, and whom it may help what to do next: a person
// at a terminal, and whoever runs it as it comes, without having configured
// where the data is kept.
func (c *call) greet(n *Node, loaded configs.Loaded) {
	log := n.program.Log
	log.Info("serving", "url", n.URL(), "listen", n.Addr().String(), "database", loaded.Config.Database, "sessions", loaded.Config.SessionStore, "mail", n.mailGoes(), "version", n.program.Version)
	for _, w := range n.doubts() {
		log.Warn(w)
	}
	if c.text(loaded.Config) || loaded.Source("database.url") == configs.Default {
		where := "in another terminal"
		if loaded.Source("database.url") != configs.Default {
			where += ", with the same settings" // else it would be another database
		}
		fmt.Fprint(c.err, n.greeting(programName(), where))
	}
}

// doubts are settings that work and are probably not meant.
func (n *Node) doubts() []string {
	var out []string
	config := n.program.Config
	host, _, _ := net.SplitHostPort(config.Listen)
	if config.PublicURL == nil && !configs.IsLoopback(host) {
		out = append(out, "this listens for other machines, but public_url is not set: until GATEHOUSE_PUBLIC_URL says https://… the session cookie is one for plain http")
	}
	if config.Database.Kind == configs.Memory {
		out = append(out, "memory: keeps nothing: all users, sessions and products are gone when this process ends")
	}
	return append(out, n.mailDoubts()...)
}

// greeting is what somebody who has just started the service wants to know.
func (n *Node) greeting(name, where string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("")
	line("  Gatehouse is ready at %s", n.URL())
	line("")
	line("    the API, to read and to try   %s/docs", n.URL())
	line("    the data                      %s", n.whereabouts())
	line("    mails                         %s", n.mailGoes())
	line("")
	if n.program.Config.Database.Kind == configs.Memory {
		line("  Next:  register with  curl %s/register --json '{\"email\":\"you@example.com\",\"password\":\"correct horse\"}'", n.URL())
	} else {
		line("  Next, %s:", where)
		line("    make an admin                 %s user create --email you@example.com --roles admin", name)
		line("    fill in something to look at  %s demo", name)
	}
	line("")
	line("  Ctrl-C stops it.")
	line("")
	return b.String()
}

// whereabouts says where the data is kept.
func (n *Node) whereabouts() string {
	d := n.program.Config.Database
	if d.Kind == configs.SQLite {
		if path, err := filepath.Abs(d.Path); err == nil {
			return path
		}
	}
	if d.Kind == configs.Memory {
		return "in memory: gone when this ends"
	}
	return d.String()
}

// programName is how the program is called where somebody types the next
// command: one that "go run" built lies where nobody would look for it.
func programName() string {
	path, err := os.Executable()
	switch {
	case err != nil:
		return "gatehouse"
	case strings.Contains(path, "go-build"):
		return "go run ."
	}
	if os.Args[0] != filepath.Base(os.Args[0]) {
		return os.Args[0]
	}
	return "gatehouse"
}
