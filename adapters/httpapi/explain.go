package httpapi

import (
	"strconv"

	"github.com/gofiber/fiber/v2"

	"gatehouse/application/administration"
	"gatehouse/domain/access"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
)

// explainPolicy says why somebody may or may not do something.
func (s *Server) explainPolicy(c *fiber.Ctx, r session.Resumed) error {
	b := readBody(c)
	q := administration.Question{
		UserID:    b.text("userId", optional),
		Roles:     b.texts("roles", optional),
		Action:    orZero(b.text("action", required)),
		ProductID: b.text("productId", optional),
		Resource:  b.text("resource", optional),
	}
	if q.Roles == nil && b.ask("roles") != nil { // there is a list, if one that cannot be read
		q.Roles = []string{}
	}
	why, err := s.Explainer.Explain(c.UserContext(), actor(&r), q, b.err())
	if err != nil {
		return err
	}
	return send(c, fiber.StatusOK, appendAnswer(newBody(), why))
}

func appendAnswer(b []byte, a administration.Answer) []byte {
	decision := "deny"
	if a.Decision.Allowed {
		decision = "allow"
	}
	b = append(b, `{"decision":"`+decision+`","rule":`...)
	if a.Decision.By.Effect == (access.Effect{}) {
		b = append(b, "null"...)
	} else {
		b = appendPolicy(b, a.Decision.By)
	}
	b = append(b, `,"reason":`...)
	b = appendString(b, a.Reason())
	b = append(b, `,"path":`...)
	b = appendList(b, a.Path, appendRole)
	b = append(b, `,"nearest":`...)
	b = appendList(b, near(a), appendNear)
	b = append(b, `,"roles":`...)
	b = appendList(b, a.Roles, appendRole)
	b = append(b, `,"policyVersion":`...)
	return append(strconv.AppendInt(b, a.Version, 10), '}')
}

// nearRow is a row that would have allowed, but for one thing.
type nearRow struct {
	rule   access.Policy
	failed string // "condition" or "role"
}

func near(a administration.Answer) []nearRow {
	var list []nearRow
	for _, p := range a.Decision.Nearest {
		list = append(list, nearRow{p, "condition"})
	}
	for _, p := range a.Elsewhere {
		list = append(list, nearRow{p, "role"})
	}
	return list
}

func appendNear(b []byte, n nearRow) []byte {
	b = append(b, `{"rule":`...)
	b = appendPolicy(b, n.rule)
	return append(b, `,"failed":"`+n.failed+`"}`...)
}

func appendRole(b []byte, r user.Role) []byte { return appendString(b, r.String()) }

// appendPolicy writes a row of the policy down.
func appendPolicy(b []byte, p access.Policy) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, p.ID.String())
	b = append(b, `,"role":`...)
	b = appendString(b, p.Role.String())
	b = append(b, `,"resource":`...)
	b = appendString(b, p.Resource.String())
	b = append(b, `,"action":`...)
	b = appendString(b, p.Action.String())
	b = append(b, `,"condition":`...)
	b = appendString(b, p.Condition.String())
	b = append(b, `,"effect":`...)
	b = appendString(b, p.Effect.String())
	return append(b, '}')
}
