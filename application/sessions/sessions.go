// Package sessions signs people in and out and knows them again: it begins,
// resumes, lists and ends sessions.
//
// It holds the two promises that everything else rests on. Only "there is no
// such account" and "this is not the password" become [ErrInvalidCredentials],
// and only "there is no such session" becomes access.ErrUnauthenticated: a store
// that cannot be asked is fault.Unavailable. And a session that was ended stays
// ended, whatever slower request still carries its token.
//
// Signing in stands in signin.go, showing once more who one is in proof.go.
package sessions

import (
	"context"
	"errors"
	"time"

	"gatehouse/application/guard"
	"gatehouse/application/journal"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Config is what a [Service] is made of; every field is needed but those that
// say what they mean where they are left out.
type Config struct {
	Users     ports.UserRepository
	Sessions  ports.SessionRepository
	Directory ports.SessionDirectory
	Factors   ports.FactorRepository
	Ledger    ports.Ledger
	Hasher    ports.PasswordHasher
	Codes     ports.OneTimePasswords
	Sealer    ports.Sealer
	Devices   ports.Devices
	Random    ports.Random
	Now       ports.Clock
	Guard     *guard.Guard
	Lifetime  session.Lifetime

	Max      int           // sessions of one user; older ones make room; 0 means no bound
	Reauth   time.Duration // how long showing who one is counts; 0 means DefaultReauth
	Verified bool          // only who has verified the address signs in
}

// DefaultReauth is how long somebody who has shown who they are need not do so
// again for a sensitive act.
const DefaultReauth = 10 * time.Minute

// Service signs in, resumes, lists and ends.
type Service struct {
	Config
	book journal.Book
}

// New returns a service over the ports.
func New(c Config) *Service {
	if c.Reauth == 0 {
		c.Reauth = DefaultReauth
	}
	return &Service{c, journal.Book{Random: c.Random, Now: c.Now}}
}

// Resume knows the owner of a token again. It returns access.ErrUnauthenticated if
// the session was ended, has run out, is pending, or its user may not sign in any
// more, with the reason where that is seen without a further look. Use of the
// session is written down once per renewal step.
func (s *Service) Resume(ctx context.Context, t session.Token) (session.Resumed, error) {
	r, now, err := s.look(ctx, t)
	if err != nil {
		return session.Resumed{}, err
	}
	if r.Session.Pending() {
		return session.Resumed{}, access.ErrUnauthenticated
	}
	renewed, due := r.Session.Renewed(s.Lifetime, now)
	if !due {
		return r, nil
	}
	if err := s.Sessions.Replace(ctx, t.Key(), renewed, session.Reason{}, now); err != nil {
		return session.Resumed{}, ended(err) // signed out since it was read
	}
	r.Session = renewed
	return r, nil
}

// ResumePending knows again who has to take the second step of signing in. It
// returns access.ErrUnauthenticated for any other token.
func (s *Service) ResumePending(ctx context.Context, t session.Token) (session.Resumed, error) {
	r, _, err := s.look(ctx, t)
	if err == nil && !r.Session.Pending() {
		return session.Resumed{}, access.ErrUnauthenticated
	}
	return r, err
}

// look finds the session of a token, if it is over by nothing.
func (s *Service) look(ctx context.Context, t session.Token) (session.Resumed, time.Time, error) {
	r, err := s.Sessions.Resume(ctx, t.Key())
	if err != nil {
		return session.Resumed{}, time.Time{}, ended(err)
	}
	now := s.Now()
	if why, over := r.Over(now); over {
		return session.Resumed{}, time.Time{}, access.ErrUnauthenticated.For(why.String())
	}
	return r, now, nil
}

// ended turns the absence of a session into what it means for its holder.
func ended(err error) error {
	if errors.Is(err, fault.NotFound) {
		return access.ErrUnauthenticated.Because(err)
	}
	return err
}

// Explain adds to an access.ErrUnauthenticated of [Service.Resume] why the
// session ended, if that is still known. It costs a look of its own, so it is
// for those who tell it on.
func (s *Service) Explain(ctx context.Context, t session.Token, refused error) error {
	f, ok := errors.AsType[*fault.Error](refused)
	if !ok || f.Kind != fault.Unauthenticated || f.Reason != "" {
		return refused
	}
	p, err := s.Sessions.Past(ctx, t.Key())
	switch {
	case errors.Is(err, fault.NotFound):
		return refused
	case err != nil:
		return err
	}
	return f.For(p.Why.String())
}

// Actor is who acts in a resumed session.
func Actor(r session.Resumed) access.Actor { return access.SignedIn(r.User, r.PolicyVersion) }

// SignOut ends the session of the token. It is no error if there is none.
func (s *Service) SignOut(ctx context.Context, t session.Token) error {
	one, err := s.Sessions.End(ctx, t.Key(), s.because(session.SignedOut))
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.tell(ctx, one.UserID(), session.SignedOut, one)
}

func (s *Service) because(why session.Reason) session.Ending {
	return session.Ending{Why: why, At: s.Now()}
}

// tell writes down that the actor has ended sessions.
func (s *Service) tell(ctx context.Context, actor user.ID, why session.Reason, ended ...session.Session) error {
	if len(ended) == 0 {
		return nil
	}
	return s.Ledger.Record(ctx, ports.Along{Audit: s.book.Ended(ctx, actor, why, ended...)})
}

// Rotate puts a resumed session under a new token, for the user's present
// epoch, after the user has shown the old password and chosen a new one. It
// returns access.ErrUnauthenticated if the session was ended meanwhile.
func (s *Service) Rotate(ctx context.Context, r session.Resumed, u user.User) (SignedIn, error) {
	token, now := s.Random.Token(), s.Now()
	next := r.Session.Rotated(token.Key(), u.SessionEpoch()).Reproved(token.Key(), session.ByPassword, now)
	err := s.Sessions.Replace(ctx, r.Session.Key(), next, session.PasswordChanged, now)
	return SignedIn{User: u, Session: next, Token: token}, ended(err)
}

// List returns the caller's sessions that are good now, the most recently begun
// first.
func (s *Service) List(ctx context.Context, r session.Resumed) ([]session.Session, error) {
	return s.ListOf(ctx, r.User)
}

// ListOf returns the sessions of a user as [Service.List] does those of the caller.
func (s *Service) ListOf(ctx context.Context, u user.User) ([]session.Session, error) {
	all, err := s.Directory.List(ctx, u.ID())
	if err != nil {
		return nil, err
	}
	now := s.Now()
	good := all[:0]
	for _, one := range all {
		if (session.Resumed{Session: one, User: u}).Good(now) {
			good = append(good, one)
		}
	}
	return good, nil
}

// End ends one of the caller's sessions, the present one if it is named. It
// returns fault.NotFound if the caller has none such.
func (s *Service) End(ctx context.Context, r session.Resumed, id session.ID) error {
	return s.EndOne(ctx, r.User.ID(), r.User.ID(), id, session.EndedByOwner)
}

// EndOne has the actor end one session of a user. It returns fault.NotFound if
// the user has none such.
func (s *Service) EndOne(ctx context.Context, actor, id user.ID, one session.ID, why session.Reason) error {
	ended, err := s.Directory.EndOne(ctx, id, one, s.because(why))
	if err != nil {
		return err
	}
	return s.tell(ctx, actor, why, ended)
}

// EndOthers ends all of the caller's sessions but the present one.
func (s *Service) EndOthers(ctx context.Context, r session.Resumed) error {
	return s.EndAll(ctx, r.User.ID(), r.User.ID(), session.EndedByOwner, r.Session.Key())
}

// EndAll has the actor end all sessions of a user, but the one with the key keep
// if that is not zero.
func (s *Service) EndAll(ctx context.Context, actor, id user.ID, why session.Reason, keep session.Key) error {
	all, err := s.Directory.EndOthers(ctx, id, keep, s.because(why))
	if err != nil {
		return err
	}
	return s.tell(ctx, actor, why, all...)
}

// pruneBatch is how many rows one statement of [Service.Prune] deletes at the
// most, so that it never holds locks for long.
const pruneBatch = 1000

// Prune deletes the sessions that have run out, and what is left of those that
// ended long ago (session.PastKept), in small batches, and returns how many
// sessions it deleted. It is housekeeping: they are good for nothing already.
func (s *Service) Prune(ctx context.Context) (int, error) {
	deleted, err := s.batches(ctx, func() (int, error) { return s.Directory.Prune(ctx, s.Now(), pruneBatch) })
	if err != nil {
		return deleted, err
	}
	_, err = s.batches(ctx, func() (int, error) {
		return s.Directory.PrunePast(ctx, s.Now().Add(-session.PastKept), pruneBatch)
	})
	return deleted, err
}

// longestPause bounds how long [Service.Prune] rests after a batch.
const longestPause = time.Second

// batches repeats prune until a batch is not full. After each it rests as long as
// that took, so that a store with a million of them to delete has half of its
// time for people.
func (s *Service) batches(ctx context.Context, prune func() (int, error)) (total int, err error) {
	for {
		began := s.Now()
		n, err := prune()
		total += n
		if err != nil || n < pruneBatch {
			return total, err
		}
		select {
		case <-time.After(min(s.Now().Sub(began), longestPause)):
		case <-ctx.Done():
			return total, fault.Outage(ctx.Err())
		}
	}
}
