package httpapi

import (
	"github.com/gofiber/fiber/v2"

	"gatehouse/application/accounts"
	"gatehouse/domain/session"
)

func (s *Server) deleteMe(c *fiber.Ctx, r session.Resumed) error {
	b := readBody(c)
	password := orZero(b.text("password", required))
	if err := b.err(); err != nil {
		return err
	}
	if err := s.Accounts.Leave(c.UserContext(), r, password); err != nil {
		return err
	}
	exchangeOf(c.Context()).setCookie = s.cookie.clear()
	return noContent(c)
}

func (s *Server) exportMe(c *fiber.Ctx, r session.Resumed) error {
	e, err := s.Accounts.Export(c.UserContext(), r)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="gatehouse-export.json"`)
	return send(c, fiber.StatusOK, appendExport(newBody(), e, r.Session.ID()))
}

// appendExport writes an export down in the shapes that the other answers have,
// which hold no hash and no token.
func appendExport(b []byte, e accounts.Export, current session.ID) []byte {
	b = append(b, `{"exportedAt":`...)
	b = appendTime(b, e.At)
	b = append(b, `,"user":`...)
	b = appendUser(b, e.User)
	b = append(b, `,"sessions":`...)
	b = appendList(b, e.Sessions, func(b []byte, one session.Session) []byte { return appendSession(b, one, current) })
	b = append(b, `,"products":`...)
	b = appendList(b, e.Products, appendProduct)
	return append(b, '}')
}
