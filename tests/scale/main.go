// Command scale puts many sessions into PostgreSQL and into Redis and measures
// what they take: bytes, log of writes, and how fast they are pruned. It prints
// what that makes for a hundred million.
//
//	go run ./tests/scale                       a million each; some minutes, 2 GB of disk and 1 GB of memory
//	go run ./tests/scale -sessions 100000
//
// Both servers are throw-away ones (tests/pgtest, tests/redistest), with the
// settings by which log is written as in production: full page images are on.
// The figures of bytes are those of any machine; rates are this one's.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"time"

	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

// perUser is how many sessions each user has.
const perUser = 2

// agent is the User-Agent of a browser of today: it is kept with the session.
const agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"

// operations is how many of each are measured one by one.
const operations = 5000

func main() {
	sessions := flag.Int("sessions", 1_000_000, "how many to put into each store")
	only := flag.String("only", "", "one of the stores: redis or postgres")
	flag.Parse()
	if err := run(context.Background(), *sessions, *only); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, sessions int, only string) error {
	fmt.Printf("%d sessions of %d users\n\n", sessions, sessions/perUser)
	for _, store := range []struct {
		name    string
		measure func(context.Context, int) (*figures, error)
	}{{"postgres", measurePostgres}, {"redis", measureRedis}} {
		if only != "" && only != store.name {
			continue
		}
		f, err := store.measure(ctx, sessions)
		if err != nil {
			return fmt.Errorf("%s: %w", store.name, err)
		}
		f.print(store.name)
	}
	return nil
}

// figures are those of one store.
type figures struct {
	lines []figure
}

// figure is a number of bytes, each of which is for a session, or a rate.
type figure struct {
	what  string
	value float64
	unit  string
	grows bool // with the number of sessions
}

func (f *figures) add(what string, value float64, unit string, grows bool) {
	f.lines = append(f.lines, figure{what, value, unit, grows})
}

func (f *figures) print(store string) {
	fmt.Printf("%s\n", store)
	for _, l := range f.lines {
		fmt.Printf("  %-52s %10.0f %s", l.what, l.value, l.unit)
		if l.grows {
			fmt.Printf("   (100 million: %.0f GB)", l.value*1e8/1e9)
		}
		fmt.Println()
	}
	fmt.Println()
}

// owner is the n-th user, key the key of the n-th session.
func owner(n int) user.ID { return user.ID{UUID: idOf(n)} }

func idOf(n int) uuid.UUID {
	var random [8]byte
	binary.BigEndian.PutUint64(random[:], uint64(n)*0x9e3779b97f4a7c15) // spread, as random ones are
	return uuid.New(began.Add(time.Duration(n)*time.Microsecond), random)
}

func key(n int) session.Key {
	var random [session.TokenBytes]byte
	binary.BigEndian.PutUint64(random[:], uint64(n))
	return session.NewToken(random).Key()
}

// began is when the first session begins; all last for a day without use.
var began = time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)

func newSession(n int) session.Session {
	return session.Begin(session.Start{
		ID: session.ID{UUID: idOf(n)}, Key: key(n), UserID: owner(n / perUser), Methods: session.ByPassword,
		Device: session.NewDevice(agent, netip.MustParseAddr("192.0.2.1")),
	}, session.DefaultLifetime, began.Add(time.Duration(n)*time.Millisecond/1000))
}

// each runs f for 0 to n-1, some side by side, and returns how long it took.
func each(n int, f func(i int) error) (time.Duration, error) {
	const workers = 32
	failed := make(chan error, workers)
	begun := time.Now()
	for w := range workers {
		go func() {
			for i := w; i < n; i += workers {
				if err := f(i); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	var err error
	for range workers {
		if e := <-failed; e != nil {
			err = e
		}
	}
	return time.Since(begun), err
}
