package accounts

import (
	"context"
	"sync"

	"gatehouse/domain/fault"
)

// turns lets one at a time go ahead for a key. The zero value is ready to use.
type turns struct {
	mu    sync.Mutex
	taken map[string]chan struct{} // closed when the turn is over
}

// wait returns when it is the caller's turn, which over ends.
func (t *turns) wait(ctx context.Context, key string) (over func(), err error) {
	for {
		other := t.take(key)
		if other == nil {
			return func() { t.end(key) }, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, fault.Outage(ctx.Err())
		}
	}
}

// take takes the turn, or gives what is closed when that of another is over.
func (t *turns) take(key string) (other chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if other, ok := t.taken[key]; ok {
		return other
	}
	if t.taken == nil {
		t.taken = map[string]chan struct{}{}
	}
	t.taken[key] = make(chan struct{})
	return nil
}

func (t *turns) end(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.taken[key])
	delete(t.taken, key)
}
