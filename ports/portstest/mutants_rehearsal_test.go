package portstest

import (
	"context"
	"testing"

	"gatehouse/adapters/memory"
	"gatehouse/domain/access"
	"gatehouse/ports"
)

func TestRehearsalChecksCanFail(t *testing.T) {
	prove(t, rehearsalChecks, func() rehearsalOpener {
		return func(p ports.PolicyRepository, v access.Vocabulary) decider { return memory.NewAuthorizer(p, v) }
	}, rehearsalMutants)
}

// rehearsing is a decider whose rehearsal is replaced.
type rehearsing struct {
	decider
	under func(access.Table) (func(access.Actor) access.Rights, error)
}

func (r rehearsing) Under(t access.Table) (func(access.Actor) access.Rights, error) {
	return r.under(t)
}

func rehearsalMutant(check, fault string, f func(d decider, p ports.PolicyRepository) func(access.Table) (func(access.Actor) access.Rights, error)) mutant[rehearsalOpener] {
	return mutant[rehearsalOpener]{check, fault, func(open rehearsalOpener) rehearsalOpener {
		return func(p ports.PolicyRepository, v access.Vocabulary) decider {
			d := open(p, v)
			return rehearsing{d, f(d, p)}
		}
	}}
}

var rehearsalMutants = []mutant[rehearsalOpener]{
	rehearsalMutant("it decides as if the table were the policy", "forgets inheritance", func(d decider, _ ports.PolicyRepository) func(access.Table) (func(access.Actor) access.Rights, error) {
		return func(t access.Table) (func(access.Actor) access.Rights, error) {
			t.Inherits = nil
			return d.Under(t)
		}
	}),
	rehearsalMutant("it decides as if the table were the policy", "forgets what denies", func(d decider, _ ports.PolicyRepository) func(access.Table) (func(access.Actor) access.Rights, error) {
		return func(t access.Table) (func(access.Actor) access.Rights, error) {
			t = t.Clone()
			for i := range t.Rows {
				t.Rows[i].Effect = "allow"
			}
			if !t.Distinct() {
				return d.Under(access.Table{Rows: t.Rows[:1]})
			}
			return d.Under(t)
		}
	}),
	rehearsalMutant("what is in force does not matter, nor does it change", "adds the table to what is in force", func(d decider, p ports.PolicyRepository) func(access.Table) (func(access.Actor) access.Rights, error) {
		return func(t access.Table) (func(access.Actor) access.Rights, error) {
			if now, ok := p.(*table); ok {
				now.mu.Lock()
				now.now.Rows = append(now.now.Rows, t.Rows...)
				now.now.Version++
				now.mu.Unlock()
			}
			return d.Under(t)
		}
	}),
	rehearsalMutant("no store is asked", "loads what is in force", func(d decider, p ports.PolicyRepository) func(access.Table) (func(access.Actor) access.Rights, error) {
		return func(t access.Table) (func(access.Actor) access.Rights, error) {
			_, _ = p.Load(context.Background())
			return d.Under(t)
		}
	}),
	rehearsalMutant("a bad table is an error", "reads what it can", func(d decider, _ ports.PolicyRepository) func(access.Table) (func(access.Actor) access.Rights, error) {
		return func(t access.Table) (func(access.Actor) access.Rights, error) {
			if f, err := d.Under(t); err == nil {
				return f, nil
			}
			return d.Under(written(readAll).now)
		}
	}),
	rehearsalMutant("the table is not shared", "reads the table when it is asked", func(d decider, _ ports.PolicyRepository) func(access.Table) (func(access.Actor) access.Rights, error) {
		return func(t access.Table) (func(access.Actor) access.Rights, error) {
			if _, err := d.Under(t); err != nil {
				return nil, err
			}
			return func(a access.Actor) access.Rights {
				f, _ := d.Under(t)
				return f(a)
			}, nil
		}
	}),
}
