-- ?1: ids of items, wanted with everything above them; ?2: with everything below them.
WITH RECURSIVE
    up (id) AS (
        SELECT unhex(value) FROM json_each(?1)
        UNION
        SELECT item.parent FROM up JOIN item ON item.id = up.id WHERE item.parent <> x''
    ),
    down (id) AS (
        SELECT unhex(value) FROM json_each(?2)
        UNION
        SELECT child.id
        FROM down
        JOIN item AS above ON above.id = down.id
        JOIN item AS child
            ON child.project = above.project AND child.parent = above.id
            AND child.deleted_us IS NULL
    )
SELECT id, project, parent, kind, rank, status, title, description, labels, assignee,
    version, created_us, updated_us, deleted_us IS NOT NULL AS deleted
FROM item
WHERE id IN (SELECT id FROM up UNION SELECT id FROM down)
