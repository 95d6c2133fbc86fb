package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gatehouse/application/administration"
)

// previewFlags are of every command that changes the policy.
type previewFlags struct {
	Preview bool           `help:"Tell who would gain and lose what by it, and change nothing."`
	Within  *time.Duration `placeholder:"30s" help:"How long --preview may count."`
}

// previewPatience is how long a preview at the command line counts, unless it is
// told: nobody waits for its connection.
const previewPatience = 30 * time.Second

func (p previewFlags) within() time.Duration {
	if p.Within == nil {
		return previewPatience
	}
	return *p.Within
}

// changing is withHouse for a command that changes the policy, or tries that out.
func (c *call) changing(p previewFlags, use func(context.Context, *house) error) error {
	switch {
	case !p.Preview && p.Within != nil:
		return errors.New("--within belongs to --preview")
	case !p.Preview:
		return c.withHouse(require, use)
	case p.within() <= 0:
		return errors.New("--within is a time, such as 30s")
	}
	return c.withPatience(2*p.within(), require, use)
}

// show tells what a change would do. refused says why it would not be made.
func (p previewFlags) show(ctx context.Context, c *call, h *house, q administration.Proposal, refused func(error) error) error {
	table, err := h.policies.Table(ctx)
	if err != nil {
		return err
	}
	if _, err := h.vocabulary.Check(table); err != nil { // a running node knows what it decides by instead
		return fmt.Errorf("the policy in the database cannot be used, so that there is nothing to compare a change with: %w", err)
	}
	h.previewer.Limit = p.within()
	preview, err := h.previewer.Foresee(ctx, q)
	if err != nil {
		return refused(err)
	}
	if preview.Diff.IsZero() {
		fmt.Fprintf(c.out, "the policy is so already, at version %d\n", preview.Version)
		return nil
	}
	fmt.Fprintf(c.out, "what would become of version %d; nothing was changed\n", preview.Version)
	printDiff(c.out, "", preview.Diff)
	printSide(c.out, "gained", preview.Gains)
	printSide(c.out, "lost", preview.Losses)
	if preview.Complete() {
		return nil
	}
	fmt.Fprintf(c.out, "not complete: in %s there was time for %d of %d questions; not looked at:\n", p.within(), preview.Questions-preview.Missed, preview.Questions)
	for _, u := range preview.Unseen {
		fmt.Fprintf(c.out, "  %s: %s %s\n", u.Who(), u.Action, u.Kind)
	}
	if more := preview.Missed - len(preview.Unseen); more > 0 {
		fmt.Fprintf(c.out, "  and %d more\n", more)
	}
	return nil
}

func printSide(out io.Writer, what string, s administration.Side) {
	if len(s.Effects) == 0 {
		fmt.Fprintf(out, "%s: nothing\n", what)
		return
	}
	fmt.Fprintf(out, "%s: %d on products, %d elsewhere\n", what, s.Products, s.Others)
	for _, e := range s.Effects {
		fmt.Fprintf(out, "  %s\n", effectText(e))
		for _, x := range e.Examples {
			fmt.Fprintf(out, "    %s\n", exampleText(x))
		}
	}
	if s.More > 0 {
		fmt.Fprintf(out, "  and %d more\n", s.More)
	}
}

func effectText(e administration.Effect) string {
	who := e.Who()
	if e.Affected < e.Users {
		who = fmt.Sprintf("%d of %s", e.Affected, who)
	}
	switch e.Scope {
	case administration.OwnOfKind:
		return fmt.Sprintf("%s: %s own %s", who, e.Action, e.Kind)
	case administration.WholeKind:
		return fmt.Sprintf("%s: %s any %s", who, e.Action, e.Kind)
	}
	return fmt.Sprintf("%s: %s %s, %d in all", who, e.Action, e.Kind, e.Pairs)
}

func exampleText(x administration.Example) string {
	product := fmt.Sprintf("%q (%s)", x.Name, x.Product)
	switch {
	case x.User.IsZero():
		return product
	case x.Product.IsZero():
		return x.Email
	}
	return x.Email + ": " + product
}
