package access_test

import (
	"testing"

	"gatehouse/domain/access"
	"gatehouse/domain/fault"
)

func rowOf(n byte, role string) access.Row {
	return access.Row{ID: access.PolicyID{UUID: id(n).UUID}, Role: role, Resource: "product", Action: "read", Condition: "any", Effect: "allow"}
}

func TestSince(t *testing.T) {
	a, b, c := rowOf(1, "a"), rowOf(2, "b"), rowOf(3, "c")
	old := access.Table{Version: 4, Rows: []access.Row{a, b}, Inherits: []access.Inheritance{{Role: "x", Parent: "y"}, {Role: "x", Parent: "z"}}}
	next := access.Table{Version: 5, Rows: []access.Row{c, b}, Inherits: []access.Inheritance{{Role: "x", Parent: "z"}, {Role: "z", Parent: "y"}}}
	d := next.Since(old)
	if len(d.Added) != 1 || d.Added[0] != c || len(d.Removed) != 1 || d.Removed[0] != a ||
		len(d.Inherited) != 1 || d.Inherited[0].Role != "z" || len(d.Severed) != 1 || d.Severed[0].Parent != "y" || d.IsZero() {
		t.Errorf("Since = %+v", d)
	}
	same := access.Table{Version: 9, Rows: []access.Row{b, a}, Inherits: []access.Inheritance{{Role: "x", Parent: "z"}, {Role: "x", Parent: "y"}}}
	if d := same.Since(old); !d.IsZero() {
		t.Errorf("Since of the same in another order = %+v, want none", d)
	}
	if len(old.Rows) != 2 || old.Rows[0] != a || len(next.Rows) != 2 || next.Rows[0] != c {
		t.Error("Since alters what it compares")
	}
	// The same words under another id are another row.
	if d := (access.Table{Rows: []access.Row{rowOf(9, "a"), b}}).Since(access.Table{Rows: []access.Row{a, b}}); len(d.Added) != 1 || len(d.Removed) != 1 {
		t.Errorf("Since(another id) = %+v, want one row for the other", d)
	}
}

func TestDistinct(t *testing.T) {
	link := access.Inheritance{Role: "x", Parent: "y"}
	for _, c := range []struct {
		what  string
		table access.Table
		want  bool
	}{
		{"nothing", access.Table{}, true},
		{"two rows", access.Table{Rows: []access.Row{rowOf(1, "a"), rowOf(2, "b")}, Inherits: []access.Inheritance{link}}, true},
		{"an id twice", access.Table{Rows: []access.Row{rowOf(1, "a"), rowOf(1, "b")}}, false},
		{"words twice", access.Table{Rows: []access.Row{rowOf(1, "a"), rowOf(2, "a")}}, false},
		{"an inheritance twice", access.Table{Inherits: []access.Inheritance{link, link}}, false},
	} {
		if got := c.table.Distinct(); got != c.want {
			t.Errorf("Distinct(%s) = %v, want %v", c.what, got, c.want)
		}
	}
}

// Every word that means nothing is told, by its column.
func TestValidate(t *testing.T) {
	v, err := access.NewVocabulary()
	if err != nil {
		t.Fatal(err)
	}
	var faults fault.Validation
	v.Validate(rowOf(1, "user"), "", &faults)
	v.ValidateInheritance(access.Inheritance{Role: "a", Parent: "b"}, "/inherits/0", &faults)
	if err := faults.Err(); err != nil {
		t.Errorf("a good row and a good inheritance: %v", err)
	}
	v.Validate(access.Row{Role: "Root", Resource: "*", Action: "all", Condition: "own", Effect: ""}, "/items/3", &faults)
	v.ValidateInheritance(access.Inheritance{Role: "A", Parent: ""}, "/inherits/0", &faults)
	f, _ := faults.Err().(*fault.Error)
	var got []string
	for _, field := range f.Fields {
		got = append(got, field.Pointer)
	}
	want := []string{"/items/3/role", "/items/3/resource", "/items/3/action", "/items/3/effect", "/inherits/0/role", "/inherits/0/parent"}
	if len(got) != len(want) {
		t.Fatalf("faults at %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("fault %d at %q, want %q", i, got[i], want[i])
		}
	}
	if d := f.Fields[1].Detail; d != `"*" is no resource: that is one of product, user, session, policy, audit.` {
		t.Errorf("the detail is %q", d)
	}
}
