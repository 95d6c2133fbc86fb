package oteltrace

import (
	"context"

	"go.opentelemetry.io/otel/attribute"

	"gatehouse/domain/access"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// What stands around the ports opens a span and passes on what it is asked and
// what is answered, as they are. A nil *Tracer stands around nothing.

// Hasher follows the hashing of passwords.
func (t *Tracer) Hasher(h ports.PasswordHasher) ports.PasswordHasher {
	if t == nil {
		return h
	}
	return tracedHasher{h, t}
}

type tracedHasher struct {
	ports.PasswordHasher
	tracer *Tracer
}

func (h tracedHasher) Hash(ctx context.Context, p user.Password) (user.PasswordHash, error) {
	ctx, span := h.tracer.begin(ctx, "password hash")
	hash, err := h.PasswordHasher.Hash(ctx, p)
	finish(span, err != nil)
	return hash, err
}

func (h tracedHasher) Verify(ctx context.Context, p user.Password, hash user.PasswordHash) (bool, error) {
	ctx, span := h.tracer.begin(ctx, "password verify")
	right, err := h.PasswordHasher.Verify(ctx, p, hash)
	finish(span, err != nil)
	return right, err
}

// Authorizer follows decisions.
func (t *Tracer) Authorizer(a ports.Authorizer) ports.Authorizer {
	if t == nil {
		return a
	}
	return tracedAuthorizer{a, t}
}

type tracedAuthorizer struct {
	ports.Authorizer
	tracer *Tracer
}

func (a tracedAuthorizer) Rights(ctx context.Context, actor access.Actor) (access.Rights, error) {
	below, span := a.tracer.begin(ctx, "rights")
	rights, err := a.Authorizer.Rights(below, actor)
	finish(span, err != nil)
	if err != nil || span == nil {
		return rights, err
	}
	return tracedRights{rights, ctx, a.tracer}, nil
}

// tracedRights are those of one request, whose context they keep: decisions are
// made by what they hold, and are given none.
type tracedRights struct {
	access.Rights
	ctx    context.Context
	tracer *Tracer
}

func (r tracedRights) Decide(action access.Action, res access.Resource) (access.Decision, error) {
	_, span := r.tracer.begin(r.ctx, "decision", attribute.String("gatehouse.action", action.String()), attribute.String("gatehouse.resource", res.Kind().String()))
	d, err := r.Rights.Decide(action, res)
	if span != nil {
		span.SetAttributes(attribute.Bool("gatehouse.allowed", d.Allowed))
	}
	finish(span, err != nil)
	return d, err
}

func (r tracedRights) Filter(action access.Action, k access.Kind) (access.Filter, error) {
	_, span := r.tracer.begin(r.ctx, "decision filter", attribute.String("gatehouse.action", action.String()), attribute.String("gatehouse.resource", k.String()))
	f, err := r.Rights.Filter(action, k)
	finish(span, err != nil)
	return f, err
}
