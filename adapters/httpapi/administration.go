package httpapi

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"gatehouse/application/administration"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
)

// What cannot be read of a request is handed to the application as "unread", and
// an id that is none as the zero one, which nobody has: who may not do the thing
// at all is told that and nothing else.

func (s *Server) listUsers(c *fiber.Ctx, r session.Resumed) error {
	q := readUserQuery(c.Context().QueryArgs())
	page, err := s.Administration.Search(c.UserContext(), r, q)
	if err != nil {
		return err
	}
	next := ""
	if !page.Next.IsZero() {
		next = bindUsers(q).cursor(page.Next.UUID[:])
	}
	return send(c, fiber.StatusOK, appendPage(newBody(), page.Items, appendUser, next))
}

func (s *Server) getUser(c *fiber.Ctx, r session.Resumed) error {
	u, err := s.Administration.User(c.UserContext(), r, userOf(c))
	if err != nil {
		return err
	}
	return send(c, fiber.StatusOK, appendUser(newBody(), u))
}

// userOf is the user of the path.
func userOf(c *fiber.Ctx) user.ID {
	id, _ := user.ParseID(c.Params("id"))
	return id
}

func (s *Server) updateUser(c *fiber.Ctx, r session.Resumed) error {
	u, err := s.Administration.Change(c.UserContext(), r, userOf(c), readUserChange(readPatch(c)))
	if err != nil {
		return err
	}
	return send(c, fiber.StatusOK, appendUser(newBody(), u))
}

func readUserChange(b *object) administration.Change {
	var change administration.Change
	var v fault.Validation
	if names := b.texts("roles", kept); names != nil {
		roles := make([]user.Role, len(names))
		for i, name := range names {
			var ok bool
			if roles[i], ok = user.ParseRole(name); !ok && i < maxUnknown {
				v.Add("/roles/"+strconv.Itoa(i), "invalid_value", "A role is a lower-case letter, then up to 31 of a-z, 0-9, _ and -.")
			}
		}
		change.Roles = &roles
	}
	if name := b.text("status", kept); name != nil {
		var ok bool
		if change.Status, ok = user.ParseStatus(*name); !ok {
			v.Add("/status", "invalid_value", "A status is active or disabled.")
		}
	}
	change.Unread = fault.Merge(b.err(), v.Err())
	return change
}

func (s *Server) listUserSessions(c *fiber.Ctx, r session.Resumed) error {
	list, err := s.Administration.UserSessions(c.UserContext(), r, userOf(c))
	if err != nil {
		return err
	}
	one := func(b []byte, l session.Session) []byte { return s.appendSession(b, l, r.Session.ID()) }
	return send(c, fiber.StatusOK, appendPage(newBody(), list, one, ""))
}

func (s *Server) endUserSessions(c *fiber.Ctx, r session.Resumed) error {
	id := userOf(c)
	if err := s.Administration.EndSessions(c.UserContext(), r, id); err != nil {
		return err
	}
	if id == r.User.ID() {
		exchangeOf(c.Context()).setCookie = s.cookie.clear()
	}
	return noContent(c)
}

func (s *Server) endUserSession(c *fiber.Ctx, r session.Resumed) error {
	one, _ := session.ParseID(c.Params("sessionId"))
	if err := s.Administration.EndSession(c.UserContext(), r, userOf(c), one); err != nil {
		return err
	}
	if one == r.Session.ID() {
		exchangeOf(c.Context()).setCookie = s.cookie.clear()
	}
	return noContent(c)
}

func (s *Server) listAudit(c *fiber.Ctx, r session.Resumed) error {
	q := readAuditQuery(c.Context().QueryArgs())
	page, err := s.Administration.Audit(c.UserContext(), r, q)
	if err != nil {
		return err
	}
	next := ""
	if !page.Next.IsZero() {
		next = bindAudit(q).cursor(placeBytes(page.Next))
	}
	return send(c, fiber.StatusOK, appendPage(newBody(), page.Rows, appendAudit, next))
}

// query reads the parameters of a list. An empty one counts as absent, of a
// repeated one the first counts, an unknown one is ignored.
type query struct {
	args   *fasthttp.Args
	faults fault.Validation
}

// param gives the parameter if it is there, and records what is wrong if read,
// which is given it, is false.
func (q *query) param(name, code, detail string, read func(string) bool) {
	if s := string(q.args.Peek(name)); s != "" && !read(s) {
		q.faults.Add("/"+name, code, detail)
	}
}

func (q *query) limit() (n int) {
	q.param("limit", "out_of_range", "A limit is a whole number from 1 to "+strconv.Itoa(administration.MaxLimit)+".",
		func(s string) (ok bool) { n, ok = parseLimit(s); return ok })
	return n
}

// after gives the place of the cursor, for the query that b is of. It is asked for
// last: what is wrong with the query comes first.
func (q *query) after(b binding, read func(place []byte) bool) error {
	if err := q.faults.Err(); err != nil {
		return err
	}
	cursor := string(q.args.Peek("cursor"))
	if cursor == "" {
		return nil
	}
	if place, ok := b.place(cursor); !ok || !read(place) {
		return errInvalidCursor
	}
	return nil
}

func readUserQuery(args *fasthttp.Args) administration.UserQuery {
	q := query{args: args}
	u := administration.UserQuery{Limit: q.limit()}
	q.param("q", "invalid_characters", "Text is UTF-8 without NUL.", func(s string) bool {
		u.Text = s
		return utf8.ValidString(s) && !strings.ContainsRune(s, 0)
	})
	q.param("role", "invalid_value", "A role is a lower-case letter, then up to 31 of a-z, 0-9, _ and -.",
		func(s string) (ok bool) { u.Role, ok = user.ParseRole(s); return ok })
	q.param("status", "invalid_value", "A status is active or disabled.",
		func(s string) (ok bool) { u.Status, ok = user.ParseStatus(s); return ok })
	u.Unread = q.after(bindUsers(u), func(place []byte) bool {
		copy(u.Before.UUID[:], place)
		return len(place) == len(u.Before.UUID) && !u.Before.IsZero()
	})
	return u
}

func bindUsers(q administration.UserQuery) binding {
	return bind([]byte("users"), q.Text, q.Role.String(), q.Status.String())
}

func readAuditQuery(args *fasthttp.Args) administration.AuditQuery {
	q := query{args: args}
	a := administration.AuditQuery{Limit: q.limit()}
	q.param("actor", "invalid_value", "An actor is a user's id.",
		func(s string) (ok bool) { a.Actor, ok = user.ParseID(s); return ok })
	q.param("event", "invalid_value", "An event is a name such as session.signed_in.",
		func(s string) (ok bool) { a.Event, ok = audit.ParseEvent(s); return ok })
	a.Unread = q.after(bindAudit(a), func(place []byte) (ok bool) {
		a.Before, ok = parsePlace(place)
		return ok
	})
	return a
}

func bindAudit(q administration.AuditQuery) binding {
	return bind([]byte("audit"), q.Actor.String(), string(q.Event))
}

// placeBytes are the day and eight bytes for what counts on it.
func placeBytes(p audit.Place) []byte {
	return binary.BigEndian.AppendUint64([]byte(p.Day), uint64(p.Seq))
}

// parsePlace reads them, within what a store can be asked about.
func parsePlace(b []byte) (audit.Place, bool) {
	const day = len(time.DateOnly)
	if len(b) != day+8 {
		return audit.Place{}, false
	}
	p := audit.Place{Day: string(b[:day]), Seq: int64(binary.BigEndian.Uint64(b[day:]))}
	_, err := time.Parse(time.DateOnly, p.Day)
	return p, err == nil
}
