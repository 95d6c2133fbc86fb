package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"gatehouse/application/products"
)

// versionTag is the strong entity tag of a version (RFC 9110 section 8.8.3).
func versionTag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// contentTag is the strong entity tag of bytes that do not change while we run.
func contentTag(b []byte) string {
	sum := sha256.Sum256(b)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// condition is the value of If-Match or If-None-Match.
type condition struct {
	any  bool     // *
	tags []string // with their W/ and quotes
}

// parseCondition reads a list of entity tags, or *. It reports false for
// anything else.
func parseCondition(s string) (condition, bool) {
	s = trimOWS(s)
	if s == "*" {
		return condition{any: true}, true
	}
	var found condition
	for s != "" {
		tag, rest, ok := cutTag(s)
		if !ok {
			return condition{}, false
		}
		found.tags = append(found.tags, tag)
		if s = trimOWS(rest); s == "" {
			break
		}
		if s[0] != ',' {
			return condition{}, false
		}
		s = trimOWS(strings.TrimLeft(s, ", \t"))
	}
	return found, len(found.tags) > 0
}

// cutTag takes one entity tag off the front of s.
func cutTag(s string) (tag, rest string, ok bool) {
	start := 0
	if strings.HasPrefix(s, "W/") {
		start = len("W/")
	}
	if start >= len(s) || s[start] != '"' {
		return "", "", false
	}
	for i := start + 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[:i+1], s[i+1:], true
		case c <= ' ' || c == 0x7f:
			return "", "", false
		}
	}
	return "", "", false
}

func trimOWS(s string) string { return strings.Trim(s, " \t") }

// ifMatch gives what the request expects of the version, or nil if it expects
// nothing. Tags compare strongly: a weak one never matches. What cannot be read
// matches nothing, so that a garbled condition never lets a write through.
func ifMatch(c *fiber.Ctx) products.Match {
	values := c.Request().Header.PeekAll(fiber.HeaderIfMatch)
	if len(values) == 0 {
		return nil
	}
	want, ok := parseCondition(string(bytes.Join(values, []byte(","))))
	return func(version int64) bool {
		return ok && (want.any || want.has(versionTag(version)))
	}
}

func (w condition) has(tag string) bool {
	for _, t := range w.tags {
		if t == tag {
			return true
		}
	}
	return false
}

// notModified sets the ETag and answers 304 if the client has what it names.
// Tags compare weakly; a condition that cannot be read is none.
func notModified(c *fiber.Ctx, tag string) bool {
	c.Set(fiber.HeaderETag, tag)
	values := c.Request().Header.PeekAll(fiber.HeaderIfNoneMatch)
	if len(values) == 0 {
		return false
	}
	have, ok := parseCondition(string(bytes.Join(values, []byte(","))))
	if !ok || !have.any && !have.has(tag) && !have.has("W/"+tag) {
		return false
	}
	c.Status(fiber.StatusNotModified)
	return true
}
