package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"gatehouse/adapters/httpapi"
	"gatehouse/application/accounts"
	"gatehouse/application/administration"
	"gatehouse/application/gate"
	"gatehouse/application/guard"
	"gatehouse/application/products"
	"gatehouse/application/sessions"
	"gatehouse/domain/session"
)

// BenchmarkMe is what GET /me costs in this layer: ours, with session, headers
// and log line, and a bare Fiber handler that answers as many bytes. The store
// is in memory, and so is the connection.
func BenchmarkMe(b *testing.B) {
	server, token := benchServer(b)
	bare := fiber.New(fiber.Config{DisableStartupMessage: true})
	bare.Get("/me", func(c *fiber.Ctx) error {
		now := time.Now()
		return c.JSON(fiber.Map{
			"id": "0199a3f2-7c1e-7d3a-9b1f-2c4e6a8d0f13", "email": "mina@example.com", "name": "", "roles": []string{"user"},
			"status": "active", "emailVerified": false, "createdAt": now, "updatedAt": now,
		})
	})
	b.Run("bare", func(b *testing.B) { ask(b, bare.Listener, token) })
	b.Run("ours", func(b *testing.B) { ask(b, server.Serve, token) })
}

func ask(b *testing.B, serve func(net.Listener) error, token string) {
	b.Helper()
	ln := fasthttputil.NewInmemoryListener()
	go func() { _ = serve(ln) }()
	defer func() { _ = ln.Close() }()
	exchange(b, ln, "GET /me HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0\r\nAccept: application/json\r\nCookie: theme=dark; sid="+token+"\r\n\r\n", 200)
}

// BenchmarkBodies is what a request with a body costs in this layer: one that is
// refused for its members, so that no store has a part in it.
func BenchmarkBodies(b *testing.B) {
	server, token := benchServer(b)
	ln := fasthttputil.NewInmemoryListener()
	go func() { _ = server.Serve(ln) }()
	defer func() { _ = ln.Close() }()
	for _, row := range []struct{ path, body string }{
		{"/login", `{"email":"mina@example.com","password":7}`},
		{"/products", `{"name":"` + strings.Repeat("x", 100) + `","description":"` + strings.Repeat("x", 1800) + `","price":{"amount":"1","currency":"KRW"}}`},
	} {
		head := "POST " + row.path + " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0\r\nContent-Type: application/json\r\nCookie: theme=dark; sid=" + token + "\r\n"
		b.Run(row.path, func(b *testing.B) {
			exchange(b, ln, fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(row.body), row.body), 422)
		})
	}
}

// exchange sends the same request over and over.
func exchange(b *testing.B, ln *fasthttputil.InmemoryListener, request string, status int) {
	b.Helper()
	c, err := ln.Dial()
	if err != nil {
		b.Fatal(err)
	}
	raw, r := []byte(request), bufio.NewReader(c)
	var res fasthttp.Response
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(raw); err != nil {
			b.Fatal(err)
		}
		if err := res.Read(r); err != nil || res.StatusCode() != status {
			b.Fatalf("%v %s", err, res.String())
		}
	}
}

func benchServer(b *testing.B) (*httpapi.Server, string) {
	b.Helper()
	st := stores(b)
	now := func() time.Time { return time.Now() }
	g := guard.New(guard.Config{Shared: st.Limiter, Own: st.Limiter, Rules: guard.DefaultRules(), Now: now})
	ss := sessions.New(sessions.Config{
		Users: st.Users, Sessions: st.Sessions, Directory: st.Directory, Factors: st.Factors, Ledger: st.Ledger, Hasher: st.Hasher,
		Sealer: st.Sealer, Devices: st.Devices, Random: st.Random, Now: now, Guard: g, Lifetime: session.DefaultLifetime,
	})
	as := accounts.New(accounts.Config{
		Users: st.Users, Directory: st.Directory, Products: st.Products, Ledger: st.Ledger, Sessions: ss, Guard: g, Hasher: st.Hasher, Random: st.Random, Now: now,
	})
	if _, err := as.Register(context.Background(), accounts.Registration{Email: "mina@example.com", Password: "a-fine-passphrase"}); err != nil {
		b.Fatal(err)
	}
	in, err := ss.SignIn(context.Background(), sessions.Credentials{Email: "mina@example.com", Password: "a-fine-passphrase"}, session.Device{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	s, err := httpapi.New(httpapi.Config{
		Accounts: as, Sessions: ss, Devices: st.Devices, Administration: administration.New(administration.Config{}),
		Products:  products.New(products.Config{Products: st.Products, Gate: &gate.Gate{Authorizer: st.Authorizer, Ledger: st.Ledger, Random: st.Random, Now: now}, Guard: g, Random: st.Random, Now: now}),
		Explainer: &administration.Explainer{}, Policies: &administration.Policies{}, Previewer: &administration.Previewer{},
		PublicURL: &url.URL{Scheme: "http", Host: "localhost"}, Random: st.Random, Now: now, Log: slog.New(slog.NewJSONHandler(io.Discard, nil)),
	})
	if err != nil {
		b.Fatal(err)
	}
	return s, in.Token.Reveal()
}

// BenchmarkCookie is what it costs to look through the raw headers of a request
// for the session cookie, and for what would make the request ambiguous.
func BenchmarkCookie(b *testing.B) {
	block := []byte("Host: shop.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0\r\nAccept: */*\r\n" +
		"Accept-Language: ko,en;q=0.5\r\nReferer: https://shop.example.com/lamps\r\nSec-Fetch-Site: same-origin\r\n" +
		"Cookie: theme=dark; consent=all; sid=5EZaT6fF2XCiGTxbUSrmIeK8MofK2GzGHT0OHWVXHPE; seen=12\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		if sound, cookies, _, _ := httpapi.Open(block); !sound || cookies != 1 {
			b.Fatal("it is not seen")
		}
	}
}
