package portstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// products is a repository with some of its methods replaced.
type products struct {
	ports.ProductRepository
	add    func(context.Context, product.Product) error
	find   func(context.Context, product.ID) (product.Product, error)
	list   func(context.Context, ports.ProductQuery) ([]product.Product, error)
	count  func(context.Context, ports.ProductQuery) (int, error)
	update func(context.Context, product.ID, func(*product.Product) error) (product.Product, error)
	delete func(context.Context, product.ID, func(product.Product) error) error
}

func (s products) Add(ctx context.Context, p product.Product, with ...*ports.Along) error {
	if s.add == nil {
		return s.ProductRepository.Add(ctx, p, with...)
	}
	return s.add(ctx, p)
}

func (s products) Find(ctx context.Context, id product.ID) (product.Product, error) {
	if s.find == nil {
		return s.ProductRepository.Find(ctx, id)
	}
	return s.find(ctx, id)
}

func (s products) List(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
	if s.list == nil {
		return s.ProductRepository.List(ctx, q)
	}
	return s.list(ctx, q)
}

func (s products) Count(ctx context.Context, q ports.ProductQuery) (int, error) {
	if s.count == nil {
		return s.ProductRepository.Count(ctx, q)
	}
	return s.count(ctx, q)
}

func (s products) Update(ctx context.Context, id product.ID, change func(*product.Product) error, with ...*ports.Along) (product.Product, error) {
	if s.update == nil {
		return s.ProductRepository.Update(ctx, id, change, with...)
	}
	return s.update(ctx, id, change)
}

func (s products) Delete(ctx context.Context, id product.ID, check func(product.Product) error, with ...*ports.Along) error {
	if s.delete == nil {
		return s.ProductRepository.Delete(ctx, id, check, with...)
	}
	return s.delete(ctx, id, check)
}

func productMutant(check, fault string, f func(r ports.ProductRepository) products) mutant[ProductStores] {
	return mutant[ProductStores]{check, fault, func(s ProductStores) ProductStores {
		m := f(s.Products)
		m.ProductRepository = s.Products
		s.Products = m
		return s
	}}
}

// found makes a repository that alters what it finds.
func found(alter func(*product.State)) func(ports.ProductRepository) products {
	return func(r ports.ProductRepository) products {
		return products{find: func(ctx context.Context, id product.ID) (product.Product, error) {
			p, err := r.Find(ctx, id)
			return alterProduct(p, alter), err
		}}
	}
}

// flags are closed for one product after the other.
type flags struct {
	mu  sync.Mutex
	all map[product.ID]chan struct{}
}

func (f *flags) of(id product.ID) chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[product.ID]chan struct{}{}
	}
	if f.all[id] == nil {
		f.all[id] = make(chan struct{})
	}
	return f.all[id]
}

var productMutants = []mutant[ProductStores]{
	productMutant("every field is kept", "counts in 32 bits", found(func(s *product.State) {
		s.Price = product.RestorePrice(int64(int32(s.Price.Amount())), s.Price.Currency().String())
	})),
	productMutant("every field is kept", "cuts long texts", found(func(s *product.State) {
		s.Description = s.Description[:min(len(s.Description), 8192)]
	})),
	productMutant("every field is kept", "keeps seconds", found(func(s *product.State) { s.CreatedAt = s.CreatedAt.Truncate(time.Second) })),
	productMutant("every field is kept", "composes names", found(func(s *product.State) {
		s.Name = strings.ReplaceAll(s.Name, "\u1112\u1161", "하")
	})),
	productMutant("an update keeps every field", "skips what is zero", func(r ports.ProductRepository) products {
		return products{update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			return r.Update(ctx, id, func(p *product.Product) error {
				old := p.Stock()
				err := change(p)
				*p = alterProduct(*p, func(s *product.State) {
					if s.Stock == 0 {
						s.Stock = old
					}
				})
				return err
			})
		}}
	}),
	productMutant("an update keeps every field", "gives what was there before", func(r ports.ProductRepository) products {
		return products{update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			before, _ := r.Find(ctx, id)
			_, err := r.Update(ctx, id, change)
			return before, err
		}}
	}),
	productMutant("a missing product is not found", "deletes nothing and says nothing", func(r ports.ProductRepository) products {
		return products{delete: func(ctx context.Context, id product.ID, check func(product.Product) error) error {
			if err := r.Delete(ctx, id, check); !errors.Is(err, fault.NotFound) {
				return err
			}
			return nil
		}}
	}),
	productMutant("a missing product is not found", "asks about the zero product", func(r ports.ProductRepository) products {
		return products{delete: func(ctx context.Context, id product.ID, check func(product.Product) error) error {
			p, _ := r.Find(ctx, id)
			_ = check(p)
			return r.Delete(ctx, id, check)
		}}
	}),
	productMutant("a taken id is a conflict", "writes over it", func(r ports.ProductRepository) products {
		return products{add: func(ctx context.Context, p product.Product) error {
			_ = r.Delete(ctx, p.ID(), agree)
			return r.Add(ctx, p)
		}}
	}),
	productMutant("nobody owns nothing", "reports it as invalid", func(r ports.ProductRepository) products {
		return products{add: func(ctx context.Context, p product.Product) error {
			if err := r.Add(ctx, p); err != nil {
				return fault.Invalid
			}
			return nil
		}}
	}),
	productMutant("nobody owns nothing", "takes any new owner", func(r ports.ProductRepository) products {
		return products{update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			p, err := r.Update(ctx, id, change)
			if errors.Is(err, product.ErrNobody) {
				err = nil
			}
			return p, err
		}}
	}),
	productMutant("a failed update keeps nothing", "keeps what failed", func(r ports.ProductRepository) products {
		return products{update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			var failed error
			p, err := r.Update(ctx, id, func(p *product.Product) error { failed = change(p); return nil })
			if err != nil {
				return p, err
			}
			return p, failed
		}}
	}),
	productMutant("a failed update keeps nothing", "wraps the error", func(r ports.ProductRepository) products {
		return products{update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			p, err := r.Update(ctx, id, change)
			if err != nil {
				err = fmt.Errorf("update: %w", err)
			}
			return p, err
		}}
	}),
	productMutant("an update of nothing writes nothing", "raises the version always", func(r ports.ProductRepository) products {
		return products{update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			return r.Update(ctx, id, func(p *product.Product) error {
				before := p.Version()
				err := change(p)
				*p = alterProduct(*p, func(s *product.State) { s.Version = before + 1 })
				return err
			})
		}}
	}),
	productMutant("updates at once are all kept", "reads and writes in two steps", func(r ports.ProductRepository) products {
		both := meet()
		return products{update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			p, err := r.Find(ctx, id)
			if err == nil {
				err = change(&p)
			}
			both()
			if err != nil {
				return p, err
			}
			return r.Update(ctx, id, func(old *product.Product) error { *old = p; return nil })
		}}
	}),
	productMutant("deleting deletes", "hides it from lists alone", func(r ports.ProductRepository) products {
		return products{delete: func(ctx context.Context, id product.ID, check func(product.Product) error) error {
			p, err := r.Find(ctx, id)
			if err == nil {
				err = check(p)
			}
			return err
		}}
	}),
	productMutant("deleting deletes", "checks nothing", func(r ports.ProductRepository) products {
		return products{delete: func(ctx context.Context, id product.ID, _ func(product.Product) error) error {
			return r.Delete(ctx, id, agree)
		}}
	}),
	productMutant("a refused deletion deletes nothing", "deletes it before it asks", func(r ports.ProductRepository) products {
		return products{delete: func(ctx context.Context, id product.ID, check func(product.Product) error) error {
			var refused error
			if err := r.Delete(ctx, id, func(p product.Product) error { refused = check(p); return nil }); err != nil {
				return err
			}
			return refused
		}}
	}),
	productMutant("a refused deletion deletes nothing", "wraps the error", func(r ports.ProductRepository) products {
		return products{delete: func(ctx context.Context, id product.ID, check func(product.Product) error) error {
			if err := r.Delete(ctx, id, check); err != nil {
				return fmt.Errorf("delete: %w", err)
			}
			return nil
		}}
	}),
	productMutant("what was deleted does not come back", "writes whatever is there", func(r ports.ProductRepository) products {
		var deleted sync.Map
		return products{
			delete: func(ctx context.Context, id product.ID, check func(product.Product) error) error {
				p, _ := r.Find(ctx, id)
				deleted.Store(id, p)
				return r.Delete(ctx, id, check)
			},
			update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
				p, err := r.Update(ctx, id, change)
				if old, ok := deleted.Load(id); ok && errors.Is(err, fault.NotFound) {
					p = old.(product.Product)
					_ = change(&p)
					err = r.Add(ctx, p)
				}
				return p, err
			},
		}
	}),
	productMutant("what is deleted is what was checked", "checks and deletes in two steps", func(r ports.ProductRepository) products {
		var updated flags
		return products{
			delete: func(ctx context.Context, id product.ID, check func(product.Product) error) error {
				p, err := r.Find(ctx, id)
				if err == nil {
					err = check(p)
				}
				<-updated.of(id)
				if err != nil {
					return err
				}
				return r.Delete(ctx, id, agree)
			},
			update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
				defer close(updated.of(id))
				return r.Update(ctx, id, change)
			},
		}
	}),
	productMutant("nothing handed out is shared", "keeps the product that a change was given", func(r ports.ProductRepository) products {
		var held *product.Product
		return products{
			update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
				return r.Update(ctx, id, func(p *product.Product) error { held = p; return change(p) })
			},
			find: func(context.Context, product.ID) (product.Product, error) { return *held, nil },
		}
	}),
	productMutant("nothing handed out is shared", "gives one list to all", func(r ports.ProductRepository) products {
		var cache kept[[]product.Product]
		return products{list: func(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
			return cache.first(func() ([]product.Product, error) { return r.List(ctx, q) })
		}}
	}),
	productMutant("a cancelled context is an outage", "reports it as missing", func(r ports.ProductRepository) products {
		return products{find: func(ctx context.Context, id product.ID) (product.Product, error) {
			p, err := r.Find(ctx, id)
			if err != nil {
				err = product.ErrUnknown
			}
			return p, err
		}}
	}),
	productMutant("a cancelled context is an outage", "lists nothing", func(r ports.ProductRepository) products {
		return products{list: func(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
			list, _ := r.List(ctx, q)
			return list, nil
		}}
	}),
	productMutant("a cancelled context is an outage", "counts nothing", func(r ports.ProductRepository) products {
		return products{count: func(ctx context.Context, q ports.ProductQuery) (int, error) {
			n, _ := r.Count(ctx, q)
			return n, nil
		}}
	}),
	productMutant("a cancelled context is an outage", "adds all the same", func(r ports.ProductRepository) products {
		return products{add: func(ctx context.Context, p product.Product) error { return late(ctx, r.Add(deaf(ctx), p)) }}
	}),
	productMutant("who hangs up meanwhile changes nothing", "updates without looking at the context again", func(r ports.ProductRepository) products {
		return products{update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			p, err := r.Update(deaf(ctx), id, change)
			return p, late(ctx, err)
		}}
	}),
	productMutant("who hangs up meanwhile changes nothing", "deletes without looking at the context again", func(r ports.ProductRepository) products {
		return products{delete: func(ctx context.Context, id product.ID, check func(product.Product) error) error {
			return late(ctx, r.Delete(deaf(ctx), id, check))
		}}
	}),
}

// asked makes a repository that asks another question than the one it was
// asked.
func asked(alter func(*ports.ProductQuery)) func(ports.ProductRepository) products {
	return func(r ports.ProductRepository) products {
		return products{list: func(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
			alter(&q)
			return r.List(ctx, q)
		}}
	}
}

// tallying makes a repository that counts for another question.
func tallying(alter func(*ports.ProductQuery)) func(ports.ProductRepository) products {
	return func(r ports.ProductRepository) products {
		return products{count: func(ctx context.Context, q ports.ProductQuery) (int, error) {
			alter(&q)
			return r.Count(ctx, q)
		}}
	}
}

// searched makes a repository that searches in its own way.
func searched(matches func(p product.Product, text string) bool) func(ports.ProductRepository) products {
	return func(r ports.ProductRepository) products {
		return products{list: func(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
			text := q.Text
			q.Text = ""
			list, err := r.List(ctx, q)
			return slices.DeleteFunc(list, func(p product.Product) bool { return !matches(p, text) }), err
		}}
	}
}

// stands reports whether a folded text stands in a product.
func stands(p product.Product, text string) bool {
	return strings.Contains(product.Fold(p.Name()), text) || strings.Contains(product.Fold(p.Description()), text)
}

// skipping makes a repository that counts how many rows to skip.
func skipping(r ports.ProductRepository) products {
	skip := 0
	return products{list: func(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
		if q.After == (product.Position{}) {
			skip = 0
		}
		limit := q.Limit
		q.After, q.Limit = product.Position{}, 1000
		all, err := r.List(ctx, q)
		page := all[min(skip, len(all)):min(skip+limit, len(all))]
		skip += len(page)
		return page, err
	}}
}

var listMutants = []mutant[ProductStores]{
	productMutant("no filter shows nothing", "takes none for everything", asked(func(q *ports.ProductQuery) {
		if q.Visible == nil {
			q.Visible = access.Everything
		}
	})),
	productMutant("the list is what the filter holds for", "does not know Not", asked(func(q *ports.ProductQuery) {
		if not, ok := q.Visible.(access.Not); ok {
			q.Visible = not.Filter
		}
	})),
	productMutant("the list is what the filter holds for", "takes an empty Either for no condition", asked(func(q *ports.ProductQuery) {
		if either, ok := q.Visible.(access.Either); ok && len(either) == 0 {
			q.Visible = access.Everything
		}
	})),
	productMutant("the list is what the filter holds for", "compares stocks the other way", asked(func(q *ports.ProductQuery) {
		if c, ok := q.Visible.(access.Compare); ok && c.Field == access.FieldStock && c.Relation == access.AtLeast {
			q.Visible = access.StockIs(access.AtMost, c.Number)
		}
	})),
	productMutant("the list is narrowed by owner and status", "does not look at the owner", asked(func(q *ports.ProductQuery) { q.Owner = user.ID{} })),
	productMutant("the list is narrowed by owner and status", "does not look at the status", asked(func(q *ports.ProductQuery) { q.Status = product.Status{} })),
	productMutant("the list is narrowed by owner and status", "shows an owner what the filter hides", asked(func(q *ports.ProductQuery) {
		if q.Owner != (user.ID{}) {
			q.Visible = access.Everything
		}
	})),
	productMutant("text is taken literally", "knows wildcards", asked(func(q *ports.ProductQuery) { q.Text = strings.Trim(q.Text, "%_") })),
	productMutant("text is taken literally", "knows escapes", asked(func(q *ports.ProductQuery) { q.Text = strings.ReplaceAll(q.Text, `\`, "") })),
	productMutant("any piece of a text is found, and nothing that is none", "finds nothing that is shorter than three", searched(func(p product.Product, text string) bool {
		return utf8.RuneCountInString(text) > 2 && stands(p, product.Fold(text))
	})),
	productMutant("any piece of a text is found, and nothing that is none", "knows ASCII alone", searched(func(p product.Product, text string) bool {
		known := func(r rune) rune {
			if r > unicode.MaxASCII {
				return -1
			}
			return r
		}
		return strings.Contains(strings.Map(known, product.Fold(p.Name())), strings.Map(known, text)) || strings.Contains(strings.Map(known, product.Fold(p.Description())), strings.Map(known, text))
	})),
	productMutant("any piece of a text is found, and nothing that is none", "takes pieces for the whole", searched(func(p product.Product, text string) bool {
		runes := []rune(product.Fold(text))
		for i := 0; i+3 < len(runes); i++ {
			if !stands(p, string(runes[i:i+3])) {
				return false
			}
		}
		return stands(p, string(runes[max(len(runes)-3, 0):]))
	})),
	productMutant("text is found in any case and composition", "does not fold what is searched for", searched(func(p product.Product, text string) bool {
		return strings.Contains(product.Fold(p.Name()), text) || strings.Contains(product.Fold(p.Description()), text)
	})),
	productMutant("text is found in any case and composition", "does not compose", searched(func(p product.Product, text string) bool {
		return strings.Contains(strings.ToLower(p.Name()+"\n"+p.Description()), strings.ToLower(text))
	})),
	productMutant("text is found in a changed product", "searches in what was added", func(r ports.ProductRepository) products {
		folded := map[product.ID]string{}
		m := searched(func(p product.Product, text string) bool { return strings.Contains(folded[p.ID()], product.Fold(text)) })(r)
		m.add = func(ctx context.Context, p product.Product) error {
			folded[p.ID()] = product.Fold(p.Name() + "\n" + p.Description())
			return r.Add(ctx, p)
		}
		return m
	}),
	productMutant("text does not span name and description", "joins them by a blank", searched(func(p product.Product, text string) bool {
		return strings.Contains(product.Fold(p.Name()+" "+p.Description()), product.Fold(text))
	})),
	productMutant("text does not span name and description", "joins them by a line break", searched(func(p product.Product, text string) bool {
		return strings.Contains(product.Fold(p.Name()+"\n"+p.Description()), product.Fold(text))
	})),
	productMutant("text that cannot be is found nowhere", "takes NUL for an outage", func(r ports.ProductRepository) products {
		return products{list: func(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
			if strings.ContainsRune(q.Text, 0) {
				return nil, fault.Outage(errors.New("22021"))
			}
			return r.List(ctx, q)
		}}
	}),
	productMutant("text that cannot be is found nowhere", "ends at NUL", asked(func(q *ports.ProductQuery) {
		q.Text, _, _ = strings.Cut(q.Text, "\x00")
	})),
	productMutant("every order is that of the domain", "sorts names as people do", func(r ports.ProductRepository) products {
		return products{list: func(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
			list, err := r.List(ctx, q)
			if q.Sort == product.NameUp {
				slices.SortStableFunc(list, func(a, b product.Product) int { return strings.Compare(product.Fold(a.Name()), product.Fold(b.Name())) })
			}
			return list, err
		}}
	}),
	productMutant("every order is that of the domain", "leaves ties as they come", func(r ports.ProductRepository) products {
		return products{list: func(ctx context.Context, q ports.ProductQuery) ([]product.Product, error) {
			list, err := r.List(ctx, q)
			if q.Sort == product.DearestFirst {
				slices.SortFunc(list, func(a, b product.Product) int { return a.ID().Compare(b.ID().UUID) })
				slices.SortStableFunc(list, func(a, b product.Product) int { return int(b.Price().Amount() - a.Price().Amount()) })
			}
			return list, err
		}}
	}),
	productMutant("the newest come first unless asked otherwise", "begins with the oldest", asked(func(q *ports.ProductQuery) {
		if q.Sort == (product.Sort{}) {
			q.Sort = product.OldestFirst
		}
	})),
	productMutant("pages hold everything once", "goes on after the ties", asked(func(q *ports.ProductQuery) {
		if q.After != (product.Position{}) && !q.Sort.Descending() {
			q.After.ID = product.ID{UUID: [16]byte(slices.Repeat([]byte{0xff}, 16))}
		}
	})),
	productMutant("pages hold everything once", "repeats where it was", asked(func(q *ports.ProductQuery) {
		if q.Sort == product.DearestFirst && q.After.Amount > 0 {
			q.After.ID = product.ID{UUID: [16]byte(slices.Repeat([]byte{0xff}, 16))}
		}
	})),
	productMutant("pages bear what is added and deleted", "counts rows to skip", skipping),
	productMutant("no more than the limit", "looks one further", asked(func(q *ports.ProductQuery) { q.Limit++ })),
	productMutant("no more than the limit", "takes zero for no limit", asked(func(q *ports.ProductQuery) {
		if q.Limit == 0 {
			q.Limit = 1000
		}
	})),
	productMutant("no filter counts nothing", "takes none for everything", tallying(func(q *ports.ProductQuery) {
		if q.Visible == nil {
			q.Visible = access.Everything
		}
	})),
	productMutant("a count is that of what the filter holds for", "counts what there is", tallying(func(q *ports.ProductQuery) { q.Visible = access.Everything })),
	productMutant("a count is that of what the filter holds for", "does not know Not", tallying(func(q *ports.ProductQuery) {
		if not, ok := q.Visible.(access.Not); ok {
			q.Visible = not.Filter
		}
	})),
	productMutant("a count is that of what the filter holds for", "drops what an owner may see", tallying(func(q *ports.ProductQuery) {
		if either, ok := q.Visible.(access.Either); ok && len(either) > 1 {
			q.Visible = either[1:]
		}
	})),
	productMutant("a count is narrowed as the list is", "does not look at the owner", tallying(func(q *ports.ProductQuery) { q.Owner = user.ID{} })),
	productMutant("a count is narrowed as the list is", "does not look at the status", tallying(func(q *ports.ProductQuery) { q.Status = product.Status{} })),
	productMutant("a count is narrowed as the list is", "does not look at the text", tallying(func(q *ports.ProductQuery) { q.Text = "" })),
	productMutant("a count is narrowed as the list is", "takes NUL for an outage", func(r ports.ProductRepository) products {
		return products{count: func(ctx context.Context, q ports.ProductQuery) (int, error) {
			if strings.ContainsRune(q.Text, 0) {
				return 0, fault.Outage(errors.New("22021"))
			}
			return r.Count(ctx, q)
		}}
	}),
	productMutant("a count is that of all pages", "counts one page", func(r ports.ProductRepository) products {
		return products{count: func(ctx context.Context, q ports.ProductQuery) (int, error) {
			list, err := r.List(ctx, q)
			return len(list), err
		}}
	}),
	productMutant("a count is that of all pages", "counts what is left", func(r ports.ProductRepository) products {
		return products{count: func(ctx context.Context, q ports.ProductQuery) (int, error) {
			q.Limit = 1000
			list, err := r.List(ctx, q)
			return len(list), err
		}}
	}),
}
