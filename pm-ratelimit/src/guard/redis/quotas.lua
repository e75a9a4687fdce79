-- A page of the quotas.
-- KEYS: quotas (hash), order (sorted set).
-- ARGV: from where, to where, the most.
-- Answers with users and rules, each followed by the quota with its version.

local quotas, order = KEYS[1], KEYS[2]
local page = {}
for _, place in ipairs(redis.call('ZRANGEBYLEX', order, ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])) do
  page[#page + 1] = place
  page[#page + 1] = redis.call('HGET', quotas, place)
end
return page
