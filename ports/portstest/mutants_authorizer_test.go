package portstest

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"

	"gatehouse/adapters/memory"
	"gatehouse/domain/access"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

func soundAuthorizer() authorizerOpener {
	return func(p ports.PolicyRepository, v access.Vocabulary) ports.Authorizer {
		return memory.NewAuthorizer(p, v)
	}
}

// authorizer is one whose method is replaced.
type authorizer func(context.Context, access.Actor) (access.Rights, error)

func (f authorizer) Rights(ctx context.Context, a access.Actor) (access.Rights, error) {
	return f(ctx, a)
}

// brokenRights are rights with some of their methods replaced.
type brokenRights struct {
	access.Rights
	decide func(access.Action, access.Resource) (access.Decision, error)
	filter func(access.Action, access.Kind) (access.Filter, error)
	// explain alters what is explained.
	explain func(*access.Explanation)
	roles   func() []user.Role
}

func (r brokenRights) Decide(action access.Action, res access.Resource) (access.Decision, error) {
	if r.decide == nil {
		return r.Rights.Decide(action, res)
	}
	return r.decide(action, res)
}

func (r brokenRights) Filter(action access.Action, k access.Kind) (access.Filter, error) {
	if r.filter == nil {
		return r.Rights.Filter(action, k)
	}
	return r.filter(action, k)
}

func (r brokenRights) Explain(action access.Action, res access.Resource) (access.Explanation, error) {
	x, err := r.Rights.Explain(action, res)
	if r.explain != nil {
		r.explain(&x)
	}
	return x, err
}

func (r brokenRights) Roles() []user.Role {
	if r.roles == nil {
		return r.Rights.Roles()
	}
	return r.roles()
}

// authorizerMutant makes a mutant out of what replaces the method of the real
// authorizer a.
func authorizerMutant(check, fault string, f func(a ports.Authorizer, p ports.PolicyRepository) authorizer) mutant[authorizerOpener] {
	return mutant[authorizerOpener]{check, fault, func(open authorizerOpener) authorizerOpener {
		return func(p ports.PolicyRepository, v access.Vocabulary) ports.Authorizer { return f(open(p, v), p) }
	}}
}

// reads makes a mutant that alters every table that it reads.
func reads(check, fault string, alter func(*access.Table)) mutant[authorizerOpener] {
	return mutant[authorizerOpener]{check, fault, func(open authorizerOpener) authorizerOpener {
		return func(p ports.PolicyRepository, v access.Vocabulary) ports.Authorizer {
			return open(policies{PolicyRepository: p, load: func(ctx context.Context) (access.Table, error) {
				t, err := p.Load(ctx)
				alter(&t)
				return t, err
			}}, v)
		}
	}}
}

// takes makes a mutant that takes every actor for another.
func takes(check, fault string, alter func(access.Actor) access.Actor) mutant[authorizerOpener] {
	return authorizerMutant(check, fault, func(a ports.Authorizer, _ ports.PolicyRepository) authorizer {
		return func(ctx context.Context, actor access.Actor) (access.Rights, error) {
			return a.Rights(ctx, alter(actor))
		}
	})
}

// gives makes a mutant that replaces methods of the rights that it gives.
func gives(check, fault string, f func(r access.Rights, actor access.Actor) brokenRights) mutant[authorizerOpener] {
	return authorizerMutant(check, fault, func(a ports.Authorizer, _ ports.PolicyRepository) authorizer {
		return func(ctx context.Context, actor access.Actor) (access.Rights, error) {
			r, err := a.Rights(ctx, actor)
			if err != nil {
				return nil, err
			}
			m := f(r, actor)
			m.Rights = r
			return m, nil
		}
	})
}

// decides makes a mutant that alters every decision.
func decides(check, fault string, alter func(*access.Decision, access.Actor)) mutant[authorizerOpener] {
	return gives(check, fault, func(r access.Rights, actor access.Actor) brokenRights {
		return brokenRights{decide: func(action access.Action, res access.Resource) (access.Decision, error) {
			d, err := r.Decide(action, res)
			alter(&d, actor)
			return d, err
		}}
	})
}

// explains makes a mutant that alters every explanation.
func explains(check, fault string, alter func(*access.Explanation)) mutant[authorizerOpener] {
	return gives(check, fault, func(access.Rights, access.Actor) brokenRights { return brokenRights{explain: alter} })
}

// as gives an actor with other roles or another version.
func as(a access.Actor, version int64, roles ...user.Role) access.Actor {
	return access.SignedIn(user.Restore(user.State{ID: a.ID(), Roles: roles}), version)
}

// stale is an actor with the version of the beginning.
func stale(a access.Actor) access.Actor { return as(a, 1, a.Roles()...) }

// salvage leaves of a table what can be understood.
func salvage(t *access.Table) {
	v, _ := access.NewVocabulary()
	var rows []access.Row
	for _, r := range t.Rows {
		_, err := v.Parse(r)
		if err == nil && !slices.ContainsFunc(rows, func(o access.Row) bool { return o.String() == r.String() }) {
			rows = append(rows, r)
		}
	}
	t.Rows = rows
}

// loads makes a mutant that reads the table for every request.
func loads(check string) mutant[authorizerOpener] {
	return authorizerMutant(check, "reads the table for every request", func(a ports.Authorizer, p ports.PolicyRepository) authorizer {
		return func(ctx context.Context, actor access.Actor) (access.Rights, error) {
			if _, err := p.Load(ctx); err != nil {
				return nil, err
			}
			return a.Rights(ctx, actor)
		}
	})
}

// fallsBack makes a mutant that gives the last rights where it has no answer.
func fallsBack(check string) mutant[authorizerOpener] {
	return authorizerMutant(check, "falls back on what it gave before", func(a ports.Authorizer, _ ports.PolicyRepository) authorizer {
		var last access.Rights
		return func(ctx context.Context, actor access.Actor) (access.Rights, error) {
			r, err := a.Rights(ctx, actor)
			if err != nil && last != nil {
				return last, nil
			}
			last = r
			return r, err
		}
	})
}

// hasty notes a version before it has read the table of it: who comes meanwhile is
// given the one before.
func hasty(a ports.Authorizer, p ports.PolicyRepository) authorizer {
	var known atomic.Int64
	var last atomic.Pointer[access.Rights]
	return func(ctx context.Context, actor access.Actor) (access.Rights, error) {
		version, err := p.Version(ctx)
		if err != nil {
			return nil, err
		}
		if r := last.Load(); r != nil && known.Swap(version) >= version {
			return *r, nil
		}
		linger()
		r, err := a.Rights(ctx, actor)
		if err == nil {
			last.Store(&r)
		}
		return r, err
	}
}

// careless swaps what it has read for what was read before, and gives that.
func careless(a ports.Authorizer, _ ports.PolicyRepository) authorizer {
	var last atomic.Pointer[access.Rights]
	return func(ctx context.Context, actor access.Actor) (access.Rights, error) {
		r, err := a.Rights(ctx, actor)
		if err != nil {
			return nil, err
		}
		if before := last.Swap(&r); before != nil {
			return *before, nil
		}
		return r, nil
	}
}

var authorizerMutants = []mutant[authorizerOpener]{
	decides("what no row allows is denied", "allows where no row says no", func(d *access.Decision, _ access.Actor) {
		d.Allowed = d.By.Effect != access.Deny
	}),
	reads("what no row allows is denied", "takes a deny for an allow", func(t *access.Table) {
		for i := range t.Rows {
			t.Rows[i].Effect = "allow"
		}
	}),
	takes("the zero actor may do nothing", "takes it for anonymous", func(a access.Actor) access.Actor {
		if len(a.Roles()) == 0 {
			return access.Anonymous()
		}
		return a
	}),
	reads("a deny beats any allow", "does not read denials", func(t *access.Table) {
		t.Rows = slices.DeleteFunc(t.Rows, func(r access.Row) bool { return r.Effect == "deny" })
	}),
	gives("a deny beats any allow", "lets any allow beat a deny", func(r access.Rights, _ access.Actor) brokenRights {
		return brokenRights{decide: func(action access.Action, res access.Resource) (access.Decision, error) {
			f, err := r.Filter(action, res.Kind())
			return access.Decision{Allowed: f.(access.All)[0].Holds(res)}, err
		}}
	}),
	reads("roles inherit through any number of links", "follows ten of them", func(t *access.Table) {
		t.Inherits = t.Inherits[:min(len(t.Inherits), 11)]
	}),
	reads("roles inherit through any number of links", "knows one parent", func(t *access.Table) {
		t.Inherits = slices.DeleteFunc(t.Inherits, func(i access.Inheritance) bool { return i.Parent == "side" })
	}),
	takes("roles do not inherit upwards", "gives parents what their children have", func(a access.Actor) access.Actor {
		return as(a, a.PolicyVersion(), append(a.Roles(), user.RoleAdmin)...)
	}),
	reads("the default policy decides as it is written", "passes over the last row", func(t *access.Table) { t.Rows = t.Rows[:len(t.Rows)-1] }),
	reads("the default policy decides as it is written", "takes published for any", func(t *access.Table) {
		for i, r := range t.Rows {
			t.Rows[i].Condition = strings.Replace(r.Condition, "published", "any", 1)
		}
	}),
	decides("nobody owns anything anonymously", "compares zero with zero", func(d *access.Decision, a access.Actor) {
		if a.IsAnonymous() && len(d.Nearest) > 0 {
			d.Allowed = true
		}
	}),
	decides("a decision names its row", "names none", func(d *access.Decision, _ access.Actor) { d.By = access.Policy{} }),
	decides("a decision names its row", "forgets its id", func(d *access.Decision, _ access.Actor) { d.By.ID = access.PolicyID{} }),
	decides("a denial names the nearest rows", "names none", func(d *access.Decision, _ access.Actor) { d.Nearest = nil }),
	decides("a denial names the nearest rows", "names the first alone", func(d *access.Decision, _ access.Actor) {
		d.Nearest = d.Nearest[:min(len(d.Nearest), 1)]
	}),
	explains("an explanation tells the way to the row", "tells its end alone", func(x *access.Explanation) {
		x.Path = x.Path[max(len(x.Path)-1, 0):]
	}),
	explains("an explanation tells the way to the row", "does not say by which policy", func(x *access.Explanation) { x.Version = 0 }),
	explains("an explanation tells who else might", "tells nobody", func(x *access.Explanation) { x.Elsewhere = nil }),
	explains("an explanation tells who else might", "tells one alone", func(x *access.Explanation) {
		x.Elsewhere = x.Elsewhere[:min(len(x.Elsewhere), 1)]
	}),
	explains("an explanation decides as a decision does", "allows what is denied", func(x *access.Explanation) {
		x.Decision.Allowed = x.Decision.By.Effect == access.Deny || x.Decision.Allowed
	}),
	explains("an explanation decides as a decision does", "does not name the nearest rows", func(x *access.Explanation) { x.Decision.Nearest = nil }),
	gives("a list shows what a decision allows", "does not put denials into lists", func(r access.Rights, _ access.Actor) brokenRights {
		return brokenRights{filter: func(action access.Action, k access.Kind) (access.Filter, error) {
			f, err := r.Filter(action, k)
			return f.(access.All)[0], err
		}}
	}),
	gives("roles are told with what they inherit", "tells those given alone", func(_ access.Rights, a access.Actor) brokenRights {
		return brokenRights{roles: a.Roles}
	}),
	gives("roles are told with what they inherit", "gives one list to all", func(r access.Rights, _ access.Actor) brokenRights {
		all := r.Roles()
		return brokenRights{roles: func() []user.Role { return all }}
	}),
	reads("a condition of a team's own counts", "takes it for any", func(t *access.Table) { t.Rows[0].Condition = "any" }),
	takes("a newer version is obeyed at once", "never reads again", stale),
	takes("without a version the newest is asked for", "goes by what it has", func(a access.Actor) access.Actor {
		if a.PolicyVersion() == 0 {
			return stale(a)
		}
		return a
	}),
	loads("what is not newer is not loaded"),
	fallsBack("an outage is no answer"),
	takes("an outage is no answer", "never reads again", stale),
	reads("a store that lags is an outage", "believes that it has what was asked for", func(t *access.Table) { t.Version++ }),
	fallsBack("a store that lags is an outage"),
	authorizerMutant("a cancelled context is an outage", "reads for nobody", func(a ports.Authorizer, _ ports.PolicyRepository) authorizer {
		return func(ctx context.Context, actor access.Actor) (access.Rights, error) {
			return a.Rights(deaf(ctx), actor)
		}
	}),
	reads("a bad table widens nothing", "reads what it can of it", salvage),
	reads("a bad table widens nothing", "takes an empty one for all rights", func(t *access.Table) {
		if len(t.Rows) == 0 {
			t.Rows = []access.Row{rule(1, updateAll)}
		}
	}),
	loads("a bad table is not loaded again and again"),
	reads("a bad first table gives no rights", "reads what it can of it", salvage),
	takes("revoking beside deciding leaves no stale right", "never reads again", stale),
	authorizerMutant("revoking beside deciding leaves no stale right", "takes a version for read before it is", hasty),
	authorizerMutant("revoking beside deciding leaves no stale right", "gives what was read before", careless),
	{"revoking beside deciding leaves no stale right", "reads the version after the rows", func(open authorizerOpener) authorizerOpener {
		return func(p ports.PolicyRepository, v access.Vocabulary) ports.Authorizer {
			return open(policies{PolicyRepository: p, load: func(ctx context.Context) (access.Table, error) {
				t, err := p.Load(ctx)
				if err != nil {
					return t, err
				}
				linger()
				t.Version, err = p.Version(ctx)
				return t, err
			}}, v)
		}
	}},
}
