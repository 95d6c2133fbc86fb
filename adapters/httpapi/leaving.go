package httpapi

import (
	"github.com/gofiber/fiber/v2"

	"gatehouse/application/accounts"
	"gatehouse/domain/audit"
	"gatehouse/domain/factor"
	"gatehouse/domain/mail"
	"gatehouse/domain/session"
)

func (s *Server) deleteMe(c *fiber.Ctx, r session.Resumed) error {
	password, err := readOne(readBody(c), "password")
	if err != nil {
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
	return send(c, fiber.StatusOK, s.appendExport(newBody(), e, r.Session.ID()))
}

// appendExport writes an export down in the shapes that the other answers have,
// which hold no hash and no token.
func (s *Server) appendExport(b []byte, e accounts.Export, current session.ID) []byte {
	b = append(b, `{"exportedAt":`...)
	b = appendTime(b, e.At)
	b = append(b, `,"user":`...)
	b = appendUser(b, e.User)
	b = append(b, `,"secondFactor":`...)
	b = appendFactor(b, e.Factor)
	b = append(b, `,"sessions":`...)
	b = appendList(b, e.Sessions, func(b []byte, one session.Session) []byte { return s.appendSession(b, one, current) })
	b = append(b, `,"pastSessions":`...)
	b = appendList(b, e.Past, s.appendPast)
	b = append(b, `,"letters":`...)
	b = appendList(b, e.Letters, appendLetter)
	b = append(b, `,"audit":`...)
	b = appendList(b, e.Audit, appendAudit)
	b = append(b, `,"products":`...)
	b = appendList(b, e.Products, appendProduct)
	b = append(b, `,"grantsGiven":`...)
	b = appendList(b, grantsOf(e.Products), appendGrantOf)
	b = append(b, `,"grantsReceived":`...)
	b = appendList(b, grantsOf(e.Shared, e.User.ID()), appendGrantOf)
	return append(b, '}')
}

// appendFactor tells whether there is a second factor, and nothing that is in it.
func appendFactor(b []byte, f factor.Factor) []byte {
	if !f.On() {
		return append(b, `{"on":false,"since":null}`...)
	}
	b = append(b, `{"on":true,"since":`...)
	b = appendTime(b, f.State().ConfirmedAt)
	return append(b, '}')
}

func (s *Server) appendPast(b []byte, p session.Past) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, p.ID.String())
	b = append(b, `,"createdAt":`...)
	b = appendTime(b, p.CreatedAt)
	b = append(b, `,"endedAt":`...)
	b = appendTime(b, p.EndedAt)
	b = append(b, `,"reason":`...)
	b = appendString(b, p.Why.String())
	b = s.appendDevice(b, p.Device)
	return append(b, '}')
}

func appendLetter(b []byte, l mail.Letter) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, l.ID.String())
	b = append(b, `,"kind":`...)
	b = appendString(b, l.Kind.String())
	b = append(b, `,"to":`...)
	b = appendString(b, l.To.String())
	b = append(b, `,"language":`...)
	b = appendString(b, string(l.Language))
	b = append(b, `,"createdAt":`...)
	b = appendTime(b, l.CreatedAt)
	b = append(b, `,"detail":`...)
	b = appendTexts(b, l.Detail)
	return append(b, '}')
}

func appendAudit(b []byte, r audit.Row) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, r.ID.String())
	b = append(b, `,"at":`...)
	b = appendTime(b, r.At)
	b = append(b, `,"event":`...)
	b = appendString(b, string(r.Event))
	b = append(b, `,"outcome":`...)
	b = appendString(b, string(r.Outcome))
	b = append(b, `,"actorId":`...)
	if r.Actor.IsZero() {
		b = append(b, "null"...)
	} else {
		b = appendString(b, r.Actor.String())
	}
	b = append(b, `,"subjectType":`...)
	b = appendString(b, r.Subject.Type)
	b = append(b, `,"subjectId":`...)
	b = appendString(b, r.Subject.ID)
	b = append(b, `,"ip":`...)
	b = appendString(b, addrText(r.Origin.IP))
	b = append(b, `,"userAgent":`...)
	b = appendString(b, r.Origin.UserAgent)
	b = append(b, `,"requestId":`...)
	b = appendString(b, r.Origin.RequestID)
	b = append(b, `,"detail":`...)
	b = appendTexts(b, r.Detail)
	return append(b, '}')
}
