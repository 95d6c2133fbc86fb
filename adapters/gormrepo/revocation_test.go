package gormrepo_test

import (
	"log/slog"
	"testing"

	"gatehouse/adapters/casbinauthz"
	"gatehouse/configs"
	"gatehouse/domain/access"
	"gatehouse/ports"
	"gatehouse/ports/portstest"
)

// TestNoStaleAllow is scenario 14 as it is in production: the policy is read out
// of a database and changed there while Casbin decides by it. A thousand rounds
// take minutes here; package casbinauthz has them over memory.
func TestNoStaleAllow(t *testing.T) {
	for name, open := range dialects {
		t.Run(name, func(t *testing.T) {
			policies := open(t).Policies()
			portstest.Revocation(t, 100, portstest.PolicyStores{Policies: policies, History: policies}, func(p ports.PolicyRepository, v access.Vocabulary) ports.Authorizer {
				a, err := casbinauthz.New(p, nil, v, configs.Model(), slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				return a
			})
		})
	}
}
