-- Decides on a list of charges: all or nothing, in one step.
--
-- KEYS[i]   the bucket of charge i
-- ARGV[1]   for each charge: mode (0 enforce, 1 peek, 2 shadow), cost, capacity, interval in whole
--           microseconds, the nanoseconds beyond them, ceiling
-- answer    whether it is admitted (1 or 0), when that was, then for each charge: whether it fits
--           (1 or 0), the bucket's debt in microseconds, the nanoseconds beyond them, in how many
--           microseconds it begins to be paid back, and how much has been given back in
--           microseconds and the nanoseconds beyond them

local ENFORCE, PEEK = 0, 1

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
  local old_us, old_ns = bucket.terms.interval_us, bucket.terms.interval_ns
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

-- The bucket under the terms of the charge; the very same table if it is already, or owes nothing.
local function under(bucket, charge)
  local terms = bucket.terms
  if bucket.us == 0 and bucket.ns == 0 or terms == charge then
    return bucket
  end
  local same = terms.interval_us == charge.interval_us and terms.interval_ns == charge.interval_ns
  if same and terms.ceiling == charge.ceiling then
    return bucket
  end
  local us, ns = bucket.us, bucket.ns
  if not same then
    us, ns = converted(bucket, charge)
  end
  if charge.ceiling < terms.ceiling then
    local most_us, most_ns = paying(charge.ceiling, charge)
    if is_less(most_us, most_ns, us, ns) then
      us, ns = most_us, most_ns
    end
  end
  return {
    us = us,
    ns = ns,
    last = bucket.last,
    terms = charge,
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
  local full_us, full_ns = paying(charge.capacity, charge)
  local us, ns = pair(bucket.us + charge.price_us, bucket.ns + charge.price_ns)
  return not is_less(full_us, full_ns, us, ns)
end

local function taken(bucket, charge)
  if charge.cost == 0 then
    return bucket
  end
  local us, ns = pair(bucket.us + charge.price_us, bucket.ns + charge.price_ns)
  local full = bucket.us == 0 and bucket.ns == 0
  return {
    us = us,
    ns = ns,
    last = now,
    terms = charge,
    since = full and now or bucket.since,
    given_us = full and 0 or bucket.given_us,
    given_ns = full and 0 or bucket.given_ns,
  }
end

local function copy(list)
  local copied = {}
  for key, value in pairs(list) do
    copied[key] = value
  end
  return copied
end

-- Buckets are never changed, but replaced: another table than the one that was read is to be
-- written. As it is now, from where its debt is paid back from now on.
local before, buckets, charges, repeated = {}, {}, {}, false
local texts = redis.call('MGET', unpack(KEYS))
for i, key in ipairs(KEYS) do
  if before[key] then
    repeated = true
  else
    before[key] = read(texts[i])
    buckets[key] = before[key]
  end
  local mode, cost, capacity, interval_us, interval_ns, ceiling =
    struct.unpack('<dddddd', ARGV[1], (i - 1) * 48 + 1)
  local charge = {
    mode = mode,
    cost = cost,
    capacity = capacity,
    interval_us = interval_us,
    interval_ns = interval_ns,
    ceiling = ceiling,
    price_us = 0,
    price_ns = 0,
  }
  charge.price_us, charge.price_ns = paying(charge.cost, charge)
  charges[i] = charge
end

local function put(key, bucket)
  if bucket ~= before[key] then
    bucket.last = now
  end
  buckets[key] = bucket
end

-- Each charge on its own. One that is not only looked at puts its bucket under its terms.
local admitted, fitting, seen = true, {}, {}
for i, charge in ipairs(charges) do
  local bucket = under(buckets[KEYS[i]], charge)
  if charge.mode ~= PEEK then
    put(KEYS[i], bucket)
  end
  fitting[i], seen[i] = fits(bucket, charge), bucket
  if charge.mode == ENFORCE and not fitting[i] then
    admitted = false
  end
end

-- All together. What fits on its own is refused here only if another charge is of the same bucket.
if admitted then
  local untaken, alone, looked = buckets, fitting, seen
  if repeated then
    buckets, fitting, seen = copy(buckets), copy(fitting), copy(seen)
  end
  for i, charge in ipairs(charges) do
    if charge.mode ~= PEEK then
      if repeated then
        seen[i] = under(buckets[KEYS[i]], charge)
        fitting[i] = fits(seen[i], charge)
      end
      if fitting[i] then
        seen[i] = taken(seen[i], charge)
        put(KEYS[i], seen[i])
      elseif charge.mode == ENFORCE then
        alone[i], looked[i] = false, seen[i]
        admitted, buckets, fitting, seen = false, untaken, alone, looked
        break
      end
    end
  end
end

for key, bucket in pairs(buckets) do
  if bucket ~= before[key] and (bucket.us > 0 or bucket.ns > 0) then
    write(key, bucket)
  end
end

local parts = { struct.pack('<dd', admitted and 1 or 0, now) }
for i, bucket in ipairs(seen) do
  parts[i + 1] = struct.pack('<dddddd', fitting[i] and 1 or 0, bucket.us, bucket.ns, late(bucket),
    bucket.given_us, bucket.given_ns)
end
return table.concat(parts)
