package gormrepo

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var _ ports.Census = (*Products)(nil)

// A census is never taken user by user. For those who own nothing and with whom
// nothing is shared, a filter that names the user holds where it does with
// nobody in the place of the name ("elsewhere"): one count of products, times the
// users. Whoever does own or was let in differs from that on those products
// alone: they are as many pairs as there are products and grants.

// census is the parts of which its statements are made.
type census struct {
	people string // ids of the users who are meant
	roles  string // its value
	far    *condition
	near   []side
}

// side is pairs of a product and somebody who has to do with it: its owner, or
// one with whom it is shared.
type side struct {
	person string // a column
	from   string
	*condition
}

func newCensus(q ports.CensusQuery, lite bool) (*census, error) {
	roles, err := rolesText(q.Roles)
	if err != nil {
		return nil, err
	}
	if q.Filter == nil {
		q.Filter = access.Nothing
	}
	c := &census{
		roles: roles, people: "SELECT users.id FROM users WHERE users.status = 'active' AND users." + sameRoles(lite),
		far: &condition{lite: lite, self: q.Self, own: "FALSE"},
	}
	if err := c.far.filter(q.Filter); err != nil {
		return nil, err
	}
	if c.far.owns {
		c.near = append(c.near, side{"products.owner_id", "products", &condition{lite: lite, self: q.Self, own: "TRUE"}})
		if c.far.granted { // to an owner, which nobody gives
			c.near[0].from += " LEFT JOIN product_grants g ON g.product_id = products.id AND g.user_id = products.owner_id"
			c.near[0].role = "coalesce(g.role, '')"
		}
	}
	if c.far.granted {
		from := "product_grants g JOIN products ON products.id = g.product_id"
		if c.far.owns { // those are above
			from += " AND g.user_id <> products.owner_id"
		}
		c.near = append(c.near, side{"g.user_id", from, &condition{lite: lite, self: q.Self, own: "FALSE", role: "g.role"}})
	}
	for _, s := range c.near {
		if err := s.filter(q.Filter); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Reach counts with one statement.
func (s *Products) Reach(ctx context.Context, q ports.CensusQuery) (r ports.Reach, err error) {
	c, err := newCensus(q, s.db.lite)
	if err != nil {
		return r, s.db.failed("count what users reach", err, nil)
	}
	text, args := c.reach()
	var users, elsewhere, related, more, reaching int64
	if err := s.db.one(ctx, []any{&users, &elsewhere, &related, &more, &reaching}, text, args...); err != nil {
		return r, s.db.failed("count what users reach", err, nil)
	}
	r = ports.Reach{Pairs: users*elsewhere + more, Users: reaching}
	if elsewhere > 0 {
		r.Users += users - related
	}
	return r, nil
}

// reach gives how many users there are; on how many products the filter holds
// for those who have nothing to do with any; how many users have something to do
// with one; how many pairs more there are by that than if they had not; and how
// many of them reach anything.
func (c *census) reach() (string, []any) {
	text := "SELECT (SELECT count(*) FROM (" + c.people + ") people), elsewhere.n, "
	elsewhere := " FROM (SELECT count(*) AS n FROM products WHERE " + c.far.text.String() + ") elsewhere"
	args := append([]any{c.roles}, c.far.args...)
	if len(c.near) == 0 {
		return text + "0, 0, 0" + elsewhere, args
	}
	var sides []string
	for _, s := range c.near {
		sides = append(sides, "SELECT "+s.person+" AS person, CASE WHEN "+s.text.String()+" THEN 1 ELSE 0 END - CASE WHEN "+c.far.text.String()+
			" THEN 1 ELSE 0 END AS more FROM "+s.from+" WHERE "+s.person+" IN ("+c.people+")")
		args = append(append(append(args, s.args...), c.far.args...), c.roles)
	}
	return text + "count(persons.person), CAST(coalesce(sum(persons.more), 0) AS bigint)," +
		" CAST(coalesce(sum(CASE WHEN persons.more + elsewhere.n > 0 THEN 1 ELSE 0 END), 0) AS bigint)" + elsewhere +
		" LEFT JOIN (SELECT person, CAST(sum(more) AS bigint) AS more FROM (" + strings.Join(sides, " UNION ALL ") +
		") sides GROUP BY person) persons ON TRUE GROUP BY elsewhere.n", args
}

// Pairs looks among those who have something to do with a product first.
func (s *Products) Pairs(ctx context.Context, q ports.CensusQuery, limit int) ([]ports.Pair, error) {
	if limit <= 0 {
		return nil, nil
	}
	c, err := newCensus(q, s.db.lite)
	if err != nil {
		return nil, s.db.failed("list what users reach", err, nil)
	}
	var pairs []ports.Pair
	for _, ask := range []func() (string, []any){c.nearPairs, c.farPairs} {
		text, args := ask()
		if text == "" || len(pairs) == limit {
			continue
		}
		text = "SELECT p.person, (SELECT u.email FROM users u WHERE u.id = p.person), p.id, p.name FROM (" + text + ") p LIMIT " + strconv.Itoa(limit-len(pairs))
		more, err := many(ctx, s.db, scanPair, text, args...)
		if err != nil {
			return nil, s.db.failed("list what users reach", err, nil)
		}
		pairs = append(pairs, more...)
	}
	return pairs, nil
}

func (c *census) nearPairs() (string, []any) {
	var sides []string
	var args []any
	for _, s := range c.near {
		sides = append(sides, "SELECT "+s.person+" AS person, products.id, products.name FROM "+s.from+" WHERE ("+s.text.String()+") AND "+s.person+" IN ("+c.people+")")
		args = append(append(args, s.args...), c.roles)
	}
	return strings.Join(sides, " UNION ALL "), args
}

func (c *census) farPairs() (string, []any) {
	text := "SELECT people.id AS person, products.id, products.name FROM products CROSS JOIN (" + c.people + ") people WHERE (" + c.far.text.String() + ")"
	if c.far.owns {
		text += " AND products.owner_id <> people.id"
	}
	if c.far.granted {
		text += " AND NOT EXISTS (SELECT 1 FROM product_grants g WHERE g.product_id = products.id AND g.user_id = people.id)"
	}
	return text, append([]any{c.roles}, c.far.args...)
}

func scanPair(from scanner) (p ports.Pair, err error) {
	var person, id string
	if err := from.Scan(&person, &p.Email, &id, &p.Name); err != nil {
		return p, err
	}
	var ok, known bool
	p.User, ok = user.ParseID(person)
	p.Product, known = product.ParseID(id)
	if !ok || !known {
		return p, fmt.Errorf("the ids %q and %q of a user and a product cannot be read", person, id)
	}
	return p, nil
}

// sameRoles compares the column roles with a value of rolesText.
func sameRoles(lite bool) string {
	if lite { // where it is the text that newUserRow has made
		return "roles = ?"
	}
	return "roles = CAST(? AS jsonb)"
}

func rolesText(roles []user.Role) (string, error) {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = r.String()
	}
	text, err := json.Marshal(names)
	return string(text), err
}
