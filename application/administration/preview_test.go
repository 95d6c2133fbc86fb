package administration_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"gatehouse/application/administration"
	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
	"gatehouse/tests/house"
)

// adding is a proposal to add a row.
func adding(words string) administration.Proposal {
	r := row(words)
	return administration.Proposal{Add: &r}
}

// offer puts a product of the owner into the store.
func offer(t *testing.T, h *house.House, owner user.ID, s product.Status) product.ID {
	t.Helper()
	id := product.ID{UUID: h.Random.ID(h.Now())}
	p := product.Restore(product.State{ID: id, OwnerID: owner, Name: "thing", Price: product.RestorePrice(1, "KRW"), Status: s, Version: 1, CreatedAt: h.Now(), UpdatedAt: h.Now()})
	if err := h.DB.Products().Add(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return id
}

func told(effects []administration.Effect) (lines []string) {
	for _, e := range effects {
		lines = append(lines, fmt.Sprintf("%s: %s %s %s %d/%d", e.Who(), e.Action, e.Kind, e.Scope, e.Affected, e.Pairs))
	}
	return lines
}

// A preview is a question of the policy, and asked of it as one: of who may not,
// it is written down, and of who may nothing is.
func TestPreviewsAreUnderThePolicy(t *testing.T) {
	h := house.New(t, house.Options{})
	root := somebody(h, "root@example.com", "admin")
	for _, a := range []access.Actor{access.Anonymous(), somebody(h, "user@example.com", "user"), somebody(h, "moderator@example.com", "moderator")} {
		before := len(h.Rows())
		want, entries := access.ErrForbidden, 1
		if a.IsAnonymous() {
			want, entries = access.ErrUnauthenticated, 0
		}
		if _, err := h.Preview.Preview(t.Context(), a, administration.Proposal{}); !errors.Is(err, want) {
			t.Errorf("Preview by %v = %v, want %v", a.Roles(), err, want)
		}
		if events := h.Events(before); len(events) != entries || entries == 1 && events[0] != audit.Denied {
			t.Errorf("Preview by %v is written down as %v", a.Roles(), events)
		}
	}
	before := len(h.Rows())
	if _, err := h.Preview.Preview(t.Context(), root, adding("user audit read any allow")); err != nil {
		t.Fatal(err)
	}
	if rows := h.Rows(); len(rows) != before || table(t, h).Version != 1 {
		t.Errorf("a preview has written %v; the policy is at version %d", rows[before:], table(t, h).Version)
	}
}

// Of a table as of a row: what is wrong is told as it would be.
func TestPreviewOfATable(t *testing.T) {
	h := house.New(t, house.Options{})
	somebody(h, "root@example.com", "admin")
	now := table(t, h)
	next := now.Clone()
	next.Rows = append(next.Rows, row("seller product create any allow"), row("seller product eat any allow"))
	_, err := h.Preview.Foresee(t.Context(), administration.Proposal{Load: &next, Note: "a\x00"})
	f, ok := errors.AsType[*fault.Error](err)
	if at := fmt.Sprintf("/load/items/%d/action", len(next.Rows)-1); !ok || len(f.Fields) != 2 || f.Fields[0].Pointer != at || f.Fields[1].Pointer != "/load/note" {
		t.Errorf("a table with an unknown word: %v, want a fault at %s and one of the note", err, at)
	}
	for what, bad := range map[string]access.Table{
		"nothing":             {},
		"without admins":      {Rows: []access.Row{row("user product read any allow")}},
		"an inheritance more": {Rows: now.Rows, Inherits: append(links("admin < moderator"), now.Inherits...)},
	} {
		_, foreseen := h.Preview.Foresee(t.Context(), administration.Proposal{Load: &bad})
		_, err := h.Policies.Editor.Load(t.Context(), administration.By{}, bad)
		if err == nil || fmt.Sprint(foreseen) != fmt.Sprint(err) {
			t.Errorf("%s: the preview ends with %v, loading with %v", what, foreseen, err)
		}
	}
	p, err := h.Preview.Foresee(t.Context(), administration.Proposal{Load: &now})
	if err != nil || !p.Complete() || !p.Diff.IsZero() || p.Questions != 0 {
		t.Errorf("of the table that there is: %+v, %v, want nothing", p, err)
	}
	full := now.Clone()
	for i := range administration.MaxTableRows - len(now.Rows) - len(now.Inherits) {
		full.Rows = append(full.Rows, row(fmt.Sprintf("r%d product read any allow", i)))
	}
	if _, err := h.Policies.Editor.Load(t.Context(), administration.By{}, full); err != nil {
		t.Fatal(err)
	}
	_, err = h.Preview.Foresee(t.Context(), adding("x product read any allow"))
	if f, ok := errors.AsType[*fault.Error](err); !ok || len(f.Fields) != 1 || f.Fields[0].Pointer != "/add" {
		t.Errorf("of a row more than there may be: %v, want a fault at /add", err)
	}
	for _, none := range []administration.Proposal{{}, {Load: &now, Remove: &now.Rows[0].ID}} {
		if _, err := h.Preview.Foresee(t.Context(), none); !errors.Is(err, fault.Invalid) {
			t.Errorf("of %+v: %v, want Invalid", none, err)
		}
	}
}

// The answer is bounded, whatever there is; its totals are of all.
func TestAPreviewIsBounded(t *testing.T) {
	h := house.New(t, house.Options{})
	root := somebody(h, "root@example.com", "admin")
	for i := range administration.MaxEffects + 20 {
		u := somebody(h, fmt.Sprintf("u%d@example.com", i), fmt.Sprintf("r%d", i), "user")
		if i < 60 {
			offer(t, h, u.ID(), product.StatusDraft)
		}
	}
	p, err := h.Preview.Preview(t.Context(), root, adding("user product read any allow"))
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	for _, e := range p.Gains.Effects {
		if len(e.Examples) > 3 {
			t.Errorf("%d examples of one effect", len(e.Examples))
		}
		examples += len(e.Examples)
	}
	n := int64(administration.MaxEffects + 20)
	if len(p.Gains.Effects) != administration.MaxEffects || p.Gains.More != 20 || p.Gains.Products != 60*n-60 || examples != administration.MaxExamples || !p.Complete() {
		t.Errorf("%d effects, %d more, %d in all, %d examples, complete %t", len(p.Gains.Effects), p.Gains.More, p.Gains.Products, examples, p.Complete())
	}
	if first, last := p.Gains.Effects[0], p.Gains.Effects[len(p.Gains.Effects)-1]; first.Pairs != 60 || last.Pairs != 59 {
		t.Errorf("the greatest effect is of %d products, the last that is told of %d, want 60 and 59", first.Pairs, last.Pairs)
	}
}

// stuck is a census that some questions keep until there is no time left.
type stuck struct {
	ports.Census
	on    user.Role
	asked *int
}

func (s stuck) Reach(ctx context.Context, q ports.CensusQuery) (ports.Reach, error) {
	*s.asked++
	if q.Roles[0] == s.on {
		<-ctx.Done()
		return ports.Reach{}, fault.Outage(ctx.Err())
	}
	return s.Census.Reach(ctx, q)
}

// What there is no time for is told, and what was counted before holds. Who has
// hung up, and an outage, are no ends of time.
func TestPreviewsEnd(t *testing.T) {
	h := house.New(t, house.Options{})
	root := somebody(h, "root@example.com", "admin")
	for i, roles := range []string{"a", "a", "a", "b", "b", "c"} {
		offer(t, h, somebody(h, fmt.Sprintf("u%d@example.com", i), roles, "user").ID(), product.StatusDraft)
	}
	asked := 0
	h.Preview.Census = stuck{h.Preview.Census, roles("b")[0], &asked}
	h.Preview.Limit = 50 * time.Millisecond
	p, err := h.Preview.Preview(t.Context(), root, adding("user product read any allow"))
	if err != nil || p.Complete() || p.Questions != 3 || p.Missed != 2 || fmt.Sprint(told(p.Gains.Effects)) != "[3 users with the roles a + user: read product each 3/15]" || len(p.Gains.Effects[0].Examples) != 0 {
		t.Errorf("with the second of three stuck: %+v, %v", p, err)
	}
	if len(p.Unseen) != 2 || p.Unseen[0].Who() != "2 users with the roles b + user" || p.Unseen[1].Who() != "1 user with the roles c + user" || asked != 2 {
		t.Errorf("left out are %+v, of %d that were asked", p.Unseen, asked)
	}
	// A request that ends sooner than the limit ends the counting sooner still.
	h.Preview.Limit = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if p, err := h.Preview.Preview(ctx, root, adding("user product read any allow")); err != nil || p.Missed != 2 || ctx.Err() != nil {
		t.Errorf("in a request with an end: %+v, %v", p, err)
	}
	gone, hangUp := context.WithCancel(t.Context())
	h.Preview.Census = hungUp{h.Preview.Census, hangUp}
	if _, err := h.Preview.Preview(gone, root, adding("user product read any allow")); !errors.Is(err, fault.Unavailable) {
		t.Errorf("for who has hung up: %v, want Unavailable", err)
	}
}

// hungUp is a census during which the caller goes away.
type hungUp struct {
	ports.Census
	hangUp func()
}

func (c hungUp) Reach(ctx context.Context, q ports.CensusQuery) (ports.Reach, error) {
	c.hangUp()
	return c.Census.Reach(ctx, q)
}

// A condition of a team's own is counted as the others are.
func TestPreviewOfACondition(t *testing.T) {
	foreignDraft := access.NewCondition("foreign-draft", func(a access.Actor) access.Filter {
		return access.All{access.Not{Filter: access.OwnedBy(a.ID())}, access.InStatus(product.StatusDraft)}
	})
	h := house.New(t, house.Options{Conditions: []access.Condition{foreignDraft}})
	root := somebody(h, "root@example.com", "admin")
	ann, bob := somebody(h, "ann@example.com", "user"), somebody(h, "bob@example.com", "user")
	for _, owner := range []user.ID{ann.ID(), ann.ID(), bob.ID(), root.ID()} {
		offer(t, h, owner, product.StatusDraft)
	}
	offer(t, h, bob.ID(), product.StatusPublished)
	p, err := h.Preview.Preview(t.Context(), root, adding("user product update foreign-draft allow"))
	if err != nil || fmt.Sprint(told(p.Gains.Effects)) != "[2 users with the role user: update product each 2/5]" || len(p.Losses.Effects) != 0 {
		t.Errorf("a preview of a condition: %v and %v, %v", told(p.Gains.Effects), told(p.Losses.Effects), err)
	}
}

func TestPreviewOutages(t *testing.T) {
	with := func(words string) house.Outage {
		return house.Outage{Act: func(h *house.House) func() error {
			root := somebody(h, "root@example.com", "admin")
			offer(t, h, somebody(h, "ann@example.com", "user").ID(), product.StatusDraft)
			return func() error {
				p, err := h.Preview.Preview(t.Context(), root, adding(words))
				if err == nil && !p.Complete() {
					return errors.New("an outage has ended the time")
				}
				return err
			}
		}}
	}
	house.Walk(t, map[string]house.Outage{
		"of products":      with("anonymous product read any allow"),
		"of kinds":         with("user user read own allow"),
		"that are refused": {Act: with("admin policy read any deny").Act, Want: user.ErrLastAdmin},
		"of a rollback": {Act: func(h *house.House) func() error {
			root := somebody(h, "root@example.com", "admin")
			if _, err := h.Policies.Add(t.Context(), root, administration.By{}, row("x audit read any allow")); err != nil {
				t.Fatal(err)
			}
			version := int64(1)
			return func() error {
				_, err := h.Preview.Preview(t.Context(), root, administration.Proposal{Back: &version})
				return err
			}
		}},
		"of a row that is not there": {Act: func(h *house.House) func() error {
			root := somebody(h, "root@example.com", "admin")
			return func() error {
				_, err := h.Preview.Preview(t.Context(), root, administration.Proposal{Remove: &access.PolicyID{UUID: uuid.UUID{1}}})
				return err
			}
		}, Want: access.ErrPolicyUnknown},
	})
}
