package product_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

var (
	noon  = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	owner = user.ID{UUID: uuid.UUID{1}}
	lamp  = product.Draft{Name: "Lamp", Description: "of brass", Amount: 1290000, Currency: "KRW", Stock: 3, Status: "published"}
)

func faults(err error) string {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return fmt.Sprint(err)
	}
	var all []string
	for _, f := range e.Fields {
		all = append(all, f.Pointer+" "+f.Code)
	}
	return strings.Join(all, ", ")
}

func TestNew(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*product.Draft)
		want   string
	}{
		"good":             {func(*product.Draft) {}, "<nil>"},
		"least":            {func(d *product.Draft) { *d = product.Draft{Name: "x", Currency: "USD"} }, "<nil>"},
		"most":             {func(d *product.Draft) { d.Name = strings.Repeat("가", 200); d.Amount = 1e12; d.Stock = 1e9 }, "<nil>"},
		"longest text":     {func(d *product.Draft) { d.Description = strings.Repeat("가", 5000) }, "<nil>"},
		"no name":          {func(d *product.Draft) { d.Name = "  " }, "/name too_short"},
		"long name":        {func(d *product.Draft) { d.Name = strings.Repeat("x", 201) }, "/name too_long"},
		"NUL":              {func(d *product.Draft) { d.Name = "a\x00" }, "/name invalid_characters"},
		"no UTF-8":         {func(d *product.Draft) { d.Description = "\xff" }, "/description invalid_characters"},
		"long text":        {func(d *product.Draft) { d.Description = strings.Repeat("x", 5001) }, "/description too_long"},
		"negative":         {func(d *product.Draft) { d.Amount = -1 }, "/price/amount out_of_range"},
		"too dear":         {func(d *product.Draft) { d.Amount = 1e12 + 1 }, "/price/amount out_of_range"},
		"no such currency": {func(d *product.Draft) { d.Currency = "XXX" }, "/price/currency invalid_value"},
		"small letters":    {func(d *product.Draft) { d.Currency = "krw" }, "/price/currency invalid_value"},
		"less than none":   {func(d *product.Draft) { d.Stock = -1 }, "/stock out_of_range"},
		"too many":         {func(d *product.Draft) { d.Stock = 1e9 + 1 }, "/stock out_of_range"},
		"no such status":   {func(d *product.Draft) { d.Status = "Published" }, "/status invalid_value"},
		"all at once": {func(d *product.Draft) { *d = product.Draft{Amount: -1, Stock: -1, Status: "?"} },
			"/name too_short, /price/amount out_of_range, /price/currency invalid_value, /stock out_of_range, /status invalid_value"},
	} {
		d := lamp
		c.change(&d)
		p, err := product.New(product.ID{}, owner, d, noon)
		if got := faults(err); got != c.want {
			t.Errorf("%s: New fails with %s, want %s", name, got, c.want)
		}
		if err != nil && !reflect.DeepEqual(p, product.Product{}) {
			t.Errorf("%s: New failed and yet gave a product", name)
		}
	}
	p, err := product.New(product.ID{}, owner, product.Draft{Name: " Lamp ", Currency: "USD"}, noon)
	if err != nil || p.Status() != product.StatusDraft || p.Version() != 1 || p.OwnerID() != owner || p.Name() != "Lamp" {
		t.Errorf("New = %+v, %v, want a draft of version 1", p, err)
	}
}

func TestApply(t *testing.T) {
	p, err := product.New(product.ID{}, owner, lamp, noon)
	if err != nil {
		t.Fatal(err)
	}
	before, later := p, noon.Add(time.Hour)
	bad, gone := int64(-1), "gone"
	if got := faults(p.Apply(product.Change{Amount: &bad, Status: &gone}, later)); got != "/price/amount out_of_range, /status invalid_value" {
		t.Errorf("Apply fails with %s", got)
	}
	if !reflect.DeepEqual(p, before) {
		t.Error("a refused change was kept")
	}
	if err := p.Apply(product.Change{}, later); err != nil || !reflect.DeepEqual(p, before) {
		t.Errorf("a change of nothing: %v, %+v", err, p)
	}
	amount := int64(5)
	if err := p.Apply(product.Change{Amount: &amount}, later); err != nil {
		t.Fatal(err)
	}
	want := before.State()
	want.Price, want.Version, want.UpdatedAt = product.RestorePrice(5, "KRW"), 2, later
	if !reflect.DeepEqual(p.State(), want) {
		t.Errorf("Apply gave %+v, want %+v", p.State(), want)
	}
}

func TestCurrenciesAreSorted(t *testing.T) {
	for _, code := range []string{"AED", "EUR", "JPY", "KRW", "USD", "ZWG"} {
		if _, ok := product.ParseCurrency(code); !ok {
			t.Errorf("ParseCurrency(%s) knows it not", code)
		}
	}
	for _, code := range []string{"", "XXX", "XAU", "usd", "US", "KRW "} {
		if _, ok := product.ParseCurrency(code); ok {
			t.Errorf("ParseCurrency(%q) took it", code)
		}
	}
}

func TestFold(t *testing.T) {
	for _, same := range [][2]string{
		{"LAMP", "lamp"}, {"Straße", "STRASSE"}, {"\u1112\u1161\u11ab글", "한글"}, {"CAFÉ", "cafe\u0301"}, {"ΣΊΣΥΦΟΣ", "σίσυφος"},
	} {
		if product.Fold(same[0]) != product.Fold(same[1]) {
			t.Errorf("Fold(%q) = %q, Fold(%q) = %q", same[0], product.Fold(same[0]), same[1], product.Fold(same[1]))
		}
	}
	if product.Fold("%_\\'") != "%_\\'" {
		t.Error("Fold changes plain characters")
	}
}

// Every order is total: it sorts any products the same way however they come.
func TestSortsAreTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sort := rapid.SampledFrom(product.Sorts()).Draw(t, "sort")
		var all []product.Position
		for i := range rapid.IntRange(2, 20).Draw(t, "n") {
			all = append(all, product.Position{
				ID:        product.ID{UUID: uuid.UUID{byte(i)}},
				CreatedAt: noon.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "at"))),
				Name:      rapid.SampledFrom([]string{"a", "B", "가", "é"}).Draw(t, "name"),
				Amount:    rapid.Int64Range(0, 3).Draw(t, "amount"),
			})
		}
		shuffled := rapid.Permutation(all).Draw(t, "shuffled")
		slices.SortFunc(all, sort.Compare)
		slices.SortFunc(shuffled, sort.Compare)
		if !slices.Equal(all, shuffled) {
			t.Fatalf("%s orders %v and %v differently", sort, all, shuffled)
		}
		for i := 1; i < len(all); i++ {
			if sort.Compare(all[i-1], all[i]) >= 0 {
				t.Fatalf("%s: two positions are equal", sort)
			}
		}
	})
	for _, s := range product.Sorts() {
		if got, ok := product.ParseSort(s.String()); !ok || got != s {
			t.Errorf("ParseSort(%s) = %v, %v", s, got, ok)
		}
	}
}

func TestRulesTellAllTheyRefuse(t *testing.T) {
	p, err := product.New(product.ID{}, owner, lamp, noon)
	if err != nil {
		t.Fatal(err)
	}
	no := func(pointer string) product.Rule {
		return func(tr product.Transition) error {
			if tr.After == nil || tr.ByRole(user.RoleAdmin) {
				return nil
			}
			return product.Refuse(pointer, "not_here", "")
		}
	}
	rules := []product.Rule{no("/name"), no("/stock")}
	if got := faults(product.Check(rules, product.Transition{After: &p})); got != "/name not_here, /stock not_here" {
		t.Errorf("Check = %s", got)
	}
	if err := product.Check(rules, product.Transition{After: &p, Roles: []user.Role{user.RoleAdmin}}); err != nil {
		t.Errorf("Check for an admin = %v, want nil", err)
	}
	if err := product.Check(nil, product.Transition{After: &p}); err != nil {
		t.Errorf("Check of no rules = %v, want nil", err)
	}
}
