package httpapi

import (
	"github.com/gofiber/fiber/v2"

	"gatehouse/domain/factor"
	"gatehouse/domain/session"
)

func (s *Server) startTOTP(c *fiber.Ctx, r session.Resumed) error {
	e, err := s.Accounts.StartTOTP(c.UserContext(), r)
	if err != nil {
		return err
	}
	b := append(newBody(), `{"secret":`...)
	b = appendString(b, e.Secret)
	b = append(b, `,"uri":`...)
	b = appendString(b, e.URI)
	return send(c, fiber.StatusOK, append(b, '}'))
}

func (s *Server) confirmTOTP(c *fiber.Ctx, r session.Resumed) error {
	code, err := readOne(readBody(c), "code")
	if err != nil {
		return err
	}
	codes, err := s.Accounts.ConfirmTOTP(c.UserContext(), r, code)
	if err != nil {
		return err
	}
	b := append(newBody(), `{"recoveryCodes":`...)
	b = appendList(b, codes, func(b []byte, one factor.RecoveryCode) []byte { return appendString(b, one.Reveal()) })
	return send(c, fiber.StatusOK, append(b, '}'))
}

func (s *Server) removeTOTP(c *fiber.Ctx, r session.Resumed) error {
	password, err := readOne(readBody(c), "password")
	if err != nil {
		return err
	}
	if err := s.Accounts.RemoveTOTP(c.UserContext(), r, password); err != nil {
		return err
	}
	return noContent(c)
}
