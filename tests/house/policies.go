package house

import (
	"context"

	"gatehouse/domain/access"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

type faultyPolicies struct {
	ports.PolicyRepository
	f *Faults
}

func (s faultyPolicies) Version(ctx context.Context) (int64, error) {
	return asked(s.f, "Policies.Version", func() (int64, error) { return s.PolicyRepository.Version(ctx) })
}

func (s faultyPolicies) Load(ctx context.Context) (access.Table, error) {
	return asked(s.f, "Policies.Load", func() (access.Table, error) { return s.PolicyRepository.Load(ctx) })
}

type faultyHistory struct {
	ports.PolicyHistory
	f *Faults
}

func (s faultyHistory) Change(ctx context.Context, e access.Edit, change func(*access.Table) error, with ...*ports.Along) (access.Table, error) {
	return asked(s.f, "History.Change", func() (access.Table, error) { return s.PolicyHistory.Change(ctx, e, change, with...) })
}

func (s faultyHistory) Revisions(ctx context.Context, before int64, limit int) ([]access.Revision, error) {
	return asked(s.f, "History.Revisions", func() ([]access.Revision, error) { return s.PolicyHistory.Revisions(ctx, before, limit) })
}

func (s faultyHistory) Revision(ctx context.Context, version int64) (access.Revision, error) {
	return asked(s.f, "History.Revision", func() (access.Revision, error) { return s.PolicyHistory.Revision(ctx, version) })
}

type faultyRoles struct {
	ports.RoleDirectory
	f *Faults
}

func (s faultyRoles) RoleSets(ctx context.Context) ([]ports.RoleSet, error) {
	return asked(s.f, "Roles.RoleSets", func() ([]ports.RoleSet, error) { return s.RoleDirectory.RoleSets(ctx) })
}

func (s faultyRoles) Holders(ctx context.Context, roles []user.Role, after user.ID, limit int) ([]user.ID, error) {
	return asked(s.f, "Roles.Holders", func() ([]user.ID, error) { return s.RoleDirectory.Holders(ctx, roles, after, limit) })
}

type faultyCensus struct {
	ports.Census
	f *Faults
}

func (s faultyCensus) Reach(ctx context.Context, q ports.CensusQuery) (ports.Reach, error) {
	return asked(s.f, "Census.Reach", func() (ports.Reach, error) { return s.Census.Reach(ctx, q) })
}

func (s faultyCensus) Pairs(ctx context.Context, q ports.CensusQuery, limit int) ([]ports.Pair, error) {
	return asked(s.f, "Census.Pairs", func() ([]ports.Pair, error) { return s.Census.Pairs(ctx, q, limit) })
}
