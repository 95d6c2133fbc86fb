package httpapi

import (
	"github.com/gofiber/fiber/v2"

	"gatehouse/application/accounts"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
)

func (s *Server) sendVerification(c *fiber.Ctx, r session.Resumed) error {
	if err := s.Accounts.RequestVerification(c.UserContext(), r); err != nil {
		return err
	}
	return accepted(c)
}

// verifyEmail takes the token of a link, which may be opened where nobody is
// signed in.
func (s *Server) verifyEmail(c *fiber.Ctx, _ *session.Resumed) error {
	token, err := readOne(readBody(c), "token")
	if err != nil {
		return err
	}
	if err := s.Accounts.VerifyEmail(c.UserContext(), token); err != nil {
		return err
	}
	return noContent(c)
}

func (s *Server) changeEmail(c *fiber.Ctx, r session.Resumed) error {
	change, err := readEmailChange(readBody(c))
	if err := fault.Merge(err, s.Accounts.CheckEmailChange(r.User, change)); err != nil {
		return err
	}
	if err := s.Accounts.RequestEmailChange(c.UserContext(), r, change); err != nil {
		return err
	}
	return accepted(c)
}

func readEmailChange(b *object) (accounts.EmailChange, error) {
	change := accounts.EmailChange{
		Email:   orZero(b.text("email", required)),
		Current: orZero(b.text("currentPassword", required)),
	}
	return change, b.err()
}
