-- ?1: [id, rank].
UPDATE item
SET rank = moved.value ->> 1
FROM json_each(?1) AS moved
WHERE item.id = unhex(moved.value ->> 0)
