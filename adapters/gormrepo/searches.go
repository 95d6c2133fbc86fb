package gormrepo

import (
	"context"
	"errors"
	"time"

	"gatehouse/domain/fault"
)

// What may look at much of a table, searches and totals, has a quarter of the
// connections and no more. Else fifty slow ones would hold them all, and who does
// nothing but show a session would wait for them until the time of the request is
// up. Measured with fifty searches that each wait for the statement timeout: without
// a bound no GET /me was answered (scenario 3 of make test-faults); with a third,
// three of ten, searches that read all took both cores of the machine that PostgreSQL
// shares, and the slowest hundredth of GET /me took 120 ms, instead of 16 to 56.

// patience is how long a search waits for a place: longer than the queue that
// bursts of quick ones make, and less than what the time of a request has beyond
// the statement timeout. Else a slow one would be given up by us before PostgreSQL
// does, which costs the connection and leaves the other side of it at work.
const patience = 150 * time.Millisecond

var errSearches = errors.New("too many searches are under way")

// searching takes a place among the searches, and gives the way out of it. Where
// none becomes free in time it returns fault.Unavailable. SQLite has no places:
// its readers are few, and all in this process.
func (d *DB) searching(ctx context.Context) (leave func(), err error) {
	if d.searches == nil {
		return func() {}, nil
	}
	leave = func() { <-d.searches }
	select {
	case d.searches <- struct{}{}:
		return leave, nil
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case d.searches <- struct{}{}:
		return leave, nil
	case <-timer.C:
		err := fault.Outage(errSearches)
		err.RetryAfter = 2 * time.Second
		return nil, err
	case <-ctx.Done():
		return nil, fault.Outage(ctx.Err())
	}
}
