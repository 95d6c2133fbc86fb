package ottercache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/adapters/memory"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

const bound = time.Second

// stage is a cache over a store in memory, in which ann has a session. What is
// done to db is done behind the back of the cache, as another node does it.
type stage struct {
	tester
	db     *memory.DB
	cache  *Cache
	store  *watched
	ann    user.User
	one    session.Session
	follow *follower

	// How the cache is asked and told; a mutant does it in another way.
	resume func(session.Key) (session.Resumed, error)
	take   func(text string)
	blind  bool // it does not look at the wall clock
}

type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Context() context.Context
}

// watched counts what is resumed, and does something when that was read and is
// still on its way.
type watched struct {
	ports.SessionRepository
	reads  int
	during func()
}

func (s *watched) Resume(ctx context.Context, k session.Key) (session.Resumed, error) {
	s.reads++
	r, err := s.SessionRepository.Resume(ctx, k)
	if f := s.during; f != nil {
		s.during = nil
		f()
	}
	return r, err
}

// newStage is within a bubble of synctest, whose time stands still but for sleep.
func newStage(t *testing.T, to tester) *stage {
	t.Helper()
	db := memory.New()
	cache, err := New(Config{Bound: bound, Now: time.Now})
	must(t, err)
	t.Cleanup(func() { must(t, cache.Close()) })
	s := &stage{tester: to, db: db, cache: cache, store: &watched{SessionRepository: db.Sessions()}}
	s.follow = &follower{cache: cache, sent: map[string]moment{}, began: cache.clock()}
	s.take = s.follow.take
	repository := cache.Sessions(s.store)
	s.resume = func(k session.Key) (session.Resumed, error) {
		return repository.Resume(ports.AllowStale(t.Context()), k)
	}
	email, err := user.NewEmail("ann@example.com")
	must(t, err)
	s.ann = user.New(user.ID{UUID: uuid.New(time.Now(), [8]byte{1})}, email, user.Name{}, user.NewPasswordHash("$hash"), time.Now())
	must(t, db.Users().Add(t.Context(), s.ann))
	s.one = s.begin(t, 1)
	time.Sleep(time.Millisecond)
	s.beat()
	time.Sleep(time.Millisecond)
	return s
}

func (s *stage) begin(t *testing.T, n byte) session.Session {
	t.Helper()
	one := session.Begin(session.Start{
		ID: session.ID{UUID: uuid.New(time.Now(), [8]byte{n})}, Key: session.NewToken([32]byte{n}).Key(), UserID: s.ann.ID(), Methods: session.ByPassword,
	}, session.DefaultLifetime, time.Now())
	must(t, s.db.Sessions().Add(t.Context(), one))
	return one
}

// beat has a heartbeat come back that was sent now.
func (s *stage) beat() { s.follow.alive(s.cache.clock()) }

// pass lets time go by while heartbeats come and go. After what turned the cache
// on there is a moment, so that what is read then counts.
func (s *stage) pass(d time.Duration) {
	for ; d > bound/4; d -= bound / 4 {
		time.Sleep(bound / 4)
		s.beat()
	}
	time.Sleep(d)
	s.beat()
}

// name is the one that resuming gives ann, "" for no session.
func (s *stage) name() string {
	s.Helper()
	r, err := s.resume(s.one.Key())
	if errors.Is(err, fault.NotFound) {
		return "nobody"
	}
	if err != nil {
		s.Fatalf("Resume = %v", err)
	}
	return r.User.Name()
}

func (s *stage) wantName(want, when string) {
	s.Helper()
	if got := s.name(); got != want {
		s.Errorf("%s the user's name is %q, want %q", when, got, want)
	}
}

// rename changes ann in the store.
func (s *stage) rename(in ports.UserRepository, to string) {
	s.Helper()
	name, err := user.NewName(to)
	if err == nil {
		_, err = in.Update(s.Context(), s.ann.ID(), func(u *user.User) error { u.Rename(name, time.Now()); return nil })
	}
	if err != nil {
		s.Fatalf("Update = %v", err)
	}
}

// tell is what PostgreSQL tells of a change of ann.
func (s *stage) tell() { s.take("u" + s.ann.ID().String()) }

// sleeper gives by how much the wall clock is ahead of that of the process.
func (s *stage) sleeper() *time.Duration {
	ahead, awake := new(time.Duration), s.cache.clock
	s.cache.clock = func() moment {
		m := awake()
		if !s.blind {
			m.wall += int64(*ahead)
		}
		return m
	}
	return ahead
}

type promise struct {
	name string
	hold func(*stage)
}

var promises = []promise{
	{"what was read is used within the bound and no longer", func(s *stage) {
		s.wantName("", "at first")
		s.rename(s.db.Users(), "Ann")
		s.pass(bound - time.Nanosecond)
		s.wantName("", "just within the bound")
		time.Sleep(time.Nanosecond)
		s.wantName("Ann", "at the bound")
	}},
	{"age counts from before the statement", func(s *stage) {
		s.store.during = func() { // the answer of a busy store takes long
			s.pass(bound / 2)
			s.rename(s.db.Users(), "Ann")
		}
		s.wantName("", "read before the change")
		s.pass(bound / 2)
		s.wantName("Ann", "a bound after the statement was sent")
	}},
	{"what is told is obeyed at once", func(s *stage) {
		s.wantName("", "at first")
		s.rename(s.db.Users(), "Ann")
		s.tell()
		s.wantName("Ann", "after it was told")
		time.Sleep(time.Millisecond)
		s.wantName("Ann", "a moment later")
		reads := s.store.reads
		s.wantName("Ann", "once more")
		if s.store.reads != reads {
			s.Errorf("what was told of is never used again")
		}
		for _, news := range []string{"p", "*", "", "u", "unknown", "u" + strings.Repeat("0", 36)[:35]} {
			s.rename(s.db.Users(), "Ann "+fmt.Sprint(len(news)))
			s.take(news)
			s.wantName("Ann "+fmt.Sprint(len(news)), "after "+news+" was told")
			time.Sleep(time.Millisecond)
			s.wantName("Ann "+fmt.Sprint(len(news)), "a moment later")
		}
	}},
	{"what is told while a read is under way counts against it", func(s *stage) {
		s.store.during = func() {
			s.rename(s.db.Users(), "Ann")
			s.tell()
			time.Sleep(time.Millisecond)
		}
		s.wantName("", "read before the change")
		s.wantName("Ann", "after it was told")
	}},
	{"what is changed here is obeyed at once", func(s *stage) {
		users, policies, repository, directory := s.cache.Users(s.db.Users()), s.cache.Policies(s.db.Policies()), s.cache.Sessions(s.store), s.cache.Directory(s.db.Sessions())
		s.wantName("", "at first")
		s.rename(users, "Ann")
		s.wantName("Ann", "after it was changed here")

		time.Sleep(time.Millisecond)
		s.store.during = func() { s.rename(users, "Bea"); time.Sleep(time.Millisecond) }
		s.pass(bound)
		s.wantName("Ann", "read before the change")
		s.wantName("Bea", "after it was changed while it was read")

		s.version(0)
		seeded, err := policies.Seed(s.Context(), access.Revision{Edit: access.Edit{At: time.Now()}, Table: access.Table{}})
		if err != nil || !seeded {
			s.Fatalf("Seed = %v, %v", seeded, err)
		}
		s.version(1)
		row := access.Row{ID: access.PolicyID{UUID: uuid.New(time.Now(), [8]byte{9})}, Role: "user", Resource: "product", Action: "read", Condition: "any", Effect: "allow"}
		if _, err := policies.Change(s.Context(), access.Edit{At: time.Now()}, func(t *access.Table) error { t.Rows = append(t.Rows, row); return nil }); err != nil {
			s.Fatalf("Change = %v", err)
		}
		s.version(2)

		s.pass(10 * time.Minute)
		s.name()
		renewed, _ := s.one.Renewed(session.DefaultLifetime, time.Now())
		if err := repository.Replace(s.Context(), s.one.Key(), renewed, session.Reason{}, time.Now()); err != nil {
			s.Fatalf("Replace = %v", err)
		}
		if r, _ := s.resume(s.one.Key()); !r.Session.SeenAt().Equal(renewed.SeenAt()) {
			s.Errorf("a renewal is not seen")
		}
		ending := session.Ending{Why: session.SignedOut, At: time.Now()}
		ends := []func() error{
			func() error { _, err := repository.End(s.Context(), s.one.Key(), ending); return err },
			func() error { _, err := directory.EndOne(s.Context(), s.ann.ID(), s.one.ID(), ending); return err },
			func() error {
				_, err := directory.EndOthers(s.Context(), s.ann.ID(), session.Key{}, ending)
				return err
			},
			func() error { _, err := directory.Trim(s.Context(), s.ann.ID(), 0, ending); return err },
			func() error { _, err := directory.Prune(s.Context(), time.Now().Add(48*time.Hour), 10); return err },
			func() error { return users.Delete(s.Context(), s.ann.ID(), func(user.User) error { return nil }) },
		}
		for i, end := range ends {
			s.wantName("Bea", "before the end")
			if err := end(); err != nil {
				s.Fatalf("ending %d = %v", i, err)
			}
			s.wantName("nobody", fmt.Sprintf("after the end %d", i))
			if i < len(ends)-1 {
				if err := s.db.Sessions().Add(s.Context(), renewed); err != nil {
					s.Fatalf("Add = %v", err)
				}
			}
			time.Sleep(time.Millisecond)
		}
	}},
	{"who is silent is not believed", func(s *stage) {
		time.Sleep(bound - 10*time.Millisecond) // since the last sign of life
		s.wantName("", "at first")
		s.rename(s.db.Users(), "Ann")
		s.wantName("", "while something was heard in time")
		time.Sleep(20 * time.Millisecond)
		s.wantName("Ann", "a bound after the last sign of life")
	}},
	{"what was missed is not believed", func(s *stage) {
		time.Sleep(bound - 10*time.Millisecond)
		s.wantName("", "at first")
		time.Sleep(20 * time.Millisecond)
		s.rename(s.db.Users(), "Ann") // and nobody hears of it
		time.Sleep(time.Millisecond)
		s.beat()
		s.wantName("Ann", "when something is heard again")
	}},
	{"a heartbeat that is too late is none", func(s *stage) {
		s.follow.sent["b1"] = s.cache.clock()
		time.Sleep(bound)
		s.take("b1")
		time.Sleep(time.Millisecond)
		s.wantName("", "at first")
		s.rename(s.db.Users(), "Ann")
		s.wantName("Ann", "since the cache is off")
	}},
	{"a heartbeat of others is none", func(s *stage) {
		time.Sleep(bound)
		s.take("b7")
		time.Sleep(time.Millisecond)
		s.wantName("", "at first")
		s.rename(s.db.Users(), "Ann")
		s.wantName("Ann", "since the cache is off")
	}},
	{"no is never said from here", func(s *stage) {
		time.Sleep(session.DefaultLifetime.Idle - bound/2)
		s.beat()
		time.Sleep(time.Millisecond)
		s.wantName("", "just before it falls idle")
		state := s.one.State() // renewed by another node
		state.IdleEnd, state.End = state.IdleEnd.Add(time.Hour), state.End.Add(time.Hour)
		if err := s.db.Sessions().Replace(s.Context(), s.one.Key(), session.Restore(state), session.Reason{}, time.Now()); err != nil {
			s.Fatalf("Replace = %v", err)
		}
		s.pass(bound / 2)
		if r, err := s.resume(s.one.Key()); err != nil || !r.Good(time.Now()) {
			s.Errorf("a session that another node has renewed is over: %v", err)
		}
	}},
	{"what is not there is not kept", func(s *stage) {
		if _, err := s.store.SessionRepository.End(s.Context(), s.one.Key(), session.Ending{Why: session.SignedOut, At: time.Now()}); err != nil {
			s.Fatalf("End = %v", err)
		}
		s.wantName("nobody", "without a session")
		if err := s.db.Sessions().Add(s.Context(), s.one); err != nil {
			s.Fatalf("Add = %v", err)
		}
		s.wantName("", "with one")
		if n := s.cache.entries.EstimatedSize(); n != 1 {
			s.Errorf("%d entries are kept, want 1", n)
		}
	}},
	{"what may not act is not kept", func(s *stage) {
		if _, err := s.db.Users().Update(s.Context(), s.ann.ID(), func(u *user.User) error { u.Disable(time.Now()); return nil }); err != nil {
			s.Fatalf("Update = %v", err)
		}
		s.wantName("", "disabled")
		if n := s.cache.entries.EstimatedSize(); n != 0 {
			s.Errorf("%d entries are kept, want none", n)
		}
		if _, err := s.db.Users().Update(s.Context(), s.ann.ID(), func(u *user.User) error { u.Enable(time.Now()); return nil }); err != nil {
			s.Fatalf("Update = %v", err)
		}
		s.rename(s.db.Users(), "Ann")
		s.wantName("Ann", "enabled")
	}},
	{"the machine may have slept", func(s *stage) {
		asleep := s.sleeper()
		for i, wall := range []time.Duration{time.Hour, 0} { // the second one sets the clock back
			name := fmt.Sprintf("Ann %d", i)
			s.wantName(s.name(), "at first")
			s.rename(s.db.Users(), name)
			*asleep = wall
			s.cache.alive.Store(new(s.cache.clock()))
			s.wantName(name, "after it was awake again")
			time.Sleep(time.Millisecond)
		}
	}},
	{"a heartbeat may have slept", func(s *stage) {
		asleep := s.sleeper()
		if !s.cache.on(s.cache.clock()) {
			s.Fatalf("the cache is off")
		}
		if *asleep = bound; s.cache.on(s.cache.clock()) {
			s.Errorf("after the machine was awake again the cache is on before anything was heard")
		}
	}},
}

// flaw is a cache that breaks a promise.
type flaw struct {
	promise string
	does    string
	apply   func(*stage)
}

// asking makes a stage ask in a way of its own: find looks into the cache, keep
// puts in what was read.
func asking(find func(*stage, session.Key) (session.Resumed, bool), keep func(s *stage, k session.Key, r session.Resumed, err error, read moment)) func(*stage) {
	return func(s *stage) {
		s.resume = func(k session.Key) (session.Resumed, error) {
			if r, ok := find(s, k); ok {
				return r, nil
			}
			read := s.cache.clock()
			r, err := s.store.Resume(s.Context(), k)
			keep(s, k, r, err, read)
			return r, err
		}
	}
}

func soundFind(s *stage, k session.Key) (session.Resumed, bool) { return s.cache.find(k) }

func soundKeep(s *stage, k session.Key, r session.Resumed, err error, read moment) {
	if err == nil {
		s.cache.keep(k, r, read)
	}
}

// findWhere looks where only some of what find asks for is asked for.
func findWhere(ask func(s *stage, e *entry, now moment) bool) func(*stage, session.Key) (session.Resumed, bool) {
	return func(s *stage, k session.Key) (session.Resumed, bool) {
		e, ok := s.cache.entries.GetIfPresent(k)
		if !ok || !ask(s, e, s.cache.clock()) {
			return session.Resumed{}, false
		}
		return e.resumed, true
	}
}

var flaws = []flaw{
	{"what was read is used within the bound and no longer", "keeps everything for longer", func(s *stage) {
		kept := map[session.Key]*entry{} // for otter would not: it counts the same time, from when the read was over
		asking(func(s *stage, k session.Key) (session.Resumed, bool) {
			if e := kept[k]; e != nil && s.cache.clock().since(e.read) <= bound {
				return e.resumed, true
			}
			return session.Resumed{}, false
		}, func(_ *stage, k session.Key, r session.Resumed, _ error, read moment) { kept[k] = &entry{r, read} })(s)
	}},
	{"what was read is used within the bound and no longer", "keeps nothing", asking(soundFind, func(*stage, session.Key, session.Resumed, error, moment) {})},
	{"age counts from before the statement", "counts the age from the answer", asking(soundFind, func(s *stage, k session.Key, r session.Resumed, err error, _ moment) {
		soundKeep(s, k, r, err, s.cache.clock())
	})},
	{"what is told is obeyed at once", "hears nothing", func(s *stage) { s.take = func(string) {} }},
	{"what is told is obeyed at once", "hears only what it understands", func(s *stage) {
		s.take = func(text string) {
			if what, _ := read(text); what == ofUser {
				s.follow.take(text)
			}
		}
	}},
	{"what is told is obeyed at once", "never reads anew what it was told of", func(s *stage) {
		s.take = func(text string) {
			s.follow.take(text)
			raise(slot(s.cache.marks, s.ann.ID()), s.cache.clock().mono+int64(time.Hour))
		}
	}},
	{"what is told while a read is under way counts against it", "deletes what it is told of", func(s *stage) {
		s.take = func(string) { s.cache.entries.InvalidateAll() }
	}},
	{"what is changed here is obeyed at once", "forgets users only when it is told", func(s *stage) {
		sound := s.cache.marks
		s.resume = func(k session.Key) (session.Resumed, error) {
			s.cache.marks = newMarks()
			s.cache.marks.setAll(moment{mono: sound.all.Load()})
			return s.cache.Sessions(s.store).Resume(ports.AllowStale(s.Context()), k)
		}
	}},
	{"who is silent is not believed", "does not mind whether anything is heard", asking(
		findWhere(func(s *stage, e *entry, now moment) bool { return s.cache.counts(e, now) }), soundKeep)},
	{"what was missed is not believed", "believes all that is young", asking(
		findWhere(func(s *stage, e *entry, now moment) bool { return s.cache.on(now) && now.since(e.read) < s.cache.bound }), soundKeep)},
	{"a heartbeat that is too late is none", "takes a heartbeat for one of now", func(s *stage) {
		s.take = func(string) { s.beat() }
	}},
	{"a heartbeat of others is none", "takes every heartbeat for its own", func(s *stage) {
		s.take = func(string) { s.beat() }
	}},
	{"no is never said from here", "says no", asking(
		findWhere(func(s *stage, e *entry, now moment) bool { return s.cache.on(now) && s.cache.counts(e, now) }), soundKeep)},
	{"what is not there is not kept", "keeps that there is nothing", func(s *stage) {
		none := map[session.Key]bool{}
		sound := s.resume
		s.resume = func(k session.Key) (session.Resumed, error) {
			if none[k] {
				return session.Resumed{}, session.ErrUnknown
			}
			r, err := sound(k)
			none[k] = err != nil
			return r, err
		}
	}},
	{"what may not act is not kept", "keeps everybody", asking(soundFind, func(s *stage, k session.Key, r session.Resumed, err error, read moment) {
		if err == nil {
			s.cache.entries.Set(k, &entry{r, read})
		}
	})},
	{"the machine may have slept", "goes by the clock of the process alone", processClock},
	{"a heartbeat may have slept", "goes by the clock of the process alone", processClock},
}

func processClock(s *stage) { s.blind = true }

// recorder keeps failures to itself.
type recorder struct {
	*testing.T
	said []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// failures holds a cache, with a flaw or without, to a promise.
func failures(t *testing.T, p promise, apply func(*stage)) []string {
	r := &recorder{T: t}
	synctest.Test(t, func(t *testing.T) {
		r.T = t
		s := newStage(t, r)
		apply(s)
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.hold(s)
		}()
		<-done
	})
	return r.said
}

// TestPromises holds the cache to what its package says, and each promise to
// being broken by a cache that has the flaw.
func TestPromises(t *testing.T) {
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) {
			if said := failures(t, p, func(*stage) {}); len(said) > 0 {
				t.Errorf("a sound cache fails: %q", said)
			}
			proven := false
			for _, f := range flaws {
				if f.promise != p.name {
					continue
				}
				proven = true
				if said := failures(t, p, f.apply); len(said) == 0 {
					t.Errorf("a cache passes that %s", f.does)
				} else if testing.Verbose() {
					t.Logf("a cache that %s: %.200s", f.does, said[0])
				}
			}
			if !proven {
				t.Error("no flaw shows that this can fail")
			}
		})
	}
	for _, f := range flaws {
		if !slices.ContainsFunc(promises, func(p promise) bool { return p.name == f.promise }) {
			t.Errorf("the flaw that it %s breaks the promise %q, which is not there", f.does, f.promise)
		}
	}
}

// version wants sessions to be resumed with the version of the policy.
func (s *stage) version(want int64) {
	s.Helper()
	time.Sleep(time.Millisecond)
	if r, err := s.resume(s.one.Key()); err != nil || r.PolicyVersion != want {
		s.Errorf("the policy's version is %d, %v, want %d", r.PolicyVersion, err, want)
	}
}

// TestWhatOthersAreTold: over a store that tells nobody, the cache tells of what
// has ended, and it is no failure that it cannot.
func TestWhatOthersAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, &recorder{T: t})
		told, down := 0, error(nil)
		s.cache.tell = func(_ context.Context, id user.ID) error {
			if id != s.ann.ID() {
				t.Errorf("%s is told of, want ann", id)
			}
			told++
			return down
		}
		repository, directory, ctx := s.cache.Sessions(s.store), s.cache.Directory(s.db.Sessions()), t.Context()
		ending := session.Ending{Why: session.SignedOut, At: time.Now()}
		one := s.one
		again := func(n byte) { one = s.begin(t, n) }
		replace := func(next session.Session) error {
			err := repository.Replace(ctx, one.Key(), next, session.Reason{}, time.Now())
			one = next
			return err
		}
		for _, c := range []struct {
			what string
			want int
			do   func() error
		}{
			{"a renewal", 0, func() error { return replace(one) }},
			{"a rotation", 1, func() error { return replace(one.Rotated(session.NewToken([32]byte{100}).Key(), 0)) }},
			{"an end", 1, func() error { _, err := repository.End(ctx, one.Key(), ending); return err }},
			{"an end by handle", 1, func() error { again(2); _, err := directory.EndOne(ctx, s.ann.ID(), one.ID(), ending); return err }},
			{"the end of none", 0, func() error { _, err := directory.EndOthers(ctx, s.ann.ID(), session.Key{}, ending); return err }},
			{"the end of all", 1, func() error {
				again(3)
				again(4)
				_, err := directory.EndOthers(ctx, s.ann.ID(), session.Key{}, ending)
				return err
			}},
			{"a trim of none", 0, func() error { again(5); _, err := directory.Trim(ctx, s.ann.ID(), 1, ending); return err }},
			{"a trim", 1, func() error { again(6); _, err := directory.Trim(ctx, s.ann.ID(), 1, ending); return err }},
		} {
			told = 0
			if err := c.do(); err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
			if told != c.want {
				t.Errorf("of %s others are told %d times, want %d", c.what, told, c.want)
			}
		}
		told, down = 0, errors.New("down")
		again(7)
		if _, err := repository.End(ctx, one.Key(), ending); err != nil || told != 1 {
			t.Errorf("with nobody to be told: %v, tried %d times, want an end that was tried to be told", err, told)
		}
		told = 0
		if _, err := repository.End(ctx, one.Key(), ending); !errors.Is(err, fault.NotFound) || told != 0 {
			t.Errorf("the end of what is not there: %v, told %d times", err, told)
		}
	})
}

// TestOnlyWhoAllows: nobody is answered from the cache who does not allow for it.
func TestOnlyWhoAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, &recorder{T: t})
		s.name()
		s.rename(s.db.Users(), "Ann")
		r, err := s.cache.Sessions(s.store).Resume(t.Context(), s.one.Key())
		if err != nil || r.User.Name() != "Ann" {
			t.Errorf("Resume = %q, %v, want what the store says", r.User.Name(), err)
		}
		if s.wantName("", "from the cache"); s.cache.Stats().Hits != 1 {
			t.Errorf("there were %d hits, want one", s.cache.Stats().Hits)
		}
	})
}

// TestAnOutageIsBridged: what is young enough is answered while the store cannot
// be asked, and not for longer.
func TestAnOutageIsBridged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, &recorder{T: t})
		s.name()
		down := errors.New("down")
		dead := s.cache.Sessions(outage{s.store, down})
		if _, err := dead.Resume(ports.AllowStale(t.Context()), s.one.Key()); err != nil {
			t.Errorf("Resume within the bound = %v", err)
		}
		time.Sleep(bound)
		s.beat()
		if _, err := dead.Resume(ports.AllowStale(t.Context()), s.one.Key()); !errors.Is(err, fault.Unavailable) {
			t.Errorf("Resume after the bound = %v, want an outage", err)
		}
	})
}

type outage struct {
	ports.SessionRepository
	err error
}

func (o outage) Resume(context.Context, session.Key) (session.Resumed, error) {
	return session.Resumed{}, fault.Outage(o.err)
}

// TestTheOlderReadYields: of two reads the one that began last is kept.
func TestTheOlderReadYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, &recorder{T: t})
		s.store.during = func() {
			time.Sleep(time.Millisecond)
			s.rename(s.db.Users(), "Ann")
			s.wantName("Ann", "read later")
		}
		s.name()
		if got := s.name(); got != "Ann" {
			t.Errorf("the name is %q after a read that began before, want what was read later", got)
		}
	})
}
