-- Run once for a file, inside an immediate transaction. The names are ours alone, so that the file may
-- hold other tables, too.
CREATE TABLE pm_guard_state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    schema INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    version INTEGER NOT NULL DEFAULT 0,
    -- Of rules and quotas of users: the last change of any, the last change of a rule, and the last one
    -- that was withdrawn and is forgotten.
    rules_version INTEGER NOT NULL DEFAULT 0,
    rules_changed INTEGER NOT NULL DEFAULT 0,
    rules_forgotten INTEGER NOT NULL DEFAULT 0
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

-- A bucket holds bucket_capacity tokens, and refill_rate of them come back in each window. A window is
-- window_seconds and window_millis long: almost all are whole seconds, and the rest is 0.
-- What is written here by hand is not noticed before rules_version and rules_changed are raised.
CREATE TABLE pm_guard_rule (
    name TEXT PRIMARY KEY,
    -- A path or the name of an operation; everything without.
    endpoint_pattern TEXT,
    -- Any without.
    http_method TEXT,
    priority INTEGER NOT NULL,
    bucket_capacity INTEGER NOT NULL,
    refill_rate INTEGER NOT NULL,
    window_seconds INTEGER NOT NULL,
    window_millis INTEGER NOT NULL,
    -- Whose bucket it is: user, client, caller, ...
    subject TEXT NOT NULL,
    cost INTEGER,
    stage TEXT,
    -- One on a line: the multiplier, a space, and the name.
    roles TEXT NOT NULL,
    shadow INTEGER NOT NULL,
    if_store_fails TEXT NOT NULL,
    -- Tokens that an instance may take ahead.
    leased INTEGER,
    version INTEGER NOT NULL
) STRICT;

-- Quotas of users, with those that were withdrawn lately, so that every instance hears of it.
CREATE TABLE pm_guard_user_quota (
    -- Empty where there are no tenants.
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    rule TEXT NOT NULL,
    bucket_capacity INTEGER NOT NULL,
    refill_rate INTEGER NOT NULL,
    window_seconds INTEGER NOT NULL,
    window_millis INTEGER NOT NULL,
    withdrawn INTEGER NOT NULL,
    version INTEGER NOT NULL UNIQUE,
    PRIMARY KEY (tenant, user_id, rule)
) STRICT;

CREATE INDEX pm_guard_user_quota_withdrawn ON pm_guard_user_quota (version) WHERE withdrawn;

-- The last word about emergencies: a profile that is in force, or none.
CREATE TABLE pm_guard_emergency (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    profile TEXT,
    said_us INTEGER NOT NULL,
    until_us INTEGER NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
