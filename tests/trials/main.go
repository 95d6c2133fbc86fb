// Command trials does to the service what attackers do, and what machines do to
// it, and measures whether it holds to its figures: durations, memory, and what
// takes a hundred thousand requests. What can be asserted without a clock is in
// tests/e2e and in the contract suites instead.
//
// It builds the service, starts it as processes of their own over a throw-away
// database for each scenario, and prints a line for each figure: what is to hold,
// what was measured, and whether it holds. It exits with 1 if one does not.
//
// Run it by `make attacks` or `make test-faults`, which start PostgreSQL and name
// it in TEST_DATABASE_URL. ATTACKS=6,17 and FAULTS=1,2 run these scenarios alone.
// Memory, descriptors and processes are read from /proc, so it needs Linux.
//
// Read [scenario] first, then field.go, which is what all of them stand on;
// load.go and fire.go are what drives them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// scenario is a trial with the number that it has in the list of threats
// (docs/faults.md, docs/security.md).
type scenario struct {
	number string
	what   string
	run    func(*trial) error
	limit  time.Duration // after which it is given up
}

// group is what one command runs.
type group struct {
	name      string // on the command line; in capitals the variable that chooses among them
	scenarios []scenario
}

func groups() []group {
	flood := scenario{"6", "a flood of sign-ins", signInFlood, 5 * time.Minute}
	sizes := scenario{"15", "bodies that are too much", bodies, 5 * time.Minute}
	slow := scenario{"17", "header bombs and slow senders", slowSenders, 5 * time.Minute}
	searches := scenario{"19", "100,000 products are searched, walked and counted", searching, 20 * time.Minute}
	return []group{
		{"attacks", []scenario{
			flood,
			{"8", "who has an account is not told by the clock", evenAnswers, 10 * time.Minute},
			{"10", "100,000 forged cookies", forgedCookies, 5 * time.Minute},
			sizes,
			{"16", "malformed JSON", malformed, 5 * time.Minute},
			slow,
			{"18", "smuggled requests", smuggling, 5 * time.Minute},
			searches,
			{"20", "addresses that look alike", lookAlikes, 5 * time.Minute},
			{"21", "requests from other sites", otherSites, 5 * time.Minute},
			{"prune", "1,000,000 expired sessions", pruning, 15 * time.Minute},
		}},
		{"faults", []scenario{
			{"1", "PostgreSQL is killed under writes", databaseKilled, 2 * time.Minute},
			{"2", "PostgreSQL is frozen", databaseFrozen, 2 * time.Minute},
			{"3", "slow searches beside everybody else", slowSearches, 5 * time.Minute},
			{"4", "sessions that end under slow requests", endings, 5 * time.Minute},
			{"5", "what is ended or taken away on another node", elsewhere, 5 * time.Minute},
			flood,
			{"14", "rights that are taken away under decisions", revocations, 5 * time.Minute},
			sizes, slow, searches,
			{"23", "rolling upgrades, and nodes that start at once", rolling, 10 * time.Minute},
			{"25", "SIGTERM and panics", stopping, 5 * time.Minute},
			{"nodes", "three nodes behind a proxy", severalNodes, 5 * time.Minute},
		}},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	held, err := try(ctx, os.Args[1:])
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "trials:", err)
		os.Exit(1)
	case !held:
		os.Exit(1)
	}
}

// try runs the scenarios of a group and reports whether all figures were held.
func try(ctx context.Context, args []string) (held bool, err error) {
	i := slices.IndexFunc(groups(), func(g group) bool { return len(args) == 1 && g.name == args[0] })
	if i < 0 {
		return false, errors.New("usage: trials attacks|faults")
	}
	g := groups()[i]
	list := g.scenarios
	if only := os.Getenv(strings.ToUpper(g.name)); only != "" {
		names := strings.Split(only, ",")
		list = slices.DeleteFunc(list, func(s scenario) bool { return !slices.Contains(names, s.number) })
	}
	if len(list) == 0 {
		return false, fmt.Errorf("%s names no scenario", strings.ToUpper(g.name))
	}
	field, err := newField(ctx)
	if err != nil {
		return false, err
	}
	defer field.close()
	held = true
	for _, s := range list {
		began := time.Now()
		fmt.Printf("\n%s  %s\n", s.number, s.what)
		a, err := field.trial(ctx, s)
		if err == nil {
			err = s.run(a)
		}
		if err != nil {
			a.row(false, "the trial could be carried out", "yes", err.Error())
		}
		a.close()
		held = held && !a.broken
		fmt.Printf("    %s\n", time.Since(began).Round(100*time.Millisecond))
	}
	return held, ctx.Err()
}
