package httpapi

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// parseOrigins normalises the configured origins: scheme://host[:port] in lower
// case and nothing else.
func parseOrigins(list []string) ([]string, error) {
	var trusted []string
	for _, o := range list {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || !strings.EqualFold(o, u.Scheme+"://"+u.Host) {
			return nil, fmt.Errorf("httpapi: trusted origin %q is not of the form https://app.example.com", o)
		}
		trusted = append(trusted, strings.ToLower(o))
	}
	return trusted, nil
}

func (s *Server) trusts(origin string) bool {
	return len(s.trusted) > 0 && slices.Contains(s.trusted, strings.ToLower(origin))
}

func safeMethod(m string) bool {
	return m == fiber.MethodGet || m == fiber.MethodHead || m == fiber.MethodOptions
}

// refuseCrossSite refuses state-changing requests that a page of another site
// had a browser send, with the user's cookie on it (cross-site request forgery,
// ASVS 5.0 3.5.1). The rules are those of net/http.CrossOriginProtection.
func (s *Server) refuseCrossSite(c *fiber.Ctx) error {
	if safeMethod(c.Method()) {
		return c.Next()
	}
	c.Append(fiber.HeaderVary, "Sec-Fetch-Site", fiber.HeaderOrigin)
	if !s.sameSite(&c.Request().Header) {
		return errCrossSite
	}
	return c.Next()
}

// sameSite judges by Sec-Fetch-Site, which no page can forge, else by Origin,
// which browsers before 2023 send with every unsafe request. Who sends neither
// is no browser and carries no victim's cookie.
func (s *Server) sameSite(h *fasthttp.RequestHeader) bool {
	site, ok := only(h.PeekAll("Sec-Fetch-Site"))
	if !ok {
		return false
	}
	origin, ok := only(h.PeekAll(fiber.HeaderOrigin))
	switch {
	case !ok:
		return false
	case site == "same-origin" || site == "none":
		return true
	case site == "" && origin == "":
		return true
	case s.trusts(origin):
		return true
	}
	return site == "" && sameHost(origin, string(h.Host()))
}

// only gives the value of a header that stands there at most once.
func only(values [][]byte) (string, bool) {
	switch len(values) {
	case 0:
		return "", true
	case 1:
		return string(values[0]), true
	}
	return "", false
}

// sameHost compares the host and port of an origin with the Host header; the
// scheme is for Sec-Fetch-Site to compare, behind a proxy we cannot know it.
func sameHost(origin, host string) bool {
	scheme, authority, ok := strings.Cut(origin, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")) && strings.EqualFold(authority, host)
}

// What a page of a trusted origin may send and see (Fetch standard, CORS).
const (
	sharedMethods  = "GET, HEAD, POST, PUT, PATCH, DELETE"
	sharedRequest  = "content-type, idempotency-key, if-match, if-none-match, x-request-id"
	sharedResponse = "etag, idempotency-replayed, location, x-request-id, x-decision-id, retry-after"
	preflightAge   = "600"
)

// shareWithTrusted lets pages of the trusted origins read answers, and nobody
// else's: the origin is echoed only when it is on the list, since credentials
// with an echoed unknown origin would open every account to every page.
func (s *Server) shareWithTrusted(c *fiber.Ctx) error {
	if len(s.trusted) == 0 {
		return c.Next()
	}
	c.Append(fiber.HeaderVary, fiber.HeaderOrigin)
	origin, ok := only(c.Request().Header.PeekAll(fiber.HeaderOrigin))
	if !ok || !s.trusts(origin) {
		return c.Next()
	}
	c.Set(fiber.HeaderAccessControlAllowOrigin, origin)
	c.Set(fiber.HeaderAccessControlAllowCredentials, "true")
	if c.Method() != fiber.MethodOptions || c.Get(fiber.HeaderAccessControlRequestMethod) == "" {
		c.Set(fiber.HeaderAccessControlExposeHeaders, sharedResponse)
		return c.Next()
	}
	c.Append(fiber.HeaderVary, fiber.HeaderAccessControlRequestMethod, fiber.HeaderAccessControlRequestHeaders)
	c.Set(fiber.HeaderAccessControlAllowMethods, sharedMethods)
	c.Set(fiber.HeaderAccessControlAllowHeaders, sharedRequest)
	c.Set(fiber.HeaderAccessControlMaxAge, preflightAge)
	c.Status(fiber.StatusNoContent)
	return nil
}
