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
	id    product.ID
	found Found
	kept  bool
}

// Found is what was found of a product: it, with what the store wants to know
// besides, or fault.NotFound.
type Found struct {
	Product product.Product
	Own     any
	Err     error
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

// Keep keeps what was found of the product.
func (a *Ahead) Keep(f Found) { a.found, a.kept = f, true }

// TakeAhead returns what was kept of the product, if it was, and forgets it:
// whoever asks again wants to know anew.
func TakeAhead(ctx context.Context, id product.ID) (p product.Product, own any, ok bool, err error) {
	a, _ := ctx.Value(aheadKey{}).(*Ahead)
	if a == nil || !a.kept || a.id != id {
		return product.Product{}, nil, false, nil
	}
	f := a.found
	a.found, a.id = Found{}, product.ID{}
	return f.Product, f.Own, true, f.Err
}
