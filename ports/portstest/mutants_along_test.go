package portstest

import (
	"context"
	"slices"
	"testing"

	"gatehouse/adapters/memory"
	"gatehouse/domain/factor"
	"gatehouse/domain/product"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

func soundRecords() RecordStores {
	db := memory.New()
	return RecordStores{
		Users: db.Users(), Factors: db.Factors(), Products: db.Products(), Ledger: db.Ledger(), Log: db.Ledger(), Tickets: db.Tickets(), Answers: db.Answers(), Outbox: db.Outbox(), Events: db.Events(),
	}
}

func TestAlongChecksCanFail(t *testing.T) {
	prove(t, alongChecks, soundRecords, slices.Concat(alongMutants, adminMutants))
}
func TestFactorChecksCanFail(t *testing.T) { prove(t, factorChecks, soundRecords, factorMutants) }
func TestLedgerChecksCanFail(t *testing.T) {
	prove(t, ledgerChecks, soundRecords, slices.Concat(ledgerMutants, searchLedgerMutants))
}
func TestTicketChecksCanFail(t *testing.T) { prove(t, ticketChecks, soundRecords, ticketMutants) }
func TestAnswerChecksCanFail(t *testing.T) { prove(t, answerChecks, soundRecords, answerMutants) }
func TestEventChecksCanFail(t *testing.T)  { prove(t, eventChecks, soundRecords, eventMutants) }
func TestOutboxChecksCanFail(t *testing.T) { prove(t, outboxChecks, soundRecords, outboxMutants) }

// act is a change, by whatever store, with what goes along.
type act func(ctx context.Context, with ...*ports.Along) error

// around does every change otherwise: it is given what the real store does.
type around func(ctx context.Context, do act, with []*ports.Along) error

type usersAround struct {
	ports.UserRepository
	around
}

func (s usersAround) Add(ctx context.Context, u user.User, with ...*ports.Along) error {
	return s.around(ctx, func(ctx context.Context, with ...*ports.Along) error { return s.UserRepository.Add(ctx, u, with...) }, with)
}

func (s usersAround) Update(ctx context.Context, id user.ID, change func(*user.User) error, with ...*ports.Along) (u user.User, err error) {
	return u, s.around(ctx, func(ctx context.Context, with ...*ports.Along) (err error) {
		u, err = s.UserRepository.Update(ctx, id, change, with...)
		return err
	}, with)
}

func (s usersAround) Delete(ctx context.Context, id user.ID, check func(user.User) error, with ...*ports.Along) error {
	return s.around(ctx, func(ctx context.Context, with ...*ports.Along) error {
		return s.UserRepository.Delete(ctx, id, check, with...)
	}, with)
}

type factorsAround struct {
	ports.FactorRepository
	around
}

func (s factorsAround) Update(ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (f factor.Factor, err error) {
	return f, s.around(ctx, func(ctx context.Context, with ...*ports.Along) (err error) {
		f, err = s.FactorRepository.Update(ctx, id, change, with...)
		return err
	}, with)
}

type productsAround struct {
	ports.ProductRepository
	around
}

func (s productsAround) Add(ctx context.Context, p product.Product, with ...*ports.Along) error {
	return s.around(ctx, func(ctx context.Context, with ...*ports.Along) error { return s.ProductRepository.Add(ctx, p, with...) }, with)
}

func (s productsAround) Update(ctx context.Context, id product.ID, change func(*product.Product) error, with ...*ports.Along) (p product.Product, err error) {
	return p, s.around(ctx, func(ctx context.Context, with ...*ports.Along) (err error) {
		p, err = s.ProductRepository.Update(ctx, id, change, with...)
		return err
	}, with)
}

func (s productsAround) Delete(ctx context.Context, id product.ID, check func(product.Product) error, with ...*ports.Along) error {
	return s.around(ctx, func(ctx context.Context, with ...*ports.Along) error {
		return s.ProductRepository.Delete(ctx, id, check, with...)
	}, with)
}

// recordMutant makes a mutant out of the stores that it breaks.
func recordMutant(check, fault string, breaks func(s *RecordStores)) mutant[RecordStores] {
	return mutant[RecordStores]{check, fault, func(s RecordStores) RecordStores {
		breaks(&s)
		return s
	}}
}

// everyChange is a mutant that does every change otherwise.
func everyChange(check, fault string, f func(s RecordStores) around) mutant[RecordStores] {
	return recordMutant(check, fault, func(s *RecordStores) {
		way := f(*s)
		s.Users, s.Factors, s.Products = usersAround{s.Users, way}, factorsAround{s.Factors, way}, productsAround{s.Products, way}
	})
}

// handing is a mutant that hands over something else than it was given.
func handing(check, fault string, alter func(a *ports.Along)) mutant[RecordStores] {
	return everyChange(check, fault, func(RecordStores) around {
		return func(ctx context.Context, do act, with []*ports.Along) error {
			a := joinedAlong(with)
			alter(&a)
			return do(ctx, &a)
		}
	})
}

// joinedAlong makes one of several, as they are now.
func joinedAlong(with []*ports.Along) (all ports.Along) {
	for _, a := range with {
		all.Letters, all.Audit, all.Void = slices.Concat(all.Letters, a.Letters), slices.Concat(all.Audit, a.Audit), slices.Concat(all.Void, a.Void)
		all.Events = slices.Concat(all.Events, a.Events)
		all.Answers = slices.Concat(all.Answers, a.Answers)
		if !a.Redeem.IsZero() {
			all.Redeem, all.RedeemAt = a.Redeem, a.RedeemAt
		}
		if a.Admins != nil {
			all.Admins = a.Admins
		}
	}
	return all
}

// note keeps what goes along with a change by itself.
func (s RecordStores) note(ctx context.Context, with []*ports.Along) error {
	a := joinedAlong(with)
	return s.Ledger.Record(ctx, ports.Along{Letters: a.Letters, Audit: a.Audit})
}

// noteWhatFails writes down what went along with a change that failed.
func noteWhatFails(s RecordStores) around {
	return func(ctx context.Context, do act, with []*ports.Along) error {
		err := do(ctx, with...)
		if err != nil {
			_ = s.note(deaf(ctx), with)
		}
		return err
	}
}

// useUpFirst uses up and voids tickets before the change.
func useUpFirst(s RecordStores) around {
	return func(ctx context.Context, do act, with []*ports.Along) error {
		a := joinedAlong(with)
		all, _ := s.Users.List(deaf(ctx), user.ID{}, 1000)
		for _, u := range all {
			only := ports.Along{Redeem: a.Redeem, RedeemAt: a.RedeemAt, Void: a.Void}
			_, _ = s.Users.Update(deaf(ctx), u.ID(), func(*user.User) error { return nil }, &only)
		}
		a.Redeem = session.Key{}
		return do(ctx, &a)
	}
}

var alongMutants = []mutant[RecordStores]{
	handing("it is kept with every change", "forgets the letters", func(a *ports.Along) { a.Letters = nil }),
	handing("it is kept with every change", "forgets the entries", func(a *ports.Along) { a.Audit = nil }),
	handing("it is kept with every change", "keeps one letter alone", func(a *ports.Along) { a.Letters = a.Letters[:min(len(a.Letters), 1)] }),
	handing("it is kept with every change", "writes entries down backwards", func(a *ports.Along) {
		a.Audit = slices.Clone(a.Audit)
		slices.Reverse(a.Audit)
	}),
	recordMutant("it is kept with every change", "keeps nothing with a deletion", func(s *RecordStores) {
		r := s.Users
		s.Users = users{UserRepository: r, delete: func(ctx context.Context, id user.ID, check func(user.User) error) error {
			return r.Delete(ctx, id, check)
		}}
	}),
	recordMutant("it is kept with every change", "keeps nothing with a factor", func(s *RecordStores) {
		r := s.Factors
		s.Factors = factors{FactorRepository: r, update: func(ctx context.Context, id user.ID, change func(*factor.Factor) error, _ ...*ports.Along) (factor.Factor, error) {
			return r.Update(ctx, id, change)
		}}
	}),
	recordMutant("it is kept with every change", "keeps nothing with a product", func(s *RecordStores) {
		r := s.Products
		s.Products = products{ProductRepository: r, update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			return r.Update(ctx, id, change)
		}}
	}),
	recordMutant("it is kept with every change", "keeps nothing with the end of a product", func(s *RecordStores) {
		r := s.Products
		s.Products = products{ProductRepository: r, delete: func(ctx context.Context, id product.ID, check func(product.Product) error) error {
			return r.Delete(ctx, id, check)
		}}
	}),
	recordMutant("it is kept with a new product", "keeps nothing with one", func(s *RecordStores) {
		r := s.Products
		s.Products = products{ProductRepository: r, add: func(ctx context.Context, p product.Product) error { return r.Add(ctx, p) }}
	}),
	everyChange("it is kept with a new product", "writes down what it did not add", noteWhatFails),
	everyChange("it is kept with a new product", "adds first and writes down then", inTwoSteps),
	recordMutant("it is kept where nothing changes", "writes nothing where a product stays as it is", func(s *RecordStores) {
		r := s.Products
		s.Products = products{ProductRepository: r, update: func(ctx context.Context, id product.ID, change func(*product.Product) error) (product.Product, error) {
			return r.Update(ctx, id, change)
		}}
	}),
	recordMutant("it is kept with a new user", "keeps nothing with one", func(s *RecordStores) {
		r := s.Users
		s.Users = users{UserRepository: r, add: func(ctx context.Context, u user.User) error { return r.Add(ctx, u) }}
	}),
	everyChange("it is kept with a new user", "writes down whom it did not add", noteWhatFails),
	everyChange("it is kept with a new user", "adds first and writes to them then", inTwoSteps),
	recordMutant("it is kept where nothing changes", "writes nothing then", func(s *RecordStores) {
		r := s.Users
		s.Users = users{UserRepository: r, update: func(ctx context.Context, id user.ID, change func(*user.User) error) (user.User, error) {
			u, err := r.Find(ctx, id)
			if err != nil {
				return u, err
			}
			return u, change(&u)
		}}
	}),
	recordMutant("it is kept where nothing changes", "writes nothing where there is no factor", func(s *RecordStores) {
		r := s.Factors
		s.Factors = factors{FactorRepository: r, update: func(ctx context.Context, id user.ID, change func(*factor.Factor) error, with ...*ports.Along) (factor.Factor, error) {
			f, err := r.Find(ctx, id)
			if err != nil || change(&f) != nil || !f.IsZero() {
				return r.Update(ctx, id, change, with...)
			}
			return f, nil
		}}
	}),
	handing("it is read after the change", "reads it before", func(*ports.Along) {}),
	everyChange("several are kept in their order", "keeps the first alone", func(RecordStores) around {
		return func(ctx context.Context, do act, with []*ports.Along) error {
			return do(ctx, with[:min(1, len(with))]...)
		}
	}),
	everyChange("several are kept in their order", "keeps the last first", func(RecordStores) around {
		return func(ctx context.Context, do act, with []*ports.Along) error {
			with = slices.Clone(with)
			slices.Reverse(with)
			return do(ctx, with...)
		}
	}),
	everyChange("a refused change keeps nothing of it", "writes it down all the same", noteWhatFails),
	everyChange("a refused change keeps nothing of it", "uses up tickets first", useUpFirst),
	everyChange("a refused change keeps nothing of it", "makes it all the same", func(s RecordStores) around {
		return func(ctx context.Context, do act, with []*ports.Along) error {
			err := do(ctx, with...)
			all, _ := s.Users.List(ctx, user.ID{}, 1000)
			for _, u := range all {
				_ = carriers[0].run(ctx, s, u.ID(), consent)
			}
			return err
		}
	}),
	everyChange("a change that cannot be made keeps nothing of it", "writes it down all the same", noteWhatFails),
	everyChange("what cannot be kept keeps nothing of the change", "changes first and keeps it then", inTwoSteps),
	everyChange("what cannot be kept keeps nothing of the change", "keeps what it can", func(s RecordStores) around {
		return func(ctx context.Context, do act, with []*ports.Along) error {
			err := do(ctx, with...)
			if err != nil {
				_ = s.note(ctx, with[:len(with)-1])
			}
			return err
		}
	}),
	everyChange("what cannot be kept keeps nothing of the change", "uses up tickets first", useUpFirst),
	everyChange("who hangs up keeps nothing of it", "does not look at the context again", func(RecordStores) around {
		return func(ctx context.Context, do act, with []*ports.Along) error { return late(ctx, do(deaf(ctx), with...)) }
	}),
	everyChange("who hangs up keeps nothing of it", "writes it down all the same", noteWhatFails),
	everyChange("who hangs up keeps nothing of it", "uses up tickets first", useUpFirst),
}

// inTwoSteps makes the change and keeps what goes along afterwards.
func inTwoSteps(s RecordStores) around {
	return func(ctx context.Context, do act, with []*ports.Along) error {
		if err := do(ctx); err != nil {
			return err
		}
		return s.note(ctx, with)
	}
}
