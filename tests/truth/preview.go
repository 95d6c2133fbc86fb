package truth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"gatehouse/adapters/casbinauthz"
	"gatehouse/adapters/memory"
	"gatehouse/adapters/system"
	"gatehouse/application/administration"
	"gatehouse/application/gate"
	"gatehouse/configs"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// PolicyStores are what a case of [Previews] is played over. They hold nobody and
// nothing but what other cases have left there: an administrator.
type PolicyStores struct {
	Stores
	Policies ports.PolicyRepository
	History  ports.PolicyHistory
	Roles    ports.RoleDirectory
	Census   ports.Census
}

// foresight is one case of a preview that is held to what comes of the change.
type foresight struct {
	game
	stores     PolicyStores
	authorizer *casbinauthz.Authorizer
	editor     *administration.PolicyEditor
	previewer  *administration.Previewer
	refused    int
	effects    int
}

// Previews plays the case of a seed: some changes of a random policy, each first
// tried out and then made, over random people, products and grants. It returns
// where a preview said something else than what came of the change, or nil; and
// how many changes had an effect, and were refused. wrap, where it is not nil,
// breaks the preview, and that alone.
func Previews(ctx context.Context, seed uint64, s PolicyStores, wrap func(*administration.Previewer)) (effects, refused int, err error) {
	f := &foresight{game: game{ctx: ctx, random: rand.New(rand.NewPCG(seed, 1)), stores: s.Stores, products: map[product.ID]product.Product{}}, stores: s}
	defer func() {
		if err != nil {
			err = fmt.Errorf("seed %d: %w", seed, err)
		}
		err = errors.Join(err, f.leave())
	}()
	if err := f.prepare(wrap); err != nil {
		return 0, 0, err
	}
	for range 8 {
		if err := f.step(); err != nil {
			return 0, 0, err
		}
	}
	return f.effects, f.refused, nil
}

// leave leaves the administrator, who cannot go.
func (f *foresight) leave() error {
	f.people = slices.DeleteFunc(f.people, func(u user.User) bool { return u.HasRole(user.RoleAdmin) })
	return errors.Join(f.game.leave(), f.clear())
}

// clear deletes what is the administrator's.
func (f *foresight) clear() error {
	var all error
	for id := range f.products {
		err := f.stores.Products.Delete(f.ctx, id, func(product.Product) error { return nil })
		if !errors.Is(err, fault.NotFound) {
			all = errors.Join(all, err)
		}
	}
	return all
}

func (f *foresight) prepare(wrap func(*administration.Previewer)) error {
	vocabulary, err := access.NewVocabulary()
	if err != nil {
		return err
	}
	if f.authorizer, err = casbinauthz.New(f.stores.Policies, nil, vocabulary, configs.Model(), slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	now := func() time.Time { return time.Unix(1_700_000_000, 0) }
	random := system.NewRandom()
	editor := func() *administration.PolicyEditor {
		return &administration.PolicyEditor{
			Policies: f.stores.Policies, History: f.stores.History, Rehearsal: f.authorizer, Roles: f.stores.Roles,
			Vocabulary: vocabulary, Random: random, Now: now,
		}
	}
	f.editor = editor()
	f.previewer = &administration.Previewer{
		Editor: editor(), Census: f.stores.Census, Products: f.stores.Products, Users: f.stores.Users,
		Gate: &gate.Gate{Authorizer: f.authorizer, Ledger: memory.New().Ledger(), Random: random, Now: now}, Limit: time.Minute,
	}
	if wrap != nil {
		wrap(f.previewer)
	}
	if err := f.populate(); err != nil {
		return err
	}
	for {
		_, err := f.editor.Load(f.ctx, administration.By{}, f.policy())
		if err == nil || !errors.Is(err, fault.Conflict) {
			return err
		}
	}
}

// populate makes people, some of whom are disabled, and products.
func (f *foresight) populate() error {
	left, err := f.stores.Users.List(f.ctx, user.ID{}, 10)
	if err != nil {
		return err
	}
	f.people = left
	if len(left) == 0 {
		if err := f.register(); err != nil {
			return err
		}
		if err := f.alterUser(0, func(u *user.User) error {
			return u.SetRoles([]user.Role{user.RoleAdmin}, time.Unix(0, 0))
		}); err != nil {
			return err
		}
	}
	for range 5 {
		if err := f.register(); err != nil {
			return err
		}
	}
	for range 10 {
		if _, err := f.offer(); err != nil {
			return err
		}
	}
	for range 10 {
		if _, err := f.share(); err != nil {
			return err
		}
	}
	return f.alterUser(1+f.random.IntN(len(f.people)-1), func(u *user.User) error { u.Disable(time.Unix(0, 0)); return nil })
}

func (f *foresight) alterUser(i int, change func(*user.User) error) (err error) {
	f.people[i], err = f.stores.Users.Update(f.ctx, f.people[i].ID(), change)
	return err
}

// The rights that no change may take from administrators, and the words of the
// rest.
var (
	essential = []string{"policy read", "policy create", "policy delete", "user read", "user update"}
	holders   = append([]string{"admin", "newcomer"}, roles...)
)

// row draws one. Most are about products.
func (f *foresight) row() access.Row {
	return access.Row{
		Role: pick(&f.game, holders), Resource: pick(&f.game, []string{"product", "product", "product", "user", "session", "policy", "audit"}),
		Action:    pick(&f.game, []string{"read", "read", "update", "create", "delete", "share", "transfer"}),
		Condition: pick(&f.game, conditions), Effect: pick(&f.game, []string{"allow", "allow", "deny"}),
	}
}

func (f *foresight) policy() access.Table {
	var t access.Table
	for _, words := range essential {
		kind, action, _ := strings.Cut(words, " ")
		t.Rows = append(t.Rows, access.Row{Role: "admin", Resource: kind, Action: action, Condition: "any", Effect: "allow"})
	}
	for range 6 + f.random.IntN(16) {
		if r := f.row(); !slices.Contains(t.Rows, r) {
			t.Rows = append(t.Rows, r)
		}
	}
	t.Inherits = f.table().Inherits
	if f.random.IntN(2) == 0 {
		t.Inherits = append(t.Inherits, access.Inheritance{Role: "admin", Parent: pick(&f.game, roles)})
	}
	return t
}

// step tries a change out and makes it.
func (f *foresight) step() error {
	now, err := f.stores.Policies.Load(f.ctx)
	if err != nil {
		return err
	}
	q, change := f.draw(now)
	before, err := f.decideAll()
	if err != nil {
		return err
	}
	got, foreseen := f.previewer.Foresee(f.ctx, q)
	if still, err := f.stores.Policies.Load(f.ctx); err != nil || !reflect.DeepEqual(still, now) {
		return fmt.Errorf("%s: the preview has changed the policy (%v)", describe(q), err)
	}
	made := change()
	if foreseen != nil || made != nil {
		f.refused++
		return sameRefusal(foreseen, made)
	}
	after, err := f.decideAll()
	if err != nil {
		return err
	}
	if err := f.compare(got, before, after); err != nil {
		return fmt.Errorf("%s of the policy %+v: %w", describe(q), now, err)
	}
	return nil
}

func describe(q administration.Proposal) string {
	switch {
	case q.Add != nil:
		return fmt.Sprintf("adding %s", q.Add)
	case q.Remove != nil:
		return fmt.Sprintf("removing %s", q.Remove)
	case q.Load != nil:
		return fmt.Sprintf("loading %+v", *q.Load)
	}
	return fmt.Sprintf("going back to %d", *q.Back)
}

// draw gives a change as it is proposed, and as it is made.
func (f *foresight) draw(now access.Table) (administration.Proposal, func() error) {
	by := administration.By{}
	switch f.random.IntN(6) {
	case 0, 1:
		row := f.row()
		return administration.Proposal{Add: &row}, func() error { _, _, err := f.editor.Add(f.ctx, by, row); return err }
	case 2, 3:
		id := pick(&f.game, now.Rows).ID
		return administration.Proposal{Remove: &id}, func() error { _, err := f.editor.Remove(f.ctx, by, id); return err }
	case 4:
		next := f.policy()
		if f.random.IntN(2) == 0 { // mostly what there is, with other inheritance
			next.Rows = now.Clone().Rows
			next.Rows[f.random.IntN(len(next.Rows))].Effect = pick(&f.game, []string{"deny", "allow", "alow"})
		}
		return administration.Proposal{Load: &next}, func() error { _, err := f.editor.Load(f.ctx, by, next); return err }
	default:
		version := max(now.Version-f.random.Int64N(4), 0)
		return administration.Proposal{Back: &version}, func() error { _, err := f.editor.Rollback(f.ctx, by, version); return err }
	}
}

// sameRefusal holds the refusal of a preview to that of the change.
func sameRefusal(foreseen, made error) error {
	said := func(err error) string {
		f, ok := errors.AsType[*fault.Error](err)
		if !ok {
			return fmt.Sprint(err)
		}
		text := fmt.Sprint(f.Kind, f.Code, f.Detail)
		for _, field := range f.Fields {
			text += " " + strings.TrimPrefix(field.Pointer, "/load") + " " + field.Code + " " + field.Detail
		}
		return text
	}
	if said(foreseen) != said(made) {
		return fmt.Errorf("the preview ends with %v, the change with %v", foreseen, made)
	}
	return nil
}

// right is what some may do, as previews count it.
type right struct {
	who          string
	action, kind string
	scope        administration.Scope
}

// decided is who has which right, and with what: "" where that is no product.
type decided map[right]map[user.ID]map[product.ID]bool

// decideAll asks about everybody, everything they could do, and each thing.
func (f *foresight) decideAll() (decided, error) {
	all := decided{}
	for _, u := range f.people {
		if u.Status() == user.Active {
			if err := f.decide(all, "roles "+fmt.Sprint(u.Roles()), access.SignedIn(u, 0)); err != nil {
				return nil, err
			}
		}
	}
	return all, f.decide(all, "visitors", access.Anonymous())
}

func (f *foresight) decide(all decided, who string, a access.Actor) error {
	rights, err := f.authorizer.Rights(f.ctx, a)
	if err != nil {
		return err
	}
	ask := func(action access.Action, r access.Resource, scope administration.Scope, id product.ID) error {
		d, err := rights.Decide(action, r)
		key := right{who, action.String(), r.Kind().String(), scope}
		if err == nil && d.Allowed {
			if all[key] == nil {
				all[key] = map[user.ID]map[product.ID]bool{}
			}
			if all[key][a.ID()] == nil {
				all[key][a.ID()] = map[product.ID]bool{}
			}
			all[key][a.ID()][id] = true
		}
		return err
	}
	for _, action := range access.Actions() {
		for _, kind := range access.Kinds() {
			if kind == access.KindProduct && action != access.Create {
				continue
			}
			if err := ask(action, access.Any(kind), administration.WholeKind, product.ID{}); err != nil {
				return err
			}
			if !a.IsAnonymous() && (kind == access.KindUser || kind == access.KindSession) {
				if err := ask(action, access.Of(kind, a.ID()), administration.OwnOfKind, product.ID{}); err != nil {
					return err
				}
			}
		}
		for id, p := range f.products {
			if action == access.Create {
				break
			}
			if err := ask(action, access.Product(p), administration.EachProduct, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// size is how much of a right is gained or lost.
type size struct{ pairs, affected int64 }

// beyond gives what is in more and not in less.
func beyond(less, more decided) map[right]size {
	sizes := map[right]size{}
	for key, users := range more {
		var n size
		for u, things := range users {
			before := n.pairs
			for id := range things {
				if !less[key][u][id] {
					n.pairs++
				}
			}
			if n.pairs > before {
				n.affected++
			}
		}
		if n.pairs > 0 {
			sizes[key] = n
		}
	}
	return sizes
}

// compare holds a preview to what has come of the change.
func (f *foresight) compare(p administration.Preview, before, after decided) error {
	if !p.Complete() || len(p.Unseen) > 0 {
		return fmt.Errorf("%d questions were left out: %v", p.Missed, p.Unseen)
	}
	for _, side := range []struct {
		name       string
		got        administration.Side
		less, more decided
	}{{"gains", p.Gains, before, after}, {"losses", p.Losses, after, before}} {
		got, want := map[right]size{}, beyond(side.less, side.more)
		var products, others int64
		for _, e := range side.got.Effects {
			key := keyOf(e)
			got[key] = size{e.Pairs, e.Affected}
			if e.Scope == administration.EachProduct {
				products += e.Pairs
			} else {
				others += e.Pairs
			}
			for _, x := range e.Examples {
				if side.less[key][x.User][x.Product] || !side.more[key][x.User][x.Product] {
					return fmt.Errorf("%s: %+v is no example of %+v", side.name, x, key)
				}
			}
			if len(e.Examples) == 0 && len(side.got.Effects) < 5 && !(e.Visitors && e.Scope != administration.EachProduct) {
				return fmt.Errorf("%s: there is no example of %+v", side.name, key)
			}
		}
		if !maps.Equal(got, want) {
			return fmt.Errorf("%s are said to be %+v, and are %+v", side.name, got, want)
		}
		if products != side.got.Products || others != side.got.Others || side.got.More != 0 {
			return fmt.Errorf("%s are said to be %d of products and %d others in all, and are %d and %d", side.name, side.got.Products, side.got.Others, products, others)
		}
		f.effects += len(want)
	}
	return nil
}

func keyOf(e administration.Effect) right {
	who := "visitors"
	if !e.Visitors {
		who = "roles " + fmt.Sprint(e.Roles)
	}
	return right{who, e.Action.String(), e.Kind.String(), e.Scope}
}
