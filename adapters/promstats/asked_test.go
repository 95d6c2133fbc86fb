package promstats_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/adapters/memory"
	"gatehouse/adapters/promstats"
	"gatehouse/domain/fault"
	"gatehouse/ports"
)

// box is an outbox in which something waits, and queue a queue of events.
type box struct {
	ports.Outbox
	asked *atomic.Int64
	err   error
}

type queue struct {
	ports.EventQueue
	err error
}

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func (b box) Waiting(context.Context) (int, time.Time, error) {
	b.asked.Add(1)
	return 3, noon.Add(-90 * time.Second), b.err
}

func (b queue) Backlogs(context.Context) ([]ports.Backlog, error) {
	return []ports.Backlog{{Subscriber: "stock", Waiting: 2, Since: noon.Add(-time.Minute), Buried: 1}}, b.err
}

func at(now time.Time) ports.Clock { return func() time.Time { return now } }

type health struct{ err error }

func (h health) Check(context.Context) error { return h.err }

func TestWhatWaits(t *testing.T) {
	s, b := promstats.New(""), box{asked: &atomic.Int64{}}
	s.Outbox(b, at(noon))
	s.Backlogs(queue{err: b.err}, at(noon))
	s.Health(map[string]ports.Health{"database": health{}, "policy": health{&ports.Degraded{Says: "x", Err: errFailing}}, "sessions": health{away}})
	s.Policy(func() promstats.Policy { return promstats.Policy{Version: 7, Bad: 8} })
	s.Hashing(func() promstats.Hashing { return promstats.Hashing{Slots: 1, InFlight: 1, Waiting: 5} })
	s.Cache(func() promstats.Cache {
		return promstats.Cache{On: true, Entries: 10, Hits: 90, Misses: 8, Off: 2, Told: 4, Own: 3, Lost: 1}
	})
	for range 20 {
		shown(t, s)
	}
	want(t, shown(t, s),
		"gatehouse_outbox_letters 3", "gatehouse_outbox_oldest_age_seconds 90",
		`gatehouse_events_waiting{subscriber="stock"} 2`, `gatehouse_events_oldest_age_seconds{subscriber="stock"} 60`, `gatehouse_events_set_aside{subscriber="stock"} 1`,
		`gatehouse_component_state{component="database",state="ok"} 1`, `gatehouse_component_state{component="database",state="failing"} 0`,
		`gatehouse_component_state{component="policy",state="degraded"} 1`, `gatehouse_component_state{component="sessions",state="failing"} 1`,
		"gatehouse_policy_version 7", "gatehouse_policy_unusable_version 8",
		"gatehouse_password_hashes_in_flight 1", "gatehouse_password_hashes_waiting 5", "gatehouse_password_hash_slots 1",
		"gatehouse_session_cache_on 1", "gatehouse_session_cache_entries 10", "gatehouse_session_cache_hits_total 90", "gatehouse_session_cache_misses_total 8",
		"gatehouse_session_cache_off_total 2", "gatehouse_session_cache_told_total 4", "gatehouse_session_cache_own_total 3", "gatehouse_session_cache_connection_lost_total 1",
	)
	if n := b.asked.Load(); n > 4 { // once in 5 s; on a slow machine the scrapes take longer
		t.Errorf("21 scrapes asked the database %d times", n)
	}
}

// TestAnOutageIsNoZero: what cannot be known is not shown, and that it could not
// be known is counted.
func TestAnOutageIsNoZero(t *testing.T) {
	s, b := promstats.New(""), box{asked: &atomic.Int64{}, err: fault.Outage(errFailing)}
	s.Outbox(b, at(noon))
	s.Backlogs(queue{err: b.err}, at(noon))
	shown(t, s)
	text := shown(t, s)
	if strings.Contains(text, "gatehouse_outbox_letters") || strings.Contains(text, "gatehouse_events_waiting") {
		t.Errorf("it is shown how much waits though nobody can tell:\n%s", about(text, "gatehouse_outbox_letters"))
	}
	if !strings.Contains(text, `gatehouse_scrape_failures_total{of="outbox"}`) || strings.Contains(text, `gatehouse_scrape_failures_total{of="outbox"} 0`) {
		t.Errorf("the failure is not counted:\n%s", about(text, "gatehouse_scrape_failures_total"))
	}
}

// TestOneThatHangs: a store that disregards its deadline, or panics, holds up no
// scrape for longer, and is not asked again while it hangs.
func TestOneThatHangs(t *testing.T) {
	defer promstats.KeepNothing()()
	s, hang := promstats.New(""), make(chan struct{})
	defer close(hang)
	var asked atomic.Int64
	s.Health(map[string]ports.Health{
		"hangs": check(func(context.Context) error { asked.Add(1); <-hang; return nil }),
		"panic": check(func(context.Context) error { panic("x") }),
		"fine":  memory.New(),
	})
	want(t, shown(t, s),
		`gatehouse_component_state{component="hangs",state="failing"} 1`,
		`gatehouse_component_state{component="panic",state="failing"} 1`,
		`gatehouse_component_state{component="fine",state="ok"} 1`,
	)
	for range 3 {
		shown(t, s)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("it was asked %d times while it hung", n)
	}
}

type check func(context.Context) error

func (c check) Check(ctx context.Context) error { return c(ctx) }
