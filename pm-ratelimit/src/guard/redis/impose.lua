-- Says something about prefixes, each if what was said before yields to it.
-- KEYS: state (hash), entries (hash), versions (sorted set), forgotten (sorted set).
-- ARGV: now, an epoch in case there is none; then for each entry prefix, effect, cause, reason, actor,
-- since, until (empty for ever), level, forgotten. Times are microseconds.
-- Answers with what stands for each: the same nine fields and the version.

local FIELDS = 9
local PREFIX, EFFECT, CAUSE, UNTIL, FORGOTTEN, VERSION = 1, 2, 3, 7, 9, 10

local state, entries, versions, forgotten = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now = tonumber(ARGV[1])
redis.call('HSETNX', state, 'epoch', ARGV[2])

local past = redis.call('ZRANGEBYSCORE', forgotten, '-inf', ARGV[1], 'LIMIT', 0, 1000)
for _, prefix in ipairs(past) do
  redis.call('HDEL', entries, prefix)
  redis.call('ZREM', versions, prefix)
  redis.call('ZREM', forgotten, prefix)
end

local function in_force(entry)
  return entry[EFFECT] ~= 'lifted' and (entry[UNTIL] == '' or now < tonumber(entry[UNTIL]))
end

local function yields(known, new)
  if new[CAUSE] == 'manual' or not in_force(known) then
    return true
  end
  if known[CAUSE] ~= 'automatic' or new[UNTIL] == '' then
    return false
  end
  return known[UNTIL] == '' or tonumber(known[UNTIL]) < tonumber(new[UNTIL])
end

local stand = {}
for first = 3, #ARGV, FIELDS do
  local new = {}
  for field = 1, FIELDS do
    new[field] = ARGV[first + field - 1]
  end
  local prefix = new[PREFIX]
  local known = redis.call('HGET', entries, prefix)
  known = known and cmsgpack.unpack(known)
  if known and not yields(known, new) then
    stand[#stand + 1] = known
  else
    new[VERSION] = next_version(state, 'version')
    redis.call('HSET', entries, prefix, cmsgpack.pack(new))
    redis.call('ZADD', versions, new[VERSION], prefix)
    redis.call('ZADD', forgotten, new[FORGOTTEN], prefix)
    stand[#stand + 1] = new
  end
end
return stand
