package ports

import (
	"context"
	"time"

	"gatehouse/domain/audit"
	"gatehouse/domain/mail"
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
	// Letters are put into the outbox.
	Letters []mail.Letter
	// Audit is appended to the audit log, in order.
	Audit []audit.Entry
}

// Ledger keeps what goes along with no other change. Implementations pass
// portstest.Ledger.
type Ledger interface {
	// Record keeps a as one step; Void and Redeem are not for it. It returns
	// fault.NotFound if a letter is to a user who is not there.
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
