package administration

import (
	"context"

	"gatehouse/application/gate"
	"gatehouse/domain/access"
)

// Policies is the policy as administrators change it. Each act is asked of the
// policy itself: reading and trying things out is to read policies, and what adds
// or removes rows is to create or to delete them.
type Policies struct {
	Editor *PolicyEditor
	Gate   *gate.Gate
}

// permit asks for all the actions with policies.
func (p *Policies) permit(ctx context.Context, a access.Actor, actions ...access.Action) error {
	for _, action := range actions {
		if err := p.Gate.Permit(ctx, a, action, access.Any(access.KindPolicy)); err != nil {
			return err
		}
	}
	return nil
}

// Table returns the policy.
func (p *Policies) Table(ctx context.Context, a access.Actor) (access.Table, error) {
	if err := p.permit(ctx, a, access.Read); err != nil {
		return access.Table{}, err
	}
	return p.Editor.Table(ctx)
}

// Row returns one row of the policy.
func (p *Policies) Row(ctx context.Context, a access.Actor, id access.PolicyID) (access.Row, error) {
	if err := p.permit(ctx, a, access.Read); err != nil {
		return access.Row{}, err
	}
	return p.Editor.Row(ctx, id)
}

// Add adds a row, as [PolicyEditor.Add] does.
func (p *Policies) Add(ctx context.Context, a access.Actor, by By, row access.Row) (access.Row, error) {
	if err := p.permit(ctx, a, access.Create); err != nil {
		return access.Row{}, err
	}
	by.Author = a.ID()
	row, _, err := p.Editor.Add(ctx, by, row)
	return row, err
}

// Remove removes a row, as [PolicyEditor.Remove] does.
func (p *Policies) Remove(ctx context.Context, a access.Actor, by By, id access.PolicyID) error {
	if err := p.permit(ctx, a, access.Delete); err != nil {
		return err
	}
	by.Author = a.ID()
	_, err := p.Editor.Remove(ctx, by, id)
	return err
}

// Rollback makes the policy what it was, as [PolicyEditor.Rollback] does: that
// may add rows and remove them.
func (p *Policies) Rollback(ctx context.Context, a access.Actor, by By, version int64) (access.Table, error) {
	if err := p.permit(ctx, a, access.Create, access.Delete); err != nil {
		return access.Table{}, err
	}
	by.Author = a.ID()
	return p.Editor.Rollback(ctx, by, version)
}

// Steps returns a page of the history, as [PolicyEditor.Steps] does.
func (p *Policies) Steps(ctx context.Context, a access.Actor, before int64, limit int) ([]Step, int64, error) {
	if err := p.permit(ctx, a, access.Read); err != nil {
		return nil, 0, err
	}
	return p.Editor.Steps(ctx, before, limit)
}

// At returns the policy as it was at a version.
func (p *Policies) At(ctx context.Context, a access.Actor, version int64) (access.Revision, error) {
	if err := p.permit(ctx, a, access.Read); err != nil {
		return access.Revision{}, err
	}
	return p.Editor.At(ctx, version)
}
