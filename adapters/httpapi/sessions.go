package httpapi

import (
	"github.com/gofiber/fiber/v2"

	"gatehouse/application/sessions"
	"gatehouse/domain/session"
)

// login signs in. The session that the request's cookie stands for, if it is
// alive, ends with that; a sign-in that fails leaves it alone.
func (s *Server) login(c *fiber.Ctx, over *session.Resumed) error {
	b := readBody(c)
	credentials := sessions.Credentials{
		Email:    orZero(b.text("email", required)),
		Password: orZero(b.text("password", required)),
		Remember: b.flag("rememberMe"),
	}
	if err := b.err(); err != nil {
		return err
	}
	device := session.NewDevice(c.Get(fiber.HeaderUserAgent), s.client(c.Context()))
	in, err := s.Sessions.SignIn(c.UserContext(), credentials, device, over)
	if err != nil {
		return err
	}
	x := exchangeOf(c.Context())
	x.user = in.User.ID().String()
	x.setCookie = s.cookie.set(in.Token, in.Session, s.Now())
	return send(c, fiber.StatusOK, appendSignedIn(newBody(), in))
}

func appendSignedIn(b []byte, in sessions.SignedIn) []byte {
	b = append(b, `{"user":`...)
	b = appendUser(b, in.User)
	b = append(b, `,"session":`...)
	b = appendSession(b, in.Session, in.Session.ID())
	return append(b, '}')
}

// logout ends the session whatever state it is in, so it does not resume it. If
// the store cannot be asked the cookie stays: the client must know that it is
// still signed in.
func (s *Server) logout(c *fiber.Ctx) error {
	x := exchangeOf(c.Context())
	if token, ok := session.ParseToken(string(x.token)); ok {
		if err := s.Sessions.SignOut(c.UserContext(), token); err != nil {
			return err
		}
	}
	x.setCookie = s.cookie.clear()
	return noContent(c)
}

func (s *Server) listSessions(c *fiber.Ctx, r session.Resumed) error {
	list, err := s.Sessions.List(c.UserContext(), r)
	if err != nil {
		return err
	}
	one := func(b []byte, l session.Session) []byte { return appendSession(b, l, r.Session.ID()) }
	return send(c, fiber.StatusOK, appendPage(newBody(), list, one, ""))
}

func (s *Server) endOtherSessions(c *fiber.Ctx, r session.Resumed) error {
	if err := s.Sessions.EndOthers(c.UserContext(), r); err != nil {
		return err
	}
	return noContent(c)
}

// endSession ends the session of the path. No check that it is not the present
// one: it is, where somebody signs this device out of a list.
func (s *Server) endSession(c *fiber.Ctx, r session.Resumed) error {
	id, ok := session.ParseID(c.Params("id"))
	if !ok {
		return session.ErrUnknown
	}
	if err := s.Sessions.End(c.UserContext(), r, id); err != nil {
		return err
	}
	if id == r.Session.ID() {
		exchangeOf(c.Context()).setCookie = s.cookie.clear()
	}
	return noContent(c)
}
