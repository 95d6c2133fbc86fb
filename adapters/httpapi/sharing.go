package httpapi

import (
	"github.com/gofiber/fiber/v2"

	"gatehouse/application/products"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
)

func (s *Server) listGrants(c *fiber.Ctx, r *session.Resumed) error {
	id, ok := product.ParseID(c.Params("id"))
	if !ok {
		return product.ErrUnknown
	}
	grants, err := s.Products.Grants(c.UserContext(), actor(r), id)
	if err != nil {
		return err
	}
	return send(c, fiber.StatusOK, appendPage(newBody(), grants, appendGrant, ""))
}

func (s *Server) putGrant(c *fiber.Ctx, r *session.Resumed) error {
	id, with, ok := grantPath(c)
	if !ok {
		return product.ErrUnknown
	}
	role, err := readOne(readBody(c), "role")
	g, err := s.Products.Share(c.UserContext(), actor(r), id, products.Invitation{To: with, Role: role, Unread: err})
	if err != nil {
		return err
	}
	return send(c, fiber.StatusOK, appendGrant(newBody(), g))
}

func (s *Server) deleteGrant(c *fiber.Ctx, r *session.Resumed) error {
	id, with, ok := grantPath(c)
	if !ok {
		return product.ErrUnknown
	}
	if err := s.Products.Unshare(c.UserContext(), actor(r), id, with); err != nil {
		return err
	}
	return noContent(c)
}

// grantPath reads which grant of which product the path names.
func grantPath(c *fiber.Ctx) (product.ID, user.ID, bool) {
	id, ok := product.ParseID(c.Params("id"))
	with, known := user.ParseID(c.Params("userId"))
	return id, with, ok && known
}

func (s *Server) putOwner(c *fiber.Ctx, r *session.Resumed) error {
	id, ok := product.ParseID(c.Params("id"))
	if !ok {
		return product.ErrUnknown
	}
	h := readHandover(c)
	p, err := s.Products.Transfer(c.UserContext(), actor(r), id, h)
	if err != nil {
		return err
	}
	return sendProduct(c, fiber.StatusOK, p)
}

func readHandover(c *fiber.Ctx) products.Handover {
	b := readBody(c)
	text := b.text("ownerId", required)
	h := products.Handover{Match: ifMatch(c), Unread: b.err()}
	if text != nil {
		to, ok := user.ParseID(*text)
		if !ok {
			h.Unread = fault.Merge(h.Unread, product.Refuse("/ownerId", "invalid_value", "An owner is a user's id."))
		}
		h.To = to
	}
	return h
}

func appendGrant(b []byte, g product.Grant) []byte {
	b = append(b, '{')
	return append(appendGrantMembers(b, g), '}')
}

func appendGrantMembers(b []byte, g product.Grant) []byte {
	b = append(b, `"userId":`...)
	b = appendString(b, g.UserID.String())
	b = append(b, `,"role":`...)
	b = appendString(b, g.Role.String())
	b = append(b, `,"createdAt":`...)
	return appendTime(b, g.CreatedAt)
}

// grantOf is a grant with the product that it is of.
type grantOf struct {
	id product.ID
	product.Grant
}

func appendGrantOf(b []byte, g grantOf) []byte {
	b = append(b, `{"productId":`...)
	b = append(appendString(b, g.id.String()), ',')
	return append(appendGrantMembers(b, g.Grant), '}')
}

// grantsOf are all grants of products, or those to one user.
func grantsOf(list []product.Product, to ...user.ID) []grantOf {
	var all []grantOf
	for _, p := range list {
		for _, g := range p.Grants() {
			if len(to) == 0 || g.UserID == to[0] {
				all = append(all, grantOf{p.ID(), g})
			}
		}
	}
	return all
}
