package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// lookAlikes is scenario 20: an address that looks like somebody's, or is read
// as the same by some mail server, makes no second account, and no mail goes to
// it.
func lookAlikes(a *trial) error {
	n, err := a.node(noThrottles...)
	if err != nil {
		return err
	}
	defer a.rest(n)
	w, err := n.dial()
	if err != nil {
		return err
	}
	defer w.close()
	register := func(email string) (int, error) {
		r, err := w.send("POST", "/register", credentials(email))
		return r.status, err
	}
	// Of each row the first is the address that is there. One that is none at
	// all is refused as such (422).
	rows := [][]string{
		{"kate.smith@example.com", "KATE.SMITH@EXAMPLE.COM", "Kate.Smith@Example.Com", " kate.smith@example.com ", "kate.smith@example.com\t",
			"\u212aate.smith@example.com", "kate.\u017fmith@example.com", "ｋａｔｅ.smith@example.com", "kate.smith@ｅｘａｍｐｌｅ.com", "kate.smith@example。com", "kate.smith@example．com", "kate.smith@example｡com",
			"kate\u200b.smith@example.com", "kate\u00ad.smith@example.com", "\u202ekate.smith@example.com", "kate.smith@exa\u200bmple.com", "kate.smith@exa\u00admple.com", "kate.smith@exam\u2060ple.com", "kate.smith\ufe0f@example.com",
			"kate.smith@example.com.", "kate.smith@EXAMPLE\u212aOM", "kate.smith@ex\u0430mple.com\x00", "\"kate.smith\"@example.com", "kate.smith(x)@example.com", "<kate.smith@example.com>", "kate.smith@example.com,bob@example.com", "kate.smith@example.com\r\nBcc: bob@example.com", "kate.smith@[127.0.0.1]", "kate..smith@example.com", ".kate.smith@example.com"},
		{"mail@xn--mnchen-3ya.example", "mail@münchen.example", "mail@MÜNCHEN.example", "mail@mu\u0308nchen.example", "mail@XN--MNCHEN-3YA.example", "MAIL@xn--mnchen-3ya.EXAMPLE", "mail@ｍünchen.example"},
		{"mail@xn--hxt814e.example", "mail@网店.example", "mail@网\u200b店.example"},
		{"mail@xn--o39a40g.example", "mail@가나.example", "mail@\u1100\u1161\u1102\u1161.example"}, // Hangul composed and not
	}
	var taken, strange int
	var made []string
	for _, row := range rows {
		if status, err := register(row[0]); err != nil || status != 201 {
			return fmt.Errorf("registering %q = %d, %w", row[0], status, orNone(err))
		}
		for _, email := range row[1:] {
			status, err := register(email)
			switch {
			case err != nil:
				return err
			case status == 409:
				taken++
			case status == 422:
				strange++
			default:
				made = append(made, fmt.Sprintf("%q (%d)", email, status))
			}
		}
	}
	accounts, err := a.number(`SELECT count(*) FROM users`)
	if err != nil {
		return err
	}
	measured := fmt.Sprintf("%d refused as taken, %d as no address, %d accounts", taken, strange, accounts)
	if len(made) > 0 {
		measured += ", and not " + strings.Join(made, ", ")
	}
	a.row(len(made) == 0 && accounts == int64(len(rows)), fmt.Sprintf("%d addresses that look like %d others", taken+strange+len(made), len(rows)), fmt.Sprintf("409 or 422, %d accounts", len(rows)), measured)

	// Whoever asks for a link by a spelling of their own has it sent to the
	// address that is stored.
	asked := 0
	for _, row := range rows {
		for _, email := range row[1:] {
			r, err := w.send("POST", "/password/forgot", members("email", email))
			if err != nil {
				return err
			}
			if r.status == 202 {
				asked++
			}
		}
	}
	to, err := a.recipients(func() bool {
		waiting, err := a.number(`SELECT count(*) FROM outbox`)
		return err == nil && waiting == 0
	})
	if err != nil {
		return err
	}
	var stored []string
	for _, row := range rows {
		stored = append(stored, row[0])
	}
	good := len(to) > 0 && !slices.ContainsFunc(to, func(s string) bool { return !slices.Contains(stored, s) })
	a.row(good, fmt.Sprintf("links asked for by %d such spellings", asked), "mail to the stored addresses alone", fmt.Sprintf("%d mails, to %s", len(to), strings.Join(slices.Compact(slices.Sorted(slices.Values(to))), ", ")))
	return n.alive()
}

// recipients reads the To of every mail, once done says that all are sent.
func (a *trial) recipients(done func() bool) ([]string, error) {
	for range 300 {
		if done() {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	files, err := filepath.Glob(filepath.Join(a.folder, a.name+"-mail", "*.eml"))
	if err != nil {
		return nil, err
	}
	var to []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "To: "); ok {
				to = append(to, strings.Trim(strings.TrimSpace(rest), "<>"))
			}
		}
	}
	return to, nil
}

// otherSites is scenario 21: every combination of method, Sec-Fetch-Site, Origin
// and content type, beside what the contract says of it.
func otherSites(a *trial) error {
	n, err := a.node(append([]string{"GATEHOUSE_TRUSTED_ORIGINS=https://shop.example.com"}, noThrottles...)...)
	if err != nil {
		return err
	}
	defer a.rest(n)
	cookie, err := n.signUp("ann@example.com")
	if err != nil {
		return err
	}
	w, err := n.dial()
	if err != nil {
		return err
	}
	defer func() { w.close() }()
	const host = "localhost"
	sites := []string{"", "same-origin", "none", "same-site", "cross-site", "SAME-ORIGIN", "nonsense", "same-origin, cross-site"}
	origins := []string{"", "http://localhost", "https://localhost", "HTTP://LOCALHOST", "http://localhost:81", "null", "https://evil.example", "https://shop.example.com", "https://SHOP.example.com", "https://shop.example.com.evil.example", "http://shop.example.com", "http://localhost.evil.example", "file://localhost", "nonsense"}
	kinds := []string{"", "application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"}
	wrong, tried := 0, 0
	example := ""
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"} {
		for _, site := range sites {
			for _, origin := range origins {
				for _, kind := range kinds {
					headers := []string{cookie}
					if site != "" {
						headers = append(headers, "Sec-Fetch-Site: "+site)
					}
					if origin != "" {
						headers = append(headers, "Origin: "+origin)
					}
					body := ""
					if kind != "" {
						headers, body = append(headers, "Content-Type: "+kind), `{"nonsense":1}`
					}
					raw := request(method, "/me", body, headers...)
					r, err := w.exchange(raw)
					if err != nil {
						return err
					}
					if r.closes() {
						w.close()
						if w, err = n.dial(); err != nil {
							return err
						}
					}
					tried++
					safe := method == "GET" || method == "HEAD" || method == "OPTIONS"
					refused := r.status == 403
					if refused == (safe || passes(site, origin, host)) || r.status >= 500 || r.status == 0 {
						wrong++
						example = fmt.Sprintf(", such as %s with Sec-Fetch-Site %q and Origin %q: %d %s", method, site, origin, r.status, r.body)
					}
				}
			}
		}
	}
	a.row(wrong == 0, fmt.Sprintf("%d requests from other sites", tried), "the gate's table", fmt.Sprintf("%d answered otherwise%s", wrong, example))
	return readingChangesNothing(a, n, cookie)
}

// passes is the contract's rule, written down a second time.
func passes(site, origin, host string) bool {
	trusted := strings.EqualFold(origin, "https://shop.example.com")
	switch site {
	case "same-origin", "none":
		return true
	case "":
		same := strings.EqualFold(origin, "http://"+host) || strings.EqualFold(origin, "https://"+host)
		return origin == "" || same || trusted
	}
	return trusted
}

// readingChangesNothing asks for every path by GET, HEAD and OPTIONS, with
// queries that look like writes, and compares the database before and after.
func readingChangesNothing(a *trial, n *node, cookie string) error {
	before, err := a.content()
	if err != nil {
		return err
	}
	tried := 0
	for _, r := range append(routes("/products/01890000-0000-7000-8000-000000000000"), route{"", "/logout", ""}, route{"", "/me/sessions", ""}, route{"", "/products", ""}, route{"", "/email/verification", ""}, route{"", "/me/totp", ""}) {
		for _, method := range []string{"GET", "OPTIONS"} {
			for _, query := range []string{"", "?email=bob@example.com&password=a+short+and+winding+road&_method=DELETE&method=POST"} {
				for _, header := range []string{"X-A: b", "X-HTTP-Method-Override: DELETE", "X-Method-Override: POST", "X-HTTP-Method: PUT"} {
					w, err := n.dial()
					if err != nil {
						return err
					}
					_, err = w.send(method, r.path+query, r.body, cookie, header)
					w.close()
					if err != nil {
						return err
					}
					tried++
				}
			}
		}
	}
	after, err := a.content()
	if err != nil {
		return err
	}
	a.row(before == after, fmt.Sprintf("%d times GET and OPTIONS, dressed as writes", tried), "no row changes", map[bool]string{true: "none did", false: "the content differs"}[before == after])
	return nil
}

// content is a hash over all rows.
func (a *trial) content() (string, error) {
	sum := sha256.New()
	for _, table := range []string{"users", "user_sessions", "past_sessions", "products", "policies", "tickets", "outbox", "second_factors", "throttles", "audit_log", "audit_heads"} {
		var text *string
		if err := a.db.QueryRow(a.ctx, fmt.Sprintf(`SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM %s t`, table)).Scan(&text); err != nil {
			return "", err
		}
		if text != nil {
			fmt.Fprint(sum, table, *text)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
