package gormrepo

import (
	"context"
	"log/slog"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// slow is how long a statement may take before it is worth a line.
const slow = 200 * time.Millisecond

var _ logger.Interface = gormLogger{}

// gormLogger writes a line for a slow statement and for nothing else: failures
// go up as errors and are logged once, where they are answered. The values of
// parameters are left out, for password hashes and addresses are among them.
type gormLogger struct {
	log   *slog.Logger
	watch Watcher // may be nil
}

// Watcher is told of a statement that is over: its text without values, when it
// began, and what came of it.
type Watcher func(ctx context.Context, text func() string, began time.Time, err error)

// Watch has w told of every statement from now on. It is called before the
// repositories are used.
func (d *DB) Watch(w Watcher) {
	for _, g := range []*gorm.DB{d.read, d.write} {
		if l, ours := g.Logger.(gormLogger); ours {
			l.watch = w
			g.Logger = l
		}
	}
}

func newLogger(log *slog.Logger) gormLogger {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return gormLogger{log: log}
}

func (l gormLogger) LogMode(logger.LogLevel) logger.Interface { return l }
func (gormLogger) Info(context.Context, string, ...any)       {}
func (gormLogger) Warn(context.Context, string, ...any)       {}
func (gormLogger) Error(context.Context, string, ...any)      {}

// Trace is called after every statement.
func (l gormLogger) Trace(ctx context.Context, begin time.Time, statement func() (string, int64), err error) {
	if l.watch != nil {
		l.watch(ctx, func() string { text, _ := statement(); return text }, begin, err)
	}
	if took := time.Since(begin); took >= slow {
		text, rows := statement()
		l.log.WarnContext(ctx, "slow statement", "sql", text, "rows", rows, "took", took)
	}
}

// ParamsFilter keeps the values of parameters out of the text for Trace.
func (gormLogger) ParamsFilter(_ context.Context, sql string, _ ...any) (string, []any) {
	return sql, nil
}
