-- Decides on a list of charges: all or nothing, in one step.
--
-- KEYS[i]   the bucket of charge i
-- ARGV      for each charge: mode (enforce, peek, shadow), cost, capacity, interval in whole
--           microseconds, the nanoseconds beyond them, ceiling
-- answer    whether it is admitted (1 or 0), when that was, then for each charge: whether it fits
--           (1 or 0), the bucket's debt in microseconds, the nanoseconds beyond them, in how many
--           microseconds it begins to be paid back, and how much has been given back in
--           microseconds and the nanoseconds beyond them

-- part * new / old, rounded up, where part < old. Bit by bit: the product does not fit a double.
local function scaled(part, new, old)
  local whole, rest, bit = 0, 0, 2 ^ 52
  local function add(summand)
    if rest >= old - summand then
      rest, whole = rest - (old - summand), whole + 1
    else
      rest = rest + summand
    end
  end
  while bit >= 1 do
    whole = whole * 2
    add(rest)
    if new >= bit then
      new = new - bit
      add(part)
    end
    bit = bit / 2
  end
  return rest > 0 and whole + 1 or whole
end

-- The debt of a bucket under another interval: the same in tokens.
local function converted(bucket, charge)
  local old_us, old_ns = bucket.interval_us, bucket.interval_ns
  local new_us, new_ns = charge.interval_us, charge.interval_ns
  -- Whole tokens, which the division may miss by one, and the rest.
  local tokens = math.floor(bucket.us / (old_us + old_ns / 1000))
  local us, ns = pair(bucket.us - tokens * old_us, bucket.ns - tokens * old_ns)
  if us < 0 then
    tokens = tokens - 1
    us, ns = pair(us + old_us, ns + old_ns)
  elseif not is_less(us, ns, old_us, old_ns) then
    tokens = tokens + 1
    us, ns = pair(us - old_us, ns - old_ns)
  end
  local part_us, part_ns
  local long = 2 ^ 52 / 1000 - 1
  if old_us < long and new_us < long then
    local part = scaled(us * 1000 + ns, new_us * 1000 + new_ns, old_us * 1000 + old_ns)
    part_us, part_ns = pair(0, part)
  else
    -- More than fifty days for a token do not fit in nanoseconds: rounded up to microseconds.
    local part = ns > 0 and us + 1 or us
    part_us, part_ns = new_us, new_ns
    if part < old_us then
      local rounded = scaled(part, new_ns > 0 and new_us + 1 or new_us, old_us)
      if is_less(rounded, 0, new_us, new_ns) then
        part_us, part_ns = rounded, 0
      end
    end
  end
  local whole_us, whole_ns = paying(tokens, charge)
  us, ns = pair(whole_us + part_us, whole_ns + part_ns)
  return math.min(us, LONGEST), ns
end

-- The bucket under the terms of the charge; the very same table if it is already.
local function under(bucket, charge)
  local same = bucket.interval_us == charge.interval_us and bucket.interval_ns == charge.interval_ns
  if same and bucket.ceiling == charge.ceiling then
    return bucket
  end
  local us, ns = bucket.us, bucket.ns
  if us > 0 or ns > 0 then
    if not same then
      us, ns = converted(bucket, charge)
    end
    if charge.ceiling < bucket.ceiling then
      local most_us, most_ns = paying(charge.ceiling, charge)
      if is_less(most_us, most_ns, us, ns) then
        us, ns = most_us, most_ns
      end
    end
  end
  return {
    us = us,
    ns = ns,
    late = bucket.late,
    interval_us = charge.interval_us,
    interval_ns = charge.interval_ns,
    ceiling = charge.ceiling,
    since = now,
    given_us = 0,
    given_ns = 0,
  }
end

local function fits(bucket, charge)
  if charge.cost == 0 then
    return true
  end
  if charge.cost > charge.capacity then
    return false
  end
  local price_us, price_ns = paying(charge.cost, charge)
  local full_us, full_ns = paying(charge.capacity, charge)
  local us, ns = pair(bucket.us + price_us, bucket.ns + price_ns)
  return not is_less(full_us, full_ns, us, ns)
end

local function taken(bucket, charge)
  if charge.cost == 0 then
    return bucket
  end
  local price_us, price_ns = paying(charge.cost, charge)
  local us, ns = pair(bucket.us + price_us, bucket.ns + price_ns)
  local full = bucket.us == 0 and bucket.ns == 0
  return {
    us = us,
    ns = ns,
    late = 0,
    interval_us = charge.interval_us,
    interval_ns = charge.interval_ns,
    ceiling = charge.ceiling,
    since = full and now or bucket.since,
    given_us = full and 0 or bucket.given_us,
    given_ns = full and 0 or bucket.given_ns,
  }
end

-- Buckets are never changed, but replaced: another table than the one that was read is to be
-- written. As it is now, from where its debt is paid back from now on.
local before, buckets, charges = {}, {}, {}
local texts = redis.call('MGET', unpack(KEYS))
for i, key in ipairs(KEYS) do
  before[key] = before[key] or read(texts[i])
  buckets[key] = before[key]
  local at = (i - 1) * 6
  charges[i] = {
    key = key,
    mode = ARGV[at + 1],
    cost = tonumber(ARGV[at + 2]),
    capacity = tonumber(ARGV[at + 3]),
    interval_us = tonumber(ARGV[at + 4]),
    interval_ns = tonumber(ARGV[at + 5]),
    ceiling = tonumber(ARGV[at + 6]),
  }
end

local function put(key, bucket)
  if bucket ~= before[key] then
    bucket.late = 0
  end
  buckets[key] = bucket
end

-- Each charge on its own. One that is not only looked at puts its bucket under its terms.
local admitted, answers = true, {}
for i, charge in ipairs(charges) do
  local bucket = under(buckets[charge.key], charge)
  if charge.mode ~= 'peek' then
    put(charge.key, bucket)
  end
  answers[i] = { fits(bucket, charge), bucket }
  if charge.mode == 'enforce' and not answers[i][1] then
    admitted = false
  end
end

-- All together. What fits on its own is refused here only if another charge is of the same bucket.
if admitted then
  local untaken, looked = {}, {}
  for key, bucket in pairs(buckets) do
    untaken[key] = bucket
  end
  for i, charge in ipairs(charges) do
    looked[i] = answers[i]
  end
  for i, charge in ipairs(charges) do
    if charge.mode ~= 'peek' then
      local bucket = under(buckets[charge.key], charge)
      if fits(bucket, charge) then
        bucket = taken(bucket, charge)
        put(charge.key, bucket)
        answers[i] = { true, bucket }
      elseif charge.mode == 'enforce' then
        looked[i] = { false, bucket }
        admitted, buckets, answers = false, untaken, looked
        break
      else
        answers[i] = { false, bucket }
      end
    end
  end
end

for key, bucket in pairs(buckets) do
  if bucket ~= before[key] and (bucket.us > 0 or bucket.ns > 0) then
    write(key, bucket)
  end
end

local reply = { admitted and 1 or 0, now }
for i, answer in ipairs(answers) do
  local bucket = answer[2]
  local at = (i - 1) * 6 + 2
  reply[at + 1] = answer[1] and 1 or 0
  reply[at + 2] = bucket.us
  reply[at + 3] = bucket.ns
  reply[at + 4] = bucket.late
  reply[at + 5] = bucket.given_us
  reply[at + 6] = bucket.given_ns
end
return reply
