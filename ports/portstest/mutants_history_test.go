package portstest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gatehouse/adapters/memory"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

func TestHistoryChecksCanFail(t *testing.T) {
	prove(t, historyChecks, func() PolicyStores {
		db := memory.New()
		return PolicyStores{Policies: db.Policies(), History: db.Policies(), Log: db.Ledger()}
	}, historyMutants)
}

// history is one with some of its methods replaced.
type history struct {
	ports.PolicyHistory
	change    func(context.Context, access.Edit, func(*access.Table) error, ...*ports.Along) (access.Table, error)
	revisions func(context.Context, int64, int) ([]access.Revision, error)
	revision  func(context.Context, int64) (access.Revision, error)
}

func (s history) Change(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (access.Table, error) {
	if s.change == nil {
		return s.PolicyHistory.Change(ctx, e, change, with...)
	}
	return s.change(ctx, e, change, with...)
}

func (s history) Revisions(ctx context.Context, before int64, limit int) ([]access.Revision, error) {
	if s.revisions == nil {
		return s.PolicyHistory.Revisions(ctx, before, limit)
	}
	return s.revisions(ctx, before, limit)
}

func (s history) Revision(ctx context.Context, version int64) (access.Revision, error) {
	if s.revision == nil {
		return s.PolicyHistory.Revision(ctx, version)
	}
	return s.revision(ctx, version)
}

func historyMutant(check, fault string, f func(s PolicyStores) history) mutant[PolicyStores] {
	return mutant[PolicyStores]{check, fault, func(s PolicyStores) PolicyStores {
		m := f(s)
		m.PolicyHistory = s.History
		s.History = m
		return s
	}}
}

// heeding is a history that asks the admins otherwise.
func heeding(alter func(a *ports.Along)) func(s PolicyStores) history {
	return func(s PolicyStores) history {
		return history{change: func(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (access.Table, error) {
			if len(with) == 1 && with[0] != nil && with[0].Admins != nil {
				a := *with[0]
				alter(&a)
				with = []*ports.Along{&a}
			}
			return s.History.Change(ctx, e, change, with...)
		}}
	}
}

// tableAltering is a mutant that alters the table behind every change.
func tableAltering(check, fault string, alter func(before access.Table, after *access.Table)) mutant[PolicyStores] {
	return historyMutant(check, fault, func(s PolicyStores) history {
		return history{change: func(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (access.Table, error) {
			return s.History.Change(ctx, e, func(t *access.Table) error {
				before := t.Clone()
				err := change(t)
				alter(before, t)
				return err
			}, with...)
		}}
	})
}

var historyMutants = []mutant[PolicyStores]{
	tableAltering("a change makes the next version", "forgets inheritance", func(before access.Table, after *access.Table) { after.Inherits = before.Inherits }),
	tableAltering("a change makes the next version", "only ever adds", func(before access.Table, after *access.Table) {
		for _, r := range before.Rows {
			if !slices.ContainsFunc(after.Rows, func(a access.Row) bool { return a.ID == r.ID || a.Words() == r.Words() }) {
				after.Rows = append(after.Rows, r)
			}
		}
	}),
	historyMutant("a change makes the next version", "takes the version that it is told", func(s PolicyStores) history {
		return history{change: func(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (access.Table, error) {
			var told int64
			t, err := s.History.Change(ctx, e, func(t *access.Table) error {
				err := change(t)
				told = t.Version
				return err
			}, with...)
			t.Version = told
			return t, err
		}}
	}),
	historyMutant("a change is given the table as it stands", "gives an empty one", func(s PolicyStores) history {
		return history{change: func(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (access.Table, error) {
			return s.History.Change(ctx, e, func(t *access.Table) error {
				var blank access.Table
				if err := change(&blank); err != nil {
					return err
				}
				t.Rows = append(t.Rows, blank.Rows...)
				return nil
			}, with...)
		}}
	}),
	historyMutant("a refused change keeps nothing", "keeps what was changed until then", func(s PolicyStores) history {
		return history{change: func(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (access.Table, error) {
			var refusal error
			t, err := s.History.Change(ctx, e, func(t *access.Table) error { refusal = change(t); return nil }, with...)
			return t, errors.Join(refusal, err)
		}}
	}),
	historyMutant("a refused change keeps nothing", "wraps the refusal", func(s PolicyStores) history {
		return history{change: func(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (access.Table, error) {
			t, err := s.History.Change(ctx, e, change, with...)
			if err != nil {
				err = errors.Join(err)
			}
			return t, err
		}}
	}),
	tableAltering("a change of nothing keeps nothing", "makes a version of it", func(before access.Table, after *access.Table) {
		after.Rows = append(slices.Clone(after.Rows), rule(200, "x product read any allow"))
	}),
	historyMutant("what stands twice is a conflict", "leaves out what stands twice", func(s PolicyStores) history {
		return history{change: func(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (access.Table, error) {
			t, err := s.History.Change(ctx, e, change, with...)
			if errors.Is(err, fault.Conflict) {
				return s.Policies.Load(ctx)
			}
			return t, err
		}}
	}),
	historyMutant("every version is remembered", "remembers the present one alone", func(s PolicyStores) history {
		return history{revision: func(ctx context.Context, version int64) (access.Revision, error) {
			r, err := s.History.Revision(ctx, version)
			if err != nil {
				return r, err
			}
			r.Table, err = s.Policies.Load(ctx)
			r.Table.Version = version
			return r, err
		}}
	}),
	historyMutant("every version is remembered", "forgets who it was", func(s PolicyStores) history {
		return history{revisions: func(ctx context.Context, before int64, limit int) ([]access.Revision, error) {
			list, err := s.History.Revisions(ctx, before, limit)
			for i := range list {
				list[i].Author = userID(1)
			}
			return list, err
		}}
	}),
	mutant[PolicyStores]{"every version is remembered", "forgets the seed", func(s PolicyStores) PolicyStores {
		inner := s.History
		s.History = history{PolicyHistory: inner, revisions: func(ctx context.Context, before int64, limit int) ([]access.Revision, error) {
			list, err := inner.Revisions(ctx, before, limit)
			return slices.DeleteFunc(list, func(r access.Revision) bool { return r.Table.Version == 1 }), err
		}}
		return s
	}},
	historyMutant("the history is read in pages, the newest first", "begins at the oldest", func(s PolicyStores) history {
		return history{revisions: func(ctx context.Context, before int64, limit int) ([]access.Revision, error) {
			list, err := s.History.Revisions(ctx, before, 1000)
			slices.Reverse(list)
			return list[:min(len(list), max(limit, 0))], err
		}}
	}),
	historyMutant("the history is read in pages, the newest first", "gives the last of a page again", func(s PolicyStores) history {
		return history{revisions: func(ctx context.Context, before int64, limit int) ([]access.Revision, error) {
			if before > 0 {
				before++
			}
			return s.History.Revisions(ctx, before, limit)
		}}
	}),
	historyMutant("a version that never was is missing", "makes an empty one up", func(s PolicyStores) history {
		return history{revision: func(ctx context.Context, version int64) (access.Revision, error) {
			r, err := s.History.Revision(ctx, version)
			if errors.Is(err, fault.NotFound) {
				err = nil
			}
			return r, err
		}}
	}),
	historyMutant("any words are remembered", "drops rows without a role", func(s PolicyStores) history {
		return history{revision: func(ctx context.Context, version int64) (access.Revision, error) {
			r, err := s.History.Revision(ctx, version)
			r.Table.Rows = slices.DeleteFunc(r.Table.Rows, func(r access.Row) bool { return r.Role == "" })
			return r, err
		}}
	}),
	historyMutant("any words are remembered", "cuts long notes", func(s PolicyStores) history {
		return history{revisions: func(ctx context.Context, before int64, limit int) ([]access.Revision, error) {
			list, err := s.History.Revisions(ctx, before, limit)
			for i, r := range list {
				list[i].Note = r.Note[:min(len(r.Note), 255)]
			}
			return list, err
		}}
	}),
	historyMutant("the admins have the last word on a change", "asks nobody", heeding(func(a *ports.Along) { a.Admins = nil })),
	historyMutant("the admins have the last word on a change", "shows the version before", heeding(func(a *ports.Along) {
		ask := a.Admins
		a.Admins = func(version int64, sets [][]user.Role) error { return ask(version-1, sets) }
	})),
	historyMutant("what goes along is kept with a change", "reads it before the change", func(s PolicyStores) history {
		return history{change: func(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (access.Table, error) {
			var early []*ports.Along
			for _, a := range with {
				if a != nil {
					c := *a
					early = append(early, &c)
				}
			}
			return s.History.Change(ctx, e, change, early...)
		}}
	}),
	historyMutant("what cannot be kept keeps nothing of a change", "changes all the same", func(s PolicyStores) history {
		return history{change: func(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (access.Table, error) {
			t, err := s.History.Change(ctx, e, change, with...)
			if errors.Is(err, fault.NotFound) {
				_, _ = s.History.Change(ctx, e, change)
			}
			return t, err
		}}
	}),
	historyMutant("of changes at once none is lost", "writes over what others have done", seenBefore(writesOver)),
	historyMutant("of two who remove the last row one finds it gone", "checks before it locks", seenBefore(checksFirst)),
	historyMutant("nothing handed over is shared", "gives one revision to all", func(s PolicyStores) history {
		var cache kept[access.Revision]
		return history{revision: func(ctx context.Context, version int64) (access.Revision, error) {
			if version != 2 {
				return s.History.Revision(ctx, version)
			}
			return cache.first(func() (access.Revision, error) { return s.History.Revision(ctx, version) })
		}}
	}),
	historyMutant("a cancelled context is an outage", "changes all the same", func(s PolicyStores) history {
		return history{change: func(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (access.Table, error) {
			t, err := s.History.Change(deaf(ctx), e, change, with...)
			return t, late(ctx, err)
		}}
	}),
	historyMutant("a cancelled context is an outage", "reads it as an empty history", func(s PolicyStores) history {
		return history{revisions: func(ctx context.Context, before int64, limit int) ([]access.Revision, error) {
			list, err := s.History.Revisions(ctx, before, limit)
			if errors.Is(err, fault.Unavailable) {
				err = nil
			}
			return list, err
		}}
	}),
}

// seenBefore is a mutant that lets a change work on the table as it was when the
// first two of them began, and then does what of that it thinks right.
func seenBefore(write func(t *access.Table, seen, made access.Table)) func(s PolicyStores) history {
	return func(s PolicyStores) history {
		both := meet()
		return history{change: func(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (access.Table, error) {
			seen, err := s.Policies.Load(ctx)
			if err != nil {
				return seen, err
			}
			if len(seen.Rows) == 2 {
				both()
			}
			made := seen.Clone()
			if err := change(&made); err != nil {
				return seen, err
			}
			return s.History.Change(ctx, e, func(t *access.Table) error {
				write(t, seen, made)
				return nil
			}, with...)
		}}
	}
}

func writesOver(t *access.Table, _, made access.Table) { *t = made }

func checksFirst(t *access.Table, seen, made access.Table) {
	for _, gone := range made.Since(seen).Removed {
		t.Rows = slices.DeleteFunc(t.Rows, func(r access.Row) bool { return r.ID == gone.ID })
	}
	t.Rows = append(t.Rows, made.Since(seen).Added...)
}
