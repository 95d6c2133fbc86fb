package memory

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strings"

	"gatehouse/domain/user"
	"gatehouse/ports"
)

// Hasher is a PasswordHasher that costs nothing, for tests alone: what it makes
// can be guessed by the billion. It salts, so that it behaves like a real one.
type Hasher struct{}

var _ ports.PasswordHasher = Hasher{}

const prefix = "$insecure-test-hash$"

func digest(salt string, p user.Password) string {
	sum := sha256.Sum256([]byte(salt + "$" + p.Reveal()))
	return prefix + salt + "$" + hex.EncodeToString(sum[:])
}

// Hash implements ports.PasswordHasher.
func (Hasher) Hash(ctx context.Context, p user.Password) (user.PasswordHash, error) {
	if err := alive(ctx); err != nil {
		return user.PasswordHash{}, err
	}
	return user.NewPasswordHash(digest(rand.Text(), p)), nil
}

// Verify implements ports.PasswordHasher.
func (Hasher) Verify(ctx context.Context, p user.Password, h user.PasswordHash) (bool, error) {
	if err := alive(ctx); err != nil || h.IsZero() {
		return false, err
	}
	salt, _, ok := strings.Cut(strings.TrimPrefix(h.Reveal(), prefix), "$")
	if !ok || !strings.HasPrefix(h.Reveal(), prefix) {
		return false, errors.New("the stored hash was not made by the hasher for tests")
	}
	return subtle.ConstantTimeCompare([]byte(digest(salt, p)), []byte(h.Reveal())) == 1, nil
}

// Outdated implements ports.PasswordHasher.
func (Hasher) Outdated(h user.PasswordHash) bool { return !strings.HasPrefix(h.Reveal(), prefix) }
