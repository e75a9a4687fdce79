-- ?1: [id, project, parent, kind, rank, status, title, description, labels, assignee, version,
-- created, updated, deleted].
INSERT INTO item (
    id, project, parent, kind, rank, status, title, description, labels, assignee, version,
    created_us, updated_us, deleted_us
)
SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), value ->> 3, value ->> 4,
    value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11,
    value ->> 12, value ->> 13
FROM json_each(?1)
WHERE true
ON CONFLICT (id) DO UPDATE SET
    parent = excluded.parent,
    rank = excluded.rank,
    status = excluded.status,
    title = excluded.title,
    description = excluded.description,
    labels = excluded.labels,
    assignee = excluded.assignee,
    version = excluded.version,
    updated_us = excluded.updated_us
