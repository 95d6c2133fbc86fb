package httpapi

import (
	"net/url"

	"gatehouse/domain/user"

	"gatehouse/application/products"
	"gatehouse/domain/product"
)

// What the fuzz targets reach for.

// ReadPatch takes a body apart as PATCH /products/{id} does.
func ReadPatch(body []byte) (product.Change, error) {
	b := parseObject(body)
	price := b.object("price", kept)
	change := product.Change{
		Name:        b.text("name", kept),
		Description: b.text("description", reset),
		Amount:      price.integer("amount", kept),
		Currency:    price.text("currency", kept),
		Stock:       b.integer("stock", reset),
		Status:      b.text("status", kept),
	}
	b.flag("flag")
	return change, b.err()
}

// Problem tells an error as a client is told it.
func Problem(err error) (status int, body []byte) {
	p := problemOf(err)
	return p.status, appendProblem(nil, p, "id", "/path")
}

// Open reads a raw header block.
func Open(block []byte, cookie string) (sound bool, cookies int, token string) {
	e := open(block, cookie)
	return e.sound, e.cookies, string(e.token)
}

// ParseCondition reads If-Match.
func ParseCondition(s string) (any bool, tags []string, ok bool) {
	c, ok := parseCondition(s)
	return c.any, c.tags, ok
}

// EncodeCursor writes a cursor down.
func EncodeCursor(q products.Query, caller user.ID, p product.Position) string {
	return encodeCursor(q, caller, p)
}

// DecodeCursor reads one.
func DecodeCursor(q products.Query, caller user.ID, s string) (product.Position, bool) {
	return decodeCursor(q, caller, s)
}

// CheckPublicURL tells whether the service may be reached there.
func CheckPublicURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return err
	}
	return checkPublicURL(u)
}

// ParseOrigins reads trusted origins.
var ParseOrigins = parseOrigins
