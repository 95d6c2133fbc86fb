package bootstrap

import (
	"io"
	"log/slog"
)

// The background, for its tests.
var (
	StartWork = startWork
	StopWork  = (*work).stop
)

// GatheringLogger is the logger of a serving node, for its tests.
func GatheringLogger(to io.Writer) (log *slog.Logger, flush func()) {
	return gatheringLogger(to, slog.LevelInfo)
}
