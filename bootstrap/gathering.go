package bootstrap

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// How long a log line may wait for others to be written with it, and how many
// bytes may. A write for each line is a tenth of what GET /me costs.
const (
	gatherFor  = 100 * time.Millisecond
	gatherSize = 32 << 10
)

// gathering collects what is written to it and passes it on in one piece.
type gathering struct {
	to io.Writer

	mu     sync.Mutex
	lines  []byte
	timer  *time.Timer // passes on what waits
	passed time.Time   // when something was passed on last
}

func newGathering(to io.Writer) *gathering {
	g := &gathering{to: to, lines: make([]byte, 0, gatherSize+4<<10)}
	g.timer = time.AfterFunc(time.Hour, g.flush)
	g.timer.Stop()
	return g
}

// gatheringLogger logs JSON lines through a gathering.
func gatheringLogger(to io.Writer, level slog.Level) (log *slog.Logger, flush func()) {
	g := newGathering(to)
	return slog.New(prompt{slog.NewJSONHandler(g, &slog.HandlerOptions{Level: level}), g}), g.flush
}

// Write keeps a copy of p until it is passed on.
func (g *gathering) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.lines) == 0 {
		g.timer.Reset(gatherFor)
	}
	g.lines = append(g.lines, p...)
	if len(g.lines) >= gatherSize {
		g.pass()
	}
	return len(p), nil
}

// flush passes on what waits.
func (g *gathering) flush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pass()
}

// hurry passes on what waits, unless that was done just now: then the timer
// does. In a flood of warnings a write for each would be what everybody waits
// for: of ten thousand requests refused at once, thousands stood here and held
// the memory of a request each.
func (g *gathering) hurry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.passed) >= gatherFor {
		g.pass()
	}
}

// pass needs the lock. A log that cannot be written is no reason to fail a
// request, and there is nobody left to tell.
func (g *gathering) pass() {
	if len(g.lines) > 0 {
		_, _ = g.to.Write(g.lines)
		g.lines, g.passed = g.lines[:0], time.Now()
	}
	g.timer.Stop()
}

// prompt is a handler over a gathering that lets no warning wait, but for those
// that come in crowds: what is logged last before a crash is what one wants to
// read.
type prompt struct {
	slog.Handler
	gathering *gathering
}

func (p prompt) Handle(ctx context.Context, r slog.Record) error {
	err := p.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		p.gathering.hurry()
	}
	return err
}

func (p prompt) WithAttrs(attrs []slog.Attr) slog.Handler {
	return prompt{p.Handler.WithAttrs(attrs), p.gathering}
}

func (p prompt) WithGroup(name string) slog.Handler {
	return prompt{p.Handler.WithGroup(name), p.gathering}
}
