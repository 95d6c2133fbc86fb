package gate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"gatehouse/adapters/memory"
	"gatehouse/adapters/system"
	"gatehouse/application/gate"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
	"gatehouse/tests/house"
)

// entrance is a gate under a policy.
func entrance(t *testing.T, rows ...access.Row) (*gate.Gate, *memory.DB) {
	t.Helper()
	db, vocabulary := memory.New(), access.Vocabulary{}
	vocabulary, err := access.NewVocabulary()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Policies().Seed(t.Context(), access.Revision{Table: access.Table{Rows: rows}}); err != nil {
		t.Fatal(err)
	}
	return &gate.Gate{Authorizer: memory.NewAuthorizer(db.Policies(), vocabulary), Ledger: db.Ledger(), Random: system.NewRandom(), Now: system.Now}, db
}

func mayUpdateOwn() access.Row {
	return access.Row{Role: "user", Resource: "product", Action: "update", Condition: "own", Effect: "allow"}
}

func somebody(n byte) access.Actor {
	return access.SignedIn(user.Restore(user.State{ID: userID(n), Roles: []user.Role{user.RoleUser}}), 1)
}

func userID(n byte) (id user.ID) { id.UUID[15] = n; return id }

func productOf(n byte) access.Resource {
	return access.Product(product.Restore(product.State{ID: product.ID{UUID: userID(99).UUID}, OwnerID: userID(n), Status: product.StatusDraft}))
}

func written(t *testing.T, db *memory.DB, n byte) []audit.Row {
	t.Helper()
	rows, err := db.Ledger().RowsOf(t.Context(), userID(n), 10)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestPermit(t *testing.T) {
	g, db := entrance(t, mayUpdateOwn())
	if err := g.Permit(t.Context(), somebody(1), access.Update, productOf(1)); err != nil {
		t.Errorf("Permit(own) = %v", err)
	}
	err := g.Permit(t.Context(), access.Anonymous(), access.Update, productOf(1))
	if d, ok := errors.AsType[*access.Denial](err); !errors.Is(err, access.ErrUnauthenticated) || !ok || !d.ID.IsZero() {
		t.Errorf("Permit(nobody) = %v, want to sign in, as a denial that is not written down", err)
	}
	if rows := written(t, db, 1); len(rows) != 0 {
		t.Errorf("what is no refusal is written down: %v", rows)
	}
	err = g.Permit(house.From(t.Context(), "192.0.2.1"), somebody(1), access.Update, productOf(2))
	d, ok := errors.AsType[*access.Denial](err)
	rows := written(t, db, 1)
	if !errors.Is(err, access.ErrForbidden) || !ok || len(rows) != 1 {
		t.Fatalf("Permit(foreign) = %v, written down %v, want a denial, written down once", err, rows)
	}
	got := fmt.Sprint(rows[0].Event, rows[0].Outcome, rows[0].Subject, rows[0].Origin.RequestID, rows[0].Detail)
	want := fmt.Sprint(audit.Denied, audit.Refused, audit.Subject{Type: "product", ID: userID(99).String()}, "r-1", map[string]string{
		"action": "update", "decision": d.ID.String(), "reason": "no row allows it; nearest: user, product, update, own, allow (not own)",
	})
	if got != want || rows[0].ID != d.ID || rows[0].Actor != userID(1) {
		t.Errorf("written down %s under %s, want %s under %s", got, rows[0].ID, want, d.ID)
	}
	if err := g.Permit(t.Context(), somebody(1), access.Read, access.Any(access.KindAudit)); !errors.Is(err, access.ErrForbidden) {
		t.Errorf("Permit(the audit log) = %v, want forbidden", err)
	}
	if rows := written(t, db, 1); len(rows) != 2 || rows[0].Subject != (audit.Subject{Type: "audit"}) || rows[0].Detail["reason"] != "no row allows it to these roles" {
		t.Errorf("written down of a kind: %v", rows)
	}
}

type faulty struct {
	ports.Authorizer
	ports.Ledger
}

func (faulty) Rights(context.Context, access.Actor) (access.Rights, error) {
	return nil, fault.Outage(errors.New("down"))
}

func (faulty) Record(context.Context, ports.Along) error { return fault.Outage(errors.New("down")) }

// An outage is no answer: not a refusal, and not an act that nobody knows of.
func TestOutages(t *testing.T) {
	g, _ := entrance(t, mayUpdateOwn())
	g.Ledger = faulty{}
	if err := g.Permit(t.Context(), somebody(1), access.Update, productOf(2)); !errors.Is(err, fault.Unavailable) || errors.Is(err, fault.Forbidden) {
		t.Errorf("Permit, the ledger is down = %v, want Unavailable", err)
	}
	g.Authorizer = faulty{}
	if err := g.Permit(t.Context(), somebody(1), access.Update, productOf(1)); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Permit, the authorizer is down = %v, want Unavailable", err)
	}
}

func TestRecordLeavesOthersAlone(t *testing.T) {
	g, db := entrance(t, mayUpdateOwn())
	for _, err := range []error{nil, product.ErrUnknown, fault.Outage(nil), access.ErrForbidden, access.ErrUnauthenticated} {
		if got := g.Record(t.Context(), somebody(1), err); got != err { //nolint:errorlint // the very same
			t.Errorf("Record(%v) = %v", err, got)
		}
	}
	if rows := written(t, db, 1); len(rows) != 0 {
		t.Errorf("written down: %v", rows)
	}
}

// A store may run its step more than once; what is written down is one refusal,
// under the id that is answered.
func TestRecordIsOnce(t *testing.T) {
	g, db := entrance(t, mayUpdateOwn())
	rights, err := g.Rights(t.Context(), somebody(1))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		err = gate.Judge(rights, somebody(1), access.Update, productOf(2))
	}
	err = g.Record(t.Context(), somebody(1), fmt.Errorf("storing: %w", err))
	d, _ := errors.AsType[*access.Denial](err)
	if rows := written(t, db, 1); len(rows) != 1 || d == nil || rows[0].ID != d.ID {
		t.Errorf("written down %v, answered %v", rows, d)
	}
}
