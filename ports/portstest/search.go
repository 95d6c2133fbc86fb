package portstest

import (
	"strings"
	"time"

	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// everyUser is a search for all users, one page of them.
func everyUser() ports.UserQuery { return ports.UserQuery{Visible: access.Everything, Limit: 100} }

// wantFound holds a search to finding the users with these numbers, in this order.
func wantFound(t tester, users ports.UserRepository, what string, q ports.UserQuery, numbers ...int) {
	t.Helper()
	got, err := users.Search(t.Context(), q)
	must(t, err, "Search(%s)", what)
	var ids []user.ID
	for _, n := range numbers {
		ids = append(ids, userID(n))
	}
	want(t, names(got), joined(ids), "Search(%s)", what)
}

// named is the n-th user with an address and a name.
func named(t tester, n int, address, name string) user.User {
	t.Helper()
	return with(newUser(t, n), func(s *user.State) { s.Email, s.Name = email(t, address), name })
}

// Whoever types a text means the text: no pattern, no case, and no way in which
// an accent or a syllable is composed. A "%" that counts for any text shows all
// addresses, one by one.
func usersSearchText(t tester, users ports.UserRepository) {
	for n, u := range [][2]string{
		{"Ann@Example.com", "Ann Smith"}, {"bob@b\u00fccher.example", "100% Wool_Sock"}, {"c'd@example.org", `back\slash "quoted"`},
		{"dora@example.org", "\ud55c\uae00 \uc8fc\uc804\uc790"}, {"eve@example.org", "STRASSE \u00dcn\u00efcode"}, {"f@example.org", ""},
	} {
		must(t, users.Add(t.Context(), named(t, n, u[0], u[1])), "Add")
	}
	for text, found := range map[string][]int{
		"": {5, 4, 3, 2, 1, 0}, "ann": {0}, "ANN@EXAMPLE": {0}, "n@e": {0}, "smith": {0}, "n s": {0}, "@example.org": {5, 4, 3, 2}, "example": {5, 4, 3, 2, 1, 0},
		"%": {1}, "100%": {1}, "1%w": nil, "_": {1}, "l_s": {1}, "a_n": nil, `\`: {2}, `k\s`: {2}, `\\`: nil, `\%`: nil, "'": {2}, "c'd": {2}, `"quoted"`: {2}, "' OR 1=1 --": nil,
		"B\u00dcCHER": {1}, "bu\u0308cher": {1}, "xn--bcher-kva": {1}, "\u110c\u116e\u110c\u1165\u11ab": {3}, "\ud55c\uae00": {3}, "stra\u00dfe": {4}, "\u00fcN\u00cfC": {4}, "U\u0308n": {4},
		"example.comann": nil, "example.com\nann": nil, "\n": nil, "\x00": nil, "ann\x00": nil, "\xff": nil, " ": {4, 3, 2, 1, 0}, "  ": nil, strings.Repeat("x", 10_000): nil,
	} {
		q := everyUser()
		q.Text = text
		wantFound(t, users, text, q, found...)
	}
}

// What was looked at is the user of now.
func usersSearchFollows(t tester, users ports.UserRepository) {
	u := named(t, 1, "old@example.com", "Old Name")
	must(t, users.Add(t.Context(), u), "Add")
	look := func(text string, found ...int) {
		t.Helper()
		q := everyUser()
		q.Text = text
		wantFound(t, users, text, q, found...)
	}
	look("old", 1)
	for _, next := range []user.User{
		with(u, func(s *user.State) { s.Name = "New Name" }),
		named(t, 1, "new@example.com", "New Name"),
		named(t, 1, "NEW@example.com", "NEW NAME"),
		named(t, 1, "new@example.com", ""),
	} {
		_, err := users.Update(t.Context(), u.ID(), func(u *user.User) error { *u = next; return nil })
		must(t, err, "Update")
		look("new", 1)
		look("old name")
	}
	look("old")
	look("name")
	must(t, users.Delete(t.Context(), u.ID(), goInPeace), "Delete")
	look("new")
}

func usersSearchNarrows(t tester, users ports.UserRepository) {
	support, _ := user.ParseRole("support")
	sup, _ := user.ParseRole("sup")
	for n, given := range [][]user.Role{
		{user.RoleUser}, {user.RoleAdmin, user.RoleUser}, {support}, {user.RoleAdmin, support}, {sup, user.RoleModerator}, {user.RoleUser},
	} {
		u := with(newUser(t, n), func(s *user.State) {
			s.Roles = given
			if n%2 == 1 {
				s.Status = user.Disabled
			}
		})
		must(t, users.Add(t.Context(), u), "Add")
	}
	own := func(n int) access.Filter { return access.OwnedBy(userID(n)) }
	for what, c := range map[string]struct {
		narrow func(q *ports.UserQuery)
		found  []int
	}{
		"admins":              {func(q *ports.UserQuery) { q.Role = user.RoleAdmin }, []int{3, 1}},
		"who has a new role":  {func(q *ports.UserQuery) { q.Role = support }, []int{3, 2}},
		"a part of its name":  {func(q *ports.UserQuery) { q.Role = sup }, []int{4}},
		"a role of nobody":    {func(q *ports.UserQuery) { q.Role = user.RoleAnonymous }, nil},
		"disabled":            {func(q *ports.UserQuery) { q.Status = user.Disabled }, []int{5, 3, 1}},
		"active":              {func(q *ports.UserQuery) { q.Status = user.Active }, []int{4, 2, 0}},
		"disabled admins":     {func(q *ports.UserQuery) { q.Role, q.Status = user.RoleAdmin, user.Disabled }, []int{3, 1}},
		"active users":        {func(q *ports.UserQuery) { q.Role, q.Status = user.RoleUser, user.Active }, []int{0}},
		"by text and role":    {func(q *ports.UserQuery) { q.Text, q.Role = "USER3@", support }, []int{3}},
		"by text, not role":   {func(q *ports.UserQuery) { q.Text, q.Role = "user4@", support }, nil},
		"before one":          {func(q *ports.UserQuery) { q.Before = userID(3) }, []int{2, 1, 0}},
		"before the first":    {func(q *ports.UserQuery) { q.Before = userID(0) }, nil},
		"before nobody's":     {func(q *ports.UserQuery) { q.Before = userID(9) }, []int{5, 4, 3, 2, 1, 0}},
		"two":                 {func(q *ports.UserQuery) { q.Limit = 2 }, []int{5, 4}},
		"none":                {func(q *ports.UserQuery) { q.Limit = 0 }, nil},
		"less than none":      {func(q *ports.UserQuery) { q.Limit = -1 }, nil},
		"nobody may be seen":  {func(q *ports.UserQuery) { q.Visible = access.Nothing }, nil},
		"nothing said of it":  {func(q *ports.UserQuery) { q.Visible = nil }, nil},
		"oneself":             {func(q *ports.UserQuery) { q.Visible = own(2) }, []int{2}},
		"all but oneself":     {func(q *ports.UserQuery) { q.Visible = access.Not{Filter: own(2)} }, []int{5, 4, 3, 1, 0}},
		"two of them":         {func(q *ports.UserQuery) { q.Visible = access.Either{own(2), own(4)} }, []int{4, 2}},
		"two of them, active": {func(q *ports.UserQuery) { q.Visible, q.Status = access.Either{own(2), own(3)}, user.Active }, []int{2}},
		"what is priced":      {func(q *ports.UserQuery) { q.Visible = access.AmountIs(access.AtLeast, 0) }, nil},
	} {
		q := everyUser()
		c.narrow(&q)
		wantFound(t, users, what, q, c.found...)
	}
}

// People who register while the pages are turned must push nobody out of them.
func usersSearchPages(t tester, users ports.UserRepository) {
	for n := range 7 {
		// The order is that of the ids, whatever the clock of a node said.
		must(t, users.Add(t.Context(), with(newUser(t, 10*n), func(s *user.State) { s.CreatedAt = noon.Add(-time.Duration(n) * time.Hour) })), "Add")
	}
	q := everyUser()
	q.Limit, q.Text = 2, "example"
	var seen []user.User
	for page := range 20 {
		got, err := users.Search(t.Context(), q)
		must(t, err, "Search")
		if len(got) == 0 {
			break
		}
		seen = append(seen, got...)
		q.Before = got[len(got)-1].ID()
		if page == 1 {
			addUser(t, users, 90) // who has just come
			addUser(t, users, 15) // whose node is behind
		}
	}
	var all []user.ID
	for _, n := range []int{60, 50, 40, 30, 20, 15, 10, 0} {
		all = append(all, userID(n))
	}
	want(t, names(seen), joined(all), "the pages together")
}

// entryOf is the n-th entry, of a day so many days after the first.
func entryOf(n, day int, actor user.ID, e audit.Event) audit.Entry {
	entry := newEntry(n, actor)
	entry.At, entry.Event = entry.At.AddDate(0, 0, day), e
	return entry
}

func ledgerSearch(t tester, s RecordStores) {
	ann, bob := userID(1), userID(2)
	entries := []audit.Entry{
		entryOf(0, 0, ann, audit.SignedIn), entryOf(1, 1, bob, audit.SignedIn), entryOf(2, 0, bob, audit.SignInFailed), entryOf(3, 1, ann, audit.SignInFailed),
		entryOf(4, -1, ann, audit.SignedIn), entryOf(5, 1, user.ID{}, audit.SignedIn), entryOf(6, 0, ann, audit.SessionEnded), entryOf(7, 1, ann, audit.SignedIn),
	}
	// Of entries that wait for each other the later one may be of an earlier time:
	// the place counts.
	entries[6].At = entries[0].At.Add(-time.Hour)
	for _, e := range entries {
		s.record(t, e)
	}
	for what, c := range map[string]struct {
		q     ports.AuditQuery
		found []int
	}{
		"all":            {ports.AuditQuery{}, []int{7, 5, 3, 1, 6, 2, 0, 4}},
		"what ann did":   {ports.AuditQuery{Actor: ann}, []int{7, 3, 6, 0, 4}},
		"what eve did":   {ports.AuditQuery{Actor: userID(3)}, nil},
		"sign-ins":       {ports.AuditQuery{Event: audit.SignedIn}, []int{7, 5, 1, 0, 4}},
		"ann's sign-ins": {ports.AuditQuery{Actor: ann, Event: audit.SignedIn}, []int{7, 0, 4}},
		"no such event":  {ports.AuditQuery{Event: "session"}, nil},
		"before a place": {ports.AuditQuery{Before: audit.Place{Day: "2026-11-25", Seq: 2}}, []int{1, 6, 2, 0, 4}},
		"before a day":   {ports.AuditQuery{Before: audit.Place{Day: "2026-11-25", Seq: 1}}, []int{6, 2, 0, 4}},
		"before all":     {ports.AuditQuery{Before: audit.Place{Day: "2026-11-23", Seq: 1}}, nil},
		"after all":      {ports.AuditQuery{Before: audit.Place{Day: "2027-01-01", Seq: 1}}, []int{7, 5, 3, 1, 6, 2, 0, 4}},
		"ann's, before":  {ports.AuditQuery{Actor: ann, Before: audit.Place{Day: "2026-11-24", Seq: 3}}, []int{0, 4}},
	} {
		var all []uuid.UUID
		for _, n := range c.found {
			all = append(all, id(n))
		}
		for limit := range len(c.found) + 2 {
			q := c.q
			q.Limit = limit
			page, err := s.Log.Search(t.Context(), q)
			must(t, err, "Search(%s, %d)", what, limit)
			want(t, joined(rowIDs(page.Rows)), joined(all[:min(limit, len(all))]), "Search(%s, %d)", what, limit)
			if more := limit > 0 && limit < len(all); page.Next.IsZero() == more {
				t.Errorf("Search(%s, %d) goes on at %v, want more %v", what, limit, page.Next, more)
			}
			walked := all[:0:0]
			for q.Limit > 0 && len(walked) <= len(all) {
				walked = append(walked, rowIDs(page.Rows)...)
				if page.Next.IsZero() {
					break
				}
				q.Before = page.Next
				page, err = s.Log.Search(t.Context(), q)
				must(t, err, "Search(%s, %d)", what, limit)
			}
			if limit > 0 {
				want(t, joined(walked), joined(all), "the pages of %d of %s together", limit, what)
			}
		}
	}
	page, err := s.Log.Search(t.Context(), ports.AuditQuery{Event: audit.SessionEnded, Limit: 1})
	must(t, err, "Search")
	rows, err := s.Log.Rows(t.Context(), entries[6].Day(), 2, 1)
	must(t, err, "Rows")
	want(t, page.Rows, rows, "what Search gives, beside what Rows does")
	page.Rows[0].Detail["n"] = "altered"
	again, err := s.Log.Search(t.Context(), ports.AuditQuery{Event: audit.SessionEnded, Limit: 1})
	must(t, err, "Search")
	want(t, again.Rows, rows, "what Search gives after somebody altered what it gave")
}

func rowIDs(rows []audit.Row) []uuid.UUID {
	var ids []uuid.UUID
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	return ids
}

// What is written down while somebody turns the pages comes before the first one.
func ledgerSearchBesideWriters(t tester, s RecordStores) {
	for n := range 6 {
		s.record(t, entryOf(n, n/3, userID(1), audit.SignedIn))
	}
	q := ports.AuditQuery{Limit: 2}
	var seen []uuid.UUID
	for page := range 20 {
		got, err := s.Log.Search(t.Context(), q)
		must(t, err, "Search")
		seen = append(seen, rowIDs(got.Rows)...)
		if q.Before = got.Next; q.Before.IsZero() {
			break
		}
		s.record(t, entryOf(10+page, 1, userID(1), audit.SignedIn), entryOf(20+page, 2, userID(1), audit.SignedIn))
	}
	var all []uuid.UUID
	for _, n := range []int{5, 4, 3, 2, 1, 0} {
		all = append(all, id(n))
	}
	want(t, joined(seen), joined(all), "the pages together")
}
