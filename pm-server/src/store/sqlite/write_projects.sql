-- ?1: [id, name, archived, version, created, updated].
INSERT INTO project (id, name, archived, version, created_us, updated_us)
SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
FROM json_each(?1)
WHERE true
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name,
    archived = excluded.archived,
    version = excluded.version,
    updated_us = excluded.updated_us
