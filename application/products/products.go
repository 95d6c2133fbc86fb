// Package products is what can be done with products, each act under the
// policy: the gate is asked here, in front of the store, so that no transport
// can forget it.
//
// Who may not even read a product is told that there is none.
package products

import (
	"context"
	"errors"
	"slices"

	"gatehouse/application/events"
	"gatehouse/application/gate"
	"gatehouse/application/guard"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/idempotency"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// ErrVersionConflict answers a change of a product that is not, or no longer,
// of the version that the caller expects.
var ErrVersionConflict = fault.New(fault.Stale, "version_conflict", "The product has been changed since you read it. Read it again and repeat.")

// Config is what a [Service] is made of; every field but Rules and
// Subscribers is needed, and Answers only for [Service.CreateOnce] with a key.
type Config struct {
	Products ports.ProductRepository
	Answers  ports.IdempotencyRepository
	Gate     *gate.Gate
	Guard    *guard.Guard
	Random   ports.Random
	Now      ports.Clock
	Rules    []product.Rule // what a team wants true of its products

	Subscribers events.Subscribers // who is to be told what happens
}

// Service does what may be done with products.
type Service struct{ Config }

// New returns a service over the ports.
func New(c Config) *Service { return &Service{c} }

// Create makes a product that the actor owns. unread is what the transport
// could not read of the draft, or nil; it is told together with what is wrong
// with the rest, but only to who may create at all.
func (s *Service) Create(ctx context.Context, a access.Actor, d product.Draft, unread error) (product.Product, error) {
	p, _, err := s.CreateOnce(ctx, a, d, unread, Once{})
	return p, err
}

// create makes a product that the actor may make.
func (s *Service) create(ctx context.Context, a access.Actor, rights access.Rights, d product.Draft, unread error, o Once) (product.Product, error) {
	now := s.Now()
	p, err := product.New(product.ID{UUID: s.Random.ID(now)}, a.ID(), d, now)
	if err := fault.Merge(unread, err); err != nil {
		return product.Product{}, err
	}
	if err := s.check(rights, a, nil, &p); err != nil {
		return product.Product{}, err
	}
	with := ports.Along{Events: s.happened(a, nil, &p)}
	if !o.Key.IsZero() {
		with.Answers = []idempotency.Kept{idempotency.Keep(o.Key.Of(a.ID(), actCreate), a.ID(), o.Request, o.Answer(p), now)}
	}
	err = s.Products.Add(ctx, p, &with)
	if errors.Is(err, fault.NotFound) { // the account was deleted meanwhile
		return product.Product{}, access.ErrUnauthenticated.Because(err)
	}
	if err != nil {
		return product.Product{}, err
	}
	return p, nil
}

// pruneBatch is how many rows one statement of pruning deletes at the most, so
// that nobody waits long for it.
const pruneBatch = 1000

// Prune deletes the answers that are kept no longer, and returns how many.
func (s *Service) Prune(ctx context.Context) (int, error) {
	for total := 0; ; {
		n, err := s.Answers.Prune(ctx, s.Now(), pruneBatch)
		total += n
		if err != nil || n < pruneBatch {
			return total, err
		}
	}
}

// Read returns the product.
func (s *Service) Read(ctx context.Context, a access.Actor, id product.ID) (product.Product, error) {
	p, _, err := s.read(ctx, a, id)
	return p, err
}

// read returns the product if the actor may read it, with the actor's rights.
func (s *Service) read(ctx context.Context, a access.Actor, id product.ID) (product.Product, access.Rights, error) {
	rights, err := s.Gate.Rights(ctx, a)
	if err != nil {
		return product.Product{}, nil, err
	}
	p, err := s.Products.Find(ctx, id)
	if err != nil {
		return product.Product{}, nil, err
	}
	if err := permit(rights, a, access.Read, access.Product(p)); err != nil {
		return product.Product{}, nil, err
	}
	return p, rights, nil
}

// Permissions returns the actions that the actor may do with the product.
func (s *Service) Permissions(ctx context.Context, a access.Actor, id product.ID) ([]access.Action, error) {
	p, rights, err := s.read(ctx, a, id)
	if err != nil {
		return nil, err
	}
	var may []access.Action
	for _, action := range access.Actions() {
		if action == access.Create { // is done with the kind, not with one
			continue
		}
		d, err := rights.Decide(action, access.Product(p))
		if err != nil {
			return nil, err
		}
		if d.Allowed {
			may = append(may, action)
		}
	}
	return may, nil
}

// Query asks for a page of products. The zero Query is the first page of all.
type Query struct {
	Owner  *user.ID         // nil means anybody's
	Mine   bool             // only the actor's own
	Status product.Status   // zero means any
	Text   string           // what name or description contains
	Sort   product.Sort     // zero means the newest first
	After  product.Position // zero means from the start
	Limit  int              // 0 means DefaultLimit
	Count  bool             // how many there are on all pages is wanted too
}

// Bounds of a page.
const (
	DefaultLimit = 20
	MaxLimit     = 100
)

// MaxTextLength is how many characters a search may have: as many as a name.
const MaxTextLength = product.MaxNameLength

// Page is a piece of a list.
type Page struct {
	Items []product.Product
	Next  *product.Position // where the next page starts after; nil on the last
	Total *int              // how many there are on all pages; nil unless it was asked for
}

// List returns a page of exactly the products that [Service.Read] would show.
// The total, where it is wanted, is the number of products that a walk over all
// pages would show; products that come and go meanwhile may be in one and not in
// the other.
func (s *Service) List(ctx context.Context, a access.Actor, q Query) (Page, error) {
	if q.Mine && a.IsAnonymous() {
		return Page{}, access.ErrUnauthenticated
	}
	if q.Text != "" || q.Count { // which may have to look at every product
		if err := s.Guard.Search(ctx); err != nil {
			return Page{}, err
		}
	}
	rights, err := s.Gate.Rights(ctx, a)
	if err != nil {
		return Page{}, err
	}
	visible, err := rights.Filter(access.Read, access.KindProduct)
	if err != nil {
		return Page{}, err
	}
	if q.Mine {
		visible = access.All{visible, access.OwnedBy(a.ID())}
	}
	var owner user.ID
	if q.Owner != nil {
		owner = *q.Owner
		if owner.IsZero() { // to the store that is anybody; it is nobody
			visible = access.Nothing
		}
	}
	limit := q.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	limit = min(max(limit, 1), MaxLimit)
	asked := ports.ProductQuery{
		Visible: visible, Owner: owner, Status: q.Status, Text: q.Text, Sort: q.Sort, After: q.After,
		Limit: limit + 1, // one more tells whether there is another page
	}
	page := Page{}
	if page.Items, err = s.Products.List(ctx, asked); err != nil {
		return Page{}, err
	}
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		next := product.PositionOf(page.Items[limit-1])
		page.Next = &next
	}
	if q.Count {
		page.Total, err = s.total(ctx, asked, page)
	}
	if err != nil {
		return Page{}, err
	}
	return page, nil
}

// total is how many products the pages of a query hold, of which page is one.
// Where that is all of them it is what it shows; else the others are counted a
// moment later, by the same rights.
func (s *Service) total(ctx context.Context, q ports.ProductQuery, page Page) (*int, error) {
	n := len(page.Items)
	if q.After == (product.Position{}) && page.Next == nil {
		return &n, nil
	}
	n, err := s.Products.Count(ctx, q)
	if err != nil {
		return nil, err
	}
	return &n, nil
}

// Match says whether a version is one that the caller expects (RFC 9110
// section 13.1.1); nil expects nothing.
type Match func(version int64) bool

// Edit is a change that somebody asks for.
type Edit struct {
	Change product.Change
	Match  Match
	Unread error // as in [Service.Create]
}

// Update alters the product in one step: read, authorize, change, rules, write.
// It returns [ErrVersionConflict] if the version is not expected.
func (s *Service) Update(ctx context.Context, a access.Actor, id product.ID, e Edit) (product.Product, error) {
	rights, err := s.Gate.Rights(ctx, a)
	if err != nil {
		return product.Product{}, err
	}
	var with ports.Along
	p, err := s.Products.Update(ctx, id, func(p *product.Product) error {
		if err := permit(rights, a, access.Update, access.Product(*p)); err != nil {
			return err
		}
		if e.Match != nil && !e.Match(p.Version()) {
			return ErrVersionConflict
		}
		before := *p
		if err := fault.Merge(e.Unread, p.Apply(e.Change, s.Now())); err != nil {
			return err
		}
		with.Events = s.happened(a, &before, p)
		return s.check(rights, a, &before, p)
	}, &with)
	return p, s.Gate.Record(ctx, a, err)
}

// Delete deletes the product, if its version is expected.
func (s *Service) Delete(ctx context.Context, a access.Actor, id product.ID, m Match) error {
	rights, err := s.Gate.Rights(ctx, a)
	if err != nil {
		return err
	}
	var with ports.Along
	err = s.Products.Delete(ctx, id, func(p product.Product) error {
		if err := permit(rights, a, access.Delete, access.Product(p)); err != nil {
			return err
		}
		if m != nil && !m(p.Version()) {
			return ErrVersionConflict
		}
		with.Events = s.happened(a, &p, nil)
		return s.check(rights, a, &p, nil)
	}, &with)
	return s.Gate.Record(ctx, a, err)
}

// happened is what subscribers are to be told of a transition, in one step with
// it.
func (s *Service) happened(a access.Actor, before, after *product.Product) []product.Delivery {
	return s.Subscribers.Deliveries(product.Transition{Before: before, After: after, By: a.ID()}, s.Random, s.Now())
}

// check asks the team's rules about a transition.
func (s *Service) check(rights access.Rights, a access.Actor, before, after *product.Product) error {
	if len(s.Rules) == 0 {
		return nil
	}
	return product.Check(s.Rules, product.Transition{Before: before, After: after, By: a.ID(), Roles: slices.Clone(rights.Roles())})
}

// permit is gate.Judge, but tells who may not even read a product that there is
// none. That is never written down: looking around is no act.
func permit(rights access.Rights, a access.Actor, action access.Action, r access.Resource) error {
	refused := gate.Judge(rights, a, action, r)
	if _, denied := errors.AsType[*access.Denial](refused); !denied || action == access.Create {
		return refused
	}
	seen, err := rights.Decide(access.Read, r)
	if err != nil {
		return err
	}
	if !seen.Allowed {
		return product.ErrUnknown
	}
	return refused
}
