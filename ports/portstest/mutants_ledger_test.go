package portstest

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// ledger is one whose method is replaced.
type ledger func(ctx context.Context, a ports.Along) error

func (f ledger) Record(ctx context.Context, a ports.Along) error { return f(ctx, a) }

// auditLog is one with some of its methods replaced.
type auditLog struct {
	ports.AuditLog
	heads  func(context.Context) ([]audit.Head, error)
	rows   func(context.Context, string, int64, int) ([]audit.Row, error)
	rowsOf func(context.Context, user.ID, int) ([]audit.Row, error)
	search func(context.Context, ports.AuditQuery) (ports.AuditPage, error)
}

func (s auditLog) Search(ctx context.Context, q ports.AuditQuery) (ports.AuditPage, error) {
	if s.search == nil {
		return s.AuditLog.Search(ctx, q)
	}
	return s.search(ctx, q)
}

func (s auditLog) Heads(ctx context.Context) ([]audit.Head, error) {
	if s.heads == nil {
		return s.AuditLog.Heads(ctx)
	}
	return s.heads(ctx)
}

func (s auditLog) Rows(ctx context.Context, day string, after int64, limit int) ([]audit.Row, error) {
	if s.rows == nil {
		return s.AuditLog.Rows(ctx, day, after, limit)
	}
	return s.rows(ctx, day, after, limit)
}

func (s auditLog) RowsOf(ctx context.Context, id user.ID, limit int) ([]audit.Row, error) {
	if s.rowsOf == nil {
		return s.AuditLog.RowsOf(ctx, id, limit)
	}
	return s.rowsOf(ctx, id, limit)
}

func recording(check, fault string, f func(s RecordStores) ledger) mutant[RecordStores] {
	return recordMutant(check, fault, func(s *RecordStores) { s.Ledger = f(*s) })
}

func logMutant(check, fault string, f func(s RecordStores) auditLog) mutant[RecordStores] {
	return recordMutant(check, fault, func(s *RecordStores) {
		m := f(*s)
		m.AuditLog = s.Log
		s.Log = m
	})
}

// entering is a mutant that alters every entry that it is given.
func entering(check, fault string, alter func(*audit.Entry)) mutant[RecordStores] {
	return recording(check, fault, func(s RecordStores) ledger {
		return func(ctx context.Context, a ports.Along) error {
			a.Audit = slices.Clone(a.Audit)
			for i := range a.Audit {
				alter(&a.Audit[i])
			}
			return s.Ledger.Record(ctx, a)
		}
	})
}

// readingRows is a mutant that alters the rows of a day.
func readingRows(check, fault string, alter func([]audit.Row) []audit.Row) mutant[RecordStores] {
	return logMutant(check, fault, func(s RecordStores) auditLog {
		return auditLog{rows: func(ctx context.Context, day string, after int64, limit int) ([]audit.Row, error) {
			rows, err := s.Log.Rows(ctx, day, after, limit)
			return alter(rows), err
		}}
	})
}

func eachRow(alter func(*audit.Row)) func([]audit.Row) []audit.Row {
	return func(rows []audit.Row) []audit.Row {
		for i := range rows {
			alter(&rows[i])
		}
		return rows
	}
}

// choosing is a mutant whose RowsOf chooses among all rows of a user, the
// newest first.
func choosing(check, fault string, choose func(rows []audit.Row, id user.ID, limit int) []audit.Row) mutant[RecordStores] {
	return logMutant(check, fault, func(s RecordStores) auditLog {
		return auditLog{rowsOf: func(ctx context.Context, id user.ID, limit int) ([]audit.Row, error) {
			rows, err := s.Log.RowsOf(ctx, id, 1000)
			return choose(rows, id, limit), err
		}}
	})
}

var ledgerMutants = []mutant[RecordStores]{
	logMutant("an empty log has no heads", "begins the day before there is a row", func(s RecordStores) auditLog {
		return auditLog{heads: func(ctx context.Context) ([]audit.Head, error) {
			heads, err := s.Log.Heads(ctx)
			if len(heads) == 0 {
				heads = []audit.Head{{Day: "2026-11-24"}}
			}
			return heads, err
		}}
	}),
	logMutant("an empty log has no heads", "finds no such day", func(s RecordStores) auditLog {
		return auditLog{rows: func(ctx context.Context, day string, after int64, limit int) ([]audit.Row, error) {
			rows, err := s.Log.Rows(ctx, day, after, limit)
			if len(rows) == 0 && err == nil {
				err = fault.NotFound
			}
			return rows, err
		}}
	}),
	readingRows("every field is kept", "forgets the request", eachRow(func(r *audit.Row) { r.Origin.RequestID = "" })),
	readingRows("every field is kept", "cuts the User-Agent", eachRow(func(r *audit.Row) { r.Origin.UserAgent = r.Origin.UserAgent[:min(len(r.Origin.UserAgent), 255)] })),
	readingRows("every field is kept", "keeps milliseconds", eachRow(func(r *audit.Row) { r.At = r.At.Truncate(time.Millisecond) })),
	readingRows("every field is kept", "gives an empty detail for none", eachRow(func(r *audit.Row) {
		if r.Detail == nil {
			r.Detail = map[string]string{}
		}
	})),
	readingRows("every field is kept", "keeps half of the hash", eachRow(func(r *audit.Row) { clear(r.Hash[16:]) })),
	entering("every field is kept", "forgets members without a value", func(e *audit.Entry) {
		own := map[string]string{}
		for name, value := range e.Detail {
			if value != "" {
				own[name] = value
			}
		}
		e.Detail = own
	}),
	recording("every field is kept", "refuses what is no text", func(s RecordStores) ledger {
		return func(ctx context.Context, a ports.Along) error {
			for _, e := range a.Audit {
				if len(e.Origin.UserAgent) > 0 && e.Origin.UserAgent[0] == 0xff {
					return fault.Outage(nil)
				}
			}
			return s.Ledger.Record(ctx, a)
		}
	}),
	entering("every day has a chain of its own", "goes by the zone of who writes", func(e *audit.Entry) {
		_, offset := e.At.Zone()
		e.At = e.At.UTC().Add(time.Duration(offset) * time.Second)
	}),
	entering("every day has a chain of its own", "puts all on one day", func(e *audit.Entry) { e.At = noon }),
	logMutant("every day has a chain of its own", "gives the newest day first", func(s RecordStores) auditLog {
		return auditLog{heads: func(ctx context.Context) ([]audit.Head, error) {
			heads, err := s.Log.Heads(ctx)
			slices.Reverse(heads)
			return heads, err
		}}
	}),
	readingRows("every day has a chain of its own", "counts on over the days", eachRow(func(r *audit.Row) {
		if r.Day() == "2026-11-25" {
			r.Seq++
		}
	})),
	logMutant("rows are read page by page", "always begins at the start", func(s RecordStores) auditLog {
		return auditLog{rows: func(ctx context.Context, day string, _ int64, limit int) ([]audit.Row, error) {
			return s.Log.Rows(ctx, day, 0, limit)
		}}
	}),
	logMutant("rows are read page by page", "begins with the last one read", func(s RecordStores) auditLog {
		return auditLog{rows: func(ctx context.Context, day string, after int64, limit int) ([]audit.Row, error) {
			return s.Log.Rows(ctx, day, after-1, limit)
		}}
	}),
	logMutant("rows are read page by page", "takes zero for no limit", func(s RecordStores) auditLog {
		return auditLog{rows: func(ctx context.Context, day string, after int64, limit int) ([]audit.Row, error) {
			if limit == 0 {
				limit = math.MaxInt
			}
			return s.Log.Rows(ctx, day, after, limit)
		}}
	}),
	choosing("lists what a user did and met with", "lists what they did alone", func(rows []audit.Row, id user.ID, limit int) []audit.Row {
		rows = slices.DeleteFunc(rows, func(r audit.Row) bool { return r.Actor != id })
		return rows[:min(len(rows), limit)]
	}),
	choosing("lists what a user did and met with", "lists what was done to them alone", func(rows []audit.Row, id user.ID, limit int) []audit.Row {
		rows = slices.DeleteFunc(rows, func(r audit.Row) bool { return r.Subject != audit.Of(id) })
		return rows[:min(len(rows), limit)]
	}),
	choosing("lists what a user did and met with", "begins with the oldest", func(rows []audit.Row, _ user.ID, limit int) []audit.Row {
		slices.Reverse(rows)
		return rows[:min(len(rows), limit)]
	}),
	choosing("lists what a user did and met with", "goes by the place and not by the day", func(rows []audit.Row, _ user.ID, limit int) []audit.Row {
		slices.SortStableFunc(rows, func(a, b audit.Row) int { return int(b.Seq - a.Seq) })
		return rows[:min(len(rows), limit)]
	}),
	choosing("lists what a user did and met with", "knows no limit", func(rows []audit.Row, _ user.ID, _ int) []audit.Row { return rows }),
	logMutant("lists what a user did and met with", "takes nobody for everybody unknown", func(s RecordStores) auditLog {
		return auditLog{rowsOf: func(ctx context.Context, id user.ID, limit int) ([]audit.Row, error) {
			if !id.IsZero() {
				return s.Log.RowsOf(ctx, id, limit)
			}
			rows, err := s.Log.Rows(ctx, "2026-11-24", 0, limit)
			return slices.DeleteFunc(rows, func(r audit.Row) bool { return !r.Actor.IsZero() }), err
		}}
	}),
	recording("all is recorded or nothing", "records one after the other", func(s RecordStores) ledger {
		return func(ctx context.Context, a ports.Along) error {
			if err := s.Ledger.Record(ctx, ports.Along{Audit: a.Audit}); err != nil {
				return err
			}
			return s.Ledger.Record(ctx, ports.Along{Letters: a.Letters})
		}
	}),
	recording("all is recorded or nothing", "posts what letters it can", func(s RecordStores) ledger {
		return func(ctx context.Context, a ports.Along) error {
			for _, l := range a.Letters {
				if err := s.Ledger.Record(ctx, ports.Along{Letters: append(a.Letters[:0:0], l)}); err != nil {
					return err
				}
			}
			return s.Ledger.Record(ctx, ports.Along{Audit: a.Audit})
		}
	}),
	recording("letters are recorded too", "records entries alone", func(s RecordStores) ledger {
		return func(ctx context.Context, a ports.Along) error {
			return s.Ledger.Record(ctx, ports.Along{Audit: a.Audit})
		}
	}),
	recording("letters are recorded too", "does nothing without an entry", func(s RecordStores) ledger {
		return func(ctx context.Context, a ports.Along) error {
			if len(a.Audit) == 0 {
				return nil
			}
			return s.Ledger.Record(ctx, a)
		}
	}),
	recording("entries at once leave one unbroken chain", "loses one of two at once", func(s RecordStores) ledger {
		both, once := meet(), sync.Once{}
		return func(ctx context.Context, a ports.Along) (err error) {
			both()
			lost := false
			once.Do(func() { lost = true })
			if lost {
				return nil
			}
			return s.Ledger.Record(ctx, a)
		}
	}),
	readingRows("entries at once leave one unbroken chain", "puts two behind the same row", func(rows []audit.Row) []audit.Row {
		if len(rows) > 2 {
			rows[2].Seq = rows[1].Seq
		}
		return rows
	}),
	recording("entries at once leave one unbroken chain", "lets others between the entries of one step", func(s RecordStores) ledger {
		both := meet()
		return func(ctx context.Context, a ports.Along) error {
			for _, e := range a.Audit {
				if err := s.Ledger.Record(ctx, ports.Along{Audit: []audit.Entry{e}}); err != nil {
					return err
				}
				both()
				linger()
			}
			return nil
		}
	}),
	everyChange("entries at once leave one unbroken chain", "reports contention as an outage", func(RecordStores) around {
		var once sync.Once
		return func(ctx context.Context, do act, with []*ports.Along) (err error) {
			once.Do(func() {
				if len(with) > 0 {
					err = fault.Outage(nil)
				}
			})
			if len(with) == 0 { // adding the users
				once = sync.Once{}
			}
			if err != nil {
				return err
			}
			return do(ctx, with...)
		}
	}),
	logMutant("entries outlive their user", "forgets who is gone", func(s RecordStores) auditLog {
		return auditLog{rows: func(ctx context.Context, day string, after int64, limit int) ([]audit.Row, error) {
			rows, err := s.Log.Rows(ctx, day, after, limit)
			for i, r := range rows {
				if _, err := s.Users.Find(ctx, r.Actor); err != nil {
					rows[i].Actor = user.ID{}
				}
			}
			return rows, err
		}}
	}),
	logMutant("entries outlive their user", "lists nothing of who is gone", func(s RecordStores) auditLog {
		return auditLog{rowsOf: func(ctx context.Context, id user.ID, limit int) ([]audit.Row, error) {
			if _, err := s.Users.Find(ctx, id); err != nil {
				return nil, nil
			}
			return s.Log.RowsOf(ctx, id, limit)
		}}
	}),
	recordMutant("nothing handed in or out is shared", "keeps the detail that it was given", func(s *RecordStores) {
		real, log, details := s.Ledger, s.Log, []map[string]string(nil)
		s.Ledger = ledger(func(ctx context.Context, a ports.Along) error {
			for _, e := range a.Audit {
				details = append(details, e.Detail)
			}
			return real.Record(ctx, a)
		})
		s.Log = auditLog{AuditLog: log, rows: func(ctx context.Context, day string, after int64, limit int) ([]audit.Row, error) {
			rows, err := log.Rows(ctx, day, after, limit)
			for i := range rows {
				rows[i].Detail = details[rows[i].Seq-1]
			}
			return rows, err
		}}
	}),
	logMutant("nothing handed in or out is shared", "gives the same rows to all", func(s RecordStores) auditLog {
		var cache kept[[]audit.Row]
		return auditLog{rows: func(ctx context.Context, day string, after int64, limit int) ([]audit.Row, error) {
			return cache.first(func() ([]audit.Row, error) { return s.Log.Rows(ctx, day, after, limit) })
		}}
	}),
	logMutant("nothing handed in or out is shared", "gives the same heads to all", func(s RecordStores) auditLog {
		var cache kept[[]audit.Head]
		return auditLog{heads: func(ctx context.Context) ([]audit.Head, error) {
			return cache.first(func() ([]audit.Head, error) { return s.Log.Heads(ctx) })
		}}
	}),
	recording("a cancelled context is an outage", "records all the same", func(s RecordStores) ledger {
		return func(ctx context.Context, a ports.Along) error { return late(ctx, s.Ledger.Record(deaf(ctx), a)) }
	}),
	logMutant("a cancelled context is an outage", "lists nothing", func(s RecordStores) auditLog {
		return auditLog{rowsOf: func(ctx context.Context, id user.ID, limit int) ([]audit.Row, error) {
			rows, _ := s.Log.RowsOf(ctx, id, limit)
			return rows, nil
		}}
	}),
	logMutant("a cancelled context is an outage", "has no days", func(s RecordStores) auditLog {
		return auditLog{heads: func(ctx context.Context) ([]audit.Head, error) {
			heads, _ := s.Log.Heads(ctx)
			return heads, nil
		}}
	}),
}
