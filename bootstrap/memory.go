package bootstrap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How much garbage there may be. The heap may grow to three times what is live: a
// few MiB are, and by Go's default a busy node would collect dozens of times a
// second. Where much is live, as when thousands connect at once, that is too much:
// all that Go holds is bounded, then, by what is live and a quarter of it, so that
// collecting never takes most of the time.
//
// leastMemory has room for the garbage of a hash, 19 MiB, beside the next one: with
// 88 MiB each hash began with a collection, which took as long as the hash and had
// GET /me wait. With 116, ten thousand who connect at once took more memory than
// they may (make bench; scenario 6 of make attacks).
const (
	percent     = 200
	leastMemory = 108 << 20
)

// memoryFor is the bound where so many bytes are live.
func memoryFor(live uint64) int64 {
	return int64(max(live+live/4, leastMemory))
}

// boundGarbage sets the bound after every collection anew.
func boundGarbage() {
	debug.SetGCPercent(percent)
	debug.SetMemoryLimit(leastMemory)
	afterEachCollection(func() { debug.SetMemoryLimit(memoryFor(liveBytes())) })
}

// notGarbage are the metrics of what a collection has found in use, and of what
// Go needs for itself.
var notGarbage = []string{
	"/gc/heap/live:bytes", "/memory/classes/heap/stacks:bytes",
	"/memory/classes/metadata/mcache/inuse:bytes", "/memory/classes/metadata/mspan/inuse:bytes", "/memory/classes/metadata/other:bytes",
	"/memory/classes/os-stacks:bytes", "/memory/classes/other:bytes", "/memory/classes/profiling/buckets:bytes",
}

func liveBytes() (sum uint64) {
	samples := make([]metrics.Sample, len(notGarbage))
	for i, name := range notGarbage {
		samples[i].Name = name
	}
	metrics.Read(samples)
	for _, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 { // else this Go does not know it
			sum += s.Value.Uint64()
		}
	}
	return sum
}

// sentinel is an object that nobody uses, so that every collection finds it.
type sentinel struct{ _ [16]byte }

// afterEachCollection calls f after each, on the goroutine of finalizers.
func afterEachCollection(f func()) {
	var again func(*sentinel)
	again = func(s *sentinel) {
		f()
		runtime.SetFinalizer(s, again)
	}
	runtime.SetFinalizer(&sentinel{}, again)
}
