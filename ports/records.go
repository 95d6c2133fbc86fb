package ports

import (
	"context"
	"time"

	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/idempotency"
	"gatehouse/domain/mail"
	"gatehouse/domain/product"
	"gatehouse/domain/secret"
	"gatehouse/domain/ticket"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

// Along is what is kept in the same step as a change: all of it together with
// the change, or nothing of either.
type Along struct {
	// Redeem is the ticket that the change uses up; zero is none. If there is
	// none with the key that is good at RedeemAt, the whole step fails with
	// ticket.ErrInvalid: of many who redeem one at once, one gets through.
	Redeem   secret.Key
	RedeemAt time.Time
	// Void are purposes whose tickets of the user are good for nothing any more.
	Void []ticket.Purpose
	// Answers are kept, to be given again. If one is kept under the same id that
	// is good at its At, the whole step fails with idempotency.ErrTaken: of many
	// who do one thing at once, one gets through. While another step under the
	// id is in work it is waited for, and when there is no time left for that,
	// the step fails with idempotency.ErrInProgress.
	Answers []idempotency.Kept
	// Letters are put into the outbox.
	Letters []mail.Letter
	// Events are put into the queue, due at once. No two to one subscriber are of
	// one product and have the same place.
	Events []product.Delivery
	// Audit is appended to the audit log, in order.
	Audit []audit.Entry
	// Admins, where it is not nil, is asked about a change of a user or of the
	// policy. Of two changes that both ask, one comes first and the other is shown
	// what it did. Its error is returned as it is, and nothing is kept.
	Admins LastWord
}

// LastWord looks at who is left to administer: it is given the version of the
// policy and the different sets of roles of those who user.User.ActsAsAdmin, in no
// order, all as it is after a change. It returns why the change must not be. It may
// run more than once and must not call the store.
type LastWord func(version int64, sets [][]user.Role) error

// Ledger keeps what goes along with no other change. Implementations pass
// portstest.Ledger.
type Ledger interface {
	// Record keeps a as one step; Void, Redeem, Answers and Admins are not for it. It
	// returns fault.NotFound if a letter is to a user who is not there.
	Record(ctx context.Context, a Along) error
}

// AuditLog reads what was appended. Implementations pass portstest.Ledger.
type AuditLog interface {
	// Heads returns the heads of all days, the oldest first; that of a day which
	// has rows and no head, because somebody took it away, has the Seq zero.
	Heads(ctx context.Context) ([]audit.Head, error)
	// Rows returns up to limit rows that are kept under the day, in the order of
	// their places, those with a greater place than after.
	Rows(ctx context.Context, day string, after int64, limit int) ([]audit.Row, error)
	// RowsOf returns up to limit entries in which the user acted or was the
	// subject, the newest first.
	RowsOf(ctx context.Context, id user.ID, limit int) ([]audit.Row, error)
	// Search returns the rows that the query means, the newest first: those of
	// the latest day, and of a day those of the greatest place. What is appended
	// while the pages are turned pushes nothing out of them.
	Search(ctx context.Context, q AuditQuery) (AuditPage, error)
}

// AuditQuery asks for a page of the audit log.
type AuditQuery struct {
	Actor  user.ID     // only what they did; zero means whoever did it
	Event  audit.Event // only these; "" means all
	Before audit.Place // only what is kept before it; zero means from the newest
	Limit  int         // at most so many
}

// AuditPage is a piece of the audit log.
type AuditPage struct {
	Rows []audit.Row
	Next audit.Place // what to ask for next as Before; zero where there is no more
}

// TicketRepository keeps what the links in mails stand for. They are used up
// through [Along]. Implementations pass portstest.Tickets.
type TicketRepository interface {
	// Issue stores a ticket and voids the one that its user has for the same
	// purpose. It returns fault.NotFound if there is no such user.
	Issue(ctx context.Context, t ticket.Ticket) error
	// Find returns the ticket with the key, if it is good at now, else
	// ticket.ErrInvalid.
	Find(ctx context.Context, k secret.Key, now time.Time) (ticket.Ticket, error)
	// Prune deletes up to limit tickets that had expired by now, and returns how
	// many.
	Prune(ctx context.Context, now time.Time, limit int) (int, error)
}

// IdempotencyRepository reads the answers that are given again; they are kept
// through [Along], and go with their caller. Implementations pass
// portstest.Idempotency.
type IdempotencyRepository interface {
	// Find returns the answer that is kept under the id, if it is good at now,
	// else idempotency.ErrNone.
	Find(ctx context.Context, id idempotency.ID, now time.Time) (idempotency.Kept, error)
	// Prune deletes up to limit answers that were no longer good at now, and
	// returns how many.
	Prune(ctx context.Context, now time.Time, limit int) (int, error)
}

// Outbox holds the letters that are to be sent; they are put in through
// [Along]. Implementations pass portstest.Outbox.
type Outbox interface {
	// Claim takes out up to limit letters that are due at now, the longest due
	// first, and makes each due again at now plus lease: of nodes that claim at
	// once each gets others, and what one that dies has claimed is not lost.
	Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]mail.Letter, error)
	// Done deletes the letter, which was sent. It is no error if it is not there.
	Done(ctx context.Context, id uuid.UUID) error
	// Postpone makes the letter due at a time, and keeps why it could not be
	// sent, as far as that is text: a mail server answers in any bytes. It is no
	// error if it is not there.
	Postpone(ctx context.Context, id uuid.UUID, until time.Time, why string) error
	// Waiting returns how many letters there are, and since when the oldest has
	// been waiting; the zero time for none.
	Waiting(ctx context.Context) (int, time.Time, error)
	// LettersTo returns the letters to the user that wait, the oldest first.
	LettersTo(ctx context.Context, id user.ID) ([]mail.Letter, error)
}

// EventQueue holds the events that subscribers are to be told of; they are put in
// through [Along], and go with the owner of their product. Implementations pass
// portstest.Events.
type EventQueue interface {
	// Claim takes out up to limit events for the subscriber that are due at now,
	// the longest due first, and makes each due again at now plus lease, as
	// Outbox.Claim does. Of one product the first alone is given: the next one
	// when that is done or buried.
	Claim(ctx context.Context, subscriber string, now time.Time, lease time.Duration, limit int) ([]product.Delivery, error)
	// Done deletes the delivery, and keeps what goes along in the same step. If
	// it is not there any more as it was claimed, since its lease was over and it
	// was claimed anew, Done returns ErrNotClaimed and keeps nothing.
	Done(ctx context.Context, d product.Delivery, with ...*Along) error
	// Postpone makes the delivery due at a time, and keeps why. It does nothing
	// if it is not there any more as it was claimed.
	Postpone(ctx context.Context, d product.Delivery, until time.Time, why string) error
	// Bury sets the delivery aside, and keeps why: it is claimed no more, and in
	// the way of none that comes after it. It does nothing if it is not there any
	// more as it was claimed.
	Bury(ctx context.Context, d product.Delivery, at time.Time, why string) error
	// Backlogs counts what there is, subscriber by subscriber, in the order of
	// their names.
	Backlogs(ctx context.Context) ([]Backlog, error)
	// Buried returns up to limit deliveries to the subscriber that were set
	// aside, the oldest first.
	Buried(ctx context.Context, subscriber string, limit int) ([]product.Delivery, error)
	// Prune deletes up to limit deliveries that were set aside before the time,
	// and returns how many.
	Prune(ctx context.Context, before time.Time, limit int) (int, error)
}

// ErrNotClaimed says that somebody else has a delivery in hand by now.
var ErrNotClaimed = fault.New(fault.Stale, "not_claimed", "Somebody else has this in hand.")

// Backlog is what there is for one subscriber.
type Backlog struct {
	Subscriber string
	Waiting    int       // to be told, those in hand included
	Since      time.Time // when the oldest that waits has happened; zero for none
	Buried     int       // set aside
}

// Mailer sends mail. Implementations pass portstest.Mailer.
type Mailer interface {
	// Send hands the mail over. When it returns nil, the mail is somebody else's
	// to deliver. Sending one with the same id again leaves one mail, or where
	// that cannot be known, mails with one Message-ID. It returns
	// fault.Unavailable if it may work later, and fault.Invalid if it never will.
	Send(ctx context.Context, m mail.Message) error
}

// Devices names the devices that people use.
type Devices interface {
	// Name gives what somebody would call the device with the User-Agent, such
	// as "Firefox on Windows"; "" where that cannot be told. Any text is taken.
	Name(userAgent string) string
}

// Origin is where a request came from and in which language to answer it by
// mail. A transport puts it into the context of a request ([WithOrigin]), so
// that it need not be handed through every call between.
type Origin struct {
	audit.Origin
	Language mail.Language // "" means English
}

type originKey struct{}

// WithOrigin gives a context that knows where the request came from.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf gives what [WithOrigin] put in; the zero Origin if nothing did.
func OriginOf(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}
