package gormrepo_test

import (
	"math/rand/v2"
	"testing"

	"gatehouse/tests/truth"
)

// TestListsTellTheTruth plays random cases of policies, roles, grants and
// products over both databases.
func TestListsTellTheTruth(t *testing.T) {
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
