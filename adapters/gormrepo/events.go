package gormrepo

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

var _ ports.EventQueue = (*Events)(nil)

// Events holds the events that subscribers are to be told of.
type Events struct{ db *DB }

// eventColumns are the columns of a delivery in the order of eventRow.fields.
const eventColumns = "id, subscriber, event_id, kind, before, after, by_id, created_at, attempts"

// eventRow is a row of product_events.
type eventRow struct {
	id, subscriber, eventID, kind string
	before, after, by             sql.NullString
	createdAt                     time.Time
	attempts                      int64
}

func (r *eventRow) fields() []any {
	return []any{&r.id, &r.subscriber, &r.eventID, &r.kind, &r.before, &r.after, &r.by, &r.createdAt, &r.attempts}
}

// eventStatements put events in, due at once.
func eventStatements(with []*ports.Along) []statement {
	var rows [][]any
	for _, a := range with {
		for _, d := range a.Events {
			e, p, at := d.Event, d.Event.Product(), d.Event.At.UTC()
			var by any
			if !e.By.IsZero() {
				by = e.By.String()
			}
			version, rank := e.Place()
			rows = append(rows, []any{
				d.ID.String(), d.Subscriber, e.ID.String(), e.Kind.String(), writeSnapshot(e.Before), writeSnapshot(e.After), by, at, d.Attempt,
				p.ID().String(), p.OwnerID().String(), version, rank, at, "",
			})
		}
	}
	return insert("product_events ("+eventColumns+", product_id, owner_id, version, rank, due_at, last_error)", rows)
}

// snapshot is a product as it stands in an event.
type snapshot struct {
	ID          string    `json:"id"`
	OwnerID     string    `json:"ownerId"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Amount      int64     `json:"amount"`
	Currency    string    `json:"currency"`
	Stock       int64     `json:"stock"`
	Status      string    `json:"status"`
	Version     int64     `json:"version"`
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

// writeSnapshot gives the text of a product, or NULL for none; readSnapshot
// reads it.
func writeSnapshot(p *product.Product) any {
	if p == nil {
		return nil
	}
	s := p.State()
	text, _ := json.Marshal(snapshot{ // cannot fail: text, numbers and times up to the year 9999
		ID: s.ID.String(), OwnerID: s.OwnerID.String(), Name: s.Name, Description: s.Description,
		Amount: s.Price.Amount(), Currency: s.Price.Currency().String(), Stock: s.Stock, Status: s.Status.String(),
		Version: s.Version, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	})
	return string(text)
}

func readSnapshot(text sql.NullString) (*product.Product, error) {
	if !text.Valid {
		return nil, nil
	}
	var s snapshot
	if err := json.Unmarshal([]byte(text.String), &s); err != nil {
		return nil, err
	}
	row := productRow{
		ID: s.ID, OwnerID: s.OwnerID, Name: s.Name, Description: s.Description, PriceAmount: s.Amount, PriceCurrency: s.Currency,
		Stock: s.Stock, Status: s.Status, Version: s.Version, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}
	p, err := row.product()
	return &p, err
}

// delivery reads the row; words that are unknown were not written by us.
func (r *eventRow) delivery() (product.Delivery, error) {
	id, ok := uuid.Parse(r.id)
	event, known := uuid.Parse(r.eventID)
	kind, valid := product.ParseEventKind(r.kind)
	by, signed := user.ParseID(r.by.String)
	before, badBefore := readSnapshot(r.before)
	after, badAfter := readSnapshot(r.after)
	if !ok || !known || !valid || signed != r.by.Valid || badBefore != nil || badAfter != nil {
		return product.Delivery{}, fmt.Errorf("the row of event %q cannot be read", r.id)
	}
	return product.Delivery{
		ID: id, Subscriber: r.subscriber, Attempt: int(r.attempts),
		Event: product.Event{ID: event, Kind: kind, Before: before, After: after, By: by, At: r.createdAt.UTC()},
	}, nil
}

func scanEvent(from scanner) (product.Delivery, error) {
	var row eventRow
	if err := from.Scan(row.fields()...); err != nil {
		return product.Delivery{}, err
	}
	return row.delivery()
}

// eventKinds are what this release knows. What a newer one has put in waits for
// a node of that release, and so does what comes after it.
var eventKinds = func() (names []string) {
	for _, k := range product.EventKinds() {
		names = append(names, k.String())
	}
	return names
}()

// dueEvents are those of a subscriber that can be told now: of one product the
// first alone. An earlier one that another node has in hand is there still, so
// its successor waits; once it is deleted, that was committed before.
const dueEvents = "SELECT " + eventColumns + " FROM product_events AS one WHERE subscriber = ? AND buried_at IS NULL AND due_at <= ? AND kind IN ?" +
	" AND NOT EXISTS (SELECT 1 FROM product_events AS earlier WHERE earlier.subscriber = one.subscriber AND earlier.product_id = one.product_id" +
	" AND earlier.buried_at IS NULL AND (earlier.version, earlier.rank) < (one.version, one.rank)) ORDER BY due_at, id LIMIT "

// Claim takes events out. Those that another node is taking out are passed over.
func (s *Events) Claim(ctx context.Context, subscriber string, now time.Time, lease time.Duration, limit int) (claimed []product.Delivery, err error) {
	if limit <= 0 {
		return nil, nil
	}
	due := dueEvents + strconv.Itoa(limit)
	if !s.db.lite {
		due += " FOR UPDATE OF one SKIP LOCKED"
	}
	err = s.db.transact(ctx, func(tx *gorm.DB) (err error) {
		claimed, err = collect(tx.Raw(due, subscriber, now.UTC(), eventKinds), scanEvent)
		if err != nil || len(claimed) == 0 {
			return err
		}
		ids := make([]string, len(claimed))
		for i := range claimed {
			claimed[i].Attempt++
			ids[i] = claimed[i].ID.String()
		}
		return tx.Exec("UPDATE product_events SET due_at = ?, attempts = attempts + 1 WHERE id IN ?", now.Add(lease).UTC(), ids).Error
	})
	if err != nil {
		return nil, s.db.failed("claim events", err, nil)
	}
	return claimed, nil
}

// asClaimed is a delivery that nobody has claimed since: its number of attempts
// is the claim's.
const asClaimed = "id = ? AND attempts = ? AND buried_at IS NULL"

// Done deletes the delivery. What goes along may point at users, who are kept
// from being deleted first, in one order, since a deletion of the owner takes
// the owner before the delivery.
func (s *Events) Done(ctx context.Context, d product.Delivery, with ...*ports.Along) error {
	id, attempt := d.ID.String(), d.Attempt
	act := step{op: "event done", owner: d.Event.Product().OwnerID()}
	act.hold = func(tx *gorm.DB) (bool, error) {
		return s.db.found(tx, "SELECT 1 FROM product_events WHERE "+asClaimed, "FOR UPDATE", id, attempt)
	}
	act.write = executing("DELETE FROM product_events WHERE "+asClaimed, id, attempt)
	if slices.ContainsFunc(with, something) {
		act.before = func(tx *gorm.DB) error { return s.db.keepUsers(tx, usersIn(with, act.owner)) }
	}
	met, err := s.db.do(ctx, act, with)
	if err == nil && !met {
		return ports.ErrNotClaimed
	}
	return err
}

// usersIn are all users whom what goes along points at, and the owner, in order.
func usersIn(with []*ports.Along, owner user.ID) []string {
	ids := []string{owner.String()}
	for _, a := range with {
		if a == nil {
			continue
		}
		for _, l := range a.Letters {
			ids = append(ids, l.UserID.String())
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// keepUsers keeps users from being deleted until the transaction ends.
func (d *DB) keepUsers(tx *gorm.DB, ids []string) error {
	if d.lite {
		return nil
	}
	return tx.Exec("SELECT 1 FROM users WHERE id IN ? ORDER BY id FOR KEY SHARE", ids).Error
}

// Postpone makes the delivery due at a time.
func (s *Events) Postpone(ctx context.Context, d product.Delivery, until time.Time, why string) error {
	_, err := s.db.exec(ctx, "postpone event", "UPDATE product_events SET due_at = ?, last_error = ? WHERE "+asClaimed,
		until.UTC(), plain(why), d.ID.String(), d.Attempt)
	return err
}

// Bury sets the delivery aside.
func (s *Events) Bury(ctx context.Context, d product.Delivery, at time.Time, why string) error {
	_, err := s.db.exec(ctx, "bury event", "UPDATE product_events SET buried_at = ?, last_error = ? WHERE "+asClaimed,
		at.UTC(), plain(why), d.ID.String(), d.Attempt)
	return err
}

// Backlogs counts what there is, subscriber by subscriber.
func (s *Events) Backlogs(ctx context.Context) ([]ports.Backlog, error) {
	all, err := many(ctx, s.db, func(from scanner) (ports.Backlog, error) {
		var b ports.Backlog
		var since sql.NullTime
		err := from.Scan(&b.Subscriber, &b.Waiting, &b.Buried, &since)
		if since.Valid {
			b.Since = since.Time.UTC()
		}
		return b, err
	}, "SELECT one.subscriber, one.waiting, one.buried, oldest.created_at FROM (SELECT subscriber, count(*) - count(buried_at) AS waiting,"+
		" count(buried_at) AS buried FROM product_events GROUP BY subscriber) AS one LEFT JOIN product_events AS oldest ON oldest.id ="+
		" (SELECT e.id FROM product_events AS e WHERE e.subscriber = one.subscriber AND e.buried_at IS NULL ORDER BY e.created_at, e.id LIMIT 1)"+
		" ORDER BY one.subscriber")
	return all, s.db.failed("count events", err, nil)
}

// Buried lists what was set aside.
func (s *Events) Buried(ctx context.Context, subscriber string, limit int) ([]product.Delivery, error) {
	if limit <= 0 {
		return nil, nil
	}
	all, err := many(ctx, s.db, scanEvent, "SELECT "+eventColumns+" FROM product_events WHERE subscriber = ? AND buried_at IS NOT NULL AND kind IN ?"+
		" ORDER BY created_at, id LIMIT "+strconv.Itoa(limit), subscriber, eventKinds)
	return all, s.db.failed("list events", err, nil)
}

// Prune deletes what was set aside long ago.
func (s *Events) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.db.prune(ctx, "product_events", "id", "buried_at < ?", "buried_at", before.UTC(), limit)
}

// plain is a reason as it is kept: a while of it, and text that PostgreSQL takes.
func plain(why string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(why[:min(len(why), maxWhy)], "\x00", ""), "")
}
