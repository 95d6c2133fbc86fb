package house

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"gatehouse/domain/fault"
)

// Outage is something that a service does, held against an outage at any of its
// calls to a port.
type Outage struct {
	Act      func(h *House) func() error // arranges, and gives what is to be done
	Want     error                       // what it returns where nothing fails
	Harmless []string                    // calls of which a failure is nobody's business
	Options  Options
}

// harmless are calls that never stand in the way: the node's own counts hold
// meanwhile, or a count is left too high.
var harmless = []string{"Limiter.Take", "Limiter.Return", "Limiter.Forget"}

// Walk does each thing once for every call that it makes to a port, with that
// call failing, and holds it to the law: what cannot be told is
// fault.Unavailable, and never success, nor "wrong", nor "not there".
func Walk(t *testing.T, acts map[string]Outage) {
	for name, o := range acts {
		t.Run(name, func(t *testing.T) {
			for _, late := range []bool{false, true} {
				walk(t, o, late)
			}
		})
	}
}

func walk(t *testing.T, o Outage, late bool) {
	for n := 1; ; n++ {
		h := New(t, o.Options)
		act := o.Act(h)
		h.Faults.Fail(n, late)
		err := act()
		calls := h.Faults.Calls()
		if len(calls) < n {
			if !is(err, o.Want) {
				t.Errorf("with nothing failing: %v, want %v", err, o.Want)
			}
			if n < 2 {
				t.Error("no port was asked at all")
			}
			return
		}
		where := fmt.Sprintf("with call %d, %s, failing (late %t) after %v", n, calls[n-1], late, calls[:n-1])
		if slices.Contains(harmless, calls[n-1]) || slices.Contains(o.Harmless, calls[n-1]) {
			if !is(err, o.Want) {
				t.Errorf("%s: %v, want %v", where, err, o.Want)
			}
		} else if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Unavailable {
			t.Errorf("%s: %v, want Unavailable", where, err)
		}
	}
}

func is(err, want error) bool { return err == want || want != nil && errors.Is(err, want) }
