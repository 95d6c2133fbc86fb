package gormrepo

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"

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
	lite      bool
	people    string // ids of the users who are meant
	roles     string // its value
	near, far *condition
	related   string // pairs of product and person for which the two may differ; "" where there are none
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
		lite: lite, roles: roles, people: "SELECT users.id FROM users WHERE users.status = 'active' AND users." + sameRoles(lite),
		near: &condition{lite: lite, self: q.Self, person: "related.person"},
		far:  &condition{lite: lite, self: q.Self},
	}
	for _, one := range []*condition{c.near, c.far} {
		if err := one.filter(q.Filter); err != nil {
			return nil, err
		}
	}
	if q.Self.IsZero() {
		return c, nil
	}
	const (
		owners   = "SELECT p.id AS product, p.owner_id AS person FROM products p"
		grantees = "SELECT g.product_id AS product, g.user_id AS person FROM product_grants g"
	)
	switch {
	case c.near.owns && c.near.granted:
		c.related = owners + " UNION ALL " + grantees + " JOIN products p ON p.id = g.product_id WHERE g.user_id <> p.owner_id"
	case c.near.owns:
		c.related = owners
	case c.near.granted:
		c.related = grantees
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
	var users, elsewhere, related, more, gained int64
	if err := s.db.one(ctx, []any{&users, &elsewhere, &related, &more, &gained}, text, args...); err != nil {
		return r, s.db.failed("count what users reach", err, nil)
	}
	r.Pairs = users*elsewhere + more
	r.Users = gained
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
	if c.related == "" {
		return text + "0, 0, 0" + elsewhere, args
	}
	text += "count(persons.person), CAST(coalesce(sum(persons.more), 0) AS bigint)," +
		" CAST(coalesce(sum(CASE WHEN persons.more + elsewhere.n > 0 THEN 1 ELSE 0 END), 0) AS bigint)" + elsewhere +
		" LEFT JOIN (SELECT related.person, CAST(sum(CASE WHEN " + c.near.text.String() + " THEN 1 ELSE 0 END - CASE WHEN " + c.far.text.String() +
		" THEN 1 ELSE 0 END) AS bigint) AS more FROM products JOIN (" + c.related + ") related ON related.product = products.id" +
		" WHERE related.person IN (" + c.people + ") GROUP BY related.person) persons ON TRUE GROUP BY elsewhere.n"
	return text, append(append(append(args, c.near.args...), c.far.args...), c.roles)
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
	for _, ask := range []func(int) (string, []any){c.nearPairs, c.farPairs} {
		text, args := ask(limit - len(pairs))
		if text == "" || len(pairs) == limit {
			continue
		}
		more, err := many(ctx, s.db, scanPair, text, args...)
		if err != nil {
			return nil, s.db.failed("list what users reach", err, nil)
		}
		pairs = append(pairs, more...)
	}
	return pairs, nil
}

const selectPair = "SELECT related.person, (SELECT u.email FROM users u WHERE u.id = related.person), products.id, products.name FROM products"

func (c *census) nearPairs(limit int) (string, []any) {
	if c.related == "" {
		return "", nil
	}
	return selectPair + " JOIN (" + c.related + ") related ON related.product = products.id WHERE related.person IN (" + c.people + ") AND (" +
		c.near.text.String() + ") LIMIT " + strconv.Itoa(limit), append([]any{c.roles}, c.near.args...)
}

func (c *census) farPairs(limit int) (string, []any) {
	text := selectPair + " CROSS JOIN (SELECT people.id AS person FROM (" + c.people + ") people) related WHERE (" + c.far.text.String() + ")"
	args := append([]any{c.roles}, c.far.args...)
	if c.near.owns {
		text += " AND products.owner_id <> related.person"
	}
	if c.near.granted {
		text += " AND NOT EXISTS (SELECT 1 FROM product_grants g WHERE g.product_id = products.id AND g.user_id = related.person)"
	}
	return text + " LIMIT " + strconv.Itoa(limit), args
}

func scanPair(rows *sql.Rows) (p ports.Pair, err error) {
	var person, id string
	if err := rows.Scan(&person, &p.Email, &id, &p.Name); err != nil {
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
