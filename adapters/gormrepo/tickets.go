package gormrepo

import (
	"context"
	"fmt"
	"time"

	"gatehouse/domain/secret"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var _ ports.TicketRepository = (*Tickets)(nil)

// Tickets keeps what the links in mails stand for.
type Tickets struct{ db *DB }

// Issue stores a ticket in the place of the one that its user has for the same
// purpose.
func (s *Tickets) Issue(ctx context.Context, t ticket.Ticket) error {
	_, err := s.db.exec(ctx, "issue ticket",
		"INSERT INTO tickets (key, user_id, purpose, email, email_canonical, issued_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)"+
			" ON CONFLICT (user_id, purpose) DO UPDATE SET key = excluded.key, email = excluded.email,"+
			" email_canonical = excluded.email_canonical, issued_at = excluded.issued_at, expires_at = excluded.expires_at",
		t.Key.Hex(), t.UserID.String(), t.Purpose.String(), t.Email.String(), t.Email.Canonical(), t.IssuedAt.UTC(), t.ExpiresAt.UTC())
	return err
}

// Find returns the ticket with the key, if it is good.
func (s *Tickets) Find(ctx context.Context, k secret.Key, now time.Time) (ticket.Ticket, error) {
	var owner, purpose, email, canonical string
	t := ticket.Ticket{Key: k}
	err := s.db.one(ctx, []any{&owner, &purpose, &email, &canonical, &t.IssuedAt, &t.ExpiresAt},
		"SELECT user_id, purpose, email, email_canonical, issued_at, expires_at FROM tickets WHERE key = ? AND expires_at > ?",
		k.Hex(), now.UTC())
	if err != nil {
		return ticket.Ticket{}, s.db.failed("find ticket", err, ticket.ErrInvalid)
	}
	var ok, known bool
	t.UserID, ok = user.ParseID(owner)
	t.Purpose, known = ticket.ParsePurpose(purpose)
	if !ok || !known {
		return ticket.Ticket{}, s.db.failed("find ticket", fmt.Errorf("the row of a ticket of user %q cannot be read", owner), nil)
	}
	t.Email = user.RestoreEmail(email, canonical)
	t.IssuedAt, t.ExpiresAt = t.IssuedAt.UTC(), t.ExpiresAt.UTC()
	return t, nil
}

// Prune deletes tickets that have expired.
func (s *Tickets) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	return s.db.prune(ctx, "tickets", "key", "expires_at <= ?", "expires_at", now.UTC(), limit)
}
