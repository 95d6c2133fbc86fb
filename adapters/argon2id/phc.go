package argon2id

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Sizes of what new hashes hold, in bytes (RFC 9106 section 4).
const (
	saltBytes = 16
	keyBytes  = 32
)

// The most that a hash may ask for when it is verified. Without a cap, who can
// write one row of the user table could stop the service with it: m=4194304
// asks for 4 GiB.
const (
	maxMemory = 128 * 1024 // KiB
	maxPasses = 10
	maxLanes  = 8
	maxBytes  = 64 // of salt and of key
)

// parameters are the costs of a hash.
type parameters struct {
	memory uint32 // KiB
	passes uint32
	lanes  uint8
}

// encoded is a hash in parts.
type encoded struct {
	parameters
	salt, key []byte
}

var b64 = base64.RawStdEncoding.Strict()

// String writes the PHC string format:
// $argon2id$v=19$m=19456,t=2,p=1$<salt>$<key>.
func (e encoded) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		e.memory, e.passes, e.lanes, b64.EncodeToString(e.salt), b64.EncodeToString(e.key))
}

// errForm never quotes what it could not read: it is a password hash.
var errForm = errors.New("the stored password hash is no argon2id PHC string within the limits")

// parse reads what String writes, and nothing that asks for more than the caps.
func parse(s string) (encoded, error) {
	part := strings.Split(s, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != "v="+strconv.Itoa(argon2.Version) {
		return encoded{}, errForm
	}
	cost := strings.Split(part[3], ",")
	if len(cost) != 3 {
		return encoded{}, errForm
	}
	memory, ok1 := number(cost[0], "m=", maxMemory)
	passes, ok2 := number(cost[1], "t=", maxPasses)
	lanes, ok3 := number(cost[2], "p=", maxLanes)
	salt, ok4 := bytes(part[4], 8)
	key, ok5 := bytes(part[5], 16)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || memory < 8*lanes {
		return encoded{}, errForm
	}
	return encoded{parameters: parameters{memory: memory, passes: passes, lanes: uint8(lanes)}, salt: salt, key: key}, nil
}

// number reads a decimal from 1 to most behind a name, in its one spelling.
func number(s, name string, most uint32) (uint32, bool) {
	digits, ok := strings.CutPrefix(s, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || n < 1 || n > uint64(most) || strconv.FormatUint(n, 10) != digits {
		return 0, false
	}
	return uint32(n), true
}

func bytes(s string, least int) ([]byte, bool) {
	b, err := b64.DecodeString(s)
	return b, err == nil && len(b) >= least && len(b) <= maxBytes && !strings.ContainsAny(s, "\r\n")
}
