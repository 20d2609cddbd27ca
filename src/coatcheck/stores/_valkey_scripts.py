"""
What Valkey does in one step: every write of several keys, as a script. Floor 2; may import: floor 0.

Read :mod:`._valkey_keys` first: which keys there are, and what stands in them.

Rules of this module:

1. All keys of a script have one tag, and it is told all of them: in a cluster, where a slot may be on its way to
   another server, what is not named is not found there.
2. A script says which history its server belongs to (``master_replid``: another after each promotion and restart), in
   the same step as what it did or found. Home's do nothing where that is not the known one. Nothing runs on a replica:
   it would give its primary's name for its own.
3. What finds all done already writes something all the same: what waits for the disk waits for the last write of its
   connection, and what it found may not be there yet.
4. No number is given out twice, though the write that drew it was lost and somebody has read it: each is drawn at
   random above the last (*generation-never-repeats*).
5. What may be done twice says so at its name: then it is, when nobody knows whether it was done.
"""

from __future__ import annotations

from coatcheck.stores._valkey_wire import Script

ALL: list[Script] = []

_NAME = """
local info = redis.call('INFO', 'replication')
if not string.find(info, 'role:master', 1, true) then return redis.error_reply('READONLY a replica was asked') end
local name = string.match(info, 'master_replid:(%x+)')
"""

# All of home's have KEYS[1] = meta. KEYS[2] and [3], where they append: log, news.
_HOME = """
local meta = KEYS[1]
local known = redis.call('HMGET', meta, 'name', 'unsure', 'epoch')
if known[1] ~= name then return {'elsewhere', known[1], name} end
if known[2] then return {'unsure', known[3]} end
local function ok(...) return {'ok', redis.call('HGET', meta, 'epoch'), ...} end
"""

_APPEND = """
local function append(kind, sid, version, forget)
  local head = redis.call('HINCRBY', meta, 'head', 1)
  redis.call('XADD', KEYS[2], string.format('%.0f-1', head), 'k', kind, 's', sid, 'v', version, 'f', forget)
  return head
end
local function done(...)
  redis.call('SPUBLISH', KEYS[3], '')
  return ok(...)
end
"""


def _script(name: str, text: str) -> Script:
    script = Script(name, text)
    ALL.append(script)
    return script


def _home(name: str, text: str) -> Script:
    return _script(name, _NAME + _HOME + text)


def _appending(name: str, text: str) -> Script:
    return _script(name, _NAME + _HOME + _APPEND + text)


# --- home ---

BEGIN_ERA = _script(
    "begin_era",
    _NAME
    + """
local meta = KEYS[1]
local known = redis.call('HGET', meta, 'name')
if known == name then return {'ok'} end
-- It was this server that proved itself, and no other that is asked now.
if (known or '') ~= ARGV[1] or name ~= ARGV[4] then return {'again'} end
local epoch = redis.call('HGET', meta, 'epoch')
local era = math.floor(tonumber(epoch or ARGV[5]) / 2^20) + 1
if epoch then
  -- What is here may be older than what servers of rows have become since: none counts before it proves itself anew.
  for _, field in ipairs(redis.call('HKEYS', meta)) do
    if string.sub(field, 1, 3) == 'at:' then redis.call('HDEL', meta, field) end
  end
else
  -- Nothing is here. Rows may be, on other shards, of a life that nobody remembers: none of them counts.
  era = math.max(era, tonumber(redis.call('TIME')[1]))
  redis.call('DEL', KEYS[2], KEYS[5])
end
local new = string.format('%.0f', (era + tonumber(ARGV[2])) * 2^20)
redis.call('HSET', meta, 'epoch', new, 'name', name, 'unsure', '1')
if not epoch then
  redis.call('HSET', meta, 'bar', new, 'life', ARGV[6], 'head', '0', 'trimmed', '0', 'lease', ARGV[3], 'replicas', '0')
end
redis.call('DEL', KEYS[4])
redis.call('SPUBLISH', KEYS[3], '')
return {epoch and 'new' or 'first'}
""",
)
"""KEYS meta, log, news, keys, nodes; ARGV the known name or '', a draw, the lease, who has proved itself, the highest
epoch that was seen, the name of a new life."""

SURE = _script(
    "sure",
    _NAME
    + """
local known = redis.call('HMGET', KEYS[1], 'name', 'epoch')
redis.call('HINCRBY', KEYS[1], 'asked', 1)
if known[1] == name and known[2] == ARGV[1] then redis.call('HDEL', KEYS[1], 'unsure') end
return 1
""",
)
"""KEYS meta; ARGV the epoch that is durable. Repeatable."""

REGISTER = _home(
    "register",
    """
local field = 'at:' .. ARGV[1]
local said = redis.call('HGET', meta, field)
if (said or '') ~= ARGV[2] then return {'again'} end
-- A name comes back when a slot does, and no name with each era; the epoch in which it was read does not
-- (*register-in-its-epoch*).
if redis.call('HGET', meta, 'epoch') ~= ARGV[4] then return {'again'} end
-- One promotion concerns all that the server had. A slot that moved away from it concerns this one only: the others
-- keep their name, or two servers would take it from each other for ever.
for i = 5, #ARGV do
  local other = 'at:' .. ARGV[i]
  if redis.call('HGET', meta, other) == said then redis.call('HSET', meta, other, ARGV[3]) end
end
redis.call('HSET', meta, field, ARGV[3])
if said and said ~= ARGV[3] then
  -- What was read of the old one may never have been durable, and versions are given out again: so no access token of
  -- before counts.
  redis.call('HINCRBY', meta, 'epoch', 1)
  redis.call('DEL', KEYS[2])
  redis.call('SPUBLISH', KEYS[3], '')
end
return ok()
""",
)
"""KEYS meta, keys, news; ARGV bucket, its known name or '', its new one, the epoch in which the known one was read, all
buckets of that server. Repeatable."""

HERE = _home(
    "here",
    """
local names = {}
for i = 2, #ARGV do names[i - 1] = redis.call('HGET', meta, 'at:' .. ARGV[i]) end
return ok(redis.call('HMGET', meta, 'bar', 'life'), redis.call('HGET', KEYS[2], ARGV[1]), name, names)
""",
)
"""KEYS meta, secrets; ARGV a secret or '', buckets."""

APPEND = _appending(
    "append",
    """
local at = 2
for _ = 1, tonumber(ARGV[1]) do
  if redis.call('HGET', meta, 'at:' .. ARGV[at]) ~= ARGV[at + 1] then return {'unregistered', ARGV[at]} end
  at = at + 2
end
if at > #ARGV then
  -- Nothing to say. The head is told, and as durable as this write after it.
  redis.call('HINCRBY', meta, 'asked', 1)
  return ok(redis.call('HGET', meta, 'head'))
end
local head
for i = at, #ARGV, 4 do head = append(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]) end
return done(head)
""",
)
"""KEYS meta, log, news; ARGV how many vouchers, (bucket, name) each, (kind, sid, version, forget) each. Repeatable."""

END_EVERYONE = _appending(
    "end_everyone",
    """
redis.call('HINCRBY', meta, 'epoch', 1)
redis.call('HSET', meta, 'bar', redis.call('HGET', meta, 'epoch'))
redis.call('DEL', KEYS[4])
return done(append('everyone', '', ARGV[1], ARGV[2]))
""",
)
"""KEYS meta, log, news, keys; ARGV version, forget. Repeatable."""

_TAIL = """
local function tail(after, most)
  local said = redis.call('HMGET', meta, 'trimmed', 'head')
  local news = redis.call('XRANGE', KEYS[2], '(' .. after .. '-1', '+', 'COUNT', most)
  return ok(said[1], said[2], news)
end
"""

TAIL = _home("tail", _TAIL + "return tail(ARGV[1], ARGV[2])")
"""KEYS meta, log; ARGV after, most."""

JOIN = _home(
    "join",
    """
local row = redis.call('HGET', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], (row and string.match(row, '^%d+') or '0') .. ' 0 0 ' .. ARGV[2])
return ok(redis.call('HGET', meta, 'lease'))
""",
)
"""KEYS meta, nodes; ARGV node, label. Repeatable."""

BEAT = _home(
    "beat",
    _TAIL
    + """
local row = redis.call('HGET', KEYS[3], ARGV[1])
if not row then
  redis.call('HINCRBY', meta, 'asked', 1)
  return {'gone'}
end
local beat, label = string.match(row, '^(%d+) %d+ %d+ (.*)$')
-- The counter never goes back: a heartbeat that arrives late would make a living row look as it did long ago.
if tonumber(ARGV[2]) > tonumber(beat) then beat = ARGV[2] end
redis.call('HSET', KEYS[3], ARGV[1], beat .. ' ' .. ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. label)
return tail(ARGV[3], ARGV[5])
""",
)
"""KEYS meta, log, nodes; ARGV node, beat, applied, epoch, most. Repeatable."""

LEAVE = _home("leave", "return ok(redis.call('HDEL', KEYS[2], ARGV[1]))")
"""KEYS meta, nodes; ARGV node. Repeatable."""

NODES = _home("nodes", "return ok(redis.call('HMGET', meta, 'head', 'lease'), redis.call('HGETALL', KEYS[2]))")
"""KEYS meta, nodes."""

DROP_NODE = _home(
    "drop_node",
    """
local row = redis.call('HGET', KEYS[2], ARGV[1])
if not row or string.match(row, '^%d+') ~= ARGV[2] then return ok(0) end
return ok(redis.call('HDEL', KEYS[2], ARGV[1]))
""",
)
"""KEYS meta, nodes; ARGV node, beat. Repeatable."""

TRIM = _home(
    "trim",
    """
local last, count
for _, line in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', ARGV[2])) do
  local position = tonumber(string.match(line[1], '^%d+'))
  if tonumber(line[2][8]) > tonumber(ARGV[1]) or (ARGV[3] ~= '' and position > tonumber(ARGV[3])) then break end
  last, count = position, (count or 0) + 1
end
if not last then return ok(0) end
redis.call('HSET', meta, 'trimmed', string.format('%.0f', last))
redis.call('XTRIM', KEYS[2], 'MINID', string.format('%.0f-0', last + 1))
return ok(count)
""",
)
"""KEYS meta, log; ARGV now, limit, trim_to or ''. Repeatable."""

SET = _home(
    "set",
    """
if ARGV[3] == '' or tonumber(redis.call('HGET', meta, ARGV[1]) or 0) < tonumber(ARGV[2]) then
  redis.call('HSET', meta, ARGV[1], ARGV[2])
end
return ok()
""",
)
"""KEYS meta; ARGV field, value, '' or 'rising'. Repeatable."""

SET_LEASE = _home(
    "set_lease",
    """
if redis.call('HGET', meta, 'lease') == ARGV[1] then return ok(0) end
local held = redis.call('HLEN', KEYS[2])
if held == 0 then redis.call('HSET', meta, 'lease', ARGV[1]) end
return ok(held)
""",
)
"""KEYS meta, nodes; ARGV the lease. Only while nobody holds one of another length. Repeatable."""

PROBE = _script(
    "probe",
    _NAME
    + """
redis.call('SET', KEYS[1], '1')
return {name, KEYS[2] and redis.call('HGET', KEYS[2], 'epoch')}
""",
)
"""KEYS one of the slot that is asked; of home's, meta besides. Repeatable."""

# --- keys and secrets; home ---

_NEWEST = """
local function newest()
  local kid, most = '', 0
  local keys = redis.call('HGETALL', KEYS[4])
  for i = 1, #keys, 2 do
    local number = tonumber(string.match(keys[i + 1], '^%d+'))
    if number > most then kid, most = keys[i], number end
  end
  return kid
end
"""

KEYS = _home("keys", "return ok(redis.call('HGETALL', KEYS[2]))")
"""KEYS meta, keys."""

ADD_KEY = _appending(
    "add_key",
    _NEWEST
    + """
if redis.call('HGET', meta, 'epoch') ~= ARGV[1] or newest() ~= ARGV[2] then return {'no'} end
if ARGV[3] ~= '' and redis.call('HGET', KEYS[5], ARGV[3]) == 'lost' then return {'no'} end
if ARGV[3] ~= '' then redis.call('HSETNX', KEYS[5], ARGV[3], 'known') end
local number = redis.call('HINCRBY', meta, 'number', 1)
redis.call('HSET', KEYS[4], ARGV[4], string.format('%.0f ', number) .. ARGV[5])
return done(append('keys', '', ARGV[6], ARGV[7]))
""",
)
"""KEYS meta, log, news, keys, secrets; ARGV epoch, newest or '', seal, kid, the key, version, forget."""

DROP_KEY = _appending(
    "drop_key", "redis.call('HDEL', KEYS[4], ARGV[1])\nreturn done(append('keys', '', ARGV[2], ARGV[3]))"
)
"""KEYS meta, log, news, keys; ARGV kid, version, forget. Repeatable."""

ADMIT = _home(
    "admit",
    _NEWEST
    + """
if newest() ~= ARGV[2] or redis.call('HGET', KEYS[5], ARGV[1]) == 'lost' then return ok(0) end
redis.call('HSET', KEYS[5], ARGV[1], 'known')
return ok(1)
""",
)
"""KEYS meta, log, news, keys, secrets; ARGV secret, newest or ''. Repeatable."""

USE_SECRET = _home(
    "use_secret",
    """
if redis.call('HGET', KEYS[2], ARGV[1]) == 'lost' then return ok(0) end
redis.call('HSET', KEYS[2], ARGV[1], 'known')
redis.call('SADD', KEYS[3], ARGV[2])
return ok(1)
""",
)
"""KEYS meta, secrets, clients; ARGV secret, client. Repeatable."""

RESET_KEYS = _appending(
    "reset_keys",
    """
for _, secret in ipairs(redis.call('HKEYS', KEYS[5])) do redis.call('HSET', KEYS[5], secret, 'lost') end
redis.call('DEL', KEYS[4])
return done(append('keys', '', ARGV[1], ARGV[2]))
""",
)
"""KEYS meta, log, news, keys, secrets; ARGV version, forget. Repeatable."""

CLIENTS = _home("clients", "return ok(redis.call('SMEMBERS', KEYS[2]))")
"""KEYS meta, clients."""

# --- sessions: all keys in the bucket of the sid ---

READ = _script("read", _NAME + "return {name, redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])}")
"""KEYS row, tombstone."""

LOOK = _script(
    "look",
    _NAME
    + """
local home = redis.call('HMGET', KEYS[2], 'name', 'unsure', 'epoch', 'bar', 'life')
local found = {name, home, redis.call('GET', KEYS[1]), false, false}
if found[3] then
  found[4] = redis.call('GET', found[3])
  found[5] = redis.call('GET', (string.gsub(found[3], '}:s:', '}:t:', 1)))
end
return found
""",
)
"""KEYS pointer, meta. Only where there is one server: it reads a row that it was not told of."""

POINTED = _script("pointed", _NAME + "return {name, redis.call('GET', KEYS[1])}")
"""KEYS pointer."""

CREATE = _script(
    "create",
    _NAME
    + """
if redis.call('EXISTS', KEYS[2]) == 1 then return {name, 'ended'} end
if redis.call('EXISTS', KEYS[1]) == 1 then return {name, 'exists'} end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[3])
return {name, 'ok'}
""",
)
"""KEYS row, tombstone, ends; ARGV the row, when it ends, its entry there."""

UNDO = _script("undo", "redis.call('DEL', KEYS[1])\nreturn redis.call('ZREM', KEYS[2], ARGV[1])")
"""KEYS row or pointer, ends; ARGV its entry there. Of what nobody was told. Repeatable."""

SWAP = _script(
    "swap",
    _NAME
    + """
local row = redis.call('GET', KEYS[1])
if row ~= ARGV[2] and row ~= ARGV[1] then return {name, 'other'} end
redis.call('SET', KEYS[1], ARGV[2])
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3]) end
return {name, 'ok'}
""",
)
"""KEYS row, open; ARGV the row as it was, as it is to be, an entry in open or '', since when. Repeatable."""

END = _script(
    "end",
    _NAME
    + """
local row, tomb = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
local lies
if row then
  local length = struct.unpack('>I2', row, 70)
  lies = string.sub(row, 38, 71 + (length == 65535 and 0 or length))
else
  lies = tomb and string.sub(tomb, 2) or string.rep('\\0', 32) .. '\\255\\255'
end
if ARGV[1] ~= '' and (struct.unpack('>I2', lies, 33) == 65535 or string.sub(lies, 35) ~= ARGV[2]) then
  return {name, 'not_hers'}
end
if ARGV[3] ~= '' and not row and (not tomb or string.byte(tomb) == 1) then return {name, 'noted'} end
if ARGV[3] == 'ended' and row then return {name, 'lives'} end
redis.call('SET', KEYS[2], '\\0' .. lies)
redis.call('DEL', KEYS[1])
redis.call('ZADD', KEYS[3], ARGV[5], ARGV[4])
redis.call('ZREM', KEYS[4], 's' .. ARGV[7])
redis.call('ZADD', KEYS[4], 'GT', ARGV[6], 't' .. ARGV[7])
return {name, 'ok'}
""",
)
"""
KEYS row, tombstone, open, ends; ARGV whether only somebody's, whose, '' or 'listed' (what is noted is left alone) or
'ended' (what lives, too), an entry in open, since when, until when it is remembered, sid. Repeatable.
"""

CLOSE = _script(
    "close",
    """
redis.call('ZREM', KEYS[2], ARGV[1])
-- Only who appended an end notes it: the tombstone may have come after the change that is closed here.
local tomb = ARGV[2] ~= '' and redis.call('GET', KEYS[1])
if tomb then redis.call('SET', KEYS[1], '\\1' .. string.sub(tomb, 2)) end
return 1
""",
)
"""KEYS tombstone, open; ARGV an entry in open that is in the log now, whether as an end. Repeatable."""

TOUCH = _script(
    "touch",
    """
local row = redis.call('GET', KEYS[1])
if not row then return 0 end
local seen = struct.unpack('>i8', row, 14)
if tonumber(ARGV[1]) > seen or seen >= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], string.sub(row, 1, 13) .. struct.pack('>i8', tonumber(ARGV[2])) .. string.sub(row, 22))
return 1
""",
)
"""KEYS row; ARGV since, at."""

# --- pointers: the bucket of the digest; lists: the bucket of the subject ---

POINT = _script(
    "point",
    """
local there = redis.call('GET', KEYS[1])
if there and there ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
if ARGV[2] ~= '' then redis.call('ZADD', KEYS[2], ARGV[2], ARGV[3]) end
return there and 2 or 1
""",
)
"""
KEYS pointer, ends; ARGV where it leads, when a sweep is to look at it or '', its entry there. 1: made, 2: was there, 0:
another is there. Repeatable.
"""

FORGET_AT = _script(
    "forget_at",
    """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('ZADD', KEYS[2], ARGV[1], ARGV[2]) end
return 1
""",
)
"""KEYS pointer, ends; ARGV when, its entry there. Repeatable."""

LIST = _script(
    "list",
    """
local generation = redis.call('HGET', KEYS[2], 'generation') or '0'
if ARGV[2] ~= '' and generation ~= ARGV[2] then return {'moved'} end
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  redis.call('ZADD', KEYS[1], redis.call('HINCRBY', KEYS[2], 'number', 1), ARGV[1])
else
  redis.call('HINCRBY', KEYS[2], 'asked', 1)
end
if redis.call('ZCARD', KEYS[1]) <= tonumber(ARGV[3]) then return {'ok'} end
return {'many', redis.call('ZRANGE', KEYS[1], 0, -1)}
""",
)
"""KEYS list, numbers; ARGV sid, the generation that it must be or '', how many are allowed. Repeatable."""

RAISE = _script(
    "raise",
    """
local generation = redis.call('HGET', KEYS[2], 'generation')
if not generation then
  -- It may have been here and be lost. Rows elsewhere remember numbers of before: this one is to be higher.
  redis.call('HSET', KEYS[2], 'generation', string.format('%.0f', tonumber(redis.call('TIME')[1]) * 2^20))
end
return {redis.call('HINCRBY', KEYS[2], 'generation', ARGV[1]), redis.call('ZRANGE', KEYS[1], 0, -1)}
""",
)
"""KEYS list, numbers; ARGV by how much. Repeatable."""

LISTED = _script("listed", _NAME + "return {name, redis.call('ZREVRANGE', KEYS[1], 0, -1)}")
"""KEYS list. The newest first."""

UNLIST = _script("unlist", "for i = 1, #ARGV do redis.call('ZREM', KEYS[1], ARGV[i]) end\nreturn 1")
"""KEYS list; ARGV sids. Repeatable."""

EXPECT = _script("expect", "return redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])")
"""KEYS ends; ARGV when, an entry there. Repeatable."""

# --- families: the bucket of the family's id ---

READ_FAMILY = _script("read_family", _NAME + "return {name, redis.call('GET', KEYS[1])}")
"""KEYS family."""

ADD_FAMILY = _script(
    "add_family",
    """
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[3], 'f' .. ARGV[2])
return 1
""",
)
"""KEYS family, the client's, ends; ARGV the family, its id, when it ends. Its id is random. Repeatable."""

ROTATE = _script(
    "rotate",
    """
local family = redis.call('GET', KEYS[1])
if not family then return 0 end
local generation, rotated_at = struct.unpack('>I4i8', family)
if generation ~= tonumber(ARGV[1]) or rotated_at < 0 then return 0 end
redis.call('SET', KEYS[1], struct.pack('>I4i8', tonumber(ARGV[1]) + 1, tonumber(ARGV[2])) .. string.sub(family, 13))
return 1
""",
)
"""KEYS family; ARGV generation, now."""

CLOSE_FAMILY = _script(
    "close_family",
    """
local family = redis.call('GET', KEYS[1])
if not family then return 0 end
redis.call('SET', KEYS[1], string.sub(family, 1, 4) .. struct.pack('>i8', -1) .. string.sub(family, 13))
return 1
""",
)
"""KEYS family. It counts no more, and can still be found by who ends what was made with it. Repeatable."""

READ_CLIENT = _script("read_client", _NAME + "return {name, redis.call('SMEMBERS', KEYS[1])}")
"""KEYS the client's."""

DROP_FAMILY = _script(
    "drop_family",
    """
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], 'f' .. ARGV[1])
return redis.call('DEL', KEYS[1])
""",
)
"""KEYS family, the client's, ends; ARGV its id. Repeatable."""

# --- what is over ---

SWEEP_ROW = _script(
    "sweep_row",
    """
local row = redis.call('GET', KEYS[1])
if not row then
  redis.call('ZREM', KEYS[2], ARGV[2])
  return {0}
end
local seen, idle, expires = struct.unpack('>i8i8i8', row, 14)
local over = math.min(expires, seen + idle)
if over > tonumber(ARGV[1]) then
  -- It was used since it was put on the list.
  redis.call('ZADD', KEYS[2], string.format('%.0f', over), ARGV[2])
  return {0}
end
-- What led to it is still there, and this tombstone until that is gone, too. There is nothing to tell of it.
local length = struct.unpack('>I2', row, 70)
local tomb = '\\1' .. string.sub(row, 38, 71 + (length == 65535 and 0 or length))
redis.call('SET', KEYS[3], tomb)
redis.call('ZADD', KEYS[2], ARGV[1], ARGV[3])
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return {1, tomb}
""",
)
"""KEYS row, ends, tombstone; ARGV now, its entry there, that of its tombstone. Repeatable."""

SWEEP_TOMB = _script(
    "sweep_tomb",
    """
local tomb, due = redis.call('GET', KEYS[1]), redis.call('ZSCORE', KEYS[2], ARGV[2])
if not due or tonumber(due) > tonumber(ARGV[1]) then return {0} end
if tomb and string.byte(tomb) == 0 then return {0} end
if ARGV[3] == '' then return {1, tomb} end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return {1}
""",
)
"""KEYS tombstone, ends; ARGV now, its entry there, '' to look only. What is not in the log yet stays. Repeatable."""

SETTLE = _script(
    "settle",
    """
local due = redis.call('ZSCORE', KEYS[1], ARGV[2])
return due and tonumber(due) <= tonumber(ARGV[1]) and redis.call('ZREM', KEYS[1], ARGV[2])
""",
)
"""KEYS ends; ARGV now, an entry there that was due and is not to end by itself. Repeatable."""

SWEEP_POINTER = _script(
    "sweep_pointer",
    """
local due = redis.call('ZSCORE', KEYS[2], ARGV[2])
if not due or tonumber(due) > tonumber(ARGV[1]) then return 0 end
redis.call('ZREM', KEYS[2], ARGV[2])
return redis.call('DEL', KEYS[1])
""",
)
"""KEYS pointer, ends; ARGV now, its entry there. Repeatable."""
