package gormrepo_test

import (
	"testing"

	"gatehouse/adapters/gormrepo"
	"gatehouse/domain/access"
	"gatehouse/domain/product"
	"gatehouse/ports"
)

// BenchmarkRepositories times one call of each kind over both databases, by one
// caller.
func BenchmarkRepositories(b *testing.B) {
	for name, open := range dialects {
		b.Run(name, func(b *testing.B) { benchmark(b, open(b)) })
	}
}

func benchmark(b *testing.B, db *gormrepo.DB) {
	u := addUser(b, db)
	p := addProduct(b, db, u.ID(), product.Draft{Status: "published"})
	for range 100 {
		addProduct(b, db, u.ID(), product.Draft{Status: "published"})
	}
	visible := access.Either{access.OwnedBy(u.ID()), access.InStatus(product.StatusPublished)}
	for name, act := range map[string]func() error{
		"user":    func() error { _, err := db.Users().Find(b.Context(), u.ID()); return err },
		"product": func() error { _, err := db.Products().Find(b.Context(), p.ID()); return err },
		"list": func() error {
			_, err := db.Products().List(b.Context(), ports.ProductQuery{Visible: visible, Limit: 21})
			return err
		},
		"add": func() error {
			return db.Products().Add(b.Context(), newProduct(b, u.ID(), product.Draft{}))
		},
		"update": func() error {
			_, err := db.Products().Update(b.Context(), p.ID(), func(p *product.Product) error {
				stock := p.Stock() + 1
				return p.Apply(product.Change{Stock: &stock}, start)
			})
			return err
		},
		"take": func() error { return second(db.Limiter().Take(b.Context(), "key", inARow, start)) },
		"record": func() error {
			return db.Ledger().Record(b.Context(), ports.Along{Audit: entries(u.ID(), 1)})
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := act(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
