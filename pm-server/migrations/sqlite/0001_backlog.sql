-- One tenant, one file. Ids are the 16 bytes of a UUID, times microseconds since 1970, UTC.

CREATE TABLE tenant (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- Against opening a file under another tenant's name.
    name TEXT NOT NULL,
    -- Random, another one after a restore: positions of another epoch mean nothing.
    epoch BLOB NOT NULL CHECK (length(epoch) = 16)
) STRICT;

CREATE TABLE project (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    name TEXT NOT NULL,
    archived INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE item (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    project BLOB NOT NULL REFERENCES project (id),
    -- Empty at the top of the project: a NULL would make every lane there its own in the index.
    parent BLOB NOT NULL,
    kind INTEGER NOT NULL,
    -- Negative only inside a transaction, while neighbours change places.
    rank INTEGER NOT NULL,
    status INTEGER NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    labels TEXT NOT NULL,
    assignee TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    -- A deleted item stays, so that its id is never used again.
    deleted_us INTEGER
) STRICT;

CREATE UNIQUE INDEX item_lane ON item (project, parent, rank) WHERE deleted_us IS NULL;

CREATE TABLE log (
    rev INTEGER PRIMARY KEY,
    project BLOB NOT NULL,
    -- Whose activity it is, where it is that of one item.
    item BLOB,
    -- The encoded pm.v1.Event.
    event BLOB NOT NULL
) STRICT;

CREATE INDEX log_project ON log (project, rev);
CREATE INDEX log_item ON log (item, rev) WHERE item IS NOT NULL;

CREATE TABLE mutation (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    -- Of the operation: the same id with another one is a mistake.
    digest BLOB NOT NULL,
    -- The encoded pm.v1.Ok.
    answer BLOB NOT NULL,
    at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA application_id = 0x706d7376;
PRAGMA user_version = 1;
