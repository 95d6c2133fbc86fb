package bootstrap

import (
	"context"
	"io"
	"log/slog"
)

// The background, for its tests.
var (
	StartWork = startWork
	StopWork  = (*work).stop
)

// EveryTenMinutes is a task at the pace of pruning.
func EveryTenMinutes(run func(context.Context)) task { return task{run, pruneEvery} }

// GatheringLogger is the logger of a serving node, for its tests.
func GatheringLogger(to io.Writer) (log *slog.Logger, flush func()) {
	return gatheringLogger(to, slog.LevelInfo)
}
