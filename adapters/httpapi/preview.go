package httpapi

import (
	"strconv"

	"github.com/gofiber/fiber/v2"

	"gatehouse/application/administration"
	"gatehouse/domain/access"
	"gatehouse/domain/session"
)

// previewPolicies says what a change of the policy would do. The change stands in
// a member of its name, in the shape of the body by which it is made.
func (s *Server) previewPolicies(c *fiber.Ctx, r session.Resumed) error {
	b := readBody(c)
	q := readProposal(b)
	q.Unread = b.err()
	preview, err := s.Previewer.Preview(c.UserContext(), actor(&r), q)
	if err != nil {
		return err
	}
	return send(c, fiber.StatusOK, appendPreview(newBody(), preview))
}

func readProposal(b *object) (q administration.Proposal) {
	inner := func(name string) (in *object, there bool) {
		in = b.object(name, optional)
		if there = b.ask(name) != nil; there {
			q.Note = orZero(in.text("note", optional))
		}
		return in, there
	}
	if in, there := inner("add"); there {
		row := readPolicy(in)
		q.Add = &row
	}
	if in, there := inner("remove"); there {
		id := parsePolicyID(orZero(in.text("id", required)))
		q.Remove = &id
	}
	if in, there := inner("rollback"); there {
		version := orZero(in.integer("version", required))
		q.Back = &version
	}
	return q
}

func appendPreview(b []byte, p administration.Preview) []byte {
	b = append(b, `{"policyVersion":`...)
	b = strconv.AppendInt(b, p.Version, 10)
	b = append(b, `,"complete":`...)
	b = strconv.AppendBool(b, p.Complete())
	b = append(b, `,"questions":`...)
	b = strconv.AppendInt(b, int64(p.Questions), 10)
	b = append(b, `,"answered":`...)
	b = strconv.AppendInt(b, int64(p.Questions-p.Missed), 10)
	b = append(b, `,"unanswered":`...)
	b = appendList(b, p.Unseen, func(b []byte, u administration.Unseen) []byte {
		return append(appendHolders(b, u.Holders, u.Action, u.Kind), '}')
	})
	b = append(b, `,"change":{"added":`...)
	b = appendList(b, p.Diff.Added, appendWords)
	b = append(b, `,"removed":`...)
	b = appendList(b, p.Diff.Removed, appendWords)
	b = append(b, `,"inheritsAdded":`...)
	b = appendList(b, p.Diff.Inherited, appendInheritance)
	b = append(b, `,"inheritsRemoved":`...)
	b = appendList(b, p.Diff.Severed, appendInheritance)
	b = append(b, `},"gains":`...)
	b = appendSide(b, p.Gains)
	b = append(b, `,"losses":`...)
	return append(appendSide(b, p.Losses), '}')
}

func appendSide(b []byte, s administration.Side) []byte {
	b = append(b, `{"onProducts":`...)
	b = strconv.AppendInt(b, s.Products, 10)
	b = append(b, `,"elsewhere":`...)
	b = strconv.AppendInt(b, s.Others, 10)
	b = append(b, `,"effects":`...)
	b = appendList(b, s.Effects, appendEffect)
	b = append(b, `,"more":`...)
	return append(strconv.AppendInt(b, int64(s.More), 10), '}')
}

func appendEffect(b []byte, e administration.Effect) []byte {
	b = appendHolders(b, e.Holders, e.Action, e.Kind)
	b = append(b, `,"scope":`...)
	b = appendString(b, string(e.Scope))
	b = append(b, `,"affected":`...)
	b = strconv.AppendInt(b, e.Affected, 10)
	b = append(b, `,"count":`...)
	b = strconv.AppendInt(b, e.Pairs, 10)
	b = append(b, `,"examples":`...)
	b = appendList(b, e.Examples, appendExample)
	return append(b, '}')
}

// appendHolders writes down who may do what with what kind; the object is left
// open.
func appendHolders(b []byte, h administration.Holders, a access.Action, k access.Kind) []byte {
	b = append(b, `{"roles":`...)
	b = appendList(b, h.Roles, appendRole)
	b = append(b, `,"signedIn":`...)
	b = strconv.AppendBool(b, !h.Visitors)
	b = append(b, `,"users":`...)
	b = strconv.AppendInt(b, h.Users, 10)
	b = append(b, `,"action":`...)
	b = appendString(b, a.String())
	b = append(b, `,"resource":`...)
	return appendString(b, k.String())
}

func appendExample(b []byte, x administration.Example) []byte {
	named := func(b []byte, none bool, id, member, name string) []byte {
		if none {
			return append(b, "null"...)
		}
		b = append(b, `{"id":`...)
		b = appendString(b, id)
		b = append(b, `,"`+member+`":`...)
		return append(appendString(b, name), '}')
	}
	b = append(b, `{"user":`...)
	b = named(b, x.User.IsZero(), x.User.String(), "email", x.Email)
	b = append(b, `,"product":`...)
	b = named(b, x.Product.IsZero(), x.Product.String(), "name", x.Name)
	return append(b, '}')
}
