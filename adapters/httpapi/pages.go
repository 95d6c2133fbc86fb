package httpapi

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"regexp"

	"github.com/gofiber/fiber/v2"
)

// linkPage is what the links of our mails open where there is no front end yet
// (setting mail.link): it hands the token to POST on its own path.
//
//go:embed pages/page.html
var linkPage []byte

var inlineStyle = regexp.MustCompile(`(?s)<style>(.*?)</style>`)

// linkPolicy lets the page run its own script and style, by their hashes, and
// speak to nobody but us: what it holds is as good as a password.
var linkPolicy = "default-src 'none'; script-src " + hashes(inlineScript, linkPage) + "; style-src " + hashes(inlineStyle, linkPage) +
	"; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// hashes lists the pieces of a page as sources of a Content-Security-Policy.
func hashes(pieces *regexp.Regexp, page []byte) string {
	var list string
	for _, m := range pieces.FindAllSubmatch(page, -1) {
		sum := sha256.Sum256(m[1])
		list += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return list[min(len(list), 1):]
}

var linkTag = contentTag(linkPage)

func (s *Server) getLinkPage(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentSecurityPolicy, linkPolicy)
	c.Set(fiber.HeaderCacheControl, "no-cache")
	if notModified(c, linkTag) {
		return nil
	}
	c.Set(fiber.HeaderContentType, "text/html; charset=utf-8")
	c.Response().SetBodyRaw(linkPage)
	return nil
}
