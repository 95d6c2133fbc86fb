package httpapi

import (
	"github.com/gofiber/fiber/v2"

	"gatehouse/application/accounts"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
)

// forgotPassword answers the same whether or not there is an account.
func (s *Server) forgotPassword(c *fiber.Ctx, _ *session.Resumed) error {
	email, err := readOne(readBody(c), "email")
	if err := fault.Merge(err, accounts.CheckAddress("/email", email)); err != nil {
		return err
	}
	if err := s.Accounts.RequestReset(c.UserContext(), email); err != nil {
		return err
	}
	return accepted(c)
}

// resetPassword takes the token of a link. Nobody is signed in by it: who reads
// somebody's mail has not yet shown their second factor.
func (s *Server) resetPassword(c *fiber.Ctx, _ *session.Resumed) error {
	r, err := readReset(readBody(c))
	if err != nil {
		return err
	}
	if err := s.Accounts.ResetPassword(c.UserContext(), r); err != nil {
		return err
	}
	return noContent(c)
}

func readReset(b *object) (accounts.Reset, error) {
	r := accounts.Reset{
		Token: orZero(b.text("token", required)),
		New:   orZero(b.text("newPassword", required)),
	}
	return r, b.err()
}
