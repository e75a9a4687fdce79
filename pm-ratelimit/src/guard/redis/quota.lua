-- Looks a quota up.
-- KEYS: state (hash), quotas (hash).
-- ARGV: an epoch in case there is none, the user and the rule.
-- Answers with the epoch, the version of the store, and the quota with its version if there is one.

local state, quotas = KEYS[1], KEYS[2]
redis.call('HSETNX', state, 'epoch', ARGV[1])
local epoch = redis.call('HGET', state, 'epoch')
local version = redis.call('HGET', state, 'rules_version') or '0'
return {epoch, version, redis.call('HGET', quotas, ARGV[2])}
