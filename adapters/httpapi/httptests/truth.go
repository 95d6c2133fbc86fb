package httptests

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// testListsTellTheTruth offers random products and holds every list, by anybody
// and in any order, page by page, to what reading one by one shows: no product
// more, none less, none twice. A list that filters after paging has gaps; one
// that filters by another rule than the check leaks.
func testListsTellTheTruth(t *testing.T, open Open) {
	app := start(t, open, Options{})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	askers := map[string]*Client{"nobody": app.Anonymous()}
	for _, role := range []string{"user", "moderator", "admin"} {
		for i := range 2 {
			email := fmt.Sprintf("%s%d@example.com", role, i)
			askers[email] = app.SignIn(email)
			app.SetRoles(email, role)
		}
	}
	names := slices.Sorted(maps.Keys(askers))
	var all []string
	for i := range 30 {
		owner := askers[names[random.IntN(len(names))]]
		if owner.Email == "" {
			continue
		}
		status := []string{"draft", "published", "archived"}[random.IntN(3)]
		all = append(all, owner.Offer("name", fmt.Sprintf("n%d", i%4), "status", status, "price", obj{"amount": i % 3, "currency": "KRW"}))
	}
	for _, name := range names {
		asker := askers[name]
		var readable []string
		for _, id := range all {
			if asker.Do("GET", "/products/"+id, nil).Status == 200 {
				readable = append(readable, id)
			}
		}
		slices.Sort(readable)
		for _, sort := range []string{"-createdAt", "createdAt", "name", "-name", "price", "-price"} {
			listed := asker.walk(t, fmt.Sprintf("sort=%s&limit=%d&count=true", sort, 1+random.IntN(9)), nil)
			slices.Sort(listed)
			if !slices.Equal(listed, readable) {
				t.Errorf("%s, by %s: the list shows %v, reading one by one %v", name, sort, listed, readable)
			}
		}
	}
}
