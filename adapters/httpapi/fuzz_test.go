package httpapi_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gatehouse/adapters/httpapi"
	"gatehouse/application/products"
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

// FuzzHeaders: the reader of raw headers finds the cookies that net/http finds,
// and no request framed in two ways is sound.
func FuzzHeaders(f *testing.F) {
	for _, s := range []string{"Host: a\r\nCookie: sid=x; a=b\r\n\r\n", "Cookie: sid=x;sid=y\r\nCookie: sid=z\r\n", "Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n", "cookie:sid=\r\n", "a\n b:c\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		sound, cookies, token := httpapi.Open(block, "sid")
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
		known := 0
		for _, c := range req.CookiesNamed("sid") {
			if c.Value != "" { // a bare "sid" is a value without a name (RFC 6265bis section 5.6)
				known++
			}
		}
		if known > cookies {
			t.Errorf("%q: net/http finds %d cookies, we %d", block, known, cookies)
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
