package administration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/application/gate"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Previewer tells what a change of the policy would do to whom, on what there
// is, and does none of it.
//
// It never asks user by user: users who have the same roles are asked about once,
// and what the two policies make of products are filters, whose difference
// ports.Census counts. So the work grows with the sets of roles that users have
// and the questions that the change touches, and each of them takes a statement or
// two, however many users and products there are.
type Previewer struct {
	Editor   *PolicyEditor
	Census   ports.Census
	Products ports.ProductRepository
	Users    ports.UserRepository
	Gate     *gate.Gate
	Limit    time.Duration // how long to count; 0 means DefaultPreviewLimit. It is never more than three quarters of what the caller's context leaves
}

// Bounds of a preview.
const (
	DefaultPreviewLimit = 10 * time.Second
	MaxEffects          = 100 // that are told one by one; the totals are of all
	MaxExamples         = 20  // of gains, and of losses
	examplesEach        = 3
)

// A Proposal is a change that is to be tried out: one of the four.
type Proposal struct {
	Add    *access.Row
	Remove *access.PolicyID
	Back   *int64        // to that version
	Load   *access.Table // in the place of the one there is
	Note   string
	Unread error // what the transport could not read of it, or nil
}

// Preview is what a change would do.
type Preview struct {
	Version   int64       // of the policy that it would change
	Diff      access.Diff // what it would change of it
	Questions int         // who may do what with what, as far as the change touches it
	Unseen    []Unseen    // those for which there was no time; up to MaxEffects
	Missed    int         // how many those are
	Gains     Side
	Losses    Side
}

// Complete reports whether all there is was looked at.
func (p Preview) Complete() bool { return p.Missed == 0 }

// Side is all that is gained, or all that is lost.
type Side struct {
	Products int64    // pairs of somebody and a product, action by action
	Others   int64    // of somebody and a kind of things, or what is theirs of a kind
	Effects  []Effect // up to MaxEffects, the greatest first
	More     int      // how many effects are not among them
}

// Holders are some who have the same roles.
type Holders struct {
	Roles    []user.Role
	Visitors bool  // nobody in particular: who has not signed in. They count as one
	Users    int64 // how many there are, all of them active
}

// Unseen is a question that was not looked at.
type Unseen struct {
	Holders
	Action access.Action
	Kind   access.Kind
}

// Scope is what of a kind an effect is about.
type Scope string

// The scopes.
const (
	EachProduct Scope = "each" // products, one by one
	WholeKind   Scope = "kind" // things of the kind as such: to create one, to list them, and anybody's
	OwnOfKind   Scope = "own"  // one's own account, or sessions
)

// Effect is a right that some of the holders would gain or lose.
type Effect struct {
	Holders
	Action   access.Action
	Kind     access.Kind
	Scope    Scope
	Affected int64 // how many of the holders it is that would gain or lose anything
	Pairs    int64 // of one of them and a product; where no product is looked at, as many as are affected
	Examples []Example

	census  ports.CensusQuery
	visible access.Filter // of visitors
}

// Example is one whom it would happen to, and what it would happen with.
type Example struct {
	User    user.ID // zero for a visitor
	Email   string
	Product product.ID // zero where it is about no product
	Name    string
}

// Preview tries a proposal out for who may read the policy. It returns what the
// change would be refused with, exactly as it would be, but for a proof of who
// asks, which nothing is changed without and nothing told. The examples are of
// users that the caller may read, and of products.
func (p *Previewer) Preview(ctx context.Context, a access.Actor, q Proposal) (Preview, error) {
	rights, err := p.Gate.Rights(ctx, a)
	if err != nil {
		return Preview{}, err
	}
	if err := gate.Judge(rights, a, access.Read, access.Any(access.KindPolicy)); err != nil {
		return Preview{}, p.Gate.Record(ctx, a, err)
	}
	users, err := rights.Decide(access.Read, access.Any(access.KindUser))
	if err != nil {
		return Preview{}, err
	}
	products, err := rights.Filter(access.Read, access.KindProduct)
	if err != nil {
		return Preview{}, err
	}
	return p.preview(ctx, q, seer{users.Allowed, products})
}

// Foresee is [Previewer.Preview] for who holds the database.
func (p *Previewer) Foresee(ctx context.Context, q Proposal) (Preview, error) {
	return p.preview(ctx, q, seer{true, access.Everything})
}

// seer is who may see which examples.
type seer struct {
	users    bool
	products access.Filter
}

func (p *Previewer) preview(ctx context.Context, q Proposal, s seer) (Preview, error) {
	planned, at, err := p.plan(ctx, q)
	if err != nil {
		return Preview{}, err
	}
	sets, err := p.Editor.Roles.RoleSets(ctx)
	if err != nil {
		return Preview{}, err
	}
	before, after, err := p.Editor.rehearse(ctx, planned, sets)
	if err != nil {
		return Preview{}, beneath(at, err)
	}
	v := &survey{Previewer: p, seer: s, result: Preview{Version: before.Version, Diff: after.Since(before)}}
	if v.result.Diff.IsZero() {
		return v.result, nil
	}
	if err := v.prepare(ctx, before, after, sets); err != nil {
		return Preview{}, err
	}
	limited, cancel := context.WithTimeout(ctx, p.limit(ctx))
	defer cancel()
	if err := v.look(ctx, limited); err != nil {
		return Preview{}, err
	}
	return v.result, v.illustrate(ctx, limited)
}

// limit leaves a request time to be answered.
func (p *Previewer) limit(ctx context.Context) time.Duration {
	limit := cmp.Or(p.Limit, DefaultPreviewLimit)
	if end, bounded := ctx.Deadline(); bounded {
		limit = min(limit, time.Until(end)*3/4)
	}
	return limit
}

// plan checks a proposal as the change that it is about is checked. What is wrong
// with it stands beneath the member of its name, at.
func (p *Previewer) plan(ctx context.Context, q Proposal) (planned plan, at string, err error) {
	by := By{Note: q.Note, Proof: q.Unread} // told after all else, and no store is asked
	changes := 0
	if q.Add != nil {
		changes, at = changes+1, "/add"
		planned, _, err = p.Editor.adding(by, *q.Add)
	}
	if q.Remove != nil {
		changes, at = changes+1, "/remove"
		planned, err = p.Editor.removing(by, *q.Remove)
	}
	if q.Load != nil {
		changes, at = changes+1, "/load"
		planned, err = p.Editor.loading(by, *q.Load)
	}
	if q.Back != nil {
		changes, at = changes+1, "/rollback"
		planned, err = p.Editor.goingBack(ctx, by, *q.Back)
	}
	switch {
	case changes != 1:
		var v fault.Validation
		v.Add("", "one_change", "A preview is of one change: add, remove or rollback.")
		err = v.Err()
	case err != q.Unread: //nolint:errorlint // the very one, whose pointers are right
		err = beneath(at, err)
	}
	return planned, at, fault.Merge(q.Unread, err)
}

// beneath puts what is wrong with the input under a pointer; any other error it
// returns as it is.
func beneath(at string, err error) error {
	var v fault.Validation
	if err == nil || !v.Include(at, err) {
		return err
	}
	return v.Err()
}

// survey is one preview in the making.
type survey struct {
	*Previewer
	seer      seer
	was, will func(access.Actor) (access.Rights, error)
	questions []question
	result    Preview
}

// question is whether some may do something with things of a kind, once and then.
type question struct {
	Unseen
	actor      access.Actor
	gain, lose bool // what can come of it at all
}

// prepare finds out which questions the change touches, of visitors and of users
// with these sets of roles.
func (s *survey) prepare(ctx context.Context, before, after access.Table, sets []ports.RoleSet) error {
	will, err := s.Editor.Rehearsal.Under(after)
	if err != nil {
		return err
	}
	s.will = func(a access.Actor) (access.Rights, error) { return will(a), nil }
	was, err := s.Editor.Rehearsal.Under(before)
	known := err == nil
	s.was = func(a access.Actor) (access.Rights, error) { return was(a), nil }
	if !known { // spoilt by a hand in the database: what decides is an older one
		s.was = func(a access.Actor) (access.Rights, error) { return s.Gate.Rights(ctx, a) }
	}
	slices.SortFunc(sets, func(a, b ports.RoleSet) int {
		return cmp.Or(cmp.Compare(b.Users, a.Users), strings.Compare(roleNames(a.Roles), roleNames(b.Roles)))
	})
	visitor := access.Anonymous()
	all := []question{{Unseen: Unseen{Holders: Holders{Roles: visitor.Roles(), Visitors: true, Users: 1}}, actor: visitor}}
	for _, set := range sets {
		u := user.Restore(user.State{ID: somebody, Roles: set.Roles, Status: user.Active})
		all = append(all, question{Unseen: Unseen{Holders: Holders{Roles: set.Roles, Users: set.Users}}, actor: access.SignedIn(u, 0)})
	}
	old, next := rowsByRole(before), rowsByRole(after)
	for _, who := range all {
		if err := s.touched(who, old, next, known); err != nil {
			return err
		}
	}
	s.result.Questions = len(s.questions)
	return nil
}

func rowsByRole(t access.Table) map[string][]access.Row {
	byRole := map[string][]access.Row{}
	for _, r := range t.Rows {
		byRole[r.Role] = append(byRole[r.Role], r)
	}
	return byRole
}

// touched keeps the questions about who that the change touches: a decision
// depends on the conditions under which rows for the holder's roles, inherited
// ones too, allow and deny an act with a kind. Where these are the same, so is
// the decision. What the rows make of it is not looked at here.
func (s *survey) touched(who question, old, next map[string][]access.Row, known bool) error {
	said := func(rights func(access.Actor) (access.Rights, error), rows map[string][]access.Row) (map[access.Row]bool, error) {
		r, err := rights(who.actor)
		if err != nil {
			return nil, err
		}
		all := map[access.Row]bool{}
		for _, role := range r.Roles() {
			for _, row := range rows[role.String()] {
				row.ID, row.Role = access.PolicyID{}, ""
				all[row] = true
			}
		}
		return all, nil
	}
	was, err := said(s.was, old)
	if err != nil {
		return err
	}
	will, err := said(s.will, next)
	if err != nil {
		return err
	}
	for _, kind := range access.Kinds() {
		for _, action := range access.Actions() {
			q := who
			q.Kind, q.Action = kind, action
			q.gain, q.lose = !known, !known
			about := func(r access.Row) bool { return r.Resource == kind.String() && r.Action == action.String() }
			for row := range will {
				if about(row) && !was[row] {
					q.gain, q.lose = q.gain || row.Effect == access.Allow.String(), q.lose || row.Effect == access.Deny.String()
				}
			}
			for row := range was {
				if about(row) && !will[row] {
					q.gain, q.lose = q.gain || row.Effect == access.Deny.String(), q.lose || row.Effect == access.Allow.String()
				}
			}
			if q.gain || q.lose {
				s.questions = append(s.questions, q)
			}
		}
	}
	return nil
}

// look answers the questions as long as there is time. What the end of it has cut
// off is not an outage, and what is an outage is no answer.
func (s *survey) look(ctx, limited context.Context) error {
	for _, q := range s.questions {
		err := limited.Err()
		if err == nil {
			err = s.answer(limited, q)
		}
		switch {
		case err == nil:
		case limited.Err() == nil || ctx.Err() != nil:
			return err
		default:
			s.result.Missed++
			if len(s.result.Unseen) < MaxEffects {
				s.result.Unseen = append(s.result.Unseen, q.Unseen)
			}
		}
	}
	for _, side := range []*Side{&s.result.Gains, &s.result.Losses} {
		slices.SortStableFunc(side.Effects, func(a, b Effect) int { return cmp.Compare(b.Pairs, a.Pairs) })
		side.More = max(len(side.Effects)-MaxEffects, 0)
		side.Effects = side.Effects[:len(side.Effects)-side.More]
	}
	return nil
}

func (s *survey) answer(ctx context.Context, q question) error {
	was, err := s.was(q.actor)
	if err != nil {
		return err
	}
	will, err := s.will(q.actor)
	if err != nil {
		return err
	}
	if q.Kind == access.KindProduct && q.Action != access.Create {
		return s.measure(ctx, q, was, will)
	}
	scopes := map[Scope]access.Resource{WholeKind: access.Any(q.Kind)}
	if !q.Visitors && (q.Kind == access.KindUser || q.Kind == access.KindSession) {
		scopes[OwnOfKind] = access.Of(q.Kind, q.actor.ID())
	}
	for _, scope := range []Scope{WholeKind, OwnOfKind} {
		r, asked := scopes[scope]
		if !asked {
			continue
		}
		once, err := was.Decide(q.Action, r)
		if err != nil {
			return err
		}
		then, err := will.Decide(q.Action, r)
		if err != nil {
			return err
		}
		e := Effect{Holders: q.Holders, Action: q.Action, Kind: q.Kind, Scope: scope, Affected: q.Users, Pairs: q.Users}
		switch {
		case then.Allowed && !once.Allowed:
			s.result.Gains.add(e)
		case once.Allowed && !then.Allowed:
			s.result.Losses.add(e)
		}
	}
	return nil
}

func (side *Side) add(e Effect) {
	if e.Scope == EachProduct {
		side.Products += e.Pairs
	} else {
		side.Others += e.Pairs
	}
	side.Effects = append(side.Effects, e)
}

// measure counts the products with which the holders may do something by one
// policy and not by the other.
func (s *survey) measure(ctx context.Context, q question, was, will access.Rights) error {
	once, err := was.Filter(q.Action, q.Kind)
	if err != nil {
		return err
	}
	then, err := will.Filter(q.Action, q.Kind)
	if err != nil {
		return err
	}
	var found [2]*Effect // both or none, so that a question is answered or not
	for i, only := range []access.Filter{access.All{then, access.Not{Filter: once}}, access.All{once, access.Not{Filter: then}}} {
		if !q.gain && i == 0 || !q.lose && i == 1 {
			continue
		}
		if found[i], err = s.count(ctx, q, only); err != nil {
			return err
		}
	}
	for i, side := range []*Side{&s.result.Gains, &s.result.Losses} {
		if found[i] != nil && found[i].Pairs > 0 {
			side.add(*found[i])
		}
	}
	return nil
}

func (s *survey) count(ctx context.Context, q question, only access.Filter) (*Effect, error) {
	e := &Effect{Holders: q.Holders, Action: q.Action, Kind: q.Kind, Scope: EachProduct}
	if q.Visitors {
		e.visible = only
		n, err := s.Products.Count(ctx, ports.ProductQuery{Visible: only})
		e.Pairs, e.Affected = int64(n), min(int64(n), 1)
		return e, err
	}
	e.census = ports.CensusQuery{Roles: q.Roles, Self: somebody, Filter: only}
	r, err := s.Census.Reach(ctx, e.census)
	e.Pairs, e.Affected = r.Pairs, r.Users
	return e, err
}

// illustrate finds examples, for the greatest effects first, while there is time:
// without them a preview is complete all the same.
func (s *survey) illustrate(ctx, limited context.Context) error {
	for _, side := range []*Side{&s.result.Gains, &s.result.Losses} {
		left := MaxExamples
		for i := range side.Effects {
			if left == 0 || limited.Err() != nil {
				break
			}
			list, err := s.examples(limited, side.Effects[i], min(left, examplesEach))
			if err != nil && (limited.Err() == nil || ctx.Err() != nil) {
				return err
			}
			side.Effects[i].Examples, left = list, left-len(list)
		}
	}
	return nil
}

func (s *survey) examples(ctx context.Context, e Effect, most int) (list []Example, err error) {
	switch {
	case e.Visitors && e.Scope == EachProduct:
		products, err := s.Products.List(ctx, ports.ProductQuery{Visible: access.All{e.visible, s.seer.products}, Limit: most})
		for _, p := range products {
			list = append(list, Example{Product: p.ID(), Name: p.Name()})
		}
		return list, err
	case e.Visitors || !s.seer.users:
		return nil, nil
	case e.Scope == EachProduct:
		q := e.census
		q.Filter = access.All{q.Filter, s.seer.products}
		pairs, err := s.Census.Pairs(ctx, q, most)
		for _, p := range pairs {
			list = append(list, Example(p))
		}
		return list, err
	}
	ids, err := s.Editor.Roles.Holders(ctx, e.Roles, user.ID{}, most)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		u, err := s.Users.Find(ctx, id)
		switch {
		case err == nil:
			list = append(list, Example{User: id, Email: u.Email().String()})
		case !errors.Is(err, fault.NotFound): // gone since
			return nil, err
		}
	}
	return list, nil
}

// Who names holders to people.
func (h Holders) Who() string {
	if h.Visitors {
		return "visitors"
	}
	users, roles := "users", "roles"
	if h.Users == 1 {
		users = "user"
	}
	if len(h.Roles) == 1 {
		roles = "role"
	}
	return fmt.Sprintf("%d %s with the %s %s", h.Users, users, roles, strings.ReplaceAll(roleNames(h.Roles), " ", " + "))
}
