// Package fault holds the few kinds of failure that every layer shares.
//
// A Kind says what went wrong in words that need no transport and no store; an
// [Error] adds a stable code, a sentence for the person who asked, and for
// invalid input the fields that are wrong. Adapters translate what their
// libraries report into these at their edge, layers in between wrap with %w,
// and one place of the transport turns them into an answer.
//
// The law that binds everybody: an outage is not an answer. A store that cannot
// be asked is [Unavailable], never [NotFound] and never [Unauthenticated].
package fault

import (
	"errors"
	"strings"
	"time"
)

// A Kind is a class of failure. It is an error itself, so that
// errors.Is(err, fault.NotFound) asks for the class of whatever is wrapped.
type Kind string

// The kinds. Anything that is none of them is a defect of ours.
const (
	Invalid         Kind = "invalid input"
	Unauthenticated Kind = "not authenticated"
	Forbidden       Kind = "forbidden"
	NotFound        Kind = "not found"
	Conflict        Kind = "conflict"
	Stale           Kind = "changed meanwhile"
	Gone            Kind = "gone"
	TooMany         Kind = "too many attempts"
	Unavailable     Kind = "unavailable"
)

// Error makes a Kind usable as the target of errors.Is and as a cause.
func (k Kind) Error() string { return string(k) }

// A Field names one faulty member of the input.
type Field struct {
	Pointer string // RFC 6901 JSON Pointer into the input, "" for the whole of it
	Code    string // stable, snake_case
	Detail  string // a sentence for a person
}

// Error is a failure with what its receiver needs to act on it. Its texts are
// meant for the caller: they never carry SQL, addresses or internal names. The
// cause, which may, is for logs and for errors.Is/As alone.
type Error struct {
	Kind       Kind
	Code       string        // stable, snake_case, part of the public contract
	Detail     string        // a sentence for a person
	Reason     string        // why, in one stable word, where the code leaves that open
	Fields     []Field       // for Invalid
	RetryAfter time.Duration // for Unavailable and TooMany, and what is worth trying again as it is; zero leaves it to the transport
	cause      error
}

// New returns a failure of a kind.
func New(kind Kind, code, detail string) *Error {
	return &Error{Kind: kind, Code: code, Detail: detail}
}

// Because returns a copy of e that wraps the cause for logs.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// For returns a copy of e with the reason.
func (e *Error) For(reason string) *Error {
	c := *e
	c.Reason = reason
	return &c
}

// Again returns a copy of e that is worth another try after d.
func (e *Error) Again(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// Error is the text for logs: kind, code, detail, fields and cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Kind))
	if e.Code != "" {
		b.WriteString(": " + e.Code)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Reason != "" {
		b.WriteString(" (" + e.Reason + ")")
	}
	for _, f := range e.Fields {
		b.WriteString(" [" + f.Pointer + " " + f.Code + "]")
	}
	if e.cause != nil {
		b.WriteString(": " + e.cause.Error())
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is e's kind, or an Error of the same kind and code.
func (e *Error) Is(target error) bool {
	switch t := target.(type) {
	case Kind:
		return e.Kind == t
	case *Error:
		return e.Kind == t.Kind && e.Code == t.Code
	}
	return false
}

// Outage reports that a store or service could not be asked, for cause.
func Outage(cause error) *Error {
	return &Error{Kind: Unavailable, Code: "unavailable", Detail: "The service cannot answer right now. Try again shortly.", cause: cause}
}

// Validation collects the faults of an input, so that all of them can be told
// in one answer. The zero value is ready to use.
type Validation struct{ fields []Field }

// Add records a fault.
func (v *Validation) Add(pointer, code, detail string) {
	v.fields = append(v.fields, Field{Pointer: pointer, Code: code, Detail: detail})
}

// Include records the fields of err, if err is an Invalid with fields, under
// the given prefix, and reports whether it was that. A nil err counts as one.
func (v *Validation) Include(prefix string, err error) bool {
	if err == nil {
		return true
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != Invalid || len(e.Fields) == 0 {
		return false
	}
	for _, f := range e.Fields {
		v.Add(prefix+f.Pointer, f.Code, f.Detail)
	}
	return true
}

// Err returns nil when nothing was recorded, else an Invalid that lists it.
func (v *Validation) Err() error {
	if len(v.fields) == 0 {
		return nil
	}
	return &Error{
		Kind:   Invalid,
		Code:   "validation_failed",
		Detail: "The input has members that cannot be accepted; see errors.",
		Fields: v.fields,
	}
}

// Merge joins the faults that two checks found in one input. A failure that is
// no list of fields is returned alone, first before second. Of two faults of
// one member, or of a member and of what it holds, the first stands: what
// could not be read has no further faults worth telling.
func Merge(first, second error) error {
	var v Validation
	if !v.Include("", first) {
		return first
	}
	known := v.fields
	var more Validation
	if !more.Include("", second) {
		return second
	}
	for _, f := range more.fields {
		if !covered(known, f.Pointer) {
			v.fields = append(v.fields, f)
		}
	}
	return v.Err()
}

func covered(known []Field, pointer string) bool {
	for _, k := range known {
		if k.Pointer == pointer || strings.HasPrefix(pointer, k.Pointer+"/") {
			return true
		}
	}
	return false
}
