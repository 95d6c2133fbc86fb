package accounts

import (
	"context"
	"slices"
	"time"

	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/factor"
	"gatehouse/domain/mail"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Leave deletes the caller's account with its sessions, products, grants, letters
// and second factor, in one step; the audit log keeps that it was there, by its id.
// It returns [ErrWrongPassword] if the password is another, also if it became
// another one meanwhile, access.ErrUnauthenticated if all sessions were ended
// meanwhile, and user.ErrLastAdmin if nobody would be left to administer.
func (s *Service) Leave(ctx context.Context, r session.Resumed, password string) error {
	if err := s.Sessions.Confirm(ctx, r.User, password); err != nil {
		return err
	}
	leave := func(over func(user.User) ports.LastWord) error {
		with := &ports.Along{Audit: []audit.Entry{s.book.Own(ctx, audit.Left, audit.Success, r.User.ID())}}
		return s.Users.Delete(ctx, r.User.ID(), func(u user.User) error {
			if with.Admins = nil; over != nil && u.ActsAsAdmin() {
				with.Admins = over(u)
			}
			return asConfirmed(u, r)
		}, with)
	}
	if s.Watched == nil || !r.User.ActsAsAdmin() {
		return gone(leave(nil))
	}
	return gone(s.Watched(ctx, r, leave))
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
	Past     []session.Past    // those that are over, the one that ended last first
	Factor   factor.Factor     // the zero one if none is on
	Letters  []mail.Letter     // not sent yet, the oldest first
	Audit    []audit.Row       // the newest first, up to ExportedAudit
	Products []product.Product // the oldest first, with the grants that were given
	Shared   []product.Product // of others, shared with the user, the oldest first
}

// ExportedAudit is how many rows of the audit log an export holds at the most.
const ExportedAudit = 1000

// exportPage is how many products are read at a time.
const exportPage = 100

// Export returns all that is kept about the caller. It is read piece by piece:
// what changes meanwhile may be in it as it was or as it is.
func (s *Service) Export(ctx context.Context, r session.Resumed) (Export, error) {
	e := Export{At: s.Now(), User: r.User}
	id := r.User.ID()
	for _, read := range []func() error{
		func() (err error) { e.Sessions, err = s.Directory.List(ctx, id); return err },
		func() (err error) { e.Past, err = s.Directory.PastOf(ctx, id); return err },
		func() (err error) { e.Factor, err = s.factorOf(ctx, id); return err },
		func() (err error) { e.Letters, err = s.lettersTo(ctx, id); return err },
		func() (err error) { e.Audit, err = s.Log.RowsOf(ctx, id, ExportedAudit); return err },
		func() (err error) { e.Products, err = s.allProducts(ctx, access.OwnedBy(id)); return err },
		func() (err error) {
			e.Shared, err = s.allProducts(ctx, access.GrantedTo(id, product.Viewer, product.Editor))
			return err
		},
	} {
		if err := read(); err != nil {
			return Export{}, err
		}
	}
	return e, s.Ledger.Record(ctx, ports.Along{Audit: []audit.Entry{s.book.Own(ctx, audit.Exported, audit.Success, id)}})
}

// lettersTo are the letters to the user that wait. Where nobody is to learn who
// has an account, those to an address that the account does not have yet are left
// out: there is one if nobody has the address, and none if somebody has.
func (s *Service) lettersTo(ctx context.Context, id user.ID) ([]mail.Letter, error) {
	all, err := s.Outbox.LettersTo(ctx, id)
	if err != nil || !s.Verified {
		return all, err
	}
	return slices.DeleteFunc(all, func(l mail.Letter) bool { return l.Kind == mail.ConfirmNewEmail }), nil
}

// allProducts returns all products that a filter holds for, the oldest first, so
// that what is added meanwhile comes last and moves nothing.
func (s *Service) allProducts(ctx context.Context, f access.Filter) ([]product.Product, error) {
	q := ports.ProductQuery{Visible: f, Sort: product.OldestFirst, Limit: exportPage}
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

// pruneBatch is how many tickets one statement of [Service.Prune] deletes at the
// most.
const pruneBatch = 1000

// Prune deletes tickets that have expired, and returns how many.
func (s *Service) Prune(ctx context.Context) (int, error) {
	for total := 0; ; {
		n, err := s.Tickets.Prune(ctx, s.Now(), pruneBatch)
		total += n
		if err != nil || n < pruneBatch {
			return total, err
		}
	}
}
