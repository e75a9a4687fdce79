-- Looks a quota up.
-- KEYS: state (hash), quotas (hash).
-- ARGV: an epoch in case there is none, the user and the rule.
-- Answers with the epoch, the version of the store, and the quota with its version if there is one.

local state, quotas = KEYS[1], KEYS[2]
-- A server without memory left refuses writes: it is asked for one only if there is no epoch.
local epoch = redis.call('HGET', state, 'epoch')
if not epoch then
  epoch = ARGV[1]
  redis.call('HSET', state, 'epoch', epoch)
end
local version = redis.call('HGET', state, 'rules_version') or '0'
return {epoch, version, redis.call('HGET', quotas, ARGV[2])}
