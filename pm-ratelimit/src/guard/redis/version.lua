-- The next version of what has its version in this field of the state. It is the time in microseconds, so
-- that a replica which has become the primary before it had heard of everything gives no version a second
-- time.
local function next_version(state, field)
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local last = tonumber(redis.call('HGET', state, field) or '0')
  local version = string.format('%.0f', math.max(now, last + 1))
  redis.call('HSET', state, field, version)
  return version
end
