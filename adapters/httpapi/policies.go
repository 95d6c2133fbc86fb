package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"gatehouse/application/administration"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/uuid"
)

func (s *Server) listPolicies(c *fiber.Ctx, r session.Resumed) error {
	table, err := s.Policies.Table(c.UserContext(), actor(&r))
	if err != nil {
		return err
	}
	return sendTable(c, table)
}

func (s *Server) getPolicy(c *fiber.Ctx, r session.Resumed) error {
	row, err := s.Policies.Row(c.UserContext(), actor(&r), policyID(c))
	if err != nil {
		return err
	}
	return send(c, fiber.StatusOK, appendRow(newBody(), row))
}

func (s *Server) addPolicy(c *fiber.Ctx, r session.Resumed) error {
	b := readBody(c)
	row := readPolicy(b)
	by := s.by(r, orZero(b.text("note", optional)), b)
	row, err := s.Policies.Add(c.UserContext(), actor(&r), by, row)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderLocation, "/admin/policies/"+row.ID.String())
	return send(c, fiber.StatusCreated, appendRow(newBody(), row))
}

// by is who changes the policy, with what could not be read of the body; b is nil
// where there is none.
func (s *Server) by(r session.Resumed, note string, b *object) administration.By {
	by := administration.By{Note: note, Proof: s.Sessions.Proved(r)}
	if b != nil {
		by.Unread = b.err()
	}
	return by
}

// readPolicy reads the words of a row.
func readPolicy(b *object) access.Row {
	return access.Row{
		Role:      orZero(b.text("role", required)),
		Resource:  orZero(b.text("resource", required)),
		Action:    orZero(b.text("action", required)),
		Condition: orZero(b.text("condition", required)),
		Effect:    orZero(b.text("effect", required)),
	}
}

// removePolicy takes its note from the query: many clients send no body with a
// DELETE.
func (s *Server) removePolicy(c *fiber.Ctx, r session.Resumed) error {
	by := s.by(r, string(c.Context().QueryArgs().Peek("note")), nil)
	if err := s.Policies.Remove(c.UserContext(), actor(&r), by, policyID(c)); err != nil {
		return err
	}
	return noContent(c)
}

func (s *Server) rollBackPolicies(c *fiber.Ctx, r session.Resumed) error {
	b := readBody(c)
	version := orZero(b.integer("version", required))
	by := s.by(r, orZero(b.text("note", optional)), b)
	table, err := s.Policies.Rollback(c.UserContext(), actor(&r), by, version)
	if err != nil {
		return err
	}
	return sendTable(c, table)
}

func (s *Server) listPolicyVersions(c *fiber.Ctx, r session.Resumed) error {
	args := c.Context().QueryArgs()
	limit, before := 0, int64(0)
	var v fault.Validation
	if text := string(args.Peek("limit")); text != "" {
		var ok bool
		if limit, ok = parseLimit(text); !ok {
			v.Add("/limit", "out_of_range", "A limit is a whole number from 1 to "+strconv.Itoa(administration.MaxSteps)+".")
		}
	}
	unread := v.Err()
	if text := string(args.Peek("cursor")); text != "" && unread == nil {
		var ok bool
		if before, ok = decodeVersionCursor(text); !ok {
			unread = errInvalidCursor
		}
	}
	steps, next, err := s.Policies.Steps(c.UserContext(), actor(&r), before, limit)
	if err != nil {
		return err
	}
	if unread != nil { // told to who may ask at all
		return unread
	}
	cursor := ""
	if next != 0 {
		cursor = encodeVersionCursor(next)
	}
	return send(c, fiber.StatusOK, appendPage(newBody(), steps, appendStep, cursor))
}

func (s *Server) getPolicyVersion(c *fiber.Ctx, r session.Resumed) error {
	version, err := strconv.ParseInt(c.Params("version"), 10, 64)
	if err != nil || strconv.FormatInt(version, 10) != c.Params("version") {
		version = 0 // which there is none
	}
	revision, err := s.Policies.At(c.UserContext(), actor(&r), version)
	if err != nil {
		return err
	}
	revision.Table = revision.Table.Ordered()
	b := appendEdit(newBody(), revision)
	b = append(b, `,"items":`...)
	b = appendList(b, revision.Table.Rows, appendRow)
	b = append(b, `,"inherits":`...)
	b = appendList(b, revision.Table.Inherits, appendInheritance)
	return send(c, fiber.StatusOK, append(b, '}'))
}

// policyID is the id in the path, zero where that is none: there is no row with
// it, which only those are told who may ask.
func policyID(c *fiber.Ctx) access.PolicyID { return parsePolicyID(c.Params("id")) }

func parsePolicyID(text string) access.PolicyID {
	id, _ := uuid.Parse(text)
	return access.PolicyID{UUID: id}
}

// sendTable answers with the whole policy, which is never cut into pages.
func sendTable(c *fiber.Ctx, t access.Table) error {
	t = t.Ordered()
	b := append(newBody(), `{"version":`...)
	b = strconv.AppendInt(b, t.Version, 10)
	b = append(b, `,"items":`...)
	b = appendList(b, t.Rows, appendRow)
	b = append(b, `,"inherits":`...)
	b = appendList(b, t.Inherits, appendInheritance)
	return send(c, fiber.StatusOK, append(b, `,"nextCursor":null}`...))
}

func appendRow(b []byte, r access.Row) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, r.ID.String())
	return appendColumns(append(b, `,"role":`...), r)
}

// appendWords writes down what a row says.
func appendWords(b []byte, r access.Row) []byte { return appendColumns(append(b, `{"role":`...), r) }

// appendColumns writes the values of a row, from that of the role on.
func appendColumns(b []byte, r access.Row) []byte {
	b = appendString(b, r.Role)
	for _, member := range []struct{ name, value string }{
		{`,"resource":`, r.Resource}, {`,"action":`, r.Action}, {`,"condition":`, r.Condition}, {`,"effect":`, r.Effect},
	} {
		b = append(b, member.name...)
		b = appendString(b, member.value)
	}
	return append(b, '}')
}

func appendInheritance(b []byte, in access.Inheritance) []byte {
	b = append(b, `{"role":`...)
	b = appendString(b, in.Role)
	b = append(b, `,"parent":`...)
	b = appendString(b, in.Parent)
	return append(b, '}')
}

// appendEdit writes down which version it is and who made it; the object is left
// open.
func appendEdit(b []byte, r access.Revision) []byte {
	b = append(b, `{"version":`...)
	b = strconv.AppendInt(b, r.Table.Version, 10)
	b = append(b, `,"at":`...)
	b = appendTime(b, r.At)
	b = append(b, `,"authorId":`...)
	if r.Author.IsZero() { // an operator, or the program itself
		b = append(b, "null"...)
	} else {
		b = appendString(b, r.Author.String())
	}
	b = append(b, `,"note":`...)
	return appendString(b, r.Note)
}

func appendStep(b []byte, step administration.Step) []byte {
	b = appendEdit(b, step.Revision)
	b = append(b, `,"added":`...)
	b = appendList(b, step.Diff.Added, appendRow)
	b = append(b, `,"removed":`...)
	b = appendList(b, step.Diff.Removed, appendRow)
	b = append(b, `,"inheritsAdded":`...)
	b = appendList(b, step.Diff.Inherited, appendInheritance)
	b = append(b, `,"inheritsRemoved":`...)
	b = appendList(b, step.Diff.Severed, appendInheritance)
	return append(b, '}')
}

// A cursor of the history is a version behind the head of a SHA-256, as that of
// a list of products is: the sum finds mistakes and keeps no secret.
const versionCursor = "policy versions"

func encodeVersionCursor(version int64) string {
	place := binary.BigEndian.AppendUint64(nil, uint64(version))
	sum := sha256.Sum256(append([]byte(versionCursor), place...))
	return cursorText.EncodeToString(append(sum[:cursorSum:cursorSum], place...))
}

func decodeVersionCursor(s string) (int64, bool) {
	if strings.ContainsAny(s, "\r\n") || len(s) > maxCursor || !utf8.ValidString(s) {
		return 0, false
	}
	b, err := cursorText.DecodeString(s)
	if err != nil || len(b) != cursorSum+8 {
		return 0, false
	}
	sum := sha256.Sum256(append([]byte(versionCursor), b[cursorSum:]...))
	version := int64(binary.BigEndian.Uint64(b[cursorSum:]))
	return version, version > 0 && bytes.Equal(sum[:cursorSum], b[:cursorSum])
}
