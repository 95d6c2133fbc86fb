package administration

import (
	"context"
	"errors"

	"gatehouse/application/gate"
	"gatehouse/application/journal"
	"gatehouse/application/sessions"
	"gatehouse/domain/access"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Config is what a [Service] is made of; every field is needed.
type Config struct {
	Users    ports.UserRepository
	Log      ports.AuditLog
	Sessions *sessions.Service
	Gate     *gate.Gate
	Random   ports.Random
	Now      ports.Clock
}

// Service is what those do with the accounts of others to whom the policy gives
// it: the actions read and update of users, read and delete of sessions, and read
// of the audit log. A condition "own" is about one's own account and sessions.
//
// Every method returns access.ErrForbidden, which is written down, before it
// tells anything else, such as that there is no such user.
type Service struct {
	Config
	changer changer
}

// New returns a service over the ports.
func New(c Config) *Service {
	return &Service{c, changer{c.Users, c.Sessions, journal.Book{Random: c.Random, Now: c.Now}}}
}

// Bounds of a page.
const (
	DefaultLimit = 20
	MaxLimit     = 100
)

// UserQuery asks for a page of users, the newest first.
type UserQuery struct {
	Text   string      // what stands in the address or the name, in whatever case
	Role   user.Role   // who was given it; zero means any
	Status user.Status // zero means any
	Before user.ID     // where the page before ended; zero means from the newest
	Limit  int         // 0 means DefaultLimit
	Unread error       // what a transport could not read of the query
}

// UserPage is a piece of the list of users.
type UserPage struct {
	Items []user.User
	Next  user.ID // where the next page begins; zero on the last
}

// Search returns a page of the users that the caller may read. It takes the right
// to read any user: who may read but some has no list.
func (s *Service) Search(ctx context.Context, r session.Resumed, q UserQuery) (UserPage, error) {
	visible, err := s.visible(ctx, r)
	if err != nil {
		return UserPage{}, err
	}
	if q.Unread != nil {
		return UserPage{}, q.Unread
	}
	limit := limitOf(q.Limit)
	found, err := s.Users.Search(ctx, ports.UserQuery{
		Visible: visible, Text: q.Text, Role: q.Role, Status: q.Status, Before: q.Before,
		Limit: limit + 1, // one more tells whether there is another page
	})
	if err != nil {
		return UserPage{}, err
	}
	if len(found) <= limit {
		return UserPage{Items: found}, nil
	}
	return UserPage{Items: found[:limit], Next: found[limit-1].ID()}, nil
}

// visible are the accounts that the caller may read.
func (s *Service) visible(ctx context.Context, r session.Resumed) (access.Filter, error) {
	rights, err := s.permit(ctx, r, access.Any(access.KindUser), access.Read)
	if err != nil {
		return nil, err
	}
	return rights.Filter(access.Read, access.KindUser)
}

// permit returns the caller's rights if they may do all of the actions with the
// resource, and else access.ErrForbidden, which is written down.
func (s *Service) permit(ctx context.Context, r session.Resumed, on access.Resource, actions ...access.Action) (access.Rights, error) {
	a := sessions.Actor(r)
	rights, err := s.Gate.Rights(ctx, a)
	if err != nil {
		return nil, err
	}
	for _, action := range actions {
		if err := gate.Judge(rights, a, action, on); err != nil {
			return nil, s.Gate.Record(ctx, a, err)
		}
	}
	return rights, nil
}

func limitOf(asked int) int {
	if asked == 0 {
		asked = DefaultLimit
	}
	return min(max(asked, 1), MaxLimit)
}

// User returns the user, or fault.NotFound.
func (s *Service) User(ctx context.Context, r session.Resumed, id user.ID) (user.User, error) {
	return s.find(ctx, r, access.Read, access.KindUser, id)
}

// find returns the user if the caller may do the action with what is theirs.
func (s *Service) find(ctx context.Context, r session.Resumed, action access.Action, k access.Kind, id user.ID) (user.User, error) {
	if _, err := s.permit(ctx, r, access.Of(k, id), action); err != nil {
		return user.User{}, err
	}
	if id.IsZero() { // what a transport could not read is nobody's
		return user.User{}, user.ErrUnknown
	}
	return s.Users.Find(ctx, id)
}

// Change alters the user's roles and status in one step, and returns what the
// user is then. Whoever may change users may give any role to anybody: the policy
// should give that right to those alone who may do everything.
//
// It returns sessions.ErrReauthRequired where something is to be changed and the
// caller has not shown recently who they are, user.ErrLastAdmin, also if those who
// would be left to act as admin are denied by other roles of theirs what an admin
// needs to undo it, and what is wrong with the change.
func (s *Service) Change(ctx context.Context, r session.Resumed, id user.ID, c Change) (user.User, error) {
	// The answer shows the user.
	if _, err := s.permit(ctx, r, access.Of(access.KindUser, id), access.Read, access.Update); err != nil {
		return user.User{}, err
	}
	if c.Roles != nil || c.Status != (user.Status{}) {
		if err := s.Sessions.Proved(r); err != nil {
			return user.User{}, err
		}
	}
	if id.IsZero() {
		return user.User{}, user.ErrUnknown
	}
	var u user.User
	err := s.Watched(ctx, r, func(over func(user.User) ports.LastWord) (err error) {
		u, err = s.changer.change(ctx, r.User.ID(), id, c, over)
		return err
	})
	return u, err
}

// Watched runs a step that may take an admin away, again if the policy is changed
// meanwhile. over gives what has the last word on it (ports.Along.Admins), for the
// admin as they were: it refuses, as user.ErrLastAdmin, if other roles of those who
// are left deny them what an admin needs.
func (s *Service) Watched(ctx context.Context, r session.Resumed, step func(over func(user.User) ports.LastWord) error) error {
	w := watch{authorizer: s.Gate.Authorizer, version: sessions.Actor(r).PolicyVersion()}
	for {
		if _, err := w.rights(ctx, nil); err != nil { // has the policy read, since the step cannot
			return err
		}
		err := step(func(before user.User) ports.LastWord { return w.over(ctx, before) })
		if !errors.Is(err, errPolicyMoved) {
			return err
		}
	}
}

// watch sees to it that somebody is left who acts as admin and can do what is
// essential: another role of theirs may deny it.
type watch struct {
	authorizer ports.Authorizer
	version    int64 // of the policy, which the authorizer has read
}

// errPolicyMoved says that the policy has another version by now. The step in
// which that is found out must not ask the store for it.
var errPolicyMoved = errors.New("the policy was changed meanwhile")

func (w *watch) rights(ctx context.Context, roles []user.Role) (access.Rights, error) {
	return w.authorizer.Rights(ctx, access.SignedIn(user.Restore(user.State{ID: somebody, Roles: roles, Status: user.Active}), w.version))
}

// over gives the last word on a change of an admin. Where even they could not do
// what is essential, and nobody else, nobody is held back.
func (w *watch) over(ctx context.Context, before user.User) ports.LastWord {
	return func(version int64, sets [][]user.Role) error {
		if version != w.version {
			w.version = version
			return errPolicyMoved
		}
		for _, roles := range sets {
			if able, err := w.able(ctx, roles); able || err != nil {
				return err
			}
		}
		could, err := w.able(ctx, before.Roles())
		if could {
			return lockedOut("no account with the role admin would be left that can read, create and delete policies and read and update users")
		}
		return err
	}
}

// able reports whether somebody with the roles can do all that is essential by the
// policy that was read.
func (w *watch) able(ctx context.Context, roles []user.Role) (bool, error) {
	rights, err := w.rights(ctx, roles)
	if err != nil {
		return false, err
	}
	return canAll(func(access.Actor) access.Rights { return rights }, roles)
}

// UserSessions returns the sessions of the user that are good now, the most
// recently begun first.
func (s *Service) UserSessions(ctx context.Context, r session.Resumed, id user.ID) ([]session.Session, error) {
	u, err := s.find(ctx, r, access.Read, access.KindSession, id)
	if err != nil {
		return nil, err
	}
	return s.Sessions.ListOf(ctx, u)
}

// EndSession ends one session of the user. It takes a recent proof, as
// [Service.Change] does, and returns fault.NotFound if the user has none such.
func (s *Service) EndSession(ctx context.Context, r session.Resumed, id user.ID, one session.ID) error {
	if err := s.mayEnd(ctx, r, id); err != nil {
		return err
	}
	return s.Sessions.EndOne(ctx, r.User.ID(), id, one, session.EndedByAdmin)
}

// EndSessions ends all sessions of the user, with a recent proof. It returns
// fault.NotFound if there is no such user.
func (s *Service) EndSessions(ctx context.Context, r session.Resumed, id user.ID) error {
	if err := s.mayEnd(ctx, r, id); err != nil {
		return err
	}
	if _, err := s.Users.Find(ctx, id); err != nil {
		return err
	}
	return s.Sessions.EndAll(ctx, r.User.ID(), id, session.EndedByAdmin, session.Key{})
}

func (s *Service) mayEnd(ctx context.Context, r session.Resumed, id user.ID) error {
	if _, err := s.permit(ctx, r, access.Of(access.KindSession, id), access.Delete); err != nil {
		return err
	}
	return s.Sessions.Proved(r)
}
