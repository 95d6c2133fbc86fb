package fault_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"gatehouse/domain/fault"
)

func TestErrorIsItsKindAndItsCode(t *testing.T) {
	taken := fault.New(fault.Conflict, "email_taken", "There is such an account.")
	err := fmt.Errorf("registering: %w", taken.Because(io.ErrUnexpectedEOF))
	for _, target := range []error{fault.Conflict, taken, io.ErrUnexpectedEOF} {
		if !errors.Is(err, target) {
			t.Errorf("errors.Is(%v, %v) = false, want true", err, target)
		}
	}
	for _, target := range []error{fault.NotFound, fault.New(fault.Conflict, "other", ""), io.EOF} {
		if errors.Is(err, target) {
			t.Errorf("errors.Is(%v, %v) = true, want false", err, target)
		}
	}
	if taken.Unwrap() != nil {
		t.Error("Because changed the fault that it was called on; those are shared values")
	}
}

func TestValidationTellsAllFaults(t *testing.T) {
	var v fault.Validation
	if err := v.Err(); err != nil {
		t.Fatalf("Err of nothing = %v, want nil", err)
	}
	var inner fault.Validation
	inner.Add("/amount", "out_of_range", "")
	v.Add("/name", "too_long", "")
	if !v.Include("/price", inner.Err()) || !v.Include("", nil) {
		t.Error("Include refused a list of fields, or nothing")
	}
	if v.Include("", fault.Outage(io.EOF)) {
		t.Error("Include took an outage for a list of fields: it would be answered 422")
	}
	checkPointers(t, v.Err(), "/name", "/price/amount")
}

func TestMerge(t *testing.T) {
	fields := func(pointers ...string) error {
		var v fault.Validation
		for _, p := range pointers {
			v.Add(p, "bad", "")
		}
		return v.Err()
	}
	checkPointers(t, fault.Merge(fields("/price"), fields("/price/amount", "/prices", "/name")), "/price", "/prices", "/name")
	checkPointers(t, fault.Merge(nil, fields("/a")), "/a")
	checkPointers(t, fault.Merge(fields("/a"), nil), "/a")
	if err := fault.Merge(nil, nil); err != nil {
		t.Errorf("Merge(nil, nil) = %v, want nil", err)
	}
	down := fault.Outage(io.EOF)
	if err := fault.Merge(down, fields("/a")); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Merge(outage, fields) = %v, want the outage", err)
	}
	if err := fault.Merge(fields("/a"), down); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Merge(fields, outage) = %v, want the outage", err)
	}
}

func checkPointers(t *testing.T, err error, want ...string) {
	t.Helper()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind != fault.Invalid {
		t.Fatalf("got %v, want Invalid", err)
	}
	var got []string
	for _, f := range e.Fields {
		got = append(got, f.Pointer)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("pointers = %v, want %v", got, want)
	}
}
