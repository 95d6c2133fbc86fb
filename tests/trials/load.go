package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is what became of many requests.
type load struct {
	mu      sync.Mutex
	status  map[int]int
	took    []time.Duration // of those that count, see run
	failed  []error
	elapsed time.Duration
}

// rate is answers a second.
func (l *load) rate() float64 { return float64(len(l.took)) / l.elapsed.Seconds() }

// at is the duration that the share q of the answers did not exceed.
func (l *load) at(q float64) time.Duration {
	if len(l.took) == 0 {
		return 0
	}
	slices.Sort(l.took)
	return l.took[min(int(q*float64(len(l.took))), len(l.took)-1)]
}

// statuses tells how often there was which.
func (l *load) statuses() string {
	var parts []string
	for _, s := range slices.Sorted(maps.Keys(l.status)) {
		parts = append(parts, fmt.Sprintf("%d×%d", l.status[s], s))
	}
	if len(l.failed) > 0 {
		parts = append(parts, fmt.Sprintf("%d without an answer (%v)", len(l.failed), l.failed[0]))
	}
	return strings.Join(parts, ", ")
}

// only reports whether there was no answer with another status, and none
// missing.
func (l *load) only(statuses ...int) bool {
	for s := range l.status {
		if !slices.Contains(statuses, s) {
			return false
		}
	}
	return len(l.failed) == 0
}

func (l *load) add(r reply, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status == nil {
		l.status = map[int]int{}
	}
	if err != nil {
		l.failed = append(l.failed, err)
		return
	}
	l.status[r.status]++
	l.took = append(l.took, r.took)
}

// drive has so many clients, each with a connection of its own, send what next
// gives until ctx is done or next gives nil, and collects the answers.
func (n *node) drive(ctx context.Context, clients int, next func() []byte) *load {
	l := &load{}
	began := time.Now()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			var w *wire
			defer func() {
				if w != nil {
					w.close()
				}
			}()
			for ctx.Err() == nil {
				raw := next()
				if raw == nil {
					return
				}
				var err error
				if w == nil {
					if w, err = n.dial(); err != nil {
						l.add(reply{}, err)
						return
					}
				}
				r, err := w.exchange(raw)
				l.add(r, err)
				if err != nil || r.closes() {
					w.close()
					w = nil
				}
			}
		})
	}
	all.Wait()
	l.elapsed = time.Since(began)
	return l
}

// always gives the same bytes.
func always(raw []byte) func() []byte { return func() []byte { return raw } }

// times gives the bytes of one after the other, n in all.
func times(n int, make func(i int) []byte) func() []byte {
	var i atomic.Int64
	return func() []byte {
		at := int(i.Add(1)) - 1
		if at >= n {
			return nil
		}
		return make(at)
	}
}

// forA drives for a time.
func (n *node) forA(ctx context.Context, d time.Duration, clients int, next func() []byte) *load {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return n.drive(ctx, clients, next)
}

func median[T interface{ ~int64 | ~float64 }](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
