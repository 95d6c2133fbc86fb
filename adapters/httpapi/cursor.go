package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/application/products"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
)

// A cursor is where a list goes on, bound to the query that it came from:
//
//	version (1 byte) | checksum (12) | id (16) | key of the order
//
// in base64url. The key is eight bytes for a time (microseconds) or an amount,
// and the rest for a name. The checksum is the head of a SHA-256 over the
// query's filters and the position. It finds mistakes, a cursor cut short or
// used with another filter; it is no secret and need not be one: whatever
// position somebody makes up, they are shown what they may see.
const (
	cursorVersion = 1
	cursorSum     = 12
	cursorHead    = 1 + cursorSum + 16
	maxCursor     = 2048 // characters; the longest name needs some 1,100
)

// cursorText has one spelling for each cursor.
var cursorText = base64.RawURLEncoding.Strict()

func encodeCursor(q products.Query, caller user.ID, p product.Position) string {
	place := append(p.ID.UUID[:], keyOf(q.Sort, p)...)
	sum := cursorChecksum(q, caller, place)
	b := append([]byte{cursorVersion}, sum[:cursorSum]...)
	return cursorText.EncodeToString(append(b, place...))
}

// decodeCursor reports false for whatever encodeCursor did not make for q.
func decodeCursor(q products.Query, caller user.ID, s string) (product.Position, bool) {
	// The decoder passes over line breaks; no cursor holds one.
	if len(s) > maxCursor || strings.ContainsAny(s, "\r\n") {
		return product.Position{}, false
	}
	b, err := cursorText.DecodeString(s)
	if err != nil || len(b) < cursorHead || b[0] != cursorVersion {
		return product.Position{}, false
	}
	place := b[1+cursorSum:]
	sum := cursorChecksum(q, caller, place)
	if subtle.ConstantTimeCompare(sum[:cursorSum], b[1:1+cursorSum]) != 1 {
		return product.Position{}, false
	}
	var p product.Position
	copy(p.ID.UUID[:], place)
	return p, setKey(q.Sort, &p, place[len(p.ID.UUID):])
}

func cursorChecksum(q products.Query, caller user.ID, place []byte) [sha256.Size]byte {
	owner := orZero(q.Owner)
	if q.Mine {
		owner = caller
	}
	b := append([]byte{cursorVersion}, owner.UUID[:]...)
	for _, part := range []string{sortOf(q.Sort).String(), q.Status.String(), q.Text} {
		b = binary.AppendUvarint(b, uint64(len(part))) // so that no two queries run together
		b = append(b, part...)
	}
	return sha256.Sum256(append(b, place...))
}

func sortOf(s product.Sort) product.Sort {
	if s == (product.Sort{}) {
		return product.NewestFirst
	}
	return s
}

func keyOf(s product.Sort, p product.Position) []byte {
	switch sortOf(s).Key() {
	case "name":
		return []byte(p.Name)
	case "price":
		return binary.BigEndian.AppendUint64(nil, uint64(p.Amount))
	}
	return binary.BigEndian.AppendUint64(nil, uint64(p.CreatedAt.UnixMicro()))
}

// lastInstant is the last microsecond of the year 9999, after which stores
// disagree about what a time is.
const lastInstant = 253_402_300_799_999_999

// setKey reads a key, within what a store can be asked about.
func setKey(s product.Sort, p *product.Position, key []byte) bool {
	if sortOf(s).Key() == "name" {
		p.Name = string(key)
		return utf8.Valid(key) && !strings.ContainsRune(p.Name, 0)
	}
	if len(key) != 8 {
		return false
	}
	n := int64(binary.BigEndian.Uint64(key))
	if sortOf(s).Key() == "price" {
		p.Amount = n
		return n >= 0 && n <= product.MaxAmount
	}
	p.CreatedAt = time.UnixMicro(n).UTC()
	return n >= 0 && n <= lastInstant
}
