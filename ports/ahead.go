package ports

import (
	"context"

	"gatehouse/domain/product"
)

// Ahead says what a request is going to read as soon as it is known who asks,
// so that a store may fetch it in the round trip in which it resumes the session
// or reads the policy version: a second one costs as much as all the rest. It is
// a hint. A store that does not know it changes nothing by that, and one that
// does keeps in it what it found, for [ProductRepository] to go by once, be it to
// hand it out or to change it, if it is still as it was read.
//
// Being of one request, it is for one goroutine.
type Ahead struct {
	id      product.ID
	product product.Product
	own     any
	err     error
	kept    bool
}

type aheadKey struct{}

// WithAhead returns a context that says that the product will be read.
func WithAhead(ctx context.Context, id product.ID) context.Context {
	return context.WithValue(ctx, aheadKey{}, &Ahead{id: id})
}

// AheadOf returns what is still to be fetched by the context, or nil.
func AheadOf(ctx context.Context) *Ahead {
	a, _ := ctx.Value(aheadKey{}).(*Ahead)
	if a == nil || a.kept {
		return nil
	}
	return a
}

// ID is the product's.
func (a *Ahead) ID() product.ID { return a.id }

// Keep keeps what was found of the product: it, with what the store wants to know
// besides, or fault.NotFound.
func (a *Ahead) Keep(p product.Product, own any, err error) {
	a.product, a.own, a.err, a.kept = p, own, err, true
}

// TakeAhead returns what was kept of the product, if it was, and forgets it:
// whoever asks again wants to know anew.
func TakeAhead(ctx context.Context, id product.ID) (p product.Product, own any, ok bool, err error) {
	a, _ := ctx.Value(aheadKey{}).(*Ahead)
	if a == nil || !a.kept || a.id != id {
		return product.Product{}, nil, false, nil
	}
	p, own, err = a.product, a.own, a.err
	a.product, a.own, a.id = product.Product{}, nil, product.ID{}
	return p, own, true, err
}
