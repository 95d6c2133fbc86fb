// Package journal makes what is written down beside a change: entries of the
// audit log and letters for the outbox, each with where its request came from.
// What is kept, and in one step with what, is ports.Along.
package journal

import (
	"context"
	"strconv"

	"gatehouse/domain/audit"
	"gatehouse/domain/mail"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Book makes entries and letters.
type Book struct {
	Random ports.Random
	Now    ports.Clock
}

// Entry says that the actor did something to the subject. detail is names and
// values in turn.
func (b Book) Entry(ctx context.Context, e audit.Event, o audit.Outcome, actor user.ID, s audit.Subject, detail ...string) audit.Entry {
	now := b.Now()
	return audit.Entry{
		ID: b.Random.ID(now), At: now, Event: e, Outcome: o, Actor: actor, Subject: s,
		Origin: ports.OriginOf(ctx).Origin, Detail: pairs(detail),
	}
}

// Own says that the user did something to their own account.
func (b Book) Own(ctx context.Context, e audit.Event, o audit.Outcome, id user.ID, detail ...string) audit.Entry {
	return b.Entry(ctx, e, o, id, audit.Of(id), detail...)
}

// Ended says of each session that the actor has ended it, and why.
func (b Book) Ended(ctx context.Context, actor user.ID, why session.Reason, ended ...session.Session) []audit.Entry {
	list := make([]audit.Entry, len(ended))
	for i, one := range ended {
		list[i] = b.Entry(ctx, audit.SessionEnded, audit.Success, actor, audit.Subject{Type: "session", ID: one.ID().String()},
			"reason", why.String(), "user", one.UserID().String())
	}
	return list
}

// Letter is one to the user, at the address that the account has.
func (b Book) Letter(ctx context.Context, k mail.Kind, u user.User, detail ...string) mail.Letter {
	return b.LetterTo(ctx, k, u, u.Email(), detail...)
}

// LetterTo is one to the user at another address. Where a link goes with it, it
// says for which epoch of the user's sessions that was asked for ([StillMeant]).
func (b Book) LetterTo(ctx context.Context, k mail.Kind, u user.User, to user.Email, detail ...string) mail.Letter {
	now := b.Now()
	language := ports.OriginOf(ctx).Language
	if language == "" {
		language = mail.English
	}
	if _, link := k.Purpose(); link {
		detail = append(detail, epoch, strconv.FormatInt(u.SessionEpoch(), 10))
	}
	return mail.Letter{
		ID: b.Random.ID(now), UserID: u.ID(), Kind: k, To: to, Language: language,
		Detail: pairs(detail), CreatedAt: now,
	}
}

const epoch = "epoch"

// StillMeant reports whether the link of a letter to the user is to be sent.
// Whoever sets a new password, or disables an account, may do so because of what
// somebody else has asked for in it: a letter that waited meanwhile must not
// bring them a new link.
func StillMeant(l mail.Letter, u user.User) bool {
	return l.Detail[epoch] == strconv.FormatInt(u.SessionEpoch(), 10)
}

func pairs(list []string) map[string]string {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		m[list[i]] = list[i+1]
	}
	return m
}
