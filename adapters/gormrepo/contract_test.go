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

// Sessions are kept here in SQLite only.
func openSessions(t *testing.T) portstest.SessionStores {
	db := openLite(t)
	return portstest.SessionStores{
		Users: db.Users(), Sessions: db.Sessions(), Directory: db.Sessions(), Policies: db.Policies(),
	}
}

func TestSessionsContract(t *testing.T)         { portstest.Sessions(t, openSessions) }
func TestSessionDirectoryContract(t *testing.T) { portstest.SessionDirectory(t, openSessions) }
