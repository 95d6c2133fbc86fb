// Package aead seals what is kept by others with XChaCha20-Poly1305
// (draft-irtf-cfrg-xchacha) from golang.org/x/crypto, under keys that are
// derived for each label with HKDF-SHA256 (RFC 5869). Read [Sealer].
//
// Its nonces have 192 bits, so that random ones may be drawn for ever: a key
// out of the database is never renewed by itself, and AES-GCM would have to
// count what it sealed (NIST SP 800-38D section 8.3).
package aead

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"

	"gatehouse/ports"
)

// MinSecretBytes is how long a secret is at the least: 256 bits, if they are
// random.
const MinSecretBytes = 32

// layout is the first byte of what is sealed. It is followed by the nonce, and
// that by the ciphertext with its tag. Another layout would have another byte.
const layout = 1

// Sealer seals with the first of its secrets and opens with any of them. It is
// safe for many goroutines at once.
type Sealer struct {
	roots [][]byte // HKDF's pseudorandom key of each secret, the newest first
}

var _ ports.Sealer = (*Sealer)(nil)

// New returns a sealer. A secret is any text of at least [MinSecretBytes] bytes;
// the first seals, all open, so that a secret can be replaced while what it
// sealed is still about.
func New(secrets ...[]byte) (*Sealer, error) {
	if len(secrets) == 0 {
		return nil, errors.New("there is no secret to seal with")
	}
	s := &Sealer{}
	for _, secret := range secrets {
		if len(secret) < MinSecretBytes {
			return nil, errors.New("a secret to seal with has less than 32 bytes")
		}
		root, err := hkdf.Extract(sha256.New, secret, nil)
		if err != nil {
			return nil, err
		}
		s.roots = append(s.roots, root)
	}
	return s, nil
}

// Seal implements ports.Sealer. It adds 41 bytes.
func (s *Sealer) Seal(label string, clear []byte) []byte {
	box := cipherFor(s.roots[0], label)
	sealed := make([]byte, 1+box.NonceSize(), 1+box.NonceSize()+len(clear)+box.Overhead())
	sealed[0] = layout
	nonce := sealed[1:]
	rand.Read(nonce) // never fails: it ends the process instead (crypto/rand)
	return box.Seal(sealed, nonce, clear, bound(label))
}

// Open implements ports.Sealer.
func (s *Sealer) Open(label string, sealed []byte) ([]byte, bool) {
	if len(sealed) < 1+chacha20poly1305.NonceSizeX || sealed[0] != layout {
		return nil, false
	}
	nonce, text := sealed[1:1+chacha20poly1305.NonceSizeX], sealed[1+chacha20poly1305.NonceSizeX:]
	for _, root := range s.roots {
		if clear, err := cipherFor(root, label).Open(nil, nonce, text, bound(label)); err == nil {
			return clear, true
		}
	}
	return nil, false
}

// cipherFor gives the cipher of a label. Its key is the label's own, so that
// what leaks of one purpose says nothing of another.
func cipherFor(root []byte, label string) cipher.AEAD {
	key, err := hkdf.Expand(sha256.New, root, "gatehouse seal "+label, chacha20poly1305.KeySize)
	if err != nil { // for keys beyond 8160 bytes alone
		panic(err)
	}
	box, err := chacha20poly1305.NewX(key)
	if err != nil { // for keys of another size alone
		panic(err)
	}
	return box
}

// bound is what is authenticated beside the text: under which layout and label
// it was sealed.
func bound(label string) []byte { return append([]byte{layout}, label...) }
