-- Changes rules, if they are those that the edits were checked with.
-- KEYS: state (hash), rules (hash).
-- ARGV: an epoch in case there is none, the epoch and the version of the rules; then for each edit the
-- name and the rule as text, empty to remove it.
-- Answers with the version that the rules have then, or with nothing if they are others.

local state, rules = KEYS[1], KEYS[2]
redis.call('HSETNX', state, 'epoch', ARGV[1])
local changed = redis.call('HGET', state, 'rules_changed') or '0'
if redis.call('HGET', state, 'epoch') ~= ARGV[2] or changed ~= ARGV[3] then
  return false
end

local version
for edit = 4, #ARGV, 2 do
  local name, rule = ARGV[edit], ARGV[edit + 1]
  local known = redis.call('HGET', rules, name)
  -- What is kept is the version, a space, and the rule.
  known = known and string.sub(known, string.find(known, ' ', 1, true) + 1) or ''
  if known ~= rule then
    version = version or next_version(state, 'rules_version')
    if rule == '' then
      redis.call('HDEL', rules, name)
    else
      redis.call('HSET', rules, name, version .. ' ' .. rule)
    end
  end
end
if version then
  redis.call('HSET', state, 'rules_changed', version)
end
return version or changed
