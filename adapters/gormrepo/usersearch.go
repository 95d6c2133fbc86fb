package gormrepo

import (
	"context"
	"strconv"

	"gorm.io/gorm"

	"gatehouse/domain/access"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Search returns a page of users, with one statement, or with some more if it
// meets users whose text for searching is missing.
func (s *Users) Search(ctx context.Context, q ports.UserQuery) ([]user.User, error) {
	sought, possible := user.Sought(q.Text)
	if q.Limit <= 0 || !possible {
		return nil, nil
	}
	if sought != "" {
		leave, err := s.db.searching(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	for {
		query, args, err := searchStatement(q, sought, s.db.lite)
		if err != nil {
			return nil, s.db.failed("search users", err, nil)
		}
		missing := false
		all, err := many(ctx, s.db, func(from scanner) (user.User, error) {
			var row userRow
			var unknown bool
			err := from.Scan(append(row.fields(), &unknown)...)
			if err != nil {
				return user.User{}, err
			}
			missing = missing || unknown
			return row.user()
		}, query, args...)
		if err != nil || !missing {
			return all, s.db.failed("search users", err, nil)
		}
		if err := s.fillSearch(ctx); err != nil {
			return nil, s.db.failed("search users", err, nil)
		}
	}
}

// searchStatement is the statement for a page, with its values. Whether somebody
// whose text is missing is meant, is not known: such rows are given too, with
// TRUE in the last column.
func searchStatement(q ports.UserQuery, sought string, lite bool) (string, []any, error) {
	c := condition{lite: lite, users: true}
	if q.Visible == nil {
		q.Visible = access.Nothing
	}
	missing := "FALSE"
	if sought != "" {
		missing = "search IS NULL"
	}
	c.add("SELECT " + userColumns + ", " + missing + " FROM users WHERE (")
	if err := c.filter(q.Visible); err != nil {
		return "", nil, err
	}
	c.add(")")
	if sought != "" {
		c.searched(sought)
	}
	switch q.Status { // as text: an index is on the disabled ones alone
	case user.Active:
		c.and("status = 'active'")
	case user.Disabled:
		c.and("status = 'disabled'")
	}
	if q.Role != (user.Role{}) {
		c.given(q.Role)
	}
	if !q.Before.IsZero() {
		c.and("id < ?", q.Before.String())
	}
	c.add(" ORDER BY id DESC LIMIT " + strconv.Itoa(q.Limit))
	return c.text.String(), c.args, nil
}

// searched writes that a folded text stands in what is searched, literally.
func (c *condition) searched(sought string) {
	if c.lite {
		c.and("(instr(search, ?) > 0 OR search IS NULL)", sought)
		return
	}
	c.and(`(search LIKE ? ESCAPE '\' OR search IS NULL)`, "%"+literally.Replace(sought)+"%")
}

// given writes that a role is among those of the user. Its name is a word, so
// that it needs no escaping in JSON.
func (c *condition) given(r user.Role) {
	if c.lite {
		c.and("instr(roles, ?) > 0", `"`+r.String()+`"`)
		return
	}
	c.and("roles @> ?", `["`+r.String()+`"]`)
}

// fillSearch writes the text for searching where it is missing: in rows of before
// there was one, and in those that a node of the release before has written since,
// whose changes of a name or an address take it away (migration 0016). A row that
// is changed meanwhile keeps what its change gave it.
func (s *Users) fillSearch(ctx context.Context) error {
	const batch = 500
	for {
		rows, err := many(ctx, s.db, func(from scanner) (row userRow, err error) {
			return row, from.Scan(&row.ID, &row.Email, &row.EmailCanonical, &row.Name)
		}, "SELECT id, email, email_canonical, name FROM users WHERE search IS NULL ORDER BY id LIMIT "+strconv.Itoa(batch))
		if err != nil || len(rows) == 0 {
			return err
		}
		err = s.db.transact(ctx, func(tx *gorm.DB) error {
			for _, row := range rows {
				u := user.Restore(user.State{Email: user.RestoreEmail(row.Email, row.EmailCanonical), Name: row.Name})
				err := tx.Exec("UPDATE users SET search = ? WHERE id = ? AND search IS NULL AND email = ? AND name = ?",
					u.SearchText(), row.ID, row.Email, row.Name).Error
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || len(rows) < batch {
			return err
		}
	}
}
