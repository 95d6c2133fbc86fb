package httpapi

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that ends at a time, or when it is cancelled. Unlike one of
// context.WithDeadline it has no timer before somebody waits for its end, which
// what is answered out of memory never does.
type deadline struct {
	context.Context // whose values it has; it never ends
	at              time.Time

	mu    sync.Mutex
	armed context.Context // with a timer; nil until Done was called
	stop  context.CancelFunc
	err   error // why it has ended, if that was seen before
}

// newDeadline gives a context that ends after a while.
func newDeadline(values context.Context, d time.Duration) *deadline {
	return &deadline{Context: values, at: time.Now().Add(d)}
}

// Deadline implements context.Context.
func (d *deadline) Deadline() (time.Time, bool) { return d.at, true }

// Done implements context.Context.
func (d *deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.armed == nil {
		d.armed, d.stop = context.WithDeadline(d.Context, d.at)
		if d.err == context.Canceled {
			d.stop()
		}
	}
	return d.armed.Done()
}

// Err implements context.Context.
func (d *deadline) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil && d.armed != nil {
		d.err = d.armed.Err()
	}
	if d.err == nil && d.armed == nil && !time.Now().Before(d.at) {
		d.err = context.DeadlineExceeded
	}
	return d.err
}

// Value implements context.Context. Contexts that are made of d find what they hang
// on by it, and need no goroutine to wait for its end.
func (d *deadline) Value(key any) any {
	d.mu.Lock()
	values := d.Context
	if d.armed != nil {
		values = d.armed
	}
	d.mu.Unlock()
	return values.Value(key)
}

// cancel ends d.
func (d *deadline) cancel() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.armed != nil {
		d.stop()
	}
	if d.err == nil && d.armed == nil {
		d.err = context.Canceled
	}
}
