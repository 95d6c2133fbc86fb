package argon2id_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/adapters/argon2id"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/ports"
	"gatehouse/ports/portstest"
)

func TestContract(t *testing.T) {
	portstest.PasswordHasher(t, func(*testing.T) ports.PasswordHasher { return argon2id.New(argon2id.Config{}) })
}

var password = user.PasswordAttempt("correct horse battery staple")

// A hash that another program made of the same password, with the reference
// implementation's parameters (argon2 command line: -id -t 2 -k 65536 -p 1).
func TestVerifiesWhatOthersMade(t *testing.T) {
	const phc = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$"
	h := argon2id.New(argon2id.Config{})
	fresh, err := h.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(fresh.Reveal(), "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("Hash = %s…, want the PHC string format with m=19456,t=2,p=1", fresh.Reveal()[:30])
	}
	if h.Outdated(fresh) {
		t.Error("a fresh hash is outdated")
	}
	weak := user.NewPasswordHash(phc + "mhcqFQ6eYWUYiEJuGQzYFPlNXrRzMYZoGMWnFO6qXx0")
	if _, err := h.Verify(t.Context(), password, weak); err != nil {
		t.Errorf("Verify of weaker parameters: %v", err)
	}
	if !h.Outdated(weak) {
		t.Error("a hash of weaker parameters is not outdated")
	}
}

// A hash that asks for 4 GiB, or for an hour, stops the service when it is
// verified: who can write one row of the table must not be able to.
func TestRefusesWhatCostsTooMuch(t *testing.T) {
	const salt, key = "c29tZXNhbHQ", "mhcqFQ6eYWUYiEJuGQzYFPlNXrRzMYZoGMWnFO6qXx0"
	h := argon2id.New(argon2id.Config{})
	for _, s := range []string{
		"x", "$argon2id$", "$2a$10$abcdefghijklmnopqrstuv", strings.Repeat("$", 5),
		"$argon2id$v=19$m=4194304,t=1,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=64,t=4294967295,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=64,t=1,p=255$" + salt + "$" + key,
		"$argon2id$v=19$m=64,t=1,p=0$" + salt + "$" + key,
		"$argon2id$v=19$m=7,t=1,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=064,t=1,p=1$" + salt + "$" + key,
		"$argon2id$v=19$t=1,m=64,p=1$" + salt + "$" + key,
		"$argon2id$v=16$m=64,t=1,p=1$" + salt + "$" + key,
		"$argon2i$v=19$m=64,t=1,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=64,t=1,p=1$$" + key,
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "$",
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + strings.Repeat("A", 1000),
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + key + "\n",
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + key + "$",
	} {
		ok, err := h.Verify(t.Context(), password, user.NewPasswordHash(s))
		if err == nil || ok {
			t.Errorf("Verify(%q) = %v, %v, want an error", s, ok, err)
			continue
		}
		if len(s) > 20 && strings.Contains(err.Error(), s[10:]) {
			t.Errorf("the error quotes the hash: %v", err)
		}
	}
}

// A flood is refused before work is begun for it, and what is refused says so.
func TestTheQueueIsBounded(t *testing.T) {
	h := argon2id.New(argon2id.Config{Slots: 1, Queue: 2})
	var done, refused atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			switch _, err := h.Verify(t.Context(), password, user.PasswordHash{}); {
			case err == nil:
				done.Add(1)
			case errors.Is(err, fault.Unavailable):
				refused.Add(1)
			default:
				t.Errorf("Verify = %v, want Unavailable", err)
			}
		})
	}
	wg.Wait()
	if done.Load() == 0 || refused.Load() == 0 || done.Load()+refused.Load() != 50 {
		t.Errorf("%d done, %d refused, want some of each of 50", done.Load(), refused.Load())
	}
	if ok, err := h.Verify(t.Context(), password, user.PasswordHash{}); ok || err != nil {
		t.Errorf("after the flood Verify = %v, %v: slots were lost", ok, err)
	}
}

// Who gives up waiting gives the place in the queue back.
func TestGivingUpFreesTheQueue(t *testing.T) {
	h := argon2id.New(argon2id.Config{Slots: 1, Queue: 1})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		if _, err := h.Hash(gone, password); !errors.Is(err, fault.Unavailable) {
			t.Fatalf("Hash with a cancelled context = %v, want Unavailable", err)
		}
	}
	if _, err := h.Hash(t.Context(), password); err != nil {
		t.Errorf("Hash = %v: the queue is still held", err)
	}
}

func BenchmarkVerify(b *testing.B) {
	h := argon2id.New(argon2id.Config{})
	for b.Loop() {
		if _, err := h.Verify(b.Context(), password, user.PasswordHash{}); err != nil {
			b.Fatal(err)
		}
	}
}
