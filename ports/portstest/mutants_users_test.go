package portstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// users is a repository with some of its methods replaced. A replaced method
// loses what goes along: mutants_along_test.go is about that.
type users struct {
	ports.UserRepository
	add    func(context.Context, user.User) error
	find   func(context.Context, user.ID) (user.User, error)
	email  func(context.Context, user.Email) (user.User, error)
	update func(context.Context, user.ID, func(*user.User) error) (user.User, error)
	delete func(context.Context, user.ID, func(user.User) error) error
	list   func(context.Context, user.ID, int) ([]user.User, error)
	search func(context.Context, ports.UserQuery) ([]user.User, error)
}

func (s users) Add(ctx context.Context, u user.User, with ...*ports.Along) error {
	if s.add == nil {
		return s.UserRepository.Add(ctx, u, with...)
	}
	return s.add(ctx, u)
}

func (s users) Find(ctx context.Context, id user.ID) (user.User, error) {
	if s.find == nil {
		return s.UserRepository.Find(ctx, id)
	}
	return s.find(ctx, id)
}

func (s users) FindByEmail(ctx context.Context, e user.Email) (user.User, error) {
	if s.email == nil {
		return s.UserRepository.FindByEmail(ctx, e)
	}
	return s.email(ctx, e)
}

func (s users) Update(ctx context.Context, id user.ID, change func(*user.User) error, with ...*ports.Along) (user.User, error) {
	if s.update == nil {
		return s.UserRepository.Update(ctx, id, change, with...)
	}
	return s.update(ctx, id, change)
}

func (s users) Delete(ctx context.Context, id user.ID, check func(user.User) error, with ...*ports.Along) error {
	if s.delete == nil {
		return s.UserRepository.Delete(ctx, id, check, with...)
	}
	return s.delete(ctx, id, check)
}

func (s users) List(ctx context.Context, after user.ID, limit int) ([]user.User, error) {
	if s.list == nil {
		return s.UserRepository.List(ctx, after, limit)
	}
	return s.list(ctx, after, limit)
}

func (s users) Search(ctx context.Context, q ports.UserQuery) ([]user.User, error) {
	if s.search == nil {
		return s.UserRepository.Search(ctx, q)
	}
	return s.search(ctx, q)
}

// userMutant makes a mutant out of the methods that replace those of the real
// repository r.
func userMutant(check, fault string, f func(r ports.UserRepository) users) mutant[ports.UserRepository] {
	return mutant[ports.UserRepository]{check, fault, func(r ports.UserRepository) ports.UserRepository {
		m := f(r)
		m.UserRepository = r
		return m
	}}
}

// asWritten is an address whose canonical form is not canonical.
func asWritten(e user.Email) user.Email { return user.RestoreEmail(e.String(), e.String()) }

var userMutants = []mutant[ports.UserRepository]{
	userMutant("every field is kept", "keeps milliseconds", func(r ports.UserRepository) users {
		return users{find: func(ctx context.Context, id user.ID) (user.User, error) {
			u, err := r.Find(ctx, id)
			return with(u, func(s *user.State) { s.UpdatedAt = s.UpdatedAt.Truncate(time.Millisecond) }), err
		}}
	}),
	userMutant("every field is kept", "forgets a flag", func(r ports.UserRepository) users {
		return users{add: func(ctx context.Context, u user.User) error {
			return r.Add(ctx, with(u, func(s *user.State) { s.EmailVerified = false }))
		}}
	}),
	userMutant("every field is kept", "cuts long names", func(r ports.UserRepository) users {
		return users{email: func(ctx context.Context, e user.Email) (user.User, error) {
			u, err := r.FindByEmail(ctx, e)
			return with(u, func(s *user.State) { s.Name = s.Name[:min(len(s.Name), 100)] }), err
		}}
	}),
	userMutant("an update keeps every field", "skips what is empty", func(r ports.UserRepository) users {
		return users{update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
			return r.Update(ctx, id, func(u *user.User) error {
				old := u.Name()
				err := change(u)
				*u = with(*u, func(s *user.State) {
					if s.Name == "" {
						s.Name = old
					}
				})
				return err
			})
		}}
	}),
	userMutant("a missing user is not found", "gives the zero user", func(r ports.UserRepository) users {
		return users{find: func(ctx context.Context, id user.ID) (user.User, error) {
			u, err := r.Find(ctx, id)
			if errors.Is(err, fault.NotFound) {
				err = nil
			}
			return u, err
		}}
	}),
	userMutant("a missing user is not found", "reports an outage", func(r ports.UserRepository) users {
		return users{email: func(ctx context.Context, e user.Email) (user.User, error) {
			u, err := r.FindByEmail(ctx, e)
			if err != nil {
				err = errors.Join(fault.Outage(nil), err)
			}
			return u, err
		}}
	}),
	userMutant("a missing user is not found", "changes the zero user", func(r ports.UserRepository) users {
		return users{update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
			var none user.User
			_ = change(&none)
			return r.Update(ctx, id, change)
		}}
	}),
	userMutant("a taken id is a conflict", "writes over it", func(r ports.UserRepository) users {
		return users{add: func(ctx context.Context, u user.User) error {
			if _, err := r.Find(ctx, u.ID()); err != nil {
				return r.Add(ctx, u)
			}
			_, err := r.Update(ctx, u.ID(), func(old *user.User) error { *old = u; return nil })
			return err
		}}
	}),
	userMutant("a taken id is a conflict", "blames the address", func(r ports.UserRepository) users {
		return users{add: func(ctx context.Context, u user.User) error {
			if err := r.Add(ctx, u); err != nil {
				return user.ErrEmailTaken
			}
			return nil
		}}
	}),
	userMutant("an address in another case is taken", "compares addresses as written", func(r ports.UserRepository) users {
		return users{add: func(ctx context.Context, u user.User) error {
			return r.Add(ctx, with(u, func(s *user.State) { s.Email = asWritten(s.Email) }))
		}}
	}),
	userMutant("an address in another case is taken", "calls it any conflict", func(r ports.UserRepository) users {
		return users{add: func(ctx context.Context, u user.User) error {
			if err := r.Add(ctx, u); err != nil {
				return fault.Conflict
			}
			return nil
		}}
	}),
	userMutant("an address is found in another case", "compares addresses as written", func(r ports.UserRepository) users {
		return users{
			add: func(ctx context.Context, u user.User) error {
				return r.Add(ctx, with(u, func(s *user.State) { s.Email = asWritten(s.Email) }))
			},
			email: func(ctx context.Context, e user.Email) (user.User, error) { return r.FindByEmail(ctx, asWritten(e)) },
		}
	}),
	userMutant("an address can change hands", "finds by the address of the registration", func(r ports.UserRepository) users {
		index := map[string]user.ID{}
		return users{
			add: func(ctx context.Context, u user.User) error {
				index[u.Email().Canonical()] = u.ID()
				return r.Add(ctx, u)
			},
			email: func(ctx context.Context, e user.Email) (user.User, error) { return r.Find(ctx, index[e.Canonical()]) },
		}
	}),
	userMutant("nobody changes to a taken address", "says nothing of it", func(r ports.UserRepository) users {
		return users{update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
			u, err := r.Update(ctx, id, change)
			if errors.Is(err, user.ErrEmailTaken) {
				err = nil
			}
			return u, err
		}}
	}),
	userMutant("of registrations at once one wins", "lets an address be taken twice", func(r ports.UserRepository) users {
		return users{add: func(ctx context.Context, u user.User) error {
			return r.Add(ctx, with(u, func(s *user.State) { s.Email = user.RestoreEmail(s.Email.String(), s.ID.String()) }))
		}}
	}),
	userMutant("of registrations at once one wins", "reports contention as an outage", func(r ports.UserRepository) users {
		return users{add: func(ctx context.Context, u user.User) error {
			if err := r.Add(ctx, u); err != nil {
				return fault.Outage(err)
			}
			return nil
		}}
	}),
	userMutant("a failed update keeps nothing", "keeps what failed", func(r ports.UserRepository) users {
		return users{update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
			var failed error
			u, err := r.Update(ctx, id, func(u *user.User) error { failed = change(u); return nil })
			return u, errors.Join(err, failed)
		}}
	}),
	userMutant("a failed update keeps nothing", "wraps the error", func(r ports.UserRepository) users {
		return users{update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
			u, err := r.Update(ctx, id, change)
			if err != nil {
				err = fmt.Errorf("update: %w", err)
			}
			return u, err
		}}
	}),
	userMutant("updates at once are all kept", "reads and writes in two steps", func(r ports.UserRepository) users {
		both := meet()
		return users{update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
			u, err := r.Find(ctx, id)
			if err == nil {
				err = change(&u)
			}
			both()
			if err != nil {
				return u, err
			}
			return r.Update(ctx, id, func(old *user.User) error { *old = u; return nil })
		}}
	}),
	userMutant("nothing handed out is shared", "keeps the user that a change was given", func(r ports.UserRepository) users {
		var held *user.User
		return users{
			update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
				return r.Update(ctx, id, func(u *user.User) error { held = u; return change(u) })
			},
			find: func(context.Context, user.ID) (user.User, error) { return *held, nil },
		}
	}),
	userMutant("nothing handed out is shared", "gives one list to all", func(r ports.UserRepository) users {
		var cache kept[[]user.User]
		return users{list: func(ctx context.Context, after user.ID, limit int) ([]user.User, error) {
			return cache.first(func() ([]user.User, error) { return r.List(ctx, after, limit) })
		}}
	}),
	userMutant("the list goes by id", "goes by the time of registration", func(r ports.UserRepository) users {
		return users{list: func(ctx context.Context, after user.ID, limit int) ([]user.User, error) {
			all, err := r.List(ctx, after, limit)
			slices.SortFunc(all, func(a, b user.User) int { return a.CreatedAt().Compare(b.CreatedAt()) })
			return all, err
		}}
	}),
	userMutant("the list goes by id", "takes zero for no limit", func(r ports.UserRepository) users {
		return users{list: func(ctx context.Context, after user.ID, limit int) ([]user.User, error) {
			if limit == 0 {
				limit = 1000
			}
			return r.List(ctx, after, limit)
		}}
	}),
	userMutant("pages hold everybody once", "counts rows to skip", func(r ports.UserRepository) users {
		skip := 0
		return users{list: func(ctx context.Context, _ user.ID, limit int) ([]user.User, error) {
			all, err := r.List(ctx, user.ID{}, 1000)
			page := all[min(skip, len(all)):min(skip+limit, len(all))]
			skip += len(page)
			return page, err
		}}
	}),
	userMutant("a cancelled context is an outage", "reports it as missing", func(r ports.UserRepository) users {
		return users{email: func(ctx context.Context, e user.Email) (user.User, error) {
			u, err := r.FindByEmail(ctx, e)
			if err != nil {
				err = user.ErrUnknown
			}
			return u, err
		}}
	}),
	userMutant("a cancelled context is an outage", "adds all the same", func(r ports.UserRepository) users {
		return users{add: func(ctx context.Context, u user.User) error {
			return late(ctx, r.Add(deaf(ctx), u))
		}}
	}),
	userMutant("who hangs up during an update changes nothing", "does not look at the context again", func(r ports.UserRepository) users {
		return users{update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
			return r.Update(deaf(ctx), id, change)
		}}
	}),
}
