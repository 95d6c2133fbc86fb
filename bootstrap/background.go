package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"gatehouse/domain/fault"
)

// How often what has run out is deleted, and how often letters are looked for,
// on average. Each wait is between half of it and one and a half, so that nodes
// which were started together do not work together.
const (
	pruneEvery   = 10 * time.Minute
	deliverEvery = time.Second
)

// task is something to be done again and again.
type task struct {
	run   func(context.Context)
	every time.Duration
}

// work is what runs beside the requests.
type work struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// startWork runs each task again and again until the work is stopped.
func startWork(log *slog.Logger, tasks ...task) *work {
	ctx, cancel := context.WithCancel(context.Background())
	w := &work{cancel: cancel}
	for _, t := range tasks {
		w.done.Go(func() {
			for wait(ctx, t.every/2+rand.N(t.every)) {
				supervised(ctx, log, t.run)
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

// prune deletes what has run out.
func (n *Node) prune(ctx context.Context) {
	for what, prune := range map[string]func(context.Context) (int, error){
		"sessions": n.house.sessions.Prune, "tickets": n.house.accounts.Prune, "counts of tries": n.house.guard.Prune,
		"kept answers": n.house.products.Prune, "events set aside": n.house.events.Prune,
	} {
		n.pruneOne(ctx, what, prune)
	}
	n.doubtBacklogs(ctx)
}

func (n *Node) pruneOne(ctx context.Context, what string, prune func(context.Context) (int, error)) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	deleted, err := prune(ctx)
	switch log := n.program.Log; {
	case err != nil && ctx.Err() != context.Canceled:
		log.WarnContext(ctx, "pruning failed; it is tried again later", "what", what, "error", err)
	case deleted > 0:
		log.DebugContext(ctx, "pruned what had run out", "what", what, "deleted", deleted)
	}
}

// sendGrace is how long mail may still be sent when the node stops: a mail that
// is cut off in the middle may have been taken, and would be sent twice.
const sendGrace = 5 * time.Second

// deliver sends the letters that are due. That it does not work is told once,
// and again when it has worked: it is tried every second. A mail that no server
// will ever take is told each time, since it is tried no more.
func (n *Node) deliver(ctx context.Context) {
	sending, cancel := lingering(ctx, sendGrace)
	defer cancel()
	sent, err := n.mailing.Deliver(sending)
	failed := err != nil && sending.Err() == nil
	switch log := n.program.Log; {
	case errors.Is(err, fault.Invalid):
		log.WarnContext(ctx, "mail that no server will take was dropped", "error", oneLine(err))
	case failed && !n.undelivered:
		log.WarnContext(ctx, "mail could not be sent; it is tried again", "error", oneLine(err))
	case failed:
		log.DebugContext(ctx, "mail could still not be sent", "error", oneLine(err))
	case sent > 0:
		log.InfoContext(ctx, "mail sent", "letters", sent)
	}
	n.undelivered = failed || n.undelivered && sent == 0
}

// telling gives what tells a subscriber of what has happened. That one fails is
// logged once, and again when all has gone well in between; what is set aside
// each time, since it is tried no more.
func (n *Node) telling(name string) func(context.Context) {
	failing := false
	return func(ctx context.Context) {
		working, cancel := lingering(ctx, sendGrace)
		defer cancel()
		r, err := n.house.events.Deliver(working, name)
		log := n.program.Log.With("subscriber", name)
		for _, f := range r.Buried {
			log.ErrorContext(ctx, "an event was set aside: its subscriber has failed too often", "failure", f.String())
		}
		var failures []string
		for _, f := range r.Failed {
			failures = append(failures, f.String())
		}
		if err != nil && working.Err() == nil {
			failures = append(failures, err.Error())
		}
		for _, f := range failures {
			level := slog.LevelDebug
			if !failing {
				level = slog.LevelWarn
			}
			log.Log(ctx, level, "a subscriber could not be told; it is tried again", "failure", oneLine(errors.New(f)))
			failing = true
		}
		if r.Told > 0 {
			log.DebugContext(ctx, "a subscriber was told", "events", r.Told)
			failing = failing && len(failures) > 0
		}
	}
}

// doubtBacklogs logs what waits for subscribers that nobody is, and what was set
// aside: nothing else will come of it until somebody looks at it.
func (n *Node) doubtBacklogs(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	doubts, err := n.house.events.Doubts(ctx)
	if err != nil {
		n.program.Log.DebugContext(ctx, "the events that wait could not be counted", "error", err)
	}
	for _, b := range doubts {
		n.program.Log.WarnContext(ctx, "events were set aside, or nobody subscribes to them any more",
			"subscriber", b.Subscriber, "waiting", b.Waiting, "set_aside", b.Buried)
	}
}

// lingering gives a context that is done a while after ctx is.
func lingering(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return longer, func() { stop(); cancel() }
}
