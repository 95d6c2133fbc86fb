package gormrepo_test

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"gatehouse/adapters/gormrepo"
	"gatehouse/domain/fault"
	"gatehouse/domain/idempotency"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
	"gatehouse/tests/pgtest"
)

// answers are n answers to the user, under ids that no others have.
func answers(u user.User, n int) (list []idempotency.Kept) {
	for range n {
		var id idempotency.ID
		binary.BigEndian.PutUint64(id[:], serial.Add(1))
		list = append(list, idempotency.Keep(id, u.ID(), idempotency.Digest{}, []byte("answer"), start))
	}
	return list
}

// A node is at work under a key: another waits for it, for as long as there is
// time, and says so then. When the first gives up, or dies, the next one goes on.
func TestAnswerInProgress(t *testing.T) {
	url := pgtest.Migrated(t)
	db := openURL(t, url, gormrepo.PoolOptions{MaxConns: 4, StatementTimeout: time.Minute})
	watch := connect(t, url)
	u := addUser(t, db)
	with := &ports.Along{Answers: answers(u, 1)}
	first, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Rollback(context.Background())
	const keep = "INSERT INTO idempotency_keys (id, user_id, request, answer, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)"
	k := with.Answers[0]
	if _, err := first.Exec(t.Context(), keep, k.ID.Hex(), u.ID().String(), k.Request[:], k.Answer, k.At, k.Until); err != nil {
		t.Fatal(err)
	}

	hurried, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	p := newProduct(t, u.ID(), product.Draft{})
	if err := db.Products().Add(hurried, p, with); !errors.Is(err, idempotency.ErrInProgress) || errors.Is(err, fault.Unavailable) {
		t.Errorf("Add beside one that does not end = %v, want ErrInProgress", err)
	}
	if _, err := db.Products().Find(t.Context(), p.ID()); !errors.Is(err, fault.NotFound) {
		t.Errorf("Find of what was not added = %v, want NotFound", err)
	}

	done := make(chan error, 1)
	go func() {
		patient, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		done <- db.Products().Add(patient, p, with)
	}()
	awaitWaiting(t, watch, done)
	if err := first.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Add after the first gave up = %v, want no error", err)
	}
	if err := db.Products().Add(t.Context(), newProduct(t, u.ID(), product.Draft{}), with); !errors.Is(err, idempotency.ErrTaken) {
		t.Errorf("Add of what is done = %v, want ErrTaken", err)
	}
}
