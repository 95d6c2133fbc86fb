package promstats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/ports"
)

// How long a store may take to answer a scrape, and for how long its answer is
// shown again: who scrapes every millisecond asks the database no more often.
const askTime = time.Second

var askedKept = 5 * time.Second // a variable for tests alone

// asked remembers what somebody was asked who may take their time.
type asked[T any] struct {
	ask    func(context.Context) (T, error)
	mu     sync.Mutex
	until  time.Time
	answer T
	err    error
	busy   bool // one is asked still, who has disregarded the deadline
}

var errBusy = errors.New("the one who was asked before has not answered yet")

func newAsked[T any](ask func(context.Context) (T, error)) *asked[T] {
	return &asked[T]{ask: ask}
}

// get asks, unless that was done a moment ago. Of many at once one asks and the
// others wait for the answer.
func (a *asked[T]) get() (T, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Now().Before(a.until) {
		return a.answer, a.err
	}
	a.answer, a.err = a.try()
	a.until = time.Now().Add(askedKept)
	return a.answer, a.err
}

func (a *asked[T]) try() (answer T, err error) {
	if a.busy {
		return answer, errBusy
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	type result struct {
		answer T
		err    error
	}
	came := make(chan result, 1)
	go func() {
		defer cancel()
		var r result
		defer func() {
			if p := recover(); p != nil { // a panic in a goroutine would end the process
				r.err = fmt.Errorf("panic: %v", p)
			}
			came <- r
		}()
		r.answer, r.err = a.ask(ctx)
	}()
	select {
	case r := <-came:
		return r.answer, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-came: // it came in together with the deadline
		return r.answer, r.err
	default:
	}
	a.busy = true
	go func() {
		<-came
		a.mu.Lock()
		defer a.mu.Unlock()
		a.busy = false
	}()
	return answer, ctx.Err()
}

// collecting is a collector that is a function.
type collecting struct {
	descs   []*prometheus.Desc
	collect func(chan<- prometheus.Metric)
}

func (c collecting) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

func (c collecting) Collect(out chan<- prometheus.Metric) { c.collect(out) }

type waiting struct {
	letters int
	since   time.Time
}

// Outbox has the outbox asked what waits in it.
func (s *Stats) Outbox(o ports.Outbox, now ports.Clock) {
	a := newAsked(func(ctx context.Context) (waiting, error) {
		n, since, err := o.Waiting(ctx)
		return waiting{n, since}, err
	})
	read := func() (waiting, bool) {
		w, err := a.get()
		if err != nil {
			s.unknown.WithLabelValues("outbox").Inc()
		}
		return w, err == nil
	}
	g := prometheus.GaugeValue
	reading(s, nil, read,
		sample[waiting]{"gatehouse_outbox_letters", "Letters that wait to be sent, of all nodes.", g, func(w waiting) float64 { return float64(w.letters) }},
		sample[waiting]{"gatehouse_outbox_oldest_age_seconds", "How long the oldest letter has been waiting; 0 for none.", g, func(w waiting) float64 { return age(w.since, now) }},
	)
}

func age(since time.Time, now ports.Clock) float64 {
	if since.IsZero() {
		return 0
	}
	return max(now().Sub(since).Seconds(), 0)
}

// Backlogs has the queue of events asked what waits in it for whom.
func (s *Stats) Backlogs(q ports.EventQueue, now ports.Clock) {
	a := newAsked(q.Backlogs)
	labels := []string{"subscriber"}
	waits := prometheus.NewDesc("gatehouse_events_waiting", "Events that a subscriber is to be told of, of all nodes.", labels, nil)
	oldest := prometheus.NewDesc("gatehouse_events_oldest_age_seconds", "How long ago the oldest event that waits has happened; 0 for none.", labels, nil)
	aside := prometheus.NewDesc("gatehouse_events_set_aside", "Events that were set aside, since their subscriber has failed too often.", labels, nil)
	s.registry.MustRegister(collecting{[]*prometheus.Desc{waits, oldest, aside}, func(out chan<- prometheus.Metric) {
		all, err := a.get()
		if err != nil {
			s.unknown.WithLabelValues("events").Inc()
			return
		}
		for _, b := range all {
			out <- prometheus.MustNewConstMetric(waits, prometheus.GaugeValue, float64(b.Waiting), b.Subscriber)
			out <- prometheus.MustNewConstMetric(oldest, prometheus.GaugeValue, age(b.Since, now), b.Subscriber)
			out <- prometheus.MustNewConstMetric(aside, prometheus.GaugeValue, float64(b.Buried), b.Subscriber)
		}
	}})
}

// The states of a component.
var states = []string{"ok", "degraded", "failing"}

// Health has the components asked how they are, as GET /readyz does. One that
// does not answer in time is failing.
func (s *Stats) Health(components map[string]ports.Health) {
	desc := prometheus.NewDesc("gatehouse_component_state", "1 for the state that a component is in, 0 for the others.", []string{"component", "state"}, nil)
	all := map[string]*asked[struct{}]{}
	for name, h := range components {
		all[name] = newAsked(func(ctx context.Context) (struct{}, error) { return struct{}{}, h.Check(ctx) })
	}
	s.registry.MustRegister(collecting{[]*prometheus.Desc{desc}, func(out chan<- prometheus.Metric) {
		var done sync.WaitGroup
		for name, a := range all {
			done.Go(func() {
				_, err := a.get()
				for _, state := range states {
					out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, truth(state == stateOf(err)), name, state)
				}
			})
		}
		done.Wait()
	}})
}

func stateOf(err error) string {
	if err == nil {
		return "ok"
	}
	if _, degraded := errors.AsType[*ports.Degraded](err); degraded {
		return "degraded"
	}
	return "failing"
}
