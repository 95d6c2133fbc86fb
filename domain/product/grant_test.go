package product_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

func person(n byte) user.ID { return user.ID{UUID: uuid.UUID{n, 0xff}} }

func offered(t *testing.T) product.Product {
	t.Helper()
	p, err := product.New(product.ID{}, owner, lamp, noon)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func told(grants []product.Grant) string {
	var all []string
	for _, g := range grants {
		all = append(all, fmt.Sprintf("%d %s %s", g.UserID.UUID[0], g.Role, g.CreatedAt.Sub(noon)))
	}
	return strings.Join(all, ", ")
}

func TestShare(t *testing.T) {
	p := offered(t)
	share := func(n byte, role string, after time.Duration) {
		t.Helper()
		if g, err := p.Share(person(n), role, noon.Add(after)); err != nil || g.UserID != person(n) || g.Role.String() != role {
			t.Fatalf("Share(%d, %s) = %+v, %v", n, role, g, err)
		}
	}
	before := p
	share(2, "viewer", 2*time.Second+time.Nanosecond)
	share(3, "editor", time.Second)
	share(1, "viewer", 2*time.Second)
	if got, want := told(p.Grants()), "3 editor 1s, 1 viewer 2s, 2 viewer 2s"; got != want {
		t.Errorf("Grants = %s, want %s", got, want)
	}
	earlier := p
	share(2, "editor", time.Hour)
	if got, want := told(p.Grants()), "3 editor 1s, 1 viewer 2s, 2 editor 2s"; got != want {
		t.Errorf("Grants after a new role = %s, want %s", got, want)
	}
	if p.SameGrants(earlier) || told(earlier.Grants()) != "3 editor 1s, 1 viewer 2s, 2 viewer 2s" {
		t.Errorf("a change of one value changed another: %s", told(earlier.Grants()))
	}
	if p.Version() != before.Version() || p.UpdatedAt() != before.UpdatedAt() || len(before.Grants()) != 0 {
		t.Error("sharing changed the product")
	}
	p.Grants()[0].Role = product.Viewer
	if g, ok := p.GrantOf(person(3)); !ok || g.Role != product.Editor {
		t.Errorf("GrantOf(3) = %+v, %v, want an editor, whatever was done to what Grants gave", g, ok)
	}
	if g, err := p.Unshare(person(1)); err != nil || g.Role != product.Viewer {
		t.Errorf("Unshare = %+v, %v", g, err)
	}
	if _, err := p.Unshare(person(1)); !errors.Is(err, product.ErrNoGrant) {
		t.Errorf("Unshare again = %v, want ErrNoGrant", err)
	}
	if got, want := told(p.Grants()), "3 editor 1s, 2 editor 2s"; got != want {
		t.Errorf("Grants = %s, want %s", got, want)
	}
	again := product.Restore(p.State())
	if !reflect.DeepEqual(again, p) || !again.SameGrants(p) {
		t.Errorf("Restore(State) = %+v, want %+v", again, p)
	}
}

func TestShareRefuses(t *testing.T) {
	p := offered(t)
	for n := range byte(product.MaxGrants) {
		if _, err := p.Share(person(n+1), "viewer", noon); err != nil {
			t.Fatal(err)
		}
	}
	before := p
	for _, c := range []struct {
		with user.ID
		role string
		want string
	}{
		{owner, "viewer", "/userId owner"},
		{owner, "Owner", "/role invalid_value, /userId owner"},
		{person(1), "", "/role invalid_value"},
		{person(200), "viewer", "/userId too_many_grants"},
	} {
		if _, err := p.Share(c.with, c.role, noon); faults(err) != c.want {
			t.Errorf("Share(%s) fails with %s, want %s", c.role, faults(err), c.want)
		}
	}
	if _, err := p.Share(user.ID{}, "viewer", noon); !errors.Is(err, product.ErrNobody) {
		t.Errorf("Share with nobody = %v, want ErrNobody", err)
	}
	if !reflect.DeepEqual(p, before) {
		t.Error("a refused grant was kept")
	}
	if _, err := p.Share(person(1), "editor", noon); err != nil {
		t.Errorf("a new role where there is no more room = %v", err)
	}
	// A store that holds such a row by mistake gives nobody anything.
	nobody := product.Restore(product.State{Grants: []product.Grant{{Role: product.Editor}}})
	if g, ok := nobody.GrantOf(user.ID{}); ok {
		t.Errorf("nobody has the grant %+v", g)
	}
}

func TestTransfer(t *testing.T) {
	p := offered(t)
	for n := byte(1); n <= 2; n++ {
		if _, err := p.Share(person(n), "viewer", noon); err != nil {
			t.Fatal(err)
		}
	}
	before, later := p, noon.Add(time.Hour)
	p.Transfer(owner, later)
	if !reflect.DeepEqual(p, before) {
		t.Error("a transfer to whom it belongs changed something")
	}
	p.Transfer(person(1), later)
	if p.OwnerID() != person(1) || p.Version() != 2 || p.UpdatedAt() != later || told(p.Grants()) != "2 viewer 0s" {
		t.Errorf("Transfer = owner %v, version %d, grants %s", p.OwnerID(), p.Version(), told(p.Grants()))
	}
	if told(before.Grants()) != "1 viewer 0s, 2 viewer 0s" {
		t.Error("a transfer of one value changed another")
	}
}
