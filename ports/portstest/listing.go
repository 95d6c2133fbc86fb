package portstest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// everything asks for all products in an order.
func everything(sort product.Sort) ports.ProductQuery {
	return ports.ProductQuery{Visible: access.Everything, Sort: sort, Limit: 1000}
}

// wantList holds the store to the products of a query, in their order.
func (s ProductStores) wantList(t tester, q ports.ProductQuery, products ...product.Product) {
	t.Helper()
	got, err := s.Products.List(t.Context(), q)
	must(t, err, "List(%s)", describe(q))
	if !slices.EqualFunc(got, products, func(a, b product.Product) bool { return reflect.DeepEqual(a.State(), b.State()) }) {
		t.Errorf("List(%s) = %s, want %s", describe(q), productNames(got), productNames(products))
	}
}

func describe(q ports.ProductQuery) string {
	return fmt.Sprintf("by %q, status %q, text %.40q", q.Sort, q.Status, q.Text)
}

func productNames(list []product.Product) string {
	var b strings.Builder
	for _, p := range list[:min(len(list), 40)] {
		b.WriteString(p.ID().String()[9:] + " " + p.Name()[:min(len(p.Name()), 20)] + ", ")
	}
	return "[" + strings.TrimSuffix(b.String(), ", ") + "]"
}

// sorted gives the products that a filter holds for, in an order: what every
// list is compared with.
func sorted(all []product.Product, sort product.Sort, meant func(product.Product) bool) []product.Product {
	var list []product.Product
	for _, p := range all {
		if meant(p) {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b product.Product) int {
		return sort.Compare(product.PositionOf(a), product.PositionOf(b))
	})
	return list
}

func anything(product.Product) bool { return true }

// stock fills a store with products that differ in all that lists look at, each
// value with ties.
func (s ProductStores) stock(t tester, n int) (all []product.Product, owners []user.ID) {
	t.Helper()
	owners = []user.ID{addUser(t, s.Users, 1).ID(), addUser(t, s.Users, 2).ID()}
	guest := addUser(t, s.Users, 3).ID()
	roles := []product.GrantRole{product.Viewer, product.Editor}
	states := []product.Status{product.StatusDraft, product.StatusPublished, product.StatusArchived}
	// Their order is another one in every language, without regard to case,
	// in UTF-16, and where spaces do not count.
	names := []string{"b", "B", "a b", "ab", "é", "Z", "한", "\uffee", "😀", "e\u0301"}
	for i := range n {
		all = append(all, s.add(t, (i*7)%n, owners[i%2], func(p *product.State) {
			p.Status, p.Name = states[i%3], names[i%len(names)]
			p.Price, p.Stock = product.RestorePrice(int64(i%4), []string{"KRW", "USD"}[i/2%2]), int64(i%3)
			p.CreatedAt = noon.Add(time.Duration(i/3) * time.Microsecond)
			if i%3 > 0 {
				p.Grants = append(p.Grants, product.Grant{UserID: guest, Role: roles[i%5%2], CreatedAt: noon})
			}
			if i%4 > 1 {
				p.Grants = append(p.Grants, product.Grant{UserID: owners[1-i%2], Role: roles[i%7%2], CreatedAt: noon})
			}
		}))
	}
	return all, owners
}

// A list that was asked without a filter by mistake shows nothing, as a query
// without a WHERE would not.
func listNoFilter(t tester, s ProductStores) {
	s.add(t, 1, addUser(t, s.Users, 1).ID())
	s.wantList(t, ports.ProductQuery{Limit: 10})
	s.wantList(t, ports.ProductQuery{Visible: access.Nothing, Limit: 10})
}

// One definition decides about one product and narrows lists: a list shows
// exactly what reading one by one would.
func listFilters(t tester, s ProductStores) {
	all, owners := s.stock(t, 30)
	for i, f := range filters(owners) {
		wanted := sorted(all, product.NewestFirst, func(p product.Product) bool { return f.Holds(access.Product(p)) })
		q := everything(product.NewestFirst)
		q.Visible = f
		got, err := s.Products.List(t.Context(), q)
		if err != nil || productNames(got) != productNames(wanted) {
			t.Errorf("List(filter %d, %#v) = %s, %v, want %s", i, f, productNames(got), err, productNames(wanted))
		}
	}
}

// filters are atoms of every field and relation, some that no constructor
// makes, and what All, Either and Not make of them.
func filters(owners []user.ID) []access.Filter {
	krw, _ := product.ParseCurrency("KRW")
	list := []access.Filter{
		access.Everything, access.Nothing, access.InStatus(product.StatusPublished), access.PricedIn(krw),
		access.Compare{}, access.Compare{Field: access.FieldStock}, access.Compare{Field: 99, Relation: access.Equal},
		access.Compare{Field: access.FieldStatus, Relation: access.Equal, Text: "' OR TRUE --"},
	}
	for _, id := range append(owners, userID(3), userID(9), user.ID{}) {
		list = append(list, access.GrantedTo(id, product.Viewer, product.Editor), access.GrantedTo(id, product.Editor), access.GrantedTo(id, product.Viewer),
			access.Granted{To: id}, access.Granted{To: id, Roles: []product.GrantRole{{}}}, access.Granted{To: id, Roles: []product.GrantRole{{}, product.Editor}})
		for _, r := range []access.Relation{access.Equal, access.AtMost, access.AtLeast} {
			list = append(list, access.Compare{Field: access.FieldOwner, Relation: r, ID: id})
		}
		list = append(list, access.OwnedBy(id))
	}
	for _, r := range []access.Relation{access.Equal, access.AtMost, access.AtLeast} {
		list = append(list, access.AmountIs(r, 2), access.StockIs(r, 1), access.AmountIs(r, -1), access.StockIs(r, product.MaxStock),
			access.Compare{Field: access.FieldStatus, Relation: r, Text: "draft"}, access.Compare{Field: access.FieldCurrency, Relation: r, Text: "KRW"})
	}
	atoms := len(list)
	for i := range 2 * atoms {
		f, g, h := list[i], list[(i*7+3)%atoms], list[(i*5+1)%atoms]
		list = append(list, access.Not{Filter: f}, access.All{f, g, access.Not{Filter: h}}, access.Either{f, access.All{g, h}})
	}
	return list
}

func listNarrowed(t tester, s ProductStores) {
	all, owners := s.stock(t, 24)
	for _, owner := range append(owners, userID(9), user.ID{}) {
		for _, status := range []product.Status{product.StatusDraft, product.StatusPublished, product.StatusArchived, {}} {
			for _, f := range []access.Filter{access.Everything, access.Either{access.InStatus(product.StatusPublished), access.OwnedBy(owners[0])}} {
				q := everything(product.NameUp)
				q.Visible, q.Owner, q.Status = f, owner, status
				s.wantList(t, q, sorted(all, product.NameUp, func(p product.Product) bool {
					return (owner == user.ID{} || p.OwnerID() == owner) && (status == product.Status{} || p.Status() == status) && f.Holds(access.Product(p))
				})...)
			}
		}
	}
}

// described adds a product for each text, which stands in the description of
// one and in the name of the next.
func (s ProductStores) described(t tester, texts ...string) []product.Product {
	t.Helper()
	owner := addUser(t, s.Users, 1).ID()
	var all []product.Product
	for i, text := range texts {
		all = append(all, s.add(t, i, owner, func(p *product.State) {
			p.Name, p.Description = text, ""
			if i%2 == 0 {
				p.Name, p.Description = "thing", text
			}
		}))
	}
	return all
}

// wantFound holds a search to the products with the given places.
func (s ProductStores) wantFound(t tester, text string, all []product.Product, places ...int) {
	t.Helper()
	var wanted []product.Product
	for _, i := range places {
		wanted = append(wanted, all[i])
	}
	q := everything(product.OldestFirst)
	q.Text = text
	s.wantList(t, q, wanted...)
}

// Wildcards of LIKE in a search make it slow and make it lie; quotes in it have
// made worse (threats.md, scenario 19).
func listLiteral(t tester, s ProductStores) {
	all := s.described(t, `100% wool`, `a_b`, `back\slash`, `it's`, `"quoted"`, `@name ? $1 :x`, `a*b [c] (d) ^`, `plain`)
	for text, places := range map[string][]int{
		`%`: {0}, `_`: {1}, `\`: {2}, `'`: {3}, `"`: {4}, `?`: {5}, `$1`: {5}, `@name`: {5}, `:x`: {5}, `*`: {6}, `[`: {6}, `^`: {6},
		`%wool`: nil, `100%`: {0}, `0% w`: {0}, `a%b`: nil, `a_`: {1}, `p_ain`: nil, `\%`: nil, `\\`: nil, `k\s`: {2}, `.*`: nil,
		`' OR TRUE --`: nil, `''`: nil, `plain`: {7}, `lai`: {7}, ``: {0, 1, 2, 3, 4, 5, 6, 7},
	} {
		s.wantFound(t, text, all, places...)
	}
}

// Indexes for searches know neither what is short nor, of some scripts and
// signs, that they are text at all; and they lead to what has all the pieces of a
// text, which need not stand together.
func listPieces(t tester, s ProductStores) {
	texts := []string{
		"주전자와 찻잔", "찻전자 주전와", "a😀b👩\u200d🚀", "\U0010ffff\U00010000 x", "\u0001\t\n\u00a0\ufeff", "%_%\\_", "日本語の", "לוםش", "e\u0323\u0302",
		"bcdxabc", "abcabcab", "a", "주", strings.Repeat("ab", 100), strings.Repeat("가나", 2500),
	}
	all := s.described(t, texts...)
	seen := map[string]bool{}
	look := func(text string) {
		if seen[text] {
			return
		}
		seen[text] = true
		var places []int
		for i, p := range all {
			if strings.Contains(product.Fold(p.Name()), product.Fold(text)) || strings.Contains(product.Fold(p.Description()), product.Fold(text)) {
				places = append(places, i)
			}
		}
		s.wantFound(t, text, all, places...)
		s.wantCount(t, ports.ProductQuery{Visible: access.Everything, Text: text}, len(places))
	}
	for _, text := range texts {
		runes := []rune(text)
		for i := range min(len(runes), 6) {
			for n := 1; n <= 4 && i+n <= len(runes); n++ {
				look(string(runes[i : i+n]))
			}
		}
		look(text)
	}
	for _, text := range []string{"abcd", "bcda", "자주", "ababc", "bcdab", "주전와 ", "😁", "\U0010fffe", "전 ", strings.Repeat("ab", 101), strings.Repeat("abc", 66), strings.Repeat("ba", 100)} {
		look(text)
	}
}

// A phone types Hangul composed, a Mac names files with it taken apart; a
// database's own lower() knows ASCII alone (threats.md, "SQLite").
func listFolded(t tester, s ProductStores) {
	all := s.described(t, "Brass LAMP", "한글 Büro", "\u1112\u1161\u11ab\u1100\u1173\u11af BU\u0308RO", "Straße", "ΣΊΣΥΦΟΣ")
	for text, places := range map[string][]int{
		"lamp": {0}, "LAMP": {0}, "Lamp": {0}, "s l": {0}, "한글": {1, 2}, "\u1112\u1161\u11ab\u1100\u1173\u11af": {1, 2},
		"büro": {1, 2}, "BÜRO": {1, 2}, "bu\u0308ro": {1, 2}, "buro": nil, "STRASSE": {3}, "straße": {3}, "σίσυφος": {4}, "σίσυφοσ": {4},
	} {
		s.wantFound(t, text, all, places...)
	}
}

// Folded texts that are kept beside the true ones must follow them.
func listChangedText(t tester, s ProductStores) {
	all := s.described(t, "old one", "old two")
	for i, p := range all {
		next, err := s.update(t, alterProduct(p, func(s *product.State) { s.Name, s.Description, s.Version = "NEW", "Later", 2 }))
		must(t, err, "Update")
		all[i] = next
	}
	s.wantFound(t, "old", all)
	s.wantFound(t, "new", all, 0, 1)
	s.wantFound(t, "later", all, 0, 1)
}

func listSpan(t tester, s ProductStores) {
	p := s.add(t, 1, addUser(t, s.Users, 1).ID(), func(p *product.State) { p.Name, p.Description = "front", "back" })
	all := []product.Product{p}
	for _, text := range []string{"frontback", "front back", "tb", "t b", "front\nback", "front\tback", "backfront", "k f"} {
		s.wantFound(t, text, all)
	}
	s.wantFound(t, "nt", all, 0)
	s.wantFound(t, "ba", all, 0)
}

// NUL and broken UTF-8 are refused by PostgreSQL. That is no outage: nobody
// should be called at night for it.
func listImpossibleText(t tester, s ProductStores) {
	all := s.described(t, "a", "b")
	for _, text := range []string{"\x00", "a\x00", "\xff", "a\xc3", strings.Repeat("%", 10_000)} {
		s.wantFound(t, text, all)
	}
}

func listOrders(t tester, s ProductStores) {
	all, _ := s.stock(t, 30)
	for _, sort := range product.Sorts() {
		s.wantList(t, everything(sort), sorted(all, sort, anything)...)
	}
}

func listDefaultOrder(t tester, s ProductStores) {
	all, _ := s.stock(t, 10)
	q := everything(product.Sort{})
	newest := sorted(all, product.NewestFirst, anything)
	s.wantList(t, q, newest...)
	q.After = product.PositionOf(newest[3])
	s.wantList(t, q, newest[4:]...)
}

// walk reads page after page until one is empty.
func (s ProductStores) walk(t tester, q ports.ProductQuery, between func(page int)) (seen []product.Product) {
	t.Helper()
	for page := range 100 {
		got, err := s.Products.List(t.Context(), q)
		must(t, err, "List(%s, page %d)", describe(q), page)
		if len(got) == 0 {
			break
		}
		seen = append(seen, got...)
		q.After = product.PositionOf(got[len(got)-1])
		between(page)
	}
	return seen
}

// Products that are equal in what is sorted by must not be lost where a page
// ends between them.
func listPages(t tester, s ProductStores) {
	all, owners := s.stock(t, 30)
	visible := access.Either{access.OwnedBy(owners[0]), access.InStatus(product.StatusPublished)}
	for _, sort := range product.Sorts() {
		for _, limit := range []int{1, 4, 29} {
			q := ports.ProductQuery{Visible: visible, Sort: sort, Limit: limit}
			got := s.walk(t, q, func(int) {})
			wanted := sorted(all, sort, func(p product.Product) bool { return visible.Holds(access.Product(p)) })
			if productNames(got) != productNames(wanted) {
				t.Errorf("pages of %d by %s = %s, want %s", limit, sort, productNames(got), productNames(wanted))
			}
		}
	}
}

// Counting rows to skip shows a product twice when another is added before it,
// and none when one is deleted; the position itself may go.
func listWalk(t tester, s ProductStores) {
	for i, sort := range product.Sorts() {
		owner := addUser(t, s.Users, i).ID()
		nth := func(n int) product.Product {
			return newProduct(1000*i+n, owner, func(p *product.State) {
				p.Name, p.Price = string(rune('a'+n)), product.RestorePrice(int64(n), "KRW")
			})
		}
		// 0, 2 … 18 are there; two pages of two are read when the last of them
		// goes and one comes ahead of it, and a page later one behind it.
		last, behind, ahead := 6, 3, 13
		if sort.Descending() {
			last, behind, ahead = 12, 15, 5
		}
		var wanted []product.Product
		for n := range 10 {
			wanted = append(wanted, nth(2*n))
			must(t, s.Products.Add(t.Context(), nth(2*n)), "Add")
		}
		q := ports.ProductQuery{Visible: access.Everything, Owner: owner, Sort: sort, Limit: 2}
		seen := s.walk(t, q, func(page int) {
			switch page {
			case 1:
				must(t, s.Products.Delete(t.Context(), nth(last).ID(), agree), "Delete(the position)")
				must(t, s.Products.Add(t.Context(), nth(ahead)), "Add(ahead of the position)")
			case 2:
				must(t, s.Products.Add(t.Context(), nth(behind)), "Add(behind the position)")
			}
		})
		wanted = sorted(append(wanted, nth(ahead)), sort, anything)
		if productNames(seen) != productNames(wanted) {
			t.Errorf("walking by %s = %s, want %s", sort, productNames(seen), productNames(wanted))
		}
	}
}

func listLimit(t tester, s ProductStores) {
	all, _ := s.stock(t, 10)
	newest := sorted(all, product.NewestFirst, anything)
	for _, limit := range []int{0, 1, 9, 10, 11} {
		q := everything(product.NewestFirst)
		q.Limit = limit
		s.wantList(t, q, newest[:min(limit, 10)]...)
	}
}

// wantCount holds the store to how many products a query means.
func (s ProductStores) wantCount(t tester, q ports.ProductQuery, wanted int) {
	t.Helper()
	got, err := s.Products.Count(t.Context(), q)
	if err != nil || got != wanted {
		t.Errorf("Count(%s, %#v) = %d, %v, want %d", describe(q), q.Visible, got, err, wanted)
	}
}

func countNoFilter(t tester, s ProductStores) {
	s.add(t, 1, addUser(t, s.Users, 1).ID())
	s.wantCount(t, ports.ProductQuery{Limit: 10}, 0)
	s.wantCount(t, ports.ProductQuery{Visible: access.Nothing, Limit: 10}, 0)
	s.wantCount(t, ports.ProductQuery{Visible: access.Everything}, 1)
}

// A total that counts what the list hides tells that it is there.
func countFilters(t tester, s ProductStores) {
	all, owners := s.stock(t, 30)
	for _, f := range filters(owners) {
		q := everything(product.NewestFirst)
		q.Visible = f
		s.wantCount(t, q, len(sorted(all, product.NewestFirst, func(p product.Product) bool { return f.Holds(access.Product(p)) })))
	}
}

func countNarrowed(t tester, s ProductStores) {
	all, owners := s.stock(t, 24)
	for _, owner := range append(owners, userID(9), user.ID{}) {
		for _, status := range []product.Status{product.StatusDraft, product.StatusArchived, {}} {
			// "É" is told from "e" with an accent by who does not fold it.
			for _, text := range []string{"", "B", "%", "É", "\x00", "\xff", "nothing"} {
				q := ports.ProductQuery{Visible: access.Not{Filter: access.OwnedBy(userID(9))}, Owner: owner, Status: status, Text: text, Limit: 1000}
				s.wantCount(t, q, len(sorted(all, product.NameUp, func(p product.Product) bool {
					return (owner == user.ID{} || p.OwnerID() == owner) && (status == product.Status{} || p.Status() == status) &&
						strings.Contains(product.Fold(p.Name()), product.Fold(text))
				})))
			}
		}
	}
}

// The total stands beside every page, and is that of the walk over all.
func countPages(t tester, s ProductStores) {
	all, owners := s.stock(t, 20)
	visible := access.Either{access.OwnedBy(owners[1]), access.InStatus(product.StatusPublished)}
	for _, sort := range append(product.Sorts(), product.Sort{}) {
		q := ports.ProductQuery{Visible: visible, Sort: sort, Limit: 3}
		n := len(s.walk(t, q, func(int) {}))
		for _, limit := range []int{0, 1, 3, 100} {
			q.Limit = limit
			q.After = product.Position{}
			s.wantCount(t, q, n)
			q.After = product.PositionOf(all[7])
			s.wantCount(t, q, n)
		}
	}
}
