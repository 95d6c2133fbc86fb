package access_test

import (
	"strings"
	"testing"

	"gatehouse/domain/access"
	"gatehouse/domain/user"
)

func TestReasons(t *testing.T) {
	row := func(c access.Condition, e access.Effect) access.Policy {
		return access.Policy{Role: user.RoleUser, Resource: access.KindProduct, Action: access.Update, Condition: c, Effect: e}
	}
	own := row(access.Own, access.Allow)
	for _, c := range []struct {
		d    access.Decision
		want string
	}{
		{access.Decision{}, "no row allows it to these roles"},
		{access.Decision{Allowed: true, By: own}, "by the row: user, product, update, own, allow"},
		{access.Decision{By: row(access.Unconditional, access.Deny)}, "by the row: user, product, update, any, deny"},
		{access.Decision{Nearest: []access.Policy{own, row(access.Published, access.Allow)}},
			"no row allows it; nearest: user, product, update, own, allow (not own); user, product, update, published, allow (not published)"},
		{access.Decision{Nearest: []access.Policy{own, own, own, own, own}},
			"no row allows it; nearest: " + strings.Repeat("user, product, update, own, allow (not own); ", 3) + "2 more"},
	} {
		if got := c.d.Reason(); got != c.want {
			t.Errorf("Reason(%+v)\n got  %s\n want %s", c.d, got, c.want)
		}
	}
	denial := &access.Denial{Action: access.Update, Resource: access.Any(access.KindProduct), Decision: access.Decision{By: own}}
	if got := denial.Error(); got != "update of product: by the row: user, product, update, own, allow" {
		t.Errorf("Error = %s", got)
	}
}
