package portstest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"gatehouse/domain/access"
	"gatehouse/domain/fault"
	"gatehouse/ports"
)

// policies is a repository with some of its methods replaced.
type policies struct {
	ports.PolicyRepository
	version func(context.Context) (int64, error)
	load    func(context.Context) (access.Table, error)
	seed    func(context.Context, access.Revision) (bool, error)
}

func (s policies) Version(ctx context.Context) (int64, error) {
	if s.version == nil {
		return s.PolicyRepository.Version(ctx)
	}
	return s.version(ctx)
}

func (s policies) Load(ctx context.Context) (access.Table, error) {
	if s.load == nil {
		return s.PolicyRepository.Load(ctx)
	}
	return s.load(ctx)
}

func (s policies) Seed(ctx context.Context, rev access.Revision) (bool, error) {
	if s.seed == nil {
		return s.PolicyRepository.Seed(ctx, rev)
	}
	return s.seed(ctx, rev)
}

func policyMutant(check, fault string, f func(r ports.PolicyRepository) policies) mutant[ports.PolicyRepository] {
	return mutant[ports.PolicyRepository]{check, fault, func(r ports.PolicyRepository) ports.PolicyRepository {
		m := f(r)
		m.PolicyRepository = r
		return m
	}}
}

var policyMutants = []mutant[ports.PolicyRepository]{
	policyMutant("an empty store has version zero", "begins with one", func(r ports.PolicyRepository) policies {
		return policies{version: func(ctx context.Context) (int64, error) {
			v, err := r.Version(ctx)
			return max(v, 1), err
		}}
	}),
	policyMutant("seeding fills the table", "forgets inheritance", func(r ports.PolicyRepository) policies {
		return policies{seed: func(ctx context.Context, rev access.Revision) (bool, error) {
			rev.Table.Inherits = nil
			return r.Seed(ctx, rev)
		}}
	}),
	policyMutant("seeding fills the table", "forgets ids", func(r ports.PolicyRepository) policies {
		return policies{load: func(ctx context.Context) (access.Table, error) {
			t, err := r.Load(ctx)
			for i := range t.Rows {
				t.Rows[i].ID = access.PolicyID{}
			}
			return t, err
		}}
	}),
	policyMutant("seeding again changes nothing", "says that it did", func(r ports.PolicyRepository) policies {
		return policies{seed: func(ctx context.Context, rev access.Revision) (bool, error) {
			_, err := r.Seed(ctx, rev)
			return err == nil, err
		}}
	}),
	policyMutant("a table emptied on purpose is not filled", "fills what has no rows", func(r ports.PolicyRepository) policies {
		return policies{seed: func(ctx context.Context, rev access.Revision) (bool, error) {
			if len(rev.Table.Rows) == 0 {
				return true, nil
			}
			return r.Seed(ctx, rev)
		}}
	}),
	policyMutant("words mean nothing to the store", "drops rows without a role", func(r ports.PolicyRepository) policies {
		return policies{load: func(ctx context.Context) (access.Table, error) {
			t, err := r.Load(ctx)
			t.Rows = slices.DeleteFunc(t.Rows, func(r access.Row) bool { return r.Role == "" })
			return t, err
		}}
	}),
	policyMutant("words mean nothing to the store", "cuts long words", func(r ports.PolicyRepository) policies {
		return policies{load: func(ctx context.Context) (access.Table, error) {
			t, err := r.Load(ctx)
			for i, row := range t.Rows {
				t.Rows[i].Role = row.Role[:min(len(row.Role), 255)]
			}
			return t, err
		}}
	}),
	policyMutant("of seedings at once one wins", "lets every node believe that it did", func(r ports.PolicyRepository) policies {
		return policies{seed: func(ctx context.Context, rev access.Revision) (bool, error) {
			_, err := r.Seed(ctx, rev)
			return err == nil, err
		}}
	}),
	policyMutant("a table is read as of one moment", "reads the rows after the version", func(r ports.PolicyRepository) policies {
		var once sync.Once
		read, seeded := make(chan struct{}), make(chan struct{})
		return policies{
			load: func(ctx context.Context) (access.Table, error) {
				v, err := r.Version(ctx)
				once.Do(func() { close(read) })
				<-seeded
				t, err2 := r.Load(ctx)
				t.Version = v
				return t, errors.Join(err, err2)
			},
			seed: func(ctx context.Context, rev access.Revision) (bool, error) {
				<-read
				defer close(seeded)
				return r.Seed(ctx, rev)
			},
		}
	}),
	policyMutant("nothing handed over is shared", "keeps the rows that it was given", func(r ports.PolicyRepository) policies {
		var held access.Table
		return policies{
			seed: func(ctx context.Context, rev access.Revision) (bool, error) {
				held = access.Table{Version: 1, Rows: rev.Table.Rows, Inherits: rev.Table.Inherits}
				return r.Seed(ctx, rev)
			},
			load: func(context.Context) (access.Table, error) {
				return access.Table{Version: 1, Rows: slices.Clone(held.Rows), Inherits: slices.Clone(held.Inherits)}, nil
			},
		}
	}),
	policyMutant("nothing handed over is shared", "gives one table to all", func(r ports.PolicyRepository) policies {
		var cache kept[access.Table]
		return policies{load: func(ctx context.Context) (access.Table, error) {
			return cache.first(func() (access.Table, error) { return r.Load(ctx) })
		}}
	}),
	policyMutant("a cancelled context is an outage", "reads it as an empty table", func(r ports.PolicyRepository) policies {
		return policies{load: func(ctx context.Context) (access.Table, error) {
			t, err := r.Load(ctx)
			if errors.Is(err, fault.Unavailable) {
				err = nil
			}
			return t, err
		}}
	}),
	policyMutant("a cancelled context is an outage", "seeds all the same", func(r ports.PolicyRepository) policies {
		return policies{seed: func(ctx context.Context, rev access.Revision) (bool, error) {
			ok, err := r.Seed(deaf(ctx), rev)
			return ok, late(ctx, err)
		}}
	}),
}
