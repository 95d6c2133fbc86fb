package httpapi

import (
	"github.com/gofiber/fiber/v2"

	"gatehouse/application/accounts"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
)

func (s *Server) register(c *fiber.Ctx, _ *session.Resumed) error {
	b := readBody(c)
	r := accounts.Registration{
		Email:    orZero(b.text("email", required)),
		Password: orZero(b.text("password", required)),
		Name:     orZero(b.text("name", optional)),
	}
	if err := fault.Merge(b.err(), s.Accounts.CheckRegistration(r)); err != nil {
		return err
	}
	u, err := s.Accounts.Register(c.UserContext(), r)
	switch {
	case err != nil:
		return err
	case u == nil: // a mail decides
		return accepted(c)
	}
	return send(c, fiber.StatusCreated, appendUser(newBody(), *u))
}

func (s *Server) getMe(c *fiber.Ctx, r session.Resumed) error {
	return send(c, fiber.StatusOK, appendUser(newBody(), r.User))
}

func (s *Server) updateMe(c *fiber.Ctx, r session.Resumed) error {
	b := readPatch(c)
	p := accounts.Profile{Name: b.text("name", reset)}
	if err := fault.Merge(b.err(), p.Validate()); err != nil {
		return err
	}
	u, err := s.Accounts.ChangeProfile(c.UserContext(), r, p)
	if err != nil {
		return err
	}
	return send(c, fiber.StatusOK, appendUser(newBody(), u))
}

func (s *Server) changePassword(c *fiber.Ctx, r session.Resumed) error {
	b := readBody(c)
	change := accounts.PasswordChange{
		Current: orZero(b.text("currentPassword", required)),
		New:     orZero(b.text("newPassword", required)),
	}
	if err := fault.Merge(b.err(), s.Accounts.CheckPasswordChange(r.User, change)); err != nil {
		return err
	}
	rotated, err := s.Accounts.ChangePassword(c.UserContext(), r, change)
	if err != nil {
		return err
	}
	exchangeOf(c.Context()).setCookie = s.cookie.set(rotated.Token, rotated.Session, s.Now())
	return noContent(c)
}
