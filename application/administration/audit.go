package administration

import (
	"context"

	"gatehouse/domain/access"
	"gatehouse/domain/audit"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// AuditQuery asks for a page of the audit log, the newest first.
type AuditQuery struct {
	Actor  user.ID     // who did it; zero means anybody
	Event  audit.Event // "" means all
	Before audit.Place // where the page before ended; zero means from the newest
	Limit  int         // 0 means DefaultLimit
	Unread error       // what a transport could not read of the query
}

// Audit returns a page of the audit log. It takes the right to read the log.
func (s *Service) Audit(ctx context.Context, r session.Resumed, q AuditQuery) (ports.AuditPage, error) {
	if _, err := s.permit(ctx, r, access.Any(access.KindAudit), access.Read); err != nil {
		return ports.AuditPage{}, err
	}
	if q.Unread != nil {
		return ports.AuditPage{}, q.Unread
	}
	return s.Log.Search(ctx, ports.AuditQuery{Actor: q.Actor, Event: q.Event, Before: q.Before, Limit: limitOf(q.Limit)})
}
