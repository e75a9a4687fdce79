-- ?1: ids of items that get another place. The index on places is checked row by row, so all leave
-- their old ones before any takes a new one.
UPDATE item
SET rank = -rank
WHERE id IN (SELECT unhex(value) FROM json_each(?1))
