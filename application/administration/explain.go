package administration

import (
	"context"
	"errors"
	"strings"

	"gatehouse/application/gate"
	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Explainer tells why somebody may or may not do something. It asks the gate
// that decides, and reads no rule itself.
type Explainer struct {
	Users    ports.UserRepository
	Products ports.ProductRepository
	Gate     *gate.Gate
}

// Question is what is asked, in words that were not looked at yet. It is about
// either a user or somebody who has roles and owns nothing.
type Question struct {
	UserID    *string
	Roles     []string // nil where it is about a user
	Action    string
	ProductID *string // nil asks about a kind
	Resource  *string // the kind; nil means product
}

// Answer is why.
type Answer struct {
	access.Explanation
	Roles    []user.Role // by which it was decided, with what they inherit
	Disabled bool        // the user's account is: they are treated as anonymous
}

// Reason says in a short sentence why it was decided so.
func (a Answer) Reason() string {
	if a.Disabled {
		return "the account is disabled, so that anonymous asks: " + a.Explanation.Reason()
	}
	return a.Explanation.Reason()
}

// Explain answers q to who may read the policy. unread is what the transport
// could not read of it, or nil. It returns fault.Invalid with all that is wrong
// with q; a user or a product that is not there is such a fault.
func (e *Explainer) Explain(ctx context.Context, a access.Actor, q Question, unread error) (Answer, error) {
	if err := e.Gate.Permit(ctx, a, access.Read, access.Any(access.KindPolicy)); err != nil {
		return Answer{}, err
	}
	return e.Why(ctx, q, unread)
}

// Why is [Explainer.Explain] for who holds the database: no policy is asked
// whether they may ask.
func (e *Explainer) Why(ctx context.Context, q Question, unread error) (Answer, error) {
	asked, err := q.read()
	if err := fault.Merge(unread, err); err != nil {
		return Answer{}, err
	}
	var v fault.Validation
	actor, disabled, err := e.actor(ctx, asked, &v)
	if err != nil {
		return Answer{}, err
	}
	r, err := e.resource(ctx, asked, &v)
	if err != nil {
		return Answer{}, err
	}
	if err := v.Err(); err != nil {
		return Answer{}, err
	}
	rights, err := e.Gate.Rights(ctx, actor)
	if err != nil {
		return Answer{}, err
	}
	x, err := rights.Explain(asked.action, r)
	return Answer{x, rights.Roles(), disabled}, err
}

// asked is a question whose words are known.
type asked struct {
	user    *user.ID
	roles   []user.Role
	action  access.Action
	product *product.ID
	kind    access.Kind
}

func (q Question) read() (asked, error) {
	var v fault.Validation
	out := asked{kind: access.KindProduct}
	q.readWho(&out, &v)
	var ok bool
	if out.action, ok = access.ParseAction(q.Action); !ok {
		v.Add("/action", "invalid_value", "An action is one of "+names(access.Actions())+".")
	}
	if q.Resource != nil {
		if out.kind, ok = access.ParseKind(*q.Resource); !ok {
			v.Add("/resource", "invalid_value", "A resource is one of "+names(access.Kinds())+".")
		}
	}
	if q.ProductID != nil {
		id, ok := product.ParseID(*q.ProductID)
		switch {
		case !ok:
			v.Add("/productId", "invalid_value", "This is no product's id.")
		case out.kind != access.KindProduct:
			v.Add("/resource", "invalid_value", "What has a product's id is a product.")
		}
		out.product = &id
	}
	return out, v.Err()
}

func (q Question) readWho(out *asked, v *fault.Validation) {
	switch {
	case q.UserID == nil && q.Roles == nil:
		v.Add("/userId", "required", "Either userId or roles is needed.")
	case q.UserID != nil && q.Roles != nil:
		v.Add("/roles", "invalid_value", "Either userId or roles, not both.")
	case q.UserID != nil:
		id, ok := user.ParseID(*q.UserID)
		if !ok {
			v.Add("/userId", "invalid_value", "This is no user's id.")
		}
		out.user = &id
	default:
		roles, err := ParseRoles(q.Roles)
		v.Include("", err)
		out.roles = roles
	}
}

func names[T interface{ String() string }](all []T) string {
	list := make([]string, len(all))
	for i, one := range all {
		list[i] = one.String()
	}
	return strings.Join(list, ", ")
}

// actor is who the question is about, as they would act now.
func (e *Explainer) actor(ctx context.Context, q asked, v *fault.Validation) (a access.Actor, disabled bool, err error) {
	if q.user == nil {
		return access.InRoles(q.roles...), false, nil
	}
	u, err := e.Users.Find(ctx, *q.user)
	switch {
	case errors.Is(err, fault.NotFound):
		v.Add("/userId", "not_found", "There is no such user.")
		return access.Actor{}, false, nil
	case err != nil:
		return access.Actor{}, false, err
	case u.Status() == user.Disabled:
		return access.Anonymous(), true, nil
	}
	return access.SignedIn(u, 0), false, nil
}

func (e *Explainer) resource(ctx context.Context, q asked, v *fault.Validation) (access.Resource, error) {
	if q.product == nil {
		return access.Any(q.kind), nil
	}
	p, err := e.Products.Find(ctx, *q.product)
	if errors.Is(err, fault.NotFound) {
		v.Add("/productId", "not_found", "There is no such product.")
		return access.Resource{}, nil
	}
	return access.Product(p), err
}
