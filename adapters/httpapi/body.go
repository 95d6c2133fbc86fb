package httpapi

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v2"

	"gatehouse/domain/fault"
)

// maxDepth is how deep a body may nest. The contract's bodies are two deep; the
// bound keeps a reader from being driven down the stack.
const maxDepth = 32

// maxUnknown is how many unknown members one answer tells of: a body of nothing
// else must not make an answer many times its size.
const maxUnknown = 100

// maxElements is how many elements a list may have.
const maxElements = 100

// object is a JSON object that a handler takes apart by asking for members.
// Every fault met on the way is recorded, so that [object.err] tells all of
// them at once, and so is every member that nobody asked for.
type object struct {
	members []member
	inner   []*object // those asked for by [object.object]
	pointer string
	faults  *fault.Validation
	failed  error // it could not be read at all
}

type member struct {
	name  string
	value value
	asked bool
}

// value is a JSON value: text is that of a string, or of a number as it was
// written.
type value struct {
	kind    jsontext.Kind
	text    string
	members []member
	items   []value
}

// readBody reads the body of a request as a JSON object.
func readBody(c *fiber.Ctx) *object { return readObject(c, false) }

// readPatch reads the body as a merge patch (RFC 7396), under its own media
// type or as plain JSON.
func readPatch(c *fiber.Ctx) *object { return readObject(c, true) }

func readObject(c *fiber.Ctx, patch bool) *object {
	// Not c.Body(), which inflates gzip without limit (a bomb of 1 MB becomes 1 GiB).
	body := c.Request().Body()
	if len(body) == 0 {
		return &object{failed: errMalformedJSON}
	}
	h := &c.Request().Header
	// Of two types the one in front of us may have gone by the other.
	one := exchangeOf(c.Context()).types == 1
	if !one || !identity(h.PeekAll(fiber.HeaderContentEncoding)) || !isJSON(string(h.ContentType()), patch) {
		return &object{failed: errMediaType}
	}
	return parseObject(body)
}

func identity(encodings [][]byte) bool {
	return !slices.ContainsFunc(encodings, func(e []byte) bool {
		return len(e) > 0 && !strings.EqualFold(string(e), "identity")
	})
}

// isJSON reports whether a Content-Type is JSON in UTF-8. Forms and text are
// refused: a page of another site can send them without a preflight.
func isJSON(contentType string, patch bool) bool {
	media, params, _ := strings.Cut(contentType, ";")
	media = strings.TrimSpace(media)
	if !strings.EqualFold(media, "application/json") && !(patch && strings.EqualFold(media, "application/merge-patch+json")) {
		return false
	}
	params = strings.TrimSpace(params)
	if params == "" {
		return true
	}
	key, charset, _ := strings.Cut(params, "=")
	return strings.EqualFold(key, "charset") && strings.EqualFold(strings.Trim(charset, `"`), "utf-8")
}

// parseObject reads JSON text (RFC 8259, with the strictness of RFC 7493): no
// duplicate names, no invalid UTF-8, no lone surrogates, nothing after the
// value. Readers that differ in these see different bodies.
func parseObject(body []byte) *object {
	d := jsontext.NewDecoder(bytes.NewBuffer(body))
	v, err := readValue(d)
	if err != nil {
		return &object{failed: errMalformedJSON}
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return &object{failed: errMalformedJSON}
	}
	o := &object{members: v.members, faults: &fault.Validation{}}
	if v.kind != '{' {
		o.faults.Add("", "wrong_type", "The body is a JSON object.")
		o.failed = o.faults.Err()
	}
	return o
}

func readValue(d *jsontext.Decoder) (value, error) {
	t, err := d.ReadToken()
	if err != nil {
		return value{}, err
	}
	if d.StackDepth() > maxDepth {
		return value{}, errMalformedJSON
	}
	v := value{kind: t.Kind()}
	switch v.kind {
	case '"', '0':
		v.text = t.String()
	case '{':
		v.members, err = readMembers(d)
	case '[':
		v.items, err = readElements(d)
	}
	return v, err
}

func readMembers(d *jsontext.Decoder) ([]member, error) {
	var list []member
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		m := member{name: name.String()}
		if m.value, err = readValue(d); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	_, err := d.ReadToken()
	return list, err
}

// readElements reads an array, of which it keeps no more than tells that there
// are too many.
func readElements(d *jsontext.Decoder) ([]value, error) {
	var list []value
	for d.PeekKind() != ']' {
		v, err := readValue(d)
		if err != nil {
			return nil, err
		}
		if len(list) <= maxElements {
			list = append(list, v)
		}
	}
	_, err := d.ReadToken()
	return list, err
}

// presence is what a member's absence and its null mean.
type presence uint8

const (
	required presence = iota // must be there
	optional                 // may be missing, is not null
	kept                     // of a merge patch: may be missing, cannot be removed
	reset                    // of a merge patch: may be missing, null resets it
)

// find gives the member's value if it is there with the kind, and records what
// is wrong otherwise. It gives a value of kind 'n' only where null resets.
func (o *object) find(name string, p presence, kind jsontext.Kind, detail string) (value, bool) {
	m := o.ask(name)
	at := o.pointer + "/" + escape(name)
	switch {
	case o.failed != nil:
	case m == nil && p == required:
		o.faults.Add(at, "required", "This member is needed.")
	case m == nil:
	case m.value.kind == kind:
		return m.value, true
	case m.value.kind == 'n' && p == reset:
		return m.value, true
	case m.value.kind == 'n' && p == kept:
		o.faults.Add(at, "required", "This member cannot be removed.")
	default:
		o.faults.Add(at, "wrong_type", detail)
	}
	return value{}, false
}

func (o *object) ask(name string) *member {
	for i := range o.members {
		if o.members[i].name == name {
			o.members[i].asked = true
			return &o.members[i]
		}
	}
	return nil
}

// text gives a string, or nil where there is none. NUL is refused: PostgreSQL
// cannot keep it, and what one store refuses all refuse.
func (o *object) text(name string, p presence) *string {
	v, ok := o.find(name, p, '"', "This member is a string.")
	if !ok {
		return nil
	}
	if strings.ContainsRune(v.text, 0) {
		o.faults.Add(o.pointer+"/"+escape(name), "invalid_characters", "Text holds no NUL character.")
		return nil
	}
	return &v.text
}

// texts gives a list of strings, or nil where there is none; the empty list is
// not nil.
func (o *object) texts(name string, p presence) []string {
	const detail = "This member is a list of strings."
	v, ok := o.find(name, p, '[', detail)
	if !ok {
		return nil
	}
	list, at := make([]string, 0, len(v.items)), o.pointer+"/"+escape(name)
	if len(v.items) > maxElements {
		o.faults.Add(at, "out_of_range", "This list has at most "+strconv.Itoa(maxElements)+" elements.")
		return nil
	}
	sound := true
	for i, one := range v.items {
		code, detail := "", ""
		switch {
		case one.kind != '"':
			code, detail = "wrong_type", "This element is a string."
		case strings.ContainsRune(one.text, 0):
			code, detail = "invalid_characters", "Text holds no NUL character."
		}
		if code != "" {
			sound = false
			o.faults.Add(at+"/"+strconv.Itoa(i), code, detail)
		}
		list = append(list, one.text)
	}
	if !sound {
		return nil
	}
	return list
}

// readOne reads a body of one member, a string that must be there.
func readOne(b *object, name string) (string, error) {
	text := orZero(b.text(name, required))
	return text, b.err()
}

// integer gives a whole number that is written as one: 1.0 and 1e2 are read
// differently by different readers.
func (o *object) integer(name string, p presence) *int64 {
	const detail = "This member is a whole number, written without fraction and exponent."
	v, ok := o.find(name, p, '0', detail)
	if !ok {
		return nil
	}
	at := o.pointer + "/" + escape(name)
	if v.kind == 'n' {
		return new(int64)
	}
	if strings.ContainsAny(v.text, ".eE") {
		o.faults.Add(at, "wrong_type", detail)
		return nil
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	if err != nil {
		o.faults.Add(at, "out_of_range", "This number is larger than any that is accepted.")
		return nil
	}
	return &n
}

// flag gives a boolean, false where it is missing.
func (o *object) flag(name string) bool {
	if m := o.ask(name); m != nil && m.value.kind == 't' {
		return true
	}
	o.find(name, optional, 'f', "This member is true or false.")
	return false
}

// object gives an object; where there is none it has no members and its getters
// record nothing.
func (o *object) object(name string, p presence) *object {
	v, ok := o.find(name, p, '{', "This member is an object.")
	if !ok {
		return &object{failed: errAbsent}
	}
	in := &object{members: v.members, pointer: o.pointer + "/" + escape(name), faults: o.faults}
	o.inner = append(o.inner, in)
	return in
}

var errAbsent = fault.New(fault.Invalid, "absent", "")

// err tells all that is wrong with the body, after every member was asked for.
func (o *object) err() error {
	if o.failed != nil {
		return o.failed
	}
	o.recordUnknown(maxUnknown)
	return o.faults.Err()
}

// recordUnknown records up to most members that nobody asked for.
func (o *object) recordUnknown(most int) {
	for _, m := range o.members {
		if !m.asked && most > 0 {
			o.faults.Add(o.pointer+"/"+escape(m.name), "unknown_member", "There is no such member.")
			most--
		}
	}
	for _, in := range o.inner {
		in.recordUnknown(most)
	}
}

// orZero gives what p points to, or the zero value.
func orZero[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// escape writes a member name as a token of a JSON pointer (RFC 6901 section 3).
func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}
