-- ?1: [rev, project, item, offset, length]; ?2: the events end to end.
INSERT INTO log (rev, project, item, event)
SELECT value ->> 0, unhex(value ->> 1), unhex(value ->> 2), substr(?2, value ->> 3, value ->> 4)
FROM json_each(?1)
