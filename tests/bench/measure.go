package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// figures are what one round, or the median of rounds, came to.
type figures struct {
	rate          float64 // requests a second
	p50, p99      time.Duration
	appCPU, dbCPU float64 // milliseconds a request
}

// testCase is one thing to ask for, of us and of the floor.
type testCase struct {
	name        string
	ours, floor string // Lua expressions that build a request
}

func (b *stage) cases() []testCase {
	signed := `wrk.format("GET", "%s", {Cookie = pick(cookies)})`
	return []testCase{
		{"GET /me", fmt.Sprintf(signed, "/me"), `wrk.format("GET", "/users/" .. pick(users))`},
		{"GET /products/{id}", `wrk.format("GET", "/products/" .. pick(products), {Cookie = pick(cookies)})`, `wrk.format("GET", "/products/" .. pick(products))`},
		{"the same, anonymous", `wrk.format("GET", "/products/" .. pick(products))`, `wrk.format("GET", "/products/" .. pick(products))`},
	}
}

// compare lets both answer in turn, so that a slow minute of the machine hits
// both, and gives the medians.
func (b *stage) compare(ctx context.Context, c testCase, rounds int, each time.Duration) (ours, floor figures, err error) {
	var o, f []figures
	for range rounds {
		for _, side := range []struct {
			p       *process
			request string
			into    *[]figures
		}{{b.floor, c.floor, &f}, {b.ours, c.ours, &o}} {
			got, err := b.round(ctx, side.p, side.request, each)
			if err != nil {
				return figures{}, figures{}, fmt.Errorf("%s: %w", c.name, err)
			}
			*side.into = append(*side.into, got)
		}
	}
	return median(o), median(f), nil
}

func median(all []figures) figures {
	slices.SortFunc(all, func(a, b figures) int { return int(a.rate - b.rate) })
	return all[len(all)/2]
}

func (b *stage) round(ctx context.Context, p *process, request string, each time.Duration) (figures, error) {
	script := filepath.Join(b.folder, "load.lua")
	if err := os.WriteFile(script, []byte(b.lua(request)), 0o600); err != nil {
		return figures{}, err
	}
	if err := b.wrk(ctx, script, p, time.Second, nil); err != nil { // warms up
		return figures{}, err
	}
	app, db := cpu(p.cmd.Process.Pid), b.databaseCPU(ctx)
	var f figures
	var requests float64
	err := b.wrk(ctx, script, p, each, func(report string) (err error) {
		f, requests, err = parse(report)
		return err
	})
	f.appCPU = (cpu(p.cmd.Process.Pid) - app) * 1000 / requests
	f.dbCPU = (b.databaseCPU(ctx) - db) * 1000 / requests
	return f, err
}

// lua gives wrk's script. The requests are put together once, at the start: wrk
// shares the machine with what it measures, and what it spends on a header more
// must not count against who needs the header.
func (b *stage) lua(request string) string {
	list := func(values []string) string { return `{"` + strings.Join(values, `","`) + `"}` }
	return fmt.Sprintf(`
local cookies, users, products = %s, %s, %s
local function pick(list) return list[math.random(#list)] end
local ready = {}
init = function() for i = 1, 2000 do ready[i] = %s end end
request = function() return ready[math.random(#ready)] end
`, list(b.cookies), list(b.userIDs), list(b.products), request)
}

func (b *stage) wrk(ctx context.Context, script string, p *process, d time.Duration, read func(string) error) error {
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c64", "-d"+strconv.Itoa(int(d.Seconds()))+"s", "--latency", "-s", script, p.url).CombinedOutput()
	if err != nil {
		return fmt.Errorf("wrk: %w\n%s", err, out)
	}
	if read == nil {
		return nil
	}
	return read(string(out))
}

var (
	rateLine   = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	totalLine  = regexp.MustCompile(`(\d+) requests in`)
	failedLine = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)|Socket errors: .*`)
	p50Line    = regexp.MustCompile(`50%\s+([\d.]+[a-z]+)`)
	p99Line    = regexp.MustCompile(`99%\s+([\d.]+[a-z]+)`)
)

// parse reads wrk's report. A single answer that is no success spoils the round.
func parse(report string) (figures, float64, error) {
	if bad := failedLine.FindString(report); bad != "" {
		return figures{}, 1, errors.New(bad)
	}
	find := func(re *regexp.Regexp) string {
		if m := re.FindStringSubmatch(report); m != nil {
			return m[1]
		}
		return ""
	}
	rate, err1 := strconv.ParseFloat(find(rateLine), 64)
	total, err2 := strconv.ParseFloat(find(totalLine), 64)
	p50, err3 := time.ParseDuration(find(p50Line))
	p99, err4 := time.ParseDuration(find(p99Line))
	return figures{rate: rate, p50: p50, p99: p99}, total, errors.Join(err1, err2, err3, err4)
}

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// cpu is what a process has used, in seconds, user and system.
func cpu(pid int) float64 {
	field := stat(pid)
	if len(field) < 15 {
		return 0
	}
	user, _ := strconv.ParseFloat(field[11], 64)
	system, _ := strconv.ParseFloat(field[12], 64)
	return (user + system) / ticksPerSecond
}

// stat gives the fields of /proc/PID/stat that follow the name; the first is
// the state, the second the parent.
func stat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}

// databaseCPU is what PostgreSQL's processes on this machine have used: all
// children of the one that our own connection's backend is a child of.
func (b *stage) databaseCPU(ctx context.Context) float64 {
	var backend int
	if err := b.admin.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		return 0
	}
	own := stat(backend)
	if len(own) < 2 {
		return 0 // it runs elsewhere
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	var sum float64
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if s := stat(pid); len(s) > 1 && s[1] == own[1] {
				sum += cpu(pid)
			}
		}
	}
	return sum
}

// residentMiB is how much memory a process holds.
func residentMiB(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseFloat(strings.Fields(string(text))[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// needWrk finds wrk, or installs Debian's package where root may do so.
func needWrk() error {
	if _, err := exec.LookPath("wrk"); err == nil {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return errors.New("wrk is missing: install it (Debian: apt-get install wrk) and repeat")
	}
	fmt.Fprintln(os.Stderr, "bench: installing wrk")
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "wrk"}} {
		if out, err := exec.Command("apt-get", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("installing wrk: %w\n%s", err, out)
		}
	}
	return nil
}
