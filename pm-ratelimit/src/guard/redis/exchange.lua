-- Takes over the last word about emergencies that somebody knows, if it was said later than the one that
-- stands.
-- KEYS: the word.
-- ARGV: nothing; or when it was said in microseconds, until when, the profile (empty for none), who has
-- said it, and why.
-- Answers with what stands, in the same five fields, or nothing.

local stands = redis.call('GET', KEYS[1])
stands = stands and cmsgpack.unpack(stands)
if ARGV[1] and (not stands or tonumber(stands[1]) < tonumber(ARGV[1])) then
  stands = ARGV
  redis.call('SET', KEYS[1], cmsgpack.pack(stands))
end
return stands or {}
