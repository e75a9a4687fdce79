-- What a bucket is, and how long its debt is: what each of the scripts begins with.
--
-- A bucket is kept as the time that its debt takes to be paid back, the moment of that, the
-- interval and ceiling that it is under, since when it has owed something under these terms, and
-- how much of what was taken since then has been given back. What is not there is full.
--
-- Every length is a pair of microseconds and nanoseconds: numbers are doubles, exact up to 2^53,
-- and a debt may be a hundred years, which is less than that in microseconds only.

-- 142 years in microseconds: what a debt in tokens that cannot be paid back in a lifetime becomes.
local LONGEST = 2 ^ 52

local function pair(us, ns)
  local carry = math.floor(ns / 1000)
  return us + carry, ns - carry * 1000
end

local function is_less(us, ns, other_us, other_ns)
  return us < other_us or us == other_us and ns < other_ns
end

-- How long it takes for so many tokens to come back.
local function paying(tokens, terms)
  local us, ns = pair(tokens * terms.interval_us, tokens * terms.interval_ns)
  if us >= LONGEST then
    return LONGEST, 0
  end
  return us, ns
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

-- The bucket as it is now. After a failover the clock may show less than it did: no time has passed
-- then, until it shows that moment again or the bucket is written.
local function read(text)
  if not text then
    return { us = 0, ns = 0, late = 0, last = now, since = now, given_us = 0, given_ns = 0 }
  end
  local words = {}
  for word in string.gmatch(text, '%d+') do
    words[#words + 1] = tonumber(word)
  end
  local us, ns, elapsed = words[1], words[2], now - words[3]
  if elapsed > us then
    us, ns = 0, 0
  elseif elapsed > 0 then
    us = us - elapsed
  end
  return {
    us = us,
    ns = ns,
    late = math.max(0, -elapsed),
    last = words[3],
    interval_us = words[4],
    interval_ns = words[5],
    ceiling = words[6],
    since = words[7],
    given_us = words[8],
    given_ns = words[9],
  }
end

-- As it is now.
local function write(key, bucket)
  if bucket.us == 0 and bucket.ns == 0 then
    redis.call('DEL', key)
    return
  end
  local text = string.format('%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f', bucket.us, bucket.ns,
    now, bucket.interval_us, bucket.interval_ns, bucket.ceiling, bucket.since, bucket.given_us,
    bucket.given_ns)
  -- By the same clock, and no earlier than it is full.
  local full = string.format('%.0f', math.floor((now + bucket.us) / 1000) + 2)
  redis.call('SET', key, text, 'PXAT', full)
end
