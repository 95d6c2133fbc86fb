package bootstrap

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

// pruneEvery is how often sessions that have run out are deleted, on average.
// Each wait is between half of it and one and a half, so that nodes which were
// started together do not prune together.
const pruneEvery = 10 * time.Minute

// work is what runs beside the requests.
type work struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// startWork runs each task again and again until the work is stopped.
func startWork(log *slog.Logger, tasks ...func(context.Context)) *work {
	ctx, cancel := context.WithCancel(context.Background())
	w := &work{cancel: cancel}
	for _, task := range tasks {
		w.done.Go(func() {
			for wait(ctx, pruneEvery/2+rand.N(pruneEvery)) {
				supervised(ctx, log, task)
			}
		})
	}
	return w
}

// stop ends the work and returns when it has ended.
func (w *work) stop() {
	w.cancel()
	w.done.Wait()
}

// supervised runs a task once. A panic in it is logged; it would otherwise end
// the process and every request in it.
func supervised(ctx context.Context, log *slog.Logger, task func(context.Context)) {
	defer func() {
		if p := recover(); p != nil {
			log.ErrorContext(ctx, "panic in the background", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	task(ctx)
}

// wait reports whether the time has passed before ctx was done.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// prune deletes sessions that have run out.
func (n *Node) prune(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	deleted, err := n.house.sessions.Prune(ctx)
	switch log := n.program.Log; {
	case err != nil && ctx.Err() != context.Canceled:
		log.WarnContext(ctx, "pruning sessions failed; it is tried again later", "error", err)
	case deleted > 0:
		log.DebugContext(ctx, "pruned sessions that had run out", "deleted", deleted)
	}
}
