package httpapi

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"gatehouse/domain/access"
	"gatehouse/domain/fault"
)

// Every error becomes an answer here and nowhere else: problem+json (RFC 9457)
// with a text out of a fixed catalogue. What really happened goes to the log
// under the request id, never to the client.

// refusal is an answer that the transport gives by itself.
type refusal struct {
	status int
	code   string
	detail string
}

func (r *refusal) Error() string { return r.code + ": " + r.detail }

// What the transport refuses.
var (
	errMalformedRequest = &refusal{400, "malformed_request", "The request is not one well-formed HTTP message."}
	errDuplicateCookie  = &refusal{400, "duplicate_cookie", "The request carries two session cookies. Clear the site's cookies and sign in again."}
	errMalformedJSON    = &refusal{400, "malformed_json", "The body is not one well-formed JSON value."}
	errIdempotencyKey   = &refusal{400, "invalid_idempotency_key", "An Idempotency-Key is given once, as 1 to 255 visible ASCII characters."}
	errInvalidCursor    = &refusal{400, "invalid_cursor", "The cursor does not belong to this query. Start again without one."}
	errCrossSite        = &refusal{403, "cross_site_request", "Pages of another site may not do this."}
	errNotFound         = &refusal{404, "not_found", "There is nothing here."}
	errMethod           = &refusal{405, "method_not_allowed", "This path does not know this method; see Allow."}
	errTimeout          = &refusal{408, "request_timeout", "The request did not arrive in time."}
	errBodyTooLarge     = &refusal{413, "body_too_large", "The body is larger than this service takes."}
	errMediaType        = &refusal{415, "unsupported_media_type", "The body must be application/json in UTF-8, without a Content-Encoding."}
	errHeadersTooLarge  = &refusal{431, "headers_too_large", "The headers are larger than this service takes."}
	errInternal         = &refusal{500, "internal", "Something went wrong here. It has been written down under the request id."}
)

// kinds says how the kinds of failure are answered, and how one is put that
// brings no words of its own.
var kinds = []struct {
	kind   fault.Kind
	status int
	code   string
	detail string
}{
	{fault.Unavailable, 503, "unavailable", "The service cannot answer right now. Try again shortly."},
	{fault.TooMany, 429, "too_many_attempts", "This was tried too often. Try again later."},
	{fault.Invalid, 422, "validation_failed", "The input cannot be accepted."},
	{fault.Unauthenticated, 401, "unauthenticated", "Sign in to do this."},
	{fault.Forbidden, 403, "forbidden", "You may not do this."},
	{fault.Gone, 410, "gone", "This is no longer there."},
	{fault.NotFound, 404, "not_found", "There is nothing here."},
	{fault.Conflict, 409, "conflict", "This collides with what is there already."},
	{fault.Stale, 412, "version_conflict", "This has been changed since you read it."},
}

// titles are the short names of the codes; they never change.
var titles = map[string]string{
	"body_too_large":          "Body too large",
	"conflict":                "Conflict",
	"cross_site_request":      "Cross-site request refused",
	"duplicate_cookie":        "Two session cookies",
	"email_taken":             "E-mail address taken",
	"forbidden":               "Not allowed",
	"gone":                    "No longer there",
	"headers_too_large":       "Headers too large",
	"idempotency_in_progress": "Request in work",
	"idempotency_mismatch":    "Idempotency-Key used before",
	"invalid_idempotency_key": "Invalid Idempotency-Key",
	"internal":                "Internal error",
	"invalid_code":            "Invalid code",
	"invalid_credentials":     "Invalid credentials",
	"invalid_cursor":          "Invalid cursor",
	"last_admin":              "The last admin",
	"malformed_json":          "Malformed JSON",
	"malformed_request":       "Malformed request",
	"method_not_allowed":      "Method not allowed",
	"not_found":               "Not found",
	"policy_exists":           "Row exists",
	"policy_unusable":         "Policy unusable",
	"reauth_required":         "Fresh proof needed",
	"request_timeout":         "Request timeout",
	"token_invalid":           "Link no longer good",
	"too_many_attempts":       "Too many attempts",
	"totp_already_on":         "Second factor on already",
	"totp_not_started":        "Second factor not started",
	"unauthenticated":         "Not signed in",
	"unavailable":             "Temporarily unavailable",
	"unsupported_media_type":  "Unsupported media type",
	"validation_failed":       "Invalid input",
	"version_conflict":        "Changed meanwhile",
	"wrong_password":          "Wrong password",
}

// problem is an error as it is told.
type problem struct {
	status int
	code   string
	detail string
	reason string
	fields []fault.Field
	retry  time.Duration // for 429 and 503, and for others where it is not zero
}

// problemOf finds out what to tell of err. An error of no known kind is a
// defect of ours and told as nothing but that.
func problemOf(err error) problem {
	if r, ok := errors.AsType[*refusal](err); ok {
		return problem{status: r.status, code: r.code, detail: r.detail}
	}
	if f, ok := errors.AsType[*fiber.Error](err); ok {
		return problemOf(routing(f))
	}
	for _, k := range kinds {
		if !errors.Is(err, k.kind) {
			continue
		}
		p := problem{status: k.status, code: k.code, detail: k.detail}
		if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind == k.kind {
			p.reason, p.fields, p.retry = f.Reason, f.Fields, f.RetryAfter
			p.code, p.detail = orElse(f.Code, p.code), orElse(f.Detail, p.detail)
		}
		return p
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return problem{status: kinds[0].status, code: kinds[0].code, detail: kinds[0].detail}
	}
	return problemOf(errInternal)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// routing translates what Fiber's router reports.
func routing(f *fiber.Error) *refusal {
	switch f.Code {
	case fiber.StatusNotFound:
		return errNotFound
	case fiber.StatusMethodNotAllowed:
		return errMethod
	}
	return errInternal
}

// decisionHeader bears the id under which a refusal by the policy was written
// down.
const decisionHeader = "X-Decision-Id"

// fail is Fiber's error handler.
func (s *Server) fail(c *fiber.Ctx, err error) error {
	rc := c.Context()
	s.answer(rc, exchangeOf(rc), err)
	return nil
}

// answer tells err to the client and keeps its cause for the log.
func (s *Server) answer(rc *fasthttp.RequestCtx, x *exchange, err error) {
	p := problemOf(err)
	h := &rc.Response.Header
	switch {
	case p.status == 401:
		h.Set(fiber.HeaderWWWAuthenticate, `Cookie realm="gatehouse"`)
		if p.code == "unauthenticated" && x.session.count > 0 && !x.alive { // it is good for nothing, or no longer
			x.setCookie = s.cookie.clear()
		}
	case p.status == 403:
		// By this id the people who run the service find out why.
		if d, ok := errors.AsType[*access.Denial](err); ok && !d.ID.IsZero() {
			x.denial = d
			h.SetCanonical([]byte(decisionHeader), []byte(d.ID.String()))
		}
	case p.status == 429 || p.status == 503 || p.retry > 0:
		h.Set(fiber.HeaderRetryAfter, strconv.FormatInt(seconds(p.retry), 10))
	}
	if x.code = p.code; p.status >= 500 && x.cause == nil {
		x.cause = err
	}
	rc.Response.ResetBody()
	rc.Response.SetStatusCode(p.status)
	h.SetContentType("application/problem+json")
	rc.Response.SetBodyRaw(appendProblem(make([]byte, 0, 512), p, x.id, string(rc.URI().PathOriginal())))
}

// seconds rounds up to whole seconds, at least one.
func seconds(d time.Duration) int64 {
	return int64(max((d+time.Second-1)/time.Second, 1))
}

// appendProblem writes p down.
func appendProblem(b []byte, p problem, requestID, instance string) []byte {
	title, ok := titles[p.code]
	if !ok {
		title = fasthttp.StatusMessage(p.status)
	}
	b = append(b, `{"type":"urn:gatehouse:problem:`...)
	b = append(b, p.code...)
	b = append(b, `","title":`...)
	b = appendString(b, title)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(p.status), 10)
	b = append(b, `,"detail":`...)
	b = appendString(b, p.detail)
	b = append(b, `,"instance":`...)
	b = appendString(b, uriReference(instance))
	b = append(b, `,"code":`...)
	b = appendString(b, p.code)
	b = append(b, `,"requestId":`...)
	b = appendString(b, requestID)
	if p.reason != "" {
		b = append(b, `,"reason":`...)
		b = appendString(b, p.reason)
	}
	if len(p.fields) > 0 {
		b = append(b, `,"errors":`...)
		b = appendList(b, p.fields, appendField)
	}
	return append(b, '}')
}

func appendField(b []byte, f fault.Field) []byte {
	b = append(b, `{"pointer":`...)
	b = appendString(b, f.Pointer)
	b = append(b, `,"code":`...)
	b = appendString(b, f.Code)
	b = append(b, `,"detail":`...)
	b = appendString(b, f.Detail)
	return append(b, '}')
}

// uriReference keeps of a path what may stand in a URI reference (RFC 3986);
// other bytes can only come from a client that sent them raw.
func uriReference(path string) string {
	const marks = "/-._~!$&'()*+,;=:@%"
	odd := func(r rune) bool {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !alnum && (r > 0x7e || !strings.ContainsRune(marks, r))
	}
	if strings.ContainsFunc(path, odd) || strings.HasPrefix(path, "//") {
		return "/"
	}
	return path
}

// failEarly answers what fasthttp refuses before any of our code ran: what is
// no HTTP, too long, too large or too slow.
func (s *Server) failEarly(rc *fasthttp.RequestCtx, err error) {
	x := s.begin(rc)
	defer s.finish(rc, x)
	s.refuse(rc, x, err)
}

// refuse answers a request that was not read to its end, and so is the last on
// its connection.
func (s *Server) refuse(rc *fasthttp.RequestCtx, x *exchange, err error) {
	refused := early(err)
	if refused == errTimeout { // it has been waited for long enough
		rc.SetConnectionClose()
	} else {
		closeGently(rc)
	}
	s.answer(rc, x, refused)
}

func early(err error) *refusal {
	small := (*fasthttp.ErrSmallBuffer)(nil)
	switch {
	case errors.As(err, &small):
		return errHeadersTooLarge
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return errBodyTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded) || strings.Contains(err.Error(), "timeout"):
		return errTimeout
	}
	return errMalformedRequest
}

// expect answers "Expect: 100-continue" (RFC 9110 section 10.1.1): a body whose
// announced length is over the limit is refused before it is sent.
func (s *Server) expect(rc *fasthttp.RequestCtx) int {
	if rc.Request.Header.ContentLength() <= s.BodyLimit {
		return fasthttp.StatusContinue
	}
	s.failEarly(rc, fasthttp.ErrBodyTooLarge)
	return fasthttp.StatusRequestEntityTooLarge
}
