-- ?1: a project, ?2: a parent in it, empty for the top.
SELECT project, parent, rank, id
FROM item
WHERE project = ?1 AND parent = ?2 AND deleted_us IS NULL
