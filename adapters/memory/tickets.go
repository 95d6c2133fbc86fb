package memory

import (
	"context"
	"maps"
	"time"

	"gatehouse/domain/secret"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Tickets keeps tickets in memory.
type Tickets struct{ db *DB }

var _ ports.TicketRepository = (*Tickets)(nil)

// Issue implements ports.TicketRepository.
func (s *Tickets) Issue(ctx context.Context, t ticket.Ticket) error {
	return s.db.write(ctx, func() error {
		if !s.db.hasUser(t.UserID) {
			return user.ErrUnknown
		}
		s.db.void(t.UserID, t.Purpose)
		t.IssuedAt, t.ExpiresAt = instant(t.IssuedAt), instant(t.ExpiresAt)
		s.db.tickets[t.Key] = t
		return nil
	})
}

// void deletes the user's ticket for the purpose, within a write.
func (db *DB) void(id user.ID, p ticket.Purpose) {
	maps.DeleteFunc(db.tickets, func(_ secret.Key, t ticket.Ticket) bool { return t.UserID == id && t.Purpose == p })
}

// Find implements ports.TicketRepository.
func (s *Tickets) Find(ctx context.Context, k secret.Key, now time.Time) (t ticket.Ticket, err error) {
	err = s.db.read(ctx, func() error {
		found, ok := s.db.tickets[k]
		if !ok || !found.Good(now) {
			return ticket.ErrInvalid
		}
		t = found
		return nil
	})
	return t, err
}

// Prune implements ports.TicketRepository.
func (s *Tickets) Prune(ctx context.Context, now time.Time, limit int) (n int, err error) {
	err = s.db.write(ctx, func() error {
		n = deleteSome(s.db.tickets, limit, func(t ticket.Ticket) bool { return !t.Good(now) })
		return nil
	})
	return n, err
}
