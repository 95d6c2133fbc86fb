package portstest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// noon is when the checks take place; nothing here reads a clock. It has
// microseconds, so that a store that keeps fewer digits is found out.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 123456000, time.UTC)

// The ends of time that a store must bear: before 1970, and the last
// microsecond that RFC 3339 can write.
var (
	longAgo = time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC)
	farAway = time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
)

// errRefused is what a change or a check of ours fails with. Stores hand it on
// as it is.
var errRefused = errors.New("refused by the check")

// id gives the n-th id; a later one is greater.
func id(n int) uuid.UUID {
	return uuid.New(noon.Add(time.Duration(n)*time.Millisecond), [8]byte{6: byte(n >> 8), 7: byte(n)})
}

func userID(n int) user.ID       { return user.ID{UUID: id(n)} }
func productID(n int) product.ID { return product.ID{UUID: id(n)} }
func key(n int) session.Key      { return session.NewToken([32]byte{1, byte(n), byte(n >> 8)}).Key() }

func email(t tester, address string) user.Email {
	t.Helper()
	e, err := user.NewEmail(address)
	if err != nil {
		t.Fatalf("NewEmail(%q) = %v: the check is wrong", address, err)
	}
	return e
}

// newUser makes the n-th user.
func newUser(t tester, n int) user.User {
	t.Helper()
	return user.New(userID(n), email(t, fmt.Sprintf("User%d@example.com", n)), user.Name{}, user.NewPasswordHash("$hash$"), noon)
}

// fullUser is the n-th user with the greatest of everything.
func fullUser(t tester, n int) user.User {
	t.Helper()
	longest, _ := user.ParseRole("z" + strings.Repeat("-", 31))
	address := fmt.Sprintf("%064d@%scom", n, strings.Repeat(strings.Repeat("D", 61)+".", 3))
	return user.Restore(user.State{
		ID: userID(n), Email: email(t, address), Name: strings.Repeat("\u1112\u1161", 50),
		Roles: []user.Role{user.RoleAdmin, user.RoleUser, longest}, Status: user.Disabled, EmailVerified: true,
		PasswordHash: user.NewPasswordHash("$argon2id$" + strings.Repeat("x'\"\\", 100)),
		SessionEpoch: math.MaxInt64, CreatedAt: longAgo, UpdatedAt: farAway,
	})
}

// emptyUser is the n-th user with as little as there can be.
func emptyUser(t tester, n int) user.User {
	t.Helper()
	return user.New(userID(n), email(t, fmt.Sprintf("%d@a.b", n)), user.Name{}, user.PasswordHash{}, noon)
}

// with gives u with its state altered, past the rules that make users.
func with(u user.User, alter func(*user.State)) user.User {
	s := u.State()
	alter(&s)
	return user.Restore(s)
}

func addUser(t tester, users ports.UserRepository, n int) user.User {
	t.Helper()
	u := newUser(t, n)
	must(t, users.Add(t.Context(), u), "Add(user %d)", n)
	return u
}

// must ends the check if a step on the way to what it looks at failed.
func must(t tester, err error, what string, args ...any) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s = %v, want no error", fmt.Sprintf(what, args...), err)
	}
}

// wantError holds an error to its kind or value. Out of reach is an answer of
// its own, so an error that is that and something else is neither.
func wantError(t tester, err, want error, what string, args ...any) {
	t.Helper()
	other := fault.Unavailable
	if want == other {
		other = fault.NotFound
	}
	if !errors.Is(err, want) || errors.Is(err, other) {
		t.Errorf("%s = %v, want %v", fmt.Sprintf(what, args...), err, want)
	}
}

// wantVery holds an error to being the very one that a function of ours gave:
// who wraps it takes the pointers from under an answer of 422.
func wantVery(t tester, err, want error, what string) {
	t.Helper()
	if err != want {
		t.Errorf("%s = %v, want the very error of the function it was given, %v", what, err, want)
	}
}

// want holds a value to being equal to another.
func want[T any](t tester, got, want T, what string, args ...any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s = %+v, want %+v", fmt.Sprintf(what, args...), got, want)
	}
}

// wantUser holds what a method returned to being the user.
func wantUser(t tester, got user.User, err error, u user.User, what string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s = %v, want the user", what, err)
		return
	}
	want(t, got.State(), u.State(), "%s", what)
}

// wantStored holds the store to keeping u as it is.
func wantStored(t tester, users ports.UserRepository, u user.User) {
	t.Helper()
	got, err := users.Find(t.Context(), u.ID())
	wantUser(t, got, err, u, "Find")
}

// gone is the context of a client that has hung up.
func gone(t tester) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// wantUnavailable holds every call to answering Unavailable: a client that hung up, and
// an outage that shows in the same way, must never be told "there is none".
func wantUnavailable(t tester, calls map[string]error) {
	t.Helper()
	for what, err := range calls {
		wantError(t, err, fault.Unavailable, "%s with a cancelled context", what)
	}
}

// atOnce runs f(0) to f(n-1) side by side and waits for all.
func atOnce(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// linger lets others run while a change or a check is under way: a store in
// memory is too quick for them to meet otherwise. They cannot wait for each
// other, since a store may let one in at a time.
func linger() {
	for range 20 {
		runtime.Gosched()
	}
}

// race runs both side by side, now the one first and now the other.
func race(round int, a, b func()) {
	both := [2]func(){a, b}
	atOnce(2, func(i int) { both[(i+round)%2]() })
}

// second is the error of a call whose value does not matter.
func second[A any](_ A, err error) error { return err }

// joined writes ids or orders in a row, for failure texts.
func joined[T interface{ String() string }](all []T) string {
	var b strings.Builder
	for _, one := range all {
		b.WriteString(one.String() + " ")
	}
	return b.String()
}
