package bootstrap_test

import (
	"runtime"
	"testing"
	"time"

	"gatehouse/bootstrap"
)

func TestMemoryFor(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ live, want uint64 }{
		{0, 88}, {10, 88}, {64, 88}, {80, 104}, // slack is 24 MiB …
		{96, 120}, {200, 250}, {1000, 1250}, // … or a quarter
	} {
		if got := bootstrap.MemoryFor(c.live * mib); got != int64(c.want*mib) {
			t.Errorf("with %d MiB live the bound is %d MiB, want %d", c.live, got/mib, c.want)
		}
	}
}

func TestAfterEachCollection(t *testing.T) {
	collected := make(chan struct{}, 100)
	bootstrap.AfterEachCollection(func() {
		select {
		case collected <- struct{}{}:
		default:
		}
	})
	for i := range 3 { // the first and the last are called alike
		runtime.GC()
		select {
		case <-collected:
		case <-time.After(10 * time.Second):
			t.Fatalf("collection %d was not told", i+1)
		}
	}
}
