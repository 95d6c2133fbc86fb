package casbinauthz

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
	"github.com/casbin/casbin/v2/persist"
	defaultrolemanager "github.com/casbin/casbin/v2/rbac/default-role-manager"

	"gatehouse/domain/access"
	"gatehouse/domain/user"
)

// maxSubjects bounds how many sets of roles a reading keeps enforcers for.
// There are as many as different sets of roles among the users who act; beyond
// the bound an enforcer is built anew for each question.
const maxSubjects = 1000

// compiled is one version of the policy, ready to decide. It never changes, but
// for the enforcers that it builds when they are first asked for.
type compiled struct {
	version  int64
	set      access.Set
	model    model.Model
	subjects sync.Map // subject name -> *subject
	count    atomic.Int64
}

// compile checks every row of the table; a single bad one refuses all.
func compile(m model.Model, v access.Vocabulary, t access.Table) (*compiled, error) {
	set, err := v.Check(t)
	if err != nil {
		return nil, err
	}
	return &compiled{version: t.Version, set: set, model: m}, nil
}

// subject is a set of roles under which somebody acts.
type subject struct {
	name      string      // what Casbin knows the set by
	given     []user.Role // the set itself
	roles     []user.Role // with all that they inherit
	questions sync.Map    // question -> *bucket
}

type question struct {
	action access.Action
	kind   access.Kind
}

// subject returns the one of an actor's roles.
func (c *compiled) subject(given []user.Role) *subject {
	name := subjectName(given)
	if s, ok := c.subjects.Load(name); ok {
		return s.(*subject)
	}
	s := &subject{name: name, given: slices.Clone(given)}
	for _, r := range given {
		s.roles = append(append(s.roles, r), c.set.Ancestors(r)...)
	}
	slices.SortFunc(s.roles, byName)
	s.roles = slices.Compact(s.roles)
	if c.count.Load() >= maxSubjects {
		return s
	}
	kept, loaded := c.subjects.LoadOrStore(name, s)
	if !loaded {
		c.count.Add(1)
	}
	return kept.(*subject)
}

// subjectName is no role's name, since those hold no '='.
func subjectName(roles []user.Role) string {
	if len(roles) == 1 {
		return "=" + roles[0].String()
	}
	var b strings.Builder
	for _, r := range roles {
		b.WriteString("=" + r.String())
	}
	return b.String()
}

func byName(a, b user.Role) int { return strings.Compare(a.String(), b.String()) }

// bucket is the rows that can matter to a subject's question, and Casbin over
// them.
type bucket struct {
	rows     []access.Policy
	enforcer *casbin.Enforcer
}

// bucket returns the one for a subject's question, built when first asked for.
func (c *compiled) bucket(s *subject, q question) (*bucket, error) {
	if b, ok := s.questions.Load(q); ok {
		return b.(*bucket), nil
	}
	b := &bucket{}
	for _, p := range c.set.Policies {
		if p.Action == q.action && p.Resource == q.kind && slices.Contains(s.roles, p.Role) {
			b.rows = append(b.rows, p)
		}
	}
	var err error
	if b.enforcer, err = newEnforcer(c.model, lines{rows: b.rows, subject: s, parents: c.set.Parents}); err != nil {
		return nil, err
	}
	kept, _ := s.questions.LoadOrStore(q, b)
	return kept.(*bucket), nil
}

// newEnforcer builds a plain enforcer that nobody changes afterwards: deciding
// on it is safe from many goroutines.
func newEnforcer(m model.Model, from lines) (*casbin.Enforcer, error) {
	e, err := casbin.NewEnforcer(m.Copy())
	if err != nil {
		return nil, fmt.Errorf("building a Casbin enforcer: %w", err)
	}
	// Casbin follows ten steps of inheritance and silently no more, unless told.
	e.SetRoleManager(defaultrolemanager.NewRoleManagerImpl(len(from.parents) + 2))
	e.AddFunction("holds", holds(from.rows))
	e.SetAdapter(from)
	e.EnableAutoSave(false)
	if err := e.LoadPolicy(); err != nil {
		return nil, fmt.Errorf("loading policies into Casbin: %w", err)
	}
	return e, nil
}

// holds is the matcher's way into package access: it asks the condition of that
// name about the actor and the resource of the request.
func holds(rows []access.Policy) func(args ...any) (any, error) {
	conditions := map[string]access.Condition{}
	for _, p := range rows {
		conditions[p.Condition.String()] = p.Condition
	}
	return func(args ...any) (any, error) {
		name, _ := args[0].(string)
		actor, isActor := args[1].(*access.Actor)
		resource, isResource := args[2].(*access.Resource)
		condition, known := conditions[name]
		if !isActor || !isResource || !known {
			return nil, fmt.Errorf("condition %q cannot be asked", name)
		}
		return condition.Holds(*actor, *resource), nil
	}
}

// lines hands a subject's rows to Casbin, as a persist.Adapter that is only
// read.
type lines struct {
	rows    []access.Policy
	subject *subject
	parents map[user.Role][]user.Role
}

var _ persist.Adapter = lines{}

// LoadPolicy adds the rows, the inheritance, and the subject as the heir of its
// roles.
func (l lines) LoadPolicy(m model.Model) error {
	for place, p := range l.rows {
		line := []string{"p", strconv.Itoa(place), p.Role.String(), p.Resource.String(), p.Action.String(), p.Condition.String(), p.Effect.String()}
		if err := persist.LoadPolicyArray(line, m); err != nil {
			return err
		}
	}
	for _, r := range l.subject.given {
		if err := persist.LoadPolicyArray([]string{"g", l.subject.name, r.String()}, m); err != nil {
			return err
		}
	}
	for role, parents := range l.parents {
		for _, parent := range parents {
			if err := persist.LoadPolicyArray([]string{"g", role.String(), parent.String()}, m); err != nil {
				return err
			}
		}
	}
	return nil
}

var errReadOnly = errors.New("policies are changed through ports.PolicyRepository, not through Casbin")

func (lines) SavePolicy(model.Model) error                              { return errReadOnly }
func (lines) AddPolicy(string, string, []string) error                  { return errReadOnly }
func (lines) RemovePolicy(string, string, []string) error               { return errReadOnly }
func (lines) RemoveFilteredPolicy(string, string, int, ...string) error { return errReadOnly }
