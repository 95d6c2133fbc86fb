package httpapi

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"gatehouse/application/products"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
)

// What is wrong with a body is handed to the application as "unread" and comes
// back only to who may do the thing at all: 401, 403, 404 and 412 are told
// before 400, 415 and 422.

func (s *Server) createProduct(c *fiber.Ctx, r *session.Resumed) error {
	b := readBody(c)
	price := b.object("price", required)
	d := product.Draft{
		Name:        orZero(b.text("name", required)),
		Description: orZero(b.text("description", optional)),
		Amount:      orZero(price.integer("amount", required)),
		Currency:    orZero(price.text("currency", required)),
		Stock:       orZero(b.integer("stock", optional)),
	}
	status := b.text("status", optional)
	d.Status = orZero(status)
	once, err := readOnce(c)
	unread := fault.Merge(err, fault.Merge(b.err(), emptyStatus(status)))
	once.Answer = func(p product.Product) []byte { return newReply(p).text() }
	p, replay, err := s.Products.CreateOnce(c.UserContext(), actor(r), d, unread, once)
	if err != nil {
		return err
	}
	if replay != nil {
		return sendAgain(c, replay)
	}
	return newReply(p).send(c)
}

// emptyStatus refuses "", which in a draft means "none given".
func emptyStatus(status *string) error {
	if status == nil || *status != "" {
		return nil
	}
	return product.Refuse("/status", "invalid_value", "A status is one of draft, published, archived.")
}

func (s *Server) getProduct(c *fiber.Ctx, r *session.Resumed) error {
	id, ok := product.ParseID(c.Params("id"))
	if !ok {
		return product.ErrUnknown
	}
	p, err := s.Products.Read(c.UserContext(), actor(r), id)
	if err != nil {
		return err
	}
	if notModified(c, versionTag(p.Version())) {
		return nil
	}
	return sendProduct(c, fiber.StatusOK, p)
}

func (s *Server) updateProduct(c *fiber.Ctx, r *session.Resumed) error {
	id, ok := product.ParseID(c.Params("id"))
	if !ok {
		return product.ErrUnknown
	}
	e := readEdit(c)
	p, err := s.Products.Update(c.UserContext(), actor(r), id, e)
	if err != nil {
		return err
	}
	return sendProduct(c, fiber.StatusOK, p)
}

func readEdit(c *fiber.Ctx) products.Edit {
	b := readPatch(c)
	price := b.object("price", kept)
	change := product.Change{
		Name:        b.text("name", kept),
		Description: b.text("description", reset),
		Amount:      price.integer("amount", kept),
		Currency:    price.text("currency", kept),
		Stock:       b.integer("stock", reset),
		Status:      b.text("status", kept),
	}
	return products.Edit{Change: change, Match: ifMatch(c), Unread: b.err()}
}

func (s *Server) deleteProduct(c *fiber.Ctx, r *session.Resumed) error {
	id, ok := product.ParseID(c.Params("id"))
	if !ok {
		return product.ErrUnknown
	}
	if err := s.Products.Delete(c.UserContext(), actor(r), id, ifMatch(c)); err != nil {
		return err
	}
	return noContent(c)
}

func (s *Server) getPermissions(c *fiber.Ctx, r *session.Resumed) error {
	id, ok := product.ParseID(c.Params("id"))
	if !ok {
		return product.ErrUnknown
	}
	actions, err := s.Products.Permissions(c.UserContext(), actor(r), id)
	if err != nil {
		return err
	}
	b := append(newBody(), `{"actions":`...)
	b = appendList(b, actions, func(b []byte, a access.Action) []byte { return appendString(b, a.String()) })
	return send(c, fiber.StatusOK, append(b, '}'))
}

func (s *Server) listProducts(c *fiber.Ctx, r *session.Resumed) error {
	q, err := readQuery(c.Context().QueryArgs(), actor(r))
	if err != nil {
		return err
	}
	page, err := s.Products.List(c.UserContext(), actor(r), q)
	if err != nil {
		return err
	}
	next := ""
	if page.Next != nil {
		next = encodeCursor(q, actor(r).ID(), *page.Next)
	}
	b := appendPage(newBody(), page.Items, appendProduct, next)
	if page.Total != nil {
		b = append(b[:len(b)-len("}")], `,"total":`...)
		b = append(strconv.AppendInt(b, int64(*page.Total), 10), '}')
	}
	return send(c, fiber.StatusOK, b)
}

func sendProduct(c *fiber.Ctx, status int, p product.Product) error {
	c.Set(fiber.HeaderETag, versionTag(p.Version()))
	return send(c, status, appendProduct(newBody(), p))
}

// readQuery reads the parameters of a list. An empty one counts as absent, of a
// repeated one the first counts, an unknown one is ignored.
func readQuery(args *fasthttp.Args, a access.Actor) (products.Query, error) {
	var q products.Query
	var v fault.Validation
	var ok bool
	param := func(name string) string { return string(args.Peek(name)) }
	if s := param("limit"); s != "" {
		if q.Limit, ok = parseLimit(s); !ok {
			v.Add("/limit", "out_of_range", "A limit is a whole number from 1 to "+strconv.Itoa(products.MaxLimit)+".")
		}
	}
	if s := param("sort"); s != "" {
		if q.Sort, ok = product.ParseSort(s); !ok {
			v.Add("/sort", "invalid_value", "A sort is one of createdAt, name, price, with - in front to turn it round.")
		}
	}
	if s := param("status"); s != "" {
		if q.Status, ok = product.ParseStatus(s); !ok {
			v.Add("/status", "invalid_value", "A status is one of draft, published, archived.")
		}
	}
	if s := param("owner"); s == "me" {
		q.Mine = true
	} else if s != "" {
		id, ok := user.ParseID(s)
		if !ok {
			v.Add("/owner", "invalid_value", "An owner is a user's id, or me.")
		}
		q.Owner = &id
	}
	switch q.Text = param("q"); {
	case strings.ContainsRune(q.Text, 0) || !utf8.ValidString(q.Text):
		v.Add("/q", "invalid_characters", "Text is UTF-8 without NUL.")
	case utf8.RuneCountInString(q.Text) > products.MaxTextLength:
		v.Add("/q", "too_long", "At most "+strconv.Itoa(products.MaxTextLength)+" characters are searched for.")
	}
	if s := param("count"); s != "" {
		if q.Count = s == "true"; !q.Count {
			v.Add("/count", "invalid_value", "Count is true, for the total to be told, or left out.")
		}
	}
	if q.Mine && a.IsAnonymous() { // the application answers that, before all that is wrong
		return q, nil
	}
	if err := v.Err(); err != nil {
		return products.Query{}, err
	}
	return q, readCursor(&q, param("cursor"), a)
}

// readCursor sets where q goes on.
func readCursor(q *products.Query, cursor string, a access.Actor) error {
	if cursor == "" {
		return nil
	}
	after, ok := decodeCursor(*q, a.ID(), cursor)
	if !ok {
		return errInvalidCursor
	}
	q.After = after
	return nil
}

func parseLimit(s string) (int, bool) {
	if len(s) > 3 || strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 1 && n <= products.MaxLimit
}
