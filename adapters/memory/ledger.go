package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"gatehouse/domain/audit"
	"gatehouse/domain/idempotency"
	"gatehouse/domain/secret"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// along looks whether what goes along with a change of the user can be kept,
// within a write, and gives what keeps it: a map cannot be rolled back, so all
// that can fail comes first. there says who is a user after the change.
func (db *DB) along(owner user.ID, with []*ports.Along, there func(user.ID) bool) (keep func(), err error) {
	redeemed, taken := map[secret.Key]bool{}, map[idempotency.ID]bool{}
	for _, a := range with {
		if a == nil {
			continue
		}
		if k := a.Redeem; !k.IsZero() {
			if t, ok := db.tickets[k]; !ok || redeemed[k] || !t.Good(a.RedeemAt) {
				return nil, ticket.ErrInvalid
			}
			redeemed[k] = true
		}
		if err := db.canAnswer(a.Answers, taken, there); err != nil {
			return nil, err
		}
		if err := db.canPost(a.Letters, there); err != nil {
			return nil, err
		}
		if err := db.canTell(a.Events, there); err != nil {
			return nil, err
		}
	}
	return func() {
		for _, a := range with {
			if a != nil {
				db.keep(owner, *a)
			}
		}
	}, nil
}

// something reports whether there is anything to keep.
func something(a *ports.Along) bool {
	return a != nil && (!a.Redeem.IsZero() || len(a.Void)+len(a.Answers)+len(a.Letters)+len(a.Events)+len(a.Audit) > 0)
}

func (db *DB) keep(owner user.ID, a ports.Along) {
	delete(db.tickets, a.Redeem)
	for _, p := range a.Void {
		db.void(owner, p)
	}
	for _, k := range a.Answers {
		db.answers[k.ID] = ownAnswer(k)
	}
	for _, l := range a.Letters {
		db.post(l)
	}
	for _, d := range a.Events {
		db.tell(d)
	}
	for _, e := range a.Audit {
		row, head := db.heads[e.Day()].Append(e)
		db.log[head.Day] = append(db.log[head.Day], row)
		db.heads[head.Day] = head
	}
}

// Ledger keeps the audit log in memory.
type Ledger struct{ db *DB }

var (
	_ ports.Ledger   = (*Ledger)(nil)
	_ ports.AuditLog = (*Ledger)(nil)
)

// Record implements ports.Ledger.
func (s *Ledger) Record(ctx context.Context, a ports.Along) error {
	a.Redeem, a.Void, a.Answers = secret.Key{}, nil, nil
	return s.db.write(ctx, func() error {
		keep, err := s.db.along(user.ID{}, []*ports.Along{&a}, s.db.hasUser)
		if err != nil {
			return err
		}
		keep()
		return nil
	})
}

// Heads implements ports.AuditLog.
func (s *Ledger) Heads(ctx context.Context) (heads []audit.Head, err error) {
	err = s.db.read(ctx, func() error {
		heads = slices.SortedFunc(maps.Values(s.db.heads), func(a, b audit.Head) int { return cmp.Compare(a.Day, b.Day) })
		return nil
	})
	return heads, err
}

// Rows implements ports.AuditLog.
func (s *Ledger) Rows(ctx context.Context, day string, after int64, limit int) (rows []audit.Row, err error) {
	err = s.db.read(ctx, func() error {
		for _, r := range s.db.log[day] {
			if len(rows) >= limit {
				break
			}
			if r.Seq > after {
				rows = append(rows, ownRow(r))
			}
		}
		return nil
	})
	return rows, err
}

// RowsOf implements ports.AuditLog.
func (s *Ledger) RowsOf(ctx context.Context, id user.ID, limit int) (rows []audit.Row, err error) {
	err = s.db.read(ctx, func() error {
		for _, day := range s.db.log {
			for _, r := range day {
				if !id.IsZero() && (r.Actor == id || r.Subject == audit.Of(id)) {
					rows = append(rows, ownRow(r))
				}
			}
		}
		return nil
	})
	slices.SortFunc(rows, func(a, b audit.Row) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Seq, a.Seq)) })
	return rows[:min(len(rows), max(limit, 0))], err
}

// Search implements ports.AuditLog.
func (s *Ledger) Search(ctx context.Context, q ports.AuditQuery) (page ports.AuditPage, err error) {
	if q.Limit <= 0 {
		return page, alive(ctx)
	}
	err = s.db.read(ctx, func() error {
		for _, day := range slices.SortedFunc(maps.Keys(s.db.log), func(a, b string) int { return cmp.Compare(b, a) }) {
			for _, r := range slices.Backward(s.db.log[day]) {
				at := audit.Place{Day: day, Seq: r.Seq}
				if !q.Before.IsZero() && !at.Before(q.Before) || !q.Actor.IsZero() && r.Actor != q.Actor || q.Event != "" && r.Event != q.Event {
					continue
				}
				if len(page.Rows) == q.Limit {
					return nil
				}
				page.Rows, page.Next = append(page.Rows, ownRow(r)), at
			}
		}
		page.Next = audit.Place{}
		return nil
	})
	return page, err
}

// ownRow is a row whose detail is the caller's own.
func ownRow(r audit.Row) audit.Row {
	r.Detail = maps.Clone(r.Detail)
	return r
}
