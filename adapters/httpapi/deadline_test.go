package httpapi_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/adapters/httpapi"
)

type key struct{}

// TestDeadline holds the context of a request to what context.Context promises,
// whenever it is that somebody begins to wait for its end.
func TestDeadline(t *testing.T) {
	begin := func() (context.Context, func()) {
		return httpapi.NewDeadline(context.WithValue(context.Background(), key{}, 7), time.Second)
	}
	closed := func(c context.Context) bool {
		select {
		case <-c.Done():
			return true
		default:
			return false
		}
	}
	for name, ask := range map[string]func(context.Context){
		"nobody waits": func(context.Context) {},
		"waited for":   func(c context.Context) { c.Done() },
		"looked at":    func(c context.Context) { _ = c.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, cancel := begin()
				ask(c)
				at, ok := c.Deadline()
				if time.Until(at) != time.Second || !ok || c.Value(key{}) != 7 {
					t.Errorf("Deadline = %v, Value = %v", time.Until(at), c.Value(key{}))
				}
				time.Sleep(time.Second - time.Nanosecond)
				ask(c)
				if c.Err() != nil {
					t.Errorf("Err just before the end = %v", c.Err())
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				ask(c)
				if !errors.Is(c.Err(), context.DeadlineExceeded) || !closed(c) {
					t.Errorf("at the end Err = %v, done: %t", c.Err(), closed(c))
				}
				if cancel(); !errors.Is(c.Err(), context.DeadlineExceeded) {
					t.Errorf("cancelled after the end, Err = %v, want what it was", c.Err())
				}
			})
			synctest.Test(t, func(t *testing.T) {
				c, cancel := begin()
				ask(c)
				cancel()
				if !errors.Is(c.Err(), context.Canceled) || !closed(c) {
					t.Errorf("cancelled, Err = %v, done: %t", c.Err(), closed(c))
				}
				time.Sleep(time.Minute)
				if !errors.Is(c.Err(), context.Canceled) {
					t.Errorf("long after, Err = %v", c.Err())
				}
			})
			synctest.Test(t, func(t *testing.T) {
				c, cancel := begin()
				ask(c)
				child, stop := context.WithTimeout(c, time.Minute)
				defer stop()
				after := make(chan struct{})
				defer context.AfterFunc(child, func() { close(after) })()
				if name == "waited for" {
					cancel()
				} else {
					time.Sleep(time.Second)
				}
				<-after // or the bubble is locked for ever, which synctest tells
				if child.Err() == nil {
					t.Error("what was made of it goes on")
				}
				cancel()
			})
		})
	}
}
