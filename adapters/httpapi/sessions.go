package httpapi

import (
	"github.com/gofiber/fiber/v2"

	"gatehouse/application/sessions"
	"gatehouse/domain/session"
	"gatehouse/ports"
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
	x := exchangeOf(c.Context())
	credentials.KnownDevice = x.knownDevice()
	if over == nil {
		over = x.pending
	}
	in, err := s.Sessions.SignIn(c.UserContext(), credentials, deviceOf(c), over)
	if err != nil {
		return err
	}
	return s.sendSignedIn(c, in)
}

// deviceOf is where a request came from, as a session keeps it.
func deviceOf(c *fiber.Ctx) session.Device {
	o := ports.OriginOf(c.UserContext())
	return session.Device{UserAgent: o.UserAgent, IP: o.IP}
}

// loginTOTP is the second step of signing in.
func (s *Server) loginTOTP(c *fiber.Ctx, pending session.Resumed) error {
	code, err := readSecondStep(readBody(c))
	if err != nil {
		return err
	}
	code.KnownDevice = exchangeOf(c.Context()).knownDevice()
	in, err := s.Sessions.SecondStep(c.UserContext(), pending, code)
	if err != nil {
		return err
	}
	return s.sendSignedIn(c, in)
}

// readSecondStep reads {code} or {recoveryCode}.
func readSecondStep(b *object) (sessions.Code, error) {
	totp, recovery := b.text("code", optional), b.text("recoveryCode", optional)
	if b.failed == nil && b.ask("code") == nil && b.ask("recoveryCode") == nil {
		b.faults.Add("/code", "required", "Send a code or a recovery code.")
	}
	if totp != nil && recovery != nil {
		b.faults.Add("/recoveryCode", "invalid_value", "Send a code or a recovery code, not both.")
	}
	return sessions.Code{TOTP: orZero(totp), Recovery: orZero(recovery)}, b.err()
}

// sendSignedIn hands out the cookies of a sign-in, and says what comes next where
// that is not all.
func (s *Server) sendSignedIn(c *fiber.Ctx, in sessions.SignedIn) error {
	x := exchangeOf(c.Context())
	x.user = in.User.ID().String()
	x.setCookie = s.cookie.set(in.Token, in.Session, s.Now())
	if in.Session.Pending() {
		return send(c, fiber.StatusOK, []byte(`{"next":"totp"}`))
	}
	if in.Device != "" {
		x.setDevice = s.device.keep(in.Device, deviceAge)
	}
	b := append(newBody(), `{"user":`...)
	b = appendUser(b, in.User)
	b = append(b, `,"session":`...)
	b = s.appendSession(b, in.Session, in.Session.ID())
	return send(c, fiber.StatusOK, append(b, '}'))
}

// reauthenticate is the step-up: a fresh proof, under a new token.
func (s *Server) reauthenticate(c *fiber.Ctx, r session.Resumed) error {
	password, err := readOne(readBody(c), "password")
	if err != nil {
		return err
	}
	in, err := s.Sessions.Reauthenticate(c.UserContext(), r, password)
	if err != nil {
		return err
	}
	exchangeOf(c.Context()).setCookie = s.cookie.set(in.Token, in.Session, s.Now())
	return noContent(c)
}

// logout ends the session whatever state it is in, so it does not resume it. If
// the store cannot be asked the cookie stays: the client must know that it is
// still signed in.
func (s *Server) logout(c *fiber.Ctx) error {
	x := exchangeOf(c.Context())
	if token, ok := session.ParseToken(string(x.session.value)); ok {
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
	one := func(b []byte, l session.Session) []byte { return s.appendSession(b, l, r.Session.ID()) }
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
