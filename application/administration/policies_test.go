package administration_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse/application/administration"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/tests/house"
)

// row writes a row down: row("user product read any allow").
func row(words string) access.Row {
	w := strings.Fields(words)
	return access.Row{Role: w[0], Resource: w[1], Action: w[2], Condition: w[3], Effect: w[4]}
}

func links(pairs ...string) (all []access.Inheritance) {
	for _, p := range pairs {
		role, parent, _ := strings.Cut(p, " < ")
		all = append(all, access.Inheritance{Role: role, Parent: parent})
	}
	return all
}

func roles(names ...string) (list []user.Role) {
	for _, n := range names {
		r, _ := user.ParseRole(n)
		list = append(list, r)
	}
	return list
}

// somebody is a user with the roles, as an actor who has just been resumed.
func somebody(h *house.House, address string, names ...string) access.Actor {
	u := h.Add(address)
	h.Change(u, func(u *user.User) {
		s := u.State()
		s.Roles = roles(names...)
		*u = user.Restore(s)
	})
	return access.SignedIn(h.Find(u), 0)
}

// table is the policy as it is kept.
func table(t *testing.T, h *house.House) access.Table {
	t.Helper()
	now, err := h.DB.Policies().Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func find(t *testing.T, h *house.House, words string) access.PolicyID {
	t.Helper()
	for _, r := range table(t, h).Rows {
		if r.Words() == row(words) {
			return r.ID
		}
	}
	t.Fatalf("there is no row %s", words)
	return access.PolicyID{}
}

// lastEntry is the newest of the audit log.
func lastEntry(t *testing.T, h *house.House) audit.Row {
	t.Helper()
	rows := h.Rows()
	if len(rows) == 0 {
		t.Fatal("nothing was written down")
	}
	return rows[len(rows)-1]
}

// The default policy gives all of it to the role admin, and none of it to others.
func TestPoliciesAreUnderThePolicy(t *testing.T) {
	acts := map[string]func(h *house.House, a access.Actor) error{
		"Table": func(h *house.House, a access.Actor) error { _, err := h.Policies.Table(t.Context(), a); return err },
		"Row": func(h *house.House, a access.Actor) error {
			_, err := h.Policies.Row(t.Context(), a, find(t, h, "user product create any allow"))
			return err
		},
		"Add": func(h *house.House, a access.Actor) error {
			_, err := h.Policies.Add(t.Context(), a, administration.By{}, row("support user read any allow"))
			return err
		},
		"Remove": func(h *house.House, a access.Actor) error {
			return h.Policies.Remove(t.Context(), a, administration.By{}, find(t, h, "user product create any allow"))
		},
		"Rollback": func(h *house.House, a access.Actor) error {
			_, err := h.Policies.Rollback(t.Context(), a, administration.By{}, 1)
			return err
		},
		"Steps": func(h *house.House, a access.Actor) error {
			_, _, err := h.Policies.Steps(t.Context(), a, 0, 0)
			return err
		},
		"At": func(h *house.House, a access.Actor) error { _, err := h.Policies.At(t.Context(), a, 1); return err },
	}
	for name, act := range acts {
		h := house.New(t, house.Options{})
		if err := act(h, access.Anonymous()); !errors.Is(err, access.ErrUnauthenticated) {
			t.Errorf("%s by a visitor = %v, want Unauthenticated", name, err)
		}
		for _, role := range []string{"user", "moderator"} {
			before := len(h.Rows())
			err := act(h, somebody(h, role+"@example.com", role))
			if !errors.Is(err, access.ErrForbidden) {
				t.Errorf("%s by a %s = %v, want Forbidden", name, role, err)
			}
			if events := h.Events(before); !slices.Contains(events, audit.Denied) {
				t.Errorf("%s by a %s is not written down: %v", name, role, events)
			}
		}
		if now := table(t, h); now.Version != 1 {
			t.Errorf("%s by who may not made version %d", name, now.Version)
		}
		if err := act(h, somebody(h, "root@example.com", "admin")); err != nil {
			t.Errorf("%s by an admin = %v", name, err)
		}
	}
	// What a rollback takes is both, to add and to remove.
	h := house.New(t, house.Options{})
	for _, right := range []string{"create", "delete"} {
		if _, err := h.Policies.Add(t.Context(), somebody(h, right+"-root@example.com", "admin"), administration.By{}, row("only-"+right+" policy "+right+" any allow")); err != nil {
			t.Fatal(err)
		}
		a := somebody(h, right+"@example.com", "only-"+right)
		if _, err := h.Policies.Rollback(t.Context(), a, administration.By{}, 1); !errors.Is(err, access.ErrForbidden) {
			t.Errorf("Rollback by who may only %s = %v, want Forbidden", right, err)
		}
	}
}

// A change makes a version with author, note and time, and an entry in the audit
// log that says what it was.
func TestChangesOfThePolicy(t *testing.T) {
	h := house.New(t, house.Options{})
	root := somebody(h, "root@example.com", "admin")
	added, err := h.Policies.Add(t.Context(), root, administration.By{Note: "  for the help desk\n"}, row("support user read any allow"))
	if err != nil || added.ID == (access.PolicyID{}) || added.Words() != row("support user read any allow") {
		t.Fatalf("Add = %+v, %v", added, err)
	}
	if got, err := h.Policies.Row(t.Context(), root, added.ID); err != nil || got != added {
		t.Errorf("Row(%s) = %+v, %v, want the row", added.ID, got, err)
	}
	want := map[string]string{"version": "2", "added": "support, user, read, any, allow"}
	e := lastEntry(t, h)
	if e.Event != audit.PolicyAdded || e.Actor != root.ID() || e.Subject != (audit.Subject{Type: "policy", ID: added.ID.String()}) || fmt.Sprint(e.Detail) != fmt.Sprint(want) {
		t.Errorf("Add is written down as %+v", e)
	}
	if _, err := h.Policies.Add(t.Context(), root, administration.By{}, row("support user read any allow")); !errors.Is(err, access.ErrPolicyExists) {
		t.Errorf("Add again = %v, want ErrPolicyExists", err)
	}
	if err := h.Policies.Remove(t.Context(), root, administration.By{}, added.ID); err != nil {
		t.Fatal(err)
	}
	if e := lastEntry(t, h); e.Event != audit.PolicyRemoved || e.Detail["removed"] != "support, user, read, any, allow" || e.Detail["version"] != "3" {
		t.Errorf("Remove is written down as %+v", e)
	}
	for _, id := range []access.PolicyID{added.ID, {}} {
		if err := h.Policies.Remove(t.Context(), root, administration.By{}, id); !errors.Is(err, access.ErrPolicyUnknown) {
			t.Errorf("Remove(%s) = %v, want ErrPolicyUnknown", id, err)
		}
		if _, err := h.Policies.Row(t.Context(), root, id); !errors.Is(err, fault.NotFound) {
			t.Errorf("Row(%s) = %v, want NotFound", id, err)
		}
	}
	steps, next, err := h.Policies.Steps(t.Context(), root, 0, 2)
	if err != nil || len(steps) != 2 || next != 2 {
		t.Fatalf("Steps = %d of them, next %d, %v, want 2 and 2", len(steps), next, err)
	}
	if s := steps[1]; s.Author != root.ID() || s.Note != "for the help desk" || !s.At.Equal(house.Noon) || len(s.Diff.Added) != 1 || s.Diff.Added[0] != added || len(s.Diff.Removed) != 0 {
		t.Errorf("version 2 is %+v", s)
	}
	if s := steps[0]; len(s.Diff.Removed) != 1 || s.Diff.Removed[0] != added || len(s.Diff.Added) != 0 {
		t.Errorf("version 3 is %+v", s)
	}
	steps, next, err = h.Policies.Steps(t.Context(), root, next, 2)
	if err != nil || len(steps) != 1 || next != 0 || len(steps[0].Diff.Added) != len(table(t, h).Rows) || !steps[0].Author.IsZero() {
		t.Errorf("the last page = %+v, %d, %v, want version 1, which adds all rows", steps, next, err)
	}
	for _, n := range []int{-5, 0, 1000} {
		if _, _, err := h.Policies.Steps(t.Context(), root, 0, n); err != nil {
			t.Errorf("Steps(limit %d) = %v", n, err)
		}
	}
}

// Everything that is wrong with a row is told at once, and none of it counts.
func TestRowsAreValidated(t *testing.T) {
	h := house.New(t, house.Options{})
	root := somebody(h, "root@example.com", "admin")
	pointers := func(err error) (list []string) {
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != fault.Invalid {
			t.Errorf("%v, want Invalid", err)
			return nil
		}
		for _, field := range f.Fields {
			list = append(list, field.Pointer)
		}
		return list
	}
	bad := access.Row{Role: "Root", Resource: "*", Action: "all", Condition: "true", Effect: "Allow"}
	_, err := h.Policies.Add(t.Context(), root, administration.By{Note: strings.Repeat("x", 501)}, bad)
	if got := fmt.Sprint(pointers(err)); got != "[/role /resource /action /condition /effect /note]" {
		t.Errorf("faults of a bad row at %s", got)
	}
	unread := fault.Validation{}
	unread.Add("/role", "wrong_type", "This member is a string.")
	_, err = h.Policies.Add(t.Context(), root, administration.By{Unread: unread.Err()}, bad)
	if got := fmt.Sprint(pointers(err)); got != "[/role /resource /action /condition /effect]" {
		t.Errorf("faults of a row that could not be read at %s", got)
	}
	for _, note := range []string{"a\x00b", "a\xffb", "\x1b[2J"} {
		if got := fmt.Sprint(pointers(h.Policies.Remove(t.Context(), root, administration.By{Note: note}, find(t, h, "user product share own allow")))); got != "[/note]" {
			t.Errorf("faults of the note %q at %s", note, got)
		}
	}
	_, err = h.Policies.Rollback(t.Context(), root, administration.By{Note: strings.Repeat("가", 501)}, 1)
	if got := fmt.Sprint(pointers(err)); got != "[/note]" {
		t.Errorf("faults of a long note at %s", got)
	}
	_, err = h.Policies.Editor.Load(t.Context(), administration.By{}, access.Table{
		Rows: []access.Row{row("user product read any allow"), bad, row("user product eat any allow")}, Inherits: links("admin < user", "Admin < user"),
	})
	if got := fmt.Sprint(pointers(err)); got != "[/items/1/role /items/1/resource /items/1/action /items/1/condition /items/1/effect /items/2/action /inherits/1/role]" {
		t.Errorf("faults of a bad table at %s", got)
	}
	big := access.Table{}
	for i := range administration.MaxTableRows + 1 {
		big.Rows = append(big.Rows, row(fmt.Sprintf("r%d product read any allow", i)))
	}
	if _, err := h.Policies.Editor.Load(t.Context(), administration.By{}, big); !errors.Is(err, fault.Invalid) {
		t.Errorf("Load of too many rows = %v, want Invalid", err)
	}
	if now := table(t, h); now.Version != 1 {
		t.Errorf("what was refused made version %d", now.Version)
	}
	// One by one there are no more than at once.
	now := table(t, h)
	full := access.Table{Rows: append(now.Rows, big.Rows...)[:administration.MaxTableRows-len(now.Inherits)], Inherits: now.Inherits}
	if _, err := h.Policies.Editor.Load(t.Context(), administration.By{}, full); err != nil {
		t.Fatal(err)
	}
	one := row("more product read any allow")
	if _, err := h.Policies.Add(t.Context(), root, administration.By{}, one); !errors.Is(err, fault.Invalid) {
		t.Errorf("Add to a policy that is full = %v, want Invalid", err)
	}
	if err := h.Policies.Remove(t.Context(), root, administration.By{}, find(t, h, "r0 product read any allow")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Policies.Add(t.Context(), root, administration.By{}, one); err != nil {
		t.Errorf("Add where a row was removed = %v", err)
	}
}

// What no admin could undo is refused, whichever way it comes: a row less, a deny
// more, a deny that is inherited, the inheritance itself, a whole table.
func TestNobodyLocksTheAdminsOut(t *testing.T) {
	remove := func(words string) func(*testing.T, *house.House, access.Actor) error {
		return func(t *testing.T, h *house.House, a access.Actor) error {
			return h.Policies.Remove(t.Context(), a, administration.By{}, find(t, h, words))
		}
	}
	add := func(words string) func(*testing.T, *house.House, access.Actor) error {
		return func(t *testing.T, h *house.House, a access.Actor) error {
			_, err := h.Policies.Add(t.Context(), a, administration.By{}, row(words))
			return err
		}
	}
	load := func(inherits []access.Inheritance, rows ...string) func(*testing.T, *house.House, access.Actor) error {
		return func(t *testing.T, h *house.House, _ access.Actor) error {
			next := access.Table{Inherits: inherits}
			for _, words := range rows {
				next.Rows = append(next.Rows, row(words))
			}
			_, err := h.Policies.Editor.Load(t.Context(), administration.By{}, next)
			return err
		}
	}
	all := []string{"root policy read any allow", "root policy create any allow", "root policy delete any allow", "root user read any allow", "root user update any allow"}
	for _, c := range []struct {
		what   string
		act    func(*testing.T, *house.House, access.Actor) error
		locked bool
	}{
		{"the right to read policies", remove("admin policy read any allow"), true},
		{"the right to create policies", remove("admin policy create any allow"), true},
		{"the right to delete policies", remove("admin policy delete any allow"), true},
		{"the right to read users", remove("admin user read any allow"), true},
		{"the right to update users", remove("admin user update any allow"), true},
		{"another right of the role", remove("admin audit read any allow"), false},
		{"a right of others", remove("user product create any allow"), false},
		{"a deny", add("admin policy create any deny"), true},
		{"a deny to a role that admin inherits", add("anonymous user update any deny"), true},
		{"a deny of something else", add("admin product create any deny"), false},
		{"a deny to others", add("support policy read any deny"), false},
		{"a deny under a condition that users never fulfil", add("admin user read own deny"), false},
		{"a table of nothing", load(nil), true},
		{"a table without the rights", load(nil, "user product read any allow"), true},
		{"a table whose admin inherits them", load(links("admin < root"), all...), false},
		{"a table whose admin inherits most of them", load(links("admin < root"), all[1:]...), true},
		{"a table without that inheritance", load(nil, all...), true},
		{"a table with the rights under a condition", load(nil, "admin policy read own allow", "admin policy create published allow", "admin policy delete any allow", "admin user read any allow", "admin user update any allow"), true},
		{"a table with a deny above", load(links("admin < root", "root < top"), append([]string{"top policy delete any deny"}, all...)...), true},
		// The role by itself may, and the only one who has it may not.
		{"a deny to the other role of the admin", add("clerk policy delete any deny"), true},
		{"a table with a deny to the other role", load(links("admin < root"), append([]string{"clerk user read any deny"}, all...)...), true},
	} {
		t.Run(c.what, func(t *testing.T) {
			h := house.New(t, house.Options{})
			root := somebody(h, "root@example.com", "admin", "clerk")
			err := c.act(t, h, root)
			if locked := administration.IsLockOut(err); locked != c.locked || !locked && err != nil {
				t.Fatalf("%v, want a refusal: %v", err, c.locked)
			}
			want := int64(2)
			if c.locked {
				want = 1
			}
			if now := table(t, h); now.Version != want {
				t.Errorf("the policy is at version %d, want %d", now.Version, want)
			}
			// Whatever was done can be undone by who did it.
			if _, err := h.Policies.Rollback(t.Context(), root, administration.By{}, 1); err != nil {
				t.Errorf("going back = %v", err)
			}
		})
	}
	// With another admin who has that right, the one with the clerk's role counts no more.
	h := house.New(t, house.Options{})
	root := somebody(h, "root@example.com", "admin", "clerk")
	somebody(h, "second@example.com", "admin")
	if _, err := h.Policies.Add(t.Context(), root, administration.By{}, row("clerk policy delete any deny")); err != nil {
		t.Errorf("a deny to one of two admins = %v", err)
	}
}

// Two who each take away what the other one leaves, at once: never both.
func TestLockOutUnderConcurrency(t *testing.T) {
	for round := range 20 {
		h := house.New(t, house.Options{})
		root := somebody(h, "root@example.com", "admin")
		if _, err := h.Policies.Editor.Load(t.Context(), administration.By{}, access.Table{Inherits: links("admin < left", "admin < right"), Rows: []access.Row{
			row("left policy read any allow"), row("left policy create any allow"), row("left policy delete any allow"), row("left user read any allow"), row("left user update any allow"),
			row("right policy create any allow"),
		}}); err != nil {
			t.Fatal(err)
		}
		ids := []access.PolicyID{find(t, h, "left policy create any allow"), find(t, h, "right policy create any allow")}
		results := make([]error, len(ids))
		house.AtOnce(len(ids), func(i int) {
			results[i] = h.Policies.Remove(t.Context(), root, administration.By{}, ids[(i+round)%2])
		})
		if locked := administration.IsLockOut(results[0]) != administration.IsLockOut(results[1]); !locked {
			t.Fatalf("two who each remove one of two rows: %v and %v, want one refusal", results[0], results[1])
		}
	}
}

// Of many who add at once none is lost; of many who add the same, one gets
// through.
func TestAddingAtOnce(t *testing.T) {
	const n = 8
	h := house.New(t, house.Options{})
	root := somebody(h, "root@example.com", "admin")
	before := len(table(t, h).Rows)
	errs := make([]error, 2*n)
	house.AtOnce(2*n, func(i int) {
		words := fmt.Sprintf("role%d product read any allow", i)
		if i >= n {
			words = "same product read any allow"
		}
		_, errs[i] = h.Policies.Add(t.Context(), root, administration.By{}, row(words))
	})
	through := 0
	for i, err := range errs {
		switch {
		case err == nil && i >= n:
			through++
		case err != nil && (i < n || !errors.Is(err, access.ErrPolicyExists)):
			t.Errorf("Add %d = %v", i, err)
		}
	}
	if now := table(t, h); through != 1 || len(now.Rows) != before+n+1 || now.Version != n+2 {
		t.Errorf("%d of %d with the same words got through; %d rows at version %d, want %d at %d", through, n, len(now.Rows), now.Version, before+n+1, n+2)
	}
}

// A hand in the database can leave a table that nobody can decide by, or that no
// admin can change. Loading, going back, and one row after the other mend it.
func TestMendingWhatAHandHasBroken(t *testing.T) {
	breaks := map[string]func(*access.Table){
		"emptied":         func(t *access.Table) { t.Rows = nil },
		"an unknown word": func(t *access.Table) { t.Rows[0].Action = "eat" },
		"no admins": func(t *access.Table) {
			t.Rows = slices.DeleteFunc(t.Rows, func(r access.Row) bool { return r.Role == "admin" })
		},
	}
	for what, spoil := range breaks {
		t.Run(what, func(t *testing.T) {
			h := house.New(t, house.Options{})
			good := table(t, h)
			if _, err := h.DB.Policies().Change(t.Context(), access.Edit{}, func(t *access.Table) error { spoil(t); return nil }); err != nil {
				t.Fatal(err)
			}
			broken := table(t, h)
			if _, err := h.Policies.Editor.Load(t.Context(), administration.By{}, broken); err == nil {
				t.Error("a broken table can be loaded again")
			}
			if _, _, err := h.Policies.Editor.Add(t.Context(), administration.By{}, row("x product read any allow")); what == "no admins" && err != nil {
				t.Errorf("a row more, where nothing is lost by it = %v", err)
			} else if what == "emptied" && !administration.IsLockOut(err) {
				t.Errorf("the first row of an emptied table = %v: it would count, and lock the admins out", err)
			} else if what == "an unknown word" && (err == nil || !errors.Is(err, fault.Conflict)) {
				t.Errorf("a row beside one that nobody understands = %v, want a Conflict", err)
			}
			if _, err := h.Policies.Editor.Rollback(t.Context(), administration.By{}, 1); err != nil {
				t.Fatalf("going back = %v", err)
			}
			if d := table(t, h).Since(good); !d.IsZero() {
				t.Errorf("after going back the policy differs in %+v", d)
			}
		})
	}
}

// A whole table in the place of another: rows that are in both keep their ids.
func TestLoadPolicy(t *testing.T) {
	h := house.New(t, house.Options{})
	before := table(t, h)
	same := before.Clone()
	for i := range same.Rows {
		same.Rows[i].ID = access.PolicyID{}
	}
	slices.Reverse(same.Rows)
	if now, err := h.Policies.Editor.Load(t.Context(), administration.By{}, same); err != nil || now.Version != 1 || !now.Since(before).IsZero() {
		t.Errorf("loading what is there = version %d, %v, want no change", now.Version, err)
	}
	next := same.Clone()
	next.Rows = append(next.Rows[1:], row("seller product create any allow"))
	next.Inherits = append(next.Inherits, links("seller < user")...)
	now, err := h.Policies.Editor.Load(t.Context(), administration.By{Note: "sellers"}, next)
	if err != nil || now.Version != 2 {
		t.Fatalf("Load = version %d, %v", now.Version, err)
	}
	d := now.Since(before)
	if len(d.Added) != 1 || len(d.Removed) != 1 || len(d.Inherited) != 1 || len(d.Severed) != 0 || d.Added[0].ID == (access.PolicyID{}) {
		t.Errorf("Load changed %+v", d)
	}
	e := lastEntry(t, h)
	if e.Event != audit.PolicyLoaded || !e.Actor.IsZero() || e.Detail["inherits"] != "seller, user" || e.Detail["added"] != "seller, product, create, any, allow" {
		t.Errorf("Load is written down as %+v", e)
	}
	for what, bad := range map[string]access.Table{
		"a row twice": {Rows: append(slices.Clone(same.Rows), same.Rows[0]), Inherits: same.Inherits},
		"a circle":    {Rows: same.Rows, Inherits: append(slices.Clone(same.Inherits), links("anonymous < admin")...)},
	} {
		if _, err := h.Policies.Editor.Load(t.Context(), administration.By{}, bad); !errors.Is(err, fault.Conflict) || administration.IsLockOut(err) {
			t.Errorf("Load with %s = %v, want a Conflict", what, err)
		}
	}
}

// An entry of the audit log stays short, however much was changed.
func TestALargeChangeIsWrittenDownShort(t *testing.T) {
	h := house.New(t, house.Options{})
	next := table(t, h)
	for i := range 500 {
		next.Rows = append(next.Rows, row(fmt.Sprintf("r%d product read any allow", i)))
	}
	if _, err := h.Policies.Editor.Load(t.Context(), administration.By{}, next); err != nil {
		t.Fatal(err)
	}
	if added := lastEntry(t, h).Detail["added"]; len(added) > 2000 || !strings.HasSuffix(added, "; and 480 more") {
		t.Errorf("500 rows are written down as %q", added)
	}
}

// Decisions after a rollback are those of before, for every role, action and
// resource, and by the same rows.
func TestRollback(t *testing.T) {
	h := house.New(t, house.Options{})
	root := somebody(h, "root@example.com", "admin")
	answers := func() string {
		var b strings.Builder
		for _, name := range []string{"anonymous", "user", "moderator", "admin", "seller", "support"} {
			who := access.SignedIn(user.Restore(user.State{ID: root.ID(), Roles: roles(name)}), 0)
			rights, err := h.Gate.Rights(t.Context(), who)
			if err != nil {
				t.Fatal(err)
			}
			for _, action := range access.Actions() {
				for _, res := range everyResource(root.ID()) {
					d, err := rights.Decide(action, res)
					if err != nil {
						t.Fatal(err)
					}
					fmt.Fprintln(&b, name, action, res.Kind(), d.Allowed, d.By, d.By.ID)
				}
			}
		}
		return b.String()
	}
	before := answers()
	for _, words := range []string{"seller product create any allow", "user product update any allow", "moderator product read any deny"} {
		if _, err := h.Policies.Add(t.Context(), root, administration.By{}, row(words)); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Policies.Remove(t.Context(), root, administration.By{}, find(t, h, "user product read own allow")); err != nil {
		t.Fatal(err)
	}
	changed := answers()
	if changed == before {
		t.Fatal("the changes change nothing")
	}
	now, err := h.Policies.Rollback(t.Context(), root, administration.By{Note: "that was wrong"}, 1)
	if err != nil || now.Version != 6 {
		t.Fatalf("Rollback = version %d, %v, want 6", now.Version, err)
	}
	if after := answers(); after != before {
		t.Errorf("after going back\n%s\nbefore\n%s", after, before)
	}
	if e := lastEntry(t, h); e.Event != audit.PolicyRolledBack || e.Detail["to"] != "1" || e.Detail["version"] != "6" {
		t.Errorf("Rollback is written down as %+v", e)
	}
	// And forward again; to where one is, nothing happens.
	if _, err := h.Policies.Rollback(t.Context(), root, administration.By{}, 5); err != nil || answers() != changed {
		t.Errorf("forward to version 5 = %v", err)
	}
	rows := len(h.Rows())
	if again, err := h.Policies.Rollback(t.Context(), root, administration.By{}, 5); err != nil || again.Version != 7 || len(h.Rows()) != rows {
		t.Errorf("to where one is = version %d, %v, %d entries more, want nothing", again.Version, err, len(h.Rows())-rows)
	}
	for _, version := range []int64{0, -1, 99} {
		if _, err := h.Policies.Rollback(t.Context(), root, administration.By{}, version); !errors.Is(err, access.ErrVersionUnknown) {
			t.Errorf("Rollback(%d) = %v, want ErrVersionUnknown", version, err)
		}
		if _, err := h.Policies.At(t.Context(), root, version); !errors.Is(err, fault.NotFound) {
			t.Errorf("At(%d) = %v, want NotFound", version, err)
		}
	}
	if at, err := h.Policies.At(t.Context(), root, 2); err != nil || at.Table.Version != 2 || at.Author != root.ID() {
		t.Errorf("At(2) = %+v, %v", at, err)
	}
}

// everyResource is one of each that policies tell apart.
func everyResource(owner user.ID) (list []access.Resource) {
	for _, k := range []access.Kind{access.KindProduct, access.KindUser, access.KindSession, access.KindPolicy, access.KindAudit} {
		list = append(list, access.Any(k))
	}
	for _, s := range []product.Status{product.StatusDraft, product.StatusPublished, product.StatusArchived} {
		for _, o := range []user.ID{owner, {UUID: uuid.UUID{9}}} {
			list = append(list, access.Product(product.Restore(product.State{ID: product.ID{UUID: uuid.UUID{1}}, OwnerID: o, Status: s})))
		}
	}
	return list
}

// A version whose words only another release knew cannot be gone back to.
func TestRollbackToWhatNobodyUnderstands(t *testing.T) {
	h := house.New(t, house.Options{})
	good := table(t, h)
	for _, alter := range []func(*access.Table) error{
		func(t *access.Table) error {
			t.Rows = append(t.Rows, access.Row{ID: access.PolicyID{UUID: h.Random.ID(house.Noon)}, Role: "user", Resource: "product", Action: "read", Condition: "in-stock", Effect: "allow"})
			return nil
		},
		func(t *access.Table) error { t.Rows = slices.Clone(good.Rows); return nil },
	} {
		if _, err := h.DB.Policies().Change(t.Context(), access.Edit{At: house.Noon}, alter); err != nil {
			t.Fatal(err)
		}
	}
	_, err := h.Policies.Editor.Rollback(t.Context(), administration.By{}, 2)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != "policy_unusable" || !strings.Contains(f.Detail, `unknown condition "in-stock"`) {
		t.Errorf("Rollback = %v, want policy_unusable that says why", err)
	}
}

func TestPolicyOutages(t *testing.T) {
	with := func(act func(h *house.House, root access.Actor) error) house.Outage {
		return house.Outage{Act: func(h *house.House) func() error {
			root := somebody(h, "root@example.com", "admin")
			return func() error { return act(h, root) }
		}}
	}
	house.Walk(t, map[string]house.Outage{
		"Table": with(func(h *house.House, a access.Actor) error { _, err := h.Policies.Table(t.Context(), a); return err }),
		"Row": with(func(h *house.House, a access.Actor) error {
			_, err := h.Policies.Row(t.Context(), a, find(t, h, "user product share own allow"))
			return err
		}),
		"Add": with(func(h *house.House, a access.Actor) error {
			_, err := h.Policies.Add(t.Context(), a, administration.By{}, row("x product read any allow"))
			return err
		}),
		"Remove": with(func(h *house.House, a access.Actor) error {
			return h.Policies.Remove(t.Context(), a, administration.By{}, find(t, h, "user product share own allow"))
		}),
		"Load": with(func(h *house.House, a access.Actor) error {
			_, err := h.Policies.Editor.Load(t.Context(), administration.By{}, table(t, h))
			return err
		}),
		"Rollback": with(func(h *house.House, a access.Actor) error {
			_, err := h.Policies.Rollback(t.Context(), a, administration.By{}, 1)
			return err
		}),
		"Steps": with(func(h *house.House, a access.Actor) error {
			_, _, err := h.Policies.Steps(t.Context(), a, 0, 5)
			return err
		}),
		"At": with(func(h *house.House, a access.Actor) error { _, err := h.Policies.At(t.Context(), a, 1); return err }),
	})
}
