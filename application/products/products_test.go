package products_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/adapters/memory"
	"gatehouse/adapters/system"
	"gatehouse/application/gate"
	"gatehouse/application/guard"
	"gatehouse/application/products"
	"gatehouse/configs"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
	"gatehouse/tests/house"
)

// shop is the service over memory under the default policy.
type shop struct {
	*products.Service
	db     *memory.DB
	random *system.Random
	actors map[string]access.Actor
}

func newShop(t testing.TB) *shop {
	t.Helper()
	table, err := configs.DefaultPolicy()
	if err != nil {
		t.Fatal(err)
	}
	return newShopWith(t, table)
}

func newShopWith(t testing.TB, table access.Table) *shop {
	t.Helper()
	s := &shop{db: memory.New(), random: system.NewRandom(), actors: map[string]access.Actor{"anonymous": access.Anonymous()}}
	vocabulary, err := access.NewVocabulary()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Policies().Seed(t.Context(), access.Revision{Table: table}); err != nil {
		t.Fatal(err)
	}
	s.Service = products.New(products.Config{
		Products: s.db.Products(), Random: s.random, Now: system.Now,
		Gate:  &gate.Gate{Authorizer: memory.NewAuthorizer(s.db.Policies(), vocabulary), Ledger: s.db.Ledger(), Random: s.random, Now: system.Now},
		Guard: guard.New(guard.Config{Shared: s.db.Limiter(), Own: memory.NewLimiter(100), Rules: guard.DefaultRules(), Now: system.Now}),
	})
	for name, role := range map[string]user.Role{"owner": user.RoleUser, "stranger": user.RoleUser, "moderator": user.RoleModerator, "admin": user.RoleAdmin} {
		email, err := user.NewEmail(name + "@example.com")
		if err != nil {
			t.Fatal(err)
		}
		u := user.New(user.ID{UUID: s.random.ID(time.Now())}, email, user.Name{}, user.PasswordHash{}, time.Now())
		if err := u.SetRoles([]user.Role{role}, time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := s.db.Users().Add(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		s.actors[name] = access.SignedIn(u, 1)
	}
	return s
}

func (s *shop) offer(t testing.TB, owner string, status product.Status) product.Product {
	t.Helper()
	p, err := product.New(product.ID{UUID: s.random.ID(time.Now())}, s.actors[owner].ID(), product.Draft{Name: "Lamp", Currency: "KRW", Status: status.String()}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.db.Products().Add(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, access.ErrUnauthenticated):
		return "sign in"
	case errors.Is(err, product.ErrUnknown):
		return "unknown"
	case errors.Is(err, access.ErrForbidden):
		return "forbidden"
	}
	return err.Error()
}

// The default policy, act by act. Who may not read a product is told that there
// is none, whatever was tried.
func TestWhoMayDoWhat(t *testing.T) {
	s := newShop(t)
	name := "Better lamp"
	acts := map[string]func(access.Actor, product.ID) error{
		"read": func(a access.Actor, id product.ID) error { _, err := s.Read(t.Context(), a, id); return err },
		"update": func(a access.Actor, id product.ID) error {
			_, err := s.Update(t.Context(), a, id, products.Edit{Change: product.Change{Name: &name}})
			return err
		},
		"delete": func(a access.Actor, id product.ID) error { return s.Delete(t.Context(), a, id, nil) },
	}
	for _, c := range []struct{ act, actor, draft, published string }{
		{"read", "anonymous", "unknown", "ok"},
		{"read", "stranger", "unknown", "ok"},
		{"read", "owner", "ok", "ok"},
		{"read", "moderator", "ok", "ok"},
		{"read", "admin", "ok", "ok"},
		{"update", "anonymous", "unknown", "sign in"},
		{"update", "stranger", "unknown", "forbidden"},
		{"update", "owner", "ok", "ok"},
		{"update", "moderator", "ok", "ok"},
		{"update", "admin", "ok", "ok"},
		{"delete", "anonymous", "unknown", "sign in"},
		{"delete", "stranger", "unknown", "forbidden"},
		{"delete", "moderator", "forbidden", "forbidden"},
		{"delete", "owner", "ok", "ok"},
		{"delete", "admin", "ok", "ok"},
	} {
		for status, want := range map[product.Status]string{product.StatusDraft: c.draft, product.StatusArchived: c.draft, product.StatusPublished: c.published} {
			p := s.offer(t, "owner", status)
			if got := outcome(acts[c.act](s.actors[c.actor], p.ID())); got != want {
				t.Errorf("%s %ss a %s product: %s, want %s", c.actor, c.act, status, got, want)
			}
			now, err := s.db.Products().Find(t.Context(), p.ID())
			if refused := want != "ok"; refused && (err != nil || !reflect.DeepEqual(now, p)) {
				t.Errorf("%s: a refused %s changed the product", c.actor, c.act)
			}
		}
		if got := outcome(acts[c.act](s.actors[c.actor], product.ID{})); got != "unknown" {
			t.Errorf("%s %ss a missing product: %s, want unknown", c.actor, c.act, got)
		}
	}
}

func TestCreate(t *testing.T) {
	s := newShop(t)
	lamp := product.Draft{Name: "Lamp", Currency: "KRW"}
	p, err := s.Create(t.Context(), s.actors["owner"], lamp, nil)
	if err != nil || p.OwnerID() != s.actors["owner"].ID() {
		t.Errorf("Create = %v of %s, want it to be the actor's", err, p.OwnerID())
	}
	var unread fault.Validation
	unread.Add("/stock", "wrong_type", "")
	// Anonymous callers are told to sign in, not what their input lacks.
	if _, err := s.Create(t.Context(), access.Anonymous(), product.Draft{}, unread.Err()); outcome(err) != "sign in" {
		t.Errorf("Create by nobody = %v", err)
	}
	_, err = s.Create(t.Context(), s.actors["owner"], product.Draft{Currency: "KRW"}, unread.Err())
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || len(f.Fields) != 2 {
		t.Errorf("Create = %v, want both what was not read and what is wrong", err)
	}
	gone := access.SignedIn(user.Restore(user.State{ID: user.ID{UUID: s.random.ID(time.Now())}, Roles: []user.Role{user.RoleUser}}), 1)
	if _, err := s.Create(t.Context(), gone, lamp, nil); outcome(err) != "sign in" {
		t.Errorf("Create by a user deleted meanwhile = %v, want to sign in", err)
	}
}

func TestPermissions(t *testing.T) {
	s := newShop(t)
	draft, published := s.offer(t, "owner", product.StatusDraft), s.offer(t, "owner", product.StatusPublished)
	for _, c := range []struct {
		actor string
		p     product.Product
		want  string
	}{
		{"anonymous", published, "[read]"}, {"stranger", published, "[read]"}, {"owner", published, "[read update delete share]"},
		{"moderator", published, "[read update]"}, {"admin", published, "[read update delete transfer]"},
		{"owner", draft, "[read update delete share]"}, {"anonymous", draft, "[] unknown"}, {"stranger", draft, "[] unknown"},
	} {
		may, err := s.Permissions(t.Context(), s.actors[c.actor], c.p.ID())
		got := fmt.Sprint(may)
		if err != nil {
			got += " " + outcome(err)
		}
		if got != c.want {
			t.Errorf("%s may %s with a %s product, want %s", c.actor, got, c.p.Status(), c.want)
		}
	}
}

func TestVersionsAreExpected(t *testing.T) {
	s := newShop(t)
	is := func(v int64) products.Match { return func(now int64) bool { return now == v } }
	p, name := s.offer(t, "owner", product.StatusPublished), "Better lamp"
	edit := products.Edit{Change: product.Change{Name: &name}, Match: is(1)}
	if got, err := s.Update(t.Context(), s.actors["owner"], p.ID(), edit); err != nil || got.Version() != 2 {
		t.Fatalf("Update = version %d, %v", got.Version(), err)
	}
	if _, err := s.Update(t.Context(), s.actors["owner"], p.ID(), edit); !errors.Is(err, fault.Stale) {
		t.Errorf("Update of an old version = %v, want Stale", err)
	}
	if err := s.Delete(t.Context(), s.actors["owner"], p.ID(), is(1)); !errors.Is(err, fault.Stale) {
		t.Errorf("Delete of an old version = %v, want Stale", err)
	}
	// Who may not act is not told whether the version is right.
	if err := s.Delete(t.Context(), s.actors["stranger"], p.ID(), is(1)); outcome(err) != "forbidden" {
		t.Errorf("Delete by a stranger = %v, want forbidden", err)
	}
	if err := s.Delete(t.Context(), s.actors["owner"], p.ID(), is(2)); err != nil {
		t.Errorf("Delete of the present version = %v", err)
	}
}

func TestRulesSeeEveryTransition(t *testing.T) {
	s := newShop(t)
	var seen []string
	s.Rules = []product.Rule{func(tr product.Transition) error {
		seen = append(seen, fmt.Sprint(tr.Before != nil, tr.After != nil, tr.By == s.actors["owner"].ID(), tr.ByRole(user.RoleAnonymous)))
		if tr.After != nil && tr.After.Name() == "Bad" {
			return product.Refuse("/name", "bad_name", "")
		}
		return nil
	}}
	p, err := s.Create(t.Context(), s.actors["owner"], product.Draft{Name: "Lamp", Currency: "KRW"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	bad := "Bad"
	if _, err := s.Update(t.Context(), s.actors["owner"], p.ID(), products.Edit{Change: product.Change{Name: &bad}}); !errors.Is(err, fault.Invalid) {
		t.Errorf("Update against a rule = %v, want Invalid", err)
	}
	if err := s.Delete(t.Context(), s.actors["owner"], p.ID(), nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"false true true true", "true true true true", "true false true true"}
	if !slices.Equal(seen, want) {
		t.Errorf("rules saw %q, want %q", seen, want)
	}
}

// For random policies, deny rows too, and random products: a walk over the
// pages of a list, in any order, shows each product that Read shows, once.
func TestListIsWhatReadShows(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var table access.Table
		seen := map[access.Row]bool{}
		for range rapid.IntRange(1, 6).Draw(rt, "rows") {
			r := access.Row{
				Role: rapid.SampledFrom([]string{"anonymous", "user", "moderator"}).Draw(rt, "role"), Resource: "product", Action: "read",
				Condition: rapid.SampledFrom([]string{"any", "own", "published"}).Draw(rt, "condition"),
				Effect:    rapid.SampledFrom([]string{"allow", "allow", "deny"}).Draw(rt, "effect"),
			}
			if !seen[r] {
				seen[r] = true
				table.Rows = append(table.Rows, r)
			}
		}
		table.Inherits = []access.Inheritance{{Role: "user", Parent: "anonymous"}, {Role: "moderator", Parent: "user"}}
		s := newShopWith(t, table)
		var all []product.Product
		for range rapid.IntRange(0, 12).Draw(rt, "products") {
			owner := rapid.SampledFrom([]string{"owner", "stranger"}).Draw(rt, "owner")
			all = append(all, s.offer(t, owner, rapid.SampledFrom([]product.Status{product.StatusDraft, product.StatusPublished, product.StatusArchived}).Draw(rt, "status")))
		}
		actor := s.actors[rapid.SampledFrom([]string{"anonymous", "owner", "moderator"}).Draw(rt, "actor")]
		q := products.Query{Count: true, Sort: rapid.SampledFrom(product.Sorts()).Draw(rt, "sort"), Limit: rapid.IntRange(1, 4).Draw(rt, "limit")}
		want := map[product.ID]bool{}
		for _, p := range all {
			if _, err := s.Read(t.Context(), actor, p.ID()); err == nil {
				want[p.ID()] = true
			}
		}
		total := len(want)
		for {
			page, err := s.List(t.Context(), actor, q)
			if err != nil {
				rt.Fatal(err)
			}
			if page.Total == nil || *page.Total != total {
				rt.Fatalf("the total is not told, or not the %d that the pages hold", total)
			}
			for _, p := range page.Items {
				if !want[p.ID()] {
					rt.Fatalf("the list shows %s, which Read does not, or shows it twice", p.ID())
				}
				delete(want, p.ID())
			}
			if page.Next == nil {
				break
			}
			q.After = *page.Next
		}
		if len(want) > 0 {
			rt.Fatalf("the list lacks %d products that Read shows", len(want))
		}
	})
}

func TestListOfOnesOwn(t *testing.T) {
	s := newShop(t)
	mine := s.offer(t, "owner", product.StatusDraft)
	s.offer(t, "stranger", product.StatusPublished)
	if _, err := s.List(t.Context(), access.Anonymous(), products.Query{Mine: true}); outcome(err) != "sign in" {
		t.Errorf("List of nobody's own = %v", err)
	}
	page, err := s.List(t.Context(), s.actors["owner"], products.Query{Mine: true})
	if err != nil || len(page.Items) != 1 || !reflect.DeepEqual(page.Items[0], mine) {
		t.Errorf("List of one's own = %v, %v", page.Items, err)
	}
}

// Whoever is told that they may not has done something that is worth knowing;
// whoever is told that there is nothing has only looked around.
func TestDenialsAreWrittenDown(t *testing.T) {
	s := newShop(t)
	draft, published := s.offer(t, "owner", product.StatusDraft), s.offer(t, "owner", product.StatusPublished)
	name := "Mine"
	update := func(a access.Actor, id product.ID) {
		_, _ = s.Update(t.Context(), a, id, products.Edit{Change: product.Change{Name: &name}})
	}
	stranger := s.actors["stranger"]
	for _, a := range []access.Actor{stranger, access.Anonymous()} {
		update(a, draft.ID())
		update(a, product.ID{})
		_ = s.Delete(t.Context(), a, draft.ID(), nil)
		_, _ = s.Read(t.Context(), a, draft.ID())
		_, _ = s.Permissions(t.Context(), a, draft.ID())
	}
	update(access.Anonymous(), published.ID())                   // is told to sign in
	update(s.actors["owner"], published.ID())                    // may
	_, _ = s.Create(t.Context(), stranger, product.Draft{}, nil) // is told what is wrong
	if heads, err := s.db.Ledger().Heads(t.Context()); err != nil || len(heads) != 0 {
		t.Fatalf("what is no denial is in the audit log: %v, %v", heads, err)
	}
	update(stranger, published.ID())
	_ = s.Delete(t.Context(), s.actors["moderator"], published.ID(), nil)
	nobody := access.SignedIn(user.Restore(user.State{ID: stranger.ID()}), 1) // whose roles may nothing
	_, _ = s.Create(t.Context(), nobody, product.Draft{}, nil)
	rows, err := s.db.Ledger().RowsOf(t.Context(), stranger.ID(), 10)
	more, err2 := s.db.Ledger().RowsOf(t.Context(), s.actors["moderator"].ID(), 10)
	var got []string
	for _, r := range append(rows, more...) {
		got = append(got, fmt.Sprintf("%s %s %s %t %v", r.Event, r.Outcome, r.Subject.Type, r.Subject.ID == published.ID().String(), r.Detail["action"]))
	}
	want := []string{
		"access.denied refused product false create",
		"access.denied refused product true update",
		"access.denied refused product true delete",
	}
	if err != nil || err2 != nil || !slices.Equal(got, want) {
		t.Errorf("written down: %q, %v, %v, want %q", got, err, err2, want)
	}
}

// Who may search, or ask for totals, how often; other lists, and what comes from
// this machine, are bound by nothing.
func TestSearchesAreBound(t *testing.T) {
	h := house.New(t, house.Options{})
	h.Guard.Rules.Search.Limit = 3
	list := func(ip, text string) error {
		_, err := h.Products.List(house.From(t.Context(), ip), access.Anonymous(), products.Query{Text: text})
		return err
	}
	for range 3 {
		if err := list("192.0.2.1", "lamp"); err != nil {
			t.Fatal(err)
		}
	}
	h.Faults.Fail(0, false)
	if err := list("192.0.2.1", "lamp"); !errors.Is(err, guard.ErrTooMany) {
		t.Errorf("the fourth search = %v, want ErrTooMany", err)
	}
	if got := h.Faults.Calls(); len(got) != 1 {
		t.Errorf("a refused search asked for %v", got)
	}
	for range 10 {
		if err := errors.Join(list("192.0.2.1", ""), list("127.0.0.1", "lamp")); err != nil {
			t.Fatal(err)
		}
	}
	if err := list("192.0.2.2", "lamp"); err != nil {
		t.Errorf("a search from another network = %v", err)
	}
	h.Move(time.Minute)
	for _, q := range []products.Query{{Text: "lamp"}, {Count: true}, {Count: true, Text: "lamp"}} {
		if _, err := h.Products.List(house.From(t.Context(), "192.0.2.1"), access.Anonymous(), q); err != nil {
			t.Errorf("a search a minute later = %v", err)
		}
	}
	if _, err := h.Products.List(house.From(t.Context(), "192.0.2.1"), access.Anonymous(), products.Query{Count: true}); !errors.Is(err, guard.ErrTooMany) {
		t.Errorf("a total after three searches = %v, want ErrTooMany", err)
	}
}

// Whichever call an outage meets, it allows nothing and tells nothing.
func TestOutages(t *testing.T) {
	const admin, stranger = true, false
	offer := func(h *house.House, status string) (product.ID, access.Actor) {
		owner := h.Add("owner@example.com")
		p, err := h.Products.Create(t.Context(), access.SignedIn(owner, 1), product.Draft{Name: "Lamp", Currency: "KRW", Status: status}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p.ID(), access.SignedIn(owner, 1)
	}
	someone := func(h *house.House, administers bool) access.Actor {
		u := h.Add("someone@example.com")
		if administers {
			h.Change(u, func(u *user.User) { _ = u.SetRoles([]user.Role{user.RoleAdmin}, h.Now()) })
		}
		return access.SignedIn(h.Find(u), 1)
	}
	name := "Better lamp"
	update := func(h *house.House, a access.Actor, id product.ID) func() error {
		return func() error {
			_, err := h.Products.Update(t.Context(), a, id, products.Edit{Change: product.Change{Name: &name}})
			return err
		}
	}
	house.Walk(t, map[string]house.Outage{
		"create": {Act: func(h *house.House) func() error {
			a := someone(h, stranger)
			return func() error {
				_, err := h.Products.Create(t.Context(), a, product.Draft{Name: "Lamp", Currency: "KRW"}, nil)
				return err
			}
		}},
		"create, denied": {Want: access.ErrForbidden, Act: func(h *house.House) func() error {
			nobody := access.SignedIn(user.Restore(user.State{ID: someone(h, stranger).ID()}), 1)
			return func() error {
				_, err := h.Products.Create(t.Context(), nobody, product.Draft{Name: "Lamp", Currency: "KRW"}, nil)
				return err
			}
		}},
		"read": {Act: func(h *house.House) func() error {
			id, a := offer(h, "draft")
			return func() error { _, err := h.Products.Read(t.Context(), a, id); return err }
		}},
		"read, hidden": {Want: product.ErrUnknown, Act: func(h *house.House) func() error {
			id, _ := offer(h, "draft")
			return func() error { _, err := h.Products.Read(t.Context(), access.Anonymous(), id); return err }
		}},
		"permissions": {Act: func(h *house.House) func() error {
			id, a := offer(h, "draft")
			return func() error { _, err := h.Products.Permissions(t.Context(), a, id); return err }
		}},
		"list": {Act: func(h *house.House) func() error {
			offer(h, "published")
			return func() error {
				_, err := h.Products.List(house.From(t.Context(), "192.0.2.1"), access.Anonymous(), products.Query{Text: "lamp"})
				return err
			}
		}},
		"list, with its total": {Act: func(h *house.House) func() error {
			_, a := offer(h, "published")
			for range 2 {
				if _, err := h.Products.Create(t.Context(), a, product.Draft{Name: "Lamp", Currency: "KRW"}, nil); err != nil {
					t.Fatal(err)
				}
			}
			return func() error {
				page, err := h.Products.List(house.From(t.Context(), "192.0.2.1"), a, products.Query{Limit: 1, Count: true})
				if err != nil && (page.Items != nil || page.Total != nil) {
					t.Errorf("List = %v and %v", page, err)
				}
				return err
			}
		}},
		"update": {Act: func(h *house.House) func() error {
			id, a := offer(h, "published")
			return update(h, a, id)
		}},
		"update, denied": {Want: access.ErrForbidden, Act: func(h *house.House) func() error {
			id, _ := offer(h, "published")
			return update(h, someone(h, stranger), id)
		}},
		"update, hidden": {Want: product.ErrUnknown, Act: func(h *house.House) func() error {
			id, _ := offer(h, "draft")
			return update(h, someone(h, stranger), id)
		}},
		"delete": {Act: func(h *house.House) func() error {
			id, _ := offer(h, "published")
			a := someone(h, admin)
			return func() error { return h.Products.Delete(t.Context(), a, id, nil) }
		}},
		"delete, denied": {Want: access.ErrForbidden, Act: func(h *house.House) func() error {
			id, _ := offer(h, "published")
			a := someone(h, stranger)
			return func() error { return h.Products.Delete(t.Context(), a, id, nil) }
		}},
	})
}

// Can't tell is never yes: with the authorizer down nothing is done and nothing
// is shown.
func TestAnOutageAllowsNothing(t *testing.T) {
	s := newShop(t)
	p := s.offer(t, "owner", product.StatusPublished)
	s.Gate.Authorizer = down{}
	admin := s.actors["admin"]
	_, create := s.Create(t.Context(), admin, product.Draft{Name: "Lamp", Currency: "KRW"}, nil)
	_, read := s.Read(t.Context(), admin, p.ID())
	_, list := s.List(t.Context(), admin, products.Query{})
	_, update := s.Update(t.Context(), admin, p.ID(), products.Edit{})
	_, permissions := s.Permissions(t.Context(), admin, p.ID())
	for name, err := range map[string]error{"Create": create, "Read": read, "List": list, "Update": update, "Permissions": permissions, "Delete": s.Delete(t.Context(), admin, p.ID(), nil)} {
		if !errors.Is(err, fault.Unavailable) {
			t.Errorf("%s with the authorizer down = %v, want Unavailable", name, err)
		}
	}
	if now, err := s.db.Products().Find(t.Context(), p.ID()); err != nil || !reflect.DeepEqual(now, p) {
		t.Errorf("the product was changed: %v", err)
	}
}

type down struct{}

var _ ports.Authorizer = down{}

func (down) Rights(context.Context, access.Actor) (access.Rights, error) {
	return nil, fault.Outage(io.ErrUnexpectedEOF)
}
