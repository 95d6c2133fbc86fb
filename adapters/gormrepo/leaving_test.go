package gormrepo_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/adapters/gormrepo"
	"gatehouse/domain/user"
	"gatehouse/tests/pgtest"
)

// A database may have another default than READ COMMITTED. Under REPEATABLE READ
// a transaction that waited for a lock sees what was there before it waited, and
// two admins who leave at once would both find the other.
func TestTheLastAdminWhereRepeatableReadIsTheDefault(t *testing.T) {
	url := pgtest.Migrated(t)
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	db := openURL(t, url+separator+"default_transaction_isolation=repeatable%20read",
		gormrepo.PoolOptions{MaxConns: 8, StatementTimeout: time.Minute})
	users := db.Users()
	admin := func() user.ID {
		u := addUser(t, db)
		_, err := users.Update(t.Context(), u.ID(), func(u *user.User) error { return u.SetRoles([]user.Role{user.RoleAdmin}, start) })
		if err != nil {
			t.Fatal(err)
		}
		return u.ID()
	}
	stays := admin()
	for range 30 {
		both, errs := [2]user.ID{stays, admin()}, [2]error{}
		var wg sync.WaitGroup
		for i, id := range both {
			wg.Go(func() { errs[i] = users.Delete(t.Context(), id, func(user.User) error { return nil }) })
		}
		wg.Wait()
		one := 0
		if errs[0] == nil {
			one = 1
		}
		if errs[1-one] != nil || !errors.Is(errs[one], user.ErrLastAdmin) {
			t.Fatalf("two admins leaving at once = %v, %v, want one to leave and one to be the last", errs[0], errs[1])
		}
		stays = both[one]
	}
}
