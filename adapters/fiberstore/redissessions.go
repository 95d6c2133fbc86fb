package fiberstore

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"gatehouse/domain/fault"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

// What is kept in Redis. Everything that decides whether a session lives is in
// one place, the hash of its user, so that a check and the write that hangs on
// it are one script, whatever slot of a cluster they are in:
//
//	gatehouse:{USER}:s   hash: the user's sessions. Field: the key of the token; value: codec.go
//	gatehouse:{USER}:p   hash: what is left of past ones. Value: when (8 bytes), why and its length, the session
//	gatehouse:t:KEY      whose the session with the key is, or was: the 16 bytes of an id
//	gatehouse:{due:N}    timetables: which users have a session that runs out, by when (sorted set, microseconds)
//	gatehouse:{old:N}    … or what is left of one that ended, by when
//
// USER and KEY are in base64url. A session is looked up by the key of its token
// alone, which does not tell the slot of the user: gatehouse:t:KEY does. It never
// changes and proves nothing, so it is written first, with the storage's own
// Set, and may stay behind.
//
// The timetables are hints as well. A session that is missing there, because a
// node was killed between two writes, is not pruned; Redis lets go of the hash a
// while after the last session in it has run out.
const (
	prefix  = "gatehouse:"
	buckets = 64 // timetables of a kind, so that they are spread over a cluster
	grace   = 24 * time.Hour
	due     = "due"
	old     = "old"
)

func sessionsOf(id user.ID) string { return prefix + "{" + text64(id.UUID[:]) + "}:s" }
func pastOf(id user.ID) string     { return prefix + "{" + text64(id.UUID[:]) + "}:p" }
func pointer(k session.Key) string { return prefix + "t:" + field(k) }

// timetable is where a user stands whose id ends at random.
func timetable(kind string, bucket byte) string {
	return prefix + "{" + kind + ":" + strconv.Itoa(int(bucket)) + "}"
}

func bucketOf(id user.ID) byte { return id.UUID[15] % buckets }

func text64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// field names a session in the hash of its user.
func field(k session.Key) string {
	b, _ := hex.DecodeString(k.Hex()) // it is hexadecimal
	return text64(b)
}

func parseField(s string) (session.Key, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	k, ok := session.ParseKey(hex.EncodeToString(b))
	if err != nil || !ok {
		return session.Key{}, errors.New("the key of a session is no hash")
	}
	return k, nil
}

// farthest is the longest that anything is kept: longer than a session may be
// configured to last, and nothing that overflows.
const farthest = 10 * 365 * 24 * time.Hour

// milliseconds is how long to keep what is good for left, and a while longer:
// what is over is judged by the clock of the application, and Prune is to find
// it.
func milliseconds(left time.Duration) int64 {
	return (min(max(left, 0), farthest) + grace).Milliseconds()
}

func keepSession(s session.Session, now time.Time) int64 { return milliseconds(s.IdleEnd().Sub(now)) }

// keepPointer outlives the session by as long as its reason is told.
func keepPointer(s session.Session, now time.Time) time.Duration {
	return time.Duration(milliseconds(min(s.ExpiresAt().Sub(now), farthest)+session.PastKept)) * time.Millisecond
}

var keepPast = milliseconds(session.PastKept)

// instant8 is a time as the scripts compare it.
func instant8(t time.Time) string {
	var b [8]byte
	putInt(b[:], t.UnixMicro())
	return string(b[:])
}

// ending8 is what stands in front of what is left of a session.
func ending8(e session.Ending) string { return instant8(e.At) + reason8(e.Why) }

func reason8(r session.Reason) string { return string(rune(len(r.String()))) + r.String() }

// Add stores a new session.
func (s *RedisSessions) Add(ctx context.Context, new session.Session) error {
	const op = "add session"
	if _, _, err := s.owners.Owner(ctx, new.UserID()); err != nil {
		return err
	}
	if err := s.point(ctx, new, new.SeenAt()); err != nil {
		return s.failed(op, err)
	}
	keys := []string{sessionsOf(new.UserID())}
	added, err := s.run(ctx, addScript, keys, field(new.Key()), encode(new), keepSession(new, new.SeenAt())).Int()
	if err != nil {
		return s.failed(op, err)
	}
	if added == 0 {
		return errTaken
	}
	s.schedule(ctx, due, new.UserID(), new.IdleEnd())
	return nil
}

// point writes down whose the session is.
func (s *RedisSessions) point(ctx context.Context, one session.Session, now time.Time) error {
	id := one.UserID().UUID
	return s.storage.SetWithContext(ctx, pointer(one.Key()), id[:], keepPointer(one, now))
}

// owner reads whose the session with the key is, if it is still known.
func (s *RedisSessions) owner(ctx context.Context, k session.Key) (id user.ID, known bool, err error) {
	b, err := s.storage.GetWithContext(ctx, pointer(k))
	if err != nil || b == nil {
		return user.ID{}, false, err
	}
	if len(b) != len(id.UUID) {
		return user.ID{}, false, errors.New("the owner of a session cannot be read")
	}
	return user.ID{UUID: uuid.UUID(b)}, true, nil
}

// Resume reads whose the session is, and then, side by side, the session from
// Redis and the user and the version of the policy from the database. Either is
// read after the call began, so that what was ended, disabled or changed before
// is seen to be.
func (s *RedisSessions) Resume(ctx context.Context, k session.Key) (session.Resumed, error) {
	const op = "resume session"
	id, known, err := s.owner(ctx, k)
	if err != nil {
		return session.Resumed{}, s.failed(op, err)
	}
	if !known {
		return session.Resumed{}, session.ErrUnknown
	}
	type owned struct {
		user    user.User
		version int64
		err     error
	}
	asked := make(chan owned, 1)
	go func() {
		u, version, err := s.owners.Owner(ctx, id)
		asked <- owned{u, version, err}
	}()
	value, alive, err := reply(s.storage.Conn().HGet(ctx, sessionsOf(id), field(k)).Result())
	o := <-asked // in any case: a statement that is cut off costs its connection
	if err != nil {
		return session.Resumed{}, s.failed(op, err)
	}
	if !alive {
		return session.Resumed{}, session.ErrUnknown
	}
	one, err := decode(k, []byte(value))
	if err != nil {
		return session.Resumed{}, s.failed(op, err)
	}
	if errors.Is(o.err, fault.NotFound) {
		return session.Resumed{}, session.ErrUnknown
	}
	if o.err != nil {
		return session.Resumed{}, o.err
	}
	return session.Resumed{Session: one, User: o.user, PolicyVersion: o.version}, nil
}

// Replace alters what is still there, in one step of the user's slot.
func (s *RedisSessions) Replace(ctx context.Context, k session.Key, next session.Session, why session.Reason, now time.Time) error {
	const op = "replace session"
	rotated := next.Key() != k
	if rotated {
		if err := s.point(ctx, next, now); err != nil {
			return s.failed(op, err)
		}
	}
	left := ""
	if !why.IsZero() {
		left = ending8(session.Ending{Why: why, At: now})
	}
	keys := []string{sessionsOf(next.UserID()), pastOf(next.UserID())}
	was, alive, err := reply(s.run(ctx, replaceScript, keys,
		field(k), field(next.Key()), encode(next), keepSession(next, now), instant8(now), left, keepPast).Text())
	if err != nil {
		return s.failed(op, err)
	}
	if !alive {
		return session.ErrUnknown
	}
	if left != "" {
		s.schedule(ctx, old, next.UserID(), now)
	}
	if before, err := decode(k, []byte(was)); err == nil && !rotated && before.ExpiresAt().Before(next.ExpiresAt()) {
		return s.failed(op, s.point(ctx, next, now))
	}
	return nil
}

// End deletes the session.
func (s *RedisSessions) End(ctx context.Context, k session.Key, e session.Ending) (session.Session, error) {
	id, known, err := s.owner(ctx, k)
	if err != nil {
		return session.Session{}, s.failed("end session", err)
	}
	if !known {
		return session.Session{}, session.ErrUnknown
	}
	return one(s.end(ctx, id, e, "key", field(k)))
}

// EndOne deletes the user's session with that handle.
func (s *RedisSessions) EndOne(ctx context.Context, id user.ID, h session.ID, e session.Ending) (session.Session, error) {
	return one(s.end(ctx, id, e, "handle", string(h.UUID[:])))
}

// EndOthers deletes the user's sessions but one; no session has the zero key.
func (s *RedisSessions) EndOthers(ctx context.Context, id user.ID, keep session.Key, e session.Ending) ([]session.Session, error) {
	return s.end(ctx, id, e, "others", field(keep))
}

// Trim deletes the user's oldest sessions. Whoever comes last sees all that were
// added, and nobody deletes one that is among the newest of those that he sees.
// They are told by their handles: a rotation that is under way changes the key.
func (s *RedisSessions) Trim(ctx context.Context, id user.ID, keep int, e session.Ending) ([]session.Session, error) {
	all, err := s.List(ctx, id)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, session.Session.Pending)
	var surplus []any
	for _, one := range all[min(len(all), max(keep, 0)):] {
		handle := one.ID().UUID
		surplus = append(surplus, string(handle[:]))
	}
	if len(surplus) == 0 {
		return nil, nil
	}
	return s.end(ctx, id, e, "handle", surplus...)
}

// end ends those sessions of a user that endScript is told, and gives what they
// were, the most recently begun first.
func (s *RedisSessions) end(ctx context.Context, id user.ID, e session.Ending, which string, named ...any) ([]session.Session, error) {
	const op = "end sessions"
	args := append([]any{ending8(e), keepPast, which}, named...)
	pairs, err := s.run(ctx, endScript, []string{sessionsOf(id), pastOf(id)}, args...).StringSlice()
	if err != nil {
		return nil, s.failed(op, err)
	}
	if len(pairs) > 0 {
		s.schedule(ctx, old, id, e.At)
	}
	return s.sessions(op, pairs)
}

// List returns the user's sessions.
func (s *RedisSessions) List(ctx context.Context, id user.ID) ([]session.Session, error) {
	const op = "list sessions"
	pairs, err := s.fields(ctx, sessionsOf(id))
	if err != nil {
		return nil, s.failed(op, err)
	}
	return s.sessions(op, pairs)
}

// fields are the fields of a hash and their values, in turn.
func (s *RedisSessions) fields(ctx context.Context, key string) ([]string, error) {
	all, err := s.storage.Conn().HGetAll(ctx, key).Result()
	pairs := make([]string, 0, 2*len(all))
	for field, value := range all {
		pairs = append(pairs, field, value)
	}
	return pairs, err
}

// sessions reads fields and values, the most recently begun first.
func (s *RedisSessions) sessions(op string, pairs []string) ([]session.Session, error) {
	var all []session.Session
	for pair := range slices.Chunk(pairs, 2) {
		k, err := parseField(pair[0])
		if err != nil {
			return nil, s.failed(op, err)
		}
		one, err := decode(k, []byte(pair[1]))
		if err != nil {
			return nil, s.failed(op, err)
		}
		all = append(all, one)
	}
	slices.SortFunc(all, newestFirst)
	return all, nil
}

// Past returns what is left of the session that had the key.
func (s *RedisSessions) Past(ctx context.Context, k session.Key) (session.Past, error) {
	const op = "find past session"
	id, known, err := s.owner(ctx, k)
	if err != nil {
		return session.Past{}, s.failed(op, err)
	}
	if !known {
		return session.Past{}, session.ErrUnknown
	}
	value, kept, err := reply(s.storage.Conn().HGet(ctx, pastOf(id), field(k)).Result())
	if err != nil {
		return session.Past{}, s.failed(op, err)
	}
	if !kept {
		return session.Past{}, session.ErrUnknown
	}
	p, err := decodePast(k, value)
	return p, s.failed(op, err)
}

// PastOf returns what is left of the user's sessions that are over.
func (s *RedisSessions) PastOf(ctx context.Context, id user.ID) ([]session.Past, error) {
	const op = "list past sessions"
	pairs, err := s.fields(ctx, pastOf(id))
	if err != nil {
		return nil, s.failed(op, err)
	}
	var all []session.Past
	for pair := range slices.Chunk(pairs, 2) {
		k, err := parseField(pair[0])
		if err != nil {
			return nil, s.failed(op, err)
		}
		p, err := decodePast(k, pair[1])
		if err != nil {
			return nil, s.failed(op, err)
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b session.Past) int {
		return cmp.Or(b.EndedAt.Compare(a.EndedAt), b.ID.Compare(a.ID.UUID), strings.Compare(a.Key.Hex(), b.Key.Hex()))
	})
	return all, nil
}

// decodePast reads what ending8 and encode wrote.
func decodePast(k session.Key, value string) (session.Past, error) {
	const timeSize = 8
	if len(value) <= timeSize || len(value) <= timeSize+int(value[timeSize]) {
		return session.Past{}, errShort
	}
	at, rest := getTime([]byte(value[:timeSize])), value[timeSize+1:]
	name, rest := rest[:value[timeSize]], rest[value[timeSize]:]
	why, ok := session.ParseReason(name)
	if !ok {
		return session.Past{}, fmt.Errorf("the end of a session has the unknown reason %q", name)
	}
	was, err := decode(k, []byte(rest))
	if err != nil {
		return session.Past{}, err
	}
	return session.Ending{Why: why, At: at}.Of(was), nil
}

// Known reports whether anything of a session of the user's is kept.
func (s *RedisSessions) Known(ctx context.Context, id user.ID) (bool, error) {
	n, err := s.storage.Conn().Exists(ctx, sessionsOf(id), pastOf(id)).Result()
	return n > 0, s.failed("look for sessions", err)
}

// Prune deletes sessions that have run out. Nodes that prune side by side take
// users off the timetables, each user one node.
func (s *RedisSessions) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	return s.sweep(ctx, due, score(now), limit, func(id user.ID, limit int) (int, error) {
		args := []any{instant8(now), limit, keepPast, reason8(session.Expired), reason8(session.Idle)}
		n, times, err := s.counted(s.run(ctx, pruneScript, []string{sessionsOf(id), pastOf(id)}, args...))
		if err == nil && len(times) == 2 {
			s.rescheduled(ctx, due, id, times[0])
			s.rescheduled(ctx, old, id, times[1])
		}
		return n, err
	})
}

// PrunePast deletes what is left of sessions that ended long ago.
func (s *RedisSessions) PrunePast(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.sweep(ctx, old, "("+score(before), limit, func(id user.ID, limit int) (int, error) {
		n, times, err := s.counted(s.run(ctx, prunePastScript, []string{pastOf(id)}, instant8(before), limit))
		if err == nil && len(times) == 1 {
			s.rescheduled(ctx, old, id, times[0])
		}
		return n, err
	})
}

// claimed is how many users a node takes off a timetable at a time.
const claimed = 100

// sweep calls prune with users whose time has come, until it has pruned limit or
// there are no more. Whoever fails or has no room left for a user puts it back.
func (s *RedisSessions) sweep(ctx context.Context, kind, until string, limit int, prune func(user.ID, int) (int, error)) (total int, err error) {
	for _, bucket := range rand.Perm(buckets) {
		for total < limit {
			table := timetable(kind, byte(bucket))
			users, err := s.run(ctx, claimScript, []string{table}, until, min(limit-total, claimed)).StringSlice()
			if err != nil {
				return total, s.failed("look for what has run out", err)
			}
			if len(users) == 0 {
				break
			}
			for i, member := range users {
				n := 0
				if id := (user.ID{}); total < limit && len(member) == len(id.UUID) {
					copy(id.UUID[:], member)
					n, err = prune(id, limit-total)
				} else {
					s.putBack(ctx, table, until, users[i:])
					return total, nil
				}
				if total += n; err != nil {
					s.putBack(ctx, table, until, users[i:])
					return total, s.failed("prune sessions", err)
				}
			}
		}
	}
	return total, nil
}

// counted reads what a script of pruning answered: how many, and times.
func (s *RedisSessions) counted(c *redis.Cmd) (n int, times []string, err error) {
	all, err := c.Slice()
	if err != nil || len(all) == 0 {
		return 0, nil, err
	}
	count, _ := all[0].(int64)
	for _, one := range all[1:] {
		at, _ := one.(string)
		times = append(times, at)
	}
	return int(count), times, nil
}

// exact is the greatest whole number up to which a double has all of them: in
// microseconds, the year 2255.
const exact = 1 << 53

// score is up to when users are due. What is scheduled for exact may be for any
// time after it, and is never due.
func score(t time.Time) string { return strconv.FormatInt(min(t.UnixMicro(), exact-1), 10) }

// schedule has the user looked at when the time has come, or sooner. It comes
// after what it is about and is not what a caller waits to hear of: see the
// comment on timetables above.
func (s *RedisSessions) schedule(ctx context.Context, kind string, id user.ID, at time.Time) {
	err := s.storage.Conn().ZAddLT(ctx, timetable(kind, bucketOf(id)), redis.Z{
		Score: float64(min(at.UnixMicro(), exact)), Member: string(id.UUID[:]),
	}).Err()
	if err != nil {
		s.log.DebugContext(ctx, "a user could not be put on the timetable of what runs out", "error", err)
	}
}

func (s *RedisSessions) rescheduled(ctx context.Context, kind string, id user.ID, at string) {
	if len(at) == 8 {
		s.schedule(ctx, kind, id, getTime([]byte(at)))
	}
}

// putBack puts claimed users back on a timetable, as due now.
func (s *RedisSessions) putBack(ctx context.Context, table, until string, users []string) {
	at, _ := strconv.ParseFloat(strings.TrimPrefix(until, "("), 64) // score wrote it
	var all []redis.Z
	for _, member := range users {
		all = append(all, redis.Z{Score: at - 1, Member: member})
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	if err := s.storage.Conn().ZAddLT(ctx, table, all...).Err(); err != nil {
		s.log.DebugContext(ctx, "users could not be put back on the timetable of what runs out", "error", err)
	}
}

// run runs a script, which is sent in full where Redis does not know it yet.
func (s *RedisSessions) run(ctx context.Context, script *redis.Script, keys []string, args ...any) *redis.Cmd {
	return script.Run(ctx, s.storage.Conn(), keys, args...)
}

// Forget deletes all that is kept of the sessions of a user who is gone.
func (s *RedisSessions) Forget(ctx context.Context, id user.ID) error {
	return s.failed("forget sessions", s.storage.Conn().Del(ctx, sessionsOf(id), pastOf(id)).Err())
}

// Users gives users whose deletion takes their sessions along: no foreign key
// reaches from the database into Redis.
func (s *RedisSessions) Users(users ports.UserRepository) ports.UserRepository {
	return forgetful{users, s}
}

type forgetful struct {
	ports.UserRepository
	sessions *RedisSessions
}

// Delete deletes the user and then what Redis keeps of the user's sessions. They
// are good for nothing once the user is gone; where Redis cannot be reached,
// what is left of them goes as what has run out does.
func (f forgetful) Delete(ctx context.Context, id user.ID, check func(user.User) error, with ...*ports.Along) error {
	if err := f.UserRepository.Delete(ctx, id, check, with...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.sessions.timeout)
	defer cancel()
	if err := f.sessions.Forget(ctx, id); err != nil {
		f.sessions.log.WarnContext(ctx, "what Redis keeps of a deleted user's sessions goes later", "error", err)
	}
	return nil
}
