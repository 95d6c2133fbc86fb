package httpapi

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/swaggest/swgui/v5emb"
)

// docs is Swagger UI over openapi.json. All it loads comes out of the module.
type docs struct {
	ui   http.Handler
	page []byte
	csp  string
	etag string
}

// docsAssets is what the page loads.
var docsAssets = []string{
	"favicon-16x16.png", "favicon-32x32.png",
	"swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js",
}

var inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)

func newDocs() (*docs, error) {
	d := &docs{ui: v5emb.New("Gatehouse", "/openapi.json", "/docs")}
	page := d.fetch("", nil)
	if page.status != http.StatusOK {
		return nil, errors.New("httpapi: Swagger UI does not render")
	}
	d.page = page.body.Bytes()
	d.etag = contentTag(d.page)
	d.csp = pagePolicy(d.page)
	return d, nil
}

// pagePolicy lets the page run its own scripts, by their hashes, and none that
// got into it otherwise. Swagger UI sets style attributes, so styles are open.
func pagePolicy(page []byte) string {
	return "default-src 'none'; script-src 'self' " + hashes(inlineScript, page) + "; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

func (s *Server) getDocs(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentSecurityPolicy, s.docs.csp)
	c.Set(fiber.HeaderCacheControl, "no-cache")
	if notModified(c, s.docs.etag) {
		return nil
	}
	c.Set(fiber.HeaderContentType, "text/html; charset=utf-8")
	c.Response().SetBodyRaw(s.docs.page)
	return nil
}

func (s *Server) getDocsAsset(c *fiber.Ctx) error {
	name := c.Params("asset")
	if !slices.Contains(docsAssets, name) {
		return errNotFound
	}
	got := s.docs.fetch(name, http.Header{
		fiber.HeaderAcceptEncoding: {c.Get(fiber.HeaderAcceptEncoding)},
		fiber.HeaderIfNoneMatch:    {c.Get(fiber.HeaderIfNoneMatch)},
	})
	if got.status != http.StatusOK && got.status != http.StatusNotModified {
		return errNotFound
	}
	for _, key := range []string{fiber.HeaderContentType, fiber.HeaderContentEncoding, fiber.HeaderETag, fiber.HeaderVary} {
		if v := got.header.Get(key); v != "" {
			c.Set(key, v)
		}
	}
	if strings.HasSuffix(name, ".js") { // the media type of a system's own tables differs
		c.Set(fiber.HeaderContentType, "text/javascript; charset=utf-8")
	}
	c.Set(fiber.HeaderCacheControl, "public, max-age=86400")
	c.Status(got.status)
	c.Response().SetBodyRaw(got.body.Bytes())
	return nil
}

// fetch asks Swagger UI, which speaks net/http, for one file; "" is the page.
func (d *docs) fetch(name string, h http.Header) *answer {
	a := &answer{header: http.Header{}, status: http.StatusOK}
	path := strings.TrimSuffix("/docs/"+name, "/")
	d.ui.ServeHTTP(a, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}, Header: h, RequestURI: path})
	return a
}

// answer keeps what a net/http handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
