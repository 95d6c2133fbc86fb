package httptests

import (
	"context"
	"errors"
	"sync"
	"time"

	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Faults breaks ports on demand: "users", "sessions", "directory", "products",
// "authorizer", "hasher".
type Faults struct {
	mu  sync.Mutex
	how map[string]func(context.Context) error
}

// Break has every call of the port do that first; nil mends it.
func (f *Faults) Break(port string, how func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.how == nil {
		f.how = map[string]func(context.Context) error{}
	}
	f.how[port] = how
}

func (f *Faults) hit(ctx context.Context, port string) error {
	f.mu.Lock()
	how := f.how[port]
	f.mu.Unlock()
	if how == nil {
		return nil
	}
	return how(ctx)
}

// What can be wrong with a port.
var (
	outage = func(context.Context) error {
		return fault.Outage(errors.New("dial tcp 10.9.8.7:5432: internal-db-name refused"))
	}
	busy = func(context.Context) error {
		e := fault.Outage(errors.New("queue is full"))
		e.RetryAfter = 2500 * time.Millisecond
		return e
	}
	defect = func(context.Context) error { return errors.New(`ERROR: relation "secret_table" does not exist`) }
	crash  = func(context.Context) error { panic("secret text of a panic") }
	hang   = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
)

// around puts the faults in front of the stores.
func (f *Faults) around(st Stores) Stores {
	st.Users = brokenUsers{st.Users, f}
	st.Sessions = brokenSessions{st.Sessions, f}
	st.Directory = brokenDirectory{st.Directory, f}
	st.Products = brokenProducts{st.Products, f}
	st.Authorizer = brokenAuthorizer{st.Authorizer, f}
	st.Hasher = brokenHasher{st.Hasher, f}
	return st
}

type brokenUsers struct {
	ports.UserRepository
	f *Faults
}

func (b brokenUsers) Add(ctx context.Context, u user.User) error {
	if err := b.f.hit(ctx, "users"); err != nil {
		return err
	}
	return b.UserRepository.Add(ctx, u)
}

func (b brokenUsers) FindByEmail(ctx context.Context, e user.Email) (user.User, error) {
	if err := b.f.hit(ctx, "users"); err != nil {
		return user.User{}, err
	}
	return b.UserRepository.FindByEmail(ctx, e)
}

func (b brokenUsers) Update(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
	if err := b.f.hit(ctx, "users"); err != nil {
		return user.User{}, err
	}
	return b.UserRepository.Update(ctx, id, change)
}

func (b brokenUsers) Delete(ctx context.Context, id user.ID, check func(user.User) error) error {
	if err := b.f.hit(ctx, "users"); err != nil {
		return err
	}
	return b.UserRepository.Delete(ctx, id, check)
}

type brokenSessions struct {
	ports.SessionRepository
	f *Faults
}

func (b brokenSessions) Add(ctx context.Context, s session.Session) error {
	if err := b.f.hit(ctx, "sessions"); err != nil {
		return err
	}
	return b.SessionRepository.Add(ctx, s)
}

func (b brokenSessions) Resume(ctx context.Context, k session.Key) (session.Resumed, error) {
	if err := b.f.hit(ctx, "sessions"); err != nil {
		return session.Resumed{}, err
	}
	r, err := b.SessionRepository.Resume(ctx, k)
	if e := b.f.hit(ctx, "resumed"); e != nil { // between being read and being written
		return session.Resumed{}, e
	}
	return r, err
}

func (b brokenSessions) Replace(ctx context.Context, k session.Key, next session.Session, now time.Time) error {
	if err := b.f.hit(ctx, "sessions"); err != nil {
		return err
	}
	return b.SessionRepository.Replace(ctx, k, next, now)
}

func (b brokenSessions) End(ctx context.Context, k session.Key) error {
	if err := b.f.hit(ctx, "sessions"); err != nil {
		return err
	}
	return b.SessionRepository.End(ctx, k)
}

type brokenDirectory struct {
	ports.SessionDirectory
	f *Faults
}

func (b brokenDirectory) List(ctx context.Context, id user.ID) ([]session.Session, error) {
	if err := b.f.hit(ctx, "directory"); err != nil {
		return nil, err
	}
	return b.SessionDirectory.List(ctx, id)
}

func (b brokenDirectory) EndOne(ctx context.Context, id user.ID, s session.ID) error {
	if err := b.f.hit(ctx, "directory"); err != nil {
		return err
	}
	return b.SessionDirectory.EndOne(ctx, id, s)
}

func (b brokenDirectory) EndOthers(ctx context.Context, id user.ID, keep session.Key) (int, error) {
	if err := b.f.hit(ctx, "directory"); err != nil {
		return 0, err
	}
	return b.SessionDirectory.EndOthers(ctx, id, keep)
}

type brokenProducts struct {
	ports.ProductRepository
	f *Faults
}

func (b brokenProducts) Add(ctx context.Context, p product.Product) error {
	if err := b.f.hit(ctx, "products"); err != nil {
		return err
	}
	return b.ProductRepository.Add(ctx, p)
}

func (b brokenProducts) Find(ctx context.Context, id product.ID) (product.Product, error) {
	if err := b.f.hit(ctx, "products"); err != nil {
		return product.Product{}, err
	}
	return b.ProductRepository.Find(ctx, id)
}

func (b brokenProducts) List(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
	if err := b.f.hit(ctx, "products"); err != nil {
		return nil, err
	}
	return b.ProductRepository.List(ctx, q)
}

func (b brokenProducts) Update(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
	if err := b.f.hit(ctx, "products"); err != nil {
		return product.Product{}, err
	}
	return b.ProductRepository.Update(ctx, id, change)
}

func (b brokenProducts) Delete(ctx context.Context, id product.ID, check func(product.Product) error) error {
	if err := b.f.hit(ctx, "products"); err != nil {
		return err
	}
	return b.ProductRepository.Delete(ctx, id, check)
}

type brokenAuthorizer struct {
	ports.Authorizer
	f *Faults
}

func (b brokenAuthorizer) Rights(ctx context.Context, a access.Actor) (access.Rights, error) {
	if err := b.f.hit(ctx, "authorizer"); err != nil {
		return nil, err
	}
	return b.Authorizer.Rights(ctx, a)
}

type brokenHasher struct {
	ports.PasswordHasher
	f *Faults
}

func (b brokenHasher) Hash(ctx context.Context, p user.Password) (user.PasswordHash, error) {
	if err := b.f.hit(ctx, "hasher"); err != nil {
		return user.PasswordHash{}, err
	}
	return b.PasswordHasher.Hash(ctx, p)
}

func (b brokenHasher) Verify(ctx context.Context, p user.Password, h user.PasswordHash) (bool, error) {
	if err := b.f.hit(ctx, "hasher"); err != nil {
		return false, err
	}
	return b.PasswordHasher.Verify(ctx, p, h)
}
