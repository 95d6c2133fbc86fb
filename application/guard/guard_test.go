package guard_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"gatehouse/adapters/memory"
	"gatehouse/adapters/system"
	"gatehouse/application/guard"
	"gatehouse/domain/fault"
	"gatehouse/domain/throttle"
	"gatehouse/domain/user"
	"gatehouse/ports"
	"gatehouse/tests/house"
)

const ann = "ann@example.com"

var here, there = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")

// gate is a guard whose store can be told to fail, and a clock.
type gate struct {
	*guard.Guard
	store *store
	house.Clock
}

// store counts in memory, or answers an error.
type store struct {
	*memory.Limiter
	down error
}

func (s *store) Take(ctx context.Context, key string, r throttle.Rule, now time.Time) (throttle.Verdict, error) {
	if s.down != nil {
		return throttle.Verdict{}, s.down
	}
	return s.Limiter.Take(ctx, key, r, now)
}

func (s *store) Return(ctx context.Context, key string, r throttle.Rule) error {
	if s.down != nil {
		return s.down
	}
	return s.Limiter.Return(ctx, key, r)
}

func (s *store) Forget(ctx context.Context, keys ...string) error {
	if s.down != nil {
		return s.down
	}
	return s.Limiter.Forget(ctx, keys...)
}

// rules are small ones, of which each can be told from the others.
func rules() guard.Rules {
	row := func(limit int) throttle.Rule {
		return throttle.Rule{Limit: limit, Window: 15 * time.Minute, Pause: time.Minute, MaxPause: 10 * time.Minute}
	}
	rate := func(limit int) throttle.Rule { return throttle.Rule{Limit: limit, Window: time.Hour, PerWindow: true} }
	return guard.Rules{SignIn: row(3), Account: row(5), Network: rate(7), Code: row(3), Confirm: row(3), Register: rate(2), Forgot: rate(2), Search: rate(2)}
}

func newGate(r guard.Rules) *gate {
	g := &gate{store: &store{Limiter: memory.NewLimiter(0)}}
	g.Set(house.Noon)
	g.Guard = guard.New(guard.Config{Shared: g.store, Own: memory.NewLimiter(0), Rules: r, Now: g.Now})
	return g
}

// fails makes n tries that fail, and gives how many were granted.
func (g *gate) fails(t *testing.T, n int, account string, from netip.Addr, device string) (granted int) {
	t.Helper()
	for range n {
		switch _, err := g.SignIn(t.Context(), account, from, device); {
		case err == nil:
			granted++
		case !errors.Is(err, guard.ErrTooMany):
			t.Fatalf("SignIn = %v", err)
		}
	}
	return granted
}

func (g *gate) wantOpen(t *testing.T, account string, from netip.Addr, device, what string) {
	t.Helper()
	a, err := g.SignIn(t.Context(), account, from, device)
	if err != nil {
		t.Errorf("%s: SignIn = %v, want a try", what, err)
		return
	}
	a.Void(t.Context())
}

func (g *gate) wantShut(t *testing.T, account string, from netip.Addr, device, what string) {
	t.Helper()
	if _, err := g.SignIn(t.Context(), account, from, device); !errors.Is(err, guard.ErrTooMany) {
		t.Errorf("%s: SignIn = %v, want ErrTooMany", what, err)
	}
}

func TestFailuresInARowForOneAccountFromOneNetwork(t *testing.T) {
	g := newGate(rules())
	if got := g.fails(t, 20, ann, here, ""); got != 3 {
		t.Fatalf("%d of 20 tries were granted, want 3", got)
	}
	g.wantShut(t, ann, here, "", "after three failures")
	g.wantOpen(t, ann, there, "", "from another network")
	g.wantOpen(t, "bob@example.com", here, "", "for another account")
	g.Move(time.Minute - time.Microsecond)
	g.wantShut(t, ann, here, "", "just before the pause is over")
	g.Move(time.Microsecond)
	g.wantOpen(t, ann, here, "", "when the pause is over")
}

func TestThePauseIsTold(t *testing.T) {
	g := newGate(rules())
	g.fails(t, 3, ann, here, "")
	g.Move(20 * time.Second)
	_, err := g.SignIn(t.Context(), ann, here, "")
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.RetryAfter != 40*time.Second {
		t.Errorf("SignIn = %v, want another try after 40 s", err)
	}
}

func TestTheLastTryBeforeAPauseIsKnown(t *testing.T) {
	g := newGate(rules())
	var last []bool
	for range 3 {
		a, err := g.SignIn(t.Context(), ann, here, "")
		if err != nil {
			t.Fatal(err)
		}
		last = append(last, a.Last())
	}
	if want := []bool{false, false, true}; !slices.Equal(last, want) {
		t.Errorf("Last = %v, want %v", last, want)
	}
}

// Strangers who are refused in a narrow bound must wear down no wider one: else
// one of them, knocking on and on, locks the account for the world.
func TestARefusedTryCountsNowhere(t *testing.T) {
	g := newGate(rules())
	g.fails(t, 500, ann, here, "") // 3 count for the account, and for the network
	if got := g.fails(t, 20, ann, there, ""); got != 2 {
		t.Errorf("the account bore %d failures more, want 2 of 5", got)
	}
	// Of those that the account refused, none counts for that network.
	if got := g.fails(t, 3, "bob@example.com", there, ""); got != 3 {
		t.Errorf("%d tries for another account, want 3", got)
	}
	if got := g.fails(t, 3, "eve@example.com", there, ""); got != 2 {
		t.Errorf("the network bore %d failures more, want 2 of 7", got)
	}
}

// Nor does it lengthen the pause of a wider one, which whoever comes next from
// elsewhere would find.
func TestARefusedTryLengthensNoPause(t *testing.T) {
	g := newGate(rules())
	for _, pause := range []time.Duration{time.Minute, 2 * time.Minute} {
		g.fails(t, 3, ann, here, "")
		g.Move(pause)
	}
	g.fails(t, 1, ann, here, "") // the fifth: four minutes for the pair, and one for the account
	g.wantShut(t, ann, there, "", "the account in its pause")
	g.Move(time.Minute)
	for range 5 {
		g.wantShut(t, ann, here, "", "the pair in its pause")
	}
	g.wantOpen(t, ann, there, "", "the account after its pause")
}

func TestAWholeNetworkIsBound(t *testing.T) {
	g := newGate(rules())
	granted := 0
	for i := range 20 {
		granted += g.fails(t, 1, "u"+strconv.Itoa(i)+"@example.com", here, "")
	}
	if granted != 7 {
		t.Errorf("one network had %d tries at twenty accounts, want 7", granted)
	}
	for name, from := range map[string]string{"another network": "192.0.2.2", "this machine": "127.0.0.1", "this machine in IPv6": "::1", "this machine as mapped": "::ffff:127.0.0.1"} {
		g.wantOpen(t, "x@example.com", netip.MustParseAddr(from), "", "from "+name)
	}
}

// Loopback is behind everybody where a proxy is not named; accounts count there
// all the same.
func TestLoopbackIsNoNetwork(t *testing.T) {
	g := newGate(rules())
	loopback := netip.MustParseAddr("127.0.0.1")
	for i := range 50 {
		g.wantOpen(t, strconv.Itoa(i), loopback, "", "try "+strconv.Itoa(i))
		if got := g.fails(t, 1, strconv.Itoa(i), loopback, ""); got != 1 {
			t.Fatalf("loopback was bound after %d failures", i)
		}
	}
	if got := g.fails(t, 20, ann, loopback, ""); got != 3 {
		t.Errorf("one account had %d tries from loopback, want 3", got)
	}
}

func TestASubscriberOfIPv6IsOneNetwork(t *testing.T) {
	g := newGate(rules())
	granted := 0
	for i := range 20 {
		granted += g.fails(t, 1, ann, netip.MustParseAddr("2001:db8:1:2::"+strconv.Itoa(i+1)), "")
	}
	if granted != 3 {
		t.Errorf("the addresses of one /64 had %d tries, want 3", granted)
	}
	g.wantOpen(t, ann, netip.MustParseAddr("2001:db8:1:3::1"), "", "from the next /64")
	g.wantShut(t, ann, netip.MustParseAddr("2001:db8:1:2::99%eth0"), "", "with a zone")
}

func TestADeviceHasACountOfItsOwn(t *testing.T) {
	g := newGate(rules())
	g.fails(t, 20, ann, here, "")
	g.fails(t, 20, ann, there, "")
	g.wantShut(t, ann, netip.MustParseAddr("203.0.113.5"), "", "the account, from anywhere")
	g.wantOpen(t, ann, here, "phone", "the owner's phone, from a locked network")
	if got := g.fails(t, 20, ann, here, "phone"); got != 3 {
		t.Errorf("the phone had %d tries, want 3", got)
	}
	g.wantOpen(t, ann, here, "laptop", "another device")
	g.wantOpen(t, "bob@example.com", here, "phone", "a device of the same name for another account")
}

func TestSuccessForgetsFailures(t *testing.T) {
	g := newGate(rules())
	from := netip.MustParseAddr("127.0.0.1") // a network's count is not what this is about
	for round := range 10 {
		if got := g.fails(t, 2, ann, from, ""); got != 2 {
			t.Fatalf("round %d: %d tries, want 2", round, got)
		}
		a, err := g.SignIn(t.Context(), ann, from, "")
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		a.Passed(t.Context())
	}
}

// Who owns one account must not clear the count of their network with it, and
// guess at others for ever.
func TestSuccessForgetsNothingOfTheNetwork(t *testing.T) {
	g := newGate(rules())
	guessed := 0
	for i := range 30 {
		guessed += g.fails(t, 1, "victim"+strconv.Itoa(i), here, "")
		if a, err := g.SignIn(t.Context(), "mine@example.com", here, ""); err == nil {
			a.Passed(t.Context())
		}
	}
	if guessed != 7 {
		t.Errorf("%d guesses between one's own sign-ins, want 7", guessed)
	}
}

// Behind one address a whole office signs in. What it mistypes in a day must
// not lock it for good.
func TestABusyNetworkIsNotLockedForGood(t *testing.T) {
	g := newGate(guard.DefaultRules())
	refused := 0
	for minute := range 24 * 60 { // one sign-in a minute, one in four mistyped first
		name := "u" + strconv.Itoa(minute%97)
		if minute%4 == 0 {
			refused += 1 - g.fails(t, 1, name, here, "")
		}
		if a, err := g.SignIn(t.Context(), name, here, ""); err == nil {
			a.Passed(t.Context())
		} else {
			refused++
		}
		g.Move(time.Minute)
	}
	if refused > 0 {
		t.Errorf("%d sign-ins of a day were refused, want none", refused)
	}
}

func TestVoidIsAsIfNotTried(t *testing.T) {
	g := newGate(rules())
	for range 100 {
		g.wantOpen(t, ann, here, "", "after tries that were not made")
	}
	if got := g.fails(t, 20, ann, here, ""); got != 3 {
		t.Errorf("%d tries, want 3", got)
	}
}

// A request that waited for its turn until its time was over made no try either.
func TestVoidOutlivesTheRequest(t *testing.T) {
	g := newGate(rules())
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		a, err := g.SignIn(ctx, ann, here, "")
		if err != nil {
			t.Fatalf("try %d: %v", i, err)
		}
		cancel()
		a.Void(ctx)
	}
	ctx, cancel := context.WithCancel(t.Context())
	g.fails(t, 2, ann, here, "")
	a, err := g.SignIn(ctx, ann, here, "")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	a.Passed(ctx)
	g.wantOpen(t, ann, here, "", "after a success whose client hung up")
}

// Of n at once that are granted each is counted, so that no more are granted
// than one after the other would be.
func TestTriesAtOnce(t *testing.T) {
	g := newGate(rules())
	granted := make([]bool, 50)
	house.AtOnce(len(granted), func(i int) {
		_, err := g.SignIn(t.Context(), ann, here, "")
		granted[i] = err == nil
	})
	n := 0
	for _, ok := range granted {
		if ok {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d of 50 tries at once were granted, want 3", n)
	}
}

func TestUnlock(t *testing.T) {
	g := newGate(rules())
	g.fails(t, 3, ann, here, "")
	g.fails(t, 3, ann, there, "")
	g.Guard.Unlock(house.From(t.Context(), here.String()), ann)
	g.wantOpen(t, ann, here, "", "after Unlock, from there")
	if got := g.fails(t, 20, ann, here, ""); got != 3 {
		t.Errorf("after Unlock %d tries, want 3", got)
	}
	// Codes stay counted: who reads the mail would guess for ever.
	id := user.ID{UUID: system.NewRandom().ID(house.Noon)}
	for range 3 {
		if _, err := g.Code(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	g.Guard.Unlock(t.Context(), ann)
	if _, err := g.Code(t.Context(), id); !errors.Is(err, guard.ErrTooMany) {
		t.Errorf("Code after Unlock = %v, want ErrTooMany", err)
	}
}

// Each bound stands alone and can be turned off; one that is off asks no store.
func TestEachBound(t *testing.T) {
	one, other := user.ID{UUID: system.NewRandom().ID(house.Noon)}, user.ID{UUID: system.NewRandom().ID(house.Noon)}
	address := func(s string) user.Email {
		e, err := user.NewEmail(s)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	second := func(_ *guard.Attempt, err error) error { return err }
	for name, c := range map[string]struct {
		off  func(*guard.Rules)
		try  func(context.Context, *gate, bool) error // of another key, where true
		want int
	}{
		"codes":         {func(r *guard.Rules) { r.Code = throttle.Rule{} }, func(ctx context.Context, g *gate, o bool) error { return second(g.Code(ctx, pick(o, other, one))) }, 3},
		"confirmations": {func(r *guard.Rules) { r.Confirm = throttle.Rule{} }, func(ctx context.Context, g *gate, o bool) error { return second(g.Confirm(ctx, pick(o, other, one))) }, 3},
		"registrations": {func(r *guard.Rules) { r.Register = throttle.Rule{} }, func(ctx context.Context, g *gate, o bool) error {
			return g.Register(house.From(ctx, pick(o, there, here).String()))
		}, 2},
		"searches": {func(r *guard.Rules) { r.Search = throttle.Rule{} }, func(ctx context.Context, g *gate, o bool) error {
			return g.Search(house.From(ctx, pick(o, there, here).String()))
		}, 2},
		"mails": {func(r *guard.Rules) { r.Forgot = throttle.Rule{} }, func(ctx context.Context, g *gate, o bool) error {
			return g.Mail(ctx, address(pick(o, "bob@example.com", ann)))
		}, 2},
		"sign-ins": {func(r *guard.Rules) {
			r.SignIn, r.Account, r.Network = throttle.Rule{}, throttle.Rule{}, throttle.Rule{}
		}, func(ctx context.Context, g *gate, o bool) error {
			return second(g.SignIn(ctx, ann, pick(o, there, here), ""))
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			g, granted := newGate(rules()), 0
			for range 10 {
				if err := c.try(t.Context(), g, false); err == nil {
					granted++
				}
			}
			if granted != c.want {
				t.Errorf("%d were granted, want %d", granted, c.want)
			}
			if err := c.try(t.Context(), g, true); err != nil {
				t.Errorf("another's try = %v", err)
			}
			r := rules()
			c.off(&r)
			g = newGate(r)
			g.store.down = errors.New("nobody is to ask")
			for range 50 {
				if err := c.try(t.Context(), g, false); err != nil {
					t.Fatalf("with the rule off = %v", err)
				}
			}
		})
	}
}

func pick[T any](second bool, b, a T) T {
	if second {
		return b
	}
	return a
}

// Registrations, searches and mails from a machine itself are those of whoever
// is behind a proxy on it; and where nobody knows where a request came from, no
// network is bound.
func TestRatesLetLoopbackPass(t *testing.T) {
	g := newGate(rules())
	for _, ctx := range []context.Context{t.Context(), house.From(t.Context(), "127.0.0.1"), house.From(t.Context(), "::1")} {
		for i := range 20 {
			e, err := user.NewEmail("u" + strconv.Itoa(i) + "@example.com")
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(g.Register(ctx), g.Search(ctx)); err != nil {
				t.Fatal(err)
			}
			if g.Mail(ctx, e) != nil {
				g.Move(time.Hour)
			}
		}
	}
}

// Mails to one address, and from one network three times as many to whatever
// addresses; those that an address refuses wear down no network.
func TestMailsAreBoundByAddressThenByNetwork(t *testing.T) {
	g := newGate(rules())
	ctx := house.From(t.Context(), here.String())
	mails := func(n int, address string) (granted int) {
		e, err := user.NewEmail(address)
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			if g.Mail(ctx, e) == nil {
				granted++
			}
		}
		return granted
	}
	if got := mails(50, ann); got != 2 {
		t.Errorf("one address got %d mails, want 2", got)
	}
	if got := mails(50, " ANN@Example.com"); got != 0 {
		t.Errorf("the same address written otherwise got %d mails, want none", got)
	}
	if got := mails(2, "bob@example.com") + mails(2, "eve@example.com") + mails(2, "dan@example.com"); got != 4 {
		t.Errorf("the network had %d mails more, want 4 of 6", got)
	}
	g.Move(time.Hour)
	if got := mails(50, ann); got != 2 {
		t.Errorf("an hour later one address got %d mails, want 2", got)
	}
}

// An account is no means to write to everybody.
func TestAnAccountWritesToFew(t *testing.T) {
	g := newGate(rules())
	id, granted := user.ID{UUID: system.NewRandom().ID(house.Noon)}, 0
	var last user.Email
	for i := range 20 {
		last, _ = user.NewEmail("new" + strconv.Itoa(i) + "@example.com")
		if g.MailFor(t.Context(), id, last) == nil {
			granted++
		}
	}
	if granted != 6 {
		t.Errorf("one account had mails sent to %d addresses, want 6", granted)
	}
	if err := errors.Join(g.Mail(t.Context(), last), g.Mail(t.Context(), last)); err != nil {
		t.Errorf("a refused mail counted for its address: %v", err)
	}
}

// An address that nobody has answered from may be a stranger's: whoever signs
// in under it a thousand times does not have them sent a thousand mails.
func TestNoticesToUnverifiedAddressesAreFew(t *testing.T) {
	g := newGate(rules())
	email, _ := user.NewEmail(ann)
	u := user.New(user.ID{}, email, user.Name{}, user.PasswordHash{}, house.Noon)
	wanted := func(u user.User) (n int) {
		for range 100 {
			ok, err := g.Notice(t.Context(), u)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				n++
			}
		}
		return n
	}
	if got := wanted(u); got != 2 {
		t.Errorf("an unverified address is told %d times, want 2", got)
	}
	if err := g.Mail(t.Context(), email); err != nil {
		t.Errorf("notices use up what is asked for: %v", err)
	}
	u.VerifyEmail(house.Noon)
	if got := wanted(u); got != 100 {
		t.Errorf("a verified address is told %d times, want 100", got)
	}
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	u = user.New(user.ID{}, email, user.Name{}, user.PasswordHash{}, house.Noon)
	if _, err := g.Notice(dead, u); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Notice that cannot be told = %v, want Unavailable", err)
	}
}

// A store that fails neither opens nor locks the door: the node counts for
// itself, as strictly.
func TestAStoreThatFails(t *testing.T) {
	g := newGate(rules())
	g.store.down = fault.Outage(errors.New("down"))
	if got := g.fails(t, 20, ann, here, ""); got != 3 {
		t.Errorf("with the store down %d tries were granted, want 3", got)
	}
	g.wantOpen(t, "bob@example.com", here, "", "for another account")
	g.Move(time.Minute)
	a, err := g.SignIn(t.Context(), ann, here, "")
	if err != nil {
		t.Fatal(err)
	}
	a.Passed(t.Context())
	g.fails(t, 2, ann, here, "")
	g.wantOpen(t, ann, here, "", "after a success that the node counted")
	// Any other error is a defect, and no reason to go on.
	g.store.down = errors.New("no such table")
	if _, err := g.SignIn(t.Context(), ann, here, ""); !errors.Is(err, g.store.down) {
		t.Errorf("SignIn with a defect = %v, want it", err)
	}
}

// What one counted the other must not give back: a store that flickers would
// lose failures otherwise.
func TestTriesAreGivenBackWhereTheyWereCounted(t *testing.T) {
	g := newGate(rules())
	g.fails(t, 2, ann, here, "")
	for range 10 {
		g.store.down = fault.Outage(errors.New("down"))
		a, err := g.SignIn(t.Context(), ann, here, "")
		if err != nil {
			t.Fatal(err)
		}
		g.store.down = nil
		a.Void(t.Context())
	}
	if got := g.fails(t, 20, ann, here, ""); got != 1 {
		t.Errorf("%d tries more, want 1 of 3", got)
	}
}

// The node's own counts are not worn down by what the store counts well.
func TestTheNodeCountsOnlyWhatItMust(t *testing.T) {
	g := newGate(rules())
	g.fails(t, 3, ann, here, "")
	g.store.down = fault.Outage(errors.New("down"))
	if got := g.fails(t, 20, ann, here, ""); got != 3 {
		t.Errorf("the node granted %d tries, want 3", got)
	}
}

// Keys say nothing of whose they are, and have the length that stores keep.
func TestKeysAreNotPersonal(t *testing.T) {
	keys := &spy{Limiter: memory.NewLimiter(0)}
	g := guard.New(guard.Config{Shared: keys, Own: memory.NewLimiter(0), Rules: rules(), Now: system.Now})
	long := ann + string(make([]byte, 10_000))
	email, _ := user.NewEmail(ann)
	ctx := house.From(t.Context(), here.String())
	_, err := g.SignIn(ctx, long, here, "")
	_, err2 := g.SignIn(ctx, ann, here, "phone")
	if err := errors.Join(err, err2, g.Mail(ctx, email), g.Register(ctx), g.Search(ctx)); err != nil {
		t.Fatal(err)
	}
	if len(keys.seen) != 8 {
		t.Errorf("%d keys, want 8: %q", len(keys.seen), keys.seen)
	}
	for _, k := range keys.seen {
		if len(k) > 200 || !plainKey(k) {
			t.Errorf("key %q", k)
		}
	}
	slices.Sort(keys.seen)
	if n := len(slices.Compact(keys.seen)); n != 8 {
		t.Errorf("%d different keys, want 8", n)
	}
}

// plainKey reports whether a key is a word, and a hash in hex.
func plainKey(k string) bool {
	at := slices.Index([]byte(k), ':')
	return at > 0 && len(k)-at-1 == 32 && len(trimHex(k[at+1:])) == 0
}

func trimHex(s string) (rest string) {
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			rest += string(c)
		}
	}
	return rest
}

type spy struct {
	ports.Limiter
	seen []string
}

func (s *spy) Take(ctx context.Context, key string, r throttle.Rule, now time.Time) (throttle.Verdict, error) {
	s.seen = append(s.seen, key)
	return s.Limiter.Take(ctx, key, r, now)
}

func TestPrune(t *testing.T) {
	g := newGate(rules())
	for i := range 2500 {
		if _, err := g.SignIn(t.Context(), strconv.Itoa(i), netip.Addr{}, ""); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := g.Prune(t.Context()); n != 0 || err != nil {
		t.Errorf("Prune of what counts = %d, %v", n, err)
	}
	g.Move(26 * time.Hour)
	if n, err := g.Prune(t.Context()); n != 5000 || err != nil {
		t.Errorf("Prune = %d, %v, want 5000: an account and a pair each", n, err)
	}
}
