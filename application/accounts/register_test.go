package accounts_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/adapters/memory"
	"gatehouse/adapters/system"
	"gatehouse/application/accounts"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
)

// oneSlot counts what it is asked to hash, and takes its time; it refuses a
// second hash beside the first, as a full queue does.
type oneSlot struct {
	memory.Hasher
	made, busy atomic.Int64
}

func (h *oneSlot) Hash(ctx context.Context, p user.Password) (user.PasswordHash, error) {
	h.made.Add(1)
	if h.busy.Add(1) > 1 {
		return user.PasswordHash{}, fault.Outage(errors.New("too many"))
	}
	defer h.busy.Add(-1)
	time.Sleep(20 * time.Millisecond)
	return h.Hasher.Hash(ctx, p)
}

func newService(h *oneSlot) *accounts.Service {
	return accounts.New(accounts.Config{Users: memory.New().Users(), Hasher: h, Random: system.NewRandom(), Now: system.Now})
}

func registration(email string) accounts.Registration {
	return accounts.Registration{Email: email, Password: "a quiet lighthouse"}
}

// TestRegistrationsOfOneAddress: of fifty at once one makes a hash, and none of
// the others is told that the service is busy.
func TestRegistrationsOfOneAddress(t *testing.T) {
	h := &oneSlot{}
	s := newService(h)
	var made, taken atomic.Int64
	var wg sync.WaitGroup
	for i := range 50 {
		email := [...]string{"ann@example.com", " ANN@Example.com"}[i%2]
		wg.Go(func() {
			switch _, err := s.Register(t.Context(), registration(email)); {
			case err == nil:
				made.Add(1)
			case errors.Is(err, user.ErrEmailTaken):
				taken.Add(1)
			default:
				t.Errorf("Register = %v", err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || taken.Load() != 49 || h.made.Load() != 1 {
		t.Errorf("%d registered, %d taken, %d hashes; want 1, 49 and 1", made.Load(), taken.Load(), h.made.Load())
	}
}

// TestWaitingForATurnEnds: who waits behind another registration of the address
// waits no longer than the request lasts, and is told that nobody knows.
func TestWaitingForATurnEnds(t *testing.T) {
	s := newService(&oneSlot{})
	began := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		close(began)
		_, _ = s.Register(t.Context(), registration("ann@example.com")) // either may be first
	})
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Register(ctx, registration("ann@example.com")); !errors.Is(err, fault.Unavailable) && !errors.Is(err, context.Canceled) {
		t.Errorf("Register = %v, want Unavailable", err)
	}
	wg.Wait()
	if _, err := s.Register(t.Context(), registration("ann@example.com")); !errors.Is(err, user.ErrEmailTaken) {
		t.Errorf("Register = %v, want ErrEmailTaken", err)
	}
}
