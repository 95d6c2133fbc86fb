package portstest

import (
	"context"
	"errors"

	"gatehouse/domain/user"
	"gatehouse/ports"
)

const (
	showsAdmins = "who takes an admin away is shown who is left"
	adminsOnce  = "of two who take an admin away at once the second sees the first"
)

// adminsNow are the sets of roles of those who act as admin.
func adminsNow(ctx context.Context, s RecordStores) (sets [][]user.Role) {
	all, _ := s.Users.List(ctx, user.ID{}, 1000)
	for _, u := range all {
		if u.ActsAsAdmin() {
			sets = append(sets, u.Roles())
		}
	}
	return sets
}

var errOnlyLooked = errors.New("it was only looked at")

var adminMutants = []mutant[RecordStores]{
	handing(showsAdmins, "asks nobody", func(a *ports.Along) { a.Admins = nil }),
	everyChange(showsAdmins, "asks before the change", func(s RecordStores) around {
		sound := s
		return func(ctx context.Context, do act, with []*ports.Along) error {
			a := joinedAlong(with)
			if ask := a.Admins; ask != nil {
				a.Admins = func(v int64, _ [][]user.Role) error { return nil }
				if err := ask(1, adminsNow(ctx, sound)); err != nil {
					return err
				}
			}
			return do(ctx, &a)
		}
	}),
	everyChange(showsAdmins, "asks when all is done", func(s RecordStores) around {
		sound := s
		return func(ctx context.Context, do act, with []*ports.Along) error {
			a := joinedAlong(with)
			ask := a.Admins
			a.Admins = nil
			err := do(ctx, &a)
			if err == nil && ask != nil {
				return ask(1, adminsNow(ctx, sound))
			}
			return err
		}
	}),
	handing(showsAdmins, "shows each admin", func(a *ports.Along) {
		if ask := a.Admins; ask != nil {
			a.Admins = func(v int64, sets [][]user.Role) error { return ask(v, append(sets, sets...)) }
		}
	}),
	everyChange(adminsOnce, "looks first and goes then", func(RecordStores) around {
		both := meet()
		return func(ctx context.Context, do act, with []*ports.Along) error {
			a := joinedAlong(with)
			ask := a.Admins
			if ask == nil {
				return do(ctx, with...)
			}
			var seen [][]user.Role
			a.Admins = func(_ int64, sets [][]user.Role) error {
				seen = sets
				return errOnlyLooked
			}
			if err := do(ctx, &a); !errors.Is(err, errOnlyLooked) {
				return err
			}
			both()
			if err := ask(1, seen); err != nil {
				return err
			}
			a.Admins = nil
			return do(ctx, &a)
		}
	}),
}
