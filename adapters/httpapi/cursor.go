package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/application/products"
	"gatehouse/domain/product"
	"gatehouse/domain/user"
)

// A cursor is where a list goes on, bound to the query that it came from:
//
//	version (1 byte) | checksum (12) | place (of 16 bytes and more)
//
// in base64url. The place is the id of a user; the id of a product and the key of
// the order, which is eight bytes for a time (microseconds) or an amount, and the
// rest for a name; or the day of a row of the audit log and eight bytes for its
// place in that. The checksum is the head of a SHA-256 over the
// query's filters and the place. It finds mistakes, a cursor cut short or
// used with another filter; it is no secret and need not be one: whatever
// place somebody makes up, they are shown what they may see.
const (
	cursorVersion = 1
	cursorSum     = 12
	cursorHead    = 1 + cursorSum + 16
	maxCursor     = 2048 // characters; the longest name needs some 1,100
)

// cursorText has one spelling for each cursor.
var cursorText = base64.RawURLEncoding.Strict()

// binding is what a cursor holds of the query that it came from.
type binding []byte

// bind begins with the kind of list and takes the filters in their order.
func bind(head []byte, filters ...string) binding {
	b := append(binding{cursorVersion}, head...)
	for _, part := range filters {
		b = binary.AppendUvarint(b, uint64(len(part))) // so that no two queries run together
		b = append(b, part...)
	}
	return b
}

// cursor writes a place in the list down.
func (b binding) cursor(place []byte) string {
	return cursorText.EncodeToString(slices.Concat([]byte{cursorVersion}, b.checksum(place), place))
}

func (b binding) checksum(place []byte) []byte {
	sum := sha256.Sum256(slices.Concat(b, place))
	return sum[:cursorSum]
}

// place reads a cursor; it is false for whatever [binding.cursor] did not make for
// the query.
func (b binding) place(cursor string) ([]byte, bool) {
	// The decoder passes over line breaks; no cursor holds one.
	if len(cursor) > maxCursor || strings.ContainsAny(cursor, "\r\n") {
		return nil, false
	}
	read, err := cursorText.DecodeString(cursor)
	if err != nil || len(read) < cursorHead || read[0] != cursorVersion {
		return nil, false
	}
	place := read[1+cursorSum:]
	return place, subtle.ConstantTimeCompare(b.checksum(place), read[1:1+cursorSum]) == 1
}

func bindProducts(q products.Query, caller user.ID) binding {
	owner := orZero(q.Owner)
	if q.Mine {
		owner = caller
	}
	return bind(owner.UUID[:], sortOf(q.Sort).String(), q.Status.String(), q.Text)
}

func encodeCursor(q products.Query, caller user.ID, p product.Position) string {
	return bindProducts(q, caller).cursor(append(p.ID.UUID[:], keyOf(q.Sort, p)...))
}

// decodeCursor reports false for whatever encodeCursor did not make for q.
func decodeCursor(q products.Query, caller user.ID, s string) (product.Position, bool) {
	place, ok := bindProducts(q, caller).place(s)
	if !ok {
		return product.Position{}, false
	}
	var p product.Position
	copy(p.ID.UUID[:], place)
	return p, setKey(q.Sort, &p, place[len(p.ID.UUID):])
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
