// Package truth holds lists of products to the truth: a list, by whomever, in any
// order and page by page, is exactly what asking about each product one by one
// allows, whatever the policy says and whatever happens between two pages.
//
// [Lists] plays one random case, made of a seed, over whatever stores it is
// given. Policies, roles, their inheritance, grants and products are random; what
// a page must hold is worked out beside the service, row by row of the policy, by
// a reading of it that knows no filters.
package truth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"gatehouse/adapters/casbinauthz"
	"gatehouse/adapters/memory"
	"gatehouse/application/gate"
	"gatehouse/application/guard"
	"gatehouse/application/products"
	"gatehouse/configs"
	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// Stores are what a case is played over. They may hold what other cases left.
type Stores struct {
	Users    ports.UserRepository
	Products ports.ProductRepository
}

// The words that policies are drawn from. Some roles are those of the default
// policy, others a team's own; a role may be given that no row names.
var (
	roles      = []string{"anonymous", "user", "seller", "moderator", "auditor"}
	conditions = []string{"any", "own", "published", "viewer", "editor"}
)

// game is one case.
type game struct {
	ctx      context.Context
	random   *rand.Rand
	stores   Stores
	set      access.Set
	service  *products.Service
	people   []user.User
	products map[product.ID]product.Product // as they are kept
	made     int
}

// Lists plays the case of a seed and returns how a list lied, or nil. wrap, where
// it is not nil, puts something around the authorizer: what a test breaks.
func Lists(ctx context.Context, seed uint64, s Stores, wrap func(ports.Authorizer) ports.Authorizer) (err error) {
	g := &game{ctx: ctx, random: rand.New(rand.NewPCG(seed, 0)), stores: s, products: map[product.ID]product.Product{}}
	defer func() {
		if err != nil {
			err = fmt.Errorf("seed %d: %w", seed, err)
		}
		err = errors.Join(err, g.leave())
	}()
	if err := g.begin(wrap); err != nil {
		return err
	}
	for range 16 {
		if _, err := g.offer(); err != nil {
			return err
		}
	}
	for range 12 {
		if _, err := g.share(); err != nil {
			return err
		}
	}
	for _, u := range g.people {
		if err := g.ask(access.SignedIn(u, 1)); err != nil {
			return err
		}
	}
	return g.ask(access.Anonymous())
}

// begin makes the policy, the people and the service.
func (g *game) begin(wrap func(ports.Authorizer) ports.Authorizer) error {
	vocabulary, err := access.NewVocabulary()
	if err != nil {
		return err
	}
	table := g.table()
	if g.set, err = vocabulary.Check(table); err != nil {
		return err
	}
	casbin, err := casbinauthz.New(policy{table: table}, nil, vocabulary, configs.Model(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	var authorizer ports.Authorizer = casbin
	if wrap != nil {
		authorizer = wrap(authorizer)
	}
	for range 4 {
		if err := g.register(); err != nil {
			return err
		}
	}
	db := memory.New()
	now := func() time.Time { return time.Unix(0, 0) }
	g.service = products.New(products.Config{
		Products: g.stores.Products, Gate: &gate.Gate{Authorizer: authorizer, Ledger: db.Ledger(), Now: now}, Now: now,
		Guard: guard.New(guard.Config{Shared: db.Limiter(), Own: memory.NewLimiter(10), Rules: guard.Rules{}, Now: now}),
	})
	return nil
}

// policy is a table that stays.
type policy struct {
	ports.PolicyRepository
	table access.Table
}

// Version implements ports.PolicyRepository.
func (p policy) Version(context.Context) (int64, error) { return p.table.Version, nil }

// Load implements ports.PolicyRepository.
func (p policy) Load(context.Context) (access.Table, error) { return p.table, nil }

// table draws a policy. Every second row is about reading products, and every
// third denies.
func (g *game) table() access.Table {
	t := access.Table{Version: 1}
	for range 4 + g.random.IntN(12) {
		r := access.Row{
			ID: access.PolicyID{UUID: g.id()}, Role: pick(g, roles), Resource: "product", Action: pick(g, []string{"read", "read", "update", "share"}),
			Condition: pick(g, conditions), Effect: pick(g, []string{"allow", "allow", "deny"}),
		}
		if !slices.ContainsFunc(t.Rows, func(o access.Row) bool { return o.String() == r.String() }) {
			t.Rows = append(t.Rows, r)
		}
	}
	for i := range roles[1:] { // only downwards, so that there is no circle
		if g.random.IntN(3) > 0 {
			t.Inherits = append(t.Inherits, access.Inheritance{Role: roles[i+1], Parent: roles[g.random.IntN(i+1)]})
		}
	}
	return t
}

func pick[T any](g *game, list []T) T { return list[g.random.IntN(len(list))] }

// id is one that no other case has.
func (g *game) id() uuid.UUID {
	var tail [8]byte
	for i := range tail {
		tail[i] = byte(g.random.Uint32())
	}
	g.made++
	return uuid.New(time.UnixMilli(1_700_000_000_000+int64(g.made)), tail)
}

func (g *game) register() error {
	id := user.ID{UUID: g.id()}
	email, err := user.NewEmail(id.String() + "@example.com")
	if err != nil {
		return err
	}
	u := user.New(id, email, user.Name{}, user.PasswordHash{}, time.Unix(0, 0))
	var given []user.Role
	for range 1 + g.random.IntN(2) {
		r, _ := user.ParseRole(pick(g, append([]string{"newcomer"}, roles[1:]...)))
		if !slices.Contains(given, r) {
			given = append(given, r)
		}
	}
	if err := u.SetRoles(given, time.Unix(0, 0)); err != nil {
		return err
	}
	g.people = append(g.people, u)
	return g.stores.Users.Add(g.ctx, u)
}

// leave deletes the people, with all that is theirs.
func (g *game) leave() error {
	var all error
	for _, u := range g.people {
		all = errors.Join(all, g.stores.Users.Delete(g.ctx, u.ID(), func(user.User) error { return nil }))
	}
	return all
}

// What happens between two pages gives the product that it happened to.

func (g *game) offer() (product.ID, error) {
	statuses := []product.Status{product.StatusDraft, product.StatusPublished, product.StatusArchived}
	p := product.Restore(product.State{
		ID: product.ID{UUID: g.id()}, OwnerID: pick(g, g.people).ID(), Name: pick(g, []string{"a", "b", "B"}),
		Price: product.RestorePrice(g.random.Int64N(3), "KRW"), Stock: g.random.Int64N(2), Status: pick(g, statuses), Version: 1,
		CreatedAt: time.Unix(g.random.Int64N(5), 0), UpdatedAt: time.Unix(5, 0),
	})
	g.products[p.ID()] = p
	return p.ID(), g.stores.Products.Add(g.ctx, p)
}

func (g *game) alter(change func(*product.Product)) (product.ID, error) {
	if len(g.products) == 0 {
		return g.offer()
	}
	id := pick(g, slices.SortedFunc(keys(g.products), func(a, b product.ID) int { return a.Compare(b.UUID) }))
	p, err := g.stores.Products.Update(g.ctx, id, func(p *product.Product) error { change(p); return nil })
	if err == nil {
		g.products[id] = p
	}
	return id, err
}

func keys(m map[product.ID]product.Product) func(func(product.ID) bool) {
	return func(yield func(product.ID) bool) {
		for id := range m {
			if !yield(id) {
				return
			}
		}
	}
}

func (g *game) share() (product.ID, error) {
	with, role := pick(g, g.people).ID(), pick(g, []string{"viewer", "editor"})
	return g.alter(func(p *product.Product) {
		if p.OwnerID() != with {
			_, _ = p.Share(with, role, time.Unix(9, 0))
		}
	})
}

func (g *game) unshare() (product.ID, error) {
	return g.alter(func(p *product.Product) {
		if given := p.Grants(); len(given) > 0 {
			_, _ = p.Unshare(given[0].UserID)
		}
	})
}

func (g *game) transfer() (product.ID, error) {
	to := pick(g, g.people).ID()
	return g.alter(func(p *product.Product) { p.Transfer(to, time.Unix(9, 0)) })
}

func (g *game) publish() (product.ID, error) {
	status := pick(g, []string{"draft", "published", "archived"})
	return g.alter(func(p *product.Product) { _ = p.Apply(product.Change{Status: &status}, time.Unix(9, 0)) })
}

func (g *game) remove() (product.ID, error) {
	id, err := g.alter(func(*product.Product) {})
	if err != nil {
		return id, err
	}
	delete(g.products, id)
	return id, g.stores.Products.Delete(g.ctx, id, func(product.Product) error { return nil })
}

// ask walks through lists of the actor in every order.
func (g *game) ask(a access.Actor) error {
	for _, sort := range product.Sorts() {
		q := products.Query{Sort: sort, Limit: 1 + g.random.IntN(4)}
		switch g.random.IntN(6) {
		case 0:
			q.Status = pick(g, []product.Status{product.StatusDraft, product.StatusPublished, product.StatusArchived})
		case 1:
			owner := pick(g, g.people).ID()
			q.Owner = &owner
		case 2:
			q.Mine = !a.IsAnonymous()
		case 3:
			q.Text = "b"
		}
		if err := g.walk(a, q); err != nil {
			return fmt.Errorf("by %s, %d a page, to %v with the roles %v: %w", sort, q.Limit, a.ID(), a.Roles(), err)
		}
	}
	return g.single(a)
}

// walk reads page after page, with something happening between two of them, and
// holds each page to what it must be, and all of them together to showing once
// what was there all the time.
func (g *game) walk(a access.Actor, q products.Query) error {
	before := map[product.ID]product.Product{}
	for id, p := range g.products {
		before[id] = p
	}
	touched, seen := map[product.ID]bool{}, map[product.ID]int{}
	for {
		page, err := g.service.List(g.ctx, a, q)
		if err != nil {
			return err
		}
		wanted := g.expected(a, q)
		full := len(wanted) > q.Limit
		if got, want := names(page.Items), names(wanted[:min(len(wanted), q.Limit)]); got != want || full != (page.Next != nil) {
			return fmt.Errorf("a page is %s (another one follows: %t), and one by one %s (%t)", got, page.Next != nil, want, full)
		}
		for _, p := range page.Items {
			seen[p.ID()]++
		}
		if page.Next == nil {
			break
		}
		q.After = *page.Next
		if g.random.IntN(3) > 0 {
			id, err := pick(g, []func() (product.ID, error){g.offer, g.share, g.share, g.unshare, g.unshare, g.publish, g.transfer, g.remove})()
			if err != nil {
				return err
			}
			touched[id] = true
		}
	}
	for id, p := range before {
		times := 0
		if g.meant(a, q, p) {
			times = 1
		}
		if !touched[id] && seen[id] != times || seen[id] > 1 {
			return fmt.Errorf("%s was shown %d times, want %d", id, seen[id], times)
		}
	}
	return nil
}

// expected are the products that come next, if they were asked about one by one.
func (g *game) expected(a access.Actor, q products.Query) []product.Product {
	var list []product.Product
	for _, p := range g.products {
		at := product.PositionOf(p)
		if g.meant(a, q, p) && (q.After == (product.Position{}) || q.Sort.Compare(at, q.After) > 0) {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b product.Product) int { return q.Sort.Compare(product.PositionOf(a), product.PositionOf(b)) })
	return list
}

// meant reports whether the actor, asking so, is to be shown the product.
func (g *game) meant(a access.Actor, q products.Query, p product.Product) bool {
	switch {
	case q.Status != (product.Status{}) && q.Status != p.Status(),
		q.Owner != nil && *q.Owner != p.OwnerID(),
		q.Mine && p.OwnerID() != a.ID(),
		!strings.Contains(strings.ToLower(p.Name()), q.Text):
		return false
	}
	return g.allowed(a, access.Read, p)
}

// allowed reads the policy row by row, in plain words: no filter, no Casbin.
func (g *game) allowed(a access.Actor, action access.Action, p product.Product) bool {
	var held []user.Role
	for _, r := range a.Roles() {
		held = append(append(held, r), g.set.Ancestors(r)...)
	}
	allowed := false
	for _, row := range g.set.Policies {
		if row.Action != action || !slices.Contains(held, row.Role) || !holds(row.Condition.String(), a, p) {
			continue
		}
		if row.Effect == access.Deny {
			return false
		}
		allowed = true
	}
	return allowed
}

func holds(condition string, a access.Actor, p product.Product) bool {
	grant, shared := p.GrantOf(a.ID())
	switch condition {
	case "any":
		return true
	case "own":
		return !a.IsAnonymous() && p.OwnerID() == a.ID()
	case "published":
		return p.Status() == product.StatusPublished
	case "viewer":
		return shared
	case "editor":
		return shared && grant.Role == product.Editor
	}
	return false
}

// single asks about each product by itself: the service must say the same.
func (g *game) single(a access.Actor) error {
	for id, p := range g.products {
		got, err := g.service.Read(g.ctx, a, id)
		switch want := g.allowed(a, access.Read, p); {
		case err != nil && !errors.Is(err, product.ErrUnknown):
			return err
		case (err == nil) != want:
			return fmt.Errorf("reading %s = %w, want it allowed: %t", id, err, want)
		case err == nil && (got.Version() != p.Version() || !got.SameGrants(p)):
			return fmt.Errorf("reading %s gives another product than was written", id)
		case err != nil:
			continue
		}
		if err := g.permissions(a, p); err != nil {
			return err
		}
	}
	return nil
}

func (g *game) permissions(a access.Actor, p product.Product) error {
	may, err := g.service.Permissions(g.ctx, a, p.ID())
	if err != nil {
		return err
	}
	for _, action := range access.Actions() {
		if want := g.allowed(a, action, p); slices.Contains(may, action) != want {
			return fmt.Errorf("the permissions with %s are %v, want %s among them: %t", p.ID(), may, action, want)
		}
	}
	return nil
}

func names(list []product.Product) string {
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, "%s (%s) ", p.ID().String()[24:], p.Name())
	}
	return "[" + strings.TrimSpace(b.String()) + "]"
}
