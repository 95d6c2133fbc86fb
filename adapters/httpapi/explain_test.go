package httpapi_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"gatehouse/adapters/casbinauthz"
	"gatehouse/adapters/httpapi/httptests"
	"gatehouse/configs"
	"gatehouse/domain/access"
	"gatehouse/domain/uuid"
)

// TestExplainTellsTheTruth: under random policies, what is explained of a user
// and a product is what the user's own request is answered.
func TestExplainTellsTheTruth(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 4)) //nolint:gosec // the same again for the same seed
			app := httptests.NewApp(t, casbinUnder(t, randomPolicy(random)), httptests.Options{})
			httptests.ExplainTellsTheTruth(t, app, random)
		})
	}
}

// randomPolicy is one of some rows, and one by which who has the role auditor
// may ask why.
func randomPolicy(random *rand.Rand) access.Table {
	roles, seen := []string{"anonymous", "user", "moderator", "seller"}, map[string]bool{}
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	p := access.Table{Rows: []access.Row{{Role: "auditor", Resource: "policy", Action: "read", Condition: "any", Effect: "allow"}}}
	for range 3 + random.IntN(12) {
		r := access.Row{Role: pick(roles...), Resource: "product", Action: pick("create", "read", "read", "update", "delete"),
			Condition: pick("any", "own", "published"), Effect: pick("allow", "allow", "allow", "deny")}
		if !seen[r.String()] {
			seen[r.String()] = true
			p.Rows = append(p.Rows, r)
		}
	}
	for i := range p.Rows {
		p.Rows[i].ID = access.PolicyID{UUID: uuid.New(time.Unix(0, 0), [8]byte{byte(i + 1)})}
	}
	for i := range roles[1:] {
		if random.IntN(2) == 0 {
			p.Inherits = append(p.Inherits, access.Inheritance{Role: roles[i+1], Parent: roles[random.IntN(i+1)]})
		}
	}
	return p
}

// casbinUnder gives stores in memory, where Casbin decides, as it does in the
// program.
func casbinUnder(t *testing.T, p access.Table) httptests.Stores {
	t.Helper()
	st := storesUnder(t, p)
	v, err := access.NewVocabulary()
	if err != nil {
		t.Fatal(err)
	}
	if st.Authorizer, err = casbinauthz.New(st.Policies, st.History, v, configs.Model(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return st
}
