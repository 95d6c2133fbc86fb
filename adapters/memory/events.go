package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// Events keeps the events that subscribers are to be told of in memory.
type Events struct{ db *DB }

var _ ports.EventQueue = (*Events)(nil)

type eventRow struct {
	delivery product.Delivery
	due      time.Time
	buried   time.Time // zero while it is tried
	why      string    // it failed
}

// place is what no two events to one subscriber share.
type place struct {
	subscriber string
	product    product.ID
	version    int64
	rank       int
}

func placeOf(d product.Delivery) place {
	version, rank := d.Event.Place()
	return place{d.Subscriber, d.Event.Product().ID(), version, rank}
}

// before reports whether both are of one product to one subscriber, and p is the
// earlier one.
func (p place) before(o place) bool {
	return p.subscriber == o.subscriber && p.product == o.product && cmp.Or(cmp.Compare(p.version, o.version), cmp.Compare(p.rank, o.rank)) < 0
}

// canTell looks whether the events can be kept, within a write.
func (db *DB) canTell(events []product.Delivery, there func(user.ID) bool) error {
	ids, places := map[uuid.UUID]bool{}, map[place]bool{}
	for _, row := range db.events {
		places[placeOf(row.delivery)] = true
	}
	for _, d := range events {
		if !there(d.Event.Product().OwnerID()) {
			return user.ErrUnknown
		}
		if _, taken := db.events[d.ID]; taken || ids[d.ID] || places[placeOf(d)] {
			return errIDTaken
		}
		ids[d.ID], places[placeOf(d)] = true, true
	}
	return nil
}

// tell puts the delivery in, within a write.
func (db *DB) tell(d product.Delivery) {
	d = ownDelivery(d)
	d.Event.At = instant(d.Event.At)
	db.events[d.ID] = eventRow{delivery: d, due: d.Event.At}
}

// ownDelivery is a delivery whose products are the caller's own.
func ownDelivery(d product.Delivery) product.Delivery {
	own := func(p *product.Product) *product.Product {
		if p == nil {
			return nil
		}
		copied := *p
		return &copied
	}
	d.Event.Before, d.Event.After = own(d.Event.Before), own(d.Event.After)
	return d
}

// Claim implements ports.EventQueue.
func (s *Events) Claim(ctx context.Context, subscriber string, now time.Time, lease time.Duration, limit int) (claimed []product.Delivery, err error) {
	err = s.db.write(ctx, func() error {
		for _, row := range s.db.dueEvents(subscriber, now, limit) {
			row.delivery.Attempt++
			row.due = instant(now.Add(lease))
			s.db.events[row.delivery.ID] = row
			claimed = append(claimed, ownDelivery(row.delivery))
		}
		return nil
	})
	return claimed, err
}

// dueEvents gives up to limit rows that can be told at now, the longest due
// first, within a write.
func (db *DB) dueEvents(subscriber string, now time.Time, limit int) (rows []eventRow) {
	first := map[product.ID]place{}
	for _, row := range db.events {
		p := placeOf(row.delivery)
		if known, ok := first[p.product]; p.subscriber == subscriber && row.buried.IsZero() && (!ok || p.before(known)) {
			first[p.product] = p
		}
	}
	for _, row := range db.events {
		p := placeOf(row.delivery)
		if row.buried.IsZero() && !row.due.After(now) && first[p.product] == p {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b eventRow) int {
		return cmp.Or(a.due.Compare(b.due), a.delivery.ID.Compare(b.delivery.ID))
	})
	return rows[:min(len(rows), max(limit, 0))]
}

// claimed gives the row of a delivery if it is as it was claimed, within a
// write.
func (db *DB) claimed(d product.Delivery) (eventRow, bool) {
	row, ok := db.events[d.ID]
	return row, ok && row.buried.IsZero() && row.delivery.Attempt == d.Attempt
}

// Done implements ports.EventQueue.
func (s *Events) Done(ctx context.Context, d product.Delivery, with ...*ports.Along) error {
	return s.db.write(ctx, func() error {
		row, ok := s.db.claimed(d)
		if !ok {
			return ports.ErrNotClaimed
		}
		keep, err := s.db.along(row.delivery.Event.Product().OwnerID(), with, s.db.hasUser)
		if err != nil {
			return err
		}
		delete(s.db.events, d.ID)
		keep()
		return nil
	})
}

// Postpone implements ports.EventQueue.
func (s *Events) Postpone(ctx context.Context, d product.Delivery, until time.Time, why string) error {
	return s.alter(ctx, d, func(row *eventRow) { row.due, row.why = instant(until), why })
}

// Bury implements ports.EventQueue.
func (s *Events) Bury(ctx context.Context, d product.Delivery, at time.Time, why string) error {
	return s.alter(ctx, d, func(row *eventRow) { row.buried, row.why = instant(at), why })
}

func (s *Events) alter(ctx context.Context, d product.Delivery, alter func(*eventRow)) error {
	return s.db.write(ctx, func() error {
		if row, ok := s.db.claimed(d); ok {
			alter(&row)
			s.db.events[d.ID] = row
		}
		return nil
	})
}

// Backlogs implements ports.EventQueue.
func (s *Events) Backlogs(ctx context.Context) (list []ports.Backlog, err error) {
	all := map[string]ports.Backlog{}
	err = s.db.read(ctx, func() error {
		for _, row := range s.db.events {
			name, at := row.delivery.Subscriber, row.delivery.Event.At
			b := all[name]
			b.Subscriber = name
			switch {
			case !row.buried.IsZero():
				b.Buried++
			case b.Waiting == 0 || at.Before(b.Since):
				b.Since = at
				fallthrough
			default:
				b.Waiting++
			}
			all[name] = b
		}
		return nil
	})
	return slices.SortedFunc(maps.Values(all), func(a, b ports.Backlog) int { return cmp.Compare(a.Subscriber, b.Subscriber) }), err
}

// Buried implements ports.EventQueue.
func (s *Events) Buried(ctx context.Context, subscriber string, limit int) (list []product.Delivery, err error) {
	err = s.db.read(ctx, func() error {
		for _, row := range s.db.events {
			if row.delivery.Subscriber == subscriber && !row.buried.IsZero() {
				list = append(list, ownDelivery(row.delivery))
			}
		}
		return nil
	})
	slices.SortFunc(list, func(a, b product.Delivery) int {
		return cmp.Or(a.Event.At.Compare(b.Event.At), a.ID.Compare(b.ID))
	})
	return list[:min(len(list), max(limit, 0))], err
}

// Prune implements ports.EventQueue.
func (s *Events) Prune(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = s.db.write(ctx, func() error {
		n = deleteSome(s.db.events, limit, func(row eventRow) bool { return !row.buried.IsZero() && row.buried.Before(before) })
		return nil
	})
	return n, err
}
