-- Run once for a database, under an advisory lock. The names are ours alone, so that the database may
-- hold other tables, too.
CREATE TABLE pm_guard_state (
    one SMALLINT PRIMARY KEY CHECK (one = 1),
    schema BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE pm_guard_block (
    prefix TEXT PRIMARY KEY,
    effect TEXT NOT NULL,
    cause TEXT NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    since_us BIGINT NOT NULL,
    until_us BIGINT,
    level BIGINT NOT NULL,
    forgotten_us BIGINT NOT NULL,
    version BIGINT NOT NULL UNIQUE
);

CREATE INDEX pm_guard_block_forgotten ON pm_guard_block (forgotten_us);

CREATE TABLE pm_guard_violation (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    prefix TEXT NOT NULL,
    addr TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    endpoint TEXT NOT NULL,
    request_id TEXT
);

CREATE INDEX pm_guard_violation_prefix ON pm_guard_violation (prefix, at_us);
CREATE INDEX pm_guard_violation_at ON pm_guard_violation (at_us);

-- The latest moments of an address, and whether its alert was raised.
CREATE TABLE pm_guard_watched (
    prefix TEXT PRIMARY KEY,
    times TEXT NOT NULL,
    raised BOOLEAN NOT NULL,
    latest_us BIGINT NOT NULL
);

CREATE INDEX pm_guard_watched_latest ON pm_guard_watched (latest_us);
