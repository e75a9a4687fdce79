-- Adds violations, and says which addresses have passed the threshold with them.
-- KEYS: for each address, its latest violations (list) and its moments (string).
-- ARGV: the count of the threshold, its time in microseconds, how long violations are kept in
-- milliseconds; then for each address the number of its rows, and for each row its time and the row.
-- Answers with the numbers of the addresses, from 1 on.

local KEEP = 100

local count = tonumber(ARGV[1])
local within = tonumber(ARGV[2])
local kept = ARGV[3]
local watched = string.format('%.0f', math.max(1, math.min(2 * within / 1000, 1e15)))

local passed = {}
local argument = 4
for address = 1, #KEYS / 2 do
  local log, moments = KEYS[2 * address - 1], KEYS[2 * address]
  local rows = tonumber(ARGV[argument])
  argument = argument + 1

  -- Moments have at most 16 digits, which a double holds exactly.
  local ring = {}
  local raised = false
  local known = redis.call('GET', moments)
  if known then
    raised = string.sub(known, 1, 1) == '!'
    for time in string.gmatch(known, '-?%d+') do
      ring[#ring + 1] = tonumber(time)
    end
  end

  for _ = 1, rows do
    local at = tonumber(ARGV[argument])
    redis.call('LPUSH', log, ARGV[argument + 1])
    argument = argument + 2

    local place = #ring + 1
    while place > 1 and ring[place - 1] > at do
      place = place - 1
    end
    table.insert(ring, place, at)
    if #ring > count then
      table.remove(ring, 1)
    end
    local was_raised = raised
    raised = #ring == count and ring[#ring] - ring[1] < within
    if raised and not was_raised then
      passed[#passed + 1] = address
    end
  end
  redis.call('LTRIM', log, 0, KEEP - 1)
  redis.call('PEXPIRE', log, kept)

  local times = {}
  for place, time in ipairs(ring) do
    times[place] = string.format('%.0f', time)
  end
  local mark = raised and '!' or ''
  redis.call('SET', moments, mark .. table.concat(times, ','), 'PX', watched)
end
return passed
