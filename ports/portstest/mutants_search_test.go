package portstest

import (
	"context"
	"slices"
	"strings"

	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// searching is a mutant that alters the query and what is found.
func searching(check, fault string, ask func(*ports.UserQuery), found func([]user.User, ports.UserQuery) []user.User) mutant[ports.UserRepository] {
	return userMutant(check, fault, func(r ports.UserRepository) users {
		return users{search: func(ctx context.Context, q ports.UserQuery) ([]user.User, error) {
			asked := q
			if ask != nil {
				ask(&asked)
			}
			all, err := r.Search(ctx, asked)
			if found != nil {
				all = found(all, q)
			}
			return all, err
		}}
	})
}

// choosingUsers is a mutant that chooses among all users by itself.
func choosingUsers(check, fault string, choose func(user.User, ports.UserQuery) bool) mutant[ports.UserRepository] {
	return searching(check, fault, func(q *ports.UserQuery) { *q = everyUser() }, func(all []user.User, q ports.UserQuery) []user.User {
		return slices.DeleteFunc(all, func(u user.User) bool { return !choose(u, q) })
	})
}

// text chooses by a text that is looked for in another way.
func byText(check, fault string, holds func(u user.User, text string) bool) mutant[ports.UserRepository] {
	return choosingUsers(check, fault, func(u user.User, q ports.UserQuery) bool { return holds(u, q.Text) })
}

const (
	searchText    = "a search finds what stands in address or name"
	searchFollows = "a search looks at the user of now"
	searchNarrows = "a search narrows by role, status and who may be seen"
	searchPages   = "the pages of a search hold everybody once"
)

// soundText is how it is right.
func soundText(u user.User, text string) bool {
	sought, ok := user.Sought(text)
	return ok && strings.Contains(u.SearchText(), sought)
}

var searchUserMutants = []mutant[ports.UserRepository]{
	byText(searchText, "minds the case", func(u user.User, text string) bool {
		return soundText(u, text) && strings.Contains(u.Email().String()+"\n"+u.Email().Canonical()+"\n"+u.Name(), text)
	}),
	byText(searchText, "looks at the name alone", func(u user.User, text string) bool {
		return soundText(user.Restore(user.State{Name: u.Name()}), text)
	}),
	byText(searchText, "looks at the canonical address alone", func(u user.User, text string) bool {
		canonical := user.RestoreEmail(u.Email().Canonical(), u.Email().Canonical())
		return soundText(user.Restore(user.State{Email: canonical, Name: u.Name()}), text)
	}),
	byText(searchText, "takes % for anything", func(u user.User, text string) bool {
		if before, after, found := strings.Cut(text, "%"); found {
			return soundText(u, before) && soundText(u, after)
		}
		return soundText(u, text)
	}),
	byText(searchText, "takes _ for anything", func(u user.User, text string) bool {
		return soundText(u, text) || soundText(u, strings.ReplaceAll(text, "_", "n"))
	}),
	byText(searchText, `takes \ for an escape`, func(u user.User, text string) bool {
		return soundText(u, strings.ReplaceAll(text, `\`, ""))
	}),
	byText(searchText, "trims the text", func(u user.User, text string) bool { return soundText(u, strings.TrimSpace(text)) }),
	byText(searchText, "reaches from the address into the name", func(u user.User, text string) bool {
		return soundText(u, text) || strings.Contains(strings.ReplaceAll(u.SearchText(), "\n", ""), strings.ToLower(text))
	}),
	byText(searchText, "forgets about NUL", func(u user.User, text string) bool {
		return soundText(u, strings.ReplaceAll(text, "\x00", ""))
	}),
	userMutant(searchFollows, "looks at who registered", func(r ports.UserRepository) users {
		first := map[user.ID]user.User{}
		return users{
			add: func(ctx context.Context, u user.User) error { first[u.ID()] = u; return r.Add(ctx, u) },
			search: func(ctx context.Context, q ports.UserQuery) ([]user.User, error) {
				all, err := r.Search(ctx, everyUser())
				return slices.DeleteFunc(all, func(u user.User) bool { return !soundText(first[u.ID()], q.Text) }), err
			},
		}
	}),
	userMutant(searchFollows, "keeps what it was found by", func(r ports.UserRepository) users {
		ever := map[user.ID][]user.User{}
		return users{
			add: func(ctx context.Context, u user.User) error {
				ever[u.ID()] = append(ever[u.ID()], u)
				return r.Add(ctx, u)
			},
			update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
				u, err := r.Update(ctx, id, change)
				ever[id] = append(ever[id], u)
				return u, err
			},
			search: func(ctx context.Context, q ports.UserQuery) ([]user.User, error) {
				all, err := r.Search(ctx, everyUser())
				return slices.DeleteFunc(all, func(u user.User) bool {
					return !slices.ContainsFunc(ever[u.ID()], func(was user.User) bool { return soundText(was, q.Text) })
				}), err
			},
		}
	}),
	searching(searchNarrows, "passes over the role", func(q *ports.UserQuery) { q.Role = user.Role{} }, nil),
	searching(searchNarrows, "passes over the status", func(q *ports.UserQuery) { q.Status = user.Status{} }, nil),
	searching(searchNarrows, "passes over who may be seen", func(q *ports.UserQuery) { q.Visible = access.Everything }, nil),
	searching(searchNarrows, "takes nothing said for everything", func(q *ports.UserQuery) {
		if q.Visible == nil {
			q.Visible = access.Everything
		}
	}, nil),
	searching(searchNarrows, "passes over a not", func(q *ports.UserQuery) {
		if not, ok := q.Visible.(access.Not); ok {
			q.Visible = not.Filter
		}
	}, nil),
	searching(searchNarrows, "takes zero for no limit", func(q *ports.UserQuery) {
		if q.Limit == 0 {
			q.Limit = 100
		}
	}, nil),
	searching(searchNarrows, "narrows after paging", func(q *ports.UserQuery) { q.Role = user.Role{}; q.Limit = min(q.Limit, 3) }, func(all []user.User, q ports.UserQuery) []user.User {
		return slices.DeleteFunc(all, func(u user.User) bool { return q.Role != user.Role{} && !u.HasRole(q.Role) })
	}),
	searching(searchNarrows, "finds a role by a part of its name", func(q *ports.UserQuery) { q.Role, q.Limit = user.Role{}, 100 }, func(all []user.User, q ports.UserQuery) []user.User {
		all = slices.DeleteFunc(all, func(u user.User) bool {
			return !slices.ContainsFunc(u.Roles(), func(r user.Role) bool { return strings.Contains(r.String(), q.Role.String()) })
		})
		return all[:min(len(all), max(q.Limit, 0))]
	}),
	searching(searchPages, "begins with the oldest", nil, func(all []user.User, _ ports.UserQuery) []user.User { slices.Reverse(all); return all }),
	searching(searchPages, "goes by the time of registration", func(q *ports.UserQuery) { q.Limit = 100 }, func(all []user.User, q ports.UserQuery) []user.User {
		slices.SortFunc(all, func(a, b user.User) int { return b.CreatedAt().Compare(a.CreatedAt()) })
		return all[:min(len(all), q.Limit)]
	}),
	searching(searchPages, "begins with the last one seen", func(q *ports.UserQuery) { q.Before = user.ID{} }, nil),
	userMutant(searchPages, "counts rows to skip", func(r ports.UserRepository) users {
		skip := 0
		return users{search: func(ctx context.Context, q ports.UserQuery) ([]user.User, error) {
			limit := q.Limit
			q.Before, q.Limit = user.ID{}, 100
			all, err := r.Search(ctx, q)
			page := all[min(skip, len(all)):min(skip+limit, len(all))]
			skip += len(page)
			return page, err
		}}
	}),
	userMutant("a cancelled context is an outage", "finds nobody", func(r ports.UserRepository) users {
		return users{search: func(ctx context.Context, q ports.UserQuery) ([]user.User, error) {
			all, _ := r.Search(ctx, q)
			return all, nil
		}}
	}),
}

// searchingLog is a mutant that alters the query and the page.
func searchingLog(check, fault string, ask func(*ports.AuditQuery), found func(*ports.AuditPage, ports.AuditQuery)) mutant[RecordStores] {
	return logMutant(check, fault, func(s RecordStores) auditLog {
		return auditLog{search: func(ctx context.Context, q ports.AuditQuery) (ports.AuditPage, error) {
			asked := q
			if ask != nil {
				ask(&asked)
			}
			page, err := s.Log.Search(ctx, asked)
			if found != nil {
				found(&page, q)
			}
			return page, err
		}}
	})
}

const (
	logSearch  = "a search of the log goes from the newest"
	logWriters = "what is appended pushes nothing out of the pages"
)

var searchLedgerMutants = []mutant[RecordStores]{
	searchingLog(logSearch, "passes over the actor", func(q *ports.AuditQuery) { q.Actor = user.ID{} }, nil),
	searchingLog(logSearch, "passes over the event", func(q *ports.AuditQuery) { q.Event = "" }, nil),
	searchingLog(logSearch, "passes over where to begin", func(q *ports.AuditQuery) { q.Before = audit.Place{} }, nil),
	searchingLog(logSearch, "looks at the place without the day", func(q *ports.AuditQuery) {
		if !q.Before.IsZero() {
			q.Before.Day = "2026-11-25"
		}
	}, nil),
	searchingLog(logSearch, "begins with the oldest", nil, func(p *ports.AuditPage, _ ports.AuditQuery) { slices.Reverse(p.Rows) }),
	searchingLog(logSearch, "goes by the time", nil, func(p *ports.AuditPage, _ ports.AuditQuery) {
		slices.SortStableFunc(p.Rows, func(a, b audit.Row) int { return b.At.Compare(a.At) })
	}),
	searchingLog(logSearch, "takes zero for no limit", func(q *ports.AuditQuery) {
		if q.Limit == 0 {
			q.Limit = 100
		}
	}, nil),
	searchingLog(logSearch, "always has more", nil, func(p *ports.AuditPage, _ ports.AuditQuery) {
		if n := len(p.Rows); n > 0 {
			p.Next = audit.Place{Day: p.Rows[n-1].Day(), Seq: p.Rows[n-1].Seq}
		}
	}),
	searchingLog(logSearch, "never has more", nil, func(p *ports.AuditPage, _ ports.AuditQuery) { p.Next = audit.Place{} }),
	searchingLog(logSearch, "gives rows without their hash", nil, func(p *ports.AuditPage, _ ports.AuditQuery) {
		for i := range p.Rows {
			p.Rows[i].Hash = audit.Hash{}
		}
	}),
	logMutant(logSearch, "gives the same detail to all", func(s RecordStores) auditLog {
		details := map[string]map[string]string{}
		return auditLog{search: func(ctx context.Context, q ports.AuditQuery) (ports.AuditPage, error) {
			page, err := s.Log.Search(ctx, q)
			for i, r := range page.Rows {
				if known, ok := details[r.ID.String()]; ok {
					page.Rows[i].Detail = known
				} else {
					details[r.ID.String()] = r.Detail
				}
			}
			return page, err
		}}
	}),
	logMutant(logWriters, "counts rows to skip", func(s RecordStores) auditLog {
		skip := 0
		return auditLog{search: func(ctx context.Context, q ports.AuditQuery) (ports.AuditPage, error) {
			limit := q.Limit
			q.Before, q.Limit = audit.Place{}, 1000
			page, err := s.Log.Search(ctx, q)
			end := min(skip+limit, len(page.Rows))
			if end < len(page.Rows) {
				page.Next = audit.Place{Day: "2026-11-24", Seq: 1}
			}
			page.Rows = page.Rows[min(skip, end):end]
			skip = end
			return page, err
		}}
	}),
	logMutant("a cancelled context is an outage", "finds nothing", func(s RecordStores) auditLog {
		return auditLog{search: func(ctx context.Context, q ports.AuditQuery) (ports.AuditPage, error) {
			page, _ := s.Log.Search(ctx, q)
			return page, nil
		}}
	}),
}
