package portstest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// deleting makes a user repository that deletes in another way.
func deleting(f func(r ports.UserRepository, ctx context.Context, id user.ID, check func(user.User) error) error) func(ports.UserRepository) users {
	return func(r ports.UserRepository) users {
		return users{delete: func(ctx context.Context, id user.ID, check func(user.User) error) error { return f(r, ctx, id, check) }}
	}
}

// unruly is a repository that takes the last admin away: it keeps another one
// where nobody looks.
func unruly(r ports.UserRepository) ports.UserRepository {
	hidden := user.Restore(user.State{
		ID: user.ID{UUID: id(1 << 15)}, Email: user.RestoreEmail("hidden", "hidden"), Roles: []user.Role{user.RoleAdmin},
		Status: user.Active, CreatedAt: noon, UpdatedAt: noon,
	})
	if err := r.Add(context.Background(), hidden); err != nil && !errors.Is(err, fault.Conflict) {
		panic(err)
	}
	return r
}

var leavingUserMutants = []mutant[ports.UserRepository]{
	userMutant("a missing user is not found", "deletes nobody and says nothing", deleting(
		func(r ports.UserRepository, ctx context.Context, id user.ID, check func(user.User) error) error {
			if err := r.Delete(ctx, id, check); !errors.Is(err, fault.NotFound) {
				return err
			}
			return nil
		})),
	userMutant("a missing user is not found", "asks about the zero user", deleting(
		func(r ports.UserRepository, ctx context.Context, id user.ID, check func(user.User) error) error {
			u, _ := r.Find(ctx, id)
			_ = check(u)
			return r.Delete(ctx, id, check)
		})),
	userMutant("deleting deletes", "disables", deleting(
		func(r ports.UserRepository, ctx context.Context, id user.ID, check func(user.User) error) error {
			_, err := r.Update(ctx, id, func(u *user.User) error { u.Disable(noon); return check(*u) })
			return err
		})),
	userMutant("deleting deletes", "asks nobody", deleting(
		func(r ports.UserRepository, ctx context.Context, id user.ID, _ func(user.User) error) error {
			return r.Delete(ctx, id, goInPeace)
		})),
	userMutant("deleting deletes", "keeps the address", func(r ports.UserRepository) users {
		var kept sync.Map
		return users{
			delete: func(ctx context.Context, id user.ID, check func(user.User) error) error {
				return r.Delete(ctx, id, func(u user.User) error { kept.Store(u.Email().Canonical(), true); return check(u) })
			},
			add: func(ctx context.Context, u user.User) error {
				if _, taken := kept.Load(u.Email().Canonical()); taken {
					return user.ErrEmailTaken
				}
				return r.Add(ctx, u)
			},
		}
	}),
	userMutant("a refused deletion deletes nothing", "deletes before it asks", deleting(
		func(r ports.UserRepository, ctx context.Context, id user.ID, check func(user.User) error) error {
			var refused error
			if err := r.Delete(ctx, id, func(u user.User) error { refused = check(u); return nil }); err != nil {
				return err
			}
			return refused
		})),
	userMutant("a refused deletion deletes nothing", "wraps the error", deleting(
		func(r ports.UserRepository, ctx context.Context, id user.ID, check func(user.User) error) error {
			if err := r.Delete(ctx, id, check); err != nil {
				return fmt.Errorf("delete: %w", err)
			}
			return nil
		})),
	userMutant("a refused deletion deletes nothing", "says first that it is the last admin", deleting(
		func(r ports.UserRepository, ctx context.Context, id user.ID, check func(user.User) error) error {
			if u, err := r.Find(ctx, id); err == nil && u.ActsAsAdmin() {
				return user.ErrLastAdmin
			}
			return r.Delete(ctx, id, check)
		})),
	userMutant("what is deleted is what was checked", "checks and deletes in two steps", func(r ports.UserRepository) users {
		var mu sync.Mutex
		updated := map[user.ID]chan struct{}{}
		of := func(id user.ID) chan struct{} {
			mu.Lock()
			defer mu.Unlock()
			if updated[id] == nil {
				updated[id] = make(chan struct{})
			}
			return updated[id]
		}
		return users{
			delete: func(ctx context.Context, id user.ID, check func(user.User) error) error {
				u, err := r.Find(ctx, id)
				if err == nil {
					err = check(u)
				}
				<-of(id)
				if err != nil {
					return err
				}
				return r.Delete(ctx, id, goInPeace)
			},
			update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
				defer close(of(id))
				return r.Update(ctx, id, change)
			},
		}
	}),
	userMutant("the last admin stays", "deletes it", func(r ports.UserRepository) users {
		return users{delete: func(ctx context.Context, id user.ID, check func(user.User) error) error {
			return unruly(r).Delete(ctx, id, check)
		}}
	}),
	userMutant("the last admin stays", "demotes and disables it", func(r ports.UserRepository) users {
		return users{update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
			return unruly(r).Update(ctx, id, change)
		}}
	}),
	userMutant("the last admin stays", "counts who is disabled", func(r ports.UserRepository) users {
		return users{delete: func(ctx context.Context, id user.ID, check func(user.User) error) error {
			all, err := r.List(ctx, user.ID{}, 1000)
			if err != nil {
				return err
			}
			for _, u := range all {
				if u.ID() != id && u.HasRole(user.RoleAdmin) {
					r = unruly(r)
				}
			}
			return r.Delete(ctx, id, check)
		}}
	}),
	userMutant("the last admin stays", "keeps what it refuses", func(r ports.UserRepository) users {
		return users{update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
			u, err := r.Update(ctx, id, change)
			if errors.Is(err, user.ErrLastAdmin) {
				_, _ = unruly(r).Update(ctx, id, change)
			}
			return u, err
		}}
	}),
	userMutant("the last admin stays", "lets it change nothing at all", func(r ports.UserRepository) users {
		return users{update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
			if u, err := r.Find(ctx, id); err == nil && u.ActsAsAdmin() {
				return user.User{}, user.ErrLastAdmin
			}
			return r.Update(ctx, id, change)
		}}
	}),
	userMutant("who does not act as admin comes and goes", "wants an admin to be left in any case", deleting(
		func(r ports.UserRepository, ctx context.Context, id user.ID, check func(user.User) error) error {
			all, err := r.List(ctx, user.ID{}, 1000)
			if err != nil {
				return err
			}
			for _, u := range all {
				if u.ActsAsAdmin() {
					return r.Delete(ctx, id, check)
				}
			}
			return user.ErrLastAdmin
		})),
	userMutant("who does not act as admin comes and goes", "counts a disabled admin", func(r ports.UserRepository) users {
		return users{update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
			if u, err := r.Find(ctx, id); err == nil && u.HasRole(user.RoleAdmin) {
				return user.User{}, user.ErrLastAdmin
			}
			return r.Update(ctx, id, change)
		}}
	}),
	userMutant("of two admins who go at once one stays", "looks first and goes then", func(r ports.UserRepository) users {
		both := meet()
		alone := func(ctx context.Context, id user.ID) bool {
			defer both()
			all, _ := r.List(ctx, user.ID{}, 1000)
			for _, u := range all {
				if u.ID() != id && u.ActsAsAdmin() {
					return false
				}
			}
			return true
		}
		return users{
			delete: func(ctx context.Context, id user.ID, check func(user.User) error) error {
				if alone(ctx, id) {
					return user.ErrLastAdmin
				}
				return unruly(r).Delete(ctx, id, check)
			},
			update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
				if alone(ctx, id) {
					return user.User{}, user.ErrLastAdmin
				}
				return unruly(r).Update(ctx, id, change)
			},
		}
	}),
	userMutant("of two admins who go at once one stays", "reports contention as an outage", func(r ports.UserRepository) users {
		return users{update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
			u, err := r.Update(ctx, id, change)
			if errors.Is(err, user.ErrLastAdmin) {
				err = fault.Outage(err)
			}
			return u, err
		}}
	}),
	userMutant("a cancelled context is an outage", "deletes all the same", deleting(
		func(r ports.UserRepository, ctx context.Context, id user.ID, check func(user.User) error) error {
			return late(ctx, r.Delete(deaf(ctx), id, check))
		})),
	userMutant("who hangs up during a deletion deletes nothing", "does not look at the context again", deleting(
		func(r ports.UserRepository, ctx context.Context, id user.ID, check func(user.User) error) error {
			return late(ctx, r.Delete(deaf(ctx), id, check))
		})),
}

// withUsers makes a mutant of sessions that is broken in its users.
func withUsers(check, fault string, f func(s SessionStores) users) mutant[SessionStores] {
	return mutant[SessionStores]{check, fault, func(s SessionStores) SessionStores {
		m := f(s)
		m.UserRepository = s.Users
		s.Users = m
		return s
	}}
}

var leavingSessionMutants = []mutant[SessionStores]{
	sessionMutant("sessions go with their user", "resumes what it once knew", func(r SessionStores) sessions {
		var known sync.Map
		return sessions{
			add: func(ctx context.Context, one session.Session) error {
				err := r.Sessions.Add(ctx, one)
				got, _ := r.Sessions.Resume(ctx, one.Key())
				known.Store(one.Key(), got)
				return err
			},
			resume: func(_ context.Context, k session.Key) (session.Resumed, error) {
				got, ok := known.Load(k)
				if !ok {
					return session.Resumed{}, session.ErrUnknown
				}
				return got.(session.Resumed), nil
			},
		}
	}),
	withUsers("sessions go with their user", "ends everybody's", func(s SessionStores) users {
		return users{delete: func(ctx context.Context, id user.ID, check func(user.User) error) error {
			all, _ := s.Users.List(ctx, user.ID{}, 1000)
			for _, u := range all {
				_, _ = s.Directory.EndOthers(ctx, u.ID(), session.Key{}, signedOut)
			}
			return s.Users.Delete(ctx, id, check)
		}}
	}),
	sessionMutant("who is going begins no session", "takes in who is gone", func(r SessionStores) sessions {
		return sessions{add: func(ctx context.Context, one session.Session) error {
			err := r.Sessions.Add(ctx, one)
			if errors.Is(err, fault.NotFound) {
				n := int(one.ID().UUID[15])
				_ = r.Users.Add(ctx, user.New(one.UserID(), user.RestoreEmail("", fmt.Sprint(n)), user.Name{}, user.PasswordHash{}, noon))
				err = r.Sessions.Add(ctx, one)
			}
			return err
		}}
	}),
}

var leavingProductMutants = []mutant[ProductStores]{
	productMutant("products go with their owner", "finds what it once knew", func(r ports.ProductRepository) products {
		var known sync.Map
		return products{
			add: func(ctx context.Context, p product.Product) error {
				known.Store(p.ID(), p)
				return r.Add(ctx, p)
			},
			find: func(_ context.Context, id product.ID) (product.Product, error) {
				p, ok := known.Load(id)
				if !ok {
					return product.Product{}, product.ErrUnknown
				}
				return p.(product.Product), nil
			},
		}
	}),
	productMutant("who is going leaves no product", "offers what nobody owns", func(r ports.ProductRepository) products {
		var orphans sync.Map
		return products{
			add: func(ctx context.Context, p product.Product) error {
				err := r.Add(ctx, p)
				if errors.Is(err, fault.NotFound) {
					orphans.Store(p.ID(), p)
					err = nil
				}
				return err
			},
			find: func(ctx context.Context, id product.ID) (product.Product, error) {
				if p, ok := orphans.Load(id); ok {
					return p.(product.Product), nil
				}
				return r.Find(ctx, id)
			},
		}
	}),
}
