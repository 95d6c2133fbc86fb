package gormrepo_test

import (
	"testing"

	"gatehouse/ports"
	"gatehouse/ports/portstest"
)

func TestUsersContract(t *testing.T) {
	for name, open := range dialects {
		t.Run(name, func(t *testing.T) {
			portstest.Users(t, func(t *testing.T) ports.UserRepository { return open(t).Users() })
		})
	}
}

func TestProductsContract(t *testing.T) {
	for name, open := range dialects {
		t.Run(name, func(t *testing.T) {
			portstest.Products(t, func(t *testing.T) portstest.ProductStores {
				db := open(t)
				db.SearchNear() // the stores are so small that a search would see all of them at once
				return portstest.ProductStores{Users: db.Users(), Products: db.Products()}
			})
		})
	}
}

func TestPoliciesContract(t *testing.T) {
	for name, open := range dialects {
		t.Run(name, func(t *testing.T) {
			portstest.Policies(t, func(t *testing.T) ports.PolicyRepository { return open(t).Policies() })
		})
	}
}

func TestPolicyHistoryContract(t *testing.T) {
	for name, open := range dialects {
		t.Run(name, func(t *testing.T) {
			portstest.PolicyHistory(t, func(t *testing.T) portstest.PolicyStores {
				db := open(t)
				return portstest.PolicyStores{Policies: db.Policies(), History: db.Policies(), Log: db.Ledger()}
			})
		})
	}
}

func TestRoleDirectoryContract(t *testing.T) {
	for name, open := range dialects {
		t.Run(name, func(t *testing.T) {
			portstest.RoleDirectory(t, func(t *testing.T) portstest.RoleStores {
				db := open(t)
				return portstest.RoleStores{Users: db.Users(), Directory: db.Users()}
			})
		})
	}
}

func TestCensusContract(t *testing.T) {
	for name, open := range dialects {
		t.Run(name, func(t *testing.T) {
			portstest.Census(t, func(t *testing.T) portstest.CensusStores {
				db := open(t)
				return portstest.CensusStores{Users: db.Users(), Products: db.Products(), Census: db.Products()}
			})
		})
	}
}

// records runs a suite of what is kept of users and beside their changes over
// both databases.
func records(t *testing.T, suite func(*testing.T, func(*testing.T) portstest.RecordStores)) {
	for name, open := range dialects {
		t.Run(name, func(t *testing.T) {
			suite(t, func(t *testing.T) portstest.RecordStores {
				db := open(t)
				return portstest.RecordStores{
					Users: db.Users(), Factors: db.Factors(), Products: db.Products(), Ledger: db.Ledger(), Log: db.Ledger(), Tickets: db.Tickets(), Answers: db.Answers(), Outbox: db.Outbox(), Events: db.Events(),
				}
			})
		})
	}
}

func TestAlongContract(t *testing.T)       { records(t, portstest.Along) }
func TestFactorsContract(t *testing.T)     { records(t, portstest.Factors) }
func TestLedgerContract(t *testing.T)      { records(t, portstest.Ledger) }
func TestTicketsContract(t *testing.T)     { records(t, portstest.Tickets) }
func TestIdempotencyContract(t *testing.T) { records(t, portstest.Idempotency) }
func TestEventsContract(t *testing.T)      { records(t, portstest.Events) }
func TestOutboxContract(t *testing.T)      { records(t, portstest.Outbox) }

func TestLimiterContract(t *testing.T) {
	for name, open := range dialects {
		t.Run(name, func(t *testing.T) {
			portstest.Limiter(t, func(t *testing.T) ports.Limiter { return open(t).Limiter() })
		})
	}
}

func TestKeyKeeperContract(t *testing.T) {
	for name, open := range dialects {
		t.Run(name, func(t *testing.T) {
			portstest.KeyKeeper(t, func(t *testing.T) ports.KeyKeeper { return open(t).Keys() })
		})
	}
}

// Sessions are kept here in SQLite only.
func openSessions(t *testing.T) portstest.SessionStores {
	db := openLite(t)
	return portstest.SessionStores{
		Users: db.Users(), Sessions: db.Sessions(), Directory: db.Sessions(), Policies: db.Policies(),
	}
}

func TestSessionsContract(t *testing.T)         { portstest.Sessions(t, openSessions) }
func TestSessionDirectoryContract(t *testing.T) { portstest.SessionDirectory(t, openSessions) }
