package bootstrap_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/bootstrap"
)

// TestBackground: a task runs about every ten minutes, a panic in it is logged
// and not its end, and it ends when it is told to.
func TestBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		runs := 0
		work := bootstrap.StartWork(slog.New(slog.NewTextHandler(&log, nil)), bootstrap.EveryTenMinutes(func(context.Context) {
			runs++
			if runs == 1 {
				panic("the first time")
			}
		}))
		time.Sleep(4 * time.Hour)
		bootstrap.StopWork(work)
		if runs < 18 || runs > 30 {
			t.Errorf("%d runs in four hours, want about 24", runs)
		}
		if !strings.Contains(log.String(), "panic in the background") || !strings.Contains(log.String(), "the first time") {
			t.Errorf("the panic is not logged: %q", log.String())
		}
		before := runs
		time.Sleep(time.Hour)
		if runs != before {
			t.Error("it runs on after it was stopped")
		}
	})
}
