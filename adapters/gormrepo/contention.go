package gormrepo

import (
	"context"
	"math/rand/v2"
	"time"

	"gatehouse/domain/fault"
)

// Pauses between attempts of writers that contend for one row: each is drawn at
// random up to a bound, which doubles from the first to the last.
const (
	firstPause = 2 * time.Millisecond
	lastPause  = 64 * time.Millisecond
)

// contend repeats an attempt until it is done or fails. An attempt is not done
// if the row was changed by somebody else between its reading and its writing;
// since somebody has always got through then, only the context ends it.
func contend(ctx context.Context, attempt func() (done bool, err error)) error {
	for bound := firstPause; ; bound = min(2*bound, lastPause) {
		done, err := attempt()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fault.Outage(ctx.Err())
		case <-time.After(rand.N(bound)):
		}
	}
}
