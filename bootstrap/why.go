package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"gatehouse/application/administration"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/user"
)

// whyFlags are what "gatehouse policy check --why" takes: a question of one
// decision.
type whyFlags struct {
	Why      bool     `help:"Tell why somebody may or may not do something, instead."`
	User     string   `placeholder:"EMAIL" help:"Whom it is about."`
	Roles    []string `placeholder:"ROLE,…" help:"Or the roles of somebody who owns nothing."`
	Action   string   `placeholder:"ACTION" help:"create, read, update, delete, transfer or share."`
	Product  string   `placeholder:"ID" help:"The product that it is about."`
	Resource string   `placeholder:"KIND" help:"Or a kind: product, user, session, policy or audit."`
}

// check refuses flags of a question without --why, which would be passed over.
func (w whyFlags) check() error {
	if !w.Why && (w.User != "" || w.Roles != nil || w.Action != "" || w.Product != "" || w.Resource != "") {
		return errors.New("--user, --roles, --action, --product and --resource belong to --why")
	}
	return nil
}

// answer prints what the policy in the database decides, and why.
func (w whyFlags) answer(c *call) error {
	return c.withHouse(require, func(ctx context.Context, h *house) error {
		q, err := w.question(ctx, h)
		if err != nil {
			return err
		}
		why, err := h.explainer.Why(ctx, q, nil)
		if err != nil {
			return flagFaults(err)
		}
		printAnswer(c.out, why)
		return nil
	})
}

func (w whyFlags) question(ctx context.Context, h *house) (administration.Question, error) {
	q := administration.Question{Roles: w.Roles, Action: w.Action}
	if w.User != "" {
		u, err := h.operator.FindUser(ctx, w.User)
		if errors.Is(err, fault.NotFound) {
			return q, fmt.Errorf("there is no user %s", w.User)
		}
		if err != nil {
			return q, err
		}
		id := u.ID().String()
		q.UserID = &id
	}
	if w.Product != "" {
		q.ProductID = &w.Product
	}
	if w.Resource != "" {
		q.Resource = &w.Resource
	}
	return q, nil
}

// flagFaults names flags where a fault names members of a body.
func flagFaults(err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.Invalid {
		return err
	}
	flags := map[string]string{"/userId": "--user", "/roles": "--roles", "/action": "--action", "/productId": "--product", "/resource": "--resource"}
	var all []error
	for _, field := range f.Fields {
		detail := strings.NewReplacer("userId", "--user", "roles is", "--roles is", "or roles", "or --roles").Replace(field.Detail)
		all = append(all, fmt.Errorf("%s: %s", flags[member(field.Pointer)], detail))
	}
	return errors.Join(all...)
}

// member is the member of a body that a pointer is at or into.
func member(pointer string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
	return "/" + name
}

func printAnswer(out io.Writer, a administration.Answer) {
	verdict := "deny"
	if a.Decision.Allowed {
		verdict = "allow"
	}
	fmt.Fprintf(out, "%s: %s\n", verdict, a.Reason())
	if a.Decision.By.Effect != (access.Effect{}) {
		fmt.Fprintf(out, "row:     p, %s\n", a.Decision.By)
	}
	for _, p := range a.Decision.Nearest {
		fmt.Fprintf(out, "nearest: p, %s (the condition %s does not hold)\n", p, p.Condition)
	}
	for _, p := range a.Elsewhere {
		fmt.Fprintf(out, "nearest: p, %s (the role %s is none of theirs)\n", p, p.Role)
	}
	fmt.Fprintf(out, "decided by policy version %d for the roles: %s\n", a.Version, listed(a.Roles))
}

func listed(roles []user.Role) string {
	if len(roles) == 0 {
		return "none"
	}
	list := make([]string, len(roles))
	for i, r := range roles {
		list[i] = r.String()
	}
	return strings.Join(list, ", ")
}
