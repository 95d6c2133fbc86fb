package gormrepo

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// A condition is the text of a WHERE clause with its values. The text is made
// of constants of this package alone; whatever comes from outside is a value.
type condition struct {
	lite  bool // it is for SQLite
	users bool // it is for the rows of users, and not for those of products
	// self is an id that stands for whoever the row is looked at for (census.go):
	// whether they own the product, as text, and in which role it is shared with
	// them, where it can be.
	self          user.ID
	own, role     string
	owns, granted bool // self was named, as an owner and as whom something is shared with
	text          strings.Builder
	args          []any
}

// add writes a constant text with its values.
func (c *condition) add(text string, args ...any) {
	c.text.WriteString(text)
	c.args = append(c.args, args...)
}

// and begins the next part, all of which must hold.
func (c *condition) and(text string, args ...any) {
	c.add(" AND ")
	c.add(text, args...)
}

// filter writes what access.Filter.Holds decides, for the rows of products or of
// users. No
// column of theirs is ever NULL, so a NOT is true exactly where its part is not.
func (c *condition) filter(f access.Filter) error {
	switch f := f.(type) {
	case access.All:
		return c.join(f, " AND ", "TRUE")
	case access.Either:
		return c.either(f)
	case access.Not:
		c.add("NOT (")
		err := c.filter(f.Filter)
		c.add(")")
		return err
	case access.Compare:
		c.compare(f)
		return nil
	case access.Granted:
		c.shared(f)
		return nil
	}
	// Not even "nothing": inside a Not that would be everything.
	return fmt.Errorf("a filter that cannot be translated: %T", f)
}

// either writes an OR. SQLite would answer one of two indexed columns from both
// indexes and then sort all that it found, a whole table for one page; as the
// operand of IS TRUE it is looked at row by row, in the order of the list.
func (c *condition) either(parts access.Either) error {
	if !c.lite || len(parts) < 2 {
		return c.join(parts, " OR ", "FALSE")
	}
	c.add("(")
	err := c.join(parts, " OR ", "FALSE")
	c.add(") IS TRUE")
	return err
}

func (c *condition) join(parts []access.Filter, word, empty string) error {
	if len(parts) == 0 {
		c.add(empty)
	}
	for i, part := range parts {
		if i > 0 {
			c.add(word)
		}
		c.add("(")
		if err := c.filter(part); err != nil {
			return err
		}
		c.add(")")
	}
	return nil
}

// compare writes one comparison; one that the domain holds for nobody is FALSE.
func (c *condition) compare(f access.Compare) {
	relation, known := relations[f.Relation]
	switch {
	case !known:
		c.add("FALSE")
	case f.Field == access.FieldOwner && f.Relation == access.Equal && f.ID != (user.ID{}):
		c.owned(f.ID)
	case c.users: // has none of what products have
		c.add("FALSE")
	case f.Field == access.FieldStatus:
		c.add("status"+relation, f.Text)
	case f.Field == access.FieldCurrency:
		c.add("price_currency"+relation, f.Text)
	case f.Field == access.FieldAmount:
		c.add("price_amount"+relation, f.Number)
	case f.Field == access.FieldStock:
		c.add("stock"+relation, f.Number)
	default:
		c.add("FALSE")
	}
}

// owned writes whose a row is.
func (c *condition) owned(by user.ID) {
	if by != c.self {
		c.add(c.owner()+" = ?", by.String())
		return
	}
	c.owns = true
	c.add(c.own)
}

// owner is the column that says whose a row is.
func (c *condition) owner() string {
	if c.users {
		return "id"
	}
	return "owner_id"
}

// shared writes that the product is shared with the user in one of the roles;
// nothing is shared with nobody, or in no role, and no user ever is.
func (c *condition) shared(f access.Granted) {
	if c.users || f.To.IsZero() || len(f.Roles) == 0 {
		c.add("FALSE")
		return
	}
	in := " IN (?" + strings.Repeat(", ?", len(f.Roles)-1) + ")"
	var roles []any
	for _, r := range f.Roles {
		roles = append(roles, r.String())
	}
	if f.To != c.self {
		c.add("EXISTS (SELECT 1 FROM product_grants g WHERE g.product_id = products.id AND g.user_id = ? AND g.role"+in+")",
			append([]any{f.To.String()}, roles...)...)
		return
	}
	c.granted = true
	if c.role == "" {
		c.add("FALSE")
		return
	}
	c.add(c.role+in, roles...)
}

var relations = map[access.Relation]string{
	access.Equal:   " = ?",
	access.AtMost:  " <= ?",
	access.AtLeast: " >= ?",
}

// contains writes that the folded name or description contains a folded text,
// literally, for rows that are looked at one by one.
func (c *condition) contains(text string) {
	position := "strpos"
	if c.lite {
		position = "instr"
	}
	c.add("("+position+"(name_fold, ?) > 0 OR "+position+"(description_fold, ?) > 0)", text, text)
}

// candidates writes the products that a query can mean. For a text on PostgreSQL
// these are what products_search_idx leads to (migration 0015): those that have the
// pieces of three characters that the text has, or of two if it has no more, or the
// one. A dozen is enough, and more would only be read: the highest, since blanks and
// digits come before letters, a and e before x, and Latin before what is seldom met
// beside it. OFFSET 0 keeps PostgreSQL from seeking a better way to them: it cannot
// know how many there are, and would make the grams of each row on that way.
func (c *condition) candidates(q ports.ProductQuery) {
	text := product.Fold(q.Text)
	if c.lite || text == "" {
		c.add("products")
		return
	}
	c.add("(SELECT * FROM products WHERE (search_grams(name_fold) || search_grams(description_fold)) @> "+
		"ARRAY(SELECT DISTINCT g FROM unnest(search_grams(?)) AS g WHERE g >= ? ORDER BY g DESC LIMIT 12) OFFSET 0) products", text, leastGram(text))
}

// exact is the length up to which a text stands in all its candidates, so that
// they need not be looked at: a single gram. It is in bytes, which is what a
// character is where a database has no encoding (SQL_ASCII).
const exact = 3

// leastGram is the least number of a gram of as many characters as the text has,
// three at most.
func leastGram(text string) int64 {
	switch utf8.RuneCountInString(text) {
	case 1:
		return 0
	case 2:
		return 1 << 21
	}
	return 1 << 42
}

var literally = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
