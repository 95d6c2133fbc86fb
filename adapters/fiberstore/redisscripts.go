package fiberstore

import "github.com/redis/go-redis/v9"

// The scripts. Each is one step for Redis, and all keys of one are in one slot
// of a cluster. KEYS[1] are a user's sessions and KEYS[2] what is left of past
// ones; a session is a field of the former, named by the key of its token, whose
// value is laid out as codec.go says. Lua counts bytes from 1. Instants are
// compared as the eight bytes that they are kept in: a number of Lua, a double,
// has not digits enough for all of them, and texts are compared by the locale.

const prelude = `
local function keep(key, ms)
	if redis.call('PTTL', key) < tonumber(ms) then redis.call('PEXPIRE', key, ms) end
end
local function before(a, b)
	local high, low = struct.unpack('>i4I4', a)
	local high2, low2 = struct.unpack('>i4I4', b)
	return high < high2 or high == high2 and low < low2
end
`

// addScript adds a session. ARGV: field, value, how long to keep it in
// milliseconds. It gives 0 if there is one.
var addScript = redis.NewScript(prelude + `
local added = redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
if added == 1 then keep(KEYS[1], ARGV[3]) end
return added
`)

// replaceScript puts one session in the place of another. ARGV: field of the
// old one, field and value of the new one, how long to keep it, now, what to
// put in front of what is left of the old one ("" to leave nothing), and how
// long to keep that. It gives what the old one was, or nil if it is over.
var replaceScript = redis.NewScript(prelude + `
local was = redis.call('HGET', KEYS[1], ARGV[1])
if not was or not before(ARGV[5], string.sub(was, 58, 65)) then return false end
if ARGV[6] ~= '' then
	redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[6] .. was)
	keep(KEYS[2], ARGV[7])
end
if ARGV[1] ~= ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
keep(KEYS[1], ARGV[4])
return was
`)

// endScript ends sessions. ARGV: what to put in front of what is left of each,
// how long to keep that, which ones: "key" for those of the fields that follow,
// "handle" for those with the handles that follow, "others" for all but those
// of the fields that follow. It gives fields and values of what it has ended.
var endScript = redis.NewScript(prelude + `
local named = {}
for i = 4, #ARGV do named[ARGV[i]] = true end
local ended = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
	local field, value = all[i], all[i + 1]
	local meant
	if ARGV[3] == 'handle' then meant = named[string.sub(value, 18, 33)]
	elseif ARGV[3] == 'others' then meant = not named[field]
	else meant = named[field] end
	if meant then
		redis.call('HDEL', KEYS[1], field)
		redis.call('HSETNX', KEYS[2], field, ARGV[1] .. value)
		ended[#ended + 1], ended[#ended + 2] = field, value
	end
end
if #ended > 0 then keep(KEYS[2], ARGV[2]) end
return ended
`)

// pruneScript ends sessions that have run out. ARGV: now, how many at the most,
// how long to keep what is left, and the names of the reasons expired and idle
// as they stand behind the time of an ending. It gives how many, when the next
// one runs out, and when the first of those ended did ("" for none).
var pruneScript = redis.NewScript(prelude + `
local n, next, first = 0, '', ''
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
	local field, value = all[i], all[i + 1]
	local idle, last = string.sub(value, 58, 65), string.sub(value, 66, 73)
	if n < tonumber(ARGV[2]) and not before(ARGV[1], idle) then
		redis.call('HDEL', KEYS[1], field)
		redis.call('HSETNX', KEYS[2], field, idle .. (idle == last and ARGV[4] or ARGV[5]) .. value)
		n = n + 1
		if first == '' or before(idle, first) then first = idle end
	elseif next == '' or before(idle, next) then
		next = idle
	end
end
if n > 0 then keep(KEYS[2], ARGV[3]) end
return {n, next, first}
`)

// prunePastScript deletes what is left of sessions that ended before a time, out
// of KEYS[1]. ARGV: the time, how many at the most. It gives how many, and when
// the next one ended.
var prunePastScript = redis.NewScript(prelude + `
local n, next = 0, ''
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
	local at = string.sub(all[i + 1], 1, 8)
	if n < tonumber(ARGV[2]) and before(at, ARGV[1]) then
		redis.call('HDEL', KEYS[1], all[i])
		n = n + 1
	elseif next == '' or before(at, next) then
		next = at
	end
end
return {n, next}
`)

// claimScript takes users off a timetable. KEYS: the timetable. ARGV: the last
// score that is due, how many at the most.
var claimScript = redis.NewScript(`
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
if #due > 0 then redis.call('ZREM', KEYS[1], unpack(due)) end
return due
`)
