package portstest

import (
	"slices"

	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var censusChecks = []check[CensusStores]{
	{"every pair counts, and no other", censusPairs},
	{"who is in many pairs is one user", censusUsers},
	{"nobody is in no pair", censusOfNobody},
	{"other roles are not meant", censusRoles},
	{"who is disabled is not meant", censusOfDisabled},
	{"a filter that names others means them", censusOthers},
	{"without a filter there is nothing", censusNoFilter},
	{"pairs are bounded", censusLimit},
	{"what was changed counts at once", censusChanged},
	{"a cancelled context is an outage", censusCancelled},
}

// self stands for each user in the filters of the checks.
var self = user.ID{UUID: id(60_000)}

// anyone asks for pairs of those who have just the role user.
func anyone(f access.Filter) ports.CensusQuery {
	return ports.CensusQuery{Roles: []user.Role{user.RoleUser}, Self: self, Filter: f}
}

// wantCensus holds the store to the pairs of the users and the products that
// are meant, found by asking about each.
func (s CensusStores) wantCensus(t tester, q ports.CensusQuery, users []user.ID, all []product.Product) {
	t.Helper()
	var wanted ports.Reach
	pairs := map[ports.Pair]bool{}
	for _, u := range users {
		before := wanted.Pairs
		for _, p := range all {
			if access.Naming(q.Filter, q.Self, u).Holds(access.Product(p)) {
				wanted.Pairs++
				found, err := s.Users.Find(t.Context(), u)
				must(t, err, "Find")
				pairs[ports.Pair{User: u, Email: found.Email().String(), Product: p.ID(), Name: p.Name()}] = true
			}
		}
		if wanted.Pairs > before {
			wanted.Users++
		}
	}
	got, err := s.Census.Reach(t.Context(), q)
	must(t, err, "Reach(%#v)", q.Filter)
	want(t, got, wanted, "Reach(%#v)", q.Filter)
	list, err := s.Census.Pairs(t.Context(), q, 10_000)
	must(t, err, "Pairs(%#v)", q.Filter)
	given := map[ports.Pair]bool{}
	for _, p := range list {
		given[p] = true
	}
	want(t, given, pairs, "Pairs(%#v)", q.Filter)
	want(t, len(list), len(pairs), "how many Pairs(%#v) gives", q.Filter)
}

// peopled fills the store with products, three users who have to do with them,
// and two who have not, all with the role user.
func (s CensusStores) peopled(t tester) (all []product.Product, users []user.ID) {
	t.Helper()
	all, owners := ProductStores{s.Users, s.Products}.stock(t, 24)
	for _, n := range []int{4, 5} {
		addUser(t, s.Users, n)
	}
	return all, append(owners, userID(3), userID(4), userID(5))
}

// selfFilters say, in every place of a filter, what is whose.
func selfFilters(others ...user.ID) []access.Filter {
	own, lent, edited := access.OwnedBy(self), access.GrantedTo(self, product.Viewer, product.Editor), access.GrantedTo(self, product.Editor)
	offered := access.InStatus(product.StatusPublished)
	return append(filters([]user.ID{self, others[0]}),
		own, lent, edited, access.GrantedTo(self, product.Viewer), access.GrantedTo(self), access.Not{Filter: own}, access.Not{Filter: lent},
		access.Either{own, offered}, access.All{own, offered}, access.Either{own, edited, offered}, access.All{offered, access.Not{Filter: access.Either{own, lent}}},
		access.All{access.Either{offered, own}, access.Not{Filter: edited}}, access.All{access.Not{Filter: own}, access.Not{Filter: offered}},
		access.Either{access.All{own, access.Not{Filter: offered}}, access.All{lent, offered}}, access.All{own, lent}, access.Everything, access.Nothing, offered,
	)
}

func censusPairs(t tester, s CensusStores) {
	all, users := s.peopled(t)
	for _, f := range selfFilters(users[1]) {
		s.wantCensus(t, anyone(f), users, all)
	}
}

func censusUsers(t tester, s CensusStores) {
	all, users := s.peopled(t)
	got, err := s.Census.Reach(t.Context(), anyone(access.OwnedBy(self)))
	must(t, err, "Reach")
	want(t, got, ports.Reach{Pairs: int64(len(all)), Users: 2}, "Reach(own)")
	got, err = s.Census.Reach(t.Context(), anyone(access.Not{Filter: access.OwnedBy(self)}))
	must(t, err, "Reach")
	want(t, got, ports.Reach{Pairs: int64(len(all) * (len(users) - 1)), Users: int64(len(users))}, "Reach(not own)")
	for _, p := range all { // one owns all: who is not in a pair because of what they own
		must(t, second(s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error { p.Transfer(users[0], noon); return nil })), "Update")
	}
	got, err = s.Census.Reach(t.Context(), anyone(access.Not{Filter: access.OwnedBy(self)}))
	must(t, err, "Reach")
	want(t, got, ports.Reach{Pairs: int64(len(all) * (len(users) - 1)), Users: int64(len(users) - 1)}, "Reach(not own), where one owns all")
}

func censusOfNobody(t tester, s CensusStores) {
	s.wantCensus(t, anyone(access.Everything), nil, nil)
	s.wantCensus(t, anyone(access.Not{Filter: access.OwnedBy(self)}), nil, nil)
	addUser(t, s.Users, 1)
	s.wantCensus(t, anyone(access.Everything), []user.ID{userID(1)}, nil)
	s.wantCensus(t, anyone(access.Not{Filter: access.OwnedBy(self)}), []user.ID{userID(1)}, nil)
}

func censusRoles(t tester, s CensusStores) {
	roles := RoleStores{Users: s.Users}
	both, less := roles.holding(t, 1, "admin", "user"), roles.holding(t, 2, "user")
	roles.holding(t, 3, "user", "user2")
	var all []product.Product
	for n, owner := range []user.ID{both.ID(), both.ID(), less.ID(), userID(3)} {
		all = append(all, ProductStores{s.Users, s.Products}.add(t, n, owner))
	}
	for _, f := range []access.Filter{access.Everything, access.OwnedBy(self), access.Not{Filter: access.OwnedBy(self)}} {
		s.wantCensus(t, anyone(f), []user.ID{less.ID()}, all)
		q := anyone(f)
		q.Roles = []user.Role{user.RoleAdmin, user.RoleUser}
		s.wantCensus(t, q, []user.ID{both.ID()}, all)
		for _, none := range [][]user.Role{{user.RoleAdmin}, {user.RoleModerator}, nil} {
			q.Roles = none
			s.wantCensus(t, q, nil, all)
		}
	}
}

func censusOfDisabled(t tester, s CensusStores) {
	off, on := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	all := []product.Product{ProductStores{s.Users, s.Products}.add(t, 1, off.ID()), ProductStores{s.Users, s.Products}.add(t, 2, on.ID())}
	must(t, second(s.Users.Update(t.Context(), off.ID(), func(u *user.User) error { u.Disable(noon); return nil })), "Update")
	for _, f := range []access.Filter{access.Everything, access.OwnedBy(self), access.Not{Filter: access.OwnedBy(self)}} {
		s.wantCensus(t, anyone(f), []user.ID{on.ID()}, all)
	}
}

func censusOthers(t tester, s CensusStores) {
	all, users := s.peopled(t)
	for _, f := range []access.Filter{
		access.OwnedBy(users[0]), access.GrantedTo(users[2], product.Editor), access.Not{Filter: access.OwnedBy(userID(77))},
		access.Either{access.OwnedBy(users[0]), access.OwnedBy(self)}, access.All{access.OwnedBy(users[0]), access.Not{Filter: access.OwnedBy(self)}},
		access.All{access.OwnedBy(self), access.GrantedTo(users[2], product.Viewer, product.Editor)},
	} {
		s.wantCensus(t, anyone(f), users, all)
		q := anyone(f)
		q.Self = user.ID{} // stands for nobody: the name is then that of a user who is not there
		s.wantCensus(t, q, users, all)
	}
}

func censusNoFilter(t tester, s CensusStores) {
	ProductStores{s.Users, s.Products}.add(t, 1, addUser(t, s.Users, 1).ID())
	got, err := s.Census.Reach(t.Context(), anyone(nil))
	must(t, err, "Reach(nil)")
	want(t, got, ports.Reach{}, "Reach(nil)")
	pairs, err := s.Census.Pairs(t.Context(), anyone(nil), 10)
	must(t, err, "Pairs(nil)")
	want(t, len(pairs), 0, "how many Pairs(nil) gives")
}

func censusLimit(t tester, s CensusStores) {
	all, users := s.peopled(t)
	for _, f := range []access.Filter{access.Everything, access.Not{Filter: access.OwnedBy(self)}, access.Either{access.OwnedBy(self), access.InStatus(product.StatusPublished)}} {
		for _, limit := range []int{-1, 0, 1, 3, 25, 70} {
			pairs, err := s.Census.Pairs(t.Context(), anyone(f), limit)
			must(t, err, "Pairs")
			reach, err := s.Census.Reach(t.Context(), anyone(f))
			must(t, err, "Reach")
			want(t, len(pairs), min(max(limit, 0), int(reach.Pairs)), "how many Pairs(%#v, %d) gives", f, limit)
			for i, p := range pairs {
				at := slices.IndexFunc(all, func(one product.Product) bool { return one.ID() == p.Product })
				if slices.Contains(pairs[:i], p) || at < 0 || !slices.Contains(users, p.User) || !access.Naming(f, self, p.User).Holds(access.Product(all[at])) {
					t.Errorf("Pairs(%#v, %d)[%d] = %v is none, or stands there twice", f, limit, i, p)
				}
			}
		}
	}
}

func censusChanged(t tester, s CensusStores) {
	a, b, stores := addUser(t, s.Users, 1).ID(), addUser(t, s.Users, 2).ID(), ProductStores{s.Users, s.Products}
	p := stores.add(t, 1, a)
	f := access.Either{access.All{access.OwnedBy(self), access.InStatus(product.StatusDraft)}, access.GrantedTo(self, product.Editor)}
	look := func() { t.Helper(); s.wantCensus(t, anyone(f), []user.ID{a, b}, []product.Product{p}) }
	look()
	for _, change := range []func(*product.Product) error{
		sharing(t, b, product.Viewer), sharing(t, b, product.Editor), unsharing(b), func(p *product.Product) error { p.Transfer(b, noon); return nil },
		func(p *product.Product) error {
			status := "published"
			return p.Apply(product.Change{Status: &status}, noon)
		},
	} {
		var err error
		p, err = s.Products.Update(t.Context(), p.ID(), change)
		must(t, err, "Update")
		look()
	}
	must(t, s.Products.Delete(t.Context(), p.ID(), agree), "Delete")
	s.wantCensus(t, anyone(f), []user.ID{a, b}, nil)
}

// "Nobody loses anything" would make a change of the policy look harmless.
func censusCancelled(t tester, s CensusStores) {
	s.peopled(t)
	ctx := gone(t)
	wantUnavailable(t, map[string]error{
		"Reach": second(s.Census.Reach(ctx, anyone(access.Everything))),
		"Pairs": second(s.Census.Pairs(ctx, anyone(access.Everything), 10)),
	})
}
