package httpapi

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"gatehouse/application/administration"
	"gatehouse/application/products"
	"gatehouse/domain/audit"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
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

// ReadBodies takes a body apart as each of the routes with small bodies does, and
// gives what was read and what is wrong with it, by route.
func ReadBodies(body []byte) (texts map[string][]string, errs map[string]error) {
	texts, errs = map[string][]string{}, map[string]error{}
	put := func(route string, err error, read ...string) { texts[route], errs[route] = read, err }
	code, err := readSecondStep(parseObject(body))
	put("POST /login/totp", err, code.TOTP, code.Recovery)
	reset, err := readReset(parseObject(body))
	put("POST /password/reset", err, reset.Token, reset.New)
	change, err := readEmailChange(parseObject(body))
	put("PUT /me/email", err, change.Email, change.Current)
	for route, name := range map[string]string{
		"POST /password/forgot": "email", "POST /email/verify": "token", "POST /me/totp/confirm": "code", "DELETE /me": "password",
	} {
		text, err := readOne(parseObject(body), name)
		put(route, err, text)
	}
	return texts, errs
}

// ReadUserChange takes a body apart as PATCH /admin/users/{id} does.
func ReadUserChange(body []byte) administration.Change { return readUserChange(parseObject(body)) }

// ReadProposal takes a body apart as POST /admin/policies/preview does.
func ReadProposal(body []byte) administration.Proposal {
	b := parseObject(body)
	q := readProposal(b)
	q.Unread = b.err()
	return q
}

// ReadUserQuery reads the parameters of GET /admin/users, and gives the cursor
// that goes on where the one of the query does.
func ReadUserQuery(raw string) (q administration.UserQuery, cursor string) {
	var args fasthttp.Args
	args.Parse(raw)
	q = readUserQuery(&args)
	if !q.Before.IsZero() {
		cursor = bindUsers(q).cursor(q.Before.UUID[:])
	}
	return q, cursor
}

// ReadAuditQuery reads those of GET /admin/audit.
func ReadAuditQuery(raw string) (q administration.AuditQuery, cursor string) {
	var args fasthttp.Args
	args.Parse(raw)
	q = readAuditQuery(&args)
	if !q.Before.IsZero() {
		cursor = bindAudit(q).cursor(placeBytes(q.Before))
	}
	return q, cursor
}

// UserCursor and AuditCursor write the cursors of the lists without a filter.
func UserCursor(id user.ID) string { return bindUsers(administration.UserQuery{}).cursor(id.UUID[:]) }

func AuditCursor(p audit.Place) string {
	return bindAudit(administration.AuditQuery{}).cursor(placeBytes(p))
}

// ReadStream reads a body as it arrives.
var ReadStream = readStream

// ReadLanguage reads one Accept-Language header.
func ReadLanguage(header string) string { return string(readLanguage([][]byte{[]byte(header)})) }

// ParseHop reads an address of X-Forwarded-For.
var ParseHop = parseHop

// Problem tells an error as a client is told it.
func Problem(err error) (status int, body []byte) {
	p := problemOf(err)
	return p.status, appendProblem(nil, p, "id", "/path")
}

// Open reads a raw header block, with cookies named "sid" and "device".
func Open(block []byte) (sound bool, cookies int, token, device string) {
	e := open(block, cookieNames{"sid", "device"})
	return e.sound, e.session.count, string(e.session.value), e.knownDevice()
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

// AllocationsUnfollowed is how often following a request allocates where nobody
// follows any.
func AllocationsUnfollowed() float64 {
	s, x, rc, err := &Server{}, &exchange{}, &fasthttp.RequestCtx{}, errors.New("x")
	return testing.AllocsPerRun(1000, func() {
		s.follow(rc, x)
		s.step(nil, x, "session resume")(nil)
		s.step(nil, x, x.service)(err)
	})
}

// NewDeadline is the context of a request.
func NewDeadline(values context.Context, d time.Duration) (context.Context, func()) {
	c := newDeadline(values, d)
	return c, c.cancel
}
