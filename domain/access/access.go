// Package access holds the words in which authorization is asked and answered:
// an [Actor] wants to do an [Action] with a [Resource], a [Policy] says which
// roles may under which [Condition], and a [Decision] is the answer.
//
// A condition is written once, as a [Filter] over resources: checking one
// resource evaluates the filter, listing hands the same filter to the store. So
// a list and a single check cannot disagree.
//
// Deciding, which roles inherit which and how rows beat each other, is
// ports.Authorizer.
package access

import (
	"slices"

	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
)

// What somebody is told who may not do a thing: to sign in, where that could
// help, and else that it is not theirs to do.
var (
	ErrUnauthenticated = fault.New(fault.Unauthenticated, "unauthenticated", "Sign in to do this.")
	ErrForbidden       = fault.New(fault.Forbidden, "forbidden", "You may not do this.")
)

// Actor is who asks. The zero value may do nothing at all; use [Anonymous] for
// somebody who has not signed in.
type Actor struct {
	id            user.ID
	roles         []user.Role
	policyVersion int64
}

// InRoles is nobody in particular who has the roles and owns nothing: whom
// questions of what a role may do are asked about.
func InRoles(roles ...user.Role) Actor { return Actor{roles: slices.Clone(roles)} }

// Anonymous is an actor who has not signed in.
func Anonymous() Actor { return Actor{roles: []user.Role{user.RoleAnonymous}} }

// SignedIn is u acting by a policy at least as new as policyVersion, which was
// read together with u.
func SignedIn(u user.User, policyVersion int64) Actor {
	return Actor{id: u.ID(), roles: u.Roles(), policyVersion: policyVersion}
}

// ID is who acts; it is zero for an anonymous actor.
func (a Actor) ID() user.ID { return a.id }

// IsAnonymous reports whether signing in could give a more.
func (a Actor) IsAnonymous() bool { return a.id == user.ID{} }

// Roles are the roles given to the actor, without what they inherit.
func (a Actor) Roles() []user.Role { return slices.Clone(a.roles) }

// PolicyVersion is the least version to decide by; zero asks the authorizer to
// find out.
func (a Actor) PolicyVersion() int64 { return a.policyVersion }

// Kind is a kind of resource.
type Kind struct{ name string }

// The kinds of resources that policies speak of.
var (
	KindProduct = Kind{"product"}
	KindUser    = Kind{"user"}
	KindSession = Kind{"session"}
	KindPolicy  = Kind{"policy"}
	KindAudit   = Kind{"audit"}
)

var kinds = []Kind{KindProduct, KindUser, KindSession, KindPolicy, KindAudit}

func (k Kind) String() string { return k.name }

// Kinds are all kinds, in the order in which they are listed to people.
func Kinds() []Kind { return slices.Clone(kinds) }

// ParseKind finds the kind of that name.
func ParseKind(s string) (Kind, bool) { return named(kinds, s) }

// Action is something that can be done with a resource.
type Action struct{ name string }

// The actions that policies speak of.
var (
	Create   = Action{"create"}
	Read     = Action{"read"}
	Update   = Action{"update"}
	Delete   = Action{"delete"}
	Transfer = Action{"transfer"}
	Share    = Action{"share"}
)

var actions = []Action{Create, Read, Update, Delete, Transfer, Share}

// Actions are all actions, in the order in which they are listed to people.
func Actions() []Action { return slices.Clone(actions) }

// ParseAction finds the action of that name.
func ParseAction(s string) (Action, bool) { return named(actions, s) }

func (a Action) String() string { return a.name }

// Resource is what an actor wants to do something with: one thing, or, to
// create and to list, a kind.
type Resource struct {
	kind    Kind
	product *product.Product
	owner   user.ID
}

// Product is one product as a resource, with the grants that it holds.
func Product(p product.Product) Resource {
	return Resource{kind: KindProduct, product: &p, owner: p.OwnerID()}
}

// Of is what a user owns of a kind that is not looked at closer: their sessions,
// or, of KindUser, the account itself.
func Of(k Kind, owner user.ID) Resource { return Resource{kind: k, owner: owner} }

// Any is a kind of resource without a particular one in view.
func Any(k Kind) Resource { return Resource{kind: k} }

// Kind is what kind of resource r is.
func (r Resource) Kind() Kind { return r.kind }

// ID names the thing among those of its kind; "" where none is in view.
func (r Resource) ID() string {
	switch {
	case r.product != nil:
		return r.product.ID().String()
	case r.kind == KindUser && !r.owner.IsZero():
		return r.owner.String()
	}
	return ""
}

// Decision is the answer to one question.
type Decision struct {
	Allowed bool
	By      Policy   // the row that decided; zero where none did and the default is no
	Nearest []Policy // of a denial without a row: those whose condition failed
}

// Rights are what one actor may do, by one version of the policy.
type Rights interface {
	// Decide answers whether the actor may do action with r. An error means
	// that the question could not be answered, which is no permission.
	Decide(action Action, r Resource) (Decision, error)
	// Explain decides as Decide does, and tells why.
	Explain(action Action, r Resource) (Explanation, error)
	// Filter gives what the resources with which the actor may do action have
	// in common: f.Holds(r) is what Decide(action, r) allows, for every r of
	// the kind.
	Filter(action Action, k Kind) (Filter, error)
	// Roles are the actor's roles, with all that they inherit.
	Roles() []user.Role
}
