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
		{0, 108}, {10, 108}, {64, 108}, {92, 115}, // a quarter is free to be garbage …
		{200, 250}, {1000, 1250},
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
