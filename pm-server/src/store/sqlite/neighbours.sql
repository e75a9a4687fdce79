-- ?1: ids of items, wanted are the siblings next to them; ?2: lanes, wanted are their ends.
WITH
    lane (project, parent, below, above) AS (
        SELECT item.project, item.parent, item.rank, item.rank
        FROM json_each(?1) AS wanted
        JOIN item ON item.id = unhex(wanted.value)
        WHERE item.deleted_us IS NULL
        UNION ALL
        SELECT unhex(value ->> 0), unhex(value ->> 1), 9223372036854775807, -1
        FROM json_each(?2)
    )
SELECT near.project, near.parent, near.rank, near.id
FROM lane
JOIN item AS near ON near.id IN (
    (
        SELECT id FROM item
        WHERE item.project = lane.project AND item.parent = lane.parent
            AND item.rank < lane.below AND item.deleted_us IS NULL
        ORDER BY item.rank DESC LIMIT 1
    ),
    (
        SELECT id FROM item
        WHERE item.project = lane.project AND item.parent = lane.parent
            AND item.rank > lane.above AND item.deleted_us IS NULL
        ORDER BY item.rank LIMIT 1
    )
)
