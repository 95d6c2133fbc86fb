package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/tests/debian"
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
	ours, floor string // Lua expressions that build a request; n is a number of a product
	connections int    // at once
	fresh       bool   // whether each request is put together when it is sent, being unlike all others
}

const connections = 64

func (b *stage) cases() []testCase {
	const (
		anonymous = `wrk.format("GET", "/products/" .. products[n])`
		json      = `["Content-Type"] = "application/json"`
		stock     = `'{"stock":' .. math.random(1000000000) .. '}'`
		signIn    = `wrk.format("POST", "/login", {` + json + `}, '{"email":"signin' .. math.random(` + "%d" + `) .. '@example.com","password":"` + password + `"}')`
	)
	return []testCase{
		{"GET /me", `wrk.format("GET", "/me", {Cookie = pick(cookies)})`, `wrk.format("GET", "/users/" .. pick(users))`, connections, false},
		{"the same, one at a time", `wrk.format("GET", "/me", {Cookie = pick(cookies)})`, `wrk.format("GET", "/users/" .. pick(users))`, 1, false},
		{"GET /products/{id}", `wrk.format("GET", "/products/" .. products[n], {Cookie = pick(cookies)})`, anonymous, connections, false},
		{"the same, anonymous", anonymous, anonymous, connections, false},
		{"GET /products?limit=20", `wrk.format("GET", "/products?limit=20", {Cookie = pick(cookies)})`, `wrk.format("GET", "/products?limit=20")`, connections, false},
		{
			"PATCH /products/{id}",
			`wrk.format("PATCH", "/products/" .. products[n], {Cookie = owned[n], ` + json + `}, ` + stock + `)`,
			`wrk.format("PATCH", "/products/" .. products[n], {` + json + `}, ` + stock + `)`, connections, true,
		},
		{"POST /login", fmt.Sprintf(signIn, signers), fmt.Sprintf(signIn, signers), floodConnections, true},
	}
}

// floodConnections are how many sign in at once.
const floodConnections = 8

// flood measures GET /me alone and beside eight who sign in as fast as they can,
// of one and of the other in turn.
func (b *stage) flood(ctx context.Context, rounds int, each time.Duration) (ours, floor [2]figures, err error) {
	cases := b.cases()
	me, signIn := cases[0], cases[len(cases)-1]
	var o, f [2][]figures
	for range rounds {
		for _, side := range []struct {
			p           *process
			me, flooded string
			into        *[2][]figures
		}{{b.floor, me.floor, signIn.floor, &f}, {b.ours, me.ours, signIn.ours, &o}} {
			alone, err := b.round(ctx, side.p, me, side.me, each)
			if err != nil {
				return ours, floor, err
			}
			beside, stop := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() {
				_, err := b.wrk(beside, side.p, signIn, side.flooded, each+4*time.Second)
				ended <- err
			}()
			flooded, err := b.round(ctx, side.p, me, side.me, each)
			stop()
			<-ended // it was cut
			if err != nil {
				return ours, floor, err
			}
			side.into[0], side.into[1] = append(side.into[0], alone), append(side.into[1], flooded)
		}
	}
	return [2]figures{median(o[0]), median(o[1])}, [2]figures{median(f[0]), median(f[1])}, nil
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
			got, err := b.round(ctx, side.p, c, side.request, each)
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

func (b *stage) round(ctx context.Context, p *process, c testCase, request string, each time.Duration) (f figures, err error) {
	if _, err := b.wrk(ctx, p, c, request, time.Second); err != nil { // warms up
		return figures{}, err
	}
	if b.profiles != "" && p == b.ours {
		written := make(chan error, 1)
		go func() { written <- b.profile(ctx, c.name, each) }()
		defer func() { err = errors.Join(err, <-written) }()
	}
	app, db := cpu(p.cmd.Process.Pid), b.databaseCPU(ctx)
	report, err := b.wrk(ctx, p, c, request, each)
	if err != nil {
		return figures{}, err
	}
	f, requests, err := parse(report)
	f.appCPU = (cpu(p.cmd.Process.Pid) - app) * 1000 / requests
	f.dbCPU = (b.databaseCPU(ctx) - db) * 1000 / requests
	return f, err
}

// profile writes down where the service's CPU time goes for a while, for
// `go tool pprof`.
func (b *stage) profile(ctx context.Context, name string, d time.Duration) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", b.private, int(d.Seconds())), nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.profiles, 0o755); err != nil {
		return err
	}
	name = regexp.MustCompile("[^a-zA-Z]+").ReplaceAllString(name, "_")
	return os.WriteFile(filepath.Join(b.profiles, strings.Trim(name, "_")+".pprof"), text, 0o644)
}

// lua gives wrk's script. Requests that are the same again are put together once,
// at the start: wrk shares the machine with what it measures, and what it spends
// on a header more must not count against who needs the header.
func (b *stage) lua(c testCase, request string) string {
	list := func(values []string) string { return `{"` + strings.Join(values, `","`) + `"}` }
	build := "local ready = {}\ninit = function() for i = 1, 2000 do ready[i] = make() end end\nrequest = function() return ready[math.random(#ready)] end\n"
	if c.fresh {
		build = "request = make\n"
	}
	return fmt.Sprintf(`
local cookies, users, products, owned = %s, %s, %s, %s
local function pick(list) return list[math.random(#list)] end
local function make() local n = math.random(#products); return %s end
%s`, list(b.cookies), list(b.userIDs), list(b.products), list(b.owned), request, build)
}

// wrk loads a process, and gives what it says of it.
func (b *stage) wrk(ctx context.Context, p *process, c testCase, request string, d time.Duration) (string, error) {
	script, err := os.CreateTemp(b.folder, "load-*.lua")
	if err != nil {
		return "", err
	}
	_, err = script.WriteString(b.lua(c, request))
	if err = errors.Join(err, script.Close()); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(c.connections), "-d"+strconv.Itoa(int(d.Seconds()))+"s", "--timeout", "30s", "--latency", "-s", script.Name(), p.url).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("wrk: %w\n%s", err, out)
	}
	return string(out), nil
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
	fmt.Fprintln(os.Stderr, "bench: installing wrk")
	if err := debian.Install("wrk"); err != nil {
		return fmt.Errorf("wrk is missing: install it (Debian: apt-get install wrk) and repeat: %w", err)
	}
	return nil
}
