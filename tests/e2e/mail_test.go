package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/domain/uuid"
	"gatehouse/ports/portstest"
	"gatehouse/tests/pgtest"
	"gatehouse/tests/smtptest"
)

// mailPatience is how long mails may take that were claimed by a node which was
// killed: its claim has to run out first.
const mailPatience = 3 * time.Minute

// TestMailOutlivesEverything: the mail server is away, twenty people ask for a
// new password, the nodes are killed, and all is started again: twenty mails,
// each once, and every link works.
func TestMailOutlivesEverything(t *testing.T) {
	for name, nodes := range map[string]int{"sqlite": 1, "postgres": 2} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			url := "sqlite:g.db"
			if name == "postgres" {
				url = pgtest.Database(t)
			}
			away := smtptest.Start(t, smtptest.Options{})
			at := away.Addr()
			away.Stop()
			environ := []string{"GATEHOUSE_DATABASE_URL=" + url, "GATEHOUSE_MAIL_URL=smtp://" + at}
			start := func() (all []*process) {
				for range nodes {
					all = append(all, w.serve(environ...))
				}
				return all
			}

			const people = 20
			running, c := start(), w.client()
			for i := range people {
				p := running[i%nodes]
				c.want(p, 201, "POST", "/register", fmt.Sprintf(`{"email":"u%d@example.com","password":%q}`, i, w.password()))
				c.want(p, 202, "POST", "/password/forgot", fmt.Sprintf(`{"email":"u%d@example.com"}`, i))
			}
			for _, p := range running {
				p.kill()
			}

			server := smtptest.Start(t, smtptest.Options{Listen: at})
			running = start()
			took := time.After(mailPatience)
			for n := range people {
				select {
				case <-server.Taken():
				case <-took:
					t.Fatalf("%d mails came, want %d\n%s", n, people, running[0].said)
				}
			}
			tokens := w.readLinks(server)
			if len(tokens) != people {
				t.Errorf("mails came to %d people, want %d", len(tokens), people)
			}
			for _, token := range tokens {
				c.want(running[0], 204, "POST", "/password/reset", fmt.Sprintf(`{"token":%q,"newPassword":%q}`, token, w.password()))
				c.want(running[0], 410, "POST", "/password/reset", fmt.Sprintf(`{"token":%q,"newPassword":%q}`, token, w.password()))
			}
			for _, p := range running {
				if code := p.terminate(); code != 0 {
					t.Errorf("exit code %d, want 0\n%s", code, p.said)
				}
			}
			resets := 0
			for _, m := range server.Mails() {
				if read, err := portstest.ReadMail(m.Raw); err == nil && strings.Contains(read.Text, "#token=") {
					resets++
				}
			}
			if resets != people {
				t.Errorf("%d mails with links came in the end, want %d", resets, people)
			}
		})
	}
}

// readLinks gives the tokens in the mails that a server has taken, by whom they
// went to, and makes sure that each mail is one.
func (w *world) readLinks(server *smtptest.Server) map[string]string {
	w.Helper()
	tokens, seen := map[string]string{}, map[uuid.UUID]bool{}
	for _, raw := range server.Mails() {
		m, err := portstest.ReadMail(raw.Raw)
		if err != nil {
			w.Fatal(err)
		}
		if seen[m.ID] {
			w.Errorf("the mail %s came twice", m.ID)
		}
		seen[m.ID] = true
		_, token, has := strings.Cut(m.Text, "/password/reset#token=")
		if token, _, _ = strings.Cut(token, "\n"); has {
			tokens[m.To] = w.secret(token, "the token of a link")
		}
	}
	return tokens
}
