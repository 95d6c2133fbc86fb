package memory_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"gatehouse/adapters/memory"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
	"gatehouse/ports/portstest"
)

func TestUsers(t *testing.T) {
	portstest.Users(t, func(*testing.T) ports.UserRepository { return memory.New().Users() })
}

func sessionStores(*testing.T) portstest.SessionStores {
	db := memory.New()
	return portstest.SessionStores{Users: db.Users(), Sessions: db.Sessions(), Directory: db.Sessions(), Policies: db.Policies()}
}

func TestSessions(t *testing.T)         { portstest.Sessions(t, sessionStores) }
func TestSessionDirectory(t *testing.T) { portstest.SessionDirectory(t, sessionStores) }

func recordStores(*testing.T) portstest.RecordStores {
	db := memory.New()
	return portstest.RecordStores{
		Users: db.Users(), Factors: db.Factors(), Products: db.Products(), Ledger: db.Ledger(), Log: db.Ledger(), Tickets: db.Tickets(), Answers: db.Answers(), Outbox: db.Outbox(), Events: db.Events(),
	}
}

func TestAlong(t *testing.T)       { portstest.Along(t, recordStores) }
func TestFactors(t *testing.T)     { portstest.Factors(t, recordStores) }
func TestLedger(t *testing.T)      { portstest.Ledger(t, recordStores) }
func TestTickets(t *testing.T)     { portstest.Tickets(t, recordStores) }
func TestIdempotency(t *testing.T) { portstest.Idempotency(t, recordStores) }
func TestEvents(t *testing.T)      { portstest.Events(t, recordStores) }
func TestOutbox(t *testing.T)      { portstest.Outbox(t, recordStores) }

func TestLimiter(t *testing.T) {
	portstest.Limiter(t, func(*testing.T) ports.Limiter { return memory.New().Limiter() })
}

func TestBoundedLimiter(t *testing.T) {
	portstest.Limiter(t, func(*testing.T) ports.Limiter { return memory.NewLimiter(100) })
}

func TestKeyKeeper(t *testing.T) {
	portstest.KeyKeeper(t, func(*testing.T) ports.KeyKeeper { return memory.New().Keys() })
}

func TestProducts(t *testing.T) {
	portstest.Products(t, func(*testing.T) portstest.ProductStores {
		db := memory.New()
		return portstest.ProductStores{Users: db.Users(), Products: db.Products()}
	})
}

func TestPolicies(t *testing.T) {
	portstest.Policies(t, func(*testing.T) ports.PolicyRepository { return memory.New().Policies() })
}

func TestCensus(t *testing.T) {
	portstest.Census(t, func(*testing.T) portstest.CensusStores {
		db := memory.New()
		return portstest.CensusStores{Users: db.Users(), Products: db.Products(), Census: db.Products()}
	})
}

func TestPolicyHistory(t *testing.T) {
	portstest.PolicyHistory(t, func(*testing.T) portstest.PolicyStores {
		db := memory.New()
		return portstest.PolicyStores{Policies: db.Policies(), History: db.Policies(), Log: db.Ledger()}
	})
}

func TestAuthorizer(t *testing.T) {
	portstest.Authorizer(t, func(_ *testing.T, p ports.PolicyRepository, v access.Vocabulary) ports.Authorizer {
		return memory.NewAuthorizer(p, v)
	})
}

func TestRehearsal(t *testing.T) {
	portstest.Rehearsal(t, func(_ *testing.T, p ports.PolicyRepository, v access.Vocabulary) *memory.Authorizer {
		return memory.NewAuthorizer(p, v)
	})
}

func TestRoleDirectory(t *testing.T) {
	portstest.RoleDirectory(t, func(*testing.T) portstest.RoleStores {
		db := memory.New()
		return portstest.RoleStores{Users: db.Users(), Directory: db.Users()}
	})
}

func TestPasswordHasher(t *testing.T) {
	portstest.PasswordHasher(t, func(*testing.T) ports.PasswordHasher { return memory.Hasher{} })
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func addUser(t *testing.T, db *memory.DB) user.User {
	t.Helper()
	email, err := user.NewEmail("ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	u := user.New(user.ID{UUID: uuid.UUID{1}}, email, user.Name{}, user.PasswordHash{}, noon)
	if err := db.Users().Add(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	return u
}

// The ports forbid a change to call the store. A rule of somebody's that does
// so all the same must not stand still here and be blamed on the service.
func TestForeignCodeRunsWithoutTheLock(t *testing.T) {
	db := memory.New()
	u := addUser(t, db)
	p := product.Restore(product.State{ID: product.ID{UUID: uuid.UUID{2}}, OwnerID: u.ID(), Name: "lamp", Version: 1, CreatedAt: noon, UpdatedAt: noon})
	if err := db.Products().Add(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	_, err := db.Users().Update(t.Context(), u.ID(), func(*user.User) error { return db.Check(t.Context()) })
	if err != nil {
		t.Errorf("Users.Update = %v, want no error", err)
	}
	_, err = db.Products().Update(t.Context(), p.ID(), func(*product.Product) error {
		_, err := db.Users().Find(t.Context(), u.ID())
		return err
	})
	if err != nil {
		t.Errorf("Products.Update = %v, want no error", err)
	}
	err = db.Products().Delete(t.Context(), p.ID(), func(p product.Product) error {
		_, err := db.Products().Find(t.Context(), p.ID())
		return err
	})
	if err != nil {
		t.Errorf("Products.Delete = %v, want no error", err)
	}
}

// A product that was deleted and made anew under its id is another one: who
// read the first must not delete the second by its check.
func TestAnIDMadeAnewIsAnother(t *testing.T) {
	db := memory.New()
	u := addUser(t, db)
	make := func(name string) product.Product {
		return product.Restore(product.State{ID: product.ID{UUID: uuid.UUID{2}}, OwnerID: u.ID(), Name: name, Version: 1, CreatedAt: noon, UpdatedAt: noon})
	}
	if err := db.Products().Add(t.Context(), make("old")); err != nil {
		t.Fatal(err)
	}
	var seen []string
	err := db.Products().Delete(t.Context(), make("").ID(), func(p product.Product) error {
		seen = append(seen, p.Name())
		if len(seen) > 1 {
			return fault.Conflict
		}
		if err := db.Products().Delete(t.Context(), p.ID(), func(product.Product) error { return nil }); err != nil {
			return err
		}
		return db.Products().Add(t.Context(), make("new"))
	})
	if got := strings.Join(seen, ", "); got != "old, new" || !errors.Is(err, fault.Conflict) {
		t.Errorf("Delete checked %s and returned %v, want it to check old, then new", got, err)
	}
}

// failing is a policy repository that can be told to fail.
type failing struct {
	ports.PolicyRepository
	table access.Table
	err   error
}

func (f *failing) Version(context.Context) (int64, error)     { return f.table.Version, f.err }
func (f *failing) Load(context.Context) (access.Table, error) { return f.table, f.err }

func TestHealth(t *testing.T) {
	v, err := access.NewVocabulary()
	if err != nil {
		t.Fatal(err)
	}
	row := access.Row{Role: "user", Resource: "product", Action: "read", Condition: "any", Effect: "allow"}
	policies := &failing{}
	a := memory.NewAuthorizer(policies, v)
	const lastGood = "policy version 2 cannot be used, version 1 decides"
	for _, c := range []struct {
		what  string
		table access.Table
		err   error
		want  string
	}{
		{"no policy", access.Table{}, nil, "unavailable"},
		{"good", access.Table{Version: 1, Rows: []access.Row{row}}, nil, ""},
		{"emptied", access.Table{Version: 2}, nil, lastGood},
		{"still empty", access.Table{Version: 2}, nil, lastGood},
		{"out of reach", access.Table{Version: 2}, fault.Outage(errors.New("down")), "unavailable"},
		{"mended", access.Table{Version: 3, Rows: []access.Row{row}}, nil, ""},
	} {
		policies.table, policies.err = c.table, c.err
		if err := a.Check(t.Context()); (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("Check(%s) = %v, want %q", c.what, err, c.want)
		}
		if d, ok := errors.AsType[*ports.Degraded](a.Check(t.Context())); ok != (c.want == lastGood) || ok && d.Says != lastGood {
			t.Errorf("Check(%s) is degraded: %t, want %t", c.what, ok, c.want == lastGood)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := memory.New().Check(ctx); err != nil {
		t.Errorf("DB.Check = %v, want nil", err)
	}
	cancel()
	if err := memory.New().Check(ctx); !errors.Is(err, fault.Unavailable) {
		t.Errorf("DB.Check with a cancelled context = %v, want Unavailable", err)
	}
}

// A negative limit is a defect of the caller's, and no call to end everything.
func TestPruneOfLessThanNothing(t *testing.T) {
	if n, err := memory.New().Sessions().Prune(t.Context(), noon, -1); n != 0 || err != nil {
		t.Errorf("Prune(-1) = %d, %v, want 0", n, err)
	}
}
