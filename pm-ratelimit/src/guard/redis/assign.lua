-- Gives a user a quota, or takes it back.
-- KEYS: state (hash), quotas (hash), order (sorted set), changes (sorted set), withdrawn (sorted set).
-- ARGV: an epoch in case there is none, the user and the rule, the quota as text, empty to take it back,
-- and how many that were taken back are remembered.
-- Answers with the epoch and the version of the quota; without a version if there was nothing to take
-- back.

local state, quotas, order, changes, withdrawn = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local place, quota = ARGV[2], ARGV[3]
redis.call('HSETNX', state, 'epoch', ARGV[1])
local epoch = redis.call('HGET', state, 'epoch')

-- What is kept is the version, a space, and the quota.
local known = redis.call('HGET', quotas, place)
local known_version = known and string.match(known, '^%d+')
if quota == '' and not known then
  return {epoch}
end
if known == (known_version or '') .. ' ' .. quota then
  return {epoch, known_version}
end

local version = next_version(state, 'rules_version')
redis.call('ZADD', changes, version, place)
if quota ~= '' then
  redis.call('HSET', quotas, place, version .. ' ' .. quota)
  redis.call('ZADD', order, 0, place)
  redis.call('ZREM', withdrawn, place)
  return {epoch, version}
end

redis.call('HDEL', quotas, place)
redis.call('ZREM', order, place)
redis.call('ZADD', withdrawn, version, place)
if redis.call('ZCARD', withdrawn) > tonumber(ARGV[4]) then
  local oldest = redis.call('ZPOPMIN', withdrawn)
  redis.call('ZREM', changes, oldest[1])
  redis.call('HSET', state, 'rules_forgotten', oldest[2])
end
return {epoch, version}
