-- ?1: ids of projects.
SELECT id, name, archived, version, created_us, updated_us,
    (SELECT max(rev) FROM log WHERE log.project = project.id) AS head
FROM project
WHERE id IN (SELECT unhex(value) FROM json_each(?1))
