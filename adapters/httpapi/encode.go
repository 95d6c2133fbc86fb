package httpapi

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v2"

	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

// The shapes of http-api.md, written by hand: they are few, they are on the hot
// path, and what is not written here cannot slip into an answer. Each is held
// to its schema in openapi.json by the tests.

// send answers with a JSON body.
func send(c *fiber.Ctx, status int, body []byte) error {
	r := c.Response()
	r.SetStatusCode(status)
	r.Header.SetContentType("application/json")
	r.SetBodyRaw(body)
	return nil
}

// noContent answers 204.
func noContent(c *fiber.Ctx) error {
	c.Status(fiber.StatusNoContent)
	return nil
}

// accepted answers 202: the rest is for a mail to do.
func accepted(c *fiber.Ctx) error {
	c.Status(fiber.StatusAccepted)
	return nil
}

func newBody() []byte { return make([]byte, 0, 512) }

func appendUser(b []byte, u user.User) []byte {
	b = append(b, `{"id":`...)
	b = appendID(b, u.ID().UUID)
	b = append(b, `,"email":`...)
	b = appendString(b, u.Email().String())
	b = append(b, `,"name":`...)
	b = appendString(b, u.Name())
	b = append(b, `,"roles":`...)
	b = appendList(b, u.Roles(), func(b []byte, r user.Role) []byte { return appendString(b, r.String()) })
	b = append(b, `,"status":`...)
	b = appendString(b, u.Status().String())
	b = append(b, `,"emailVerified":`...)
	b = strconv.AppendBool(b, u.EmailVerified())
	b = append(b, `,"createdAt":`...)
	b = appendTime(b, u.CreatedAt())
	b = append(b, `,"updatedAt":`...)
	b = appendTime(b, u.UpdatedAt())
	return append(b, '}')
}

// appendSession writes a session down; current is the one that asks. Its id is
// the public handle, never the token or its hash.
func (s *Server) appendSession(b []byte, one session.Session, current session.ID) []byte {
	b = append(b, `{"id":`...)
	b = appendID(b, one.ID().UUID)
	b = append(b, `,"createdAt":`...)
	b = appendTime(b, one.CreatedAt())
	b = append(b, `,"lastSeenAt":`...)
	b = appendTime(b, one.SeenAt())
	b = append(b, `,"expiresAt":`...)
	b = appendTime(b, one.ExpiresAt())
	b = s.appendDevice(b, one.Device())
	b = append(b, `,"current":`...)
	b = strconv.AppendBool(b, one.ID() == current)
	b = append(b, `,"rememberMe":`...)
	b = strconv.AppendBool(b, one.Remembered())
	return append(b, '}')
}

// appendDevice writes down the members that tell of a device.
func (s *Server) appendDevice(b []byte, d session.Device) []byte {
	b = append(b, `,"userAgent":`...)
	b = appendString(b, d.UserAgent)
	b = append(b, `,"device":`...)
	b = appendString(b, s.Devices.Name(d.UserAgent))
	b = append(b, `,"ip":`...)
	return appendString(b, addrText(d.IP))
}

func appendProduct(b []byte, p product.Product) []byte {
	b = append(b, `{"id":`...)
	b = appendID(b, p.ID().UUID)
	b = append(b, `,"ownerId":`...)
	b = appendID(b, p.OwnerID().UUID)
	b = append(b, `,"name":`...)
	b = appendString(b, p.Name())
	b = append(b, `,"description":`...)
	b = appendString(b, p.Description())
	b = append(b, `,"price":{"amount":`...)
	b = strconv.AppendInt(b, p.Price().Amount(), 10)
	b = append(b, `,"currency":`...)
	b = appendString(b, p.Price().Currency().String())
	b = append(b, `},"stock":`...)
	b = strconv.AppendInt(b, p.Stock(), 10)
	b = append(b, `,"status":`...)
	b = appendString(b, p.Status().String())
	b = append(b, `,"version":`...)
	b = strconv.AppendInt(b, p.Version(), 10)
	b = append(b, `,"createdAt":`...)
	b = appendTime(b, p.CreatedAt())
	b = append(b, `,"updatedAt":`...)
	b = appendTime(b, p.UpdatedAt())
	return append(b, '}')
}

// appendPage writes {items, nextCursor} down; next is "" on the last page.
func appendPage[T any](b []byte, items []T, one func([]byte, T) []byte, next string) []byte {
	b = append(b, `{"items":`...)
	b = appendList(b, items, one)
	b = append(b, `,"nextCursor":`...)
	if next == "" {
		b = append(b, "null"...)
	} else {
		b = appendString(b, next)
	}
	return append(b, '}')
}

func appendList[T any](b []byte, items []T, one func([]byte, T) []byte) []byte {
	b = append(b, '[')
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(b, item)
	}
	return append(b, ']')
}

// appendID quotes an id, in which there is nothing to escape.
func appendID(b []byte, id uuid.UUID) []byte {
	return append(id.AppendTo(append(b, '"')), '"')
}

// appendTexts writes an object of texts down, its members in order.
func appendTexts(b []byte, texts map[string]string) []byte {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(texts)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':')
		b = appendString(b, texts[name])
	}
	return append(b, '}')
}

// appendString quotes s. What is no UTF-8 cannot have come in through us; if a
// store holds it all the same, the answer is still JSON.
func appendString(b []byte, s string) []byte {
	quoted, err := jsontext.AppendQuote(b, s)
	if err != nil {
		quoted, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD")) // cannot fail on valid UTF-8
	}
	return quoted
}

// timeFormat is RFC 3339 to the microsecond that stores keep. Its width never
// changes, so that times sort as text as they do as times.
const timeFormat = "2006-01-02T15:04:05.000000Z07:00"

func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeFormat)
	return append(b, '"')
}
