package gormrepo_test

import (
	"math/rand/v2"
	"testing"

	"gatehouse/tests/detector"
	"gatehouse/tests/truth"
)

// TestListsTellTheTruth plays random cases of policies, roles, grants and
// products over both databases.
func TestListsTellTheTruth(t *testing.T) {
	detector.Skip(t)
	for name, open := range dialects {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			for range 12 {
				if err := truth.Lists(t.Context(), rand.Uint64(), truth.Stores{Users: db.Users(), Products: db.Products()}, nil); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestPreviewsTellTheTruth plays random changes of random policies, each first
// tried out and then made, over both databases.
func TestPreviewsTellTheTruth(t *testing.T) {
	detector.Skip(t)
	for name, open := range dialects {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			s := truth.PolicyStores{
				Stores:   truth.Stores{Users: db.Users(), Products: db.Products()},
				Policies: db.Policies(), History: db.Policies(), Roles: db.Users(), Census: db.Products(),
			}
			effects, refused := 0, 0
			for range 6 {
				e, r, err := truth.Previews(t.Context(), rand.Uint64(), s, nil)
				if err != nil {
					t.Fatal(err)
				}
				effects, refused = effects+e, refused+r
			}
			t.Logf("48 changes: %d effects, %d refused", effects, refused)
		})
	}
}
