package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// tries is how often each kind of failure is tried.
const tries = 500

// evenAnswers is scenario 8: the answers to an unknown address, a wrong password
// and a disabled account are the same to the letter, and take as long.
func evenAnswers(a *trial) error {
	n, err := a.node(noThrottles...)
	if err != nil {
		return err
	}
	defer a.rest(n)
	for _, email := range []string{"ann@example.com", "out@example.com"} {
		if _, err := n.signUp(email); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(a.ctx, a.program, "user", "disable", "out@example.com")
	cmd.Env = []string{"HOME=" + a.folder, "GATEHOUSE_DATABASE_URL=" + a.database}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("user disable: %w: %s", err, out)
	}
	wrong := strings.Replace(credentials("ann@example.com"), password, "a short and winding road", 1)
	err = a.even(n, "signing in", 401, "/login", map[string]string{
		"unknown":  credentials("nix@example.com"),
		"wrong":    wrong,
		"disabled": credentials("out@example.com"),
	})
	if err != nil {
		return err
	}
	return a.even(n, "forgetting a password", 202, "/password/forgot", map[string]string{
		"unknown":  `{"email":"nix@example.com"}`,
		"known":    `{"email":"ann@example.com"}`,
		"disabled": `{"email":"out@example.com"}`,
	})
}

// even asks in turn, in an order that changes, and compares the answers and the
// medians of what they took.
func (a *trial) even(n *node, what string, status int, path string, bodies map[string]string) error {
	w, err := n.dial()
	if err != nil {
		return err
	}
	defer w.close()
	var names []string
	for name := range bodies {
		names = append(names, name)
	}
	slices.Sort(names)
	took := map[string][]time.Duration{}
	var first reply
	same := true
	for i := range tries {
		for j := range names {
			name := names[(i+j)%len(names)]
			r, err := w.send("POST", path, bodies[name])
			if err != nil {
				return err
			}
			if first.status == 0 {
				first = r
			}
			if r.status != status || !bytes.Equal(plain(r), plain(first)) {
				same = false
			}
			took[name] = append(took[name], r.took)
		}
	}
	var medians []string
	low, high := math.Inf(1), 0.0
	for _, name := range names {
		m := median(took[name])
		low, high = min(low, float64(m)), max(high, float64(m))
		medians = append(medians, name+" "+ms(m))
	}
	gap := 100 * (high - low) / low
	a.row(same, what+": status, headers and body", "the same", fmt.Sprintf("%d, %d tries each", first.status, tries))
	a.row(gap <= 5, what+": the medians", "within 5 %", fmt.Sprintf("%.2f %% (%s)", gap, strings.Join(medians, ", ")))
	return n.alive()
}

// plain is an answer without what differs between any two: the request's id and
// the hour.
func plain(r reply) []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(r.header) {
		if !bytes.HasPrefix(line, []byte("X-Request-Id:")) && !bytes.HasPrefix(line, []byte("Date:")) {
			b.Write(line)
		}
	}
	var members map[string]any
	if json.Unmarshal(r.body, &members) == nil {
		delete(members, "requestId")
		text, _ := json.Marshal(members) // of what was just read
		b.Write(text)
	} else {
		b.Write(r.body)
	}
	return b.Bytes()
}
