-- ?1: [id, when].
UPDATE item
SET deleted_us = gone.value ->> 1
FROM json_each(?1) AS gone
WHERE item.id = unhex(gone.value ->> 0)
