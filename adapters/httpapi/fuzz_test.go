package httpapi_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"gatehouse/adapters/httpapi"
	"gatehouse/application/products"
	"gatehouse/domain/audit"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

// FuzzBody: whatever comes in, the reader answers with a change, 400 or 422; it
// takes nothing that encoding/json does not take, and its problem is JSON.
func FuzzBody(f *testing.F) {
	for _, s := range []string{`{}`, `{"name":"x","price":{"amount":1,"currency":"KRW"}}`, `{"stock":1e2}`, `{"a":1,"a":2}`, `[]`, `{"name":"\ud800"}`, `{"flag":true}`, "{\"\x00\":null}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		change, err := httpapi.ReadPatch(body)
		if err == nil {
			if !json.Valid(body) || !utf8.Valid(body) {
				t.Errorf("%q was taken as %+v", body, change)
			}
			for _, s := range []*string{change.Name, change.Description, change.Currency, change.Status} {
				if s != nil && (!utf8.ValidString(*s) || strings.ContainsRune(*s, 0)) {
					t.Errorf("%q gives %q", body, *s)
				}
			}
			return
		}
		status, problem := httpapi.Problem(err)
		if status != 400 && status != 422 || !json.Valid(problem) {
			t.Errorf("%q = %d %s", body, status, problem)
		}
	})
}

// FuzzBodies: the small bodies of signing in and of accounts are read as strictly
// as any; what is taken was there, is text and needs no other member.
func FuzzBodies(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"code":"123456"}`, `{"recoveryCode":"a"}`, `{"code":"1","recoveryCode":"2"}`, `{"code":null}`, `{"code":123456}`, `{"token":"t","newPassword":"p"}`,
		`{"token":"t"}`, `{"email":"a@b.example","currentPassword":"p"}`, `{"email":"a@b.example"}`, `{"password":"p"}`, `{"password":"\u0000"}`, `{"Password":"p"}`, `{"token":"t","token":"u"}`, `[]`, `"x"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		texts, errs := httpapi.ReadBodies(body)
		for route, err := range errs {
			if err != nil {
				if status, problem := httpapi.Problem(err); status != 400 && status != 422 || !json.Valid(problem) {
					t.Errorf("%s %q = %d %s", route, body, status, problem)
				}
				continue
			}
			var members map[string]string
			if err := json.Unmarshal(body, &members); err != nil {
				t.Fatalf("%s took %q", route, body)
			}
			var got []string
			for _, text := range texts[route] {
				if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
					t.Errorf("%s %q gives %q", route, body, text)
				}
				if text != "" {
					got = append(got, text)
				}
			}
			want := slices.DeleteFunc(slices.Collect(maps.Values(members)), func(s string) bool { return s == "" })
			if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				t.Errorf("%s %q gives %q", route, body, got)
			}
		}
	})
}

// pieces gives a body in pieces of so many bytes, and asks for no more room at
// any time than twice what it has given.
type pieces struct {
	t     *testing.T
	rest  []byte
	size  int
	given int
	end   error // with the last piece, or after it
	after bool
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(b) == 0 || len(b) > max(p.given, 512) {
		p.t.Errorf("after %d bytes there is room for %d more", p.given, len(b))
	}
	n := copy(b[:min(p.size, len(b))], p.rest)
	p.rest, p.given = p.rest[n:], p.given+n
	if len(p.rest) == 0 && !(p.after && n > 0) {
		return n, p.end
	}
	return n, nil
}

// FuzzStream: in whatever pieces a body arrives, it is read whole or not at all,
// and never over the limit.
func FuzzStream(f *testing.F) {
	f.Add([]byte(`{}`), 2, 100, 1, true, false)
	f.Add([]byte(`{}`), 3, 100, 1, true, false)
	f.Add([]byte(`{}`), -1, 2, 7, false, false)
	f.Add([]byte(`{}`), -1, 1, 1, false, true)
	f.Add([]byte(``), 0, 0, 1, false, false)
	f.Add([]byte(strings.Repeat("x", 5000)), 5000, 5000, 700, true, false)
	f.Add([]byte(strings.Repeat("x", 5000)), -1, 4999, 700, true, false)
	f.Fuzz(func(t *testing.T, body []byte, announced, limit, size int, after, broken bool) {
		if announced < 0 {
			announced = -1
		}
		if limit < 0 || limit > 1<<20 || size < 1 || announced > limit {
			return
		}
		sent := body
		if announced >= 0 { // fasthttp gives no byte beyond it
			sent = body[:min(len(body), announced)]
		}
		end := io.EOF
		if broken {
			end = os.ErrDeadlineExceeded
		}
		got, err := httpapi.ReadStream(&pieces{t: t, rest: sent, size: size, end: end, after: after}, announced, limit)
		switch {
		case err == nil && (!bytes.Equal(got, sent) || len(got) > limit || announced >= 0 && len(got) != announced):
			t.Errorf("%d bytes, announced %d, limit %d: read %d", len(sent), announced, limit, len(got))
		case err == nil && got == nil:
			t.Error("a body that was read is nil")
		case err != nil && !broken && len(sent) <= limit && (announced < 0 || len(sent) == announced):
			t.Errorf("%d bytes, announced %d, limit %d: %v", len(sent), announced, limit, err)
		case err == nil && broken && announced < 0:
			t.Errorf("%d bytes of a stream that broke are a body", len(sent))
		}
	})
}

// FuzzLanguage: whatever a browser sends, mail has a language, and the same one
// for the same header.
func FuzzLanguage(f *testing.F) {
	for _, s := range []string{"", "ko", "ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", "*", "ko;q=0", "en;q=0.1,ko;q=0.2", "\xff", strings.Repeat("a-", 300), "ko;q=x", ",,,", "x-ko", "ko-u-ca-dangi"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got := httpapi.ReadLanguage(header)
		if got != "en" && got != "ko" || got != httpapi.ReadLanguage(header) {
			t.Errorf("Accept-Language %q gives %q", header, got)
		}
		if got == "ko" && (!strings.Contains(strings.ToLower(header), "ko") || len(header) > 512) {
			t.Errorf("Accept-Language %q gives Korean", header)
		}
	})
}

// FuzzForwarded: what is taken for an address is one in full.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"", "198.51.100.1", "198.51.100.1:80", "[2001:db8::7]:1", "::ffff:198.51.100.1", "fe80::1%eth0", "1.2.3", "unknown", "_hidden", "01.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if addr, ok := httpapi.ParseHop(s); ok != addr.IsValid() || ok && addr.Is4In6() {
			t.Errorf("%q gives %v, %v", s, addr, ok)
		}
	})
}

// FuzzHeaders: the reader of raw headers finds the cookies that net/http finds,
// and no request framed in two ways is sound.
func FuzzHeaders(f *testing.F) {
	for _, s := range []string{"Host: a\r\nCookie: sid=x; a=b\r\n\r\n", "Cookie: sid=x;sid=y\r\nCookie: sid=z\r\n", "Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n", "cookie:sid=\r\n", "a\n b:c\n",
		"Host: a\r\nCookie: device=x; sid=y\r\n", "Cookie: device=x;device=y\r\n", "Cookie: device=" + strings.Repeat("d", 257) + "\r\n", "Cookie: device=\x00\xff\r\n", "Cookie:device=0;device"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		sound, cookies, token, device := httpapi.Open(block)
		lower := bytes.ToLower(block)
		count := func(name string) int {
			n := 0
			for line := range bytes.Lines(lower) {
				if bytes.HasPrefix(line, []byte(name+":")) {
					n++
				}
			}
			return n
		}
		if sound && (count("host") != 1 || count("content-length")+count("transfer-encoding") > 1) {
			t.Errorf("%q is sound", block)
		}
		if cookies > 0 && count("cookie") == 0 || cookies == 0 && token != "" {
			t.Errorf("%q has %d cookies, token %q", block, cookies, token)
		}
		header := http.Header{}
		for line := range bytes.Lines(block) {
			if name, value, ok := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(":")); ok && strings.EqualFold(string(name), "cookie") {
				header.Add("Cookie", string(value))
			}
		}
		req := http.Request{Header: header}
		known := func(name string) (n int) {
			for _, c := range req.CookiesNamed(name) {
				if c.Value != "" { // a bare "sid" is a value without a name (RFC 6265bis section 5.6)
					n++
				}
			}
			return n
		}
		if n := known("sid"); n > cookies {
			t.Errorf("%q: net/http finds %d cookies, we %d", block, n, cookies)
		}
		if device != "" && (!bytes.Contains(block, []byte("device")) || !bytes.Contains(block, []byte(device)) || len(device) > 256 || known("device") > 1) {
			t.Errorf("%q shows the device %q", block, device)
		}
	})
}

// FuzzCursor: what is not the spelling of a cursor for the query is refused,
// and what is taken is spelt in one way only.
func FuzzCursor(f *testing.F) {
	at := product.Position{ID: product.ID{UUID: uuid.UUID{1, 2, 3}}, CreatedAt: time.UnixMicro(1e15).UTC(), Name: "名前", Amount: 12}
	for _, s := range product.Sorts() {
		f.Add(s.String(), "q", httpapi.EncodeCursor(products.Query{Sort: s, Text: "q"}, user.ID{}, at))
	}
	f.Add("", "", "AAAA")
	f.Fuzz(func(t *testing.T, sort, text, cursor string) {
		s, ok := product.ParseSort(sort)
		if !ok && sort != "" {
			return
		}
		q := products.Query{Sort: s, Text: text}
		p, ok := httpapi.DecodeCursor(q, user.ID{}, cursor)
		if ok && httpapi.EncodeCursor(q, user.ID{}, p) != cursor {
			t.Errorf("cursor %q has another spelling", cursor)
		}
		if ok && (!utf8.ValidString(p.Name) || p.Amount < 0 || p.Amount > product.MaxAmount || p.CreatedAt.Year() > 9999) {
			t.Errorf("cursor %q gives %+v", cursor, p)
		}
		own := httpapi.EncodeCursor(q, user.ID{}, at)
		if back, ok := httpapi.DecodeCursor(q, user.ID{}, own); !ok || back.ID != at.ID {
			t.Errorf("a cursor for %q does not come back", text)
		}
		if _, ok := httpapi.DecodeCursor(products.Query{Sort: s, Text: text + "x"}, user.ID{}, own); ok {
			t.Error("a cursor counts for another query")
		}
	})
}

// FuzzIfMatch: only a list of entity tags, or *, is read as one.
func FuzzIfMatch(f *testing.F) {
	for _, s := range []string{`"1"`, `W/"1", "2"`, `*`, `"a,b"`, `"`, `,`, `"1""2"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		all, tags, ok := httpapi.ParseCondition(s)
		if !ok {
			return
		}
		if all != (strings.Trim(s, " \t") == "*") || all == (len(tags) > 0) {
			t.Errorf("%q = any %v, tags %q", s, all, tags)
		}
		again, same, ok := httpapi.ParseCondition(strings.Join(tags, " , "))
		if !all && (!ok || again || strings.Join(same, "\n") != strings.Join(tags, "\n")) {
			t.Errorf("%q gives %q, which gives %q", s, tags, same)
		}
		for _, tag := range tags {
			if !strings.Contains(s, tag) || !strings.HasSuffix(tag, `"`) {
				t.Errorf("%q gives the tag %q", s, tag)
			}
		}
	})
}

// FuzzUserChange: whatever comes in, what is taken are role words and a status,
// and what is refused is a problem with pointers.
func FuzzUserChange(f *testing.F) {
	for _, s := range []string{`{}`, `{"roles":["admin","x-1"],"status":"disabled"}`, `{"roles":[]}`, `{"roles":[1,null,"A","\u0000"]}`, `{"roles":null}`, `{"status":"Active"}`, `{"roles":[["a"]]}`, `[]`, `{"roles":["a"],"roles":["b"]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c := httpapi.ReadUserChange(body)
		if c.Unread != nil {
			if status, problem := httpapi.Problem(c.Unread); status != 400 && status != 422 || !json.Valid(problem) {
				t.Errorf("%q = %d %s", body, status, problem)
			}
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatalf("%q was taken as %+v", body, c)
		}
		if _, given := members["roles"]; given != (c.Roles != nil) {
			t.Errorf("%q gives the roles %v", body, c.Roles)
		}
		if _, given := members["status"]; given != (c.Status != user.Status{}) {
			t.Errorf("%q gives the status %v", body, c.Status)
		}
		if c.Roles != nil {
			for _, r := range *c.Roles {
				if _, ok := user.ParseRole(r.String()); !ok {
					t.Errorf("%q gives the role %q", body, r)
				}
			}
		}
	})
}

// FuzzProposal: whatever comes in, a change is tried out if and only if it was
// proposed, and what is refused is a problem with pointers.
func FuzzProposal(f *testing.F) {
	for _, s := range []string{
		`{}`, `[]`, `{"add":{"role":"user","resource":"product","action":"read","condition":"any","effect":"allow","note":"n"}}`, `{"add":null}`, `{"add":{"role":1}}`,
		`{"remove":{"id":"0199a3f2-7c1e-7d3a-9b1f-2c4e6a8d0f13"}}`, `{"remove":{"id":null}}`, `{"rollback":{"version":7}}`, `{"rollback":{"version":7.5,"x":0}}`,
		`{"rollback":{"version":1e30}}`, `{"remove":{"id":"x"},"rollback":{"version":-1}}`, `{"load":{}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		q := httpapi.ReadProposal(body)
		if q.Unread != nil {
			if status, problem := httpapi.Problem(q.Unread); status != 400 && status != 422 || !json.Valid(problem) {
				t.Errorf("%q = %d %s", body, status, problem)
			}
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatalf("%q was taken as %+v", body, q)
		}
		for name, read := range map[string]bool{"add": q.Add != nil, "remove": q.Remove != nil, "rollback": q.Back != nil, "load": q.Load != nil} {
			if _, given := members[name]; given != read {
				t.Errorf("%q: %s was read: %t", body, name, read)
			}
		}
	})
}

// FuzzAdminQueries: of the parameters of the lists of administration, whatever is
// taken can be asked of a store, and a cursor is spelt in one way only.
func FuzzAdminQueries(f *testing.F) {
	f.Add("q=a%25&role=admin&status=active&limit=7")
	f.Add("cursor=" + httpapi.UserCursor(user.ID{UUID: uuid.UUID{1, 2, 3}}))
	f.Add("cursor=" + httpapi.AuditCursor(audit.Place{Day: "2026-11-24", Seq: 7}))
	f.Add("cursor=" + httpapi.AuditCursor(audit.Place{Day: "2026-99-99", Seq: -7}))
	f.Add("actor=0199a3f2-7c1e-7d3a-9b1f-2c4e6a8d0f13&event=session.signed_in&limit=100")
	f.Add("q=%00&role=A&status=x&limit=0&actor=x&event=A&cursor=AAAA")
	f.Fuzz(func(t *testing.T, raw string) {
		var args fasthttp.Args
		args.Parse(raw)
		given := string(args.Peek("cursor"))
		u, cursor := httpapi.ReadUserQuery(raw)
		if u.Unread == nil && (cursor != given || u.Limit < 0 || u.Limit > 100 || !utf8.ValidString(u.Text) || strings.ContainsRune(u.Text, 0)) {
			t.Errorf("%q gives %+v and the cursor %q", raw, u, cursor)
		}
		a, cursor := httpapi.ReadAuditQuery(raw)
		if a.Unread == nil {
			_, ok := audit.ParseEvent(string(a.Event))
			_, err := time.Parse(time.DateOnly, a.Before.Day)
			if cursor != given || a.Limit < 0 || a.Limit > 100 || a.Event != "" && !ok || !a.Before.IsZero() && err != nil {
				t.Errorf("%q gives %+v and the cursor %q", raw, a, cursor)
			}
		}
		for _, err := range []error{u.Unread, a.Unread} {
			if status, problem := httpapi.Problem(err); err != nil && (status != 400 && status != 422 || !json.Valid(problem)) {
				t.Errorf("%q = %d %s", raw, status, problem)
			}
		}
	})
}
