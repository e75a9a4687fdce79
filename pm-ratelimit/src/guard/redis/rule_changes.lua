-- What has changed of rules and quotas since a position.
-- KEYS: state (hash), rules (hash), quotas (hash), changes (sorted set).
-- ARGV: an epoch in case there is none, the epoch and the version of the position, the most quotas.
-- Answers with the epoch, the version of the store, the version of the rules, all rules by name or
-- nothing if they are known, and the quotas by version or nothing if any may have changed: each the user
-- and the rule, the version, and the quota with its version or nothing if it was taken back.

local state, rules, quotas, changes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
-- A server without memory left refuses writes: it is asked for one only if there is no epoch.
local epoch = redis.call('HGET', state, 'epoch')
if not epoch then
  epoch = ARGV[1]
  redis.call('HSET', state, 'epoch', epoch)
end
local version = redis.call('HGET', state, 'rules_version') or '0'
local changed = redis.call('HGET', state, 'rules_changed') or '0'
local forgotten = redis.call('HGET', state, 'rules_forgotten') or '0'

-- Versions are below 2^53, which a double holds exactly.
local since = tonumber(ARGV[3])
local is_known = epoch == ARGV[2] and since <= tonumber(version)

local told = false
if not is_known or since < tonumber(changed) then
  told = redis.call('HGETALL', rules)
end
local page = false
if is_known and since >= tonumber(forgotten) then
  page = {}
  local newer = redis.call('ZRANGEBYSCORE', changes, '(' .. ARGV[3], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[4])
  for change = 1, #newer, 2 do
    page[#page + 1] = {newer[change], newer[change + 1], redis.call('HGET', quotas, newer[change])}
  end
end
return {epoch, version, changed, told, page}
