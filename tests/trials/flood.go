package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/adapters/fiberstore"
	"gatehouse/application/sessions"
)

// signInFlood is scenario 6.
func signInFlood(a *trial) error {
	if err := stampede(a, "at the limits as they come"); err != nil {
		return err
	}
	if err := stampede(a, "with every limit off", noThrottles...); err != nil {
		return err
	}
	return besideMe(a)
}

// descriptors is how many connections can be open at once, with some left for
// everything else.
func descriptors(want int) int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return min(want, 1000)
	}
	return min(want, int(l.Max)-200)
}

// stampede has one user sign in 10,000 times at once, rightly.
func stampede(a *trial, how string, settings ...string) error {
	n, err := a.node(settings...)
	if err != nil {
		return err
	}
	defer a.rest(n)
	email := fmt.Sprintf("ann%d@example.com", len(a.nodes))
	if _, err := n.signUp(email); err != nil {
		return err
	}
	people := descriptors(10_000)
	base := n.settled()
	wires, err := n.open(people)
	defer closeAll(wires)
	if err != nil {
		return err
	}
	l := &load{}
	began := time.Now()
	var all sync.WaitGroup
	raw := request("POST", "/login", credentials(email))
	hinted := atomic.Bool{}
	hinted.Store(true)
	for _, w := range wires {
		all.Go(func() {
			r, err := w.exchange(raw)
			if err == nil && (r.status == 503 || r.status == 429) && r.get("Retry-After") == "" {
				hinted.Store(false)
			}
			l.add(r, err)
		})
	}
	all.Wait()
	l.elapsed = time.Since(began)
	_, peak := n.memory()
	what := fmt.Sprintf("%d right sign-ins of one user at once, %s", people, how)
	allowed := base + float64(slots())*19 + 64
	a.row(l.only(200, 429, 503) && hinted.Load() && l.status[200] > 0, what, "200, 429, 503 with Retry-After", l.statuses()+fmt.Sprintf(" in %s", l.elapsed.Round(time.Millisecond)))
	a.row(peak <= allowed, what+": memory", fmt.Sprintf("≤ base + %d×19 + 64 = %.0f MiB", slots(), allowed), fmt.Sprintf("%.0f MiB (base %.0f MiB)", peak, base))
	closeAll(wires)
	kept, err := a.number(`SELECT count(*) FROM user_sessions s JOIN users u ON u.id = s.user_id WHERE u.email = $1`, email)
	if err != nil {
		return err
	}
	a.row(kept <= 20, what+": sessions kept", "≤ 20", fmt.Sprint(kept))
	return errors.Join(n.alive(), a.chain())
}

// open opens so many connections, some at a time.
func (n *node) open(count int) ([]*wire, error) {
	wires := make([]*wire, count)
	errs := make([]error, count)
	var all sync.WaitGroup
	var next atomic.Int64
	for range 64 {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(count); i = next.Add(1) - 1 {
				if wires[i], errs[i] = n.dial(); errs[i] != nil {
					return
				}
			}
		})
	}
	all.Wait()
	var open []*wire
	for _, w := range wires {
		if w != nil {
			open = append(open, w)
		}
	}
	return open, errors.Join(errs...)
}

func closeAll(wires []*wire) {
	for _, w := range wires {
		w.close()
	}
}

// chain follows the audit log.
func (a *trial) chain() error {
	cmd := exec.CommandContext(a.ctx, a.program, "audit", "verify")
	cmd.Env = []string{"HOME=" + a.folder, "GATEHOUSE_DATABASE_URL=" + a.database}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("audit verify: %w: %s", err, out)
	}
	return nil
}

// besideMe has eight sign in without pause while others use what they have: the
// same in turn without the eight, so that a slow minute of the machine hits both.
func besideMe(a *trial) error {
	n, err := a.node(noThrottles...)
	if err != nil {
		return err
	}
	defer a.rest(n)
	cookie, err := n.signUp("me@example.com")
	if err != nil {
		return err
	}
	if _, err := n.signUp("flood@example.com"); err != nil {
		return err
	}
	me, in := request("GET", "/me", "", cookie), request("POST", "/login", credentials("flood@example.com"))
	n.forA(a.ctx, time.Second, 16, always(me)) // warms up
	var aloneRate, besideRate []float64
	var aloneP99, besideP99 []time.Duration
	var attackers load
	for range 5 {
		alone := n.forA(a.ctx, 2*time.Second, 16, always(me))
		ctx, cancel := context.WithTimeout(a.ctx, 2500*time.Millisecond)
		flooded := make(chan *load)
		go func() { flooded <- n.drive(ctx, 8, always(in)) }()
		time.Sleep(250 * time.Millisecond)
		beside := n.forA(a.ctx, 2*time.Second, 16, always(me))
		cancel()
		flood := <-flooded
		if !alone.only(200) || !beside.only(200) {
			return fmt.Errorf("GET /me = %s alone, %s beside the flood", alone.statuses(), beside.statuses())
		}
		aloneRate, aloneP99 = append(aloneRate, alone.rate()), append(aloneP99, alone.at(0.99))
		besideRate, besideP99 = append(besideRate, beside.rate()), append(besideP99, beside.at(0.99))
		attackers.took, attackers.elapsed = append(attackers.took, flood.took...), attackers.elapsed+flood.elapsed
	}
	share := median(besideRate) / median(aloneRate)
	times := float64(median(besideP99)) / float64(median(aloneP99))
	a.row(times <= 2, "GET /me beside eight who sign in: p99", "≤ 2 × alone", fmt.Sprintf("%.2f × (%s against %s)", times, ms(median(besideP99)), ms(median(aloneP99))))
	a.row(share >= 0.7, "GET /me beside eight who sign in: throughput", "≥ 70 % of alone", fmt.Sprintf("%.0f %% (%.0f/s against %.0f/s, beside %.0f sign-ins/s)", 100*share, median(besideRate), median(aloneRate), attackers.rate()))
	return n.alive()
}

// expired is how many sessions have run out before they are pruned.
const expired = 1_000_000

// pruning is what issue 3 asks for: a million rows that have run out are pruned
// beside people who sign in, without making them wait.
func pruning(a *trial) error {
	n, err := a.node(noThrottles...)
	if err != nil {
		return err
	}
	defer a.rest(n)
	if _, err := n.signUp("ann@example.com"); err != nil {
		return err
	}
	cookie, err := n.signUp("bob@example.com") // ann's sessions end each other
	if err != nil {
		return err
	}
	if err := a.expire(); err != nil {
		return err
	}
	in, me := request("POST", "/login", credentials("ann@example.com")), request("GET", "/me", "", cookie)
	measure := func(d time.Duration) (ins, mes *load) {
		other := make(chan *load)
		go func() { other <- n.forA(a.ctx, d, 2, always(me)) }()
		ins = n.forA(a.ctx, d, 2, always(in))
		return ins, <-other
	}
	measure(time.Second) // warms up
	insBefore, mesBefore := measure(10 * time.Second)

	pool, err := pgxpool.New(a.ctx, a.database)
	if err != nil {
		return err
	}
	defer pool.Close()
	store, err := fiberstore.OpenPostgres(a.ctx, pool, nil)
	if err != nil {
		return err
	}
	service := sessions.New(sessions.Config{Directory: store, Now: time.Now})
	type outcome struct {
		deleted int
		took    time.Duration
		err     error
	}
	pruned := make(chan outcome, 1)
	began := time.Now()
	go func() {
		deleted, err := service.Prune(a.ctx)
		pruned <- outcome{deleted, time.Since(began), err}
	}()
	insDuring, mesDuring := measure(10 * time.Second)
	left, err := a.number(`SELECT count(*) FROM user_sessions WHERE idle_end < $1`, time.Now().UnixMicro())
	if err != nil {
		return err
	}
	o := <-pruned
	if o.err != nil {
		return o.err
	}
	a.row(left > 0, "the measure was taken while rows were pruned", "some are left at its end", fmt.Sprint(left))
	a.row(o.deleted >= expired, fmt.Sprintf("%d sessions that have run out are pruned", expired), "all", fmt.Sprintf("%d in %s", o.deleted, o.took.Round(time.Millisecond)))
	compare := func(what string, before, during *load, status int) {
		times := float64(during.at(0.99)) / float64(before.at(0.99))
		a.row(before.only(status) && during.only(status) && times <= 2, what+" beside the pruning: p99", "≤ 2 × without",
			fmt.Sprintf("%.2f × (%s against %s; median %s against %s; %s)", times, ms(during.at(0.99)), ms(before.at(0.99)), ms(during.at(0.5)), ms(before.at(0.5)), during.statuses()))
	}
	compare("signing in", insBefore, insDuring, 200)
	compare("GET /me", mesBefore, mesDuring, 200)
	return n.alive()
}

// owners is how many people the expired sessions belong to.
const owners = 50_000

// expire fills in sessions that ran out yesterday: copies of a real one, with
// its owner (bytes 0 to 15 of the value, adapters/fiberstore) and the moment at
// which it ends unused (bytes 57 to 64) replaced.
func (a *trial) expire() error {
	yesterday := time.Now().Add(-24 * time.Hour)
	for _, statement := range []string{
		fmt.Sprintf(`INSERT INTO users SELECT (jsonb_populate_record(u, jsonb_build_object(
			'id', md5(n::text)::uuid, 'email', n || '@example.com', 'email_canonical', n || '@example.com'))).*
			FROM (SELECT users FROM users LIMIT 1) one (u), generate_series(1, %d) n`, owners),
		fmt.Sprintf(`INSERT INTO user_sessions (k, v, e)
			SELECT encode(sha256(n::text::bytea), 'hex'),
				overlay(overlay(s.v PLACING decode(md5((1 + n %% %d)::text), 'hex') FROM 1 FOR 16) PLACING int8send(%d::bigint) FROM 58 FOR 8), %d
			FROM (SELECT v FROM user_sessions LIMIT 1) s, generate_series(1, %d) n`, owners, yesterday.UnixMicro(), yesterday.Unix(), expired),
		`ANALYZE users`, `ANALYZE user_sessions`,
	} {
		if _, err := a.db.Exec(a.ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
	}
	return nil
}
