package memory

import (
	"context"
	"slices"
	"sync"

	"gatehouse/domain/mail"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// Mailbox is a mailer that delivers to itself: what was sent can be read.
type Mailbox struct {
	mu   sync.Mutex
	byID map[uuid.UUID]int // place in mail
	mail []mail.Message
}

var _ ports.Mailer = (*Mailbox)(nil)

// NewMailbox returns an empty mailbox.
func NewMailbox() *Mailbox { return &Mailbox{byID: map[uuid.UUID]int{}} }

// Send implements ports.Mailer. A mail that comes again takes the place of the
// one before: what it says now is what holds.
func (b *Mailbox) Send(ctx context.Context, m mail.Message) error {
	if err := alive(ctx); err != nil {
		return err
	}
	m, err := m.Checked()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if at, again := b.byID[m.ID]; again {
		b.mail[at] = m
		return nil
	}
	b.byID[m.ID] = len(b.mail)
	b.mail = append(b.mail, m)
	return nil
}

// Messages gives the mails, in the order in which they came first.
func (b *Mailbox) Messages() []mail.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.mail)
}
