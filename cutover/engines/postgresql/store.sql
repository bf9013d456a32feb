-- name: schema_1
-- One row, which says whose schema this is and how its tables look.
CREATE TABLE cutover.store (
    cutover_schema integer NOT NULL,
    is_only boolean NOT NULL DEFAULT true PRIMARY KEY CHECK (is_only)
);
INSERT INTO cutover.store (cutover_schema) VALUES (0);
-- Texts are kept as UTF-8 bytes: to the letter, NUL included, whatever encoding the database has.
CREATE TABLE cutover.migrations (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    epoch bigint NOT NULL,
    version bigint NOT NULL,
    hash text NOT NULL,
    secret bytea NOT NULL,
    document bytea NOT NULL
);
CREATE TABLE cutover.changes (
    migration text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    hash text NOT NULL,
    text bytea NOT NULL,
    PRIMARY KEY (migration, version)
);
CREATE TABLE cutover.instances (
    migration text COLLATE "C" NOT NULL,
    instance text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    report bytea NOT NULL,
    closing boolean NOT NULL,
    received bigint NOT NULL,
    folded bigint NOT NULL DEFAULT -1,
    PRIMARY KEY (migration, instance)
);
CREATE INDEX instances_closed ON cutover.instances (migration, received) WHERE closing;
CREATE TABLE cutover.minutes (
    migration text COLLATE "C" NOT NULL,
    instance text COLLATE "C" NOT NULL,
    minute bigint NOT NULL,
    sequence bigint NOT NULL,
    totals bytea NOT NULL,
    PRIMARY KEY (migration, instance, minute)
);
CREATE INDEX minutes_by_age ON cutover.minutes (migration, minute);
CREATE TABLE cutover.hours (
    migration text COLLATE "C" NOT NULL,
    hour bigint NOT NULL,
    totals bytea NOT NULL,
    PRIMARY KEY (migration, hour)
);

-- name: set_schema
UPDATE cutover.store SET cutover_schema = %(schema)s::integer;

-- name: places
SELECT to_regclass('cutover.store') IS NOT NULL AS ours,
    EXISTS (SELECT FROM pg_namespace WHERE nspname = %(name)s) AS present,
    EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %(name)s) AS filled,
    (SELECT bool_and(to_regclass('cutover.' || t) IS NOT NULL)
        FROM unnest(ARRAY['store', 'migrations', 'changes', 'instances', 'minutes', 'hours']) AS t) AS whole;

-- name: schema
SELECT cutover_schema FROM cutover.store;

-- name: now
SELECT clock_timestamp();

-- name: migrations
SELECT s.cutover_schema, m.name FROM cutover.store s LEFT JOIN cutover.migrations m ON true ORDER BY m.name;

-- name: head
SELECT s.cutover_schema, m.epoch, m.version, m.hash
FROM cutover.store s LEFT JOIN cutover.migrations m ON m.name = %(migration)s;

-- name: read
SELECT s.cutover_schema, m.epoch, m.version, m.hash, m.secret,
    CASE WHEN (m.epoch, m.version, m.hash) IS DISTINCT FROM
        (%(epoch)s::bigint, %(version)s::bigint, %(hash)s::text) THEN m.document END,
    (SELECT c.hash FROM cutover.changes c WHERE c.migration = m.name AND c.version = %(version)s::bigint)
FROM cutover.store s LEFT JOIN cutover.migrations m ON m.name = %(migration)s;

-- name: history
SELECT s.cutover_schema, c.text
FROM cutover.store s
LEFT JOIN cutover.changes c ON c.migration = %(migration)s AND c.version > %(after)s::bigint
ORDER BY c.version;

-- name: first_change
WITH ours AS (
    SELECT FROM cutover.store WHERE cutover_schema = %(schema)s::integer
), moved AS (
    INSERT INTO cutover.migrations (name, epoch, version, hash, secret, document)
    SELECT %(migration)s::text, %(epoch)s::bigint, %(version)s::bigint, %(hash)s::text, %(secret)s::bytea,
        %(snapshot)s::bytea
    FROM ours
    ON CONFLICT (name) DO NOTHING
    RETURNING name, version, hash
), written AS (
    INSERT INTO cutover.changes (migration, version, hash, text)
    SELECT name, version, hash, %(change)s::bytea FROM moved
    RETURNING migration, version
)
SELECT pg_notify(%(channel)s::text, migration || ' ' || version) FROM written;

-- name: next_change
WITH ours AS (
    SELECT FROM cutover.store WHERE cutover_schema = %(schema)s::integer
), moved AS (
    UPDATE cutover.migrations
    SET epoch = %(epoch)s::bigint, version = %(version)s::bigint, hash = %(hash)s::text, document = %(snapshot)s::bytea
    WHERE name = %(migration)s::text AND epoch = %(expect_epoch)s::bigint AND version = %(expect_version)s::bigint
        AND hash = %(expect_hash)s::text AND EXISTS (SELECT FROM ours)
    RETURNING name, version, hash
), written AS (
    INSERT INTO cutover.changes (migration, version, hash, text)
    SELECT name, version, hash, %(change)s::bytea FROM moved
    RETURNING migration, version
)
SELECT pg_notify(%(channel)s::text, migration || ' ' || version) FROM written;

-- name: check_in
-- The row of the instance is locked first, and what is folded is taken from it as it is then: a minute that another
-- process has just folded is never put back. The answer tells whether there is something to tidy up.
WITH ours AS (
    SELECT cutover_schema FROM cutover.store
), taken AS (
    INSERT INTO cutover.instances AS i (migration, instance, sequence, report, closing, received)
    SELECT %(migration)s::text, %(instance)s::text, %(sequence)s::bigint, %(report)s::bytea, %(closing)s::boolean,
        %(received)s::bigint
    FROM ours WHERE cutover_schema = %(schema)s::integer
    ON CONFLICT (migration, instance) DO UPDATE SET
        sequence = greatest(i.sequence, excluded.sequence),
        report = CASE WHEN excluded.sequence > i.sequence THEN excluded.report ELSE i.report END,
        closing = CASE WHEN excluded.sequence > i.sequence THEN excluded.closing ELSE i.closing END,
        received = CASE WHEN excluded.sequence > i.sequence THEN excluded.received ELSE i.received END
    RETURNING folded
), counted AS (
    INSERT INTO cutover.minutes AS m (migration, instance, minute, sequence, totals)
    SELECT %(migration)s::text, %(instance)s::text, given.minute, %(sequence)s::bigint, given.totals
    FROM taken, unnest(%(minutes)s::bigint[], %(totals)s::bytea[]) AS given (minute, totals)
    WHERE given.minute > taken.folded
    ON CONFLICT (migration, instance, minute) DO UPDATE SET sequence = excluded.sequence, totals = excluded.totals
    WHERE excluded.sequence > m.sequence
)
SELECT cutover_schema,
    EXISTS (SELECT FROM cutover.minutes WHERE migration = %(migration)s::text AND minute < %(oldest)s::bigint)
    OR EXISTS (
        SELECT FROM cutover.instances
        WHERE migration = %(migration)s::text AND closing AND received < %(before)s::bigint
    )
FROM ours;

-- name: be_the_folder
SELECT pg_try_advisory_xact_lock(hashtextextended(%(lock)s::text, 0));

-- name: lock_instances
SELECT instance FROM cutover.instances
WHERE migration = %(migration)s::text AND instance IN (
    SELECT instance FROM cutover.minutes WHERE migration = %(migration)s::text AND minute < %(oldest)s::bigint
)
ORDER BY instance FOR UPDATE;

-- name: take_minutes
DELETE FROM cutover.minutes
WHERE migration = %(migration)s::text AND minute < %(oldest)s::bigint AND instance = ANY (%(instances)s::text[])
RETURNING instance, minute, totals;

-- name: mark_folded
UPDATE cutover.instances i SET folded = greatest(i.folded, done.minute)
FROM unnest(%(instances)s::text[], %(minutes)s::bigint[]) AS done (instance, minute)
WHERE i.migration = %(migration)s::text AND i.instance = done.instance;

-- name: some_hours
SELECT hour, totals FROM cutover.hours WHERE migration = %(migration)s::text AND hour = ANY (%(hours)s::bigint[]);

-- name: put_hours
INSERT INTO cutover.hours (migration, hour, totals)
SELECT %(migration)s::text, given.hour, given.totals
FROM unnest(%(hours)s::bigint[], %(totals)s::bytea[]) AS given (hour, totals)
ON CONFLICT (migration, hour) DO UPDATE SET totals = excluded.totals;

-- name: forget_closed
DELETE FROM cutover.instances i
WHERE i.migration = %(migration)s::text AND i.closing AND i.received < %(before)s::bigint
    AND NOT EXISTS (
        SELECT FROM cutover.minutes m WHERE m.migration = i.migration AND m.instance = i.instance
    );

-- name: fleet
SELECT s.cutover_schema, rows.kind, rows.number, rows.content
FROM cutover.store s LEFT JOIN (
    SELECT 'instance' AS kind, 0::bigint AS number, instance, report AS content
    FROM cutover.instances WHERE migration = %(migration)s::text AND NOT closing
    UNION ALL
    SELECT 'minute', minute, instance, totals FROM cutover.minutes WHERE migration = %(migration)s::text
    UNION ALL
    SELECT 'hour', hour, '', totals FROM cutover.hours WHERE migration = %(migration)s::text
) AS rows ON true
ORDER BY rows.instance;
