// Command attacks does to the service what attackers do, and measures whether
// it holds to its figures: durations, memory, and what takes a hundred thousand
// requests. What can be asserted without a clock is in tests/e2e and in the
// contract suites instead.
//
// It builds the service, starts it as a process of its own over a throw-away
// database for each scenario, attacks it over the loopback interface, and prints
// a line for each figure: what is to hold, what was measured, and whether it
// holds. It exits with 1 if one does not.
//
// Run it by `make attacks`, which starts PostgreSQL and names it in
// TEST_DATABASE_URL. ATTACKS=6,17 runs these scenarios alone. Memory is read
// from /proc, so those figures need Linux.
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

// scenario is an attack with the number that it has in the list of threats.
type scenario struct {
	number string
	what   string
	run    func(*attack) error
	limit  time.Duration // after which it is given up
}

func scenarios() []scenario {
	return []scenario{
		{"6", "a flood of sign-ins", signInFlood, 5 * time.Minute},
		{"8", "who has an account is not told by the clock", evenAnswers, 10 * time.Minute},
		{"10", "100,000 forged cookies", forgedCookies, 5 * time.Minute},
		{"15", "bodies that are too much", bodies, 5 * time.Minute},
		{"16", "malformed JSON", malformed, 5 * time.Minute},
		{"17", "header bombs and slow senders", slowSenders, 5 * time.Minute},
		{"18", "smuggled requests", smuggling, 5 * time.Minute},
		{"19", "100,000 products are searched, walked and counted", searching, 20 * time.Minute},
		{"20", "addresses that look alike", lookAlikes, 5 * time.Minute},
		{"21", "requests from other sites", otherSites, 5 * time.Minute},
		{"prune", "1,000,000 expired sessions", pruning, 15 * time.Minute},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	held, err := attackAll(ctx)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "attacks:", err)
		os.Exit(1)
	case !held:
		os.Exit(1)
	}
}

// attackAll runs the scenarios and reports whether all figures were held.
func attackAll(ctx context.Context) (held bool, err error) {
	list := scenarios()
	if only := os.Getenv("ATTACKS"); only != "" {
		names := strings.Split(only, ",")
		list = slices.DeleteFunc(list, func(s scenario) bool { return !slices.Contains(names, s.number) })
	}
	if len(list) == 0 {
		return false, errors.New("ATTACKS names no scenario")
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
		a, err := field.attack(ctx, s)
		if err == nil {
			err = s.run(a)
		}
		if err != nil {
			a.row(false, "the attack could be carried out", "yes", err.Error())
		}
		a.close()
		held = held && !a.broken
		fmt.Printf("    %s\n", time.Since(began).Round(100*time.Millisecond))
	}
	return held, ctx.Err()
}
