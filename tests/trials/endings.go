package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"gatehouse/domain/secret"
	"gatehouse/tests/overlay"
)

// How many sessions are ended in scenario 4, and how many of them at one time.
const (
	rounds  = 10_000
	atATime = 6
)

// endings is scenario 4: requests that have read a session and are about to write
// down that it was used meet its end, or its rotation, on two nodes. The row of the
// session is held until all of them wait for it, so that each round is the race.
func endings(a *trial) error {
	nodes, err := a.pair("GATEHOUSE_SESSION_RENEWAL_STEP=100ms", "GATEHOUSE_DATABASE_MAX_CONNECTIONS=20")
	if err != nil {
		return err
	}
	p, err := signUpMany(nodes[0], 1)
	if err != nil {
		return err
	}
	// To rotate takes the password; ten thousand hashes are not what is tried.
	salt := []byte("a pinch of salt!")
	hash := fmt.Sprintf("$argon2id$v=19$m=8,t=1,p=1$%s$%s", base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte(password), salt, 1, 8, 1, 32)))
	if _, err := a.db.Exec(a.ctx, `UPDATE users SET password_hash = $1`, hash); err != nil {
		return err
	}
	var callers []*caller
	for i := range 3 * atATime {
		callers = append(callers, &caller{n: nodes[i%2]})
		defer callers[i].close()
	}
	s := &struct{ alive, oldAlive, newDead, renewed, refused, odd atomic.Int64 }{}
	for done := 0; done < rounds; done += atATime {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		tokens, keys, err := a.copies(p.cookies[0])
		if err != nil {
			return err
		}
		lock, err := a.db.Begin(a.ctx)
		if err != nil {
			return err
		}
		if _, err := lock.Exec(a.ctx, `SELECT FROM user_sessions WHERE k = ANY ($1) FOR UPDATE`, keys); err != nil {
			return err
		}
		rotates := done/atATime%2 == 1
		fresh := make([]string, atATime)
		var all sync.WaitGroup
		for i, token := range tokens {
			for j := range 3 {
				all.Go(func() {
					raw := request("GET", "/me", "", token)
					switch {
					case j == 2 && rotates:
						raw = request("POST", "/me/reauthenticate", members("password", password), token)
					case j == 2:
						raw = request("POST", "/logout", "", token)
					}
					r, err := callers[3*i+j].send(raw)
					switch {
					case err == nil && j < 2 && r.status == 200:
						s.renewed.Add(1)
					case err == nil && r.status == 401:
						s.refused.Add(1)
					case err == nil && j == 2 && r.status < 300:
						fresh[i] = r.cookie("sid")
					default:
						s.odd.Add(1)
					}
				})
			}
		}
		time.Sleep(3 * time.Millisecond)
		if err := lock.Commit(a.ctx); err != nil {
			return err
		}
		all.Wait()
		each(atATime, func(i int) {
			for j := range 2 {
				r, err := callers[3*i+j].send(request("GET", "/me", "", tokens[i]))
				switch {
				case err != nil || r.status != 200 && r.status != 401:
					s.odd.Add(1)
				case r.status == 200 && rotates:
					s.oldAlive.Add(1)
				case r.status == 200:
					s.alive.Add(1)
				}
				if rotates && fresh[i] != "" {
					if r, err := callers[3*i+j].send(request("GET", "/me", "", fresh[i])); err != nil || r.status != 200 {
						s.newDead.Add(1)
					}
				}
			}
		})
	}
	a.row(s.alive.Load() == 0, fmt.Sprintf("%d signed out under slow requests", rounds/2), "0 alive", fmt.Sprint(s.alive.Load()))
	a.row(s.oldAlive.Load() == 0 && s.newDead.Load() == 0, fmt.Sprintf("%d rotated under slow requests", rounds/2), "0 old tokens alive, 0 new ones dead", fmt.Sprintf("%d, %d", s.oldAlive.Load(), s.newDead.Load()))
	a.row(s.renewed.Load() > 0 && s.refused.Load() > 0 && s.odd.Load() == 0, "both came first, at times", "> 0, > 0; no other answer", fmt.Sprintf("%d written down before the end, %d refused after it; %d other answers", s.renewed.Load(), s.refused.Load(), s.odd.Load()))
	return errors.Join(nodes[0].alive(), nodes[1].alive())
}

// copies makes sessions like the one of a cookie, last used an hour ago
// (adapters/fiberstore has the layout), and gives their cookies and keys.
func (a *trial) copies(cookie string) (cookies, keys []string, err error) {
	_, text, _ := strings.Cut(cookie, "sid=")
	one, ok := secret.ParseToken(text)
	if !ok {
		return nil, nil, errors.New("the cookie holds no token")
	}
	for range atATime {
		var random [secret.TokenBytes]byte
		rand.Read(random[:])
		token := secret.NewToken(random)
		cookies, keys = append(cookies, "Cookie: sid="+token.Reveal()), append(keys, token.Key().Hex())
	}
	_, err = a.db.Exec(a.ctx, `INSERT INTO user_sessions (k, v, e)
		SELECT made.k, overlay(overlay(s.v PLACING decode(md5(made.k), 'hex') FROM 18 FOR 16) PLACING int8send($3::bigint) FROM 50 FOR 8), s.e
		FROM unnest($1::text[]) made (k), user_sessions s WHERE s.k = $2`, keys, one.Key().Hex(), time.Now().Add(-time.Hour).UnixMicro())
	return cookies, keys, err
}

// operate runs another command of the program over the trial's database.
func (a *trial) operate(args ...string) error {
	cmd := exec.CommandContext(a.ctx, a.program, args...)
	cmd.Env = []string{"HOME=" + a.folder, "GATEHOUSE_DATABASE_URL=" + a.database}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("gatehouse %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

const everybodySees = `{"role":"user","resource":"product","action":"read","condition":"any","effect":"allow"}`

// court is an admin, somebody with a draft, and somebody who may see it or not.
type court struct {
	root, ann string // cookies
	annEmail  string
	annID     string
	draft     string // path
}

func (a *trial) court(n *node) (c court, err error) {
	p, err := signUpMany(n, 2)
	if err != nil {
		return c, err
	}
	c = court{root: p.cookies[0], ann: p.cookies[1], annEmail: p.emails[1]}
	if err := a.operate("user", "set-roles", p.emails[0], "admin,user"); err != nil {
		return c, err
	}
	one := &caller{n: n}
	defer one.close()
	me, err := one.send(request("GET", "/me", "", c.ann))
	if err != nil {
		return c, err
	}
	var who struct{ ID string }
	if err := json.Unmarshal(me.body, &who); err != nil {
		return c, err
	}
	c.annID = who.ID
	made, err := one.send(request("POST", "/products", `{"name":"draft","price":{"amount":1,"currency":"KRW"}}`, c.root))
	if err != nil || made.status != 201 {
		return c, fmt.Errorf("POST /products = %d %s, %w", made.status, made.body, orNone(err))
	}
	c.draft = made.get("Location")
	return c, nil
}

// must sends a request that has to be answered with success.
func (c *caller) must(method, path, body string, headers ...string) (reply, error) {
	r, err := c.send(request(method, path, body, headers...))
	if err != nil || r.status >= 300 {
		return r, fmt.Errorf("%s %s = %d %s, %w", method, path, r.status, r.body, orNone(err))
	}
	return r, nil
}

// revocations is scenario 14: a right is given and taken away on one node, a thousand
// times, while both are asked without pause.
func revocations(a *trial) error {
	nodes, err := a.pair()
	if err != nil {
		return err
	}
	c, err := a.court(nodes[0])
	if err != nil {
		return err
	}
	const times = 1000
	var term atomic.Int64 // odd while the right is surely taken away
	var stale, decided, odd atomic.Int64
	term.Store(1)
	stop := make(chan struct{})
	var askers sync.WaitGroup
	for i := range 4 {
		askers.Go(func() {
			one := &caller{n: nodes[i%2]}
			defer one.close()
			for {
				select {
				case <-stop:
					return
				default:
				}
				before := term.Load()
				r, err := one.send(request("GET", c.draft, "", c.ann))
				decided.Add(1)
				switch {
				case err != nil || r.status != 200 && r.status != 404:
					odd.Add(1)
				case r.status == 200 && before%2 == 1 && term.Load() == before:
					stale.Add(1)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	here, there := &caller{n: nodes[0]}, &caller{n: nodes[1]}
	defer here.close()
	defer there.close()
	round := func() error {
		term.Add(1)
		row, err := here.must("POST", "/admin/policies", everybodySees, c.root)
		if err != nil {
			return err
		}
		if _, err := there.must("GET", c.draft, "", c.ann); err != nil { // given, and at once
			return err
		}
		if _, err := here.must("DELETE", row.get("Location"), "", c.root); err != nil {
			return err
		}
		term.Add(1)
		for _, n := range []*caller{there, here} {
			r, err := n.send(request("GET", c.draft, "", c.ann))
			if err != nil {
				return err
			}
			decided.Add(1)
			if r.status != 404 {
				stale.Add(1)
			}
		}
		return nil
	}
	for i := 0; i < times && err == nil; i++ {
		err = round()
	}
	close(stop)
	askers.Wait()
	if err != nil {
		return err
	}
	a.row(stale.Load() == 0 && odd.Load() == 0, fmt.Sprintf("%d revocations beside decisions, on two nodes", times), "no stale allow", fmt.Sprintf("%d of %d decisions; %d other answers", stale.Load(), decided.Load(), odd.Load()))
	if _, err := exec.LookPath("gcc"); err != nil {
		a.row(true, "revoke, reload and decide in one process, under -race", "no stale allow, no race", "not run: there is no C compiler")
		return errors.Join(nodes[0].alive(), nodes[1].alive())
	}
	cmd := exec.CommandContext(a.ctx, "go", "test", "-race", "-count=1", "-run", "^TestNoStaleAllow$", "./adapters/casbinauthz")
	cmd.Dir = a.root
	out, err := cmd.CombinedOutput()
	a.row(err == nil && strings.Contains(string(out), "ok"), "revoke, reload and decide in one process, under -race", "no stale allow, no race", strings.Join(strings.Fields(string(out)), " "))
	return errors.Join(nodes[0].alive(), nodes[1].alive())
}

// skewed gives a program whose clock is off by TRIAL_SKEW.
func (a *trial) skewed() (string, error) {
	const path = "adapters/system/system.go"
	text, err := overlay.Changed(a.root, path,
		"func Now() time.Time { return time.Now() }", "func Now() time.Time { return time.Now().Add(skew) }\n\nvar skew, _ = time.ParseDuration(os.Getenv(\"TRIAL_SKEW\"))",
		"	\"sync\"\n", "	\"os\"\n	\"sync\"\n")
	if err != nil {
		return "", err
	}
	return a.build(a.ctx, "skewed", map[string]string{path: text})
}

// elsewhere is scenario 5: what ends a session or takes a right away on one node is
// obeyed by the other at the next request, and nothing else ends, with clocks that
// are right and with clocks that are two minutes off, one ahead and one late.
func elsewhere(a *trial) error {
	skewed, err := a.skewed()
	if err != nil {
		return err
	}
	for _, skew := range []string{"0s", "120s"} {
		a.program = skewed
		settings := append([]string{"GATEHOUSE_SESSION_MAX=0"}, noThrottles...)
		ahead, err := a.node(append(settings, "TRIAL_SKEW="+skew)...)
		if err != nil {
			return err
		}
		late, err := a.node(append(settings, "TRIAL_SKEW=-"+skew)...)
		if err != nil {
			return err
		}
		if err := a.endedElsewhere(skew, ahead, late); err != nil {
			return err
		}
		a.rest(ahead)
		a.rest(late)
		if _, err := a.db.Exec(a.ctx, `DELETE FROM users`); err != nil {
			return err
		}
	}
	return a.chain()
}

func (a *trial) endedElsewhere(skew string, nodes ...*node) error {
	const times = 10
	c, err := a.court(nodes[0])
	if err != nil {
		return err
	}
	stale, gone, others, changes := 0, 0, 0, 0
	for i := range 2 * times {
		here, there := &caller{n: nodes[i%2]}, &caller{n: nodes[(i+1)%2]}
		status := func(n *caller, path, cookie string) int {
			r, err := n.send(request("GET", path, "", cookie))
			if err != nil {
				return 0
			}
			return r.status
		}
		// obeyed asks the other node first, and at once.
		obeyed := func(path, cookie string, want int) {
			changes++
			for _, n := range []*caller{there, here} {
				if got := status(n, path, cookie); got != want {
					stale++
				}
			}
		}
		lives := func(cookies ...string) {
			for _, cookie := range cookies {
				others++
				if status(there, "/me", cookie) != 200 || status(here, "/me", cookie) != 200 {
					gone++
				}
			}
		}
		signIn := func() (string, error) {
			r, err := here.must("POST", "/login", credentials(c.annEmail))
			return r.cookie("sid"), err
		}
		act := func(method, path, body, cookie string) (reply, error) { return here.must(method, path, body, cookie) }

		first, err1 := signIn()
		second, err2 := signIn()
		lives(first, second, c.root)
		_, err3 := act("POST", "/logout", "", first)
		obeyed("/me", first, 401)
		lives(second)
		third, err4 := signIn()
		_, err5 := act("DELETE", "/me/sessions", "", second)
		obeyed("/me", third, 401)
		lives(second, c.root)
		changed, err6 := act("PUT", "/me/password", members("currentPassword", password, "newPassword", password+"!"), second)
		obeyed("/me", second, 401)
		second = changed.cookie("sid")
		back, err7 := act("PUT", "/me/password", members("currentPassword", password+"!", "newPassword", password), second)
		obeyed("/me", second, 401)
		second = back.cookie("sid")
		lives(second)
		_, err8 := act("PATCH", "/admin/users/"+c.annID, `{"roles":["moderator"]}`, c.root)
		obeyed(c.draft, second, 200)
		_, err9 := act("PATCH", "/admin/users/"+c.annID, `{"roles":["user"]}`, c.root)
		obeyed(c.draft, second, 404)
		row, err10 := act("POST", "/admin/policies", everybodySees, c.root)
		obeyed(c.draft, second, 200)
		_, err11 := act("DELETE", row.get("Location"), "", c.root)
		obeyed(c.draft, second, 404)
		_, err12 := act("PATCH", "/admin/users/"+c.annID, `{"status":"disabled"}`, c.root)
		obeyed("/me", second, 401)
		_, err13 := act("PATCH", "/admin/users/"+c.annID, `{"status":"active"}`, c.root)
		obeyed("/me", second, 401) // that brings none back
		lives(c.root)
		here.close()
		there.close()
		if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12, err13); err != nil {
			return err
		}
	}
	what := "clocks that agree"
	if skew != "0s" {
		what = "clocks off by +" + skew + " and −" + skew
	}
	a.row(stale == 0, fmt.Sprintf("%d changes on one node, with %s", changes, what), "obeyed at the next request", fmt.Sprintf("%d not", stale))
	a.row(gone == 0, "sessions beside these", "live on", fmt.Sprintf("%d of %d looks found one gone", gone, others))
	return nil
}

// said is all that a node has said.
func (n *node) said() string {
	text, _ := os.ReadFile(n.log) // "" tells enough
	return string(text)
}
