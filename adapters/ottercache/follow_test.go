package ottercache

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/domain/user"
)

// line is a Wire whose ends are in the hands of a test.
type line struct {
	told   chan string
	broken chan struct{}
	once   sync.Once
	closed bool

	mu     sync.Mutex
	beats  int
	silent bool          // heartbeats are taken and do not come back
	stuck  bool          // nothing is taken any more, as where packets vanish
	delay  time.Duration // that a heartbeat takes
}

func newLine() *line { return &line{told: make(chan string, 1000), broken: make(chan struct{})} }

func (l *line) set(change func(*line)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

func (l *line) cut() { l.once.Do(func() { close(l.broken) }) }

var errCut = errors.New("the line was cut")

func (l *line) Beat(ctx context.Context, text string) error {
	l.mu.Lock()
	l.beats++
	silent, stuck, delay := l.silent, l.stuck, l.delay
	l.mu.Unlock()
	if stuck {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-l.broken:
		return errCut
	default:
	}
	if !silent {
		time.AfterFunc(delay, func() { l.told <- text })
	}
	return nil
}

func (l *line) Hear(ctx context.Context) (string, error) {
	l.mu.Lock()
	stuck := l.stuck
	l.mu.Unlock()
	if stuck {
		<-ctx.Done()
		return "", ctx.Err()
	}
	select {
	case text := <-l.told:
		return text, nil
	case <-l.broken:
		return "", errCut
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (l *line) Close() { l.set(func(l *line) { l.closed = true }) }

// following is a cache that follows lines, of which there is always one more.
type following struct {
	*testing.T
	cache  *Cache
	mu     sync.Mutex
	lines  []*line
	refuse error
}

func (f *following) open(context.Context) (Wire, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return nil, f.refuse
	}
	l := newLine()
	f.lines = append(f.lines, l)
	return l, nil
}

func (f *following) last() *line {
	f.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lines[len(f.lines)-1]
}

func follow(t *testing.T, test func(*following)) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Bound: bound, Now: time.Now})
		must(t, err)
		f := &following{T: t, cache: c}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.Follow(ctx, f.open) }()
		synctest.Wait()
		test(f)
		stop()
		<-done
		if c.Stats().On {
			t.Error("the cache is on when nobody follows any more")
		}
		for i, l := range f.lines {
			if !l.closed {
				t.Errorf("the line %d is left open", i)
			}
		}
		must(t, c.Close())
	})
}

func (f *following) want(on bool, when string) {
	f.Helper()
	synctest.Wait()
	if f.cache.Stats().On != on {
		f.Errorf("%s the cache is on: %t, want %t", when, !on, on)
	}
}

func TestFollow(t *testing.T) {
	t.Run("heartbeats keep it on", func(t *testing.T) {
		follow(t, func(f *following) {
			f.want(true, "at first")
			for range 20 {
				time.Sleep(bound / 4)
				f.want(true, "later")
			}
			if n := f.last().beats; n < 15 || n > 17 {
				f.Errorf("%d heartbeats were sent in five bounds, want three in each", n)
			}
		})
	})
	t.Run("what is told is taken in", func(t *testing.T) {
		follow(t, func(f *following) {
			f.last().told <- "u" + user.ID{}.String()
			f.last().told <- "p"
			synctest.Wait()
			if got := f.cache.Stats().Told; got != 2 {
				f.Errorf("%d changes were heard of, want 2", got)
			}
		})
	})
	t.Run("a line that is cut", func(t *testing.T) {
		follow(t, func(f *following) {
			f.mu.Lock()
			f.refuse = errors.New("no route")
			f.mu.Unlock()
			f.last().cut()
			f.want(false, "cut")
			time.Sleep(10 * bound)
			f.want(false, "while there is none")
			if lost := f.cache.Stats().Lost; lost < 5 {
				f.Errorf("lost %d times in ten bounds, want an attempt about every one", lost)
			}
			f.mu.Lock()
			f.refuse = nil
			f.mu.Unlock()
			time.Sleep(2 * bound)
			f.want(true, "with another one")
		})
	})
	t.Run("a line on which packets vanish", func(t *testing.T) {
		follow(t, func(f *following) {
			time.Sleep(bound/3 - time.Nanosecond) // just before the next heartbeat
			f.last().set(func(l *line) { l.stuck = true })
			time.Sleep(bound - (bound/3 - time.Nanosecond))
			f.want(false, "a bound after the last heartbeat that came back was sent")
			time.Sleep(4 * bound)
			f.want(true, "over another line")
			if len(f.lines) < 2 {
				f.Error("the line is still waited for")
			}
		})
	})
	t.Run("a line that takes everything and brings nothing", func(t *testing.T) {
		follow(t, func(f *following) {
			f.last().set(func(l *line) { l.silent = true })
			time.Sleep(bound)
			f.want(false, "a bound later")
			time.Sleep(2*openTime + 3*bound)
			f.want(true, "over another line")
		})
	})
	t.Run("a line that is slow", func(t *testing.T) {
		follow(t, func(f *following) {
			f.last().set(func(l *line) { l.delay = bound / 2 })
			for range 20 {
				time.Sleep(bound / 4)
				f.want(true, "with heartbeats that take half a bound")
			}
			f.last().set(func(l *line) { l.delay = bound + time.Nanosecond })
			time.Sleep(3 * bound)
			f.want(false, "with heartbeats that take longer than the bound")
		})
	})
}

func TestRead(t *testing.T) {
	id := user.ID{UUID: [16]byte{1, 2, 3}}
	for text, want := range map[string]news{
		"u" + id.String(): ofUser, "b1": beat, "b": beat, "": everything, "p": everything, "*": everything,
		"u": everything, "u1": everything, "U" + id.String(): everything, "u" + id.String() + " ": everything, "uu" + id.String(): everything,
	} {
		got, of := read(text)
		if got != want || want == ofUser && of != id {
			t.Errorf("read(%q) = %v %s, want %v", text, got, of, want)
		}
	}
}

// FuzzRead: whoever may connect to the database may notify anything. It is a
// heartbeat only in form, a user only with an id, and all else is everything.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"", "p", "b1", "u", "u0190b2d5-0000-7000-8000-000000000000", "u0190B2D5-0000-7000-8000-000000000000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		switch what, id := read(text); what {
		case ofUser:
			if !strings.EqualFold(text, "u"+id.String()) {
				t.Errorf("%q is taken for the user %s", text, id)
			}
		case beat:
			if text[0] != 'b' {
				t.Errorf("%q is taken for a heartbeat", text)
			}
		default:
			if !id.IsZero() {
				t.Errorf("%q names %s", text, id)
			}
		}
	})
}
