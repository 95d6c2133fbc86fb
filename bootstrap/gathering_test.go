package bootstrap_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"gatehouse/bootstrap"
)

// slowly counts the writes that reach it.
type slowly struct {
	mu     sync.Mutex
	writes int
	text   bytes.Buffer
}

func (s *slowly) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	return s.text.Write(p)
}

func (s *slowly) seen() (int, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes, s.text.String()
}

func TestGatheredLinesAllArrive(t *testing.T) {
	to := &slowly{}
	log, flush := bootstrap.GatheringLogger(to)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 500 {
				log.With("writer", i).Info("line", "n", fmt.Sprintf("%d-%d", i, j))
			}
		})
	}
	wg.Wait()
	flush()
	writes, text := to.seen()
	for i := range 8 {
		for j := range 500 {
			if want := fmt.Sprintf(`"n":"%d-%d"}`, i, j); strings.Count(text, want) != 1 {
				t.Fatalf("%d times in the log: %s", strings.Count(text, want), want)
			}
		}
	}
	if lines := strings.Count(text, "\n"); lines != 4000 || writes > 400 {
		t.Errorf("%d lines in %d writes, want 4000 in a few", lines, writes)
	}
}

// The line before a crash must not be the one that is still waiting.
func TestWarningsDoNotWait(t *testing.T) {
	to := &slowly{}
	log, flush := bootstrap.GatheringLogger(to)
	defer flush()
	log.Info("before")
	log.With("a", 1).WithGroup("g").Log(t.Context(), slog.LevelWarn, "it breaks")
	if _, text := to.seen(); !strings.Contains(text, "before") || !strings.Contains(text, "it breaks") {
		t.Errorf("after a warning the log holds %q", text)
	}
}

// A flood of warnings is not a write for each: that is what all would wait for.
func TestCrowdsOfWarningsGather(t *testing.T) {
	to := &slowly{}
	log, flush := bootstrap.GatheringLogger(to)
	for range 2000 {
		log.Warn("come again")
	}
	if writes, _ := to.seen(); writes > 50 {
		t.Errorf("2000 warnings in %d writes", writes)
	}
	flush()
	if _, text := to.seen(); strings.Count(text, "come again") != 2000 {
		t.Errorf("%d warnings of 2000 arrived", strings.Count(text, "come again"))
	}
}
