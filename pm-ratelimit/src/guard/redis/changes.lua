-- What has changed since a position.
-- KEYS: state (hash), entries (hash), versions (sorted set).
-- ARGV: the epoch and the version of the position, an epoch in case there is none, the most entries.
-- Answers with the epoch, up to which version the position knows, and the entries by version, each with
-- nine fields and the version.

local state, entries, versions = KEYS[1], KEYS[2], KEYS[3]
-- A server without memory left refuses writes: it is asked for one only if there is no epoch.
local epoch = redis.call('HGET', state, 'epoch')
if not epoch then
  epoch = ARGV[3]
  redis.call('HSET', state, 'epoch', epoch)
end
local version = redis.call('HGET', state, 'version') or '0'
local known = ARGV[2]
-- Versions are below 2^53, which a double holds exactly.
if epoch ~= ARGV[1] or tonumber(known) > tonumber(version) then
  known = '0'
end

local told = {}
for _, prefix in ipairs(redis.call('ZRANGEBYSCORE', versions, '(' .. known, '+inf', 'LIMIT', 0, ARGV[4])) do
  told[#told + 1] = cmsgpack.unpack(redis.call('HGET', entries, prefix))
end
return {epoch, known, told}
