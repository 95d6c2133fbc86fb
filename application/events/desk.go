package events

import (
	"context"
	"errors"
	"strings"
	"sync"

	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Desk is what a subscriber may use while it handles one event: it reads, and
// leaves mails to be sent. What is left is kept when the subscriber has returned
// nil, in one step with the note that it was told, and else not at all.
type Desk struct {
	service  *Service
	delivery product.Delivery

	mu     sync.Mutex
	left   []mail.Letter
	closed bool
}

func (s *Service) desk(d product.Delivery) *Desk { return &Desk{service: s, delivery: d} }

// User returns the user, or fault.NotFound.
func (d *Desk) User(ctx context.Context, id user.ID) (user.User, error) {
	return d.service.Users.Find(ctx, id)
}

// Product returns the product as it is now, which may be another version than
// that of the event, or fault.NotFound.
func (d *Desk) Product(ctx context.Context, id product.ID) (product.Product, error) {
	return d.service.Products.Find(ctx, id)
}

// Note is what a subscriber has to say by mail. Blank lines part paragraphs.
type Note struct {
	Subject  string
	Text     string
	Language mail.Language // of greeting and footer; "" means English
}

// Mail leaves a mail to the user at the address of the account. Who has gone, is
// disabled, or has not answered a mail to this address gets none: else anybody
// could have us write words of theirs, such as the name of a product, to anybody.
func (d *Desk) Mail(ctx context.Context, to user.ID, n Note) error {
	u, err := d.User(ctx, to)
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if !u.EmailVerified() || u.Status() != user.Active {
		return nil
	}
	now := d.service.Now()
	letter := mail.Letter{
		ID: d.service.Random.ID(now), UserID: u.ID(), Kind: mail.Notice, To: u.Email(), Language: n.Language,
		Detail:    map[string]string{"subject": strings.Join(strings.Fields(n.Subject), " "), "text": n.Text},
		CreatedAt: now,
	}
	if letter.Language == "" {
		letter.Language = mail.English
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errors.New("events: a mail was left after its event was dealt with")
	}
	d.left = append(d.left, letter)
	return nil
}

// leave takes what was left, and takes no more.
func (d *Desk) leave() *ports.Along {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return &ports.Along{Letters: d.left}
}
