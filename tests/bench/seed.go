package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/uuid"
)

// How much is in the database: what a shop of some size has.
const (
	users       = 1_000
	sessions    = 100_000
	productRows = 100_000
)

// signers are the users who sign in.
const signers = 100

// sample is how many users, sessions and products the requests choose from.
const sample = 2_000

const password = "a long and winding road"

func address(n int) string { return fmt.Sprintf("bench%d@example.com", n) }

// seed fills the database: one user signs up and offers a product over HTTP, and
// all else is copied from these rows, with their own ids, owners and tokens. It
// takes some seconds.
func (b *stage) seed(ctx context.Context) error {
	began := time.Now()
	if err := b.model(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{b.seedUsers, b.seedSessions, b.seedProducts} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("seeding: %w", err)
		}
	}
	if _, err := b.db.Exec(ctx, "VACUUM (ANALYZE) users, user_sessions, products"); err != nil {
		return err
	}
	b.seeded = time.Since(began).Round(100 * time.Millisecond)
	return nil
}

// model makes the rows that the others are copied from.
func (b *stage) model(ctx context.Context) error {
	c, err := newClient(b.ours.url)
	if err != nil {
		return err
	}
	account := map[string]any{"email": address(0), "password": password}
	for _, path := range []string{"/register", "/login"} {
		if err := c.post(ctx, path, account, nil); err != nil {
			return err
		}
	}
	for _, pair := range c.http.Jar.Cookies(c.base) {
		if len(pair.Value) == len(b.token(0)) {
			b.cookieName = pair.Name
		}
	}
	return c.post(ctx, "/products", map[string]any{
		"name": "Lamp", "price": map[string]any{"amount": 1000, "currency": "KRW"}, "stock": 1, "status": "published",
	}, nil)
}

// token is that of the session of that number.
func (b *stage) token(n int) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(b.salt[:], uint64(n)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (b *stage) seedUsers(ctx context.Context) error {
	if _, err := b.db.Exec(ctx, `INSERT INTO users SELECT (jsonb_populate_record(NULL::users, to_jsonb(u) || jsonb_build_object(
		'id', gen_random_uuid(), 'email', 'bench' || n || '@example.com', 'email_canonical', 'bench' || n || '@example.com'))).*
		FROM (SELECT * FROM users LIMIT 1) u, generate_series(1, $1::int - 1) n`, users); err != nil {
		return err
	}
	// Who signs in has no other sessions: the oldest of too many are ended.
	if _, err := b.db.Exec(ctx, `INSERT INTO users SELECT (jsonb_populate_record(NULL::users, to_jsonb(u) || jsonb_build_object(
		'id', gen_random_uuid(), 'email', 'signin' || n || '@example.com', 'email_canonical', 'signin' || n || '@example.com'))).*
		FROM (SELECT * FROM users LIMIT 1) u, generate_series(1, $1::int) n`, signers); err != nil {
		return err
	}
	rows, err := b.db.Query(ctx, "SELECT id::text FROM users WHERE email LIKE 'bench%' ORDER BY id")
	if err != nil {
		return err
	}
	b.userIDs, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return err
}

// seedSessions copies the value of a session; in it bytes 0 to 15 are the owner's
// id and 17 to 32 its handle (adapters/fiberstore).
func (b *stage) seedSessions(ctx context.Context) error {
	var value []byte
	var expires int64
	if err := b.db.QueryRow(ctx, "SELECT v, e FROM user_sessions LIMIT 1").Scan(&value, &expires); err != nil {
		return err
	}
	owners := make([][16]byte, len(b.userIDs))
	for i, text := range b.userIDs {
		id, ok := uuid.Parse(text)
		if !ok {
			return fmt.Errorf("%q is no id", text)
		}
		owners[i] = id
	}
	_, err := b.db.CopyFrom(ctx, pgx.Identifier{"user_sessions"}, []string{"k", "v", "e"}, pgx.CopyFromSlice(sessions, func(i int) ([]any, error) {
		token, ok := session.ParseToken(b.token(i))
		if !ok {
			return nil, fmt.Errorf("%q is no token", b.token(i))
		}
		one := append([]byte(nil), value...)
		owner := owners[i%users]
		copy(one, owner[:])
		if _, err := rand.Read(one[17:33]); err != nil {
			return nil, err
		}
		return []any{token.Key().Hex(), one, expires}, nil
	}))
	for i := range sample {
		b.cookies = append(b.cookies, b.cookieName+"="+b.token(i*(sessions/sample)))
	}
	return err
}

// words make names and descriptions that look like a shop's.
var words = []string{"lamp", "brass", "kettle", "oak", "table", "linen", "chair", "green", "glass", "small", "round", "old", "주전자", "wool", "iron", "tall"}

func (b *stage) seedProducts(ctx context.Context) error {
	random := mathrand.New(mathrand.NewPCG(7, 7))
	text := func(n int) (s string) {
		for range n {
			s += words[random.IntN(len(words))] + " "
		}
		return s[:len(s)-1]
	}
	began := time.Now().Add(-productRows * time.Minute).UTC().Truncate(time.Microsecond)
	columns := []string{"id", "owner_id", "name", "description", "name_fold", "description_fold", "price_amount", "price_currency", "stock", "status", "version", "created_at", "updated_at"}
	index, err := b.dropSearchIndex(ctx)
	if err != nil {
		return err
	}
	_, err = b.db.CopyFrom(ctx, pgx.Identifier{"products"}, columns, pgx.CopyFromSlice(productRows, func(i int) ([]any, error) {
		at, name, description := began.Add(time.Duration(i)*time.Minute), text(3), text(8)
		var tail [8]byte
		binary.BigEndian.PutUint64(tail[:], random.Uint64())
		id := uuid.New(at, tail)
		if i%(productRows/sample) == 0 {
			b.products = append(b.products, id.String())
			// whose session number i%users is, as are those a thousand further
			b.owned = append(b.owned, b.cookieName+"="+b.token(i%users))
		}
		owner, _ := uuid.Parse(b.userIDs[i%users]) // it was parsed before
		return []any{
			[16]byte(id), [16]byte(owner), name, description, product.Fold(name), product.Fold(description),
			int64(random.IntN(5000)) * 100, "KRW", int64(i % 50), "published", int64(1), at, at,
		}, nil
	}))
	if err == nil {
		_, err = b.db.Exec(ctx, index)
	}
	return err
}

// dropSearchIndex drops the index of what is searched and returns the statement
// that makes it: that takes a fraction of what a row at a time does.
func (b *stage) dropSearchIndex(ctx context.Context) (make string, err error) {
	var name string
	err = b.db.QueryRow(ctx, `SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid
		JOIN pg_am a ON a.oid = c.relam WHERE indrelid = 'products'::regclass AND amname = 'gin'`).Scan(&name, &make)
	if err != nil {
		return "", err
	}
	_, err = b.db.Exec(ctx, "DROP INDEX "+name)
	return make, err
}
