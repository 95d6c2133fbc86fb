package gormrepo

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"

	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

var _ ports.ProductRepository = (*Products)(nil)

// Products keeps the products.
type Products struct{ db *DB }

// productRow is a row of products.
type productRow struct {
	ID              string `gorm:"primaryKey"`
	OwnerID         string
	Name            string
	Description     string
	NameFold        string // what is searched
	DescriptionFold string
	PriceAmount     int64
	PriceCurrency   string
	Stock           int64
	Status          string
	Version         int64
	CreatedAt       time.Time `gorm:"autoCreateTime:false"`
	UpdatedAt       time.Time `gorm:"autoUpdateTime:false"`
	Sharing         int64     // raised with every change of the grants

	grants sql.NullString // JSON, see grants.go
}

// TableName is for GORM.
func (productRow) TableName() string { return "products" }

// selectOnPostgres and selectOnSQLite read the columns in the order of
// productRow.fields. The folded texts are not among them: nobody reads those.
const (
	selectOnPostgres = selectColumns + grantsOnPostgres + fromProducts
	selectOnSQLite   = selectColumns + grantsOnSQLite + fromProducts

	selectColumns = "SELECT id, owner_id, name, description, price_amount, price_currency, stock, status, version, created_at, updated_at, sharing, "
	fromProducts  = " FROM products WHERE "
)

func selectProduct(lite bool) string {
	if lite {
		return selectOnSQLite
	}
	return selectOnPostgres
}

func (r *productRow) fields() []any {
	return []any{
		&r.ID, &r.OwnerID, &r.Name, &r.Description, &r.PriceAmount, &r.PriceCurrency,
		&r.Stock, &r.Status, &r.Version, &r.CreatedAt, &r.UpdatedAt, &r.Sharing, &r.grants,
	}
}

// newProductRow writes a product down.
func newProductRow(p product.Product) productRow {
	s := p.State()
	return productRow{
		ID: s.ID.String(), OwnerID: s.OwnerID.String(), Name: s.Name, Description: s.Description,
		NameFold: product.Fold(s.Name), DescriptionFold: product.Fold(s.Description),
		PriceAmount: s.Price.Amount(), PriceCurrency: s.Price.Currency().String(), Stock: s.Stock,
		Status: s.Status.String(), Version: s.Version, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}
}

// product reads the row; words that are unknown were not written by us.
func (r *productRow) product() (product.Product, error) {
	id, ok := product.ParseID(r.ID)
	owner, known := user.ParseID(r.OwnerID)
	status, valid := product.ParseStatus(r.Status)
	if !ok || !known || !valid {
		return product.Product{}, fmt.Errorf("the row of product %q cannot be read", r.ID)
	}
	grants, err := readGrants(r.grants)
	if err != nil {
		return product.Product{}, fmt.Errorf("the row of product %q: %w", r.ID, err)
	}
	return product.Restore(product.State{
		ID: id, OwnerID: owner, Name: r.Name, Description: r.Description,
		Price: product.RestorePrice(r.PriceAmount, r.PriceCurrency), Stock: r.Stock, Status: status,
		Version: r.Version, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Grants: grants,
	}), nil
}

// Add stores a new product.
func (s *Products) Add(ctx context.Context, p product.Product, with ...*ports.Along) error {
	row, bare := newProductRow(p), p.Bare()
	grants := grantStatements(bare, p)
	act := step{op: "add product", owner: p.OwnerID(), write: func(tx *gorm.DB) (bool, error) {
		if err := tx.Create(&row).Error; err != nil {
			return false, err
		}
		return true, runAll(tx, grants)
	}}
	if len(grants) > 0 {
		act.before = func(tx *gorm.DB) error { return s.db.lock(tx, concerned(bare, p)) }
	}
	_, err := s.db.do(ctx, act, with)
	return err
}

// Find returns the product.
func (s *Products) Find(ctx context.Context, id product.ID) (product.Product, error) {
	_, p, err := s.find(ctx, id)
	return p, err
}

// find reads a product with its row, unless that was done when the session was
// resumed.
func (s *Products) find(ctx context.Context, id product.ID) (row productRow, p product.Product, err error) {
	if p, own, ok, err := ports.TakeAhead(ctx, id); ok {
		if row, ours := own.(productRow); ours {
			return row, p, err
		}
	}
	if s.db.versions != nil {
		v, err := s.db.versions.Load(ctx, id)
		if err == nil {
			err = v.product.Err
		}
		row, _ = v.product.Own.(productRow)
		return row, v.product.Product, s.db.failed("find product", err, nil)
	}
	if err := s.db.one(ctx, row.fields(), selectProduct(s.db.lite)+"id = ?", id.String()); err != nil {
		return row, p, s.db.failed("find product", err, product.ErrUnknown)
	}
	p, err = row.product()
	return row, p, s.db.failed("find product", err, nil)
}

// List returns a page of products, with one statement.
func (s *Products) List(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
	if q.Limit <= 0 || impossible(q.Text) {
		return nil, nil
	}
	query, args, err := s.db.listStatement(q)
	if err != nil {
		return nil, s.db.failed("list products", err, nil)
	}
	if q.Text != "" {
		leave, err := s.db.searching(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	all, err := many(ctx, s.db, scanProduct, query, args...)
	return all, s.db.failed("list products", err, nil)
}

// Count returns how many products the pages of the query hold, with one
// statement.
func (s *Products) Count(ctx context.Context, q ports.ProductQuery) (n int, err error) {
	if impossible(q.Text) {
		return 0, nil
	}
	c := condition{lite: s.db.lite}
	c.add("SELECT count(*) FROM ")
	c.candidates(q)
	c.add(" WHERE ")
	if err := c.meant(q); err != nil {
		return 0, s.db.failed("count products", err, nil)
	}
	leave, err := s.db.searching(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	err = s.db.one(ctx, []any{&n}, c.text.String(), c.args...)
	return n, s.db.failed("count products", err, nil)
}

// impossible reports whether a text can stand in no product: none that is stored
// holds NUL or is no UTF-8, and PostgreSQL refuses to be asked.
func impossible(text string) bool { return strings.ContainsRune(text, 0) || !utf8.ValidString(text) }

func scanProduct(from scanner) (product.Product, error) {
	var row productRow
	if err := from.Scan(row.fields()...); err != nil {
		return product.Product{}, err
	}
	return row.product()
}

// listStatement is the statement for a page, with its values.
func (d *DB) listStatement(q ports.ProductQuery) (string, []any, error) {
	if q.Sort == (product.Sort{}) {
		q.Sort = product.NewestFirst
	}
	c := condition{lite: d.lite}
	var err error
	if q.Text == "" || d.lite {
		err = c.list(q)
	} else {
		err = c.search(q, d.near)
	}
	return c.text.String(), c.args, err
}

// list writes the statement for a page.
func (c *condition) list(q ports.ProductQuery) error {
	c.add(selectProduct(c.lite))
	if err := c.meant(q); err != nil {
		return err
	}
	return c.page(q, q.Limit)
}

// near is how many products a search looks at in the order of the list before it
// goes by the index: two milliseconds' worth. A page of twenty is found so if one in
// fifty has the text, and one that fewer have is soon found by the index.
const near = 1000

// search writes the statement for a page of a search on PostgreSQL. A text that
// stands in many products soon fills a page in the order of the list, where the
// index would lead to too many; one that stands in few is found by the index,
// where a walk would end at the end of the table. Which of them it is nobody knows
// before, PostgreSQL least: so a walk of some rows comes first, and only if that
// neither fills the page nor reaches the end of the list, all that the index leads
// to is put in order. One statement, so that both see the same products.
func (c *condition) search(q ports.ProductQuery, near int) error {
	column, _, err := sortColumn(q.Sort, q.After)
	if err != nil {
		return err
	}
	least, most := strconv.Itoa(q.Limit), strconv.Itoa(near)
	c.add("WITH near AS MATERIALIZED (SELECT " + column + ", id, (")
	if err := c.visible(q.Visible); err != nil {
		return err
	}
	c.add(" AND ")
	c.contains(product.Fold(q.Text))
	c.add(") AS meant FROM products WHERE TRUE")
	c.narrowed(q)
	if err := c.page(q, near); err != nil {
		return err
	}
	c.add("), enough AS MATERIALIZED (SELECT count(*) FILTER (WHERE meant) >= " + least + " OR count(*) < " + most + " AS yes FROM near) ")
	c.add(selectOnPostgres + "id IN ((SELECT id FROM near WHERE meant AND (SELECT yes FROM enough)" + order(column, q.Sort, q.Limit))
	c.add(") UNION ALL (SELECT id FROM ")
	c.candidates(q)
	c.add(" WHERE NOT (SELECT yes FROM enough) AND ")
	if err := c.meant(q); err != nil {
		return err
	}
	if err := c.page(q, q.Limit); err != nil {
		return err
	}
	c.add("))" + order(column, q.Sort, q.Limit))
	return nil
}

// meant writes which of the candidates a query means, on whatever page.
func (c *condition) meant(q ports.ProductQuery) error {
	if err := c.visible(q.Visible); err != nil {
		return err
	}
	c.narrowed(q)
	if text := product.Fold(q.Text); text != "" && (c.lite || len(text) > exact) {
		c.add(" AND ")
		c.contains(text)
	}
	return nil
}

// visible writes which products may be seen at all.
func (c *condition) visible(f access.Filter) error {
	if f == nil {
		f = access.Nothing
	}
	c.add("(")
	err := c.filter(f)
	c.add(")")
	return err
}

// narrowed writes what is asked besides a text, as a further part.
func (c *condition) narrowed(q ports.ProductQuery) {
	if q.Owner != (user.ID{}) {
		c.and("owner_id = ?", q.Owner.String())
	}
	if q.Status != (product.Status{}) {
		c.and("status = ?", q.Status.String())
	}
}

// page writes, as a further part, where in the order to begin, and then the order:
// after a position, compared as a row, so that an index on the two columns leads
// straight to it.
func (c *condition) page(q ports.ProductQuery, limit int) error {
	column, value, err := sortColumn(q.Sort, q.After)
	if err != nil {
		return err
	}
	relation := " > "
	if q.Sort.Descending() {
		relation = " < "
	}
	if q.After != (product.Position{}) {
		c.and("("+column+", id)"+relation+"(?, ?)", value, q.After.ID.String())
	}
	c.add(order(column, q.Sort, limit))
	return nil
}

// order is the end of a statement that gives the first rows in an order. The
// limit is part of the text: PostgreSQL plans for a parameter as if it were a
// tenth of the table.
func order(column string, sort product.Sort, limit int) string {
	direction := " ASC"
	if sort.Descending() {
		direction = " DESC"
	}
	return " ORDER BY " + column + direction + ", id" + direction + " LIMIT " + strconv.Itoa(limit)
}

// sortColumn is the closed list of what lists are ordered by, with the
// position's value for it.
func sortColumn(sort product.Sort, after product.Position) (column string, value any, err error) {
	switch sort.Key() {
	case product.NewestFirst.Key():
		return "created_at", after.CreatedAt.UTC(), nil
	case product.NameUp.Key():
		return "name", after.Name, nil
	case product.CheapestFirst.Key():
		return "price_amount", after.Amount, nil
	}
	return "", nil, fmt.Errorf("no order is known by the name of %q", sort)
}

// Update changes the product in one step.
func (s *Products) Update(ctx context.Context, id product.ID, change func(*product.Product) error, with ...*ports.Along) (updated product.Product, err error) {
	err = contend(ctx, func() (done bool, err error) {
		updated, done, err = s.update(ctx, id, change, with)
		return done, err
	})
	if err != nil {
		return product.Product{}, err
	}
	return updated, nil
}

// update tries once; it is not done if the product, or who it is shared with,
// was changed meanwhile.
func (s *Products) update(ctx context.Context, id product.ID, change func(*product.Product) error, with []*ports.Along) (product.Product, bool, error) {
	row, before, err := s.find(ctx, id)
	if err != nil {
		return product.Product{}, false, err
	}
	next := before
	if err := change(&next); err != nil {
		return product.Product{}, false, err
	}
	after := before.Became(next)
	act := s.step("update product", row, before, after, with)
	switch {
	case after.Version() != before.Version() || !after.SameGrants(before):
		own, grants := row.becomes(before, after)
		act.only = &own // unless something goes along
		act.write = func(tx *gorm.DB) (bool, error) {
			result := tx.Exec(own.text, own.args...)
			if result.Error != nil || result.RowsAffected != 1 {
				return false, result.Error
			}
			return true, runAll(tx, grants)
		}
	case !slices.ContainsFunc(with, something):
		return before, true, nil
	}
	done, err := s.db.do(ctx, act, with)
	return after, done, err
}

// becomes gives the statements that write a product, of which this is the row, in
// the place of what it was. Each of the two, what it is and whom it is shared
// with, is written only if the other is as it was read. The texts, which are
// most of a row, are written if they were changed.
func (r *productRow) becomes(before, after product.Product) (own statement, grants []statement) {
	var set []string
	column := func(name string, value any) { set, own.args = append(set, name+" = ?"), append(own.args, value) }
	if after.Version() != before.Version() {
		row := newProductRow(after)
		column("version", row.Version)
		column("updated_at", row.UpdatedAt)
		column("owner_id", row.OwnerID)
		column("price_amount", row.PriceAmount)
		column("price_currency", row.PriceCurrency)
		column("stock", row.Stock)
		column("status", row.Status)
		if row.Name != r.Name || row.Description != r.Description {
			column("name", row.Name)
			column("name_fold", row.NameFold)
			column("description", row.Description)
			column("description_fold", row.DescriptionFold)
		}
	}
	if !after.SameGrants(before) {
		column("sharing", r.Sharing+1)
		grants = grantStatements(before, after)
	}
	own.text = "UPDATE products SET " + strings.Join(set, ", ") + " WHERE " + unchanged
	own.args = append(own.args, r.ID, r.Version, r.OwnerID, r.Sharing)
	return own, grants
}

// unchanged narrows a write to the product as it was read. The versions alone say
// so; the owner is named again so that no mistake about versions can let anybody
// write to what has become another's.
func (r *productRow) unchanged(tx *gorm.DB) *gorm.DB {
	return tx.Where(unchanged, r.ID, r.Version, r.OwnerID, r.Sharing)
}

const unchanged = "id = ? AND version = ? AND owner_id = ? AND sharing = ?"

// step is one that changes nothing of the product that was read, but needs it to
// be there still as it was. Whom the change concerns, and, where something goes
// along that may point at them, the owner, is kept from being deleted first: a
// deletion of theirs takes the user before the product.
func (s *Products) step(op string, row productRow, before, after product.Product, with []*ports.Along) step {
	hold := func(tx *gorm.DB) (bool, error) {
		return s.db.found(tx, "SELECT 1 FROM products WHERE "+unchanged, "FOR NO KEY UPDATE", row.ID, row.Version, row.OwnerID, row.Sharing)
	}
	act := step{op: op, owner: before.OwnerID(), hold: hold, write: hold}
	all := concerned(before, after)
	if slices.ContainsFunc(with, something) {
		all = append(all, concern{id: before.OwnerID(), missing: errMissed})
	}
	if len(all) > 0 || !after.SameGrants(before) { // more than one statement
		act.before = func(tx *gorm.DB) error { return s.db.lock(tx, all) }
	}
	return act
}

// Delete deletes the product in one step.
func (s *Products) Delete(ctx context.Context, id product.ID, check func(product.Product) error, with ...*ports.Along) error {
	return contend(ctx, func() (bool, error) {
		row, p, err := s.find(ctx, id)
		if err != nil {
			return false, err
		}
		if err := check(p); err != nil {
			return false, err
		}
		act := s.step("delete product", row, p, p, with)
		act.write = func(tx *gorm.DB) (bool, error) {
			result := row.unchanged(tx).Delete(&productRow{})
			return result.RowsAffected == 1, result.Error
		}
		return s.db.do(ctx, act, with)
	})
}
