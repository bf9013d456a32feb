-- name: create
CREATE TABLE store (
    id TEXT NOT NULL PRIMARY KEY
);
CREATE TABLE migrations (
    name TEXT NOT NULL PRIMARY KEY,
    epoch INTEGER NOT NULL,
    version INTEGER NOT NULL,
    hash TEXT NOT NULL,
    secret BLOB NOT NULL
);
-- apart from its head, so that a poll never touches the pages of a large document
CREATE TABLE snapshots (
    migration TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
);
CREATE TABLE changes (
    migration TEXT NOT NULL,
    version INTEGER NOT NULL,
    hash TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (migration, version)
);
CREATE TABLE instances (
    migration TEXT NOT NULL,
    instance TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    report TEXT NOT NULL,
    closing INTEGER NOT NULL,
    received INTEGER NOT NULL,
    folded INTEGER NOT NULL DEFAULT -1,
    PRIMARY KEY (migration, instance)
);
CREATE TABLE minutes (
    migration TEXT NOT NULL,
    instance TEXT NOT NULL,
    minute INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    totals TEXT NOT NULL,
    PRIMARY KEY (migration, instance, minute)
);
CREATE TABLE hours (
    migration TEXT NOT NULL,
    hour INTEGER NOT NULL,
    totals TEXT NOT NULL,
    PRIMARY KEY (migration, hour)
);

-- name: name_store
INSERT INTO store (id) VALUES (:id);

-- name: migrations
SELECT name FROM migrations ORDER BY name;

-- name: head
SELECT epoch, version, hash, secret FROM migrations WHERE name = :migration;

-- name: document
SELECT document FROM snapshots WHERE migration = :migration;

-- name: hash_at
SELECT hash FROM changes WHERE migration = :migration AND version = :version;

-- name: history
SELECT text FROM changes WHERE migration = :migration AND version > :after ORDER BY version;

-- name: add_change
INSERT INTO changes (migration, version, hash, text) VALUES (:migration, :version, :hash, :change);

-- name: put_snapshot
INSERT INTO snapshots (migration, document) VALUES (:migration, :snapshot)
ON CONFLICT (migration) DO UPDATE SET document = excluded.document;

-- name: put_head
INSERT INTO migrations (name, epoch, version, hash, secret) VALUES (:migration, :epoch, :version, :hash, :secret)
ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, version = excluded.version, hash = excluded.hash;

-- name: put_instance
INSERT INTO instances (migration, instance, sequence, report, closing, received)
VALUES (:migration, :instance, :sequence, :report, :closing, :received)
ON CONFLICT (migration, instance) DO UPDATE SET
    sequence = excluded.sequence,
    report = excluded.report,
    closing = excluded.closing,
    received = excluded.received
WHERE excluded.sequence > instances.sequence;

-- name: folded
SELECT folded FROM instances WHERE migration = :migration AND instance = :instance;

-- name: put_minute
INSERT INTO minutes (migration, instance, minute, sequence, totals)
VALUES (:migration, :instance, :minute, :sequence, :totals)
ON CONFLICT (migration, instance, minute) DO UPDATE SET
    sequence = excluded.sequence,
    totals = excluded.totals
WHERE excluded.sequence > minutes.sequence;

-- name: minutes_before
SELECT instance, minute, totals FROM minutes WHERE migration = :migration AND minute < :oldest;

-- name: mark_folded
UPDATE instances SET folded = max(folded, :minute) WHERE migration = :migration AND instance = :instance;

-- name: drop_minutes_before
DELETE FROM minutes WHERE migration = :migration AND minute < :oldest;

-- name: hour
SELECT totals FROM hours WHERE migration = :migration AND hour = :hour;

-- name: put_hour
INSERT INTO hours (migration, hour, totals) VALUES (:migration, :hour, :totals)
ON CONFLICT (migration, hour) DO UPDATE SET totals = excluded.totals;

-- name: forget_closed
DELETE FROM instances
WHERE migration = :migration AND closing AND received < :before
    AND NOT EXISTS (
        SELECT 1 FROM minutes
        WHERE minutes.migration = instances.migration AND minutes.instance = instances.instance
    );

-- name: instances
SELECT report FROM instances WHERE migration = :migration AND NOT closing ORDER BY instance;

-- name: minutes
SELECT minute, totals FROM minutes WHERE migration = :migration;

-- name: hours
SELECT hour, totals FROM hours WHERE migration = :migration;
