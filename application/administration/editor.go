package administration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gatehouse/application/journal"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// PolicyEditor changes the policy for whoever may, without asking who that is:
// [Policies] asks first, and the command line belongs to who holds the database.
//
// Whatever it does ends with a table of which every word is known, and under
// which somebody can still undo it over HTTP.
type PolicyEditor struct {
	Policies   ports.PolicyRepository
	History    ports.PolicyHistory
	Rehearsal  ports.Rehearsal
	Roles      ports.RoleDirectory
	Vocabulary access.Vocabulary
	Random     ports.Random
	Now        ports.Clock
}

// MaxNoteLength is how many code points the note of a change has at most.
const MaxNoteLength = 500

// MaxTableRows is how many rows and inheritances a policy has at most: every
// node holds all of them, and every version is kept.
const MaxTableRows = 10_000

var tooManyRows = fmt.Sprintf("A policy has at most %d rows and inheritances.", MaxTableRows)

// By is who makes a change, and what they have to say of it.
type By struct {
	Author user.ID // zero for an operator at the command line
	Note   string
	Unread error // what the transport could not read of the request, or nil
	Proof  error // why the author has to show once more who they are, or nil; told after what is wrong with the input
}

// checked returns what is wrong with a change before it is tried.
func (b By) checked(v fault.Validation) error {
	if err := fault.Merge(b.Unread, v.Err()); err != nil {
		return err
	}
	return b.Proof
}

// Table returns the policy as it is kept, and whether it can be decided by is
// not looked at.
func (e *PolicyEditor) Table(ctx context.Context) (access.Table, error) { return e.Policies.Load(ctx) }

// Row returns one row of the policy, or access.ErrPolicyUnknown.
func (e *PolicyEditor) Row(ctx context.Context, id access.PolicyID) (access.Row, error) {
	table, err := e.Policies.Load(ctx)
	if err != nil {
		return access.Row{}, err
	}
	i := slices.IndexFunc(table.Rows, func(r access.Row) bool { return r.ID == id })
	if i < 0 {
		return access.Row{}, access.ErrPolicyUnknown
	}
	return table.Rows[i], nil
}

// A plan is a change of the policy that was checked so far as can be without a
// store: what is done ([PolicyEditor.change]) or tried out ([PolicyEditor.rehearse]).
type plan struct {
	note  string
	doing doing
	alter func(*access.Table) error
}

// Add adds a row, whose id is made here. It returns what is wrong with the
// words, all of it at once, access.ErrPolicyExists if there is such a row,
// fault.Invalid if there are [MaxTableRows], and a Conflict with the code
// "last_admin" if the row would lock the admins out.
func (e *PolicyEditor) Add(ctx context.Context, by By, row access.Row) (access.Row, access.Table, error) {
	p, row, err := e.adding(by, row)
	if err != nil {
		return access.Row{}, access.Table{}, err
	}
	table, err := e.change(ctx, by, p)
	return row, table, err
}

func (e *PolicyEditor) adding(by By, row access.Row) (plan, access.Row, error) {
	var v fault.Validation
	e.Vocabulary.Validate(row, "", &v)
	note := validNote(by.Note, &v)
	if err := by.checked(v); err != nil {
		return plan{}, access.Row{}, err
	}
	row.ID = e.id()
	return plan{note, doing{event: audit.PolicyAdded, subject: row.ID.String()}, func(t *access.Table) error {
		if slices.ContainsFunc(t.Rows, func(r access.Row) bool { return r.Words() == row.Words() }) {
			return access.ErrPolicyExists
		}
		if len(t.Rows)+len(t.Inherits) >= MaxTableRows {
			var v fault.Validation
			v.Add("", "too_many", tooManyRows)
			return v.Err()
		}
		t.Rows = append(t.Rows, row)
		return nil
	}}, row, nil
}

// Remove removes a row. It returns access.ErrPolicyUnknown if there is none with
// the id, and "last_admin" as [PolicyEditor.Add] does.
func (e *PolicyEditor) Remove(ctx context.Context, by By, id access.PolicyID) (access.Table, error) {
	p, err := e.removing(by, id)
	if err != nil {
		return access.Table{}, err
	}
	return e.change(ctx, by, p)
}

func (e *PolicyEditor) removing(by By, id access.PolicyID) (plan, error) {
	var v fault.Validation
	note := validNote(by.Note, &v)
	if err := by.checked(v); err != nil {
		return plan{}, err
	}
	return plan{note, doing{event: audit.PolicyRemoved, subject: id.String()}, func(t *access.Table) error {
		left := slices.DeleteFunc(slices.Clone(t.Rows), func(r access.Row) bool { return r.ID == id })
		if len(left) == len(t.Rows) {
			return access.ErrPolicyUnknown
		}
		t.Rows = left
		return nil
	}}, nil
}

// Load puts a whole table, whose ids and version do not matter, in the place of
// the one there is: a row that stands in both keeps its id. It returns what is
// wrong with the table, and "last_admin" where no admin could change it back.
func (e *PolicyEditor) Load(ctx context.Context, by By, table access.Table) (access.Table, error) {
	p, err := e.loading(by, table)
	if err != nil {
		return access.Table{}, err
	}
	return e.change(ctx, by, p)
}

func (e *PolicyEditor) loading(by By, table access.Table) (plan, error) {
	var v fault.Validation
	for i, r := range table.Rows {
		e.Vocabulary.Validate(r, "/items/"+strconv.Itoa(i), &v)
	}
	for i, in := range table.Inherits {
		e.Vocabulary.ValidateInheritance(in, "/inherits/"+strconv.Itoa(i), &v)
	}
	if len(table.Rows)+len(table.Inherits) > MaxTableRows {
		v.Add("/items", "too_long", tooManyRows)
	}
	note := validNote(by.Note, &v)
	if err := by.checked(v); err != nil {
		return plan{}, err
	}
	return plan{note, doing{event: audit.PolicyLoaded, whole: true}, func(t *access.Table) error {
		ids := map[access.Row]access.PolicyID{}
		for _, r := range t.Rows {
			ids[r.Words()] = r.ID
		}
		next := table.Clone()
		for i, r := range next.Rows {
			id, known := ids[r.Words()]
			if !known {
				id = e.id()
			}
			next.Rows[i].ID = id
		}
		t.Rows, t.Inherits = next.Rows, next.Inherits
		return nil
	}}, nil
}

// Rollback makes the policy what it was at a version, as a version of its own.
// It returns access.ErrVersionUnknown if nobody remembers that one.
func (e *PolicyEditor) Rollback(ctx context.Context, by By, version int64) (access.Table, error) {
	p, err := e.goingBack(ctx, by, version)
	if err != nil {
		return access.Table{}, err
	}
	return e.change(ctx, by, p)
}

func (e *PolicyEditor) goingBack(ctx context.Context, by By, version int64) (plan, error) {
	var v fault.Validation
	note := validNote(by.Note, &v)
	if err := by.checked(v); err != nil {
		return plan{}, err
	}
	old, err := e.History.Revision(ctx, version)
	if err != nil {
		return plan{}, err
	}
	to := doing{event: audit.PolicyRolledBack, whole: true, detail: []string{"to", strconv.FormatInt(version, 10)}}
	return plan{note, to, func(t *access.Table) error {
		next := old.Table.Clone()
		t.Rows, t.Inherits = next.Rows, next.Inherits
		return nil
	}}, nil
}

func (e *PolicyEditor) id() access.PolicyID {
	return access.PolicyID{UUID: uuid.UUID(e.Random.ID(e.Now()))}
}

// validNote reads a note. It is for people alone, and kept as it is.
func validNote(note string, v *fault.Validation) string {
	note = strings.TrimSpace(note)
	switch {
	case !utf8.ValidString(note) || strings.ContainsFunc(note, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\t' || r == 0x7f }):
		v.Add("/note", "invalid_characters", "A note is text without control characters.")
	case utf8.RuneCountInString(note) > MaxNoteLength:
		v.Add("/note", "too_long", fmt.Sprintf("A note has at most %d characters.", MaxNoteLength))
	}
	return note
}

// doing is a change as it is written down.
type doing struct {
	event   audit.Event
	subject string // the id of the row; "" for the whole table
	whole   bool   // what was there before is no excuse for what is lacking after
	detail  []string
}

// change carries a plan out, if what comes of it can be used and undone.
func (e *PolicyEditor) change(ctx context.Context, by By, p plan) (access.Table, error) {
	sets, err := e.Roles.RoleSets(ctx)
	if err != nil {
		return access.Table{}, err
	}
	admins := adminsAmong(sets)
	book, with := journal.Book{Random: e.Random, Now: e.Now}, &ports.Along{}
	edit := access.Edit{Author: by.Author, At: e.Now(), Note: p.note}
	return e.History.Change(ctx, edit, func(t *access.Table) error {
		before := t.Clone()
		if err := e.try(before, t, p, admins); err != nil {
			return err
		}
		// Again within the step: roles may have changed since they were read.
		after := t.Clone()
		with.Admins = func(_ int64, admins [][]user.Role) error {
			return e.usable(before, after, p.doing.whole, admins)
		}
		detail := append([]string{"version", strconv.FormatInt(before.Version+1, 10)}, p.doing.detail...)
		with.Audit = []audit.Entry{book.Entry(ctx, p.doing.event, audit.Success, by.Author,
			audit.Subject{Type: access.KindPolicy.String(), ID: p.doing.subject}, append(detail, differences(t.Since(before))...)...)}
		return nil
	}, with)
}

// rehearse tells what a plan would make of the policy, or what it would be
// refused with, where users have these sets of roles. Nothing is written.
func (e *PolicyEditor) rehearse(ctx context.Context, p plan, sets []ports.RoleSet) (before, after access.Table, err error) {
	if before, err = e.Policies.Load(ctx); err != nil {
		return before, after, err
	}
	after = before.Clone()
	return before, after, e.try(before, &after, p, adminsAmong(sets))
}

var errTwice = fault.New(fault.Conflict, "policy_unusable", "A row or an inheritance stands twice.")

// try alters the table by the plan, and says whether that may be.
func (e *PolicyEditor) try(before access.Table, t *access.Table, p plan, admins [][]user.Role) error {
	if err := p.alter(t); err != nil {
		return err
	}
	if err := e.usable(before, *t, p.doing.whole, admins); err != nil {
		return err
	}
	if !t.Distinct() {
		return errTwice
	}
	return nil
}

// adminsAmong are the different sets of roles under which active users act as
// admin.
func adminsAmong(sets []ports.RoleSet) (admins [][]user.Role) {
	for _, s := range sets {
		if slices.Contains(s.Roles, user.RoleAdmin) {
			admins = append(admins, s.Roles)
		}
	}
	return admins
}

// essential is what the role admin has to be able to do: without it nobody could
// undo a change of the policy, or make another admin, over HTTP.
var essential = []struct {
	action access.Action
	kind   access.Kind
}{
	{access.Read, access.KindPolicy}, {access.Create, access.KindPolicy}, {access.Delete, access.KindPolicy},
	{access.Read, access.KindUser}, {access.Update, access.KindUser},
}

// usable returns nil if the policy after a change can be decided by, and no admin
// is locked out by the change. That is asked of whoever decides, so that denials,
// conditions and inheritance count as they do everywhere. Two things must not be
// lost: the role admin by itself can do what is essential, and so can at least
// one of those who act as admin, with all their roles. Where a hand in the
// database has taken some of it away, rows can be added and removed one by one
// all the same; but a table that is put in place as a whole, or of one that could
// not be decided by, has all of it.
func (e *PolicyEditor) usable(before, after access.Table, whole bool, admins [][]user.Role) error {
	if len(after.Rows) == 0 {
		return lockedOut("a policy without rows allows nothing")
	}
	now, err := e.Rehearsal.Under(after)
	if err != nil {
		return fault.New(fault.Conflict, "policy_unusable", "The policy could not be decided by then: "+err.Error()+".").Because(err)
	}
	was := now
	if !whole {
		earlier, err := e.Rehearsal.Under(before)
		if whole = err != nil; !whole { // what cannot be decided by is no excuse either
			was = earlier
		}
	}
	role := []user.Role{user.RoleAdmin}
	for _, needed := range essential {
		could, err := can(was, role, needed.action, needed.kind)
		if err != nil {
			return err
		}
		could = could || whole
		if still, err := can(now, role, needed.action, needed.kind); err != nil {
			return err
		} else if could && !still {
			return lockedOut(fmt.Sprintf("the role admin could not %s any %s any more", needed.action, needed.kind))
		}
	}
	return e.someoneLeft(was, now, whole, admins)
}

// someoneLeft looks at those who act as admin: another role of theirs may deny
// what the role admin allows.
func (e *PolicyEditor) someoneLeft(was, now func(access.Actor) access.Rights, whole bool, admins [][]user.Role) error {
	full := func(under func(access.Actor) access.Rights) (bool, error) {
		for _, roles := range admins {
			if able, err := canAll(under, roles); able || err != nil {
				return able, err
			}
		}
		return len(admins) == 0, nil
	}
	could, err := full(was)
	if err != nil {
		return err
	}
	still, err := full(now)
	if err != nil {
		return err
	}
	if !still && (could || whole) {
		return lockedOut("none of the accounts with the role admin could read, create and delete policies and read and update users any more, because of their other roles")
	}
	return nil
}

// somebody is who is asked about where only the roles matter.
var somebody = user.ID{UUID: uuid.UUID{0xff, 6: 0x70, 8: 0x80}}

// can reports whether somebody with the roles may do the action with any of the
// kind.
func can(under func(access.Actor) access.Rights, roles []user.Role, action access.Action, k access.Kind) (bool, error) {
	actor := access.SignedIn(user.Restore(user.State{ID: somebody, Roles: roles, Status: user.Active}), 0)
	d, err := under(actor).Decide(action, access.Any(k))
	return d.Allowed, err
}

// canAll reports whether somebody with the roles may do all that is essential.
func canAll(under func(access.Actor) access.Rights, roles []user.Role) (bool, error) {
	for _, needed := range essential {
		if may, err := can(under, roles, needed.action, needed.kind); !may || err != nil {
			return false, err
		}
	}
	return true, nil
}

// lockedOut is the refusal of a change that nobody could undo.
func lockedOut(why string) error {
	return fault.New(fault.Conflict, user.ErrLastAdmin.Code, "Nothing was changed: "+why+".")
}

// IsLockOut reports whether a change was refused because it would lock the
// admins out.
func IsLockOut(err error) bool { return errors.Is(err, user.ErrLastAdmin) }

// toldRows is how many rows an entry of the audit log names; the version that it
// names has all.
const toldRows = 20

// differences writes a difference down for the audit log.
func differences(d access.Diff) (detail []string) {
	rows := func(name string, rows []access.Row) {
		texts := make([]string, len(rows))
		for i, r := range rows {
			texts[i] = r.String()
		}
		detail = append(detail, told(name, texts)...)
	}
	links := func(name string, all []access.Inheritance) {
		texts := make([]string, len(all))
		for i, in := range all {
			texts[i] = in.Role + ", " + in.Parent
		}
		detail = append(detail, told(name, texts)...)
	}
	rows("added", d.Added)
	rows("removed", d.Removed)
	links("inherits", d.Inherited)
	links("inherits_no_more", d.Severed)
	return detail
}

func told(name string, texts []string) []string {
	if len(texts) == 0 {
		return nil
	}
	more := ""
	if n := len(texts) - toldRows; n > 0 {
		texts, more = texts[:toldRows], fmt.Sprintf("; and %d more", n)
	}
	return []string{name, strings.Join(texts, "; ") + more}
}

// Step is a version of the policy, and what it differs in from the one before
// it, or from nothing where nobody remembers that.
type Step struct {
	access.Revision
	Diff access.Diff
}

// Bounds of a page of the history.
const (
	DefaultSteps = 20
	MaxSteps     = 100
)

// Steps returns a page of the history, the newest first: versions below before,
// or from the newest where that is zero. limit 0 means [DefaultSteps]. next is
// where the next page begins, zero on the last.
func (e *PolicyEditor) Steps(ctx context.Context, before int64, limit int) (steps []Step, next int64, err error) {
	if limit == 0 {
		limit = DefaultSteps
	}
	limit = min(max(limit, 1), MaxSteps)
	list, err := e.History.Revisions(ctx, before, limit+1)
	if err != nil {
		return nil, 0, err
	}
	for i, r := range list[:min(limit, len(list))] {
		var earlier access.Table
		if i+1 < len(list) {
			earlier = list[i+1].Table
		}
		steps = append(steps, Step{Revision: r, Diff: r.Table.Since(earlier)})
	}
	if len(list) > limit {
		next = list[limit-1].Table.Version
	}
	return steps, next, nil
}

// At returns the policy as it was at a version, or access.ErrVersionUnknown.
func (e *PolicyEditor) At(ctx context.Context, version int64) (access.Revision, error) {
	return e.History.Revision(ctx, version)
}
