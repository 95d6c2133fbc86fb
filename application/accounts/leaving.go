package accounts

import (
	"context"
	"time"

	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Leave deletes the caller's account with its sessions and products, in one
// step. It returns [ErrWrongPassword] if the password is another, also if it
// became another one meanwhile, access.ErrUnauthenticated if all sessions were
// ended meanwhile, and user.ErrLastAdmin if nobody would be left to administer.
func (s *Service) Leave(ctx context.Context, r session.Resumed, password string) error {
	if err := s.confirm(ctx, r.User, password); err != nil {
		return err
	}
	return gone(s.Users.Delete(ctx, r.User.ID(), func(u user.User) error { return asConfirmed(u, r) }))
}

// asConfirmed refuses to act on u if its password is no longer the one that was
// confirmed, or if all its sessions were ended since r was resumed: whoever did
// that did it to keep the holder of this session out.
func asConfirmed(u user.User, r session.Resumed) error {
	if u.PasswordHash() != r.User.PasswordHash() {
		return ErrWrongPassword
	}
	if u.SessionEpoch() != r.Session.Epoch() {
		return access.ErrUnauthenticated
	}
	return nil
}

// Export is all that is kept about somebody.
type Export struct {
	At       time.Time
	User     user.User
	Sessions []session.Session // those that have run out but are not pruned included
	Products []product.Product // the oldest first
}

// exportPage is how many products are read at a time.
const exportPage = 100

// Export returns all that is kept about the caller. It is read piece by piece:
// what changes meanwhile may be in it as it was or as it is.
func (s *Service) Export(ctx context.Context, r session.Resumed) (Export, error) {
	e := Export{At: s.Now(), User: r.User}
	var err error
	if e.Sessions, err = s.Directory.List(ctx, r.User.ID()); err != nil {
		return Export{}, err
	}
	e.Products, err = s.productsOf(ctx, r.User.ID())
	return e, err
}

// productsOf returns all products of the owner, the oldest first, so that what
// is added meanwhile comes last and moves nothing.
func (s *Service) productsOf(ctx context.Context, owner user.ID) ([]product.Product, error) {
	q := ports.ProductQuery{Visible: access.OwnedBy(owner), Sort: product.OldestFirst, Limit: exportPage}
	var all []product.Product
	for {
		page, err := s.Products.List(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < exportPage {
			return all, nil
		}
		q.After = product.PositionOf(page[len(page)-1])
	}
}
