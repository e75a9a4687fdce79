-- ?1: ids of mutations.
SELECT id, digest, answer
FROM mutation
WHERE id IN (SELECT unhex(value) FROM json_each(?1))
