package products

import (
	"context"
	"errors"

	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/idempotency"
	"gatehouse/domain/product"
)

// Once is what it takes to do a thing once that may be asked for again. The zero
// Once asks for nothing of the kind.
type Once struct {
	Key     idempotency.Key
	Request idempotency.Digest
	// Answer is what the transport answers with, in its own writing; it is kept
	// in one step with the product.
	Answer func(product.Product) []byte
}

// actCreate is what a key is for.
const actCreate = "createProduct"

// CreateOnce does what [Service.Create] does, but for a request that this actor
// has made before under the same key: for that it makes nothing and returns what
// was answered then, for 24 hours after it. It returns idempotency.ErrMismatch
// for another request under the key, and idempotency.ErrInProgress if the first
// one is in work for longer than ctx can wait.
//
// Who may not create, or may no longer, is told so before the key is looked at:
// rights are asked anew each time. What a refused request was answered is not
// kept, so it may be mended and sent again under its key.
func (s *Service) CreateOnce(ctx context.Context, a access.Actor, d product.Draft, unread error, o Once) (p product.Product, replay []byte, err error) {
	rights, err := s.Gate.Rights(ctx, a)
	if err != nil {
		return product.Product{}, nil, err
	}
	if err := permit(rights, a, access.Create, access.Any(access.KindProduct)); err != nil {
		return product.Product{}, nil, s.Gate.Record(ctx, a, err)
	}
	for {
		if replay, err := s.replay(ctx, a, o); replay != nil || err != nil {
			return product.Product{}, replay, err
		}
		p, err := s.create(ctx, a, rights, d, unread, o)
		if !errors.Is(err, idempotency.ErrTaken) { // else somebody was quicker, and has answered
			return p, nil, err
		}
	}
}

// replay gives what was answered under the key, nil if nothing was.
func (s *Service) replay(ctx context.Context, a access.Actor, o Once) ([]byte, error) {
	if o.Key.IsZero() {
		return nil, nil
	}
	kept, err := s.Answers.Find(ctx, o.Key.Of(a.ID(), actCreate), s.Now())
	if errors.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return kept.Replay(o.Request)
}
