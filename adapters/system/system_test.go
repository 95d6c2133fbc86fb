package system_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/adapters/system"
	"gatehouse/domain/session"
	"gatehouse/domain/uuid"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.UTC)

// An id shows the time that it was made for and is a UUID of version 7
// (RFC 9562 section 5.7), with the random part of its own.
func TestIDTellsTheTime(t *testing.T) {
	got, again := system.NewRandom().ID(noon), system.NewRandom().ID(noon)
	want := uuid.New(noon, [8]byte(got[8:]))
	if got != want {
		t.Errorf("ID(noon) = %s, want %s", got, want)
	}
	if got == again {
		t.Errorf("two sources made one id, %s", got)
	}
}

// Whatever the clock does, ids of one source grow.
func TestIDsGrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := system.NewRandom()
		var last uuid.UUID
		for _, step := range rapid.SliceOfN(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)), 2, 50).Draw(t, "steps") {
			id := r.ID(noon.Add(time.Duration(step)))
			if id.Compare(last) <= 0 {
				t.Fatalf("ID(noon %+d ns) = %s, want it greater than %s", step, id, last)
			}
			last = id
		}
	})
}

// Two ids at one instant differ in more than their random part: the order of
// making them is kept.
func TestIDsOfOneInstantGrow(t *testing.T) {
	r := system.NewRandom()
	last := r.ID(noon)
	for range 10_000 {
		id := r.ID(noon)
		if id.Compare(last) <= 0 {
			t.Fatalf("ID(noon) = %s after %s, want it greater", id, last)
		}
		last = id
	}
}

func TestIDsFromManyGoroutines(t *testing.T) {
	const goroutines, each = 8, 500
	r := system.NewRandom()
	made := make([][]uuid.UUID, goroutines)
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			for range each {
				made[i] = append(made[i], r.ID(noon))
			}
		})
	}
	wg.Wait()
	for i, ids := range made {
		if !slices.IsSortedFunc(ids, uuid.UUID.Compare) {
			t.Errorf("the ids of goroutine %d are not in the order of their making", i)
		}
	}
	all := slices.Concat(made...)
	slices.SortFunc(all, uuid.UUID.Compare)
	if got := len(slices.Compact(all)); got != goroutines*each {
		t.Errorf("%d goroutines made %d different ids, want %d", goroutines, got, goroutines*each)
	}
}

// Tokens have the shape that a client may present, and none comes twice.
func TestTokens(t *testing.T) {
	r := system.NewRandom()
	seen := map[session.Key]bool{}
	for range 1000 {
		token := r.Token()
		if parsed, ok := session.ParseToken(token.Reveal()); !ok || parsed != token {
			t.Fatalf("a token of %d characters has not the shape of one", len(token.Reveal()))
		}
		seen[token.Key()] = true
	}
	if len(seen) != 1000 {
		t.Errorf("1000 tokens have %d different keys, want 1000", len(seen))
	}
}

func TestBytes(t *testing.T) {
	r := system.NewRandom()
	seen := map[[32]byte]bool{}
	var bits [32]byte
	for range 1000 {
		b := r.Bytes()
		seen[b] = true
		for i := range b {
			bits[i] |= b[i]
		}
	}
	if len(seen) != 1000 {
		t.Errorf("1000 times 32 bytes are %d different ones, want 1000", len(seen))
	}
	for i, b := range bits {
		if b != 0xff {
			t.Errorf("of byte %d never any bit is set but %08b", i, b)
		}
	}
}

// Now is the wall clock: between two readings of it.
func TestNow(t *testing.T) {
	before := time.Now()
	now := system.Now()
	if now.Before(before) || now.After(time.Now()) {
		t.Errorf("Now = %v, want the time", now)
	}
}
