-- Run once for a file, inside an immediate transaction. The names are ours alone, so that the file may
-- hold other tables, too.
CREATE TABLE pm_guard_state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    schema INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE pm_guard_block (
    prefix TEXT PRIMARY KEY,
    effect TEXT NOT NULL,
    cause TEXT NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    until_us INTEGER,
    level INTEGER NOT NULL,
    forgotten_us INTEGER NOT NULL,
    version INTEGER NOT NULL UNIQUE
) STRICT;

CREATE INDEX pm_guard_block_forgotten ON pm_guard_block (forgotten_us);

CREATE TABLE pm_guard_violation (
    id INTEGER PRIMARY KEY,
    prefix TEXT NOT NULL,
    addr TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    endpoint TEXT NOT NULL,
    request_id TEXT
) STRICT;

CREATE INDEX pm_guard_violation_prefix ON pm_guard_violation (prefix, at_us);
CREATE INDEX pm_guard_violation_at ON pm_guard_violation (at_us);

-- The latest moments of an address, and whether its alert was raised.
CREATE TABLE pm_guard_watched (
    prefix TEXT PRIMARY KEY,
    times TEXT NOT NULL,
    raised INTEGER NOT NULL,
    latest_us INTEGER NOT NULL
) STRICT;

CREATE INDEX pm_guard_watched_latest ON pm_guard_watched (latest_us);
