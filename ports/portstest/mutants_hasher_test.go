package portstest

import (
	"context"
	"fmt"
	"strings"

	"gatehouse/domain/fault"
	"gatehouse/domain/user"
	"gatehouse/ports"
)

// hasher is a hasher with some of its methods replaced.
type hasher struct {
	ports.PasswordHasher
	hash     func(context.Context, user.Password) (user.PasswordHash, error)
	verify   func(context.Context, user.Password, user.PasswordHash) (bool, error)
	outdated func(user.PasswordHash) bool
}

func (s hasher) Hash(ctx context.Context, p user.Password) (user.PasswordHash, error) {
	if s.hash == nil {
		return s.PasswordHasher.Hash(ctx, p)
	}
	return s.hash(ctx, p)
}

func (s hasher) Verify(ctx context.Context, p user.Password, h user.PasswordHash) (bool, error) {
	if s.verify == nil {
		return s.PasswordHasher.Verify(ctx, p, h)
	}
	return s.verify(ctx, p, h)
}

func (s hasher) Outdated(h user.PasswordHash) bool {
	if s.outdated == nil {
		return s.PasswordHasher.Outdated(h)
	}
	return s.outdated(h)
}

func hasherMutant(check, fault string, f func(r ports.PasswordHasher) hasher) mutant[ports.PasswordHasher] {
	return mutant[ports.PasswordHasher]{check, fault, func(r ports.PasswordHasher) ports.PasswordHasher {
		m := f(r)
		m.PasswordHasher = r
		return m
	}}
}

// cutting is a hasher that looks at a part of a password alone.
func cutting(cut func(string) string) func(ports.PasswordHasher) hasher {
	part := func(p user.Password) user.Password { return user.PasswordAttempt(cut(p.Reveal())) }
	return func(r ports.PasswordHasher) hasher {
		return hasher{
			hash: func(ctx context.Context, p user.Password) (user.PasswordHash, error) { return r.Hash(ctx, part(p)) },
			verify: func(ctx context.Context, p user.Password, h user.PasswordHash) (bool, error) {
				return r.Verify(ctx, part(p), h)
			},
		}
	}
}

// verdict is a hasher that alters what Verify says.
func verdict(f func(ok bool, h user.PasswordHash, err error) (bool, error)) func(ports.PasswordHasher) hasher {
	return func(r ports.PasswordHasher) hasher {
		return hasher{verify: func(ctx context.Context, p user.Password, h user.PasswordHash) (bool, error) {
			ok, err := r.Verify(ctx, p, h)
			return f(ok, h, err)
		}}
	}
}

var hasherMutants = []mutant[ports.PasswordHasher]{
	hasherMutant("the right password is verified", "verifies nothing",
		verdict(func(_ bool, _ user.PasswordHash, err error) (bool, error) { return false, err })),
	hasherMutant("a wrong password is not", "verifies everything",
		verdict(func(_ bool, _ user.PasswordHash, err error) (bool, error) { return err == nil, err })),
	hasherMutant("a wrong password is not", "does not look at case", cutting(strings.ToLower)),
	hasherMutant("every character counts", "looks at 72 bytes", cutting(func(s string) string { return s[:min(len(s), 72)] })),
	hasherMutant("every character counts", "ends at NUL", cutting(func(s string) string { before, _, _ := strings.Cut(s, "\x00"); return before })),
	hasherMutant("no hash is no password", "verifies it",
		verdict(func(ok bool, h user.PasswordHash, err error) (bool, error) { return ok || h.IsZero(), err })),
	hasherMutant("equal passwords have different hashes", "does not salt", func(r ports.PasswordHasher) hasher {
		var cache kept[user.PasswordHash]
		return hasher{hash: func(ctx context.Context, p user.Password) (user.PasswordHash, error) {
			return cache.first(func() (user.PasswordHash, error) { return r.Hash(ctx, p) })
		}}
	}),
	hasherMutant("a hash tells nothing", "has the password in it", func(r ports.PasswordHasher) hasher {
		return hasher{hash: func(ctx context.Context, p user.Password) (user.PasswordHash, error) {
			h, err := r.Hash(ctx, p)
			return user.NewPasswordHash(h.Reveal() + p.Reveal()), err
		}}
	}),
	hasherMutant("a hash tells nothing", "quotes hashes in errors", verdict(func(ok bool, h user.PasswordHash, err error) (bool, error) {
		if err != nil {
			err = fmt.Errorf("%q is no hash", h.Reveal())
		}
		return ok, err
	})),
	hasherMutant("a fresh hash is not outdated", "is never content", func(ports.PasswordHasher) hasher {
		return hasher{outdated: func(user.PasswordHash) bool { return true }}
	}),
	hasherMutant("what is no hash is an error", "takes it for a wrong password",
		verdict(func(ok bool, _ user.PasswordHash, _ error) (bool, error) { return ok, nil })),
	hasherMutant("what is no hash is an error", "takes it for an outage", verdict(func(ok bool, _ user.PasswordHash, err error) (bool, error) {
		if err != nil {
			err = fault.Outage(err)
		}
		return ok, err
	})),
	hasherMutant("a cancelled context is an outage", "hashes for nobody", func(r ports.PasswordHasher) hasher {
		return hasher{hash: func(ctx context.Context, p user.Password) (user.PasswordHash, error) { return r.Hash(deaf(ctx), p) }}
	}),
	hasherMutant("a cancelled context is an outage", "takes it for a wrong password",
		verdict(func(ok bool, _ user.PasswordHash, _ error) (bool, error) { return ok, nil })),
}
