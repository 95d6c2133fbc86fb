package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"gatehouse/application/administration"
	"gatehouse/configs"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

// noteFlag is of every command that changes the policy.
type noteFlag struct {
	Note string `placeholder:"TEXT" help:"Why, for those who read the history."`
}

func (n noteFlag) by() administration.By { return administration.By{Note: n.Note} }

// counts is what is told after a change.
const counts = "every node decides by it from the next request on"

type policyExport struct{}

// Run prints the policy in the form that "policy load" reads.
func (policyExport) Run(c *call) error {
	return c.withHouse(require, func(ctx context.Context, h *house) error {
		table, err := h.policies.Table(ctx)
		if err != nil {
			return err
		}
		return printPolicy(c.out, table)
	})
}

// printPolicy writes a policy as "policy load" and configs.ReadPolicy read it.
func printPolicy(w io.Writer, t access.Table) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# version %d: p, role, resource, action, condition, effect; g, role, parent\n", t.Version)
	for _, in := range t.Inherits {
		fmt.Fprintf(&b, "g, %s, %s\n", in.Role, in.Parent)
	}
	for _, r := range t.Rows {
		fmt.Fprintf(&b, "p, %s\n", r)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

type policyAdd struct {
	Role      string `arg:"" help:"Who: a role, or anonymous for visitors."`
	Resource  string `arg:"" help:"With what: product, user, session, policy or audit."`
	Action    string `arg:"" help:"What: create, read, update, delete, transfer or share."`
	Condition string `arg:"" help:"When: any, own, published, or one of bootstrap/extensions.go."`
	Effect    string `arg:"" optional:"" default:"allow" help:"allow or deny; a deny beats any allow."`
	noteFlag
	previewFlags
}

// Help is what "gatehouse policy add --help" adds.
func (policyAdd) Help() string {
	return `Examples:

    gatehouse policy add user product read any --preview
    gatehouse policy add support user read any
    gatehouse policy add user product delete own deny --note "until the audit is over"`
}

// Run adds a row.
func (p policyAdd) Run(c *call) error {
	added := access.Row{Role: p.Role, Resource: p.Resource, Action: p.Action, Condition: p.Condition, Effect: p.Effect}
	return c.changing(p.previewFlags, func(ctx context.Context, h *house) error {
		if p.Preview {
			return p.show(ctx, c, h, administration.Proposal{Add: &added, Note: p.Note}, ofPolicy)
		}
		row, table, err := h.policies.Add(ctx, p.by(), added)
		if err != nil {
			return ofPolicy(err)
		}
		fmt.Fprintf(c.out, "added %s (%s); the policy is at version %d, and %s\n", row, row.ID, table.Version, counts)
		return nil
	})
}

type policyRemove struct {
	Row []string `arg:"" help:"The id of the row as \"policy list\" prints it, or its five words."`
	noteFlag
	previewFlags
}

// Run removes a row.
func (p policyRemove) Run(c *call) error {
	return c.changing(p.previewFlags, func(ctx context.Context, h *house) error {
		row, err := p.find(ctx, h)
		if err != nil {
			return err
		}
		if p.Preview {
			return p.show(ctx, c, h, administration.Proposal{Remove: &row.ID, Note: p.Note}, ofPolicy)
		}
		table, err := h.policies.Remove(ctx, p.by(), row.ID)
		if err != nil {
			return ofPolicy(err)
		}
		fmt.Fprintf(c.out, "removed %s; the policy is at version %d, and %s\n", row, table.Version, counts)
		return nil
	})
}

var errNoRow = errors.New("there is no such row; \"gatehouse policy list\" shows what there is")

// find looks the row up by its id or its words.
func (p policyRemove) find(ctx context.Context, h *house) (access.Row, error) {
	words := strings.FieldsFunc(strings.Join(p.Row, " "), func(r rune) bool { return r == ',' || r == ' ' })
	table, err := h.policies.Table(ctx)
	if err != nil {
		return access.Row{}, err
	}
	id, isID := uuid.Parse(strings.Join(words, ""))
	if !isID && len(words) != 5 {
		return access.Row{}, errors.New("a row is named by its id, or by role, resource, action, condition and effect")
	}
	for _, r := range table.Rows {
		if isID && r.ID.UUID == id || !isID && r.String() == strings.Join(words, ", ") {
			return r, nil
		}
	}
	return access.Row{}, errNoRow
}

type policyLoad struct {
	File string `arg:"" type:"path" help:"A file of rows as \"policy export\" prints them; - for standard input."`
	noteFlag
	previewFlags
}

// Help is what "gatehouse policy load --help" adds.
func (policyLoad) Help() string {
	return `The file is the whole policy: rows and inheritances that are not in it are removed. It is checked first, and put in place in one step or not at all.

Examples:

    gatehouse policy export > policy.csv
    gatehouse policy load policy.csv --preview
    gatehouse policy load policy.csv --note "sellers may share"`
}

// Run puts the policy of a file in place.
func (p policyLoad) Run(c *call) error {
	table, err := p.read(c)
	if err != nil {
		return err
	}
	return c.changing(p.previewFlags, func(ctx context.Context, h *house) error {
		if p.Preview {
			return p.show(ctx, c, h, administration.Proposal{Load: &table, Note: p.Note}, func(err error) error { return p.refused(err, table) })
		}
		before, err := h.policies.Table(ctx)
		if err != nil {
			return err
		}
		after, err := h.policies.Load(ctx, p.by(), table)
		if err != nil {
			return p.refused(err, table)
		}
		return c.tellChange(before, after)
	})
}

// refused says what is wrong with the policy of the file, row by row.
func (p policyLoad) refused(err error, t access.Table) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || len(f.Fields) == 0 {
		return ofPolicy(err)
	}
	lines := []string{p.File + " cannot be used, and nothing was changed:"}
	for _, field := range f.Fields {
		lines = append(lines, rowOf(field.Pointer, t)+field.Detail)
	}
	return errors.New(strings.Join(lines, "\n  "))
}

// rowOf names the row of a table that a pointer leads into; "" where it leads
// elsewhere.
func rowOf(pointer string, t access.Table) string {
	part := strings.Split(strings.TrimPrefix(pointer, "/load"), "/")
	if len(part) != 4 {
		return ""
	}
	i, err := strconv.Atoi(part[2])
	switch {
	case err == nil && part[1] == "items" && i < len(t.Rows):
		return fmt.Sprintf("p, %s: ", t.Rows[i])
	case err == nil && part[1] == "inherits" && i < len(t.Inherits):
		return fmt.Sprintf("g, %s, %s: ", t.Inherits[i].Role, t.Inherits[i].Parent)
	}
	return ""
}

func (p policyLoad) read(c *call) (access.Table, error) {
	from := c.in
	if p.File != "-" {
		f, err := os.Open(p.File)
		if err != nil {
			return access.Table{}, err
		}
		defer f.Close()
		from = f
	}
	table, err := configs.ReadPolicy(from)
	if err != nil {
		return access.Table{}, fmt.Errorf("%s: %w", p.File, err)
	}
	return table, nil
}

// tellChange says what a change of the whole policy has done.
func (c *call) tellChange(before, after access.Table) error {
	d := after.Since(before)
	if d.IsZero() {
		fmt.Fprintf(c.out, "the policy was so already; it stays at version %d\n", after.Version)
		return nil
	}
	printDiff(c.out, "", d)
	fmt.Fprintf(c.out, "the policy is at version %d, and %s\n", after.Version, counts)
	return nil
}

// printDiff writes a difference down, a line for each row.
func printDiff(w io.Writer, indent string, d access.Diff) {
	for _, in := range d.Severed {
		fmt.Fprintf(w, "%s- g, %s, %s\n", indent, in.Role, in.Parent)
	}
	for _, r := range d.Removed {
		fmt.Fprintf(w, "%s- p, %s\n", indent, r)
	}
	for _, in := range d.Inherited {
		fmt.Fprintf(w, "%s+ g, %s, %s\n", indent, in.Role, in.Parent)
	}
	for _, r := range d.Added {
		fmt.Fprintf(w, "%s+ p, %s\n", indent, r)
	}
}

type policyHistory struct {
	Limit int `default:"20" help:"How many versions at the most."`
}

// Run prints the history, the newest first.
func (p policyHistory) Run(c *call) error {
	return c.withHouse(require, func(ctx context.Context, h *house) error {
		var before int64
		for left := p.Limit; left > 0; {
			steps, next, err := h.policies.Steps(ctx, before, min(left, administration.MaxSteps))
			if err != nil {
				return err
			}
			for _, s := range steps {
				fmt.Fprintf(c.out, "version %d, %s, by %s%s\n", s.Table.Version, s.At.Format("2006-01-02 15:04:05 MST"), author(s.Author), noteText(s.Note))
				printDiff(c.out, "  ", s.Diff)
			}
			if before, left = next, left-len(steps); next == 0 {
				break
			}
		}
		return nil
	})
}

func author(id user.ID) string {
	if id.IsZero() {
		return "an operator"
	}
	return "the user " + id.String()
}

func noteText(note string) string {
	if note == "" {
		return ""
	}
	return ": " + strings.Join(strings.Fields(note), " ")
}

type policyRollback struct {
	Version int64 `arg:"" help:"The version to go back to, as \"policy history\" tells it."`
	noteFlag
	previewFlags
}

// Run makes the policy what it was.
func (p policyRollback) Run(c *call) error {
	return c.changing(p.previewFlags, func(ctx context.Context, h *house) error {
		if p.Preview {
			return p.show(ctx, c, h, administration.Proposal{Back: &p.Version, Note: p.Note}, p.refused)
		}
		before, err := h.policies.Table(ctx)
		if err != nil {
			return err
		}
		after, err := h.policies.Rollback(ctx, p.by(), p.Version)
		if err != nil {
			return p.refused(err)
		}
		return c.tellChange(before, after)
	})
}

func (p policyRollback) refused(err error) error {
	if errors.Is(err, fault.NotFound) {
		return fmt.Errorf("nobody remembers a version %d; \"gatehouse policy history\" shows which there are", p.Version)
	}
	return ofPolicy(err)
}

// ofPolicy says why the policy was not changed, and what to do.
func ofPolicy(err error) error {
	switch {
	case errors.Is(err, access.ErrPolicyExists):
		return errors.New("there is such a row already, and nothing was changed")
	case errors.Is(err, access.ErrPolicyUnknown):
		return errNoRow
	case administration.IsLockOut(err):
		return fmt.Errorf("%s Whoever has the role admin must be able to read, create and delete policies and to read and update users", sentence(err))
	}
	return err
}

// listPolicy prints the policy with the ids of its rows.
func listPolicy(w io.Writer, t access.Table) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "version %d\n", t.Version)
	fmt.Fprintln(table, "ID\tROLE\tRESOURCE\tACTION\tCONDITION\tEFFECT")
	for _, r := range t.Rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Role, r.Resource, r.Action, r.Condition, r.Effect)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, in := range t.Inherits {
		fmt.Fprintf(w, "%s has all that %s has\n", in.Role, in.Parent)
	}
	return nil
}
