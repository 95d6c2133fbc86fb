package portstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"pgregory.net/rapid"

	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// authorizerOpener makes an authorizer that decides by a table of the suite.
type authorizerOpener func(ports.PolicyRepository, access.Vocabulary) ports.Authorizer

var authorizerChecks = []check[authorizerOpener]{
	{"what no row allows is denied", authorizerDefaultDeny},
	{"the zero actor may do nothing", authorizerZeroActor},
	{"a deny beats any allow", authorizerDenyWins},
	{"roles inherit through any number of links", authorizerInherits},
	{"roles do not inherit upwards", authorizerInheritsOneWay},
	{"the default policy decides as it is written", authorizerDefaultPolicy},
	{"nobody owns anything anonymously", authorizerAnonymousOwns},
	{"a grant counts for whom it was given to, in its role", authorizerGrants},
	{"a decision names its row", authorizerNamesRow},
	{"a denial names the nearest rows", authorizerNamesNearest},
	{"an explanation tells the way to the row", authorizerExplainsPath},
	{"an explanation tells who else might", authorizerExplainsElsewhere},
	{"an explanation decides as a decision does", authorizerExplainsDecision},
	{"a list shows what a decision allows", authorizerFilter},
	{"roles are told with what they inherit", authorizerRoles},
	{"a condition of a team's own counts", authorizerOwnCondition},
	{"a newer version is obeyed at once", authorizerNewerVersion},
	{"without a version the newest is asked for", authorizerAsksVersion},
	{"what is not newer is not loaded", authorizerLoadsOnce},
	{"an outage is no answer", authorizerOutage},
	{"a store that lags is an outage", authorizerLag},
	{"a cancelled context is an outage", authorizerCancelled},
	{"a bad table widens nothing", authorizerBadTable},
	{"a bad table is not loaded again and again", authorizerBadTableOnce},
	{"a bad first table gives no rights", authorizerBadFirst},
	{"revoking beside deciding leaves no stale right", authorizerRevokeRace},
}

// table is a policy repository whose table a check puts there.
type table struct {
	mu          sync.Mutex
	now         access.Table
	versionDown error
	loadDown    error
	loads       int
}

var _ ports.PolicyRepository = (*table)(nil)

func (p *table) Version(ctx context.Context) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := errors.Join(ctx.Err(), p.versionDown); err != nil {
		return 0, fault.Outage(err)
	}
	return p.now.Version, nil
}

func (p *table) Load(ctx context.Context) (access.Table, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loads++
	if err := errors.Join(ctx.Err(), p.loadDown); err != nil {
		return access.Table{}, fault.Outage(err)
	}
	return access.Table{Version: p.now.Version, Rows: slices.Clone(p.now.Rows), Inherits: slices.Clone(p.now.Inherits)}, nil
}

func (p *table) Seed(context.Context, access.Revision) (bool, error) {
	return false, fault.Outage(errors.New("an authorizer must not seed"))
}

// put raises the version and gives it a table: "user product read any allow",
// or "user < anonymous" for an inheritance.
func (p *table) put(lines ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = access.Table{Version: p.now.Version + 1}
	for i, line := range lines {
		if role, parent, ok := strings.Cut(line, " < "); ok {
			p.now.Inherits = append(p.now.Inherits, access.Inheritance{Role: role, Parent: parent})
			continue
		}
		p.now.Rows = append(p.now.Rows, rule(i, line))
	}
}

// fail makes the two questions fail from now on; nil mends them.
func (p *table) fail(version, load error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.versionDown, p.loadDown = version, load
}

func (p *table) loaded() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loads
}

func (p *table) version() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now.Version
}

func written(lines ...string) *table {
	p := &table{}
	p.put(lines...)
	return p
}

func vocabulary(t rapid.TB, more ...access.Condition) access.Vocabulary {
	t.Helper()
	v, err := access.NewVocabulary(more...)
	if err != nil {
		t.Fatalf("NewVocabulary = %v: the check is wrong", err)
	}
	return v
}

func role(name string) user.Role {
	r, _ := user.ParseRole(name)
	return r
}

// people are told apart by a number; zero is no one.
func person(n byte) user.ID {
	if n == 0 {
		return user.ID{}
	}
	return user.ID{UUID: uuid.UUID{n}}
}

func acting(n byte, version int64, roles ...string) access.Actor {
	var given []user.Role
	for _, name := range roles {
		given = append(given, role(name))
	}
	return access.SignedIn(user.Restore(user.State{ID: person(n), Roles: given}), version)
}

func thing(owner byte, s product.Status) access.Resource {
	return access.Product(product.Restore(product.State{OwnerID: person(owner), Status: s, Price: product.RestorePrice(50, "KRW")}))
}

// shared is a thing that somebody was let in on.
func shared(owner byte, s product.Status, with byte, r product.GrantRole) access.Resource {
	return access.Product(product.Restore(product.State{
		OwnerID: person(owner), Status: s, Price: product.RestorePrice(50, "KRW"), Grants: []product.Grant{{UserID: person(with), Role: r}},
	}))
}

var foreign = thing(9, product.StatusDraft)

func rights(t rapid.TB, ctx context.Context, a ports.Authorizer, actor access.Actor) access.Rights {
	t.Helper()
	r, err := a.Rights(ctx, actor)
	if err != nil || r == nil {
		t.Fatalf("Rights(%v, version %d) = %v, %v, want rights", actor.Roles(), actor.PolicyVersion(), r, err)
	}
	return r
}

func decide(t rapid.TB, r access.Rights, action access.Action, res access.Resource) access.Decision {
	t.Helper()
	d, err := r.Decide(action, res)
	if err != nil {
		t.Errorf("Decide(%s, %s) = %v, want a decision", action, res.Kind(), err)
	}
	return d
}

// wantAllowed holds an authorizer, and the filter that it gives, to an answer.
func wantAllowed(t tester, a ports.Authorizer, actor access.Actor, action access.Action, res access.Resource, want bool, what string) {
	t.Helper()
	r := rights(t, t.Context(), a, actor)
	if got := decide(t, r, action, res).Allowed; got != want {
		t.Errorf("%s: Decide(%s) = %v, want %v", what, action, got, want)
	}
	f, err := r.Filter(action, res.Kind())
	if err != nil || f == nil {
		t.Errorf("%s: Filter(%s) = %v, %v, want a filter", what, action, f, err)
		return
	}
	if got := f.Holds(res); got != want {
		t.Errorf("%s: Filter(%s).Holds = %v, want %v", what, action, got, want)
	}
}

func authorizerDefaultDeny(t tester, open authorizerOpener) {
	a := open(written("user product read any allow", "admin product update any allow", "user user update any deny"), vocabulary(t))
	for _, c := range []struct {
		what   string
		actor  access.Actor
		action access.Action
		res    access.Resource
		want   bool
	}{
		{"what a row allows", acting(1, 1, "user"), access.Read, foreign, true},
		{"another action", acting(1, 1, "user"), access.Delete, foreign, false},
		{"another role's", acting(1, 1, "user"), access.Update, foreign, false},
		{"another kind", acting(1, 1, "user"), access.Read, access.Any(access.KindUser), false},
		{"what is denied alone", acting(1, 1, "user"), access.Update, access.Any(access.KindUser), false},
		{"a role that no row names", acting(1, 1, "stranger"), access.Read, foreign, false},
		{"no role at all", acting(1, 1), access.Read, foreign, false},
		{"anonymous", access.Anonymous(), access.Read, foreign, false},
	} {
		wantAllowed(t, a, c.actor, c.action, c.res, c.want, c.what)
	}
}

// An actor that somebody forgot to fill must not match rows without a role:
// Casbin's matcher answers allow for empty strings (threats.md, "Casbin").
func authorizerZeroActor(t tester, open authorizerOpener) {
	a := open(written("user product read any allow", "anonymous product read any allow", "user < anonymous"), vocabulary(t))
	for _, action := range access.Actions() {
		for _, res := range []access.Resource{foreign, thing(0, product.StatusPublished), access.Any(access.KindProduct), {}} {
			wantAllowed(t, a, access.Actor{}, action, res, false, "the zero actor")
		}
	}
	if got := rights(t, t.Context(), a, access.Actor{}).Roles(); len(got) != 0 {
		t.Errorf("Roles of the zero actor = %v, want none", got)
	}
}

func authorizerDenyWins(t tester, open authorizerOpener) {
	mine := thing(1, product.StatusDraft)
	for what, lines := range map[string][]string{
		"deny last":         {"user product read any allow", "user product read own deny"},
		"deny first":        {"user product read own deny", "user product read any allow"},
		"deny inherited":    {"user product read any allow", "guest product read own deny", "user < guest"},
		"allow inherited":   {"user product read own deny", "guest product read any allow", "user < guest"},
		"of another role":   {"user product read any allow", "guest product read own deny"},
		"deny among allows": {"user product read any allow", "guest product read own deny", "user product read own allow", "guest product read any allow"},
	} {
		a := open(written(lines...), vocabulary(t))
		actor := acting(1, 1, "user", "guest")
		wantAllowed(t, a, actor, access.Read, mine, false, what+", where it holds")
		wantAllowed(t, a, actor, access.Read, foreign, true, what+", where it does not")
		if d := decide(t, rights(t, t.Context(), a, actor), access.Read, mine); d.By.Effect != access.Deny {
			t.Errorf("%s: the deciding row = %q, want the one that denies", what, d.By)
		}
	}
}

// Casbin's own role manager follows ten links and silently no more.
func authorizerInherits(t tester, open authorizerOpener) {
	lines := []string{"r0 product read any allow", "side product update any allow", "r3 < side"}
	for i := range 15 {
		lines = append(lines, fmt.Sprintf("r%d < r%d", i+1, i))
	}
	a := open(written(lines...), vocabulary(t))
	for i := range 16 {
		actor := acting(1, 1, fmt.Sprintf("r%d", i))
		wantAllowed(t, a, actor, access.Read, foreign, true, fmt.Sprintf("%d links", i))
		wantAllowed(t, a, actor, access.Update, foreign, i >= 3, fmt.Sprintf("the second parent, %d links", i))
	}
}

func authorizerInheritsOneWay(t tester, open authorizerOpener) {
	a := open(written("admin product delete any allow", "user product read any allow", "guest product update any allow", "admin < user", "admin < guest"), vocabulary(t))
	wantAllowed(t, a, acting(1, 1, "user"), access.Delete, foreign, false, "a parent")
	wantAllowed(t, a, acting(1, 1, "user"), access.Update, foreign, false, "a parent's sibling")
	wantAllowed(t, a, acting(1, 1, "admin"), access.Update, foreign, true, "a child")
}

// defaultPolicy is configs/policy.csv.
var defaultPolicy = []string{
	"anonymous product read published allow",
	"user < anonymous",
	"user product create any allow", "user product read own allow", "user product read viewer allow",
	"user product update own allow", "user product update editor allow",
	"user product delete own allow", "user product share own allow",
	"moderator < user",
	"moderator product read any allow", "moderator product update any allow",
	"admin < moderator",
	"admin product delete any allow", "admin product transfer any allow",
	"admin user read any allow", "admin user update any allow",
	"admin session read any allow", "admin session delete any allow",
	"admin policy read any allow", "admin policy create any allow", "admin policy delete any allow",
	"admin audit read any allow",
}

// defaultAnswers say what each role may do with what, in the order of
// access.Actions; what is not written is denied.
var defaultAnswers = map[string]map[string]string{
	"anonymous": {"foreign published": "read", "viewed published": "read", "edited published": "read"},
	"user": {
		"own draft": "create read update delete share", "own published": "create read update delete share", "own archived": "create read update delete share",
		"foreign draft": "create", "foreign published": "create read", "foreign archived": "create", "any product": "create",
		"viewed draft": "create read", "viewed published": "create read", "viewed archived": "create read",
		"edited draft": "create read update", "edited published": "create read update", "edited archived": "create read update",
	},
	"moderator": {
		"own draft": "create read update delete share", "own published": "create read update delete share", "own archived": "create read update delete share",
		"foreign draft": "create read update", "foreign published": "create read update", "foreign archived": "create read update", "any product": "create read update",
		"viewed draft": "create read update", "viewed published": "create read update", "viewed archived": "create read update",
		"edited draft": "create read update", "edited published": "create read update", "edited archived": "create read update",
	},
	"admin": {
		"own draft": "create read update delete transfer share", "own published": "create read update delete transfer share", "own archived": "create read update delete transfer share",
		"foreign draft": "create read update delete transfer", "foreign published": "create read update delete transfer",
		"foreign archived": "create read update delete transfer", "any product": "create read update delete transfer",
		"viewed draft": "create read update delete transfer", "viewed published": "create read update delete transfer", "viewed archived": "create read update delete transfer",
		"edited draft": "create read update delete transfer", "edited published": "create read update delete transfer", "edited archived": "create read update delete transfer",
		"user": "read update", "session": "read delete", "policy": "create read delete", "audit": "read",
	},
}

func authorizerDefaultPolicy(t tester, open authorizerOpener) {
	a := open(written(defaultPolicy...), vocabulary(t))
	resources := map[string]access.Resource{
		"any product": access.Any(access.KindProduct), "user": access.Any(access.KindUser), "session": access.Any(access.KindSession),
		"policy": access.Any(access.KindPolicy), "audit": access.Any(access.KindAudit),
	}
	for _, s := range []product.Status{product.StatusDraft, product.StatusPublished, product.StatusArchived} {
		resources["own "+s.String()], resources["foreign "+s.String()] = thing(1, s), thing(9, s)
		resources["viewed "+s.String()], resources["edited "+s.String()] = shared(9, s, 1, product.Viewer), shared(9, s, 1, product.Editor)
	}
	for name, answers := range defaultAnswers {
		actor := acting(1, 1, name)
		if name == "anonymous" {
			actor = access.Anonymous()
		}
		for what, res := range resources {
			if actor.IsAnonymous() && strings.HasPrefix(what, "own ") {
				continue // somebody else's, in truth
			}
			for _, action := range access.Actions() {
				want := slices.Contains(strings.Fields(answers[what]), action.String())
				wantAllowed(t, a, actor, action, res, want, name+", "+what)
			}
		}
	}
}

// Nobody and what has no owner have the same zero id; that is no ownership.
func authorizerAnonymousOwns(t tester, open authorizerOpener) {
	a := open(written("anonymous product update own allow", "anonymous product read any allow", "anonymous product read own deny"), vocabulary(t))
	for _, res := range []access.Resource{thing(0, product.StatusDraft), thing(1, product.StatusDraft), access.Any(access.KindProduct)} {
		wantAllowed(t, a, access.Anonymous(), access.Update, res, false, "an allow of one's own")
		wantAllowed(t, a, access.Anonymous(), access.Read, res, true, "a deny of one's own")
	}
}

// Who may look may not write, what is shared with one is not shared with another,
// and nothing is shared with nobody.
func authorizerGrants(t tester, open authorizerOpener) {
	a := open(written("user product read viewer allow", "user product update editor allow", "anonymous product read viewer allow",
		"guest product read any allow", "guest product read viewer deny"), vocabulary(t))
	viewed, edited := shared(9, product.StatusDraft, 1, product.Viewer), shared(9, product.StatusDraft, 1, product.Editor)
	for _, c := range []struct {
		what         string
		actor        access.Actor
		res          access.Resource
		read, update bool
	}{
		{"a viewer", acting(1, 1, "user"), viewed, true, false},
		{"an editor", acting(1, 1, "user"), edited, true, true},
		{"another user", acting(2, 1, "user"), edited, false, false},
		{"the owner", acting(9, 1, "user"), edited, false, false},
		{"a viewer of another role", acting(1, 1, "stranger"), edited, false, false},
		{"who is denied what is shared with them", acting(1, 1, "guest"), viewed, false, false},
		{"who is denied that, and edits", acting(1, 1, "guest"), edited, false, false},
		{"who is denied that, of what is not", acting(2, 1, "guest"), edited, true, false},
		{"nobody", access.Anonymous(), shared(9, product.StatusDraft, 0, product.Editor), false, false},
		{"somebody, of what nobody was let in on", acting(1, 1, "user"), thing(9, product.StatusDraft), false, false},
		{"somebody, of the kind", acting(1, 1, "user"), access.Any(access.KindProduct), false, false},
	} {
		wantAllowed(t, a, c.actor, access.Read, c.res, c.read, c.what)
		wantAllowed(t, a, c.actor, access.Update, c.res, c.update, c.what)
	}
}

func authorizerNamesRow(t tester, open authorizerOpener) {
	policies := written("user product update published allow", "user product read any allow", "guest product update own allow",
		"guest product delete own deny", "user product delete any allow", "user < guest")
	r := rights(t, t.Context(), open(policies, vocabulary(t)), acting(1, 1, "user"))
	for _, c := range []struct {
		action access.Action
		res    access.Resource
		row    int
	}{
		{access.Update, thing(1, product.StatusDraft), 2}, {access.Update, thing(9, product.StatusPublished), 0},
		{access.Read, foreign, 1}, {access.Delete, thing(1, product.StatusDraft), 3}, {access.Delete, foreign, 4},
	} {
		d, row := decide(t, r, c.action, c.res), policies.now.Rows[c.row]
		if d.By.ID != row.ID || d.By.String() != row.String() || len(d.Nearest) != 0 {
			t.Errorf("Decide(%s) = by %q (%s) with %v near, want by %q (%s) alone", c.action, d.By, d.By.ID, d.Nearest, row, row.ID)
		}
	}
}

// What an operator is told who asks why somebody may not.
func authorizerNamesNearest(t tester, open authorizerOpener) {
	policies := written("user product update own allow", "guest product update published allow", "user product read any allow",
		"admin product update any allow", "user user update any allow", "user < guest")
	r := rights(t, t.Context(), open(policies, vocabulary(t)), acting(1, 1, "user"))
	for action, rows := range map[access.Action][]int{access.Update: {0, 1}, access.Delete: nil} {
		d := decide(t, r, action, foreign)
		var got, wanted []string
		for _, p := range d.Nearest {
			got = append(got, p.ID.String()+" "+p.String())
		}
		for _, i := range rows {
			wanted = append(wanted, policies.now.Rows[i].ID.String()+" "+policies.now.Rows[i].String())
		}
		slices.Sort(got)
		if d.Allowed || d.By.String() != (access.Policy{}).String() || !slices.Equal(got, wanted) {
			t.Errorf("Decide(%s) = %v by %q, nearest %q, want a denial by no row, nearest %q", action, d.Allowed, d.By, got, wanted)
		}
	}
}

func explain(t rapid.TB, r access.Rights, action access.Action, res access.Resource) access.Explanation {
	t.Helper()
	x, err := r.Explain(action, res)
	if err != nil {
		t.Errorf("Explain(%s, %s) = %v, want an explanation", action, res.Kind(), err)
	}
	return x
}

func joinedRows(rows []access.Policy) string {
	var b strings.Builder
	for _, p := range rows {
		b.WriteString(p.String() + "; ")
	}
	return b.String()
}

func authorizerExplainsPath(t tester, open authorizerOpener) {
	policies := written("anonymous product read published allow", "guest product delete any deny", "user product update own allow",
		"user < anonymous", "moderator < user", "admin < moderator", "admin < anonymous", "moderator < guest")
	a := open(policies, vocabulary(t))
	published := thing(9, product.StatusPublished)
	for _, c := range []struct {
		roles  []string
		action access.Action
		res    access.Resource
		want   string
	}{
		{[]string{"user"}, access.Read, published, "user anonymous "},
		{[]string{"anonymous"}, access.Read, published, "anonymous "},
		{[]string{"admin"}, access.Read, published, "admin anonymous "}, // the shorter of two ways
		{[]string{"moderator"}, access.Read, published, "moderator user anonymous "},
		{[]string{"stranger", "admin"}, access.Delete, published, "admin moderator guest "},
		{[]string{"admin", "user"}, access.Update, thing(1, product.StatusDraft), "user "},
		{[]string{"user"}, access.Update, published, ""},
	} {
		x := explain(t, rights(t, t.Context(), a, acting(1, 1, c.roles...)), c.action, c.res)
		want(t, joined(x.Path), c.want, "the way from %v to the row that decides on %s", c.roles, c.action)
		want(t, x.Version, int64(1), "the version that explains")
	}
}

// Who asks why somebody may not is best served by which role it would take.
func authorizerExplainsElsewhere(t tester, open authorizerOpener) {
	a := open(written("user product update own allow", "admin product delete any allow", "editor product delete published allow", "janitor product delete own allow",
		"admin product delete published deny", "admin user delete any allow", "admin < user"), vocabulary(t))
	r := rights(t, t.Context(), a, acting(1, 1, "user"))
	for _, c := range []struct {
		action access.Action
		res    access.Resource
		want   string
	}{
		{access.Delete, thing(9, product.StatusPublished), "admin, product, delete, any, allow; editor, product, delete, published, allow; "},
		{access.Delete, thing(1, product.StatusDraft), "admin, product, delete, any, allow; janitor, product, delete, own, allow; "},
		{access.Delete, access.Any(access.KindProduct), "admin, product, delete, any, allow; "},
		{access.Update, thing(1, product.StatusDraft), ""}, {access.Share, foreign, ""}, {access.Update, foreign, ""},
	} {
		want(t, joinedRows(explain(t, r, c.action, c.res).Elsewhere), c.want, "the rows of others for %s", c.action)
	}
	denied := explain(t, rights(t, t.Context(), a, acting(1, 1, "admin")), access.Delete, thing(9, product.StatusPublished))
	want(t, joinedRows(denied.Elsewhere), "", "the rows of others, where a row denies")
}

// An explanation by other rules than the decision's would send people looking
// in the wrong place.
func authorizerExplainsDecision(t tester, open authorizerOpener) {
	names := []string{"anonymous", "user", "moderator", "admin", "seller"}
	rapid.Check(t, func(rt *rapid.T) {
		policies := written(drawTable(rt, names)...)
		given := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID).Draw(rt, "given")
		r := rights(rt, t.Context(), open(policies, vocabulary(rt)), acting(byte(rapid.IntRange(0, 2).Draw(rt, "actor")), 1, given...))
		for _, action := range []access.Action{access.Read, access.Update, access.Delete} {
			for owner := range byte(3) {
				for _, s := range []product.Status{product.StatusDraft, product.StatusPublished} {
					res := thing(owner, s)
					d, x := decide(rt, r, action, res), explain(rt, r, action, res)
					got := fmt.Sprint(x.Decision.Allowed, x.Decision.By, x.Decision.By.ID, joinedRows(x.Decision.Nearest))
					if want := fmt.Sprint(d.Allowed, d.By, d.By.ID, joinedRows(d.Nearest)); got != want {
						rt.Fatalf("Explain(%s) decides %s, want what Decide says, %s", action, got, want)
					}
					if decided := d.By.Effect != (access.Effect{}); decided != (len(x.Path) > 0) || decided && x.Path[len(x.Path)-1] != d.By.Role {
						rt.Fatalf("Explain(%s) gives the way %v to the row %q", action, x.Path, d.By)
					}
				}
			}
		}
	})
}

// A list that is narrowed by another rule than single products are checked by
// shows what it must not, or hides what it should show.
func authorizerFilter(t tester, open authorizerOpener) {
	names := []string{"anonymous", "user", "moderator", "admin", "seller"}
	rapid.Check(t, func(rt *rapid.T) {
		policies := written(drawTable(rt, names)...)
		given := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID).Draw(rt, "given")
		actor := acting(byte(rapid.IntRange(0, 2).Draw(rt, "actor")), 1, given...)
		r := rights(rt, t.Context(), open(policies, vocabulary(rt)), actor)
		for _, action := range []access.Action{access.Read, access.Update, access.Delete} {
			f, err := r.Filter(action, access.KindProduct)
			if err != nil {
				rt.Fatalf("Filter(%s) = %v, want a filter", action, err)
			}
			for owner := range byte(3) {
				for _, s := range []product.Status{product.StatusDraft, product.StatusPublished, product.StatusArchived} {
					for what, res := range map[string]access.Resource{
						"not shared": thing(owner, s), "shared to view": shared(owner, s, 1, product.Viewer), "shared to edit": shared(owner, s, 1, product.Editor),
					} {
						if got, want := f.Holds(res), decide(rt, r, action, res).Allowed; got != want {
							rt.Fatalf("Filter(%s).Holds(%s of %d, %s) = %v, want what Decide says, %v", action, s, owner, what, got, want)
						}
					}
				}
			}
			if got, want := f.Holds(access.Any(access.KindProduct)), decide(rt, r, action, access.Any(access.KindProduct)).Allowed; got != want {
				rt.Fatalf("Filter(%s).Holds(the kind) = %v, want what Decide says, %v", action, got, want)
			}
		}
	})
}

func drawTable(t *rapid.T, names []string) []string {
	word := func(what string, words ...string) string { return rapid.SampledFrom(words).Draw(t, what) }
	var lines []string
	for range rapid.IntRange(1, 12).Draw(t, "rows") {
		line := strings.Join([]string{word("role", names...), word("resource", "product", "product", "user"), word("action", "read", "update"),
			word("condition", "any", "own", "published", "viewer", "editor"), word("effect", "allow", "allow", "deny")}, " ")
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	for i := range names[1:] { // only downwards, so that there is no circle
		if rapid.Bool().Draw(t, "inherits") {
			lines = append(lines, names[i+1]+" < "+names[rapid.IntRange(0, i).Draw(t, "parent")])
		}
	}
	return lines
}

func authorizerRoles(t tester, open authorizerOpener) {
	a := open(written("user product read any allow", "admin < moderator", "moderator < user", "admin < user", "user < anonymous", "other < user"), vocabulary(t))
	for _, c := range []struct {
		given []string
		want  string
	}{
		{[]string{"admin"}, "admin anonymous moderator user "}, {[]string{"user"}, "anonymous user "},
		{[]string{"stranger", "moderator", "user"}, "anonymous moderator stranger user "}, {nil, ""},
	} {
		for range 2 { // what is handed out is a copy
			got := rights(t, t.Context(), a, acting(1, 1, c.given...)).Roles()
			slices.SortFunc(got, func(a, b user.Role) int { return strings.Compare(a.String(), b.String()) })
			want(t, joined(got), c.want, "Roles of %v", c.given)
			for i := range got {
				got[i] = user.RoleAdmin
			}
		}
	}
	wantAllowed(t, a, acting(1, 1, "anonymous"), access.Read, foreign, false, "after altering what Roles gave")
	r := rights(t, t.Context(), a, acting(1, 1, "user"))
	for i, got := 0, r.Roles(); i < len(got); i++ {
		got[i] = user.RoleAdmin
	}
	if slices.Contains(r.Roles(), user.RoleAdmin) {
		t.Errorf("Roles after altering what Roles gave = %v, want no admin", r.Roles())
	}
}

func authorizerOwnCondition(t tester, open authorizerOpener) {
	cheap := access.NewCondition("cheap", func(access.Actor) access.Filter { return access.AmountIs(access.AtMost, 100) })
	a := open(written("user product update cheap allow"), vocabulary(t, cheap))
	dear := access.Product(product.Restore(product.State{OwnerID: person(1), Price: product.RestorePrice(101, "KRW")}))
	wantAllowed(t, a, acting(1, 1, "user"), access.Update, foreign, true, "a cheap product")
	wantAllowed(t, a, acting(1, 1, "user"), access.Update, dear, false, "a dear product")
	wantAllowed(t, a, acting(1, 1, "user"), access.Update, access.Any(access.KindProduct), false, "no product in view")
}

const readAll, updateAll = "user product read any allow", "user product update any allow"

// A right that was revoked is refused at the next request, on every node
// (threats.md, scenario 5).
func authorizerNewerVersion(t tester, open authorizerOpener) {
	policies := written(readAll, updateAll, "admin < user")
	a := open(policies, vocabulary(t))
	wantAllowed(t, a, acting(1, 1, "user"), access.Update, foreign, true, "version 1")
	wantAllowed(t, a, acting(1, 1, "admin"), access.Update, foreign, true, "version 1, inherited")
	policies.put(readAll)
	wantAllowed(t, a, acting(1, 2, "user"), access.Update, foreign, false, "version 2, without the row")
	wantAllowed(t, a, acting(1, 2, "admin"), access.Read, foreign, false, "version 2, without the inheritance")
	policies.put(readAll, updateAll, "user product read own deny")
	wantAllowed(t, a, acting(1, 3, "user"), access.Update, foreign, true, "version 3, with the row again")
	wantAllowed(t, a, acting(1, 3, "user"), access.Read, thing(1, product.StatusDraft), false, "version 3, with a deny")
}

func authorizerAsksVersion(t tester, open authorizerOpener) {
	policies := written("anonymous product read any allow")
	a := open(policies, vocabulary(t))
	wantAllowed(t, a, access.Anonymous(), access.Read, foreign, true, "version 1")
	policies.put("anonymous product read own allow")
	wantAllowed(t, a, access.Anonymous(), access.Read, foreign, false, "version 2")
	policies.put("anonymous product read any allow")
	wantAllowed(t, a, acting(1, 0, "anonymous"), access.Read, foreign, true, "version 3")
}

// Loading the table for every request would make every request as slow as the
// slowest.
func authorizerLoadsOnce(t tester, open authorizerOpener) {
	policies := written(readAll)
	a := open(policies, vocabulary(t))
	ask := func() {
		for range 5 {
			wantAllowed(t, a, acting(1, policies.version(), "user"), access.Read, foreign, true, "a version that is known")
			wantAllowed(t, a, acting(1, 1, "user"), access.Read, foreign, true, "an older version")
			wantAllowed(t, a, access.Anonymous(), access.Read, foreign, false, "no version")
		}
	}
	ask()
	want(t, policies.loaded(), 1, "how often version 1 was loaded")
	policies.put(readAll, updateAll)
	ask()
	want(t, policies.loaded(), 2, "how often versions 1 and 2 were loaded")
}

// wantNoAnswer holds an authorizer to saying that it cannot tell.
func wantNoAnswer(t tester, ctx context.Context, a ports.Authorizer, actor access.Actor, what string) {
	t.Helper()
	r, err := a.Rights(ctx, actor)
	wantError(t, err, fault.Unavailable, "Rights(%s)", what)
	if r != nil {
		t.Errorf("Rights(%s) = rights, want none", what)
	}
}

// A policy that cannot be read must not fall back to the one before: what was
// revoked in between would be allowed for as long as the database is down.
func authorizerOutage(t tester, open authorizerOpener) {
	down := errors.New("connection refused")
	policies := written(readAll, updateAll, "anonymous product read any allow")
	a := open(policies, vocabulary(t))
	policies.fail(down, down)
	wantNoAnswer(t, t.Context(), a, acting(1, 1, "user"), "nothing loaded yet")
	policies.fail(nil, nil)
	wantAllowed(t, a, acting(1, 1, "user"), access.Update, foreign, true, "mended")
	policies.put(readAll)
	policies.fail(nil, down)
	wantNoAnswer(t, t.Context(), a, acting(1, 2, "user"), "newer version, Load fails")
	wantNoAnswer(t, t.Context(), a, access.Anonymous(), "no version, Load fails")
	policies.fail(down, nil)
	wantNoAnswer(t, t.Context(), a, access.Anonymous(), "no version, Version fails")
	policies.fail(nil, nil)
	wantAllowed(t, a, acting(1, 2, "user"), access.Update, foreign, false, "mended again")
}

// A replica that has not caught up gives an older table than the session
// statement saw.
func authorizerLag(t tester, open authorizerOpener) {
	policies := written(readAll, updateAll)
	a := open(policies, vocabulary(t))
	wantNoAnswer(t, t.Context(), a, acting(1, 2, "user"), "a version that is not there yet, at first")
	wantAllowed(t, a, acting(1, 1, "user"), access.Update, foreign, true, "the version that is there")
	wantNoAnswer(t, t.Context(), a, acting(1, 2, "user"), "a version that is not there yet")
	policies.put(readAll)
	wantAllowed(t, a, acting(1, 2, "user"), access.Update, foreign, false, "caught up")
}

func authorizerCancelled(t tester, open authorizerOpener) {
	policies := written(readAll)
	a := open(policies, vocabulary(t))
	wantNoAnswer(t, gone(t), a, acting(1, 1, "user"), "cancelled, nothing loaded yet")
	wantAllowed(t, a, acting(1, 1, "user"), access.Read, foreign, true, "not cancelled")
	policies.put(updateAll)
	wantNoAnswer(t, gone(t), a, acting(1, 2, "user"), "cancelled, newer version")
	wantNoAnswer(t, gone(t), a, access.Anonymous(), "cancelled, no version")
	wantAllowed(t, a, acting(1, 2, "user"), access.Read, foreign, false, "not cancelled, newer version")
}

// badTables are tables that nobody can decide by, though some have rows that
// would allow what was not allowed before (threats.md, scenario 13).
var badTables = map[string][]string{
	"emptied":              nil,
	"inheritance alone":    {"user < admin"},
	"an unknown resource":  {updateAll, "user everything read any allow"},
	"an unknown action":    {updateAll, "user product erase any allow"},
	"an unknown condition": {updateAll, "user product read always allow"},
	"an unknown effect":    {updateAll, "user product read own Allow"},
	"an unknown role":      {updateAll, "User product read own allow"},
	"a row twice":          {updateAll, updateAll},
	"a circle":             {updateAll, "user < admin", "admin < user"},
}

func authorizerBadTable(t tester, open authorizerOpener) {
	for what, lines := range badTables {
		policies := written(readAll, "user product read own deny")
		a := open(policies, vocabulary(t))
		holds := func(version int64, when string) {
			t.Helper()
			wantAllowed(t, a, acting(1, version, "user"), access.Read, foreign, true, when)
			wantAllowed(t, a, acting(1, version, "user"), access.Read, thing(1, product.StatusDraft), false, when)
			wantAllowed(t, a, acting(1, version, "user"), access.Update, foreign, false, when)
		}
		holds(1, "before "+what)
		policies.put(lines...)
		holds(2, what)
		holds(0, what+", no version")
		policies.put(readAll, "user product read own deny")
		holds(3, "after "+what)
		policies.put(updateAll)
		wantAllowed(t, a, acting(1, 4, "user"), access.Read, foreign, false, "version 4, after "+what)
		wantAllowed(t, a, acting(1, 4, "user"), access.Update, foreign, true, "version 4, after "+what)
	}
}

func authorizerBadTableOnce(t tester, open authorizerOpener) {
	policies := written(readAll)
	a := open(policies, vocabulary(t))
	wantAllowed(t, a, acting(1, 1, "user"), access.Read, foreign, true, "version 1")
	policies.put()
	for range 5 {
		wantAllowed(t, a, acting(1, 2, "user"), access.Read, foreign, true, "the last good version")
	}
	want(t, policies.loaded(), 2, "how often a good and a bad table were loaded")
}

func authorizerBadFirst(t tester, open authorizerOpener) {
	for what, lines := range badTables {
		policies := written(lines...)
		a := open(policies, vocabulary(t))
		wantNoAnswer(t, t.Context(), a, acting(1, 1, "user"), what)
		wantNoAnswer(t, t.Context(), a, access.Anonymous(), what)
		policies.put(readAll)
		wantAllowed(t, a, acting(1, 2, "user"), access.Read, foreign, true, "mended, after "+what)
	}
	wantNoAnswer(t, t.Context(), open(&table{}, vocabulary(t)), access.Anonymous(), "a table that never was")
}
