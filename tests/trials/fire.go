package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// caller is a client with one connection, which it opens anew when it has to.
type caller struct {
	n *node
	w *wire
}

func (c *caller) send(raw []byte) (reply, error) {
	var err error
	if c.w == nil {
		if c.w, err = c.n.dial(); err != nil {
			return reply{}, err
		}
	}
	r, err := c.w.exchange(raw)
	if err != nil || r.closes() {
		c.close()
	}
	return r, err
}

func (c *caller) close() {
	if c.w != nil {
		c.w.close()
		c.w = nil
	}
}

// shot is one request and what came of it.
type shot struct {
	what         string // what was asked for
	began, ended time.Time
	status       int
	retry        string // Retry-After
	err          error
}

func (s shot) took() time.Duration { return s.ended.Sub(s.began) }

// good reports whether it was done.
func (s shot) good() bool { return s.err == nil && s.status < 300 }

// record keeps shots.
type record struct {
	mu  sync.Mutex
	all []shot
}

// call has a caller send a request, and keeps what came of it.
func (r *record) call(c *caller, what string, raw []byte) (reply, bool) {
	began := time.Now()
	got, err := c.send(raw)
	s := shot{what, began, time.Now(), got.status, got.get("Retry-After"), err}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, s)
	return got, s.good()
}

// during gives the shots that were begun in a time; a zero end is now.
func (r *record) during(from, to time.Time) *load {
	l := &load{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.all {
		if s.began.Before(from) || !to.IsZero() && !s.began.Before(to) {
			continue
		}
		l.add(reply{status: s.status, took: s.took()}, s.err)
	}
	l.elapsed = to.Sub(from)
	return l
}

// between gives the shots that were begun and answered in a time.
func (r *record) between(from, to time.Time) *load {
	l := &load{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.all {
		if s.began.After(from) && s.ended.Before(to) {
			l.add(reply{status: s.status, took: s.took()}, s.err)
		}
	}
	return l
}

// of gives the shots for one thing.
func (r *record) of(what string) *record {
	some := &record{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.all {
		if s.what == what {
			some.all = append(some.all, s)
		}
	}
	return some
}

// refused gives the shots that were begun in a time and not answered with success.
func (r *record) refused(from, to time.Time) *load {
	l := &load{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.all {
		if !s.good() && !s.began.Before(from) && s.began.Before(to) {
			l.add(reply{status: s.status, took: s.took()}, s.err)
		}
	}
	return l
}

// slowest tells which of the shots that were begun in a time took longest.
func (r *record) slowest(from, to time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var slow shot
	for _, s := range r.all {
		if !s.began.Before(from) && s.began.Before(to) && s.took() > slow.took() {
			slow = s
		}
	}
	return fmt.Sprintf("the slowest: %s, %d after %s, begun at %s", slow.what, slow.status, ms(slow.took()), ms(slow.began.Sub(from)))
}

// lastBad is when the last shot was begun that was not answered with success,
// after a moment, and which it was; ok is false if there was none.
func (r *record) lastBad(after time.Time) (bad shot, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.all {
		if !s.good() && s.began.After(after) && s.began.After(bad.began) {
			bad, ok = s, true
		}
	}
	return bad, ok
}

// odd gives the shots that are none of those wanted: with success, or with one of
// the statuses.
func (r *record) odd(statuses ...int) (list []shot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.all {
		if !s.good() && (s.err != nil || !slices.Contains(statuses, s.status)) {
			list = append(list, s)
		}
	}
	return list
}

// oddly tells of such shots.
func oddly(list []shot) string {
	if len(list) == 0 {
		return "no other answer"
	}
	return fmt.Sprintf("%d other answers, such as to %s: %d, %v", len(list), list[0].what, list[0].status, list[0].err)
}

// fire begins so many rounds a second until ctx is done, each by one of so many
// workers, and returns when all have ended. A worker does one round at a time; if
// all are busy rounds are begun late, and none is dropped.
func fire(ctx context.Context, rate, workers int, round func(worker, i int)) {
	due := make(chan int, 1<<16)
	done := make(chan struct{})
	go func() {
		defer close(done)
		each(workers, func(worker int) {
			for i := range due {
				round(worker, i)
			}
		})
	}()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for i := 0; ctx.Err() == nil; {
		for ; i < int(time.Since(began).Seconds()*float64(rate)); i++ {
			due <- i
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	close(due)
	<-done
}

// each runs so many workers side by side, and returns when all have ended.
func each(workers int, work func(worker int)) {
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() { work(worker) })
	}
	all.Wait()
}
