-- name: create
CREATE TABLE IF NOT EXISTS cutover_mirror_layout (
    version INTEGER NOT NULL,
    id TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS cutover_mirror_writes (
    migration TEXT NOT NULL,
    flow TEXT NOT NULL,
    name TEXT NOT NULL,
    allowed_backlog INTEGER NOT NULL,
    confirms INTEGER NOT NULL,
    seen INTEGER NOT NULL, -- milliseconds since 1970
    PRIMARY KEY (migration, flow, name)
) WITHOUT ROWID;
-- Kept when all is delivered: a sequence is never used twice.
CREATE TABLE IF NOT EXISTS cutover_mirror_lanes (
    migration TEXT NOT NULL,
    flow TEXT NOT NULL,
    lane TEXT NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (migration, flow, lane)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cutover_mirror_intents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice either
    migration TEXT NOT NULL,
    flow TEXT NOT NULL,
    write TEXT NOT NULL,
    lane TEXT NOT NULL,
    key TEXT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('old', 'new')),
    arguments TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    error TEXT NOT NULL,
    at INTEGER NOT NULL, -- milliseconds since 1970
    due INTEGER NOT NULL, -- the end of the lease, or of the pause
    holder TEXT,
    UNIQUE (migration, flow, lane, sequence)
);
CREATE INDEX IF NOT EXISTS cutover_mirror_intents_due ON cutover_mirror_intents (migration, due);
CREATE TABLE IF NOT EXISTS cutover_mirror_acts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    migration TEXT NOT NULL,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    reason TEXT NOT NULL,
    ids TEXT NOT NULL
);

-- name: name_layout
INSERT INTO cutover_mirror_layout (version, id)
SELECT :version, :id WHERE NOT EXISTS (SELECT 1 FROM cutover_mirror_layout);

-- name: is_there
SELECT count(*) FROM sqlite_master WHERE name = 'cutover_mirror_layout';

-- name: layout
SELECT version, id FROM cutover_mirror_layout;

-- name: register
INSERT INTO cutover_mirror_writes (migration, flow, name, allowed_backlog, confirms, seen)
VALUES (:migration, :flow, :name, :allowed_backlog, :confirms, :seen)
ON CONFLICT (migration, flow, name) DO UPDATE
    SET allowed_backlog = excluded.allowed_backlog, confirms = excluded.confirms, seen = excluded.seen;

-- name: count_up
INSERT INTO cutover_mirror_lanes (migration, flow, lane, last) VALUES (:migration, :flow, :lane, 1)
ON CONFLICT (migration, flow, lane) DO UPDATE SET last = last + 1;

-- name: last
SELECT last, EXISTS (
    SELECT 1 FROM cutover_mirror_intents WHERE migration = :migration AND flow = :flow AND lane = :lane
) FROM cutover_mirror_lanes WHERE migration = :migration AND flow = :flow AND lane = :lane;

-- name: insert
INSERT INTO cutover_mirror_intents
    (migration, flow, write, lane, key, side, arguments, sequence, state, attempts, error, at, due, holder)
VALUES (:migration, :flow, :write, :lane, :key, :side, :arguments, :sequence, :state, :attempts, :error, :at, :due,
    :holder);

-- name: done
DELETE FROM cutover_mirror_intents WHERE id = :id;

-- name: put_back
UPDATE cutover_mirror_intents SET state = :state, attempts = :attempts, error = :error, due = :due, holder = NULL
WHERE id = :id AND (:holder IS NULL OR holder = :holder);

-- name: take
SELECT id, migration, flow, write, lane, key, side, arguments, sequence, state, attempts, error, at
FROM cutover_mirror_intents AS i
WHERE migration = :migration AND due <= :now AND state IN ('calling', 'unknown', 'pending')
    AND flow || ' ' || write IN (SELECT value FROM json_each(:writes))
    AND NOT EXISTS (
        SELECT 1 FROM cutover_mirror_intents AS e WHERE e.migration = i.migration AND e.flow = i.flow
            AND e.lane = i.lane AND e.sequence < i.sequence
    )
ORDER BY due, id LIMIT :limit;

-- name: hold
UPDATE cutover_mirror_intents
SET holder = :holder, due = :due, state = CASE state WHEN 'calling' THEN 'unknown' ELSE state END WHERE id = :id;

-- name: renew
UPDATE cutover_mirror_intents SET due = :due WHERE id = :id AND holder = :holder;

-- name: shortfalls
SELECT n.flow, n.name, coalesce(w.allowed_backlog, 0), coalesce(w.confirms, 0),
    count(i.id), coalesce(sum(i.state IN ('unconfirmed', 'undelivered')), 0), min(i.at),
    coalesce(sum(i.side = 'new'), 0), coalesce(sum(i.side = 'old'), 0),
    count(DISTINCT CASE WHEN i.state IN ('unconfirmed', 'undelivered') THEN i.lane END), w.seen,
    coalesce(sum(i.state <> 'calling' AND i.holder IS NOT NULL AND i.due > :now), 0)
FROM (
    SELECT flow, name FROM cutover_mirror_writes WHERE migration = :migration
    UNION SELECT flow, write FROM cutover_mirror_intents WHERE migration = :migration
) AS n
LEFT JOIN cutover_mirror_writes AS w ON w.migration = :migration AND w.flow = n.flow AND w.name = n.name
LEFT JOIN cutover_mirror_intents AS i ON i.migration = :migration AND i.flow = n.flow AND i.write = n.name
    AND (i.state <> 'calling' OR i.due <= :now)
GROUP BY n.flow, n.name ORDER BY n.flow, n.name;

-- name: dead
SELECT id, migration, flow, write, lane, key, side, arguments, sequence, state, attempts, error, at
FROM cutover_mirror_intents
WHERE migration = :migration AND state IN ('unconfirmed', 'undelivered') ORDER BY id LIMIT :limit;

-- name: revive
UPDATE cutover_mirror_intents SET state = :state, attempts = 0, due = 0, holder = NULL
WHERE migration = :migration AND id = :id AND state IN ('unconfirmed', 'undelivered');

-- name: drop
DELETE FROM cutover_mirror_intents
WHERE migration = :migration AND id = :id AND state IN ('unconfirmed', 'undelivered');

-- name: act
INSERT INTO cutover_mirror_acts (migration, at, actor, verb, reason, ids)
VALUES (:migration, :at, :actor, :verb, :reason, :ids);

-- name: acts
SELECT at, actor, verb, reason, ids FROM cutover_mirror_acts WHERE migration = :migration ORDER BY id DESC LIMIT :limit;
