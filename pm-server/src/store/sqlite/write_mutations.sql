-- ?1: [id, digest, when, offset, length]; ?2: the answers end to end.
INSERT INTO mutation (id, digest, at_us, answer)
SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, substr(?2, value ->> 3, value ->> 4)
FROM json_each(?1)
