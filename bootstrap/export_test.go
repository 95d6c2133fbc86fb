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

// Lingering is how mail in work outlives a node that stops.
var Lingering = lingering

// MailGoes tells where a node sends mails, and what is odd about its settings.
func MailGoes(n *Node) (where string, doubts []string) { return n.mailGoes(), n.doubts() }

// GatheringLogger is the logger of a serving node, for its tests.
func GatheringLogger(to io.Writer) (log *slog.Logger, flush func()) {
	return gatheringLogger(to, slog.LevelInfo)
}

// MemoryFor and AfterEachCollection are how garbage is bounded.
var (
	MemoryFor           = memoryFor
	AfterEachCollection = afterEachCollection
)
