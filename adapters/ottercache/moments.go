package ottercache

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"gatehouse/domain/session"
	"gatehouse/domain/user"
)

// moment is when something was, by two clocks of this machine: that of the
// process, which never goes back, and that on the wall.
//
// The first one stands still while the machine sleeps (on Linux
// CLOCK_MONOTONIC, by which Go counts), and then it is the second one that shows
// how old something is: the kernel sets it when the machine wakes. While the
// process alone is stopped (SIGSTOP, a debugger, a collection of garbage, a
// cgroup that is frozen) both go on. A virtual machine that is paused without
// knowing of it is shown by neither until somebody sets its clock; no program
// inside can tell.
type moment struct{ mono, wall int64 } // nanoseconds

// since is how long before m the other was, by the clock that shows more. A wall
// clock that was set, forth or back, makes it more at the most.
func (m moment) since(o moment) time.Duration {
	return time.Duration(max(m.mono-o.mono, m.wall-o.wall, o.wall-m.wall))
}

// clock tells moments.
type clock func() moment

func newClock() clock {
	start := time.Now().Add(-time.Nanosecond) // so that no moment is the zero of marks
	return func() moment {
		now := time.Now()
		return moment{int64(now.Sub(start)), now.UnixNano()}
	}
}

// marks remember when a session, a user or everything was last forgotten. They
// are slots, in which many share one: whoever shares one with what was forgotten
// is read once more, which is no harm, and there is nothing that grows or has to
// be tidied up.
type marks struct {
	seed  maphash.Seed
	all   atomic.Int64
	slots []atomic.Int64 // moment.mono
}

// slotCount is a power of two: 256 KiB.
const slotCount = 1 << 15

func newMarks() *marks {
	return &marks{seed: maphash.MakeSeed(), slots: make([]atomic.Int64, slotCount)}
}

// slot gives the slot of a session.Key or a user.ID. Nobody can choose with whom
// they share one: the seed is this process's own.
func slot[T comparable](m *marks, of T) *atomic.Int64 {
	return &m.slots[maphash.Comparable(m.seed, of)%slotCount]
}

// setAll remembers that everything was forgotten at the moment.
func (m *marks) setAll(at moment) { raise(&m.all, at.mono) }

// before reports whether the session, its user and everything were forgotten
// before the moment the last time: at the very moment counts as after.
func (m *marks) before(at moment, k session.Key, id user.ID) bool {
	return m.all.Load() < at.mono && slot(m, k).Load() < at.mono && slot(m, id).Load() < at.mono
}

// raise has the mark say at least so.
func raise(v *atomic.Int64, to int64) {
	for {
		was := v.Load()
		if was >= to || v.CompareAndSwap(was, to) {
			return
		}
	}
}
