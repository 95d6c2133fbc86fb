package httpapi

import (
	"errors"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"gatehouse/application/products"
	"gatehouse/domain/idempotency"
	"gatehouse/domain/product"
)

// Headers of requests that are to be done once
// (draft-ietf-httpapi-idempotency-key-header-07). The draft has a key be a
// quoted string of structured fields; most clients send the bare text. Both are
// taken, as they are.
const (
	headerIdempotencyKey = "Idempotency-Key"
	headerReplayed       = "Idempotency-Replayed"
)

// readOnce reads the key of a request; without one it gives the zero Once.
func readOnce(c *fiber.Ctx) (products.Once, error) {
	keys := c.Request().Header.PeekAll(headerIdempotencyKey)
	if len(keys) == 0 {
		return products.Once{}, nil
	}
	key, ok := idempotency.ParseKey(string(keys[0]))
	if !ok || len(keys) > 1 { // of two, the one in front of us may have gone by the other
		return products.Once{}, errIdempotencyKey
	}
	return products.Once{Key: key, Request: idempotency.DigestOf(c.Request().Body())}, nil
}

// reply is the answer to a request that made something, as far as it is the same
// each time it is given.
type reply struct {
	status   int
	location string
	etag     string
	body     []byte
}

// newReply is the answer to who has made the product.
func newReply(p product.Product) reply {
	return reply{fiber.StatusCreated, "/products/" + p.ID().String(), versionTag(p.Version()), appendProduct(newBody(), p)}
}

func (r reply) send(c *fiber.Ctx) error {
	c.Set(fiber.HeaderLocation, r.location)
	c.Set(fiber.HeaderETag, r.etag)
	return send(c, r.status, r.body)
}

// text writes the reply down to be kept: three lines, then the body as it is.
func (r reply) text() []byte {
	return append([]byte(strconv.Itoa(r.status)+"\n"+r.location+"\n"+r.etag+"\n"), r.body...)
}

// sendAgain gives a reply that was kept, and says that it is one.
func sendAgain(c *fiber.Ctx, kept []byte) error {
	r, err := readReply(string(kept))
	if err != nil {
		return err
	}
	c.Set(headerReplayed, "true")
	return r.send(c)
}

// readReply reads what text wrote.
func readReply(text string) (reply, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) == 4 {
		if status, err := strconv.Atoi(lines[0]); err == nil && status >= 200 && status < 300 {
			return reply{status, lines[1], lines[2], []byte(lines[3])}, nil
		}
	}
	return reply{}, errors.New("httpapi: an answer that was kept cannot be read")
}
