-- Gives back what a decision took: what has not drained from the buckets since.
--
-- KEYS[i]   the bucket of charge i
-- ARGV      when the decision was; then for each charge: cost, interval in whole microseconds, the
--           nanoseconds beyond them, ceiling, and as the decision answered them the bucket's debt
--           and how much had been given back, in microseconds and the nanoseconds beyond them
-- answer    for each charge: the bucket's debt in microseconds, the nanoseconds beyond them, and in
--           how many microseconds it begins to be paid back
--
-- Without the charge, the bucket would have been full for some of the time since, if it owed less
-- before than has passed: that long, the charge itself drained, and that much of it is not there any
-- more. What others were given back meanwhile is as if the bucket had owed less before. What others
-- took meanwhile is not counted, since it may have come last. So a bucket that nobody else charged is
-- as if nothing had been, and no other is fuller than that.

local taken_at = tonumber(ARGV[1])

-- Whether the charge is a part of what the bucket owes. It is not behind a moment at which the
-- bucket was full or went over to other terms, nor in a replica that had not heard of it.
local function is_owed(bucket, charge)
  return bucket.interval_us == charge.interval_us
    and bucket.interval_ns == charge.interval_ns
    and bucket.ceiling == charge.ceiling
    and bucket.since <= taken_at
    and bucket.last >= taken_at
    and bucket.late == 0
    and bucket.given_us < LONGEST
end

local function without(bucket, charge)
  local price_us, price_ns = paying(charge.cost, charge)
  local elapsed = now - taken_at
  local before_us, before_ns = pair(charge.us - price_us, charge.ns - price_ns)
  local drained_us, drained_ns = pair(elapsed + bucket.given_us - charge.given_us - before_us,
    bucket.given_ns - charge.given_ns - before_ns)
  if is_less(drained_us, drained_ns, 0, 0) then
    drained_us, drained_ns = 0, 0
  elseif is_less(elapsed, 0, drained_us, drained_ns) then
    drained_us, drained_ns = elapsed, 0
  end
  local back_us, back_ns = pair(price_us - drained_us, price_ns - drained_ns)
  if is_less(bucket.us, bucket.ns, back_us, back_ns) then
    back_us, back_ns = bucket.us, bucket.ns
  end
  if not is_less(0, 0, back_us, back_ns) then
    return bucket
  end
  local us, ns = pair(bucket.us - back_us, bucket.ns - back_ns)
  local given_us, given_ns = pair(bucket.given_us + back_us, bucket.given_ns + back_ns)
  return {
    us = us,
    ns = ns,
    late = 0,
    last = now,
    interval_us = bucket.interval_us,
    interval_ns = bucket.interval_ns,
    ceiling = bucket.ceiling,
    since = bucket.since,
    given_us = given_us,
    given_ns = given_ns,
  }
end

local before, buckets = {}, {}
local texts = redis.call('MGET', unpack(KEYS))
for i, key in ipairs(KEYS) do
  before[key] = before[key] or read(texts[i])
  local bucket = buckets[key] or before[key]
  local at = (i - 1) * 8 + 1
  local charge = {
    cost = tonumber(ARGV[at + 1]),
    interval_us = tonumber(ARGV[at + 2]),
    interval_ns = tonumber(ARGV[at + 3]),
    ceiling = tonumber(ARGV[at + 4]),
    us = tonumber(ARGV[at + 5]),
    ns = tonumber(ARGV[at + 6]),
    given_us = tonumber(ARGV[at + 7]),
    given_ns = tonumber(ARGV[at + 8]),
  }
  buckets[key] = is_owed(bucket, charge) and without(bucket, charge) or bucket
end

for key, bucket in pairs(buckets) do
  if bucket ~= before[key] then
    write(key, bucket)
  end
end

local reply = {}
for i, key in ipairs(KEYS) do
  local bucket = buckets[key]
  local at = (i - 1) * 3
  reply[at + 1] = bucket.us
  reply[at + 2] = bucket.ns
  reply[at + 3] = bucket.late
end
return reply
