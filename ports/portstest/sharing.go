package portstest

import (
	"errors"
	"time"

	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
)

// The checks of whom products are shared with, and of their changing hands.

var sharingChecks = []check[ProductStores]{
	{"grants are kept as they are given and taken", grantsKept},
	{"a change of the grants changes nothing else", grantsAlone},
	{"a change of a product leaves its grants", grantsStay},
	{"a new product has the grants that it is added with", grantsAdded},
	{"nothing is shared with nobody", grantsOfNobody},
	{"a failed change of grants keeps nothing", grantsFailed},
	{"grants at once are all kept", grantsAtOnce},
	{"what was done by a grant was done while it was there", grantsRevokeRace},
	{"grants go with their product", grantsGoWithTheProduct},
	{"grants go with their user", grantsGoWithTheUser},
	{"who is going is let in on nothing", grantsOfWhoIsGoing},
	{"a new owner is there and active", ownerActive},
	{"who gets a product keeps no grant of it", ownerRace},
}

// share lets the n-th user in.
func (s ProductStores) share(t tester, p product.Product, with user.ID, r product.GrantRole) product.Product {
	t.Helper()
	got, err := s.Products.Update(t.Context(), p.ID(), sharing(t, with, r))
	must(t, err, "Update(share)")
	return got
}

func sharing(t tester, with user.ID, r product.GrantRole) func(*product.Product) error {
	return func(p *product.Product) error {
		at := noon.Add(time.Duration(len(p.Grants())+1) * time.Minute)
		if _, err := p.Share(with, r.String(), at); err != nil {
			t.Errorf("Share = %v: the check is wrong", err)
		}
		return nil
	}
}

func unsharing(with user.ID) func(*product.Product) error {
	return func(p *product.Product) error { _, err := p.Unshare(with); return err }
}

// wantGrants holds both ways of reading a product to giving its grants.
func (s ProductStores) wantGrants(t tester, id product.ID, grants ...product.Grant) {
	t.Helper()
	p, err := s.Products.Find(t.Context(), id)
	must(t, err, "Find")
	want(t, p.Grants(), grants, "the grants that Find gives")
	all, err := s.Products.List(t.Context(), everything(product.OldestFirst))
	must(t, err, "List")
	for _, p := range all {
		if p.ID() == id {
			want(t, p.Grants(), grants, "the grants that List gives")
		}
	}
}

func grantsKept(t tester, s ProductStores) {
	owner, bob, eve := addUser(t, s.Users, 1), addUser(t, s.Users, 2), addUser(t, s.Users, 3)
	other := s.share(t, s.add(t, 2, owner.ID()), bob.ID(), product.Editor)
	p := s.add(t, 1, owner.ID())
	s.wantGrants(t, p.ID())
	// The later one has the lesser id, so that the order is that of the times.
	first := product.Grant{UserID: eve.ID(), Role: product.Viewer, CreatedAt: noon.Add(time.Minute)}
	second := product.Grant{UserID: bob.ID(), Role: product.Editor, CreatedAt: noon.Add(2 * time.Minute)}
	got := s.share(t, p, eve.ID(), product.Viewer)
	want(t, got.Grants(), []product.Grant{first}, "what Update returns")
	s.share(t, p, bob.ID(), product.Editor)
	s.wantGrants(t, p.ID(), first, second)
	first.Role, second.Role = product.Editor, product.Viewer
	s.share(t, p, eve.ID(), product.Editor)
	s.share(t, p, bob.ID(), product.Viewer)
	s.wantGrants(t, p.ID(), first, second)
	_, err := s.Products.Update(t.Context(), p.ID(), unsharing(eve.ID()))
	must(t, err, "Update(unshare)")
	s.wantGrants(t, p.ID(), second)
	_, err = s.Products.Update(t.Context(), p.ID(), unsharing(eve.ID()))
	wantVery(t, err, product.ErrNoGrant, "Update(unshare what is not shared)")
	_, err = s.Products.Update(t.Context(), p.ID(), unsharing(bob.ID()))
	must(t, err, "Update(unshare the last)")
	s.wantGrants(t, p.ID())
	s.wantGrants(t, other.ID(), other.Grants()...)
}

// Who reads a product again because it was shared would find nothing new: its
// version is that of what it is.
func grantsAlone(t tester, s ProductStores) {
	owner, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	p := s.add(t, 1, owner.ID())
	shared := alterProduct(p, func(s *product.State) {
		s.Grants = []product.Grant{{UserID: bob.ID(), Role: product.Viewer, CreatedAt: noon.Add(time.Minute)}}
	})
	got, err := s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error {
		*p = alterProduct(*p, func(s *product.State) { s.Name, s.Stock, s.UpdatedAt = "another", 7, farAway })
		return sharing(t, bob.ID(), product.Viewer)(p)
	})
	wantProduct(t, got, err, shared, "Update(version as it was, shared)")
	s.wantStored(t, shared)
}

func grantsStay(t tester, s ProductStores) {
	owner, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	p := s.share(t, s.add(t, 1, owner.ID()), bob.ID(), product.Editor)
	got, err := s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error { sell(t, p); return nil })
	must(t, err, "Update")
	want(t, got.Grants(), p.Grants(), "the grants after a change")
	s.wantStored(t, got)
	got, err = s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error {
		sell(t, p)
		return sharing(t, bob.ID(), product.Viewer)(p)
	})
	must(t, err, "Update(both)")
	want(t, []any{got.Stock(), got.Grants()[0].Role}, []any{int64(2), product.Viewer}, "both, changed at once")
	s.wantStored(t, got)
}

func grantsAdded(t tester, s ProductStores) {
	owner, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	grant := func(to user.ID) func(*product.State) {
		return func(s *product.State) {
			s.Grants = []product.Grant{{UserID: to, Role: product.Editor, CreatedAt: longAgo}}
		}
	}
	s.wantStored(t, s.add(t, 1, owner.ID(), grant(bob.ID())))
	wantError(t, s.Products.Add(t.Context(), newProduct(2, owner.ID(), grant(userID(9)))), fault.NotFound, "Add(shared with nobody)")
	wantError(t, second(s.Products.Find(t.Context(), productID(2))), fault.NotFound, "Find of what was not added")
}

func grantsOfNobody(t tester, s ProductStores) {
	owner, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	p := s.share(t, s.add(t, 1, owner.ID()), bob.ID(), product.Viewer)
	_, err := s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error {
		sell(t, p)
		_, _ = p.Unshare(bob.ID())
		return sharing(t, userID(9), product.Viewer)(p)
	})
	wantError(t, err, product.ErrNobody, "Update(share with nobody)")
	s.wantStored(t, p)
}

func grantsFailed(t tester, s ProductStores) {
	owner, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	p := s.add(t, 1, owner.ID())
	_, err := s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error {
		_ = sharing(t, bob.ID(), product.Editor)(p)
		return errRefused
	})
	wantVery(t, err, errRefused, "Update(share, refused)")
	s.wantGrants(t, p.ID())
}

func grantsAtOnce(t tester, s ProductStores) {
	const n = 20
	owner := addUser(t, s.Users, 0)
	p := s.add(t, 1, owner.ID())
	for i := range n {
		addUser(t, s.Users, i+1)
	}
	atOnce(n, func(i int) {
		_, err := s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error {
			linger()
			return sharing(t, userID(i+1), product.Viewer)(p)
		})
		if err != nil {
			t.Errorf("Update(share, %d at once) = %v, want no error", n, err)
		}
	})
	got, err := s.Products.Find(t.Context(), p.ID())
	must(t, err, "Find")
	want(t, len(got.Grants()), n, "how many grants there are after %d at once", n)
}

// An editor whose grant is taken away must not come in after that, however slow
// they were: reading the grant and writing are one step. So either the editor was
// first, and who takes the grant away finds what they wrote, or was refused.
func grantsRevokeRace(t tester, s ProductStores) {
	owner, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	for n := range 100 {
		p := s.add(t, n, owner.ID(), func(p *product.State) {
			p.Grants = []product.Grant{{UserID: bob.ID(), Role: product.Editor, CreatedAt: noon}}
		})
		permitted := func(p product.Product) error {
			linger()
			if g, ok := p.GrantOf(bob.ID()); !ok || g.Role != product.Editor {
				return errRefused
			}
			return nil
		}
		var acted, taken error
		var found product.Product
		deletes := n%4 == 3
		race(n, func() {
			if deletes {
				acted = s.Products.Delete(t.Context(), p.ID(), permitted)
				return
			}
			_, acted = s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error {
				err := permitted(*p)
				sell(t, p)
				return err
			})
		}, func() {
			_, taken = s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error {
				linger()
				found = *p
				if n%2 == 0 {
					return sharing(t, bob.ID(), product.Viewer)(p)
				}
				return unsharing(bob.ID())(p)
			})
		})
		first := acted == nil && taken == nil && found.Version() == 2 && !deletes
		gone := acted == nil && errors.Is(taken, fault.NotFound) && deletes
		refused := acted == errRefused && taken == nil && found.Version() == 1
		if !first && !gone && !refused {
			t.Errorf("an editor's act = %v, taking the grant away = %v, which found version %d: want one of them to come first", acted, taken, found.Version())
		}
	}
}

func grantsGoWithTheProduct(t tester, s ProductStores) {
	owner, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	s.share(t, s.add(t, 1, owner.ID()), bob.ID(), product.Editor)
	other := s.share(t, s.add(t, 2, owner.ID()), bob.ID(), product.Viewer)
	must(t, s.Products.Delete(t.Context(), productID(1), agree), "Delete")
	s.add(t, 1, owner.ID())
	s.wantGrants(t, productID(1))
	s.wantGrants(t, productID(2), other.Grants()...)
}

func grantsGoWithTheUser(t tester, s ProductStores) {
	owner, bob, eve := addUser(t, s.Users, 1), addUser(t, s.Users, 2), addUser(t, s.Users, 3)
	p := s.share(t, s.share(t, s.add(t, 1, owner.ID()), bob.ID(), product.Editor), eve.ID(), product.Viewer)
	hers, _ := p.GrantOf(eve.ID())
	must(t, s.Users.Delete(t.Context(), bob.ID(), goInPeace), "Delete")
	s.wantGrants(t, p.ID(), hers)
	must(t, s.Users.Add(t.Context(), bob), "Add(the same id again)")
	s.wantGrants(t, p.ID(), hers)
	// The grants are as they are to whoever changes them next.
	s.share(t, p, bob.ID(), product.Viewer)
	must(t, s.Users.Delete(t.Context(), owner.ID(), goInPeace), "Delete")
	must(t, s.Users.Add(t.Context(), owner), "Add(the same id again)")
	s.add(t, 1, owner.ID())
	s.wantGrants(t, p.ID())
}

func grantsOfWhoIsGoing(t tester, s ProductStores) {
	owner := addUser(t, s.Users, 0)
	for n := range 50 {
		u := addUser(t, s.Users, n+1)
		p := s.add(t, n, owner.ID())
		var shared error
		race(n, func() {
			err := s.Users.Delete(t.Context(), u.ID(), func(user.User) error { linger(); return nil })
			if err != nil {
				t.Errorf("Delete beside sharing = %v, want no error", err)
			}
		}, func() {
			_, shared = s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error {
				linger()
				return sharing(t, u.ID(), product.Viewer)(p)
			})
		})
		if shared != nil {
			wantError(t, shared, product.ErrNobody, "Update(share) beside Delete of the user")
		}
		s.wantGrants(t, p.ID())
	}
}

// What belongs to who may not sign in is nobody's to take back.
func ownerActive(t tester, s ProductStores) {
	owner, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	p := s.share(t, s.add(t, 1, owner.ID()), bob.ID(), product.Viewer)
	_, err := s.Users.Update(t.Context(), bob.ID(), disable)
	must(t, err, "Update(disable)")
	transfer := func(to user.ID) (product.Product, error) {
		return s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error { p.Transfer(to, noon.Add(time.Hour)); return nil })
	}
	for _, to := range []user.ID{bob.ID(), userID(9), {}} {
		wantError(t, second(transfer(to)), product.ErrNobody, "Update(transfer to who is not there, or disabled)")
		s.wantStored(t, p)
	}
	_, err = s.Users.Update(t.Context(), bob.ID(), func(u *user.User) error { u.Enable(noon); return nil })
	must(t, err, "Update(enable)")
	got, err := transfer(bob.ID())
	must(t, err, "Update(transfer)")
	want(t, []any{got.OwnerID(), got.Version(), len(got.Grants())}, []any{bob.ID(), int64(2), 0}, "owner, version and grants after a transfer")
	s.wantStored(t, got)
	// An owner who is disabled keeps what they have.
	_, err = s.Users.Update(t.Context(), bob.ID(), disable)
	must(t, err, "Update(disable)")
	_, err = s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error { sell(t, p); return nil })
	must(t, err, "Update(of a disabled user's)")
}

// Shared with whom it is given to at the same moment: an owner would stand among
// those who were let in, whom the next owner inherits.
func ownerRace(t tester, s ProductStores) {
	owner, bob := addUser(t, s.Users, 1), addUser(t, s.Users, 2)
	for n := range 50 {
		p := s.add(t, n, owner.ID())
		var shared, transferred error
		race(n, func() {
			_, shared = s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error {
				linger()
				_, err := p.Share(bob.ID(), "viewer", noon)
				return err
			})
		}, func() {
			_, transferred = s.Products.Update(t.Context(), p.ID(), func(p *product.Product) error {
				linger()
				p.Transfer(bob.ID(), noon)
				return nil
			})
		})
		must(t, transferred, "Update(transfer)")
		if shared != nil {
			wantError(t, shared, fault.Invalid, "Update(share with the owner)")
		}
		got, err := s.Products.Find(t.Context(), p.ID())
		must(t, err, "Find")
		want(t, []any{got.OwnerID(), len(got.Grants())}, []any{bob.ID(), 0}, "the owner, and how many grants there are")
	}
}
