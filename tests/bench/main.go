// Command bench measures the service beside a floor in one run: the same Fiber
// and the same pgx pool with one hand-written primary-key statement, and
// nothing else. Machines are noisy, so what counts is the ratio of the two.
//
// It builds the service, starts it and the floor as processes of their own over
// one throw-away database that it fills (seed.go), lets wrk load them in turn for
// some rounds, and prints the medians: requests a second, latencies, and the CPU time that one
// request costs in the application and in PostgreSQL.
//
// Run it by `make bench`, which starts PostgreSQL and names it in
// TEST_DATABASE_URL. Settings: BENCH_ROUNDS (3), BENCH_SECONDS (5) a round,
// BENCH_CASES (a regular expression of the cases wanted, "flood" being
// the last; all without), BENCH_PROFILE (a folder for a CPU profile of the service in each case).
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := bench
	if len(os.Args) == 4 && os.Args[1] == "floor" {
		run = func(ctx context.Context) error { return serveFloor(ctx, os.Args[2], os.Args[3]) }
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// setting reads a positive number from the environment.
func setting(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

func bench(ctx context.Context) error {
	if err := needWrk(); err != nil {
		return err
	}
	b, err := newStage(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	wanted, err := regexp.Compile(os.Getenv("BENCH_CASES"))
	if err != nil {
		return fmt.Errorf("BENCH_CASES: %w", err)
	}
	rounds, each := setting("BENCH_ROUNDS", 3), time.Duration(setting("BENCH_SECONDS", 5))*time.Second
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "\t\trequests/s\tp50\tp99\tCPU app\tCPU PostgreSQL\tof the floor\t\n")
	for _, c := range b.cases() {
		if !wanted.MatchString(c.name) {
			continue
		}
		ours, floor, err := b.compare(ctx, c, rounds, each)
		if err != nil {
			return err
		}
		row(out, c.name, "floor", floor, 1)
		row(out, c.name, "gatehouse", ours, ours.rate/floor.rate)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if !wanted.MatchString("flood") {
		return nil
	}
	ours, floor, err := b.flood(ctx, rounds, each)
	if err != nil {
		return err
	}
	fmt.Printf("\nGET /me beside %d who sign in as fast as they can, as parts of what it is alone:\n", floodConnections)
	for _, side := range []struct {
		who string
		f   [2]figures
	}{{"floor", floor}, {"gatehouse", ours}} {
		alone, beside := side.f[0], side.f[1]
		fmt.Printf("  %-9s  throughput %3.0f %% (%.0f of %.0f/s), p50 %.2f ×, p99 %.2f × (%s of %s)\n", side.who, 100*beside.rate/alone.rate, beside.rate, alone.rate,
			float64(beside.p50)/float64(alone.p50), float64(beside.p99)/float64(alone.p99), beside.p99, alone.p99)
	}
	fmt.Printf("\n%d rounds of %s each, %d connections (%d to sign in), medians. %s.\n", rounds, each, connections, floodConnections, b.about())
	return nil
}

func row(out *tabwriter.Writer, name, who string, f figures, ratio float64) {
	fmt.Fprintf(out, "%s\t%s\t%.0f\t%s\t%s\t%.3f ms\t%.3f ms\t%.2f\t\n", name, who, f.rate, f.p50, f.p99, f.appCPU, f.dbCPU, ratio)
}
