package access_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

func id(n byte) user.ID { return user.ID{UUID: uuid.UUID{n}} }

func actor(n byte, roles ...user.Role) access.Actor {
	return access.SignedIn(user.Restore(user.State{ID: id(n), Roles: roles}), 1)
}

func resource(owner byte, status product.Status, amount, stock int64) access.Resource {
	return access.Product(product.Restore(product.State{
		OwnerID: id(owner), Status: status, Price: product.RestorePrice(amount, "KRW"), Stock: stock, CreatedAt: time.Unix(0, 0),
	}))
}

// shared is a draft that somebody was let in on.
func shared(owner, with byte, r product.GrantRole) access.Resource {
	return access.Product(product.Restore(product.State{
		OwnerID: id(owner), Status: product.StatusDraft, Grants: []product.Grant{{UserID: id(with), Role: r}},
	}))
}

func TestConditions(t *testing.T) {
	anns, bobs := resource(1, product.StatusDraft, 0, 0), resource(2, product.StatusPublished, 0, 0)
	for _, c := range []struct {
		name      string
		condition access.Condition
		actor     access.Actor
		resource  access.Resource
		want      bool
	}{
		{"any", access.Unconditional, access.Anonymous(), anns, true},
		{"own, mine", access.Own, actor(1), anns, true},
		{"own, another's", access.Own, actor(1), bobs, false},
		{"own, anonymous", access.Own, access.Anonymous(), anns, false},
		// An anonymous actor and a thing without owner both have the zero id;
		// that is no ownership.
		{"own, anonymous and nobody's", access.Own, access.Anonymous(), resource(0, product.StatusDraft, 0, 0), false},
		{"own, the kind", access.Own, actor(1), access.Any(access.KindProduct), false},
		{"published, a draft", access.Published, actor(1), anns, false},
		{"published, on offer", access.Published, actor(1), bobs, true},
		{"published, archived", access.Published, actor(1), resource(2, product.StatusArchived, 0, 0), false},
		{"viewer, of a viewer", access.SharedToView, actor(1), shared(2, 1, product.Viewer), true},
		{"viewer, of an editor", access.SharedToView, actor(1), shared(2, 1, product.Editor), true},
		{"viewer, of another", access.SharedToView, actor(3), shared(2, 1, product.Editor), false},
		{"viewer, the owner", access.SharedToView, actor(2), shared(2, 1, product.Editor), false},
		{"viewer, not shared", access.SharedToView, actor(1), anns, false},
		{"viewer, the kind", access.SharedToView, actor(1), access.Any(access.KindProduct), false},
		{"editor, of a viewer", access.SharedToEdit, actor(1), shared(2, 1, product.Viewer), false},
		{"editor, of an editor", access.SharedToEdit, actor(1), shared(2, 1, product.Editor), true},
		{"editor, anonymous and nobody's", access.SharedToEdit, access.Anonymous(), shared(2, 0, product.Editor), false},
		{"viewer, the zero actor", access.SharedToView, access.Actor{}, shared(2, 0, product.Viewer), false},
		{"published, no product", access.Published, actor(1), access.Any(access.KindUser), false},
	} {
		if got := c.condition.Holds(c.actor, c.resource); got != c.want {
			t.Errorf("%s: Holds = %v, want %v", c.name, got, c.want)
		}
		if got := c.condition.Filter(c.actor).Holds(c.resource); got != c.want {
			t.Errorf("%s: Filter.Holds = %v, want %v", c.name, got, c.want)
		}
	}
}

// Filters obey the laws of logic, whatever they are made of.
func TestFilterLaws(t *testing.T) {
	leaf := rapid.SampledFrom([]access.Filter{
		access.Everything, access.Nothing, access.OwnedBy(id(1)), access.OwnedBy(user.ID{}), access.InStatus(product.StatusDraft),
		access.AmountIs(access.AtMost, 2), access.AmountIs(access.AtLeast, 2), access.AmountIs(access.Equal, 2), access.StockIs(access.AtMost, 1),
		access.GrantedTo(id(1), product.Viewer), access.GrantedTo(user.ID{}, product.Viewer), access.Granted{To: id(1)},
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := leaf.Draw(t, "a"), leaf.Draw(t, "b")
		r := resource(byte(rapid.IntRange(0, 2).Draw(t, "owner")),
			rapid.SampledFrom([]product.Status{product.StatusDraft, product.StatusPublished}).Draw(t, "status"),
			rapid.Int64Range(0, 4).Draw(t, "amount"), rapid.Int64Range(0, 2).Draw(t, "stock"))
		for name, law := range map[string]bool{
			"not not":     access.Not{Filter: access.Not{Filter: a}}.Holds(r) == a.Holds(r),
			"and":         access.All{a, b}.Holds(r) == (a.Holds(r) && b.Holds(r)),
			"or":          access.Either{a, b}.Holds(r) == (a.Holds(r) || b.Holds(r)),
			"de Morgan":   access.Not{Filter: access.All{a, b}}.Holds(r) == access.Either{access.Not{Filter: a}, access.Not{Filter: b}}.Holds(r),
			"and all":     access.All{access.Everything, a}.Holds(r) == a.Holds(r),
			"or nothing":  access.Either{access.Nothing, a}.Holds(r) == a.Holds(r),
			"everything":  access.Everything.Holds(r),
			"not nothing": !access.Nothing.Holds(r),
		} {
			if !law {
				t.Fatalf("the law %q is broken by %#v and %#v", name, a, b)
			}
		}
	})
}

func TestCompare(t *testing.T) {
	r := resource(1, product.StatusDraft, 5, 2)
	krw, _ := product.ParseCurrency("KRW")
	usd, _ := product.ParseCurrency("USD")
	for _, c := range []struct {
		f    access.Filter
		want bool
	}{
		{access.AmountIs(access.AtMost, 5), true}, {access.AmountIs(access.AtMost, 4), false},
		{access.AmountIs(access.AtLeast, 5), true}, {access.AmountIs(access.AtLeast, 6), false},
		{access.AmountIs(access.Equal, 5), true}, {access.AmountIs(access.Equal, 6), false},
		{access.StockIs(access.AtMost, 2), true}, {access.StockIs(access.AtMost, 1), false},
		{access.PricedIn(krw), true}, {access.PricedIn(usd), false},
		{access.Compare{}, false}, {access.Compare{Field: access.FieldStock}, false}, // what no constructor makes
	} {
		if got := c.f.Holds(r); got != c.want {
			t.Errorf("%#v.Holds = %v, want %v", c.f, got, c.want)
		}
	}
	if access.AmountIs(access.AtLeast, 0).Holds(access.Any(access.KindUser)) {
		t.Error("a user has a price")
	}
}

// A condition's filter for one user is that for another, with the one's name in
// the place of the other's: in whatever part it stands.
func TestNaming(t *testing.T) {
	for _, c := range []access.Condition{access.Unconditional, access.Own, access.Published, access.SharedToView, access.SharedToEdit} {
		mean := func(n byte) access.Filter {
			f := c.Filter(actor(n))
			return access.All{access.Either{f, access.Not{Filter: f}}, access.Not{Filter: access.OwnedBy(id(9))}, access.GrantedTo(id(9), product.Editor)}
		}
		before := fmt.Sprintf("%#v", mean(1))
		f := mean(1)
		if got := access.Naming(f, id(1), id(2)); !reflect.DeepEqual(got, mean(2)) {
			t.Errorf("%s: Naming = %#v, want %#v", c, got, mean(2))
		}
		if after := fmt.Sprintf("%#v", f); after != before {
			t.Errorf("%s: what was named is altered: %s, was %s", c, after, before)
		}
		// Nobody owns anything, and nothing is shared with them.
		if nobody := access.Naming(access.Own.Filter(actor(1)), id(1), user.ID{}); nobody.Holds(resource(0, product.StatusDraft, 0, 0)) {
			t.Error("nobody owns what has no owner")
		}
	}
}

func TestVocabularyRefuses(t *testing.T) {
	v, err := access.NewVocabulary()
	if err != nil {
		t.Fatal(err)
	}
	good := access.Row{Role: "user", Resource: "product", Action: "update", Condition: "own", Effect: "allow"}
	in := func(pairs ...string) (out []access.Inheritance) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, access.Inheritance{Role: pairs[i], Parent: pairs[i+1]})
		}
		return out
	}
	for _, c := range []struct {
		table access.Table
		want  string
	}{
		{access.Table{}, "empty"},
		{access.Table{Inherits: in("a", "b")}, "empty"},
		{access.Table{Rows: []access.Row{good, {Role: "Root", Resource: "*", Action: "all", Condition: "true", Effect: "Allow"}}},
			`role "Root", resource "*", action "all", condition "true", effect "Allow"`},
		{access.Table{Rows: []access.Row{{}}}, `role ""`},
		{access.Table{Rows: []access.Row{good, good}}, "twice"},
		{access.Table{Rows: []access.Row{good}, Inherits: in("a", "b c")}, "not both"},
		{access.Table{Rows: []access.Row{good}, Inherits: in("a", "a")}, "inherits itself"},
		{access.Table{Rows: []access.Row{good}, Inherits: in("a", "b", "b", "c", "c", "a")}, "inherits itself"},
	} {
		if _, err := v.Check(c.table); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Check(%+v) = %v, want it to say %s", c.table, err, c.want)
		}
	}
	set, err := v.Check(access.Table{Version: 3, Rows: []access.Row{good}, Inherits: in("c", "b", "b", "a", "c", "a")})
	if err != nil || set.Version != 3 || len(set.Policies) != 1 || set.Policies[0].String() != good.String() {
		t.Fatalf("Check = %+v, %v", set, err)
	}
	c, _ := user.ParseRole("c")
	if got := set.Ancestors(c); len(got) != 2 {
		t.Errorf("Ancestors(c) = %v, want b and a once each", got)
	}
}

func TestVocabularyGrows(t *testing.T) {
	cheap := access.NewCondition("cheap", func(access.Actor) access.Filter { return access.AmountIs(access.AtMost, 100) })
	v, err := access.NewVocabulary(cheap)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Parse(access.Row{Role: "user", Resource: "product", Action: "read", Condition: "cheap", Effect: "allow"}); err != nil {
		t.Errorf("Parse = %v", err)
	}
	for _, bad := range []access.Condition{access.NewCondition("own", nil), access.NewCondition("Own", cheap.Filter), access.NewCondition("dear", nil)} {
		if _, err := access.NewVocabulary(bad); err == nil {
			t.Errorf("NewVocabulary took the condition %q", bad)
		}
	}
	if _, err := access.NewVocabulary(cheap, cheap); err == nil {
		t.Error("NewVocabulary took a condition twice")
	}
}

func TestTheZeroActorIsNobody(t *testing.T) {
	var a access.Actor
	if !a.IsAnonymous() || len(a.Roles()) != 0 {
		t.Errorf("the zero Actor has the roles %v", a.Roles())
	}
	b := actor(1, user.RoleUser)
	b.Roles()[0] = user.RoleAdmin
	if b.Roles()[0] != user.RoleUser {
		t.Error("whoever asks for an actor's roles can change them")
	}
}
