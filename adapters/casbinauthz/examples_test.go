package casbinauthz_test

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gatehouse/adapters/memory"
	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

//go:embed testdata/casbin_examples.txt
var casbinExamples string

// exampleRows is how many rows of Casbin's the file holds at least: one that is
// lost in editing should be missed.
const exampleRows = 124

// Casbin's own examples hold here, as far as they can be put into our words;
// the file says which cannot, and why.
func TestCasbinExamples(t *testing.T) {
	said, unsaid := 0, 0
	for title, lines := range examples(t) {
		t.Run(title, func(t *testing.T) {
			e := &example{t: t}
			for _, line := range lines {
				e.read(line)
			}
			said, unsaid = said+e.said, unsaid+e.unsaid
		})
	}
	if said < exampleRows {
		t.Errorf("%d rows of Casbin's examples, want %d", said, exampleRows)
	}
	t.Logf("%d rows of Casbin's examples hold; %d cannot be said", said, unsaid)
}

// examples gives the lines below each title.
func examples(t *testing.T) map[string][]string {
	t.Helper()
	all, title := map[string][]string{}, ""
	for line := range strings.Lines(casbinExamples) {
		line = strings.TrimSpace(line)
		switch name, isTitle := strings.CutPrefix(line, "== "); {
		case isTitle && all[name] != nil:
			t.Fatalf("%q stands twice", name)
		case isTitle:
			title = name
			all[title] = []string{}
		case line != "" && line[0] != '#':
			all[title] = append(all[title], line)
		}
	}
	return all
}

// example is one policy, and what was held against it so far.
type example struct {
	t            *testing.T
	table        access.Table
	said, unsaid int
}

func (e *example) read(line string) {
	e.t.Helper()
	head, tail, _ := strings.Cut(line, ":")
	if strings.HasPrefix(line, "? ") { // a thing may hold a colon itself
		i := strings.Index(line, ": ")
		head, tail = line[:i], line[i+1:]
	}
	words, rest := strings.Fields(head), strings.TrimSpace(tail)
	switch words[0] {
	case "p", "g":
		e.add(words)
	case "-":
		e.remove(words[1:])
	case "?":
		e.ask(words[1], words[2], strings.Fields(rest))
	case "by":
		e.decidedBy(words[1], words[2], words[3], rest)
	case "roles":
		e.roles(words[1], rest)
	case "no":
		n, err := strconv.Atoi(words[1])
		if err != nil || rest == "" {
			e.t.Fatalf("%q: want how many, what, and why", line)
		}
		e.unsaid += n
	default:
		e.t.Fatalf("%q is none of the lines that there are", line)
	}
}

func rowOf(words []string) access.Row {
	r := access.Row{Role: words[1], Resource: words[2], Action: words[3], Condition: "any", Effect: "allow"}
	if len(words) > 4 {
		r.Condition = words[4]
	}
	if len(words) > 5 {
		r.Effect = words[5]
	}
	return r
}

func (e *example) add(words []string) {
	e.table.Version++
	if words[0] == "g" {
		e.table.Inherits = append(e.table.Inherits, access.Inheritance{Role: words[1], Parent: words[2]})
		return
	}
	e.table.Rows = append(e.table.Rows, rowOf(words))
}

func (e *example) remove(words []string) {
	e.t.Helper()
	e.table.Version++
	before := len(e.table.Rows) + len(e.table.Inherits)
	if words[0] == "g" {
		gone := access.Inheritance{Role: words[1], Parent: words[2]}
		e.table.Inherits = slices.DeleteFunc(e.table.Inherits, func(in access.Inheritance) bool { return in == gone })
	} else {
		gone := rowOf(words)
		e.table.Rows = slices.DeleteFunc(e.table.Rows, func(r access.Row) bool { return r == gone })
	}
	if len(e.table.Rows)+len(e.table.Inherits) == before {
		e.t.Fatalf("%q was not there", words)
	}
}

// rights are those of who, by Casbin and by the plain reading.
func (e *example) rights(who string) map[string]access.Rights {
	e.t.Helper()
	policies, v := &table{now: e.table}, vocabulary(e.t)
	actor := access.Anonymous()
	if who != "anonymous" {
		role, ok := user.ParseRole(who)
		if !ok {
			e.t.Fatalf("%q is no role", who)
		}
		actor = access.SignedIn(user.Restore(user.State{ID: idOf(who), Roles: []user.Role{role}}), e.table.Version)
	}
	all := map[string]access.Rights{}
	for name, a := range map[string]ports.Authorizer{"casbinauthz": open(e.t, policies, v), "memory": memory.NewAuthorizer(policies, v)} {
		r, err := a.Rights(e.t.Context(), actor)
		if err != nil {
			e.t.Fatal(err)
		}
		all[name] = r
	}
	return all
}

func idOf(who string) user.ID {
	var id user.ID
	copy(id.UUID[:], who)
	return id
}

// thingOf is "product", a kind, or "product:alice", one that alice owns.
func (e *example) thingOf(text string) access.Resource {
	e.t.Helper()
	kind, owner, owned := strings.Cut(text, ":")
	if owned {
		return access.Product(product.Restore(product.State{ID: product.ID{UUID: uuid.UUID{1}}, OwnerID: idOf(owner), Status: product.StatusDraft}))
	}
	for _, k := range []access.Kind{access.KindProduct, access.KindUser, access.KindSession, access.KindPolicy, access.KindAudit} {
		if k.String() == kind {
			return access.Any(k)
		}
	}
	e.t.Fatalf("%q is no thing", text)
	return access.Resource{}
}

func (e *example) actionOf(text string) access.Action {
	e.t.Helper()
	for _, a := range access.Actions() {
		if a.String() == text {
			return a
		}
	}
	e.t.Fatalf("%q is no action", text)
	return access.Action{}
}

func (e *example) ask(who, thing string, answers []string) {
	e.t.Helper()
	res := e.thingOf(thing)
	for name, r := range e.rights(who) {
		for _, a := range answers {
			action, want, _ := strings.Cut(a, "=")
			d, err := r.Decide(e.actionOf(action), res)
			if err != nil || (want != "yes" && want != "no") || d.Allowed != (want == "yes") {
				e.t.Errorf("%s: may %s %s %s? %v, %v, want %s", name, who, action, thing, d.Allowed, err, want)
			}
		}
	}
	e.said += len(answers)
}

func (e *example) decidedBy(who, thing, action, row string) {
	e.t.Helper()
	for name, r := range e.rights(who) {
		if d, err := r.Decide(e.actionOf(action), e.thingOf(thing)); err != nil || d.By.String() != row {
			e.t.Errorf("%s: %s of %s by %s is decided by %q, %v, want %q", name, action, thing, who, d.By, err, row)
		}
	}
	e.said++
}

func (e *example) roles(who, want string) {
	e.t.Helper()
	for name, r := range e.rights(who) {
		var got []string
		for _, role := range r.Roles() {
			got = append(got, role.String())
		}
		if strings.Join(got, " ") != want {
			e.t.Errorf("%s: roles of %s = %q, want %q", name, who, got, want)
		}
	}
	e.said++
}
